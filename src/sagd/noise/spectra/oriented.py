"""Weights by direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite, require_weight, two_levels
from sagd.noise.spectra.geometry import other_sign


@dataclass(frozen=True)
class Oriented(Spectrum, kind="oriented"):
    """`inside` for waves in a wedge of directions around `angle`, `outside` elsewhere and at DC; images only.

    Args:
        angle: Direction of the wave vector in degrees, from the column axis (vertical stripes: 0) towards rows.
        bandwidth: Full width of the wedge in degrees, in (0, 180].
        inside: Weight in the wedge.
        outside: Weight elsewhere.
    """

    angle: float = 0.0
    bandwidth: float = 30.0
    inside: float = 1.0
    outside: float = 0.0

    def __post_init__(self) -> None:
        require_finite("oriented angle", self.angle)
        require_finite("oriented bandwidth", self.bandwidth)
        if not 0 < self.bandwidth <= 180:
            raise InputError(f"oriented bandwidth must lie in (0, 180] degrees, got {self.bandwidth}")
        require_weight("oriented inside", self.inside)
        require_weight("oriented outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` in the wedge, `outside` elsewhere."""
        return self.weights_of_period(frequencies, 1.0)

    def weights_of_period(self, frequencies: Tensor, period: Tensor | float) -> Tensor:
        """Likewise."""
        if len(frequencies) != 2:
            raise InputError(f"oriented spectra are for images (2 spatial axes), the data has {len(frequencies)}")
        rows, columns = frequencies
        # A Nyquist frequency stands for both its signs, so that weights stay even.
        mirror = other_sign(frequencies, period)
        difference = [self._turn(torch.atan2(r, c)) for r in (rows, mirror[0]) for c in (columns, mirror[1])]
        wedge = torch.stack(difference).amin(0) <= self.bandwidth / 2 + 1e-9
        wedge &= (rows != 0) | (columns != 0)
        return two_levels(self.label, wedge.to(frequencies.dtype), self.inside, self.outside)

    def _turn(self, angle: Tensor) -> Tensor:
        """Degrees between a direction and `self.angle`, both without sign."""
        return (torch.rad2deg(angle) - self.angle + 90).remainder(180).sub(90).abs()
