"""Whether data is like that for which a design was made: by its power in rings of frequencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import pstdev

from sagd.data.signals import Signals
from sagd.noise.statistics import measure, most_measured, radial_profile

RINGS = 16
MOST_APART_DB = 5.0
"""Distance of two spectra from which on they are those of other data.

Of nine sets, halves of the files, parts that were held out, and 32 items at random were at most 3.8 dB from the whole
(speech; the others 2.8), 16 items at most 4.5; one set was from another at least 6.4 dB (wind from photographs, a
velocity from its own stream function).
"""
_MOST_ITEMS = 512
_DEPTH_DB = 80.0
"""Rings so far below the strongest count as so far: there is rounding, of which no two files have the same."""


def ring_powers(data: Signals) -> tuple[float, ...]:
    """Mean power of all channels by ring in the Fourier basis, in dB; rings that no frequency falls into are left out.

    Args:
        data: At least two items; some of many stand for all.
    """
    some = data.at_most(min(_MOST_ITEMS, most_measured(data.shape)), "likeness")
    found = measure(some.tensor(), mask=some.known())
    rings = radial_profile(found.spectrum, found.basis, RINGS).values.mean(0)
    rings = rings[rings.isfinite()]
    least = float(rings.max()) * 10 ** (-_DEPTH_DB / 10)
    return tuple(round(10 * math.log10(max(power, least)), 2) for power in rings.tolist())


def distance_db(one: Sequence[float], other: Sequence[float]) -> float:
    """How far apart the shapes of two spectra are, rms over rings, in dB; infinity if they have not as many rings.

    Their levels do not count: a model sees values scaled by what its own files hold.

    >>> distance_db([0, -10], [5, -9])
    2.0
    """
    if not one or len(one) != len(other):
        return math.inf
    return pstdev(a - b for a, b in zip(one, other, strict=True))
