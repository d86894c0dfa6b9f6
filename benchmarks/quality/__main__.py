"""`python -m benchmarks.quality STUDY --scale cpu|gpu|paper [--data DIR]`."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import records
from benchmarks.quality import page
from benchmarks.quality.run import Features
from benchmarks.quality.runner import Setting, run
from benchmarks.quality.scales import SCALES
from benchmarks.quality.studies import STUDIES
from sagd.study.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sagd", "torch", "diffusers", "numpy")


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing of a study, and write its page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description="Does shaped noise help? Trained models of many arms, all else alike.",
        epilog="Finished runs are kept: an interrupted study goes on where it was.",
    )
    parser.add_argument("study", choices=[*STUDIES], help="; ".join(f"{k}: {s.title}" for k, s in STUDIES.items()))
    parser.add_argument("--scale", choices=[*SCALES], default="cpu", help="budget; default: cpu")
    parser.add_argument("--data", type=Path, help="folder with mnist-train.parquet, mnist-test.parquet and so on")
    parser.add_argument("--sets", nargs="*", help="data sets to run; default: all of the scale")
    parser.add_argument("--arms", nargs="*", default=(), help="arms to run; default: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=(), help="seeds to run; default: those of the scale")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, a core each; default: 1")
    parser.add_argument(
        "--features",
        nargs="*",
        default=(),
        metavar="FILE:SHA256",
        help="TorchScript files to measure with as well, e.g. Inception of 2048 and of 768 dimensions",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="directory of runs and features")
    given = parser.parse_args(args)
    study = STUDIES[given.study]
    known = [name for name in SCALES[given.scale] if not study.data or name in study.data]
    if unknown := set(given.sets or ()) - set(known):
        parser.error(
            f"no data {sorted(unknown)} for {given.study} at scale {given.scale}; there is: {', '.join(known)}"
        )
    if not known:
        parser.error(f"{given.study} is for {', '.join(study.data)}, which scale {given.scale} does not have")
    files = tuple(Features(Path(path), sha) for path, _, sha in (text.rpartition(":") for text in given.features))
    setting = Setting(given.study, given.scale, given.data, given.out, given.work, files, given.processes)
    try:
        run(setting, given.sets or known, given.arms, given.seeds)
    finally:
        if found := records.read(setting.path):
            print(f"wrote {page.write(setting.study, setting.scale, found, given.out, about())}")


def about() -> str:
    """Who measured: versions and machine."""
    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    threads = {"torch threads": torch.get_num_threads()}
    stated = [f"{key}: {value}" for key, value in (versions | describe_machine() | threads).items()]
    return f"Written by `python -m benchmarks.quality`. {', '.join(stated)}."


if __name__ == "__main__":
    main()
