"""What a mode of omission is: how a model is trained on damaged data, and what it then makes of a damaged image."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self

import torch
from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import leave_out, mask
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.spectral import check_weights
from sagd.noise.grid import Grid
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import Calibration
from sagd.omission.detect import Detection, excess_spectrum
from sagd.omission.second import SecondDamage
from sagd.omission.vectors import band_vectors
from sagd.omission.weighing import Known, Weighing, by_ring, deviations, draws
from sagd.process.base import Process
from sagd.process.evolution import Evolution
from sagd.process.restricted import Restricted
from sagd.process.spectral import SpectralProcess
from sagd.random import Generator
from sagd.spec import Description

AUTO: Final = "auto"
"""A band that is to be detected in the data, and evidence that is heeded where the damage is known."""
EXCESS = "excess"
"""A spectrum of damage that is to be measured: what the data has over the smooth fit of the detection."""
_TOO_MUCH, _FAR_TOO_MUCH = 1.1, 2.0
"""Power of the damage over that of the damaged data from which it cannot be: in the band, and in a ring of radii."""


@dataclass(frozen=True)
class Restoration:
    """Restored images.

    Attributes:
        images: `(B, C, *spatial)`.
        std: Posterior standard deviation of every value, likewise; None unless samples were drawn.
        samples: `(N, B, C, *spatial)`, or None.
    """

    images: Tensor
    std: Tensor | None = None
    samples: Tensor | None = None

    def to(self, device: torch.device) -> Restoration:
        """On a device."""
        return Restoration(*(None if z is None else z.to(device) for z in vars(self).values()))  # type: ignore

    @staticmethod
    def joined(parts: Sequence[Restoration]) -> Restoration:
        """Batches, one after the other."""
        if parts[0].std is None:
            return Restoration(torch.cat([part.images for part in parts]))
        images, std, samples = zip(*(vars(part).values() for part in parts), strict=True)
        return Restoration(torch.cat(images), torch.cat(std), torch.cat(samples, dim=1))


@dataclass(frozen=True)
class Task:
    """What restoring one batch after the other has in common.

    Attributes:
        denoiser: Denoiser of a model that was trained to leave the band out.
        b: The band, `b(f)` in [0, 1].
        t: Time at which the model is asked.
        statistics: Statistics of the training data.
        samples: Posterior samples per image.
    """

    denoiser: Denoiser
    b: Diagonal
    t: float
    statistics: DataStatistics
    samples: int = 0

    @cached_property
    def vectors(self) -> Tensor:
        """An orthonormal basis of the band; see `band_vectors`."""
        return band_vectors(self.b, self.denoiser.process.shape[0])

    def blend(self, y: Tensor, x_hat: Tensor) -> Tensor:
        """`y + b (x_hat - y)`, frequency by frequency."""
        return y + (self.b.on(y) * (x_hat - y)).to(y.dtype)


@dataclass(frozen=True)
class Mode(Description, ABC, family="omission mode", example="fill"):
    """A way to leave a damaged band out; a subclass supplies `said`, `suits`, `noise` and `restore`.

    Args:
        band: The damaged band, or 'auto' until it has been detected.
        corruption: Standard deviation of the damage by frequency, if it is known, or 'excess' until it has been
            measured. What a model leaves open of its band can be told then, and drawn.
        evidence: What the damaged band still shows, weighed in as `sagd.omission.weighing` says: 'none'; by
            'frequency'; by 'image', for damage whose level differs from image to image; or 'auto', by frequency where
            the damage is known.

    Raises:
        InputError: On evidence of damage that nobody knows.
    """

    said: ClassVar[str]
    """What restoring means, a sentence for reports, as HTML."""
    calibrates: ClassVar[bool] = False
    """Whether `calibrate` asks for images, which are set apart from training then."""

    leaves_out: ClassVar[bool] = True
    """Whether the band is left out of what the model learns from, so that a guard around it helps."""

    cleans: ClassVar[bool] = False
    """Whether the damage is taken out of the data before, so that no band is hidden, and none restored."""

    band: Spectrum | str = AUTO
    corruption: Spectrum | str | None = None
    evidence: Literal["auto", "none", "frequency", "image"] = AUTO

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", self.band if self.band == AUTO else Spectrum.parse(self.band))
        if self.corruption not in (None, EXCESS):
            object.__setattr__(self, "corruption", Spectrum.parse(self.corruption))
        if self.corruption is None and self.evidence in ("frequency", "image"):
            raise InputError(
                f"process.omission.evidence {self.evidence!r} needs the damage's standard deviation by frequency: set"
                f" process.omission.corruption to a spectrum, or to {EXCESS!r} when training, which measures it"
            )

    @classmethod
    @abstractmethod
    def suits(cls, damage: Assumptions) -> bool:
        """Whether the mode is right for damage of which this holds."""

    @abstractmethod
    def noise(self, spectrum: Spectrum, evolution: Evolution, basis: Basis) -> tuple[Spectrum, Evolution]:
        """The noise to train with, in place of one that knows nothing of a band.

        Raises:
            InputError: If the band is still to be detected, does not fit the basis, or the noise cannot leave it out.
        """

    def on(self, grid: Grid | None) -> Self:
        """The same with its spectra on a grid; see `Spectrum.on`."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        spectra: dict[str, Any] = {k: v.on(grid) for k, v in own.items() if isinstance(v, Spectrum)}
        return dataclasses.replace(self, **spectra)

    def process(self, process: Process) -> Process:
        """The process of that noise as the network is to see it; itself unless the mode says otherwise."""
        return process

    @classmethod
    def of(cls, process: Process, band: Spectrum) -> Self | None:
        """The mode that made a process, for restoring a band; None if this one did not, or cannot tell."""
        return None

    def own(self, process: Process, b: Diagonal) -> tuple[str, bool]:
        """In words what the process leaves out, and whether the band `b` is that: no noise where it is full."""
        noisy = process.covariance.power_range(b.basis)[1] > 0
        return f"what {process.label} has no noise in", not bool((noisy & (b.values == 1)).any())

    @abstractmethod
    def restore(self, task: Task, y: Tensor, condition: Condition, generators: Sequence[Generator]) -> Restoration:
        """A batch of damaged images `(B, C, *spatial)` with their band replaced, by one generator per image."""

    def believed(self, basis: Basis) -> Tensor | None:
        """The share of what a model says of the band that is believed before `calibrate`, `(*coefficients)`; or all."""
        return None

    def calibrate(
        self,
        denoiser: Denoiser,
        batches: Iterable[tuple[Tensor, Conditional]],
        statistics: DataStatistics,
        second: SecondDamage | None = None,
    ) -> Calibration:
        """What the model's word on the band is worth, by damaged images that it has not seen, and their conditions.

        Asked of modes that have `calibrates`.

        Args:
            denoiser: The denoiser, not calibrated.
            batches: The images.
            statistics: Of the training data.
            second: Damage of the law of theirs, to lay over them; None if nothing of theirs is seen beside the band.
        """
        raise NotImplementedError(f"omission mode {self.kind!r} calibrates, but does not say how")

    def unexplained(self, denoiser: Denoiser, statistics: DataStatistics) -> Diagonal | None:
        """The variance by frequency that the model leaves open of the band; None if it was not measured."""
        return denoiser.unexplained

    def knows_posterior(self, denoiser: Denoiser, statistics: DataStatistics) -> bool:
        """Whether samples can be drawn of what was in the band."""
        return self.unexplained(denoiser, statistics) is not None

    @property
    def weighing(self) -> Weighing:
        """By what the power of the damage is known in weighing what the band shows."""
        if self.evidence == AUTO:
            return "none" if self.corruption is None else "frequency"
        return self.evidence

    @property
    def told(self) -> str:
        """What restoring means with what evidence, sentences for reports, as HTML."""
        return self.said

    def damage(self, basis: Basis) -> Tensor | None:
        """`N(f)`, the power of the damage by frequency, `([C,] *coefficients)`, float64; None if it is not known.

        0 outside the band, where images stay as they are, whatever the spectrum says there.
        """
        if not isinstance(self.corruption, Spectrum):
            return None
        noise = self.corruption.weights(basis.frequencies()).double().square()
        return torch.where(mask(self.place, basis) > 0, noise, 0.0)

    def check(self, statistics: DataStatistics) -> None:
        """Refuse a spectrum of damage that the damaged data cannot hold.

        Raises:
            InputError: If it has more power than the data itself, or is none.
        """
        basis = statistics.basis
        noise = self.damage(basis)
        if noise is None:
            return
        check_weights(noise, basis, f"process.omission.corruption {str(self.corruption)!r}", len(statistics.spectrum))
        inside = (mask(self.place, basis) > 0).double().expand_as(statistics.spectrum)
        power, own, degrees = (by_ring(inside * x, basis).sum(0) for x in (statistics.spectrum, noise, inside))
        # Of few images the power is known to so much, one sigma; a measured spectrum is smooth, and fits rings roughly.
        chance = math.sqrt(2 / float(degrees.sum() * statistics.count))
        ratio = torch.where(degrees > 0, own / power.clamp(min=1e-300), 0.0)
        worst = int(ratio.argmax())
        if own.sum() > (_TOO_MUCH + 3 * chance) * power.sum() or ratio[worst] > _FAR_TOO_MUCH:
            raise InputError(
                f"process.omission.corruption gives the damage {float(ratio[worst]):.3g} times the power"
                f" of the damaged data itself in the band, at radii around {(worst + 0.5) / len(ratio):.3g};"
                " give the standard deviation of each coefficient, of which white noise of unit variance has 1"
            )

    @property
    def place(self) -> Spectrum:
        """The band.

        Raises:
            InputError: If it is still to be detected.
        """
        if isinstance(self.band, str):
            raise InputError(
                f"process.omission.band {self.band!r} is detected when training; give a band,"
                " e.g. 'ring(low=0.1, high=0.2)'"
            )
        return self.band

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Parameters that the data is still to be asked for."""
        return ("band",) * (self.band == AUTO) + ("corruption",) * (self.corruption == EXCESS)

    def measured(self, found: Detection) -> Self:
        """With what was detected in place of what is `unmeasured`: the excess is that in the band, which may be given.

        Raises:
            InputError: If no damaged band was found.
        """
        mode = self if self.band != AUTO else self._found(found)
        excess = mode.corruption == EXCESS
        return dataclasses.replace(mode, corruption=excess_spectrum(found, mode.place)) if excess else mode

    def _found(self, found: Detection) -> Self:
        if found.band is None:
            raise InputError(
                f"process.omission.band {AUTO!r}: no damaged band found ({found.missed});"
                " name the band, e.g. 'ring(low=0.1, high=0.2)', or leave process.omission out"
            )
        return dataclasses.replace(self, band=found.band)

    def weights(self, basis: Basis) -> dict[str, Tensor]:
        """Parameter -> its values by frequency, of all that says where the damage lies."""
        known = {"band": mask(self.place, basis)}
        if isinstance(self.corruption, Spectrum):
            known["corruption"] = self.corruption.weights(basis.frequencies()).double()
        return known

    def restored(self, task: Task, y: Tensor, mean: Tensor, generators: Sequence[Generator]) -> Restoration:
        """A batch of which the model expects `mean`: with the evidence, and samples where they are asked for."""
        left = self.unexplained(task.denoiser, task.statistics)
        if left is None:
            return Restoration(task.blend(y, mean))
        noise = self.damage(task.b.basis)
        known = Known(mean, left, y, None if noise is None else Diagonal(noise, task.b.basis))
        mean, variance = known.estimate(self.weighing)
        images = task.blend(y, mean)
        if not task.samples:
            return Restoration(images)
        # Of soft edges, samples take the part that the mean takes.
        spread = variance * task.b.on(y) ** 2
        std = deviations(spread, tuple(y.shape[1:])).expand_as(y).to(y.dtype)
        return Restoration(images, std, images + draws(spread, y, task.samples, generators))


class Hiding(Mode, ABC):
    """A mode whose network does not see the band."""

    def noise(self, spectrum: Spectrum, evolution: Evolution, basis: Basis) -> tuple[Spectrum, Evolution]:
        """No noise wherever the band is, soft edges included."""
        mask(self.place, basis)
        return leave_out(spectrum, self.place, hard=True), evolution

    def process(self, process: Process) -> Process:
        """Restricted to what is seen outside the band."""
        return Restricted(process, self.place)

    @property
    def told(self) -> str:
        """With what became of what was in the band."""
        if self.weighing == "none":
            return self.said + " What was in the band before has no part in it."
        return self.said + " What was in the band before was <b>weighed in</b>, by the known power of the damage."


def corruption_of(process: Process) -> Spectrum | None:
    """Standard deviation of the noise that the data of a process already holds, if it does."""
    return process.evolution.corruption_spectrum if isinstance(process, SpectralProcess) else None
