"""`python -m benchmarks.clean removal --data DIR [--again TOOL ...] [--out DIR]`."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.clean import page, removal
from sagd.study.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sagd", "torch", "numpy", "scipy", "scikit-image", "scikit-learn", "pystripe", "algotom")


def main(args: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clean", description="Removing damage.")
    parser.add_argument("study", choices=["removal"])
    parser.add_argument("--data", type=Path, required=True, help="folder with damaged, ecg, speech and tomography")
    parser.add_argument("--again", nargs="*", default=[], help="tools to measure anew, e.g. sagd")
    parser.add_argument("--page-only", action="store_true", help="write the page of what has been measured")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    given = parser.parse_args(args)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "removal.jsonl"
    if not given.page_only:
        removal.measure(given.data, path, tuple(given.again))
    print(f"wrote {page.write(given.data, path, given.out, about())}")


def about() -> str:
    """Who measured: command, versions and machine."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not there"
    stated = [f"{key}: {value}" for key, value in (versions | describe_machine()).items()]
    return f"Written by `python -m benchmarks.clean removal`. {', '.join(stated)}."


if __name__ == "__main__":
    main()
