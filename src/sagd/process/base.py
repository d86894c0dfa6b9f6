"""Forward processes `x_t = a_t x_0 + s_t eps`, and everything that is Gaussian about them.

Two kinds share every formula. In a `ForwardProcess` the coefficients are the scalars `alpha_t`, `sigma_t` of a schedule
and the noise `eps_w ~ N(0, Sigma_w)` has one fixed covariance (arXiv:2510.09660, equation 8). In a `SpectralProcess`
each frequency has a schedule of its own: `alpha_t = U* diag(a_t(f)) U` and `sigma_t = U* diag(s_t(f)) U` are operators,
which commute and combine like numbers, and `eps` is white on the frequencies that carry noise.

Of a band that is `hidden`, `x_t` shows neither signal nor noise: `a_t = s_t = 0` there. The coefficients say nothing of
it; `perturb` leaves it out, denoisers see only what is `visible`, and predict `x_0` itself there.

Shapes: fields are `(B, C, *spatial)`, times are floats or tensors `(B,)`. `Gaussian(mean, std, covariance)` stands for
`N(mean, std Sigma std)`; `std` commutes with `Sigma`.

Equivalent quantities and their relation to the clean image (`predictions`):

    eps      = (x_t - alpha x_0) / sigma                                      the noise, coloured if Sigma_w is
    v        = alpha eps - sigma x_0
    velocity = alpha' x_0 + sigma' eps                                        dx_t/dt for fixed x_0 and eps
    score    = Sigma_w^-1 (alpha x_0 - x_t) / sigma^2                         (arXiv:2510.09660, equations 26 and 29)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.by_class import ClassCovariance, LabelledCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Coefficient, Diagonal, log_determinant, mean_over_frequencies, pseudo_inverse
from sagd.noise.spectra.base import Spectrum
from sagd.process.schedule import Schedule
from sagd.random import Generators

Time = float | Tensor
Prediction = Literal["eps", "x0", "v", "velocity", "score"]


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


class Process(ABC):
    """Base of the forward processes; a subclass supplies the coefficients and its clock."""

    schedule: Schedule
    """The scalar schedule from which the coefficients are made."""
    covariance: Covariance
    """`Sigma` of the noise `eps`."""
    reference: Covariance
    """Covariance of the noise next to the data, up to its level: what pictures of the noise show."""
    hidden: Spectrum | None
    """Band of which `x_t` shows neither signal nor noise; the noise must leave it out."""

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

    def visible(self, x: Tensor) -> Tensor:
        """`x` without the hidden band; itself where none is."""
        return x if self._hiding is None else ((1 - self._hiding.on(x)) * x).to(x.dtype)

    def completed(self, x: Tensor, own: Tensor) -> Tensor:
        """`x` with the hidden band of `own`; itself where none is."""
        return x if self._hiding is None else x + (self._hiding.on(x) * (own - x)).to(x.dtype)

    def shown(self, c: Diagonal) -> Diagonal:
        """A coefficient with 0 in the hidden band."""
        if self._hiding is None:
            return c
        if c.basis != self._hiding.basis:
            raise InputError(f"the process is diagonal in {self._hiding.basis}, not in {c.basis}")
        return c * (1 - self._hiding.on(c.values))

    def check_hidden(self) -> None:
        """Refuse a hidden band that noise reaches.

        Raises:
            InputError: If it does, or if the noise has no basis to speak of bands in.
        """
        if self._hiding is None:
            return
        noisy = self.covariance.power_range(self._hiding.basis)[1] > 0
        if bool((noisy & (self._hiding.values > 0)).any()):
            raise InputError(
                f"the noise reaches into the hidden band {self.hidden and self.hidden.label}; leave it out"
            )

    @cached_property
    def _hiding(self) -> Diagonal | None:
        """The projector onto the hidden band."""
        if self.hidden is None:
            return None
        basis = _noise_basis(self.covariance)
        return Diagonal((mask(self.hidden, basis) > 0).double(), basis)

    @cached_property
    def _shows_noiseless(self) -> bool:
        """Whether `x_t` shows frequencies that carry no noise, beyond those that are hidden."""
        if self._hiding is None:
            return self.covariance.is_singular
        noisy = self.covariance.power_range(self._hiding.basis)[0] > 0
        return not bool((noisy | (self._hiding.values > 0)).all())

    def _describe_hidden(self) -> dict[str, Any]:
        return {} if self.hidden is None else {"hidden": self.hidden.to_dict()}

    def perturb(self, x_0: Tensor, t: Time, noise: Tensor | None = None, generator: Generators = None) -> Tensor:
        """`x_t = alpha_t x_0 + sigma_t eps_w`; `noise` is an `eps_w` of your own (already coloured)."""
        noise = self.noise(x_0, generator) if noise is None else noise
        return (self.alpha(t, x_0) * self.visible(x_0) + self.sigma(t, x_0) * noise).to(x_0.dtype)

    def marginal(self, x_0: Tensor, t: Time) -> Gaussian:
        """`q(x_t | x_0)`."""
        return Gaussian(self.alpha(t, x_0) * self.visible(x_0), self.sigma(t, x_0), self.covariance)

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
            start = start + self.alpha(t, noise) * self.visible(mean.to(start))
        return start.to(noise.dtype)

    def to_x0(self, kind: Prediction, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that a prediction stands for.

        Raises:
            InputError: For `eps` or `score` where `alpha_t = 0`, since they then say nothing of the image.
        """
        return value if kind == "x0" else self.completed(self._to_x0(kind, value, x_t, t), value)

    def _to_x0(self, kind: Prediction, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        alpha, sigma = self.alpha(t, x_t), self.sigma(t, x_t)
        if kind == "v":
            return (alpha * x_t - sigma * value) / (alpha**2 + sigma**2)
        if kind == "velocity":
            d_alpha, d_sigma = self.derivatives(t, x_t)
            return (d_sigma * x_t - sigma * value) / (alpha * d_sigma - d_alpha * sigma)
        _require_signal(kind, alpha, t)
        if kind == "eps":
            return (x_t - sigma * value) / alpha
        if kind == "score":
            return (x_t + sigma**2 * self.covariance.apply(value)) / alpha
        raise InputError(f"unknown prediction {kind!r}; known: eps, x0, v, velocity, score")

    def gain(self, kind: Prediction, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of the clean image by a prediction (not the score), of which it is an affine function."""
        return self.completed_gain(self._gain(kind, x_t, t), 1.0)

    def completed_gain(self, c: Coefficient, own: Coefficient) -> Coefficient:
        """A coefficient with that of `own` in the hidden band."""
        if self._hiding is None:
            return c
        hiding = self._hiding.on(c.values if isinstance(c, Diagonal) else c)
        inner, outer = (d.values if isinstance(d, Diagonal) else d for d in (own, c))
        return Diagonal(hiding.values * inner + (1 - hiding.values) * outer, hiding.basis)

    def _gain(self, kind: Prediction, x_t: Tensor, t: Time) -> Coefficient:
        alpha, sigma = self.alpha(t, x_t), self.sigma(t, x_t)
        if kind == "x0":
            return alpha**0
        if kind == "v":
            return -sigma / (alpha**2 + sigma**2)
        if kind == "velocity":
            d_alpha, d_sigma = self.derivatives(t, x_t)
            return -sigma / (alpha * d_sigma - d_alpha * sigma)
        _require_signal(kind, alpha, t)
        return -sigma / alpha

    def from_x0(self, kind: Prediction, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The prediction that a clean image stands for; undefined at `t = 0`, where `sigma_t = 0`, except for `x0`.

        Where a band is hidden, every prediction but the score is the image itself.
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
        return x_0 if kind == "x0" else self.completed(self._from_pair(kind, x_0, eps, t), x_0)

    def _from_pair(self, kind: Prediction, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        if kind == "eps":
            return eps
        if kind == "v":
            return self.alpha(t, x_0) * eps - self.sigma(t, x_0) * x_0
        if kind == "velocity":
            d_alpha, d_sigma = self.derivatives(t, x_0)
            return d_alpha * x_0 + d_sigma * eps
        raise InputError(f"{kind!r} is no training target; known: eps, x0, v, velocity")

    def consistent(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`x_0` with the frequencies that carry no noise replaced by those of `x_t / alpha_t`, which show them exactly.

        The identity for full-rank covariances, and in the hidden band. Where `alpha_t = 0` nothing shows, and the empty
        frequencies are zero.
        """
        if not self._shows_noiseless:
            return x_0
        shown = pseudo_inverse(self.alpha(t, x_t)) * x_t
        return self.completed(shown + self.covariance.project(x_0 - shown), x_0)


def _noise_basis(covariance: Covariance) -> Basis:
    """The basis in which noise is diagonal, whatever the class."""
    if isinstance(covariance, LabelledCovariance):
        covariance = covariance.by_class
    if isinstance(covariance, ClassCovariance):
        bases = [_noise_basis(member) for member in covariance.covariances]
        if all(basis == bases[0] for basis in bases):
            return bases[0]
    if isinstance(covariance, SpectralCovariance):
        return covariance.basis
    raise InputError(f"a band can be hidden only from noise with a spectrum, got {covariance.label} noise")


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


def wide(x: Tensor) -> torch.dtype:
    """The type of coefficients that multiply `x`: float32 at least."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _require_signal(kind: str, alpha: Coefficient, t: Time) -> None:
    if kind in ("eps", "score") and not (alpha > 0).all():
        raise InputError(
            f"a {kind} prediction at alpha_t = 0 (t = {t}) does not determine x_0; predict x0, v or velocity,"
            " or use a schedule that keeps some signal at t = 1"
        )
