"""Increments `d = x(r + l) - x(r)` of samples and data, lag by lag and axis by axis.

The second-order structure function `<d^2>` says again, place by place, what the spectrum says. The flatness `<d^4> /
<d^2>^2` says what no spectrum does: it is 3 for Gaussian fields, whatever their spectrum, and larger where most
increments are small and few are large, as at edges, fronts and clicks.

Fields are not taken to be periodic. Of masked fields, the increments between two valid places count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.metrics.fields import Fields, FieldSet, everywhere, field_sets
from sagd.metrics.intervals import log_covariance, rms_interval
from sagd.metrics.spectral import finite, rms

_DECIBEL = 10 / math.log(10)
_MOST = 400
"""Values of lags, axes and channels together whose covariance is used: beyond that, intervals are left out."""


@dataclass(frozen=True)
class Increment:
    """Increments along one axis at one lag; a value a channel in each tuple.

    Attributes:
        axis: Spatial axis, from 0.
        lag: Distance in samples.
        ratio_db: `10 log10` of the structure function of samples over that of the reference; 0 is right.
        flatness: Flatness of the samples.
        reference_flatness: Flatness of the reference.
    """

    axis: int
    lag: int
    ratio_db: tuple[float, ...]
    flatness: tuple[float, ...]
    reference_flatness: tuple[float, ...]


@dataclass(frozen=True)
class Increments:
    """Increments along all axes.

    Attributes:
        entries: Lags 1, 2, 4 ... up to half the side, axis by axis; none along an axis of one place.
        structure_rms_db: Root mean square of all `ratio_db`; NaN without any, infinite if one set lacks one.
        structure_rms_db_interval: 95 % interval of what it would be with infinitely many fields; None if not finite.
        flatness_rms_db: Root mean square of `10 log10(flatness / reference_flatness)`.
        flatness_rms_db_interval: Its interval, likewise.
    """

    entries: tuple[Increment, ...]
    structure_rms_db: float
    structure_rms_db_interval: tuple[float, float] | None
    flatness_rms_db: float
    flatness_rms_db_interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null stands for NaN and infinity."""
        summary: dict[str, Any] = {}
        for name in ("structure_rms_db", "flatness_rms_db"):
            interval = getattr(self, f"{name}_interval")
            summary |= {name: finite(getattr(self, name))}
            summary |= {f"{name}_interval": None if interval is None else list(interval)}
        entries = [
            {"axis": e.axis, "lag": e.lag}
            | {key: [finite(v) for v in getattr(e, key)] for key in ("ratio_db", "flatness", "reference_flatness")}
            for e in self.entries
        ]
        return summary | {"entries": entries}


def increments(
    samples: FieldSet,
    reference: FieldSet,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
) -> Increments:
    """Increments of fields `(N, C, *spatial)` against those of `(M, C, *spatial)`.

    Args:
        samples: Generated fields.
        reference: Real ones.
        samples_mask: Their valid places, `(N, 1 | C, *spatial)`; None: all.
        reference_mask: The same of the reference.

    Raises:
        InputError: If shapes differ, there are fewer than two of either, or values are not finite.

    >>> x = torch.randn(64, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> [(e.lag, round(e.ratio_db[0], 2)) for e in increments(2 * x, x).entries]
    [(1, 6.02), (2, 6.02), (4, 6.02), (8, 6.02)]
    """
    pair = field_sets(samples, reference, samples_mask, reference_mask)
    lags = list(_lags(pair[0].shape[1:]))
    if not lags:
        return Increments((), math.nan, None, math.nan, None)
    ours, theirs = (_sums(fields, lags) for fields in pair)
    ratio = 10 * (ours.structure() / theirs.structure()).log10()
    flat = 10 * (ours.flatness() / theirs.flatness()).log10()
    rows = zip(lags, ratio.tolist(), ours.flatness().tolist(), theirs.flatness().tolist(), strict=True)
    return Increments(
        tuple(Increment(axis, lag, *(tuple(v) for v in values)) for (axis, lag), *values in rows),
        *decibel_summary(ratio, lambda known: chance_of(ours, theirs, Moments.structure_chance, known)),
        *decibel_summary(flat, lambda known: chance_of(ours, theirs, Moments.flatness_chance, known)),
    )


def _lags(spatial: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Axes and lags 1, 2, 4 ... up to half the side."""
    for axis, side in enumerate(spatial):
        lag = 1
        while lag <= max(1, side // 2) and lag < side:
            yield axis, lag
            lag *= 2


@dataclass(frozen=True)
class Moments:
    """Number of values of each field, and sums of their second and fourth powers: `(N, lags, C)`."""

    count: Tensor
    second: Tensor
    fourth: Tensor

    def structure(self) -> Tensor:
        """`<d^2>`, `(lags, C)`."""
        return self.second.sum(0) / self.count.sum(0)

    def flatness(self) -> Tensor:
        """`<d^4> / <d^2>^2`, `(lags, C)`."""
        return self.fourth.sum(0) * self.count.sum(0) / self.second.sum(0) ** 2

    def structure_chance(self, known: Tensor) -> Tensor:
        """Covariance of the logarithms of some structure functions."""
        return log_covariance(self.second[:, known], self.count[:, known])

    def flatness_chance(self, known: Tensor) -> Tensor:
        """Covariance of the logarithms of some flatnesses: each field adds to fourth power, number and square alike."""
        fourth, count, second = (part[:, known] for part in (self.fourth, self.count, self.second))
        effect = fourth / fourth.mean(0) + count / count.mean(0) - 2 * second / second.mean(0)
        return log_covariance(1 + effect - effect.mean(0))


def _sums(fields: Fields, lags: list[tuple[int, int]]) -> Moments:
    parts = []
    for x, mask in fields.batches():
        valid = everywhere(x, mask)
        parts.append(torch.stack([torch.stack(_of_lag(x, valid, axis + 2, lag), -1) for axis, lag in lags], 1))
    return Moments(*torch.cat(parts).unbind(-1))


def _of_lag(x: Tensor, valid: Tensor, axis: int, lag: int) -> tuple[Tensor, Tensor, Tensor]:
    """Number, second and fourth powers of the increments of each field and channel, `(B, C)`."""
    length = x.shape[axis] - lag
    both = valid.narrow(axis, lag, length) & valid.narrow(axis, 0, length)
    square = torch.where(both, x.narrow(axis, lag, length) - x.narrow(axis, 0, length), 0.0).square()
    return tuple(part.flatten(2).sum(2) for part in (both.double(), square, square**2))  # type: ignore[return-value]


def decibel_summary(decibels: Tensor, chance: Callable[[Tensor], Tensor]) -> tuple[float, tuple[float, float] | None]:
    """Root mean square of what is known, and its interval."""
    known = ~decibels.isnan()
    values = decibels[known]
    if not len(values) or len(values) > _MOST or not values.isfinite().all():
        return rms(values), None
    return rms(values), rms_interval(values, chance(known))


def chance_of(ours: Moments, theirs: Moments, chance: Callable[[Moments, Tensor], Tensor], known: Tensor) -> Tensor:
    """Covariance of the decibels between two sets, from what chance does to either."""
    return _DECIBEL**2 * (chance(ours, known) + chance(theirs, known))
