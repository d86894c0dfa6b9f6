"""Stripes at any angle: power on a straight line through DC, as thin as the array is long along the stripes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sagd.omission.detection.peaks import between
from sagd.omission.detection.plane import folded, unfolded
from sagd.omission.detection.windows import Windows

SEGMENTS = 8
"""Parts of a line, by radius."""
CENTRE = 4
"""Steps from DC within which a line is not told from what surrounds DC."""
_BESIDE = (3, 5)
"""Steps across the line at which its neighbours are."""
_MOST = 3
_LEAST = 0.35
"""Least contrast in nats; what is less is not worth a word."""
_CONTINUES = 2.0
"""Standard errors by which what continues a line stands out."""
_PARTED = 4
"""Steps across a line of which parts along the stripes are told apart: a quarter of their length each."""
_EXCEEDS = 1.0
"""Nats, half of what is seen of stripes as strong as the content, from which on a line exceeds a reference."""
_FOOT = 0.2
"""Part of its height, in logarithms, at which a line ends to both sides."""
_BLUR = 1.5
"""Steps beside a line as thin as the grid at which Hann's window lets it end."""
_WIDEST = 8
"""Steps across a line within which its width is measured."""
_WIDTHS = tuple(0.5 * k for k in range(13))
"""Of stripes, in samples: standard deviations of the Gaussian that their profile may be smoothed by."""
_SLOPES = (0.0, 0.5, 1.0)
"""And powers of the frequency by which that of real curtains falls, at most."""
_MORE = 3.0
"""Power on a line, over that of stripes and of what lies beside it, that says that something else lies there."""
_CORE = 30.0
"""As much says no more."""
_CERTAINLY = 4.0
"""Logarithm of the odds that it is there at all."""
_RISES, _FROM = 10.0, 2
"""Times that power by octave exceeds that of all lower radii, of so many at least, where a wave lies on a line: that of
content falls. Of the exponential powers of a single array whose mean falls as `r^-2` so much is chance once in 200."""

_WAVE, _OF_WAVE = 0.75, 1.5
"""Share of what a line has over its neighbours that lies within so many steps of one place along each axis, as most of
Hann's main lobe does, from which on it is one wave: waves have 0.84 and more, stripes that end or drift up to 0.62."""
_FIRST = 3.0
"""Steps from DC from which on there may be a wave: nearer to it all spectra are steep."""
_SHORT = 24
"""Steps that a line has, at most, to be a wave: on longer ones a wave is no line."""


@dataclass(frozen=True)
class Line:
    """Power on a line through DC.

    Attributes:
        direction: Unit vector along it, one number for each axis.
        low: Least radius in cycles per sample of where it stands out most.
        high: Largest.
        excess: Of the mean logarithm on the line over its neighbours, in nats.
        share: Part of the line that it takes up.
        chance: Probability that a smooth spectrum has one like it somewhere.
        width: Across it, in cycles per sample.
        extent: Least and largest radius of all of it: what continues it stands out less, but is part of it.
        content: Radius below which it holds content that is the same all along the stripes; 0 if none.
    """

    direction: tuple[float, ...]
    low: float
    high: float
    excess: float
    share: float
    chance: float
    width: float
    extent: tuple[float, float]
    content: float = 0.0


def find_lines(fine: Windows, levels: Tensor, against_reference: bool = False) -> list[Line]:
    """Lines that stand out, the least likely by chance first.

    Args:
        fine: The largest windows.
        levels: Mean logarithm of their power, or of that over a reference.
        against_reference: Whether it is over a reference.
    """
    directions = _directions(fine.side)
    if not len(directions):
        return []
    contrast, radii, valid = _contrasts(levels, fine.side, directions)
    full, sides = unfolded(levels, fine.side), fine.side
    # Of a single window the logarithm of an exponential: averages over radii make it normal.
    var = fine.error**2 * (1 + 0.5 / len(_BESIDE))
    near = contrast[valid]
    scatter = 1.4826 * float((near - near.median()).abs().median())
    # Next to each other along the line, they are not independent.
    per_radius = max(math.sqrt(var), scatter) * math.sqrt(1.9)
    segment = (radii / (radii.max() + 1e-9) * SEGMENTS).long()
    total = torch.zeros(len(directions), SEGMENTS, dtype=torch.float64)
    count = torch.zeros_like(total)
    for k in range(SEGMENTS):
        here = (segment == k) & valid
        total[:, k], count[:, k] = torch.where(here, contrast, 0.0).sum(1), here.sum(1)
    best, span = _best_range(total, count, per_radius)
    whole = _continued(span, total, count, per_radius)
    tests, steps = len(directions) * SEGMENTS, _across_all(directions, fine.side)
    found: list[Line] = []
    for i in best.argsort(descending=True).tolist():
        z = float(best[i])
        if len(found) == _MOST or not z > 0:
            break
        chance = -math.expm1(tests * math.log1p(-min(0.5 * math.erfc(z / math.sqrt(2)), 0.999999)))
        if chance > 0.5:
            break
        low, high = span[i].tolist()
        inside = slice(low, high + 1)
        excess = float(total[i, inside].sum() / count[i, inside].sum())
        step, direction = float(steps[i]), tuple(directions[i].tolist())
        far = float(radii[valid[i]][(segment[valid[i]] <= whole[i, 1])].max())
        if excess < _LEAST or any(_near(direction, far, other, step) for other in found):
            continue
        taken = segment[valid[i]]
        reach = radii[valid[i]][(taken >= low) & (taken <= high)]
        all_of_it = radii[valid[i]][(taken >= whole[i, 0]) & (taken <= whole[i, 1])]
        line = Line(
            direction,
            float(reach.min()),
            float(reach.max()),
            excess,
            float(count[i, inside].sum() / count[i].sum()),
            chance,
            2 * step * _steps_across(full, sides, directions[i], reach),
            (float(all_of_it.min()), float(all_of_it.max())),
            _reference_ends(full, sides, directions[i], float(all_of_it.max()), excess)
            if against_reference
            else _content_ends(full, sides, directions[i], float(all_of_it.max())),
        )
        if line.content < line.extent[1]:
            found.append(line)
    return found


def on_line(windows: Windows, line: Line, width: float = 0.75) -> Tensor:
    """Flat numbers of the coefficients on a line."""
    f = windows.basis.frequencies().double().flatten(1)
    direction = torch.tensor(line.direction, dtype=torch.float64)[:, None]
    along = (f * direction).sum(0)
    across = (f - along * direction).square().sum(0).sqrt()
    near = across <= width * _across(direction[:, 0], windows.side)
    low = max(line.low, 2.5 / max(windows.side))
    return (near & (along.abs() >= low) & (along.abs() <= line.high + 1e-9)).nonzero()[:, 0]


def wave_on(fine: Windows, line: Line) -> tuple[float, ...] | None:
    """The frequency of the wave that a line of small windows is; None if it is more than one, or none.

    It stands over all of the line that is nearer to DC, where content is strongest.

    Args:
        fine: The largest windows.
        line: Where.
    """
    side, direction = fine.side, torch.tensor(line.direction, dtype=torch.float64)
    if len(_radii(side, line.extent[1])) > _SHORT:
        return None
    at = on_line(fine, replace(line, low=0.0, high=line.extent[1]), 2.2)
    f, power = fine.basis.frequencies().double().flatten(1)[:, at], fine.levels.exp().flatten()[at]
    r = f.square().sum(0).sqrt()
    full, sizes = unfolded(fine.levels, side), torch.tensor(side)[:, None]
    excess = (power - _beside(full, r[:, None] * direction, direction, side)).clamp(min=0)
    wave = between(fine, tuple((f[:, int(excess.argmax())] * sizes[:, 0]).round().long().tolist()))
    if math.hypot(*wave) * min(side) < _FIRST or math.hypot(*wave) < line.content:
        return None
    nearer = _radii(side, math.hypot(*wave) - _OF_WAVE / min(side))
    points = nearer[:, None] * direction
    within = _at(full, points, side).exp() - _beside(full, points, direction, side)
    if bool((within > excess.max()).any()):
        return None
    off = torch.stack([f - torch.tensor(wave)[:, None], f + torch.tensor(wave)[:, None]])
    near = ((off - off.round()).abs() * sizes).amax(1).amin(0) <= _OF_WAVE
    return wave if excess[near].sum() >= _WAVE * excess.sum() > 0 else None


def agreement(fine: Windows, line: Line, strong: bool = False) -> float:
    """How far the profile of stripes in one half of the largest windows is that in the other, -1 to 1.

    Mean cosine of the phase between the waves on the line in two parts along the stripes, which share nothing: that of
    stripes all along is 1, that of what is in one part alone, or differs from part to part, about 0. The coefficients
    at some steps across the line are the Fourier transform, along the stripes, of the profile's wave by place.

    Args:
        fine: The largest windows.
        line: Where.
        strong: Whether all of the line counts, and waves by their power and frequency, as that of pictures falls with
            it, rather than alike.
    """
    side = fine.side
    sizes, direction = torch.tensor(side, dtype=torch.float64), torch.tensor(line.direction, dtype=torch.float64)
    low, high = line.extent if strong else (line.low, line.high)
    r, steps = _radii(side, high), torch.arange(-_PARTED, _PARTED + 1, dtype=torch.float64)
    r = r[r >= max(low, line.content) - 1e-9]
    if not len(r):
        return 0.0
    weight = torch.cos(0.5 * math.pi * steps / (_PARTED + 1)) ** 2
    one, other = (weight * torch.exp(sign * 0.5j * math.pi * steps) for sign in (1, -1))
    cosines = []
    for normal in _normals(direction):
        f = r[:, None, None] * direction + steps[:, None] * _across(direction, side) * normal
        index = (f * sizes).round().long().flatten(0, 1).T
        c = fine.coefficients.flatten(1)[:, folded(index, side)]
        c = torch.where(index[-1] % side[-1] > side[-1] // 2, c.conj(), c)
        # Places are counted from the middle.
        middle = torch.exp(2j * math.pi * (index / sizes[:, None] * (sizes[:, None] - 1) / 2).sum(0))
        waves = (c * middle).reshape(len(c), len(r), len(steps))
        cross = (waves @ one.to(waves)) * (waves @ other.to(waves)).conj()
        weight_of = cross.abs() * r if strong else torch.ones_like(cross.abs())
        cosine = (cross / cross.abs().clamp(min=1e-300)).real
        cosines.append(float((weight_of * cosine).sum() / weight_of.sum().clamp(min=1e-300)))
    return min(cosines)


def beside_line(windows: Windows, line: Line, clear: float = 2.5) -> Tensor:
    """Flat numbers of the coefficients next to a line, at more steps than it may hide."""
    wide, guard = (on_line(windows, line, width) for width in (clear + 3.5, clear))
    return wide[~torch.isin(wide, guard)]


def _directions(side: tuple[int, ...]) -> Tensor:
    """Unit vectors, `(n, d)`: of all angles in two dimensions, else along the axes."""
    if len(side) == 1:
        return torch.zeros(0, 1, dtype=torch.float64)
    if len(side) != 2:
        return torch.eye(len(side), dtype=torch.float64)
    count = 4 * round(math.pi / 4 * max(side))
    angle = math.pi * torch.arange(count, dtype=torch.float64) / count
    return torch.stack([torch.sin(angle), torch.cos(angle)], 1)


def _across(direction: Tensor, side: tuple[int, ...]) -> float:
    """Distance of the grid's frequencies across a direction."""
    return float(_across_all(direction[None], side))


def _across_all(directions: Tensor, side: tuple[int, ...]) -> Tensor:
    """The same of some directions `(n, d)`, `(n,)`."""
    sizes = torch.tensor(side, dtype=torch.float64)
    if len(side) != 2:
        return torch.where(directions < 0.5, 1 / sizes, 0.0).amax(1)
    return (directions.flip(1) / sizes).square().sum(1).sqrt()


def _at(full: Tensor, f: Tensor, side: tuple[int, ...]) -> Tensor:
    """Values of the plane `(*side)` at the nearest of its frequencies to some `(..., d)`."""
    index = (f * torch.tensor(side, dtype=torch.float64)).round().long() % torch.tensor(side)
    return full[index.unbind(-1)]


def _beside(full: Tensor, points: Tensor, direction: Tensor, side: tuple[int, ...]) -> Tensor:
    """Power beside places `(n, d)` of a line on the plane, across it, of levels `(*side)`."""
    step = _across(direction, side)
    each = [
        _at(full, points + sign * k * step * normal, side)
        for k in _BESIDE
        for normal in _normals(direction)
        for sign in (1, -1)
    ]
    return torch.stack(each).mean(0).exp()


def _normals(direction: Tensor) -> Tensor:
    """Unit vectors across a direction, `(k, d)`."""
    if len(direction) == 2:
        return torch.stack([-direction[1], direction[0]])[None]
    return torch.eye(len(direction), dtype=torch.float64)[direction < 0.5]


def _contrasts(levels: Tensor, side: tuple[int, ...], directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Level on each line less that beside it, by radius; the radii; whether they are on the plane."""
    full = unfolded(levels, side)
    radii = torch.arange(CENTRE, max(2, min(side)) * 0.75, dtype=torch.float64) / min(side)
    points = directions[:, None, :] * radii[None, :, None]
    valid = points.abs().amax(2) <= 0.5

    def at(f: Tensor) -> Tensor:
        return _at(full, f, side)

    step = _across_all(directions, side)[:, None, None]
    if len(side) == 2:
        normals = torch.stack([-directions[:, 1], directions[:, 0]], 1)[:, None]  # (n, k, d)
    else:
        normals = torch.stack([_normals(d) for d in directions])
    sides = []
    for k in range(normals.shape[1]):
        for sign in (1, -1):
            shift = [at(points + sign * b * step * normals[:, k][:, None]) for b in _BESIDE]
            sides.append(torch.stack(shift).mean(0))
    on = at(points)
    around = torch.stack(sides)
    # The higher side counts, judged over the whole line.
    means = torch.where(valid, around, 0.0).sum(2) / valid.sum(1)
    higher = means.argmax(0)
    beside = torch.where(
        (means.amax(0) - means.mean(0) > 0.5)[:, None],
        around[higher, torch.arange(len(directions))],
        around.mean(0),
    )
    return on - beside, radii, valid


def _best_range(total: Tensor, count: Tensor, error: float) -> tuple[Tensor, Tensor]:
    """Of each line the range of segments that stands out most, in standard errors: those, and first and last."""
    best = torch.full((len(total),), -math.inf, dtype=torch.float64)
    span = torch.zeros(len(total), 2, dtype=torch.long)
    for low in range(SEGMENTS):
        for high in range(low, SEGMENTS):
            n = count[:, low : high + 1].sum(1)
            z = total[:, low : high + 1].sum(1) / (error * n.clamp(min=1).sqrt())
            z = torch.where(n > 2, z, -math.inf)
            better = z > best
            best = torch.where(better, z, best)
            span[better] = torch.tensor([low, high])
    return best, span


def _continued(span: Tensor, total: Tensor, count: Tensor, error: float) -> Tensor:
    """Ranges of segments with their neighbours, as far as these stand out too: what continues a line is part of it."""
    mean = total / count.clamp(min=1)
    out = (mean >= _LEAST) & (total >= _CONTINUES * error * count.sqrt()) & (count > 0)
    span, lines = span.clone(), torch.arange(len(span))
    for _ in range(SEGMENTS - 1):
        down, up = (span[:, 0] - 1).clamp(min=0), (span[:, 1] + 1).clamp(max=SEGMENTS - 1)
        span[:, 0] = torch.where(out[lines, down], down, span[:, 0])
        span[:, 1] = torch.where(out[lines, up], up, span[:, 1])
    return span


def _steps_across(full: Tensor, side: tuple[int, ...], direction: Tensor, radii: Tensor) -> float:
    """Steps beside a line at which it still stands out of what lies further away, less what the window blurs it by.

    Args:
        full: Mean logarithm of the power on the plane, `(*side)`.
        side: Samples of the windows.
        direction: Unit vector along the line.
        radii: Where it stands out.
    """
    step, points = _across(direction, side), radii[:, None] * direction

    def at(k: int) -> float:
        around = [points + sign * k * step * normal for normal in _normals(direction) for sign in (1, -1)]
        return float(_at(full, torch.cat(around), side).mean())

    # Near DC the spectrum falls across a line by itself.
    away = radii[radii >= _WIDEST * step]
    points = away[:, None] * direction if len(away) else points
    profile = [at(k) for k in range(_WIDEST + 1)]
    least = max(_LEAST, _FOOT * (profile[0] - min(profile)))
    ends = next((k for k in range(1, _WIDEST) if profile[k] - min(profile) < least), _WIDEST)
    return max(0.5, ends - _BLUR)


def _content_ends(full: Tensor, side: tuple[int, ...], direction: Tensor, high: float) -> float:
    """Radius below which a line holds content that is the same all along the stripes; 0 if there is none.

    A sinogram's profile is nearly the same at all angles. It is smooth, so that its power falls steeply; stripes know
    nothing of each other, so that theirs is nearly level towards DC: `exp(a - b r^2) r^-c`, white noise through a
    Gaussian but for a small slope. That is fitted to what the whole line has over its neighbours, robustly: content
    takes up little of it. Powers are exponential, of mean `u` where there is only what was fitted, and of `_MORE` times
    that where there is content: it ends at the likeliest radius, as in `peaks.skirt`, and where power rises far over
    that of all lower radii, which is a wave and no content.

    Args:
        full: Mean logarithm of the power on the plane, `(*side)`.
        side: Samples of the windows.
        direction: Unit vector along the line.
        high: Largest radius of it.
    """
    r = _radii(side, high)
    points = r[:, None] * direction
    power, others = _at(full, points, side).exp(), _beside(full, points, direction, side)
    excess = power - others
    told = excess > 0
    if told.sum() < SEGMENTS:
        return 0.0
    level, shapes = excess[told].log(), torch.stack([-r.log(), -(r**2)])
    fits = []
    for slope, width in itertools.product(_SLOPES, _WIDTHS):
        shape = torch.tensor([slope, (2 * math.pi * width) ** 2], dtype=torch.float64) @ shapes
        rest = level - shape[told]
        middle = rest.median()
        fits.append(((rest - middle).abs().sum(), middle + shape))
    _, fitted = min(fits, key=lambda fit: float(fit[0]))
    # The median of an exponential is log 2 of its mean.
    usual = others + fitted.exp() / math.log(2)
    content = ((1 - 1 / _MORE) * (power / usual).clamp(max=_CORE) - math.log(_MORE)).cumsum(0)
    # It goes on until as much speaks against it as is asked of it.
    over = ((content.cummax(0).values.clamp(min=0) - content > _CERTAINLY) | _rises(r, excess)).nonzero()
    content = content[: int(over[0])] if len(over) else content
    last = int(content.argmax()) if len(content) else 0
    return float(r[last]) + 1 / min(side) if len(content) and content[last] > _CERTAINLY else 0.0


def _rises(r: Tensor, excess: Tensor) -> Tensor:
    """Whether what a line has over its neighbours rises at a radius far over that of all lower ones, or of all but the
    last, which the flank of a wave may hold."""
    by_octave = r * excess.clamp(min=0)
    most = by_octave.cummax(0).values
    rises = torch.zeros(len(r), dtype=torch.bool)
    for back, first in ((1, _FROM), (2, _FROM + 2)):
        rises[first:] |= by_octave[first:] > _RISES * most[first - back : len(r) - back]
    return rises


def _reference_ends(full: Tensor, side: tuple[int, ...], direction: Tensor, high: float, excess: float) -> float:
    """Radius below which a line does not exceed the reference: the likeliest change from nothing to more."""
    r = _radii(side, high)
    over = _at(full, r[:, None] * direction, side) - full.median()
    same = (min(_EXCEEDS, excess / 2) - over).cumsum(0)
    last = int(same.argmax())
    return float(r[last]) + 1 / min(side) if same[last] > 0 else 0.0


def _radii(side: tuple[int, ...], high: float) -> Tensor:
    """Radii in steps of the shorter axis, from the first to `high`."""
    r = torch.arange(1, max(2, min(side)) * 0.75, dtype=torch.float64) / min(side)
    return r[r <= high + 1e-9]


def _near(direction: tuple[float, ...], far: float, other: Line, step: float) -> bool:
    """Whether a line that reaches so far is another one, or the fringe of it where both are."""
    cosine = abs(sum(a * b for a, b in zip(direction, other.direction, strict=True)))
    return math.acos(min(1.0, cosine)) * min(far, other.extent[1]) < 8 * step
