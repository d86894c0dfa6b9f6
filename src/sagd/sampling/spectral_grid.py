"""A time grid that follows the spectrum of the data: where more frequencies drown, more steps are taken."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.statistics import DataStatistics, radial_profile
from sagd.process.base import Process
from sagd.sampling.grids import TimeGrid, require_shape


@dataclass(frozen=True)
class SpectralGrid(TimeGrid, kind="spectral"):
    """Steps from the noise level above which all is drowned to that below which nothing is, by the data's spectrum.

    Each ring of frequencies drowns at a level of its own, where noise is as strong as the signal. One way to place
    levels has as many rings drown in each step (it follows frequency), another takes equal steps in the logarithm of
    the level (it follows power); `mix` is the share of the latter, in the logarithm. Rings are sorted by their levels,
    so that the noise may be of any colour, and levels reach beyond the first and the last by `margin`.

    What the published text leaves to a network, a schedule for each image which is drawn at sampling, is here one for
    the spectrum of all images; it mixes the two ways as well, and its bounds are its own.

    Args:
        mix: 1 is equal steps in the logarithm; small ones follow the rings closely.
        margin: Noise over signal of what drowns last at the start, signal over noise of what drowns first at the end.

    Source: "Spectrally-Guided Diffusion Noise Schedules" (Esteves and Makadia, arXiv:2603.19222).
    """

    mix: float = 0.5
    margin: float = 8.0

    def __post_init__(self) -> None:
        if not 0 < self.mix <= 1:
            raise InputError(f"spectral mix must lie in (0, 1], got {self.mix}; e.g. 0.5")
        if not 1 <= self.margin < math.inf:
            raise InputError(f"spectral margin must be at least 1, got {self.margin}; e.g. 8")

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """Times of the levels.

        Raises:
            InputError: Without statistics, or if the data does not vary at any frequency that carries noise.
        """
        if statistics is None:
            raise InputError(
                "the spectral time grid needs the data's statistics; pass statistics=measure(data), or use karras"
            )
        require_shape(statistics, process)
        rings = _drowned(process, statistics)
        highest = math.log(process.level_at(1.0))
        nodes = torch.cat([rings[:1] + math.log(self.margin), rings, rings[-1:] - math.log(self.margin)])
        nodes = nodes.clamp(max=highest)
        u = torch.linspace(0, 1, steps, dtype=torch.float64)
        by_power = torch.lerp(nodes[0], nodes[-1], u)
        return process.time_at(torch.lerp(_at(nodes, u), by_power, self.mix).exp())


def _drowned(process: Process, statistics: DataStatistics) -> Tensor:
    """Logarithm of the level at which each ring of frequencies drowns, from the highest to the lowest, `(K,)`."""
    basis = statistics.basis
    power = process.drowned_at(statistics.spectrum, basis).square().mean(0)
    by_ring = radial_profile(power, basis, max(1, max(basis.spatial) // 2)).values
    seen = by_ring[by_ring > 0]
    if not len(seen):
        raise InputError("the data does not vary at any frequency that carries noise; use a karras grid")
    return (seen.log() / 2).sort(descending=True).values


def _at(nodes: Tensor, u: Tensor) -> Tensor:
    """Nodes at equal distances over [0, 1], interpolated linearly."""
    place = u * (len(nodes) - 1)
    left = place.long().clamp(max=len(nodes) - 2)
    return torch.lerp(nodes[left], nodes[left + 1], place - left)
