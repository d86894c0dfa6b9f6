"""The velocity of the path from image to noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.model.parameterisation.base import Direct
from sagd.noise.operator import Coefficient
from sagd.process.base import Process, Time


@dataclass(frozen=True)
class Velocity(Direct, kind="velocity"):
    """`dx_t/dt = alpha' x_0 + sigma' eps_w`, for fixed image and noise.

    Source: "Flow Matching for Generative Modeling" (Lipman et al., 2023).
    """

    def of_pair(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """`alpha' x_0 + sigma' eps`."""
        d_alpha, d_sigma = process.derivatives(t, x_0)
        return d_alpha * x_0 + d_sigma * eps

    def image(self, process: Process, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`(sigma' x_t - sigma velocity) / (alpha sigma' - alpha' sigma)`."""
        _, d_sigma = process.derivatives(t, x_t)
        return (d_sigma * x_t - process.sigma(t, x_t) * value) / _determinant(process, x_t, t)

    def slope(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """`-sigma / (alpha sigma' - alpha' sigma)`."""
        return -process.sigma(t, x_t) / _determinant(process, x_t, t)


def _determinant(process: Process, x: Tensor, t: Time) -> Coefficient:
    """Of the map from image and noise to `x_t` and its velocity."""
    d_alpha, d_sigma = process.derivatives(t, x)
    return process.alpha(t, x) * d_sigma - d_alpha * process.sigma(t, x)
