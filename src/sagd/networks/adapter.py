"""Networks of other libraries, called as `network(x, t, **condition)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sagd.errors import InputError
from sagd.model.denoiser import as_tensor

DIFFUSERS = {"labels": "class_labels", "embedding": "encoder_hidden_states"}
"""What diffusers calls our conditions."""


class Adapter(nn.Module):
    """A network with another signature, as `f(x, t, **condition)` that returns a tensor.

    >>> from sagd.networks.adapter import Adapter
    >>> network = Adapter(nn.Conv2d(1, 1, 3, padding=1), time=None)
    >>> network(torch.zeros(2, 1, 8, 8), torch.tensor([0.0, 1000.0])).shape
    torch.Size([2, 1, 8, 8])

    Args:
        network: Called as `network(x, time_scale * t, **renamed)`; returns a tensor, a tuple that begins with one, or
            an output of diffusers.
        names: Our name of a condition -> the name of its argument; other conditions keep their names.
        time_scale: Factor of the time: here `t` runs from 0 (data) to 1000 (noise), for a network whose time runs from
            0 to 1 it is 0.001.
        time: Name of the argument that takes the time; "" for the second position, None for networks without one.
        beside: Conditions that are no arguments but are shown beside `x`, on the channel axis.
        constants: Arguments that are the same in every call.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Mapping[str, str] | None = None,
        time_scale: float = 1.0,
        time: str | None = "",
        beside: Sequence[str] = ("image",),
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.names = dict(DIFFUSERS if names is None else names)
        self.time_scale = time_scale
        self.time = time
        self.beside = tuple(beside)
        self.constants = dict(constants or {})

    def forward(self, x: Tensor, t: Tensor, **condition: Tensor) -> Tensor:
        """The network's output `(B, C, *spatial)`.

        Args:
            x: `(B, C, *spatial)`.
            t: `(B,)`, 0 to 1000.
            condition: One value per sample of each name.

        Raises:
            InputError: If what is to be shown beside `x` does not lie on its grid.
        """
        shown = [x]
        for name in self.beside:
            if name in condition:
                shown.append(_on_grid_of(x, name, condition.pop(name)))
        arguments = self.constants | {self.names.get(name, name): value for name, value in condition.items()}
        at = [] if self.time is None else [self.time_scale * t]
        if self.time:
            arguments[self.time] = at.pop()
        return as_tensor(self.network(torch.cat(shown, dim=1) if len(shown) > 1 else x, *at, **arguments))


def _on_grid_of(x: Tensor, name: str, value: Tensor) -> Tensor:
    if value.ndim != x.ndim or value.shape[2:] != x.shape[2:]:
        raise InputError(
            f"condition {name!r} must lie on the grid of the data, (B, C, {', '.join(map(str, x.shape[2:]))}), got"
            f" shape {tuple(value.shape)}"
        )
    return value.to(x)
