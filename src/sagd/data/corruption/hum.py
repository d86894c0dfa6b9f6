"""Mains hum of whole cycles per record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.data.corruption.base import MOST_WAVES, Shape
from sagd.data.corruption.waves import Waves
from sagd.errors import InputError, check_whole


@dataclass(frozen=True)
class Hum(Waves, kind="hum"):
    """Mains hum along the last axis, with harmonics of falling power and random phase: for project and fill.

    On the grid: the frequency is rounded to whole cycles per record, as that of real hum is not, which wanders too: see
    `mains`. Harmonics beyond Nyquist are left out.

    Args:
        level: Root mean square of the hum.
        fixed: Phases drawn once per record.
        frequency: Of the fundamental, in cycles per sample (50 Hz sampled at 1 kHz: 0.05), or with a unit, '50 Hz'.
        harmonics: Number of frequencies, the fundamental included.
    """

    measures: ClassVar[Mapping[str, int]] = {"frequency": -1}
    turns: ClassVar[bool] = False
    frequency: float | str = 0.05
    harmonics: int = 4

    def __post_init__(self) -> None:
        self._check()
        self._require_numbers("frequency")
        if not isinstance(self.frequency, str) and not 0 < self.frequency < 0.5:
            raise InputError(f"hum frequency must lie in (0, 0.5) cycles per sample, got {self.frequency}")
        check_whole("hum harmonics", self.harmonics, 1, MOST_WAVES)

    def _frequencies(self, spatial: Shape, seed: int) -> tuple[Tensor, Tensor]:
        cycles = max(1, round(self._number("frequency") * spatial[-1]))
        numbers = [k for k in range(1, self.harmonics + 1) if 2 * k * cycles < spatial[-1]]
        if not numbers:
            raise InputError(
                f"hum of {cycles} cycles in {spatial[-1]} samples is beyond Nyquist; give a lower frequency"
            )
        along = torch.tensor(numbers, dtype=torch.float64) * cycles / spatial[-1]
        frequencies = torch.zeros(len(numbers), len(spatial), dtype=torch.float64)
        frequencies[:, -1] = along
        power = torch.tensor(numbers, dtype=torch.float64) ** -2
        return frequencies, power / power.sum()
