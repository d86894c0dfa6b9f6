"""A pattern that all images share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Strip
from sagd.random import Generator, generator_for, randn


@dataclass(frozen=True)
class FixedPattern(Corruption, kind="fixed_pattern"):
    """A sensor's own pattern, the same in all images: columns of random offset, and single pixels.

    On the grid: its columns add up to zero over the window; see `sensor` for a crop of a larger one, with rows that
    change. Being the same everywhere it is a mean, which `fill` and `deconvolve` would learn as image; only `project`
    removes it, and only the columns are a band.

    Args:
        level: Root mean square of the pattern.
        columns: Share of the power that the columns have.
        fixed: Has no effect: the pattern never changes.
    """

    level: float = 0.3
    columns: float = 1.0
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """A band only without single pixels."""
        return Assumptions(banded=self.columns == 1, zero_mean=False, gaussian=False)

    def __post_init__(self) -> None:
        self._check()
        if not 0 <= self.columns <= 1:
            raise InputError(f"fixed_pattern columns must lie in [0, 1], got {self.columns}")

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """One pattern for all."""
        g = generator_for(seed, "shared damage")
        columns = randn(shape[-1:], g)
        columns = columns - columns.mean()
        pixels = randn(shape[1:], g)
        pattern = math.sqrt(self.columns) * columns + math.sqrt(1 - self.columns) * pixels
        return (self.level / pattern.square().mean().sqrt() * pattern).expand(len(generators), *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """That of the columns."""
        if len(spatial) < 2:
            raise InputError(f"fixed_pattern is for images, the data has {len(spatial)} spatial axis")
        return Strip(len(spatial) - 1, low=round(0.5 / spatial[-1], 4))
