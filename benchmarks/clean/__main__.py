"""`python -m benchmarks.clean detection --data DIR [--sets N] [--fit] [--out DIR]`."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import records
from benchmarks.clean import detection
from sagd.study.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sagd", "torch", "numpy", "scipy", "scikit-image", "scikit-learn")


def main(args: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the page; or print the weights of a new fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clean", description="Finding damage.")
    parser.add_argument("study", choices=["detection"])
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist-*.parquet, ecg, speech and so on")
    parser.add_argument("--sets", type=int, default=16, help="sets of each kind and half; default: 16")
    parser.add_argument("--kinds", nargs="*", default=[], help="kinds of sets; default: all")
    parser.add_argument("--fit", action="store_true", help="print WEIGHTS of a fit to what was measured, and stop")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/clean"), help="directory of what is measured")
    given = parser.parse_args(args)
    if given.fit:
        print(json.dumps(detection.fit(records.read(given.work / "candidates.jsonl")), indent=4))
        return
    detection.measure(given.data, given.work, range(given.sets), given.kinds)
    print(f"wrote {detection.write(given.work, given.out, about())}")


def about() -> str:
    """Who measured: command, versions and machine."""
    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    stated = [f"{key}: {value}" for key, value in (versions | describe_machine()).items()]
    return f"Written by `python -m benchmarks.clean detection`. {', '.join(stated)}."


if __name__ == "__main__":
    main()
