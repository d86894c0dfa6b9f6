"""`python -m benchmarks.defaults --data DIR`: what a first training with default settings gives."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.defaults import photographs, picture, study
from sagd.study.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "first-train.json"
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "first-train.png"
ARMS = {"cifar10/default": (), "cifar10/before": study.BEFORE, "crops/default": ()}
"""Photographs and settings -> options of `sagd train`."""


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing, write figures and the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10-train.parquet")
    parser.add_argument("--arms", nargs="*", choices=[*ARMS], help="default: all")
    parser.add_argument("--before-steps", type=int, default=1000, help="steps that take the time of the defaults")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--count", type=int, default=photographs.COUNT, help="photographs")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="further options of sagd train, for all"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--work", type=Path, default=Path("runs/defaults"))
    given = parser.parse_args(args)
    folders = {
        "cifar10": photographs.cifar(given.data, given.work / "photographs" / "cifar10", "report", given.count),
        "crops": photographs.crops(given.work / "photographs" / "crops", given.count),
    }
    found = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {"arms": {}}
    for name in given.arms or ARMS:
        steps = ["--training.steps", str(given.before_steps)] if name == "cifar10/before" else []
        options = [*study.PLAIN, *ARMS[name], *steps, *given.options]
        folder = folders[name.split("/")[0]]
        found["arms"][name] = study.run(folder, given.work / name, options, given.samples)
        found |= about()
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if {"cifar10/default", "cifar10/before"} <= found["arms"].keys():
        drawn = {name: study.images(given.work / name / "samples" / "images") for name in ARMS if "cifar10" in name}
        labels = {
            "photographs": study.images(folders["cifar10"]),
            "the defaults of before, after the same time": drawn["cifar10/before"],
            "the defaults": drawn["cifar10/default"],
        }
        picture.draw(labels, given.picture)
    print(picture.table(found["arms"]))


def about() -> dict[str, object]:
    """Versions and machine."""
    packages = ("sagd", "torch", "diffusers", "numpy")
    return {
        "machine": describe_machine(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


if __name__ == "__main__":
    main()
