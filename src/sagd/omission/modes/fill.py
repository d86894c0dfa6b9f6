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
from sagd.noise.bands import leave_out, mask
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import calibrate
from sagd.omission.level import final
from sagd.omission.modes.base import Mode, Restoration, Task
from sagd.process.base import Process
from sagd.process.evolution import Evolution
from sagd.process.restricted import Restricted
from sagd.random import Generator


@dataclass(frozen=True)
class Fill(Mode, kind="fill"):
    """The network never sees the band and learns its mean given the rest, which needs damage of mean zero."""

    said: ClassVar[str] = (
        "The band was replaced by what the model expects there, <b>given everything outside the band</b>. What was"
        " in the band before has no part in it. Where all the rest leaves open what belongs there, this is the"
        " mean of all possibilities, which looks smooth."
    )

    @classmethod
    def suits(cls, damage: Assumptions) -> bool:
        """In the band, of mean zero, and independent of the image."""
        return damage.banded and damage.zero_mean and damage.independent

    def noise(self, spectrum: Spectrum, evolution: Evolution, basis: Basis) -> tuple[Spectrum, Evolution]:
        """No noise wherever the band is, soft edges included."""
        mask(self.place, basis)
        return leave_out(spectrum, self.place, hard=True), evolution

    def process(self, process: Process) -> Process:
        """Restricted to what is seen outside the band."""
        return Restricted(process, self.place)

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
        """By `E[x | y outside the band]`."""
        x_t = task.denoiser.process.alpha(task.t, y) * y
        return Restoration(task.blend(y, final(task.denoiser, x_t, task.t, condition)))

    def calibrate(
        self, denoiser: Denoiser, batches: Iterable[tuple[Tensor, Conditional]], statistics: DataStatistics
    ) -> Tensor:
        """By ring of radii; see `sagd.omission.calibrate`."""
        return calibrate(denoiser, batches, statistics)
