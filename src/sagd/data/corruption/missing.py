"""What damage that leaves out frequencies, others in every image, has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.noise.basis.fourier import FourierBasis
from sagd.random import Generator


class Missing(Corruption):
    """Frequencies that were never measured: what is missing is 0."""

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it: it is the image itself that is missing."""
        return Assumptions(zero_mean=False, gaussian=False, independent=False, alike=False)

    @abstractmethod
    def places(self, spatial: Shape, generators: Sequence[Generator]) -> Tensor:
        """Frequencies that each image lacks, bool `(B, *coefficients)`."""

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """None is added."""
        return torch.zeros(len(generators), *shape)

    def added(self, x: Tensor, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """Without what is missing."""
        return without(x, self.places(tuple(x.shape[2:]), generators))


def without(x: Tensor, missing: Tensor) -> Tensor:
    """Fields `(B, C, *spatial)` with 0 for the frequencies that each lacks, bool `(B, *coefficients)`."""
    basis = FourierBasis(tuple(x.shape[2:]))
    return basis.inverse(basis.forward(x) * ~missing.to(x.device)[:, None])
