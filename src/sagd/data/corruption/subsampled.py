"""Frequencies that were never measured, others in every image."""

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
from sagd.noise.spectra.damage import Ring
from sagd.random import Generator, rand


@dataclass(frozen=True)
class Subsampled(Missing, kind="subsampled"):
    """Each image lacks frequencies of its own, as scans do that were cut short: what is missing is 0.

    Those next to 0 are always there. A frequency is missing together with its mirror image, so that fields stay real.

    Args:
        keep: Share of the others that is there.
        centre: Radius, in fractions of that of the corner, up to which all are there.
        axis: None for single frequencies; else all those of one frequency along this axis are there or not, as the
            lines of a scan are.
        fixed: Drawn once per image.
    """

    keep: float = 0.5
    centre: float = 0.1
    axis: int | None = None
    fixed: bool = True

    def __post_init__(self) -> None:
        self._check()
        if not 0 < self.keep < 1 or not 0 < self.centre < 1:
            raise InputError(f"subsampled needs keep and centre in (0, 1), got {self.keep} and {self.centre}")
        if self.axis is not None and (type(self.axis) is not int or self.axis < 0):
            raise InputError(f"subsampled axis is the number of a spatial axis from 0 on, or none, got {self.axis!r}")

    def places(self, spatial: Shape, generators: Sequence[Generator]) -> Tensor:
        """By one draw for each frequency, or for each along the axis."""
        basis = FourierBasis(spatial)
        if self.axis is not None and self.axis >= len(spatial):
            raise InputError(f"subsampled axis {self.axis} is none of the {len(spatial)} spatial axes of the data")
        sides = spatial if self.axis is None else tuple(n if a == self.axis else 1 for a, n in enumerate(spatial))
        drawn = torch.stack([rand(sides, generator, torch.float64) for generator in generators])
        axes = tuple(range(1, drawn.ndim))
        mirrored = drawn.flip(axes).roll([1] * len(axes), axes)
        missing = torch.minimum(drawn, mirrored) < 1 - math.sqrt(self.keep)
        own = drawn == mirrored  # frequencies that are their own mirror image are drawn once
        missing = torch.where(own, drawn < 1 - self.keep, missing)[..., : spatial[-1] // 2 + 1]
        return (missing & (basis.relative_radius() > self.centre)).expand(-1, *basis.coefficients)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Where something may be missing."""
        return Ring(self.centre, 1.0)
