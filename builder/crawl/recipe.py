"""The recipe of the candidates: what a pair must pass, in the order that costs least, beside the paper's counts.

Each step names the row of the paper (DanQing, Table 6) that it answers. The billion pairs of its row 0 are those of
pages that its source calls Chinese; so are these, of which the steps of row 0 make pairs of image links.
"""

from __future__ import annotations

from ..reasons import Reason
from ..stage.recipe import PaperDocument, RecipeDocument, StepDocument

SHORTEST, LONGEST = 5, 60  # characters; the paper says words, and its captions are 6 to 59 characters long
TEXT_PAIRS = 10  # pairs that may share a text, as in COYO-700M: beyond that it names a menu or a button
URL_TEXTS = 10  # texts that may share a URL: beyond that it is an icon


def _step(name: str, row: int | None, *reasons: Reason) -> StepDocument:
    told = StepDocument(name=name, reasons=[reason.value for reason in reasons])
    return told if row is None else StepDocument(**told, row=row)


RECIPE = RecipeDocument(
    steps=[
        _step("the picture has a text", 0, Reason.NO_TEXT),
        _step("the text is Chinese", 1, Reason.NOT_CHINESE),
        _step("the text was decoded well", 1, Reason.BROKEN_TEXT),
        _step("the text has its length", 2, Reason.SHORT_TEXT, Reason.LONG_TEXT),
        _step(
            "the URL is that of a picture", 0,
            Reason.NO_URL, Reason.PLACEHOLDER_URL, Reason.INVALID_URL, Reason.BLOCKED_SCHEME,
        ),
        _step("the host is not denied", 1, Reason.DENIED_HOST),
        _step(
            "the page does not object", None,
            Reason.NOAI, Reason.NOIMAGEAI, Reason.TRAIN_AI, Reason.TDM_RESERVED,
        ),
        _step("the pair is new", 0, Reason.DUPLICATE),
        _step("the text is safe", 1, Reason.UNSAFE_TEXT),
        _step("few pairs have the text", None, Reason.COMMON_TEXT),
        _step("few texts have the URL", None, Reason.COMMON_URL),
    ],
    paper=[
        PaperDocument(row=0, name="pairs collected", pairs=1_047_085_609, share=0.0),
        PaperDocument(row=1, name="language, safety, source", pairs=726_334_674, share=0.3063),
        PaperDocument(row=2, name="length of the text", pairs=706_069_936, share=0.0279),
    ],
)  # fmt: skip
