"""Bands with edges: rings of radii, and wedges of directions, over a smooth fit and over their neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.basis.base import corner_radius
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Ring, Wedge

LEAST = 0.25
"""Least contrast in nats; what is less is not worth a word."""
_Z = 5.0
"""Standard errors that a contrast must exceed."""
_WIDEST = 0.6
CENTRE = 5
"""Steps from DC within which no ring begins: a spectrum is too hollow there for a fit to tell."""
_MARGIN = 3
"""Bins of radius beside a ring that it is compared with, after one that its edge blurs."""
_LEAST_OF_WEDGE = 0.5
"""The same of wedges, as which pictures have much: a ridge of the spectrum has some width."""
_SECTORS = 36
_BESIDE = 5


@dataclass(frozen=True)
class Band:
    """A band that stands out.

    Attributes:
        shape: Where.
        inside: Flat numbers of its coefficients.
        beside: Those of its neighbours.
        excess: Mean logarithm of its power over its neighbours on the side where that is less, in nats.
        errors: The same in standard errors.
        share: Share of all frequencies.
        edge: Step of the mean logarithm at the less steep of its edges, in nats; of a wedge its contrast.
    """

    shape: Spectrum
    inside: Tensor
    beside: Tensor
    excess: float
    errors: float
    share: float
    edge: float


def find_ring(e: Tensor, basis: FourierBasis, free: Tensor, error: float) -> Band | None:
    """The ring that stands out most.

    Args:
        e: Logarithm of the power over a smooth fit, `(*coefficients)`.
        basis: Its basis.
        free: Frequencies that count, `(*coefficients)`, bool.
        error: Standard deviation of `e` where nothing stands out.
    """
    rho = basis.radius().double() / corner_radius(len(basis.spatial))
    bins = max(8, min(60, math.floor(max(basis.spatial) * corner_radius(len(basis.spatial)))))
    number = (rho * bins).long().clamp(max=bins - 1)
    weight = basis.multiplicity().double() * free
    total, count = (
        torch.zeros(bins, dtype=torch.float64).index_add_(0, number.flatten(), v.flatten())
        for v in (weight * e, weight)
    )
    sums, counts = ([0.0, *v.cumsum(0).tolist()] for v in (total, count))

    def mean(a: int, b: int) -> tuple[float, float]:
        n = counts[b] - counts[a]
        return (sums[b] - sums[a]) / n if n > 0 else 0.0, n

    best, most = None, 0.0
    first = math.ceil(CENTRE * bins / (min(basis.spatial) * corner_radius(len(basis.spatial))))
    for low in range(first, bins):
        for high in range(low + 1, min(bins, low + max(1, round(_WIDEST * bins))) + 1):
            level, n = mean(low, high)
            sides = [(max(0, low - 1 - _MARGIN), low - 1), (high + 1, min(bins, high + 1 + _MARGIN))]
            near = [m for m in (mean(a, b) for a, b in sides if b > a) if m[1] > 0]
            # A band that reaches the corner has one neighbour, of which a fit is less certain.
            if n <= 0 or not near or (len(near) < 2 and high < bins):
                continue
            contrast = level - max(m for m, _ in near)
            z = contrast / (error * math.sqrt(2 / n + 2 / min(c for _, c in near)))
            if contrast >= LEAST and z >= _Z and n * contrast**2 > most:
                best, most = (low, high, contrast, z, sides), n * contrast**2
    if best is None:
        return None
    low, high, contrast, z, sides = best
    inside = (number >= low) & (number < high) & free
    beside = torch.zeros_like(inside)
    for a, b in sides:
        beside |= (number >= a) & (number < b) & free
    shape = Ring(round(low / bins, 4), round(high / bins, 4))
    means = total / count
    steps = []
    for out, within in (((low - 3, low - 1), (low, low + 2)), ((high + 1, high + 3), (high - 2, high))):
        if out[0] >= 0 and out[1] <= bins:
            levels = [means[max(a, 0) : b].nanmean() for a, b in (within, out)]
            steps.append(float(levels[0] - levels[1]))
    edge = min((s for s in steps if math.isfinite(s)), default=contrast)
    share = float(count[low:high].sum() / count.sum())
    return Band(shape, _flat(inside), _flat(beside), contrast, z, share, edge)


def find_wedge(e: Tensor, basis: FourierBasis, free: Tensor, error: float) -> Band | None:
    """The wedge that stands out most, in two dimensions; see `find_ring`."""
    if len(basis.spatial) != 2:
        return None
    f, rho = basis.frequencies().double(), basis.radius().double() / corner_radius(2)
    turn = torch.rad2deg(torch.atan2(f[0], f[1])) % 180
    number = ((turn + 90 / _SECTORS) / (180 / _SECTORS)).long() % _SECTORS
    best, most = None, 0.0
    for start in (0.05, 0.2):
        weight = basis.multiplicity().double() * free * (rho >= start)
        total, count = (
            torch.zeros(_SECTORS, dtype=torch.float64).index_add_(0, number.flatten(), v.flatten()).tolist()
            for v in (weight * e, weight)
        )

        def mean(sectors: list[int], total: list[float] = total, count: list[float] = count) -> tuple[float, float]:
            n = sum(count[s] for s in sectors)
            return sum(total[s] for s in sectors) / n if n > 0 else 0.0, n

        for first in range(_SECTORS):
            for width in (3, 5, 7, 9, 11, 13):
                inside = [(first + k) % _SECTORS for k in range(width)]
                before = [(first - 2 - k) % _SECTORS for k in range(_BESIDE)]
                after = [(first + width + 1 + k) % _SECTORS for k in range(_BESIDE)]
                (level, n), *sides = (mean(s) for s in (inside, before, after))
                if min(n, *(c for _, c in sides)) <= 0:
                    continue
                contrast = level - max(m for m, _ in sides)
                z = contrast / (error * math.sqrt(2 / n + 2 / min(c for _, c in sides)))
                if contrast >= _LEAST_OF_WEDGE and z >= _Z and n * contrast**2 > most:
                    best, most = (start, inside, before + after, contrast, z), n * contrast**2
    if best is None:
        return None
    start, inside, beside, contrast, z = best
    within, around = (torch.isin(number, torch.tensor(s)) & free & (rho >= start) for s in (inside, beside))
    step = 180 / _SECTORS
    middle = (inside[0] + (len(inside) - 1) / 2) * step % 180
    shape = Wedge(middle, len(inside) * step, start)
    share = float((basis.multiplicity() * within).sum() / basis.multiplicity().sum())
    return Band(shape, _flat(within), _flat(around), contrast, z, share, contrast)


def _flat(inside: Tensor) -> Tensor:
    return inside.flatten().nonzero()[:, 0]
