"""The forward process `x_t = alpha_t x_0 + sigma_t eps_w`, `eps_w ~ N(0, Sigma_w)`, and everything that is Gaussian
about it.

Shapes: fields are `(B, C, *spatial)`, times are floats or tensors `(B,)`. With one fixed `Sigma_w` every conditional
law has a covariance proportional to it; `Gaussian(mean, std, covariance)` stands for `N(mean, std^2 Sigma)`.

Equivalent quantities and their relation to the clean image (`predictions`):

    eps      = (x_t - alpha x_0) / sigma                                      the noise, itself coloured
    v        = alpha eps - sigma x_0
    velocity = alpha' x_0 + sigma' eps                                        dx_t/dt for fixed x_0 and eps
    score    = Sigma_w^-1 (alpha x_0 - x_t) / sigma^2                         (arXiv:2510.09660, equations 26 and 29)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from sagd.config import ProcessConfig
from sagd.covariance import Covariance, build_covariance
from sagd.errors import InputError
from sagd.randomness import Generators
from sagd.schedule import Schedule
from sagd.spectrum import Spectrum

Time = float | Tensor
Prediction = Literal["eps", "x0", "v", "velocity", "score"]


@dataclass(frozen=True)
class Gaussian:
    """The law `N(mean, std^2 Sigma)` of a batch of fields.

    Attributes:
        mean: `(B, C, *spatial)`.
        std: Broadcastable to `mean`.
        covariance: `Sigma`.
    """

    mean: Tensor
    std: Tensor
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
        std = self.std.double().expand(len(x), *(1,) * (x.ndim - 1)).flatten()
        distance = self.covariance.mahalanobis(x - self.mean) / std**2
        log_det = self.covariance.logdet() + 2 * size * torch.log(std)
        return -(distance + log_det + size * math.log(2 * math.pi)) / 2


@dataclass(frozen=True)
class ForwardProcess:
    """A scalar schedule with one fixed noise covariance."""

    schedule: Schedule
    covariance: Covariance

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)` of the fields."""
        return self.covariance.shape

    def alpha(self, t: Time, x: Tensor) -> Tensor:
        """`alpha_t`, shaped to multiply the batch `x`."""
        return self.schedule.alpha(as_time(t, x)).to(_wide(x))

    def sigma(self, t: Time, x: Tensor) -> Tensor:
        """`sigma_t`, shaped to multiply the batch `x`."""
        return self.schedule.sigma(as_time(t, x)).to(_wide(x))

    def noise(self, x: Tensor, generator: Generators = None) -> Tensor:
        """A draw `eps_w ~ N(0, Sigma_w)` like `x`."""
        return self.covariance.sample(len(x), generator, x.dtype, x.device)

    def perturb(self, x_0: Tensor, t: Time, noise: Tensor | None = None, generator: Generators = None) -> Tensor:
        """`x_t = alpha_t x_0 + sigma_t eps_w`; `noise` is an `eps_w` of your own (already coloured)."""
        noise = self.noise(x_0, generator) if noise is None else noise
        return (self.alpha(t, x_0) * x_0 + self.sigma(t, x_0) * noise).to(x_0.dtype)

    def marginal(self, x_0: Tensor, t: Time) -> Gaussian:
        """`q(x_t | x_0)`."""
        return Gaussian(self.alpha(t, x_0) * x_0, self.sigma(t, x_0), self.covariance)

    def transition(self, x_s: Tensor, s: Time, t: Time) -> Gaussian:
        """`q(x_t|x_s)`, `s <= t`: mean `alpha_t/alpha_s x_s`, variance `sigma_t^2 - (alpha_t/alpha_s)^2 sigma_s^2`."""
        _require_order(s, t, x_s)
        alpha_s = self.alpha(s, x_s)
        if not (alpha_s > 0).all():
            raise InputError(f"no transition starts where alpha_s = 0 (s = {s}): nothing comes after it")
        ratio = self.alpha(t, x_s) / alpha_s
        variance = self.sigma(t, x_s) ** 2 - (ratio * self.sigma(s, x_s)) ** 2
        return Gaussian(ratio * x_s, variance.clamp(min=0).sqrt(), self.covariance)

    def posterior(self, x_t: Tensor, x_0: Tensor, t: Time, s: Time) -> Gaussian:
        """`q(x_s | x_t, x_0)`, `s <= t`: DDPM's scalar coefficients, covariance `beta~ Sigma_w` (equations 31-33)."""
        _require_order(s, t, x_t)
        alpha_s, sigma_s, sigma_t = self.alpha(s, x_t), self.sigma(s, x_t), self.sigma(t, x_t)
        if not ((sigma_t > 0) & (alpha_s > 0)).all():
            raise InputError(f"a posterior needs noise at t and signal at s, got t={t}, s={s}")
        ratio = self.alpha(t, x_t) / alpha_s
        # Share of the noise at t that entered between s and t; written so that alpha_t = 0 needs no special case.
        fresh = (1 - (ratio * sigma_s / sigma_t) ** 2).clamp(0, 1)
        mean = alpha_s * fresh * x_0 + ratio * (sigma_s / sigma_t) ** 2 * x_t
        return Gaussian(mean, sigma_s * fresh.sqrt(), self.covariance)

    def prior(
        self,
        batch: int,
        t: float = 1.0,
        generator: Generators = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        mean: Tensor | None = None,
    ) -> Tensor:
        """Where sampling starts: `alpha_t mean + sigma_t eps_w`, `(batch, C, *spatial)`.

        Args:
            batch: Number of draws.
            t: Starting time; below 1 for a shorter noise range, where the mean of the data still shows.
            generator: One, or one per draw.
            dtype: Type of the result.
            device: Device of the result.
            mean: Mean of the data, `(C, *spatial)`; zero by default.
        """
        noise = self.covariance.sample(batch, generator, dtype, device)
        start = self.sigma(t, noise) * noise
        if mean is not None:
            start = start + self.alpha(t, noise) * mean.to(start)
        return start.to(noise.dtype)

    def to_x0(self, kind: Prediction, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that a prediction stands for.

        Raises:
            InputError: For `eps` or `score` where `alpha_t = 0`, since they then say nothing of the image.
        """
        alpha, sigma = self.alpha(t, x_t), self.sigma(t, x_t)
        if kind == "x0":
            return value
        if kind == "v":
            return (alpha * x_t - sigma * value) / (alpha**2 + sigma**2)
        if kind == "velocity":
            d_alpha, d_sigma = self._derivatives(t, x_t)
            return (d_sigma * x_t - sigma * value) / (alpha * d_sigma - d_alpha * sigma)
        if not (alpha > 0).all():
            raise InputError(
                f"a {kind} prediction at alpha_t = 0 (t = {t}) does not determine x_0; predict x0, v or velocity,"
                " or use a schedule that keeps some signal at t = 1"
            )
        if kind == "eps":
            return (x_t - sigma * value) / alpha
        if kind == "score":
            return (x_t + sigma**2 * self.covariance.apply(value)) / alpha
        raise InputError(f"unknown prediction {kind!r}; known: eps, x0, v, velocity, score")

    def from_x0(self, kind: Prediction, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The prediction that a clean image stands for; undefined at `t = 0`, where `sigma_t = 0`, except for `x0`.

        With a singular covariance, `eps` and `score` are those of the frequencies that carry noise.
        """
        if kind == "x0":
            return x_0
        alpha, sigma = self.alpha(t, x_t), self.sigma(t, x_t)
        residual = self.covariance.project(x_t - alpha * x_0)
        if kind == "score":
            return -self.covariance.solve(residual, pseudo=True) / sigma**2
        return self.from_pair(kind, x_0, residual / sigma, t)

    def from_pair(self, kind: Prediction, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The prediction of an image and its noise: what a network is trained on."""
        if kind == "x0":
            return x_0
        if kind == "eps":
            return eps
        if kind == "v":
            return self.alpha(t, x_0) * eps - self.sigma(t, x_0) * x_0
        if kind == "velocity":
            d_alpha, d_sigma = self._derivatives(t, x_0)
            return d_alpha * x_0 + d_sigma * eps
        raise InputError(f"{kind!r} is no training target; known: eps, x0, v, velocity")

    def consistent(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`x_0` with the frequencies that carry no noise replaced by those of `x_t / alpha_t`, which show them exactly.

        The identity for full-rank covariances. Where `alpha_t = 0` nothing shows, and the empty frequencies are zero.
        """
        if not self.covariance.is_singular:
            return x_0
        alpha = self.alpha(t, x_t)
        shown = torch.where(alpha > 0, x_t / alpha.clamp(min=torch.finfo(alpha.dtype).tiny), 0.0)
        return shown + self.covariance.project(x_0 - shown)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description that identifies the process."""
        return {"schedule": self.schedule.to_dict(), "covariance": self.covariance.to_dict()}

    def _derivatives(self, t: Time, x: Tensor) -> tuple[Tensor, Tensor]:
        time = as_time(t, x)
        return self.schedule.d_alpha(time).to(_wide(x)), self.schedule.d_sigma(time).to(_wide(x))


def build_process(config: ProcessConfig, shape: Sequence[int]) -> ForwardProcess:
    """The process that a configuration describes, for fields `(C, *spatial)`.

    Raises:
        InputError: If a description cannot be read or its weights are refused.
    """
    covariance = build_covariance(Spectrum.parse(config.spectrum), shape, config.calibration)
    return ForwardProcess(Schedule.parse(config.schedule), covariance)


def as_time(t: Time, x: Tensor) -> Tensor:
    """`t` as float64 on `x`'s device, shaped `(B, 1, ..., 1)` or `(1, ..., 1)` to broadcast against `x`.

    Raises:
        InputError: If a time lies outside [0, 1] (checked for plain numbers) or the count is not the batch size.
    """
    if not isinstance(t, Tensor):
        if not 0 <= t <= 1:
            raise InputError(f"t must lie in [0, 1], got {t}")
        return torch.full((1,) * x.ndim, t, dtype=torch.float64, device=x.device)
    if t.ndim > 1 or (t.ndim == 1 and len(t) not in (1, len(x))):
        raise InputError(f"t must be a number or one per sample ({len(x)},), got shape {tuple(t.shape)}")
    return t.to(device=x.device, dtype=torch.float64).reshape(-1, *(1,) * (x.ndim - 1))


def _require_order(s: Time, t: Time, x: Tensor) -> None:
    if not (as_time(s, x) <= as_time(t, x)).all():
        raise InputError(f"needs s <= t, got s={s}, t={t}")


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
