"""How a band hangs together with the rest of the data: damage is there everywhere and alike, content where it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sagd.omission.detection.windows import Windows, hann

_MOST_SAMPLES = 2**19
"""Samples in windows by which the envelope is measured."""
_SOME = 4
"""Windows of a source by which what it has itself is told from how it varies."""
_BESIDE, _REACH = 16, 1.5
"""Parts of a window that make the width over which power is averaged beside values that were cut off; and how many
samples beside these have lost it, too."""


def envelope(windows: Windows, taken: Tensor, waves: bool = False) -> Tensor:
    """Spectrum of the local power of what is left of the data without a band, fine detail first, `(K, *coefficients)`.

    Where waves were cut off, so was all that they lie upon, which would keep step with them: the power there is that of
    what is around. Of broader bands that would take what tells content away.

    Args:
        windows: Windows; the first of what is returned, at regular distances where they are too many.
        taken: The band, `(*coefficients)`, bool.
        waves: Whether the band is of waves.
    """
    some = slice(None, None, every(windows))
    slope = windows.basis.radius() * ~taken
    rest = windows.basis.inverse(windows.coefficients[some] * slope)
    taper = hann(windows.side)
    local = rest.square() / taper.clamp(min=0.05)
    if waves and windows.clipped is not None:
        local = _beyond(local, taper, windows.clipped[some], windows)
    axes = tuple(range(1, local.ndim))
    mean = local.sum(axes, keepdim=True) / taper.sum()
    return windows.basis.forward(local - mean * taper)


def _beyond(local: Tensor, taper: Tensor, clipped: Tensor, windows: Windows) -> Tensor:
    """Local power under a taper `(K, *side)`, and where values were cut off the mean of what is around."""
    frequencies = windows.basis.frequencies()
    sides = torch.tensor(windows.side, dtype=frequencies.dtype).reshape(-1, *(1,) * (frequencies.ndim - 1))

    def blurred(x: Tensor, width: Tensor | float) -> Tensor:
        near = torch.exp(-2 * math.pi**2 * (frequencies * width).square().sum(0))
        return windows.basis.inverse(near * windows.basis.forward(x))

    tells = (~clipped & (blurred(clipped.to(local), _REACH) < 0.05)).to(local)
    share, total = (blurred(x, sides / _BESIDE) for x in (tells, tells * local / taper.clamp(min=0.05)))
    around = taper * (total / share.clamp(min=1e-6)).clamp(min=0)
    # Of windows of two values alone, as of what is on or off, nothing is known but that.
    lost = (tells == 0) & (tells > 0).flatten(1).any(1).reshape(-1, *(1,) * (local.ndim - 1))
    return torch.where(lost, around, local)


def every(windows: Windows) -> int:
    """Of how many windows one is looked at for the envelope."""
    return max(1, math.ceil(windows.coefficients[0].numel() * len(windows.coefficients) / _MOST_SAMPLES))


def locked(windows: Windows, envelopes: Tensor, at: Tensor, together: bool) -> float:
    """How far a band keeps step with the envelope of the rest, in [0, 1]: a mean phase, less what chance gives.

    Args:
        windows: Windows.
        envelopes: Of these; see `envelope`.
        at: Flat numbers of the band's coefficients.
        together: Whether these are one wave, seen through the main lobe of the window.
    """
    y = windows.coefficients[:: every(windows)].flatten(1)[:, at]
    e = envelopes.flatten(1)[:, at]
    cross, size = y * e.conj(), (y * e).abs()
    if together:
        cross = cross.sum(1, keepdim=True)
        size = (y.abs().square().sum(1, keepdim=True) * e.abs().square().sum(1, keepdim=True)).sqrt()
    phase = cross / size.clamp(min=1e-300)
    channel = windows.channel[:: every(windows)]
    shares = [
        _mean_phase(phase[channel == c], windows.independent * len(phase) / len(windows.channel))
        for c in channel.unique()
    ]
    return math.sqrt(sum(shares) / len(shares))


def _mean_phase(phase: Tensor, independent: float) -> float:
    """Squared length of the mean of phases `(K, m)`, averaged over the second axis, without what chance gives."""
    n = min(len(phase), independent)
    if n < 2:
        return 0.0
    square = float(phase.mean(0).abs().square().mean()) / max(1e-12, float(phase.abs().square().mean()))
    return max(0.0, (n * square - 1) / (n - 1))


def spread(inside: Tensor, beside: Tensor, source: Tensor) -> tuple[float, float, float, float, float]:
    """How the power of a band and that of its neighbours vary from window to window.

    Args:
        inside: Power in the band by window, `(K,)`.
        beside: Power per frequency of its neighbours, in the same units, `(K,)`.
        source: Number of what each window is of, `(K,)`: of several with some windows each, variation is that within
            them, since files of one device, or channels of a record, need not be equally loud.

    Returns:
        Standard deviation of the logarithm of `inside`; that of `beside`; slope of the one on the other; share of
        windows in which the band exceeds its neighbours twice; logarithm by which it does in the quietest tenth.
    """
    b, n = inside.log(), beside.log()
    own, other = (v - _usual(v, source) for v in (b, n))
    variance = float(other.square().mean())
    slope = float((own * other).mean()) / (variance + 0.05)
    share, least = float((inside > 2 * beside).double().mean()), float((b - n).quantile(0.1))
    return float(own.square().mean().sqrt()), math.sqrt(variance), slope, share, least


def _usual(values: Tensor, source: Tensor) -> Tensor:
    """The mean of each window's source, or of all where sources have few."""
    count = source.bincount()
    if int(count[count > 0].min()) < _SOME:
        return values.mean()
    total = torch.zeros(len(count), dtype=values.dtype).index_add_(0, source, values)
    return (total / count.clamp(min=1))[source]


def tails(windows: Windows, at: Tensor, smooth: Tensor) -> float:
    """Logarithm of the fourth moment of a band over that of a Gaussian field; a wave of constant height has -0.7.

    Content has edges and quiet places, and so heavy tails.

    Args:
        windows: Windows.
        at: Flat numbers of the band's coefficients.
        smooth: Logarithm of the smooth power, by which frequencies are weighed alike, `(*coefficients)`.
    """
    some = windows.coefficients[:: every(windows)]
    band = torch.zeros_like(some).flatten(1)
    band[:, at] = some.flatten(1)[:, at] * (-smooth.flatten()[at] / 2).exp()
    taper = hann(windows.side)
    inside = taper > 0.25
    field = windows.basis.inverse(band.reshape(some.shape))[:, inside] / taper[inside]
    square = field.square()
    return math.log(float(square.square().mean() / square.mean().square().clamp(min=1e-300)) / 3 + 1e-12)
