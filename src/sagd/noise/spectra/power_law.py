"""Weights that follow a law in the radius, or in the frequency along each axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import in_range, require_finite


@dataclass(frozen=True)
class PowerLaw(Spectrum, kind="power_law"):
    """Power law `w = (r + epsilon)^alpha`; the noise's log PSD has slope `2 alpha` in log r.

    Negative `alpha` puts noise into low frequencies, positive into high ones. By default (`epsilon=None`) the radius of
    DC is floored at the lowest non-zero frequency of the grid. The paper's raw `epsilon=1e-10` makes the DC weight
    explode for negative `alpha` (1e5 at -0.5) and is available by stating it.

    Source: "Learning What Matters: Steering Diffusion via Spectrally Anisotropic Forward Noise" (arXiv:2510.09660),
    section 4.
    """

    measures: ClassVar[Mapping[str, str]] = {"epsilon": "frequency"}
    alpha: float = 0.0
    epsilon: float | None = None

    def __post_init__(self) -> None:
        require_finite("power_law alpha", self.alpha)
        if self.epsilon is not None:
            require_finite("power_law epsilon", self.epsilon)
            if self.epsilon <= 0:
                raise InputError(f"power_law epsilon must be positive, got {self.epsilon}; leave it out to floor DC")

    def weights(self, frequencies: Tensor) -> Tensor:
        """`max(r, r_min)^alpha`, or `(r + epsilon)^alpha` when `epsilon` is given."""
        r = torch.linalg.vector_norm(frequencies, dim=0)
        positive = r[r > 0]
        floored = torch.clamp(r, min=positive.min() if len(positive) else 1.0)
        w = (floored if self.epsilon is None else r + self.epsilon) ** float(self.alpha)
        return in_range(w, f"power_law alpha={self.alpha}")


@dataclass(frozen=True)
class ExponentialDecay(Spectrum, kind="exponential_decay"):
    """`w = exp(-beta r^2)`, `r` in cycles per sample; positive `beta` puts noise into low frequencies."""

    measures: ClassVar[Mapping[str, str]] = {"beta": "area"}
    beta: float = 1.0

    def __post_init__(self) -> None:
        require_finite("exponential_decay beta", self.beta)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`exp(-beta r^2)`."""
        w = torch.exp(-float(self.beta) * frequencies.square().sum(0))
        return in_range(w, f"exponential_decay beta={self.beta}")


@dataclass(frozen=True)
class AxisPowerLaw(Spectrum, kind="axis_power_law"):
    """A power law per axis, `w = prod_i max(|f_i|, f_min,i)^alpha_i`, e.g. time against space.

    `f_min,i` is the lowest non-zero frequency of axis `i`.

    Args:
        alphas: Exponent per spatial axis.
    """

    names_axes = True
    alphas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.alphas, (list, tuple)):
            object.__setattr__(self, "alphas", (self.alphas,))
        for alpha in self.alphas:
            require_finite("axis_power_law alpha", alpha)
        object.__setattr__(self, "alphas", tuple(map(float, self.alphas)))

    def weights(self, frequencies: Tensor) -> Tensor:
        """Product of the axes' power laws."""
        if len(self.alphas) != len(frequencies):
            raise InputError(
                f"axis_power_law has {len(self.alphas)} exponents, the data has {len(frequencies)} spatial axes"
            )
        w = torch.ones_like(frequencies[0])
        for f, alpha in zip(frequencies.abs(), self.alphas, strict=True):
            positive = f[f > 0]
            w = w * f.clamp(min=positive.min() if len(positive) else 1.0) ** alpha
        return in_range(w, f"axis_power_law alphas={self.alphas}")
