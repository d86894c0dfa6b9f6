"""Computed values in the type of a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from sagd.errors import InputError


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
