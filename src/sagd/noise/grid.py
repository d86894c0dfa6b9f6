"""Grids in the world: how far apart samples are along each axis, and frequencies in units of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.noise.units import Quantity, Unit


@dataclass(frozen=True)
class Grid:
    """Distances between neighbouring samples, one for each spatial axis.

    >>> Grid.parse(["1 month", "2.5 degrees", "2.5 degrees"])
    Grid(steps=((1.0, 'month'), (2.5, 'degrees'), (2.5, 'degrees')))
    >>> str(Grid.parse("8 kHz"))
    '0.000125 s'

    Args:
        steps: Size and unit of a step along each axis; 'px' for an axis of samples that are no distance apart.

    Raises:
        InputError: If a size is not positive, or a unit unknown or no distance.
    """

    steps: tuple[tuple[float, str], ...]

    def __post_init__(self) -> None:
        for size, unit in self.steps:
            if not (isinstance(size, float) and size > 0 and math.isfinite(size)):
                raise InputError(f"steps of a grid must be positive, got {size} {unit}")
            if Unit.parse(unit).power != 1:
                raise InputError(f"steps of a grid are distances, e.g. '0.5 mm', or rates, e.g. '8 kHz', got {unit!r}")

    @classmethod
    def parse(cls, value: GridLike) -> Grid | None:
        """A grid from what users write; None stays None.

        Args:
            value: For each axis a distance '0.5 mm' or '1/8000 s', a rate '8 kHz', a pair `(size, unit)`, or None for
                an axis without; a list of these, or one text with commas between them.

        Raises:
            InputError: If it cannot be read.
        """
        if value is None or isinstance(value, Grid):
            return value
        listed = value.split(",") if isinstance(value, str) else value
        if not isinstance(listed, Sequence) or not listed:
            raise InputError(f"a grid is a distance for each axis, e.g. ['0.5 mm', '0.5 mm', '2 mm'], got {value!r}")
        return cls(tuple(map(_step, listed)))

    def __str__(self) -> str:
        return ", ".join(f"{size!r} {unit}" for size, unit in self.steps)

    def to_list(self) -> list[list[Any]]:
        """JSON-ready; `parse` reads it."""
        return [list(step) for step in self.steps]

    @property
    def bases(self) -> tuple[str, ...]:
        """Base unit of each axis."""
        return tuple(Unit.parse(unit).base for _, unit in self.steps)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Each step in its base unit."""
        return tuple(size * Unit.parse(unit).scale for size, unit in self.steps)

    @property
    def alike(self) -> bool:
        """Whether lengths along all axes can be compared."""
        return len(set(self.bases)) == 1

    @property
    def square(self) -> bool:
        """Whether steps are equally long along all axes."""
        return self.alike and max(self.lengths) - min(self.lengths) <= 1e-9 * max(self.lengths)

    @property
    def corner(self) -> float:
        """The largest radial frequency, `|(1/2h_1, ..., 1/2h_n)|`, in cycles per base unit.

        Raises:
            InputError: If axes differ in what they measure.
        """
        self._require_alike()
        return math.hypot(*(0.5 / h for h in self.lengths))

    def relative_radius(self, frequencies: Tensor) -> Tensor:
        """`|F| / corner`, of frequency vectors `(n, *coefficients)` in cycles per sample; `rho` if the grid is square.

        Raises:
            InputError: If axes differ in what they measure, or are of another number.
        """
        self.require_rank(len(frequencies))
        if self.square:
            return torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
        h = frequencies.new_tensor(self.lengths).reshape(-1, *(1,) * (frequencies.ndim - 1))
        return torch.linalg.vector_norm(frequencies / h, dim=0) / self.corner

    def require_rank(self, rank: int) -> None:
        """Refuse data of another number of spatial axes.

        Raises:
            InputError: With both numbers.
        """
        if len(self.steps) != rank:
            raise InputError(f"the grid {self} has {len(self.steps)} axes, the data {rank}; give a step for each axis")

    def _require_alike(self) -> None:
        if not self.alike:
            raise InputError(f"axes of the grid {self} differ in what they measure, so no radius goes across them")


GridLike = Grid | str | Sequence[Any] | None
"""What stands for a grid in calls: see `Grid.parse`."""


@dataclass(frozen=True)
class RingScale:
    """In what unit the radii of rings are told: `corner` of it is `rho = 1`.

    Attributes:
        label: Of an axis of radii.
        corner: The corner radius in the unit; 1 where there is none.
        unit: The unit; empty where there is none.
    """

    label: str = "frequency (1: corner of the grid)"
    corner: float = 1.0
    unit: str = ""

    @classmethod
    def of(cls, grid: Grid | None) -> RingScale:
        """The scale for a grid whose rings are of `Grid.relative_radius`, as `radial_profile` makes them.

        Times are told in Hz, unless steps are minutes or longer; all else in cycles per the unit of the first axis.

        >>> RingScale.of(Grid.parse("8 kHz")).say(0.35)
        '0.35 of the corner = 1.4 kHz'
        >>> RingScale.of(None).say(0.35)
        '0.35 of the corner'
        """
        if grid is None or not grid.alike or grid.bases[0] == "px":
            return cls()
        own = Unit.parse(grid.steps[0][1])
        if own.base == "s" and own.scale <= 1:
            size, unit = next(
                ((size, unit) for size, unit in ((1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")) if grid.corner >= size),
                (1e-3, "mHz"),
            )
        else:
            size, unit = own.frequency, f"cycles/{own.singular}"
        return cls(f"frequency ({unit})", grid.corner / size, unit)

    def values(self, rho: Tensor) -> Tensor:
        """Radii in the unit."""
        return rho * self.corner

    def say(self, rho: float) -> str:
        """A radius as a fraction of the corner, and in the unit if there is one."""
        return f"{rho:.3g} of the corner" + (f" = {rho * self.corner:.4g} {self.unit}" if self.unit else "")


def _step(value: Any) -> tuple[float, str]:
    """Size and unit of a step."""
    if value is None:
        return 1.0, "px"
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], str):
        size = value[0]
        if isinstance(size, bool) or not isinstance(size, (int, float)):
            raise InputError(f"a step is a size and a unit, e.g. [0.5, 'mm'], got {value!r}")
        return float(size), value[1]
    if not isinstance(value, str):
        raise InputError(f"a step is a distance, e.g. '0.5 mm', or a rate, e.g. '8 kHz', got {value!r}")
    found = Quantity.parse(value)
    if found.unit.power == -1:
        if found.number <= 0:
            raise InputError(f"a rate of samples must be positive, got {value!r}")
        return 1 / found.value, found.unit.base
    return found.number, found.unit.text
