"""Mains hum as it is: of wandering frequency, strength and harmonics."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.data.corruption.base import MOST_WAVES, Assumptions, Corruption, Shape
from sagd.data.corruption.canvas import GUARD, keys, smooth
from sagd.errors import InputError, check_whole
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Strip
from sagd.random import Generator, rand


@dataclass(frozen=True)
class Mains(Corruption, kind="mains"):
    """Mains hum as it is: its frequency wanders, and each harmonic varies in strength; along the last axis.

    The phase is the sum of all past frequencies, that of a harmonic a multiple of it. Lines are as wide as the
    frequency wanders, those of harmonics the wider. In all channels, and along all other axes, alike.

    Args:
        level: Root mean square of the hum.
        frequency: Of the fundamental, in cycles per sample, or with a unit, '50 Hz'.
        harmonics: Number of frequencies, the fundamental included; those beyond Nyquist are left out.
        wander: How far the frequency wanders, root mean square, as a share of it: some 0.0005 of a large grid.
        vary: How much the strength of each harmonic varies, root mean square, as a share of it.
        time: Over which it wanders and varies, in samples, or with a unit, '5 s'.
        spread: By how much the frequency differs from record to record, at most, as a share of it.
        fixed: Drawn once per record.
    """

    measures: ClassVar[Mapping[str, int]] = {"frequency": -1, "time": 1}
    turns: ClassVar[bool] = False
    level: float = 0.5
    frequency: float | str = 0.05
    harmonics: int = 4
    wander: float = 0.002
    vary: float = 0.3
    time: float | str = 1000.0
    spread: float = 0.0
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(banded=False, gaussian=False, alike=self.spread == 0)

    def __post_init__(self) -> None:
        self._check()
        self._require_numbers("time", "wander", "vary", "spread")
        self._require_numbers("frequency")
        if not isinstance(self.frequency, str) and not 0 < self.frequency < 0.5:
            raise InputError(f"mains frequency must lie in (0, 0.5) cycles per sample, got {self.frequency}")
        check_whole("mains harmonics", self.harmonics, 1, MOST_WAVES)

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """The sum of the harmonics."""
        times = torch.arange(shape[-1], dtype=torch.float64)
        drawn = torch.stack([self._drawn(times, g) for g in generators]).float()
        return drawn.reshape(-1, *(1,) * (len(shape) - 1), shape[-1]).expand(-1, *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A strip at every harmonic, wide enough for its wandering."""
        f, wide = self._number("frequency"), 3 * self.wander + self.spread
        slow = 1 / self._number("time") if self.wander or self.vary else 0.0
        axis, guard = len(spatial) - 1, GUARD / spatial[-1] + slow
        edges = [(k * f - k * f * wide - guard, k * f + k * f * wide + guard) for k in self._numbers()]
        strips = [Strip(axis, low=round(max(low, 0.0), 6), high=round(min(high, 0.5), 6)) for low, high in edges]
        return functools.reduce(operator.add, strips)

    def _numbers(self) -> list[int]:
        """Numbers of the harmonics below Nyquist."""
        top = self._number("frequency") * (1 + 3 * self.wander + self.spread)
        return [k for k in range(1, self.harmonics + 1) if k == 1 or k * top < 0.5]

    def _drawn(self, times: Tensor, g: Generator) -> Tensor:
        """The hum of one record, `(T)`."""
        key, numbers, slow = keys(g), self._numbers(), (times / self._number("time")).unsqueeze(0)
        frequency = self._number("frequency") * (1 + self.spread * (2 * rand((), g, torch.float64) - 1))
        phases = rand((len(numbers),), g, torch.float64)
        wandering = self.wander * smooth(next(key), slow) if self.wander else torch.zeros_like(times)
        turns = (frequency * (1 + wandering)).cumsum(0)
        total = torch.zeros_like(times)
        for k, phase in zip(numbers, phases, strict=True):
            strength = 1 + self.vary * smooth(next(key), slow) if self.vary else 1.0
            total += strength / k * torch.cos(2 * math.pi * (k * turns + phase))
        power = sum(k**-2 for k in numbers) * (1 + self.vary**2) / 2
        return self.level / math.sqrt(power) * total
