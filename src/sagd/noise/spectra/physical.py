"""Weights by the frequencies of the world that is sampled: cycles per second, per millimetre, per degree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sagd.errors import InputError, argument
from sagd.noise.basis.base import corner_radius
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum, holds_units
from sagd.noise.units import Quantity, Unit, is_quantity
from sagd.spec import suggest

_POWERS = {"frequency": -1, "corner": -1, "radius": -1, "axis": -1, "at": -1, "area": 2}
_OF_SAMPLES = {"corner", "radius", "axis", "at"}
"""What is measured in samples, and held against what a grid of samples can hold."""


@dataclass(frozen=True)
class Physical(Spectrum, kind="physical"):
    """A spectrum in units, such as `band_pass(low='300 Hz', high='3400 Hz')`, for data whose grid is known.

    Radii are those of the world: of axes in lengths `|F|` in cycles per mm, however long the steps are along each of
    them. If axes differ in what they measure, a spectrum of radii speaks of those that the unit belongs to, and is the
    same along the others; one that names axes takes each in its own unit.

    Parameters without a unit mean what they mean elsewhere, on a grid whose steps are all as long as the shortest;
    those of laws that hold in any unit (`power_law`, `exponential_decay`, others that say nothing else) are in `unit`.
    Bands may reach beyond the highest frequency of the grid. The description keeps its units: `on` makes of it the same
    weights at the same physical frequencies on another grid.

    Args:
        spectrum: A spectrum that is a function of frequency alone, or its text; with units or without.
        unit: Unit of frequencies, e.g. '1/mm'; by default that of the first parameter that has one, else of the grid.
        grid: How far apart samples are; None until `on` says so.

    Raises:
        InputError: If a unit is unknown, or not one of what the parameter measures, or the spectrum is of another kind.

    >>> Spectrum.parse("band_pass(low='300 Hz', high='3400 Hz')").on(Grid.parse("8 kHz")).plain(1)
    BandPass(low=0.075, high=0.85, inside=1.0, outside=0.0)
    """

    scalable = False
    spectrum: str
    unit: str | None = None
    grid: Grid | None = None

    def __post_init__(self) -> None:
        fields = Spectrum.read(self.spectrum)
        member = Spectrum.member(fields.get("kind"))
        if not member.scalable:
            raise InputError(
                f"physical is of one spectrum that is a function of frequency, not of {member.kind!r}; put it around"
                " the spectra that this is made of"
            )
        given = {name: _listed(value) for name, value in fields.items() if name != "kind"}
        object.__setattr__(self, "grid", Grid.parse(self.grid))
        if any(map(holds_units, given.values())):
            _check_parameters(member, given)
        else:
            Spectrum.from_dict(fields)
        own = {f.name: _listed(f.default) for f in dataclasses.fields(member)}
        changed = [f"{name}={given[name]!r}" for name in own if name in given and given[name] != own[name]]
        object.__setattr__(self, "spectrum", f"{member.kind}({', '.join(changed)})" if changed else member.kind)
        if self.unit is not None and Unit.parse(self.unit).power != -1:
            raise InputError(f"physical unit must be one of frequencies, e.g. '1/mm' or 'Hz', got {self.unit!r}")
        if self.unit is not None and member.names_axes:
            raise InputError(f"{member.kind} names axes, each of which has its unit; leave unit={self.unit!r} out")

    def on(self, grid: Grid | None) -> Physical:
        """The same on another grid."""
        return self if grid is None else Physical(self.spectrum, self.unit, grid)

    def weights(self, frequencies: Tensor) -> Tensor:
        """Those of `plain`, at the stretched frequencies of the axes that it speaks of."""
        plain, stretched, period = self.placed(frequencies)
        return plain.weights_of_period(stretched, period)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """Never more than it is: along the axis whose steps are the shortest a distance is what it is."""
        plain, stretched, own = self.placed(frequencies)
        return plain.distance(stretched, own) / own.max()

    def placed(self, frequencies: Tensor) -> tuple[Spectrum, Tensor, Tensor]:
        """The spectrum in numbers, the frequencies that it is a function of, and after which they repeat."""
        space = self._space(len(frequencies))
        period = frequencies.new_tensor(space.factors).reshape(-1, *(1,) * (frequencies.ndim - 1))
        return self._plain(space), frequencies[list(space.axes)] * period, period

    def plain(self, rank: int) -> Spectrum:
        """The spectrum in numbers, of stretched frequencies of the axes that it speaks of.

        Args:
            rank: Number of spatial axes of the data.

        Raises:
            InputError: If the grid is not known, of another number of axes, or has none of this unit; or if it cannot
                hold the frequencies.
        """
        return self._plain(self._space(rank))

    def _plain(self, space: _Space) -> Spectrum:
        told = {name: self._number(name, value, space) for name, value in self._given.items()}
        try:
            return Spectrum.from_dict({"kind": self._member.kind} | told)
        except InputError as error:
            where = "" if self.grid is None else f" on steps of {self.grid}"
            raise InputError(f"{self.spectrum} does not fit the data{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """With the mapping of the spectrum, every field spelt out, and the steps of the grid."""
        fields = self._given
        own = {f.name: fields.get(f.name, _listed(f.default)) for f in dataclasses.fields(self._member)}  # type: ignore[arg-type]
        grid = None if self.grid is None else self.grid.to_list()
        return {"kind": self.kind, "spectrum": {"kind": self._member.kind} | own, "unit": self.unit, "grid": grid}

    def __str__(self) -> str:
        if self.unit is None and self.grid is None and any(map(holds_units, self._given.values())):
            return self.spectrum
        unit = "" if self.unit is None else f", unit={self.unit!r}"
        grid = "" if self.grid is None else f", grid={self.grid.to_list()!r}"
        return f"{self.kind}(spectrum={self.spectrum!r}{unit}{grid})"

    @property
    def label(self) -> str:
        """Without the grid."""
        return str(self) if self.grid is None else Physical(self.spectrum, self.unit).label

    @property
    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in Spectrum.read(self.spectrum).items() if name != "kind"}

    @property
    def _member(self) -> type[Spectrum]:
        return Spectrum.member(Spectrum.read(self.spectrum)["kind"])

    @property
    def _told_unit(self) -> Unit | None:
        """The unit that the description names, if it does."""
        if self.unit is not None:
            return Unit.parse(self.unit)
        first = next((text for value in self._given.values() for text in _quantities(value)), None)
        return None if first is None else Quantity.parse(first).unit

    def _space(self, rank: int) -> _Space:
        """Where the plain spectrum is evaluated, for data of `rank` axes."""
        unit, member = self._told_unit, self._member
        grid = self._known_grid(unit, rank)
        every = tuple(range(rank))
        if member.names_axes and not member.measures:  # nothing but the unit of each axis differs
            return _Space(every, tuple(1 / size for size, _ in grid.steps), grid, 1.0)
        if unit is None and not grid.alike and not member.names_axes:
            raise InputError(f"axes of the grid {grid} differ in what they measure: say of which, e.g. unit='1/mm'")
        base = grid.bases[0] if unit is None else unit.base
        if base == "px" and base not in grid.bases:
            grid = _of_samples(rank)
        own = [axis for axis in every if grid.bases[axis] == base]
        if not own:
            told = base if unit is None else unit.text
            raise InputError(f"{self.spectrum} is in {told}, and the steps of the grid are {grid}")
        if _OF_SAMPLES & set(member.measures.values()):
            reference = min(grid.lengths[axis] for axis in own)
        else:
            reference = 1 / (unit or Unit.parse(grid.steps[own[0]][1])).frequency
        axes = every if member.names_axes else tuple(own)
        factors = tuple(reference / grid.lengths[axis] if axis in own else 1.0 for axis in axes)
        return _Space(axes, factors, grid, reference)

    def _known_grid(self, unit: Unit | None, rank: int) -> Grid:
        """The grid, of the rank of the data; one of samples where no more is asked for."""
        if self.grid is not None:
            self.grid.require_rank(rank)
            return self.grid
        if unit is not None and unit.base == "px":
            return _of_samples(rank)
        told = "physical units" if unit is None else unit.text
        if unit is not None and unit.base == "s":
            cure = f"give {argument('data.rate')}, e.g. 8000"
            raise InputError(f"{self.spectrum} is in {told}, and the data has no rate; {cure}")
        raise InputError(f"{self.spectrum} is in {told}, and the data has no spacing; give data.spacing, e.g. '0.5 mm'")

    def _number(self, name: str, value: Any, space: _Space) -> Any:
        """A parameter as numbers."""
        measure = self._member.measures.get(name)
        if measure == "at":
            return [self._place(place if isinstance(place, list) else [place], space) for place in value]
        if isinstance(value, list):
            return [self._number(name, item, space) for item in value]
        if not is_quantity(value):
            return value
        found, unit = Quantity.parse(value), self._told_unit
        if unit is not None and found.unit.base != unit.base:
            raise InputError(f"{self.spectrum} mixes {unit.text} and {found.unit.text}; give a spectrum for each")
        if measure not in _OF_SAMPLES:
            return found.value * space.reference**-found.unit.power
        cycles = found.value * space.reference
        # What lies beyond the highest frequency is as good as that.
        if measure == "corner":
            return min(cycles / corner_radius(len(space.axes)), 1.0)
        if measure == "axis":
            axis = self._given.get("axis", 0)
            if axis < len(space.axes) and space.grid.bases[axis] != found.unit.base:
                raise InputError(f"{self.spectrum} is in {found.unit.text}, axis {axis} in {space.grid.steps[axis][1]}")
            return min(cycles, 0.5)
        if not space.grid.alike:
            raise InputError(
                f"{self._member.kind} {name}={value!r} goes across axes, which differ in what they measure on the grid"
                f" {space.grid}; give cycles per sample, as a number"
            )
        return cycles

    def _place(self, place: list[Any], space: _Space) -> list[float]:
        """One frequency, a number for each axis, in cycles per stretched sample."""
        if len(place) != len(space.axes):
            raise InputError(f"{self.spectrum} has {len(place)} numbers, the data has {len(space.axes)} spatial axes")
        return [self._cycles(value, axis, space) * space.factors[axis] for axis, value in enumerate(place)]

    def _cycles(self, value: Any, axis: int, space: _Space) -> float:
        """A frequency along an axis in cycles per sample, at most half a one."""
        if not is_quantity(value):
            return float(value)
        found, length = Quantity.parse(value), space.grid.lengths[axis]
        if found.unit.base == "px":
            length = 1.0
        elif found.unit.base != space.grid.bases[axis]:
            raise InputError(f"{self.spectrum} has {value!r} for axis {axis}, which is in {space.grid.steps[axis][1]}")
        cycles = found.value * length
        if abs(cycles) > 0.5 * (1 + 1e-9):
            raise InputError(
                f"{self.spectrum}: {value!r} is beyond the highest frequency of axis {axis}, half a cycle per step of"
                f" {space.grid.steps[axis][0]:g} {space.grid.steps[axis][1]}; leave it out"
            )
        return max(-0.5, min(cycles, 0.5))


@dataclass(frozen=True)
class _Space:
    """What a plain spectrum is a function of: `factors * f[axes]`, in cycles per `reference`.

    Attributes:
        axes: The axes that it speaks of.
        factors: By what their frequencies in cycles per sample are multiplied.
        grid: The grid, of all axes.
        reference: A length, in the base unit.
    """

    axes: tuple[int, ...]
    factors: tuple[float, ...]
    grid: Grid
    reference: float


def _of_samples(rank: int) -> Grid:
    """The grid whose steps are one sample."""
    return Grid(((1.0, "px"),) * rank)


def _check_parameters(member: type[Spectrum], given: dict[str, Any]) -> None:
    """Refuse parameters that are unknown, missing, or of another unit than they can have."""
    own = {f.name: f for f in dataclasses.fields(member)}  # type: ignore[arg-type]
    for name in given:
        if name not in own:
            raise InputError(f"spectrum {member.kind!r} has no parameter {name!r}{suggest(name, list(own))}")
    lacking = [name for name, f in own.items() if f.default is dataclasses.MISSING and name not in given]
    if lacking:
        raise InputError(f"spectrum {member.kind!r} needs {' and '.join(lacking)}")
    if "unit" in own and given.get("unit", own["unit"].default) != own["unit"].default:
        raise InputError(f"{member.kind} has unit={given['unit']!r}, and units in its numbers too; give one of them")
    for name, value in given.items():
        power = _POWERS.get(member.measures.get(name, ""))
        for text in _quantities(value):
            if power is not None and Quantity.parse(text).unit.power != power:
                wanted = "an area, e.g. '4 mm^2'" if power == 2 else "a frequency, e.g. '300 Hz' or '0.1 cycles/mm'"
                raise InputError(f"{member.kind} {name} must be {wanted}, got {text!r}")


def _quantities(value: Any) -> Iterator[str]:
    """The texts with units that a value is or holds."""
    if isinstance(value, list):
        for item in value:
            yield from _quantities(item)
    elif is_quantity(value):
        yield value


def _listed(value: Any) -> Any:
    """Tuples as lists."""
    return list(map(_listed, value)) if isinstance(value, (list, tuple)) else value
