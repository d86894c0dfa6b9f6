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

MOST = 4
"""Bands of a kind that are looked at."""
_SAME = 0.5
"""What two of them share of what they cover together, beyond which they are the same."""
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


def find_rings(e: Tensor, basis: FourierBasis, free: Tensor, error: float) -> list[Band]:
    """The rings that stand out most, none of which is mostly part of another.

    Args:
        e: Logarithm of the power over a smooth fit, `(*coefficients)`.
        basis: Its basis.
        free: Frequencies that count, `(*coefficients)`, bool.
        error: Standard deviation of `e` where nothing stands out.
    """
    corner = corner_radius(len(basis.spatial))
    bins = max(8, min(60, math.floor(max(basis.spatial) * corner)))
    number = (basis.radius().double() / corner * bins).long().clamp(max=bins - 1)
    total, count = _sums(number, basis.multiplicity().double() * free, e, bins)
    sums, counts = (torch.cat([v.new_zeros(1), v.cumsum(0)]) for v in (total, count))

    def mean(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        a, b = a.clamp(0, bins), b.clamp(0, bins)
        n = torch.where(b > a, counts[b] - counts[a], 0.0)
        return (sums[b] - sums[a]) / n.clamp(min=1e-9), n

    first = math.ceil(CENTRE * bins / (min(basis.spatial) * corner))
    low, high = (i + d for i, d in zip(torch.triu_indices(bins, bins), (0, 1), strict=True))
    kept = (low >= first) & (high - low <= max(1, round(_WIDEST * bins)))
    low, high = low[kept], high[kept]
    (level, n), *sides = (
        mean(a, b) for a, b in ((low, high), (low - 1 - _MARGIN, low - 1), (high + 1, high + 1 + _MARGIN))
    )
    # A band that reaches the corner has one neighbour, of which a fit is less certain.
    enough = (n > 0) & (sides[0][1] > 0) & ((sides[1][1] > 0) | (high == bins))
    beside = torch.maximum(sides[0][0], torch.where(sides[1][1] > 0, sides[1][0], -math.inf))
    fewest = torch.minimum(sides[0][1], torch.where(sides[1][1] > 0, sides[1][1], math.inf))
    contrast = level - beside
    errors = contrast / (error * (2 / n.clamp(min=1e-9) + 2 / fewest.clamp(min=1e-9)).sqrt())
    height = torch.where(enough & (contrast >= LEAST) & (errors >= _Z), n * contrast**2, 0.0)
    spans: list[tuple[int, int]] = []
    found: list[Band] = []
    for i in height.argsort(descending=True).tolist():
        if len(found) == MOST or not height[i] > 0:
            break
        span = int(low[i]), int(high[i])
        if all(_another(span, other, float(beside[i]), total, count) for other in spans):
            spans.append(span)
            found.append(_ring(span, number, free, total / count, float(contrast[i]), float(errors[i]), count))
    return found


def _another(span: tuple[int, int], other: tuple[int, int], beside: float, total: Tensor, count: Tensor) -> bool:
    """Whether a ring is not the same as a stronger one: a part of it with edges of its own, or high without it too."""
    (low, high), (first, last) = span, other
    both = max(0, min(high, last) - max(low, first))
    if both > _SAME * (high - low + last - first - both):
        return False
    rest = [k for k in range(low, high) if not first <= k < last]
    n = float(count[rest].sum())
    return not rest or (n > 0 and float(total[rest].sum()) / n - beside >= LEAST)


def _ring(
    span: tuple[int, int], number: Tensor, free: Tensor, means: Tensor, contrast: float, errors: float, count: Tensor
) -> Band:
    """The ring of some bins of radius, given their mean levels and their weights."""
    (low, high), bins = span, len(means)
    inside = (number >= low) & (number < high) & free
    beside = torch.zeros_like(inside)
    for a, b in ((low - 1 - _MARGIN, low - 1), (high + 1, high + 1 + _MARGIN)):
        beside |= (number >= a) & (number < b) & free
    steps = []
    for out, within in (((low - 3, low - 1), (low, low + 2)), ((high + 1, high + 3), (high - 2, high))):
        if out[0] >= 0 and out[1] <= bins:
            levels = [means[max(a, 0) : b].nanmean() for a, b in (within, out)]
            steps.append(float(levels[0] - levels[1]))
    edge = min((s for s in steps if math.isfinite(s)), default=contrast)
    share = float(count[low:high].sum() / count.sum())
    shape = Ring(round(low / bins, 4), round(high / bins, 4))
    return Band(shape, _flat(inside), _flat(beside), contrast, errors, share, edge)


def find_wedges(e: Tensor, basis: FourierBasis, free: Tensor, error: float) -> list[Band]:
    """The wedges that stand out most, in two dimensions; see `find_rings`."""
    if len(basis.spatial) != 2:
        return []
    f, rho = basis.frequencies().double(), basis.radius().double() / corner_radius(2)
    turn = torch.rad2deg(torch.atan2(f[0], f[1])) % 180
    number = ((turn + 90 / _SECTORS) / (180 / _SECTORS)).long() % _SECTORS
    widths = torch.tensor([3, 5, 7, 9, 11, 13])
    ranked: list[tuple[float, float, list[int], float, float]] = []
    for start in (0.05, 0.2):
        total, count = _sums(number, basis.multiplicity().double() * free * (rho >= start), e, _SECTORS)
        sums, counts = (torch.cat([v.new_zeros(1), v.repeat(3).cumsum(0)]) for v in (total, count))
        first, width = (v.flatten() for v in torch.meshgrid(torch.arange(_SECTORS), widths, indexing="ij"))
        first = first + _SECTORS
        ends = (
            (first, first + width),
            (first - 1 - _BESIDE, first - 1),
            (first + width + 1, first + width + 1 + _BESIDE),
        )
        n, before, after = (counts[b] - counts[a] for a, b in ends)
        level, *sides = (
            (sums[b] - sums[a]) / w.clamp(min=1e-9) for (a, b), w in zip(ends, (n, before, after), strict=True)
        )
        fewest = torch.minimum(before, after)
        contrast = level - torch.maximum(*sides)
        errors = contrast / (error * (2 / n.clamp(min=1e-9) + 2 / fewest.clamp(min=1e-9)).sqrt())
        good = (n > 0) & (fewest > 0) & (contrast >= _LEAST_OF_WEDGE) & (errors >= _Z)
        for i in good.nonzero()[:, 0].tolist():
            span = [int(s) % _SECTORS for s in range(int(first[i]), int(first[i] + width[i]))]
            ranked.append((float(n[i] * contrast[i] ** 2), start, span, float(contrast[i]), float(errors[i])))
    found: list[Band] = []
    spans: list[set[int]] = []
    for _, start, span, contrast_, errors_ in sorted(ranked, key=lambda r: -r[0]):
        if len(found) == MOST:
            break
        own = set(span)
        if any(len(own & other) > _SAME * len(own | other) for other in spans):
            continue
        spans.append(own)
        found.append(_wedge(start, span, number, free & (rho >= start), basis, contrast_, errors_))
    return found


def _wedge(
    start: float, span: list[int], number: Tensor, free: Tensor, basis: FourierBasis, contrast: float, errors: float
) -> Band:
    """The wedge of some sectors, from a radius on."""
    beside = [(span[0] - 2 - k) % _SECTORS for k in range(_BESIDE)]
    beside += [(span[-1] + 2 + k) % _SECTORS for k in range(_BESIDE)]
    within, around = (torch.isin(number, torch.tensor(s)) & free for s in (span, beside))
    step = 180 / _SECTORS
    shape = Wedge((span[0] + (len(span) - 1) / 2) * step % 180, len(span) * step, start)
    share = float((basis.multiplicity() * within).sum() / basis.multiplicity().sum())
    return Band(shape, _flat(within), _flat(around), contrast, errors, share, contrast)


def _sums(number: Tensor, weight: Tensor, e: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Weighted sums of `e` and weights by bin, `(bins,)`."""
    total, count = (
        torch.zeros(bins, dtype=torch.float64).index_add_(0, number.flatten(), v.flatten())
        for v in (weight * e, weight)
    )
    return total, count


def _flat(inside: Tensor) -> Tensor:
    return inside.flatten().nonzero()[:, 0]
