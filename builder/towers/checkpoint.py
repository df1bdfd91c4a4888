"""Checkpoints: what --model names becomes a folder that holds two whole towers, and its fingerprint.

./folder                  ─▶ that folder
google/siglip2-...        ─▶ the Hub, unless there is such a folder
tiny                      ─▶ the one that comes with danqing, unless there is such a folder
./run                     ─▶ the newest checkpoint of a run of danqing train

(model, revision) -> Checkpoint. Neither torch nor transformers is read here: what is wrong with a checkpoint is said
before the seconds that they take. Scores are comparable where, and only where, the fingerprints are equal.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import EnvironmentProblem, InputError

TINY = Path(__file__).parent / "tiny"  # made by benchmarks/tiny: half a megabyte that knows drawn scenes
# What is read of a repository: no second copy of the weights in another format.
_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"
PICTURES = ("processor_config.json", "preprocessor_config.json")
CHINESE_CLIP = "chinese_clip"
_TOKENIZER, _VOCABULARY = "tokenizer.json", "vocab.txt"
_PIECES = ("spiece.model", "tokenizer.model")
_TOKENIZERS = {
    "siglip": (_TOKENIZER, *_PIECES),
    "siglip2": (_TOKENIZER, *_PIECES),
    CHINESE_CLIP: (_TOKENIZER, _VOCABULARY),
}
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_SHARDS = "model-*-of-*.safetensors"
PREPARING = (*PICTURES, _TOKENIZER, _VOCABULARY, *_PIECES, *_BESIDE)  # what pictures and captions go through
FILES = (_CONFIG, *PREPARING, _WEIGHTS, _INDEX, _SHARDS)
# The one file of pickles that is read, of Chinese-CLIP alone, which was published so; torch takes nothing but tensors
# from it. Where there are safetensors too, these are read.
_PICKLE = "pytorch_model.bin"
_FLOATS = ("F64", "F32", "F16", "BF16")
_UNREAD = (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".gguf")  # weights in formats that are not read
_STEP = re.compile(r"step-(\d{8,12})")  # a checkpoint of a run of danqing train, in its folder `checkpoints`
_RUN, _SAVED = "ledger/train/plan.json", "checkpoints"
PIP = "pip install 'danqing[siglip2]'"
_UNQUANTISED = "give the checkpoint that it was made from, in float32 or bfloat16"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this disk. revision: the commit it was downloaded at; kind: siglip, siglip2 or chinese_clip.

    name: the last part of `model`; fingerprint: of the configuration, weights, tokenizer and preprocessing.
    """

    folder: Path
    model: str
    name: str
    revision: str | None
    fingerprint: str
    kind: str

    @property
    def naflex(self) -> bool:
        """Whether it takes any shape of picture."""
        return self.kind == "siglip2"

    @property
    def slug(self) -> str:
        """A name for folders: of the checkpoint, and the beginning of its fingerprint."""
        return slug_of(self.name, self.fingerprint)

    def as_dict(self) -> dict[str, str | None]:
        """The names and the fingerprint, as they are written down beside scores."""
        return {name: getattr(self, name) for name in ("model", "name", "revision", "fingerprint")}


def slug_of(name: str, fingerprint: str) -> str:
    """The slug of a model: its name in safe characters, at most 64 of them, and the first 8 of the fingerprint."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:64]
    return f"{safe or 'model'}-{fingerprint[:8]}"


def which(model: str) -> str:
    """The line that says which of the two `tiny` is; empty for any other name."""
    if model != TINY.name:
        return ""
    if Path(model).is_dir():
        return f"{model}: read from the folder here; elsewhere it is the checkpoint that comes with danqing"
    return f"{model}: the checkpoint that comes with danqing; it knows drawn scenes and nothing else"


def find(model: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint of a local folder, of `tiny`, or of a Hub id, which is downloaded where it is not in the cache.

    Raises InputError where it is no such checkpoint, lacks files, or does not exist; EnvironmentProblem without a
    network, and before anything is looked for where what runs it is not installed.
    """
    folder, revision, config = located(model, revision)
    kind = _kind(config, model)
    weights = checked(folder, config, model, (PICTURES, _TOKENIZERS[kind]))
    name = Path(model).expanduser().resolve().name
    if _STEP.fullmatch(folder.name) and folder.parent.name == _SAVED:
        name = f"{folder.resolve().parents[1].name}-{folder.name}"
    return Checkpoint(folder, model, name, revision, fingerprint(folder, weights), kind)


def saved_in(run: Path) -> dict[int, Path]:
    """The checkpoints of a run of danqing train by their steps, oldest first; none of those being written."""
    found = [(named, path) for path in (run / _SAVED).glob("step-*") if (named := _STEP.fullmatch(path.name))]
    return dict(sorted((int(named[1]), path) for named, path in found if path.is_dir()))


def located(
    model: str, revision: str | None = None, files: Sequence[str] = FILES
) -> tuple[Path, str | None, Mapping[str, object]]:
    """The folder of any model that is read from safetensors, its commit on the Hub, and its configuration.

    files: those of a repository that are downloaded. Raises as `find` does.
    """
    for package in ("torch", "transformers", "safetensors", "tokenizers"):
        if not installed(package):
            raise EnvironmentProblem(f"{package} is not installed: {PIP}")
    local = Path(model).expanduser()
    if model == TINY.name and not local.is_dir():
        local = TINY
    if local.is_dir():
        if revision is not None:
            raise InputError(f"{model}: a local folder has no revision {revision}; leave --revision out")
        if not (local / _CONFIG).is_file() and (local / _RUN).is_file():
            if not (saved := saved_in(local)):
                raise InputError(f"{model}: a run of danqing train that has saved no checkpoint yet")
            local = saved[max(saved)]
        return local, None, _read(local / _CONFIG, model)
    if local.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise InputError(f"{model}: no such folder; give a folder that holds config.json, or a Hub id")
    folder = _downloaded(model, revision, files)
    config = _read(folder / _CONFIG, model)
    named = _weights(folder, config, model)
    if not all((folder / name).is_file() for name in named):  # an index may name its files as it likes
        _downloaded(model, folder.name, (*files, *named))
    return folder, folder.name, config


def checked(
    folder: Path, config: Mapping[str, object], model: str, needed: Sequence[Sequence[str]]
) -> list[str]:
    """The files of its weights, all there and whole; needed: of each of these, one file must be there too.

    InputError otherwise, and where weights are quantised.
    """
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    if any(part.get("quantization_config") for part in parts):
        raise InputError(f"{model}: {_CONFIG} says that it is quantised; {_UNQUANTISED}")
    weights = _weights(folder, config, model)
    _check_files(folder, weights, model, needed)
    return weights


def installed(package: str) -> bool:
    """Whether a package is there; it is not imported, which takes seconds."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _downloaded(model: str, revision: str | None, files: Sequence[str]) -> Path:
    """The files of a repository on the Hub, in the cache of huggingface_hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(files)))
    except GatedRepoError:
        wrong = "its owners ask for consent; give it on its page and log in with `hf auth login`"
        raise EnvironmentProblem(f"{model}: {wrong}") from None
    except RepositoryNotFoundError:
        raise InputError(
            f"{model}: neither a folder here nor a repository on the Hub; check the name, or `hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"{model}: the repository has no revision {revision}") from None
    except HFValidationError as error:
        raise InputError(f"{model}: no folder here, and no Hub id: {error}") from None
    except LocalEntryNotFoundError:
        raise EnvironmentProblem(
            f"{model}: not in the cache, and the Hub cannot be reached; download it once with a network, "
            "or give a local folder"
        ) from None
    except OSError as error:
        raise EnvironmentProblem(f"{model}: download failed: {error}; run the command again") from error


def tokenizer_file(name: str) -> Path:
    """The tokenizer.json that a name means: itself, the one of a folder, or that of a repository on the Hub.

    Raises InputError where there is none, and EnvironmentProblem without a network.
    """
    local = Path(name).expanduser()
    if local.is_file():
        return local
    if not local.is_dir() and (local.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1):
        raise InputError(f"{name}: no such file or folder; give a tokenizer.json, its folder, or a Hub id")
    folder = local if local.is_dir() else _downloaded(name, None, [_TOKENIZER])
    if not (folder / _TOKENIZER).is_file():
        raise InputError(
            f"{name}: holds no {_TOKENIZER}; give one that was saved by transformers or tokenizers"
        )
    return folder / _TOKENIZER


def _kind(config: Mapping[str, object], model: str) -> str:
    """The kind of a whole checkpoint. Raises InputError for anything else."""
    kind = str(config.get("model_type"))
    parts = [
        one
        for one in (config, config.get("text_config"), config.get("vision_config"))
        if isinstance(one, dict)
    ]
    if kind not in _TOKENIZERS or len(parts) < 3:
        raise InputError(
            f"{model}: {_CONFIG} says {kind!r}, and not a whole SigLIP or Chinese-CLIP; give a checkpoint of "
            "SiglipModel, Siglip2Model or ChineseCLIPModel, such as google/siglip2-base-patch16-256"
        )
    return kind


def _weights(folder: Path, config: Mapping[str, object], model: str) -> list[str]:
    """The files that transformers reads weights from: one, or those that an index names."""
    single = (folder / _WEIGHTS).is_file() or not (folder / _INDEX).is_file()
    pickled = config.get("model_type") == CHINESE_CLIP and single and not (folder / _WEIGHTS).is_file()
    usual = _PICKLE if pickled else _WEIGHTS if single else _INDEX
    chosen = str(config.get("transformers_weights") or usual)
    names = [chosen]
    if chosen.endswith(".index.json"):
        named = _read(folder / chosen, model).get("weight_map")
        if not isinstance(named, dict) or not named:
            raise InputError(f"{model}: {chosen} names no weights; download the checkpoint again")
        names = sorted({str(name) for name in named.values()})
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise InputError(f"{model}: weights are to be in {outside[0]}, outside the checkpoint; do not use it")
    return names


def _check_files(folder: Path, weights: Sequence[str], model: str, needed: Sequence[Sequence[str]]) -> None:
    """InputError where files are missing, or hold no weights that a model can be run with."""
    lacking = [" or ".join(names) for names in needed if not any((folder / name).is_file() for name in names)]
    absent = [name for name in weights if not (folder / name).is_file()]
    others = sorted(path.name for path in folder.iterdir() if path.suffix in _UNREAD)
    if absent and others:
        raise InputError(
            f"{model}: lacks {', '.join(absent)}, and {others[0]} is not read; save it anew with transformers' "
            "save_pretrained, which writes safetensors"
        )
    if lacking or absent:
        raise InputError(
            f"{model}: lacks {', '.join([*lacking, *absent])} in {folder}; download the whole checkpoint, "
            "with its weights as safetensors"
        )
    if (folder / "adapter_config.json").is_file():
        raise InputError(f"{model}: has an adapter beside its weights; merge it into them, and save that")
    for name in weights:
        if name != _PICKLE:
            _check_numbers(folder / name, model)


def _check_numbers(path: Path, model: str) -> None:
    """InputError where a file of weights is torn, or holds other numbers than floats. Reads its header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(
            f"{model}: {path.name} cannot be read: {error}; download the checkpoint again"
        ) from error
    for name, kind in types.items():
        if kind not in _FLOATS and not name.endswith("position_ids"):
            raise InputError(f"{model}: weight {name} is of {kind}, so it is quantised; {_UNQUANTISED}")


def _read(path: Path, model: str) -> Mapping[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{model}: no {path.name} in {path.parent}; this is no checkpoint") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{model}: {path.name} is not readable; download the checkpoint again")
    return content


def fingerprint(folder: Path, weights: Sequence[str], files: Sequence[str] = FILES) -> str:
    """XXH3-128 over the names and XXH3s of every file that has a say in a score: 32 hex characters."""
    import xxhash

    from ..disk.files import file_digest  # with its file systems: only where there is something to digest

    found = {path for pattern in files for path in folder.glob(pattern) if path.is_file()}
    present = sorted(found | {folder / name for name in weights})
    lines = [f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n" for path in present]
    return xxhash.xxh3_128_hexdigest("".join(lines).encode())
