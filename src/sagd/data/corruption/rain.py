"""Streaks of one direction, on a torus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.damage import Wedge
from sagd.random import Generator, rand


@dataclass(frozen=True)
class Rain(Corruption, kind="rain"):
    """Bright streaks of one direction, in all channels alike; images only.

    On the grid: drops fall on whole pixels, and streaks leave at one border and come in at the other; see `streaks` for
    rain as it is. They only brighten, so their mean is not zero, and being short they leak out of their wedge: `fill`
    leaves a trace of both (how much is measured by `benchmarks.omission`).

    Args:
        level: Root mean square per data value.
        angle: Direction of the streaks in degrees from upright.
        length: Length of a streak, in pixels.
        density: Share of pixels where a streak begins.
        fixed: Drawn once per image.
    """

    level: float = 0.3
    angle: float = 10.0
    length: float = 12.0
    density: float = 0.015
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(banded=False, zero_mean=False, gaussian=False)

    def __post_init__(self) -> None:
        self._check()
        require_finite("rain angle", self.angle)
        require_finite("rain length", self.length)
        if not self.length >= 2 or not 0 < self.density < 1:
            raise InputError(
                f"rain needs length >= 2 pixels and density in (0, 1), got {self.length} and {self.density}"
            )

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """Drops of random brightness, drawn out along their way."""
        kernel = self._kernel(shape[1:])
        drops = torch.stack([self._drops(shape[1:], g) for g in generators])
        basis = FourierBasis(shape[1:])
        # Orthonormal transforms: a convolution is the product times the root of the number of pixels.
        streaks = basis.inverse(basis.forward(kernel) * math.sqrt(kernel.numel()) * basis.forward(drops))
        # Brightness is exponential: E a = 1, E a^2 = 2.
        p = self.density
        square = (2 * p - p**2) * float(kernel.square().sum()) + (p * float(kernel.sum())) ** 2
        scaled = (self.level / math.sqrt(square) * streaks).clamp(min=0).float()
        return scaled.unsqueeze(1).expand(-1, shape[0], *shape[1:])

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Directions across the streaks."""
        if len(spatial) != 2:
            raise InputError(f"rain falls on images (2 spatial axes), the data has {len(spatial)}")
        return Wedge(angle=-self.angle % 180, width=50.0, low=0.05)

    def _drops(self, spatial: Shape, g: Generator) -> Tensor:
        where = rand(spatial, g, torch.float64) < self.density
        return where * -torch.log1p(-rand(spatial, g, torch.float64))

    def _kernel(self, spatial: Shape) -> Tensor:
        """One streak about the origin, on the torus."""
        if len(spatial) != 2:
            raise InputError(f"rain falls on images (2 spatial axes), the data has {len(spatial)}")
        rows, columns = torch.meshgrid(*[_centred(n) for n in spatial], indexing="ij")
        turn = math.radians(self.angle)
        along = rows * math.cos(turn) + columns * math.sin(turn)
        across = columns * math.cos(turn) - rows * math.sin(turn)
        return torch.exp(-((across / 0.6) ** 2) / 2) * torch.exp(-((2 * along / self.length) ** 4))


def _centred(n: int) -> Tensor:
    """Distances from the origin on a ring of `n` places."""
    return (torch.arange(n, dtype=torch.float64) + n // 2) % n - n // 2
