"""White noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.base import Covariance


class IsotropicCovariance(Covariance, kind="isotropic"):
    """White noise, `Sigma = variance * I`."""

    def __init__(self, shape: Sequence[int], variance: float = 1.0) -> None:
        super().__init__(shape)
        if not (math.isfinite(variance) and variance > 0):
            raise InputError(f"variance must be positive, got {variance}")
        self.variance = float(variance)

    @property
    def rank(self) -> int:
        """Full."""
        return self.size

    @property
    def trace(self) -> float:
        """`variance * size`."""
        return self.variance * self.size

    def sqrt(self, x: Tensor) -> Tensor:
        """`sqrt(variance) x`."""
        return self._scale(x, 0.5)

    def apply(self, x: Tensor) -> Tensor:
        """`variance x`."""
        return self._scale(x, 1.0)

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`x / sqrt(variance)`."""
        return self._scale(x, -0.5)

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`x / variance`."""
        return self._scale(x, -1.0)

    def project(self, x: Tensor) -> Tensor:
        """`x` itself."""
        return self._scale(x, 0.0)

    def logdet(self, pseudo: bool = False) -> float:
        """`size log(variance)`."""
        return self.size * math.log(self.variance)

    @property
    def is_white(self) -> bool:
        """Yes."""
        return True

    @property
    def is_stationary(self) -> bool:
        """Yes."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape, variance."""
        return {"kind": self.kind, "shape": list(self.shape), "variance": self.variance}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)

    @property
    def label(self) -> str:
        """White noise, and its variance if it is not 1."""
        return "flat" if self.variance == 1 else f"flat (variance {self.variance:g})"

    def _eigenvalues_in(self, basis: Basis) -> Tensor:
        """`variance` at every coefficient of any orthonormal basis."""
        return torch.full(basis.coefficients, self.variance, dtype=torch.float64)

    def _scale(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        return x if self.variance == 1 or power == 0 else x * self.variance**power
