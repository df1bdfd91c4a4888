"""The numbers behind the page: histograms, the null, hosts."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builder.card.charts import BINS, EDGES, histogram
from builder.errors import InputError
from builder.report import gather
from builder.report.gather import Numbers, captions, scores_of
from builder.report.page import _quantile, _spreads, percent, score, share


def test_a_histogram_counts_every_score_in_its_bin() -> None:
    counts = histogram(np.array([-1, -0.5, 0, 0, 0.1234, 1, 1.0001, -1.2]))
    assert counts.sum() == 8
    assert counts[[0, BINS // 4, BINS // 2, BINS - 1]].tolist() == [2, 1, 2, 2]
    (place,) = np.flatnonzero(histogram(np.array([0.1234])))
    assert EDGES[place] <= 0.1234 < EDGES[place + 1]


def test_the_null_is_every_caption_with_every_other_picture(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    image, caption = (draw.normal(size=(700, 8)).astype(np.float32) / 9 for _ in range(2))
    file = io.BytesIO()
    np.savez(file, keys=np.zeros(700, "S32"), image=image, caption=caption)
    (tmp_path / "ledger/revalidate").mkdir(parents=True)
    (tmp_path / "ledger/revalidate/panel.npz").write_bytes(file.getvalue())
    counts = gather._null(str(tmp_path))
    wanted = (image @ caption.T)[~np.eye(700, dtype=bool)]
    assert counts is not None
    assert counts.sum() == 700 * 699
    assert (
        np.abs(counts - np.histogram(wanted, EDGES)[0]).sum() < 0.001 * wanted.size
    )  # rounding at the edges


def test_without_a_panel_there_is_no_null(tmp_path: Path) -> None:
    assert gather._null(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [("alt_text", [0.5, np.nan, 0.25]), ("recaption", [0.25, 0.5, np.nan]), ("both", [0.375, 0.5, 0.25])],
)
def test_the_score_is_of_the_captions_that_were_tested(caption: str, wanted: list[float]) -> None:
    columns = {"score_alt_text": [0.5, None, 0.25], "score_recaption": [0.25, 0.5, None]}
    table = pa.table(columns, pa.schema([(name, pa.float32()) for name in columns]))
    found = scores_of(table, {"config": {"caption": caption}})
    assert np.array_equal(found, np.float32(wanted), equal_nan=True)


def test_a_plan_of_other_captions_is_refused() -> None:
    with pytest.raises(InputError, match="caption 'title' is none of"):
        captions({"config": {"caption": "title"}})


def test_quantiles_of_a_histogram() -> None:
    counts = histogram(np.arange(-0.5, 0.5, 0.0005))
    for wanted in (0.05, 0.5, 0.95):
        assert _quantile(counts, wanted) == pytest.approx(wanted - 0.5, abs=0.002)


def test_the_spread_tells_who_stands_above_chance() -> None:
    numbers = Numbers({}, {})
    numbers.null = histogram(np.linspace(-0.1, 0.1, 1000))
    numbers.histograms["kept"] += histogram(np.array([0.3, 0.3, 0.3, 0.05]))
    spreads, threshold = _spreads(numbers)
    assert threshold == pytest.approx(0.098, abs=0.002)
    assert [(name, pairs, above) for name, pairs, *_, above in spreads] == [
        ("kept", 4, "75.0%"),
        ("chance", 1000, "1.0%"),
    ]


def test_numbers_in_words() -> None:
    assert [share(*of) for of in ((0, 9), (9, 9), (1, 3), (1, 10_000), (9_999, 10_000), (0, 0))] == [
        "0%", "100%", "33.3%", "<0.1%", ">99.9%", "0%",
    ]  # fmt: skip
    assert [percent(value) for value in (0.01, 0.00734, 0.5)] == ["1%", "0.73%", "50%"]
    assert (score(-0.0312), score(None)) == ("−0.031", "–")
