"""What the numbers of a field mean: how models see them, and what they stand for outside.

A model sees `x = (v - offset) / scale` of the values `v` of files. Both numbers are stored with the model, with the
axes, their steps, the unit, and the type that the files have, so that what it draws comes back as what was put in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import Reading
from sagd.data.formats import Contents, Coordinates, Step
from sagd.data.formats.values import to_type
from sagd.data.images import to_unit_range
from sagd.errors import InputError, argument, check_squares, one_line
from sagd.noise.grid import Grid
from sagd.noise.places import area_weights

_NAMES = {"degrees_north": "degrees", "degrees_east": "degrees", "seconds": "s", "um": "µm", "micron": "µm"}
"""Units as files spell them -> as the library does."""
BYTE = 127.5
"""Offset and scale of 8-bit pictures: `u / 127.5 - 1`."""


@dataclass(frozen=True)
class Meaning:
    """What the numbers of fields `(C, *spatial)` mean.

    Attributes:
        kind: Kind of signal.
        axes: A letter for each spatial axis: `T`, `Z`, `Y`, `X`.
        offset: Value that models see as 0, of all channels or of each.
        scale: Difference of values that models see as 1, likewise.
        steps: Letter -> distance of neighbours, where it is known.
        quantity: Unit of the values; "" if nobody said, or channels differ in it.
        channels: Names of the channels; () if they have none.
        dtype: numpy's name of the type of values in files.
        limits: Least and largest value of files, if these mean something.
        ending: Ending of files.
        reading: How files are read that do not say it themselves.
        quantities: Unit of each channel, where they differ.
        coordinates: Letter -> where the places of an axis are, where they are the same for all fields.
        by_area: Whether places of maps count by the areas of their cells.
    """

    kind: str = "image"
    axes: str = "YX"
    offset: tuple[float, ...] = (BYTE,)
    scale: tuple[float, ...] = (BYTE,)
    steps: dict[str, Step] = field(default_factory=dict)
    quantity: str = ""
    channels: tuple[str, ...] = ()
    dtype: str = "uint8"
    limits: tuple[float, float] | None = (0.0, 255.0)
    ending: str = ".png"
    reading: Reading = field(default_factory=Reading)
    quantities: tuple[str, ...] = ()
    coordinates: dict[str, Coordinates] = field(default_factory=dict)
    by_area: bool = False

    def __post_init__(self) -> None:
        rank = len(self.axes)
        if not 1 <= rank <= 3 or len(set(self.axes)) != rank or not set(self.axes) <= set("TZYX"):
            raise InputError(f"axes must be one to three of T, Z, Y, X, got {one_line(repr(self.axes))}")
        numbers = (*self.offset, *self.scale, *(self.limits or ()), *(step.size for step in self.steps.values()))
        if not all(map(math.isfinite, numbers)) or len(self.limits or (0, 0)) != 2:
            raise InputError(f"offset, scale, limits and steps must be finite, got {one_line(repr(numbers))}")
        if not self.offset or len(self.offset) != len(self.scale) or min(self.scale) <= 0:
            raise InputError(f"scale must be positive, one for each offset, got {one_line(repr(self.scale))}")
        if np.dtype(self.dtype).kind not in "buif":
            raise InputError(f"dtype must be one of numbers, got {one_line(repr(self.dtype))}")

    @property
    def is_bytes(self) -> bool:
        """Whether values are those of 8-bit pictures, which are kept as they are until they are shown."""
        return self.dtype == "uint8" and self.offset == self.scale == (BYTE,)

    @property
    def units(self) -> str | tuple[str, ...]:
        """Unit of the values: of each channel where they differ, else of all."""
        return self.quantities or self.quantity

    @property
    def rate(self) -> float | None:
        """Samples per second along the time axis, if that is known."""
        return rate_of(self.steps.get("T"))

    def to_model(self, values: Tensor) -> Tensor:
        """Values of files `(..., C, *spatial)` as models see them, float32."""
        if values.dtype == torch.uint8 and self.is_bytes:
            return to_unit_range(values)
        offset, scale = self._numbers(values)
        return ((values.double() - offset) / scale).float()

    def to_values(self, x: Tensor) -> Tensor:
        """Inverse of `to_model`: float64, neither rounded nor clipped."""
        offset, scale = self._numbers(x)
        return x.double() * scale + offset

    def as_files_hold(self, x: Tensor) -> Tensor:
        """What is left of fields `(..., C, *spatial)` that are written and read again: rounded and clipped, float32."""
        typed, _ = to_type(self.to_values(x).numpy(), self.dtype, self.limits)
        return self.to_model(torch.from_numpy(typed if self.is_bytes else typed.astype(np.float64)))

    def packed(self, x: Tensor) -> Tensor:
        """Fields as they are kept beside a report: 8-bit pictures in 8 bits, else as they are."""
        if not self.is_bytes:
            return x
        return torch.from_numpy(to_type(self.to_values(x).numpy(), self.dtype, self.limits)[0])

    def unpacked(self, kept: Tensor) -> Tensor:
        """Inverse of `packed`, but for rounding."""
        return self.to_model(kept) if kept.dtype == torch.uint8 else kept

    def sides(self) -> tuple[float, ...] | None:
        """Distance of neighbours along each spatial axis, if all are known in one unit: the shape of a voxel."""
        steps = [self.steps.get(letter) for letter in self.axes]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps) or len({step.unit for step in known}) > 1:
            return None
        return tuple(step.size for step in known)

    def weight_field(self, shape: Sequence[int]) -> Tensor | None:
        """How much each place of fields `(C, *spatial)` counts, `(1, *spatial)` float64; None: all alike.

        Raises:
            InputError: If that goes by area, and no latitudes are known.
        """
        if not self.by_area:
            return None
        latitudes = self.coordinates.get("Y")
        if latitudes is None or "Y" not in self.axes or not latitudes.unit.lower().startswith("degree"):
            raise InputError(
                f"{argument('data.area_weights=True')} needs latitudes in degrees of the rows (Y) of whole maps, which"
                " the files do not give; leave it out, or train on netCDF files with a coordinate of latitudes"
            )
        return area_weights(latitudes.values, shape[1:], self.axes.index("Y"))

    def grid(self) -> Grid | None:
        """The grid of the fields, for frequencies in units; None if nothing is known of it."""
        steps = [self.steps.get(letter) for letter in self.axes]
        told = [None if step is None else measured(step) for step in steps]
        return Grid.parse(told) if any(told) else None

    def rings(self) -> Grid | None:
        """The same where radii go across all axes, as rings of frequencies need; else None."""
        grid = self.grid()
        return grid if grid is not None and grid.alike else None

    def bare(self) -> Meaning:
        """Values as models see them, without a unit, which tables have in their names: of noise, which has no other."""
        names = tuple(re.sub(r"\s*\[[^]]*\]$", "", name) for name in self.channels)
        return replace(
            self, offset=(0.0,), scale=(1.0,), quantity="", quantities=(), channels=names, dtype="float32", limits=None
        )

    @property
    def length(self) -> str:
        """Unit of the steps in space, if all have one."""
        units = {step.unit for letter, step in self.steps.items() if letter in "ZYX"}
        return units.pop() if len(units) == 1 else ""

    def contents(self, path: Path, shape: Sequence[int]) -> Contents:
        """What a new file of one field `(C, *spatial)` is to say, the channel axis last, and left out if there is one.

        Args:
            path: The file.
            shape: `(C, *spatial)`.
        """
        channels, *spatial = shape
        one = channels == 1
        return Contents(
            path,
            "",
            tuple(spatial) if one else (*spatial, channels),
            self.axes if one else self.axes + "C",
            self.dtype,
            self.limits,
            {letter: step for letter, step in self.steps.items() if letter in self.axes},
            self.quantity,
            self.channels,
            self.quantities,
            self.coordinates,
        )

    def _numbers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offset and scale that broadcast against `(..., C, *spatial)`."""
        shape = (-1, *(1,) * len(self.axes))
        return tuple(  # type: ignore[return-value]
            torch.tensor(numbers, dtype=torch.float64, device=x.device).reshape(shape)
            for numbers in (self.offset, self.scale)
        )


def usual(shape: Sequence[int]) -> Meaning:
    """What is taken for granted of fields `(C, *spatial)` that came from no file: pictures in [-1, 1], else numbers."""
    rank = len(shape) - 1
    if rank == 2 and shape[0] in (1, 3):
        return Meaning()
    kind, axes = {1: ("series", "T"), 2: ("field", "YX"), 3: ("volume", "ZYX")}[rank]
    return Meaning(kind, axes, (0.0,), (1.0,), dtype="float32", limits=None, ending=".npy")


def spread(values: Sequence[np.ndarray], share: float = 5e-4) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Offset and scale by which all but a share of the values at either end lie in [-1, 1], all channels alike.

    Nothing is clipped: single bright pixels, which would leave no room for all else, lie beyond.

    Args:
        values: Arrays `(C, *spatial)`; NaN is left out.
        share: Share of the values that may lie beyond, at either end.
    """
    flat = _finite(values)
    low, high = np.quantile(flat, [share, 1 - share])
    if not high > low:
        low, high = flat.min(), flat.max()
    scale = (high - low) / 2
    return (float((high + low) / 2),), (float(scale) if scale > 0 else 1.0,)


def peak(values: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Offset 0 and the largest magnitude: silence stays 0, and nothing lies beyond [-1, 1]."""
    largest = float(np.abs(_finite(values)).max())
    return (0.0,), (largest if largest > 0 else 1.0,)


def standardised(values: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and twice the standard deviation of each channel, whose units may differ: models see deviations of 0.5."""
    channels = [_finite([v[c] for v in values]) for c in range(len(values[0]))]
    means = [float(c.mean()) for c in channels]
    scales = [2 * float(c.std()) for c in channels]
    return tuple(means), tuple(scale if scale > 0 else 1.0 for scale in scales)


def measured(step: Step) -> tuple[float, str] | None:
    """A step in a unit of the library; None if its unit is none."""
    unit = _NAMES.get(step.unit, step.unit)
    try:
        Grid.parse([(step.size, unit)])
    except InputError:
        return None
    return step.size, unit


def length_of(step: Step) -> tuple[float, str]:
    """A step in the base unit of its kind, and that unit; as it is if its unit is none of the library.

    >>> length_of(Step(2.0, "mm")) == length_of(Step(0.2, "cm"))
    True
    """
    told = measured(step)
    grid = None if told is None else Grid.parse([told])
    return (step.size, step.unit) if grid is None else (grid.lengths[0], grid.bases[0])


def rate_of(step: Step | None) -> float | None:
    """Samples per second of a step in time; None if it is none, or without a unit.

    >>> rate_of(Step(2.0, "ms")), rate_of(Step(2.0, ""))
    (500.0, None)
    """
    size, unit = (0.0, "") if step is None else length_of(step)
    return 1 / size if unit == "s" else None


def _finite(values: Sequence[np.ndarray]) -> np.ndarray:
    """All values that are numbers, one after the other, float64.

    Raises:
        InputError: If there are none, or they are too far apart, or too little.
    """
    flat = np.concatenate([v.ravel() for v in values]).astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if not len(flat):
        raise InputError("the data holds no values that are numbers (all NaN or infinite)")
    check_squares("values", 2 * float(flat.max() / 2 - flat.min() / 2))
    return flat
