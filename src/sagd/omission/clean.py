"""Damage of a band taken out of whole arrays: the band found or given, the gain measured, gaps filled before and put
back, dead lines interpolated.

    x_clean = x - U* (1 - g) U x,    g(f) = S / (S + N) inside the band, 1 outside

See `sagd.omission.removal` for `S` and `N`, and `sagd.omission.detection` for how bands are found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detection.base import AUTO, SOUGHT, Detection
from sagd.omission.preparation import Scale, finished, kept_beside, prepared
from sagd.omission.quick import quick_for
from sagd.omission.removal import Removal, measure
from sagd.omission.search import around, search


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
        log: Whether the damage multiplies the values, and was taken out of their logarithm.
    """

    x: Tensor
    removed: Tensor
    band: Spectrum | None
    detection: Detection | None = None
    removal: Removal | None = field(default=None, repr=False)
    missing: int = 0
    dead: tuple[tuple[int, int], ...] = ()
    log: bool = False


def clean(
    x: Tensor,
    band: Spectrum | str = AUTO,
    reference: Tensor | None = None,
    log: bool | None = None,
    place: Tensor | None = None,
) -> Cleaned:
    """Take the damage of a band out of an array.

    Args:
        x: `(C, *spatial)`, floating point, one to three axes of space; NaN where values are missing.
        band: Where the damage is, in cycles per sample; its edges need not be exact. 'auto' looks for it, and takes
            what is damage with a probability of 0.99 or more; 'likeliest' takes what is likeliest to be damage, for
            data that is known to be damaged.
        reference: Clean arrays `(N, C, *spatial)` of the same size, against which far fainter damage is found.
        log: Whether damage multiplies the values: it is then taken out of their logarithm. None: whether it does is
            found with the band; a band that is given adds.
        place: Where the damage is, `(*spatial)` in [0, 1], soft edges allowed; everywhere by default. Where it is 0
            every value stays as it is.

    Raises:
        InputError: If the array or the band cannot be used.
    """
    if place is not None:
        _check_place(place, x)
    found = None
    if isinstance(band, str) and band in SOUGHT:
        found, scale = search(x[None] if reference is not None else around(place, x[None]), reference, log)
        found = found.counting(band)
        known = found.band
    else:
        known, scale = Spectrum.parse(band), Scale.logarithm(x) if log else Scale()
    filled, missing, dead = prepared(x, scale)
    if known is None:
        return Cleaned(x, torch.zeros_like(x), None, found, None, int(missing.sum()))
    with quick_for(x.numel()):
        removal = measure(filled, known, clipped=True, below=not scale.multiplies)
        damage = removal.apply(filled)
        removal = replace(removal, known=None)
    damage = damage if place is None else damage * place.to(damage)
    after = finished(filled, damage, missing, scale).to(x.dtype)
    removed = torch.where(missing, 0.0, finished(filled, 0.0, missing, scale).to(x.dtype) - after)
    restored, removed = kept_beside(place, x, after), kept_beside(place, torch.zeros_like(x), removed)
    return Cleaned(restored, removed, known, found, removal, int(missing.sum()), dead, scale.multiplies)


def _check_place(place: Tensor, x: Tensor) -> None:
    if tuple(place.shape) != tuple(x.shape[1:]):
        raise InputError(f"the mask of places is {tuple(place.shape)}, the array {tuple(x.shape[1:])}")
    if not bool(((place >= 0) & (place <= 1)).all()):
        raise InputError("the mask of places must lie in [0, 1]")
