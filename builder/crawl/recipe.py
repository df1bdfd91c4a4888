"""The recipe of the candidates: what a pair must pass, in the order that costs least, beside the paper's counts.

Each step names the row of the paper (DanQing, Table 6) that it answers. The billion pairs of its row 0 are those of
pages that its source calls Chinese; so are these, of which the steps of row 0 make pairs of image links.
"""

from __future__ import annotations

from ..reasons import Reason
from ..stage.recipe import PaperDocument, RecipeDocument, step

TEXT_PAIRS = 10  # pairs that may share a text, as in COYO-700M: beyond that it names a menu or a button
URL_TEXTS = 10  # texts that may share a URL: beyond that it is an icon


RECIPE = RecipeDocument(
    steps=[
        step("the picture has a text", 0, Reason.NO_TEXT),
        step("the text is Chinese", 1, Reason.NOT_CHINESE),
        step("the text was decoded well", 1, Reason.BROKEN_TEXT),
        step("the text has its length", 2, Reason.SHORT_TEXT, Reason.LONG_TEXT),
        step(
            "the URL is that of a picture", 0,
            Reason.NO_URL, Reason.PLACEHOLDER_URL, Reason.INVALID_URL, Reason.BLOCKED_SCHEME,
        ),
        step("the host is not denied", 1, Reason.DENIED_HOST),
        step(
            "the page does not object", None,
            Reason.NOAI, Reason.NOIMAGEAI, Reason.TRAIN_AI, Reason.TDM_RESERVED,
        ),
        step("the pair is new", 0, Reason.DUPLICATE),
        step("the text is safe", 1, Reason.UNSAFE_TEXT),
        step("few pairs have the text", None, Reason.COMMON_TEXT),
        step("few texts have the URL", None, Reason.COMMON_URL),
    ],
    paper=[
        PaperDocument(row=0, name="pairs collected", pairs=1_047_085_609, share=0.0),
        PaperDocument(row=1, name="language, safety, source", pairs=726_334_674, share=0.3063),
        PaperDocument(row=2, name="length of the text", pairs=706_069_936, share=0.0279),
    ],
)  # fmt: skip
