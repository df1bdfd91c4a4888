"""What nobody can have wanted is told from what is merely small or poor, and each reason has a likely cause."""

from __future__ import annotations

import pytest

from builder.options import flag_of
from builder.reasons import (
    CRAWL_REASONS,
    CURATE_REASONS,
    REBUILD_REASONS,
    REFINE_REASONS,
    Cause,
    Reason,
    Verdict,
)
from builder.stage.doubt import LIKELY, Lost, doubt


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (Lost(0, 0, {}), None),
        (Lost(1, 0, {"dns": 1}), "dns"),
        (Lost(3, 0, {"dns": 1, "tls": 2}), "tls"),
        (Lost(100, 4, {"dns": 96}), "dns"),
        (Lost(100, 5, {"dns": 95}), None),  # more than 95 %
        (Lost(99, 1, {"dns": 98}), None),  # too few to tell
        (Lost(100, 1, {"dns": 50, "tls": 49}), None),
        (Lost(100, 4, {"dns": 96}, whole=False), None),
        (Lost(100, 0, {"dns": 100}, whole=False), "dns"),
    ],
)
def test_nothing_kept_or_nearly_all_lost_for_one_reason(lost: Lost, reason: str | None) -> None:
    assert lost.reason == reason
    assert (doubt("root", lost) is None) == (reason is None)


@pytest.mark.parametrize("reason", [*Reason, *Verdict, Cause.MIN_SCORE])
def test_every_reason_has_a_likely_cause_and_flags_that_there_are(reason: str) -> None:
    from builder.crawl.config import CrawlConfig
    from builder.curate.config import CurateConfig
    from builder.rebuild.config import RebuildConfig
    from builder.refine.config import RefineConfig
    from builder.revalidate.config import RevalidateConfig as Revalidate

    flags = {flag for flag in LIKELY[reason].flags.split() if flag.startswith("--")}
    stages = {RebuildConfig: REBUILD_REASONS, CrawlConfig: CRAWL_REASONS, RefineConfig: REFINE_REASONS,
              CurateConfig: CURATE_REASONS}  # fmt: skip
    config = {reason: config for config, reasons in stages.items() for reason in reasons}
    assert flags <= {*map(flag_of, config.get(reason, Revalidate).__dataclass_fields__)}
    said = doubt("root", Lost(1, 0, {reason: 1}))
    assert said is not None
    assert said.startswith(f"root: none of 1 rows is kept, 1 of them {reason}: {LIKELY[reason].why}")


def test_the_command_that_mends_it() -> None:
    said = {reason: str(doubt("./r", Lost(9, 0, {reason: 9}))) for reason in LIKELY}
    assert said["blocked_address"].endswith(
        "; rebuild again with --retry-failed blocked_address --allow-private"
    )
    assert said["dns"].endswith("; rebuild again with --retry-failed dns")
    assert said["too_small"].endswith("; rebuild anew with --min-side N and --overwrite")
    assert said["min_score"].endswith("; danqing revalidate ./r --decide --min-score SCORE")
    assert "retry" not in said["removed"]
    assert str(doubt("f", Lost(1, 0, {"dns": 1}), mend="wait")).endswith("; wait")


def test_a_flag_that_the_run_had_is_no_advice() -> None:
    lost = Lost(9, 0, {Reason.NO_TEXT: 9})
    assert str(doubt("./r", lost, given="--from wat")).endswith(
        "; crawl anew with --from warc, into another folder"
    )
    assert str(doubt("./r", lost, given="--from warc")).endswith(": hardly a picture has a text")
