"""Log-likelihood through the probability-flow ODE.

Samples follow `dx/dt = v(x, t)`, `v` the expected velocity, and their log-density changes by `-div v` (the
instantaneous change of variables), so

    log p(x_0) = log q_1(x_1) + integral_0^1 div v(x_t, t) dt,

the same for every process, with schedules per frequency or without. The integral runs over the segments of a time grid
with the classical Runge-Kutta method. It starts at the grid's least noise level, where `x = alpha x_0` and the noise is
left out; `q_1` is the Gaussian from which samples start, `N(alpha mu, alpha^2 S + s^2)` if the data's statistics are
known, else `N(0, s^2)`.

Source: "Score-Based Generative Modeling through Stochastic Differential Equations" (Song et al., 2021), section 4.3 and
appendix D.2; the trace estimator is Hutchinson's with signs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.operator import log_determinant
from sagd.noise.statistics import DataStatistics
from sagd.random import Generator, rand, randint
from sagd.sampling.grids import TimeGrid
from sagd.sampling.steps import Steps

Field = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""`(x, t)` -> velocity, and its divergence for each probe `(P, B)`."""


@dataclass(frozen=True)
class Likelihood:
    """Log-densities of a batch.

    Attributes:
        log_prob: Natural logarithm of the density of each sample, `(B,)`, float64.
        standard_error: Standard error of each from the random probes of the divergence, `(B,)`: zero if it is exact,
            NaN with a single probe.
        size: Dimension of a sample.
    """

    log_prob: Tensor
    standard_error: Tensor
    size: int

    def bits_per_dim(self, bin_width: float = 2 / 255) -> Tensor:
        """Negative log-likelihood in bits per dimension of data rounded to bins, `(B,)`, float64.

        Args:
            bin_width: Distance of two levels; that of 8-bit images in [-1, 1] by default. Densities of rounded data
                mean something only after uniform noise of this width has been added to it (`dequantise`).
        """
        return -self.log_prob / (self.size * math.log(2)) - math.log2(bin_width)


def dequantise(x: Tensor, generator: Generator | None = None, bin_width: float = 2 / 255) -> Tensor:
    """Rounded data plus uniform noise of one bin: what densities of images are evaluated on.

    Raises:
        InputError: If `x` is not floating point.
    """
    if not x.is_floating_point():
        raise InputError(f"data must be floating point, got {x.dtype}; images are float32 in [-1, 1]")
    return x + bin_width * (rand(x.shape, generator, x.dtype, x.device) - 0.5)


def log_likelihood(
    denoiser: Denoiser,
    x_0: Tensor,
    *,
    steps: int = 64,
    grid: TimeGrid | str = "log_snr(sigma_min=0.001)",
    probes: int | None = 2,
    generator: Generator | None = None,
    condition: Conditional = None,
    statistics: DataStatistics | None = None,
    progress: bool = False,
) -> Likelihood:
    """Log-density of samples under a denoiser's generative model.

    Args:
        denoiser: Denoiser; it is evaluated four times per step, with a backward pass for each probe.
        x_0: `(B, C, *spatial)`.
        steps: Segments of the grid.
        grid: Time grid from its first time down to its least noise level.
        probes: Random sign vectors for the divergence (Hutchinson's estimator, unbiased); None computes it exactly,
            one backward pass per dimension.
        generator: Source of the probes, drawn once per call, so that the integrand is smooth.
        condition: What conditional models are told of each sample, as for `Sampler.sample`.
        statistics: Mean and spectrum of the data in the basis of the noise, for the law at the last time.
        progress: Show a progress bar.

    Raises:
        SingularCovarianceError: If some frequency carries no noise: the model then has no density.
        InputError: If shapes do not fit, or `steps` or `probes` is not positive.
    """
    if tuple(x_0.shape[1:]) != denoiser.process.shape:
        raise InputError(f"data {tuple(x_0.shape[1:])} does not have the shape of the process {denoiser.process.shape}")
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    if probes is not None and probes < 1:
        raise InputError(f"probes must be at least 1, or None for the exact divergence, got {probes}")
    told = denoiser.check(condition, len(x_0))
    process = denoiser.process.given(told.labels)
    if process.covariance.is_singular:
        raise SingularCovarianceError(
            f"{process.label} leaves some frequency or place without noise, so that its model has no density;"
            " likelihoods need noise everywhere"
        )
    times = TimeGrid.parse(grid).times(steps + 1, process, statistics).tolist()[:-1][::-1]
    field = _flow(denoiser, x_0, probes, generator, told)
    # x = alpha x_0 at the first time: the density of x_0 is that of x times det alpha.
    first = process.alpha(times[0], x_0)
    x, total = (first * x_0).to(x_0.dtype), torch.zeros((), dtype=torch.float64)
    with Steps(len(times) - 1, "likelihood", progress) as told_steps:
        for t, s in itertools.pairwise(times):
            x, change = _runge_kutta(field, x, t, s)
            total = total + change
            told_steps.done()
    end = process.law(times[-1], x.double(), statistics).log_prob(x.double())
    log_prob = end + log_determinant(first, process.shape).to(end.device) + total
    spread = log_prob.std(0) / math.sqrt(len(log_prob)) if len(log_prob) > 1 else torch.zeros_like(log_prob[0])
    if probes is not None and len(log_prob) == 1:
        spread = torch.full_like(spread, math.nan)
    return Likelihood(log_prob.mean(0), spread, process.covariance.size)


def _flow(
    denoiser: Denoiser, x_0: Tensor, probes: int | None, generator: Generator | None, condition: Condition
) -> Field:
    """Velocity and divergence of the probability flow."""
    signs = _probes(x_0, probes, generator)

    def field(x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = denoiser.predict("velocity", x, t, condition)
            # e^T (dv/dx) e for each probe e; over all unit vectors these sum up to the trace.
            terms = [
                (torch.autograd.grad(v, x, e, retain_graph=i + 1 < len(signs))[0].double() * e).flatten(1).sum(1)
                for i, e in enumerate(signs)
            ]
        divergence = torch.stack(terms)
        return v.detach(), divergence if probes is not None else divergence.sum(0, keepdim=True)

    return field


def _probes(x: Tensor, probes: int | None, generator: Generator | None) -> list[Tensor]:
    if probes is None:
        eye = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device)
        return [row.reshape(1, *x.shape[1:]).expand_as(x) for row in eye]
    return [(2 * randint(2, x.shape, generator, x.device) - 1).to(x.dtype) for _ in range(probes)]


def _runge_kutta(field: Field, x: Tensor, t: float, s: float) -> tuple[Tensor, Tensor]:
    """One classical Runge-Kutta step from `t` to `s` of state and integrated divergence."""
    h = s - t
    v1, d1 = field(x, t)
    v2, d2 = field(x + h / 2 * v1, t + h / 2)
    v3, d3 = field(x + h / 2 * v2, t + h / 2)
    v4, d4 = field(x + h * v3, s)
    return x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4), h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
