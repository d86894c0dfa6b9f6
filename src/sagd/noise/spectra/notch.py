"""Weights that vanish at single frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE, corner_radius
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import in_range, require_finite
from sagd.noise.spectra.geometry import distance_on_torus


@dataclass(frozen=True)
class Notch(Spectrum, kind="notch"):
    """Weight `depth` at given frequencies and their mirrors, rising to 1 around them: moire, mains hum, scan lines.

    `w = depth + (1 - depth) prod_k (1 - exp(-d_k^2 / (2 bandwidth^2)))`, `d_k` the distance to `+-f_k` on the frequency
    torus (which is periodic: 0.5 and -0.5 are one frequency).

    Args:
        at: Frequencies `f_k`, each one number per spatial axis.
        bandwidth: Standard deviation of the notch, in the unit.
        depth: Weight at the centre, in [0, 1].
        unit: "cycles" per sample, or "corner": fractions of the corner radius.
    """

    measures: ClassVar[Mapping[str, str]] = {"at": "at", "bandwidth": "radius"}
    names_axes = True
    at: tuple[tuple[float, ...], ...] = ()
    bandwidth: float = 0.01
    depth: float = 0.0
    unit: str = "cycles"

    def __post_init__(self) -> None:
        listed = self.at if isinstance(self.at, (list, tuple)) else (self.at,)
        at = tuple(tuple(f) if isinstance(f, (list, tuple)) else (f,) for f in listed)
        if not at:
            raise InputError("notch needs at least one frequency, e.g. at=[[0.25, 0.0]]")
        for number in (n for f in at for n in f):
            require_finite("notch frequency", number)
        object.__setattr__(self, "at", tuple(tuple(map(float, f)) for f in at))
        require_finite("notch bandwidth", self.bandwidth)
        require_finite("notch depth", self.depth)
        if not self.bandwidth > 0 or not 0 <= self.depth <= 1:
            raise InputError(
                f"notch needs bandwidth > 0 and depth in [0, 1], got bandwidth={self.bandwidth}, depth={self.depth}"
            )
        if self.unit not in ("cycles", "corner"):
            raise InputError(f"notch unit must be 'cycles' or 'corner', got {self.unit!r}")

    def weights(self, frequencies: Tensor) -> Tensor:
        """`depth` at the notches, 1 far from them."""
        return self.weights_of_period(frequencies, 1.0)

    def weights_of_period(self, frequencies: Tensor, period: Tensor | float) -> Tensor:
        """Likewise."""
        scale = 1.0 if self.unit == "cycles" else corner_radius(len(frequencies))
        keep = torch.ones_like(frequencies[0])
        for f in self.at:
            if len(f) != len(frequencies):
                raise InputError(
                    f"notch frequency {f} has {len(f)} numbers, the data has {len(frequencies)} spatial axes"
                )
            centre = scale * torch.tensor(f, dtype=frequencies.dtype).reshape(-1, *(1,) * (frequencies.ndim - 1))
            centre = centre.to(frequencies)
            # The nearer of +f and -f, on the torus.
            distance = torch.minimum(*(distance_on_torus(frequencies - s * centre, period) for s in (1, -1)))
            # But for rounding, a frequency this close is the notch itself and has exactly its depth.
            distance = torch.where(distance < EDGE, 0.0, distance)
            w = -torch.expm1(-((distance / (scale * self.bandwidth)) ** 2) / 2)
            keep = keep * in_range(w, f"notch bandwidth={self.bandwidth}", distance > 0)
        return self.depth + (1 - self.depth) * keep
