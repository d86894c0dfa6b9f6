"""How signal and noise of each frequency evolve: schedules per frequency.

    x_t = U*[ a_t(f) U x_0 + s_t(f) xi ],   xi ~ N(0, I)

An evolution derives `a_t(f)` and `s_t(f)` from a scalar schedule `alpha_t, sigma_t` and noise weights `w(f)`; the
paper's process is `common`: `a_t = alpha_t`, `s_t = sigma_t w(f)`. For a diffusion (a Markov chain whose steps only add
noise) the noise-to-signal ratio `s_t / a_t` must not fall in time at any frequency, which `SpectralProcess` checks.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.statistics import DataStatistics
from sagd.process.schedule import Schedule
from sagd.spec import Description


@dataclass(frozen=True)
class Frequencies:
    """What an evolution knows of the frequencies.

    Attributes:
        vectors: In cycles per sample, `(n, *coefficients)`.
        near: Noise weights `w(f)` next to the data, `(1|C, *coefficients)`, positive.
        far: Noise weights at `t = 1`, likewise; those of `near` unless the evolution names others.
        corruption: Standard deviation `c(f)` of what the data is corrupted with, likewise; 0 unless the evolution
            names one.
    """

    vectors: Tensor
    near: Tensor
    far: Tensor
    corruption: Tensor | float = 0.0


class Evolution(Description, family="evolution"):
    """Base of all evolutions; a subclass supplies `coefficients`."""

    @property
    def far_spectrum(self) -> Spectrum | None:
        """Noise weights at `t = 1`, if they differ from those next to the data."""
        return None

    @property
    def corruption_spectrum(self) -> Spectrum | None:
        """Standard deviation `c(f)` of the Gaussian noise that the data already holds, if it does."""
        return None

    @property
    def clock(self) -> Evolution:
        """The evolution by which time is told; another one where some noise never goes."""
        return self

    def places(self, vectors: Tensor) -> Tensor:
        """What of the frequency vectors `(n, *coefficients)` decides how they evolve, `(K, *coefficients)`.

        Frequencies alike in this and in their weights are examined once. The vectors, unless less will do.
        """
        return vectors

    def resolve(self, statistics: DataStatistics) -> Self:
        """The same without anything that has to be measured first."""
        return self

    def on(self, grid: Grid | None) -> Evolution:
        """The same with its spectra on a grid; see `Spectrum.on`."""
        return self

    @abstractmethod
    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """`a_t(f)` and `s_t(f)`, element by element.

        Args:
            t: Times, float64, broadcastable against `(C, *coefficients)`.
            schedule: The scalar schedule.
            frequencies: Frequencies and weights.
        """


@dataclass(frozen=True)
class Common(Evolution, kind="common"):
    """One schedule for all frequencies, `a_t = alpha_t`, `s_t = sigma_t w(f)` (arXiv:2510.09660, equation 8)."""

    def places(self, vectors: Tensor) -> Tensor:
        """Nothing."""
        return vectors[:0]

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """`alpha_t`, `sigma_t w`."""
        return schedule.alpha(t) + 0 * frequencies.near, schedule.sigma(t) * frequencies.near


@dataclass(frozen=True)
class Blurring(Evolution, kind="blurring"):
    """Heat dissipation of the signal besides noise: `a_t = alpha_t d_t(f)`, `s_t = sigma_t w(f)`.

    `d_t = (1 - scale_min) exp(-(2 pi |f|)^2 tau_t) + scale_min`, `tau_t = (blur_max sin^2(pi t / 2))^2 / 2`. In the
    cosine basis with `w = 1` and the schedule `cosine(log_snr_min=-10)` this is the published process, except that the
    schedule starts from clean data instead of a log-SNR of 10: `2 pi |f| = pi k / N` there.

    Args:
        blur_max: Standard deviation of the blur at `t = 1`, in samples (pixels).
        scale_min: Share of the signal that is left of blurred frequencies.

    Source: "Blurring Diffusion Models" (Hoogeboom & Salimans, 2023), equations 9-10 and appendix A.
    """

    blur_max: float = 20.0
    scale_min: float = 0.001

    def __post_init__(self) -> None:
        require_finite("blurring blur_max", self.blur_max)
        require_finite("blurring scale_min", self.scale_min)
        if not self.blur_max > 0:
            raise InputError(f"blurring blur_max must be positive (in pixels), got {self.blur_max}; e.g. 20")
        if not 0 < self.scale_min < 1:
            raise InputError(f"blurring scale_min must lie in (0, 1), got {self.scale_min}; e.g. 0.001")

    def places(self, vectors: Tensor) -> Tensor:
        """`|f|^2`."""
        return vectors.square().sum(0, keepdim=True)

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """`alpha_t d_t`, `sigma_t w`."""
        dissipation_time = (self.blur_max * torch.sin(math.pi / 2 * t) ** 2) ** 2 / 2
        decay = torch.exp(-((2 * math.pi) ** 2) * frequencies.vectors.square().sum(0) * dissipation_time)
        scale = (1 - self.scale_min) * decay + self.scale_min
        return schedule.alpha(t) * scale + 0 * frequencies.near, schedule.sigma(t) * frequencies.near


@dataclass(frozen=True)
class Interpolated(Evolution, kind="interpolated"):
    """Noise whose weights change in time: `s_t = sigma_t ((1 - gamma_t) w(f) + gamma_t w_far(f))`, `gamma_t = t^power`.

    Next to the data the noise is the process's own spectrum, at `t = 1` it is `far`, both calibrated alike. With blue
    noise near and white noise far this is the time-varying noise of BNDM, whose factors are interpolated likewise.

    Args:
        far: Spectrum at `t = 1`.
        power: How late the noise turns: 1 is linear in `t`.

    Source: "Blue Noise for Diffusion Models" (Huang et al., 2024), equation 9.
    """

    far: str | Spectrum = "flat"
    power: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "far", Spectrum.parse(self.far))
        require_finite("interpolated power", self.power)
        if not self.power > 0:
            raise InputError(f"interpolated power must be positive, got {self.power}; 1 is linear")

    @property
    def far_spectrum(self) -> Spectrum:
        """`far`."""
        return Spectrum.parse(self.far)

    def resolve(self, statistics: DataStatistics) -> Interpolated:
        """With a resolved `far`."""
        return Interpolated(self.far_spectrum.resolve(statistics), self.power)

    def on(self, grid: Grid | None) -> Interpolated:
        """With `far` on the grid."""
        return Interpolated(self.far_spectrum.on(grid), self.power)

    def places(self, vectors: Tensor) -> Tensor:
        """Nothing."""
        return vectors[:0]

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """`alpha_t`, `sigma_t w_t`."""
        weights = torch.lerp(frequencies.near, frequencies.far, t**self.power)
        return schedule.alpha(t) + 0 * weights, schedule.sigma(t) * weights

    def to_dict(self) -> dict[str, Any]:
        """Kind, far spectrum, power."""
        return {"kind": self.kind, "far": self.far_spectrum.to_dict(), "power": float(self.power)}

    def __str__(self) -> str:
        return f"{self.kind}(far={str(self.far)!r}, power={self.power!r})"


@dataclass(frozen=True)
class Sequential(Evolution, kind="sequential"):
    """Band after band: noise destroys one end of the spectrum first, and generation builds from the other end.

    Each frequency runs through the whole schedule in a window of time of its own: `a_t = alpha(u)`, `s_t = sigma(u)
    w(f)` with `u_t(f) = leak t + (1 - leak) h((t - start(f)) / width)`, `h` the smooth step `3v^2 - 2v^3` on [0, 1].
    Windows start at `(1 - width) p`, `p` in [0, 1] the place of `|f|` in the order. The leak keeps every
    noise-to-signal ratio strictly increasing.

    Args:
        first: "high": noise takes high frequencies first, and samples grow from coarse to fine; "low": the reverse.
        width: Length of a window: 1 is no order at all, small is one band after the other.
        leak: Share of the common clock.
    """

    first: Literal["high", "low"] = "high"
    width: float = 0.5
    leak: float = 0.02

    def __post_init__(self) -> None:
        if self.first not in ("high", "low"):
            raise InputError(f"sequential first must be 'high' or 'low', got {self.first!r}")
        require_finite("sequential width", self.width)
        require_finite("sequential leak", self.leak)
        if not 0.05 <= self.width <= 1:
            raise InputError(f"sequential width must lie in [0.05, 1], got {self.width}; e.g. 0.5")
        if not 0 < self.leak < 1:
            raise InputError(f"sequential leak must lie in (0, 1), got {self.leak}; e.g. 0.02")

    def places(self, vectors: Tensor) -> Tensor:
        """`|f|^2`."""
        return vectors.square().sum(0, keepdim=True)

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """`alpha(u_t)`, `sigma(u_t) w`."""
        place = frequencies.vectors.square().sum(0).sqrt()
        place = place / place.max().clamp(min=torch.finfo(place.dtype).tiny)
        start = (1 - self.width) * (1 - place if self.first == "high" else place)
        v = ((t - start) / self.width).clamp(0, 1)
        u = (self.leak * t + (1 - self.leak) * v**2 * (3 - 2 * v)).clamp(max=1)
        return schedule.alpha(u) + 0 * frequencies.near, schedule.sigma(u) * frequencies.near


@dataclass(frozen=True)
class Deconvolved(Evolution, kind="deconvolved"):
    """Noise upon data `y = x + n` that holds Gaussian noise `n` of known spectrum `c(f)^2` already.

    `a_t = alpha_t`, `s_t^2 = (sigma_t w(f))^2 + (alpha_t k c(f))^2` as a process of `y`, `k` the `floor`: below the
    level of the damage no less noise is added, so that at `t > 0` the data is drowned in `sqrt(1 + k^2) c` at least. As
    a process of `x` it has `s_t^2 + alpha_t^2 c^2`; `SpectralProcess.clean` turns `E[y | x_t]` into `E[x | x_t]`.

    Args:
        corruption: `c(f)`, not calibrated: white noise of unit variance has 1.
        floor: `k`; errors of the network in the band grow by `1 + 1/k^2`.

    Source: "Consistent Diffusion Meets Tweedie" (Daras et al., 2024), taken frequency by frequency.
    """

    corruption: Spectrum
    floor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "corruption", Spectrum.parse(self.corruption))
        require_finite("deconvolved floor", self.floor)
        if not self.floor > 0:
            raise InputError(f"deconvolved floor must be positive, got {self.floor}; e.g. 0.5")

    @property
    def corruption_spectrum(self) -> Spectrum:
        """`c(f)`."""
        return self.corruption

    @property
    def clock(self) -> Evolution:
        """`common`: the floor stays whatever the time."""
        return Common()

    def resolve(self, statistics: DataStatistics) -> Deconvolved:
        """With a resolved `c`."""
        return Deconvolved(self.corruption.resolve(statistics), self.floor)

    def on(self, grid: Grid | None) -> Deconvolved:
        """With `c` on the grid."""
        return Deconvolved(self.corruption.on(grid), self.floor)

    def places(self, vectors: Tensor) -> Tensor:
        """Nothing."""
        return vectors[:0]

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """`alpha_t`, and the fresh noise; none at `t = 0`, where the image stands."""
        alpha = schedule.alpha(t)
        floor = torch.where(t > 0, alpha, 0.0) * self.floor * frequencies.corruption
        return alpha + 0 * frequencies.near, torch.hypot(schedule.sigma(t) * frequencies.near, floor)

    def to_dict(self) -> dict[str, Any]:
        """Kind, corruption, floor."""
        return {"kind": self.kind, "corruption": self.corruption.to_dict(), "floor": float(self.floor)}

    def __str__(self) -> str:
        return f"{self.kind}(corruption={str(self.corruption)!r}, floor={self.floor!r})"
