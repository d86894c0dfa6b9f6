"""Checks of the parameters of spectra, and of the weights they give."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sagd.errors import InputError


def require_finite(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is a number, and one that a float can hold."""
    try:
        fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        raise InputError(f"{name} must be a finite number, got an integer beyond 1e308") from None
    if not fine:
        raise InputError(f"{name} must be a finite number, got {value!r}")


def require_weight(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is a finite number and not negative."""
    require_finite(name, value)
    if value < 0:
        raise InputError(f"{name} must not be negative, got {value}; weights are amplitudes")


def require_band(name: str, low: float, high: float) -> None:
    """Refuse edges that are not `0 <= low < high <= 1`.

    Raises:
        InputError: Naming the edges.
    """
    require_finite(f"{name} low edge", low)
    require_finite(f"{name} high edge", high)
    if not 0 <= low < high <= 1:
        raise InputError(
            f"{name} needs 0 <= low < high <= 1 (fractions of the corner radius), got low={low}, high={high}"
        )


def in_range(w: Tensor, name: str, expected: Tensor | bool = True) -> Tensor:
    """Refuse weights that the range of numbers made infinite, or zero where more is `expected`."""
    if (~torch.isfinite(w) | ((w == 0) & expected)).any():
        raise InputError(f"{name} leaves the range of numbers on this grid; use a milder one")
    return w


def two_levels(name: str, mask: Tensor, inside: float, outside: float) -> Tensor:
    """`inside` where `mask` is 1, `outside` where it is 0; of the type of the mask.

    Raises:
        InputError: If that type rounds a level to zero or infinity; it names `name`.
    """
    levels = torch.where(mask > 0, mask.new_tensor(float(inside)), mask.new_tensor(float(outside)))
    return in_range(levels, name, torch.where(mask > 0, inside > 0, outside > 0))
