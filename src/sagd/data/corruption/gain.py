"""Damage that multiplies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from sagd.data.corruption.base import Assumptions, Corruption, Shape
from sagd.errors import InputError
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.random import Generator


@dataclass(frozen=True)
class Gain(Corruption, kind="gain"):
    """Any damage as a gain that multiplies: `y = black + (x - black) exp(n)`, as of the columns of a detector.

    It depends on the image, in whose bright parts it is strong; in `log(x - black)` it is added, and lies in its band.

    Args:
        damage: What the logarithm of the gain is, whose level is that of the gain where it is small.
        black: Value of no light: -1 of images, 0 of records.
        fixed: Drawn once per image.
    """

    damage: Corruption
    black: float = -1.0
    fixed: bool = True

    @property
    def assumptions(self) -> Assumptions:
        """What holds for it."""
        alike = self.damage.assumptions.alike
        return Assumptions(banded=False, zero_mean=False, gaussian=False, independent=False, alike=alike)

    def __post_init__(self) -> None:
        object.__setattr__(self, "damage", Corruption.parse(self.damage))
        self._check()
        require_finite("gain black", self.black)
        if isinstance(self.damage, Gain):
            raise InputError("gain is of damage that is added, e.g. gain(damage='curtains(level=0.1)'), not of a gain")

    def on(self, grid: Grid | None) -> Self:
        """With the damage on the grid."""
        return replace(self, damage=self.damage.on(grid))

    def noise(self, shape: Shape, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """The logarithm of the gain."""
        return self.damage.noise(shape, generators, seed)

    def added(self, x: Tensor, generators: Sequence[Generator], seed: int = 0) -> Tensor:
        """What is above black, times the gain."""
        gain = self.noise(tuple(x.shape[1:]), generators, seed).to(x).exp()
        return self.black + (x - self.black) * gain

    def band(self, spatial: Shape, seed: int = 0) -> Spectrum:
        """Where the power of the logarithm lies."""
        return self.damage.band(spatial, seed)

    def __str__(self) -> str:
        black = "" if self.black == -1 else f", black={self.black!r}"
        fixed = "" if self.fixed else f", fixed={self.fixed!r}"
        return f"{self.kind}(damage={str(self.damage)!r}{black}{fixed})"
