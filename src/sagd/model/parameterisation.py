"""Parameterisations: what a network's output `F` stands for, and what the network sees. One class each.

Every one is affine in the output: `to_x0` gives the clean image, `gain` is its derivative by `F`, and `target` is the
`F` of a known image and noise. In a band that the process hides the network sees nothing and its output is `x_0`
itself, for `edm` and `wiener` in units of the data's spread.

For `eps`, `x0`, `v` and `velocity` the network sees `x_t / rms(x_t)` of data with unit variance (`x_t` itself for
variance-preserving schedules), and its output is that quantity. For `edm`, with data variance `S = data_std^2`,

    x_0 = c_skip x_t + c_out F(c_in x_t),   c_skip = alpha S / (alpha^2 S + sigma^2),
    c_out = sigma sqrt(S) / sqrt(alpha^2 S + sigma^2),   c_in = 1 / sqrt(alpha^2 S + sigma^2),

which is the preconditioning of "Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al.,
2022, table 1) written for any `alpha`. `wiener` is the same frequency by frequency, with the measured spectrum `S(f)`
and mean of the data and the noise's own `s_t(f)`: exact on stationary Gaussian data with `F = 0`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.operator import Coefficient, Diagonal, pseudo_inverse
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Prediction, Process, Time, wide
from sagd.spec import Description

LEAST_POWER = 1e-6
"""Share of the largest power below which `wiener` takes no frequency's data to be: a thousandth of its amplitude."""


class Parameterisation(Description, family="prediction"):
    """Base of the parameterisations; a subclass supplies `scaled`, `target`, `to_x0` and `gain`."""

    def resolve(self, data_std: float, statistics: DataStatistics | None) -> Parameterisation:
        """The same with what it needs to know of the data; itself if that is nothing.

        Args:
            data_std: Standard deviation of all values of the data.
            statistics: Mean and spectrum of the data in the basis of the noise.

        Raises:
            InputError: If it needs what is not known.
        """
        return self

    def check(self, process: Process) -> None:
        """Refuse a process under which the output does not determine the image everywhere.

        Raises:
            InputError: Saying what to use instead.
        """

    @abstractmethod
    def scaled(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        """What the network sees of `x_t`, `(B, C, *spatial)`."""

    @abstractmethod
    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The output for a known image and noise `eps_w`."""

    @abstractmethod
    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that an output stands for."""

    @abstractmethod
    def gain(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of the clean image by the output."""


class _Quantity(Parameterisation):
    """A quantity that the process itself converts, named by the kind."""

    @property
    def _quantity(self) -> Prediction:
        return cast(Prediction, self.kind)

    def scaled(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        """`x_t / rms(x_t)`."""
        return x_t / process.rms(t, x_t)

    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The quantity of the pair."""
        return process.from_pair(self._quantity, x_0, eps, t)

    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """By the process's conversion."""
        return process.to_x0(self._quantity, output, x_t, t)

    def gain(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """Likewise."""
        return process.gain(self._quantity, x_t, t)


@dataclass(frozen=True)
class Eps(_Quantity, kind="eps"):
    """The noise `eps_w`."""

    def check(self, process: Process) -> None:
        """Refuse a schedule that leaves no signal at `t = 1`."""
        end = torch.zeros(1, *process.shape, dtype=torch.float64)
        if not (process.alpha(1.0, end) > 0).all():
            raise InputError(
                f"eps prediction cannot start at t = 1 of schedule {str(process.schedule)!r}, where no signal is left;"
                " use prediction x0, v, velocity or edm"
            )


@dataclass(frozen=True)
class X0(_Quantity, kind="x0"):
    """The clean image."""


@dataclass(frozen=True)
class V(_Quantity, kind="v"):
    """`v = alpha eps_w - sigma x_0`.

    Source: "Progressive Distillation for Fast Sampling of Diffusion Models" (Salimans & Ho, 2022).
    """


@dataclass(frozen=True)
class Velocity(_Quantity, kind="velocity"):
    """The velocity of the path, `d alpha/dt x_0 + d sigma/dt eps_w`."""


@dataclass(frozen=True)
class _Scales:
    """Data `N(mu, S)` and noise of standard deviation `s` as operators that commute: the Wiener filter and its scales.

        x_0 - mu = c_skip (x_t - a mu) + c_out F,   c_skip = a S c_in^2,   c_out = s sqrt(S) c_in,
        c_in = 1 / sqrt(a^2 S + s^2)

    `F = 0` is the exact posterior mean if the data is Gaussian, and `F` has unit variance at every frequency.
    """

    a: Coefficient
    s: Coefficient
    std: Any
    """`sqrt(S)`, a number or an operator."""

    @property
    def c_in(self) -> Coefficient:
        # 0 where neither signal nor noise is: what is not there says nothing.
        return pseudo_inverse(((self.a * self.std) ** 2 + self.s**2).sqrt())

    @property
    def c_skip(self) -> Coefficient:
        return self.a * self.std**2 * self.c_in**2

    @property
    def c_out(self) -> Coefficient:
        return self.s * self.std * self.c_in

    def target(self, residual: Tensor, noise: Tensor) -> Tensor:
        """`F` for a known `x_0 - mu` and unit noise, without the cancellation of `x_0 - mu - c_skip (x_t - a mu)`."""
        return self.c_in * (self.s / self.std * residual - self.a * self.std * noise)


class _Preconditioned(Parameterisation):
    """The residual of a Wiener filter, scaled to unit variance."""

    @abstractmethod
    def _scales(self, process: Process, t: Time, x: Tensor) -> _Scales:
        """Scales of data and noise."""

    def _mean(self, x: Tensor) -> Tensor | None:
        """Mean of the data like `x`, if it counts."""
        return None

    def _unit(self, process: Process, eps: Tensor) -> Tensor:
        """The noise with the standard deviation that `s` leaves out."""
        return eps

    def scaled(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        """`c_in (x_t - a mu)`."""
        return self._scales(process, t, x_t).c_in * self._centred(process, x_t, t)

    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """`F` of the pair; in a hidden band the image about its mean, in units of its spread."""
        scales, mean = self._scales(process, t, x_0), self._mean(x_0)
        residual = x_0 if mean is None else x_0 - mean
        own = residual if process.hidden is None else 1 / scales.std * residual
        return process.completed(scales.target(residual, self._unit(process, eps)), own)

    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`mu + c_skip (x_t - a mu) + c_out F`."""
        scales, mean = self._scales(process, t, x_t), self._mean(x_t)
        mean = x_t.new_zeros(()) if mean is None else mean
        x_0 = mean + scales.c_skip * self._centred(process, x_t, t) + scales.c_out * output
        return x_0 if process.hidden is None else process.completed(x_0, mean + scales.std * output)

    def gain(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """`c_out`; in a hidden band the data's spread."""
        scales = self._scales(process, t, x_t)
        return process.completed_gain(scales.c_out, scales.std)

    def _centred(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        mean = self._mean(x_t)
        return x_t if mean is None else x_t - process.alpha(t, x_t) * mean


@dataclass(frozen=True)
class Edm(_Preconditioned, kind="edm"):
    """The residual of Karras et al. (2022), with one variance for all frequencies.

    Args:
        data_std: Standard deviation of the data; default: that of the data it is resolved with.
    """

    data_std: float | None = None

    def __post_init__(self) -> None:
        if self.data_std is not None:
            object.__setattr__(self, "data_std", require_std(self.data_std))

    def resolve(self, data_std: float, statistics: DataStatistics | None) -> Edm:
        """With the data's standard deviation."""
        return Edm(data_std) if self.data_std is None else self

    def _scales(self, process: Process, t: Time, x: Tensor) -> _Scales:
        return _Scales(process.alpha(t, x), process.sigma(t, x), self.data_std)


@dataclass(frozen=True)
class Wiener(_Preconditioned, kind="wiener"):
    """The same frequency by frequency, with the measured spectrum and mean of the data.

    Args:
        statistics: Those; power is floored at `LEAST_POWER` of the largest.
    """

    statistics: DataStatistics | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.statistics, DataStatistics | None):
            raise InputError(f"wiener statistics must be measured, got {self.statistics!r}; leave them out of texts")

    def to_dict(self) -> dict[str, Any]:
        """The kind: statistics are kept beside the weights."""
        return {"kind": self.kind}

    def __str__(self) -> str:
        return self.kind

    def resolve(self, data_std: float, statistics: DataStatistics | None) -> Wiener:
        """With the data's mean and spectrum."""
        known = self.statistics or statistics
        if known is None:
            raise InputError("wiener prediction needs the data's spectrum; pass statistics=measure(data, basis)")
        if not known.spectrum.max() > 0:
            raise InputError("wiener prediction needs data that varies; its measured spectrum is zero")
        return Wiener(known)

    def check(self, process: Process) -> None:
        """Refuse noise that is not diagonal in the basis of the statistics."""
        statistics = self._known
        if tuple(statistics.mean.shape) != process.shape:
            raise InputError(f"statistics are of data {tuple(statistics.mean.shape)}, the process of {process.shape}")
        try:
            process.diagonal(1.0, torch.zeros(1, *process.shape), statistics.basis)
        except InputError:
            raise InputError(
                f"wiener prediction needs noise that is diagonal in {statistics.basis}, the basis of the"
                f" statistics, and {process.label} is not; measure(data, basis) in its basis, or use edm"
            ) from None

    @property
    def _known(self) -> DataStatistics:
        if self.statistics is None:
            raise InputError("wiener prediction needs the statistics of the data; call resolve first")
        return self.statistics

    def _scales(self, process: Process, t: Time, x: Tensor) -> _Scales:
        basis, power = self._known.basis, self._known.spectrum
        std = power.clamp(min=LEAST_POWER * float(power.max())).sqrt().to(x.device, wide(x))
        return _Scales(*process.diagonal(t, x, basis), Diagonal(std, basis))

    def _mean(self, x: Tensor) -> Tensor:
        return self._known.mean.to(x).expand_as(x)

    def _unit(self, process: Process, eps: Tensor) -> Tensor:
        # The spectrum of the noise is in `s`.
        return process.covariance.whiten(eps, pseudo=True)


def require_std(data_std: float) -> float:
    """The standard deviation of data as a number.

    Raises:
        InputError: If it is none.
    """
    if isinstance(data_std, bool) or not isinstance(data_std, (int, float)) or not 0 < data_std < math.inf:
        raise InputError(f"data_std must be positive and finite, got {data_std}")
    return float(data_std)
