"""Directions that were never measured, others in every image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.data.corruption.base import Shape
from sagd.data.corruption.missing import Missing
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.damage import Ring, Wedge
from sagd.random import Generator, rand


@dataclass(frozen=True)
class Wedges(Missing, kind="wedges"):
    """Each image lacks a wedge of directions, turned at random, as tilted specimens do: what is missing is 0.

    Images only.

    Args:
        width: Opening of the wedge, in degrees.
        low: Radius, in fractions of that of the corner, up to which all directions are there.
        fixed: Drawn once per image.
    """

    width: float = 60.0
    low: float = 0.1
    fixed: bool = True

    def __post_init__(self) -> None:
        self._check()
        require_finite("wedges width", self.width)
        if not 0 < self.width < 180 or not 0 < self.low < 1:
            raise InputError(f"wedges need a width in (0, 180) and low in (0, 1), got {self.width} and {self.low}")

    def places(self, spatial: Shape, generators: Sequence[Generator]) -> Tensor:
        """One wedge each."""
        if len(spatial) != 2:
            raise InputError(f"wedges are of images (2 spatial axes), the data has {len(spatial)}")
        frequencies = FourierBasis(spatial).frequencies()
        angles = [math.floor(180 * float(rand((1,), generator, torch.float64))) for generator in generators]
        return torch.stack([Wedge(angle, self.width, self.low).weights(frequencies) > 0 for angle in angles])

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Where something may be missing."""
        return Ring(self.low, 1.0)
