"""Large multimodal models: scripts that put a checkpoint's vision tower into LLaVA-NeXT, and the results they leave.

FOLDER/<slug of the checkpoint>/
    train.sh       LLaVA-NeXT's two stages with that tower and Qwen2-7B, pipeline and data unchanged
    evaluate.sh    lmms-eval on the five benchmarks
    results/llava-qwen2-7b/20260115_120000_results.json    what it writes: the folder says whose figures they are

Checkpoint ─▶ prepare: the scripts ─▶ (elsewhere: days on many GPUs) ─▶ read: Results

Nothing is run or downloaded here. The scripts work in their own folder by relative paths, as LLaVA-NeXT takes a model
whose path holds `llama` or `yi` for a Llama, and lmms-eval cuts arguments at commas. At COMMIT a tower whose path
exists is read as a CLIP, and any SigLIP as so400m-patch14-384: four places of a copy are changed. So changed, under
transformers 4.40, it makes of `tiny` what 5.23 makes before its last layer, to 4e-7 of the largest feature.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ..console import Console
from ..disk import documents
from ..disk.files import environment, inside, write_atomic
from ..disk.reading import reading
from ..errors import InputError, first_line

if TYPE_CHECKING:
    from ..towers import Checkpoint

OURS = "#!/usr/bin/env bash\n# Written by danqing evaluate, and written anew; remove this line to keep a change.\n"
COMMIT = "df179663ae8b83207df100a1f7af24caec633ff9"  # of github.com/LLaVA-VL/LLaVA-NeXT, of 2026-04-15
LMMS_EVAL = "0.7.3"
MODEL = "llava-qwen2-7b"
# By the paper's name, in its order: the task, its metric, and what makes percent of it. A task that lmms-eval does not
# know ends it without results, and MME-RealWorld-CN is `mmerealworld_cn` there.
TASKS: Mapping[str, tuple[str, str, int]] = {
    "mmbench_cn_dev": ("mmbench_cn_dev", "gpt_eval_score", 1),
    "mmbench_en_dev": ("mmbench_en_dev", "gpt_eval_score", 1),
    "mme_realworld_cn": ("mmerealworld_cn", "mme_realworld_score", 100),
    "cmmmu_val": ("cmmmu_val", "cmmmu_acc", 100),
    "ocrbench_v2": ("ocrbench_v2", "ocrbench_v2_accuracy", 100),
}
LARGEST, SMALL, MANY = (
    64 << 20,
    1 << 20,
    1000,
)  # bytes of a file of results and of config.json; files of results
_RESULTS = re.compile(r"\d{8}_\d{6}_results\.json")
# What SigLIP's configuration of a vision tower leaves out where it is usual: transformers' SiglipVisionConfig.
VISION: Mapping[str, int | float | str] = {
    "model_type": "siglip_vision_model",
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_channels": 3, "image_size": 224, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
_START = """set -euo pipefail
[[ $0 != */* ]] || cd -- "${0%/*}"
export PYTHONPATH="LLaVA-NeXT${PYTHONPATH:+:$PYTHONPATH}"
"""
# After scripts/train/pretrain_siglip.sh and direct_finetune_siglip_a4.sh of COMMIT, with their values.
_TRAIN = """# Needs the absolute paths of what its owners publish, and pip install -e "$LLAVA_NEXT[train]":
#   LLAVA_NEXT                    a clone of github.com/LLaVA-VL/LLaVA-NeXT that has the commit below
#   PRETRAIN_JSON PRETRAIN_IMAGES blip_laion_cc_sbu_558k.json and images.zip, unzipped, of
#                                 hf.co/datasets/liuhaotian/LLaVA-Pretrain
#   TUNE_JSON TUNE_IMAGES         llava_next_raw_format_processed.json and the archives beside it, unpacked, of
#                                 hf.co/datasets/lmms-lab/LLaVA-NeXT-Data
#   LLM                           hf.co/Qwen/Qwen2-7B-Instruct
# NUM_GPUS (8), and on several machines NNODES, RANK, ADDR and PORT are torchrun's. Finished stages are not done again.
for name in LLAVA_NEXT PRETRAIN_JSON PRETRAIN_IMAGES TUNE_JSON TUNE_IMAGES LLM; do
    [[ ${!name:-} == /* ]] || { echo "$name: set it to an absolute path; the head of $0 says of what" >&2; exit 2; }
done
if [[ ! -d LLaVA-NeXT ]]; then
    part=$(mktemp -d LLaVA-NeXT.XXXXXX)
    git -C "$LLAVA_NEXT" archive @COMMIT@ llava scripts trl | tar -x -C "$part"
    sed -i 's/os\\.path\\.exists(vision_tower)/False/' "$part/llava/model/multimodal_encoder/builder.py"
    sed -i -e 's/SigLipVisionConfig()/SigLipVisionConfig.from_pretrained(vision_tower)/' -e '/== 729$/d' \\
        -e 's/SigLipImageProcessor()/SigLipImageProcessor(size=(@S@, @S@), crop_size={"height": @S@, "width": @S@})/' \\
        "$part/llava/model/multimodal_encoder/siglip_encoder.py"
    mv -T -- "$part" LLaVA-NeXT
fi
mkdir -p siglip-tower
echo @CONFIG@ > siglip-tower/config.json
ln -sf -- @WEIGHTS@/*.safetensors* siglip-tower/
ln -sfn -- "$LLM" qwen2-7b
export OMP_NUM_THREADS=8 ACCELERATE_CPU_AFFINITY=1
train=(
    torchrun --nproc_per_node="${NUM_GPUS:-8}" --nnodes="${NNODES:-1}" --node_rank="${RANK:-0}"
    --master_addr="${ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" LLaVA-NeXT/llava/train/train_mem.py
    --deepspeed LLaVA-NeXT/scripts/zero3.json --model_name_or_path qwen2-7b --vision_tower siglip-tower
    --mm_vision_select_layer -2 --mm_projector_type mlp2x_gelu --mm_use_im_start_end False
    --mm_use_im_patch_token False --bf16 True --tf32 True --num_train_epochs 1 --per_device_eval_batch_size 4
    --gradient_accumulation_steps 1 --evaluation_strategy no --weight_decay 0. --warmup_ratio 0.03
    --lr_scheduler_type cosine --logging_steps 1 --gradient_checkpointing True --dataloader_num_workers 16
    --lazy_preprocess True --report_to none --attn_implementation sdpa
)
[[ -f projector/mm_projector.bin ]] || "${train[@]}" --output_dir projector --version plain \\
    --data_path "$PRETRAIN_JSON" --image_folder "$PRETRAIN_IMAGES" --mm_tunable_parts mm_mlp_adapter \\
    --per_device_train_batch_size 16 --save_strategy no --learning_rate 1e-3 --model_max_length 8192
[[ -f @MODEL@/model.safetensors.index.json ]] || "${train[@]}" --output_dir @MODEL@ --version qwen_1_5 \\
    --data_path "$TUNE_JSON" --image_folder "$TUNE_IMAGES" --pretrain_mm_mlp_adapter projector/mm_projector.bin \\
    --mm_tunable_parts mm_vision_tower,mm_mlp_adapter,mm_language_model --mm_vision_tower_lr 2e-6 \\
    --group_by_modality_length True --image_aspect_ratio anyres --image_grid_pinpoints '@GRID@' \\
    --mm_patch_merge_type spatial_unpad --per_device_train_batch_size 4 --save_strategy steps --save_steps 3000 \\
    --save_total_limit 1 --learning_rate 1e-5 --model_max_length 32768 --torch_compile True \\
    --torch_compile_backend inductor --dataloader_drop_last True
"""
_EVALUATE = """# Needs train.sh to have run, and pip install lmms_eval==@VERSION@. It downloads its questions from
# hf.co/datasets/lmms-lab-encoder/MMBench, lmms-lab-encoder/CMMMU, yifanzhang114/MME-RealWorld-CN-Lmms-eval and
# ling99/OCRBench_v2. Where an answer to MMBench names no option, it asks OpenAI (OPENAI_API_KEY, MODEL_VERSION), and
# guesses where it has no key.
python -c 'from importlib.metadata import version as v; assert v("lmms_eval") == "@VERSION@", v("lmms_eval")'
accelerate launch --num_processes "${NUM_GPUS:-8}" -m lmms_eval --model llava \\
    --model_args pretrained=@MODEL@,model_name=llava_qwen,conv_template=qwen_1_5 \\
    --tasks @TASKS@ --batch_size 1 --output_path results
"""


@dataclass(frozen=True, slots=True)
class Results:
    """Figures in percent by the names of TASKS, as far as there are; average: of all, None where one is lacking."""

    figures: Mapping[str, float]
    average: float | None


def prepare(folder: str, checkpoint: Checkpoint, console: Console) -> list[Path]:
    """The scripts of a checkpoint, written; none for one that is no SigLIP of one resolution, which is told.

    A file of that name that does not begin with OURS stays as it is, which is told. Raises InputError for a broken
    configuration, UsageError where the folder is a link, EnvironmentProblem where it cannot be written.
    """
    if checkpoint.kind != "siglip":
        console.warn(
            f"{checkpoint.model}: LLaVA-NeXT takes a SigLIP of one resolution alone; no scripts for it"
        )
        return []
    scripts = {"train.sh": _train(checkpoint), "evaluate.sh": OURS + _START + _filled(_EVALUATE, {
        "VERSION": LMMS_EVAL, "MODEL": MODEL, "TASKS": ",".join(task for task, _, _ in TASKS.values()),
    })}  # fmt: skip
    paths = [inside(Path(folder), f"{checkpoint.slug}/{name}") for name in scripts]
    for path in paths:
        with environment(f"cannot write {path}"):
            if path.exists() and not (path.is_file() and path.read_bytes().startswith(OURS.encode())):
                console.warn(f"{path}: is not danqing's, and stays as it is")
                continue
            write_atomic(str(path), scripts[path.name].encode())
    console.info(f"{paths[0].parent}: run train.sh, then evaluate.sh; what they need stands at their heads")
    return paths


def read(folder: str, checkpoint: Checkpoint) -> Results | None:
    """What lmms-eval left for a checkpoint, of each benchmark the newest; None where there is nothing.

    A trial of some questions (--limit) is passed over. Raises InputError for a file that is not lmms-eval's.
    """
    place = Path(folder) / checkpoint.slug / "results" / MODEL
    found: dict[str, float] = {}
    with reading(str(place)):
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        for name in [name for name in names if _RESULTS.fullmatch(name)][-MANY:]:
            found |= _figures(place / name)
    figures = {name: found[name] for name in TASKS if name in found}
    return (
        Results(figures, fmean(figures.values()) if len(figures) == len(TASKS) else None) if figures else None
    )


def _train(checkpoint: Checkpoint) -> str:
    try:
        written = documents.parse((checkpoint.folder / "config.json").read_bytes()).get("vision_config")
        if not isinstance(written, dict):
            raise ValueError("it has no vision_config")
        config = {name: written.get(name, usual) for name, usual in VISION.items()}
        if wrong := [name for name, usual in VISION.items() if type(config[name]) is not type(usual)]:
            raise ValueError(f"{wrong[0]} is {str(config[wrong[0]])[:40]}")
    except (OSError, ValueError) as error:
        raise InputError(f"{checkpoint.model}: config.json cannot be read: {first_line(error)}") from None
    side = config["image_size"]
    grid = [(side * wide, side * high) for wide, high in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))]
    return OURS + _START + _filled(_TRAIN, {
        "COMMIT": COMMIT, "MODEL": MODEL, "S": str(side), "CONFIG": shlex.quote(json.dumps(config)), "GRID": str(grid),
        "WEIGHTS": shlex.quote(str(checkpoint.folder.resolve())),
    })  # fmt: skip


def _filled(script: str, values: Mapping[str, str]) -> str:
    return re.sub("@([A-Z]+)@", lambda found: values[found[1]], script)


def _figures(path: Path) -> dict[str, float]:
    """The figures of one call of lmms-eval."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        document = documents.parse(path.read_bytes(), LARGEST, finite=False)  # errors of figures may be NaN
        results, config = document.get("results"), document.get("config")
        if not isinstance(results, dict) or not isinstance(config, dict):
            raise ValueError("without results and config")
        if config.get("limit") not in (None, -1) or config.get("offset"):
            return {}
        asked = {name: results[task] for name, (task, _, _) in TASKS.items() if task in results}
        return {name: _percent(entry, name) for name, entry in asked.items()}
    except ValueError as error:
        wrong = f"no results of lmms-eval ({first_line(error)}); remove it, and run evaluate.sh again"
        raise InputError(f"{path}: {wrong}") from None


def _percent(entry: object, name: str) -> float:
    task, metric, percent = TASKS[name]
    value: object = entry.get(f"{metric},none") if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100 / percent:
        raise ValueError(f"{task}: {metric} is {str(value)[:40]}")
    return float(value) * percent
