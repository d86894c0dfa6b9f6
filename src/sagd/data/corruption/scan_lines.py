"""Rows or columns of random brightness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sagd.data.corruption.base import Shape
from sagd.data.corruption.filtered import Filtered
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Strip


@dataclass(frozen=True)
class ScanLines(Filtered, kind="scan_lines"):
    """Rows (axis 0) or columns (axis 1) of random brightness, in all channels alike: meets what all modes need.

    On the grid: lines are as long as the window, and as wide as a sample. Real ones end, drift and vary: see
    `curtains`. The offsets of an image are Gaussian and add up to zero, so that its mean brightness stays.

    Args:
        axis: Axis along which brightness varies.
        level: Standard deviation of the offsets.
        fixed: Drawn once per image.
    """

    axis: int = 0
    level: float = 0.5
    fixed: bool = True
    grey: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check()
        Strip(self.axis)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """The axis, without the mean."""
        if self.axis >= len(spatial) or len(spatial) < 2:
            raise InputError(f"scan_lines along axis {self.axis} need images with that axis and another, got {spatial}")
        return Strip(self.axis, low=round(0.5 / spatial[self.axis], 4))
