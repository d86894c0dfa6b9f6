"""Moire and interference fringes as they are: between bins, bent, uneven."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.data.corruption.base import MOST_WAVES, Assumptions, Corruption, Shape
from sagd.data.corruption.canvas import GUARD, SLOPE, coordinates, keys, smooth
from sagd.errors import InputError, check_whole
from sagd.noise.basis.base import corner_radius
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Ring, Spots
from sagd.random import Generator, generator_for, rand, randn


@dataclass(frozen=True)
class Fringes(Corruption, kind="fringes"):
    """Moire as it is: a few waves between bins, slowly bent, of varying strength, in all channels alike.

    They leak beside their band, as all waves do that do not close at the borders: the band has a guard of 2.5 bins, and
    of what bending and unevenness make of a line.

    Args:
        level: Root mean square of the pattern.
        waves: Number of waves.
        low: Least frequency, in cycles per sample, or with a unit.
        high: Largest.
        at: Frequencies of the waves in cycles per sample, a number per spatial axis each, in place of drawn ones.
        bend: How far waves are bent, root mean square, in cycles.
        vary: How much their strength varies, root mean square, as a share of it.
        length: Distance over which they are bent and vary, in samples, or with a unit.
        spread: By how much frequencies differ from image to image, at most, in cycles per sample along an axis.
        alike: Whether all images share the frequencies, but for `spread`.
        fixed: Drawn once per image.
    """

    measures: ClassVar[Mapping[str, int]] = {"low": -1, "high": -1, "length": 1}
    level: float = 0.5
    waves: int = 3
    low: float | str = 0.15
    high: float | str = 0.35
    at: tuple[tuple[float, ...], ...] = ()
    bend: float = 0.25
    vary: float = 0.3
    length: float | str = 80.0
    spread: float = 0.0
    alike: bool = True
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(banded=False, gaussian=False, alike=self.alike and self.spread == 0)

    def __post_init__(self) -> None:
        self._check()
        self._require_numbers("length", "low", "high", "bend", "vary", "spread")
        check_whole("fringes waves", self.waves, 1, MOST_WAVES)
        known = not isinstance(self.low, str) and not isinstance(self.high, str)
        if known and not 0 < self.low < self.high <= 0.5:  # type: ignore[operator]
            raise InputError(f"fringes need 0 < low < high <= 0.5 cycles per sample, got {self.low} and {self.high}")
        if self.at:
            object.__setattr__(self, "at", Spots(self.at).at)

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """The sum of the waves, each a plane wave of a bent phase and a varying strength."""
        spatial, shared = shape[1:], generator_for(seed, "shared damage")
        at, common = coordinates(spatial), self._frequencies(len(spatial), shared)
        drawn = [self._drawn(at, common, g) for g in generators]
        return torch.stack(drawn).float().unsqueeze(1).expand(-1, *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A spot at every frequency; a ring where images have frequencies of their own."""
        bending = (1 + 3 * SLOPE * self.bend) / self._number("length") if self.bend or self.vary else 0.0
        guard = GUARD / min(spatial) + bending + self.spread * math.sqrt(len(spatial))
        if not self.alike and not self.at:
            low, high = self._number("low") - guard, self._number("high") + guard
            corner = corner_radius(len(spatial))
            return Ring(round(max(low, 0.0) / corner, 4), round(min(high / corner, 1.0), 4))
        frequencies = self._frequencies(len(spatial), generator_for(seed, "shared damage")).tolist()
        return Spots(tuple(tuple(round(f, 4) for f in frequency) for frequency in frequencies), round(guard, 4))

    def _drawn(self, at: Tensor, common: Tensor, g: Generator) -> Tensor:
        """The waves of one image, `(*spatial)`."""
        key = keys(g)
        own = common if self.alike or self.at else self._frequencies(len(at), g)
        own = own + self.spread * (2 * rand(own.shape, g, torch.float64) - 1)
        phases = rand((len(own),), g, torch.float64)
        slow = at / self._number("length")
        total = torch.zeros(at.shape[1:], dtype=torch.float64)
        for frequency, phase in zip(own, phases, strict=True):
            turns = torch.tensordot(frequency, at, dims=1) + phase
            bent = turns + self.bend * smooth(next(key), slow) if self.bend else turns
            strength = 1 + self.vary * smooth(next(key), slow) if self.vary else 1.0
            total += strength * torch.cos(2 * math.pi * bent)
        return self.level * math.sqrt(2 / len(own) / (1 + self.vary**2)) * total

    def _frequencies(self, rank: int, g: Generator) -> Tensor:
        """Frequencies of the waves, `(K, n)` in cycles per sample, float64."""
        if self.at:
            if len(self.at[0]) != rank or len({len(f) for f in self.at}) > 1:
                raise InputError(f"fringes at {list(self.at)} need a number for each of the {rank} spatial axes")
            return torch.tensor(self.at, dtype=torch.float64)
        direction = randn((self.waves, rank), g, torch.float64)
        direction /= torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        low, high = self._number("low"), self._number("high")
        return direction * (low + (high - low) * rand((self.waves, 1), g, torch.float64))
