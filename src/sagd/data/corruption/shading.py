"""Uneven light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sagd.data.corruption.base import Shape
from sagd.data.corruption.filtered import Filtered
from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.damage import Ring


@dataclass(frozen=True)
class Shading(Filtered, kind="shading"):
    """Uneven light: a smooth Gaussian field, in all channels alike, its mean brightness kept: for all modes.

    On the grid: it closes at the borders of the window, as real light does not.

    Args:
        level: Standard deviation per data value.
        cutoff: Highest frequency, in cycles per longest side.
        fixed: Drawn once per image.
    """

    level: float = 0.5
    cutoff: float = 1.5
    fixed: bool = True
    grey: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check()
        require_finite("shading cutoff", self.cutoff)
        if not self.cutoff >= 1:
            raise InputError(f"shading cutoff must be at least 1 cycle per side, got {self.cutoff}")

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A ring around the mean."""
        step = 1 / max(spatial) / corner_radius(len(spatial))
        return Ring(round(0.5 * step, 4), min(1.0, round((self.cutoff + 0.01) * step, 4)))
