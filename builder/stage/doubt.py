"""A result that nobody can have wanted: nothing kept, or nearly every row lost for one reason, and why that may be.

rows, kept, reasons ─▶ doubt ─▶ one line: what came out, the likeliest cause, and what mends it; or None
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..reasons import CRAWL_REASONS, REFINE_REASONS, Cause, Reason, Verdict

SHARE = 0.95  # of all rows, lost for one reason
ENOUGH = 100  # rows, for a share to say something


class Likely(NamedTuple):
    """Why nearly all rows may be lost for a reason. flags: that mend it; anew: they make another root."""

    why: str
    flags: str = ""
    anew: bool = False


LIKELY: Mapping[str, Likely] = {
    Reason.INVALID_URL: Likely(
        "they are no URLs; are URL and caption swapped?", "--url-column NAME --caption-column NAME", True
    ),
    Reason.BLOCKED_SCHEME: Likely("only http and https are fetched", "--url-column NAME", True),
    Reason.BLOCKED_ADDRESS: Likely(
        "the hosts are of this machine or of an intranet, which are not asked unless that is said", "--allow-private"
    ),
    Reason.REMOVED: Likely("they are on the removal list of the release, or on one that --removals names"),
    Reason.DNS: Likely("no network, no name server, or a network that is reached by a proxy alone; none is used"),
    Reason.CONNECT: Likely("no network, a firewall, or hosts that are long gone"),
    Reason.TLS: Likely("a proxy that opens TLS, a wrong clock, or no certificates of authorities on this machine"),
    Reason.TIMEOUT: Likely("the network is slow or overloaded", "--timeout 60 --concurrency 32"),
    Reason.PROTOCOL: Likely("what answers is no web server: a portal or a proxy on the way?"),
    Reason.HTTP_4XX: Likely("the links are dead, or the hosts refuse this client", "--user-agent 'NAME (+CONTACT)'"),
    Reason.HTTP_5XX: Likely("the hosts are down or overloaded: wait a while"),
    Reason.THROTTLED: Likely("the hosts want fewer requests: wait a while", "--per-host 1"),
    Reason.REDIRECTS: Likely("the links lead in circles, as behind a login or a consent page"),
    Reason.OPT_OUT: Likely("the sites ask not to be used; if they have allowed it,", "--ignore-opt-out", True),
    Reason.TOO_LARGE: Likely("the limit is low", "--max-bytes SIZE", True),
    Reason.EMPTY: Likely("the hosts answer without a body"),
    Reason.TRUNCATED: Likely("something on the way cuts the answers short: a proxy?"),
    Reason.NOT_IMAGE: Likely("the URLs lead to pages: another column, or a login page?", "--url-column NAME", True),
    Reason.CORRUPT: Likely("something on the way changes what the hosts send: a proxy?"),
    Reason.TOO_MANY_PIXELS: Likely("the limit is low", "--max-pixels N", True),
    Reason.TOO_SMALL: Likely("the filter is strict", "--min-side N", True),
    Reason.ASPECT: Likely("the filter is strict", "--max-aspect N", True),
    Reason.HASH_MISMATCH: Likely(
        "the recorded hashes are not of what the hosts serve, but of resized copies?", "no --verify-hash", True
    ),
    Reason.NO_TEXT: Likely("hardly a picture has a text", "--from warc", True),
    Reason.NO_URL: Likely("the pages load their pictures later", "--from warc", True),
    Reason.PLACEHOLDER_URL: Likely("the pages load their pictures later", "--from warc", True),
    Reason.BROKEN_TEXT: Likely("the texts were decoded wrongly", "--from warc", True),
    Reason.SHORT_TEXT: Likely("the recipe wants longer texts"),
    Reason.LONG_TEXT: Likely("the recipe wants shorter texts"),
    Reason.NOT_CHINESE: Likely("the pages, or the texts of this column, are not Chinese"),
    **{
        reason: Likely("the pages ask not to be used; if their owners have allowed it,", "--consent flag", True)
        for reason in (Reason.NOAI, Reason.NOIMAGEAI, Reason.TRAIN_AI, Reason.TDM_RESERVED)
    },
    Reason.DENIED_HOST: Likely("the list of --hosts names nearly every host", "another --hosts", True),
    Reason.DUPLICATE: Likely("the same files come under several names?"),
    Reason.COMMON_TEXT: Likely("the texts are of menus and buttons?"),
    Reason.COMMON_URL: Likely("one picture under many texts: a banner?"),
    Reason.UNSAFE_TEXT: Likely("another classifier, or other labels?", "another --text-classifier", True),
    Reason.BOILERPLATE: Likely("the texts are of the pages: another column?", "--caption-column NAME", True),
    Reason.PII: Likely("the column holds numbers or addresses and no captions?", "--caption-column NAME", True),
    Reason.STOP_WORDS: Likely("the threshold is low", "--stop-words calibrate", True),
    Reason.NO_NOUN: Likely("the texts are of one word or of another language?", "--skip nouns", True),
    Reason.ADVERT: Likely("the pages sell something other than what they show", "--skip adverts", True),
    Reason.BLOCKED_TEXT: Likely("the list has a common word", "another --blocklist", True),
    Reason.UNKNOWN_TOKENS: Likely("a tokenizer that knows no Chinese?", "another --tokenizer", True),
    Reason.LOW_ENTROPY: Likely("the threshold is high", "--entropy calibrate", True),
    Reason.VERDICT: Likely("the re-validation keeps hardly a pair: see danqing report"),
    Reason.FLAT: Likely("the threshold is high", "--decide --spread N"),
    Reason.BLURRED: Likely("the threshold is high; stored pictures are softer than those fetched", "--decide --blur N"),
    Reason.LOW_DETAIL: Likely("the threshold is high", "--decide --entropy N"),
    Reason.UNSAFE_IMAGE: Likely("the classifier finds nearly every picture unsafe", "--decide --risk N"),
    Reason.NO_EMBEDDING: Likely("the checkpoint is broken, or its precision is too low", "--dtype float32 --overwrite"),
    Reason.WEAK_MATCH: Likely("the thresholds are those of another checkpoint", "--decide --align calibrate"),
    Reason.TEXT_PICTURE: Likely("the thresholds are those of another checkpoint", "--decide --align calibrate"),
    Reason.TEXT_IN_IMAGE: Likely("the threshold is low", "--decide --text-share N"),
    Reason.COPY: Likely("one picture under nearly all URLs: a banner, a login or a consent page"),
    Reason.NEAR_DUPLICATE: Likely("the checkpoint tells pictures hardly apart", "--decide --dedup-cosine N"),
    Reason.CROSS_BATCH: Likely("the batches are of the same pages?"),
    Reason.KNOWN: Likely("--against names this data set itself, or the one it was made from?"),
    Verdict.DEAD: Likely("what is stored cannot be decoded"),
    Verdict.PLACEHOLDER: Likely("one picture under nearly all URLs: a banner, a login or a consent page"),
    Verdict.DRIFTED: Likely(
        "too few pairs for the level, a checkpoint too weak, or captions of another column or language than its own",
        "--alpha LEVEL",
    ),
    Cause.MIN_SCORE: Likely("the threshold is high", "--min-score SCORE"),
    **{verdict: Likely("--keep leaves them out", "--keep VERDICTS") for verdict in ("same", "moved", "matching")},
}  # fmt: skip


# The same of a curation, of the reasons that it has in common with other stages.
OF_CURATE: Mapping[str, Likely] = {
    Reason.TOO_SMALL: Likely("the filter is strict", "--decide --min-side N"),
    Reason.ASPECT: Likely("the filter is strict", "--decide --max-aspect N"),
    Reason.CORRUPT: Likely("what is stored cannot be decoded"),
    Reason.NO_TEXT: Likely("hardly a pair has that caption", "--caption NAME --overwrite"),
}


class Lost(NamedTuple):
    """What a stage made of some rows. reasons: of those not kept, counted; whole: all rows of a root or a file.

    curated: the stage is curate.
    """

    rows: int
    kept: int
    reasons: Mapping[str, int]
    whole: bool = True
    curated: bool = False

    @property
    def reason(self) -> str | None:
        """The commonest reason where nothing is kept, or where nearly all rows are lost for it; else None."""
        if not self.reasons:
            return None
        reason, count = max(self.reasons.items(), key=lambda one: (one[1], one[0]))
        nearly = self.whole and self.rows >= ENOUGH and count > SHARE * self.rows
        return reason if nearly or not self.kept else None


def doubt(where: str, lost: Lost, known: str = "", mend: str | None = None, given: str = "") -> str | None:
    """What came of it, the likeliest cause and what mends it, in one line; None where a user may have wanted it.

    where: the root or the file; known: of the cause, by the caller; mend: how, where it is not by these commands;
    given: a flag of the run, which is no advice.
    """
    if (reason := lost.reason) is None:
        return None
    count = f"{lost.reasons[reason]:,} of them {reason}"
    head = (
        f"none of {lost.rows:,} rows is kept, {count}"
        if not lost.kept
        else (f"{lost.reasons[reason]:,} of {lost.rows:,} rows are lost for one reason, {reason}")
    )
    likely = LIKELY.get(reason, Likely("see danqing report"))
    if lost.curated:
        likely = OF_CURATE.get(reason, likely)
        mend = f"danqing curate {where} {likely.flags}" if likely.flags else ""
    elif mend is None:
        mend = _mend(where, reason, likely, given)
    said = "; ".join(part for part in (likely.why, known, mend) if part)
    return f"{where}: {head}: {said}"


def _mend(root: str, reason: str, likely: Likely, given: str) -> str:
    """The command that mends it, as far as there is one."""
    if likely.flags and likely.flags == given:
        return ""
    if reason not in list(Reason):
        return f"danqing revalidate {root} --decide {likely.flags}" if likely.flags else ""
    if reason in CRAWL_REASONS:
        return f"crawl anew with {likely.flags}, into another folder" if likely.flags else ""
    if reason in REFINE_REASONS:
        return f"refine anew with {likely.flags}, into another folder"
    if likely.anew:
        return f"rebuild anew with {likely.flags} and --overwrite"
    if reason == Reason.REMOVED:
        return "they are not fetched again"
    return f"rebuild again with --retry-failed {reason} {likely.flags}".rstrip()
