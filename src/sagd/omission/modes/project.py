"""Leaving the band at its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.model.condition import Condition
from sagd.noise.bands import leave_out, mask
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.modes.base import Mode, Restoration, Task, corruption_of
from sagd.process.base import Process
from sagd.process.evolution import Evolution
from sagd.random import Generator


@dataclass(frozen=True)
class Project(Mode, kind="project"):
    """No noise in the band, which samples leave at its mean, and restored images have at it; for any damage."""

    said: ClassVar[str] = (
        "The band was <b>set to its mean</b> over the training data: the model knows nothing else of it."
    )

    @classmethod
    def suits(cls, damage: Assumptions) -> bool:
        """All power of the damage lies in the band."""
        return damage.banded

    def noise(self, spectrum: Spectrum, evolution: Evolution, basis: Basis) -> tuple[Spectrum, Evolution]:
        """The spectrum times `1 - b`."""
        mask(self.place, basis)
        return leave_out(spectrum, self.place, hard=False), evolution

    @classmethod
    def of(cls, process: Process, band: Spectrum) -> Self | None:
        """For a process that sees all of data without noise of its own."""
        return cls(band) if not process.unseen and corruption_of(process) is None else None

    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """By the mean of the data."""
        return Restoration(task.blend(y, task.statistics.mean.to(y)))
