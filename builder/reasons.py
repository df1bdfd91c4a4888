"""Why a pair was dropped: the closed list that outcomes, ledger, `--retry-failed` and its help share.

It stands apart from the schema so that reading the options of a stage loads no Arrow.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a pair was dropped, by whatever stage; fine enough to act on, and closed."""

    # rebuild; the first two also crawl

    INVALID_URL = "invalid_url"  # null, empty, no host, userinfo, cannot be written as a URL
    BLOCKED_SCHEME = "blocked_scheme"  # neither http nor https, in the manifest or in a redirect
    BLOCKED_ADDRESS = "blocked_address"  # resolves to an address that is not globally routable
    REMOVED = "removed"  # on the removal list: taken down for good, and never asked for
    DNS = "dns"  # the host name has no address
    CONNECT = "connect"  # refused, unreachable, or closed before an answer
    TLS = "tls"  # the handshake or the certificate failed
    TIMEOUT = "timeout"  # connect, first byte, idle or total deadline passed
    PROTOCOL = "protocol"  # not HTTP, or headers beyond the limits
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    THROTTLED = "throttled"  # 429 or 503 to the last try allowed
    REDIRECTS = "redirects"  # a loop, too many hops, or a redirect to nowhere
    OPT_OUT = "opt_out"  # the site asks not to be used for machine learning
    TOO_LARGE = "too_large"  # more bytes than --max-bytes, on the wire or decompressed
    EMPTY = "empty"  # an answer without a body
    TRUNCATED = "truncated"  # the body or the picture in it ends early
    NOT_IMAGE = "not_image"  # HTML, JSON, SVG, junk: decided by the bytes
    CORRUPT = "corrupt"  # an image by its header, but it cannot be decoded faithfully
    TOO_MANY_PIXELS = "too_many_pixels"  # more than --max-pixels, by the header
    TOO_SMALL = "too_small"  # a side under --min-side
    ASPECT = "aspect"  # longer than --max-aspect times its width, or wider
    HASH_MISMATCH = "hash_mismatch"  # not the bytes that the manifest recorded

    # crawl, in the order of its recipe; a page of another language is passed over whole
    NO_TEXT = "no_text"  # neither alt nor title nor figcaption
    NO_URL = "no_url"  # an empty URL, a fragment, or that of the page itself: no picture
    PLACEHOLDER_URL = (
        "placeholder_url"  # what stands there until the picture is loaded: blank, spacer, loading, data:
    )
    BROKEN_TEXT = (
        "broken_text"  # holds U+FFFD: the page was decoded wrongly, and other characters may be wrong too
    )
    SHORT_TEXT = "short_text"  # fewer characters than the recipe asks for
    LONG_TEXT = "long_text"  # more characters than the recipe allows
    NOT_CHINESE = "not_chinese"  # the text is not Chinese
    NOAI = "noai"  # the page asks not to be used for machine learning
    NOIMAGEAI = "noimageai"  # ... its pictures
    TRAIN_AI = "train_ai"  # Content-Usage: train-ai=n
    TDM_RESERVED = "tdm_reserved"  # the rights to text and data mining are reserved
    DENIED_HOST = "denied_host"  # the host is on the list of --hosts
    DUPLICATE = "duplicate"  # the same URL and text, earlier in the crawl
    COMMON_TEXT = "common_text"  # the text of more pairs than the recipe allows
    COMMON_URL = "common_url"  # the URL of more texts than the recipe allows
    UNSAFE_TEXT = "unsafe_text"  # by the classifier of --text-classifier, or by the list of refine

    # refine, in the order of its recipe; it also gives several of crawl's
    BOILERPLATE = "boilerplate"  # words of a page and not of a picture: scan the code, file names, {{title}}
    PII = "pii"  # a telephone number, identity card, e-mail address, messenger account or bank card
    STOP_WORDS = "stop_words"  # too large a share of the text is function words
    NO_NOUN = "no_noun"  # no word of it names a thing
    ADVERT = "advert"  # advertising, by the list of refine
    BLOCKED_TEXT = "blocked_text"  # holds a word of --blocklist
    UNKNOWN_TOKENS = "unknown_tokens"  # more pieces that the tokenizer does not know than the recipe allows
    LOW_ENTROPY = "low_entropy"  # its words say too little, by their probability in all texts

    # curate, in the order of its recipe; it also gives TOO_SMALL, ASPECT, CORRUPT and NO_TEXT
    VERDICT = "verdict"  # scores/ does not keep it
    FLAT = "flat"  # the luminance of the picture hardly varies
    BLURRED = "blurred"  # ... has hardly an edge
    LOW_DETAIL = "low_detail"  # ... has few levels
    UNSAFE_IMAGE = "unsafe_image"  # the picture is among those that --image-classifier finds most at risk
    NO_EMBEDDING = "no_embedding"  # picture or caption came to no numbers
    WEAK_MATCH = "weak_match"  # the caption has too little to do with the picture
    TEXT_PICTURE = "text_picture"  # ... too much: a picture of its text
    TEXT_IN_IMAGE = "text_in_image"  # too much of the picture is text, by --text-in-image
    COPY = "copy"  # another file of a picture of its batch that is kept
    NEAR_DUPLICATE = "near_duplicate"  # shows what a kept picture of its batch shows
    CROSS_BATCH = "cross_batch"  # either, of a kept picture of another batch
    KNOWN = "known"  # either, of a picture that --against has


_ALL = tuple(Reason)
_CRAWL, _REFINE, _CURATE = map(_ALL.index, (Reason.NO_TEXT, Reason.BOILERPLATE, Reason.VERDICT))
REBUILD_REASONS, CRAWL_REASONS, REFINE_REASONS, CURATE_REASONS = (
    _ALL[:_CRAWL], _ALL[_CRAWL:_REFINE], _ALL[_REFINE:_CURATE], _ALL[_CURATE:],
)  # fmt: skip


class Dropped(Exception):
    """The pair ends here, for `reason`; never carries bytes or text from the web."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Verdict(StrEnum):
    """What became of a pair since it was released; the first that applies, in this order."""

    DEAD = "dead"  # no bytes, or no picture in them
    SAME = "same"  # the bytes hash as the reference recorded
    PLACEHOLDER = "placeholder"  # one picture under many pairs whose captions disagree
    MOVED = "moved"  # other bytes, and the picture that the reference recorded, by its code
    MATCHING = "matching"  # not known by its code, yet the caption is about this picture
    DRIFTED = "drifted"  # the picture has nothing to do with the recorded one, nor with the caption


KEPT = (Verdict.SAME, Verdict.MOVED, Verdict.MATCHING)


class Cause(StrEnum):
    """Why a pair has its verdict, or was left out all the same."""

    NO_PICTURE = "no_picture"  # dead: dropped by rebuild, or what is stored cannot be decoded
    HASH = "hash"  # same
    PHASH_CLUSTER = "phash_cluster"  # placeholder: by equal perceptual hashes
    CODE_CLUSTER = "code_cluster"  # placeholder: by equal codes
    CODE = "code"  # moved
    CAPTION = "caption"  # matching
    UNRELATED = "unrelated"  # drifted
    NO_SCORE = "no_score"  # drifted, and never kept: the checkpoint gave no number for picture or caption
    MIN_SCORE = "min_score"  # kept by its verdict, dropped by --min-score
