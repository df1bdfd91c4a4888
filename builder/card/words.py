"""Words of the cards for columns, reasons and verdicts, each once. No numbers: those come from the release."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ..disk import removals
from ..disk.schema import CHANGES
from ..reasons import Cause, Reason, Verdict

REASONS: dict[str, str] = {
    Reason.INVALID_URL: "the URL is empty or malformed",
    Reason.BLOCKED_SCHEME: "the URL is neither http nor https",
    Reason.BLOCKED_ADDRESS: "the host has a private address",
    Reason.DNS: "the host name has no address",
    Reason.CONNECT: "the connection was refused or cut",
    Reason.TLS: "the certificate or the handshake failed",
    Reason.TIMEOUT: "no answer in time",
    Reason.PROTOCOL: "the answer is no HTTP",
    Reason.HTTP_4XX: "the host says that there is no such picture, or that it is not for us",
    Reason.HTTP_5XX: "the host has an error",
    Reason.THROTTLED: "the host asked to come later, to the last try",
    Reason.REDIRECTS: "redirects lead in a circle or nowhere",
    Reason.OPT_OUT: "the site asks not to be used for machine learning",
    Reason.TOO_LARGE: "the file is larger than the limit",
    Reason.EMPTY: "the answer has no body",
    Reason.TRUNCATED: "the file ends early",
    Reason.NOT_IMAGE: "the file is no picture",
    Reason.CORRUPT: "the picture cannot be decoded",
    Reason.TOO_MANY_PIXELS: "the picture has more pixels than the limit",
    Reason.TOO_SMALL: "a side is shorter than the limit",
    Reason.ASPECT: "the picture is too long or too wide",
    Reason.HASH_MISMATCH: "the bytes are not those that the manifest recorded",
    Reason.NO_TEXT: "the page gives no text for the picture",
    Reason.NO_URL: "the URL names no picture",
    Reason.PLACEHOLDER_URL: "the URL is that of a placeholder",
    Reason.BROKEN_TEXT: "the text was decoded wrongly",
    Reason.SHORT_TEXT: "the text is too short",
    Reason.LONG_TEXT: "the text is too long",
    Reason.NOT_CHINESE: "the text is not Chinese",
    Reason.NOAI: "the page asks not to be used for machine learning",
    Reason.NOIMAGEAI: "the page asks not to have its pictures used for machine learning",
    Reason.TRAIN_AI: "the page asks not to be used for training",
    Reason.TDM_RESERVED: "the page reserves the rights to text and data mining",
    Reason.DENIED_HOST: "the host is on the list of those left out",
    Reason.DUPLICATE: "the same URL and caption come twice",
    Reason.COMMON_TEXT: "too many pictures have the text",
    Reason.COMMON_URL: "the picture has too many texts",
    Reason.UNSAFE_TEXT: "the text is unsafe, by a list or a classifier",
    Reason.BOILERPLATE: "the text is of the page and not of the picture",
    Reason.PII: "the text holds personal data",
    Reason.STOP_WORDS: "the text is mostly function words",
    Reason.NO_NOUN: "the text names no thing",
    Reason.ADVERT: "the text is advertising",
    Reason.BLOCKED_TEXT: "the text holds a word that is left out",
    Reason.UNKNOWN_TOKENS: "the tokenizer does not know too much of the text",
    Reason.LOW_ENTROPY: "the words of the text say too little",
    Reason.VERDICT: "the re-validation does not keep it",
    Reason.FLAT: "the picture is of nearly one shade",
    Reason.BLURRED: "the picture has hardly an edge",
    Reason.LOW_DETAIL: "the picture has few shades",
    Reason.UNSAFE_IMAGE: "the picture is among those most at risk, by a classifier",
    Reason.NO_EMBEDDING: "the picture or the caption came to no numbers",
    Reason.WEAK_MATCH: "the caption has too little to do with the picture",
    Reason.TEXT_PICTURE: "the picture is of its text",
    Reason.TEXT_IN_IMAGE: "too much of the picture is text",
    Reason.COPY: "another file of a picture that is kept",
    Reason.NEAR_DUPLICATE: "shows what a kept picture shows",
    Reason.CROSS_BATCH: "shows what a kept picture of another batch shows",
    Reason.KNOWN: "shows what a picture of an earlier data set shows",
    "removed": "on the removal list",
    Verdict.DEAD: "the stored picture cannot be decoded",
    Verdict.PLACEHOLDER: "one picture under many pairs whose captions disagree",
    Verdict.DRIFTED: "the picture has nothing to do with the recorded one, nor with the caption",
    Cause.MIN_SCORE: "the score does not reach the least that was asked for",
    # Where --keep left them out.
    Verdict.SAME: "the same bytes, left out on request",
    Verdict.MOVED: "the recorded picture in other bytes, left out on request",
    Verdict.MATCHING: "the caption fits, left out on request",
    "pending": "not asked for yet",
    "duplicates": "the same URL and caption come twice",
    "absent": "not in the data any more",
}

VERDICTS: dict[str, str] = {
    Verdict.SAME: "The bytes hash as the reference recorded them.",
    Verdict.MOVED: "Other bytes, but by its code the picture that the reference recorded.",
    Verdict.MATCHING: "Not known by its code, yet the caption is about this picture.",
    Verdict.PLACEHOLDER: "One picture under many pairs whose captions disagree: a banner, a logo, “not found”.",
    Verdict.DRIFTED: "The picture has nothing to do with the recorded one, nor with the caption.",
    Verdict.DEAD: "What is stored cannot be decoded.",
}

CAUSES: dict[str, str] = {
    Cause.NO_PICTURE: "what is stored cannot be decoded",
    Cause.HASH: "equal bytes",
    Cause.PHASH_CLUSTER: "many pairs with an equal perceptual hash",
    Cause.CODE_CLUSTER: "many pairs with an equal code",
    Cause.CODE: "close to the recorded code",
    Cause.CAPTION: "the caption fits",
    Cause.UNRELATED: "neither the recorded code nor the caption fits",
    Cause.NO_SCORE: "the checkpoint gave no number for it",
    Cause.MIN_SCORE: REASONS[Cause.MIN_SCORE],
}

STAGES: dict[str, str] = {
    "manifest": "rows of the source manifest",
    "fetched": "pairs with a picture",
    "released": "pairs in this release",
}

_PAIR = {
    "key": "stable id of the pair: BLAKE2b-128 of URL and `alt_text`, in hex",
    "url": "where the picture was fetched",
    "alt_text": "the text that the web page gives for the picture",
    "recaption": "a second caption of the source, where it has one",
    "sha256": "SHA-256 of the file as fetched, in hex",
    "phash": "perceptual hash of the picture: 64-bit DCT, in hex",
    "score": "SigLIP cosine of picture and caption: the one that was tested, of both captions the mean",
    "score_alt_text": "cosine of picture and `alt_text`",
    "score_recaption": "cosine of picture and `recaption`",
    "score_model": "checkpoint that made `score`",
    "verdict": "what re-validation says of the pair, see below",
    "suspect": "kept, though its score fell by more than re-encoding explains",
    "cos": "cosine of picture and caption, by the checkpoint in `cos_model`; another than that of `score`",
    "cos_model": "checkpoint that made `cos`, and by which duplicates were found",
    "dup_count": "pairs that this one stands for, itself included; the others were left out as its duplicates",
    "dup_cluster": "the smallest key of all pairs that duplicates connect with this one; null where there are none",
    "fetched_at": "when the file was fetched, UTC",
}
MANIFEST: dict[str, str] = _PAIR | {
    "width": "of the picture as fetched, upright, in pixels",
    "height": "likewise",
    "code": "256-bit code of the picture: the signs of random projections of its SigLIP embedding",
    "luma_spread": "standard deviation of the luminance of the picture, of 256 levels",
    "luma_sharpness": "variance of the Laplacian of its luminance: low where it is blurred",
    "luma_entropy": "entropy of the histogram of its luminance, in bits",
}
IMAGES: dict[str, str] = _PAIR | {
    "image": "the picture, an encoded file",
    "width": "of the picture as stored, in pixels",
    "height": "likewise",
    "original_width": "of the picture as fetched, upright, in pixels",
    "original_height": "likewise",
    "format": "of the file as fetched: jpeg, png, webp ...",
    "p": "p-value of “neither the recorded picture nor what the caption says”; null where nothing had to be tested",
    "kept": "whether the pair is part of this release; the configuration `images` yields only these",
}
CARRIED = "carried from the source manifest, as it is there"
# Of carried columns, where the manifest is of `danqing crawl`.
CRAWLED: dict[str, str] = {
    "text_source": "where on the page `alt_text` stands: alt, title or figcaption",
    "page_url": "the page that names the picture",
    "host": "the host of the page",
    "page_lang": "the language of the page, ISO 639-3",
    "crawl": "the crawl of Common Crawl that the page is of",
    "fetched": "when Common Crawl fetched the page",
    "warc": "the WARC file of Common Crawl that holds the page, and the offset of its record there",
    "consent": "what the page said of its use on the day it was crawled, and no more than that: robots.txt, terms of "
    "use and the rights of others are not in it",
    "license_url": "the licence that the page links to; not that of the picture",
}

SHARDS = {"manifest": "the pairs, without pixels", "images": "the pairs, with their pictures"}
# The tables beside the pairs, each a folder and a configuration.
PARTS: dict[str, str] = {
    "changes": "pairs of the release before that are not in this one, and why; a file a version",
    "removals": "digests of what was taken out for good, of all versions so far",
}
COLUMNS = {"changes": CHANGES, "removals": removals.SCHEMA}  # of these tables


def described(what: str, schema: pa.Schema) -> list[tuple[pa.Field[Any], str]]:
    """Each column of a release with what it means, empty where no word of it is known.

    What stands between `recaption` and the columns of danqing is carried from the manifest.
    """
    known = MANIFEST if what == "manifest" else IMAGES
    names = schema.names
    first = names.index("recaption") + 1 if "recaption" in names else 0
    end = "key" if what == "manifest" else "image"
    last = names.index(end, first) if end in names[first:] else first
    carried = set(range(first, last))
    crawled = CRAWLED if CRAWLED.keys() <= {names[place] for place in carried} else {}
    return [
        (field, crawled.get(field.name, CARRIED) if place in carried else known.get(field.name, ""))
        for place, field in enumerate(schema)
    ]
