"""Where a training runs: its device and precision, and how its processes talk.

`OneProcess` needs torch alone; `sagd.integrations.accelerate` has the runtime of many.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from sagd.errors import InputError, argument

T = TypeVar("T")

PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Types of a network's arithmetic by name."""
MEASURED = ("no", "bf16")
"""Those that "auto" chooses among."""
_ROUNDS, _CLEARLY = 3, 1.3
"""Steps that are timed of each precision, and the ratio from which the lower one is worth its rounding."""
_SLOWER = 4.0
"""Times as slow as float32, and a second more, from which on bf16 is not tried again."""


class Runtime(ABC):
    """What a training asks of the machine.

    Attributes:
        device: Where network and batches live.
        precision: A name of `PRECISIONS`, for the network alone: weights, noise and loss stay float32. Until it is
            settled it may be "auto".
        rank: Number of this process; the first one, 0, writes.
        processes: How many there are.
    """

    device: torch.device
    precision: str
    rank: int = 0
    processes: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def settle(self, choose: Callable[[], str]) -> None:
        """Choose the precision where it is "auto"; the first process does, for all."""
        if self.precision == "auto":
            self.precision = self.shared(choose)

    @property
    @abstractmethod
    def scaler(self) -> torch.amp.GradScaler | None:
        """The scaler of gradients in half precision; None for other types."""

    @abstractmethod
    def prepare(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The network as a step calls it, in its precision and over all processes, and the optimiser likewise."""

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, averaged over processes."""

    @abstractmethod
    def clip(self, optimizer: Any, parameters: Sequence[nn.Parameter], norm: float) -> Tensor:
        """Scale the gradients down to a norm at most; returns the one that they had, a scalar."""

    @abstractmethod
    def step(self, optimizer: Any) -> bool:
        """Move the weights; False where a gradient scaler skipped that because of an overflow."""

    @abstractmethod
    def total(self, values: Tensor) -> Tensor:
        """Sum over processes."""

    @abstractmethod
    def gather(self, value: T) -> list[T]:
        """A value of every process, by rank, on all of them."""

    @abstractmethod
    def on_first(self, action: Callable[[], T]) -> T | None:
        """Do something on the first process while the others wait; its `InputError` is raised on all of them.

        Returns:
            The result; None on the other processes.
        """

    @abstractmethod
    def shared(self, action: Callable[[], T]) -> T:
        """What the first process finds, for all; as `on_first`, but for the result."""


@final
class OneProcess(Runtime):
    """This process alone.

    Args:
        device: Device; "auto" takes the accelerator that there is.
        precision: A name of `PRECISIONS`, or "auto"; fp16 needs a GPU.

    Raises:
        InputError: If the device is unknown or cannot do the precision.
    """

    def __init__(self, device: torch.device | str = "auto", precision: str = "no") -> None:
        self.device, self.precision = as_device(device), precision
        check_precision(precision, self.device)
        self._scaler = torch.amp.GradScaler(self.device.type) if precision == "fp16" else None

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """That of fp16."""
        return self._scaler

    def prepare(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The network under autocast."""
        return in_precision(network, self.precision), optimizer

    def backward(self, loss: Tensor) -> None:
        """Gradients, scaled up in half precision until they are clipped."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def clip(self, optimizer: Any, parameters: Sequence[nn.Parameter], norm: float) -> Tensor:
        """By `torch.nn.utils.clip_grad_norm_`."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        return torch.nn.utils.clip_grad_norm_(parameters, norm)

    def step(self, optimizer: Any) -> bool:
        """The scaler lowers its scale where it skips."""
        if self._scaler is None:
            optimizer.step()
            return True
        before = self._scaler.get_scale()
        self._scaler.step(optimizer)
        self._scaler.update()
        return self._scaler.get_scale() >= before

    def total(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values

    def gather(self, value: T) -> list[T]:
        """That of this process."""
        return [value]

    def on_first(self, action: Callable[[], T]) -> T | None:
        """Do it."""
        return action()

    def shared(self, action: Callable[[], T]) -> T:
        """Find it."""
        return action()


def in_precision(network: nn.Module, precision: str) -> nn.Module:
    """The network with that arithmetic."""
    return network if precision == "no" else Autocast(network, precision)


@final
class Autocast(nn.Module):
    """A network whose arithmetic is in a lower precision; its weights are not.

    Args:
        network: Network.
        precision: A name of `PRECISIONS`.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Any:
        """As the network."""
        with torch.autocast(x.device.type, PRECISIONS[self.precision]):
            return self.network(x, *args, **named)


def as_device(device: torch.device | str) -> torch.device:
    """A device from its name; "auto" is the accelerator that there is, or the CPU.

    Raises:
        InputError: If torch knows no such device, or this machine has none.
    """
    if device == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        raise InputError(f"{argument('device')} {str(device)!r} is not on this machine; use auto or cpu") from None
    return found


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what the device cannot do.

    Raises:
        InputError: If the precision is unknown, or fp16 on the CPU.
    """
    if precision not in (*PRECISIONS, "auto"):
        raise InputError(f"{argument('precision')} must be one of auto, {', '.join(PRECISIONS)}; got {precision!r}")
    if precision == "fp16" and device.type == "cpu":
        raise InputError(f"{argument('precision')} 'fp16' needs a GPU; use 'bf16' or 'no' on the CPU")


@dataclass(frozen=True)
class Timing:
    """What a step takes on this machine.

    Attributes:
        full: Seconds in float32.
        half: Seconds in bf16.
    """

    full: float
    half: float

    @property
    def precision(self) -> str:
        """ "bf16" if that takes clearly less time, else "no"."""
        return "bf16" if self.half * _CLEARLY < self.full else "no"

    def line(self) -> str:
        """For people."""
        name = {"no": "float32"}.get(self.precision, self.precision)
        said = f"precision: {name}; a step took {self.full:.2g} s in float32, {self.half:.2g} s in bf16"
        little = self.precision == "no" and self.half < self.full
        return f"{said}, too little less to be worth its rounding" if little else said


def timed(network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Timing:
    """What a step takes in float32 and in bf16.

    Processors and GPUs with matrix units for bf16 are some times faster with it, others slower.

    Args:
        network: Network, on its device; a copy of it is measured.
        loss: The loss of a batch, of a network.
    """
    with torch.inference_mode(False):
        network = copy.deepcopy(network)
    called = {name: in_precision(network, name) for name in MEASURED}
    parameters = [p for p in network.parameters() if p.requires_grad]
    seconds: dict[str, list[float]] = {name: [] for name in called}
    device = parameters[0].device
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        # The first round prepares what the others reuse; then they alternate.
        for _ in range(1 + _ROUNDS):
            for name, one in called.items():
                begun = time.perf_counter()
                torch.autograd.grad(loss(one), parameters, allow_unused=True)
                if device.type != "cpu":
                    torch.accelerator.synchronize(device)
                seconds[name].append(time.perf_counter() - begun)
            if 1 + _SLOWER * max(seconds["no"]) < min(seconds["bf16"]):
                break  # some processors take minutes for a step of volumes in bf16
    return Timing(*(min(own[1:] or own) for own in seconds.values()))
