"""What a mode of omission is: how a model is trained on damaged data, and what it then makes of a damaged image."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from sagd.data.corruption import Assumptions
from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.grid import Grid
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.detect import Detection
from sagd.omission.vectors import band_vectors
from sagd.process.base import Process
from sagd.process.evolution import Evolution
from sagd.process.spectral import SpectralProcess
from sagd.random import Generator
from sagd.spec import Description

AUTO = "auto"
"""A band that is to be detected in the data."""


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
    """

    said: ClassVar[str]
    """What restoring means, a sentence for reports, as HTML."""
    knows_posterior: ClassVar[bool] = False
    """Whether samples can be drawn of what was in the band."""

    leaves_out: ClassVar[bool] = True
    """Whether the band is left out of what the model learns from, so that a guard around it helps."""

    band: Spectrum | str = AUTO

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", self.band if self.band == AUTO else Spectrum.parse(self.band))

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
        return dataclasses.replace(self, **{k: v.on(grid) for k, v in own.items() if isinstance(v, Spectrum)})

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

    def calibrate(
        self, denoiser: Denoiser, batches: Iterable[tuple[Tensor, Conditional]], statistics: DataStatistics
    ) -> Tensor | None:
        """How much of what the model says of the band is true, `(*coefficients)`, from damaged images and conditions.

        None if the mode asks for no such thing, which then takes no image from `batches`.
        """
        return None

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
        return ("band",) if self.band == AUTO else ()

    def measured(self, found: Detection) -> Self:
        """With what was detected in place of what is `unmeasured`.

        Raises:
            InputError: If no damaged band was found.
        """
        if self.band != AUTO:
            return self
        if found.band is None:
            raise InputError(
                f"process.omission.band {AUTO!r}: no damaged band found (the nearest reaches"
                f" {100 * found.nearest:.0f} % of what would count); name the band,"
                " e.g. 'ring(low=0.1, high=0.2)', or leave process.omission out"
            )
        return dataclasses.replace(self, band=found.band)

    def weights(self, basis: Basis) -> dict[str, Tensor]:
        """Parameter -> its values by frequency, of all that says where the damage lies."""
        return {"band": mask(self.place, basis)}


def corruption_of(process: Process) -> Spectrum | None:
    """Standard deviation of the noise that the data of a process already holds, if it does."""
    return process.evolution.corruption_spectrum if isinstance(process, SpectralProcess) else None
