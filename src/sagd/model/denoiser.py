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
from typing import Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.parameterisation import Parameterisation, require_std
from sagd.noise.operator import Coefficient, Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Prediction, Process, Time, as_time


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


class NetworkDenoiser(Denoiser):
    """A denoiser from a network `F(x, timestep, class_labels=...)`; a `Parameterisation` says what its output means.

    Args:
        network: Called as `network(x, timestep)` with `timestep` `(B,)`, plus `class_labels=(B,)` when labels are
            given; returns a tensor, or anything whose first item is one (diffusers outputs).
        process: Forward process it was or will be trained with.
        prediction: What the network outputs, a `Parameterisation` or its text.
        data_std: Standard deviation of the data, for `edm`.
        null_label: Class that stands for "no label" in conditional networks.
        guidance: Classifier-free guidance scale applied when labels are given and `null_label` is known (1: none).
        statistics: Mean and spectrum of the data in the basis of the noise, for `wiener` and calibration.
        calibration: Factor of what is predicted of the hidden band, about the mean, `(*coefficients)`; see
            `sagd.omission.calibrate`.
    """

    def __init__(
        self,
        network: Callable[..., object],
        process: Process,
        prediction: Parameterisation | str = "eps",
        data_std: float = 0.5,
        null_label: int | None = None,
        guidance: float = 1.0,
        statistics: DataStatistics | None = None,
        calibration: Tensor | None = None,
    ) -> None:
        _check_guidance(guidance, null_label)
        self.parameterisation = Parameterisation.parse(prediction).resolve(require_std(data_std), statistics)
        self.parameterisation.check(process)
        self.network = network
        self.process = process
        self.null_label = null_label
        self.guidance = guidance
        self.statistics = statistics
        self.calibration = calibration

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
        mean = self.statistics.mean.to(x_0).expand_as(x_0)
        return self.process.completed(x_0, x_0 + (shrink * (x_0 - mean)).to(x_0.dtype))

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
        return self.parameterisation.target(self.process, x_0, eps, t)

    def for_training(self, x_0: Tensor, generator: torch.Generator | None = None) -> NetworkDenoiser:
        """The denoiser that a batch of clean images trains; this one, unless it depends on them."""
        return self

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """What the loss squares."""
        return output - target

    def to_x0(self, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that a network output stands for."""
        return self.parameterisation.to_x0(self.process, output, x_t, t)

    def gain(self, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of the clean image by the network's output."""
        return self.parameterisation.gain(self.process, x_t, t)

    def _input(self, x_t: Tensor, t: Time) -> Tensor:
        """What the network sees."""
        return self.parameterisation.scaled(self.process, x_t, t)


def _check_guidance(guidance: float, null_label: int | None) -> None:
    if not math.isfinite(guidance):
        raise InputError(f"guidance must be a finite number, got {guidance}; 1 is none")
    if guidance != 1 and null_label is None:
        raise InputError(f"guidance {guidance} needs a conditional model; train with network.conditional, or use 1")
