"""Sets of fields, some of them chosen and some places masked, read batch by batch: nothing is copied whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.checks import check_finite
from sagd.noise.places import checked_weights, require_places

_VALUES = 2**20
"""Values of a batch: 8 MiB as float64."""


@final
class Fields:
    """Fields `(N, C, *spatial)`, some of them in an order of their own, and a mask of the places that count.

    Args:
        x: All fields there are.
        mask: `(N, 1 | C, *spatial)`, bool; True where a value counts. None: everywhere. What lies elsewhere may be
            anything, NaN included.
        index: Which fields, `(n,)`; default: all.
        weight_field: How much each place counts, `(1 | C, *spatial)`, where means over places are taken; None: alike.

    Raises:
        InputError: If the shapes are no fields, or the mask or the weights do not fit.
    """

    def __init__(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        index: Tensor | None = None,
        weight_field: Tensor | None = None,
    ) -> None:
        if x.ndim < 3:
            raise InputError(f"fields must be (N, C, *spatial), got shape {tuple(x.shape)}")
        if mask is not None:
            _check_mask(mask, x)
        self._x, self._mask, self._index = x.detach(), mask, index
        self.shape = tuple(x.shape[1:])
        self.masked = mask is not None
        self.weight_field = weight_field
        if weight_field is not None:
            self.weight_field = checked_weights(weight_field).cpu().double()
            require_places("weight_field", self.weight_field[None], self.shape)

    @classmethod
    def of(cls, x: FieldSet, mask: Tensor | None = None) -> Fields:
        """Fields of a tensor and its mask; those that are fields already, as they are."""
        return x if isinstance(x, Fields) else cls(x, mask)

    def __len__(self) -> int:
        return len(self._x) if self._index is None else len(self._index)

    def __getitem__(self, part: slice) -> Fields:
        """Some of them, by their place; nothing is copied."""
        return self.taken(torch.arange(len(self))[part])

    def taken(self, index: Tensor) -> Fields:
        """Some of them, in an order of their own; nothing is copied."""
        index = index if self._index is None else self._index[index]
        return Fields(self._x, self._mask, index, self.weight_field)

    def weighted(self, weight_field: Tensor) -> Fields:
        """The same with other weights of places, `(1 | C, *spatial)`; nothing is copied."""
        return Fields(self._x, self._mask, self._index, weight_field)

    def counting(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """How much each value of a batch counts, float64: its weight where it is valid, else 0."""
        valid = everywhere(x, mask).double()
        return valid if self.weight_field is None else valid * self.weight_field

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.shape) - 1

    def rows(self, fill: Tensor | None = None) -> Iterator[Tensor]:
        """Batches `(B, C, *spatial)` in their own type and place, the values `fill` `(C,)` where none is valid."""
        for x, mask in self._parts():
            if mask is not None and fill is not None:
                x = torch.where(mask.to(x.device), x, fill.to(x).reshape(-1, *[1] * self.rank))
            yield x

    def batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Batches `(B, C, *spatial)` in float64 on the CPU, zero where not valid, and their masks.

        Raises:
            InputError: If a valid value is not finite.
        """
        for x, mask in self._parts():
            x = x.cpu().double()
            if mask is not None:
                mask = mask.cpu()
                x = torch.where(mask, x, 0.0)
            check_finite(x, "images")
            yield x, mask

    def _parts(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        size = max(1, _VALUES // math.prod(self.shape))
        for start in range(0, len(self), size):
            part = slice(start, start + size) if self._index is None else self._index[start : start + size]
            yield _of(self._x, part), None if self._mask is None else _of(self._mask, part)


FieldSet: TypeAlias = Tensor | Fields
"""What measures of fields take: a tensor `(N, C, *spatial)`, or fields of which some are chosen."""


def field_sets(
    samples: FieldSet,
    reference: FieldSet,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
    least: int = 2,
) -> tuple[Fields, Fields]:
    """Two sets that can be compared.

    Raises:
        InputError: If their shapes beyond the first axis differ, there are fewer than `least` of either, or a mask does
            not fit.
    """
    for x in (samples, reference):
        if isinstance(x, Tensor) and x.ndim < 3:
            raise InputError(_unlike(samples, reference))
    ours, theirs = Fields.of(samples, samples_mask), Fields.of(reference, reference_mask)
    if ours.shape != theirs.shape:
        raise InputError(_unlike(samples, reference))
    if min(len(ours), len(theirs)) < least:
        raise InputError(f"{_shapes(samples, reference)} must each hold at least {least}")
    return ours, theirs


@dataclass(frozen=True)
class ChannelScale:
    """Mean, standard deviation, lowest and highest of the valid values of each channel, `(C,)`, float64."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor


def channel_scale(fields: Fields) -> ChannelScale:
    """The scale of each channel over all fields and places.

    Raises:
        InputError: If a channel has fewer than two valid values.
    """
    count = total = square = torch.zeros(fields.shape[0], dtype=torch.float64)
    low, high = torch.full_like(count, math.inf), torch.full_like(count, -math.inf)
    # Squares about a first guess of the mean: values may lie far from zero.
    about = _first_guess(fields)
    for x, mask in fields.batches():
        valid = everywhere(x, mask)
        moved = torch.where(valid, x - _by_channel(about, fields.rank), 0.0)
        count, total, square = (
            a + b for a, b in zip((count, total, square), map(_sum, (valid.double(), moved, moved**2)), strict=True)
        )
        low = low.minimum(_over_channel(torch.where(valid, x, math.inf)).amin(1))
        high = high.maximum(_over_channel(torch.where(valid, x, -math.inf)).amax(1))
    if count.min() < 2:
        raise InputError(f"channel {int(count.argmin())} has {int(count.min())} valid values; it needs at least two")
    shift = total / count
    variance = (square - count * shift**2) / (count - 1)
    # What rounding leaves of equal values is no spread.
    std = torch.where(high > low, variance.clamp(min=0).sqrt(), 0.0)
    return ChannelScale(about + shift, std, low, high)


def everywhere(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mask of a batch `(B, C, *spatial)` as one value per value."""
    return torch.ones_like(x, dtype=torch.bool) if mask is None else mask.expand_as(x)


def _of(x: Tensor, part: slice | Tensor) -> Tensor:
    return x[part if isinstance(part, slice) else part.to(x.device)]


def _first_guess(fields: Fields) -> Tensor:
    x, mask = next(fields.batches())
    return _sum(x) / _sum(everywhere(x, mask).double()).clamp(min=1)


def _sum(x: Tensor) -> Tensor:
    return _over_channel(x).sum(1)


def _over_channel(x: Tensor) -> Tensor:
    """All values of each channel, `(C, B * places)`."""
    return x.transpose(0, 1).flatten(1)


def _by_channel(values: Tensor, rank: int) -> Tensor:
    return values.reshape(-1, *[1] * rank)


def _check_mask(mask: Tensor, x: Tensor) -> None:
    fits = mask.ndim == x.ndim and mask.shape[2:] == x.shape[2:] and len(mask) == len(x)
    if mask.dtype != torch.bool or not fits or mask.shape[1] not in (1, x.shape[1]):
        raise InputError(
            f"the mask of fields {tuple(x.shape)} must be bool, True where a value counts, with their shape or one"
            f" channel, got {tuple(mask.shape)} {mask.dtype}"
        )


def _unlike(samples: FieldSet, reference: FieldSet) -> str:
    return f"{_shapes(samples, reference)} must both be (N, C, *spatial) with equal channels and sides"


def _shapes(samples: FieldSet, reference: FieldSet) -> str:
    ours, theirs = (tuple(x.shape) if isinstance(x, Tensor) else (len(x), *x.shape) for x in (samples, reference))
    return f"samples {ours} and reference {theirs}"
