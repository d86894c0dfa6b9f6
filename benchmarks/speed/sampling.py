"""A sampling step with a schedule per frequency against one with a common schedule, with the same network.

The network is that of `examples/demo.yaml`, at 28x28, unconditional and with its preconditioning. Steps are timed along
trajectories, so that what a process remembers of the times of one step is of use to the next one only as far as it is
in a real run; all processes make their first step, then their second, and so on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, alternate, ratio, settle_memory, slowest
from sagd.build.catalogue import choose
from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig
from sagd.process.base import Process
from sagd.sampling.base import Run, Sampler
from sagd.sampling.grids import KarrasGrid

SHAPE = (1, 28, 28)
NETWORK = NetworkConfig(widths=(16, 32))
PREDICTION = "edm"
SCALAR = "scalar"
SCALAR_PROCESS = ProcessConfig(schedule="cosine", spectrum="power_law(alpha=-0.2)")
"""The paper's process, with the schedule of the others."""
PROCESSES, BASES = ("blurring", "white_to_blue", "coarse_to_fine"), ("fourier", "cosine")
SAMPLERS = ("ddim", "ddpm", "heun", "dpm_solver")
LIMIT = 1.15

NOTE = """\
Times of one step, mean over the eight of a Karras grid, of which 7 evaluate the network twice for heun; a round is one
trajectory. The line of the scalar process shows its step, the others what a step costs over it, in the same round.
"Outside" is the time of a step without the network: the same with a network that returns zeros. The demands are on the
slowest process, found in every other round and measured in the rest.
"""


@dataclass(frozen=True)
class Case:
    """Samples drawn at a time."""

    batch: int
    rounds: int
    steps: int = 8
    network: NetworkConfig = NETWORK
    samplers: tuple[str, ...] = SAMPLERS

    def __str__(self) -> str:
        return f"batch {self.batch}"


# One sample, where fixed costs would show, and a batch.
CASES = (Case(1, rounds=60), Case(16, rounds=24))
QUICK = (Case(2, rounds=2, steps=3, network=NetworkConfig(widths=(4, 8)), samplers=("heun",)),)

Key = tuple[str, bool]
"""Process, and whether the network is run."""


def study(quick: bool = False) -> Result:
    """Times of all samplers, processes and batches."""
    cases = QUICK if quick else CASES
    figures, demands, rows = {}, [], []
    settle_memory()
    for case in cases:
        times = {sampler: measure(case, sampler) for sampler in case.samplers}
        demands += [_demand(case, sampler, own) for sampler, own in times.items()]
        own_figures = {sampler: _figures(own) for sampler, own in times.items()}
        figures |= {f"{case}, {sampler}": own for sampler, own in own_figures.items()}
        rows += [_row(case, name, own_figures) for name in processes()]
    settings = {
        "network": f"U-Net ({', '.join(map(str, cases[0].network.widths))}) at {'x'.join(map(str, SHAPE))}",
        "scalar process": f"{SCALAR_PROCESS.spectrum} with {SCALAR_PROCESS.schedule} schedule",
        "rounds": ", ".join(f"{case.rounds} ({case})" for case in cases),
    }
    samplers = cases[0].samplers
    columns = ("batch", "process", *(f"{name}, over scalar" for name in samplers))
    columns += tuple(f"{name} outside, ms" for name in samplers)
    return Result(settings, figures, demands, Table("Sampling step", NOTE, columns, rows))


def processes() -> dict[str, Process]:
    """The scalar one, and those with a schedule per frequency in every basis."""
    configs = {SCALAR: SCALAR_PROCESS}
    for basis in BASES:
        for entry in choose(PROCESSES, SHAPE):
            configs[f"{entry.name}, {basis}"] = replace(entry.process, basis=basis)
    return {name: build_process(config, SHAPE) for name, config in configs.items()}


def measure(case: Case, sampler: str) -> dict[Key, np.ndarray]:
    """Seconds of a step, mean over a trajectory, with and without the network, all processes in turn."""
    torch.manual_seed(0)
    network = build_network(case.network, SHAPE[0], SHAPE[1:]).eval()
    actions: dict[Key, Callable[[], Tensor]] = {}
    for name, process in processes().items():
        for with_network in (True, False):
            denoiser = NetworkDenoiser(network if with_network else _zeros, process, PREDICTION)
            actions[name, with_network] = partial(next, trajectories(denoiser, Sampler.parse(sampler), case))
    times = alternate(actions, case.rounds * case.steps, case.steps, title=f"sampling, {case}, {sampler}")
    return {key: seconds.reshape(case.rounds, case.steps).mean(1) for key, seconds in times.items()}


def trajectories(denoiser: Denoiser, sampler: Sampler, case: Case) -> Iterator[Tensor]:
    """The steps of a batch from noise to images, one at a time, over and over."""
    process, generator = denoiser.process, torch.Generator()
    times = KarrasGrid().times(case.steps, process).tolist()
    start = process.prior(case.batch, times[0], generator.manual_seed(0))
    while True:
        run, x = Run(process, denoiser, generator.manual_seed(0), case.steps), start
        for t, s in itertools.pairwise(times):
            with torch.no_grad():
                x = sampler.step(run, x, t, s).to(x.dtype)
            yield x


def _zeros(x: Tensor, timestep: Tensor) -> Tensor:
    """A network that costs nothing."""
    return torch.zeros_like(x)


def _demand(case: Case, sampler: str, times: Mapping[Key, np.ndarray]) -> Demand:
    keys = [(name, True) for name, run in times if run and name != SCALAR]
    (name, _), over = slowest(times, keys, (SCALAR, True))
    return Demand(f"{sampler} step, {case}: slowest process ({name}) / scalar", over, LIMIT)


def _figures(times: Mapping[Key, np.ndarray]) -> dict[str, Summary]:
    names = {name for name, _ in times}
    figures = {f"{name}{'' if run else ', outside'}": Summary.of(own) for (name, run), own in times.items()}
    return figures | {f"{name} / scalar": ratio(times, (name, True), (SCALAR, True)) for name in sorted(names)}


def _row(case: Case, name: str, figures: Mapping[str, Mapping[str, Summary]]) -> tuple[str, ...]:
    return (str(case.batch), name, *_steps(name, figures.values()), *_outside(name, figures.values()))


def _steps(name: str, figures: Iterable[Mapping[str, Summary]]) -> list[str]:
    if name == SCALAR:
        return [f"{milliseconds(own[name])} ms" for own in figures]
    return [interval(own[f"{name} / scalar"]) for own in figures]


def _outside(name: str, figures: Iterable[Mapping[str, Summary]]) -> list[str]:
    return [milliseconds(own[f"{name}, outside"]) for own in figures]
