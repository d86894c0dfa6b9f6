"""What real bases share: sides up to which matrix products are faster than transforms, and such a product."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.basis.base import Basis

DENSE_SIDE = 128
"""Up to this side length, transforms other than Fourier's are matrix products; above, they go through an FFT."""


@dataclass(frozen=True)
class RealBasis(Basis):
    """As many real coefficients as samples, each one degree of freedom, with no condition among them."""

    @property
    def coefficients(self) -> tuple[int, ...]:
        """The spatial shape itself."""
        return self.spatial

    @property
    def mirrored(self) -> tuple[int, ...]:
        """All axes."""
        return tuple(range(self.rank))

    def multiplicity(self) -> Tensor:
        """Ones."""
        return torch.ones(self.spatial, dtype=torch.float64)

    def check_symmetry(self, weights: Tensor) -> None:
        """Any real weights map real fields to real fields."""


def multiply(matrix: Tensor, x: Tensor, axis: int) -> Tensor:
    """The matrix times `x` along one axis, counted from the end; without copies of contiguous `x`."""
    if axis == -1:
        return x @ matrix.T
    return (matrix @ x.flatten(axis + 1)).reshape(x.shape)
