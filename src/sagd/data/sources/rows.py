"""Rows of a column of sound or arrays, as fields of any kind."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.fields import AnyMask, FieldRecords, Mask, Part
from sagd.data.formats import Contents, Reader, Region
from sagd.data.formats.audio import Flac, Sound, Wav, samples
from sagd.data.formats.checks import full_scale, part_of
from sagd.data.kinds import Kind
from sagd.data.layout import Layout
from sagd.data.sources.choose import looked
from sagd.data.sources.observed import UnreadableError, mask_in, sifted
from sagd.errors import InputError, argument, one_line
from sagd.optional import need

if TYPE_CHECKING:
    import pyarrow as pa

_ARCHIVES = ("zip://", "tar://")
_SOUNDS = (b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b"\xff\xfb", b"\xff\xf3")
"""How files of sound begin, those that are not read here too."""
_COLOURS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class Rows(Reader):
    """A column of a table, whose rows hold an array each.

    Attributes:
        column: The column, in memory or mapped.
        files: Where rows are from, in order.
        ends: How many there are up to the end of each.
        place: The file that they are in; default: that of each.
    """

    streams: ClassVar[bool] = True
    column: pa.ChunkedArray
    files: tuple[str, ...]
    ends: tuple[int, ...]
    place: Path | None = None

    def describe(self, contents: Contents) -> str:  # noqa: D102
        return row_of(contents.kept["row"], self.files, self.ends)

    def read(self, contents: Contents, region: Region | None = None) -> np.ndarray:  # noqa: D102
        return self.load(contents, part_of(contents.shape, region))

    @abstractmethod
    def load(self, contents: Contents, region: Region) -> np.ndarray:
        """`read` of a region whose bounds are spelt out."""

    @abstractmethod
    def kind_of(self, contents: Contents) -> str:
        """The kind of signal of rows like this, unless somebody says otherwise."""

    @abstractmethod
    def look(self, row: int) -> Contents:
        """The array of a row, without its values.

        Raises:
            InputError: In one line, if it holds none.
        """

    def path(self, row: int) -> Path:
        """The file that a row is in."""
        return self.place or Path(self.files[bisect(self.ends, row)])

    def folder(self, row: int) -> Path | None:
        """The folder from which paths of a row count; None of tables that are no files of the user."""
        return self.path(row).parent if self.place is None else None


@dataclass(frozen=True, eq=False)
class ArrayRows(Rows):
    """Arrays: lists of numbers, nested or not, of a fixed size or not."""

    def kind_of(self, contents: Contents) -> str:
        """By the number of axes: series, images of 8 or 16 bits and other fields, volumes; three axes of 8 bits of
        which one may be colours are an image.
        """
        shape, grey = contents.shape, contents.dtype in ("uint8", "uint16")
        if len(shape) == 1:
            return "series"
        coloured = contents.dtype == "uint8" and (shape[0] in _COLOURS or shape[-1] in _COLOURS)
        if len(shape) == 2 or (len(shape) == 3 and coloured):
            return "image" if grey else "field"
        return "volume"

    def look(self, row: int) -> Contents:  # noqa: D102
        shape, numbers = _unfolded(self.column, row)
        dtype = np.dtype(numbers.type.to_pandas_dtype())
        if numbers.null_count and dtype.kind != "f":
            raise InputError(
                f"it holds {numbers.null_count} missing value(s) (null) among {dtype.name}, which has none to stand for"
                " them; write floating point"
            )
        axes = "?" * len(shape)
        return Contents(self.path(row), "", shape, axes, dtype.name, full_scale(dtype), kept={"row": row})

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        shape, numbers = _unfolded(self.column, contents.kept["row"])
        values = numbers.to_numpy(zero_copy_only=False)  # null becomes NaN
        return np.array(values.reshape(shape)[region], contents.dtype)


@dataclass(frozen=True, eq=False)
class SoundRows(Rows):
    """Sound: WAV and FLAC as bytes, or structs of bytes and path of which one may be missing."""

    full_scale: ClassVar[bool] = True

    def kind_of(self, contents: Contents) -> str:
        """Sound."""
        return "audio"

    def look(self, row: int) -> Contents:  # noqa: D102
        need("soundfile")
        import soundfile

        file = _file(self.column, row, self.folder(row))
        try:
            container = soundfile.info(file).format
            member = next((m() for m in _members() if container in m.containers), None)
            if member is None:
                raise InputError(f"is {container}; write {' or '.join(m.kind.upper() for m in _members())}")
            file.seek(0)
            contents = member.header(file, file, self.path(row))
        except soundfile.LibsndfileError as error:
            raise InputError(f"is no sound that can be read: {one_line(error.error_string)}") from None
        if 0 in contents.shape:
            raise InputError("holds no samples")
        return replace(contents, kept={**contents.kept, "row": row})

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("soundfile")
        import soundfile

        with soundfile.SoundFile(_file(self.column, contents.kept["row"], self.folder(contents.kept["row"]))) as file:
            return samples(file, contents, region)


def row_records(
    name: str,
    rows: Rows,
    config: DataConfig,
    labels: Tensor | None,
    classes: tuple[str, ...] | None,
    masks: Sequence[AnyMask] = (),
) -> FieldRecords:
    """The fields of a column.

    Args:
        name: Short name of the data set.
        rows: The column.
        config: Settings.
        labels: Class number of each row, int64, or None.
        classes: Names of the classes.
        masks: Which frequencies of each row were observed; () if nobody asked.

    Raises:
        InputError: Naming a row that holds no array, or cannot be of the kind.
    """
    if config.arrays:
        raise InputError(
            f"{config.source!r} is a table, of which {argument('data.image_column')} names the column that is read;"
            f" leave {argument('data.arrays')} out"
        )
    kind = Kind.member(_usual(rows) if config.kind == "auto" else config.kind)()

    def look(row: int) -> Part:
        contents = rows.look(row)
        return Part(rows, (contents,), _layout(kind, contents, config))

    parts, kept = looked(len(rows.column), look, lambda row: row_of(row, rows.files, rows.ends), config.skip_bad, "row")
    own = None if labels is None else labels[torch.tensor(kept)]
    return FieldRecords(name, kind, tuple(parts), own, classes, tuple(masks[i] for i in kept if masks))


def row_masks(rows: ArrayRows, name: str, config: DataConfig) -> tuple[AnyMask, ...]:
    """Which frequencies of each row were observed, by a column of arrays, or of paths of files that hold them.

    Args:
        rows: The column.
        name: Its name.
        config: Settings.

    Raises:
        InputError: If it holds something else, or naming a row that does.
    """
    told = holds_texts(rows.column.type)
    if not told and not holds_arrays(rows.column.type):
        raise InputError(
            f"column {name!r} ({rows.column.type}) holds no masks: it must hold arrays of 0 and 1, or paths of .npy"
            " files"
        )

    def look(row: int) -> Mask:
        place = f"the mask {name!r} of {row_of(row, rows.files, rows.ends)}"
        try:
            path = Path(_mask_path(rows, row)) if told else None
        except InputError as error:
            raise InputError(f"cannot read {place}: {error}") from None
        try:
            return Mask(rows, rows.look(row)) if path is None else mask_in(path)
        except InputError as error:
            raise UnreadableError(f"cannot read {place}: {error}") from None

    return tuple(sifted(partial(look, row), config) for row in range(len(rows.column)))


def _mask_path(rows: ArrayRows, row: int) -> str:
    path = rows.column[row].as_py()
    found = _beside(path, rows.folder(row)) if path else None
    if found is None:
        raise InputError(f"there is no file {path!r} beside the table" if path else "the row names none (null)")
    return found


def _usual(rows: Rows) -> str:
    """The kind of signal of the first row that can be read."""
    for row in range(len(rows.column)):
        try:
            return rows.kind_of(rows.look(row))
        except InputError:  # for `looked` to tell
            continue
    return "field"


def _layout(kind: Kind, contents: Contents, config: DataConfig) -> Layout:
    """As of an array of a file, but that a row is one item: what would number several is channels."""
    layout = kind.layout(contents, config.axes)
    if config.axes is not None or "C" in layout.axes:
        return layout
    return replace(layout, axes=layout.axes.replace("N", "C"))


def row_of(index: int, files: Sequence[str], ends: Sequence[int]) -> str:
    """How errors name a row of several tables, one after the other.

    >>> row_of(5, ["a.parquet", "b.parquet"], [4, 8])
    "row 1 of 'b.parquet'"
    """
    at = bisect(ends, index)
    return f"row {index - (ends[at - 1] if at else 0)} of {files[at]!r}"


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column is one of bytes, or of structs of bytes and path."""
    need("pyarrow")
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and holds_bytes(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def holds_texts(kind: pa.DataType) -> bool:
    """Whether a column is one of texts."""
    need("pyarrow")
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def holds_arrays(kind: pa.DataType) -> bool:
    """Whether a column is one of lists of numbers."""
    need("pyarrow")
    import pyarrow as pa

    nested = False
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        if not _is_list(kind):
            break
        nested, kind = True, kind.value_type
    return nested and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def is_sound(column: pa.ChunkedArray, config: DataConfig, folder: Path | None = None) -> bool:
    """Whether bytes of a column are sound, as somebody says or the first of them do; paths count from the folder."""
    if config.kind != "auto":
        return config.kind == "audio"
    row = next((i for i in range(len(column)) if column[i].is_valid), None)
    if row is None:
        return False
    try:
        head = bytes(_file(column, row, folder).read(12))
    except InputError:
        return False
    return head.startswith(_SOUNDS) or (head[:4] == b"RIFF" and head[8:] == b"WAVE")


def content_of(column: pa.ChunkedArray, row: int, folder: Path | None = None) -> str | bytes:
    """Bytes of a row, or the local path of a file that holds them, which counts from the folder of the table if it is
    there, else from the current one.

    Raises:
        InputError: If there are neither.
    """
    value = column[row].as_py()
    content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if content is not None:
        return content
    if not path:
        raise InputError("the row holds no bytes (null); fill it, or remove it")
    return _read_path(path, folder)


def _file(column: pa.ChunkedArray, row: int, folder: Path | None) -> io.BytesIO:
    content = content_of(column, row, folder)
    try:
        return io.BytesIO(content if isinstance(content, bytes) else Path(content).read_bytes())
    except OSError as error:
        raise InputError(f"{content!r} cannot be read: {error.strerror}") from None


def _read_path(path: str, folder: Path | None) -> str | bytes:
    """A local path as it is, or the bytes of a member of a local archive ('zip://a.png::/data/images.zip').

    Paths come with the data, and fsspec knows protocols that open connections or run code; so only archives pass.
    """
    if (found := _beside(path, folder)) is not None:
        return found
    if "::" not in path:
        where = "the current folder" if folder is None else f"{str(folder)!r}, or the current folder"
        raise InputError(f"no file {path!r}; paths count from {where}, and addresses are not followed")
    *members, last = path.split("::")
    archive = _beside(last, folder)
    if archive is None or not all(member.startswith(_ARCHIVES) for member in members):
        raise InputError(f"{path!r} is not in a local archive ({', '.join(_ARCHIVES)})")
    need("fsspec")
    import fsspec

    # The path that was looked at, lest fsspec take it for an address ('ftp:' may be the name of a folder).
    local = f"file://{os.path.abspath(archive)}"  # noqa: PTH100 (links stay as they are)
    try:
        with fsspec.open("::".join([*members, local]), "rb") as file:
            return file.read()
    except (OSError, ValueError, LookupError, EOFError) as error:
        raise InputError(f"{path!r} cannot be read: {type(error).__name__} {one_line(error)}") from None


def _beside(path: str, folder: Path | None) -> str | None:
    """A path in the folder, or else in the current one, if there is a file."""
    places = [Path(path)] if folder is None else [folder / path, Path(path)]
    return next((str(place) for place in places if place.is_file()), None)


def _members() -> tuple[type[Sound], ...]:
    return Wav, Flac


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _unfolded(column: pa.ChunkedArray, row: int) -> tuple[tuple[int, ...], Any]:
    """Shape of the nested lists of a row, and its numbers one after the other, an array of pyarrow.

    Raises:
        InputError: If lists are missing, empty or of several lengths.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = next(chunk for chunk in column.slice(row, 1).chunks if len(chunk))
    shape: list[int] = []
    while True:
        if isinstance(values, pa.FixedShapeTensorArray):
            if values.null_count or (values.type.permutation or []) != sorted(values.type.permutation or []):
                raise InputError("its tensor is missing (null), or of permuted axes; write plain ones, or nested lists")
            shape += values.type.shape
            return tuple(shape), values.storage.flatten()
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        if not _is_list(values.type):
            return tuple(shape), values
        if values.null_count:
            raise InputError(f"it holds {values.null_count} missing list(s) (null); fill or remove them")
        lengths = pc.min_max(pc.list_value_length(values))
        least, most = lengths["min"].as_py(), lengths["max"].as_py()
        if not most:
            raise InputError("it holds an empty list; remove the row")
        if least != most:
            raise InputError(
                f"its lists have {least} to {most} numbers along axis {len(shape)}, which make no array; cut or"
                " pad them"
            )
        shape.append(most)
        values = values.flatten()
