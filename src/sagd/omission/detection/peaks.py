"""Lines and spots: narrow peaks over their neighbours, between the frequencies of the grid too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sagd.omission.detection.plane import bins, folded, offsets, shifted, unfolded
from sagd.omission.detection.windows import Windows

MOST = 16
"""Peaks that are looked at."""
_GUARD = 3
"""Steps from a peak at which its neighbours begin: the main lobe of Hann's window reaches over two."""
_REACH = {1: 12, 2: 5, 3: 4}
_FARTHEST = {1: 20, 2: 8, 3: 3}
"""Steps that the side lobes of a peak are followed, at most."""
LOBE = 1.5
"""Steps within which the main lobe of Hann's window holds 95 % of its power, about."""
_BEYOND = 6
"""Main lobes of the windows in which a peak was found over which the width of its line is looked for."""
_WIDER = 1.25
"""Outer radius of a ring over its inner one."""
_MORE = 3.0
"""Power of the shoulders of a line, `a`, over what is usual farther out."""
_CORE = 1e3
"""As much says that a frequency is part of a line."""
_TELLS = 16
"""Frequencies whose median says what is usual."""
_MOST_LOBES = 1.5
"""Main lobes, likewise, to which a line may reach: beyond, it would be a peak of its own."""
_MULTIPLES, _PARTS = range(2, 9), range(2, 4)
"""Harmonics that are looked for; and what a wave may be a harmonic of, where that is the weaker."""
_MOVES = 0.75
"""Steps of the windows by which the finest resolution may move a peak."""
_MESHED = 0.5
"""Steps of the windows by which the sum of two peaks may miss a third."""
_CENTRE = 3.5
"""Steps from DC within which no peak is looked for."""


@dataclass(frozen=True)
class Peak:
    """A place where a spectrum stands out.

    Attributes:
        at: Frequency in cycles per sample, one number for each axis.
        index: Its nearest frequency on the plane.
        excess: Of the mean logarithm over its neighbours, in nats.
        chance: Probability that a smooth spectrum has one as high somewhere.
        radius: Of the line, in cycles per sample: how far its power falls.
        reach: What holds 95 % of its power, as part of what the windows can tell apart.
    """

    at: tuple[float, ...]
    index: tuple[int, ...]
    excess: float
    chance: float
    radius: float = 0.0
    reach: float = 1.0


def lobe(excess: float, side: tuple[int, ...]) -> int:
    """Steps from a wave within which it may hide what else is there.

    Beyond its main lobe Hann's window lets less than `1 / (pi k (k^2 - 1))^2` of a wave's power through `k` steps away;
    a tenth of what lies beside it does no harm.

    Args:
        excess: By how much it stands out, in nats.
        side: Samples of the windows.
    """
    most, k = max(2, min(_FARTHEST.get(len(side), 3), min(side) // 6)), 2
    while k < most and (math.pi * (k + 1) * ((k + 1) ** 2 - 1)) ** -2 > 0.1 * math.exp(-excess):
        k += 1
    return k


def local_excess(levels: Tensor, side: tuple[int, ...]) -> Tensor:
    """Mean logarithm of the power over its neighbours in every direction, on the whole plane, `(*side)`."""
    full, rank = unfolded(levels, side), len(side)
    reach = _REACH.get(rank, 4)
    around = shifted(full, offsets(rank, _GUARD, reach)).median(0).values
    for direction in _directions(rank):
        steps = torch.tensor([k * s for k in range(_GUARD, 9) for s in (1, -1)])[:, None] * direction
        around = torch.maximum(around, shifted(full, steps).median(0).values)
    return full - around


def find_peaks(windows: Windows, levels: Tensor, smooth: Tensor, most_chance: float = 0.5) -> list[Peak]:
    """The highest peaks, the least likely by chance first.

    Args:
        windows: Windows.
        levels: Mean logarithm of their power, or of that over a reference.
        smooth: A smooth fit to that. Near DC a spectrum is so hollow that it stands out of its neighbours everywhere;
            what is a peak stands out of those of the rest as well.
        most_chance: Largest probability that a smooth spectrum has one as high.
    """
    rank, side = len(windows.side), windows.side
    e = torch.minimum(local_excess(levels, side), local_excess(levels - smooth, side))
    free = unfolded((bins(windows.basis) > _CENTRE).double(), side) > 0
    if not free.any():
        return []
    known = e[free]
    centre = known.median()
    scatter = max(windows.error, 1.4826 * float((known - centre).abs().median()))
    near = shifted(e, offsets(rank, 1, 2))
    top = free & (e >= near.amax(0))
    height = torch.where(top, (e - centre) / scatter, -math.inf)
    count = float(free.sum()) / 2
    found: list[Peak] = []
    for flat in height.flatten().topk(min(2 * MOST, e.numel())).indices.tolist():
        index = tuple(int(i) for i in np.unravel_index(flat, side))
        z = float(height[index])
        if not z > 0:
            break
        chance = -math.expm1(count * math.log1p(-min(0.5 * math.erfc(z / math.sqrt(2)), 0.999999)))
        mirror = tuple((-i) % n for i, n in zip(index, side, strict=True))
        if chance > most_chance or any(_close(peak.index, i, side) for peak in found for i in (index, mirror)):
            continue
        found.append(Peak(between(windows, index), index, float(e[index]), chance))
    return found[:MOST]


def between(windows: Windows, index: tuple[int, ...]) -> tuple[float, ...]:
    """The frequency of a peak, from a parabola through the logarithms of three powers along each axis."""
    side, power = windows.side, windows.power.flatten()
    at = []
    for axis, n in enumerate(side):
        places = torch.tensor(index)[:, None].repeat(1, 3)
        places[axis] += torch.tensor([-1, 0, 1])
        low, mid, high = power[folded(places, side)].log().tolist()
        curve = low - 2 * mid + high
        shift = max(-0.5, min(0.5, 0.5 * (low - high) / curve)) if curve < 0 else 0.0
        f = (index[axis] + shift) / n
        at.append(f - round(f))
    if next((f for f, n in zip(reversed(at), reversed(side), strict=True) if abs(f) * n > 0.5), 0.0) < 0:
        # Of a peak and its mirror, one.
        at = [-f for f in at]
    return tuple(at)


def measured(peak: Peak, windows: Windows, fine: Windows) -> Peak:
    """With the width of its line, and its place, as the finest resolution shows them.

    Args:
        peak: What was found.
        windows: Where.
        fine: Larger windows of the same arrays, or the same ones.
    """
    rank, side = len(fine.side), fine.side
    # As far as the main lobe of the windows in which it was found.
    far = [max(2, round(2 * n / s)) for n, s in zip(side, windows.side, strict=True)]
    stride = [max(1, 2 * r // (4000 if rank == 1 else 64 if rank == 2 else 16)) for r in far]
    grids = [torch.arange(-_BEYOND * r, _BEYOND * r + 1, s) for r, s in zip(far, stride, strict=True)]
    steps = torch.stack([g.flatten() for g in torch.meshgrid(*grids, indexing="ij")])
    centre = torch.tensor([round(f * n) for f, n in zip(peak.at, side, strict=True)])[:, None]
    power = fine.power.flatten()[folded(centre + steps, side)]
    sizes, reach = torch.tensor(side, dtype=torch.float64)[:, None], torch.tensor(far, dtype=torch.float64)[:, None]
    lobes = (steps / reach).abs().amax(0)
    background = power[(lobes > 1) & (lobes <= 2)].mean()
    excess = torch.where(lobes <= 1, (power - 2 * background).clamp(min=0), 0.0)
    if not excess.sum() > 0:
        return replace(peak, radius=1 / min(side))
    here = (centre + steps) / sizes
    strong = torch.where(excess >= 0.05 * excess.max(), excess, 0.0)
    middle = (here * strong).sum(1, keepdim=True) / strong.sum()
    distance = (here - middle).square().sum(0).sqrt()
    order = distance.argsort()
    held = excess[order].cumsum(0) / excess.sum()
    last = int((held < 0.95).sum().clamp(max=len(held) - 1))
    moved = (middle[:, 0] - torch.tensor(peak.at, dtype=torch.float64)).abs() * torch.tensor(windows.side)
    # Where a slope is steeper than the peak is high, the middle of what is there is not that of the peak.
    kept = bool((moved <= _MOVES).all())
    at = tuple((middle[:, 0] - middle[:, 0].round()).tolist()) if kept else peak.at
    step = 1 / min(side)
    most = min(_MOST_LOBES * float((reach / sizes).max()), 0.5 * math.hypot(*at))
    radius = skirt(power, distance, step, most)
    return replace(peak, at=at, radius=radius, reach=float(distance[order][last]) / float((reach / sizes).max()))


def skirt(power: Tensor, distance: Tensor, step: float, most: float) -> float:
    """How far a line reaches, shoulders included.

    What holds 95 % of a line's power leaves damage of 13 dB less, and a line may stand out by 50: hum that wanders, or
    swells, has shoulders over many times its width. Of powers that are exponential of mean `u`, or of `a u` within the
    radius, the likeliest radius is where the sum of

        log p(P | a u) - log p(P | u) = (1 - 1 / a) P / u - log a

    over all that is nearer is largest, which no gap ends; `u` is the lowest median of the octaves farther out.

    Args:
        power: By frequency.
        distance: From the line, in cycles per sample, likewise.
        step: Distance of frequencies that can be told apart.
        most: Largest radius.

    Returns:
        A radius in cycles per sample, less what Hann's window adds; at least a step.
    """
    edges = [1.5]
    while edges[-1] * step < float(distance.max()):
        edges.append(max(edges[-1] + 1, edges[-1] * _WIDER))
    number = torch.bucketize(distance / step, torch.tensor(edges, dtype=distance.dtype), right=True)
    octave = round(math.log(2) / math.log(_WIDER))
    usual = []
    for ring in range(len(edges)):
        beyond = power[(number > ring) & (number <= ring + octave)]
        # Of the lowest of many medians, what it may be at most: by two of its standard errors.
        doubt = 1 + 2 / (math.log(2) * math.sqrt(max(1, len(beyond))))
        usual.append(doubt * float(beyond.median()) / math.log(2) if len(beyond) >= _TELLS else math.inf)
    lowest = torch.tensor(usual, dtype=power.dtype).flip(0).cummin(0).values.flip(0)
    near = ((distance <= most) & (number < len(edges))).nonzero()[:, 0]
    near = near[distance[near].argsort()]
    ratio = (power[near] / lowest[number[near]]).clamp(max=_CORE)
    told = ((1 - 1 / _MORE) * ratio - math.log(_MORE)).cumsum(0)
    radius = float(distance[near[int(told.argmax())]])
    return min(most, max(1.0, radius / step - LOBE) * step)


def coincidence(one: Peak, other: Peak, side: tuple[int, ...], tolerance: float = 0.75) -> float:
    """Probability that a peak lies by accident as near to where a family has one: at a multiple of another one, folded
    back at Nyquist, at a part of it, or at its mirrored diagonal; 1 where it does not.

    Args:
        one: A peak.
        other: One of the family.
        side: Samples of the windows.
        tolerance: Steps of the grid by which it may be off, times the root of the multiple.
    """
    sizes = torch.tensor(side, dtype=torch.float64)
    a, b = (torch.tensor(peak.at, dtype=torch.float64) for peak in (one, other))
    apart = [((a.abs() - b.abs()).abs() * sizes).max() / 2]
    for factors, low, high in ((_MULTIPLES, b, a), (_PARTS, a, b)):
        for m in factors:
            for d in (m * low - high, m * low + high):
                apart.append(((d - d.round()).abs() * sizes).max() / math.sqrt(m))
    off = float(min(apart))
    if off > tolerance:
        return 1.0
    # No nearer than can be told: lines have a width.
    near = min(tolerance, max(off, (one.radius + other.radius) * max(side)))
    both = (*_MULTIPLES, *_PARTS)
    boxes = sum(2 * (2 * near * math.sqrt(m)) ** len(side) for m in both) + (8 * near) ** len(side)
    return min(1.0, boxes / math.prod(side))


def meshed(peak: Peak, others: Sequence[Peak], side: tuple[int, ...]) -> int:
    """Pairs of other peaks of which one is the sum or difference, or half of it: those of a lattice, as of cloth, are.

    Those of a chessboard are odd along both axes, so that none is the sum of two, and each is in the middle of many.

    Args:
        peak: One of them.
        others: All that were found.
        side: Samples of the windows.
    """
    rest = [torch.tensor(p.at, dtype=torch.float64) for p in others if p.index != peak.index]
    if len(rest) < 2:
        return 0
    at, sizes = torch.stack(rest), torch.tensor(side, dtype=torch.float64)
    one, two = torch.triu_indices(len(at), len(at), 1)
    own = torch.tensor(peak.at, dtype=torch.float64)
    sums = torch.stack([s * at[one] + t * at[two] for s in (1, -1) for t in (1, -1)])

    def pairs(of: Tensor) -> int:
        off = sums - of
        return int((((off - off.round()).abs() * sizes).amax(2) <= _MESHED).any(0).sum())

    return max(pairs(own), pairs(2 * own))


def _directions(rank: int) -> list[Tensor]:
    if rank == 1:
        return []
    axes = [torch.eye(rank, dtype=torch.long)[i] for i in range(rank)]
    return axes if rank > 2 else [*axes, torch.tensor([1, 1]), torch.tensor([1, -1])]


def _close(one: tuple[int, ...], other: tuple[int, ...], side: tuple[int, ...]) -> bool:
    return all(min((a - b) % n, (b - a) % n) <= 2 for a, b, n in zip(one, other, side, strict=True))
