"""What a file format is: which arrays a file holds, and how a part of one is read, and a whole one written.

Nothing is scaled, rounded or cut here: values are those of the file, in its own type. What they mean (which axes are
space, which values are black and white) is said beside them, and it is for kinds of signal to make use of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sagd.spec import Description

Region = tuple[slice, ...]
"""A part of an array: a slice of each axis."""


@dataclass(frozen=True)
class Step:
    """The distance of neighbours along an axis.

    Attributes:
        size: The distance, positive.
        unit: Its unit as the file says it, e.g. "s", "mm", "degrees_east"; "" if it says none.
    """

    size: float
    unit: str = ""


@dataclass(frozen=True)
class Contents:
    """An array of a file, not yet read.

    Attributes:
        path: The file.
        name: The array's name in it; "" where there is only one that needs no name.
        shape: Its shape.
        axes: A letter for each axis: `T` time (samples, frames), `Z`, `Y`, `X` space, `C` channels, `N` things alike
            whose order means nothing (pages that nobody said more of), `?` unknown.
        dtype: numpy's name of the type of the values, e.g. "uint16".
        limits: Least and largest value that the encoding can hold, where these mean something: black and white, full
            scale. None for floating point and for counts without a largest.
        steps: Letter of an axis -> distance of neighbours, where the file says it. Its inverse along `T` is the rate.
        quantity: Unit of the values, e.g. "mV"; "" if the file says none.
        notes: What is worth telling whoever reads the file: profiles of colour that are not applied, and the like.
        kept: What `write` needs, beyond the array, to give the metadata back; of the format's own making.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    axes: str
    dtype: str
    limits: tuple[float, float] | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    quantity: str = ""
    notes: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)


class Format(Description, ABC, family="file format", example="png"):
    """A file format; members are frozen dataclasses with a `kind`, a file each.

    Attributes:
        endings: Endings of its files, in lower case, the dot included. A file's format is that of its longest ending.
        streams: Whether `read` of a region costs about as much as the region, not as the whole file.
    """

    endings: ClassVar[tuple[str, ...]]
    streams: ClassVar[bool] = False

    @abstractmethod
    def scan(self, path: Path) -> Sequence[Contents]:
        """The arrays of a file, from its header.

        Raises:
            InputError: In one line, without the path, if it is damaged, of another format, or of no known type.
        """

    @abstractmethod
    def read(self, contents: Contents, region: Region | None = None) -> np.ndarray:
        """Values of an array or of a part of it, in their own type, axes as `contents` says.

        Raises:
            InputError: Likewise.
        """

    @abstractmethod
    def write(self, path: Path, values: np.ndarray, like: Contents) -> None:
        """Write one array with the metadata of another; `like` says axes, limits, steps and what else was kept.

        Args:
            path: The new file, with an ending of this format; the folder exists.
            values: In a type and of a shape that the format can hold; axes are those of `like`.
            like: Contents of any format; what was kept by another one than this is left.

        Raises:
            InputError: If the format cannot hold such an array; nothing is left then.
        """
