"""What is taken out of arrays of one size, measured on one of them, or on several of few values together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from sagd.noise.spectra.base import Spectrum
from sagd.omission.dead import dead_lines
from sagd.omission.preparation import Scale, prepared
from sagd.omission.removal import Removal, measure

Lines = tuple[tuple[int, int], ...]
"""Axis and number of dead lines."""


@dataclass(frozen=True)
class Gain:
    """What was measured on arrays, to take a band out of them.

    Attributes:
        scale: On which the damage adds.
        dead: Lines that are interpolated in all of them.
        removal: The gain.
    """

    scale: Scale
    dead: Lines
    removal: Removal

    @classmethod
    def of(cls, arrays: Callable[[], Iterable[Tensor]], band: Spectrum, scale: Scale) -> Gain:
        """Measure it.

        Args:
            arrays: Gives `(C, *spatial)` of one size, NaN where values are missing, as often as it is asked.
            band: Where the damage is, in cycles per sample.
            scale: On which it adds.

        Raises:
            InputError: If they cannot be used.
        """
        dead = in_all(arrays())

        def filled() -> Iterable[Tensor]:
            return (prepared(x, scale, dead)[0] for x in arrays())

        return cls(scale, dead, measure(filled, band, clipped=True, below=not scale.multiplies))


def varies(x: Tensor) -> bool:
    """Whether there is more than one value, or none; NaN does not count."""
    known = x[~x.isnan()]
    return not len(known) or bool((known != known[0]).any())


def in_all(arrays: Iterable[Tensor]) -> Lines:
    """Dead lines of all arrays `(C, *spatial)` that vary, as of a sensor; what is constant in some alone is content."""
    dead: set[tuple[int, int]] | None = None
    for x in arrays:
        if not varies(x):
            continue
        own = set(dead_lines(x))
        dead = own if dead is None else dead & own
        if not dead:
            break
    return tuple(sorted(dead or ()))
