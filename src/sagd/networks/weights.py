"""Tensors that were read from files: whether they are those that a network, or whatever else they are for, needs.

Torch's own loading turns any type into the network's and lets NaN pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from torch import Tensor

from sagd.errors import InputError, one_line

UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError),
    SafetensorError,
)
"""What reading a file raises whose content is of another kind; also nesting too deep, which is a RuntimeError."""


def check_layout(found: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    """Refuse tensors with other names, shapes or types than the needed ones.

    Raises:
        InputError: Naming the first tensor that differs.
    """
    for name, tensor in needed.items():
        if name not in found:
            raise InputError(f"tensor {name!r} is missing")
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise InputError(f"tensor {name!r} is {_kind(found[name])}, not {_kind(tensor)}")
    for name in found:
        if name not in needed:
            raise InputError(f"tensor {one_line(name)!r} is one too many")


def check_numbers(found: Mapping[str, Tensor]) -> None:
    """Refuse tensors that hold NaN or infinity.

    Raises:
        InputError: Naming the first one.
    """
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"tensor {one_line(name)!r} holds NaN or infinity")


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
