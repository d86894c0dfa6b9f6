"""Tables of text, a column a channel and a line a time."""

from __future__ import annotations

import csv as tables
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import arranged
from sagd.data.formats.dimensions import step_of
from sagd.errors import InputError, argument, one_line

_TIME = re.compile(r"(time|t|timestamp|date|datetime)(\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])])?", re.IGNORECASE)
"""A name of a column of times, its unit in brackets."""
_UNIT = re.compile(r".*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]")
"""The unit in the name of a column that is taken for times whatever its language."""
_MISSING = ("", "nan", "na", "n/a", "null", "none", "-")
_UNEVEN = 1e-4
"""Of a step, by which a time may be off beside what its digits leave open."""

_MOST_DECIMALS = 15
"""Beyond these, zeros that fill a column would be digits that no number has."""

_Rows = list[tuple[int, list[str]]]
"""Number and cells of each line."""


@dataclass(frozen=True)
class _Layout:
    """How a table is laid out, and what of it is no value.

    Attributes:
        comments: Lines that begin with '#', above the table.
        names: Of all columns; None if the first line has values.
        times: Cells of the column of times, as they are; None if there is none.
        place: The number of that column.
        missing: What stands for a missing value.
        texts: Cells of columns without a number, by the number of the column.
        values: Cells of the columns of values, by line, as they are.
    """

    delimiter: str
    decimal: str = "."
    encoding: str = "utf-8"
    newline: str = "\n"
    comments: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    times: tuple[str, ...] | None = None
    place: int = 0
    missing: str = ""
    texts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    values: tuple[tuple[str, ...], ...] = ()

    @property
    def others(self) -> set[int]:
        """Numbers of the columns that are no values."""
        return {*self.texts} | (set() if self.times is None else {self.place})


@dataclass(frozen=True)
class Csv(Format, kind="csv"):
    """Tables of text with comma, semicolon or tab between the cells, with or without a line of names.

    Values are float64, and missing cells NaN. A column of times is kept beside the values, and gives the step if its
    times are evenly spaced: one that is named time, t, timestamp or date, or else a first column that rises evenly.
    So are columns without any number. Other cells that are no numbers are refused.
    """

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        layout, rows = _parsed(path)
        notes = [] if layout.encoding.startswith("utf") else ["its text is no UTF-8, and taken for Latin-1"]
        steps = {}
        if layout.times is not None:
            name = repr(layout.names[layout.place]) if layout.names else "1"
            step = _step(layout)
            steps = {} if step is None else {"T": step}
            uneven = "" if step else ", which are not evenly spaced"
            bare = (
                f", without a unit, as in 'time [s]'; {argument('data.rate')} gives one"
                if step and not step.unit
                else ""
            )
            notes.append(f"column {name} is taken for times{uneven}{bare}")
        if layout.texts:
            names = [repr(layout.names[i]) if layout.names else str(i + 1) for i in layout.texts]
            notes.append(f"column(s) {', '.join(names)} without a number are left out")
        shape = _values(rows, layout).shape
        kept = {self.kind: asdict(layout)}
        return [
            Contents(
                path, "", shape, "TC", "float64", None, steps, "", _channels(layout), notes=tuple(notes), kept=kept
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        layout, rows = _parsed(contents.path)
        return _values(rows, layout)[region]

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        values, _ = arranged(values, like.axes, "TC", "T")
        values = values.reshape(len(values), -1)
        kept = like.kept.get(self.kind)
        layout = _new_layout(path, values.shape[1], like) if kept is None else _Layout(**kept)
        rows = _cells(values, layout, like.exact)
        times = _times(len(rows), layout, like)
        beside = dict(layout.texts) | ({} if times is None else {layout.place: times})
        if any(len(cells) != len(rows) for cells in beside.values()):
            raise InputError(f"{len(rows)} lines cannot be written beside the file's own columns of text")
        if layout.names and len(layout.names) != values.shape[1] + len(beside):
            raise InputError(
                f"{values.shape[1]} channels cannot be written under the {len(layout.names)} names there are"
            )
        for place in sorted(beside):
            for row, cell in zip(rows, beside[place], strict=True):
                row.insert(place, cell)
        with path.open("w", newline="", encoding=layout.encoding) as file:
            file.writelines(comment + layout.newline for comment in layout.comments)
            writer = tables.writer(file, delimiter=layout.delimiter, lineterminator=layout.newline)
            writer.writerows([layout.names, *rows] if layout.names else rows)


def _channels(layout: _Layout) -> tuple[str, ...]:
    """Names of the columns of values."""
    return tuple(name for i, name in enumerate(layout.names or ()) if i not in layout.others)


def _parsed(path: Path) -> tuple[_Layout, _Rows]:
    """The layout of a table, and its lines of values."""
    data = path.read_bytes()
    try:
        encoding = "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = data.decode(encoding)
    lines = text.splitlines(keepends=True)
    skipped = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    table = "".join(lines[skipped:])
    if not table.strip():
        raise InputError("holds no lines of values")
    first = table.strip().splitlines()[0]
    delimiter = "\t" if "\t" in first else ";" if ";" in first else ","
    rows = _rows(table, delimiter, skipped)
    decimal = "." if delimiter == "," else _decimal(rows)
    named = _named(rows, decimal)
    names = tuple(rows[0][1]) if named else None
    rows = rows[named:]
    if not rows:
        raise InputError("holds no lines of values below its names")
    place = _place_of_times(rows, names, decimal)
    texts = _texts(rows, decimal, place)
    others = {*texts} | (set() if place is None else {place})
    return _Layout(
        delimiter,
        decimal,
        encoding,
        "\r\n" if "\r\n" in text else "\n",
        tuple(line.rstrip("\r\n") for line in lines[:skipped]),
        names,
        None if place is None else tuple(row[place] for _, row in rows),
        place or 0,
        next((cell for _, row in rows for cell in row if cell.lower() in _MISSING), ""),
        texts,
        tuple(tuple(cell for i, cell in enumerate(row) if i not in others) for _, row in rows),
    ), rows


def _named(rows: _Rows, decimal: str) -> bool:
    """Whether the first line has names: in a column of values a cell that is none."""
    (_, first), below = rows[0], rows[1:]
    words = _texts(below, decimal, None) if below else {}
    cells = (cell for place, cell in enumerate(first) if place not in words)
    return any(_number(cell, decimal) is None and _moment(cell) is None for cell in cells)


def _texts(rows: _Rows, decimal: str, times: int | None) -> dict[int, tuple[str, ...]]:
    """The columns that hold words alone."""
    found = {}
    for place in range(len(rows[0][1])):
        cells = tuple(row[place] for _, row in rows)
        told = [cell for cell in cells if cell.lower() not in _MISSING]
        words = all(any(map(str.isalpha, cell)) and _number(cell, decimal) is None for cell in told)
        if place != times and told and words:
            found[place] = cells
    return found if len(found) < len(rows[0][1]) - (times is not None) else {}


def _rows(text: str, delimiter: str, skipped: int) -> _Rows:
    """All lines that are not empty.

    Raises:
        InputError: If they have different numbers of cells.
    """
    reader = tables.reader(io.StringIO(text), delimiter=delimiter)
    try:
        rows = [(reader.line_num + skipped, [cell.strip() for cell in row]) for row in reader if row]
    except tables.Error:
        raise ValueError(f"line {reader.line_num + skipped} breaks off within a cell") from None
    number, first = rows[0]
    for line, row in rows:
        if len(row) != len(first):
            cut = "; the file probably ends in the middle of it" if row is rows[-1][1] and len(row) < len(first) else ""
            raise InputError(f"line {line} has {len(row)} cells, line {number} has {len(first)}{cut}")
    return rows


def _decimal(rows: _Rows) -> str:
    """Comma or point, where the comma does not stand between cells."""
    cells = (cell for _, row in rows for cell in row)
    return "," if any(re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", cell) for cell in cells) else "."


def _number(cell: str, decimal: str) -> float | None:
    """The number that a cell stands for, NaN if it is missing, or None."""
    if cell.lower() in _MISSING:
        return np.nan
    if "_" in cell or not cell.isascii() or (decimal == "," and "." in cell):
        return None
    try:
        return float(cell.replace(",", ".") if decimal == "," else cell)
    except ValueError:
        return None


def _moment(cell: str) -> float | None:
    """Seconds of a date or time in ISO 8601, of a timezone or of none."""
    try:
        return (datetime.fromisoformat(cell).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return None


def _place_of_times(rows: _Rows, names: tuple[str, ...] | None, decimal: str) -> int | None:
    """The column of times: by its name, or the first one if it rises evenly over three lines and more."""
    columns = len(rows[0][1])
    if columns == 1:
        return None
    for place, name in enumerate(names or ()):
        if _TIME.fullmatch(name):
            return place
    layout = _Layout(",", decimal, times=tuple(row[0] for _, row in rows))
    return 0 if len(rows) > 2 and _step(layout) is not None else None


def _seconds(layout: _Layout) -> tuple[np.ndarray, str] | None:
    """The times as numbers with their unit, if they are numbers or dates."""
    cells = layout.times or ()
    numbers = [_number(cell, layout.decimal) for cell in cells]
    if all(number is not None for number in numbers):
        found = _UNIT.fullmatch(layout.names[layout.place]) if layout.names else None
        return np.array(numbers, np.float64), found["unit"] if found else ""
    moments = [_moment(cell) for cell in cells]
    return None if any(moment is None for moment in moments) else (np.array(moments, np.float64), "s")


def _step(layout: _Layout) -> Step | None:
    """The step of times that rise evenly, to the digits that they are given with."""
    found = _seconds(layout)
    if found is None or not (np.diff(found[0]) > 0).all():
        return None
    times, unit = found
    digits = max(len(cell.partition(layout.decimal)[2]) for cell in layout.times or ())
    spread = (times[-1] - times[0]) / max(len(times) - 1, 1)
    # A time is off by half of its last digit, and so are the first and the last, which the step is from.
    rounding = 1.01 * 10.0**-digits / spread if 0 < digits < 10 and spread > 0 else 0.0
    size = step_of(times, max(_UNEVEN, min(rounding, 0.4)))
    return None if size is None else Step(size, unit)


def _values(rows: _Rows, layout: _Layout) -> np.ndarray:
    """Values of the columns of values, `(T, C)`.

    Raises:
        InputError: Naming line and column of a cell that is no number.
    """
    left_out = layout.others
    values = []
    for line, row in rows:
        numbers = [_number(cell, layout.decimal) for i, cell in enumerate(row) if i not in left_out]
        if None in numbers:
            place = next(i for i, cell in enumerate(row) if i not in left_out and _number(cell, layout.decimal) is None)
            name = repr(layout.names[place]) if layout.names else str(place + 1)
            raise InputError(f"line {line}, column {name}: {one_line(row[place])!r} is no number")
        values.append(numbers)
    return np.array(values, np.float64)


def _new_layout(path: Path, channels: int, like: Contents) -> _Layout:
    """For values that come from no table."""
    step = like.steps.get("T")
    time = () if step is None else (f"time [{step.unit}]" if step.unit else "time",)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    own = like.channels if len(like.channels) == channels else [f"channel {i + 1}" for i in range(channels)]
    return _Layout(delimiter, names=(*time, *own))


def _times(count: int, layout: _Layout, like: Contents) -> Sequence[str] | None:
    """Cells of the column of times: those of the file, or, of another number of them, evenly spaced ones.

    Raises:
        InputError: If there are others, which are not evenly spaced.
    """
    if layout.times is not None and len(layout.times) == count:
        return layout.times
    step = like.steps.get("T")
    if layout.times is None:
        new = step is not None and Csv.kind not in like.kept
        return [_spelt(step.size * i, layout) for i in range(count)] if new and step is not None else None
    found = _seconds(layout)
    if step is None or found is None:
        raise InputError(f"{count} lines cannot be written with the file's {len(layout.times)} uneven times")
    start = found[0][0]
    if _number(layout.times[0], layout.decimal) is not None:
        return [_spelt(float(start + step.size * i), layout) for i in range(count)]
    first = datetime.fromisoformat(layout.times[0])
    return [(first + timedelta(seconds=step.size * i)).isoformat() for i in range(count)]


def _cells(values: np.ndarray, layout: _Layout, exact: bool) -> list[list[str]]:
    """Cells of values `(T, C)`: those of the file where it has the same number, else with the decimals of their column.

    Args:
        values: To be written.
        layout: Of the file that they are like.
        exact: Whether they are to be written in full.
    """
    own = layout.values
    if not own or values.shape[1] != len(own[0]):
        return [[_spelt(value, layout) for value in row] for row in values.tolist()]
    columns = []
    for column, before in zip(values.T.tolist(), zip(*own, strict=True), strict=True):
        decimals = {_decimals(cell, layout.decimal) for cell in before if cell.lower() not in _MISSING}
        most = max([*decimals, _needed(column, before, layout)])
        fixed = len(decimals | {most}) == 1
        same = before if len(before) == len(column) else ("",) * len(column)
        columns.append(
            [
                cell
                if cell and _same(_number(cell, layout.decimal), value)
                else _rounded(value, most, fixed, layout)
                if not exact
                else _spelt(value, layout)
                for value, cell in zip(column, same, strict=True)
            ]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def _same(number: float | None, value: float) -> bool:
    return number == value or (number != number and value != value)


def _decimals(cell: str, decimal: str) -> int:
    """Decimals of a number as it is written.

    >>> [_decimals(cell, ".") for cell in ("-3", "1.50", "1.5e-3", "5.e-3", "2e3", "inf")]
    [0, 2, 4, 3, 0, 0]
    """
    mantissa, _, power = cell.lower().partition("e")
    if not mantissa.removesuffix(decimal)[-1:].isdigit():
        return 0
    return max(0, len(mantissa.partition(decimal)[2]) - int(power or 0))


def _needed(column: Sequence[float], before: Sequence[str], layout: _Layout) -> int:
    """Decimals that show a change of a column, to two digits of its root mean square; 0 if it is not known."""
    own = [_number(cell, layout.decimal) if cell else None for cell in before]
    if len(own) != len(column):
        return 0
    changes = [new - old for new, old in zip(column, own, strict=True) if old is not None and new != old]
    power = float(np.mean(np.square([c for c in changes if np.isfinite(c)] or [0.0])))
    return max(0, 1 - math.floor(math.log10(power) / 2)) if power > 0 else 0


def _rounded(value: float, decimals: int, fixed: bool, layout: _Layout) -> str:
    """A number to so many decimals, with their zeros if all of its column have them."""
    if not np.isfinite(value) or not fixed or decimals > _MOST_DECIMALS:
        return _spelt(round(value, decimals) + 0.0 if np.isfinite(value) else value, layout)
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace(".", layout.decimal)


def _spelt(value: float, layout: _Layout) -> str:
    """The shortest text that is read as the same number."""
    if value != value:
        return layout.missing
    return repr(value).removesuffix(".0").replace(".", layout.decimal)
