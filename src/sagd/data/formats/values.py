"""Computed values in the type of a file."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import DTypeLike

from sagd.errors import InputError

_NEAR, _RELATIVE = 1e-2, 1e-6
"""Part of a step, or of a floating-point value, that is no rounding worth a word: what arithmetic leaves."""


@dataclass(frozen=True)
class Loss:
    """What the types of files have left of computed values; those of several arrays add up.

    Attributes:
        values: All values that are numbers.
        clipped: Those beyond what the type holds.
        rounded: Others that it holds nearly.
        squares: Sum of the squared changes.
        total: Sum of the values.
        power: Sum of their squares.
    """

    values: int = 0
    clipped: int = 0
    rounded: int = 0
    squares: float = 0.0
    total: float = 0.0
    power: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray, held: np.ndarray, clipped: int) -> Loss:
        """That of values which became others in `to_type`."""
        known = np.isfinite(values) & np.isfinite(held)
        own, left = values[known].astype(np.float64), held[known].astype(np.float64)
        change, whole = np.abs(left - own), held.dtype.kind != "f"
        moved = int(np.count_nonzero(change > (_NEAR if whole else _RELATIVE * np.abs(own))))
        power = float(np.square(own).sum())
        return cls(own.size, clipped, max(moved - clipped, 0), float(np.square(change).sum()), float(own.sum()), power)

    def __add__(self, other: Loss) -> Loss:
        return Loss(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def share(self) -> float:
        """Root mean square of the change, over the standard deviation of the values; 0 of values that are all alike."""
        spread = self.power - self.total**2 / max(self.values, 1)
        return math.sqrt(self.squares / spread) if spread > 0 else 0.0

    def told(self, dtype: str) -> str:
        """What a type took from how many values; "" if it holds them all."""
        counts = {f"were rounded to {dtype}": self.rounded, f"were clipped to what {dtype} holds": self.clipped}
        said = [f"{count} ({100 * count / self.values:.2g} %) {what}" for what, count in counts.items() if count]
        return f"of {self.values} values {' and '.join(said)}" if said else ""


def to_type(values: np.ndarray, dtype: DTypeLike, limits: tuple[float, float] | None = None) -> tuple[np.ndarray, int]:
    """Floating-point values in a type of a file: whole numbers are the nearest, of two the even one; what lies outside
    of the limits, or of what the type can hold, becomes the limit.

    >>> to_type(np.array([-0.2, 2.5, 3.5, 300.0]), "uint8")
    (array([  0,   2,   4, 255], dtype=uint8), 1)

    Args:
        values: Floating point, of any shape.
        dtype: The type.
        limits: Least and largest value of the encoding; None: those of the type.

    Returns:
        The array, and how many of its values were outside of the limits by more than rounding mends.

    Raises:
        InputError: If the type is one of whole numbers, and values are NaN or infinite: none stands for them.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return _to_float(values, dtype, limits)
    if lost := int(np.count_nonzero(~np.isfinite(values))):
        raise InputError(f"{lost} value(s) are NaN or infinite, which {dtype.name} cannot hold; write floating point")
    least, most = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if limits is not None:
        least, most = max(least, int(np.ceil(limits[0]))), min(most, int(np.floor(limits[1])))
    rounded = np.rint(values)
    # The largest of 64 bits is no float64, and becomes the next one, which is too large itself.
    below, above = rounded < float(least), rounded > float(most)
    if int(float(most)) > most:
        above |= rounded == float(most)
    typed = np.where(below | above, 0, rounded).astype(dtype)
    typed[below], typed[above] = least, most
    return typed, int(np.count_nonzero(below | above))


def of_full_scale(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Values of whole numbers within limits, in floating point, as parts of the full scale: in [-1, 1).

    >>> of_full_scale(np.array([-32768.0, 0.0, 16384.0]), (-32768, 32767)), of_full_scale(np.array([128.0]), (0, 255))
    (array([-1. ,  0. ,  0.5]), array([0.]))
    """
    low, high = limits
    return (values - (low + high + 1) / 2) / ((high - low + 1) / 2)


def to_full_scale(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Inverse of `of_full_scale`, float64, not rounded."""
    low, high = limits
    return values.astype(np.float64) * ((high - low + 1) / 2) + (low + high + 1) / 2


def _to_float(values: np.ndarray, dtype: np.dtype, limits: tuple[float, float] | None) -> tuple[np.ndarray, int]:
    """NaN and infinity stay; what would become infinite is clipped."""
    most = float(np.finfo(dtype).max)
    least, most = (-most, most) if limits is None else (max(-most, limits[0]), min(most, limits[1]))
    outside = np.isfinite(values) & ((values < least) | (values > most))
    return np.where(outside, np.clip(values, least, most), values).astype(dtype), int(np.count_nonzero(outside))
