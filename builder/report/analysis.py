"""The paper's statistics of a root, or of two side by side: what `--analyse` adds to the page.

    RootPairs, their words, embeddings and perplexities ─▶ Statistic, Statistic ...: a definition, a chart, a table each

What a root has no files for is said in words. Shares are of each root's own pairs, on the same axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ..card import charts, values
from ..card.charts import Chart, Scale, Shares
from ..card.counts import SIDE_STEP
from ..card.histogram import FloatHistogram, rebinned
from ..console import Console, ticking
from ..disk import ledger
from ..disk.schema import floats
from ..stage.chinese import LONGEST, SHORTEST
from ..towers.checkpoint import slug_of
from ..towers.masked import masked_model
from .config import ReportConfig
from .judged import plain
from .page import name_of, placeless
from .pairs import SCORE, RootPairs, counted
from .samples import visible
from .vectors import Vectors, balance, cluster_count, clusters, keywords, read_vectors, slugs_of
from .words import Spoken, spoken

PERPLEXED = (
    1000  # captions of the sample whose perplexity is taken: each takes as many forwards as it has tokens
)
TOPICS, HOSTS = 20, 10  # that are listed
NAMED = 60  # characters of a host or a word that are shown
TAIL = 0.005  # of whole numbers, at their long end: drawn in one bin
COLOURS = {"": "kept", "A": "kept", "B": "drifted"}
QUANTILES = {"5%": 0.05, "median": 0.5, "95%": 0.95}
SHAPES = ("under 1:3", "1:3 to 3:4", "3:4 to 4:3", "4:3 to 3:1", "3:1 and more")

Array = npt.NDArray[Any]
share, decimal = partial(values.share, gap=""), partial(values.decimal, digits=2)


class Spread(NamedTuple):
    """Numbers, ascending, and how often each comes."""

    values: Array
    counts: Array

    @classmethod
    def of(cls, numbers: Array) -> Self:
        """The spread of some numbers."""
        return cls(*np.unique(numbers, return_counts=True))

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return int(self.counts.sum())

    def quantile(self, part: float) -> float:
        """The least number that a part of all reach."""
        return float(self.values[np.searchsorted(np.cumsum(self.counts), part * self.total)])

    def inside(self, low: float, high: float) -> str:
        """The share of the numbers from low to high."""
        return share(int(self.counts[(self.values >= low) & (self.values <= high)].sum()), self.total)

    def rows(self) -> dict[str, str]:
        """Mean and quantiles, as a table has them."""
        mean = float((self.values * self.counts).sum() / self.total)
        return {"mean": plain(mean), **{name: plain(self.quantile(at)) for name, at in QUANTILES.items()}}


@dataclass(slots=True)
class Analysed:
    """One root. label: of its columns, "" where there is no other; cosines: by the slug of the embedder."""

    label: str
    name: str
    pairs: RootPairs
    words: Spoken
    slugs: list[str]
    cosines: dict[str, Array] = field(default_factory=dict)
    perplexity: Array = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic as the page shows it. about: which definition it has there; over: how many pairs it is of.

    note: what else there is to say; rows: of its table, a head and a cell of each of `roots`; lang: of these heads;
    absent: what is not there, and why.
    """

    about: str
    title: str
    name: str = ""
    note: str = ""
    roots: Sequence[Analysed] = ()
    over: tuple[str, ...] = ()
    chart: Chart | None = None
    rows: tuple[tuple[str, ...], ...] = ()
    lang: str = ""
    absent: tuple[str, ...] = ()


class Analysis(NamedTuple):
    """The roots, and their statistics."""

    roots: list[Analysed]
    statistics: list[Statistic]

    @property
    def totals(self) -> list[int]:
        """The pairs of each root."""
        return [one.pairs.total for one in self.roots]


def analyse(config: ReportConfig, console: Console) -> Analysis:
    """Count the root, and the one beside it, and make their statistics.

    InputError where there is nothing to count, or files contradict each other; of --masked-lm as `masked_model`.
    """
    perplexity = masked_model(config.masked_lm) if config.masked_lm else None
    found = []
    for label, root in zip("AB", [config.root, config.beside], strict=True):
        if root:
            pairs = counted(root, config.draw, console)
            words = spoken(pairs.captions())
            name = visible(name_of(root))
            found.append(Analysed(label if config.beside else "", name, pairs, words, slugs_of(root)))
            if perplexity:
                found[-1].perplexity = _perplexities(found[-1].pairs, perplexity, console)
    with console.progress(sum(len(one.slugs) for one in found), unit="embedders") as bar, ticking(bar):
        return Analysis(
            found,
            [
                *_of_captions(found, visible(placeless(config.masked_lm))),
                _edges(found),
                _hosts(found),
                *_of_vectors(found),
            ],
        )


def _perplexities(pairs: RootPairs, perplexity: Callable[[str], float], console: Console) -> Array:
    some = [caption for caption in pairs.captions() if caption.strip()][:PERPLEXED]
    found = np.full(len(some), np.nan)
    with console.progress(len(some), unit="captions") as bar:
        for place, caption in enumerate(some):
            found[place] = perplexity(caption)
            bar.update(1)
    there: Array = found[~np.isnan(found)]
    return there


def _of_captions(roots: Sequence[Analysed], model: str) -> Iterator[Statistic]:
    """Lengths in characters and words, density, perplexity by a model."""
    bins = [one.pairs.counts.histograms["alt_text"] for one in roots]
    found = [Spread(np.arange(len(one)), one) for one in bins]
    more = {
        f"from {SHORTEST} to {LONGEST}": [
            one.inside(SHORTEST, LONGEST) if one.total else "–" for one in found
        ]
    }
    yield _whole(roots, Statistic("characters", "Length of captions"), found, 1, more)
    yield _whole(
        roots,
        Statistic("words", "Words of captions"),
        [Spread.of(one.words.words[one.words.words > 0]) for one in roots],
        1,
    )
    found = [Spread.of(one.words.density) for one in roots]
    edges = np.append(np.linspace(0, 1, 21), 1.05)  # a bin for 1 alone
    more = {"nothing else": [one.inside(1, 1) if one.total else "–" for one in found]}
    yield _drawn(
        roots, Statistic("density", "Content words"), found, (edges, "share; the last bin: 1", False), more
    )
    found = [Spread.of(one.perplexity) for one in roots]
    if any(one.total for one in found):
        more = {"from 50 to 200": [one.inside(50, 200) if one.total else "–" for one in found]}
        by = Statistic("perplexity", "Perplexity of captions", note=f"by {model}")
        yield _ranging(roots, by, found, "perplexity", more)
    else:
        asked = "Not asked for: --masked-lm MODEL, such as google-bert/bert-base-chinese."
        yield replace(Statistic("perplexity", "Perplexity of captions"), absent=(asked,))


def _edges(roots: Sequence[Analysed]) -> Statistic:
    """Sizes and shapes, of the roots that have pictures."""
    why = "rows of a manifest, of which no picture was fetched yet; danqing rebuild does"
    there, absent = _split(roots, [one.pairs.pictured for one in roots], why)
    plain = replace(Statistic("edges", "Resolution"), absent=absent)
    if not there:
        return plain
    bins = [one.pairs.counts.histograms["resolution"] for one in there]
    found = [Spread(np.arange(len(one)) * SIDE_STEP, one) for one in bins]
    shapes = {
        f"shape {name}": [share(int(one.pairs.shapes[at]), int(one.pairs.shapes.sum())) for one in there]
        for at, name in enumerate(SHAPES)
    }
    return _whole(there, plain, found, SIDE_STEP, shapes)


def _hosts(roots: Sequence[Analysed]) -> Statistic:
    """How pairs are spread over hosts, and the largest of these."""
    counts = [np.sort(one.pairs.counts.hosts.rows()["pairs"].to_numpy())[::-1] for one in roots]
    rows = {"hosts": [f"{len(some):,}" for some in counts], **_balanced(counts)}
    for most in (HOSTS, 10 * HOSTS):
        rows[f"share of the {most} largest"] = [
            share(int(some[:most].sum()), int(some.sum())) for some in counts
        ]
    largest = [one.pairs.counts.hosts.largest(HOSTS) for one in roots]
    for at in range(max(map(len, largest))):
        rows[f"host {at + 1}"] = [
            f"{visible(hosts[at].host)[:NAMED]} {share(hosts[at].pairs, int(some.sum()))}"
            if at < len(hosts)
            else "–"
            for hosts, some in zip(largest, counts, strict=True)
        ]
    return _told(roots, Statistic("hosts", "Hosts"), [int(some.sum()) for some in counts], rows.items())


def _of_vectors(roots: Sequence[Analysed]) -> Iterator[Statistic]:
    """Cosines, topics and balance, of the roots that have embeddings or scores."""
    slugs = sorted({slug for one in roots for slug in one.slugs})
    chosen = min(slugs, key=lambda slug: -sum(slug in one.slugs for one in roots), default="")
    vectors = []
    for one in roots:
        one.cosines = _scores(one.pairs)
        for slug in one.slugs:
            read = read_vectors(one.pairs, slug)
            one.cosines |= {slug: cosines} if len(cosines := read.cosines()) else {}
            vectors += [read] if slug == chosen else []
    named = sorted({slug for one in roots for slug in one.cosines})
    for number, slug in enumerate(named):
        there, absent = _split(roots, [slug in one.cosines for one in roots], "no cosines by this embedder")
        plain = Statistic("cosine", f"Cosines by {visible(slug)}", f"{number}")
        found = [Spread.of(one.cosines[slug]) for one in there]
        yield _ranging(there, replace(plain, absent=absent), found, "cosine of picture and caption")
    if not named:
        absent = ("There are none: danqing revalidate or danqing curate makes them.",)
        yield replace(Statistic("cosine", "Cosines"), absent=absent)
    there, absent = _split(
        roots, [chosen in one.slugs for one in roots],
        "no embeddings of it; danqing curate leaves them, and danqing revalidate --embeddings",
    )  # fmt: skip
    yield from _clustered(there, vectors, chosen, absent)


def _scores(pairs: RootPairs) -> dict[str, Array]:
    """The scores of the sample by the slug of their checkpoint; none where it has none."""
    decision = ledger.read_decision(pairs.root, "revalidate") if pairs.pictured else None
    found = floats(pairs.sample[SCORE])
    found = found[~np.isnan(found)]
    if decision is None or not len(found):
        return {}
    checkpoint = decision.get("checkpoint", {})
    return {slug_of(*(str(checkpoint.get(name, "")) for name in ("name", "fingerprint"))): found}


def _clustered(
    roots: Sequence[Analysed], vectors: Sequence[Vectors], slug: str, absent: tuple[str, ...]
) -> Iterator[Statistic]:
    """Topics by clusters of captions, or of pictures where no caption was embedded; balance by clusters of pictures."""
    topics, even = (
        replace(Statistic(*one), absent=absent) for one in (("topics", "Topics"), ("balance", "Balance"))
    )
    if not roots:
        yield from (topics, even)
        return
    captions = all(one.captioned.any() for one in vectors)
    by = f"by {visible(slug)}" + ("; both roots together, as many pairs of each" if len(roots) > 1 else "")
    masks = [one.captioned if captions else one.embedded for one in vectors]
    rows, homes, count = _homes(roots, masks, [one.caption if captions else one.image for one in vectors])
    words = [one.words.telling[row] for one, some in zip(roots, rows, strict=True) for row in some.tolist()]
    told = keywords(words, np.concatenate(homes), count)
    sizes = np.array([np.bincount(some, minlength=count) for some in homes])
    listed = [at for at in np.argsort(-sizes.sum(0), kind="stable")[:TOPICS].tolist() if sizes[:, at].any()]
    table = [
        (
            " ".join(visible(word)[:NAMED] for word in told[at]) or "–",
            [share(int(some[at]), int(some.sum())) for some in sizes],
        )
        for at in listed
    ]
    topics = replace(topics, note=f"{'captions' if captions else 'pictures'} {by}", lang="zh")
    yield _told(roots, topics, [len(some) for some in rows], table)
    rows, homes, count = _homes(roots, [one.embedded for one in vectors], [one.image for one in vectors])
    found = [
        Spread(np.arange(count) + 1, np.sort(np.bincount(some, minlength=count))[::-1]) for some in homes
    ]
    edges = np.arange(count + 1) + 0.5
    even = replace(
        even, note=f"pictures {by}", chart=_chart(roots, even, found, (edges, "clusters by rank", False))
    )
    balanced = {"clusters": [f"{count:,}"] * len(roots), **_balanced([one.counts for one in found])}
    yield _told(roots, even, [len(some) for some in rows], balanced.items())


def _homes(
    roots: Sequence[Analysed], there: Sequence[Array], vectors: Sequence[Array]
) -> tuple[list[Array], list[Array], int]:
    """Clusters of as many pairs of each root, those with the smallest keys: their rows, their clusters; how many."""
    size = min(int(mask.sum()) for mask in there)
    rows = [np.flatnonzero(mask)[:size] for mask in there]
    keys = [
        np.array(one.pairs.sample["key"].take(some).to_pylist(), "S32")
        for one, some in zip(roots, rows, strict=True)
    ]
    order = np.argsort(np.concatenate(keys), kind="stable")
    together = np.concatenate([some[mine] for some, mine in zip(vectors, rows, strict=True)])[order]
    homes = np.empty(len(order), np.int64)
    homes[order] = clusters(together, count := cluster_count(len(order)))
    return rows, np.split(homes, len(roots)), count


def _balanced(sizes: Sequence[Array]) -> dict[str, list[str]]:
    found = [balance(one) if one.sum() else None for one in sizes]
    names = {"entropy": "entropy, bits", "effective": "effective number", "gini": "Gini"}
    return {
        name: ["–" if one is None else decimal(getattr(one, of)) for one in found]
        for of, name in names.items()
    }


def _split(
    roots: Sequence[Analysed], has: Sequence[bool], why: str
) -> tuple[list[Analysed], tuple[str, ...]]:
    """The roots that have something, and of the others in words that they have not."""
    without = [one for one, there in zip(roots, has, strict=True) if not there]
    absent = tuple(f"{one.label or one.name}: {why}." for one in without)
    return [one for one, there in zip(roots, has, strict=True) if there], absent


Axis = tuple[Array, str, bool]  # the edges of its bins, what it is of, and whether it is logarithmic
Rows = Mapping[str, Sequence[str]]  # of a table: a cell of each root


def _whole(
    roots: Sequence[Analysed], plain: Statistic, found: Sequence[Spread], step: int, more: Rows | None = None
) -> Statistic:
    """A statistic of whole numbers, or of steps of them, drawn up to where all but TAIL of each end."""
    last = max((one.quantile(1 - TAIL) for one in found if one.total), default=0) + step
    longest = max((float(one.values[one.counts > 0].max()) for one in found if one.total), default=0)
    label = "pixels" if step > 1 else plain.about
    label += f"; the last bin: {last:,.0f} and more" if longest > last else ""
    return _drawn(
        roots, plain, found, (np.arange(0, last + 2 * step, step) - step % 2 / 2, label, False), more
    )


def _ranging(
    roots: Sequence[Analysed], plain: Statistic, found: Sequence[Spread], label: str, more: Rows | None = None
) -> Statistic:
    """A statistic of numbers of any range."""
    edges, _, log = rebinned([FloatHistogram(np.repeat(*one)) for one in found])
    return _drawn(roots, plain, found, (edges, label, log), more)


def _drawn(
    roots: Sequence[Analysed], plain: Statistic, found: Sequence[Spread], axis: Axis, more: Rows | None = None
) -> Statistic:
    """A statistic of numbers, drawn along an axis, with their mean and quantiles and `more` in a table."""
    cells = [one.rows() if one.total else {} for one in found]
    rows = {name: [one.get(name, "–") for one in cells] for name in ("mean", *QUANTILES)}
    chart = _chart(roots, plain, found, axis)
    return _told(
        roots, replace(plain, chart=chart), [one.total for one in found], {**rows, **(more or {})}.items()
    )


def _chart(roots: Sequence[Analysed], plain: Statistic, found: Sequence[Spread], axis: Axis) -> Chart | None:
    """Shares of the numbers of each root in the same bins, those beyond in the outermost; None where there is none."""
    if not any(one.total for one in found):
        return None
    edges, label, log = axis
    ends = edges[0], np.nextafter(edges[-1], edges[0])
    bins = [np.histogram(np.clip(one.values, *ends), edges, weights=one.counts)[0] for one in found]
    shown = [Shares(one.label, COLOURS[one.label], some) for one, some in zip(roots, bins, strict=True)]
    told = f"{plain.title}: shares of pairs by {label}"
    return charts.shares(f"all_{plain.about}{plain.name}", edges, shown, Scale(label), told, log=log)


def _told(
    roots: Sequence[Analysed],
    plain: Statistic,
    over: Sequence[int],
    rows: Iterable[tuple[str, Sequence[str]]],
) -> Statistic:
    """A statistic with its table, and how many pairs of each root it is over."""
    of = tuple(
        f"{f'{one.label}: ' if one.label else ''}{n:,} of {one.pairs.total:,} pairs"
        for one, n in zip(roots, over, strict=True)
    )
    return replace(plain, roots=roots, over=of, rows=tuple((name, *cells) for name, cells in rows))
