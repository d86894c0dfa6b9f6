"""`python -m benchmarks.design [--scale trial|short|middle|long] [--sets NAME ...] [--arms NAME ...]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import records
from benchmarks.design import page
from benchmarks.design.data import SETS
from benchmarks.design.run import SCALES, Setting, run

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).parents[3] / "shared" / "data"


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.design",
        description="Which noise is best for which data? Trained models of many designs, all else alike.",
        epilog="Finished runs are kept: an interrupted study goes on where it was.",
    )
    parser.add_argument("--scale", choices=[*SCALES], default="trial", help="budget; default: trial")
    parser.add_argument("--sets", nargs="+", choices=[*SETS], default=["velocity"], help="default: velocity")
    parser.add_argument("--arms", nargs="*", default=(), help="arms to run; default: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=(), help="seeds to run; default: those of the scale")
    parser.add_argument("--designs", type=Path, help="folder of what `sagd design` wrote: SET/design.yaml, an arm more")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with speech/, weather/, ecg/, mnist-*.parquet")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, a core each; default: 1")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/design"), help="directory of data and runs")
    given = parser.parse_args(args)
    setting = Setting(given.scale, given.data, given.out, given.work, given.designs)
    try:
        run(setting, given.sets, given.arms, given.seeds, given.processes)
    finally:
        if found := records.read(setting.results):
            print(f"wrote {page.write(setting, found)}")


if __name__ == "__main__":
    main()
