"""Forward processes with a schedule for each frequency, and the published ones among them.

    x_t = U*[ a_t(f) U x_0 + s_t(f) U xi ],   xi ~ N(0, I)

Posterior, transition, samplers and conversions are those of `Process`, frequency by frequency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis, build_basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.build import build_covariance
from sagd.noise.covariance.spectral import Calibration, SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.spectra.tables import Tabulated
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time, as_time, like, wide
from sagd.process.evolution import Blurring, Common, Evolution, Frequencies, Interpolated, Sequential
from sagd.process.schedule import CosineSchedule, Schedule, VPSchedule
from sagd.tensors import exact, is_plain

_LEAST_LEVEL, _LARGEST_LEVEL, _KNOTS = 1e-6, 1e6, 513
"""Range of the scalar schedule's noise levels on which a spectral process is examined, and how finely."""
_CHUNK = 2**18
"""Coefficients held at a time in doing so."""
_EXAMINED, _BITS = 2**12, 11
"""Frequencies that are examined one by one, and the bits to which more of them are told apart."""
_TIMES_KEPT = 4
"""Times whose coefficients a process keeps at most; a step of any sampler needs three."""


_COMMON = Common()
_BLUE, _WHITE = PowerLaw(0.5), Flat()
"""Blue noise of graphics: its power rises by 3 dB an octave."""


@dataclass(frozen=True)
class SpectralProcess(Process):
    """A schedule for each frequency: `x_t = U*[ a_t(f) U x_0 + s_t(f) U xi ]`.

    `eps` is white noise; all colour is in `sigma_t`. Frequencies whose weights are zero at all times carry no noise,
    and `covariance` projects them out, as for a singular `Sigma_w`.

    The clock (`noise_level`) weighs noise against signal in all: with the log-SNR `lambda_t(f) = 2 log(a_t w / s_t)`,
    `w` the weights next to the data, `noise_level^2 = mean_f sigmoid(-lambda) / mean_f sigmoid(lambda)`. It equals
    `sigma_t / alpha_t` where all frequencies evolve alike; it is large only once all are drowned, and small only once
    all are clean.

    Args:
        schedule: Scalar schedule from which the evolution makes those of the frequencies.
        reference: Noise covariance next to the data; gives basis, weights and calibration.
        evolution: How signal and noise of each frequency evolve.

    Raises:
        InputError: If the noise is not diagonal in a basis, or if a noise-to-signal ratio falls in time.
    """

    schedule: Schedule
    reference: SpectralCovariance
    evolution: Evolution = _COMMON

    def __post_init__(self) -> None:
        if not isinstance(self.reference, SpectralCovariance):
            raise InputError(
                f"a schedule per frequency needs a spectral covariance, got {type(self.reference).__name__};"
                " white noise is SpectralCovariance(Flat(), shape)"
            )
        _ = self._clock, self._on(torch.device("cpu"))  # the first examines the ratios
        super().__post_init__()

    @classmethod
    def equal_snr(cls, statistics: DataStatistics, schedule: Schedule | None = None) -> Self:
        """EqualSNR: noise with the spectrum of the data, so that all frequencies have `SNR = alpha_t^2 / sigma_t^2`.

        Source: "A Fourier Space Perspective on Diffusion Models" (Falck et al., 2025, arXiv:2505.11278).
        """
        noise = Whitening(1.0).resolve(statistics)
        shape = tuple(statistics.mean.shape)
        return cls(schedule or VPSchedule(), SpectralCovariance(noise, shape, statistics.basis, "none"))

    @classmethod
    def blurring(
        cls, shape: Sequence[int], schedule: Schedule | None = None, basis: Basis | None = None, blur_max: float = 20.0
    ) -> Self:
        """Blurring diffusion; by default the published one: cosine basis, white noise, cosine schedule.

        Source: "Blurring Diffusion Models" (Hoogeboom & Salimans, 2023).
        """
        basis = basis or build_basis("cosine", tuple(shape[1:]))
        noise = SpectralCovariance(Flat(), shape, basis)
        return cls(schedule or CosineSchedule(log_snr_min=-10), noise, Blurring(blur_max))

    @classmethod
    def white_to_blue(
        cls,
        shape: Sequence[int],
        schedule: Schedule | None = None,
        near: Spectrum = _BLUE,
        far: Spectrum = _WHITE,
        calibration: Calibration = "variance",
    ) -> Self:
        """Noise that is `far` (white) at `t = 1` and turns into `near` (blue) next to the data; any pair of spectra.

        Source: "Blue Noise for Diffusion Models" (Huang et al., 2024).
        """
        noise = SpectralCovariance(near, shape, calibration=calibration)
        return cls(schedule or CosineSchedule(), noise, Interpolated(far))

    @classmethod
    def sequential(
        cls,
        shape: Sequence[int],
        first: Literal["high", "low"] = "high",
        schedule: Schedule | None = None,
        width: float = 0.5,
    ) -> Self:
        """Band after band: noise takes high frequencies first (samples grow from coarse to fine), or low ones."""
        return cls(schedule or CosineSchedule(), SpectralCovariance(Flat(), shape), Sequential(first, width))

    @property
    def basis(self) -> Basis:
        """`U`."""
        return self.reference.basis

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)` of the fields."""
        return self.reference.shape

    @cached_property
    def covariance(self) -> Covariance:  # type: ignore[override]
        """White noise on the frequencies that carry noise at some time."""
        support = self._support.double()
        table = support[0] if len(support) == 1 else support
        spectrum: Spectrum = Flat() if bool(support.all()) else Tabulated(tuple(table.tolist()))
        return build_covariance(spectrum, self.shape, "none", self.basis)

    def alpha(self, t: Time, x: Tensor) -> Diagonal:
        """`U* diag(a_t) U`."""
        return self._coefficients(t, x)[0]

    def sigma(self, t: Time, x: Tensor) -> Diagonal:
        """`U* diag(s_t) U`; positive also where no noise is, which `covariance` knows."""
        return self._coefficients(t, x)[1]

    def derivatives(self, t: Time, x: Tensor) -> tuple[Diagonal, Diagonal]:
        """Time derivatives of the diagonals, by automatic differentiation."""
        with torch.inference_mode(False):
            time = as_time(t, x)
            frequencies = self._on(time.device)
            # One time per coefficient, each of which depends on its own alone.
            time = time.expand(-1, *frequencies.near.shape).clone()
            parts, pull = torch.func.vjp(  # type: ignore[misc]
                lambda time: self.evolution.coefficients(time, self.schedule, frequencies), time
            )
            one, none = torch.ones_like(parts[0]), torch.zeros_like(parts[0])
            slopes = pull((one, none))[0], pull((none, one))[0]
        d_alpha, d_sigma = (Diagonal(like(slope, x), self.basis) for slope in slopes)
        return d_alpha, d_sigma

    def diagonal(self, t: Time, x: Tensor, basis: Basis) -> tuple[Diagonal, Diagonal]:
        """`a_t(f)` and `s_t(f)`, the latter 0 where no noise is."""
        self._require(basis)
        alpha, sigma = self._coefficients(t, x)
        return alpha, sigma.map(lambda s: s * self.held("_support", s.dtype, s.device))

    def noise_level(self, t: Tensor) -> Tensor:
        """Noise over signal of all frequencies, interpolated in the schedule's own level."""
        level = self.schedule.noise_level(exact(t)).log()
        return _interpolate(level, *self._knots(level)).exp()

    def time_at(self, noise_level: Tensor) -> Tensor:
        """Inverse of `noise_level`."""
        level = exact(noise_level).log()
        scalar, mean = self._knots(level)
        return self.schedule.time_at(_interpolate(level, mean, scalar).exp())

    def drowned_at(self, power: Tensor, basis: Basis) -> Tensor:
        """By bisection of every frequency's own noise-to-signal ratio, which increases in time."""
        self._require(basis)
        low, high = torch.zeros_like(power, dtype=torch.float64), torch.ones_like(power, dtype=torch.float64)
        for _ in range(50):
            middle = (low + high) / 2
            a, s = self.evolution.coefficients(middle, self.schedule, self._frequencies)
            above = s.square() >= a.square() * power
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return torch.where(self._support & (power > 0), self.noise_level(high), 0.0)

    def clean(self, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`E[x | x_t] = y + alpha_t (c / s_t)^2 (alpha_t y - x_t)`, `y = E[x + n | x_t]`, by Tweedie."""
        if self.evolution.corruption_spectrum is None:
            return x_0
        alpha, sigma = self._coefficients(t, x_t)
        c = self.corruption(x_t)
        gain = Diagonal(torch.where(c.values > 0, (alpha * (c / sigma) ** 2).values, 0.0), self.basis)
        return (x_0 + gain * (alpha * x_0 - x_t)).to(x_0.dtype)

    def corruption(self, x: Tensor) -> Diagonal:
        """`c(f)`, the standard deviation of the noise that the data already holds, to multiply the batch `x`."""
        return Diagonal(self.held("_part", wide(x), x.device, "corruption"), self.basis)

    def noise_to_signal(self, t: float, basis: Basis) -> tuple[Tensor, Tensor]:
        """Alike for all classes and places."""
        x = torch.zeros(1, *self.shape, dtype=torch.float64)
        a, s = (c.values[0] for c in self.diagonal(t, x, basis))
        ratio = torch.where(s > 0, s / a, 0.0).square().expand(self.shape[0], *basis.coefficients)
        return ratio, ratio

    def few(self, which: Tensor, basis: Basis) -> SpectralProcess:
        """The evolution of those frequencies."""
        self._require(basis)
        f, shape = self._frequencies, (self.shape[0], *self.basis.coefficients)
        # Where a frequency stands among others is told by the farthest, which is carried along.
        with_farthest = torch.cat([which, f.vectors.square().sum(0).argmax()[None]])
        near, far, corruption = (
            torch.as_tensor(part).expand(shape).flatten()[with_farthest] for part in (f.near, f.far, f.corruption)
        )
        vectors = f.vectors.unsqueeze(1).expand(-1, *shape).flatten(1)[:, with_farthest]
        count = len(which)
        white = SpectralCovariance(Flat(), (1, count), CosineBasis((count,)), "none")
        return SpectralProcess(self.schedule, white, _Few(self.evolution, Frequencies(vectors, near, far, corruption)))

    def _require(self, basis: Basis) -> None:
        if basis != self.basis:
            raise InputError(f"the process is diagonal in {self.basis}, not in {basis}")

    @property
    def label(self) -> str:
        """With the evolution."""
        return f"{super().label}, evolving as {self.evolution}"

    def to_dict(self) -> dict[str, Any]:
        """Schedule, reference covariance and evolution."""
        return {
            "schedule": self.schedule.to_dict(),
            "covariance": self.reference.to_dict(),
            "evolution": self.evolution.to_dict(),
        }

    def given(self, labels: Tensor | None) -> SpectralProcess:
        """Itself: the noise of each frequency is the same for all classes."""
        return self

    @cached_property
    def _support(self) -> Tensor:
        """Where noise is at some time, `(1|C, *coefficients)`."""
        near, far = self._raw_weights
        return (near > 0) | (far > 0)

    @cached_property
    def _raw_weights(self) -> tuple[Tensor, Tensor]:
        near = far = self.reference.weights
        spectrum = self.evolution.far_spectrum
        if spectrum is not None:
            far = SpectralCovariance(spectrum, self.shape, self.basis, self.reference.calibration).weights
        # A channel axis, of length 1 where all channels are alike.
        near, far = (w if w.ndim > self.basis.rank else w.unsqueeze(0) for w in (near, far))
        return near, far

    @cached_property
    def _frequencies(self) -> Frequencies:
        near, far = (torch.where(self._support, w, 1.0) for w in self._raw_weights)
        return Frequencies(self.basis.frequencies(), near, far, self._corruption)

    @property
    def _corruption(self) -> Tensor:
        spectrum = self.evolution.corruption_spectrum
        if spectrum is None:
            return torch.zeros_like(self._support, dtype=torch.float64)
        c = SpectralCovariance(spectrum, self.shape, self.basis, "none").weights
        return c if c.ndim > self.basis.rank else c.unsqueeze(0)

    def _on(self, device: torch.device) -> Frequencies:
        names = ("vectors", "near", "far", "corruption")
        return Frequencies(*(self.held("_part", torch.float64, device, name) for name in names))

    def _part(self, name: str) -> Tensor:
        return torch.as_tensor(getattr(self._frequencies, name))

    def _knots(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the clock, where `like` is."""
        return self.held("_knot", like.dtype, like.device, 0), self.held("_knot", like.dtype, like.device, 1)

    def _knot(self, which: int) -> Tensor:
        return self._clock[which]

    def _coefficients(self, t: Time, x: Tensor) -> tuple[Diagonal, Diagonal]:
        """Those of a plain number are kept for a while: the formulas of one step ask for two or three times often."""
        if isinstance(t, Tensor) or torch.compiler.is_compiling():
            return self._evaluate(t, x)
        key = (t, x.ndim, x.device, wide(x))
        pair = self._known.get(key)
        if pair is None:
            if len(self._known) >= _TIMES_KEPT:
                self._known.pop(next(iter(self._known)), None)  # the oldest
            with torch.inference_mode(False):  # what is kept may serve in training later
                pair = self._evaluate(t, x)
            if all(is_plain(c.values) for c in pair):
                self._known[key] = pair
        return pair

    def _evaluate(self, t: Time, x: Tensor) -> tuple[Diagonal, Diagonal]:
        time = as_time(t, x)
        a, s = self.evolution.coefficients(time, self.schedule, self._on(time.device))
        return Diagonal(like(a, x), self.basis), Diagonal(like(s, x), self.basis)

    @cached_property
    def _known(self) -> dict[tuple[float, int, torch.device, torch.dtype], tuple[Diagonal, Diagonal]]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_known"}

    @cached_property
    def _clock(self) -> tuple[Tensor, Tensor]:
        """Knots: the logs of the schedule's noise level and of that of all frequencies; made once, which is a check."""
        end = float(self.schedule.noise_level(torch.ones((), dtype=torch.float64)))
        levels = torch.linspace(math.log(_LEAST_LEVEL), math.log(min(end, _LARGEST_LEVEL)), _KNOTS, dtype=torch.float64)
        every, degrees = self._distinct()
        known, count = _thinned(every, degrees, self._places(every))
        # Where no noise is next to the data, it is measured by that at t = 1.
        weight = torch.where(known.near > 0, known.near, known.far)
        means, fall, last = [], 1.0, torch.zeros_like(weight)
        for times in self.schedule.time_at(levels.exp()).split(max(1, _CHUNK // weight.numel())):
            ratio = self._ratio(self.evolution, times, known)
            fall = max(fall, float((torch.cat([last[None], ratio[:-1]]) / ratio).max()))
            last = ratio[-1]
            if self.evolution.clock is not self.evolution:
                ratio = self._ratio(self.evolution.clock, times, known)
            snr = (weight / ratio).square()
            noise, signal = (1 / (1 + snr)) @ count, (1 / (1 + 1 / snr)) @ count
            means.append((noise.log() - signal.log()) / 2)
        _, end_noise = self.evolution.coefficients(torch.ones((), dtype=torch.float64), self.schedule, every)
        if not (torch.isfinite(end_noise) & (end_noise > 0)).all():
            raise InputError(f"{self.evolution} leaves some frequency without noise at t = 1; give it some there")
        if math.log(fall) > 1e-9:
            raise InputError(
                f"under {self.evolution} with schedule {self.schedule} the noise-to-signal ratio of some frequency"
                f" falls in time (by up to {math.log(fall):.2g} in its logarithm), which no diffusion does; bring the"
                " spectra closer to each other, or change the power"
            )
        return levels, torch.cat(means)

    def _ratio(self, evolution: Evolution, times: Tensor, known: Frequencies) -> Tensor:
        """Noise-to-signal ratios `s_t / a_t` at some times, `(T, K)`.

        Raises:
            InputError: If some are zero or no numbers.
        """
        a, s = evolution.coefficients(times[:, None], self.schedule, known)
        ratio = s / a
        if not (ratio.min() > 0 and ratio.max() < math.inf):
            raise InputError(f"{evolution} gives coefficients that are zero or no numbers; use a milder one")
        return ratio

    def _distinct(self) -> tuple[Frequencies, Tensor]:
        """The `K` frequencies of all channels that evolve differently, and the degrees of freedom that each stands for.

        Their weights are `(K,)`.
        """
        f = self._frequencies
        shape = (len(f.near), *self.basis.coefficients)
        parts = [f.near, f.far, torch.as_tensor(f.corruption), self._support.double(), *self._places(f)]
        rows = np.stack([part.expand(shape).flatten().numpy() for part in parts])
        order = np.lexsort(rows)
        first = np.flatnonzero(np.r_[True, (np.diff(rows[:, order]) != 0).any(0)])
        degrees = (self.basis.multiplicity() * self._support).expand(shape).flatten().numpy()
        count = torch.from_numpy(np.add.reduceat(degrees[order], first))
        one = torch.from_numpy(order[first])
        vectors = f.vectors.unsqueeze(1).expand(-1, *shape).flatten(1)[:, one]
        return Frequencies(vectors, *(part.expand(shape).flatten()[one] for part in parts[:3])), count

    def _places(self, f: Frequencies) -> list[Tensor]:
        """What the evolution and its clock heed of the frequency vectors."""
        evolutions = dict.fromkeys((self.evolution, self.evolution.clock))
        return [place for evolution in evolutions for place in evolution.places(f.vectors)]


@dataclass(frozen=True, eq=False)
class _Few(Evolution):
    """The evolution of frequencies that are given, `(K,)`, and of one more, which nobody asks for."""

    evolution: Evolution
    frequencies: Frequencies

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        """Theirs, whatever frequencies stand in their places."""
        count = len(self.frequencies.near)
        time = t.expand(*t.shape[:-1], count - 1)
        a, s = self.evolution.coefficients(torch.cat([time, time[..., :1]], -1), schedule, self.frequencies)
        return a[..., :-1], s[..., :-1]


def _thinned(f: Frequencies, count: Tensor, places: list[Tensor]) -> tuple[Frequencies, Tensor]:
    """Of `K` frequencies that are too many, one for all whose weights and places agree to some bits: the middle one.

    A group spans half a part in a thousand, and its members even out around the middle: the clock of 512 x 512
    frequencies changes by 1e-5 of its value, by 3e-4 where windows are as sharp as can be.
    """
    if len(count) <= _EXAMINED:
        return f, count
    rows = np.stack([part.numpy() for part in (f.near, f.far, torch.as_tensor(f.corruption), *places)])
    mantissa, exponent = np.frexp(rows)
    groups = np.ldexp(np.round(mantissa * 2**_BITS), exponent)
    order = np.lexsort(np.concatenate([rows, groups]))
    first = np.flatnonzero(np.r_[True, (np.diff(groups[:, order]) != 0).any(0)])
    last = np.r_[first[1:], len(order)] - 1
    # Of two in the middle now the one, now the other, lest all groups err to the same side.
    middle = torch.from_numpy(order[(first + last + np.arange(len(first)) % 2) // 2])
    corruption = torch.as_tensor(f.corruption)
    chosen = Frequencies(f.vectors[:, middle], f.near[middle], f.far[middle], corruption[middle])
    return chosen, torch.from_numpy(np.add.reduceat(count.numpy()[order], first))


def _interpolate(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear through `(knots, values)`, both increasing; slope 1 beyond the ends."""
    i = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    slope = (values[i] - values[i - 1]) / (knots[i] - knots[i - 1])
    inside = values[i - 1] + slope * (x.clamp(knots[0], knots[-1]) - knots[i - 1])
    return inside + (x - x.clamp(knots[0], knots[-1]))
