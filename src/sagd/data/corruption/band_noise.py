"""Gaussian noise in a ring of radii."""

from __future__ import annotations

from dataclasses import dataclass

from sagd.data.corruption.filtered import Filtered, Shape
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Ring


@dataclass(frozen=True)
class BandNoise(Filtered, kind="band_noise"):
    """Gaussian noise in a ring of radii, independent in every channel: meets what all modes need.

    On the grid: it closes at the borders of the window, so that none of it is outside of its band; no real damage does.

    Args:
        low: Inner edge of the ring, in fractions of the corner radius.
        high: Outer edge.
        level: Standard deviation per data value; 1 is the paper's unit variance (arXiv:2510.09660, section 6).
        fixed: Drawn once per image.
    """

    low: float = 0.1
    high: float = 0.2
    level: float = 1.0
    fixed: bool = True

    def __post_init__(self) -> None:
        self._check()
        Ring(self.low, self.high)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """The ring."""
        return Ring(self.low, self.high)
