"""Distributions of single values, channel by channel: what no spectrum and no mean tells.

The distance is the first Wasserstein distance, `int |F_samples - F_reference| dx`, over the standard deviation of the
reference: by how many standard deviations a value is off if the values of both sets are paired in their order. It is
taken between histograms of 16,384 bins that are even in `asinh(x / std)` about the mean, so that it is right to about
a thousandth of a standard deviation and no set of values is ever sorted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.metrics.fields import ChannelScale, Fields, FieldSet, channel_scale, everywhere, field_sets
from sagd.metrics.spectral import finite, rms

_BINS = 2**14
_GROUPS = 16
"""Groups of fields whose omission, one by one, shows the chance in drawing them."""
_NORMAL = 1.959964


@dataclass(frozen=True)
class Marginal:
    """Single values of one channel.

    Attributes:
        wasserstein: First Wasserstein distance, in standard deviations of the reference.
        skewness: `<z^3> / <z^2>^1.5` of the samples; 0 where values are spread alike to both sides.
        flatness: `<z^4> / <z^2>^2` of the samples; 3 for Gaussian values, more for heavy tails.
        reference_skewness: The same of the reference.
        reference_flatness: The same of the reference.
    """

    wasserstein: float
    skewness: float
    flatness: float
    reference_skewness: float
    reference_flatness: float


@dataclass(frozen=True)
class Marginals:
    """Single values of all channels.

    Attributes:
        channels: One entry each.
        wasserstein: Mean over channels of their distances; NaN if the reference has a channel of equal values.
        wasserstein_interval: 95 % interval for its mean at these numbers of fields, by leaving out groups of fields;
            too wide at the floor. None with fewer than 16 fields a side, or for a distance that is NaN.
        skewness_error: Root mean square over channels of the differences in skewness.
        flatness_error: The same of flatness.
    """

    channels: tuple[Marginal, ...]
    wasserstein: float
    wasserstein_interval: tuple[float, float] | None
    skewness_error: float
    flatness_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null stands for NaN and infinity."""
        return {
            "wasserstein": finite(self.wasserstein),
            "wasserstein_interval": None if self.wasserstein_interval is None else list(self.wasserstein_interval),
            "skewness_error": finite(self.skewness_error),
            "flatness_error": finite(self.flatness_error),
            "channels": [{key: finite(value) for key, value in asdict(c).items()} for c in self.channels],
        }


def marginals(
    samples: FieldSet,
    reference: FieldSet,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
) -> Marginals:
    """Single values of fields `(N, C, *spatial)` against those of `(M, C, *spatial)`; masked ones do not count.

    Args:
        samples: Generated fields.
        reference: Real ones.
        samples_mask: Their valid places, `(N, 1 | C, *spatial)`; None: all.
        reference_mask: The same of the reference.

    Raises:
        InputError: If shapes differ, there are fewer than two of either, or values are not finite.

    >>> x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> found = marginals(x + x.std(), x)
    >>> round(found.wasserstein, 2), round(found.skewness_error, 6)
    (1.0, 0.0)
    """
    ours, theirs = field_sets(samples, reference, samples_mask, reference_mask)
    scale, own = channel_scale(theirs), channel_scale(ours)
    grid = _Grid.around(scale, own)
    ours_counted, theirs_counted = (_counted(fields, grid) for fields in (ours, theirs))
    a, b = _moments(ours, own), _moments(theirs, scale)
    distances = _distances(ours_counted.sum(1), theirs_counted.sum(1), grid)
    value = float(distances.mean())
    return Marginals(
        channels=tuple(Marginal(*row) for row in torch.stack([distances, *a, *b], 1).tolist()),
        wasserstein=value,
        wasserstein_interval=_interval(value, ours_counted, theirs_counted, grid, min(len(ours), len(theirs))),
        skewness_error=rms(a[0] - b[0]),
        flatness_error=rms(a[1] - b[1]),
    )


@dataclass(frozen=True)
class _Grid:
    """Bins of each channel, even in `asinh((x - mean) / std)` from `low` to `high`: all `(C,)`."""

    scale: ChannelScale
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, scale: ChannelScale, other: ChannelScale) -> _Grid:
        low, high = scale.low.minimum(other.low), scale.high.maximum(other.high)
        ends = [((end - scale.mean) / scale.std).asinh() for end in (low, high)]
        return cls(scale, *ends)

    def places(self, x: Tensor) -> Tensor:
        """The bin of each value of `(B, C, places)`."""
        mean, std, low, high = (v[:, None] for v in (self.scale.mean, self.scale.std, self.low, self.high))
        place = (((x - mean) / std).asinh() - low) / (high - low) * _BINS
        # A channel of equal values has no bins; its distance is NaN.
        return place.nan_to_num(0, 0, 0).long().clamp(0, _BINS - 1)

    def centres(self) -> Tensor:
        """Values of the bins' middles in standard deviations, `(C, bins)`."""
        steps = (torch.arange(_BINS, dtype=torch.float64) + 0.5) / _BINS
        return (self.low[:, None] + steps * (self.high - self.low)[:, None]).sinh()


def _counted(fields: Fields, grid: _Grid) -> Tensor:
    """How many values lie in each bin, by group of fields: `(C, groups, bins)`, float64."""
    channels, start = fields.shape[0], 0
    counts = torch.zeros(channels * _GROUPS * _BINS, dtype=torch.float64)
    for x, mask in fields.batches():
        group = (torch.arange(start, start + len(x)) * _GROUPS // len(fields))[:, None, None]
        row = torch.arange(channels)[:, None] * _GROUPS + group
        place = row * _BINS + grid.places(x.flatten(2))
        counts += torch.bincount(place.flatten(), fields.counting(x, mask).flatten(), minlength=len(counts))
        start += len(x)
    return counts.reshape(channels, _GROUPS, _BINS)


def _distances(a: Tensor, b: Tensor, grid: _Grid) -> Tensor:
    """First Wasserstein distance of histograms `(C, bins)`, `(C,)`."""
    gap = (a.cumsum(1) / a.sum(1, keepdim=True) - b.cumsum(1) / b.sum(1, keepdim=True)).abs()
    return (gap[:, :-1] * grid.centres().diff(dim=1)).sum(1)


def _interval(value: float, a: Tensor, b: Tensor, grid: _Grid, fields: int) -> tuple[float, float] | None:
    """By the jackknife over groups of fields, both sets on their own."""
    if fields < _GROUPS or not (a.sum(2).min() > 0 and b.sum(2).min() > 0):
        return None
    whole_a, whole_b = a.sum(1), b.sum(1)
    left_out = torch.tensor(
        [
            [float(_distances(whole_a - a[:, g], whole_b, grid).mean()) for g in range(_GROUPS)],
            [float(_distances(whole_a, whole_b - b[:, g], grid).mean()) for g in range(_GROUPS)],
        ]
    )
    reach = _NORMAL * float(((_GROUPS - 1) * left_out.var(1, correction=0)).sum().sqrt())
    return (max(value - reach, 0.0), value + reach) if finite(value) is not None else None


def _moments(fields: Fields, scale: ChannelScale) -> tuple[Tensor, Tensor]:
    """Skewness and flatness of each channel, `(C,)`; NaN of equal values."""
    sums = torch.zeros(4, fields.shape[0], dtype=torch.float64)
    for x, mask in fields.batches():
        valid = everywhere(x, mask)
        shape = (-1, *[1] * fields.rank)
        z = torch.where(valid, (x - scale.mean.reshape(shape)) / scale.std.reshape(shape), 0.0)
        W = fields.counting(x, mask)
        terms = (W, W * z**2, W * z**3, W * z**4)
        sums += torch.stack([term.transpose(0, 1).flatten(1).sum(1) for term in terms])
    count, second, third, fourth = sums
    return third / count / (second / count) ** 1.5, fourth / count / (second / count) ** 2
