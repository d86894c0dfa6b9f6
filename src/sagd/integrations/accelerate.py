"""Device, precision and the processes of a run; those of many through accelerate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, final

import torch
from torch import Tensor, nn

from sagd.errors import InputError, argument
from sagd.optional import need
from sagd.training.runtime import OneProcess, Runtime, check_precision, in_precision

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")

_FLAG = ("true", "false", "1", "0")
_IDLE = {
    "DYNAMO_BACKEND": ("no",),
    "DYNAMO_MODE": ("default",),
    "CPU_AFFINITY": _FLAG,
    "DEBUG_MODE": _FLAG,
    "LOG_LEVEL": ("debug", "info", "warning", "error", "critical"),
}
"""Variables of accelerate and the values that change no result; others may say "false" alone."""
_INSTEAD = {
    "MIXED_PRECISION": "precision",
    "USE_CPU": "device",
    "GRADIENT_CLIPPING": "clip_norm",
    "GRADIENT_ACCUMULATION_STEPS": "batch_size",
    "DYNAMO_BACKEND": "compile of sagd.Fit",
}


@final
class Accelerated(Runtime):
    """The runtime of many processes, which `torchrun` starts.

    Args:
        accelerator: Device and communication, and the scaler of fp16.
        precision: As for `OneProcess`.
    """

    def __init__(self, accelerator: Accelerator, precision: str) -> None:
        self._accelerator = accelerator
        self.device, self.precision = accelerator.device, precision
        self.rank, self.processes = accelerator.process_index, accelerator.num_processes

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """That of fp16."""
        return self._accelerator.scaler

    def prepare(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """By `Accelerator.prepare`."""
        return self._accelerator.prepare(in_precision(network, self.precision), optimizer)

    def backward(self, loss: Tensor) -> None:
        """By `Accelerator.backward`."""
        self._accelerator.backward(loss)

    def clip(self, optimizer: Any, parameters: Sequence[nn.Parameter], norm: float) -> Tensor:
        """By `Accelerator.clip_grad_norm_`."""
        return self._accelerator.clip_grad_norm_(parameters, norm)

    def step(self, optimizer: Any) -> bool:
        """The wrapped optimiser knows whether the scaler skipped."""
        optimizer.step()
        return not optimizer.step_was_skipped

    def total(self, values: Tensor) -> Tensor:
        """By `Accelerator.reduce`."""
        return self._accelerator.reduce(values, "sum")

    def gather(self, value: T) -> list[T]:
        """By `accelerate.utils.gather_object`."""
        need("accelerate")
        from accelerate.utils import gather_object

        return list(gather_object([value]))

    def on_first(self, action: Callable[[], T]) -> T | None:
        """The error, if there is one, is broadcast."""
        result: list[T] = []
        self.shared(lambda: result.append(action()))
        return result[0] if result else None

    def shared(self, action: Callable[[], T]) -> T:
        """The result or the error is broadcast."""
        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = action()
            except InputError as error:
                told[1] = error
        if self.processes > 1:
            need("accelerate")
            from accelerate.utils import broadcast_object_list

            broadcast_object_list(told)
        if told[1] is not None:
            raise told[1]
        return told[0]


@contextlib.contextmanager
def runtime(device: str, precision: str, batch_size: int) -> Iterator[Runtime]:
    """The runtime of this process: alone, or with those that `torchrun` started beside it.

    Args:
        device: "cpu" for that; otherwise the accelerator that there is.
        precision: "no", "bf16", "fp16" or "auto".
        batch_size: Items per step, over all processes.

    Raises:
        InputError: If the device cannot do the precision, the processes do not fit the batch, or a variable of the
            environment would change the training.
    """
    _check_environment(device, precision)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield OneProcess(device, precision)
        return
    need("accelerate")
    from accelerate.state import AcceleratorState, PartialState

    # accelerate keeps device and precision for the life of a process; the next run may want others.
    ours = not AcceleratorState._shared_state
    try:
        accelerator = _start(device, precision)
        _check(precision, batch_size, accelerator)
        yield Accelerated(accelerator, precision)
    finally:
        if ours and PartialState._shared_state:
            AcceleratorState._reset_state(reset_partial_state=PartialState().num_processes == 1)


def _check_environment(device: str, precision: str) -> None:
    """Refuse what accelerate reads from the environment: there it wins over arguments, and no file of the run says so.

    What `accelerate launch` sets without options passes, and so does what the configuration asks for too.
    """
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    asked = {
        "MIXED_PRECISION": ("fp16",) if precision == "fp16" else ("no", precision),
        "GRADIENT_ACCUMULATION_STEPS": ("1",),
        "USE_CPU": ("true", "false") if on_cpu else ("false",),
    }
    idle = _IDLE | asked
    for variable, value in sorted(os.environ.items()):
        name = variable.removeprefix("ACCELERATE_")
        if name == variable or value.lower() in idle.get(name, ("false",)):
            continue
        instead = f", and set {argument(_INSTEAD[name])} instead" if name in _INSTEAD else ""
        raise InputError(
            f"the environment sets {variable}={value!r}, which changes the training behind its configuration;"
            f" unset it{instead}"
        )


def _start(device: str, precision: str) -> Accelerator:
    need("accelerate")
    from accelerate import Accelerator

    # Without cpu=True and without an accelerator, accelerate would silently run each process of `torchrun` on its own.
    cpu = device == "cpu" or not torch.accelerator.is_available()
    try:
        return Accelerator(cpu=cpu, mixed_precision="fp16" if precision == "fp16" else "no")
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{argument('precision')} {precision!r} does not work on this device: {reason}") from None


def _check(precision: str, batch_size: int, accelerator: Accelerator) -> None:
    started, joined = int(os.environ.get("WORLD_SIZE", 1)), accelerator.num_processes
    if started != joined:
        raise InputError(
            f"WORLD_SIZE is {started} but {joined} process{'es' * (joined > 1)} joined; use torchrun --nproc-per-node"
        )
    if batch_size % joined:
        below = batch_size // joined * joined
        near = f"{below} or {below + joined}" if below else f"{joined}"
        raise InputError(f"{argument('batch_size')} {batch_size} does not divide among {joined} processes; use {near}")
    check_precision(precision, accelerator.device)
