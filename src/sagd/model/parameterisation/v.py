"""The direction in which signal turns into noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.model.parameterisation.base import Direct
from sagd.noise.operator import Coefficient
from sagd.process.base import Process, Time


@dataclass(frozen=True)
class V(Direct, kind="v"):
    """`v = alpha eps_w - sigma x_0`.

    Source: "Progressive Distillation for Fast Sampling of Diffusion Models" (Salimans & Ho, 2022).
    """

    def of_pair(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """`alpha eps - sigma x_0`."""
        return process.alpha(t, x_0) * eps - process.sigma(t, x_0) * x_0

    def image(self, process: Process, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`(alpha x_t - sigma v) / (alpha^2 + sigma^2)`."""
        alpha, sigma = process.alpha(t, x_t), process.sigma(t, x_t)
        return (alpha * x_t - sigma * value) / (alpha**2 + sigma**2)

    def slope(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """`-sigma / (alpha^2 + sigma^2)`."""
        alpha, sigma = process.alpha(t, x_t), process.sigma(t, x_t)
        return -sigma / (alpha**2 + sigma**2)
