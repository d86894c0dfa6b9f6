"""Tables with a column of encoded images, as parquet files and data sets of the hub are."""

from __future__ import annotations

import os
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.images import open_image
from sagd.data.sources.base import NO_LABELS, Records, encode_labels
from sagd.errors import InputError, argument, one_line
from sagd.optional import need

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

_ARCHIVES = ("zip://", "tar://")


@dataclass(frozen=True)
class TableRecords(Records):
    """A column of encoded images: bytes, or structs of bytes and path of which one may be missing.

    Attributes:
        column: The images.
        files: Where they are from, in order.
        ends: How many images there are up to the end of each.
    """

    column: pa.ChunkedArray
    files: Sequence[str]
    ends: Sequence[int]

    def __len__(self) -> int:
        return len(self.column)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        value = self.column[index].as_py()
        content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if content is not None:
            return open_image(content)
        if not path:
            raise InputError("the row holds no image")
        return open_image(_read_path(path))

    def describe(self, index: int) -> str:  # noqa: D102
        at = bisect(self.ends, index)
        return f"row {index - (self.ends[at - 1] if at else 0)} of {self.files[at]!r}"


def _read_path(path: str) -> str | bytes:
    """A local path as it is, or the bytes of a member of a local archive ('zip://a.png::/data/images.zip').

    Paths come with the data, and fsspec knows protocols that open connections or run code; so only archives pass.
    """
    if "::" not in path or Path(path).is_file():
        if not Path(path).is_file():
            raise InputError(f"no file {path!r}; paths count from the current folder, and addresses are not followed")
        return path
    *members, archive = path.split("::")
    if not Path(archive).is_file() or not all(member.startswith(_ARCHIVES) for member in members):
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


def table_records(
    name: str,
    source: str,
    table: pa.Table,
    schema: pa.Schema,
    columns: tuple[str, str | None],
    config: DataConfig,
    files: Mapping[str, int] | None = None,
) -> Records:
    """The records of a table, by the names of its image column and its label column.

    Args:
        name: Short name of the data set.
        source: Where it is, for messages.
        table: Rows.
        schema: Its schema.
        columns: Names of the image column and of the label column, if any.
        config: Settings.
        files: The files that the rows are from, in order, and the number of rows of each; default: `source` alone.

    Raises:
        InputError: If it has no rows, or labels that are none.
    """
    image_column, label_column = columns
    if table.num_rows == 0:
        raise InputError(f"{source!r} holds no rows")
    labels, classes = None, None
    if label_column is not None:
        values = table.column(label_column).to_pylist()
        names = _class_names(schema, label_column, source)
        labels, classes = _read_labels(values, names, label_column, source, config)
    files = files or {source: table.num_rows}
    ends = list(accumulate(files.values()))
    return TableRecords(name, labels, classes, table.column(image_column), list(files), ends)


def choose_columns(schema: pa.Schema, config: DataConfig) -> tuple[str, str | None]:
    """Names of the image column and of the label column, if any.

    Raises:
        InputError: If there is no such column, or no telling which it is.
    """
    return _choose_image_column(schema, config), _choose_label_column(schema, config)


def _choose_image_column(schema: pa.Schema, config: DataConfig) -> str:
    candidates = [field.name for field in schema if _holds_images(field.type)]
    wanted = config.image_column
    if wanted is None and len(candidates) == 1:
        return candidates[0]
    if wanted is None and candidates:
        listed = ", ".join(candidates)
        raise InputError(
            f"{config.source!r} has several image columns; set {argument('data.image_column')} to one of {listed}"
        )
    if wanted is None:
        kinds = "bytes, or structs of bytes and path"
        raise InputError(f"{config.source!r} has no image column ({kinds}); it has {listed_columns(schema)}")
    if wanted not in schema.names:
        raise InputError(f"{config.source!r} has no column {wanted!r}; it has {listed_columns(schema)}")
    if wanted not in candidates:
        raise InputError(f"column {wanted!r} of {config.source!r} holds no images; it has {listed_columns(schema)}")
    return wanted


def _choose_label_column(schema: pa.Schema, config: DataConfig) -> str | None:
    wanted = config.label_column
    if wanted is None:
        return "label" if "label" in schema.names else None
    if wanted == NO_LABELS:
        return None
    if wanted not in schema.names:
        raise InputError(f"{config.source!r} has no label column {wanted!r}; it has {listed_columns(schema)}")
    return wanted


def listed_columns(schema: pa.Schema) -> str:
    """Names and types of columns, for messages."""
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def _holds_images(kind: pa.DataType) -> bool:
    need("pyarrow")
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_images(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, column: str, source: str) -> tuple[str, ...] | None:
    """Names of a `ClassLabel`, which `datasets` keeps in the metadata of the schema.

    Raises:
        InputError: If that metadata is none of `datasets`.
    """
    if b"huggingface" not in (schema.metadata or {}):
        return None
    need("datasets")
    from datasets import ClassLabel, Features

    try:
        feature = Features.from_arrow_schema(schema).get(column)
        names = feature.names if isinstance(feature, ClassLabel) else None
        if not all(isinstance(name, str) for name in names or ()):
            raise ValueError(f"class names must be text, got {names}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{source!r} has metadata 'huggingface' that cannot be read: {one_line(error)}; remove it"
        ) from None
    return tuple(names) if names else None


def _read_labels(
    values: list[Any], names: tuple[str, ...] | None, column: str, source: str, config: DataConfig
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Numbers and names of the classes; a `ClassLabel` keeps its own, of which some may not occur."""
    missing = [row for row, value in enumerate(values) if value is None or (names is not None and value == -1)]
    if len(missing) == len(values) and config.label_column is None:
        return None, None
    hint = f"choose another {argument('data.label_column')}, or {NO_LABELS!r} for no labels"
    if missing:
        raise InputError(f"row {missing[0]} of {source!r} has no label in column {column!r}; {hint}")
    if not (all(isinstance(v, int) for v in values) or all(isinstance(v, str) for v in values)):
        kind = type(next(v for v in values if not isinstance(v, int))).__name__
        raise InputError(f"column {column!r} of {source!r} holds {kind}, not whole numbers or text; {hint}")
    if names is None:
        return encode_labels(values)
    numbers = torch.tensor(values, dtype=torch.int64)
    if numbers.min() < 0 or numbers.max() >= len(names):
        raise InputError(f"column {column!r} of {source!r} holds labels outside 0..{len(names) - 1}; {hint}")
    return numbers, names
