"""What a checkpoint says of its run, read strictly: whatever does not fit is refused before anything is restored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.errors import InputError
from sagd.networks.weights import check_layout, check_numbers
from sagd.store.checkpoint import Checkpoint


@dataclass(frozen=True)
class RunState:
    """JSON state of a checkpoint.

    Attributes:
        ema_updates: Steps that reached weights and averages; with a gradient scaler some are skipped.
        losses: Of the steps since the last line of metrics.
        seconds: Since then.
        scaler: State of the gradient scaler, if there is one.
        processes: Number of processes.
        data: What must not change about the data.
        process: Forward process.
        config: Configuration.
    """

    ema_updates: int
    losses: tuple[float, ...]
    seconds: float
    scaler: dict[str, Any] | None
    processes: int
    data: dict[str, Any]
    process: dict[str, Any]
    config: RunConfig


def read_state(checkpoint: Checkpoint) -> RunState:
    """The state of a checkpoint.

    Raises:
        InputError: Naming the entry that cannot be one.
    """
    state = from_dict(RunState, checkpoint.state)
    # A gradient scaler skips steps.
    least = checkpoint.step if state.scaler is None else 0
    if not least <= state.ema_updates <= checkpoint.step:
        raise InputError(f"ema_updates is {state.ema_updates}, of {checkpoint.step} steps")
    if any(abs(loss) > torch.finfo(torch.float32).max for loss in state.losses):
        raise InputError("losses hold a number beyond float32")
    if state.seconds < 0:
        raise InputError(f"seconds is {state.seconds}")
    return state


def check_moments(found: Mapping[str, Tensor], parameters: Mapping[str, Tensor], updates: int) -> None:
    """Refuse moments that are not those that AdamW keeps of every parameter.

    Raises:
        InputError: Naming the first tensor that differs.
    """
    # The optimiser has none before its first update.
    if not found and not updates:
        return
    step = torch.empty((), device="meta")
    kept = {name: {"exp_avg": like, "exp_avg_sq": like, "step": step} for name, like in parameters.items()}
    needed = {f"{name}:{moment}": like for name, own in kept.items() for moment, like in own.items()}
    check_layout(found, needed)
    check_numbers(found)
    for name, value in found.items():
        if not name.endswith(":exp_avg") and (value < 0).any():
            raise InputError(f"tensor {name!r} is negative")


def check_scaler(found: Mapping[str, Any] | None, own: Mapping[str, Any]) -> None:
    """Refuse a state that is not that of a gradient scaler.

    Raises:
        InputError: If an entry is missing, unknown or of another kind.
    """
    kinds = {name: type(value) for name, value in own.items()}
    if found is None or {name: type(value) for name, value in found.items()} != kinds:
        raise InputError(f"scaler must hold {', '.join(own)}")
    if not all(0 <= value < math.inf for value in found.values()):
        raise InputError("scaler must hold positive numbers")
