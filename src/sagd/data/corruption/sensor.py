"""The pattern of a sensor's columns, and the noise of its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.data.corruption.canvas import keys, normal_at
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Strip
from sagd.random import Generator, generator_for


@dataclass(frozen=True)
class Sensor(Corruption, kind="sensor"):
    """A sensor read row by row: columns of fixed offsets, the same in all images, and rows of new ones; images only.

    Offsets are of whole rows and columns, as those of sensors are, in all channels alike, and do not add up to zero: an
    image is a crop of a larger sensor. Its columns are a mean over images, which `fill` would learn as image.

    Args:
        level: Root mean square per data value.
        rows: Share of the power that the rows have, in [0, 1].
        fixed: Rows drawn once per image; the columns never change.
    """

    level: float = 0.3
    rows: float = 0.5
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it: a mean of its own moves the brightness, which is outside of its band."""
        return Assumptions(banded=False, zero_mean=self.rows == 1)

    def __post_init__(self) -> None:
        self._check()
        if not 0 <= self.rows <= 1:
            raise InputError(f"sensor rows must lie in [0, 1], got {self.rows}")

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """Columns that all images share, and rows of each."""
        if len(shape) != 3:
            raise InputError(f"sensor is for images (2 spatial axes), the data has {len(shape) - 1}")
        shared = next(keys(generator_for(seed, "shared damage")))
        columns = normal_at(shared, torch.arange(shape[2]).unsqueeze(0))
        rows = torch.stack([normal_at(next(keys(g)), torch.arange(shape[1]).unsqueeze(0)) for g in generators])
        pattern = math.sqrt(self.rows) * rows.unsqueeze(2) + math.sqrt(1 - self.rows) * columns
        return (self.level * pattern).float().unsqueeze(1).expand(-1, *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Both axes, without the mean."""
        if len(spatial) != 2:
            raise InputError(f"sensor is for images (2 spatial axes), the data has {len(spatial)}")
        rows, columns = (Strip(axis, low=round(0.5 / n, 4)) for axis, n in enumerate(spatial))
        return columns if self.rows == 0 else rows if self.rows == 1 else rows + columns
