"""Denoisers: estimates of `E[x_0 | x_t]`, from a network or exact.

Every denoiser maps `(x_t, t)` to an image and knows its forward process; noise, score and velocity follow from the
image by the process's conversions. The exact denoisers are for data with a known law and need no training: they are the
oracles of the tests and the instruments of design.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, cast, get_args

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.operator import Coefficient, Diagonal, pseudo_inverse
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Prediction, Process, Time, as_time, wide

NetworkPrediction = Literal["eps", "x0", "v", "velocity", "edm", "wiener"]
LEAST_POWER = 1e-6
"""Share of the largest power below which `wiener` takes no frequency's data to be: a thousandth of its amplitude."""


class Denoiser(ABC):
    """`E[x_0 | x_t]` under a forward process; a subclass supplies `estimate`."""

    process: Process

    @property
    def device(self) -> torch.device:
        """Where samples are drawn by default."""
        return torch.device("cpu")

    @abstractmethod
    def estimate(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """The estimate before frequencies without noise are made consistent."""

    def __call__(self, x_t: Tensor, t: Time, labels: Tensor | None = None, clip: float | None = None) -> Tensor:
        """Estimated clean images.

        Args:
            x_t: Noisy fields `(B, C, *spatial)`.
            t: Time, a float or `(B,)`.
            labels: Classes `(B,)` of conditional models.
            clip: Clamp the estimate to `[-clip, clip]` (before consistency, which clamping would break).
        """
        x_0 = self.estimate(x_t, t, labels)
        if clip is not None:
            x_0 = x_0.clamp(-clip, clip)
        return self.process.given(labels).consistent(x_0, x_t, t)

    def final(self, x_t: Tensor, t: Time, labels: Tensor | None = None, clip: float | None = None) -> Tensor:
        """Where sampling ends: the estimate, without what the process knows the data to be corrupted with."""
        process = self.process.given(labels)
        x_0 = process.clean(self.estimate(x_t, t, labels), x_t, t)
        return process.consistent(x_0 if clip is None else x_0.clamp(-clip, clip), x_t, t)

    def predict(self, kind: Prediction, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """The estimate as `eps`, `score`, `velocity` or `v`."""
        return self.process.given(labels).from_x0(kind, self(x_t, t, labels), x_t, t)

    def score(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """`grad log q_t = Sigma_w^-1 (alpha_t E[x_0|x_t] - x_t) / sigma_t^2`, projected where `Sigma_w` is singular."""
        return self.predict("score", x_t, t, labels)


@dataclass(frozen=True)
class _Preconditioning:
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


class NetworkDenoiser(Denoiser):
    """A denoiser from a network `F(x, timestep, class_labels=...)`.

    For `eps`, `x0`, `v` and `velocity` the network sees `x_t / rms(x_t)` of data with unit variance (`x_t` itself for
    variance-preserving schedules), and its output is that quantity. For `edm`, with data variance `S = data_std^2`,

        x_0 = c_skip x_t + c_out F(c_in x_t),   c_skip = alpha S / (alpha^2 S + sigma^2),
        c_out = sigma sqrt(S) / sqrt(alpha^2 S + sigma^2),   c_in = 1 / sqrt(alpha^2 S + sigma^2),

    which is the preconditioning of "Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al.,
    2022, table 1) written for any `alpha`. `wiener` is the same frequency by frequency, with the measured spectrum
    `S(f)` and mean of the data and the noise's own `s_t(f)`: exact on stationary Gaussian data with `F = 0`.

    In a band that the process hides the network sees nothing and its output is `x_0` itself, for `edm` and `wiener`
    in units of the data's spread.

    Args:
        network: Called as `network(x, timestep)` with `timestep` `(B,)`, plus `class_labels=(B,)` when labels are
            given; returns a tensor, or anything whose first item is one (diffusers outputs).
        process: Forward process it was or will be trained with.
        prediction: What the network outputs.
        data_std: Standard deviation of the data, for `edm`.
        null_label: Class that stands for "no label" in conditional networks.
        guidance: Classifier-free guidance scale applied when labels are given and `null_label` is known (1: none).
        statistics: Mean and spectrum of the data in the basis of the noise, for `wiener` and calibration. For `wiener`
            its power is floored at `LEAST_POWER` of the largest.
        calibration: Factor of what is predicted of the hidden band, about the mean, `(*coefficients)`; see
            `sagd.omission.calibrate`.
    """

    def __init__(
        self,
        network: Callable[..., object],
        process: Process,
        prediction: NetworkPrediction = "eps",
        data_std: float = 0.5,
        null_label: int | None = None,
        guidance: float = 1.0,
        statistics: DataStatistics | None = None,
        calibration: Tensor | None = None,
    ) -> None:
        if prediction not in get_args(NetworkPrediction):
            raise InputError(f"unknown prediction {prediction!r}; known: {', '.join(get_args(NetworkPrediction))}")
        if not 0 < data_std < math.inf:
            raise InputError(f"data_std must be positive and finite, got {data_std}")
        _check_guidance(guidance, null_label)
        end = torch.zeros(1, *process.shape, dtype=torch.float64)
        if prediction == "eps" and not (process.alpha(1.0, end) > 0).all():
            raise InputError(
                f"eps prediction cannot start at t = 1 of schedule {str(process.schedule)!r}, where no signal is left;"
                " use prediction x0, v, velocity or edm"
            )
        self.network = network
        self.process = process
        self.prediction: NetworkPrediction = prediction
        self.data_std = float(data_std)
        self.null_label = null_label
        self.guidance = guidance
        self.statistics = statistics
        self.calibration = calibration
        if prediction == "wiener":
            self._check_statistics()

    @property
    def device(self) -> torch.device:
        """The network's device."""
        parameter = next(self.network.parameters(), None) if isinstance(self.network, torch.nn.Module) else None
        return parameter.device if parameter is not None else torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype | None:
        """The network's precision; None if it has no weights."""
        parameter = next(self.network.parameters(), None) if isinstance(self.network, torch.nn.Module) else None
        return None if parameter is None else parameter.dtype

    def guided(self, guidance: float) -> Self:
        """A copy with that classifier-free guidance scale.

        Raises:
            InputError: If it is not 1 and the model is unconditional.
        """
        _check_guidance(guidance, self.null_label)
        other = copy.copy(self)
        other.guidance = guidance
        return other

    def estimate(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """The network's estimate, guided if asked for."""
        if labels is not None and self.null_label is None:
            raise InputError("labels were given to an unconditional model; leave them out")
        if self.null_label is not None and labels is None:
            labels = torch.full((len(x_t),), self.null_label, device=x_t.device)
        x_0 = self.to_x0(self.output(x_t, t, labels), x_t, t)
        if self.guidance == 1 or labels is None:
            return x_0
        unlabelled = torch.full_like(labels, self.null_label or 0)
        base = self.to_x0(self.output(x_t, t, unlabelled), x_t, t)
        return base + self.guidance * (x_0 - base)

    def final(self, x_t: Tensor, t: Time, labels: Tensor | None = None, clip: float | None = None) -> Tensor:
        """Where sampling ends, with what is predicted of a hidden band calibrated."""
        x_0 = super().final(x_t, t, labels, clip)
        if self.calibration is None or self.statistics is None:
            return x_0
        shrink = Diagonal(self.calibration - 1, self.statistics.basis).on(x_0)
        return self.process.completed(x_0, x_0 + (shrink * (x_0 - self._mean(x_0))).to(x_0.dtype))

    def output(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """Raw network output `F`, in `x_t`'s precision (float32 at least)."""
        time = as_time(t, x_t)
        timestep = self.process.schedule.timestep(time).to(torch.float32).flatten().expand(len(x_t))
        scaled = self._input(self.process.visible(x_t), t).to(x_t.dtype)
        out = self.network(scaled, timestep) if labels is None else self.network(scaled, timestep, class_labels=labels)
        tensor = out if isinstance(out, Tensor) else out[0]  # type: ignore[index]
        return tensor.to(x_t.dtype)

    def target(self, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """What `output` should be for a known image and noise."""
        if self.prediction not in ("edm", "wiener"):
            return self.process.from_pair(cast(Prediction, self.prediction), x_0, eps, t)
        p, residual = self._preconditioning(t, x_0), x_0
        if self.prediction == "wiener":
            residual, eps = x_0 - self._mean(x_0), self.process.covariance.whiten(eps, pseudo=True)
        own = residual if self.process.hidden is None else 1 / p.std * residual
        return self.process.completed(p.target(residual, eps), own)

    def for_training(self, x_0: Tensor, generator: torch.Generator | None = None) -> NetworkDenoiser:
        """The denoiser that a batch of clean images trains; this one, unless it depends on them."""
        return self

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """What the loss squares."""
        return output - target

    def to_x0(self, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that a network output stands for."""
        if self.prediction not in ("edm", "wiener"):
            return self.process.to_x0(cast(Prediction, self.prediction), output, x_t, t)
        p, mean = self._preconditioning(t, x_t), x_t.new_zeros(())
        if self.prediction == "wiener":
            mean = self._mean(x_t)
            x_t = x_t - self.process.alpha(t, x_t) * mean
        x_0 = mean + p.c_skip * x_t + p.c_out * output
        return x_0 if self.process.hidden is None else self.process.completed(x_0, mean + p.std * output)

    def gain(self, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of the clean image by the network's output."""
        if self.prediction in ("edm", "wiener"):
            p = self._preconditioning(t, x_t)
            return self.process.completed_gain(p.c_out, p.std)
        return self.process.gain(cast(Prediction, self.prediction), x_t, t)

    def _input(self, x_t: Tensor, t: Time) -> Tensor:
        """What the network sees."""
        if self.prediction == "edm":
            return self._preconditioning(t, x_t).c_in * x_t
        if self.prediction == "wiener":
            return self._preconditioning(t, x_t).c_in * (x_t - self.process.alpha(t, x_t) * self._mean(x_t))
        return x_t / self.process.rms(t, x_t)

    def _preconditioning(self, t: Time, x: Tensor) -> _Preconditioning:
        if self.prediction == "edm" or self.statistics is None:
            return _Preconditioning(self.process.alpha(t, x), self.process.sigma(t, x), self.data_std)
        basis, power = self.statistics.basis, self.statistics.spectrum
        std = power.clamp(min=LEAST_POWER * float(power.max())).sqrt().to(x.device, wide(x))
        return _Preconditioning(*self.process.diagonal(t, x, basis), Diagonal(std, basis))

    def _mean(self, x: Tensor) -> Tensor:
        if self.statistics is None:
            raise InputError("wiener prediction needs the statistics of the data")
        return self.statistics.mean.to(x).expand_as(x)

    def _check_statistics(self) -> None:
        if self.statistics is None:
            raise InputError("wiener prediction needs the data's spectrum; pass statistics=measure(data, basis)")
        if tuple(self.statistics.mean.shape) != self.process.shape:
            raise InputError(
                f"statistics are of data {tuple(self.statistics.mean.shape)}, the process of {self.process.shape}"
            )
        if not self.statistics.spectrum.max() > 0:
            raise InputError("wiener prediction needs data that varies; its measured spectrum is zero")
        try:
            self.process.diagonal(1.0, torch.zeros(1, *self.process.shape), self.statistics.basis)
        except InputError:
            raise InputError(
                f"wiener prediction needs noise that is diagonal in {self.statistics.basis}, the basis of the"
                f" statistics, and {self.process.label} is not; measure(data, basis) in its basis, or use edm"
            ) from None


def _check_guidance(guidance: float, null_label: int | None) -> None:
    if not math.isfinite(guidance):
        raise InputError(f"guidance must be a finite number, got {guidance}; 1 is none")
    if guidance != 1 and null_label is None:
        raise InputError(f"guidance {guidance} needs a conditional model; train with network.conditional, or use 1")
