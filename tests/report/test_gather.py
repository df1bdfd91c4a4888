"""The numbers behind the page: histograms, the null, hosts."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builder.card.histogram import EDGES, FloatHistogram
from builder.errors import InputError
from builder.report.page import percent, score, share, spreads_of
from builder.report.scored import Scored, captions, null_of, scores_of


def test_the_null_is_every_caption_with_every_other_picture(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    image, caption = (draw.normal(size=(700, 8)).astype(np.float32) / 9 for _ in range(2))
    file = io.BytesIO()
    np.savez(file, keys=np.zeros(700, "S32"), image=image, caption=caption)
    (tmp_path / "ledger/revalidate").mkdir(parents=True)
    (tmp_path / "ledger/revalidate/panel.npz").write_bytes(file.getvalue())
    null = null_of(str(tmp_path))
    wanted = (image @ caption.T)[~np.eye(700, dtype=bool)]
    assert null is not None
    assert null.total == 700 * 699
    steps = np.linspace(-1, 1, 21)
    below = [null.total - null.from_on(step) for step in steps]
    assert np.allclose(below, [(wanted < step).sum() for step in steps], atol=0.002 * wanted.size)
    assert EDGES[np.flatnonzero(null.counts)[0]] <= wanted.min()


def test_without_a_panel_there_is_no_null(tmp_path: Path) -> None:
    assert null_of(str(tmp_path)) is None


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


def test_the_spread_tells_who_stands_above_chance() -> None:
    scored = Scored({}, {})
    scored.null = FloatHistogram(np.linspace(-0.1, 0.1, 1000))
    scored.histograms["kept"].add(np.array([0.3, 0.3, 0.3, 0.05]))
    spreads, threshold = spreads_of(scored)
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
