"""Checkpoints of a run: written whole or not at all, and read back to go on from, bit for bit.

    RUN/checkpoints/step-00001000/   config.json, model.safetensors (float32), README.md,
                                     tokenizer and processor as they were: as save_pretrained writes them
                    state/optimizer.safetensors   PARAMETER.exp_avg, .exp_avg_sq, .step
                    state/train.json              State, and the digests of the two files of tensors

A folder appears by rename, after all in it is on the disk; what a killed run left is swept by its name. The state is
of all ranks together and by the names of parameters, so that any number of ranks goes on from it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ..console import Console
from ..disk import documents, files
from ..errors import EnvironmentProblem, InputError, UsageError, VerificationError, first_line
from ..reasons import Reason
from ..towers.checkpoint import PREPARING, saved_in
from ..towers.siglip2 import quiet
from .model import Opened, full

FOLDER, TORN = "checkpoints", "torn-"
CARD, WEIGHTS, OPTIMIZER = "README.md", "model.safetensors", "state/optimizer.safetensors"
STATE = "state/train.json"
OURS = {"config.json", *PREPARING, CARD, WEIGHTS, OPTIMIZER, STATE}
LIMIT = 1 << 20  # bytes of STATE
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class State:
    """Where a run is. pairs: trained on so far; lost: pairs by reason; loss, first: of the last step and of step 1.

    validation: the newest figures; seconds: at work, in all. The pairs seen are those trained on and those lost.
    """

    step: int = 0
    pairs: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    loss: float = 0.0
    first: float = 0.0
    validation: Mapping[str, float] | None = None
    seconds: float = 0.0

    def after(self, step: int, pairs: int, lost: Mapping[str, int], loss: float, seconds: float) -> State:
        """The state after one more step, numbered `step` from 1: on `pairs` pairs, and without those lost."""
        both = {name: self.lost.get(name, 0) + lost.get(name, 0) for name in sorted({*self.lost, *lost})}
        first = self.first if self.step else loss
        return State(step, self.pairs + pairs, both, loss, first, self.validation, self.seconds + seconds)

    @property
    def lost_in_words(self) -> str:
        """The pairs that were lost, by reason."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.lost.items())

    def validated(self, found: Mapping[str, float]) -> State:
        """The state with newer figures of the validation split; those that are no numbers are left out."""
        return replace(self, validation={name: one for name, one in found.items() if math.isfinite(one)})


@dataclass(frozen=True, slots=True)
class _Written:
    """What state/train.json holds."""

    state: Mapping[str, Any]
    digests: Mapping[str, str]


def name_of(step: int) -> str:
    """The name of the folder of a checkpoint."""
    return f"step-{step:08d}"


def gathered(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Tensors, Tensors]:
    """Weights, and what the optimizer knows of each, by names, on the CPU of rank 0; nothing on others. A collective.

    model, optimizer: as accelerate prepared them, or not.
    """
    weights: Tensors = {}
    known: Tensors = {}
    for name, weight in _named(model).items():
        _gather(weights, name, weight)
        for moment, value in sorted(optimizer.state.get(weight, {}).items()):
            _gather(known, f"{name}.{moment}", value)
    return weights, known


def save(run: Path, state: State, weights: Tensors, optimizer: Tensors, opened: Opened, card: str) -> Path:
    """Write a checkpoint of what `gathered` gave: its folder, which is there whole or not at all.

    Raises VerificationError where a number is none; EnvironmentProblem where the disk is full or fails.
    """
    for name, tensor in (weights | optimizer).items():
        if not torch.isfinite(tensor).all():
            raise VerificationError(
                f"step {state.step}: {name} holds numbers that are none, and is not saved; go on from the checkpoint "
                "before it, with a smaller --learning-rate or --dtype float32"
            )
    target = _home(run) / name_of(state.step)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with _explained(target):
            _write(temporary, state, weights, optimizer, opened, card)
            _make_durable(temporary)
            temporary.rename(target)
            files.fsync_folder(target.parent)
    except BaseException:  # on a full disk what is left takes room
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def restore(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, console: Console, batch: int = 0
) -> State | None:
    """Bring model and optimizer to the newest whole checkpoint; where the run was then, None: at its beginning.

    batch: pairs of a step, to hold the counts against; 0: any.

    A checkpoint that is torn is set aside, with a warning, and the one before it taken. Raises InputError where all
    are, and where one is of another model. A collective: what rank 0 finds, all take.
    """
    found: list[Any] = [None]
    if _writes():
        try:
            found = [_newest(run, console, batch)]
        except InputError as error:
            found = [error]
    if dist.is_initialized():
        dist.broadcast_object_list(found)
    if isinstance(found[0], InputError):
        raise found[0]
    if found[0] is None:
        return None
    folder, state = found[0]
    assert isinstance(state, State)
    named = _named(model)
    with torch.no_grad():
        for name, value in _read(folder / WEIGHTS, {name: one.shape for name, one in named.items()}):
            named[name].copy_(_like(value, named[name]))
    _restore_moments(folder / OPTIMIZER, optimizer, named)
    return state


def prune(run: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep`; none that holds anything that is not of a checkpoint."""
    for folder in list(saved_in(run).values())[:-keep]:
        _remove(folder)


def sweep(run: Path) -> None:
    """Remove what killed runs left half written; nobody may be saving there meanwhile."""
    files.sweep(str(_home(run)))


def remove(run: Path) -> None:
    """Remove every checkpoint, for a run that begins anew; UsageError, and none is, where one holds anything else.

    That one could not go, and the run would go on from it.
    """
    saved = [*saved_in(run).values()]
    for folder in saved:
        if not folder.is_symlink() and (folder / STATE).is_file() and (more := _there(folder) - OURS):
            raise UsageError(
                f"--overwrite: {folder} holds {min(more)}, which is not of a checkpoint; move that, or the folder, away"
            )
    for folder in [*saved, *_home(run).glob(f"{TORN}step-*")]:
        _remove(folder)
    files.remove_if_empty(str(_home(run)))


def _home(run: Path) -> Path:
    """The folder of checkpoints. Raises UsageError where it is a link."""
    return files.inside(run.absolute(), f"{FOLDER}/{name_of(0)}").parent


def _writes() -> bool:
    """Whether this rank is the one that reads and writes for all."""
    return not dist.is_initialized() or dist.get_rank() == 0


def _named(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters by the names that transformers gives them."""
    inner: Any = model.module if isinstance(model, DistributedDataParallel) else model
    return dict(inner.model.named_parameters())


def _gather(into: Tensors, name: str, tensor: Tensor) -> None:
    """Add a tensor, put together; on rank 0 alone."""
    whole = full(tensor)
    if _writes():
        into[name] = whole.cpu().contiguous()


def _write(
    folder: Path, state: State, weights: Tensors, optimizer: Tensors, opened: Opened, card: str
) -> None:
    """Write all files of a checkpoint."""
    (folder / STATE).parent.mkdir(parents=True)
    with quiet():
        opened.model.model.save_pretrained(folder, state_dict=weights)
    for name in PREPARING:
        if (origin := opened.checkpoint.folder / name).is_file():
            shutil.copyfile(origin, folder / name)
    (folder / CARD).write_text(card, "utf-8")
    save_file(optimizer, folder / OPTIMIZER)
    digests = {name: files.file_digest(folder / name) for name in (WEIGHTS, OPTIMIZER)}
    document = {"state": asdict(state), "digests": digests}
    (folder / STATE).write_text(json.dumps(document, indent=1, allow_nan=False))


def _make_durable(folder: Path) -> None:
    """Have all of a folder on the disk."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            with (Path(place) / name).open("rb") as file:
                os.fsync(file.fileno())
        files.fsync_folder(Path(place))


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Say in one line why a checkpoint could not be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise EnvironmentProblem(
            f"{target}: cannot be written: {first_line(error)}; the checkpoints before it stand: mend it and run the "
            "same command again"
        ) from error


def _newest(run: Path, console: Console, batch: int) -> tuple[Path, State] | None:
    """The newest checkpoint that is whole, and its state; newer ones are set aside."""
    torn = ""
    for step, folder in reversed(saved_in(run).items()):
        try:
            return folder, _state_of(folder, step, batch)
        except (ValueError, FileNotFoundError) as error:  # a disk that fails says nothing of what is on it
            aside = folder.with_name(TORN + folder.name)
            torn = f"{folder}: {first_line(error)}"
            folder.rename(aside)
            console.warn(f"{torn}; set aside as {aside.name}, which nothing needs")
    if not torn and (before := sorted(_home(run).glob(f"{TORN}step-*"))):  # by an earlier start: as then
        torn = str(before[-1])
    if torn:
        raise InputError(f"{torn}; no checkpoint of the run is whole: begin anew with --overwrite")
    return None


def _state_of(folder: Path, step: int, batch: int) -> State:
    """The state of a checkpoint. Raises ValueError, or FileNotFoundError, where it is not as it was written."""
    for path in (folder, *(folder / name for name in (STATE, WEIGHTS, OPTIMIZER, "state"))):
        if path.is_symlink():
            raise ValueError(f"{path.name} is a link")
    if not (folder / STATE).is_file() or (folder / STATE).stat().st_size > LIMIT:
        raise ValueError(f"{STATE} is missing, or too large")
    written = documents.build(_Written, documents.parse((folder / STATE).read_bytes(), LIMIT))
    state = documents.build(State, written.state)
    seen = state.pairs + sum(state.lost.values())
    if state.step != step or not 0 < step <= seen or seen % step or (batch and seen != step * batch):
        raise ValueError(f"{STATE} says {seen:,} pairs in {state.step:,} steps, which cannot be")
    if not {*state.lost} <= {*Reason} or min(state.pairs, *state.lost.values(), 0) < 0:
        raise ValueError(f"{STATE} says pairs to be lost to what loses none")
    for name in (WEIGHTS, OPTIMIZER):
        if files.file_digest(folder / name) != written.digests.get(name):
            raise ValueError(f"{name} is not as it was written")
    return state


def _read(path: Path, shapes: Mapping[str, torch.Size]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file, float32 and finite, of these names and shapes; InputError where they are not."""
    with safe_open(path, "pt") as file:
        if other := shapes.keys() ^ file.keys():
            raise InputError(
                f"{path}: of another model, by {min(other)}; take another folder, or --overwrite"
            )
        for name, shape in shapes.items():
            value = file.get_tensor(name)
            if value.shape != shape or value.dtype != torch.float32 or not torch.isfinite(value).all():
                raise InputError(
                    f"{path}: {name} is not of this model, or no number; begin anew with --overwrite"
                )
            yield name, value


def _like(value: Tensor, wanted: Tensor) -> Tensor:
    """A whole tensor where and as the other is, which ranks may share out."""
    value = value.to(wanted.device)
    if isinstance(wanted, DTensor):
        return distribute_tensor(value, wanted.device_mesh, wanted.placements)
    return value


def _restore_moments(path: Path, optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> None:
    """Give the optimizer what it knew of each parameter."""
    names = {weight: name for name, weight in named.items()}
    order = [weight for group in optimizer.param_groups for weight in group["params"]]
    shapes = {
        f"{names[one]}.{moment}": torch.Size([]) if moment == "step" else one.shape
        for one in order
        for moment in ("exp_avg", "exp_avg_sq", "step")
    }
    state: dict[int, Tensors] = {number: {} for number in range(len(order))}
    numbers = {names[one]: number for number, one in enumerate(order)}
    for name, value in _read(path, shapes):
        weight, _, moment = name.rpartition(".")
        like = value if moment == "step" else _like(value, named[weight])
        state[numbers[weight]][moment] = like
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _remove(folder: Path) -> None:
    """Remove a checkpoint, unless it is a link or holds anything else."""
    if folder.is_symlink() or not (folder / STATE).is_file():
        return
    if _there(folder) <= OURS:
        gone = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        folder.rename(gone)  # at once: a reader finds all of it, or nothing
        shutil.rmtree(gone)


def _there(folder: Path) -> set[str]:
    """The paths of all in a folder that is no folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
