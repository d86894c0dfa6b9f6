"""The noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.parameterisation.base import Direct, require_signal
from sagd.noise.operator import Coefficient
from sagd.process.base import Process, Time


@dataclass(frozen=True)
class Eps(Direct, kind="eps"):
    """The noise `eps_w`."""

    def check(self, process: Process) -> None:
        """Refuse a schedule that leaves no signal at `t = 1`."""
        end = torch.zeros(1, *process.shape, dtype=torch.float64)
        if not (process.alpha(1.0, end) > 0).all():
            raise InputError(
                f"eps prediction cannot start at t = 1 of schedule {str(process.schedule)!r}, where no signal is left;"
                " use prediction x0, v, velocity or edm"
            )

    def of_pair(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The noise."""
        return eps

    def image(self, process: Process, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`(x_t - sigma eps) / alpha`."""
        alpha = process.alpha(t, x_t)
        require_signal("eps", process, alpha, t)
        return (x_t - process.sigma(t, x_t) * value) / alpha

    def slope(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """`-sigma / alpha`."""
        alpha = process.alpha(t, x_t)
        require_signal("eps", process, alpha, t)
        return -process.sigma(t, x_t) / alpha
