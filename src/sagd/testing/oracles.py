"""What contracts compare with: dense matrices, impulse responses, denoisers of a function."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.model.exact import GaussianDenoiser
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.process.base import Process, Time
from sagd.sampling.base import Run, Sampler


def fourier_matrix(spatial: Sequence[int]) -> Tensor:
    """The unitary DFT of fields of shape `spatial` by its definition, `F_kx = exp(-2 pi i sum_a k_a x_a/N_a)/sqrt(d)`.

    Returns:
        `(d, d)`, complex128: rows are frequencies (the full grid, FFT order), columns samples.
    """
    phase = torch.zeros(math.prod(spatial), math.prod(spatial), dtype=torch.float64)
    for index, side in zip(_grid_indices(spatial), spatial, strict=True):
        # Reducing k x modulo N in integers keeps the phases exact to rounding.
        phase += (index[:, None] * index[None, :] % side).double() / side
    return torch.polar(torch.full_like(phase, math.prod(spatial) ** -0.5), -2 * math.pi * phase)


def signed_frequencies(spatial: Sequence[int]) -> Tensor:
    """Frequencies of the full grid in cycles per sample, `k/N` for `k < N/2` and `(k - N)/N` above; `(n, *spatial)`."""
    indices = zip(_grid_indices(spatial), spatial, strict=True)
    axes = [torch.where(2 * k < n, k, k - n).double() / n for k, n in indices]
    return torch.stack(axes).reshape(len(axes), *spatial)


def stationary_matrix(power: Tensor, shape: Sequence[int]) -> Tensor:
    """Dense covariance of a stationary periodic field, `Sigma_xy = 1/d sum_k power_k cos(2 pi k (x - y)/N)`.

    Args:
        power: Power spectrum on the full grid, `(*spatial)`, even in frequency.
        shape: `(C, *spatial)`; channels are independent and alike.

    Returns:
        `(C d, C d)`, float64.
    """
    transform = fourier_matrix(shape[1:])
    block = (transform.mH * power.flatten()) @ transform
    return torch.block_diag(*[block.real] * shape[0])


def operator_matrix(values: Tensor, basis: Basis, shape: Sequence[int]) -> Tensor:
    """The dense matrix of `U* diag(values) U` on fields of `shape`.

    Args:
        values: `(*coefficients)`, or `(C, *coefficients)`.
        basis: `U`.
        shape: `(C, *spatial)`.

    Returns:
        `(C d, C d)`, float64; column `i` is what becomes of the `i`-th unit field.
    """
    size = math.prod(shape)
    units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return basis.inverse(values * basis.forward(units)).reshape(size, size).T


def gaussian_fields(
    mean: Tensor, covariance: Tensor, shape: Sequence[int], count: int, generator: torch.Generator
) -> Tensor:
    """Draws of `N(mean, covariance)`, of any dense covariance, as fields.

    Args:
        mean: `(n,)`, float64.
        covariance: `(n, n)`, float64, positive definite.
        shape: `(C, *spatial)` of `n` values.
        count: Number of draws.
        generator: On the CPU.

    Returns:
        `(count, C, *spatial)`, float64.
    """
    white = torch.randn(count, len(mean), generator=generator, dtype=torch.float64)
    return (mean + white @ torch.linalg.cholesky(covariance).T).reshape(count, *shape)


def _grid_indices(spatial: Sequence[int]) -> list[Tensor]:
    """Integer coordinates of the flattened grid, one `(d,)` tensor per axis."""
    grid = torch.meshgrid(*[torch.arange(side) for side in spatial], indexing="ij")
    return [axis.flatten() for axis in grid]


class FunctionDenoiser(Denoiser):
    """A denoiser `f(x_t, t)` for tests, `t` being a number or one per sample, whatever the condition.

    Args:
        process: Forward process.
        function: `f`.
    """

    names = None

    def __init__(self, process: Process, function: Callable[[Tensor, Time], Tensor]) -> None:
        super().__init__()
        self.process = process
        self.function = function

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """`f(x_t, t)`."""
        return self.function(x_t, t)


def output_spectrum(
    sampler: Sampler, process: Process, spectrum: Tensor, times: Sequence[float], basis: Basis | None = None
) -> Tensor:
    """Exact power spectrum of a sampler's output on stationary Gaussian data with the exact denoiser.

    The sampler is then linear in its start and in every noise it injects, so its answers to one unit of every frequency
    in each of them add up to the spectrum of its output: nothing is drawn.

    Args:
        sampler: Any sampler, deterministic or not.
        process: Process whose noise is diagonal in `basis`.
        spectrum: `S(f)` of the data, broadcastable to `(C, *coefficients)`.
        times: Times `t_0 > ... > t_N`.
        basis: Fourier by default.

    Returns:
        `(*coefficients)`, or `(C, *coefficients)` for more than one channel, float64; the start is the noise of `t_0`.
    """
    basis = basis or FourierBasis(process.shape[1:])
    denoiser = GaussianDenoiser(process, torch.zeros(process.shape, dtype=torch.float64), spectrum, basis)
    sources = 2 * len(times)
    run = _ImpulseRun(process, lambda x_t, t: denoiser(x_t, t), steps=len(times) - 1, basis=basis)
    x = torch.zeros(sources, *process.shape, dtype=torch.float64)
    x = process.sigma(times[0], x) * run.noise(x)
    for t, s in itertools.pairwise(times):
        x = sampler.step(run, x, t, s)
    power = basis.forward(x).abs().square().sum(0)
    return power.squeeze(0) if process.shape[0] == 1 else power


@dataclasses.dataclass
class _ImpulseRun(Run):
    """The `k`-th draw has one unit of every frequency in sample `k`, coloured, and nothing in the others."""

    basis: Basis = dataclasses.field(kw_only=True)
    draws: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def noise(self, x: Tensor) -> Tensor:
        ones = torch.ones(self.process.shape[0], *self.basis.coefficients, dtype=torch.float64)
        xi = torch.zeros_like(x)
        xi[next(self.draws)] = self.basis.inverse(ones)
        return self.process.covariance.sqrt(xi)
