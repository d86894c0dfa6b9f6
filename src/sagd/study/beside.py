"""The usual tools on the same values, each at its default settings, and what tells their results apart.

The tools are those that are installed: pystripe and algotom for stripes that stand or lie, scipy's notch for records.
"""

from __future__ import annotations

import importlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sagd.errors import one_line
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum, Sum
from sagd.noise.spectra.damage import Spots, Strip, Stripes
from sagd.noise.spectra.physical import Physical
from sagd.omission.detection.windows import hann
from sagd.omission.preparation import Scale
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.extend import extend
from sagd.optional import has, need

Array = np.ndarray

_QUALITY = 30.0
"""Of the notch, as in its manual."""
_STRAIGHT = 0.5
"""Degrees by which stripes may be off for tools that take them for upright or level."""


@dataclass(frozen=True)
class Result:
    """What a tool made of an array.

    Attributes:
        tool: Its name.
        setting: How it was called.
        left: Power in the band over the smooth spectrum, in dB; near 0 is what a clean array has.
        outside: Root mean square of what it changed outside the band, in percent of the standard deviation.
        seconds: What it took.
        x: Its result, `(C, *spatial)`.
        failed: Why there is none, "" otherwise.
    """

    tool: str
    setting: str
    left: float = math.nan
    outside: float = math.nan
    seconds: float = math.nan
    x: Tensor | None = None
    failed: str = ""


Tool = tuple[str, str, Callable[[Array], Array]]
"""Name, setting, and what cleans a channel `(*spatial)`, float64."""


def beside(x: Tensor, removal: Removal, scale: Scale) -> list[Result]:
    """What the usual tools make of an array, after what it is and what this library makes of it.

    Args:
        x: `(C, *spatial)`, finite, on the scale.
        removal: What was measured on it.
        scale: On which the damage adds; the tools get the values themselves.
    """
    values = scale.without(x, 0.0)
    results = [_judged("as it was", "", values, values, removal, 0.0, scale)]
    start = time.perf_counter()
    own = scale.without(x, measure(x, removal.band, clipped=True, below=not scale.multiplies).apply(x))
    seconds = time.perf_counter() - start
    results.append(_judged("sagd", "the band is known", values, own, removal, seconds, scale))
    for name, setting, run in tools(removal.band, len(removal.spatial)):
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of others, about their own settings
                y = np.stack([run(channel) for channel in values.double().numpy()])
        except Exception as error:  # whatever a tool of others raises, the file has been cleaned
            results.append(Result(name, setting, failed=one_line(error)))
            continue
        seconds = time.perf_counter() - start
        results.append(_judged(name, setting, values, torch.from_numpy(y).to(x), removal, seconds, scale))
    return results


def tools(band: Spectrum, rank: int) -> Iterator[Tool]:
    """The tools that are installed and made for the damage of a band."""
    parts = list(_plain(band, rank))
    if rank == 1 and has("scipy"):
        lines = [at for part in parts for at in _lines(part)]
        if lines:
            yield "scipy iirnotch", f"Q={_QUALITY:g}, to and fro", lambda x: _notched(x, lines)
    if rank != 2 or (turned := _turned(parts)) is None:
        return
    if has("pystripe"):
        yield "pystripe", "sigma=(128, 256), its example's", _upright(_pystripe, turned)
    if has("algotom"):
        for name in ("remove_stripe_based_wavelet_fft", "remove_stripe_based_sorting", "remove_all_stripe"):
            yield f"algotom {name}", "defaults", _upright(_algotom(name), turned)


def _judged(name: str, setting: str, x: Tensor, y: Tensor, removal: Removal, seconds: float, scale: Scale) -> Result:
    weight = removal.basis.multiplicity() * (removal.damage > 0)
    power = _coefficients(scale.forward(y.clamp(min=0) if scale.multiplies else y), removal).abs().square()
    total = (weight * removal.smooth).sum()
    left = 10 * math.log10(float((weight * power).sum() / total)) if total > 0 else math.nan
    return Result(name, setting, left, _outside(x, y, removal), seconds, y)


def _outside(x: Tensor, y: Tensor, removal: Removal) -> float:
    """Change outside the band in percent of the array, both through a window, so that borders count for nothing."""
    basis = FourierBasis(removal.spatial)
    weight = (1 - mask(removal.band, basis).double().clamp(0, 1)) * basis.multiplicity()
    about = [v.double() - v.double().mean(dim=tuple(range(1, v.ndim)), keepdim=True) for v in (x, x - y)]
    own, changed = (basis.forward(hann(removal.spatial) * v).abs().square() for v in about)
    return 100 * math.sqrt(float((weight * changed).sum() / (basis.multiplicity() * own).sum().clamp(min=1e-300)))


def _coefficients(x: Tensor, removal: Removal) -> Tensor:
    x = x.double()
    x = x - x.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    return removal.basis.forward(extend(x, removal.basis.spatial))


def _plain(band: Spectrum, rank: int) -> Iterator[Spectrum]:
    """The shapes of a band, in cycles per sample."""
    for part in band.parts if isinstance(band, Sum) else (band,):
        if isinstance(part, Sum):
            yield from _plain(part, rank)
        else:
            yield part.plain(rank) if isinstance(part, Physical) else part


def _lines(part: Spectrum) -> list[float]:
    """Frequencies of the lines of a record."""
    if isinstance(part, Spots):
        return [abs(f) for (f,) in part.at if 0 < abs(f) < 0.5]
    if isinstance(part, Strip) and 0 < part.low + part.high < 1:
        return [(part.low + part.high) / 2]
    return []


def _turned(parts: list[Spectrum]) -> bool | None:
    """Whether stripes lie; None if they neither lie nor stand."""
    for part in parts:
        if isinstance(part, Strip):
            return part.axis == 0
        if isinstance(part, Stripes):
            off = part.angle % 180
            if min(off, 180 - off) < _STRAIGHT:
                return False
            if abs(off - 90) < _STRAIGHT:
                return True
    return None


def _upright(run: Callable[[Array], Array], turned: bool) -> Callable[[Array], Array]:
    """A tool for upright stripes, for stripes that lie if `turned`."""
    return (lambda x: run(np.ascontiguousarray(x.T)).T) if turned else run


def _notched(x: Array, lines: list[float]) -> Array:
    need("scipy")
    from scipy.signal import filtfilt, iirnotch

    for f in lines:
        x = filtfilt(*iirnotch(f, _QUALITY, 1.0), x)
    return x


def _pystripe(x: Array) -> Array:
    """It takes streaks that lie, and whole numbers of 16 bits: others are brought to their range, and back."""
    core = importlib.import_module("pystripe.core")
    low, high = float(x.min()), float(x.max())
    counts = low >= 0 and high <= 2**16 - 1 and bool((x == np.rint(x)).all())
    offset, scale = (0.0, 1.0) if counts else (low, max(high - low, 1e-300) / (2**16 - 1))
    found = core.filter_streaks(np.ascontiguousarray(((x - offset) / scale).T), [128, 256])
    return np.asarray(found, np.float64).T[: x.shape[0], : x.shape[1]] * scale + offset


def _algotom(name: str) -> Callable[[Array], Array]:
    def run(x: Array) -> Array:
        removal = importlib.import_module("algotom.prep.removal")
        return np.asarray(getattr(removal, name)(x.astype(np.float32)), np.float64)

    return run
