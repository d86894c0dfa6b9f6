"""Second-order statistics of data in a basis: mean, power spectrum, radial bands.

The power spectrum is `S(f) = E |U (x - mu)|^2 (f)` per channel; white noise of unit variance has `S = 1`. Averages over
frequencies count each stored coefficient with its multiplicity, so they equal averages over all `d` frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE, Basis, build_basis
from sagd.noise.basis.fourier import FourierBasis

_MEASURED_VALUES = 2**27
"""Data values that statistics are measured on, at most: 512 MiB as float32."""


@dataclass(frozen=True)
class DataStatistics:
    """Mean and power spectrum of a data set.

    Attributes:
        mean: `(C, *spatial)`, float64.
        spectrum: `S(f)`, the variance of every coefficient: `(C, *coefficients)`, float64.
        count: Number of samples it was measured on.
        basis: The basis of `spectrum`.
    """

    mean: Tensor
    spectrum: Tensor
    count: int
    basis: Basis

    @property
    def variance(self) -> float:
        """Mean variance of a data value (over channels and frequencies)."""
        return float((self.spectrum * self.basis.multiplicity()).sum() / self.mean.numel())

    @property
    def std(self) -> float:
        """Standard deviation of all data values: spread about the mean field, and of the mean field itself."""
        return math.sqrt(self.variance + float(self.mean.var(correction=0)))


def most_measured(shape: Sequence[int]) -> int:
    """How many fields `(C, *spatial)` statistics are measured on, at most."""
    return max(2, _MEASURED_VALUES // math.prod(shape))


def measure(x: Tensor, basis: Basis | str | None = None, batch_size: int = 512) -> DataStatistics:
    """Mean and power spectrum of data `(N, C, *spatial)`, in float64.

    Args:
        x: Data; uint8 or floating point (used as it is, not rescaled).
        basis: A basis or its text; defaults to the Fourier basis of `x`'s spatial axes.
        batch_size: Samples transformed at a time.

    Raises:
        InputError: With fewer than two samples or non-finite values.
    """
    mean = _mean(x, batch_size)
    basis = build_basis(basis, tuple(x.shape[2:])) if isinstance(basis, str) else basis
    basis = basis or FourierBasis(tuple(x.shape[2:]))
    power = torch.zeros(x.shape[1], *basis.coefficients, dtype=torch.float64)
    for batch in x.split(batch_size):
        power += basis.forward(batch.double() - mean).abs().square().sum(0)
    return DataStatistics(mean, power / (len(x) - 1), len(x), basis)


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


def _mean(x: Tensor, batch_size: int) -> Tensor:
    if x.ndim < 3 or len(x) < 2:
        raise InputError(
            f"need at least two samples (N, C, *spatial) to measure a spectrum, got shape {tuple(x.shape)}"
        )
    mean = sum((b.double().sum(0) for b in x.split(batch_size)), torch.zeros(x.shape[1:], dtype=torch.float64)) / len(x)
    if not torch.isfinite(mean).all():
        raise InputError("data holds non-finite values (NaN or infinity); clean it before measuring its spectrum")
    return mean


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


def radial_profile(
    spectrum: Tensor, basis: Basis, bands: int = 10, steps: Sequence[float] | None = None
) -> RadialProfile:
    """Average `spectrum` `(*, *coefficients)` over `bands` equal bands of `rho` in [0, 1]; the last includes 1.

    Given the distances of neighbours along the axes, radii are those of frequencies in cycles per unit of distance, and
    `rho` is the fraction of the largest, `|1 / (2 steps)|`.

    >>> basis = FourierBasis((8, 8))
    >>> radial_profile(torch.ones(basis.coefficients, dtype=torch.float64), basis, bands=4).values.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if bands < 1:
        raise InputError(f"bands must be at least 1, got {bands}")
    edges = torch.linspace(0, 1, bands + 1, dtype=torch.float64)
    rho = basis.relative_radius() if steps is None else _physical_radius(basis, steps)
    index = ((rho + EDGE) * bands).long().clamp(max=bands - 1).flatten()
    weight = basis.multiplicity().flatten()
    flat = spectrum.double().flatten(-basis.rank) * weight
    total = torch.zeros(*flat.shape[:-1], bands, dtype=torch.float64).index_add_(-1, index, flat)
    count = torch.zeros(bands, dtype=torch.float64).index_add_(0, index, weight)
    return RadialProfile(edges, total / count, count)


def _physical_radius(basis: Basis, steps: Sequence[float]) -> Tensor:
    if len(steps) != basis.rank or not all(0 < step < math.inf for step in steps):
        raise InputError(f"steps must be {basis.rank} positive distances, got {tuple(steps)}")
    sizes = torch.tensor([float(step) for step in steps], dtype=torch.float64)
    radius = torch.linalg.vector_norm(basis.frequencies() / sizes.reshape(-1, *(1,) * len(basis.coefficients)), dim=0)
    return radius / torch.linalg.vector_norm(0.5 / sizes)
