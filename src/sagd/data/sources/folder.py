"""Folders of files.

A folder is walked here, because `datasets.load_dataset("imagefolder")` calls home, and it guesses splits from the names
of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.fields import FieldRecords
from sagd.data.formats.find import is_one, walk
from sagd.data.formats.frames import films
from sagd.data.images import EXTENSIONS, open_image
from sagd.data.kinds import Kind
from sagd.data.kinds.image import Image as Pictures
from sagd.data.kinds.video import Video
from sagd.data.sources.base import SPLIT_NAMES, Records, Source, check_text, encode_labels, expanded
from sagd.data.sources.beside import BESIDE
from sagd.data.sources.choose import field_records, of_one_kind
from sagd.data.sources.metadata import METADATA, read_labels, read_masks
from sagd.data.sources.observed import items_among, masks_of
from sagd.data.sources.parquet import shards
from sagd.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_STACKS = (".tif", ".tiff")
"""Endings of pictures that may hold several."""


@dataclass(frozen=True)
class Folder(Source, kind="folder"):
    """Every file of one kind below a folder, sorted by path; classes are those that metadata.csv names, or the first
    level of sub-folders.

    Args:
        path: The folder.
    """

    columns: ClassVar[bool] = True
    path: str

    def __post_init__(self) -> None:
        check_text(self.kind, "path", self.path)

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The folder of that name, if there is one, and it holds more than tables."""
        path = expanded(text)
        return cls(text) if text and path.is_dir() and not is_one(path) and not shards(path) else None

    def open(self, config: DataConfig) -> Records | FieldRecords:
        """The files, by their headers."""
        if config.image_column is not None:
            column = config.image_column
            raise InputError(
                f"{config.source!r} has no columns, so image_column {column!r} cannot be chosen; leave it out"
            )
        folder = expanded(self.path)
        files = [path for path in walk(folder) if path.name not in (*METADATA, BESIDE)]
        told = read_masks(folder, config)
        files = items_among(files, config, told)
        files = films(files) if config.kind == Video.kind else files
        kind, paths = of_one_kind(files, config, repr(str(folder)))
        labels, classes = _labels(folder, paths, config)
        name, masks = folder.resolve().name, masks_of(paths, config, told)
        if are_pictures(kind, paths, config):
            return FolderRecords(name, labels, classes, tuple(paths), masks=masks)
        return field_records(name, kind, paths, config, labels, classes, masks)


@dataclass(frozen=True)
class FolderRecords(Records):
    """Picture files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        return open_image(self.paths[index])

    def describe(self, index: int) -> str:  # noqa: D102
        return repr(str(self.paths[index]))

    def file(self, index: int) -> Path:  # noqa: D102
        return self.paths[index]

    def fields(self, config: DataConfig) -> FieldRecords:
        """The same files as fields of any depth."""
        kind = Kind.member(Pictures.kind)
        return field_records(self.name, kind, self.paths, config, self.labels, self.classes, self.masks)


def are_pictures(kind: type[Kind], paths: Sequence[Path], config: DataConfig) -> bool:
    """Whether files are single pictures, to be scaled to squares if at all, which Pillow decodes by itself."""
    sides = () if config.size is None or isinstance(config.size, int) else set(config.size)
    plain = config.fit not in ("tile", "crop") and config.axes is None and not config.arrays and len(sides) <= 1
    endings = {path.suffix.lower() for path in paths}
    return kind.kind == Pictures.kind and plain and endings <= set(EXTENSIONS) and not endings & set(_STACKS)


def _labels(folder: Path, paths: Sequence[Path], config: DataConfig) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Classes by the table beside the files, or by the first level of folders; None without either."""
    told = read_labels(folder, paths, config)
    if told is not None:
        return encode_labels(told)
    parents = [path.relative_to(folder).parts[:-1] for path in paths]
    if not all(parents):
        return None, None
    labels, classes = encode_labels([parts[0] for parts in parents])
    if SPLIT_NAMES.issuperset(name.lower() for name in classes):
        chosen = str(folder / classes[-1])
        raise InputError(f"{str(folder)!r} holds splits ({', '.join(classes)}), not classes; name one: {chosen!r}")
    return labels, classes
