"""Damage in continuous coordinates, at a level that is set against the clean power where it lies."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sagd.omission.detection.windows import cut, window_side

FOR_IMAGES = ("stripes", "curtaining", "oblique stripes", "moire", "screen", "rain", "ring")
FOR_RECORDS = ("hum", "band")

_LEAST_CHANGED = 0.05
"""Share of the values that damage must change."""

Array = np.ndarray


def damaged(x: Tensor, kind: str, decibel: float, g: np.random.Generator, bits: bool) -> tuple[Tensor, Tensor]:
    """A set with damage, and what that changes.

    Args:
        x: Clean set `(N, C, *spatial)`.
        kind: Of damage.
        decibel: Its `level`, before it is clipped.
        g: For all draws.
        bits: Whether values are clipped and rounded to 8 bits.
    """
    settings = _settings(g, tuple(x.shape[2:]))
    own = [MAKERS[kind](tuple(x.shape[2:]), g, settings) for _ in range(len(x))]
    n = torch.from_numpy(np.stack(own))[:, None].float().expand(x.shape)
    if kind == "rain" and x.mean() > 128:  # on white paper, streaks are dark
        n = -n
    n = n * 10 ** ((decibel - level(x, n)) / 20)
    while True:
        y = (x + n).round().clamp(0, 255) if bits else x + n
        if (y != x).double().mean() > _LEAST_CHANGED:
            return y, y - x
        n = 1.4 * n  # rounding leaves nothing of it


def level(x: Tensor, n: Tensor) -> float:
    """Power of damage over that of the clean set, where the damage has its power, in dB.

    Means over the windows of detection, weighted by the power of the damage. What the clean set has less than the floor
    of detection counts as that.
    """
    side = window_side(len(x), tuple(x.shape[2:]))
    s, d = cut(x, side).power, cut(n, side, mean=True).coefficients.abs().square().mean(0)
    return 10 * math.log10(float((d * d).sum() / (s * d).sum()))


def _settings(g: np.random.Generator, shape: tuple[int, ...]) -> dict[str, float]:
    """What all images of a set have in common."""
    f = g.uniform(0.08, 0.45)
    return {
        "f": f,
        "angle": g.uniform(0, np.pi),
        "tilt": float(g.choice([g.uniform(0.1, 1.4), g.uniform(1.7, 3.0)])),
        "axis": float(g.integers(2)),
        "low": g.uniform(0.1, 0.6),
        "width": g.uniform(0.06, 0.12) * (2 if min(shape) < 40 else 1),
        "length": g.uniform(8, 25),
        "bend": g.uniform(0, 1),
        "base": g.uniform(0.03, 0.2),
        "harmonics": float(g.integers(0, 4)),
        "wander": g.uniform(0, 3e-4),
    }


def _grid(shape: tuple[int, ...]) -> tuple[Array, Array]:
    i, j = np.meshgrid(*(np.arange(n) - n / 2.0 for n in shape), indexing="ij")
    return i, j


def _profile(u: Array, g: np.random.Generator, smooth: float = 0.0) -> Array:
    """Random stripes as a function of continuous places."""
    low, high = int(np.floor(u.min())) - 3, int(np.ceil(u.max())) + 3
    values = g.normal(size=high - low + 1)
    if smooth:
        values = values + smooth * np.convolve(values, np.ones(5) / 5, "same")
    return np.interp(u, np.arange(low, high + 1), values)


def _stripes(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    u = _grid(shape)[int(s["axis"])]
    return _profile(u + g.uniform(), g)


def _curtaining(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    """Columns that change slowly on their way down, stronger in some places than in others."""
    i, j = _grid(shape)
    slow = i / shape[0]
    across, down, phase = g.uniform(-3, 3), g.uniform(-3, 3), g.uniform(0, 6)
    strength = np.exp(s["bend"] * np.sin(across * j / shape[1] + down * slow + phase))
    a, b = _profile(j + g.uniform(), g, 1.0), _profile(j + g.uniform(), g, 1.0)
    return strength * (a * np.cos(slow) + b * np.sin(slow) * 0.7)


def _oblique(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    i, j = _grid(shape)
    return _profile(i * np.sin(s["tilt"]) + j * np.cos(s["tilt"]) + g.uniform(), g)


def _wave(shape: tuple[int, ...], g: np.random.Generator, f: float, angle: float, bend: float) -> Array:
    i, j = _grid(shape)
    slow = bend * 0.5 * ((i / 256) ** 2 + (j / 256) ** 2)
    return np.cos(2 * np.pi * f * (i * np.sin(angle) + j * np.cos(angle)) + slow + g.uniform(0, 2 * np.pi))


def _moire(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    return _wave(shape, g, s["f"], s["angle"], s["bend"])


def _screen(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    f = 0.1 + s["f"] / 2
    return _wave(shape, g, f, np.pi / 4, 0) + _wave(shape, g, f, 3 * np.pi / 4, 0)


def _rain(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    """Short lines at random places, all in one direction but for some degrees."""
    large = tuple(n + 60 for n in shape)
    out = np.zeros(large)
    count = int(np.prod(large) / 60)
    for y, x, turn, height in zip(
        g.uniform(0, large[0], count),
        g.uniform(0, large[1], count),
        g.normal(0, 0.05, count),
        g.uniform(0.3, 1, count),
        strict=True,
    ):
        t = np.arange(0, s["length"], 0.5)
        a = s["angle"] + turn
        i, j = np.round(y + t * np.sin(a)).astype(int), np.round(x + t * np.cos(a)).astype(int)
        inside = (i >= 0) & (i < large[0]) & (j >= 0) & (j < large[1])
        out[i[inside], j[inside]] = height
    return out[30 : 30 + shape[0], 30 : 30 + shape[1]]


def _ring(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    """Noise of a band of radii, of a larger canvas, so that borders do not meet."""
    large = tuple(max(2 * n, 64) for n in shape)
    f = np.meshgrid(*(np.fft.fftfreq(n) for n in large), indexing="ij")
    rho = np.sqrt(sum(a**2 for a in f)) / np.sqrt(len(shape) / 4)
    inside = (rho >= s["low"]) & (rho < s["low"] + s["width"])
    x = np.fft.ifftn(np.fft.fftn(g.normal(size=large)) * inside).real
    return x[tuple(slice(n // 3, n // 3 + n) for n in shape)]


def _hum(shape: tuple[int, ...], g: np.random.Generator, s: dict[str, float]) -> Array:
    """A wave whose frequency wanders, with harmonics."""
    n = shape[0]
    walk = np.interp(np.arange(n), np.linspace(0, n, 12), g.normal(size=12)) * s["wander"] * s["base"] * 3
    phase = 2 * np.pi * np.cumsum(s["base"] * (1 + walk))
    return sum(np.cos(k * phase + g.uniform(0, 6)) / k for k in range(1, 2 + int(s["harmonics"])))  # type: ignore[return-value]


MAKERS = {
    "stripes": _stripes,
    "curtaining": _curtaining,
    "oblique stripes": _oblique,
    "moire": _moire,
    "screen": _screen,
    "rain": _rain,
    "ring": _ring,
    "hum": _hum,
    "band": _ring,
}
