"""What damage in a band is like, beyond where it is: the same in all images, or stronger where these are brighter.

Omission supposes damage of mean zero that knows nothing of the image. A sensor's pattern is its own mean, and a gain
multiplies: a network learns either from what it sees. Both are told from damaged images alone.

*Fixed.* Of `N` images, `F = (N |mean X|^2 - mean |X|^2) / (N - 1)` is, without bias, the power of what all share, by
frequency. In the band it is compared with the band's power, less in both what frequencies beside it have.

*Multiplied.* Across images, the logarithm of the band's power is regressed on that of the mean square of the image:
0 for damage that adds, 1 for damage that multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Spectrum

_LEAST = 30
"""Images, at least, that tell."""
_STANDS_OUT = 1.25
"""Power of the band over that beside it below which nothing is told of damage."""
_SURE = 3.0
"""Standard errors."""
_MOSTLY = 0.5
"""Share, or slope, from which on damage is said to be so."""
_BESIDE = 3
"""Steps beside a band in which frequencies count as beside it."""


@dataclass(frozen=True)
class Premise:
    """How damage is.

    Attributes:
        fixed: Share of the damage's power that is the same in all images; None: cannot be told.
        multiplies: Slope of its power on that of the image, in logarithms; None: cannot be told.
        error: Standard error of the slope.
        clipped: Whether it is stronger where images are brighter, and values were cut off where they are dark.
    """

    fixed: float | None = None
    multiplies: float | None = None
    error: float = math.inf
    clipped: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether most of it is the same in all images."""
        return self.fixed is not None and self.fixed > _MOSTLY

    @property
    def is_multiplied(self) -> bool:
        """Whether it is stronger where images are brighter, surely and mostly."""
        return self.multiplies is not None and self.multiplies > max(_MOSTLY, _SURE * self.error)

    @property
    def _why(self) -> str:
        if self.clipped:
            return (
                ", and what is seen tells of it, or it was cut off where they are dark: take it out with mode"
                " 'cleaned' and process.omission.band auto, which finds out which of both"
            )
        return (
            ": what is seen tells of it; take it out of their logarithm with mode 'cleaned' and process.omission.log"
            " yes"
        )

    def lines(self) -> list[str]:
        """What is not as omission supposes, a sentence each."""
        said = []
        if self.fixed is not None and self.is_fixed:
            said.append(
                f"{100 * min(1.0, self.fixed):.0f} % of the damage's power is the same in all images: a network learns"
                " that as part of them, and so has the mean of the data; subtract a flat field, or the mean of many"
                " different images, before"
            )
        if self.multiplies is not None and self.is_multiplied:
            said.append(
                f"the damage is stronger where images are brighter (slope {self.multiplies:.2f} +- {self.error:.2f}, 1"
                f" if it multiplies them){self._why}, or leave the band out with mode 'project'"
            )
        return said


def premise(images: Iterable[Tensor], band: Spectrum | str, basis: Basis, dark: float | None = None) -> Premise:
    """How the damage in a band is.

    Args:
        images: Batches of damaged images `(B, C, *spatial)`.
        band: Where the damage is.
        basis: Basis of the images.
        dark: Value where there is no light, from which brightness counts, -1 for images scaled to [-1, 1]; None: there
            is no such thing as brightness.

    Raises:
        InputError: If the band is none of the basis.
    """
    inside = _inside(band, basis)
    beside = _beside(inside, basis)
    weight = basis.multiplicity()
    total: Tensor | None = None
    power, count = torch.zeros(()), 0
    strength, brightness = [], []
    for x in images:
        c = basis.forward(x.double())
        p = c.abs().square()
        total = c.sum(0) if total is None else total + c.sum(0)
        power, count = power + p.sum(0), count + len(x)
        strength.append((p * weight * inside).flatten(1).sum(1))
        brightness.append(_brightness(x, dark or 0.0))
    if total is None or count < _LEAST or not beside.any():
        return Premise()
    mean_power = power / count
    shared = (count * (total / count).abs().square() - mean_power) / (count - 1)

    def level(v: Tensor, where: Tensor) -> float:
        return float((weight * where * v).sum() / ((weight * where).sum() * len(v)))

    held, usual = level(mean_power, inside), level(mean_power, beside)
    if held < _STANDS_OUT * usual:
        return Premise()
    fixed = (level(shared, inside) - level(shared, beside)) / (held - usual)
    if dark is None:
        return Premise(max(0.0, fixed))
    slope, error = _slope(torch.cat(brightness), torch.cat(strength))
    return Premise(max(0.0, fixed), slope, error)


def on_brightness(x: Tensor, band: Spectrum | str, basis: Basis) -> tuple[float | None, float]:
    """Slope of the power in a band on the mean square of arrays `(N, C, *spatial)` of values from 0 on, in logarithms,
    and its standard error; None of fewer than tell.

    It is that of damage, content and all: a gain has no less than either.
    """
    if len(x) < _LEAST:
        return None, math.inf
    weight = basis.multiplicity() * _inside(band, basis)
    return _slope(_brightness(x), (basis.forward(x.double()).abs().square() * weight).flatten(1).sum(1))


def _inside(band: Spectrum | str, basis: Basis) -> Tensor:
    """Frequencies that a band holds in any channel, `(*coefficients)`."""
    b = mask(band, basis) > 0
    return b.any(0) if b.ndim > len(basis.coefficients) else b


def _brightness(x: Tensor, dark: float = 0.0) -> Tensor:
    """Mean square of arrays `(N, C, *spatial)` over the value without light, `(N,)`."""
    return (x.double() - dark).square().flatten(1).mean(1)


def _beside(inside: Tensor, basis: Basis) -> Tensor:
    """Frequencies within a few steps of a band, DC left out, `(*coefficients)`."""
    near, frequencies = inside, basis.frequencies()
    for axis, f in enumerate(frequencies):
        side = near.shape[axis]
        steps = torch.arange(side)[:, None] + torch.arange(-_BESIDE, _BESIDE + 1)
        # Axes of frequencies of both signs close on themselves, the others end.
        steps = steps.remainder(side) if bool((f < 0).any()) else steps.clamp(0, side - 1)
        near = near.movedim(axis, 0)[steps].any(1).movedim(0, axis)
    return near & ~inside & (basis.radius() > 0)


def _slope(x: Tensor, y: Tensor) -> tuple[float | None, float]:
    """Slope of a line through logarithms of points, and its standard error; None where these are all at one place."""
    x, y = (z.clamp(min=1e-30).log() for z in (x, y))
    u, v = x - x.mean(), y - y.mean()
    spread = float(u.square().sum())
    if spread < 1e-6 * len(x):
        return None, math.inf
    slope = float((u * v).sum()) / spread
    left = float((v - slope * u).square().sum())
    return slope, math.sqrt(left / max(1, len(x) - 2) / spread)
