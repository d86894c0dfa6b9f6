"""The alarm: whether the spectrum of what a model has made of data still shows the damage.

An error against damaged data rewards drawing the damage back, so that no calibration notices it. The spectrum does: in
its band, data that is clean has about the power of its smooth surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from sagd.noise.bands import mask
from sagd.noise.spectra.base import Spectrum
from sagd.omission.removal import Removal, measure

ALARM = 1.0
"""Decibels over clean data from which on a band is taken to show the damage."""
LEAST = -99.0
"""Decibels of a band that holds nothing."""


def excess(x: Tensor | Iterable[Tensor], band: Spectrum | str, like: Removal | None = None) -> float:
    """How far an array is over its smooth surroundings in a band, in dB: about 0 if it is clean.

    Args:
        x: `(C, *spatial)`, finite, or blocks of one size.
        band: The band, in cycles per sample.
        like: What was measured on the damaged array: its surroundings are then those, and frequencies count by the
            share of the damage in them, so that those which were as good as clean say nothing.

    Raises:
        InputError: If the array or the band cannot be used.
    """
    if like is None:
        own = measure(x, band)
        power, smooth, basis = own.power, own.smooth, own.basis
        inside = mask(band, basis).expand_as(smooth)
    else:
        power, smooth, basis, inside = like.power_of(x), like.smooth, like.basis, 1 - like.gain
    weight = torch.where(basis.radius() > 0, basis.multiplicity(), 0.0) * inside
    if not weight.any():
        return 0.0
    over = float((weight * power / smooth).sum() / weight.sum())
    return max(LEAST, 10 * math.log10(max(over, 1e-30)))
