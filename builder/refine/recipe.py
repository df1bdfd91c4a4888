"""The recipe of refined captions: what a text must pass, in the order that costs least, beside the paper's counts.

Each step names the row of the paper (DanQing, Table 6) that it answers. What the paper does not say is decided here:

row 4   Chinese: by the characters of the text, then by the language of the page, then by CLD2 (`stage.chinese`)
row 5   simplified: OpenCC's t2s, where a character is of traditional script alone; else nothing is touched
row 6   stop words: the share of a text that is function words, by the dictionary's tags and no list; the highest
        shares drop, as many as in the paper
row 7   nouns: a word that names a thing, by the dictionary's tags and a list of what these tag otherwise
row 8   [UNK]: pieces that a tokenizer does not know, those of bytes above all
row 9   entropy: H = -sum p(w) log2 p(w) over the words w of a text, p(w) being the share of w in all texts, as in
        RealSyn (arXiv 2502.12513, eq. 1); the lowest drop, as many as in the paper, which says H < 6e-4
row 10  cleaning: control characters, emoji and ornaments go, full-width forms stay; nothing drops but what is broken
row 11  safety: lists of unsafe and of advertising words, a list and a classifier of one's own
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..reasons import Reason
from ..stage.doubt import ENOUGH
from ..stage.recipe import PaperDocument, RecipeDocument, RecipeFunnel, StepDocument, step
from .spool import Values

LONGEST_READ = 10_000  # characters; what is longer is no caption, and is not looked at
MOST = 3.0  # times the paper's share that a row may drop before that is said

# The steps by the names that --skip has for them, in their order; the first cannot be skipped.
STEPS: dict[str, StepDocument] = {
    "text": step("there is a text", None, Reason.NO_TEXT, Reason.BROKEN_TEXT),
    "cleaning": step("the text is clean", 10),
    "length": step("the text has its length", 2, Reason.SHORT_TEXT, Reason.LONG_TEXT),
    "chinese": step("the text is Chinese", 4, Reason.NOT_CHINESE),
    "pii": step("the text holds no personal data", None, Reason.PII),
    "simplified": step("the text is in simplified script", 5),
    "boilerplate": step("the text is of the picture", None, Reason.BOILERPLATE),
    "safety": step("the text is safe", 11, Reason.UNSAFE_TEXT, Reason.BLOCKED_TEXT),
    "adverts": step("the text is no advertising", 11, Reason.ADVERT),
    "nouns": step("the text names a thing", 7, Reason.NO_NOUN),
    "unknown": step("the tokenizer knows the text", 8, Reason.UNKNOWN_TOKENS),
    "stop-words": step("the text says something", 6, Reason.STOP_WORDS),
    "entropy": step("its words tell enough", 9, Reason.LOW_ENTROPY),
}
LAST = step("the pair is new", None, Reason.DUPLICATE)
PAPER = [
    PaperDocument(row=2, name="length of the text", pairs=706_069_936, share=0.0279),
    PaperDocument(row=4, name="Chinese", pairs=467_455_303, share=0.0161),
    PaperDocument(row=5, name="simplified script", pairs=467_455_303, share=0.0),
    PaperDocument(row=6, name="stop words", pairs=442_680_171, share=0.0530),
    PaperDocument(row=7, name="nouns", pairs=431_878_774, share=0.0244),
    PaperDocument(row=8, name="[UNK]", pairs=431_619_647, share=0.0006),
    PaperDocument(row=9, name="entropy", pairs=400_068_251, share=0.0731),
    PaperDocument(row=10, name="cleaning", pairs=400_068_251, share=0.0),
    PaperDocument(row=11, name="safety of the text", pairs=397_187_759, share=0.0072),
]
SHARES = {one["row"]: one["share"] for one in PAPER}


def recipe_of(skipped: frozenset[str], used: Values) -> RecipeDocument:
    """The recipe of a run. skipped: steps, used: thresholds as far as they are known; names of steps tell both."""
    said = dict.fromkeys(skipped, " (skipped)")
    if "stop_words" in used:
        said["stop-words"] = f": function words up to {used['stop_words']:.2%}"
    if "entropy" in used:
        said["entropy"] = f": {used['entropy']:.4g} bits at least"
    steps = [StepDocument(**{**one, "name": one["name"] + said.get(name, "")}) for name, one in STEPS.items()]
    return RecipeDocument(steps=[*steps, LAST], paper=PAPER)


def advice(funnel: RecipeFunnel, calibrated: Values, unknown: Mapping[str, int]) -> Iterator[str]:
    """What is to be said of each row that dropped more than MOST times the paper's share, and what would give that.

    calibrated: thresholds that lose as many pairs as the paper; unknown: how many texts have so many unknown pieces.
    """
    for row in funnel["paper"]:
        if funnel["pairs"] >= ENOUGH and row["share"] and row["found"] > MOST * row["share"]:
            named = [name for name, one in STEPS.items() if one.get("row") == row["row"]]
            numbers = {
                6: f"--stop-words {calibrated.get('stop_words', 1.0):.4g} drops as many",
                9: f"--entropy {calibrated.get('entropy', 0.0):.3g} drops as many",
                8: f"--max-unknown {_allowed(unknown, row['share'] * funnel['pairs'])} drops as many",
            }
            mend = numbers.get(row["row"], f"--skip {','.join(named)} leaves it out; --dropped lists them")
            yield f"{row['name']}: {row['found']:.2%} dropped, {row['share']:.2%} in the paper; {mend}"


def _allowed(unknown: Mapping[str, int], most: float) -> int:
    """The least number of unknown pieces that no more than `most` texts have more of."""
    allowed, beyond = 0, sum(unknown.values())
    while beyond > most:
        allowed += 1
        beyond -= unknown.get(str(allowed), 0)
    return allowed
