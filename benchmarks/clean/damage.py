"""Damage as the product draws it, at a level that is set against the clean power where it lies."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sagd.data.corruption import corrupt
from sagd.omission.detection.windows import cut, window_side

FOR_IMAGES = ("stripes", "curtaining", "oblique stripes", "sensor", "moire", "screen", "rain", "ring")
FOR_RECORDS = ("hum", "band")

LOUDEST = {True: 0.4, False: 1.0}
"""Largest root mean square of damage, of images from -1 to 1: more of it leaves nothing of a single one, clipped."""
_LEAST_CHANGED = 0.05
"""Share of the values that damage must change."""

Generator = np.random.Generator


def damaged(x: Tensor, kind: str, decibel: float, g: Generator) -> tuple[Tensor, Tensor, str]:
    """A set with damage, what that changes, and its text.

    Single images are rounded and clipped to 8 bits, as files of them are; sets of many are as training reads them.

    Args:
        x: Clean set `(N, C, *spatial)`; images from 0 to 255.
        kind: Of damage.
        decibel: Its `level`, before it is clipped.
        g: For all draws.
    """
    text = drawn(kind, x, g)
    n = corrupt(torch.zeros_like(x), text, int(g.integers(2**31)))
    if kind == "rain" and x.mean() > 128:  # on white paper, streaks are dark
        n = -n
    n = n * 10 ** ((decibel - level(x, n)) / 20)
    if x.ndim == 4:
        n = n * min(1.0, LOUDEST[len(x) == 1] * 127.5 / float(n.square().mean().sqrt()))
    while True:
        y = (x + n).round().clamp(0, 255) if x.ndim == 4 and len(x) == 1 else x + n
        if (y != x).double().mean() > _LEAST_CHANGED:
            return y, y - x, text
        n = 1.4 * n  # rounding leaves nothing of it


def level(x: Tensor, n: Tensor) -> float:
    """Power of damage over that of the clean set, where the damage has its power, in dB.

    Means over the windows of detection, weighted by the power of the damage. What the clean set has less than the floor
    of detection counts as that.
    """
    side = window_side(len(x), tuple(x.shape[2:]))
    s, d = cut(x, side).power, cut(n, side, mean=True).coefficients.abs().square().mean(0)
    return 10 * math.log10(float((d * d).sum() / (s * d).sum()))


def drawn(kind: str, x: Tensor, g: Generator) -> str:
    """A random corruption of a kind, as text."""
    side, upright = min(x.shape[2:]), 90 * int(g.integers(2))
    width = g.choice([1.0, 1.5, 2.0, 3.0])
    length = round(float(side * g.uniform(0.4, 2)))
    low = g.uniform(0.1, 0.7)
    high = low + g.uniform(0.05, 0.12) * (2 if side < 40 else 1)
    slow = f"wander={g.choice([0.0, 0.0005, 0.002])}, time={10 ** g.uniform(3, 4.3):.0f}"
    f = g.uniform(0.1, 0.35)
    wet = f"jitter={g.uniform(0, 6):.1f}, length={g.uniform(8, 25):.1f}, density={10 ** g.uniform(-2.7, -1.9):.5f}"
    return {
        "stripes": f"curtains(angle={upright}, width={width}, ends=0, vary=0, drift=0)",
        "curtaining": f"curtains(angle={upright}, width={width}, length={length})",
        "oblique stripes": f"curtains(angle={g.uniform(5, 85) + upright:.1f}, width={width}, length={length})",
        # The columns of a sensor are the mean of a set, which shows only against a reference.
        "sensor": f"sensor(rows={0.5 if len(x) == 1 else 1})",
        "moire": f"fringes(waves={g.integers(1, 4)}, low=0.08, high=0.42, bend={g.uniform(0, 0.4):.2f})",
        "screen": f"fringes(at=(({f:.4f}, {f:.4f}), ({f:.4f}, {-f:.4f})), bend=0, vary={g.uniform(0, 0.2):.2f})",
        "rain": f"streaks(angle={g.uniform(-90, 90):.0f}, width={g.uniform(0.5, 1):.2f}, {wet})",
        "ring": f"band_noise(low={low:.3f}, high={high:.3f})",
        "band": f"band_noise(low={low:.3f}, high={high:.3f})",
        "hum": f"mains(frequency={g.uniform(0.006, 0.2):.4f}, harmonics={g.integers(1, 6)}, {slow})",
    }[kind]
