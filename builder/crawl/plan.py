"""The plan of a crawl: its files in order, and whether an earlier run was asked the same.

CrawlConfig and the source ─▶ CrawlPlan: plan.json, refusals by name of what changed, the lines of --dry-run
markers of the passes ─▶ the units of the next one, as far as they are known
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ..console import Console, in_words
from ..disk.buckets import parts_of
from ..disk.ledger import PlanDocument, ShardLedger, read_plan
from ..disk.root import Earlier
from ..errors import InputError
from ..stage import plan as plans
from ..stage.engine import Unit
from ..stage.shards import markers
from ..stage.spool import stem
from ..towers.classifier import Classifier
from .config import CrawlConfig
from .recipe import RECIPE
from .source import CrawlFile, find_files
from .spool import FILES, LAID_OUT, SHARDED, STAGE, LayoutDocument, read_layout, rows_of


@dataclass(frozen=True, slots=True)
class FileUnit(Unit):
    """A file to read."""

    file: CrawlFile


@dataclass(frozen=True, slots=True)
class ShardUnit(Unit):
    """A shard to write."""

    layout: LayoutDocument


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """The files of a crawl, the options that decide its bytes, and the hash of all that does.

    fingerprint: of the names of the files; classifier: of the weights of --text-classifier, empty without it.
    """

    files: tuple[CrawlFile, ...]
    options: dict[str, object]
    fingerprint: str
    classifier: str = ""

    @property
    def config_hash(self) -> str:
        """The hash of all that decides the bytes."""
        return plans.hash_of([self.options, self.fingerprint, self.classifier])

    @property
    def units(self) -> dict[str, Unit]:
        """The files as units, by stem."""
        count = len(self.files)
        return {
            stem("file", number, count): FileUnit(number, file=one) for number, one in enumerate(self.files)
        }

    def document(self, units: Mapping[str, int]) -> PlanDocument:
        """What plan.json holds. units: of the later passes, as far as they are known: bucket, train."""
        return {
            **plans.document(STAGE, ()),
            "shards": {"file": len(self.files), **units},
            "config": self.options,
            "config_hash": self.config_hash,
            "recipe": {**RECIPE},
            "made_from": {
                "files": len(self.files),
                "fingerprint": self.fingerprint,
                "classifier": self.classifier,
                "first": self.files[0].name,
            },
        }


def make_plan(config: CrawlConfig, console: Console) -> CrawlPlan:
    """Find the files; refuse a folder that was made from others, or with other options. Writes nothing."""
    found = find_files(config.source, config.from_, config.mirror, config.limit_files, console)
    names = hashlib.blake2b("\n".join(f"{one.crawl} {one.name}" for one in found).encode(), digest_size=16)
    options = {name: value for name, value in plans.content(config).items() if name != "limit_files"}
    classifier = Classifier(config.text_classifier).fingerprint if config.text_classifier else ""
    plan = CrawlPlan(tuple(found), options, names.hexdigest(), classifier)
    old = None if config.overwrite else read_plan(config.output, STAGE)
    if old is not None:
        remedy = "use the same, another folder, or --overwrite"
        plans.refuse(f"{config.output} was made", old.get("config", {}), plan.options, CrawlConfig, remedy)
        if old.get("made_from", {}).get("classifier") != classifier:
            raise InputError(
                f"{config.text_classifier}: other weights than {config.output} was begun with; {remedy}"
            )
        if old.get("config_hash") != plan.config_hash:
            count = old.get("made_from", {}).get("files")
            raise InputError(
                f"{config.output}: was begun with other files, {count} then, {len(found)} now: restore the list, use "
                "another folder, or --overwrite"
            )
    return plan


def shards_done(root: str) -> list[ShardLedger] | None:
    """The markers of all shards; None as long as some are missing. An empty crawl has none once it is laid out."""
    done = list(markers(root, SHARDED).values())
    if not done:
        return [] if any(not one.kept for one in markers(root, LAID_OUT).values()) else None
    count = int(done[0].shard.rpartition("-")[2])
    return done if len(done) == count else None


def later_units(root: str, files: int) -> dict[str, int]:
    """How many units the later passes have: buckets once all files are read, shards once they are laid out."""
    read, done, layout = markers(root, FILES), shards_done(root), read_layout(root)
    if len(read) < files:
        return {}
    size = sum(
        file["bytes"]
        for one in read.values()
        for path, file in one.outputs.items()
        if path == rows_of(one.shard)
    )
    found = {"bucket": parts_of(sum(one.kept for one in read.values()), size)}
    if layout or done:
        found["train"] = layout["shards"] if layout else len(done or ())
    return found


@dataclass(frozen=True, slots=True)
class CrawlPreview:
    """What --dry-run prints."""

    plan: CrawlPlan
    config: CrawlConfig
    pending: int
    earlier: Earlier | None

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON."""
        return {
            "source": self.config.source,
            "files": len(self.plan.files),
            "files_to_do": self.pending,
            "bytes": self._bytes,
            "first": self.plan.files[0].name,
            "output": self.config.output,
            "options": self.plan.options,
            **({} if self.earlier is None else {"overwritten": self.earlier.names}),
        }

    def lines(self) -> list[str]:
        """The plan for people."""
        size = f", {in_words(self._bytes)}" if self._bytes else ""
        options = ", ".join(
            f"{name.rstrip('_')} {value}" for name, value in self.plan.options.items() if value
        )
        return [
            f"source    {self.config.source}: {len(self.plan.files):,} files{size}, {self.pending:,} to do",
            f"first     {self.plan.files[0].name}",
            f"output    {self.config.output}",
            f"options   {options}",
            *(self.earlier.lines() if self.earlier else []),
            "nothing was written: --dry-run",
        ]

    @property
    def _bytes(self) -> int:
        """Bytes of the files, as far as their listing tells."""
        return sum(one.bytes or 0 for one in self.plan.files)
