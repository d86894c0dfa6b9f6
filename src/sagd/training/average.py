"""Averaged weights, from which samples are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sagd.errors import InputError

_POWER = 3 / 4
"""Warm-up of the decay: the average of `n` updates forgets as `1 - (1 + n)^-power` until `decay` is reached."""


@final
class Average:
    """Exponential moving average of a network's weights; buffers are copied.

    Args:
        network: Network, on its device.
        decay: Share of the average that an update keeps, once warmed up.

    Raises:
        InputError: If `decay` is not in [0, 1), or the network cannot be copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"ema_decay must be in [0, 1), got {decay}")
        self.decay, self.updates = decay, 0
        try:
            self._model = AveragedModel(network, multi_avg_fn=self._mix)
        except (RuntimeError, TypeError) as error:
            raise InputError(f"the network cannot be copied for its average: {str(error).splitlines()[0]}") from None
        self.network: nn.Module = self._model.module.eval().requires_grad_(False)

    def update(self, network: nn.Module) -> None:
        """Take in the present weights."""
        # The first update copies.
        self._model.n_averaged.fill_(self.updates)
        self._model.update_parameters(network)
        self.updates += 1

    @torch.no_grad()
    def _mix(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _: Tensor | int) -> None:
        decay = min(self.decay, 1 - (1 + self.updates) ** -_POWER)
        torch._foreach_lerp_(list(averages), list(weights), 1 - decay)
