"""Damage in bands of frequencies, reproducible by seed: what omission and cleaning are tried on.

Damage is added, `y = x + n`, unless a kind says otherwise. It is `fixed`, a function of (seed, number of the image):
the realistic case, where an image has its damage for good; or drawn anew at each reading. What holds of it is stated by
`assumptions`, by which modes of omission tell whether they suit it.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.units import Quantity, is_quantity
from sagd.random import Generator, Stream, generator_for
from sagd.spec import Description

Shape = tuple[int, ...]

MOST_WAVES = 4096
"""Waves, and harmonics, of one damage: each is computed."""
_DRAWS = 2048
"""Draws that estimate a spectrum without closed form: each power is known to 2 %."""


@dataclass(frozen=True)
class Assumptions:
    """What holds for some damage.

    Attributes:
        banded: All its power lies in its band.
        zero_mean: Its mean over images is zero.
        gaussian: It is Gaussian.
        independent: It does not depend on the image.
        alike: Its band is the same in all images.
    """

    banded: bool = True
    zero_mean: bool = True
    gaussian: bool = True
    independent: bool = True
    alike: bool = True


class Corruption(Description, family="corruption"):
    """Base of all damage; a subclass supplies `noise`, `band` and `assumptions`.

    Parameters that `measures` names may be texts with units, 'hum(frequency="50 Hz")', which `on` turns into numbers.
    """

    measures: ClassVar[Mapping[str, int]] = {}
    """Parameters that may have units, and the power of samples in them: -1 of frequencies, 1 of times and lengths."""
    turns: ClassVar[bool] = True
    """Whether these are measured in all directions, or along the last axis alone."""

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

    def added(self, x: Tensor, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """Damaged images: `x + n`, unless a kind says otherwise; arguments as for `noise`."""
        return x + self.noise(tuple(x.shape[1:]), generators, seed).to(x)

    @abstractmethod
    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Where its power lies, in the Fourier basis of `spatial`."""

    def places(self, spatial: Shape, generators: Sequence[Generator]) -> Tensor | None:
        """Frequencies at which each image says nothing, bool `(B, *coefficients)`; None if they are alike in all.

        Args:
            spatial: Side lengths.
            generators: One per image, those of `noise`.
        """
        return None

    def on(self, grid: Grid | None) -> Self:
        """The same with what is in units told in samples.

        Args:
            grid: How far apart samples are, for each spatial axis; None where that is not known.

        Raises:
            InputError: If something is in units that the grid does not have.
        """
        told = {name: value for name in self.measures if is_quantity(value := getattr(self, name))}
        numbers = {name: self._samples(name, Quantity.parse(value), grid) for name, value in told.items()}
        return dataclasses.replace(self, **numbers) if numbers else self  # type: ignore[type-var]

    def _require_numbers(self, *names: str) -> None:
        """Refuse negative numbers; of what may have units zero, and texts that are no quantities."""
        for name in names:
            value = getattr(self, name)
            if name in self.measures and isinstance(value, str):
                if not is_quantity(value):
                    raise InputError(f"{self.kind} {name} is a number of samples or has a unit, got {value!r}")
                self._power_of(name, Quantity.parse(value))
                continue
            require_finite(f"{self.kind} {name}", value)
            if value < 0 or (value == 0 and name in self.measures):
                wanted = "be positive" if name in self.measures else "not be negative"
                raise InputError(f"{self.kind} {name} must {wanted}, got {value}")

    def _samples(self, name: str, quantity: Quantity, grid: Grid | None) -> float:
        """A quantity in cycles per sample, or in samples."""
        power, unit = self._power_of(name, quantity), quantity.unit
        if unit.base == "px":
            return quantity.value
        if grid is None or grid.bases[-1] != unit.base:
            needed = (
                "rate; give data.rate, e.g. 8000" if unit.base == "s" else "spacing; give data.spacing, e.g. '1 mm'"
            )
            raise InputError(f"{self.kind} {name} is in {unit.text}, and the data has no {needed}")
        if self.turns and not grid.square:
            raise InputError(f"{self.kind} {name} is in {unit.text}, and the axes of {grid} differ; give it in samples")
        return quantity.value * grid.lengths[-1] ** -power

    def _power_of(self, name: str, quantity: Quantity) -> int:
        """Power of samples in a parameter, which is that of its unit too."""
        power = self.measures[name]
        if quantity.unit.power != power:
            wanted = "a frequency, e.g. '50 Hz'" if power == -1 else "a time or length, e.g. '2 s'"
            raise InputError(f"{self.kind} {name} must be {wanted}, got one in {quantity.unit.text!r}")
        return power

    def _number(self, name: str) -> float:
        """A parameter in samples."""
        value: Any = getattr(self, name)
        return float(self._samples(name, Quantity.parse(value), None) if is_quantity(value) else value)

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
    """Damaged images, not clipped.

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
    return corruption.added(x, own, seed)
