"""Arrays as removal needs them: without gaps or dead lines, on the scale on which damage adds; and back.

Damage that multiplies values adds to their logarithm,

    v = log(x + o),

where the offset, of values down to 0 a fiftieth of their mean, keeps dark ones, to which a gain does next to nothing,
from being the largest differences of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.omission.dead import dead_lines
from sagd.omission.removal.extend import interpolated
from sagd.omission.removal.measurement import require_axes

_DARK = 0.02
"""The offset, as a part of the mean, of values down to 0."""
_FAINT = 0.002
"""Part of the mean that values are above which need none; half of it is added all the same, as not all were seen."""
_LEAST_VARIATION = 0.02
"""Standard deviation over the mean below which a logarithm is a straight line."""
_RANGE = 1e12
"""Largest magnitude, and one over the least one, of arrays whose powers float32 holds, faint ones included."""


@dataclass(frozen=True)
class Scale:
    """Values as they are, or their logarithm.

    Attributes:
        offset: What is added before the logarithm is taken; None: values stay.
    """

    offset: float | None = None

    @classmethod
    def logarithm(cls, x: Tensor) -> Self:
        """The logarithm for values like these; NaN does not count.

        Raises:
            InputError: If some are below 0, or none is above.
        """
        known = x[~x.isnan()]
        if below := int((known < 0).sum()):
            raise InputError(
                f"{argument('log=True')} needs values of 0 and more, {below} of {x.numel()} are below; add the dark"
                " offset"
            )
        mean = float(known.double().mean()) if len(known) else 0.0
        if not mean > 0:
            raise InputError(f"{argument('log=True')} needs values above 0, all are 0")
        return cls((_DARK if float(known.min()) < _FAINT * mean else _FAINT / 2) * mean)

    @staticmethod
    def may_multiply(x: Tensor) -> bool:
        """Whether values are such that a gain can be, and be told from an offset: none below 0, of some spread."""
        known = x[~x.isnan()].double()
        return bool(
            len(known) > 1 and known.min() >= 0 and known.std() > _LEAST_VARIATION * known.mean() and known.mean() > 0
        )

    @property
    def multiplies(self) -> bool:
        """Whether damage multiplies the values."""
        return self.offset is not None

    def forward(self, x: Tensor) -> Tensor:
        """Values on the scale.

        Raises:
            InputError: If there is no logarithm of some.
        """
        if self.offset is None:
            return x
        # Comparisons with NaN are false.
        if unfit := int((x + self.offset <= 0).sum()):
            least = float(x[~x.isnan()].min())
            raise InputError(
                f"{argument('log=True')} needs values above {-self.offset:.3g}, {unfit} of {x.numel()} are not, the"
                f" least is {least:.3g}; add the dark offset, or leave out what has such values"
            )
        return torch.log(x + self.offset)

    def without(self, v: Tensor, damage: Tensor | float) -> Tensor:
        """Values of what is on the scale, without damage: less what adds, or divided by the gain."""
        if self.offset is None:
            return v - damage
        return (v.exp() - self.offset) * torch.exp(-torch.as_tensor(damage, dtype=v.dtype))


def scales_of(x: Tensor, log: bool | None, reference: Tensor | None = None) -> tuple[Scale, ...]:
    """The scales to look for damage on.

    Args:
        x: Values, NaN where some are missing.
        log: Whether damage multiplies them; None: it is not known.
        reference: Clean values, likewise, which need a logarithm too.

    Raises:
        InputError: If damage cannot multiply such values.
    """
    if log:
        return (Scale.logarithm(x),)
    below = reference is not None and bool((reference < 0).any())
    if log is None and not below and Scale.may_multiply(x):
        return Scale(), Scale.logarithm(x)
    return (Scale(),)


def prepared(
    x: Tensor, scale: Scale, dead: tuple[tuple[int, int], ...] | None = None
) -> tuple[Tensor, Tensor, tuple[tuple[int, int], ...]]:
    """An array without gaps, float32 or, where that was or its powers need it, float64, and its dead lines.

    Args:
        x: `(C, *spatial)`; NaN where values are missing.
        scale: On which scale.
        dead: Axis and number of its dead lines, where these are known; None: what look like it.

    Raises:
        InputError: On infinite values, or values that are not on the scale.
    """
    require_axes(x)
    if infinite := int(x.isinf().sum()):
        raise InputError(
            f"{infinite} of {x.numel()} values are not finite; mend them, or make them NaN, which is filled in"
        )
    missing = x.isnan()
    if missing.flatten(1).all(1).any():
        raise InputError("a channel has no value at all, all of it is NaN; leave it out")
    x = scale.forward(_of_enough_range(x))
    dead = dead_lines(x) if dead is None else dead
    away = missing.clone()
    for axis, number in dead:
        away.select(axis + 1, number).fill_(True)
    return (interpolated(x, away) if away.any() else x), missing, dead


def _of_enough_range(x: Tensor) -> Tensor:
    """As float32 where that holds powers of the values, else as float64."""
    largest = float(x.abs().nan_to_num().max())
    narrow = x.dtype != torch.float64 and (not largest or 1 / _RANGE < largest < _RANGE)
    return x.float() if narrow else x.double()


def finished(v: Tensor, damage: Tensor | float, missing: Tensor, scale: Scale) -> Tensor:
    """Values without damage: the inverse of `prepared` where there is none, but that dead lines stay interpolated."""
    return torch.where(missing, torch.nan, scale.without(v, damage))


def kept_beside(place: Tensor | None, before: Tensor, after: Tensor) -> Tensor:
    """What was cleaned, and beside the damage what was there, bit for bit.

    Args:
        place: Where the damage is, `(*spatial)`, 0 beside it; None: everywhere.
        before: `(C, *spatial)`.
        after: Likewise, and of the same type.
    """
    return after if place is None else torch.where(place == 0, before, after)


def lines_of(dead: Sequence[tuple[int, int]], axes: str) -> str:
    """Dead lines as a sentence has them.

    >>> lines_of([(1, 7), (1, 9)], "YX")
    '2 dead line(s) were interpolated: X 7, X 9'
    """
    named = ", ".join(f"{axes[axis]} {number}" for axis, number in dead)
    return f"{len(dead)} dead line(s) were interpolated: {named}"
