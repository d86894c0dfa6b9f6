"""What moire and hum have in common: plane waves."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots
from sagd.random import Generator, rand


@dataclass(frozen=True)
class Waves(Corruption):
    """Plane waves of random phase, at frequencies of whole cycles per side, in all channels alike."""

    level: float = 0.5
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(gaussian=False)

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """The sum of the waves."""
        spatial = shape[1:]
        frequencies, power = self._frequencies(spatial, seed)
        places = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in spatial], indexing="ij"))
        angle = 2 * math.pi * torch.einsum("kn,n...->k...", frequencies, places)
        phases = rand((len(generators), len(power)), generators, torch.float64)
        amplitude = (2 * power).sqrt() * self.level
        # cos(angle + phase), so that the waves are the same for all images.
        turn = 2 * math.pi * phases
        parts = (amplitude * turn.cos()) @ angle.cos().flatten(1) - (amplitude * turn.sin()) @ angle.sin().flatten(1)
        return parts.float().reshape(-1, 1, *spatial).expand(-1, shape[0], *spatial)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A spot at every frequency."""
        at = tuple(tuple(round(f, 4) for f in frequency) for frequency in self._frequencies(spatial, seed)[0].tolist())
        return Spots(at, round(0.5 / max(spatial), 4))

    @abstractmethod
    def _frequencies(self, spatial: Shape, seed: int) -> tuple[Tensor, Tensor]:
        """Frequencies `(K, n)` in cycles per sample, and shares of the power `(K,)`, float64."""
