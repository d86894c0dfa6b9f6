"""An orthonormal mix of the channels in front of another basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis, build_basis
from sagd.noise.basis.real import multiply


@dataclass(frozen=True)
class ChannelBasis(Basis, kind="channels"):
    """An orthonormal mix of the channels, then another basis on the spatial axes of each new channel.

    Acts on `(*, C, *spatial)` and gives `(*, C, *coefficients)`; frequencies, multiplicities and symmetry are those of
    `inner`, in every channel.

    Args:
        spatial: Side lengths of the spatial axes.
        inner: Basis of the spatial axes, or its description, with or without `spatial`.
        matrix: Rows of an orthonormal `(C, C)` matrix, one per new channel; nested sequences or a tensor. It is used as
            it is, so that `inverse` is exact to the accuracy with which its rows are orthonormal.

    Raises:
        InputError: If `inner` is of another shape or mixes channels itself, or `matrix` is not orthonormal to 1e-6.

    >>> basis = ChannelBasis((4,), "cosine", [[0.6, 0.8], [-0.8, 0.6]])
    >>> basis.channels, basis.coefficients, tuple(basis.forward(torch.zeros(7, 2, 4)).shape)
    (2, (4,), (7, 2, 4))
    """

    inner: Basis
    matrix: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        inner = build_basis(self.inner, self.spatial)
        if inner.channels is not None:
            raise InputError(f"inner must act on the spatial axes alone, got {inner.kind!r}; multiply the two matrices")
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "matrix", _orthonormal_rows(self.matrix))

    @classmethod
    def decorrelating(cls, covariance: Tensor, inner: Basis) -> ChannelBasis:
        """The mix in which channels are uncorrelated: eigenvectors of their covariance, by decreasing variance.

        The largest entry of each row is made positive (the first of them, if several are as large).

        Args:
            covariance: Covariance of the channels, symmetric positive semi-definite `(C, C)`.
            inner: Basis of the spatial axes.

        Raises:
            InputError: If `covariance` is not such a matrix.
        """
        covariance = torch.as_tensor(covariance, dtype=torch.float64, device="cpu").detach()
        if covariance.ndim != 2 or len(covariance) != covariance.shape[-1] or not covariance.numel():
            raise InputError(f"channel covariance must be a matrix (C, C), got shape {tuple(covariance.shape)}")
        scale = covariance.abs().max()
        if not torch.isfinite(scale) or (covariance - covariance.T).abs().max() > 1e-6 * scale:
            raise InputError("channel covariance must be finite and symmetric")
        values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
        if values[0] < -1e-6 * scale:
            raise InputError(f"channel covariance must have no negative eigenvalues, got {values[0].item():.3g}")
        rows = vectors.T[values.argsort(descending=True, stable=True)]
        size = rows.abs()
        # Not argmax of the size: which of two equal entries is the larger is a matter of rounding.
        largest = (size > size.amax(1, keepdim=True) - 1e-6).double().argmax(1, keepdim=True)
        return cls(inner.spatial, inner, rows * rows.gather(1, largest).sign())

    @property
    def channels(self) -> int:
        """`C`."""
        return len(self.matrix)

    @property
    def mixing(self) -> tuple[tuple[float, ...], ...]:
        """The matrix."""
        return self.matrix

    @property
    def spatial_part(self) -> Basis:
        """`inner`."""
        return self.inner

    @property
    def is_fourier(self) -> bool:
        """As `inner`."""
        return self.inner.is_fourier

    @property
    def mirrored(self) -> tuple[int, ...]:
        """As `inner`."""
        return self.inner.mirrored

    @property
    def coefficients(self) -> tuple[int, ...]:
        """Those of `inner`, in each channel."""
        return self.inner.coefficients

    def forward(self, x: Tensor) -> Tensor:
        """`(*, C, *spatial) -> (*, C, *coefficients)`."""
        self._require_trailing(x, self.spatial)
        return self.inner.forward(multiply(self.held("_mix", x.dtype, x.device), x, -self.rank - 1))

    def inverse(self, c: Tensor) -> Tensor:
        """`(*, C, *coefficients) -> (*, C, *spatial)`."""
        self._require_trailing(c, self.coefficients)
        x = self.inner.inverse(c)
        return multiply(self.held("_mix", x.dtype, x.device).T, x, -self.rank - 1)

    def frequencies(self) -> Tensor:
        """Those of `inner`."""
        return self.inner.frequencies()

    def multiplicity(self) -> Tensor:
        """That of `inner`."""
        return self.inner.multiplicity()

    def check_symmetry(self, weights: Tensor) -> None:
        """The condition of `inner`, in each channel."""
        self.inner.check_symmetry(weights)

    def _mix(self) -> Tensor:
        """The matrix `(C, C)`."""
        return torch.tensor(self.matrix, dtype=torch.float64)


def _orthonormal_rows(matrix: Any) -> tuple[tuple[float, ...], ...]:
    """Rows of a square orthonormal matrix as plain numbers. By numpy: `torch.compile` may build a basis anew."""
    try:
        values = np.asarray(matrix.detach().cpu() if isinstance(matrix, Tensor) else matrix, np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"channel matrix must be rows of numbers, got {matrix!r}; e.g. [[0.6, 0.8], [-0.8, 0.6]]"
        ) from None
    if values.ndim != 2 or len(values) != values.shape[-1] or not values.size:
        raise InputError(f"channel matrix must be square (C, C), got shape {values.shape}")
    error = float(np.abs(values @ values.T - np.eye(len(values))).max())
    if not error <= 1e-6:
        raise InputError(
            f"rows of the channel matrix are orthonormal to {error:.3g} only, 1e-6 is needed; see torch.linalg.qr"
        )
    # Adding zero turns -0.0 into 0.0: equal matrices have equal JSON.
    return tuple(tuple(value + 0.0 for value in row) for row in values.tolist())
