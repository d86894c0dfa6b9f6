"""Checks of images that a model is to change, for `sagd.omission` and `sagd.resampling`."""

from __future__ import annotations

import math

from torch import Tensor

from sagd.errors import InputError
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process

_INSIDE = 1e-6
"""Of the range that models know, so that rounding leads out of it nowhere."""
_FAR = 10.0
"""Standard deviations from the mean of the data beyond which values are taken to be of another scale."""


def check_images(y: Tensor, process: Process, statistics: DataStatistics, does: str) -> None:
    """Refuse images that a model `does` ("restores") nothing with.

    Raises:
        InputError: On another shape or type, non-finite values, or values far from those of the training data.
    """
    if y.ndim != len(process.shape) + 1 or tuple(y.shape[1:]) != process.shape or not len(y):
        raise InputError(f"the model {does} images {process.shape}, got shape {tuple(y.shape)}")
    if not y.is_floating_point():
        raise InputError(f"images must be floating point in the range of the training data, got {y.dtype}")
    (least, most), low, high = reach(statistics), float(y.min()), float(y.max())
    if not least <= low <= high <= most:
        raise InputError(
            f"images reach from {low:.3g} to {high:.3g}, the model's data lies within"
            f" {least:.3g} to {most:.3g}; scale 8-bit images to [-1, 1]"
        )


def reach(statistics: DataStatistics) -> tuple[float, float]:
    """Least and largest value that is not taken to be of another scale than the training data."""
    spread = _FAR * math.sqrt(statistics.variance + float(statistics.mean.var(correction=0)))
    centre = float(statistics.mean.mean())
    return centre - spread, centre + spread


def within_reach(x: Tensor, statistics: DataStatistics) -> Tensor:
    """Values as they are, and those that would be refused as the nearest that are not."""
    low, high = reach(statistics)
    inside = _INSIDE * (high - low)
    return x.clamp(low + inside, high - inside)
