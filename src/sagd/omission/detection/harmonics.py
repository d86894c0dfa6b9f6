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

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots
from sagd.omission.detection.base import Finding
from sagd.omission.detection.peaks import LOBE
from sagd.omission.detection.windows import cut, hann
from sagd.omission.removal import measure
from sagd.omission.removal.extend import crop, extend
from sagd.omission.removal.local import local_mean

_MULTIPLES = range(2, 9)
_STANDS_OUT = 16.0
"""Power of a harmonic over that beside it; where there is none it was 9 at most, in six voices and six made records."""
_ALONE = 1.5
"""Power over the largest of all that is beside it, likewise 1 at most: a voice has many lines."""
_NARROW = 8.0
"""Widths of its core within which nothing tells how much else happens, and how much is clean."""
_CORE = 0.05
"""Power over the largest of a line in its core."""
_BESIDE = 64
"""Frequencies on each side of a harmonic that it is compared with."""
_APART = 4
"""Steps from it at which these begin."""
_LEAKS = 3.0
"""Steps farther to which its band reaches, for what borders make of it."""


def harmonics(x: Tensor, band: Spectrum, hum: Finding) -> Finding | None:
    """What a hum has at multiples of its frequency beside what was found; None if nothing stands out there.

    Args:
        x: Records `(N, C, samples)`.
        band: All that was found.
        hum: Lines, of which the strongest is taken for the first of a series.

    Returns:
        A finding as likely as the hum, its excess that of the weakest of its lines where the record is quiet.
    """
    found, n = hum.band, x.shape[-1]
    if not isinstance(found, Spots) or n < 4 * (_APART + _BESIDE):
        return None
    frequencies = torch.arange(n // 2 + 1, dtype=torch.float64) / n
    inside = band.weights(frequencies[None]) > 0
    first, spread = _strongest(cut(x, (n,)).power, frequencies, found)
    wide = min(found.radius, _NARROW * (spread + LOBE / n))
    removal = measure(list(x), Spots(((first,),), wide))
    quiet = _quiet(x, removal.smooth, removal.basis, first, wide)
    turn = _phase(x, first, spread + 2 * LOBE / n)
    at, radius, excess = [], 0.0, math.inf
    for m in _MULTIPLES:
        reach = m * spread + (LOBE + _LEAKS) / n
        if m * first + reach > 0.5 or inside[(frequencies - m * first).abs() <= reach].any():
            continue
        over = _over(quiet * turn.conj() ** m)
        if over > _STANDS_OUT:
            at.append((m * first,))
            radius, excess = max(radius, reach), min(excess, 10 * math.log10(over))
    if not at:
        return None
    own = Spots(tuple(at), round(radius, 6))
    share = float((own.weights(frequencies[None]) > 0).double().mean())
    return dataclasses.replace(hum, band=own, excess=excess, peak=excess, share=share)


def _strongest(power: Tensor, frequencies: Tensor, found: Spots) -> tuple[float, float]:
    """The frequency of the strongest line, and how far it wanders from that: its core but for what the taper adds."""
    heights = []
    for (f,) in found.at:
        near = (frequencies - abs(f)).abs() <= found.radius
        heights.append((float(torch.where(near, power, 0.0).max()), abs(f)))
    f = max(heights)[1]
    near = (frequencies - f).abs() <= found.radius
    line = near & (power >= _CORE * power[near].max())
    middle = float((frequencies * power)[line].sum() / power[line].sum())
    return middle, max(0.0, float((frequencies[line] - middle).abs().max()) - LOBE * float(frequencies[1]))


def _quiet(x: Tensor, smooth: Tensor, basis: FourierBasis, first: float, width: float) -> Tensor:
    """Whitened records, tapered, each place counted by how little happens there beside the hum.

    Over a period of the hum, since places that are counted by its phase would make harmonics of it.
    """
    n = x.shape[-1]
    about = x.double() - x.mean(-1, keepdim=True, dtype=torch.float64)
    white = crop(basis.inverse(smooth.rsqrt() * basis.forward(extend(about, basis.spatial))), (n,))
    power = (white - _near(white, first, width).real).square()
    for _ in range(2):
        power = local_mean(power, round(1 / first))
    counted = hann((n,)) / (1 + power / power.mean(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny))
    return counted * (white - (counted * white).sum(-1, keepdim=True) / counted.sum(-1, keepdim=True))


def _phase(x: Tensor, f: float, width: float) -> Tensor:
    """`e^(i phi)` of the hum at each time, from what records hold so near to its frequency."""
    z = _near(x.double() - x.mean(-1, keepdim=True, dtype=torch.float64), f, width)
    return z / z.abs().clamp(min=torch.finfo(torch.float64).tiny)


def _near(x: Tensor, f: float, width: float) -> Tensor:
    """What records hold so near to a frequency, as an analytic signal, whose real part it is."""
    place = torch.fft.fftfreq(x.shape[-1], dtype=torch.float64)
    return torch.fft.ifft(torch.where((place - f).abs() <= width, 2 * torch.fft.fft(x), 0.0))


def _over(standing: Tensor) -> float:
    """Power at rest over that beside it, whose median is that of exponential powers; 0 unless it stands alone."""
    power = torch.fft.fft(standing).abs().square().sum((0, 1))
    beside = torch.cat([power[_APART : _APART + _BESIDE], power[1 - _APART - _BESIDE : 1 - _APART]])
    alone = power[0] > _ALONE * beside.max()
    return float(power[0] / beside.median()) * math.log(2) if alone else 0.0
