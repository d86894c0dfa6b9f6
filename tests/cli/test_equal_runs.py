"""Equal runs of the commands write equal files; what differs is named here: how long things took."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from sagd.cli.program import main
tiny = "--network.widths 4 8 --training.steps 2 --training.batch-size 8 --training.device cpu --training.precision no"
band = "strip(axis=0,low=0.03)"
files = "trial/damaged/0/000048.png trial/damaged/0/000512.png"
for line in f'''
corrupt digits scan_lines(level=0.2) --data.limit 100 --out trial
train --data.source trial/damaged --process.omission.mode fill --process.omission.band {band} {tiny} --out fill
train --data.source trial/clean --denoiser.bands random {tiny} --out bands
sample bands --count 3 --steps 2 --out sampled
restore fill trial/damaged --clean trial/clean --out restored
resample bands trial/clean/0 --mask ring(low=0.3,soft=0.1) --count 2 --steps 2 --out resampled
evaluate bands --evaluation.samples 70 --sampling.steps 2 --out evaluated
design trial/clean --evaluations 5 --out designed
clean {files} --band {band} --out cleaned
inspect trial/damaged --out looked
'''.strip().splitlines():
    assert main(line.split()) == 0, line
"""

TIMES = ("seconds", "items_per_second", "waited")
"""What lines of metrics, checkpoints and records of cleaned files say of how long things took."""
TIMED = ("metrics.jsonl", "state.json", "cleaning.json")


def untimed(value):
    if isinstance(value, dict):
        return {key: untimed(entry) for key, entry in value.items() if key not in TIMES}
    return [untimed(entry) for entry in value] if isinstance(value, list) else value


def content(path):
    """Bytes, or where times are told all else."""
    if path.name in TIMED:
        text = path.read_text()
        return untimed(
            [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
        )
    if path.name == "manifest.json" and (path.parent / "state.json").exists():
        sums = json.loads(path.read_text())["sha256"]
        return {name: total for name, total in sums.items() if name != "state.json"}
    if path.name == "design.yaml":  # which names its data by a path from the root
        return path.read_text().replace(str(path.parents[1]), "")
    return path.read_bytes()


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    folders = []
    for seed in ("1", "2"):
        folder = tmp_path_factory.mktemp(f"run-{seed}")
        told = {"PYTHONHASHSEED": seed, "SAGD_CACHE": str(folder.parent / "cache")}
        subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, env=os.environ | told, check=True, timeout=600)
        folders.append(folder)
    return folders


def test_equal_runs_write_equal_files(twice):
    one, two = twice
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    names = {path.name for path in files}
    assert {
        "moments.safetensors",
        "model.safetensors",
        "restored.safetensors",
        "report.html",
        "evaluation.json",
    } <= names
    assert [str(path) for path in files if content(one / path) != content(two / path)] == []
