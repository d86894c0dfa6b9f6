"""Samplers: from noise back to data along a time grid.

A subclass supplies `step`, one move from `x_t` to `x_s`, `s < t`; the base owns grid, loop, progress bar and
randomness. Steps are written with the process's coefficients and its own noise, so the noise injected by stochastic
samplers and the first draw always have the covariance of the forward process.

With one fixed `Sigma_w` the probability-flow ODE in terms of the denoiser is the isotropic one: with `y = x/alpha` and
`n = sigma/alpha`, `dy/dn = (y - D) / n = eps` (arXiv:2510.09660, equation 35). With a schedule per frequency `alpha`
and `sigma` are operators, and the same lines hold frequency by frequency, each with its own `n`.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from sagd.config import SamplingConfig
from sagd.denoiser import Denoiser
from sagd.description import Description
from sagd.diagonal import Coefficient, Diagonal
from sagd.errors import InputError, ProcessMismatchError
from sagd.grid import TimeGrid
from sagd.process import Process
from sagd.randomness import Generators, sample_generators
from sagd.statistics import DataStatistics

_LARGEST_CORRECTION = 1.0
"""Bound on the extrapolation of the multistep method at a single frequency: a step is then at most twice the last."""


@dataclass
class Run:
    """What the steps of one batch share.

    Attributes:
        process: Forward process.
        denoise: `(x_t, t) -> x_0`.
        generator: Source of injected noise.
        steps: Number of steps of the grid.
        previous: Time and estimate of the step before, for multistep samplers.
    """

    process: Process
    denoise: Callable[[Tensor, float], Tensor]
    generator: Generators = None
    steps: int = 1
    previous: tuple[float, Tensor] | None = field(default=None)

    def noise(self, x: Tensor) -> Tensor:
        """A draw `eps_w` like `x`."""
        return self.process.noise(x, self.generator)


class Sampler(Description, family="sampler"):
    """Base of all samplers."""

    @abstractmethod
    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """Move a batch from time `t` to `s < t`.

        Args:
            run: Process, denoiser, noise and memory of this batch.
            x_t: `(B, C, *spatial)`.
            t: Present time.
            s: Next time; 0 means return the denoised image.

        Returns:
            `x_s`, `(B, C, *spatial)`.
        """

    @torch.no_grad()
    def sample(
        self,
        denoiser: Denoiser,
        count: int,
        *,
        steps: int = 18,
        grid: TimeGrid | str = "karras",
        generator: Generators = None,
        labels: Tensor | None = None,
        clip: float | None = None,
        statistics: DataStatistics | None = None,
        process: Process | None = None,
        start: Tensor | None = None,
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        progress: bool = False,
    ) -> Tensor:
        """Draw `count` samples.

        Args:
            denoiser: Denoiser; its process gives the prior and every injected noise.
            count: Number of samples.
            steps: Steps of the time grid.
            grid: Time grid, or its text form.
            generator: One for the run, or one per sample: then results depend on `batch_size` by rounding only.
            labels: Classes `(count,)` of conditional models.
            clip: Clamp every estimate of the clean image to `[-clip, clip]`.
            statistics: Data statistics: sampling then starts about their mean, which shows where `alpha` is not yet
                0, and the matched grid needs them.
            process: The process you believe the model has; refused if it is another.
            start: Initial `x_{t_0}` `(count, C, *spatial)` instead of a draw from the prior; kept in its own type.
            batch_size: Samples per network call; all at once by default.
            device: Device; the denoiser's by default.
            dtype: Type of the draw from the prior, and so of the samples.
            progress: Show a progress bar.

        Returns:
            `(count, C, *spatial)`.

        Raises:
            ProcessMismatchError: If `process` is not the denoiser's.
            InputError: On counts or labels that do not fit.
        """
        if process is not None and process.to_dict() != denoiser.process.to_dict():
            raise ProcessMismatchError(
                f"model was trained with {denoiser.process.label}, cannot be sampled with {process.label};"
                " train a model with that process"
            )
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        for name, given in (("labels", labels), ("start", start), ("generators", generator)):
            if given is not None and not isinstance(given, torch.Generator) and len(given) != count:
                raise InputError(f"got {len(given)} {name} for {count} samples; give one per sample")
        check_clip(clip)
        times = TimeGrid.parse(grid).times(steps, denoiser.process, statistics).tolist()
        batch_size = batch_size or count
        device = device or denoiser.device
        mean = None if statistics is None else statistics.mean
        batches = []
        with tqdm(
            total=steps * math.ceil(count / batch_size),
            disable=None if progress else True,  # None: shown on terminals only
            desc="sampling",
            leave=False,
        ) as bar:
            for first in range(0, count, batch_size):
                part = slice(first, min(first + batch_size, count))
                own = generator[part] if isinstance(generator, Sequence) else generator
                size = part.stop - part.start
                classes = labels[part].to(device) if labels is not None else None
                if start is None:
                    x = denoiser.process.given(classes).prior(size, times[0], own, dtype, device, mean)
                else:
                    x = start[part].to(device)
                batches.append(self._integrate(denoiser, x, times, own, classes, clip, bar))
        return torch.cat(batches)

    def _integrate(
        self,
        denoiser: Denoiser,
        x: Tensor,
        times: list[float],
        generator: Generators,
        labels: Tensor | None,
        clip: float | None,
        bar: tqdm,
    ) -> Tensor:
        process = denoiser.process.given(labels)
        run = Run(process, lambda x_t, t: denoiser(x_t, t, labels, clip), generator, len(times) - 1)
        for t, s in itertools.pairwise(times):
            if s == 0:
                run.denoise = lambda x_t, t: denoiser.final(x_t, t, labels, clip)
            x = self.step(run, x, t, s).to(x.dtype)
            bar.update()
        return x


@dataclass(frozen=True)
class DDPM(Sampler, kind="ddpm"):
    """Ancestral sampling from the posterior `q(x_s | x_t, x_0 = D)`, any stride.

    Source: "Denoising Diffusion Probabilistic Models" (Ho et al., 2020); arXiv:2510.09660, equations 31-33.
    """

    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """One draw from the posterior; its mean at `s = 0`."""
        posterior = run.process.posterior(x_t, run.denoise(x_t, t), t, s)
        return posterior.mean if s == 0 else posterior.mean + posterior.std * run.noise(x_t)


@dataclass(frozen=True)
class DDIM(Sampler, kind="ddim"):
    """`x_s = alpha_s x_0 + sigma_s sqrt(1 - eta^2 tau) eps + sigma_s eta sqrt(tau) xi_w`.

    `tau = 1 - (alpha_t sigma_s / (alpha_s sigma_t))^2`: `eta = 0` is deterministic, `eta = 1` is DDPM.

    Source: "Denoising Diffusion Implicit Models" (Song et al., 2021), equations 12 and 16.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise InputError(f"ddim eta must lie in [0, 1], got {self.eta}; 0 is deterministic, 1 is DDPM")

    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """One DDIM step."""
        x_0, p = run.denoise(x_t, t), run.process
        if self.eta == 0 or s == 0:
            return _move(p, x_t, x_0, t, s)
        eps, alpha_s, sigma_s = _noise_of(p, x_t, x_0, t), p.alpha(s, x_t), p.sigma(s, x_t)
        tau = (1 - (p.alpha(t, x_t) * sigma_s / (alpha_s * p.sigma(t, x_t))) ** 2).clamp(0, 1)
        fresh = self.eta**2 * tau
        return alpha_s * x_0 + sigma_s * ((1 - fresh).sqrt() * eps + fresh.sqrt() * run.noise(x_t))


@dataclass(frozen=True)
class _Churning(Sampler):
    """ODE samplers that may first add noise, as in algorithm 2 of Karras et al. (2022).

    Args:
        churn: Total amount of noise added over the run (`S_churn`); 0 is deterministic.
        churn_min: Least noise level at which noise is added.
        churn_max: Largest such level.
        churn_noise: Factor on the added noise (`S_noise`).
    """

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0

    def __post_init__(self) -> None:
        if not self.churn >= 0 or not self.churn_noise > 0:
            raise InputError(f"churn must be >= 0 and churn_noise > 0, got {self.churn} and {self.churn_noise}")

    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """Add noise if asked for, then integrate from the raised time."""
        if self.churn > 0:
            x_t, t = self._raised(run, x_t, t)
        return self.integrate(run, x_t, t, s)

    def _raised(self, run: Run, x_t: Tensor, t: float) -> tuple[Tensor, float]:
        """The batch with noise added, and its time; the same where no noise is to be added."""
        level = float(run.process.noise_level(torch.tensor(t, dtype=torch.float64)))
        if not self.churn_min <= level <= self.churn_max or level == math.inf:
            return x_t, t
        raised = level * (1 + min(self.churn / run.steps, math.sqrt(2) - 1))
        higher = max(t, float(run.process.time_at(torch.tensor(raised, dtype=torch.float64))))
        transition = run.process.transition(x_t, t, higher)
        return transition.mean + self.churn_noise * transition.std * run.noise(x_t), higher

    @abstractmethod
    def integrate(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """One step of the probability-flow ODE."""


@dataclass(frozen=True)
class Euler(_Churning, kind="euler"):
    """Euler's method on `dy/dn = eps`; without churn it equals DDIM with `eta = 0`."""

    def integrate(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """`x_s = alpha_s x_0 + sigma_s eps`."""
        return _move(run.process, x_t, run.denoise(x_t, t), t, s)


@dataclass(frozen=True)
class Heun(_Churning, kind="heun"):
    """Heun's second-order method on `dy/dn = eps`; the last step, and one from `alpha_t = 0`, are Euler's.

    With a schedule per frequency, one step may change `n` of some frequency by orders of magnitude, and averaging the
    slopes in `n` would be unstable there. Those processes are integrated in each frequency's own log-SNR instead: with
    the image linear in it, Euler's `x_s` is corrected by `alpha_s psi(h) (D_s - D_t)`, `h` the step in
    `log(alpha/sigma)` and `psi = 1 - (1 - exp(-h))/h`.

    Source: Karras et al. (2022), algorithms 1 and 2; for schedules per frequency the exponential second-order
    Runge-Kutta method ("Exponential Time Differencing for Stiff Systems", Cox & Matthews, 2002, equation 22).
    """

    def integrate(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """Euler's prediction, then the trapezoidal rule."""
        p = run.process
        alpha_t, sigma_t = p.alpha(t, x_t), p.sigma(t, x_t)
        alpha_s, sigma_s = p.alpha(s, x_t), p.sigma(s, x_t)
        x_0 = run.denoise(x_t, t)
        x_s = _move(p, x_t, x_0, t, s)
        if s == 0 or not (alpha_t > 0).all():
            return x_s
        x_0_next = run.denoise(x_s, s)
        if isinstance(alpha_t, Diagonal):
            psi = _decay(p, x_t, t, s).map(_second_order_share)
            return x_s + alpha_s * psi * (x_0_next - x_0)
        eps, eps_s = _noise_of(p, x_t, x_0, t), _noise_of(p, x_s, x_0_next, s)
        ratio = alpha_s / alpha_t
        return ratio * x_t + (sigma_s - ratio * sigma_t) * (eps + eps_s) / 2


@dataclass(frozen=True)
class DPMSolver(Sampler, kind="dpm_solver"):
    """DPM-Solver++(2M): second-order multistep on the data prediction, one evaluation per step.

    The first and last steps are first-order. With a schedule per frequency, one that has hardly moved may leap in the
    next step; the extrapolation is bounded there (`_LARGEST_CORRECTION`), which leaves the order as it is.

    Source: "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models" (Lu et al., 2022),
    algorithm 2.
    """

    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        """`x_s = (sigma_s/sigma_t) x_t + alpha_s (1 - exp(-h)) D` with `h` the step in `log(alpha/sigma)`."""
        p = run.process
        x_0 = run.denoise(x_t, t)
        if s == 0:
            return x_0
        decay = _decay(p, x_t, t, s)
        estimate = x_0
        if run.previous is not None:
            u, x_0_before = run.previous
            h_before = _log_ratio(p, t, x_t) - _log_ratio(p, u, x_t)
            correction = -decay.log() / (2 * h_before)
            if isinstance(correction, Diagonal):
                correction = correction.map(lambda c: c.nan_to_num(0.0).clamp(0, _LARGEST_CORRECTION))
            estimate = x_0 + correction * (x_0 - x_0_before)
        run.previous = (t, x_0)
        return p.sigma(s, x_t) / p.sigma(t, x_t) * x_t + p.alpha(s, x_t) * (1 - decay) * estimate


def check_clip(clip: float | None) -> None:
    """Refuse a clamp that would leave nothing.

    Raises:
        InputError: If `clip` is given and not positive.
    """
    if clip is not None and not clip > 0:
        raise InputError(f"clip must be positive, got {clip}; 1 clamps to the range of images")


def draw(
    denoiser: Denoiser,
    count: int,
    config: SamplingConfig,
    *,
    seed: int = 0,
    labels: Tensor | None = None,
    statistics: DataStatistics | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Tensor:
    """Draw samples as a configuration says, on the CPU, `(count, C, *spatial)`.

    Sample `i` depends on `(seed, i)` alone, and not on the batch size, the number of samples or the device, but for
    rounding: matrix products of other sizes may be summed in another order. Its white draws are the same bits for every
    process. Other arguments as in `Sampler.sample`.
    """
    return (
        Sampler.parse(config.sampler)
        .sample(
            denoiser,
            count,
            steps=config.steps,
            grid=config.grid,
            generator=sample_generators(seed, count),
            labels=labels,
            clip=config.clip,
            statistics=statistics,
            batch_size=batch_size,
            progress=progress,
        )
        .cpu()
    )


def _noise_of(process: Process, x_t: Tensor, x_0: Tensor, t: float) -> Tensor:
    """`eps` of `x_t` if `x_0` is its clean image."""
    return (x_t - process.alpha(t, x_t) * x_0) / process.sigma(t, x_t)


def _move(process: Process, x_t: Tensor, x_0: Tensor, t: float, s: float) -> Tensor:
    """`alpha_s x_0 + sigma_s eps` with the `eps` of `x_t`, written so that each field is filtered once."""
    shrink = process.sigma(s, x_t) / process.sigma(t, x_t)
    return shrink * x_t + (process.alpha(s, x_t) - shrink * process.alpha(t, x_t)) * x_0


def _decay(process: Process, x: Tensor, t: float, s: float) -> Coefficient:
    """`exp(-h)`, `h` the step in `log(alpha/sigma)` from `t` to `s`."""
    return process.alpha(t, x) * process.sigma(s, x) / (process.alpha(s, x) * process.sigma(t, x))


def _second_order_share(decay: Tensor) -> Tensor:
    """`psi(h) = 1 - (1 - exp(-h)) / h` of `decay = exp(-h)`: 0 where a frequency stays, by its series next to there."""
    h = -decay.clamp(max=1).log()
    return torch.where(h < 1e-3, h / 2 - h**2 / 6 + h**3 / 24, 1 + torch.expm1(-h) / h.clamp(min=1e-3))


def _log_ratio(process: Process, t: float, x: Tensor) -> Coefficient:
    return process.alpha(t, x).log() - process.sigma(t, x).log()
