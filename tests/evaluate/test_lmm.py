"""Scripts of LLaVA-NeXT and lmms-eval: what bash makes of them, whatever paths are called; and results read again."""

from __future__ import annotations

import ast
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from builder.console import Console
from builder.errors import InputError, UsageError
from builder.evaluate.lmm import COMMIT, MODEL, OURS, TASKS, VISION, Results, prepare, read
from builder.towers import Checkpoint

NAMES = ["plain", "a b", 'it\'s "$(touch pwned)" `touch pwned` $HOME', "yi,llama=1;:&|>x*", "两\n行", "-rf"]
NEEDED = ("LLAVA_NEXT", "PRETRAIN_JSON", "PRETRAIN_IMAGES", "TUNE_JSON", "TUNE_IMAGES", "LLM")
# Programs that write down what they are given, and leave what the real ones would.
FAKES = {
    "git": """printf '%s\\0' "$@" > "$CALLS/git"; exec tar -c -C "$CALLS/code" llava scripts trl""",
    "python": f"""exec {shlex.quote(sys.executable)} "$@" """,
    "accelerate": """printf '%s\\0' "$PWD" "$PYTHONPATH" "$@" > "$CALLS/accelerate" """,
    "torchrun": """printf '%s\\0' "$PWD" "$PYTHONPATH" "$@" > "$CALLS/torchrun$(ls "$CALLS" | grep -c torchrun)"
while [[ $1 != --output_dir ]]; do shift; done
mkdir "$2" && touch "$2/mm_projector.bin" "$2/model.safetensors.index.json" """,
}
ENCODER = "llava/model/multimodal_encoder"


def checkpoint(folder: Path, kind: str = "siglip") -> Checkpoint:
    """A SigLIP2-L/16 as it lies on the Hub: what is usual is not in its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "image_size": 256}
    config = {"model_type": "siglip", "vision_config": vision | {"num_hidden_layers": 24}, "text_config": {}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    return Checkpoint(folder, str(folder), "siglip2-large-patch16-256", None, "0123456789abcdef" * 2, kind)


def told() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(stream=stream), stream


def machine(root: Path, version: str = "0.7.3") -> dict[str, str]:
    """An environment with fakes, an lmms-eval of that version, and a clone with the lines that are changed."""
    (root / "bin").mkdir()
    for name, body in FAKES.items():
        (root / "bin" / name).write_text(f"#!/usr/bin/env bash\nset -eu\n{body}\n")
        (root / "bin" / name).chmod(0o755)
    code = root / "calls" / "code"
    for folder in (ENCODER, "llava/train", "scripts", "trl"):
        (code / folder).mkdir(parents=True)
    (code / ENCODER / "builder.py").write_text("there = os.path.exists(vision_tower)\n")
    (code / ENCODER / "siglip_encoder.py").write_text(
        "config = SigLipVisionConfig()\nprocessor = SigLipImageProcessor()\nassert shape == 729\n"
    )
    known = root / f"lmms_eval-{version}.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lmms_eval\nVersion: {version}\n")
    paths = {name: f"/data/{name}, of 'mine'" for name in NEEDED}
    found = f"{root / 'bin'}:{os.environ['PATH']}"
    given = {"PATH": found, "CALLS": str(root / "calls"), "PYTHONPATH": str(root), "NUM_GPUS": "4"}
    return {**os.environ, **given, **paths}


def run(script: Path, env: dict[str, str], where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(script)], env=env, cwd=where, capture_output=True, text=True)


def called(env: dict[str, str], name: str) -> list[str]:
    return Path(env["CALLS"], name).read_text().split("\0")[:-1]


def flags(words: list[str]) -> dict[str, str]:
    at = words.index("--deepspeed")
    return dict(zip(words[at::2], words[at + 1 :: 2], strict=True))


# -- scripts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_both_stages_are_trained_with_the_tower_whatever_paths_are_called(tmp_path: Path, name: str) -> None:
    console, _ = told()
    one = checkpoint(tmp_path / "runs" / name)
    train, evaluate = prepare(str(tmp_path / name), one, console)
    for script in (train, evaluate):
        assert subprocess.run(["bash", "-n", str(script)], capture_output=True).stderr == b""
    env = machine(tmp_path)
    done = run(train, env, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    here, python, *first = called(env, "torchrun0")
    assert (Path(here), python) == (tmp_path / name / one.slug, f"LLaVA-NeXT:{tmp_path}")
    assert first[:6] == [
        *("--nproc_per_node=4", "--nnodes=1", "--node_rank=0", "--master_addr=127.0.0.1"),
        *("--master_port=29500", "LLaVA-NeXT/llava/train/train_mem.py"),
    ]
    asked = flags(first)
    assert asked["--vision_tower"] == "siglip-tower"
    assert asked["--data_path"] == env["PRETRAIN_JSON"]
    assert asked["--image_folder"] == env["PRETRAIN_IMAGES"]
    assert asked["--mm_tunable_parts"] == "mm_mlp_adapter"
    assert (asked["--learning_rate"], asked["--mm_vision_select_layer"]) == ("1e-3", "-2")
    tuned = flags(called(env, "torchrun1"))
    assert tuned["--data_path"] == env["TUNE_JSON"]
    assert tuned["--pretrain_mm_mlp_adapter"] == "projector/mm_projector.bin"
    assert tuned["--mm_tunable_parts"] == "mm_vision_tower,mm_mlp_adapter,mm_language_model"
    assert ast.literal_eval(tuned["--image_grid_pinpoints"]) == [
        (256, 512), (512, 256), (512, 512), (768, 256), (256, 768),
    ]  # fmt: skip
    assert (Path(here) / tuned["--model_name_or_path"]).readlink() == Path(env["LLM"])
    tower = Path(here) / tuned["--vision_tower"]
    assert (tower / "model.safetensors").read_bytes() == b"weights"
    assert json.loads((tower / "config.json").read_text()) == {
        "model_type": "siglip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_channels": 3, "image_size": 256, "patch_size": 16,
        "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
    }  # fmt: skip
    assert not [*tmp_path.rglob("pwned")]


def test_the_copy_of_llava_next_is_of_one_commit_and_takes_the_tower_as_it_is(tmp_path: Path) -> None:
    train, _ = prepare(str(tmp_path / "lmm"), checkpoint(tmp_path / "c"), told()[0])
    env = machine(tmp_path)
    assert run(train, env, tmp_path).returncode == 0
    assert called(env, "git") == ["-C", env["LLAVA_NEXT"], "archive", COMMIT, "llava", "scripts", "trl"]
    copy = train.parent / "LLaVA-NeXT" / ENCODER
    assert (copy / "builder.py").read_text() == "there = False\n"
    assert (copy / "siglip_encoder.py").read_text() == (
        "config = SigLipVisionConfig.from_pretrained(vision_tower)\n"
        'processor = SigLipImageProcessor(size=(256, 256), crop_size={"height": 256, "width": 256})\n'
    )
    assert run(train, env, tmp_path).returncode == 0  # a second time, nothing is left to do
    assert not Path(env["CALLS"], "torchrun2").exists()


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", ["", "data/relative"])
def test_a_path_that_is_lacking_is_asked_for_before_anything_runs(
    tmp_path: Path, name: str, value: str
) -> None:
    train, _ = prepare(str(tmp_path / "lmm"), checkpoint(tmp_path / "c"), told()[0])
    env = machine(tmp_path)
    done = run(train, env | {name: value}, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{name}: set it to an absolute path")
    assert f"#   {name}" in train.read_text() or f" {name} " in train.read_text()
    assert not Path(env["CALLS"], "git").exists()


def test_a_clone_without_the_commit_ends_the_script(tmp_path: Path) -> None:
    train, _ = prepare(str(tmp_path / "lmm"), checkpoint(tmp_path / "c"), told()[0])
    env = machine(tmp_path)
    (tmp_path / "bin" / "git").write_text(
        "#!/usr/bin/env bash\necho fatal: not a valid object >&2; exit 128\n"
    )
    done = run(train, env, tmp_path)
    assert done.returncode != 0
    assert "not a valid object" in done.stderr
    assert not (train.parent / "LLaVA-NeXT").exists()
    assert not Path(env["CALLS"], "torchrun0").exists()


@pytest.mark.parametrize("name", NAMES)
def test_lmms_eval_is_asked_for_the_five_benchmarks_by_its_own_names(tmp_path: Path, name: str) -> None:
    _, evaluate = prepare(str(tmp_path / name), checkpoint(tmp_path / "c"), told()[0])
    env = machine(tmp_path)
    done = run(evaluate, env, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    here, python, *words = called(env, "accelerate")
    assert (Path(here), python) == (evaluate.parent, f"LLaVA-NeXT:{tmp_path}")
    assert words == [
        *("launch", "--num_processes", "4", "-m", "lmms_eval", "--model", "llava", "--model_args"),
        f"pretrained={MODEL},model_name=llava_qwen,conv_template=qwen_1_5",
        *("--tasks", "mmbench_cn_dev,mmbench_en_dev,mmerealworld_cn,cmmmu_val,ocrbench_v2"),
        *("--batch_size", "1", "--output_path", "results"),
    ]


def test_another_version_of_lmms_eval_is_not_run(tmp_path: Path) -> None:
    _, evaluate = prepare(str(tmp_path / "lmm"), checkpoint(tmp_path / "c"), told()[0])
    env = machine(tmp_path, "0.7.2")
    done = run(evaluate, env, tmp_path)
    assert done.returncode != 0
    assert done.stderr.endswith("AssertionError: 0.7.2\n")
    assert not Path(env["CALLS"], "accelerate").exists()


def test_a_script_of_the_users_stays_and_ours_is_written_anew(tmp_path: Path) -> None:
    console, stream = told()
    one = checkpoint(tmp_path / "c")
    train, evaluate = prepare(str(tmp_path / "lmm"), one, console)
    mine = train.read_text().replace(OURS, "#!/usr/bin/env bash\n")
    train.write_text(mine)
    evaluate.write_text(OURS + "echo old\n")
    assert "warning" not in stream.getvalue()
    prepare(str(tmp_path / "lmm"), one, console)
    assert train.read_text() == mine
    assert "echo old" not in evaluate.read_text()
    assert f"warning: {train}: is not danqing's, and stays as it is" in stream.getvalue()
    train.unlink()
    train.mkdir()
    prepare(str(tmp_path / "lmm"), one, console)
    assert train.is_dir()


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "c")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "lmm").mkdir()
    (tmp_path / "lmm" / one.slug).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        prepare(str(tmp_path / "lmm"), one, told()[0])
    assert not [*(tmp_path / "elsewhere").iterdir()]


@pytest.mark.parametrize("kind", ["siglip2", "chinese_clip"])
def test_a_checkpoint_that_llava_next_cannot_take_is_told(tmp_path: Path, kind: str) -> None:
    console, stream = told()
    assert prepare(str(tmp_path / "lmm"), checkpoint(tmp_path / "c", kind), console) == []
    assert "takes a SigLIP of one resolution alone" in stream.getvalue()
    assert not (tmp_path / "lmm").exists()


@pytest.mark.parametrize(
    "config", ["{", '{"vision_config": {"image_size": "large"}}', '{"vision_config": 3}']
)
def test_a_broken_configuration_is_one_line(tmp_path: Path, config: str) -> None:
    one = checkpoint(tmp_path / "c")
    (tmp_path / "c" / "config.json").write_text(config)
    with pytest.raises(InputError, match=r"^[^\n]*cannot be read[^\n]*$"):
        prepare(str(tmp_path / "lmm"), one, told()[0])


def test_what_a_configuration_leaves_out_is_what_transformers_leaves_out() -> None:
    from transformers import SiglipVisionConfig

    usual = SiglipVisionConfig()
    assert {name: getattr(usual, name) for name in VISION} == VISION


# -- results --------------------------------------------------------------------------------------------------------

SCORES: dict[str, dict[str, object]] = {
    "mmbench_cn_dev": {
        "gpt_eval_score,none": 74.0,
        "gpt_eval_score_stderr,none": "N/A",
        "submission,none": None,
    },
    "mmbench_en_dev": {"gpt_eval_score,none": 75.3, "submission,none": None},
    "mmerealworld_cn": {"mme_realworld_score,none": 0.454, "mme_realworld_score_stderr,none": "N/A"},
    "cmmmu_val": {"alias": "cmmmu_val", "cmmmu_acc,none": 0.397},
    "ocrbench_v2": {"ocrbench_v2_accuracy,none": 0.16, "ocrbench_v2_accuracy_cn,none": 0.11},
}


def left(
    root: Path, one: Checkpoint, content: object, when: str = "20260115_120000", **config: object
) -> Path:
    """A file of results as lmms-eval writes it."""
    folder = root / one.slug / "results" / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    document = {"results": content, "configs": {}, "config": {"model": "llava", "limit": None} | config}
    path = folder / f"{when}_results.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_five_figures_and_their_plain_average_in_the_papers_order(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "c")
    left(tmp_path, one, SCORES | {"gqa": {"exact_match,none": float("nan")}})  # as Python writes it
    found = read(str(tmp_path), one)
    assert found is not None
    assert [*found.figures] == [*TASKS]
    assert found.figures == pytest.approx({**dict(zip(TASKS, (74.0, 75.3, 45.4, 39.7, 16.0), strict=True))})
    assert found.average == pytest.approx(50.08)


def test_results_are_those_of_the_checkpoint_in_whose_folder_they_lie(tmp_path: Path) -> None:
    one, other = checkpoint(tmp_path / "c"), checkpoint(tmp_path / "d")
    other = Checkpoint(other.folder, other.model, other.name, None, "f" * 32, "siglip")
    assert read(str(tmp_path / "gone"), one) is None
    left(tmp_path, one, SCORES)
    assert read(str(tmp_path), other) is None


def test_the_newest_figure_of_each_benchmark_counts(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "c")
    left(tmp_path, one, {"cmmmu_val": {"cmmmu_acc,none": 0.1}, "mmbench_cn_dev": {"gpt_eval_score,none": 50}})
    left(tmp_path, one, {"cmmmu_val": {"cmmmu_acc,none": 0.25}, "gqa": {"x": 1}}, "20260116_000000")
    assert read(str(tmp_path), one) == Results({"mmbench_cn_dev": 50.0, "cmmmu_val": 25.0}, None)


@pytest.mark.parametrize("trial", [{"limit": 8.0}, {"limit": 0.1}, {"offset": 100}])
def test_a_trial_of_some_questions_is_no_result(tmp_path: Path, trial: dict[str, object]) -> None:
    one = checkpoint(tmp_path / "c")
    left(tmp_path, one, SCORES, **trial)
    assert read(str(tmp_path), one) is None
    left(tmp_path, one, SCORES, "20260116_000000", limit=-1)
    assert read(str(tmp_path), one) is not None


def test_what_else_lmms_eval_leaves_is_passed_over(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "c")
    folder = left(tmp_path, one, SCORES).parent
    (folder / "20260115_120000_samples_cmmmu_val.jsonl").write_text("{")
    (folder / "mmbench_cn_dev_results.json").write_text("[]")
    (folder / "20260117_000000_results.json.tmp").write_text("")
    found = read(str(tmp_path), one)
    assert found is not None
    assert found.average == pytest.approx(50.08)


@pytest.mark.parametrize(
    "value",
    ["75.3", "N/A", None, True, [], {}, -0.1, 100.1, float("nan"), float("inf"), 10**400],
)
def test_a_figure_that_is_none_is_refused(tmp_path: Path, value: object) -> None:
    one = checkpoint(tmp_path / "c")
    path = left(tmp_path, one, SCORES | {"mmbench_cn_dev": {"gpt_eval_score,none": value}})
    with pytest.raises(
        InputError, match=rf"^{path}: no results of lmms-eval \(mmbench_cn_dev: gpt_eval_score"
    ):
        read(str(tmp_path), one)


def test_a_share_is_no_percentage(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "c")
    left(tmp_path, one, {"cmmmu_val": {"cmmmu_acc,none": 39.7}})
    with pytest.raises(InputError, match=r"cmmmu_acc is 39\.7"):
        read(str(tmp_path), one)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "\ud83d", '{"results": [], "config": {}}', '{"results": {}}', '{"config": {}}', "[" * 100_000,
     '{"results": {"cmmmu_val": 3}, "config": {}}', '{"results": {"cmmmu_val": {}}, "config": {}}'],
)  # fmt: skip
def test_a_file_that_is_not_lmms_evals_is_one_line(tmp_path: Path, text: str) -> None:
    one = checkpoint(tmp_path / "c")
    path = left(tmp_path, one, SCORES)
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(InputError, match=rf"^{path}: no results of lmms-eval \([^\n]+\); remove it[^\n]+$"):
        read(str(tmp_path), one)


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "c")
    os.truncate(left(tmp_path, one, SCORES), (64 << 20) + 1)
    with pytest.raises(InputError, match="more than 67,108,864 bytes"):
        read(str(tmp_path), one)
