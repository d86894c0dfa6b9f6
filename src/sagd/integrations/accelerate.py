"""Device, precision and the processes of a run, through accelerate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import torch

from sagd.errors import InputError

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
    "MIXED_PRECISION": "training.precision",
    "USE_CPU": "training.device",
    "GRADIENT_CLIPPING": "training.clip_norm",
    "GRADIENT_ACCUMULATION_STEPS": "training.batch_size",
    "DYNAMO_BACKEND": "training.compile",
}


@contextlib.contextmanager
def accelerate(device: str, precision: str, batch_size: int) -> Iterator[Accelerator]:
    """An Accelerator of the device and precision asked for, checked.

    Args:
        device: "cpu" for that; otherwise the accelerator that there is.
        precision: "no", "bf16" or "fp16".
        batch_size: Images per step, over all processes.

    Raises:
        InputError: If the device cannot do the precision, the processes do not fit the batch, or a variable of the
            environment would change the training.
    """
    _check_environment(device, precision)
    from accelerate.state import AcceleratorState, PartialState

    # accelerate keeps device and precision for the life of a process; the next run may want others.
    ours = not AcceleratorState._shared_state
    try:
        accelerator = _start(device, precision)
        _check(precision, batch_size, accelerator)
        yield accelerator
    finally:
        if ours:
            AcceleratorState._reset_state(reset_partial_state=PartialState().num_processes == 1)


def on_main(accelerator: Accelerator, action: Callable[[], T], share: bool = False) -> T | None:
    """Do something on the first process while the others wait; its `InputError` is raised on all of them.

    Returns:
        The result; None on the other processes unless `share`.
    """
    result: T | None = None
    error: InputError | None = None
    if accelerator.is_main_process:
        try:
            result = action()
        except InputError as raised:
            error = raised
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        error, shared = broadcast_object_list([error, result if share else None])
        result = shared if share else result
    if error is not None:
        raise error
    return result


def _check_environment(device: str, precision: str) -> None:
    """Refuse what accelerate reads from the environment: there it wins over arguments, and no file of the run says so.

    What `accelerate launch` sets without options passes, and so does what the configuration asks for too.
    """
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    asked = {
        "MIXED_PRECISION": (precision,),
        "GRADIENT_ACCUMULATION_STEPS": ("1",),
        "USE_CPU": ("true", "false") if on_cpu else ("false",),
    }
    idle = _IDLE | asked
    for variable, value in sorted(os.environ.items()):
        name = variable.removeprefix("ACCELERATE_")
        if name == variable or value.lower() in idle.get(name, ("false",)):
            continue
        instead = f", and set {_INSTEAD[name]} instead" if name in _INSTEAD else ""
        raise InputError(
            f"the environment sets {variable}={value!r}, which changes the training behind its configuration;"
            f" unset it{instead}"
        )


def _start(device: str, precision: str) -> Accelerator:
    from accelerate import Accelerator

    # Without cpu=True and without an accelerator, accelerate would silently run each process of `torchrun` on its own.
    cpu = device == "cpu" or not torch.accelerator.is_available()
    try:
        return Accelerator(cpu=cpu, mixed_precision=precision)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"training.precision {precision!r} does not work on this device: {reason}") from None


def _check(precision: str, batch_size: int, accelerator: Accelerator) -> None:
    started, joined = int(os.environ.get("WORLD_SIZE", 1)), accelerator.num_processes
    if started != joined:
        raise InputError(
            f"WORLD_SIZE is {started} but {joined} process{'es' * (joined > 1)} joined; use torchrun --nproc-per-node"
        )
    if batch_size % joined:
        below = batch_size // joined * joined
        near = f"{below} or {below + joined}" if below else f"{joined}"
        raise InputError(f"training.batch_size {batch_size} does not divide among {joined} processes; use {near}")
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise InputError("training.precision 'fp16' needs a GPU; use 'bf16' or 'no' on the CPU")
