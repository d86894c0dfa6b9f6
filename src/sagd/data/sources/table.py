"""Tables with a column of encoded images, sound or arrays, as parquet files and data sets of the hub are."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.fields import AnyMask, FieldRecords
from sagd.data.images import open_image
from sagd.data.sources.base import NO_LABELS, Records, encode_labels
from sagd.data.sources.rows import (
    ArrayRows,
    SoundRows,
    content_of,
    holds_arrays,
    holds_bytes,
    is_sound,
    row_masks,
    row_of,
    row_records,
)
from sagd.errors import InputError, argument, one_line
from sagd.optional import need

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image


@dataclass(frozen=True)
class TableRecords(Records):
    """A column of encoded images: bytes, or structs of bytes and path of which one may be missing.

    Attributes:
        column: The images.
        files: Where they are from, in order.
        ends: How many images there are up to the end of each.
        local: Whether `files` are files of the user, from whose folders paths count.
    """

    column: pa.ChunkedArray
    files: Sequence[str]
    ends: Sequence[int]
    local: bool = False

    def __len__(self) -> int:
        return len(self.column)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        folder = Path(self.files[bisect(self.ends, index)]).parent if self.local else None
        return open_image(content_of(self.column, index, folder))

    def describe(self, index: int) -> str:  # noqa: D102
        return row_of(index, self.files, self.ends)


def table_records(
    name: str,
    source: str,
    table: pa.Table,
    schema: pa.Schema,
    columns: Columns,
    config: DataConfig,
    files: Mapping[str, int] | None = None,
    place: Path | None = None,
) -> Records | FieldRecords:
    """The records of a table, by the names of its columns.

    Args:
        name: Short name of the data set.
        source: Where it is, for messages.
        table: Rows.
        schema: Its schema.
        columns: Names of its columns.
        config: Settings.
        files: The files that the rows are from, in order, and the number of rows of each; default: `source` alone.
        place: The file that the rows are in, where `files` names none.

    Raises:
        InputError: If it has no rows, labels that are none, or a row of sound or arrays that is none.
    """
    data_column, label_column, mask_column = columns
    if table.num_rows == 0:
        raise InputError(f"{source!r} holds no rows")
    labels, classes = None, None
    if label_column is not None:
        values = table.column(label_column).to_pylist()
        names = _class_names(schema, label_column, source)
        labels, classes = _read_labels(values, names, label_column, source, config)
    files = files or {source: table.num_rows}
    ends = list(accumulate(files.values()))
    column = table.column(data_column)
    masks: tuple[AnyMask, ...] = ()
    if mask_column is not None:
        masks = row_masks(ArrayRows(table.column(mask_column), tuple(files), tuple(ends), place), mask_column, config)
    first = Path(next(iter(files))).parent if place is None else None
    if holds_bytes(column.type) and not is_sound(column, config, first):
        return TableRecords(name, labels, classes, column, list(files), ends, place is None, masks=masks)
    rows = (SoundRows if holds_bytes(column.type) else ArrayRows)(column, tuple(files), tuple(ends), place)
    return row_records(name, rows, config, labels, classes, masks)


class Columns(NamedTuple):
    """Names of the columns of a table that are read.

    Attributes:
        data: That of the data.
        label: That of labels, if any.
        mask: That of masks of what was observed, if they are asked for.
    """

    data: str
    label: str | None
    mask: str | None


def choose_columns(schema: pa.Schema, config: DataConfig) -> Columns:
    """Names of the columns that are read.

    Raises:
        InputError: If there is no such column, or no telling which it is.
    """
    if config.observed is not None and config.observed not in schema.names:
        raise InputError(
            f"{config.source!r} has no column {config.observed!r} of masks ({argument('data.observed')}); it has"
            f" {listed_columns(schema)}"
        )
    return Columns(_choose_data_column(schema, config), _choose_label_column(schema, config), config.observed)


def _choose_data_column(schema: pa.Schema, config: DataConfig) -> str:
    encoded = [field.name for field in schema if holds_bytes(field.type)]
    arrays = [field.name for field in schema if holds_arrays(field.type) and field.name != config.observed]
    candidates = encoded or arrays if config.image_column is None else encoded + arrays
    wanted = config.image_column
    if wanted is None and len(candidates) == 1:
        return candidates[0]
    if wanted is None and candidates:
        listed, hold = ", ".join(candidates), "images or sound" if encoded else "arrays"
        raise InputError(
            f"{config.source!r} has several columns of {hold}; set {argument('data.image_column')} to one of {listed}"
        )
    if wanted is None:
        kinds = "bytes, or structs of bytes and path; lists of numbers"
        raise InputError(
            f"{config.source!r} has no column of images, sound or arrays ({kinds}); it has {listed_columns(schema)}"
        )
    if wanted not in schema.names:
        raise InputError(f"{config.source!r} has no column {wanted!r}; it has {listed_columns(schema)}")
    if wanted not in candidates:
        raise InputError(
            f"column {wanted!r} of {config.source!r} holds no images, sound or arrays of numbers; it has"
            f" {listed_columns(schema)}"
        )
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
