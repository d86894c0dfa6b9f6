"""Masks that say which frequencies of each field were observed: how they are laid out, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sagd.data.corruption.missing import without
from sagd.data.layout import Layout
from sagd.errors import InputError, argument
from sagd.noise.basis.fourier import FourierBasis, half_counts
from sagd.noise.basis.fourier import whole as all_of

CENTRED = "centred"
"""The order in which frequency 0 is in the middle, as `numpy.fft.fftshift` puts it; else it is first."""
FEWEST = 2
"""Fields that must show a frequency, for anything to be learnt of it."""
_ROUNDED, _LITTLE = 1e-8, 1e-2
"""Shares of power beside masks that float32 leaves, and that may be noise."""
_ROUNDING = 1e-10
"""Share of power beside a mask up to which it is rounding of float32."""


def half_of(values: np.ndarray, spatial: Sequence[int], order: str) -> Tensor:
    """The mask of a field as it is kept: bool `(*coefficients)` of the Fourier basis, True where it was observed.

    >>> half_of(np.array([1, 1, 0, 1]), (4,), "fft")
    tensor([ True,  True, False])

    Args:
        values: 0 and 1, `(*spatial)` in the order of `numpy.fft.fftfreq`, or the half of it that `numpy.fft.rfftn` has.
        spatial: Side lengths of the field.
        order: "fft", or "centred": all of it, as `numpy.fft.fftshift` orders it.

    Raises:
        InputError: In one line, if it is none, or not that of a real field.
    """
    check_sides(values.shape, spatial, order)
    whole, centred = tuple(spatial), order == CENTRED
    odd = values[(values != 0) & (values != 1)]  # NaN is neither
    if odd.size:
        raise InputError(
            f"the mask holds {odd.flat[0]:g}, and a frequency was observed (1) or not (0): what a share of one would"
            " mean nobody says; write 0 and 1"
        )
    mask = values.astype(bool)
    if values.shape != whole:
        mask = all_of(torch.from_numpy(mask)[None], whole[-1])[0].numpy()
    _check_symmetry(mask, centred)
    if not mask.any():
        raise InputError("the mask is 0 everywhere, so that nothing of the item was observed; leave the item out")
    mask = np.fft.ifftshift(mask) if centred else mask
    return torch.from_numpy(np.ascontiguousarray(mask[..., : whole[-1] // 2 + 1]))


def check_sides(shape: Sequence[int], spatial: Sequence[int], order: str) -> None:
    """Refuse a mask of other sides than those of the field or of half its spectrum; arguments as for `half_of`.

    Raises:
        InputError: In one line.
    """
    whole, half = tuple(spatial), (*spatial[:-1], spatial[-1] // 2 + 1)
    if tuple(shape) == whole or (tuple(shape) == half and order != CENTRED):
        return
    either = "" if order == CENTRED else f", or {_sides(half)}, the half that numpy.fft.rfftn has"
    raise InputError(
        f"the mask is {_sides(shape)}, items are {_sides(whole)} without their channels, which all have the"
        f" same mask: it must be {_sides(whole)}{either}"
    )


def own_mask(values: np.ndarray, item: int, count: int, layout: Layout | None, rank: int) -> np.ndarray:
    """The mask of an item among those of its file, its axes in the order of fields.

    Raises:
        InputError: If there are masks for another number of items.
    """
    if values.ndim == rank + 1:
        if len(values) != count:
            raise InputError(
                f"it holds {len(values)} masks for {count} item(s), whose channels all have the same; write one for"
                " each item, or one for all"
            )
        values = values[item]
    written = "" if layout is None else "".join(letter for letter in layout.axes if letter in layout.spatial)
    if layout is None or written == layout.spatial or values.ndim != rank:
        return values
    return values.transpose([written.index(letter) for letter in layout.spatial])


def reordered(missing: Tensor, side: int, order: str) -> Tensor:
    """What fields would lack if their masks had been in the other order, bool `(B, *coefficients)`.

    Args:
        missing: What they lack, likewise.
        side: Samples along the last axis.
        order: The order that masks were read in.
    """
    shift = torch.fft.fftshift if order == CENTRED else torch.fft.ifftshift
    return shift(all_of(missing, side), dim=tuple(range(1, missing.ndim)))[..., : missing.shape[-1]]


def observed_part(x: Tensor, missing: Tensor) -> Tensor:
    """Fields without what they lack, bit for bit as they are where they hold no more of it than rounding leaves.

    Args:
        x: `(B, C, *spatial)`.
        missing: Frequencies that each lacks, bool `(B, *coefficients)`.
    """
    kept = without(x, missing)
    beside, power = (z.flatten(1).square().sum(1) for z in (x - kept, x))
    return torch.where((beside > _ROUNDING * power).reshape(-1, *(1,) * (x.ndim - 1)), kept, x)


def power_beside(x: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """Power of each field at the frequencies that it lacks, and in all, but for the mean, `(B,)` float64 both.

    The mean is left out since what 0 is in a file is not what models see as 0. Arguments as for `observed_part`.
    """
    basis = FourierBasis(tuple(x.shape[2:]))
    power = (basis.forward(x.double()).abs().square() * basis.multiplicity()).flatten(2)
    power[..., 0] = 0  # frequency 0 is first
    return (power * missing.flatten(1)[:, None]).flatten(1).sum(1), power.flatten(1).sum(1)


def beside_line(name: str, share: float, turned: float, other: str, left: str) -> str | None:
    """A line for fields that hold something where nothing was observed of them; None if that is what rounding leaves.

    Args:
        name: What they are called.
        share: Share of their power that lies there.
        turned: What it would be if masks were read in the other order.
        other: How to ask for that order.
        left: What becomes of that power.
    """
    if share < _ROUNDED:
        return None
    why = "rounding or noise" if share < _LITTLE else "see that masks and items fit each other"
    if turned < share / 2:
        why = f"with {other} it would be {100 * turned:.2g} %"
    lies = f"{100 * share:.2g} % of the power of items lies where nothing was observed of them"
    return f"{name}: {lies}, and is {left}; {why}"


@dataclass(frozen=True)
class Coverage:
    """Which frequencies fields show.

    Attributes:
        count: Number of fields that show each frequency, `(*coefficients)`.
        shares: Share of its frequencies that each field shows, `(N,)`, float64.
        basis: The Fourier basis.
    """

    count: Tensor
    shares: Tensor
    basis: FourierBasis

    @staticmethod
    def of(missing: Iterable[Tensor], spatial: Sequence[int]) -> Coverage:
        """Of fields by what they lack, bool `(B, *coefficients)`, some at a time."""
        basis = FourierBasis(tuple(spatial))
        weight = basis.multiplicity() / basis.multiplicity().sum()
        count, shares = torch.zeros(basis.coefficients, dtype=torch.int64), []
        for some in missing:
            count += (~some).sum(0)
            shares.append((weight * ~some).flatten(1).sum(1))
        return Coverage(count, torch.cat(shares), basis)

    @property
    def all_shown(self) -> bool:
        """Whether every field shows every frequency."""
        return bool((self.count == len(self.shares)).all())

    def unknown(self) -> str | None:
        """Which frequencies too few show, for people; None if all are shown by enough."""
        where = self.count < FEWEST
        if not where.any():
            return None
        half, radii = half_counts(self.basis.spatial[-1]), self.basis.relative_radius()[where]
        hidden, every = int((where * half).sum()), int(half.sum()) * where[..., 0].numel()
        low, high = float(radii.min()), float(radii.max())
        between = f"radius {low:.2g}" if high - low < 0.005 else f"radii {low:.2g} to {high:.2g}"
        return (
            f"fewer than {FEWEST} of {len(self.shares)} items show {hidden} of {every} frequencies ({between} of the"
            " corner's), where no clean distribution can be learnt; add items that show them, or make all items coarser"
            " so that they do not have them"
        )

    def line(self) -> str:
        """How much is shown, for people."""
        low, mean, high = (100 * float(v) for v in (self.shares.min(), self.shares.mean(), self.shares.max()))
        least = int(self.count.min())
        return (
            f"items show {mean:.1f} % of their frequencies ({low:.1f} to {high:.1f} %), and each frequency is shown by"
            f" {least} of {len(self.shares)} items at least"
        )


def _mirrored(side: int, centred: bool) -> np.ndarray:
    """The place of the mirror image of each frequency of an axis."""
    return (2 * (side // 2 if centred else 0) - np.arange(side)) % side


def _lopsided(mask: np.ndarray, centred: bool) -> list[int] | None:
    """Place of a frequency that a whole mask has, and not its mirror image, or the other way round; None without."""
    mirror = np.ix_(*(_mirrored(side, centred) for side in mask.shape))
    return next(iter(np.argwhere(mask != mask[mirror]).tolist()), None)


def _check_symmetry(mask: np.ndarray, centred: bool) -> None:
    """Refuse a whole mask that differs between a frequency and its mirror image: a real field has both or neither."""
    at = _lopsided(mask, centred)
    if at is None:
        return
    other = [int(_mirrored(side, centred)[k]) for side, k in zip(mask.shape, at, strict=True)]
    cure = "write 1 at both if the item has both in full (the real part of what one alone gives has half of each)"
    if not centred and _lopsided(mask, True) is None:
        cure = f"with frequency 0 in the middle it is even, which {argument('data.observed_order=centred')} says"
    raise InputError(
        f"the mask is {int(mask[tuple(at)])} at {at} and {int(mask[tuple(other)])} at {other}, its mirror image, of"
        f" which real items have both or neither; {cure}"
    )


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
