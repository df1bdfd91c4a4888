"""`import danqing` makes the name known to `datasets`, once and without touching anything else."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

import builder
import danqing
from builder.disk.card import root_card

from .roots import CARRIED, make_root

REPOSITORY = Path(danqing.__file__).resolve().parent


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def python(code: str, folder: Path, **environment: str) -> str:
    """What a fresh interpreter prints, started in `folder` with an empty cache and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DANQING_"))}
    fresh = {"HF_HOME": str(folder / ".hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**kept, **fresh, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_registering_twice_wraps_once():
    factory = datasets.load.dataset_module_factory
    danqing.register()
    importlib.reload(danqing)
    assert datasets.load.dataset_module_factory is factory
    assert datasets.inspect.dataset_module_factory is factory


def test_names_of_configs_and_splits(tmp_path):
    make_root(tmp_path, shards=1, rows=3)
    assert datasets.get_dataset_config_names("danqing") == [
        "pairs",
        "outcomes",
        "scores",
        "curated",
        "manifest",
        "live",
    ]
    assert datasets.get_dataset_default_config_name("danqing") == "pairs"
    assert datasets.get_dataset_split_names("danqing", "pairs", data_dir=str(tmp_path)) == ["train"]
    with pytest.raises(ValueError, match="'nothing' not found"):
        danqing.load(tmp_path, "nothing")


def test_other_names_are_left_to_datasets(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    rows = datasets.load_dataset("csv", data_files=str(tmp_path / "rows.csv"), split="train")
    assert rows[0] == {"a": 1}


def test_versions_agree():
    assert danqing.__version__ == builder.__version__


def test_import_is_light():
    known = "{'torch', 'aiohttp', 'cv2', 'simplejpeg', 'transformers'}"
    assert python(f"import danqing, sys; print(sorted({known} & set(sys.modules)))", REPOSITORY) == "[]"


def test_working_directory_is_never_searched(tmp_path, monkeypatch):
    make_root(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"at {tmp_path}/danqing: make it with `danqing rebuild"):
        datasets.load_dataset("danqing")


def test_a_folder_danqing_does_not_shadow_the_module(tmp_path):
    keys = make_root(tmp_path / "danqing", shards=1, rows=3)
    code = "import danqing; print(*[pair['key'] for pair in danqing.load(split='train', streaming=True)])"
    assert python(code, tmp_path).split() == keys


@pytest.mark.parametrize("streaming", [True, False])
def test_stock_datasets_reads_a_root(tmp_path, streaming):
    keys = make_root(tmp_path / "danqing", shards=2, rows=3)
    (tmp_path / "danqing" / "README.md").write_text(root_card(["train"], "parquet", CARRIED))
    code = f"""import sys
from datasets import load_dataset
for name in ("danqing", {str(tmp_path / "danqing")!r}):
    pairs = load_dataset(name, split="train", streaming={streaming})
    outcomes = load_dataset(name, "outcomes", split="train", streaming={streaming})
    print(*[pair["key"] for pair in pairs], next(iter(pairs))["image"].size, len(list(outcomes)))
print("danqing" in sys.modules)
"""
    assert python(code, tmp_path).split() == [*keys, "(16,", "16)", "6"] * 2 + ["False"]
