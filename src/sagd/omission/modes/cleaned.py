"""Taking the damage out of the data, and training as on clean data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.errors import InputError
from sagd.model.condition import Condition
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.modes.base import AUTO, Mode, Restoration, Task
from sagd.process.evolution import Evolution
from sagd.random import Generator


@dataclass(frozen=True)
class Cleaned(Mode, kind="cleaned"):
    """The damage is measured and taken out of the data as 'sagd clean' does; a network learns what is left as if clean.

    No band is hidden, samples have all of it, and nothing is restored.

    Args:
        band: The damaged band, or 'auto'.
        log: Whether the damage multiplies the values, and is taken out of their logarithm: 'yes', 'no', or 'auto',
            which finds out with the band; a band that is given adds.
    """

    said: ClassVar[str] = (
        "Nothing was replaced: the damage had been <b>taken out of the training data</b>, and the model hides no band."
    )
    leaves_out: ClassVar[bool] = False
    cleans: ClassVar[bool] = True

    corruption: ClassVar[None] = None  # type: ignore[misc]
    evidence: ClassVar[Literal["none"]] = "none"  # type: ignore[misc]
    log: Literal["auto", "yes", "no"] = "auto"

    @classmethod
    def suits(cls, damage: Assumptions) -> bool:
        """In the band, and independent of the image: it may have a mean there, which has power as all else."""
        return damage.banded and damage.independent

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The band, and with it whether the damage multiplies."""
        if self.band != AUTO:
            return ()
        return ("band", "log") if self.log == AUTO else ("band",)

    def noise(self, spectrum: Spectrum, evolution: Evolution, basis: Basis) -> tuple[Spectrum, Evolution]:
        """As it is."""
        return spectrum, evolution

    def weights(self, basis: Basis) -> dict[str, Tensor]:
        """None: no damage is left."""
        return {}

    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """Nothing that a model of clean data could do.

        Raises:
            InputError: Always.
        """
        raise InputError(f"a model of omission mode {self.kind!r} fills in no band; take damage out with sagd.clean")
