"""Damage in bands of frequencies, reproducible by seed: what selective omission is tried on.

All damage is additive, `y = x + n`. It is `fixed`, a function of (seed, number of the image): the realistic case, where
an image has its damage for good; or drawn anew at each reading. What holds of it is stated by `assumptions`, by which
modes of omission tell whether they suit it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.base import corner_radius
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.damage import Ring, Spots, Strip, Wedge
from sagd.random import Generator, Stream, generator_for, rand, randn
from sagd.spec import Description

Shape = tuple[int, ...]

_DRAWS = 2048
"""Draws that estimate a spectrum without closed form: each power is known to 2 %."""


@dataclass(frozen=True)
class Assumptions:
    """What holds for some damage.

    Attributes:
        banded: All its power lies in its band.
        zero_mean: Its mean over images is zero.
        gaussian: It is Gaussian.
    """

    banded: bool = True
    zero_mean: bool = True
    gaussian: bool = True


class Corruption(Description, family="corruption"):
    """Base of all damage; a subclass supplies `noise`, `band` and `assumptions`."""

    fixed: bool
    """Drawn once per image, or anew at each reading."""

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it; all, unless a subclass says otherwise."""
        return Assumptions()

    @abstractmethod
    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """The damage of a batch, float32 `(B, C, *spatial)`.

        Args:
            shape: `(C, *spatial)`.
            generators: One per image.
            seed: Seed of what all images share.
        """

    @abstractmethod
    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Where its power lies, in the Fourier basis of `spatial`."""

    def spectrum(self, shape: Shape, seed: int = 0) -> Tensor:
        """Its power spectrum `E |U n|^2`, `(C, *coefficients)`, float64; an estimate where there is no closed form."""
        basis = FourierBasis(shape[1:])
        total = torch.zeros(shape[0], *basis.coefficients, dtype=torch.float64)
        for first in range(0, _DRAWS, 256):
            n = self.noise(shape, generators(seed, range(first, first + 256)), seed)
            total += basis.forward(n.double()).abs().square().sum(0)
        return total / _DRAWS

    def _check(self) -> None:
        """Refuse a level or a `fixed` that is none."""
        level = getattr(self, "level", 1.0)
        require_finite(f"{self.kind} level", level)
        if not level > 0:
            raise InputError(f"{self.kind} level must be positive, got {level}; images reach from -1 to 1")
        if not isinstance(self.fixed, bool):
            raise InputError(f"{self.kind} fixed must be true or false, got {self.fixed!r}")


def generators(seed: int, indices: Sequence[int] | range, draw: int | None = None) -> list[Stream]:
    """One generator per image, keyed by seed and number, and by the reading where it matters."""
    tail = () if draw is None else (draw,)
    return [generator_for(seed, "damage", index, *tail) for index in indices]


def corrupt(
    x: Tensor, corruption: Corruption | str, seed: int = 0, indices: Tensor | None = None, draw: int = 0
) -> Tensor:
    """`x + n`, not clipped.

    Args:
        x: Clean images `(B, C, *spatial)`, floating point.
        corruption: The damage, or its text.
        seed: Its seed.
        indices: Numbers of the images, `(B,)`; default: 0..B-1.
        draw: Number of the reading, for damage that is not fixed.

    Raises:
        InputError: On images that are not floating point, or damage that does not fit them.
    """
    corruption = Corruption.parse(corruption)
    if not x.is_floating_point():
        raise InputError(f"images must be floating point in [-1, 1], got {x.dtype}")
    if not len(x):
        return x
    numbers = list(range(len(x))) if indices is None else indices.tolist()
    own = generators(seed, numbers, None if corruption.fixed else draw)
    return x + corruption.noise(tuple(x.shape[1:]), own, seed).to(x)


class _BandNoise(Corruption):
    """Gaussian noise, white in its band."""

    level: float
    grey: ClassVar[bool] = False
    """Whether all channels share one draw."""

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """White noise, filtered by the band."""
        basis = FourierBasis(shape[1:])
        amplitude = self.spectrum((1, *shape[1:]), seed).sqrt().float()
        white = randn((len(generators), 1 if self.grey else shape[0], *shape[1:]), generators)
        return basis.inverse(amplitude * basis.forward(white)).expand(-1, shape[0], *shape[1:])

    def spectrum(self, shape: Shape, seed: int = 0) -> Tensor:
        """`level^2` over the share of frequencies, in the band."""
        basis = FourierBasis(shape[1:])
        b = mask(self.band(shape[1:], seed), basis)
        share = float((b * basis.multiplicity()).sum()) / math.prod(shape[1:])
        return (self.level**2 / share * b).expand(shape[0], *basis.coefficients)


@dataclass(frozen=True)
class BandNoise(_BandNoise, kind="band_noise"):
    """Gaussian noise in a ring of radii, independent in every channel: meets what all modes need.

    Args:
        low: Inner edge of the ring, in fractions of the corner radius.
        high: Outer edge.
        level: Standard deviation per data value; 1 is the paper's unit variance (arXiv:2510.09660, section 6).
        fixed: Drawn once per image.
    """

    low: float = 0.1
    high: float = 0.2
    level: float = 1.0
    fixed: bool = True

    def __post_init__(self) -> None:
        self._check()
        Ring(self.low, self.high)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """The ring."""
        return Ring(self.low, self.high)


@dataclass(frozen=True)
class ScanLines(_BandNoise, kind="scan_lines"):
    """Rows (axis 0) or columns (axis 1) of random brightness, in all channels alike: meets what all modes need.

    The offsets of an image are Gaussian and add up to zero, so that its mean brightness stays.

    Args:
        axis: Axis along which brightness varies.
        level: Standard deviation of the offsets.
        fixed: Drawn once per image.
    """

    axis: int = 0
    level: float = 0.5
    fixed: bool = True
    grey: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check()
        Strip(self.axis)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """The axis, without the mean."""
        if self.axis >= len(spatial) or len(spatial) < 2:
            raise InputError(f"scan_lines along axis {self.axis} need images with that axis and another, got {spatial}")
        return Strip(self.axis, low=round(0.5 / spatial[self.axis], 4))


@dataclass(frozen=True)
class Shading(_BandNoise, kind="shading"):
    """Uneven light: a smooth Gaussian field, in all channels alike, its mean brightness kept: for all modes.

    Args:
        level: Standard deviation per data value.
        cutoff: Highest frequency, in cycles per longest side.
        fixed: Drawn once per image.
    """

    level: float = 0.5
    cutoff: float = 1.5
    fixed: bool = True
    grey: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check()
        require_finite("shading cutoff", self.cutoff)
        if not self.cutoff >= 1:
            raise InputError(f"shading cutoff must be at least 1 cycle per side, got {self.cutoff}")

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A ring around the mean."""
        step = 1 / max(spatial) / corner_radius(len(spatial))
        return Ring(round(0.5 * step, 4), min(1.0, round((self.cutoff + 0.01) * step, 4)))


@dataclass(frozen=True)
class _Waves(Corruption):
    """Plane waves of random phase, at frequencies of whole cycles per side, in all channels alike."""

    level: float = 0.5
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(gaussian=False)

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """The sum of the waves."""
        spatial = shape[1:]
        frequencies, power = self._frequencies(spatial, seed)
        places = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in spatial], indexing="ij"))
        angle = 2 * math.pi * torch.einsum("kn,n...->k...", frequencies, places)
        phases = rand((len(generators), len(power)), generators, torch.float64)
        amplitude = (2 * power).sqrt() * self.level
        # cos(angle + phase), so that the waves are the same for all images.
        turn = 2 * math.pi * phases
        parts = (amplitude * turn.cos()) @ angle.cos().flatten(1) - (amplitude * turn.sin()) @ angle.sin().flatten(1)
        return parts.float().reshape(-1, 1, *spatial).expand(-1, shape[0], *spatial)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """A spot at every frequency."""
        at = tuple(tuple(round(f, 4) for f in frequency) for frequency in self._frequencies(spatial, seed)[0].tolist())
        return Spots(at, round(0.5 / max(spatial), 4))

    @abstractmethod
    def _frequencies(self, spatial: Shape, seed: int) -> tuple[Tensor, Tensor]:
        """Frequencies `(K, n)` in cycles per sample, and shares of the power `(K,)`, float64."""


@dataclass(frozen=True)
class Moire(_Waves, kind="moire"):
    """A few plane waves that all images share, each image with phases of its own: for project and fill.

    Frequencies are whole cycles per side, so that the waves close at the borders; those of real moire leak a little.

    Args:
        level: Root mean square of the pattern.
        fixed: Phases drawn once per image.
        waves: Number of waves.
        low: Least frequency, in cycles per sample.
        high: Largest.
    """

    waves: int = 3
    low: float = 0.15
    high: float = 0.35

    def __post_init__(self) -> None:
        self._check()
        if not isinstance(self.waves, int) or self.waves < 1:
            raise InputError(f"moire waves must be at least 1, got {self.waves!r}")
        if not 0 < self.low < self.high <= 0.5:
            raise InputError(f"moire needs 0 < low < high <= 0.5 cycles per sample, got {self.low} and {self.high}")

    def _frequencies(self, spatial: Shape, seed: int) -> tuple[Tensor, Tensor]:
        g = generator_for(seed, "shared damage")
        direction = randn((self.waves, len(spatial)), g, torch.float64)
        direction /= torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        radius = self.low + (self.high - self.low) * rand((self.waves, 1), g, torch.float64)
        sides = torch.tensor(spatial, dtype=torch.float64)
        whole = (direction * radius * sides).round()
        # A wave that rounding would leave without a single cycle gets one.
        whole[(whole == 0).all(1), -1] = 1.0
        return whole / sides, torch.full((self.waves,), 1 / self.waves, dtype=torch.float64)


@dataclass(frozen=True)
class Hum(_Waves, kind="hum"):
    """Mains hum along the last axis, with harmonics of falling power and random phase: for project and fill.

    The frequency is rounded to whole cycles per record; harmonics beyond Nyquist are left out.

    Args:
        level: Root mean square of the hum.
        fixed: Phases drawn once per record.
        frequency: Of the fundamental, in cycles per sample (50 Hz sampled at 1 kHz: 0.05).
        harmonics: Number of frequencies, the fundamental included.
    """

    frequency: float = 0.05
    harmonics: int = 4

    def __post_init__(self) -> None:
        self._check()
        require_finite("hum frequency", self.frequency)
        if not 0 < self.frequency < 0.5:
            raise InputError(f"hum frequency must lie in (0, 0.5) cycles per sample, got {self.frequency}")
        if not isinstance(self.harmonics, int) or self.harmonics < 1:
            raise InputError(f"hum harmonics must be at least 1, got {self.harmonics!r}")

    def _frequencies(self, spatial: Shape, seed: int) -> tuple[Tensor, Tensor]:
        cycles = max(1, round(self.frequency * spatial[-1]))
        numbers = [k for k in range(1, self.harmonics + 1) if 2 * k * cycles < spatial[-1]]
        if not numbers:
            raise InputError(
                f"hum of {cycles} cycles in {spatial[-1]} samples is beyond Nyquist; give a lower frequency"
            )
        along = torch.tensor(numbers, dtype=torch.float64) * cycles / spatial[-1]
        frequencies = torch.zeros(len(numbers), len(spatial), dtype=torch.float64)
        frequencies[:, -1] = along
        power = torch.tensor(numbers, dtype=torch.float64) ** -2
        return frequencies, power / power.sum()


@dataclass(frozen=True)
class Rain(Corruption, kind="rain"):
    """Bright streaks of one direction, in all channels alike; images only.

    Streaks only brighten, so their mean is not zero, and being short they leak out of their wedge: `fill` leaves a
    trace of both (how much is measured by `benchmarks.omission`).

    Args:
        level: Root mean square per data value.
        angle: Direction of the streaks in degrees from upright.
        length: Length of a streak, in pixels.
        density: Share of pixels where a streak begins.
        fixed: Drawn once per image.
    """

    level: float = 0.3
    angle: float = 10.0
    length: float = 12.0
    density: float = 0.015
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        return Assumptions(banded=False, zero_mean=False, gaussian=False)

    def __post_init__(self) -> None:
        self._check()
        require_finite("rain angle", self.angle)
        require_finite("rain length", self.length)
        if not self.length >= 2 or not 0 < self.density < 1:
            raise InputError(
                f"rain needs length >= 2 pixels and density in (0, 1), got {self.length} and {self.density}"
            )

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """Drops of random brightness, drawn out along their way."""
        kernel = self._kernel(shape[1:])
        drops = torch.stack([self._drops(shape[1:], g) for g in generators])
        basis = FourierBasis(shape[1:])
        # Orthonormal transforms: a convolution is the product times the root of the number of pixels.
        streaks = basis.inverse(basis.forward(kernel) * math.sqrt(kernel.numel()) * basis.forward(drops))
        # Brightness is exponential: E a = 1, E a^2 = 2.
        p = self.density
        square = (2 * p - p**2) * float(kernel.square().sum()) + (p * float(kernel.sum())) ** 2
        scaled = (self.level / math.sqrt(square) * streaks).clamp(min=0).float()
        return scaled.unsqueeze(1).expand(-1, shape[0], *shape[1:])

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Directions across the streaks."""
        if len(spatial) != 2:
            raise InputError(f"rain falls on images (2 spatial axes), the data has {len(spatial)}")
        return Wedge(angle=-self.angle % 180, width=50.0, low=0.05)

    def _drops(self, spatial: Shape, g: Generator) -> Tensor:
        where = rand(spatial, g, torch.float64) < self.density
        return where * -torch.log1p(-rand(spatial, g, torch.float64))

    def _kernel(self, spatial: Shape) -> Tensor:
        """One streak about the origin, on the torus."""
        if len(spatial) != 2:
            raise InputError(f"rain falls on images (2 spatial axes), the data has {len(spatial)}")
        rows, columns = torch.meshgrid(*[_centred(n) for n in spatial], indexing="ij")
        turn = math.radians(self.angle)
        along = rows * math.cos(turn) + columns * math.sin(turn)
        across = columns * math.cos(turn) - rows * math.sin(turn)
        return torch.exp(-((across / 0.6) ** 2) / 2) * torch.exp(-((2 * along / self.length) ** 4))


@dataclass(frozen=True)
class FixedPattern(Corruption, kind="fixed_pattern"):
    """A sensor's own pattern, the same in all images: columns of random offset, and single pixels.

    Being the same everywhere it is a mean, which `fill` and `deconvolve` would learn as image; only `project` removes
    it, and only the columns are a band.

    Args:
        level: Root mean square of the pattern.
        columns: Share of the power that the columns have.
        fixed: Has no effect: the pattern never changes.
    """

    level: float = 0.3
    columns: float = 1.0
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """A band only without single pixels."""
        return Assumptions(banded=self.columns == 1, zero_mean=False, gaussian=False)

    def __post_init__(self) -> None:
        self._check()
        if not 0 <= self.columns <= 1:
            raise InputError(f"fixed_pattern columns must lie in [0, 1], got {self.columns}")

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """One pattern for all."""
        g = generator_for(seed, "shared damage")
        columns = randn(shape[-1:], g)
        columns = columns - columns.mean()
        pixels = randn(shape[1:], g)
        pattern = math.sqrt(self.columns) * columns + math.sqrt(1 - self.columns) * pixels
        return (self.level / pattern.square().mean().sqrt() * pattern).expand(len(generators), *shape)

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """That of the columns."""
        if len(spatial) < 2:
            raise InputError(f"fixed_pattern is for images, the data has {len(spatial)} spatial axis")
        return Strip(len(spatial) - 1, low=round(0.5 / spatial[-1], 4))


def _centred(n: int) -> Tensor:
    """Distances from the origin on a ring of `n` places."""
    return (torch.arange(n, dtype=torch.float64) + n // 2) % n - n // 2
