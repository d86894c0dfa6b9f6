"""Single files that hold many items, or one long record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sagd.data.config import DataConfig
from sagd.data.fields import FieldRecords
from sagd.data.formats.find import is_one
from sagd.data.sources.base import Records, Source, check_text, expanded
from sagd.data.sources.choose import field_records, of_one_kind
from sagd.data.sources.folder import FolderRecords, are_pictures
from sagd.data.sources.observed import masks_of
from sagd.data.sources.parquet import ENDING


@dataclass(frozen=True)
class File(Source, kind="file"):
    """A file of any known format: a stack of images, an array, a long record, a grid of fields.

    Args:
        path: The file.
    """

    path: str

    def __post_init__(self) -> None:
        check_text(self.kind, "path", self.path)

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The file of that name, if there is one and it is no table of images."""
        path = expanded(text)
        return cls(text) if is_one(path) and path.suffix.lower() != ENDING else None

    def open(self, config: DataConfig) -> Records | FieldRecords:
        """Its arrays, by their headers."""
        path = expanded(self.path)
        kind, paths = of_one_kind([path], config, repr(str(path)))
        if are_pictures(kind, paths, config):
            return FolderRecords(path.stem, None, None, tuple(paths), masks=masks_of(paths, config))
        return field_records(path.stem, kind, paths, config, masks=masks_of(paths, config))
