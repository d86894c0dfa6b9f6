"""Second-order statistics of data in a basis: mean, power spectrum, radial bands.

The power spectrum is `S(f) = E |U (x - mu)|^2 (f)` per channel; white noise of unit variance has `S = 1`. Averages over
frequencies count each stored coefficient with its multiplicity, so they equal averages over all `d` frequencies.

Where values are missing, the mean of a place is over the samples that are valid there, and the power spectrum is that
of the deviations with 0 in place of missing ones, over the share of power that is left,

    S(f) = sum_i |U m_i (x_i - mu)|^2 / (1/d sum_x (n_x - 1)),    n_x the number of samples that are valid at x.

Of white noise that is unbiased. If values are missing independently of each other with probability `q`, it is
`(1 - q) S(f) + q mean(S)` of stationary data: a blend with white noise of the same variance. Masks with a pattern smear
`S` by the power spectrum of the pattern. The mean of `S`, the variance of a value, is right in all cases.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE, Basis, build_basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid
from sagd.noise.places import checked_weights, require_places
from sagd.noise.scales import Scales, measure_scales
from sagd.random import generator_for, randn

_MEASURED_VALUES = 2**27
"""Data values that statistics are measured on, at most: 512 MiB as float32."""
_FAR = 2.0
"""Power of the jump from the end of an axis to its start, over that of steps between neighbours, beyond which it does
not close on itself."""

_DRAWS, _DRAWN = 4096, 2**22
"""Draws by which spectra are changed to another basis, and values that are drawn at a time."""


@dataclass(frozen=True)
class DataStatistics:
    """Mean and power spectrum of a data set.

    Attributes:
        mean: `(C, *spatial)`, float64.
        spectrum: `S(f)`, the variance of every coefficient: `(C, *coefficients)`, float64.
        count: Number of samples it was measured on.
        basis: The basis of `spectrum`.
        scales: The law of the powers of its items, if they are unequal and that was measured.
    """

    mean: Tensor
    spectrum: Tensor
    count: int
    basis: Basis
    scales: Scales | None = None

    @property
    def variance(self) -> float:
        """Mean variance of a data value (over channels and frequencies)."""
        return float((self.spectrum * self.basis.multiplicity()).sum() / self.mean.numel())

    @property
    def std(self) -> float:
        """Standard deviation of all data values: spread about the mean field, and of the mean field itself."""
        return math.sqrt(self.variance + float(self.mean.var(correction=0)))

    def on(self, basis: Basis) -> DataStatistics:
        """The same of another basis: the mean power there of fields that are diagonal in this one.

        From the cosine to the Fourier basis in closed form; else by draws, to a few percent.
        """
        if basis == self.basis:
            return self
        if basis not in self._elsewhere:
            self._elsewhere[basis] = self._on(basis)
        return self._elsewhere[basis]

    @cached_property
    def _elsewhere(self) -> dict[Basis, DataStatistics]:
        return {}

    def _on(self, basis: Basis) -> DataStatistics:
        if isinstance(self.basis, CosineBasis) and isinstance(basis, FourierBasis):
            return DataStatistics(self.mean, _in_fourier(self.spectrum, basis), self.count, basis, self.scales)
        total, root = torch.zeros(len(self.mean), *basis.coefficients, dtype=torch.float64), self.spectrum.sqrt()
        together = max(1, min(_DRAWS, _DRAWN // self.mean.numel()))
        for numbers in torch.arange(_DRAWS).split(together):
            g = generator_for(0, "statistics", int(numbers[0]))
            z = randn((len(numbers), *self.mean.shape), g, torch.float64)
            x = self.basis.inverse(root * self.basis.forward(z))
            total += basis.forward(x).abs().square().sum(0)
        return DataStatistics(self.mean, total / _DRAWS, self.count, basis, self.scales)


def _in_fourier(spectrum: Tensor, basis: FourierBasis) -> Tensor:
    """Powers of the cosine basis `(C, *spatial)` as those of the Fourier basis: axis by axis `|<wave, cosine>|^2`."""
    for axis, n in enumerate(basis.spatial, start=1):
        waves = torch.fft.fft(CosineBasis((n,)).inverse(torch.eye(n, dtype=torch.float64)), norm="ortho")
        share = waves.abs().square()[:, : basis.coefficients[axis - 1]]
        spectrum = torch.tensordot(spectrum, share, dims=([axis], [0])).movedim(-1, axis)
    return spectrum


def most_measured(shape: Sequence[int]) -> int:
    """How many fields `(C, *spatial)` statistics are measured on, at most."""
    return max(2, _MEASURED_VALUES // math.prod(shape))


def measure(
    x: Tensor, basis: Basis | str | None = None, batch_size: int = 512, mask: Tensor | None = None
) -> DataStatistics:
    """Mean and power spectrum of data `(N, C, *spatial)`, in float64.

    The mean is by place and the spectrum is that of the field as it lies on the grid, to which noise is added, so areas
    of places do not enter; they do in `moments`.

    Args:
        x: Data; uint8 or floating point (used as it is, not rescaled).
        basis: A basis or its text; defaults to the Fourier basis of `x`'s spatial axes.
        batch_size: Samples transformed at a time.
        mask: Where values are valid, 1 or true, and where they are missing, 0, whatever they hold: `(1|C, *spatial)`
            for all samples or `(N, 1|C, *spatial)`. The spectrum is then an estimate, see above; the mean is 0 where no
            sample is valid.

    Raises:
        InputError: With fewer than two samples, non-finite values, a mask of another shape, or no place that is valid
            in two samples.
    """
    valid = _valid(x, mask)
    mean = _mean(x, batch_size, valid)
    basis = build_basis(basis, tuple(x.shape[2:])) if isinstance(basis, str) else basis
    basis = basis or FourierBasis(tuple(x.shape[2:]))
    power = torch.zeros(x.shape[1], *basis.coefficients, dtype=torch.float64)
    for batch, own in _batches(x, valid, batch_size):
        power += basis.forward(_only(batch - mean, own)).abs().square().sum(0)
    if valid is None:
        return DataStatistics(mean, power / (len(x) - 1), len(x), basis)
    freedom = (_counts(x, valid) - 1).clamp(min=0).flatten(1).mean(1)
    if not freedom.min() > 0:
        raise InputError("no place is valid in two samples, which a spectrum needs; 1 or True is where data is valid")
    return DataStatistics(mean, power / freedom.reshape(-1, *(1,) * basis.rank), len(x), basis)


def measure_with_scales(x: Tensor, basis: Basis | None = None, mask: Tensor | None = None) -> DataStatistics:
    """As `measure`, with the law of the powers of items where these are unequal: what a model is trained with.

    Where values are missing, that law is not measured.
    """
    found = measure(x, basis, mask=mask)
    if mask is not None:
        return found
    return dataclasses.replace(found, scales=measure_scales(x, found.mean, found.spectrum, found.basis))


@dataclass(frozen=True)
class Moments:
    """Averages of the values of a data set over samples and places.

    Attributes:
        mean: Of each channel, `(C,)`, float64.
        std: Spread about it, likewise.
    """

    mean: Tensor
    std: Tensor


def moments(
    x: Tensor, mask: Tensor | None = None, weight_field: Tensor | None = None, batch_size: int = 512
) -> Moments:
    """Mean and standard deviation of the values of data `(N, C, *spatial)` by channel, in float64.

    Args:
        x: Data; uint8 or floating point.
        mask: Where values are valid, as in `measure`.
        weight_field: How much each place counts, `(1|C, *spatial)`: e.g. the areas of the cells of a map.
        batch_size: Samples taken at a time.

    Raises:
        InputError: As `measure`; if weights do not fit the data, or no value of a channel counts.
    """
    shape = tuple(x.shape[1:])
    W = torch.ones(1, *shape, dtype=torch.float64)
    valid = _valid(x, mask)
    if weight_field is not None:
        given = checked_weights(weight_field).double()[None]
        require_places("weight_field", given, shape)
        W = given.expand(1, *shape)
    counting = W > 0 if valid is None else valid & (W > 0)

    def average(of: Callable[[Tensor], Tensor]) -> Tensor:
        total, weight = torch.zeros(2, shape[0], dtype=torch.float64)
        for first in range(0, len(x), batch_size):
            batch = x[first : first + batch_size].double()
            own = counting if len(counting) == 1 else counting[first : first + batch_size]
            counted = (W * own).expand(batch.shape)
            total = total + _by_channel(counted * _only(of(batch), own))
            weight = weight + _by_channel(counted)
        if not weight.min() > 0:
            raise InputError("no value of a channel counts: its mask is 0 wherever it has weight")
        return total / weight

    mean = average(lambda batch: batch)
    if not torch.isfinite(mean).all():
        raise InputError("data holds non-finite values (NaN or infinity) where it is said to be valid; clean it before")
    centre = mean.reshape(-1, *(1,) * (x.ndim - 2))
    return Moments(mean, average(lambda batch: (batch - centre).square()).sqrt())


def jumps(x: Tensor, mask: Tensor | None = None) -> tuple[float, ...]:
    """How far fields `(N, C, *spatial)` jump from the end of each axis to its start: the power of that, by axis, over
    the power of the steps between neighbours.

    About 1 where an axis closes on itself, as longitude does, and where neighbours have nothing in common; less where
    borders are empty; `1 / (1 - r)` if ends are independent and neighbours correlate with `r`. Also 1 where no field
    is known at both ends, or nowhere at two neighbours, and where steps and jumps are both 0.

    Args:
        x: Data, uint8 or floating point.
        mask: Where values are valid, as in `measure`.

    >>> jumps(torch.arange(8.0).repeat(2, 1, 1))
    (49.0,)
    """
    valid = _valid(x, mask)
    found = []
    for axis in range(2, x.ndim):
        first, last = slice(0, 1), slice(x.shape[axis] - 1, None)
        jump = _mean_square(x, valid, axis, first, last)
        step = _mean_square(x, valid, axis, slice(1, None), slice(0, -1))
        unknown = math.isnan(jump) or math.isnan(step)
        found.append(1.0 if unknown or jump == step else jump / step if step else math.inf)
    return tuple(found)


def meets(jump: float) -> bool:
    """Whether an axis is taken to close on itself, by how far fields jump there; see `jumps`."""
    return jump <= _FAR


def _mean_square(x: Tensor, valid: Tensor | None, axis: int, one: slice, other: slice, size: int = 512) -> float:
    """Mean square of the difference of two parts of an axis, where both are valid; NaN if that is nowhere."""

    def part(of: Tensor, where: slice) -> Tensor:
        return of[(slice(None),) * axis + (where,)]

    total, count = 0.0, 0.0
    for batch, own in _batches(x, valid, size):
        square = (part(batch, one) - part(batch, other)).square()
        known = None if own is None else (part(own, one) & part(own, other)).expand(square.shape)
        total += float(_only(square, known).sum())
        count += square.numel() if known is None else float(known.sum())
    return total / count if count else math.nan


def channel_covariance(x: Tensor, batch_size: int = 512) -> Tensor:
    """Covariance of the channels about the mean image, over all samples and places: `(C, C)`, float64.

    Raises:
        InputError: As `measure`.
    """
    mean = _mean(x, batch_size)
    total = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for batch in x.split(batch_size):
        values = (batch.double() - mean).transpose(0, 1).flatten(1)
        total += values @ values.T
    return total / ((len(x) - 1) * mean[0].numel())


def _mean(x: Tensor, batch_size: int, valid: Tensor | None = None) -> Tensor:
    if x.ndim < 3 or len(x) < 2:
        raise InputError(
            f"need at least two samples (N, C, *spatial) to measure a spectrum, got shape {tuple(x.shape)}"
        )
    total = torch.zeros(x.shape[1:], dtype=torch.float64)
    for batch, own in _batches(x, valid, batch_size):
        total += _only(batch, own).sum(0)
    mean = total / (len(x) if valid is None else _counts(x, valid).clamp(min=1))
    if not torch.isfinite(mean).all():
        raise InputError("data holds non-finite values (NaN or infinity); clean it before measuring its spectrum")
    return mean


def _valid(x: Tensor, mask: Tensor | None) -> Tensor | None:
    """Where values are valid, `(1|N, 1|C, *spatial)`, bool."""
    if mask is None:
        return None
    mask = mask[None] if mask.ndim == x.ndim - 1 else mask
    if mask.ndim != x.ndim or len(mask) not in (1, len(x)):
        raise InputError(f"a mask is for all samples, or one for each of {len(x)}, got shape {tuple(mask.shape)}")
    require_places("mask", mask, tuple(x.shape[1:]))
    if not ((mask == 0) | (mask == 1)).all():
        raise InputError("a mask holds 1 (or True) where data is valid and 0 where it is not")
    return mask.bool()


def _batches(x: Tensor, valid: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Batches in float64, and where each is valid."""
    for first in range(0, len(x), size):
        part = slice(first, first + size)
        yield x[part].double(), valid if valid is None or len(valid) == 1 else valid[part]


def _only(x: Tensor, valid: Tensor | None) -> Tensor:
    """The values that are valid, and 0 for the others."""
    return x if valid is None else torch.where(valid, x, 0.0)


def _counts(x: Tensor, valid: Tensor) -> Tensor:
    """How many samples are valid at each place, `(C, *spatial)`, float64."""
    return (valid.double().sum(0) * (len(x) // len(valid))).expand(x.shape[1:])


def _by_channel(x: Tensor) -> Tensor:
    """Sums over samples and places, `(C,)`."""
    return x.transpose(0, 1).flatten(1).sum(1)


@dataclass(frozen=True)
class RadialProfile:
    """Averages of a spectrum over radial bands.

    Attributes:
        edges: Band edges as fractions `rho` of the corner radius, `(K + 1,)`.
        values: Mean over each band, `(*, K)`; NaN where a band holds no frequency.
        degrees_of_freedom: Real degrees of freedom per band, `(K,)`.
    """

    edges: Tensor
    values: Tensor
    degrees_of_freedom: Tensor

    @property
    def centres(self) -> Tensor:
        """Band centres as fractions of the corner radius, `(K,)`."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def radial_profile(spectrum: Tensor, basis: Basis, bands: int = 10, grid: Grid | None = None) -> RadialProfile:
    """Average `spectrum` `(*, *coefficients)` over `bands` equal bands of `rho` in [0, 1]; the last includes 1.

    With a `grid`, radii are those of the world, in fractions of its `corner`: rings on samples that lie further apart
    along some axes than along others. `RingScale.of(grid)` tells them in its units.

    >>> basis = FourierBasis((8, 8))
    >>> radial_profile(torch.ones(basis.coefficients, dtype=torch.float64), basis, bands=4).values.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if bands < 1:
        raise InputError(f"bands must be at least 1, got {bands}")
    edges = torch.linspace(0, 1, bands + 1, dtype=torch.float64)
    rho = basis.relative_radius() if grid is None else grid.relative_radius(basis.frequencies())
    index = ((rho + EDGE) * bands).long().clamp(max=bands - 1).flatten()
    weight = basis.multiplicity().flatten()
    flat = spectrum.double().flatten(-basis.rank) * weight
    total = torch.zeros(*flat.shape[:-1], bands, dtype=torch.float64).index_add_(-1, index, flat)
    count = torch.zeros(bands, dtype=torch.float64).index_add_(0, index, weight)
    return RadialProfile(edges, total / count, count)


def by_radius(basis: Basis) -> Tensor:
    """Multiplicity over `r^(n-1)`, at 0 with the least radius above it: as much for a ring as for another."""
    radius = basis.radius()
    least = radius[radius > 0].min() if (radius > 0).any() else radius.new_ones(())
    return basis.multiplicity() / radius.clamp(min=least) ** (basis.rank - 1)
