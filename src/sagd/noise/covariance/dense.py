"""Any covariance as a matrix: the oracle of the others, for small fields."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.covariance.base import Covariance
from sagd.tensors import widened


class DenseCovariance(Covariance, kind="dense"):
    """Any covariance as an explicit matrix: the oracle of tests, and small problems of your own.

    Args:
        matrix: Symmetric positive semi-definite `(size, size)` on flattened fields; kept in float64.
        shape: `(C, *spatial)`.
        tolerance: Eigenvalues below `tolerance` times the largest count as zero.

    Raises:
        InputError: If the matrix has the wrong size, is not symmetric, or has negative eigenvalues.
    """

    def __init__(self, matrix: Tensor, shape: Sequence[int], tolerance: float = 1e-10) -> None:
        super().__init__(shape)
        matrix = matrix.to("cpu", torch.float64)
        if matrix.shape != (self.size, self.size):
            raise InputError(
                f"matrix must be ({self.size}, {self.size}) for shape {self.shape}, got {tuple(matrix.shape)}"
            )
        if not torch.isfinite(matrix).all() or not torch.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10):
            raise InputError("matrix must be finite and symmetric")
        values, self._vectors = torch.linalg.eigh(matrix)
        if values.min() < -tolerance * values.max() or values.max() <= 0:
            raise InputError(
                f"matrix must be positive semi-definite, its smallest eigenvalue is {values.min().item():.3g}"
            )
        self.matrix = matrix
        self._values = torch.where(values > tolerance * values.max(), values, 0.0)
        self._rank = int((self._values > 0).sum())

    @property
    def rank(self) -> int:
        """Number of non-zero eigenvalues."""
        return self._rank

    @property
    def trace(self) -> float:
        """Sum of eigenvalues."""
        return float(self._values.sum())

    def sqrt(self, x: Tensor) -> Tensor:
        """Symmetric root times `x`."""
        return self._function(x, 0.5)

    def apply(self, x: Tensor) -> Tensor:
        """Matrix times `x`."""
        return self._function(x, 1.0)

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """Symmetric inverse root times `x`."""
        self._refuse_singular(pseudo, "whitening")
        return self._function(x, -0.5)

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """Inverse times `x`."""
        self._refuse_singular(pseudo, "solving")
        return self._function(x, -1.0)

    def project(self, x: Tensor) -> Tensor:
        """Projection onto the eigenvectors with non-zero eigenvalues."""
        return self._function(x, 0.0)

    def logdet(self, pseudo: bool = False) -> float:
        """Sum of logs of non-zero eigenvalues."""
        self._refuse_singular(pseudo, "log-determinant")
        return float(self._values[self._values > 0].log().sum())

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape and a checksum of the matrix."""
        checksum = hashlib.sha256(self.matrix.numpy().tobytes()).hexdigest()
        return {"kind": self.kind, "shape": list(self.shape), "sha256": checksum}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        raise InputError("a dense covariance cannot be rebuilt: its description holds a checksum, not the matrix")

    def _function(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        flat = widened(x).flatten(-len(self.shape))
        return (flat @ self.held("_power", flat.dtype, x.device, power)).reshape(x.shape).to(x.dtype)

    def _power(self, power: float) -> Tensor:
        inside = self._values > 0
        values = torch.where(inside, self._values, 1.0) ** power * inside
        return (self._vectors * values) @ self._vectors.T
