"""A checkpoint is found and known by its content; anything that is not a whole SigLIP is one line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from builder.errors import DanqingError, EnvironmentProblem, InputError
from builder.towers import DualEncoder, Options, ToEmbed, find
from builder.towers.checkpoint import which
from builder.towers.siglip2 import explain
from builder.towers.text import lacking, wrong
from tests.hub.clients import answers, client_env

from ..checkpoints import EOS, PAD, edited, make_clip, make_fixed, make_naflex, tokenizer, without_weights

Load = Callable[..., DualEncoder]


def problem(error: type[DanqingError], call: Callable[..., Any], *arguments: Any) -> str:
    """The message of the error of a call: one line."""
    with pytest.raises(error) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_known_by_its_content(fixed: Path, naflex: Path, tmp_path: Path) -> None:
    found, other = find(str(fixed)), find(str(naflex))
    again = find(str(make_fixed(tmp_path / "elsewhere")))
    assert (found.name, found.revision, found.naflex) == ("tiny-fixed", None, False)
    assert other.naflex
    assert found.fingerprint == again.fingerprint != other.fingerprint
    assert found.as_dict().keys() == {"model", "name", "revision", "fingerprint"}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "processor_config.json"])
def test_whatever_has_a_say_in_scores_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    folder = make_fixed(tmp_path / "a")
    before = find(str(folder)).fingerprint
    edited(folder, name, danqing="other")
    assert find(str(folder)).fingerprint != before
    assert find(str(make_fixed(tmp_path / "b", seed=1))).fingerprint != before


def test_a_readme_changes_nothing(tmp_path: Path) -> None:
    folder = make_fixed(tmp_path / "a")
    before = find(str(folder)).fingerprint
    (folder / "README.md").write_text("new")
    assert find(str(folder)).fingerprint == before


def test_a_folder_is_named_however_it_is_written(fixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fixed)
    assert find(".").name == find("../tiny-fixed/").name == "tiny-fixed"


def test_tiny_is_the_one_that_comes_with_it_unless_a_folder_is_called_so(
    fixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = find("tiny")
    assert shipped.as_dict() | {"fingerprint": ""} == {
        "model": "tiny", "name": "tiny", "revision": None, "fingerprint": "",
    }  # fmt: skip
    assert which("tiny").startswith("tiny: the checkpoint that comes with danqing;")
    assert "no revision v1" in problem(InputError, find, "tiny", "v1")
    (tmp_path / "tiny").symlink_to(fixed)
    assert find("tiny").fingerprint == find(str(fixed)).fingerprint != shipped.fingerprint
    assert which("tiny").startswith("tiny: read from the folder here")
    assert which("./tiny") == which("google/siglip2-base-patch16-256") == ""


def test_clip_is_not_siglip(tmp_path: Path) -> None:
    said = problem(InputError, find, str(make_clip(tmp_path / "clip")))
    assert "'clip'" in said
    assert "google/siglip2-base-patch16-256" in said


def test_half_a_siglip_is_none(tmp_path: Path) -> None:
    folder = make_fixed(tmp_path / "a")
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip", "hidden_size": 3}))
    assert "not a whole SigLIP" in problem(InputError, find, str(folder))


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = without_weights(make_fixed(tmp_path / "a"))
    assert "lacks model.safetensors" in problem(InputError, find, str(folder))
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json or spiece.model" in problem(InputError, find, str(folder))
    (folder / "config.json").unlink()
    assert "no config.json" in problem(InputError, find, str(folder))


def test_shards_of_weights_are_all_asked_for(tmp_path: Path) -> None:
    folder = make_naflex(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00002-of-00002.safetensors" in problem(InputError, find, str(folder))


@pytest.mark.parametrize("content", ['{"model_type": ', "[" * 100_000])
def test_torn_json_is_one_line(tmp_path: Path, content: str) -> None:
    folder = make_fixed(tmp_path / "a")
    (folder / "config.json").write_text(content)
    assert "config.json is not readable" in problem(InputError, find, str(folder))


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c", "nowhere"])
def test_a_path_that_does_not_exist_is_no_hub_id(model: str) -> None:
    assert "no such folder" in problem(InputError, find, model)


def test_a_name_that_no_repository_can_have() -> None:
    assert "no Hub id" in problem(InputError, find, "a b/c?")


def test_a_folder_has_no_revision(fixed: Path) -> None:
    assert "no revision main" in problem(InputError, find, str(fixed), "main")


def test_without_a_network_the_cache_must_have_it() -> None:
    assert constants.HF_HUB_OFFLINE
    assert "not in the cache" in problem(EnvironmentProblem, find, "google/siglip2-base-patch16-256")


def test_a_cached_repository_is_found_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--org--tiny"
    expected = find(str(make_fixed(cached / "snapshots" / commit)))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    found = find("org/tiny")
    assert (found.name, found.revision) == ("tiny", commit)
    assert found.fingerprint == expected.fingerprint


@pytest.mark.parametrize("make", [make_fixed, make_naflex])
def test_a_tokenizer_that_pads_left_is_refused(tmp_path: Path, load: Load, make: Any) -> None:
    assert "pads on the left" in problem(InputError, load, make(tmp_path / "a", pads="left"))


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path, load: Load) -> None:
    assert "does not close a caption" in problem(InputError, load, make_fixed(tmp_path / "a", ends=False))


class Cutting:
    """A tokenizer that cuts a caption behind its end token, as slicing the ids does."""

    padding_side, pad_token_id, eos_token_id = "right", PAD, EOS

    def __call__(self, captions: list[str], **options: Any) -> dict[str, list[list[int]]]:
        length = options["max_length"]
        found = tokenizer()(captions, padding="max_length", max_length=length)["input_ids"]
        return {"input_ids": [ids[:length] for ids in found]}


def test_a_tokenizer_that_cuts_the_end_off_is_refused() -> None:
    assert wrong(tokenizer(), 64) is None
    assert "cuts the end token off" in str(wrong(Cutting(), 64))


def test_weights_that_are_not_there_are_never_made_up(tmp_path: Path, load: Load) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_fixed(tmp_path / "a")
    weights = load_file(folder / "model.safetensors")
    del weights["logit_scale"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "1 of its weights are missing" in problem(InputError, load, folder)


def in_shards(folder: Path) -> Path:
    """The weights in two files whose names are of somebody's own making."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"part-a.safetensors": names[::2], "sub/part-b.safetensors": names[1::2]}
    (folder / "sub").mkdir()
    for file, some in parts.items():
        save_file({name: weights[name] for name in some}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, some in parts.items() for name in some}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return without_weights(folder)


def changed(folder: Path, file: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The checkpoint with a file of its weights written anew after a change."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / file)
    change(weights)
    save_file(weights, folder / file, {"format": "pt"})
    return folder


@pytest.mark.parametrize("file", ["part-a.safetensors", "sub/part-b.safetensors"])
def test_every_file_that_an_index_names_counts(tmp_path: Path, load: Load, file: str) -> None:
    folder = in_shards(make_fixed(tmp_path / "a"))
    before = load(folder).checkpoint.fingerprint
    changed(folder, file, lambda weights: next(iter(weights.values())).add_(1))
    assert find(str(folder)).fingerprint != before


def test_files_that_an_index_names_are_fetched_from_the_hub(tmp_path: Path, hub: Any) -> None:
    folder = in_shards(make_fixed(tmp_path / "tiny"))
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.push("org/tiny", files | {"pytorch_model.bin": b"not asked for"}, kind="model")
    code = """
        import json
        from builder.towers import find
        found = find("org/tiny")
        print(json.dumps([found.fingerprint, (found.folder / "pytorch_model.bin").exists()]))
    """
    assert answers(code, client_env(hub, tmp_path, xet=False)) == [find(str(folder)).fingerprint, False]


def test_an_index_that_points_outside_is_refused(tmp_path: Path) -> None:
    folder = in_shards(make_fixed(tmp_path / "a"))
    edited(folder, "model.safetensors.index.json", weight_map={"a": "../b.safetensors"})
    assert "../b.safetensors, outside the checkpoint" in problem(InputError, find, str(folder))


def test_a_whole_file_of_weights_is_read_whatever_an_index_says(tmp_path: Path, load: Load) -> None:
    folder = make_fixed(tmp_path / "a")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    assert load(folder).dim == 32


NAME = "vision_model.encoder.layers.1.mlp.fc2.weight"
ODD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda weights: weights.pop(NAME), f"1 of its weights are missing, such as {NAME}"),
    "extra": (
        lambda weights: weights.update(more=weights[NAME] + 0),
        "none of what config.json describes, such as more",
    ),
    "shape": (
        lambda weights: weights.update({NAME: weights[NAME][:, :8].clone()}),
        f"weight {NAME} has shape (32, 8)",
    ),
    "int8": (
        lambda weights: weights.update({NAME: weights[NAME].char()}),
        f"weight {NAME} is of I8, so it is quantised",
    ),
    "uint8": (
        lambda weights: weights.update(more=weights[NAME].byte()),
        "weight more is of U8, so it is quantised",
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_weights_are_one_true_line(tmp_path: Path, load: Load, kind: str) -> None:
    change, words = ODD[kind]
    assert words in problem(
        InputError, load, changed(make_fixed(tmp_path / "a"), "model.safetensors", change)
    )


def test_old_buffers_of_positions_are_no_odd_weights(tmp_path: Path, load: Load) -> None:
    import torch

    name = "text_model.embeddings.position_ids"
    folder = make_fixed(tmp_path / "a")
    changed(folder, "model.safetensors", lambda weights: weights.update({name: torch.arange(64)[None]}))
    assert load(folder).dim == 32


@pytest.mark.parametrize("part", [None, "vision_config"])
def test_a_quantised_checkpoint_is_refused(tmp_path: Path, part: str | None) -> None:
    folder, how = make_fixed(tmp_path / "a"), {"quantization_config": {"quant_method": "bitsandbytes"}}
    config = json.loads((folder / "config.json").read_text())
    edited(folder, "config.json", **(how if part is None else {part: config[part] | how}))
    said = problem(InputError, find, str(folder))
    assert "config.json says that it is quantised; give the checkpoint that it was made from" in said


@pytest.mark.parametrize("kind", ["siglip_text_model", "siglip2_vision_model", "clip"])
def test_what_is_not_both_towers_of_a_siglip(tmp_path: Path, kind: str) -> None:
    said = problem(InputError, find, str(edited(make_fixed(tmp_path / "a"), "config.json", model_type=kind)))
    assert f"{kind!r}, and not a whole SigLIP" in said


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = without_weights(make_fixed(tmp_path / "a"))
    (folder / "pytorch_model.bin").touch()
    assert "pytorch_model.bin is not read; save it anew" in problem(InputError, find, str(folder))


def test_an_adapter_is_to_be_merged(tmp_path: Path) -> None:
    folder = make_fixed(tmp_path / "a")
    (folder / "adapter_config.json").write_text("{}")
    assert "has an adapter beside its weights; merge it" in problem(InputError, find, str(folder))


def test_a_tower_without_a_head_is_refused(tmp_path: Path, load: Load) -> None:
    folder = make_fixed(tmp_path / "a")
    changed(
        folder, "model.safetensors",
        lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("vision_model.head.")],
    )  # fmt: skip
    vision = json.loads((folder / "config.json").read_text())["vision_config"]
    edited(folder, "config.json", vision_config=vision | {"vision_use_head": False})
    assert "the picture tower has no head" in problem(InputError, load, folder)


def test_what_a_tokenizer_of_the_first_siglip_needs() -> None:
    error = ImportError(
        "\nSiglipTokenizer requires the SentencePiece library but it was not found in your environment. Check out "
        "the instructions on the\ninstallation page of its repo."
    )
    said = str(lacking(error, "m"))
    assert said == "m: SiglipTokenizer requires the SentencePiece library: pip install 'danqing[siglip2]'"
    assert str(lacking(ImportError("no jieba"), "m")) == "m: no jieba: install it"


def test_a_first_siglip_is_read(tmp_path: Path, load: Load) -> None:
    pytest.importorskip("google.protobuf")
    pieces = pytest.importorskip("sentencepiece")
    folder, words = make_fixed(tmp_path / "a"), io.BytesIO()
    text = iter([f"{number} a cat, 一只猫 and {7 * number}" for number in range(500)])
    pieces.SentencePieceTrainer.train(
        sentence_iterator=text, model_writer=words, vocab_size=90, hard_vocab_limit=False, minloglevel=2,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(words.getvalue())
    (folder / "tokenizer.json").unlink()
    said = {"tokenizer_class": "SiglipTokenizer", "model_max_length": 64, "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (made,) = load(folder).embed([ToEmbed(None, [], (["a cat", "一只猫"],))])
    assert made.captions[0].norm(dim=1).tolist() == pytest.approx([1, 1])


def test_torn_weights_are_one_line(tmp_path: Path, load: Load) -> None:
    folder = make_fixed(tmp_path / "a")
    (folder / "model.safetensors").write_bytes(b"\xff" * 900)
    assert "cannot be read" in problem(InputError, load, folder)


def test_a_processor_of_another_size_is_refused(tmp_path: Path, load: Load) -> None:
    folder = make_fixed(tmp_path / "a")
    processor = json.loads((folder / "processor_config.json").read_text())
    processor["image_processor"]["size"] = {"height": 64, "width": 64}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    assert "64x64, and the tower takes 32x32" in problem(InputError, load, folder)


@pytest.mark.parametrize(
    "says",
    [{"do_resize": False}, {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}}],
)
def test_a_processor_that_squashes_nothing_is_refused(
    tmp_path: Path, load: Load, says: dict[str, Any]
) -> None:
    folder = make_fixed(tmp_path / "a")
    processor = json.loads((folder / "processor_config.json").read_text())
    processor["image_processor"] |= says
    (folder / "processor_config.json").write_text(json.dumps(processor))
    assert "crops pictures or keeps their shape" in problem(InputError, load, folder)


def test_a_processor_that_divides_by_nothing_is_refused(tmp_path: Path, load: Load) -> None:
    folder = make_fixed(tmp_path / "a")
    processor = json.loads((folder / "processor_config.json").read_text())
    processor["image_processor"]["image_std"] = [0.5, 0, 0.5]
    (folder / "processor_config.json").write_text(json.dumps(processor))
    assert "divides levels by [0.5, 0.0, 0.5]" in problem(InputError, load, folder)


def test_a_gpu_that_is_not_there(fixed: Path, load: Load) -> None:
    said = problem(EnvironmentProblem, lambda: load(fixed, device="cuda:63"))
    assert said.startswith("--device cuda:63: this machine has ")


def test_what_half_an_installation_says() -> None:
    assert "pip install 'danqing[siglip2]'" in str(explain(ModuleNotFoundError("no", name="torch"), "m"))
    broken = RuntimeError("Could not import module 'SiglipModel'")
    broken.__cause__ = RuntimeError("operator torchvision::nms does not exist")
    assert "pip uninstall torchvision" in str(explain(broken, "m"))
    assert isinstance(explain(ImportError("libcudnn.so.9"), "m"), EnvironmentProblem)
    assert isinstance(explain(ValueError("bad shape"), "m"), InputError)
    assert "it has no 'metadata'; download" in str(explain(KeyError("metadata"), "m"))
    assert "out of memory while it was loaded" in str(explain(MemoryError(), "m"))
    assert (
        str(explain(ValueError("\nbad\nshape"), "m"))
        == "m: cannot be read: bad; download the checkpoint again"
    )


def test_options_come_with_what_the_command_line_says() -> None:
    from builder.revalidate.config import RevalidateConfig

    config = RevalidateConfig()
    for name in Options.__dataclass_fields__:
        assert getattr(config, name) == getattr(Options(), name)
