"""`python -m benchmarks.speed [STUDY ...] [--out DIR] [--quick]`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.speed import bases, dense, memory, noise, overview, peers, sampling, spectra, startup, training, waiting
from benchmarks.speed.result import Result, demands_table, write

STUDIES: dict[str, Callable[[bool], Result]] = {
    "noise": noise.study,
    "spectra": spectra.study,
    "bases": bases.study,
    "dense": dense.study,
    "sampling": sampling.study,
    "training": training.study,
    "peers": peers.study,
    "memory": memory.study,
    "startup": startup.study,
    "waiting": waiting.study,
}
RESULTS = Path(__file__).parent / "results"


def main(args: Sequence[str] | None = None) -> None:
    """Run studies, write their results and print the verdicts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Measure what shaped noise costs.")
    parser.add_argument(
        "what",
        nargs="*",
        default="all",
        choices=[*STUDIES, "all"],
        metavar="STUDY",
        help=f"{', '.join(STUDIES)}; default: all",
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help="directory for STUDY.json and STUDY.md"
    )
    parser.add_argument("--quick", action="store_true", help="a trial in seconds that measures next to nothing")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with cifar10-train.parquet and speech/ for waiting"
    )
    given = parser.parse_args(args)
    studies = STUDIES | {"waiting": partial(waiting.study, data=given.data)}
    load = os.getloadavg()[0]
    for name in STUDIES if "all" in given.what else given.what:
        result = studies[name](given.quick)
        page = write(name, result, load, given.out)
        print(f"{demands_table(result.demands)}wrote {page}")
    print(f"wrote {overview.write(given.out)}")


if __name__ == "__main__":
    main()
