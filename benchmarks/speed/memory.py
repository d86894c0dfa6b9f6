"""Memory of a training step beside diffusers and denoising-diffusion-pytorch, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from benchmarks.speed.peers import CASES, NAMES, QUICK, Case, ddp, require_ddp, step
from benchmarks.speed.result import Result, Table
from benchmarks.speed.training import accelerated
from sagd.networks.build import build_network

STEPS = 3
NOTE = """\
MiB by which the resident memory of a process grows at its peak while it builds the network and its optimiser and takes
three training steps, everything imported before; of the networks and batches of the study `peers`. Nothing is demanded.
"""
COLUMNS = ("case", "sagd", "diffusers", "ddp")


def study(quick: bool = False) -> Result:
    """Of all three in every case."""
    require_ddp()
    used = {case: {name: memory(case, name) for name in NAMES} for case in (QUICK if quick else CASES)}
    rows = [(str(case), *(f"{mib:.0f}" for mib in own.values())) for case, own in used.items()]
    plain = {str(case): {NAMES[name]: round(mib, 1) for name, mib in own.items()} for case, own in used.items()}
    return Result({"steps": STEPS}, plain, [], Table("Memory of a training step, MiB", NOTE, COLUMNS, rows))


def memory(case: Case, name: str) -> float:
    """Growth of a fresh process, in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (case, name))


def _growth(case: Case, name: str) -> float:
    ddp()
    build_network(QUICK[0].network, *QUICK[0].shape[:1], QUICK[0].shape[1:])  # imports diffusers
    accelerator = accelerated()
    # From here on the kernel counts the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = _kib("VmRSS")
    advance = step(case, name, accelerator)
    for _ in range(STEPS):
        advance()
    return (_kib("VmHWM") - before) / 1024


def _kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))
