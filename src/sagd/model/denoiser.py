"""Denoisers: estimates of `E[x_0 | x_t]`, from a network or exact.

Every denoiser maps `(x_t, t, condition)` to an image and knows its forward process; noise, score and velocity follow
from the image. A new one supplies `estimate` and nothing else; guidance, calibration and the restriction to a band are
wrappers around any denoiser (`sagd.model.wrappers`). The exact denoisers are for data with a known law and need no
training: they are the oracles of the tests and the instruments of design.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.parameterisation.base import Parameterisation, Quantity, require_std
from sagd.model.parameterisation.score import Score, quantity
from sagd.noise.operator import Coefficient, Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time, as_time
from sagd.random import Generators, randn


class Denoiser(nn.Module, ABC):
    """`E[x_0 | x_t]` under a forward process; a subclass supplies `estimate`, and is not subclassed itself.

    It is a module, called as `denoiser(x_t, t, condition)`, whose parameters are those of the network inside.

    Attributes:
        process: The forward process.
        names: Names of the conditions that it takes; None if it lets pass whatever it is given.
        null: Name -> value without a batch axis that stands for "nothing", of conditions that may be left out.
        unexplained: `V(f)`, the variance that its last estimate leaves open of an image; None if that is not known.
    """

    process: Process
    names: tuple[str, ...] | None = ()
    null: Mapping[str, Tensor] = {}
    unexplained: Diagonal | None = None

    @property
    def device(self) -> torch.device:
        """Where samples are drawn by default."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype | None:
        """The precision it wants its input in; None if any does."""
        return None

    @abstractmethod
    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The estimate before frequencies without noise are made consistent."""

    def forward(self, x_t: Tensor, t: Time, condition: Conditional = None, clip: float | None = None) -> Tensor:
        """Estimated clean images.

        Args:
            x_t: Noisy fields `(B, C, *spatial)`.
            t: Time, a float or `(B,)`.
            condition: What conditional models are told: class numbers `(B,)`, or a mapping, see `Condition`.
            clip: Clamp the estimate to `[-clip, clip]` (before consistency, which clamping would break).
        """
        condition = Condition.of(condition)
        x_0 = self.estimate(x_t, t, condition)
        if clip is not None:
            x_0 = x_0.clamp(-clip, clip)
        return self.process.given(condition.labels).consistent(x_0, x_t, t)

    def final(self, x_t: Tensor, t: Time, condition: Conditional = None, clip: float | None = None) -> Tensor:
        """Where sampling ends: the estimate, without what the process knows the data to be corrupted with."""
        condition = Condition.of(condition)
        process = self.process.given(condition.labels)
        x_0 = process.clean(self.estimate(x_t, t, condition), x_t, t)
        return process.consistent(x_0 if clip is None else x_0.clamp(-clip, clip), x_t, t)

    def completed(self, x: Tensor, generator: Generators = None) -> Tensor:
        """Samples with a draw of what the last estimate, their end, leaves open; as they are if that is not known."""
        if self.unexplained is None:
            return x
        root = self.unexplained.sqrt().on(x)
        return x + (root * randn(x.shape, generator, x.dtype, x.device)).to(x.dtype)

    def predict(self, kind: Quantity | str, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The estimate as `eps`, `score`, `velocity` or `v`, or as any other `Quantity`."""
        condition = Condition.of(condition)
        process = self.process.given(condition.labels)
        return quantity(kind).from_x0(process, self(x_t, t, condition), x_t, t)

    def score(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """`grad log q_t = Sigma_w^-1 (alpha_t E[x_0|x_t] - x_t) / sigma_t^2`, projected where `Sigma_w` is singular."""
        return self.predict(Score(), x_t, t, condition)

    def check(self, condition: Conditional, count: int) -> Condition:
        """The condition of `count` samples, if this denoiser can be asked with it: for before work starts.

        Raises:
            InputError: If it holds a name that the model does not know, lacks one that it needs, or is of another
                number of samples.
        """
        given = Condition.of(condition)
        if given and len(given) != count:
            raise InputError(f"got {len(given)} {given.names[0]} for {count} samples; give one per sample")
        if self.names is None:
            return given
        known = f"a model of {', '.join(self.names)}" if self.names else "an unconditional model"
        for name in given.names:
            if name not in self.names:
                raise InputError(f"{known} was given the condition {name!r}; leave it out")
        for name in self.names:
            if name not in given and name not in self.null:
                raise InputError(f"the model needs the condition {name!r}; give {{{name!r}: ...}}, one per sample")
        return given


class NetworkDenoiser(Denoiser):
    """A denoiser from a network `F(x, timestep, **condition)`; a `Parameterisation` says what its output means.

    Args:
        network: Called as `network(x, timestep, **condition)` with `timestep` `(B,)`, 0 to 1000, and the condition
            under its own names (`sagd.networks.adapter` translates those of other libraries); returns a tensor like
            `x`, a tuple that begins with one, or an output of diffusers.
        process: Forward process it was or will be trained with.
        prediction: What the network outputs, a `Parameterisation` or its text.
        data_std: Standard deviation of the data, for `edm`.
        null: Name -> value without a batch axis that stands for "nothing", for conditions that may be left out: the
            number of a class that means "no label", an embedding of zeros.
        names: Names of the conditions that must be given.
        statistics: Mean and spectrum of the data in the basis of the noise, for `wiener`.

    Raises:
        InputError: If the prediction cannot be read or does not go with the process.
    """

    def __init__(
        self,
        network: Callable[..., object],
        process: Process,
        prediction: Parameterisation | str = "eps",
        data_std: float = 0.5,
        null: Mapping[str, Tensor | float] | None = None,
        names: Sequence[str] = (),
        statistics: DataStatistics | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(process, Process):
            raise InputError(
                f"process must be a Process, got {type(process).__name__}; of a covariance make"
                " ForwardProcess(VPSchedule(), covariance)"
            )
        self.parameterisation = Parameterisation.parse(prediction).resolve(require_std(data_std), statistics)
        self.parameterisation.check(process)
        self.network = network
        self.process = process
        self.null = {name: torch.as_tensor(value) for name, value in (null or {}).items()}
        self.names = tuple(dict.fromkeys((*names, *self.null)))

    @property
    def device(self) -> torch.device:
        """The network's device."""
        parameter = self._parameter
        return torch.device("cpu") if parameter is None else parameter.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The network's precision; None if it has no weights."""
        parameter = self._parameter
        return None if parameter is None or not parameter.is_floating_point() else parameter.dtype

    @property
    def module(self) -> torch.nn.Module:
        """The network, of a denoiser whose network is a module.

        Raises:
            InputError: If it is a plain function, which has no weights.
        """
        if not isinstance(self.network, torch.nn.Module):
            raise InputError(f"the network must be a torch.nn.Module, got {type(self.network).__name__}")
        return self.network

    def around(self, network: Callable[..., Any]) -> NetworkDenoiser:
        """The same around another network."""
        other = copy.copy(self)
        # A copied module shares the mapping of what is in it.
        other._modules = {name: module for name, module in self._modules.items() if name != "network"}
        other.network = network
        return other

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The network's estimate."""
        return self.to_x0(self.output(x_t, t, condition), x_t, t)

    def output(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """Raw network output `F`, in `x_t`'s precision (float32 at least).

        Raises:
            InputError: If the condition is not the model's, or the output not like `x_t`.
        """
        told = self.check(condition, len(x_t)).to(x_t.device).filled(self.null, len(x_t), x_t.device)
        time = as_time(t, x_t)
        timestep = self.process.schedule.timestep(time).to(torch.float32).to(x_t.device).flatten().expand(len(x_t))
        scaled = self.parameterisation.scaled(self.process, self.process.unseen.left_out(x_t), t)
        # The network is asked in its own precision, whatever the sampler works in.
        own = self.dtype or x_t.dtype
        shown = {name: value.to(own) if value.is_floating_point() else value for name, value in told.items()}
        timestep = timestep.double() if self.dtype == torch.float64 else timestep
        out = as_tensor(self.network(scaled.to(own), timestep, **shown))
        if out.shape != x_t.shape:
            raise InputError(
                f"the network returned shape {tuple(out.shape)} for images {tuple(x_t.shape)}; give one of"
                " as many channels"
            )
        return out.to(x_t.dtype)

    def target(self, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """What `output` should be for a known image and noise."""
        return self.parameterisation.target(self.process, x_0, eps, t)

    def to_x0(self, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that a network output stands for."""
        return self.parameterisation.to_x0(self.process, output, x_t, t)

    def gain(self, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of the clean image by the network's output."""
        return self.parameterisation.gain(self.process, x_t, t)

    @property
    def _parameter(self) -> Tensor | None:
        return next(self.network.parameters(), None) if isinstance(self.network, nn.Module) else None


def as_tensor(output: object) -> Tensor:
    """The tensor that a network's output is, holds as `sample`, or begins with.

    Raises:
        InputError: If there is none.
    """
    if isinstance(output, Tensor):
        return output
    first = getattr(output, "sample", None)
    if first is None and isinstance(output, (tuple, list)) and output:
        first = output[0]
    if not isinstance(first, Tensor):
        raise InputError(f"the network returned {type(output).__name__}; it must return a tensor like its input")
    return first
