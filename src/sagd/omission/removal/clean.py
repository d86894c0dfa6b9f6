"""One array cleaned: measured, and the damage taken out, in the logarithm or not, with missing values kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.omission.removal.extend import interpolated
from sagd.omission.removal.measurement import Removal, measure


@dataclass(frozen=True)
class Cleaned:
    """A cleaned array and how it came about.

    Attributes:
        x: The cleaned array, of the shape and type of the damaged one; missing values are missing still.
        removed: What was taken out, `damaged - x`.
        removal: The gain and its spectra; of the logarithms, if these were cleaned.
        missing: Number of missing values (NaN), which were interpolated for the transform.
    """

    x: Tensor
    removed: Tensor
    removal: Removal
    missing: int


def remove(x: Tensor, band: Spectrum | str, *, log: bool = False, place: Tensor | None = None) -> Cleaned:
    """Take damage of a known band out of one array.

    Args:
        x: `(C, *spatial)`, floating point, of 1 to 3 spatial axes; NaN stands for missing values.
        band: Mask of the damage, in cycles per sample; its edges need not be exact.
        log: Whether the damage multiplies: the logarithm is cleaned.
        place: Where the damage is, `(*spatial)` in [0, 1], soft edges allowed; everywhere by default.

    Raises:
        InputError: If the band covers no or every frequency, or values cannot be used.
    """
    missing = torch.isnan(x)
    count = int(missing.sum())
    if count and bool(missing.flatten(1).all(1).any()):
        raise InputError("a channel has no value at all, all of it is NaN; leave it out")
    if log:
        # The least of values that are not missing; comparisons with NaN are false.
        unfit = int((x <= 0).sum())
        if unfit:
            raise InputError(f"log=True needs values above 0, {unfit} of {x.numel()} are not; subtract the dark offset")
    if place is not None:
        _check_place(place, x)
    full = interpolated(x, missing) if count else x
    work = full.log() if log else full
    removal = measure(work, band)
    removed = removal.apply(work)
    if place is not None:
        removed = removed * place.to(removed)
    cleaned = (work - removed).exp() if log else work - removed
    cleaned = torch.where(missing, x, cleaned) if count else cleaned
    return Cleaned(cleaned, x - cleaned, removal, count)


def _check_place(place: Tensor, x: Tensor) -> None:
    if tuple(place.shape) != tuple(x.shape[1:]):
        raise InputError(f"the mask of places is {tuple(place.shape)}, the array {tuple(x.shape[1:])}")
    if not bool(((place >= 0) & (place <= 1)).all()):
        raise InputError("the mask of places must lie in [0, 1]")
