"""Fields of any kind, by number, in files of any format: found and checked by their headers, read window by window."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig, Reading
from sagd.data.formats import Contents, Coordinates, Reader, Region, Step
from sagd.data.formats.find import ending_of
from sagd.data.formats.handles import Handles
from sagd.data.formats.values import of_full_scale, to_full_scale
from sagd.data.kinds import Kind
from sagd.data.layout import Layout
from sagd.data.meaning import Meaning, length_of, rate_of
from sagd.data.resize import mixable, ratio_of, resampled, scaled_and_cropped, with_channels
from sagd.errors import InputError, argument, one_line
from sagd.noise.grid import Grid
from sagd.training.ahead import RUN, Ahead

_SAMPLE = 256
"""Fields whose values decide how models see them, at most."""
_MEASURED = 2**25
"""Values of these, at most, but for two fields: several copies of them are held in memory."""
_HELD = 2**28
"""Bytes of an array that is read whole, at most, and of several that are kept."""
_THREADED = 128 * 128
"""Values of a field from which several threads read faster than one: below, Python takes most of the time."""
LARGEST = 2**16
"""Side length that images are scaled to, at most."""
_ALIKE = 1e-4
"""Relative difference of steps that are the same: times in files are rounded."""


class Recent:
    """Arrays that were read whole a moment ago, since other windows of them may be wanted next.

    Formats that hold values compressed, or take long to open, would otherwise be read anew for each window. Threads may
    share it; copies and other processes begin with none.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[Any, ...], np.ndarray] = {}
        self._bytes, self._lock = 0, threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Recent, ()

    def read(self, found: Reader, array: Contents, region: Region) -> np.ndarray:
        """The part of an array, of which the whole is kept if it is not too large."""
        size = math.prod(array.shape)
        taken = math.prod(len(range(*s.indices(n))) for s, n in zip(region, array.shape, strict=True))
        if taken == size or size * np.dtype(array.dtype).itemsize > _HELD:
            return found.read(array, region)
        written = array.path.stat().st_mtime_ns
        return self.whole((found.describe(array), array.name, written), lambda: found.read(array))[region]

    def whole(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """An array by where it is and what else tells it from others; made unless it is here.

        Those used least of late make room, but for others of the same place: they are wanted together.
        """
        with self._lock:
            values = self._held.pop(key, None)
            self._bytes -= 0 if values is None else values.nbytes
        values = make() if values is None else values
        with self._lock:
            self._bytes += values.nbytes - (self._held[key].nbytes if key in self._held else 0)
            self._held[key] = values
            others = iter([other for other in self._held if other[0] != key[0]] if self._bytes > _HELD else [])
            while self._bytes > _HELD and (other := next(others, None)) is not None:
                self._bytes -= self._held.pop(other).nbytes
        return values


@dataclass(frozen=True)
class Part:
    """Arrays of one file, or of one row of a table, that hold the same items, one channel or more each.

    Attributes:
        format: Format of the file, or the column.
        arrays: The arrays, of one shape.
        layout: Their axes.
        columns: Numbers of the channels that are read, in order; None: all.
    """

    format: Reader
    arrays: tuple[Contents, ...]
    layout: Layout
    columns: tuple[int, ...] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.arrays[0].path

    @property
    def described(self) -> str:
        """How errors name it."""
        return self.format.describe(self.arrays[0])

    @cached_property
    def count(self) -> int:
        """Items that it holds."""
        return self.layout.count(self.arrays[0].shape)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)` of an item."""
        channels, *spatial = self.layout.item_shape(self.arrays[0].shape)
        return (channels * len(self.arrays) if self.columns is None else len(self.columns), *spatial)

    def read(self, item: int, window: Sequence[slice] | None = None, recent: Recent | None = None) -> np.ndarray:
        """An item `(C, *spatial)` in its own type, or a window of it.

        Args:
            item: Its number.
            window: Part of each axis of space.
            recent: Arrays that were read whole, for whoever reads all windows of a file one after the other.

        Raises:
            InputError: Naming the file, if it cannot be read.
        """
        region = self.layout.region(self.arrays[0].shape, item, window)
        read = self.format.read if recent is None else partial(recent.read, self.format)
        try:
            values = [self.layout.arranged(read(array, region)) for array in self.arrays]
        except MemoryError:
            raise
        except Exception as error:  # on damaged files decoders raise errors of every kind
            raise InputError(f"cannot read {self.described}: {one_line(error)}") from None
        whole = values[0] if len(values) == 1 else np.concatenate(values)
        return whole if self.columns is None else whole[list(self.columns)]

    def steps(self, rate: float | None) -> dict[str, Step]:
        """Distance of neighbours along the axes of space; along time by `rate` where the file does not say."""
        told = {letter: step for letter, step in self.arrays[0].steps.items() if letter in self.layout.spatial}
        if rate is not None and "T" in self.layout.spatial and ("T" not in told or not told["T"].unit):
            told["T"] = Step(1 / rate, "s")
        return told

    def is_uneven(self, letter: str) -> bool:
        """Whether the file has places along an axis, but no one distance between them."""
        array = self.arrays[0]
        told = letter == "T" and any("not evenly spaced" in note for note in array.notes)
        return letter not in array.steps and (told or len(array.coordinates.get(letter, Coordinates(())).values) > 1)

    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, if the file has names for them."""
        if len(self.arrays) > 1:
            each = self.shape[0] // len(self.arrays)
            names = [array.name for array in self.arrays]
            return tuple(names if each == 1 else (f"{name} {k}" for name in names for k in range(each)))
        own = self.arrays[0].channels or (self.arrays[0].name,)
        if self.columns is not None:
            return tuple(own[i] for i in self.columns)
        return own if len(own) == self.shape[0] and all(own) else ()


@dataclass(frozen=True)
class Mask:
    """The masks of one file or row, not yet read.

    Attributes:
        reader: Where it is read.
        contents: The array.
    """

    reader: Reader
    contents: Contents

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, by the header of the file."""
        return self.contents.shape

    @property
    def described(self) -> str:
        """How errors name it."""
        place = self.reader.describe(self.contents)
        return f"{self.contents.name!r} of {place}" if self.contents.name else place

    def read(self) -> np.ndarray:
        """Its values.

        Raises:
            InputError: If they cannot be read.
        """
        try:
            return self.reader.read(self.contents)
        except InputError as error:
            raise InputError(f"cannot read {self.described}: {error}") from None


@dataclass(frozen=True)
class BadMask:
    """Masks of one file or row that cannot be read, whose items are left out.

    Attributes:
        error: Why, naming them.
    """

    error: InputError

    @property
    def shape(self) -> None:
        """None: it is unknown."""

    @property
    def described(self) -> str:
        """How errors name them."""
        return str(self.error)

    def read(self) -> np.ndarray:
        """Their values, which raises the error."""
        raise self.error


AnyMask = Mask | BadMask


@dataclass(frozen=True)
class FieldRecords:
    """Fields of one kind in files, or in rows of tables.

    Attributes:
        name: Short name of the data set.
        kind: Kind of signal.
        parts: Arrays of the files or rows.
        labels: Class number of each of these, int64, or None.
        classes: Names of the classes, or None without labels.
        masks: Which frequencies of the items of each part were observed; () if nobody asked.
    """

    name: str
    kind: Kind
    parts: tuple[Part, ...]
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    masks: tuple[AnyMask, ...] = ()

    def __len__(self) -> int:
        """Number of files or rows, each of which may hold many fields."""
        return len(self.parts)

    def describe(self, part: int, item: int = 0) -> str:
        """How errors name an item."""
        place = self.parts[part].described
        return place if self.parts[part].count == 1 else f"{self.kind.item[0]} {item} of {place}"


@dataclass(frozen=True)
class Plan:
    """How fields of one shape are read from files.

    Attributes:
        records: The files.
        config: Settings.
        shape: `(C, *spatial)` of all fields.
        part: Number of the part of each field, int64 `(N,)`.
        item: Number of its item in the part, `(N,)`.
        origin: Where its window starts, `(N, rank)`; of pictures that are scaled, 0.
    """

    records: FieldRecords
    config: DataConfig
    shape: tuple[int, ...]
    part: np.ndarray
    item: np.ndarray
    origin: np.ndarray

    def __len__(self) -> int:
        return len(self.part)

    @property
    def scales(self) -> bool:
        """Whether items are scaled to the shape, not cut into windows of it."""
        return scales(self.records.kind, self.config)

    @property
    def pads(self) -> bool:
        """Whether some window reaches beyond the end of its item."""
        if self.scales:
            return False
        sides = np.array([_length(part, self.config) for part in self.records.parts])
        return bool((self.origin + np.array(self.shape[1:]) > sides[self.part]).any())

    @property
    def packed(self) -> bool:
        """Whether fields are read as 8 bits: none is padded, or computed from its neighbours in time."""
        parts = self.records.parts
        resampled = self.config.resample is not None and any("T" in part.steps(self.config.rate) for part in parts)
        return parts[0].arrays[0].dtype == "uint8" and not self.pads and not resampled

    @property
    def cuts(self) -> bool:
        """Whether fields are windows of larger items."""
        if self.scales:
            return False
        sides = np.array([_length(part, self.config) for part in self.records.parts])
        return bool((sides > np.array(self.shape[1:])).any())

    def whole(self, part: int, item: int) -> Plan:
        """The plan of one whole item."""
        shape = (self.shape[0], *_length(self.records.parts[part], self.config))
        at = np.zeros((1, len(shape) - 1), np.int64)
        return Plan(self.records, self.config, shape, np.array([part]), np.array([item]), at)

    def some(self, rows: np.ndarray) -> Plan:
        """The plan of these fields."""
        return Plan(self.records, self.config, self.shape, self.part[rows], self.item[rows], self.origin[rows])

    def describe(self, row: int) -> str:
        """How errors name a field."""
        return self.records.describe(int(self.part[row]), int(self.item[row]))

    def read(self, row: int, recent: Recent, streaming: bool = False) -> np.ndarray:
        """One field `(C, *spatial)`: in its own type if nothing is missing, else float with NaN beyond the end.

        Args:
            row: Number of the field.
            recent: Arrays that were read whole.
            streaming: Read windows alone of files of which that is possible, not the whole.

        Raises:
            InputError: Naming the file, if it cannot be read.
        """
        part, item = self.records.parts[self.part[row]], int(self.item[row])
        held = None if streaming and part.format.streams else recent
        wanted = self.shape[1:]
        if self.scales:
            values = with_channels(part.read(item, recent=held), self.shape[0], self.records.kind.mixing)
            return values if values.shape[1:] == wanted else scaled_and_cropped(values, wanted)
        if self.config.resample is not None and (step := part.steps(self.config.rate).get("T")) is not None:
            axis = 1 + part.layout.spatial.index("T")
            rate = self.config.resample

            def make() -> np.ndarray:
                return resampled(part.read(item), rate_of(step) or 1 / step.size, rate, axis)

            # Items of a file make room for each other: nobody wants all of them together.
            whole = recent.whole(((part.described, item), rate), make)
            window = tuple(slice(o, o + n) for o, n in zip(self.origin[row], wanted, strict=True))
            values = whole[(slice(None), *window)]
        else:
            limits = part.shape[1:]
            starts = zip(self.origin[row].tolist(), wanted, limits, strict=True)
            window = tuple(slice(o, min(o + n, most)) for o, n, most in starts)
            values = part.read(item, window, held)
        return padded(with_channels(values, self.shape[0], self.records.kind.mixing), wanted)


def scales(kind: Kind, config: DataConfig) -> bool:
    """Whether `data.size` scales fields of a kind."""
    return kind.scales if config.fit == "auto" else config.fit == "scale"


def padded(values: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    """Values `(C, *spatial)`, with NaN at the end of axes that are too short; as they are if none is."""
    missing = [n - have for n, have in zip(wanted, values.shape[1:], strict=True)]
    if not any(missing):
        return values
    wide = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    return np.pad(wide, [(0, 0), *((0, m) for m in missing)], constant_values=np.nan)


def windows(length: int, size: int, step: int | None = None) -> list[int]:
    """Where windows of a size start along an axis: end to end, or so far apart; the last one flush with its end.

    >>> windows(10, 4), windows(3, 4), windows(10, 4, 2)
    ([0, 4, 6], [0], [0, 2, 4, 6])
    """
    starts = list(range(0, max(length - size, 0) + 1, step or size))
    return starts if length <= size or starts[-1] + size == length else [*starts, length - size]


def plan_of(records: FieldRecords, config: DataConfig) -> Plan:
    """How the fields of files are read, in one shape.

    Raises:
        InputError: If they differ in channels, steps or type, or in size and no size was given.
    """
    _check_alike(records, config)
    lengths = [_length(part, config) for part in records.parts]
    size = _size(records, config, lengths)
    channels = _channels(records, config)
    if config.fit == "crop":
        _check_crops(records, config, lengths, size)
    numbers, items, places = [], [], []
    for number, (part, spatial) in enumerate(zip(records.parts, lengths, strict=True)):
        pairs = list(zip(spatial, size, strict=True))
        if scales(records.kind, config):
            starts = [[0] for _ in pairs]
        else:
            starts = [windows(have, n, max(1, n // 2) if config.fit == "crop" else None) for have, n in pairs]
        origins = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(size))
        numbers.append(np.full(part.count * len(origins), number))
        items.append(np.repeat(np.arange(part.count), len(origins)))
        places.append(np.tile(origins, (part.count, 1)))
    return Plan(records, config, (channels, *size), *map(np.concatenate, (numbers, items, places)))


def _check_crops(
    records: FieldRecords, config: DataConfig, lengths: Sequence[tuple[int, ...]], size: tuple[int, ...]
) -> None:
    """Refuse windows at random places that some file has no room for, or that nobody gave a size."""
    if config.size is None:
        raise InputError(f"data.fit 'crop' cuts windows: give their {argument('data.size')}, e.g. 64")
    for number, spatial in enumerate(lengths):
        if any(have < n for have, n in zip(spatial, size, strict=True)):
            own, needed = (" x ".join(map(str, sides)) for sides in (spatial, size))
            raise InputError(f"{records.describe(number)} is {own}, smaller than the windows of {needed}; leave it out")


def _length(part: Part, config: DataConfig) -> tuple[int, ...]:
    """Sides of the items of a part, after resampling."""
    sides = list(part.shape[1:])
    step = part.steps(config.rate).get("T")
    if config.resample is not None and step is not None:
        axis = part.layout.spatial.index("T")
        sides[axis] = math.ceil(sides[axis] * ratio_of(rate_of(step) or 1 / step.size, config.resample))
    return tuple(sides)


def _size(records: FieldRecords, config: DataConfig, lengths: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    kind, rank = records.kind, len(lengths[0])
    odd = next((k for k, sides in enumerate(lengths) if len(sides) != rank), None)
    if odd is not None:
        raise InputError(f"{records.describe(0)} has {rank} axes of space, {records.describe(odd)} {len(lengths[odd])}")
    if rank != 2 and scales(kind, config):
        raise InputError(
            f"data.fit 'scale' is for two axes of space, {kind.item[1]} here have {rank}"
            f" ({records.parts[0].layout.spatial}); leave it out, which cuts windows"
        )
    if config.size is not None:
        sides = (config.size,) * rank if isinstance(config.size, int) else tuple(config.size)
        if len(sides) == 1:
            sides *= rank
        if len(sides) != rank:
            raise InputError(
                f"data.size {list(sides)} names {len(sides)} sides, {kind.item[1]} here have {rank}"
                f" ({', '.join(records.parts[0].layout.spatial)})"
            )
        if scales(kind, config) and max(sides) > LARGEST:
            raise InputError(f"data.size must be at most {LARGEST}, got {list(sides)}; e.g. 32")
        longest = [max(own[axis] for own in lengths) for axis in range(rank)]
        if not scales(kind, config) and any(side > most for side, most in zip(sides, longest, strict=True)):
            raise InputError(
                f"data.size {list(sides)} is larger than all {kind.item[1]} here, which have at most {longest}"
                f" ({', '.join(records.parts[0].layout.spatial)}); give at most that"
            )
        return sides
    other = next((k for k, sides in enumerate(lengths) if sides != lengths[0]), None)
    if other is not None:
        pair = (f"{records.describe(k)} is {'x'.join(map(str, lengths[k]))}" for k in (0, other))
        middle = [int(np.median([sides[axis] for sides in lengths])) for axis in range(rank)]
        raise InputError(
            f"{kind.item[1]} differ in size: {', '.join(pair)}; give all one with {argument('data.size')} (medians:"
            f" {' '.join(map(str, middle))})"
        )
    return lengths[0]


def _channels(records: FieldRecords, config: DataConfig) -> int:
    first = records.parts[0].shape[0]
    odd = next((k for k, part in enumerate(records.parts) if part.shape[0] != first), None)
    if config.channels is None and odd is not None:
        cure = f"choose with {argument('data.channels')}"
        if not mixable(max(first, records.parts[odd].shape[0]), 1, records.kind.mixing):
            cure = "keep those of one number"
        raise InputError(
            f"{records.kind.item[1]} differ in channels: {records.describe(0)} has {first}, {records.describe(odd)}"
            f" {records.parts[odd].shape[0]}; {cure}"
        )
    wanted = config.channels or first
    for number, part in enumerate(records.parts):
        if not mixable(part.shape[0], wanted, records.kind.mixing):
            raise InputError(
                f"{records.describe(number)} has {part.shape[0]} channels, which cannot be made {wanted}; leave"
                f" {argument('data.channels')} out"
            )
    return wanted


def _check_alike(records: FieldRecords, config: DataConfig) -> None:
    first = records.parts[0]
    steps = _steps(first, config)
    for number, part in enumerate(records.parts):
        if part.arrays[0].dtype != first.arrays[0].dtype:
            raise InputError(
                f"{records.kind.item[1]} differ in type: {records.describe(0)} holds {first.arrays[0].dtype},"
                f" {records.describe(number)} {part.arrays[0].dtype}; convert one"
            )
        names = first.channel_names(), part.channel_names()
        if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
            raise InputError(
                f"{records.kind.item[1]} hold the same channels in another order: {records.describe(0)}"
                f" {', '.join(names[0])}, {records.describe(number)} {', '.join(names[1])}; write one anew, or name"
                f" arrays with {argument('data.arrays')}"
            )
        own = _steps(part, config)
        if config.resample is not None and "T" in part.layout.spatial and "T" not in own:
            raise InputError(
                f"{records.describe(number)} {_told(part, 'T', None)}, from which data.resample={config.resample:g}"
                f" could be reached; give it with {argument('data.rate')}"
            )
        for letter in part.layout.spatial:
            if (letter == "T" and config.resample is not None) or scales(records.kind, config):
                continue  # what becomes of the steps is for `meaning_of` to say
            if differ(steps.get(letter), own.get(letter)):
                told = (_told(p, letter, s.get(letter)) for p, s in ((first, steps), (part, own)))
                pair = ", ".join(f"{records.describe(k)} {t}" for k, t in zip((0, number), told, strict=True))
                cure = f"bring all to one with {argument('data.resample')}" if letter == "T" else "resample one"
                raise InputError(f"{records.kind.item[1]} differ in steps along {letter}: {pair}; {cure}")


def differ(one: Step | None, other: Step | None) -> bool:
    """Whether distances of neighbours are not the same."""
    if one is None or other is None:
        return one is not other
    (size, unit), (own, own_unit) = map(length_of, (one, other))
    return unit != own_unit or abs(size / own - 1) > _ALIKE


def _told(part: Part, letter: str, step: Step | None) -> str:
    """What a part says of its steps along an axis."""
    if step is None and part.is_uneven(letter):
        return f"has {'times' if letter == 'T' else 'places'} that are not evenly spaced"
    if step is None:
        return "does not say its rate" if letter == "T" else "does not say"
    return (
        f"has a rate of {1 / step.size:g} Hz"
        if letter == "T" and step.unit == "s"
        else f"has {step.size:g} {step.unit}".rstrip()
    )


def meaning_of(plan: Plan) -> Meaning:
    """What the values of fields mean, from the headers of files and the values of some fields."""
    records, first = plan.records, plan.records.parts[0]
    array = first.arrays[0]
    count = max(2, min(_SAMPLE, _MEASURED // math.prod(plan.shape)))
    rows = np.linspace(0, len(plan) - 1, min(len(plan), count)).astype(int)
    offset, scale = records.kind.numbers(_measured(plan, dict.fromkeys(rows.tolist())), array)
    steps = _steps(first, plan.config)
    if plan.config.resample is not None and "T" in steps:
        steps["T"] = Step(1 / plan.config.resample, "s")
    if plan.scales:
        steps = _scaled_steps(plan, steps)
    return Meaning(
        records.kind.kind,
        first.layout.spatial,
        offset,
        scale,
        steps,
        array.quantity if len({own.quantity for own in first.arrays}) == 1 else "",
        first.channel_names() if first.shape[0] == plan.shape[0] else (),
        array.dtype,
        None if array.limits is None else (float(array.limits[0]), float(array.limits[1])),
        _new_ending(first, records.kind),
        _reading(plan, steps),
        _quantities(first) if first.shape[0] == plan.shape[0] else (),
        _coordinates(plan),
    )


def _quantities(part: Part) -> tuple[str, ...]:
    """Unit of each channel of a part, if they differ."""
    each = part.shape[0] // len(part.arrays)
    found = tuple(array.quantity for array in part.arrays for _ in range(each))
    return found if len({*found}) > 1 else ()


def _coordinates(plan: Plan) -> dict[str, Coordinates]:
    """Where the places of axes are that all fields have whole, at the same places."""
    parts, found = plan.records.parts, {}
    for axis, letter in enumerate(parts[0].layout.spatial, 1):
        told = parts[0].arrays[0].coordinates.get(letter)
        alike = all(
            part.shape[axis] == plan.shape[axis] and part.arrays[0].coordinates.get(letter) == told for part in parts
        )
        if told is not None and alike and not (letter == "T" and plan.config.resample is not None):
            found[letter] = told
    return found


def _reading(plan: Plan, steps: Mapping[str, Step]) -> Reading:
    """How files are read that are like these once they are resampled and scaled, as far as somebody had to say it."""
    config, layouts = plan.config, [part.layout for part in plan.records.parts]
    rate, spacing = config.rate, config.spacing
    if rate is not None and "T" in steps:
        rate = rate_of(steps["T"]) or rate
    if spacing:
        told = [steps.get(letter) for letter in layouts[0].spatial]
        spacing = tuple(f"{step.size!r} {step.unit}" for step in told if step is not None)
    axes = None if config.axes is None else max((layout.axes for layout in layouts), key=len)
    return Reading(axes, config.arrays, rate, spacing)


def _new_ending(part: Part, kind: Kind) -> str:
    """Ending of new files of a kind beside those of a part."""
    if part.format.inherits:
        return kind.exact
    own = ending_of(part.path.name).lower()
    return own if own in part.format.endings else kind.ending


def _measured(plan: Plan, rows: Iterable[int]) -> list[np.ndarray]:
    """Some fields, but for those that cannot be read where these are to be left out."""
    recent, values, problems = Recent(), [], []
    for row in rows:
        try:
            values.append(plan.read(row, recent))
        except InputError as error:
            if not plan.config.skip_bad:
                items = plan.records.kind.item[1]
                raise InputError(f"{error}; leave such {items} out with {argument('data.skip_bad=True')}") from None
            problems.append(error)
    if not values:
        raise InputError(f"none of {plan.records.kind.counted(len(problems))} can be read; the first: {problems[0]}")
    return values


def check_means(part: Part, meaning: Meaning, config: DataConfig) -> None:
    """Refuse a file whose numbers or samples stand for something else than those that the model was trained on.

    Raises:
        InputError: Naming it.
    """
    array, steps = part.arrays[0], _steps(part, config)
    if array.limits is not None and meaning.limits is not None and tuple(array.limits) != tuple(meaning.limits):
        raise InputError(
            f"{part.described} holds {array.dtype} values from {array.limits[0]:g} to {array.limits[1]:g}, the model"
            f" is for {meaning.dtype} from {meaning.limits[0]:g} to {meaning.limits[1]:g}; convert the file"
        )
    for letter in meaning.axes:
        step, own = meaning.steps.get(letter), steps.get(letter)
        if step is None or own is None or not differ(step, own):
            continue
        if letter == "T" and config.resample is None:
            unit = "unit of time"
            raise InputError(
                f"{part.described} has {1 / own.size:g} samples per {own.unit or unit}, the model is for"
                f" {1 / step.size:g} per {step.unit or unit}; resample the file"
            )
        if letter != "T" and (config.size is None or not scales(Kind.member(meaning.kind)(), config)):
            told, needed = (f"{s.size:g} {s.unit}".rstrip() for s in (own, step))
            raise InputError(
                f"{part.described} has steps of {told} along {letter}, the model is for {needed}; resample the file,"
                " or correct what it says"
            )


def in_units_of(meaning: Meaning, values: np.ndarray, part: Part) -> np.ndarray:
    """Values of a part in the units of a model: of sound, 1 in floating point is the full scale of whole numbers."""
    if not part.format.full_scale:
        return values
    own, limits = part.arrays[0].limits, meaning.limits
    if own is None and limits is not None:
        return to_full_scale(values, limits)
    return of_full_scale(values.astype(np.float64), own) if own is not None and limits is None else values


def _scaled_steps(plan: Plan, steps: dict[str, Step]) -> dict[str, Step]:
    """The steps of fields that are scaled; none where files differ in them, or are scaled by different factors."""
    parts, sides = plan.records.parts, plan.shape[1:]
    factors = {max(n / own for n, own in zip(sides, part.shape[1:], strict=True)) for part in parts}
    first = parts[0].steps(plan.config.rate)
    several = not plan.config.spacing and any(
        differ(first.get(letter), part.steps(plan.config.rate).get(letter)) for part in parts for letter in steps
    )
    if several or len(factors) > 1:
        return {}
    return {letter: Step(step.size / max(factors), step.unit) for letter, step in steps.items()}


def _steps(part: Part, config: DataConfig) -> dict[str, Step]:
    """The steps of the items of a part: those that somebody gave, else those of the file."""
    return part.steps(config.rate) | given_steps(config, part.layout.spatial)


def given_steps(config: DataConfig, spatial: str) -> dict[str, Step]:
    """The steps that a configuration names."""
    if not config.spacing:
        return {}
    if len(config.spacing) != len(spatial):
        raise InputError(
            f"data.spacing {list(config.spacing)} names {len(config.spacing)} axes, the data has {len(spatial)}"
            f" ({', '.join(spatial)})"
        )
    grid = Grid.parse(config.spacing)
    return {} if grid is None else {letter: Step(*step) for letter, step in zip(spatial, grid.steps, strict=True)}


@dataclass(frozen=True, eq=False)
class LazyFields:
    """Fields `(N, C, *spatial)` that are read whenever they are indexed, as models see them.

    Attributes:
        plan: Where they are.
        meaning: How models see them.
        missing: Whether NaN stands for what is missing, or is refused.
    """

    plan: Plan
    meaning: Meaning
    missing: bool = False
    _handles: Handles = field(default_factory=Handles, repr=False)
    _recent: Recent = field(default_factory=Recent, repr=False)

    @cached_property
    def packed(self) -> bool:
        """Whether they are kept as 8 bits, until they are shown."""
        return self.meaning.is_bytes and self.plan.packed

    @property
    def threads(self) -> int:
        """Threads that read faster than one does."""
        return os.cpu_count() or 1 if math.prod(self.plan.shape) >= _THREADED else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, C, *spatial)`."""
        return (len(self.plan), *self.plan.shape)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Of indices `(B,)`: uint8 where they are packed, else float32 with NaN where values are missing.

        Raises:
            InputError: Naming a file that cannot be read, or holds what is no number.
        """
        if len(indices) <= RUN:
            return torch.stack([self.field(row) for row in indices.tolist()])
        several = Ahead(lambda run: (self[run],), self.threads)
        try:
            return several.take(indices)[0]
        finally:
            several.close()

    def field(self, row: int, recent: Recent | None = None) -> Tensor:
        """One field `(C, *spatial)`; `recent` is for whoever reads one after the other."""
        with self._handles.kept():
            values = self.plan.read(row, recent or self._recent, streaming=recent is None)
        if self.packed:
            return torch.from_numpy(np.ascontiguousarray(values))
        values = in_units_of(self.meaning, values, self.plan.records.parts[self.plan.part[row]])
        x = self.meaning.to_model(torch.from_numpy(values.astype(np.float64)))
        self._check(x, row)
        return x

    def wholes(self) -> tuple[list[Tensor], np.ndarray]:
        """The items that fields are windows of, as models see them, and the number of that of each field.

        Raises:
            InputError: As fields.
        """
        pairs, number = np.unique(np.stack([self.plan.part, self.plan.item]), axis=1, return_inverse=True)
        plans = [self.plan.whole(int(part), int(item)) for part, item in pairs.T]
        return [replace(self, plan=plan).field(0) for plan in plans], number.reshape(-1)

    def _check(self, x: Tensor, row: int) -> None:
        infinite, missing = int(x.isinf().sum()), int(x.isnan().sum())
        own, item = missing - self._beyond(row), self.plan.records.kind.item[0]
        if infinite:
            beside = f" and {own} missing value(s) (NaN)" if own else ""
            raise InputError(
                f"{self.plan.describe(row)} holds {infinite} infinite value(s){beside} in one {item}; mend the file"
            )
        if own and not self.missing:
            raise InputError(
                f"{self.plan.describe(row)} holds {own} missing value(s) (NaN) in one {item}; leave them out with"
                f" {argument('data.missing=mask')}"
            )

    def _beyond(self, row: int) -> int:
        """Values beyond the end of the file's item."""
        if self.plan.scales:
            return 0
        sides = _length(self.plan.records.parts[self.plan.part[row]], self.plan.config)
        have = math.prod(
            min(n, side - int(o)) for n, side, o in zip(self.plan.shape[1:], sides, self.plan.origin[row], strict=True)
        )
        return self.plan.shape[0] * (math.prod(self.plan.shape[1:]) - have)
