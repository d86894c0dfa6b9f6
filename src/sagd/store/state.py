"""What a checkpoint says of its run, read strictly: whatever does not fit is refused before anything is restored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.build.text import from_dict
from sagd.errors import InputError
from sagd.networks.weights import check_layout, check_numbers
from sagd.training.fit import Snapshot


@dataclass(frozen=True)
class RunState:
    """JSON state of a checkpoint.

    Attributes:
        updates: Steps that reached weights and averages; with a gradient scaler some are skipped.
        scaler: State of the gradient scaler, if there is one.
        processes: Number of processes.
        positions: Where the loader of each process was; None for one that does not say.
        callbacks: State of each callback.
        fixed: Settings that must not change.
        model: Description of the model, and of its moments.
    """

    updates: int
    scaler: dict[str, Any] | None
    processes: int
    positions: tuple[Any, ...]
    callbacks: dict[str, dict[str, Any]]
    fixed: dict[str, Any]
    model: dict[str, dict[str, Any]]


def read_state(snapshot: Snapshot) -> RunState:
    """The state of a checkpoint.

    Raises:
        InputError: Naming the entry that cannot be one.
    """
    state = from_dict(RunState, dict(snapshot.state))
    # A gradient scaler skips steps.
    least = snapshot.step if state.scaler is None else 0
    if not least <= state.updates <= snapshot.step:
        raise InputError(f"updates is {state.updates}, of {snapshot.step} steps")
    if len(state.positions) != state.processes:
        raise InputError(f"positions are of {len(state.positions)} processes, not {state.processes}")
    for name in ("described", "measured"):
        if name not in state.model:
            raise InputError(f"model.{name} is missing")
    if not isinstance(state.model["described"].get("process"), dict):
        raise InputError("model.described.process is missing")
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
