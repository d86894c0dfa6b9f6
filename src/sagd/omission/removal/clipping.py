"""Values at the limits of what a file or a sensor holds: what lay beyond was cut off, and is known to be beyond.

Damage that was clipped is no damage of a band any more: half of a wave on white paper is gone, and a gain that takes
out the half that is left puts the other one, dark, in its place. Of values `y` within the limits all is known, of those
at one that they were `a` at most, or `b` at least. Content and damage being Gaussian in all that a gain is made of, the
likeliest values `z` before they were clipped minimise

    sum_f |z(f)|^2 / (S(f) + N(f))    where z = y within the limits, z <= a at the low one and z >= b at the high one,

with a free mean: conjugate gradients over the values at limits, then those that strive to the wrong side held at their
limit, and the same again (an active set: "Numerical Optimization", Nocedal and Wright, chapter 16). `S` and `N` are
measured on `z`, and `z` follows from them, in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.removal.extend import crop, extend

Arrays = Tensor | Iterable[Tensor] | Callable[[], Iterable[Tensor]]
"""Arrays `(C, *spatial)`: one, several, or what gives them as often as it is called."""

_SHARE = 0.002
"""Share of the values of a channel at an extreme from which on that is a limit."""
_NEAR, _MORE = 0.01, 2.0
"""Part of the range beside a limit, than which so many times as many values are at the limit itself."""
_STEPS, _STEPS_BEYOND = 12, 20
"""Of conjugate gradients; what lies beyond borders takes more."""
_FAINT = 1e-8
"""Power, in the largest, below which frequencies count alike: single precision tells no more."""
_TINY = 1e-30


def each(arrays: Arrays) -> Iterable[Tensor]:
    """The arrays, once."""
    if isinstance(arrays, Tensor):
        return (arrays,)
    return arrays() if callable(arrays) else arrays


@dataclass(frozen=True)
class Limits:
    """Values at which those of a channel pile up.

    Attributes:
        low: The least values, `(C, 1, ...)`; NaN in channels where they do not pile up.
        high: The largest ones, likewise.
    """

    low: Tensor
    high: Tensor

    def __bool__(self) -> bool:
        """Whether there are any."""
        return not bool(self.low.isnan().all() and self.high.isnan().all())

    def above_alone(self) -> Limits:
        """Without the low ones."""
        return Limits(torch.full_like(self.low, torch.nan), self.high)

    def below_alone(self) -> Limits:
        """Without the high ones."""
        return Limits(self.low, torch.full_like(self.high, torch.nan))

    @classmethod
    def of(cls, arrays: Arrays) -> Limits:
        """Extremes that some of the values have, twice as many as lie beside."""
        return Extremes.of(arrays).limits(arrays)

    def where(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where arrays `(*, C, *spatial)` are at the low limit, and where at the high one."""
        return x == self.low.to(x), x == self.high.to(x)

    def count(self, x: Tensor) -> int:
        """How many values of arrays are at one."""
        return sum(int(at.sum()) for at in self.where(x))

    def clamp(self, x: Tensor) -> Tensor:
        """Arrays within the limits."""
        return x.clamp(self.low.to(x).nan_to_num(-torch.inf), self.high.to(x).nan_to_num(torch.inf))


def share_at_limits(arrays: Arrays, below: bool = False) -> float:
    """Share of the values of arrays that lie at limits, or at the low ones alone."""
    extremes = Extremes.of(arrays)
    limits = extremes.limits(arrays)
    return float(extremes.share(limits.below_alone() if below else limits).mean())


def limits_line(share: float) -> str:
    """A share of the values that lie at limits, for people.

    >>> limits_line(0.0512)
    '5.1 % of the values are the least or the largest that there are, where damage was cut off'
    """
    return f"{100 * share:.2g} % of the values are the least or the largest that there are, where damage was cut off"


class Extremes:
    """The least and the largest values by channel, and how many values are that."""

    @classmethod
    def of(cls, arrays: Arrays) -> Extremes:
        """Those of arrays."""
        extremes = cls()
        for x in each(arrays):
            extremes.add(x)
        return extremes

    def __init__(self) -> None:
        self._low = self._high = self._at_low = self._at_high = torch.empty(0)
        self._count = 0

    def add(self, x: Tensor) -> None:
        """An array more, `(C, *spatial)`."""
        axes = tuple(range(1, x.ndim))
        low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
        if not self._count:
            self._low, self._high = low, high
            self._at_low, self._at_high = torch.zeros_like(low), torch.zeros_like(high)
        self._at_low = torch.where(low < self._low, 0.0, self._at_low)
        self._at_high = torch.where(high > self._high, 0.0, self._at_high)
        self._low, self._high = torch.minimum(low, self._low), torch.maximum(high, self._high)
        self._at_low = self._at_low + (x == self._low).sum(axes, keepdim=True)
        self._at_high = self._at_high + (x == self._high).sum(axes, keepdim=True)
        self._count += x[0].numel()

    def share(self, limits: Limits) -> Tensor:
        """Share of the values of each channel that are at limits, `(C, 1, ...)`."""
        low, high = (~v.isnan() for v in (limits.low, limits.high))
        return (low * self._at_low + high * self._at_high) / max(1, self._count)

    def limits(self, arrays: Arrays) -> Limits:
        """Those extremes that are limits.

        Args:
            arrays: The arrays again, which are looked at only if many values are extreme.
        """
        reach = _NEAR * (self._high - self._low)
        varies, least = reach > 0, _SHARE * self._count
        is_low, is_high = varies & (self._at_low >= least), varies & (self._at_high >= least)
        if is_low.any() or is_high.any():
            near_low, near_high = torch.zeros_like(self._low), torch.zeros_like(self._high)
            for x in each(arrays):
                axes = tuple(range(1, x.ndim))
                near_low += ((x > self._low) & (x <= self._low + reach)).sum(axes, keepdim=True)
                near_high += ((x < self._high) & (x >= self._high - reach)).sum(axes, keepdim=True)
            is_low, is_high = is_low & (self._at_low > _MORE * near_low), is_high & (self._at_high > _MORE * near_high)
        return Limits(torch.where(is_low, self._low, torch.nan), torch.where(is_high, self._high, torch.nan))


def continued(
    y: Tensor, below: Tensor, above: Tensor, power: Tensor, basis: FourierBasis, turn: Tensor, beyond: bool, rounds: int
) -> Tensor:
    """The likeliest values before they were clipped.

    Channels that are not turned have nothing to do with each other, and may be of different units.

    Args:
        y: Arrays `(N, C, *spatial)`, of mean near 0.
        below: Where they are at the low limit, likewise, bool.
        above: Where at the high one.
        power: Spectrum of content and damage together, of the turned channels `(C, *coefficients)`.
        basis: Of the extended arrays.
        turn: Orthogonal matrix of the channels `(C, C)`.
        beyond: Whether what lies beyond the borders is free as well; it is the blended reflection otherwise.
        rounds: Times that it is decided which values are held at their limit.

    Returns:
        Of the shape and type of `y`, which they are where that is not at a limit.
    """
    if len(turn) > 1 and torch.equal(turn, torch.eye(len(turn)).to(turn)):
        channels = zip(y.split(1, 1), below.split(1, 1), above.split(1, 1), power.split(1), strict=True)
        return torch.cat(
            [continued(z, low, high, s, basis, turn[:1, :1], beyond, rounds) for z, low, high, s in channels], 1
        )
    # Numbers about 1, of which no square is lost; a power of two changes no digit.
    unit = 2.0 ** round(math.log2(max(float(power.mean()), _TINY)) / 2)
    y, power = y / unit, power / unit**2
    spatial = y.shape[2:]
    axes = tuple(range(-basis.rank - 1, 0))
    dc: tuple[slice | int, ...] = (slice(None), *(0,) * basis.rank)
    largest = power.amax()
    inverse = (largest / power.clamp(min=_FAINT * largest)).to(y)
    prior = (power / largest).to(y)
    inverse[dc], prior[dc] = 0.0, 1.0  # the mean is free
    turn = turn.to(y)
    at_limit, outside = torch.zeros(2, *y.shape[:2], *basis.spatial, dtype=torch.bool)
    crop(at_limit, spatial).copy_(below | above)
    if beyond:
        outside.fill_(True)
        crop(outside, spatial).fill_(False)

    def turned(x: Tensor, by: Tensor) -> Tensor:
        return x if len(by) == 1 else torch.einsum("ij,nj...->ni...", by, x)

    def filtered(x: Tensor, gain: Tensor) -> Tensor:
        """By frequency, in the turned channels."""
        return turned(basis.inverse(basis.forward(turned(x, turn)).mul_(gain)), turn.T)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(axes, keepdim=True)

    whole, held = extend(y, basis.spatial), torch.zeros_like(below)
    for _ in range(rounds):
        crop(at_limit, spatial).copy_((below | above) & ~held)
        free = (at_limit | outside).to(y)
        rest = filtered(whole, inverse).mul_(-free)
        step = filtered(rest, prior).mul_(free)
        size = dot(rest, step)
        for _ in range(_STEPS_BEYOND if beyond else _STEPS):
            image = filtered(step, inverse).mul_(free)
            length = size / dot(step, image).clamp(min=_TINY)
            whole += length * step
            rest -= length * image
            scaled, before = filtered(rest, prior).mul_(free), size
            size = dot(rest, scaled)
            step = scaled.add_(size / before.clamp(min=_TINY) * step)
        z = crop(whole, spatial)
        z = torch.where(below, z.minimum(y), torch.where(above, z.maximum(y), y))
        continuing = extend(z, basis.spatial)
        whole = torch.where(outside, whole, continuing) if beyond else continuing
        slope = crop(filtered(whole, inverse), spatial)
        held = (z == y) & ((below & (slope < 0)) | (above & (slope > 0)))
    return z * unit
