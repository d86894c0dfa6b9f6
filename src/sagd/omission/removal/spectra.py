"""The two spectra that a gain is made of: `S`, the clean one, from beside the band, and `N`, the damage's, inside it.

* `log S` is smooth: a local linear regression of the log power on the log radius, over frequencies beside the band, the
  nearest weighing most. Means of logarithms are not moved by the few peaks of structure.
* `N` is constant across levels of its shape and smooth along it. It is fitted by the Whittle likelihood (powers are
  exponential of mean `S + N`, or Gamma where several are averaged), in which frequencies where the clean spectrum
  dominates count for nothing: those near DC, where an image has all its power in a few waves. What is more than
  `_MOST` times its mean is cut off there, as structure is. Of several small items it is known place by place along a
  line: `log N` is locally straight, and levels beside the middle one are damaged as far as they stick out.

Sources: "Estimation and information in stationary time series" (Whittle, 1953); the local likelihood of Fan and
Kreutzberger, "Automatic local smoothing for spectral density estimation" (1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sagd.omission.removal.geometry import Part

_BANDWIDTH = 0.2
"""Of the regression, in log radius, where there are enough frequencies."""
_ENOUGH = 12.0
"""Sum of weights that a regression needs."""
_CELLS = 400
"""Cells of log radius into which frequencies are pooled before it."""
_BESIDE = 4.0
"""Steps of the grid, beyond the band's edge, at which weights have fallen to 1/e; or half the band's width."""
_RINGS = 60
_FAR = 10.0
"""Such distances at which nothing counts any more."""
_RIDGE = 1e-3
"""Pull of the regression towards a constant, where frequencies lie all at one radius."""
_ALONG = 8.0
"""Steps at which what lies along a line counts half."""
SMALL = 2**14
"""Places of an item below which all items of a file are measured together."""
_SEVERAL = 16
"""Small items whose mean powers say more of damage than of their structure. Blocks of a large one share that."""
_RISE = 4.0
"""How far damage that is all that there is may rise over its mean along a line, as a multiple of that."""
_PLACES = 512
"""Places along a line, at most."""
_GROUP = 8.0
"""Frequencies that a level of a spot has at least, and `_GROWTH` of those nearer to its middle."""
_GROWTH = 0.1
_MOST = 3.0
_DOUBT = 3.0
"""Times that `S` may be too small, for weighing frequencies."""
_ROUNDS = 10
_SETTLED = 0.01
"""Change of `log N` in a round after which none follows."""
_SURE = 4.0
"""Standard errors by which the mean log power of a level of a line exceeds that of `S` where there is damage."""
_SURE_OF_SPOT = 2.0
"""The same of a spot as a whole; few draws exceed their mean logarithm by much."""
_LEAST = 0.7
"""Difference of mean logarithms that counts in a level of a line; `_LEAST_OF_SPOT` in one of a spot."""
_LEAST_OF_SPOT = 0.25


@dataclass(frozen=True)
class Powers:
    """Mean powers of coefficients.

    Attributes:
        radius: `(*coefficients)`.
        power: Likewise, above 0.
        weight: What each counts: 0 at DC.
        count: Powers that were averaged.
        step: Distance of neighbours on the finest axis, in cycles per sample.
        several: Whether they are of several small items.
    """

    radius: Tensor
    power: Tensor
    weight: Tensor
    count: int
    step: float
    several: bool

    def at(self, index: Tensor) -> Powers:
        """Those at some coefficients, `(n,)`."""
        return replace(self, radius=self.radius[index], power=self.power[index], weight=self.weight[index])

    def log(self, at: Tensor) -> Tensor:
        """Logarithms of the powers at a mask, without the bias that those of draws have."""
        bias = float(torch.digamma(torch.tensor(float(self.count), dtype=torch.float64))) - math.log(self.count)
        return self.power[at].log() - bias


def are_several(count: int, spatial: Sequence[int]) -> bool:
    """Whether so many arrays of a size are several small items."""
    return count >= _SEVERAL and math.prod(spatial) < SMALL


def fit(powers: Powers, part: Part, taken: Tensor) -> tuple[Tensor, Tensor]:
    """`S` and `N` at the frequencies of a part, `(inside.sum(),)`; `N` is 0 where nothing sticks out of `S`.

    Args:
        powers: Measured.
        part: The shape.
        taken: Frequencies of any shape of the band, bool: none of them is clean.
    """
    edge = float(part.across[part.inside].max())
    near = part.inside | (part.across < edge + _FAR * max(_BESIDE * powers.step, edge / 2))
    if (near & ~taken).sum() < _ENOUGH:
        near = torch.ones_like(near)
    powers, part, taken = powers.at(near), part.at(near), taken[near]
    inside = part.inside & (powers.weight > 0)
    others = taken & ~inside
    level = _levels(part, inside, powers)
    smooth = _smooth(powers, part, inside, inside | others)
    # Levels beyond the first that does not stick out are clean after all, and tell more of `S` than what is farther.
    held = level < _first_clean(powers, inside, level, smooth, part.extended)
    if part.extended and powers.several:
        held |= _damaged_in_places(powers, inside, level, smooth)
    damaged = inside.clone()
    damaged[inside] = held
    if not damaged.any():
        return smooth, torch.zeros_like(smooth)
    if not held.all():
        smooth = _smooth(powers, part, damaged, damaged | others, inside)
    noise = torch.zeros_like(smooth)
    noise[held] = _damage(powers, damaged, level[held], smooth[held], part.extended)
    return smooth, noise


def profile(powers: Powers, taken: Tensor) -> Tensor:
    """`S` by radius alone, `(*coefficients)`: the mean log power of rings, of frequencies not taken."""
    clean = ~taken & (powers.weight > 0)
    low = math.log(powers.step / 2)
    size = (float(powers.radius.max().log()) - low) / _RINGS
    ring = ((powers.radius.clamp(min=powers.step / 2).log() - low) / size).long().clamp(max=_RINGS - 1)
    weight = powers.weight[clean]
    count, total = (
        torch.zeros(_RINGS, dtype=weight.dtype).index_add_(0, ring[clean], v)
        for v in (weight, weight * powers.log(clean))
    )
    known = count > 0
    mean = total[known] / count[known]
    # A ring without any takes the value of the next inner one, or of the first.
    return mean.exp()[(known.cumsum(0) - 1).clamp(min=0)][ring]


def _smooth(powers: Powers, part: Part, inside: Tensor, taken: Tensor, at: Tensor | None = None) -> Tensor:
    """`S` at frequencies `at`, by default those inside, from those not taken."""
    edge = float(part.across[inside].max())
    beside = ~taken & (powers.weight > 0)
    reach = max(_BESIDE * powers.step, edge / 2)
    weight = powers.weight[beside] * torch.exp((edge - part.across[beside]).clamp(max=0) / reach)
    place = powers.radius[beside].log()
    low, high = math.log(powers.step / 2), float(powers.radius.max().log()) + 1e-6
    cell = ((place - low) / (high - low) * _CELLS).long().clamp(0, _CELLS - 1)
    total, x, y = (
        torch.zeros(_CELLS, dtype=weight.dtype).index_add_(0, cell, v)
        for v in (weight, weight * place, weight * powers.log(beside))
    )
    known = total > 0
    total, x, y = total[known], x[known] / total[known], y[known] / total[known]
    knots = torch.linspace(low, high, _CELLS // 4, dtype=weight.dtype)
    away = x - knots[:, None]
    width = torch.full_like(knots, _BANDWIDTH)[:, None]
    enough = min(_ENOUGH, 0.5 * float(total.sum()))
    for _ in range(40):
        kernel = total * torch.exp(-((away / width) ** 2) / 2)
        few = kernel.sum(1, keepdim=True) < enough
        if not few.any():
            break
        width = torch.where(few, 1.2 * width, width)
    s0, s1, s2, t0, t1 = (
        (kernel * v).sum(1) for v in (torch.ones_like(away), away, away**2, y.expand_as(away), away * y)
    )
    ridge = _RIDGE * width[:, 0] ** 2 * s0
    value = ((s2 + ridge) * t0 - s1 * t1) / ((s2 + ridge) * s0 - s1**2).clamp(min=1e-12 * float(s0.max()) ** 2)
    return _between(powers.radius[inside if at is None else at].log(), knots, value).exp()


def _between(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation on equidistant knots."""
    place = ((x - knots[0]) / (knots[1] - knots[0])).clamp(0, len(knots) - 1)
    left = place.long().clamp(max=len(knots) - 2)
    return torch.lerp(values[left], values[left + 1], place - left)


def _levels(part: Part, inside: Tensor, powers: Powers) -> Tensor:
    """Number of each frequency's level, from the middle outwards."""
    across = part.across[inside]
    if part.extended:
        return (across / powers.step).round().long()
    distance, order = across.sort()
    counted = powers.weight[inside][order].cumsum(0)
    starts, total = [0], 0.0
    while True:
        wanted = total + max(_GROUP, _GROWTH * total)
        at = int(torch.searchsorted(counted, wanted))
        # What lies equally far is one level.
        while 0 < at < len(distance) and distance[at] - distance[at - 1] < 1e-9:
            at += 1
        if at >= len(distance):
            break
        starts.append(at)
        total = float(counted[at - 1])
    number = torch.zeros(len(distance), dtype=torch.long)
    number[torch.tensor(starts)] = 1
    level = torch.empty_like(number)
    level[order] = number.cumsum(0) - 1
    return level


def _first_clean(powers: Powers, inside: Tensor, level: Tensor, smooth: Tensor, extended: bool) -> int:
    """The first level, from the middle, whose power does not stick out of `S`.

    Levels of a line hold many frequencies, each is judged by itself. Those of a spot hold few: where the mean excess
    changes from more than `_LEAST_OF_SPOT` to less is told by cumulative sums, unless all before could be chance.
    """
    weight = powers.weight[inside] / 2  # both of a pair of coefficients are one draw
    excess = weight * (powers.log(inside) - smooth.log())
    count, total = (
        torch.zeros(int(level.max()) + 1, dtype=weight.dtype).index_add_(0, level, v) for v in (weight, excess)
    )
    spread = math.sqrt(float(torch.polygamma(1, torch.tensor(float(powers.count), dtype=torch.float64))))
    if extended:
        # Where axes differ in length some numbers are of no level: they say nothing.
        clean = (total <= (_SURE * spread * count.sqrt()).maximum(_LEAST * count)) & (count > 0)
        return int(clean.nonzero()[0]) if clean.any() else len(clean)
    first = int((total - _LEAST_OF_SPOT * count).cumsum(0).argmax()) + 1
    return first if float(total[:first].sum()) > _SURE_OF_SPOT * spread * math.sqrt(float(count[:first].sum())) else 0


def _damaged_in_places(powers: Powers, inside: Tensor, level: Tensor, smooth: Tensor) -> Tensor:
    """Which frequencies of a line stick out of `S`, from the middle outwards, place by place along it, bool.

    Of a level that sticks out where content is weak alone, the mean is too little. Of a few arrays, structure does so.
    """
    weight, cells = powers.weight[inside] / 2, _Cells(powers, inside, level, True)
    total, count = cells.pooled(weight * (powers.log(inside) - smooth.log()), weight)
    clean = total <= _LEAST * count
    first = torch.full((cells.levels * cells.places,), False).index_put_((cells.number,), clean)
    return ~first.reshape(cells.levels, -1).long().cummax(0).values.bool().flatten()[cells.number]


class _Cells:
    """Frequencies of a shape by level and, of a line, by place along it, where neighbours count, too.

    Args:
        powers: Measured.
        inside: Where the shape is.
        level: Of each frequency inside.
        extended: Whether it is a line.
    """

    def __init__(self, powers: Powers, inside: Tensor, level: Tensor, extended: bool) -> None:
        largest = float(powers.radius.max())
        self.levels = int(level.max()) + 1
        self.places = min(_PLACES, int(largest / powers.step) + 2) if extended else 1
        size = largest / max(self.places - 1, 1)
        place = (powers.radius[inside] / size).round().long() if extended else 0
        self.number = level * self.places + place
        place_of = torch.arange(self.places, dtype=powers.power.dtype)
        self.apart = (place_of[:, None] - place_of) * size / (_ALONG * powers.step)
        self.kernel = 1 / (1 + self.apart**2)

    def pooled(self, *values: Tensor, power: int = 0) -> Tensor:
        """Sums over the cell of each frequency and, weighed, along its level, times a power of the distance."""
        v = torch.stack(values)
        sums = torch.zeros(len(v), self.levels * self.places, dtype=v.dtype).index_add_(1, self.number, v)
        kernel = self.kernel * self.apart**power
        return (sums.reshape(-1, self.places) @ kernel).reshape(len(v), -1)[:, self.number]

    def line_of(self, weight: Tensor, value: Tensor) -> Tensor:
        """What a straight line through values has at each frequency, fitted to those around it."""
        (m, t), (m1, t1) = (self.pooled(weight, weight * value, power=power) for power in (0, 1))
        (m2,) = self.pooled(weight, power=2) + _RIDGE * m
        return (m2 * t - m1 * t1) / (m * m2 - m1**2)


def _damage(powers: Powers, inside: Tensor, level: Tensor, smooth: Tensor, extended: bool) -> Tensor:
    """`N` at the frequencies inside: Fisher scoring of `log N`, pooled over levels and along lines."""
    power, weight = powers.power[inside], powers.weight[inside]
    cells = _Cells(powers, inside, level, extended)
    k = torch.tensor(float(powers.count), dtype=torch.float64)
    # Mean of a Gamma variable of mean 1 that is cut off at `_MOST`.
    kept = float(torch.special.gammainc(k + 1, k * _MOST) + _MOST * torch.special.gammaincc(k, k * _MOST))

    def score(noise: Tensor) -> Tensor:
        expected = smooth + noise
        return ((torch.minimum(power, _MOST * expected) / kept - expected) / noise).clamp(min=-1e6, max=1e6)

    def information(noise: Tensor) -> Tensor:
        return weight * ((noise / (_DOUBT * smooth + noise)) ** 2 + 1e-12)

    excess, total = cells.pooled(weight * (power - smooth).clamp(min=0), weight)
    log = torch.maximum(excess / total, 1e-3 * smooth).log()
    for _ in range(_ROUNDS):
        told = information(log.exp())
        total, usual, change = cells.pooled(told, told * log, told * score(log.exp()))
        before, log = log, usual / total + (change / total).clamp(-1.5, 1.5)
        if (log - before).abs().max() < _SETTLED:
            break
    if not extended or not powers.several:
        return log.exp()
    # Of many arrays, even how the power changes along a line is known. Where content is strong, as near DC, what is
    # over the mean of the line is content that the fit of `S` has missed.
    usual = log.exp()
    told, most = information(usual), log + (_RISE * (usual / (smooth + usual)) ** 4).log1p()
    for _ in range(_ROUNDS):
        before, log = log, cells.line_of(told, log + score(log.exp()).clamp(-1.5, 1.5)).minimum(most)
        if (log - before).abs().max() < _SETTLED:
            break
    return log.exp()
