"""Noise schedules in continuous time: `t` in [0, 1] -> `alpha_t`, `sigma_t`; `t = 0` is data, `t = 1` is noise.

The log-SNR is `lambda_t = 2 log(alpha_t / sigma_t)`, strictly decreasing. Every schedule gives `alpha`, `sigma`, their
derivatives and the inverse of the log-SNR. Times are tensors of any shape; arithmetic is at least float32, and float64
where the input is. `sigma_0 = 0` exactly, so sampling may end at `t = 0`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.spec import Description


class Schedule(Description, family="schedule"):
    """Base of all schedules."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Signal coefficient `alpha_t`."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Noise coefficient `sigma_t`."""

    @abstractmethod
    def d_alpha(self, t: Tensor) -> Tensor:
        """Time derivative of `alpha_t`."""

    @abstractmethod
    def d_sigma(self, t: Tensor) -> Tensor:
        """Time derivative of `sigma_t` (infinite at `t = 0` for variance-preserving schedules)."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """The inverse of `log_snr`, clamped to [0, 1]."""

    def log_snr(self, t: Tensor) -> Tensor:
        """`2 log(alpha_t / sigma_t)`: infinite at `t = 0`."""
        return 2 * (torch.log(self.alpha(t)) - torch.log(self.sigma(t)))

    def noise_level(self, t: Tensor) -> Tensor:
        """Noise-to-signal ratio `sigma_t / alpha_t`: the "sigma" of variance-exploding formulations."""
        return self.sigma(t) / self.alpha(t)

    def time_at(self, noise_level: Tensor) -> Tensor:
        """Time at which `sigma_t / alpha_t` has the given value, clamped to [0, 1]."""
        return self.time(-2 * torch.log(noise_level.to(_float(noise_level))))

    def timestep(self, t: Tensor) -> Tensor:
        """What the network is told about `t`: `1000 t`, the range diffusers' time embeddings are made for."""
        return 1000 * t


@dataclass(frozen=True)
class VPSchedule(Schedule, kind="vp"):
    """DDPM's linear betas in continuous time, equal to the discrete schedule at every step `t = k / steps`.

    `alpha_bar(k) = prod_{i<k} (1 - beta_i)` with `beta_i = beta_start + i delta`, `delta = (beta_end -
    beta_start)/(steps - 1)`, is continued to real `k` by the Gamma function: with `c = (1 - beta_start)/delta`,
    `alpha_bar(k) = delta^k Gamma(c + 1) / Gamma(c + 1 - k)`. Betas that rise so steeply that this increases at `k = 0`
    (`beta_start` below about `delta / 2`) are refused.

    Source: "Denoising Diffusion Probabilistic Models" (Ho et al., 2020).
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    steps: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.beta_start < self.beta_end < 1:
            raise InputError(
                f"vp needs 0 < beta_start < beta_end < 1, got beta_start={self.beta_start}, beta_end={self.beta_end}"
            )
        if not isinstance(self.steps, int) or self.steps < 2:
            raise InputError(f"vp steps must be a whole number of at least 2, got {self.steps}")
        # log alpha_bar is concave, so a negative slope at 0 makes it decrease everywhere.
        if self._d_log_alpha_bar(torch.zeros(())) >= 0:
            raise InputError(
                f"vp betas from {self.beta_start} to {self.beta_end} in {self.steps} steps rise too steeply to be"
                f" continued between steps; use beta_start above about {self._delta / 2:.2g}, or more steps"
            )

    @property
    def _delta(self) -> float:
        return (self.beta_end - self.beta_start) / (self.steps - 1)

    @property
    def _c(self) -> float:
        return (1 - self.beta_start) / self._delta

    def _log_alpha_bar(self, t: Tensor) -> Tensor:
        k = self.steps * t.double()
        u = self._c + 1
        v = u - k
        # Stirling's series of log Gamma(u) - log Gamma(v): the difference of the log Gammas themselves, which are near
        # 5e5, would cancel all but ten digits. For small v the series ends too early, and they are small.
        remainder = -k / (12 * u * v) * (1 - (u**2 + u * v + v**2) / (30 * (u * v) ** 2))
        series = k * math.log1p(self._delta - self.beta_start) - k - (v - 0.5) * torch.log1p(-k / u) + remainder
        if (1 - self.beta_end) / self._delta >= 20:
            return series
        direct = k * math.log(self._delta) + math.lgamma(u) - torch.lgamma(v)
        return torch.where(v < 20, direct.clamp(max=0), series)

    def _d_log_alpha_bar(self, t: Tensor) -> Tensor:
        k = self.steps * t.double()
        return self.steps * (math.log(self._delta) + torch.digamma(self._c + 1 - k))

    def alpha(self, t: Tensor) -> Tensor:
        """`sqrt(alpha_bar)`."""
        return torch.exp(self._log_alpha_bar(t) / 2).to(_float(t))

    def sigma(self, t: Tensor) -> Tensor:
        """`sqrt(1 - alpha_bar)`."""
        return torch.sqrt(-torch.expm1(self._log_alpha_bar(t))).to(_float(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """`alpha (log alpha_bar)' / 2`."""
        return (torch.exp(self._log_alpha_bar(t) / 2) * self._d_log_alpha_bar(t) / 2).to(_float(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        """`-alpha_bar' / (2 sigma)`."""
        alpha_bar = torch.exp(self._log_alpha_bar(t))
        return (-alpha_bar * self._d_log_alpha_bar(t) / (2 * self.sigma(t.double()))).to(_float(t))

    def time(self, log_snr: Tensor) -> Tensor:
        """Newton's method on `log alpha_bar`, from the closed form of the continuous limit."""
        target = -torch.nn.functional.softplus(-log_snr.double())
        # Continuous limit: log alpha_bar = -N (beta_start t + (beta_end - beta_start) t^2 / 2).
        slope = self.beta_end - self.beta_start
        t = ((torch.sqrt(self.beta_start**2 - 2 * slope * target / self.steps) - self.beta_start) / slope).clamp(0, 1)
        for _ in range(6):
            t = (t - (self._log_alpha_bar(t) - target) / self._d_log_alpha_bar(t)).clamp(0, 1)
        return t.to(_float(log_snr))

    def timestep(self, t: Tensor) -> Tensor:
        """Index of the discrete DDPM step, `steps * t - 1`."""
        return self.steps * t - 1


@dataclass(frozen=True)
class CosineSchedule(Schedule, kind="cosine"):
    """Cosine schedule, `alpha = cos(theta_t)`, `sigma = sin(theta_t)`, `theta` linear in `t` and cut at a least
    log-SNR.

    `theta_0 = 0`, and `theta_1 = arctan(exp(-log_snr_min / 2))` keeps the signal from vanishing altogether at `t = 1`,
    where converting a noise prediction into an image would divide by zero.

    Source: "Improved Denoising Diffusion Probabilistic Models" (Nichol & Dhariwal, 2021); the cut as in "Progressive
    Distillation" (Salimans & Ho, 2022).
    """

    log_snr_min: float = -15.0

    def __post_init__(self) -> None:
        if not -40 <= self.log_snr_min < 0:
            raise InputError(f"cosine log_snr_min must lie in [-40, 0), got {self.log_snr_min}; e.g. -15")

    @property
    def _end(self) -> float:
        return math.atan(math.exp(-self.log_snr_min / 2))

    def alpha(self, t: Tensor) -> Tensor:
        """`cos(theta_1 t)`."""
        return torch.cos(self._end * t.double()).to(_float(t))

    def sigma(self, t: Tensor) -> Tensor:
        """`sin(theta_1 t)`."""
        return torch.sin(self._end * t.double()).to(_float(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """`-theta_1 sin(theta_1 t)`."""
        return -self._end * self.sigma(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """`theta_1 cos(theta_1 t)`."""
        return self._end * self.alpha(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """`arctan(exp(-lambda/2)) / theta_1`."""
        return (torch.atan(torch.exp(-log_snr.double() / 2)) / self._end).clamp(0, 1).to(_float(log_snr))


@dataclass(frozen=True)
class VESchedule(Schedule, kind="ve"):
    """Variance exploding: `alpha = 1`, `sigma_t^2 = sigma_min^2 ((sigma_max/sigma_min)^(2t) - 1)`.

    The `-1` is the exact transition kernel of the VE diffusion started from data, and makes `sigma_0 = 0`.

    Source: "Score-Based Generative Modeling through Stochastic Differential Equations" (Song et al., 2021), appendix C;
    the default range is that of "Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al.,
    2022).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(
                f"ve needs 0 < sigma_min < sigma_max, got sigma_min={self.sigma_min}, sigma_max={self.sigma_max}"
            )

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(t, dtype=_float(t))

    def sigma(self, t: Tensor) -> Tensor:
        """`sigma_min sqrt(exp(2 t L) - 1)` with `L = log(sigma_max / sigma_min)`."""
        return (self.sigma_min * torch.sqrt(torch.expm1(2 * self._log_ratio * t.double()))).to(_float(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros_like(t, dtype=_float(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        """`L sigma_min^2 exp(2 t L) / sigma`."""
        growth = torch.exp(2 * self._log_ratio * t.double())
        return (self._log_ratio * self.sigma_min**2 * growth / self.sigma(t.double())).to(_float(t))

    def time(self, log_snr: Tensor) -> Tensor:
        """`log(1 + sigma^2/sigma_min^2) / (2 L)`."""
        relative = torch.exp(-log_snr.double()) / self.sigma_min**2
        return (torch.log1p(relative) / (2 * self._log_ratio)).clamp(0, 1).to(_float(log_snr))


@dataclass(frozen=True)
class RectifiedSchedule(Schedule, kind="rectified"):
    """Rectified flow: `alpha = 1 - t`, `sigma = t`; straight lines from data to noise.

    At `t = 1` nothing of the data is left, so a network that predicts `eps` cannot be converted into an image there:
    train `x0`, `v`, `velocity` or `edm`.

    Source: "Flow Straight and Fast" (Liu et al., 2023).
    """

    def alpha(self, t: Tensor) -> Tensor:
        """`1 - t`."""
        return 1 - t.to(_float(t))

    def sigma(self, t: Tensor) -> Tensor:
        """`t`."""
        return t.to(_float(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        """`-1`."""
        return -torch.ones_like(t, dtype=_float(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        """`1`."""
        return torch.ones_like(t, dtype=_float(t))

    def time(self, log_snr: Tensor) -> Tensor:
        """`1 / (1 + exp(lambda/2))`."""
        return torch.sigmoid(-log_snr.to(_float(log_snr)) / 2)


def _float(t: Tensor) -> torch.dtype:
    return torch.float64 if t.dtype == torch.float64 else torch.float32
