"""Folders of image files.

`datasets.load_dataset("imagefolder")` is not asked: it calls home, and it guesses splits from the names of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sagd.data.config import DataConfig
from sagd.data.formats.find import walk
from sagd.data.images import EXTENSIONS, open_image
from sagd.data.sources.base import Records, Source, check_text, encode_labels, expanded
from sagd.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


@dataclass(frozen=True)
class Folder(Source, kind="folder"):
    """Every image file below a folder, in natural order of paths; classes are the first level of sub-folders.

    Args:
        path: The folder.
    """

    path: str

    def __post_init__(self) -> None:
        check_text(self.kind, "path", self.path)

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The folder of that name, if there is one."""
        return cls(text) if text and expanded(text).is_dir() else None

    def open(self, config: DataConfig) -> Records:
        """The image files."""
        folder = expanded(self.path)
        files = walk(folder)
        paths = [path for path in files if path.suffix.lower() in EXTENSIONS]
        if not paths:
            found = f"{len(files)} other file(s), e.g. {files[0].name!r}" if files else "no files"
            raise InputError(f"no images in {str(folder)!r}: found {found}; known endings: {' '.join(EXTENSIONS)}")
        parents = [path.relative_to(folder).parts[:-1] for path in paths]
        name = folder.resolve().name
        if not all(parents):
            return FolderRecords(name, None, None, tuple(paths))
        labels, classes = encode_labels([parts[0] for parts in parents])
        if _SPLIT_NAMES.issuperset(name.lower() for name in classes):
            chosen = str(folder / classes[-1])
            raise InputError(f"{str(folder)!r} holds splits ({', '.join(classes)}), not classes; name one: {chosen!r}")
        return FolderRecords(name, labels, classes, tuple(paths))


@dataclass(frozen=True)
class FolderRecords(Records):
    """Image files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        return open_image(self.paths[index])

    def describe(self, index: int) -> str:  # noqa: D102
        return repr(str(self.paths[index]))
