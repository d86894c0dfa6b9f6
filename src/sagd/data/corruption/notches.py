"""Frequencies of a hum that drifts, cut out of every record where its own hum lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.data.corruption.base import MOST_WAVES, Shape
from sagd.data.corruption.missing import Missing
from sagd.errors import InputError, check_whole
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Strip
from sagd.random import Generator, rand


@dataclass(frozen=True)
class Notches(Missing, kind="notches"):
    """Each record lacks a frequency of its own and its multiples, as those do from which drifting hum was cut.

    Along the last axis. What is missing is 0. Where records drift by less than half a notch, some frequencies are
    missing in all of them, which training in laps refuses.

    Args:
        frequency: Of the fundamental in the middle of its drift, in cycles per sample, or with a unit, '50 Hz'.
        spread: By how much it differs from record to record, at most, as a share of it.
        width: Of each notch, in cycles per sample, or with a unit, '2 Hz'.
        harmonics: Number of notches, the fundamental included; those beyond Nyquist are left out.
        fixed: Drawn once per record.
    """

    measures: ClassVar[Mapping[str, int]] = {"frequency": -1, "width": -1}
    turns: ClassVar[bool] = False
    frequency: float | str = 0.1
    spread: float = 0.3
    width: float | str = 0.02
    harmonics: int = 3
    fixed: bool = True

    def __post_init__(self) -> None:
        self._check()
        self._require_numbers("frequency", "width", "spread")
        if not isinstance(self.frequency, str) and not 0 < self.frequency < 0.5:
            raise InputError(f"notches frequency must lie in (0, 0.5) cycles per sample, got {self.frequency}")
        if self.spread >= 1:
            raise InputError(f"notches spread must be below 1, got {self.spread}; it is a share of the frequency")
        if not isinstance(self.frequency, str) and self.frequency * (1 + self.spread) >= 0.5:
            raise InputError(
                f"notches of frequency {self.frequency} and spread {self.spread} reach"
                f" {self.frequency * (1 + self.spread):g} cycles per sample, and must stay below 0.5"
            )
        check_whole("notches harmonics", self.harmonics, 1, MOST_WAVES)

    def places(self, spatial: Shape, generators: Sequence[Generator]) -> Tensor:
        """Notches around multiples of one draw each."""
        along = FourierBasis(spatial).frequencies()[-1].abs()
        drawn = torch.tensor([float(rand((), g, torch.float64)) for g in generators], dtype=torch.float64)
        own = self._number("frequency") * (1 + self.spread * (2 * drawn - 1))
        # A notch narrower than what tells frequencies apart takes the nearest one.
        half = max(self._number("width"), 1 / spatial[-1]) / 2
        number = torch.arange(1, self.harmonics + 1, dtype=torch.float64)
        middles = (own[:, None] * number).reshape(len(own), -1, *(1,) * along.ndim)
        # 0 is the mean, which is no hum.
        return ((along - middles).abs() <= half).any(1) & (along > 0)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Where something may be missing."""
        f, half = self._number("frequency"), max(self._number("width"), 1 / spatial[-1]) / 2
        low, high = f * (1 - self.spread) - half, self.harmonics * f * (1 + self.spread) + half
        return Strip(len(spatial) - 1, low=round(max(low, 0.0), 6), high=round(min(high, 0.5), 6))
