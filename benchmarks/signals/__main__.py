"""`python -m benchmarks.signals STUDY [--scale trial|full] [--data DIR] [--processes N] [--arm NAME]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.signals import page
from benchmarks.signals.run import Setting, compare, run
from benchmarks.signals.studies import SCALES, STUDIES

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).parents[3] / "shared" / "data"


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing of a study, and write its page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.signals",
        description="What models of signals that are no pictures draw, and how far it is from the data.",
        epilog="Finished arms are kept, and within one what is done of train, sample, evaluate.",
    )
    parser.add_argument("study", choices=[*STUDIES], help="; ".join(f"{k}: {s.title}" for k, s in STUDIES.items()))
    parser.add_argument("--scale", choices=[*SCALES], default="trial", help="budget; default: trial")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with speech/, weather/, ecg/, mnist-*.parquet")
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time; default: 1")
    parser.add_argument("--arm", action="append", default=[], help="an arm to run; may be given again; default: all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/signals"), help="directory of data and runs")
    given = parser.parse_args(args)
    setting = Setting(given.study, given.scale, given.data, given.out, given.work)
    if setting.of.seeds:
        if given.arm:
            parser.error("arms of a comparison run together; leave --arm out")
        print(f"wrote {page.write_comparison(setting, compare(setting))}")
        return
    run(setting, given.arm, given.processes)
    print(f"wrote {page.write(setting)}")


if __name__ == "__main__":
    main()
