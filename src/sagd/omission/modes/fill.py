"""Filling the band in from all else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import Calibration, calibrate
from sagd.omission.level import final
from sagd.omission.modes.base import Hiding, Restoration, Task
from sagd.omission.second import SecondDamage
from sagd.process.base import Process
from sagd.random import Generator


@dataclass(frozen=True)
class Fill(Hiding, kind="fill"):
    """The network never sees the band and learns its mean given the rest, which needs damage of mean zero.

    Where the spectrum of the damage is known, so is what that mean leaves open: samples hold a draw of it, and what the
    band still shows counts.
    """

    said: ClassVar[str] = (
        "The band was replaced by what the model expects there, <b>given everything outside the band</b>. Where all"
        " the rest leaves open what belongs there, this is the mean of all possibilities, which looks smooth."
    )
    calibrates: ClassVar[bool] = True

    @classmethod
    def suits(cls, damage: Assumptions) -> bool:
        """In the band, of mean zero, and independent of the image."""
        return damage.banded and damage.zero_mean and damage.independent

    @classmethod
    def of(cls, process: Process, band: Spectrum) -> Self | None:
        """For a process with an unseen band."""
        return cls(band) if process.unseen else None

    def own(self, process: Process, b: Diagonal) -> tuple[str, bool]:
        """The unseen band has to be this one."""
        unseen = process.unseen.band
        assert unseen is not None
        return unseen.label, torch.equal(mask(unseen, b.basis) > 0, b.values > 0)

    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """By `E[x | y outside the band]`, and the evidence in the band."""
        x_t = task.denoiser.process.alpha(task.t, y) * y
        return self.restored(task, y, final(task.denoiser, x_t, task.t, condition), generators)

    def calibrate(
        self,
        denoiser: Denoiser,
        batches: Iterable[tuple[Tensor, Conditional]],
        statistics: DataStatistics,
        second: SecondDamage | None = None,
    ) -> Calibration:
        """By ring of radii; see `sagd.omission.calibrate`."""
        return calibrate(denoiser, batches, statistics, self.damage(statistics.basis), second)
