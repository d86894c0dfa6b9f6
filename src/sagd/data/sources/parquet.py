"""Parquet files with a column of encoded images, sound or arrays, alone or as the shards of one data set."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from sagd.data.config import DataConfig
from sagd.data.fields import FieldRecords
from sagd.data.formats.find import endings, natural
from sagd.data.sources import base
from sagd.data.sources.base import SPLIT_NAMES, Records, Source, check_split, check_text, expanded
from sagd.data.sources.table import choose_columns, listed_columns, table_records
from sagd.errors import InputError, one_line
from sagd.optional import need
from sagd.paths import require_file

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = ".parquet"
_SPLIT = re.compile(rf"({'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)
"""The start of the name of a file that is of one split."""


@dataclass(frozen=True)
class Parquet(Source, kind="parquet"):
    """A parquet file, or a folder of nothing else: rows in natural order of the files, of one split where names tell
    several, as in `train-00000-of-00002.parquet`.

    What is beyond the memory limit is mapped through the cache of `datasets`.

    Args:
        path: The file or folder.
    """

    splits: ClassVar[tuple[str, ...] | None] = None
    columns: ClassVar[bool] = True
    path: str

    def __post_init__(self) -> None:
        check_text(self.kind, "path", self.path)

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The file of that name, if there is one, and its name ends as it should; or a folder of such files."""
        path = expanded(text)
        is_file = path.suffix.lower() == ENDING and path.is_file()
        return cls(text) if is_file or (text and path.is_dir() and shards(path)) else None

    def open(self, config: DataConfig) -> Records | FieldRecords:
        """The rows, by their data and label columns."""
        path = expanded(self.path)
        found = shards(path) if path.is_dir() else []
        if path.is_dir() and not found:
            raise InputError(f"{str(path)!r} is no folder of parquet files and nothing else; name it as a folder")
        paths = _of_split(found, config) if found else [path]
        if not found:
            check_split(config, ("train",))
        schemas, counts = zip(*map(_header, paths), strict=True)
        schema = schemas[0]
        for other, own in zip(paths, schemas, strict=True):
            if not own.equals(schema):
                one, another = (one_line(listed_columns(columns)) for columns in (schema, own))
                raise InputError(
                    f"{paths[0].name!r} has columns {one}, {other.name!r} {another}; files of one data set in"
                    f" {str(path)!r} have the same"
                )
        columns = choose_columns(schema, config)
        table = _read(paths, [name for name in columns if name is not None])
        files = {str(one): count for one, count in zip(paths, counts, strict=True)}
        name = path.resolve().name if found else path.stem
        return table_records(name, str(path), table, schema, columns, config, files)


def shards(folder: Path) -> list[Path]:
    """The parquet files of a folder in natural order; none if it holds sub-folders, or files of other known formats."""
    try:
        seen = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError:  # for whoever lists it next to tell
        return []
    found = [entry for entry in seen if entry.suffix.lower() == ENDING]
    known = tuple(endings()) if found else ()
    if not all(entry.is_file() and not entry.name.lower().endswith(known) for entry in seen):
        return []
    return sorted(found, key=lambda path: natural(path.relative_to(folder)))


def _of_split(paths: Sequence[Path], config: DataConfig) -> list[Path]:
    """Those of the split that a configuration names, by the start of their names; all where no name tells one."""
    splits: dict[str, list[Path]] = {}
    for path in paths:
        told = _SPLIT.match(path.name)
        splits.setdefault(told[1].lower() if told else "", []).append(path)
    other = splits.pop("", [])
    if other and splits:
        named = next(iter(splits.values()))[0]
        raise InputError(
            f"{named.name!r} is named as a file of a split, {other[0].name!r} in the same folder is not; name one file,"
            " or move those of others elsewhere"
        )
    splits = splits or {"train": other}
    check_split(config, list(splits))
    return splits[config.split]


def _header(path: Path) -> tuple[pa.Schema, int]:
    """Columns and number of rows of a file."""
    need("pyarrow")
    import pyarrow.parquet as pq

    try:
        require_file(path)
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (OSError, ValueError) as error:  # pyarrow's errors are kinds of these
        raise _unreadable(path, error) from None


def _read(paths: Sequence[Path], columns: list[str]) -> pa.Table:
    """Some columns of files, one after the other: in memory if they fit, else mapped."""
    need("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sum(_size(path, columns) for path in paths) > base.MEMORY_LIMIT:
        return _map_parquet(paths, columns)
    tables = []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                tables.append(file.read(columns=columns))
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
    return pa.concat_tables(tables)


def _size(path: Path, columns: list[str]) -> int:
    """Bytes that columns of a file have once they are unpacked."""
    need("pyarrow")
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)


def _map_parquet(paths: Sequence[Path], columns: list[str]) -> pa.Table:
    need("datasets")
    from datasets import Dataset

    try:
        return Dataset.from_parquet([glob.escape(str(path)) for path in paths], columns=columns).data.table
    except (OSError, ValueError) as error:
        raise _unreadable(paths[0], error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot read parquet file {str(path)!r}: {one_line(error)}")
