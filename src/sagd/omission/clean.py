"""Damage of a band taken out of whole arrays: the band found or given, the gain measured, gaps filled before and put
back, dead lines interpolated.

    x_clean = x - U* (1 - g) U x,    g(f) = S / (S + N) inside the band, 1 outside

See `sagd.omission.removal` for `S` and `N`, and `sagd.omission.detect` for how bands are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.noise.spectra.base import Spectrum
from sagd.omission.dead import dead_lines
from sagd.omission.detect import Detection, detect
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.extend import interpolated

AUTO = "auto"
"""The band that is looked for."""


@dataclass(frozen=True)
class Cleaned:
    """An array without its damage.

    Attributes:
        x: `(C, *spatial)`, in the type of what was given; as it was where nothing was found.
        removed: What was taken out, likewise: what was given less `x`, but for dead lines.
        band: Where the damage was; None if none was found.
        detection: What was looked at; None if the band was given.
        removal: Gain and spectra; None without a band.
        missing: Values that were NaN; they are so again.
        dead: Axis and number of lines of constant value that were interpolated.
    """

    x: Tensor
    removed: Tensor
    band: Spectrum | None
    detection: Detection | None = None
    removal: Removal | None = field(default=None, repr=False)
    missing: int = 0
    dead: tuple[tuple[int, int], ...] = ()


def clean(
    x: Tensor,
    band: Spectrum | str = AUTO,
    reference: Tensor | None = None,
    log: bool = False,
) -> Cleaned:
    """Take the damage of a band out of an array.

    Args:
        x: `(C, *spatial)`, floating point, one to three axes of space; NaN where values are missing.
        band: Where the damage is, in cycles per sample; 'auto' looks for it, and takes what is damage with a
            probability of 0.99 or more.
        reference: Clean arrays `(N, C, *spatial)` of the same size, against which far fainter damage is found.
        log: Whether damage multiplies the values: it is then taken out of their logarithm.

    Raises:
        InputError: If the array or the band cannot be used.
    """
    filled, missing, dead = prepared(x, log)
    found = None
    if isinstance(band, str) and band == AUTO:
        others = None if reference is None else torch.stack([prepared(other, log)[0] for other in reference])
        found = detect(filled[None], others)
        known = found.band
    else:
        known = Spectrum.parse(band)
    if known is None:
        return Cleaned(x, torch.zeros_like(x), None, found, None, int(missing.sum()))
    removal = measure(filled, known)
    restored = finished(filled - removal.apply(filled), missing, log).to(x.dtype)
    removed = torch.where(missing, 0.0, finished(filled, missing, log).to(x.dtype) - restored)
    return Cleaned(restored, removed, known, found, removal, int(missing.sum()), dead)


def prepared(x: Tensor, log: bool = False) -> tuple[Tensor, Tensor, tuple[tuple[int, int], ...]]:
    """An array without gaps, float32 or wider, where it had some, and its dead lines.

    Args:
        x: `(C, *spatial)`; NaN where values are missing.
        log: Whether to take its logarithm.

    Raises:
        InputError: On infinite values, or values of which there is no logarithm.
    """
    if x.ndim not in (2, 3, 4) or not x.is_floating_point() or not x.numel():
        raise InputError(
            f"an array must be floating point (C, *spatial) of 1 to 3 axes, got {x.dtype} {tuple(x.shape)}"
        )
    if infinite := int(x.isinf().sum()):
        raise InputError(f"{infinite} value(s) are infinite; mend them, or make them NaN, which is filled in")
    missing = x.isnan()
    gap = missing.flatten(1)
    if gap.all(1).any():
        raise InputError(f"channel {int(gap.all(1).nonzero()[0])} holds no value that is not NaN")
    if log:
        least = x[~missing].min()
        if not least > 0:
            raise InputError(
                f"{argument('log=True')} takes logarithms, and the least value is {float(least):g}; subtract the dark"
                " level so that all values are positive, or leave it out"
            )
        x = x.log()
    x = x if x.dtype == torch.float64 else x.float()
    dead = dead_lines(x)
    away = missing.clone()
    for axis, number in dead:
        away.select(axis + 1, number).fill_(True)
    return (interpolated(x, away) if away.any() else x), missing, dead


def finished(x: Tensor, missing: Tensor, log: bool = False) -> Tensor:
    """The inverse of `prepared`, but that dead lines stay interpolated."""
    return torch.where(missing, torch.nan, x.exp() if log else x)


def lines_of(dead: Sequence[tuple[int, int]], axes: str) -> str:
    """Dead lines as a sentence has them.

    >>> lines_of([(1, 7), (1, 9)], "YX")
    '2 dead line(s) were interpolated: X 7, X 9'
    """
    named = ", ".join(f"{axes[axis]} {number}" for axis, number in dead)
    return f"{len(dead)} dead line(s) were interpolated: {named}"
