"""The process of one schedule for all frequencies: `x_t = alpha_t x_0 + sigma_t eps_w`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.tables import Tabulated
from sagd.process.base import Process, Time, as_time, like, wide
from sagd.process.schedule import Schedule
from sagd.tensors import exact, moved


@dataclass(frozen=True)
class ForwardProcess(Process):
    """A scalar schedule with one fixed noise covariance: the paper's process.

    With `Sigma_w` of full rank it is isotropic diffusion of `Sigma_w^(-1/2) x_0`, for a network that still sees data
    space and with a loss weighted accordingly.
    """

    schedule: Schedule
    covariance: Covariance

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", Schedule.parse(self.schedule))
        if not isinstance(self.covariance, Covariance):
            raise InputError(
                f"a process needs the Covariance of its noise, got {self.covariance!r}; e.g."
                " SpectralCovariance('flat', (3, 32, 32))"
            )
        super().__post_init__()

    @property
    def reference(self) -> Covariance:  # type: ignore[override]
        """`Sigma_w`."""
        return self.covariance

    def alpha(self, t: Time, x: Tensor) -> Tensor:
        """`alpha_t`, shaped to multiply the batch `x`."""
        return like(self.schedule.alpha(as_time(t, x)), x)

    def sigma(self, t: Time, x: Tensor) -> Tensor:
        """`sigma_t`, shaped to multiply the batch `x`."""
        return like(self.schedule.sigma(as_time(t, x)), x)

    def derivatives(self, t: Time, x: Tensor) -> tuple[Tensor, Tensor]:
        """`alpha'_t`, `sigma'_t`."""
        time = as_time(t, x)
        return like(self.schedule.d_alpha(time), x), like(self.schedule.d_sigma(time), x)

    def diagonal(self, t: Time, x: Tensor, basis: Basis) -> tuple[Diagonal, Diagonal]:
        """`alpha_t` and `sigma_t w(f)`."""
        weights = self._weights(basis, wide(x), x.device)
        return Diagonal(self.alpha(t, x) + 0 * weights, basis), Diagonal(self.sigma(t, x) * weights, basis)

    def _weights(self, basis: Basis, dtype: torch.dtype, device: torch.device) -> Tensor:
        if torch.compiler.is_compiling():  # which cannot look up a basis
            return moved(self._root(basis), dtype, device)
        return self.held("_root", dtype, device, basis)

    def _root(self, basis: Basis) -> Tensor:
        """`w(f)` in a basis."""
        return self.covariance.power_spectrum(basis).sqrt()

    def noise_level(self, t: Tensor) -> Tensor:
        """`sigma_t / alpha_t`."""
        return self.schedule.noise_level(t)

    def time_at(self, noise_level: Tensor) -> Tensor:
        """The schedule's."""
        return self.schedule.time_at(exact(noise_level))

    def drowned_at(self, power: Tensor, basis: Basis) -> Tensor:
        """`sqrt(power) / w(f)`, at most the level at `t = 1`; `w` where noise by class or place is weakest."""
        noise, _ = self.covariance.power_range(basis)
        level = torch.where(noise > 0, power / torch.where(noise > 0, noise, 1.0), 0.0).sqrt()
        return level.clamp(max=float(self.noise_level(torch.ones((), dtype=torch.float64))))

    def noise_to_signal(self, t: float, basis: Basis) -> tuple[Tensor, Tensor]:
        """`(sigma_t / alpha_t)^2` times the range of the covariance's power."""
        level = float(self.noise_level(torch.tensor(t, dtype=torch.float64)))
        least, most = (torch.where(p > 0, level**2 * p, 0.0) for p in self.covariance.power_range(basis))
        return least, most

    def few(self, which: Tensor, basis: Basis) -> ForwardProcess:
        """The schedule, with the noise of those frequencies."""
        weights = self._root(basis).expand(self.shape[0], *basis.coefficients).flatten()[which]
        table = Tabulated(tuple(weights.tolist()))
        return ForwardProcess(
            self.schedule, SpectralCovariance(table, (1, len(which)), CosineBasis((len(which),)), "none")
        )

    def to_dict(self) -> dict[str, Any]:
        """Schedule and covariance."""
        return {"schedule": self.schedule.to_dict(), "covariance": self.covariance.to_dict()}

    def given(self, labels: Tensor | None) -> ForwardProcess:
        """With the covariance of these classes."""
        covariance = self.covariance.given(labels)
        return self if covariance is self.covariance else ForwardProcess(self.schedule, covariance)
