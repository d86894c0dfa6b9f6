"""Named dimensions, their letters, and the distances of evenly spaced coordinates."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sagd.data.formats.base import Contents

_NAMES = {
    "T": ("t", "time", "month", "year", "day", "hour", "date", "valid_time", "frame", "frames"),
    "Z": ("z", "lev", "level", "plev", "depth", "height", "altitude", "pressure", "pressure_level", "slice"),
    "Y": ("y", "lat", "latitude", "nav_lat", "row", "projection_y_coordinate"),
    "X": ("x", "lon", "longitude", "nav_lon", "column", "projection_x_coordinate"),
    "C": ("c", "channel", "channels", "band"),
}
_NAME = re.compile(r"[A-Za-z][\w .+@()-]*\w|[A-Za-z]", re.ASCII)
"""Names of arrays that every reader takes."""
_LETTERS = {name: letter for letter, names in _NAMES.items() for name in names}


def letters(names: Sequence[str], unknown: str = "N", said: Sequence[str] = ()) -> str:
    """A letter for each dimension: what its file says, or by its name; a letter stands for one axis only.

    >>> letters(["month", "level", "lat", "lon", "member"])
    'TZYXN'

    Args:
        names: Names of dimensions.
        unknown: The letter of a dimension that no name tells.
        said: The letter of each dimension where the file says it, as by an attribute `axis`; "" where it does not.
    """
    found = [_LETTERS.get(name.lower(), unknown) for name in names]
    found = [
        other if other in _NAMES else letter for letter, other in zip(found, said or [""] * len(names), strict=True)
    ]
    return "".join(unknown if letter in found[:i] else letter for i, letter in enumerate(found))


def by_channel(values: np.ndarray, like: Contents) -> list[tuple[str, np.ndarray, str, str]]:
    """Name, values, letters and unit of the arrays that a new file holds: one for each channel that has a name.

    Args:
        values: An array.
        like: What is known of it.
    """
    count = values.shape[like.axes.index("C")] if "C" in like.axes else 1
    names, units = like.channels, like.quantities or (like.quantity,) * count
    if len({*names}) != count or len(units) != count or not all(map(_NAME.fullmatch, names)):
        return [(like.name or "data", values, like.axes, like.quantity)]
    if "C" not in like.axes:
        return [(names[0], values, like.axes, units[0])]
    at, axes = like.axes.index("C"), like.axes.replace("C", "")
    return [(names[k], values.take(k, at), axes, units[k]) for k in range(count)]


def step_of(coordinates: np.ndarray, tolerance: float = 1e-4) -> float | None:
    """The distance of neighbours if at least two coordinates are evenly spaced, up or down, else None.

    >>> step_of(np.array([0.0, 0.5, 1.0])), step_of(np.array([200, 500, 850]))
    (0.5, None)

    Args:
        coordinates: Numbers `(n,)`.
        tolerance: How far a coordinate may be from its place, as a part of the step; text has few digits.
    """
    if coordinates.ndim != 1 or len(coordinates) < 2 or coordinates.dtype.kind not in "iuf":
        return None
    exact = coordinates.astype(np.float64)
    step = (exact[-1] - exact[0]) / (len(exact) - 1)
    if not np.isfinite(step) or step == 0:
        return None
    off = np.abs(exact - exact[0] - step * np.arange(len(exact)))
    return float(abs(step)) if (off <= tolerance * abs(step)).all() else None
