"""The clean image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.model.parameterisation.base import Direct
from sagd.noise.operator import Coefficient
from sagd.process.base import Process, Time


@dataclass(frozen=True)
class X0(Direct, kind="x0"):
    """The clean image."""

    def of_pair(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The image."""
        return x_0

    def image(self, process: Process, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The prediction."""
        return value

    def slope(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """1."""
        return process.alpha(t, x_t) ** 0
