"""Tensors that are held, and what can be told of tensors without waiting for a device.

Everything that multiplies fields is made of numbers that never change: matrices of transforms, powers of weights, the
coefficients of a time. They are made in float64 on the CPU, and held as rounded to the type and moved to the device
that asks. `Holding` is the one place that keeps them, and never keeps one that was made while torch compiles or
transforms a function or pretends to compute: it would outlive the trace. A compiled function takes what is held as it
finds it, and makes the rest itself, at each call; so call once before compiling for a GPU.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

_WITHOUT_FLOAT64 = {"mps"}
"""Kinds of devices that have no float64."""


_WIDEST = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def complex_of(dtype: torch.dtype) -> torch.dtype:
    """The complex type of a real one, float32 or float64."""
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64."""
    return device.type not in _WITHOUT_FLOAT64


def exact_device(device: torch.device | str) -> torch.device:
    """Where what needs float64 is computed for a device: there if it can, else on the CPU."""
    device = torch.device(device)
    return device if has_float64(device) else torch.device("cpu")


def exact(x: Tensor) -> Tensor:
    """`x` in float64, on its device if that has it, else on the CPU."""
    return x.to(exact_device(x.device)).double()


def moved(x: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`x` of a type on a device, rounded before it is moved to where it might not fit as it is."""
    return x.to(dtype).to(device) if has_float64(x.device) else x.to(device).to(dtype)


def widened(x: Tensor, steep: bool = False) -> Tensor:
    """`x` in float32 or wider; in float64 if `steep`, on the CPU where its device has none."""
    if steep:
        return exact(x)
    return x if x.dtype == torch.float64 else x.to(torch.float32)


def is_plain(x: Tensor) -> bool:
    """Whether a tensor is what it seems, and not one of a transform such as `vmap`, or without values."""
    return type(x) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(x)


def holds(condition: Tensor) -> bool:
    """Whether a condition is true everywhere; taken for granted where one would have to wait for it, or cannot know.

    That is on other devices than the CPU, and while a function is compiled or transformed.
    """
    if torch.compiler.is_compiling() or condition.device.type != "cpu" or not is_plain(condition):
        return True
    return bool(condition.all())


class Holding:
    """Base of what holds tensors that never change; see `held`. They are not copied or pickled with it."""

    _held: dict[Any, Tensor]

    def __new__(cls, *arguments: Any, **named: Any) -> Self:
        """With nothing held; works for frozen classes too."""
        self = super().__new__(cls)
        object.__setattr__(self, "_held", {})
        return self

    def held(self, part: str, dtype: torch.dtype, device: torch.device, *arguments: Any) -> Tensor:
        """The tensor of an attribute, or of a method and its arguments, of a type and on a device; made once."""
        key = (part, dtype, device, *arguments)
        known = self._held.get(key)
        if known is not None:
            return known
        if torch.compiler.is_compiling():
            exact = self._held.get((part, _WIDEST.get(dtype, dtype), torch.device("cpu"), *arguments))
            return moved(self._source(part, *arguments) if exact is None else exact, dtype, device)
        with torch.inference_mode(False), torch.device("cpu"):  # what is held may serve in training later
            made = moved(self._source(part, *arguments), dtype, device)
        if is_plain(made):
            self._held[key] = made
        return made

    def _source(self, part: str, *arguments: Any) -> Tensor:
        source = getattr(self, part)
        return source if isinstance(source, Tensor) else source(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_held"}
