"""Forward processes `x_t = a_t x_0 + s_t eps`, and everything that is Gaussian about them.

Two kinds share every formula. In a `ForwardProcess` the coefficients are the scalars `alpha_t`, `sigma_t` of a schedule
and the noise `eps_w ~ N(0, Sigma_w)` has one fixed covariance (arXiv:2510.09660, equation 8). In a `SpectralProcess`
each frequency has a schedule of its own: `alpha_t = U* diag(a_t(f)) U` and `sigma_t = U* diag(s_t(f)) U` are operators,
which commute and combine like numbers, and `eps` is white on the frequencies that carry noise.

A band may be unseen (`sagd.process.restricted`): `perturb` leaves it out, denoisers see only what is left, and predict
`x_0` itself there.

Shapes: fields are `(B, C, *spatial)`, times are floats or tensors `(B,)`. `Gaussian(mean, std, covariance)` stands for
`N(mean, std Sigma std)`; `std` commutes with `Sigma`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.base import Covariance
from sagd.noise.operator import Coefficient, Diagonal, log_determinant, mean_over_frequencies, pseudo_inverse
from sagd.noise.statistics import DataStatistics
from sagd.process.schedule import Schedule
from sagd.process.unseen import NOTHING, Unseen
from sagd.random import Generators
from sagd.tensors import Holding, exact_device, holds

Time = float | Tensor


@dataclass(frozen=True)
class Gaussian:
    """The law `N(mean, std Sigma std)` of a batch of fields.

    Attributes:
        mean: `(B, C, *spatial)`.
        std: Scalars that broadcast against `mean`, or an operator that commutes with `Sigma`.
        covariance: `Sigma`.
    """

    mean: Tensor
    std: Coefficient
    covariance: Covariance

    def sample(self, generator: Generators = None) -> Tensor:
        """One draw per batch entry, `(B, C, *spatial)`."""
        x = self.mean
        return x + self.std * self.covariance.sample(len(x), generator, x.dtype, x.device)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density per batch entry, `(B,)`, float64.

        Raises:
            SingularCovarianceError: If `Sigma` is singular.
        """
        size = self.covariance.size
        distance = self.covariance.mahalanobis((x - self.mean) / self.std)
        log_det = self.covariance.logdet() + 2 * log_determinant(self.std, self.covariance.shape).to(distance.device)
        return -(distance + log_det + size * math.log(2 * math.pi)) / 2


class Process(Holding, ABC):
    """Base of the forward processes; a subclass supplies the coefficients and its clock."""

    schedule: Schedule
    """The scalar schedule from which the coefficients are made."""
    covariance: Covariance
    """`Sigma` of the noise `eps`."""
    reference: Covariance
    """Covariance of the noise next to the data, up to its level: what pictures of the noise show."""
    unseen: Unseen = NOTHING
    """Band of which `x_t` shows neither signal nor noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)` of the fields."""
        return self.covariance.shape

    @abstractmethod
    def alpha(self, t: Time, x: Tensor) -> Coefficient:
        """`alpha_t`, to multiply the batch `x`."""

    @abstractmethod
    def sigma(self, t: Time, x: Tensor) -> Coefficient:
        """`sigma_t`, to multiply the batch `x`."""

    @abstractmethod
    def derivatives(self, t: Time, x: Tensor) -> tuple[Coefficient, Coefficient]:
        """Time derivatives of `alpha_t` and `sigma_t`, to multiply the batch `x`."""

    def clean(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The image without what the process knows the data to be corrupted with, from the estimate `x_0` of the data.

        The estimate itself, unless the process is `deconvolved`.
        """
        return x_0

    @abstractmethod
    def diagonal(self, t: Time, x: Tensor, basis: Basis) -> tuple[Diagonal, Diagonal]:
        """`a_t(f)` and the whole standard deviation of the noise `s_t(f)`, its colour included, in `basis`.

        Raises:
            InputError: If the noise is not diagonal in `basis`.
        """

    @abstractmethod
    def noise_level(self, t: Tensor) -> Tensor:
        """The clock of time grids: noise-to-signal ratio at times of any shape, strictly increasing from 0."""

    @abstractmethod
    def time_at(self, noise_level: Tensor) -> Tensor:
        """Inverse of `noise_level`, clamped to [0, 1]; float64."""

    def level_at(self, t: float) -> float:
        """`noise_level` of one time."""
        return float(self.noise_level(torch.tensor(t, dtype=torch.float64, device="cpu")))

    def time_of(self, noise_level: float) -> float:
        """`time_at` of one level."""
        return float(self.time_at(torch.tensor(noise_level, dtype=torch.float64, device="cpu")))

    @abstractmethod
    def drowned_at(self, power: Tensor, basis: Basis) -> Tensor:
        """Noise level at which a signal of the given power is as strong as the noise, frequency by frequency.

        Args:
            power: Variances `(C, *coefficients)`.
            basis: Their basis.

        Returns:
            `(C, *coefficients)`, float64; 0 where there is no noise or no signal, and the level at `t = 1` where the
            signal never drowns.
        """

    @abstractmethod
    def noise_to_signal(self, t: float, basis: Basis) -> tuple[Tensor, Tensor]:
        """Power of the noise per power of the signal, `s_t(f)^2 / a_t(f)^2`, where it is least and where it is largest.

        Returns:
            Two `(C, *coefficients)`, float64, which differ for noise by class or place; infinite where no signal is
            left.
        """

    def few(self, which: Tensor, basis: Basis) -> Process:
        """What some frequencies do, as a process of records: each is a coefficient of their cosine basis.

        Args:
            which: Numbers `(K,)` of the frequencies in `(C, *coefficients)`, flattened; all with noise.
            basis: A basis in which the process is diagonal.

        Returns:
            A process of shape `(1, K)`.

        Raises:
            InputError: If the noise is not diagonal in `basis`, or the process cannot tell.
        """
        raise InputError(f"{self.label} does not tell frequency by frequency how it evolves; use the time grid matched")

    @property
    def label(self) -> str:
        """The process in a few words, for messages."""
        return f"schedule {self.schedule} and {self.reference.label} noise of shape {self.shape}"

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description that identifies the process."""

    @abstractmethod
    def given(self, labels: Tensor | None) -> Process:
        """The process of samples of these classes `(B,)`; itself unless its noise depends on the class.

        Raises:
            InputError: If the noise depends on the class and `labels` is None or out of range.
        """

    def rms(self, t: Time, x: Tensor) -> Tensor:
        """`sqrt(mean_f(alpha^2 + sigma^2))`, the scale of `x_t` for data of unit variance; broadcasts against `x`."""
        total = mean_over_frequencies(self.alpha(t, x) ** 2) + mean_over_frequencies(self.sigma(t, x) ** 2)
        return total.sqrt().reshape(-1, *(1,) * (x.ndim - 1))

    def noise(self, x: Tensor, generator: Generators = None) -> Tensor:
        """A draw `eps_w ~ N(0, Sigma_w)` like `x`."""
        return self.covariance.sample(len(x), generator, x.dtype, x.device)

    def __post_init__(self) -> None:
        """What formulas ask for is found out once."""
        _ = self._shows_noiseless, self._ends_with_signal

    def has_signal(self, t: Time) -> bool:
        """Whether `alpha_t > 0` at a plain time: everywhere but at the end of schedules that end in noise alone.

        Of tensors nothing is known, and it is taken for granted.
        """
        return isinstance(t, Tensor) or t < 1 or self._ends_with_signal

    @cached_property
    def _ends_with_signal(self) -> bool:
        return bool(self.schedule.alpha(torch.ones((), dtype=torch.float64)) > 0)

    @cached_property
    def _shows_noiseless(self) -> bool:
        """Whether `x_t` shows frequencies that carry no noise, beyond those that are unseen."""
        if self.unseen.basis is None:
            return self.covariance.is_singular
        return not self.unseen.covers(self.covariance.power_range(self.unseen.basis)[0] == 0)

    def perturb(self, x_0: Tensor, t: Time, noise: Tensor | None = None, generator: Generators = None) -> Tensor:
        """`x_t = alpha_t x_0 + sigma_t eps_w`; `noise` is an `eps_w` of your own (already coloured)."""
        noise = self.noise(x_0, generator) if noise is None else noise
        return (self.alpha(t, x_0) * self.unseen.left_out(x_0) + self.sigma(t, x_0) * noise).to(x_0.dtype)

    def marginal(self, x_0: Tensor, t: Time) -> Gaussian:
        """`q(x_t | x_0)`."""
        return Gaussian(self.alpha(t, x_0) * self.unseen.left_out(x_0), self.sigma(t, x_0), self.covariance)

    def transition(self, x_s: Tensor, s: Time, t: Time) -> Gaussian:
        """`q(x_t|x_s)`, `s <= t`: mean `alpha_t/alpha_s x_s`, variance `sigma_t^2 - (alpha_t/alpha_s)^2 sigma_s^2`."""
        _require_order(s, t, x_s)
        alpha_s = self.alpha(s, x_s)
        if not (self.has_signal(s) and holds(alpha_s > 0)):
            raise InputError(f"no transition starts where alpha_s = 0 (s = {s}): nothing comes after it")
        ratio = self.alpha(t, x_s) / alpha_s
        variance = self.sigma(t, x_s) ** 2 - (ratio * self.sigma(s, x_s)) ** 2
        return Gaussian(ratio * x_s, variance.clamp(min=0).sqrt(), self.covariance)

    def posterior(self, x_t: Tensor, x_0: Tensor, t: Time, s: Time) -> Gaussian:
        """`q(x_s | x_t, x_0)`, `s <= t`: DDPM's scalar coefficients, covariance `beta~ Sigma_w` (equations 31-33)."""
        _require_order(s, t, x_t)
        alpha_s, sigma_s, sigma_t = self.alpha(s, x_t), self.sigma(s, x_t), self.sigma(t, x_t)
        noisy = isinstance(t, Tensor) or t > 0
        if not (noisy and self.has_signal(s) and holds((sigma_t > 0) & (alpha_s > 0))):
            raise InputError(f"a posterior needs noise at t and signal at s, got t={t}, s={s}")
        ratio = self.alpha(t, x_t) / alpha_s
        # Share of the noise at t that entered between s and t; written so that alpha_t = 0 needs no special case.
        fresh = (1 - (ratio * sigma_s / sigma_t) ** 2).clamp(0, 1)
        mean = alpha_s * fresh * x_0 + ratio * (sigma_s / sigma_t) ** 2 * x_t
        return Gaussian(mean, sigma_s * fresh.sqrt(), self.covariance)

    def is_diagonal_in(self, basis: Basis) -> bool:
        """Whether each coefficient of `basis` evolves by itself, so that `diagonal` knows it."""
        try:
            self.diagonal(1.0, torch.zeros(1, *self.shape), basis)
        except InputError:
            return False
        return True

    def law(self, t: Time, x: Tensor, statistics: DataStatistics | None) -> Gaussian:
        """The law of a batch like `x` at `t`, by mean and spectrum of the data: `N(alpha mu, alpha^2 S + s^2)`.

        Samples start from it and likelihoods end in it. Frequencies that carry no noise stay at the mean, and in an
        unseen band nothing is. Without statistics, that of the noise alone.

        Raises:
            InputError: If the noise is not diagonal in the basis of the statistics.
        """
        sigma = self.sigma(t, x)
        if statistics is None:
            return Gaussian(torch.zeros_like(x), sigma, self.covariance)
        a, s = self.diagonal(t, x, statistics.basis)
        # Total over noise; where no noise is, the covariance has nothing that this could multiply.
        ratio = (1 + (a * pseudo_inverse(s)) ** 2 * Diagonal(statistics.spectrum, statistics.basis).on(a.values)).sqrt()
        std = ratio.map(lambda values: values * (sigma.values if isinstance(sigma, Diagonal) else sigma))
        return Gaussian(self._mean_at(t, x, statistics), std, self.covariance)

    def _mean_at(self, t: Time, x: Tensor, statistics: DataStatistics) -> Tensor:
        mean = statistics.mean.to(x).expand_as(x)
        return (self.alpha(t, x) * self.unseen.left_out(mean)).to(x.dtype)

    def prior(
        self,
        batch: int,
        t: float = 1.0,
        generator: Generators = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        statistics: DataStatistics | None = None,
    ) -> Tensor:
        """Where sampling starts, `(batch, C, *spatial)`: a draw of `law`, from the draws of the noise.

        Args:
            batch: Number of draws.
            t: Starting time; below 1 for a shorter noise range, where the data still shows.
            generator: One, or one per draw.
            dtype: Type of the result.
            device: Device of the result.
            statistics: Mean and spectrum of the data, whose share at `t` is then part of the start; its mean alone
                under noise that is not diagonal in their basis, such as that of a region.
        """
        noise = self.covariance.sample(batch, generator, dtype, device)
        if statistics is None or self.is_diagonal_in(statistics.basis):
            law = self.law(t, noise, statistics)
        else:
            law = Gaussian(self._mean_at(t, noise, statistics), self.sigma(t, noise), self.covariance)
        return (law.mean + law.std * noise).to(noise.dtype)

    def eps_of(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`(x_t - alpha_t x_0) / sigma_t` of the frequencies that carry noise: `eps_w` if `x_0` is the clean image.

        Undefined at `t = 0`, where `sigma_t = 0`.
        """
        return self.covariance.project(x_t - self.alpha(t, x_t) * x_0) / self.sigma(t, x_t)

    def consistent(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`x_0` with the frequencies that carry no noise replaced by those of `x_t / alpha_t`, which show them exactly.

        The identity for full-rank covariances, and in an unseen band. Where `alpha_t = 0` nothing shows, and the empty
        frequencies are zero.
        """
        if not self._shows_noiseless:
            return x_0
        shown = pseudo_inverse(self.alpha(t, x_t)) * x_t
        return self.unseen.completed(shown + self.covariance.project(x_0 - shown), x_0)


def as_time(t: Time, x: Tensor) -> Tensor:
    """`t` as float64, shaped `(B, 1, ..., 1)` or `(1, ..., 1)` to broadcast against `x`.

    It is on `x`'s device, or on the CPU if that has no float64.

    Raises:
        InputError: If a time lies outside [0, 1] (checked for plain numbers) or the count is not the batch size.
    """
    device = exact_device(x.device)
    if not isinstance(t, Tensor):
        if not 0 <= t <= 1:
            raise InputError(f"t must lie in [0, 1], got {t}")
        return torch.full((1,) * x.ndim, t, dtype=torch.float64, device=device)
    if t.ndim > 1 or (t.ndim == 1 and len(t) not in (1, len(x))):
        raise InputError(f"t must be a number or one per sample ({len(x)},), got shape {tuple(t.shape)}")
    return t.to(device).to(torch.float64).reshape(-1, *(1,) * (x.ndim - 1))


def _require_order(s: Time, t: Time, x: Tensor) -> None:
    plain = not isinstance(s, Tensor) and not isinstance(t, Tensor)
    if not (s <= t if plain else holds(as_time(s, x) <= as_time(t, x))):
        raise InputError(f"needs s <= t, got s={s}, t={t}")


def like(c: Tensor, x: Tensor) -> Tensor:
    """Coefficients on `x`'s device, in the type in which they multiply it."""
    return c.to(wide(x)).to(x.device)


def wide(x: Tensor) -> torch.dtype:
    """The type of coefficients that multiply `x`: float32 at least."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
