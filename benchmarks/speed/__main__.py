"""`python -m benchmarks.speed [noise|training|startup|all] [--out DIR] [--quick]`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed import noise, startup, training
from benchmarks.speed.result import demands_table, write

STUDIES = {"noise": noise.study, "training": training.study, "startup": startup.study}
RESULTS = Path(__file__).parent / "results"


def main(args: Sequence[str] | None = None) -> None:
    """Run studies, write their results and print the verdicts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Measure what shaped noise costs.")
    parser.add_argument("what", nargs="?", default="all", choices=[*STUDIES, "all"], help="study to run; default: all")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="directory for WHAT.json and WHAT.md")
    parser.add_argument("--quick", action="store_true", help="a trial in seconds that measures next to nothing")
    given = parser.parse_args(args)
    load = os.getloadavg()[0]
    names = list(STUDIES) if given.what == "all" else [given.what]
    results = {name: STUDIES[name](given.quick) for name in names}
    page = write(results, load, given.out, given.what)
    print(f"{demands_table(results.values())}\nwrote {page}")


if __name__ == "__main__":
    main()
