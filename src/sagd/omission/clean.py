"""Damage of a band taken out of whole arrays: the band found or given, the gain measured, gaps filled before and put
back, dead lines interpolated.

    x_clean = x - U* (1 - g) U x,    g(f) = S / (S + N) inside the band, 1 outside

See `sagd.omission.removal` for `S` and `N`, and `sagd.omission.detection` for how bands are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.noise.spectra.base import Spectrum
from sagd.omission.dead import dead_lines
from sagd.omission.detection.base import Detection
from sagd.omission.detection.find import find
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.extend import interpolated
from sagd.omission.removal.measurement import require_axes

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
    place: Tensor | None = None,
) -> Cleaned:
    """Take the damage of a band out of an array.

    Args:
        x: `(C, *spatial)`, floating point, one to three axes of space; NaN where values are missing.
        band: Where the damage is, in cycles per sample; its edges need not be exact. 'auto' looks for it, and takes
            what is damage with a probability of 0.99 or more.
        reference: Clean arrays `(N, C, *spatial)` of the same size, against which far fainter damage is found.
        log: Whether damage multiplies the values: it is then taken out of their logarithm.
        place: Where the damage is, `(*spatial)` in [0, 1], soft edges allowed; everywhere by default.

    Raises:
        InputError: If the array or the band cannot be used.
    """
    if place is not None:
        _check_place(place, x)
    filled, missing, dead = prepared(x, log)
    found = None
    if isinstance(band, str) and band == AUTO:
        others = None if reference is None else torch.stack([prepared(other, log)[0] for other in reference])
        found = find(filled[None], others)
        known = found.band
    else:
        known = Spectrum.parse(band)
    if known is None:
        return Cleaned(x, torch.zeros_like(x), None, found, None, int(missing.sum()))
    removal = measure(filled, known)
    damage = removal.apply(filled)
    damage = damage if place is None else damage * place.to(damage)
    restored = finished(filled - damage, missing, log).to(x.dtype)
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
    require_axes(x)
    if infinite := int(x.isinf().sum()):
        raise InputError(
            f"{infinite} of {x.numel()} values are not finite; mend them, or make them NaN, which is filled in"
        )
    missing = x.isnan()
    if missing.flatten(1).all(1).any():
        raise InputError("a channel has no value at all, all of it is NaN; leave it out")
    # Comparisons with NaN are false.
    if log and (unfit := int((x <= 0).sum())):
        raise InputError(
            f"{argument('log=True')} needs values above 0, {unfit} of {x.numel()} are not; subtract the dark offset"
        )
    x = x.log() if log else x
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


def _check_place(place: Tensor, x: Tensor) -> None:
    if tuple(place.shape) != tuple(x.shape[1:]):
        raise InputError(f"the mask of places is {tuple(place.shape)}, the array {tuple(x.shape[1:])}")
    if not bool(((place >= 0) & (place <= 1)).all()):
        raise InputError("the mask of places must lie in [0, 1]")
