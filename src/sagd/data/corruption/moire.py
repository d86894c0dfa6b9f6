"""A few plane waves that close at the borders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.data.corruption.base import MOST_WAVES, Shape
from sagd.data.corruption.waves import Waves
from sagd.errors import InputError, check_whole
from sagd.random import generator_for, rand, randn


@dataclass(frozen=True)
class Moire(Waves, kind="moire"):
    """A few plane waves that all images share, each image with phases of its own: for project and fill.

    On the grid: frequencies are whole cycles per side of the window, so that the waves close at its borders. Real moire
    does not, and leaks beside its band: see `fringes`.

    Args:
        level: Root mean square of the pattern.
        fixed: Phases drawn once per image.
        waves: Number of waves.
        low: Least frequency, in cycles per sample.
        high: Largest.
    """

    waves: int = 3
    low: float = 0.15
    high: float = 0.35

    def __post_init__(self) -> None:
        self._check()
        check_whole("moire waves", self.waves, 1, MOST_WAVES)
        if not 0 < self.low < self.high <= 0.5:
            raise InputError(f"moire needs 0 < low < high <= 0.5 cycles per sample, got {self.low} and {self.high}")

    def _frequencies(self, spatial: Shape, seed: int) -> tuple[Tensor, Tensor]:
        g = generator_for(seed, "shared damage")
        direction = randn((self.waves, len(spatial)), g, torch.float64)
        direction /= torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        radius = self.low + (self.high - self.low) * rand((self.waves, 1), g, torch.float64)
        sides = torch.tensor(spatial, dtype=torch.float64)
        whole = (direction * radius * sides).round()
        # A wave that rounding would leave without a single cycle gets one.
        whole[(whole == 0).all(1), -1] = 1.0
        return whole / sides, torch.full((self.waves,), 1 / self.waves, dtype=torch.float64)
