"""Windows of arrays, tapered against their borders, and the spectra of these: Welch's method in any number of axes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError, check_squares
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.removal.clipping import Limits

LEAST_WINDOWS = 16
LEAST_SIDE = 8
FLOOR = 1e-4
"""Power added to every frequency of every window, as a part of the mean power. What is less is not seen: spread over a
tenth of the frequencies, it is a quarter of a step of 8-bit images. Enlarged images have next to nothing in most of
their spectrum, of a form that no smooth fit has."""
_BARE = 1e-5
"""Power, likewise, that no picture of 8 bits has less of: rounding leaves twice as much."""
_ROUNDING = 1e-12
"""Part of the largest value that sums of many values in double precision may be off."""
_LARGEST = {1: 4096, 2: 128, 3: 32}
_SMALLEST = {1: 128, 2: 32, 3: 12}
_ENOUGH = 24
"""Windows by which content is told from damage; of fewer it may keep step with what it lies upon by chance."""
_MOST_SAMPLES = 2**23
"""Samples in windows that are kept; of larger arrays, windows at regular distances."""
_LARGEST_WHOLE = {1: 2**20, 2: 512, 3: 64}


@dataclass(frozen=True)
class Windows:
    """Spectra of tapered windows.

    Attributes:
        coefficients: `(K, *coefficients)`, complex, of windows and channels alike, each about its own mean.
        side: Their samples along each axis.
        channel: Number of the channel that each is of, `(K,)`.
        array: Number of the array, likewise.
        independent: Number of windows that count as independent of each other, at most.
        clipped: Which values are at limits, where those of all arrays pile up, `(K, *side)`; None: there are none.
    """

    coefficients: Tensor
    side: tuple[int, ...]
    channel: Tensor
    array: Tensor
    independent: float
    clipped: Tensor | None = None

    @cached_property
    def basis(self) -> FourierBasis:
        """Their basis."""
        return FourierBasis(self.side)

    @property
    def source(self) -> Tensor:
        """Number of what each window is of, `(K,)`: an array, or of records, whose channels are of sensors of their
        own, a channel of one."""
        if len(self.side) > 1:
            return self.array
        return self.array * (int(self.channel.max()) + 1) + self.channel

    @cached_property
    def powers(self) -> Tensor:
        """Power of each window, with the floor, `(K, *coefficients)`."""
        power = self.coefficients.abs().square()
        return power + FLOOR * mean_power(power.mean(0), self.basis)

    @cached_property
    def bare(self) -> float:
        """Share of the frequencies that hold less than rounding leaves: of what was drawn and never photographed."""
        power, weight = self.coefficients.abs().square().mean(0), self.basis.multiplicity()
        return float((weight * (power < _BARE * mean_power(power, self.basis))).sum() / weight.sum())

    @cached_property
    def power(self) -> Tensor:
        """Mean power, `(*coefficients)`."""
        return self.powers.mean(0)

    @cached_property
    def levels(self) -> Tensor:
        """Mean of the logarithm of the power: a feature of few windows hardly counts, damage of all does."""
        return self.powers.log().mean(0)

    @property
    def correlated(self) -> float:
        """Variance of a mean of `levels` over frequencies over that of independent ones: the taper mixes them."""
        return 1.9 ** len(self.side)

    @property
    def error(self) -> float:
        """Standard deviation of `levels` where windows are independent and Gaussian: that of a log exponential."""
        return math.pi / math.sqrt(6 * self.independent)


def mean_power(power: Tensor, basis: FourierBasis) -> float:
    """Power per frequency of a spectrum `(*coefficients)`."""
    weight = basis.multiplicity()
    return float((weight * power).sum() / weight.sum())


def window_side(count: int, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """Samples of a window along each axis: whole arrays if these are small and many, else halves of halves of them.

    Args:
        count: Number of arrays.
        spatial: Their samples along each axis.
    """
    rank = len(spatial)
    side = [min(n, _LARGEST.get(rank, 16)) for n in spatial]
    least = _SMALLEST.get(rank, 8)
    while count * windows_of(spatial, tuple(side)) < _ENOUGH:
        longest = max(side)
        if longest // 2 < least:
            break
        side = [s // 2 if s > longest // 2 and s // 2 >= least else s for s in side]
    return tuple(side)


def windows_of(spatial: tuple[int, ...], side: tuple[int, ...]) -> int:
    """Number of windows of one array."""
    return math.prod(len(_starts(n, s)) for n, s in zip(spatial, side, strict=True))


def are_few(count: int, spatial: tuple[int, ...]) -> bool:
    """Whether arrays have fewer windows than are wanted, so that damage that is plain to see may not be certain.

    >>> are_few(1, (1050,)), are_few(1, (2048,)), are_few(2, (1050,))
    (True, False, False)
    """
    return count * windows_of(spatial, window_side(count, spatial)) < _ENOUGH


def cut(x: Tensor, side: tuple[int, ...], mean: bool = False) -> Windows:
    """Windows of arrays.

    Args:
        x: Arrays `(N, C, *spatial)`.
        side: Samples of a window.
        mean: Whether what all arrays of a set share, their mean, stays; otherwise it is subtracted where windows are
            whole arrays, of which there are several.
    """
    spatial, rank = tuple(x.shape[2:]), x.ndim - 2
    places = list(itertools.product(*(_starts(n, s) for n, s in zip(spatial, side, strict=True))))
    channels, count = x.shape[1], len(x) * len(places)
    step = max(1, math.ceil(count * channels * math.prod(side) / _MOST_SAMPLES))
    chosen = [divmod(k, len(places)) for k in range(0, count, step)]
    average = None
    if not mean and side == spatial and len(x) >= LEAST_WINDOWS:
        average = sum(batch.double().sum(0) for batch in x.split(512)) / len(x)
    taper = hann(side)
    given, pieces, largest = [], [], 0.0
    for n, place in chosen:
        part = tuple(slice(a, a + s) for a, s in zip(places[place], side, strict=True))
        given.append(x[n][(slice(None), *part)])
        piece = given[-1].double()
        largest = max(largest, float(piece.abs().max()))
        pieces.append(piece if average is None else piece - average)
    windows = torch.stack(pieces)
    if not torch.isfinite(windows).all():
        raise InputError("images hold non-finite values (NaN or infinity); clean them before looking at their spectrum")
    axes = tuple(range(2, 2 + rank))
    centred = windows - (windows * taper).sum(axes, keepdim=True) / taper.sum()
    values = (centred * taper / taper.square().mean().sqrt()).flatten(0, 1)
    coefficients = FourierBasis(side).forward(values)
    check_squares("values", float(centred.abs().max()))
    if not coefficients.abs().max() > _ROUNDING * largest:
        raise InputError("images do not vary; there is no spectrum to look at")
    channel = torch.arange(channels).repeat(len(chosen))
    overlap = math.prod(_apart(n, s) for n, s in zip(spatial, side, strict=True))
    array = torch.tensor([n for n, _ in chosen]).repeat_interleave(channels)
    return Windows(coefficients, side, channel, array, max(1.0, len(chosen) * overlap), _clipped(torch.stack(given)))


def _clipped(x: Tensor) -> Tensor | None:
    """Which values of windows `(N, C, *side)` are at limits, `(N C, *side)`; None if there are none."""
    by_channel = x.movedim(1, 0)
    limits = Limits.of(by_channel)
    return torch.logical_or(*limits.where(by_channel)).movedim(0, 1).flatten(0, 1) if limits else None


def whole(x: Tensor) -> Windows:
    """The largest windows that are looked at: whole arrays, or large parts of larger ones."""
    rank = x.ndim - 2
    side = tuple(min(n, _LARGEST_WHOLE.get(rank, 32)) for n in x.shape[2:])
    return cut(x, side)


def hann(side: tuple[int, ...]) -> Tensor:
    """Hann's window, `(*side)`."""
    taper = torch.ones((), dtype=torch.float64)
    for n in side:
        taper = taper[..., None] * torch.sin(math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n) ** 2
    return taper


def _starts(n: int, side: int) -> list[int]:
    """First samples of windows that overlap by half and cover the axis."""
    count = 1 if n == side else math.ceil((n - side) / (side / 2)) + 1
    return [round(a) for a in torch.linspace(0, n - side, count).tolist()] if count > 1 else [0]


def _apart(n: int, side: int) -> float:
    """Independent windows for each window along an axis: tapered neighbours share little."""
    return 1.0 if n == side else 0.9
