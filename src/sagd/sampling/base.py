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

from sagd.counting import Count
from sagd.errors import InputError, ProcessMismatchError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.operator import Coefficient
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time
from sagd.random import Generators, Stream
from sagd.sampling.grids import TimeGrid
from sagd.spec import Description


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
    denoise: Callable[[Tensor, Time], Tensor]
    generator: Generators = None
    steps: int = 1
    previous: tuple[Time, Tensor] | None = field(default=None)

    def noise(self, x: Tensor) -> Tensor:
        """A draw `eps_w` like `x`."""
        return self.process.noise(x, self.generator)


class Sampler(Description, family="sampler", example="heun"):
    """Base of all samplers."""

    @property
    def is_deterministic(self) -> bool:
        """Whether steps draw nothing, and take times `(B,)` as well: a time grid can then be found for them."""
        return False

    @abstractmethod
    def step(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """Move a batch from time `t` to `s < t`.

        Args:
            run: Process, denoiser, noise and memory of this batch.
            x_t: `(B, C, *spatial)`.
            t: Present time, a plain one while samples are drawn.
            s: Next time; the plain number 0 means return the denoised image.

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
        condition: Conditional = None,
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
            condition: What conditional models are told of each sample: class numbers `(count,)`, or a mapping, see
                `sagd.model.condition`.
            clip: Clamp every estimate of the clean image to `[-clip, clip]`.
            statistics: Data statistics: sampling then starts from `N(alpha mu, alpha^2 S + s^2)`, since the data shows
                where `alpha` is not yet 0, and grids that heed the data need them.
            process: The process you believe the model has; refused if it is another.
            start: Initial `x_{t_0}` `(count, C, *spatial)` instead of a draw from the prior; kept in its own type.
            batch_size: Samples per network call; all at once by default.
            device: Device; the denoiser's by default.
            dtype: Type of the draw from the prior, and so of the samples.
            progress: Say how far it is: a bar on a terminal, lines in a log.

        Returns:
            `(count, C, *spatial)`.

        Raises:
            ProcessMismatchError: If `process` is not the denoiser's.
            InputError: On counts or conditions that do not fit.
        """
        if process is not None and process.to_dict() != denoiser.process.to_dict():
            raise ProcessMismatchError(
                f"model was trained with {denoiser.process.label}, cannot be sampled with {process.label};"
                " train a model with that process"
            )
        if type(count) is not int or count < 1:
            raise InputError(f"count must be at least 1, got {count!r}")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        told = denoiser.check(condition, count)
        for name, given in (("start", start), ("generators", generator)):
            if given is not None and not isinstance(given, torch.Generator | Stream) and len(given) != count:
                raise InputError(f"got {len(given)} {name} for {count} samples; give one per sample")
        check_clip(clip)
        times = TimeGrid.parse(grid).fitted(self).times(steps, denoiser.process, statistics).tolist()
        batch_size = batch_size or count
        device = device or denoiser.device
        batches = []
        with Count(steps * math.ceil(count / batch_size), "sampling", "steps", progress) as counted:
            for first in range(0, count, batch_size):
                part = slice(first, min(first + batch_size, count))
                own = generator[part] if isinstance(generator, Sequence) else generator
                size = part.stop - part.start
                own_told = told[part].to(device)
                if start is None:
                    x = denoiser.process.given(own_told.labels).prior(size, times[0], own, dtype, device, statistics)
                else:
                    x = start[part].to(device)
                batches.append(self._integrate(denoiser, x, times, own, own_told, clip, counted))
        return torch.cat(batches)

    def _integrate(
        self,
        denoiser: Denoiser,
        x: Tensor,
        times: list[float],
        generator: Generators,
        condition: Condition,
        clip: float | None,
        counted: Count,
    ) -> Tensor:
        process = denoiser.process.given(condition.labels)
        run = Run(process, lambda x_t, t: denoiser(x_t, t, condition, clip), generator, len(times) - 1)
        for t, s in itertools.pairwise(times):
            if s == 0:
                run.denoise = lambda x_t, t: denoiser.final(x_t, t, condition, clip)
            x = self.step(run, x, t, s).to(x.dtype)
            counted.done()
        return denoiser.completed(x, generator)


@dataclass(frozen=True)
class Churning(Sampler):
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

    def step(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """Add noise if asked for, then integrate from the raised time."""
        if self.churn > 0:
            assert not isinstance(t, Tensor)
            x_t, t = self._raised(run, x_t, t)
        return self.integrate(run, x_t, t, s)

    def _raised(self, run: Run, x_t: Tensor, t: float) -> tuple[Tensor, float]:
        """The batch with noise added, and its time; the same where no noise is to be added."""
        level = run.process.level_at(t)
        if not self.churn_min <= level <= self.churn_max or level == math.inf:
            return x_t, t
        raised = level * (1 + min(self.churn / run.steps, math.sqrt(2) - 1))
        higher = max(t, run.process.time_of(raised))
        transition = run.process.transition(x_t, t, higher)
        return transition.mean + self.churn_noise * transition.std * run.noise(x_t), higher

    @abstractmethod
    def integrate(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """One step of the probability-flow ODE."""


def check_clip(clip: float | None) -> None:
    """Refuse a clamp that would leave nothing.

    Raises:
        InputError: If `clip` is given and not positive.
    """
    if clip is not None and not clip > 0:
        raise InputError(f"clip must be positive, got {clip}; 1 clamps to the range of images")


def is_end(s: Time) -> bool:
    """Whether a step ends at the image."""
    return not isinstance(s, Tensor) and s == 0


def noise_of(process: Process, x_t: Tensor, x_0: Tensor, t: Time) -> Tensor:
    """`eps` of `x_t` if `x_0` is its clean image."""
    return (x_t - process.alpha(t, x_t) * x_0) / process.sigma(t, x_t)


def moved(process: Process, x_t: Tensor, x_0: Tensor, t: Time, s: Time) -> Tensor:
    """`alpha_s x_0 + sigma_s eps` with the `eps` of `x_t`, written so that each field is filtered once."""
    shrink = process.sigma(s, x_t) / process.sigma(t, x_t)
    return shrink * x_t + (process.alpha(s, x_t) - shrink * process.alpha(t, x_t)) * x_0


def decay_between(process: Process, x: Tensor, t: Time, s: Time) -> Coefficient:
    """`exp(-h)`, `h` the step in `log(alpha/sigma)` from `t` to `s`."""
    return process.alpha(t, x) * process.sigma(s, x) / (process.alpha(s, x) * process.sigma(t, x))
