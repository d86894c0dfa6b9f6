"""`python -m benchmarks.clean removal --data DIR [--again TOOL ...]`, `detection --data DIR [--fit]`, or `sizes`."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import records
from benchmarks.clean import demo, detection, page, removal, sets, sizes, tooth
from sagd.study.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sagd", "torch", "numpy", "scipy", "scikit-image", "scikit-learn", "pystripe", "algotom")


def main(args: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the page; or print the weights of a new fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clean", description="Finding damage, and removing it.")
    studies = parser.add_subparsers(dest="study", required=True)
    taking = studies.add_parser("removal", help="removal beside the usual tools")
    taking.add_argument("--again", nargs="*", default=[], help="tools to measure anew, e.g. sagd")
    taking.add_argument("--page-only", action="store_true", help="write the page of what has been measured")
    finding = studies.add_parser("detection", help="false starts on clean sets, and damage that is found")
    finding.add_argument("--sets", type=int, default=16, help="sets of each kind and half; default: 16")
    finding.add_argument("--half", choices=("fit", "judge"), help="the half to measure; default: both")
    finding.add_argument("--jobs", type=int, default=1, help="processes that measure; default: 1")
    finding.add_argument("--kinds", nargs="*", default=[], help="kinds of sets; default: all")
    finding.add_argument("--fit", action="store_true", help="print WEIGHTS of a fit to what was measured, and stop")
    finding.add_argument("--work", type=Path, default=Path("runs/clean"), help="directory of what is measured")
    for study in (taking, finding):
        study.add_argument("--data", type=Path, required=True, help="folder with the data that README.md names")
        study.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    showing = studies.add_parser("demo", help="two photographs, cleaned beside the usual tools")
    showing.add_argument("--out", type=Path, default=Path("runs/demo/clean"), help="directory, which is emptied")
    large = studies.add_parser("sizes", help="time and memory of large files; goes on where it stopped")
    large.add_argument("--out", type=Path, default=Path("docs/results"), help="directory of the results")
    large.add_argument("--work", type=Path, help="directory for the files, some GB; default: that of the system")
    given = parser.parse_args(args)
    given.out.mkdir(parents=True, exist_ok=True)
    {"removal": _removal, "detection": _detection, "demo": _demo, "sizes": _sizes}[given.study](given)


def _removal(given: argparse.Namespace) -> None:
    path = given.out / "removal.jsonl"
    if not given.page_only:
        removal.measure(given.data, path, tuple(given.again))
        tooth.measure(given.data, given.out / "tooth.jsonl")
    print(f"wrote {page.write(given.data, path, given.out, about('removal'))}")


def _detection(given: argparse.Namespace) -> None:
    if given.fit:
        print(json.dumps(detection.fit(records.read(given.work / "candidates.jsonl")), indent=4))
        return
    halves = (given.half,) if given.half else sets.HALVES
    detection.measure(given.data, given.work, given.sets, given.kinds, halves, given.jobs)
    if given.half == "fit":
        return
    print(f"wrote {detection.write(given.work, given.out, about('detection'))}")


def _demo(given: argparse.Namespace) -> None:
    shutil.rmtree(given.out)
    demo.run(given.out)


def _sizes(given: argparse.Namespace) -> None:
    path = given.out / "clean-sizes.json"
    files = json.loads(path.read_text(encoding="utf-8"))["files"] if path.exists() else []
    for line in sizes.measure([line["file"] for line in files], given.work):
        files.append(line)
        path.write_text(json.dumps({"about": about("sizes"), "files": files}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")


def about(study: str) -> str:
    """Who measured: command, versions and machine."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not there"
    stated = [f"{key}: {value}" for key, value in (versions | describe_machine()).items()]
    return f"Written by `python -m benchmarks.clean {study}`. {', '.join(stated)}."


if __name__ == "__main__":
    main()
