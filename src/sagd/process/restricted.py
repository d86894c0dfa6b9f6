"""Any process, restricted to what is seen outside a band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.base import Covariance
from sagd.noise.operator import Coefficient, Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.process.base import Process, Time
from sagd.process.schedule import Schedule
from sagd.process.unseen import Unseen


@dataclass(frozen=True)
class Restricted(Process):
    """A process of which a band shows neither signal nor noise: `x_t = alpha_t (1 - Q) x_0 + sigma_t eps`.

    All else is the process inside; see `Unseen` for the band.

    Args:
        process: Process whose noise leaves the band out, in a basis.
        band: The band.

    Raises:
        InputError: If noise reaches into the band, or has no basis to speak of bands in.
    """

    process: Process
    band: Spectrum

    def __post_init__(self) -> None:
        basis = self.unseen.basis
        assert basis is not None
        if self.unseen.meets(self.covariance.power_range(basis)[1] > 0):
            raise InputError(f"the noise reaches into the unseen band {self.band.label}; leave it out")
        super().__post_init__()

    @cached_property
    def unseen(self) -> Unseen:  # type: ignore[override]
        """The band, in the basis of the noise."""
        return Unseen(self.band, _noise_basis(self.process.covariance))

    @property
    def schedule(self) -> Schedule:  # type: ignore[override]
        """That of the process inside."""
        return self.process.schedule

    @property
    def covariance(self) -> Covariance:  # type: ignore[override]
        """That of the process inside."""
        return self.process.covariance

    @property
    def reference(self) -> Covariance:  # type: ignore[override]
        """That of the process inside."""
        return self.process.reference

    def alpha(self, t: Time, x: Tensor) -> Coefficient:
        """That of the process inside, which says nothing of the band."""
        return self.process.alpha(t, x)

    def sigma(self, t: Time, x: Tensor) -> Coefficient:
        """Likewise."""
        return self.process.sigma(t, x)

    def derivatives(self, t: Time, x: Tensor) -> tuple[Coefficient, Coefficient]:
        """Likewise."""
        return self.process.derivatives(t, x)

    def diagonal(self, t: Time, x: Tensor, basis: Basis) -> tuple[Diagonal, Diagonal]:
        """Those of the process inside, with no signal in the band, where no noise is either."""
        alpha, sigma = self.process.diagonal(t, x, basis)
        return self.unseen.left_out_of(alpha), sigma

    def clean(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """As the process inside."""
        return self.process.clean(x_0, x_t, t)

    def noise_level(self, t: Tensor) -> Tensor:
        """The clock of the process inside."""
        return self.process.noise_level(t)

    def time_at(self, noise_level: Tensor) -> Tensor:
        """Likewise."""
        return self.process.time_at(noise_level)

    def drowned_at(self, power: Tensor, basis: Basis) -> Tensor:
        """As the process inside: 0 in the band, where no noise is."""
        return self.process.drowned_at(power, basis)

    def noise_to_signal(self, t: float, basis: Basis) -> tuple[Tensor, Tensor]:
        """As the process inside: 0 in the band."""
        return self.process.noise_to_signal(t, basis)

    def few(self, which: Tensor, basis: Basis) -> Process:
        """Those of the process inside, which have noise: none of the band."""
        return self.process.few(which, basis)

    @property
    def label(self) -> str:
        """That of the process inside."""
        return self.process.label

    def to_dict(self) -> dict[str, Any]:
        """The description of the process inside, and the band."""
        return self.process.to_dict() | {"unseen": self.band.to_dict()}

    def given(self, labels: Tensor | None) -> Restricted:
        """With the noise of these classes."""
        process = self.process.given(labels)
        return self if process is self.process else Restricted(process, self.band)


def _noise_basis(covariance: Covariance) -> Basis:
    """The basis in which noise is diagonal, whatever the class."""
    first, *others = [member.basis for member in covariance.members]
    if first is not None and all(basis == first for basis in others):
        return first
    raise InputError(f"a band can be unseen only under noise with a spectrum, got {covariance.label} noise")
