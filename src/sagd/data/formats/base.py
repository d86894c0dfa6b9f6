"""What a file format is: which arrays a file holds, and how a part of one is read, and a whole one written.

Nothing is scaled, rounded or cut here: values are those of the file, in its own type. What they mean (which axes are
space, which values are black and white) is said beside them, and it is for kinds of signal to make use of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from sagd.data.formats.checks import decoding, encoding, numeric, part_of, present, replacing
from sagd.errors import InputError
from sagd.spec import Description

Region = tuple[slice, ...]
"""A part of an array: a slice of each axis, whose step is positive."""


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
class Coordinates:
    """Where the places of an axis are.

    Attributes:
        values: A number for each place.
        unit: Its unit as the file says it; "" if it says none.
        name: Name of the axis in the file.
        dtype: numpy's name of their type in the file.
    """

    values: tuple[float, ...]
    unit: str = ""
    name: str = ""
    dtype: str = field(default="float64", compare=False)


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
        channels: Names of the channels; () if the file says none.
        quantities: Unit of each channel, where they differ.
        coordinates: Letter of an axis -> where its places are, where the file says it.
        notes: What is worth telling whoever reads the file: profiles of colour that are not applied, and the like.
        kept: What `write` needs, beyond the array, to give the metadata back: under the kind of the format, a value of
            its own making, which other formats leave.
        exact: Whether values are to be written as they are, even if the file they come from was packed.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    axes: str
    dtype: str
    limits: tuple[float, float] | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    quantity: str = ""
    channels: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    coordinates: Mapping[str, Coordinates] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False


class Reader(ABC):
    """Where arrays are read: a file format, or a column of a table, whose rows hold one each.

    Attributes:
        endings: Endings of its files, in lower case, the dot included; none of what has no files of its own.
        streams: Whether `read` of a region costs about as much as the region, not as the whole array.
        inherits: Whether a file can only be written with the header of another one.
        lossy: Those of the endings whose files do not hold the values they are given, but some near them.
        full_scale: Whether 1 in floating point stands for the largest of the whole numbers, as it does in sound.
    """

    kind: ClassVar[str] = ""
    endings: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[bool] = False
    inherits: ClassVar[bool] = False
    lossy: ClassVar[tuple[str, ...]] = ()
    full_scale: ClassVar[bool] = False

    def describe(self, contents: Contents) -> str:
        """How errors name where an array is; other arrays may be there only where they have names."""
        return repr(str(contents.path))

    @abstractmethod
    def read(self, contents: Contents, region: Region | None = None) -> np.ndarray:
        """Values of an array or of a part of it, in their own type, axes as `contents` says; the caller's own.

        Raises:
            InputError: In one line, without what `describe` says, if they cannot be read.
        """


class Format(Description, Reader, ABC, family="file format", example="npy"):
    """A file format; members are frozen dataclasses with a `kind` and no parameters, and have three methods: `look`,
    `load` and `save`. What is the same for all, such as refusing empty files and writing whole files or none, is in
    `scan`, `read` and `write`, which call them.

    Attributes:
        endings: As of a `Reader`; a file's format is that of its longest ending.
        folders: Whether its files are folders.
        floats: Whether its files can hold floating point.
        called: What errors call one of its files, where people do not know it by its kind.
    """

    called: ClassVar[str] = ""
    folders: ClassVar[bool] = False
    floats: ClassVar[bool] = True

    @final
    def scan(self, path: Path) -> Sequence[Contents]:
        """The arrays of a file, from its header.

        Raises:
            InputError: In one line, without the path, if it is missing, empty, damaged, of another format, or of no
                known type, or if it holds no values.
        """
        present(path, self.folders)
        with decoding(self.called or self.kind, path):
            found = self.look(path)
        for contents in found:
            numeric(np.dtype(contents.dtype))
            if 0 in contents.shape:
                raise InputError(f"holds no values: its shape is {contents.shape}")
        return found

    # The class method that it hides reads sections of a configuration, in which no format stands.
    @final
    def read(  # type: ignore[override]
        self, contents: Contents, region: Region | None = None
    ) -> np.ndarray:
        """Values of an array or of a part of it, in their own type, axes as `contents` says; the caller's own.

        Raises:
            InputError: Likewise, or if the region is not within the array, or the file has become another.
        """
        present(contents.path, self.folders)
        part = part_of(contents.shape, region)
        with decoding(self.called or self.kind, contents.path):
            values = self.load(contents, part)
        shape = tuple(len(range(s.start, s.stop, s.step)) for s in part)
        if (values.shape, values.dtype.name) != (shape, contents.dtype):
            raise InputError(
                f"its header promises {contents.dtype} values of shape {shape}, read were {values.dtype.name} of shape"
                f" {values.shape}; it is damaged, or has been written anew since"
            )
        return np.array(values, dtype=values.dtype.newbyteorder("="), order="C", copy=True)

    @final
    def write(self, path: Path, values: np.ndarray, like: Contents) -> None:
        """Write one array with the metadata of another; `like` says axes, limits, steps and what else was kept.

        Args:
            path: The new file, with an ending of this format; the folder exists.
            values: In a type and of a shape that the format can hold; axes are those of `like`.
            like: Contents of any format; what was kept by another one than this is left.

        Raises:
            InputError: If the format cannot hold such an array; nothing is left then.
            OSError: Naming the file, if the disk refuses; likewise.
        """
        numeric(values.dtype)
        if values.ndim != len(like.axes) or values.size == 0:
            raise InputError(f"values of shape {values.shape} cannot be written with the axes {like.axes!r}")
        try:
            with replacing(path) as new, encoding(self.called or self.kind, new):
                self.save(new, values, like)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None

    @abstractmethod
    def look(self, path: Path) -> Sequence[Contents]:
        """The arrays of a file that is there and not empty; errors of libraries may pass."""

    @abstractmethod
    def load(self, contents: Contents, region: Region) -> np.ndarray:
        """Values of a part of an array, in any byte order, memory-mapped or not; errors of libraries may pass.

        Args:
            contents: One of `look`.
            region: Slices within the shape, none of whose bounds is None or negative.
        """

    @abstractmethod
    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:
        """Write a file or folder that is not there yet; errors of libraries may pass, and what is left then is removed.

        Args:
            path: The new file, of the ending that was asked for.
            values: Of real numbers, at least one.
            like: Contents with as many axes.
        """
