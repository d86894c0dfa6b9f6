"""This version beside an older one, `python -m benchmarks.speed.history COMMIT`: ratios, alternating in one run.

Each version runs in processes of its own, from its own source tree; that of the older one is taken out of git. Times
are processor time, which other programs on the machine disturb least, and the least of many repetitions where one
takes milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.speed.result import Result, Table, demands_table, interval, milliseconds, write
from benchmarks.speed.timing import Demand, Summary, ratio

ROOT = Path(__file__).parents[2]
OLD, NEW = "old", "new"

SETUP = """
import json, sys, time
import torch
torch.set_num_threads(1)
import sagd

def once(action):
    start = time.process_time()
    action()
    return time.process_time() - start

def timed(action, repeats):
    return min(once(action) for _ in range(repeats))

noise = sagd.SpectralCovariance(sagd.PowerLaw(-0.5), (3, 32, 32))
process = sagd.ForwardProcess(sagd.CosineSchedule(), noise)
images = torch.randn(64, 3, 32, 32)
denoiser = sagd.NetworkDenoiser(lambda x, t: 0 * x, process, "v")
loss = sagd.DenoisingLoss()
generator = torch.Generator().manual_seed(0)
"""
ACTIONS = {
    "draw of 64x3x32x32": ("noise.sample(64, generator)", 200),
    "arithmetic of a training step": ("loss(denoiser, images, generator=generator)", 200),
    "18 steps of Heun's method": ("sagd.Heun().sample(denoiser, 64, generator=generator)", 20),
    "blurring process, 3x512x512": ("sagd.SpectralProcess.blurring((3, 512, 512))", 0),
    "white-to-blue process, 3x512x512": ("sagd.SpectralProcess.white_to_blue((3, 512, 512))", 0),
    "sequential process, 3x512x512": ("sagd.SpectralProcess.sequential((3, 512, 512))", 0),
}
BUILDS = 1 / 30
COMMANDS = {
    "import torch": "import torch",
    "import noise and process": "import sagd; sagd.SpectralCovariance, sagd.SpectralProcess",
    "sagd --help": "import sys; from sagd.__main__ import main; sys.argv[1:] = ['--help']; sys.exit(main())",
}

NOTE = """\
The older version is {commit}. Networks are left out: the step's arithmetic is draw, perturbation, target and loss, and
the denoiser of the sampler returns zeros. One thread.
"""


@contextmanager
def tree(commit: str) -> Iterator[Path]:
    """The sources of a commit in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", folder], input=archive, check=True)
        yield Path(folder) / "src"


def run(source: Path, code: str) -> tuple[str, float]:
    """What a program prints with the package of a tree, and its processor time in seconds."""
    before = os.times()
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, spent


def measured(source: Path) -> dict[str, float]:
    """Seconds of every action and command in one version."""
    code = SETUP + "print(json.dumps({"
    for name, (action, repeats) in ACTIONS.items():
        call = f"timed(lambda: {action}, {repeats})" if repeats else f"once(lambda: {action})"
        code += f"{name!r}: {call}, "
    seconds: dict[str, float] = json.loads(run(source, code + "}))")[0].splitlines()[-1])
    return seconds | {name: run(source, command)[1] for name, command in COMMANDS.items()}


def study(commit: str, rounds: int = 7) -> Result:
    """Ratios of all times, new over old."""
    names = [*ACTIONS, *COMMANDS]
    times = {(version, name): np.empty(rounds) for version in (OLD, NEW) for name in names}
    with tree(commit) as old:
        for k in tqdm(range(rounds), desc="versions", disable=None, leave=False):
            for version in (OLD, NEW) if k % 2 else (NEW, OLD):
                for name, seconds in measured(old if version == OLD else ROOT / "src").items():
                    times[version, name][k] = seconds
    over = {name: ratio(times, (NEW, name), (OLD, name)) for name in names}
    summaries = {key: Summary.of(own) for key, own in times.items()}
    own = Summary.of(times[NEW, "import noise and process"] / times[NEW, "import torch"] - 1)
    demands = [
        Demand(f"{name}: new / old", over[name], BUILDS if name.endswith("512") else 1.0)
        for name in names
        if not name.startswith("import")
    ]
    demands.append(Demand("import of sagd.noise and sagd.process, beyond torch's own / torch's own", own, 0.3))
    rows = [
        (name, milliseconds(summaries[OLD, name]), milliseconds(summaries[NEW, name]), interval(over[name]))
        for name in names
    ]
    figures = {
        name: {"old": summaries[OLD, name], "new": summaries[NEW, name], "new over old": over[name]} for name in names
    }
    columns = ("what", "old, ms", "new, ms", "new / old")
    return Result(
        {"commit": commit, "rounds": rounds},
        figures,
        demands,
        Table("Beside an older version", NOTE.format(commit=commit), columns, rows),
    )


def main() -> None:
    """Measure, and write `history.json` and `history.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.history", description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="the older version; it must offer the same names in `sagd`")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    result = study(given.commit, given.rounds)
    print(f"{demands_table(result.demands)}wrote {write('history', result, load, given.out)}")


if __name__ == "__main__":
    main()
