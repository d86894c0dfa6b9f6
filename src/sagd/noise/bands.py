"""Bands: masks `b(f)` in [0, 1] over the frequencies, 1 where data is damaged, or is to be changed, 0 where it stays.

A band is written as a spectrum, so every spectrum with values in [0, 1] is one, and a sum is a union.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Product, Spectrum, refuse_mirror_sense
from sagd.noise.spectra.by_class import ClassConditional
from sagd.random import generator_for, randn


@dataclass(frozen=True)
class Outside(Spectrum, kind="outside"):
    """What a band leaves: `1 - b(f)`, or, if `hard`, 1 only where `b = 0`."""

    scalable = False
    band: Spectrum
    hard: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", Spectrum.parse(self.band))

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The band."""
        return (self.band,)

    def with_parts(self, parts: tuple[Spectrum, ...]) -> Outside:
        """Outside of another band."""
        return Outside(parts[0], self.hard)

    def weights(self, frequencies: Tensor) -> Tensor:
        """The complement."""
        b = self.band.weights(frequencies).clamp(max=1)
        return (b == 0).to(b.dtype) if self.hard else 1 - b

    def to_dict(self) -> dict[str, Any]:
        """With the mapping of the band."""
        return {"kind": self.kind, "band": self.band.to_dict(), "hard": self.hard}

    def __str__(self) -> str:
        return f"{self.kind}(band={str(self.band)!r}, hard={self.hard})"


def mask(band: Spectrum | str, basis: Basis) -> Tensor:
    """The values `b(f)` of a band, `(*coefficients)` or `(C, *coefficients)`, float64; a sum counts up to 1.

    Raises:
        InputError: If the band holds no frequency of the basis, or all of them, or cannot be read, or tells directions
            apart that the basis does not.
    """
    band = Spectrum.parse(band)
    if band.depends_on_class:
        raise InputError("a band is the same for all classes; give one mask, e.g. 'ring(low=0.1, high=0.2)'")
    values = band.weights(basis.frequencies()).double()
    refuse_mirror_sense(band, values, basis)
    b = values.clamp(max=1)
    size = " x ".join(map(str, basis.spatial))
    if not (b > 0).any():
        raise InputError(f"band {band.label} holds none of the frequencies of {size} samples; widen it")
    if (b > 0).all():
        raise InputError(f"band {band.label} holds every frequency, so nothing is left to go by; narrow it")
    return b


def is_own_mirror(b: Tensor, basis: Basis) -> bool:
    """Whether what a filter lets through of a field that is reversed along its last axis is what it lets through of the
    field, reversed: so a band holds the damage of flipped images too.

    Args:
        b: Values by frequency, `(*coefficients)` or `(C, *coefficients)`.
        basis: Of these frequencies; a wavelet one mostly mixes bands when it is reversed.
    """
    channels = basis.channels or (len(b) if b.ndim > len(basis.coefficients) else 1)
    x = randn((channels, *basis.spatial), generator_for(0, "mirror"), torch.float64)
    straight, reverse = (basis.inverse(b * basis.forward(y)) for y in (x, x.flip(-1)))
    return bool((straight - reverse.flip(-1)).abs().max() <= 1e-9 * max(1.0, float(straight.abs().max())))


def leave_out(spectrum: Spectrum, band: Spectrum, hard: bool) -> Spectrum:
    """`spectrum` without the band: times `1 - b`, or if `hard` zero wherever `b > 0`; class by class."""
    if isinstance(spectrum, ClassConditional):
        parts = tuple((name, leave_out(own, band, hard)) for name, own in spectrum.spectra)
        return ClassConditional(parts, spectrum.default and leave_out(spectrum.default, band, hard))
    return Product((spectrum, Outside(band, hard)))
