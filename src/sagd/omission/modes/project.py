"""Leaving the band out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.model.condition import Condition
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.modes.base import Hiding, Restoration, Task, corruption_of
from sagd.omission.weighing import remainder
from sagd.process.base import Process
from sagd.random import Generator


@dataclass(frozen=True)
class Project(Hiding, kind="project"):
    """The network never sees the band, and what it says of it is not believed; for any damage in the band.

    Samples have the band at its mean, and so have restored images, but for the evidence of damage that is known.
    """

    said: ClassVar[str] = (
        "The band was <b>set to its mean</b> over the training data: the model knows nothing else of it."
    )

    @classmethod
    def suits(cls, damage: Assumptions) -> bool:
        """All power of the damage lies in the band."""
        return damage.banded

    @classmethod
    def of(cls, process: Process, band: Spectrum) -> Self | None:
        """For a process that shows its network the band, without noise: one of before the band was hidden."""
        return cls(band) if not process.unseen and corruption_of(process) is None else None

    def believed(self, basis: Basis) -> Tensor:
        """Nothing."""
        return torch.zeros(basis.coefficients, dtype=torch.float64)

    def unexplained(self, denoiser: Denoiser, statistics: DataStatistics) -> Diagonal | None:
        """All of the band, which has the power of the damaged data less that of the damage."""
        basis = statistics.basis
        noise, power = self.damage(basis), statistics.spectrum
        if noise is None:
            return None
        band = (mask(self.place, basis) > 0).double().expand_as(power)
        return Diagonal(remainder(power, noise, band, basis, statistics.count), basis)

    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """By the mean of the data, and the evidence in the band."""
        return self.restored(task, y, task.statistics.mean.to(y).expand_as(y), generators)
