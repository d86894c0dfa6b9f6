"""Log-likelihood through the probability-flow ODE.

Samples follow `dx/dt = v(x, t)`, `v` the expected velocity, and their log-density changes by `-div v` (the
instantaneous change of variables), so

    log p(x_0) = log q_1(x_1) + integral_0^1 div v(x_t, t) dt,

the same for every process, with schedules per frequency or without. The integral runs over the segments of a time grid
with the Runge-Kutta method of Dormand and Prince. Where frequencies take turns a segment of the grid may hold the whole
life of one; segments are divided until the method follows the flow of Gaussian data, known in closed form, so that the
steps depend on process and data but not on the samples. It starts at the grid's least noise level, where
`x = alpha x_0` and the noise is left out; `q_1` is the Gaussian from which samples start, `N(alpha mu, alpha^2 S +
s^2)` if the data's statistics are known, else `N(0, s^2)`.

Source: "Score-Based Generative Modeling through Stochastic Differential Equations" (Song et al., 2021), section 4.3 and
appendix D.2; the trace estimator is Hutchinson's with signs, the method that of Dormand & Prince (1980).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.counting import Count
from sagd.errors import InputError, SingularCovarianceError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.operator import Coefficient, Diagonal, log_determinant, mean_over_frequencies
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.random import Generator, rand, randint
from sagd.sampling.grids import TimeGrid

DIVISIONS = 1024
"""Steps into which one segment is divided at most."""

_NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_FIFTH = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_ROWS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    _FIFTH,
)
"""Dormand and Prince's method of order five: times and weights of the stages, and of the step."""

Stage = tuple[Tensor, Tensor]
Field = Callable[[Tensor, float], Stage]
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
    steps: int = 32,
    grid: TimeGrid | str = "log_snr(sigma_min=0.001)",
    tolerance: float | None = 1e-3,
    probes: int | None = 2,
    generator: Generator | None = None,
    condition: Conditional = None,
    statistics: DataStatistics | None = None,
    progress: bool = False,
) -> Likelihood:
    """Log-density of samples under a denoiser's generative model.

    Args:
        denoiser: Denoiser; it is evaluated six times per step, with a backward pass for each probe.
        x_0: `(B, C, *spatial)`.
        steps: Segments of the grid, each at least one step.
        grid: Time grid from its first time down to its least noise level.
        tolerance: Error of a log-density of Gaussian data, in nats, above which segments are divided into up to
            `DIVISIONS` steps; None takes one step for each.
        probes: Random sign vectors for the divergence (Hutchinson's estimator, unbiased); None computes it exactly,
            one backward pass per dimension.
        generator: Source of the probes, drawn once per call, so that the integrand is smooth.
        condition: What conditional models are told of each sample, as for `Sampler.sample`.
        statistics: Mean and spectrum of the data in the basis of the noise, for the law at the last time.
        progress: Show a progress bar.

    Raises:
        SingularCovarianceError: If some frequency carries no noise: the model then has no density.
        InputError: If shapes do not fit, or `steps`, `probes` or `tolerance` is not positive.
    """
    if tuple(x_0.shape[1:]) != denoiser.process.shape:
        raise InputError(f"data {tuple(x_0.shape[1:])} does not have the shape of the process {denoiser.process.shape}")
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    if probes is not None and probes < 1:
        raise InputError(f"probes must be at least 1, or None for the exact divergence, got {probes}")
    if tolerance is not None and not tolerance > 0:
        raise InputError(f"tolerance must be positive, in nats, or None for steps as they are, got {tolerance}")
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
    if tolerance is not None:
        times = _divided(times, process, x_0, statistics, tolerance)
    known: Stage | None = None
    with Count(len(times) - 1, "likelihood", "steps", progress) as told_steps:
        for t, s in itertools.pairwise(times):
            x, change, known = _step(field, x, t, s, known)
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


def _step(field: Field, x: Tensor, t: float, s: float, known: Stage | None) -> tuple[Tensor, Tensor, Stage]:
    """One step from `t` to `s`: the state, the integrated divergence, and the stage at `s`, where the next begins.

    Args:
        field: Velocity and divergence.
        x: State at `t`.
        t: Where the step starts.
        s: Where it ends.
        known: The stage at `t`, if the last step ended there.
    """
    stages = [known or field(x, t)]
    for c, row in zip(_NODES[1:], _ROWS, strict=True):
        y = x + (s - t) * _weighted(row, [v for v, _ in stages])
        stages.append(field(y.to(x.dtype), s if c == 1 else t + c * (s - t)))
    # The last stage is that of the new state.
    return y.to(x.dtype), (s - t) * _weighted(_FIFTH, [d for _, d in stages]), stages[-1]


def _divided(
    times: list[float], process: Process, x: Tensor, statistics: DataStatistics | None, tolerance: float
) -> list[float]:
    """Times with more in between where the steps would err on Gaussian data: that of the statistics, or white.

    A frequency grows by `sqrt(v_s / v_t)`, `v = a^2 S + s^2`, and its log-density falls by the logarithm of
    that: a step errs by what it makes of the two, taken together over all frequencies.
    """
    like = torch.zeros(1, *process.shape, dtype=torch.float64).expand(len(_NODES), *process.shape)
    # Noise by class has one schedule for all frequencies, which needs no statistics.
    by_class = process.covariance.depends_on_class
    known = None if statistics is None or by_class or not process.is_diagonal_in(statistics.basis) else statistics

    def error(t: float, s: float) -> float:
        rates, variance = _gaussian_flow(process, torch.tensor(_NODES, dtype=torch.float64) * (s - t) + t, like, known)
        exact = (variance.values[-1] / variance.values[0]).log() / 2
        slopes = [rates.values[0]]
        for row, rate in zip(_ROWS, rates.values[1:], strict=True):
            grown = 1 + (s - t) * _weighted(row, slopes)
            slopes.append(rate * grown)
        change = (s - t) * _weighted(_FIFTH, list(rates.values))
        # Where a step leaves nothing right, the logarithm is that of a frequency gone.
        wrong = (change - exact).abs() + (grown.clamp(min=1e-3).log() - exact).abs()
        return float(mean_over_frequencies(Diagonal(wrong[None], rates.basis))) * process.covariance.size

    def parts(t: float, s: float, allowed: float, halvings: int) -> list[float]:
        if halvings == 0 or error(t, s) <= allowed:
            return [s]
        middle = (t + s) / 2
        return parts(t, middle, allowed / 2, halvings - 1) + parts(middle, s, allowed / 2, halvings - 1)

    each = tolerance / (len(times) - 1)
    ends = [parts(t, s, each, DIVISIONS.bit_length() - 1) for t, s in itertools.pairwise(times)]
    return times[:1] + list(itertools.chain.from_iterable(ends))


def _gaussian_flow(
    process: Process, t: Tensor, like: Tensor, statistics: DataStatistics | None
) -> tuple[Diagonal, Diagonal]:
    """`v'/(2 v)` and `v = a^2 S + s^2` at each time, by frequency."""
    d_alpha, d_sigma = process.derivatives(t, like)
    alpha, sigma = process.alpha(t, like), process.sigma(t, like)
    if statistics is None:
        a, s, S, basis = _values(alpha), _values(sigma), torch.ones(()), None
    else:
        a, s = (c.values for c in process.diagonal(t, like, statistics.basis))
        S, basis = statistics.spectrum, statistics.basis
    growth = _values(d_sigma) / _values(sigma)
    variance = a**2 * S + s**2
    rate = (a * _values(d_alpha) * S + s**2 * growth) / variance
    basis = basis or (alpha.basis if isinstance(alpha, Diagonal) else FourierBasis(process.shape[1:]))
    shape = (len(t), process.shape[0], *basis.coefficients)
    return Diagonal(rate.expand(shape), basis), Diagonal(variance.expand(shape), basis)


def _values(c: Coefficient) -> Tensor:
    return c.values if isinstance(c, Diagonal) else c


def _weighted(weights: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    return torch.stack([w * term for w, term in zip(weights, terms, strict=False) if w]).sum(0)
