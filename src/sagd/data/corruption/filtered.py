"""What damage that is filtered Gaussian noise has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from sagd.data.corruption.base import Corruption, Shape
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.random import Generator, randn


class Filtered(Corruption):
    """Gaussian noise, white in its band."""

    level: float
    grey: ClassVar[bool] = False
    """Whether all channels share one draw."""

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """White noise, filtered by the band."""
        basis = FourierBasis(shape[1:])
        amplitude = self.spectrum((1, *shape[1:]), seed).sqrt().float()
        white = randn((len(generators), 1 if self.grey else shape[0], *shape[1:]), generators)
        return basis.inverse(amplitude * basis.forward(white)).expand(-1, shape[0], *shape[1:])

    def spectrum(self, shape: Shape, seed: int = 0) -> Tensor:
        """`level^2` over the share of frequencies, in the band."""
        basis = FourierBasis(shape[1:])
        b = mask(self.band(shape[1:], seed), basis)
        share = float((b * basis.multiplicity()).sum()) / math.prod(shape[1:])
        return (self.level**2 / share * b).expand(shape[0], *basis.coefficients)
