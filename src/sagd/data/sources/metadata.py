"""Labels, and files of masks, in a table beside the files.

That is `metadata.csv` or `metadata.jsonl`, as the hub's folders have them.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sagd.data.config import DataConfig
from sagd.errors import InputError, one_line

logger = logging.getLogger(__name__)

METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of the table, in the folder itself."""
_NAMES = ("file_name", "filename", "file", "path")
"""Columns that name the file, relative to the folder; the first of these."""
_LABELS = ("label", "labels", "class")
"""Columns that name its class, unless one is chosen."""


def read_labels(folder: Path, paths: Sequence[Path], config: DataConfig) -> list[Any] | None:
    """The label of each file; None without a table, or with one that has no labels.

    Raises:
        InputError: If the table cannot be read, lacks the column that was chosen, or a file.
    """
    table = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    wanted = None if config.label_column == "none" else config.label_column
    if table is None or config.label_column == "none":
        if wanted is not None:
            raise InputError(
                f"{str(folder)!r} has no columns, so label_column {wanted!r} cannot be chosen; leave it out, or put a"
                f" {METADATA[0]} there"
            )
        return None
    rows, columns, name = _read(table)
    label = wanted or next((column for column in _LABELS if column in columns), None)
    if label is None:
        logger.info("%s holds no labels: none of its columns %s is called label", table.name, columns)
        return None
    if label not in columns:
        raise InputError(f"{str(table)!r} has no column {label!r}; it has {', '.join(columns)}")
    known: dict[str, Any] = {}
    for number, row in enumerate(rows, 1):
        file, told = row.get(name), row.get(label)
        if not isinstance(file, str) or not isinstance(told, (str, int)) or type(told) is not type(rows[0].get(label)):
            raise InputError(
                f"row {number} of {str(table)!r} must name a file in {name!r} and its class in {label!r}, all classes"
                f" texts or all whole numbers; it holds {one_line(repr(row))}"
            )
        if known.setdefault(str(Path(file)), told) != told:
            raise InputError(f"{str(table)!r} gives {file!r} two classes: {known[str(Path(file))]!r} and {told!r}")
    missing = next((path for path in paths if str(path.relative_to(folder)) not in known), None)
    if missing is not None:
        raise InputError(f"{str(table)!r} has no row for {str(missing.relative_to(folder))!r}; add it")
    return [known[str(path.relative_to(folder))] for path in paths]


def read_masks(folder: Path, config: DataConfig) -> dict[Path, Path]:
    """The file of the mask of each file, by a column that `data.observed` names; none without such a column.

    Raises:
        InputError: If the table cannot be read, or a row of it names no file.
    """
    table = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    if table is None or config.observed is None:
        return {}
    rows, columns, name = _read(table)
    if config.observed not in columns:
        return {}
    told: dict[Path, Path] = {}
    for number, row in enumerate(rows, 1):
        file, mask = row.get(name), row.get(config.observed)
        if not isinstance(file, str) or not isinstance(mask, str) or not (folder / mask).is_file():
            raise InputError(
                f"row {number} of {str(table)!r} must name a file in {name!r} and that of its mask, which is there, in"
                f" {config.observed!r}; it holds {one_line(repr(row))}"
            )
        told[folder / file] = folder / mask
    return told


def _read(table: Path) -> tuple[list[dict[str, Any]], list[str], str]:
    """Rows of a table, its columns, and the one that names files."""
    rows = list(_rows(table))
    columns = list(rows[0]) if rows else []
    name = next((column for column in _NAMES if column in columns), None)
    if name is None:
        raise InputError(f"{str(table)!r} names no files: give them in a column {_NAMES[0]!r}; it has {columns}")
    return rows, columns, name


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
        if table.suffix == ".csv":
            yield from csv.DictReader(io.StringIO(text, newline=""), strict=True)
            return
        for line in text.splitlines():
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"a line is no object: {line[:40]}")
                yield row
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {str(table)!r}: {one_line(error)}") from None
