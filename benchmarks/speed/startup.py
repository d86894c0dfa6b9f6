"""How long the command line and the package take to start, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, alternate, ratio

HELP, IMPORT, USE, TORCH = "sagd --help", "import sagd", "import sagd; sagd.SpectralCovariance", "import torch"

COMMANDS = {
    "pass": ("-c", "pass"),
    TORCH: ("-c", TORCH),
    HELP: ("-m", "sagd", "--help"),
    IMPORT: ("-c", IMPORT),
    USE: ("-c", USE),
}
LIMITS = {HELP: 1.0, IMPORT: 3.0, USE: 3.0}

NOTE = """\
Whole processes, interpreter included, with files in the system's cache. sagd imports a name when it is first used, and
any part of its mathematics imports torch.
"""


def study(quick: bool = False) -> Result:
    """Times of all commands."""
    names, rounds = (["pass", HELP], 1) if quick else (list(COMMANDS), 10)
    times = alternate({name: partial(run, name) for name in names}, rounds, warmup=1 - quick, title="start-up")
    seconds = {name: Summary.of(own) for name, own in times.items()}
    base = "pass" if quick else TORCH
    over = {name: ratio(times, name, base) for name in names}
    figures = {name: {"seconds": seconds[name], f"over {base}": over[name]} for name in names}
    demands = [Demand(f"`{name}`", seconds[name], LIMITS[name], " s") for name in names if name in LIMITS]
    rows = [(f"`{name}`", milliseconds(seconds[name]), interval(over[name], digits=2)) for name in names]
    columns = ("command", "time, ms", f"time over that of `{base}`")
    return Result({"rounds": rounds}, figures, demands, Table("Start-up", NOTE, columns, rows))


def run(name: str) -> None:
    """One process, to its end."""
    subprocess.run([sys.executable, *COMMANDS[name]], check=True, stdout=subprocess.DEVNULL)
