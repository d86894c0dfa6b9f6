"""Harmonics of a hum, which show where a record is quiet and are in step with the hum.

What a record is of, as a voice or a heart, hides what a hum has at multiples of its frequency, but in its pauses. And
hum wanders, its harmonics as many times as far. So the record is whitened, counts the less the more happens, and is
turned back by the phase `phi` of the hum, so that its `m`-th harmonic stands still:

    D(f) = F [q w e^(-i m phi)],    w = S^-1/2 y,    q = 1 / (1 + p / mean p),

`p` the local power of what `w` holds beside the hum. A harmonic is there if `|D(0)|^2` stands far out of what is
beside it, and stands alone.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots
from sagd.omission.detection.base import Finding
from sagd.omission.detection.peaks import LOBE
from sagd.omission.detection.windows import cut, hann
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.extend import crop, extend
from sagd.omission.removal.local import local_mean
from sagd.omission.removal.measurement import median_of_mean

_MULTIPLES = range(2, 9)
_STANDS_OUT = 16.0
"""Power of a harmonic over that beside it in one record; where there is none it is 15 at most, of voices and made
records."""
_ALONE = 1.5
"""Power over the largest of all that is beside it, where there is none 1 at most: a voice has many lines."""
_NARROW = 8.0
"""Widths of its core within which nothing tells how much else happens, and how much is clean."""
_CORE = 0.05
"""Power over the largest of a line in its core."""
_BESIDE = 64
"""Frequencies on each side of a harmonic that it is compared with."""
_APART = 4
"""Steps from it at which these begin."""
_BLURRED = 8.0
"""Width of a hum's band, in that of its harmonic, from which on what it holds there is another thing: a voice."""
_MOST_ELSE = 1.0
"""Power in its band that is out of step, over that of the harmonic: more is content, of which cleaning takes more than
the harmonic is worth."""
_WHOLE = 0.02
"""How far the ratio of two lines may be from a whole number."""
_TINY = torch.finfo(torch.float64).tiny
_LEAKS = 3.0
"""Steps farther to which its band reaches, for what borders make of it."""


def harmonics(x: Tensor, band: Spectrum, hum: Finding) -> tuple[Finding, Finding] | None:
    """What a hum has at multiples of its frequency beside what was found; None if nothing stands out there.

    Args:
        x: Records `(N, C, samples)`.
        band: All that was found.
        hum: Lines, of which the lowest that the strongest is a multiple of is taken for the first of a series.

    Returns:
        The hum without lines that are none, since its harmonic is beside them; and the others, a finding as likely as
        the hum, its excess that of the weakest of its lines where the record is quiet.
    """
    spots, n = hum.band, x.shape[-1]
    if not isinstance(spots, Spots) or n < 4 * (_APART + _BESIDE):
        return None
    step, frequencies = 1 / n, torch.arange(n // 2 + 1, dtype=torch.float64) / n
    found = dataclasses.replace(spots, radius=max(spots.radius, step))  # that of longer records may lie between steps
    inside = band.weights(frequencies[None]) > 0
    line = _Line.of(cut(x, (n,)).power, frequencies, found)
    wide = min(found.radius, _NARROW * (line.spread + LOBE * step))
    removal = measure(list(x), Spots(((line.at,),), wide))
    about = x.double() - x.mean(-1, keepdim=True, dtype=torch.float64)
    quiet, plain = _quiet(about, removal, line.at, wide), hann((n,)) * about
    turn = _phase(about, line.at, line.spread + 2 * LOBE * step)
    lines = [abs(f[0]) for f in found.at]
    at, none, radius, excess = [], set[float](), 0.0, math.inf
    for m in _MULTIPLES:
        place, near = m * line.at, m * line.spread + LOBE * step
        blurred = found.radius > _BLURRED * (near + _LEAKS * step)
        beside = {
            f
            for f in lines
            if f > 1.5 * line.at and abs(f - place) <= found.radius and (blurred or abs(f - place) > near)
        }
        known = bool(inside[(frequencies - place).abs() <= near].any())
        if place + near > 0.5 or (known and not beside):
            continue
        back = turn.conj() ** m
        over = _over(quiet * back)
        reach = m * line.reach(1 / (_STANDS_OUT * max(over, 1.0))) + (LOBE + _LEAKS) * step
        if over > 1 and _rest(plain * back, reach * n) < _MOST_ELSE:
            at.append((round(place, 6),))
            none |= beside
            radius = max(radius, reach)
            excess = min(excess, 10 * math.log10(_STANDS_OUT * over))
    if not at:
        return None
    left = tuple(f for f in found.at if abs(f[0]) not in none)
    own = Spots(tuple(at), round(radius, 6))
    share = float((own.weights(frequencies[None]) > 0).double().mean())
    more = dataclasses.replace(hum, band=own, excess=excess, peak=excess, share=share)
    return dataclasses.replace(hum, band=dataclasses.replace(spots, at=left)), more


@dataclass(frozen=True)
class _Line:
    """The first line of a series.

    Attributes:
        at: Its frequency.
        spread: How far it wanders from that: its core but for what the taper adds.
        distance: Of the frequencies around it, in order.
        power: Theirs, over the largest.
    """

    at: float
    spread: float
    distance: Tensor
    power: Tensor

    @classmethod
    def of(cls, power: Tensor, frequencies: Tensor, found: Spots) -> _Line:
        """The lowest line of which the strongest is a multiple."""

        def top(f: float) -> float:
            return float(torch.where((frequencies - f).abs() <= found.radius, power, 0.0).max())

        lines = sorted(abs(f[0]) for f in found.at)
        strongest = max(lines, key=top)
        first = next(f for f in lines if f > 0 and abs(strongest / f - round(strongest / f)) < _WHOLE)
        near = (frequencies - first).abs() <= found.radius
        core = near & (power >= _CORE * power[near].max())
        middle = float((frequencies * power)[core].sum() / power[core].sum())
        distance, order = (frequencies[near] - middle).abs().sort()
        lobe = LOBE * float(frequencies[1])
        spread = max(0.0, float((frequencies[core] - middle).abs().max()) - lobe)
        return cls(middle, spread, distance, power[near][order] / power[near].max())

    def reach(self, level: float) -> float:
        """How far from its middle the line is over a level, but for what the taper adds."""
        weak = (self.power < level).nonzero()[:, 0]
        last = int(weak[0]) - 1 if len(weak) else len(self.power) - 1
        step = float(self.distance.max()) / max(1, len(self.distance) / 2)
        return max(self.spread, float(self.distance[max(0, last)]) - LOBE * step)


def _quiet(x: Tensor, removal: Removal, first: float, width: float) -> Tensor:
    """Records of mean 0, whitened, tapered, each place counted by how little happens there beside the hum.

    Over a period of the hum, since places that are counted by its phase would make harmonics of it.
    """
    basis = removal.basis
    white = crop(basis.inverse(removal.smooth.rsqrt() * basis.forward(extend(x, basis.spatial))), removal.spatial)
    power = (white - _near(white, first, width).real).square()
    for _ in range(2):
        power = local_mean(power, round(1 / first))
    mean = power.mean(-1, keepdim=True).clamp(min=_TINY)
    counted = hann(removal.spatial) / (1 + power / mean)
    return counted * (white - (counted * white).sum(-1, keepdim=True) / counted.sum(-1, keepdim=True))


def _phase(x: Tensor, f: float, width: float) -> Tensor:
    """`e^(i phi)` of the hum at each time, from what records of mean 0 hold so near to its frequency."""
    z = _near(x, f, width)
    return z / z.abs().clamp(min=_TINY)


def _near(x: Tensor, f: float, width: float) -> Tensor:
    """What records hold so near to a frequency, as an analytic signal, whose real part it is."""
    place = torch.fft.fftfreq(x.shape[-1], dtype=torch.float64)
    return torch.fft.ifft(torch.where((place - f).abs() <= width, 2 * torch.fft.fft(x), 0.0))


def _rest(standing: Tensor, steps: float) -> float:
    """Power within so many steps of what stands still that does not, over that which does, each over what is usual."""
    power, reach = torch.fft.fft(standing).abs().square().sum((0, 1)), max(2, math.ceil(steps))
    beside = torch.cat([power[reach + 1 : reach + 1 + _BESIDE], power[-reach - _BESIDE : -reach]])
    over = power - beside.median()
    still = over[0] + over[1] + over[-1]
    moving = over[2 : reach + 1].clamp(min=0).sum() + over[-reach:-1].clamp(min=0).sum()
    return float(moving / still) if still > 0 else math.inf


def _over(standing: Tensor) -> float:
    """Power at rest over that beside it which tells of a harmonic; 0 unless it stands alone."""
    power = torch.fft.fft(standing).abs().square().sum((0, 1))
    beside = torch.cat([power[_APART : _APART + _BESIDE], power[1 - _APART - _BESIDE : 1 - _APART]])
    if not power[0] > _ALONE * beside.max():
        return 0.0
    number = standing.shape[0] * standing.shape[1]
    usual = float(beside.median()) / median_of_mean(number)
    return float(power[0]) / usual / _enough(number)


def _enough(number: int) -> float:
    """What the mean of so many exponential powers exceeds as seldom as one exceeds `_STANDS_OUT`.

    >>> round(_enough(1), 2), round(_enough(100), 2)
    (16.0, 1.61)
    """
    low, high = torch.tensor(1.0, dtype=torch.float64), torch.tensor(_STANDS_OUT, dtype=torch.float64)
    k = torch.tensor(float(number), dtype=torch.float64)
    for _ in range(60):
        middle = (low + high) / 2
        seldom = torch.special.gammaincc(k, k * middle) <= math.exp(-_STANDS_OUT)
        low, high = (low, middle) if seldom else (middle, high)
    return float(high)
