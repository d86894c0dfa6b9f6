"""Parquet files with a column of encoded images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from sagd.data.config import DataConfig
from sagd.data.sources import base
from sagd.data.sources.base import Records, Source, check_text, expanded
from sagd.data.sources.table import choose_columns, table_records
from sagd.errors import InputError, one_line
from sagd.optional import need

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = ".parquet"


@dataclass(frozen=True)
class Parquet(Source, kind="parquet"):
    """A parquet file; one beyond the memory limit is mapped through the cache of `datasets`.

    Args:
        path: The file.
    """

    columns: ClassVar[bool] = True
    path: str

    def __post_init__(self) -> None:
        check_text(self.kind, "path", self.path)

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The file of that name, if there is one, and its name ends as it should."""
        path = expanded(text)
        return cls(text) if path.suffix.lower() == ENDING and path.is_file() else None

    def open(self, config: DataConfig) -> Records:
        """The rows, by their image and label columns."""
        need("pyarrow")
        import pyarrow.parquet as pq

        path = expanded(self.path)
        source = str(path)
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                columns = choose_columns(schema, config)
                chosen = [name for name in columns if name is not None]
                large = path.stat().st_size > base.MEMORY_LIMIT
                table = _map_parquet(path, chosen) if large else file.read(columns=chosen)
        except InputError:
            raise
        except (OSError, ValueError) as error:  # pyarrow's errors are kinds of these
            raise InputError(f"cannot read parquet file {source!r}: {one_line(error)}") from None
        return table_records(path.stem, source, table, schema, columns, config)


def _map_parquet(path: Path, columns: list[str]) -> pa.Table:
    import glob

    need("datasets")
    from datasets import Dataset

    return Dataset.from_parquet(glob.escape(str(path)), columns=columns).data.table
