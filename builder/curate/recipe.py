"""The recipe of a curated root: what a pair must pass, in the order of its judging, beside the paper's counts.

Each step names the row of the paper (DanQing, Table 6) that it answers. What the paper does not say is decided here:

row 12  geometry: of the picture as fetched, before it was resized
row 13  texture: the standard deviation of the luminance of 256 levels, under 2
row 14  blur: the variance of the Laplacian, under 1000 in the paper, which of real photographs is most of them: so
        the default is the value that loses the paper's share
row 15  entropy: of the luminance, under 3 bits in the paper; likewise
row 16  redundancy within a batch: copies (one perceptual hash, and embeddings of cosine .98), then pictures whose
        embeddings have a cosine above .9; of each set that nearest its centroid stays
row 17  safety: the paper drops those of the highest risk, without a number: as many as there
row 18  alignment: 0.2312 to 0.4382 by Chinese-CLIP L/14, the cosines of the paper's distances 1.24 and 1.06; little is
        a weak match, and much a picture of its text (the paper says it the other way round)
row 19  redundancy over all batches, and against earlier data sets

Redundancy comes last here: of a set of duplicates only a pair that all else keeps is to stand for the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..reasons import Reason
from ..stage.recipe import PaperDocument, RecipeDocument, StepDocument, step

STEPS: dict[str, StepDocument] = {
    "verdict": step("the re-validation keeps the pair", None, Reason.VERDICT),
    "geometry": step("the picture has its shape", 12, Reason.TOO_SMALL, Reason.ASPECT),
    "measures": step("the picture can be measured", None, Reason.CORRUPT),
    "texture": step("its luminance varies", 13, Reason.FLAT),
    "blur": step("it is sharp", 14, Reason.BLURRED),
    "entropy": step("it has many shades", 15, Reason.LOW_DETAIL),
    "embedding": step("picture and caption have embeddings", None, Reason.NO_EMBEDDING, Reason.NO_TEXT),
    "safety": step("the picture is safe", 17, Reason.UNSAFE_IMAGE),
    "alignment": step("picture and caption belong together", 18, Reason.WEAK_MATCH, Reason.TEXT_PICTURE),
    "text": step("the picture is not of text", None, Reason.TEXT_IN_IMAGE),
    "known": step("no earlier data set shows the same", 19, Reason.KNOWN),
    "copies": step("no other file of the picture is kept", 16, Reason.COPY),
    "duplicates": step("no picture kept shows the same", 16, Reason.NEAR_DUPLICATE),
    "union": step("nor one of another batch", 19, Reason.CROSS_BATCH),
}
WITHIN = ("copies", "duplicates")  # within a batch
_LATE = ("safety", "alignment", "text")
_LAST = ("known", "union")
_BEFORE = [name for name in STEPS if name not in (*_LATE, *WITHIN, *_LAST)]
ORDERS: Mapping[str, tuple[str, ...]] = {
    "late": tuple(STEPS),
    "paper": (*_BEFORE, *WITHIN, *_LATE, *_LAST),
}
PAPER = [
    PaperDocument(row=12, name="visual fidelity (geometry)", pairs=352_663_012, share=0.1121),
    PaperDocument(row=13, name="low-texture images", pairs=352_204_550, share=0.0013),
    PaperDocument(row=14, name="blur", pairs=333_255_945, share=0.0538),
    PaperDocument(row=15, name="image entropy", pairs=316_359_868, share=0.0507),
    PaperDocument(row=16, name="redundancy within a batch", pairs=186_019_602, share=0.4120),
    PaperDocument(row=17, name="safety of the image", pairs=178_601_215, share=0.0399),
    PaperDocument(row=18, name="cross-modal alignment", pairs=154_293_590, share=0.1361),
    PaperDocument(row=19, name="redundancy over all batches", pairs=99_892_381, share=0.3526),
]
SHARES = {one["row"]: one["share"] for one in PAPER}
WEAK, STRONG = (
    0.10,
    0.0361,
)  # of row 18, where the embedder is another: ours, as the paper has one number for both
PAPERS_EMBEDDER, PAPERS_BOUNDS = "chinese-clip-vit-large-patch14", (0.2312, 0.4382)


def recipe_of(order: str, skipped: Mapping[str, str], used: Mapping[str, float]) -> RecipeDocument:
    """The recipe of a run. skipped: steps, and why; used: thresholds by name; both stand in the names of the steps."""
    told = {
        "texture": f": {used.get('spread', 0):.4g} levels at least",
        "blur": f": sharpness {used.get('sharpness', 0):.4g} at least",
        "entropy": f": {used.get('entropy', 0):.4g} bits at least",
        "safety": f": risk {used.get('risk', 1):.4g} at most",
        "alignment": f": cosine {used.get('cos_low', -1):.4g} to {used.get('cos_high', 1):.4g}",
        "text": f": {used.get('text_share', 1):.0%} at most",
        "copies": f": cosine {used.get('copy_cosine', 1):.4g} at most",
        "duplicates": f": cosine {used.get('dedup_cosine', 1):.4g} at most",
    } | {name: f" (skipped{why})" for name, why in skipped.items()}
    steps = [
        StepDocument(**{**STEPS[name], "name": STEPS[name]["name"] + told.get(name, "")})
        for name in ORDERS[order]
    ]
    return RecipeDocument(steps=steps, paper=PAPER)
