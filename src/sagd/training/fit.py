"""Training any network on any data: a plain loop over steps, each a function of the weights and of (seed, step, rank).

Because nothing random is carried along, a run that was killed at any step and goes on from a snapshot gives the same
weights, averages and optimiser state bit for bit (on devices whose kernels are deterministic), in one process or
several. What else a run does, from progress to checkpoints, are callbacks.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from sagd.errors import DivergenceError, InputError, argument
from sagd.interrupt import SIGNALS, Interrupted
from sagd.model.denoiser import NetworkDenoiser
from sagd.random import device_generator, seed_for
from sagd.training.average import Average
from sagd.training.batches import Batches, json_ready
from sagd.training.runtime import OneProcess, Runtime


@dataclass(frozen=True)
class Budget:
    """How long a network is trained, and how its weights move.

    Attributes:
        steps: Optimiser steps.
        lr: Peak learning rate of AdamW.
        warmup_steps: Steps of linear warm-up to it.
        lr_decay: "linear" falls to 0 after the last step; "none" stays.
        weight_decay: That of AdamW.
        clip_norm: Largest gradient norm.
        ema_decay: Decay of the averaged weights, once warmed up.
        seed: Seed of order, times, noise and dropout.

    Raises:
        InputError: Naming the setting that cannot train.
    """

    steps: int = 2000
    lr: float = 1e-3
    warmup_steps: int = 100
    lr_decay: str = "none"
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        for f in fields(self):
            value, whole = getattr(self, f.name), f.type == "int"
            if f.type != "str" and (isinstance(value, bool) or not isinstance(value, int if whole else (int, float))):
                raise InputError(f"{argument(f.name)} must be a {'whole ' * whole}number, got {value!r}")
        for name, fits, what in (
            ("steps", self.steps >= 1, "at least 1"),
            ("lr", 0 < self.lr < math.inf, "positive"),
            ("warmup_steps", self.warmup_steps >= 0, "at least 0"),
            ("lr_decay", self.lr_decay in ("none", "linear"), "none or linear"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("clip_norm", 0 < self.clip_norm < math.inf, "positive"),
            ("ema_decay", 0 <= self.ema_decay < 1, "in [0, 1)"),
            ("seed", self.seed >= 0, "at least 0"),
        ):
            if not fits:
                raise InputError(f"{argument(name)} must be {what}, got {getattr(self, name)}")


def learning_rate(budget: Budget, step: int) -> float:
    """Linear warm-up to `lr`, times what `lr_decay` leaves; a function of the step alone.

    >>> budget = Budget(lr=1.0, warmup_steps=2, steps=5, lr_decay="linear")
    >>> [round(learning_rate(budget, step), 3) for step in (1, 2, 3, 4, 5)]
    [0.5, 0.8, 0.6, 0.4, 0.2]
    """
    left = (budget.steps - step + 1) / budget.steps if budget.lr_decay == "linear" else 1.0
    return budget.lr * min(1.0, step / max(1, budget.warmup_steps)) * left


@dataclass(frozen=True)
class Step:
    """What a step was like.

    Attributes:
        number: 1, 2, ...
        loss: Mean over all processes.
        grad_norm: Norm of the gradient before clipping; may be infinite where a gradient scaler skipped the step.
        lr: Learning rate.
        items: Fields in the batch, over all processes.
        last: Whether it is the last one of the run.
        stop: A signal that a process received, or 0; the run stops once callbacks have seen the step.
        waited: Seconds that this process waited for its share of the batch.
    """

    number: int
    loss: float
    grad_norm: float
    lr: float
    items: int
    last: bool
    stop: int
    waited: float


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to go on.

    Attributes:
        step: Optimiser steps done.
        tensors: Those of the run, not copies: group -> name -> tensor: "weights", "ema", "optimizer", "data".
        state: JSON values.
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


class Callback:
    """What happens beside the steps, on every process alike; a member fills in the hooks that it needs."""

    def start(self, fit: Fit) -> None:
        """Before the first step of this process."""

    def after(self, fit: Fit, step: Step) -> None:
        """After each step."""

    def end(self) -> None:
        """After the last step, or what stopped the run before."""

    def snapshot(self) -> dict[str, Any]:
        """JSON values that belong to a snapshot."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take them back, when a run is resumed that had such a callback.

        Raises:
            InputError: If they cannot be those of this callback.
        """


class Loss(Protocol):
    """The loss of a batch, see `sagd.training.objective`."""

    def __call__(self, denoiser: Any, x_0: Tensor, condition: Any, generator: Any) -> Tensor:
        """A scalar."""


@final
class Fit:
    """A training: the network, its average, and the steps that move them.

    Args:
        denoiser: Around the network to train.
        loss: Loss of a batch.
        batches: Batches of this process.
        budget: Steps and optimiser.
        runtime: Device, precision and processes; default: one process on the network's device.
        callbacks: What happens beside the steps, in this order.
        stop: Asked after every step: the signal that this process received, or 0.
        compile: Makes of the network what a step calls; its weights stay those of the network.

    Attributes:
        step: Steps done.
        network: The network that is trained.
        averaged: The denoiser from averaged weights, in evaluation mode.
        batches: Batches.
        runtime: Runtime.
        budget: Budget.
    """

    def __init__(
        self,
        denoiser: NetworkDenoiser,
        loss: Loss,
        batches: Batches,
        budget: Budget,
        runtime: Runtime | None = None,
        callbacks: Sequence[Callback] = (),
        stop: Callable[[], int] = lambda: 0,
        compile: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        self.runtime = runtime or OneProcess(denoiser.device)
        self.loss, self.batches, self.budget, self.callbacks = loss, batches, budget, list(callbacks)
        self.network = denoiser.module.to(self.runtime.device).train()
        trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        if not trained:
            raise InputError(f"the network {type(self.network).__name__} has no weights to train")
        for name, weight in trained.items():
            if weight.dtype != torch.float32:
                raise InputError(
                    f"weight {name!r} of the network is {str(weight.dtype).removeprefix('torch.')}; train it in"
                    " float32, network.float(), and choose its arithmetic by precision"
                )
        self._names, self._parameters = list(trained), list(trained.values())
        self.average = Average(self.network, budget.ema_decay)
        self._adam = torch.optim.AdamW(self._parameters, lr=budget.lr, weight_decay=budget.weight_decay, fused=True)
        called = self.network if compile is None else compile(self.network)
        prepared, self._optimizer = self.runtime.prepare(called, self._adam)
        self._denoiser = denoiser.around(prepared)
        self.averaged = denoiser.around(self.average.network)
        self._stop = stop
        self.step = 0

    def run(self) -> NetworkDenoiser:
        """Train from the present step to the last; the denoiser from averaged weights.

        Raises:
            DivergenceError: On a non-finite loss or gradient, before it has touched weights or averages.
            Interrupted: When `stop` gives a signal, once callbacks have seen the step.
        """
        device = self.runtime.device
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
            # Whatever mode the caller is in: one that an interrupt has left, too.
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.callback(self.batches.close)
            for callback in self.callbacks:
                stack.callback(callback.end)
                callback.start(self)
            while self.step < self.budget.steps:
                done = self.advance()
                for callback in self.callbacks:
                    callback.after(self, done)
                if done.stop:
                    raise Interrupted(done.stop, resumable=True)
        return self.averaged

    def advance(self) -> Step:
        """Take one optimiser step.

        Raises:
            DivergenceError: Before weights and averages are touched.
        """
        number, seed, rank = self.step + 1, self.budget.seed, self.runtime.rank
        begun = time.perf_counter()
        x, condition = self.batches(number)
        waited = time.perf_counter() - begun
        if number < self.budget.steps:
            self.batches.expect(number + 1)
        x = x.to(self.runtime.device, non_blocking=True)
        # Whatever the network draws by itself, as dropout does.
        torch.manual_seed(seed_for(seed, "network", number, rank))
        loss = self.loss(
            self._denoiser, x, condition.to(x.device), device_generator(x.device, seed, "noise", number, rank)
        )
        self.runtime.backward(loss)
        norm = self.runtime.clip(self._optimizer, self._parameters, self.budget.clip_norm)
        loss_value, norm_value, items, stop = self.agree(loss.detach(), norm, len(x))
        self._refuse_divergence(number, loss_value, norm_value)
        lr = learning_rate(self.budget, number)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        if self.runtime.step(self._optimizer):
            self.average.update(self.network)
        self._optimizer.zero_grad()
        self.step = number
        return Step(number, loss_value, norm_value, lr, items, number == self.budget.steps, stop, waited)

    def heed(self) -> None:
        """Stop, on all processes, if one of them received a signal since the last step."""
        nothing = torch.zeros((), device=self.runtime.device)
        *_, stop = self.agree(nothing, nothing, 0)
        if stop:
            raise Interrupted(stop, resumable=True)

    def agree(self, loss: Tensor, norm: Tensor, items: int) -> tuple[float, float, int, int]:
        """Mean loss, gradient norm, items and the signal of any process, alike on all; one transfer from the device."""
        measured, received = torch.stack([loss.float(), norm.float()]), self._stop()
        processes = self.runtime.processes
        if processes == 1:
            loss_value, norm_value = measured.tolist()
            return loss_value, norm_value, items, received
        raised = torch.tensor([float(items), *(float(received == number) for number in SIGNALS)], device=loss.device)
        loss_sum, norm_sum, total, *counts = self.runtime.total(torch.cat([measured, raised])).tolist()
        stop = next((int(number) for number, count in zip(SIGNALS, counts, strict=True) if count), 0)
        return loss_sum / processes, norm_sum / processes, int(total), stop

    def snapshot(self) -> Snapshot:
        """All that the run needs to go on from the present step; to be asked for on all processes.

        Raises:
            InputError: If the state of a loader or a callback cannot be kept.
        """
        moments, scaler = self._adam.state_dict()["state"], self.runtime.scaler
        data, position = self.batches.snapshot()
        tensors = {
            "weights": self.network.state_dict(),
            "ema": self.average.network.state_dict(),
            "optimizer": {f"{self._names[i]}:{key}": value for i, own in moments.items() for key, value in own.items()},
            "data": data,
        }
        state = {
            "updates": self.average.updates,
            "scaler": None if scaler is None else scaler.state_dict(),
            "processes": self.runtime.processes,
            "positions": self.runtime.gather(position),
            "callbacks": {
                name: json_ready(c.snapshot(), f"the state of {name}") for name, c in self._named_callbacks()
            },
        }
        return Snapshot(self.step, tensors, state)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot whose tensors and values were found to fit.

        Raises:
            DataMismatchError: If the data is not that of then.
            InputError: If a callback finds a state that is not its own.
        """
        state = snapshot.state
        positions = state["positions"]
        own = positions[self.runtime.rank] if len(positions) == self.runtime.processes else None
        self.batches.restore(snapshot.tensors.get("data", {}), own)
        self.network.load_state_dict(snapshot.tensors["weights"])
        self.average.network.load_state_dict(snapshot.tensors["ema"])
        self.average.updates = state["updates"]
        moments: dict[int, dict[str, Tensor]] = {}
        index = {name: i for i, name in enumerate(self._names)}
        for key, value in snapshot.tensors.get("optimizer", {}).items():
            name, _, moment = key.rpartition(":")
            parameter = self._parameters[index[name]]
            # Files hold no layout, and the fused optimiser wants that of the weights.
            as_kept = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
            moments.setdefault(index[name], {})[moment] = as_kept
        self._adam.load_state_dict(self._adam.state_dict() | {"state": moments})
        if self.runtime.scaler is not None:
            self.runtime.scaler.load_state_dict(state["scaler"])
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                callback.restore(state["callbacks"][name])
        self.step = snapshot.step

    def parameters(self) -> dict[str, Tensor]:
        """The weights that move, by name."""
        return dict(zip(self._names, self._parameters, strict=True))

    def _named_callbacks(self) -> Iterator[tuple[str, Callback]]:
        """Callbacks by the name of their class, and a number if there are several of it."""
        seen: Counter[str] = Counter()
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] += 1
            yield (name if seen[name] == 1 else f"{name} {seen[name]}"), callback

    def _refuse_divergence(self, step: int, loss: float, norm: float) -> None:
        if not math.isfinite(loss):
            raise DivergenceError(step, loss)
        # With a gradient scaler, overflows are expected: it skips the step and lowers its scale.
        if not math.isfinite(norm) and self.runtime.scaler is None:
            raise DivergenceError(step, norm, "gradient norm")
