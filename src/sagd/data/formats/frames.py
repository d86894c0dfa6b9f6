"""A film as a folder of pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region
from sagd.data.formats.checks import arranged
from sagd.data.formats.find import ending_of, endings, format_of, natural
from sagd.errors import InputError

logger = logging.getLogger(__name__)

_PICTURES = ("pillow", "netpbm", "tiff")


@dataclass(frozen=True)
class Frames(Format, kind="frames"):
    """A folder of pictures of one size as a film, in natural order of their names; other files in it are left out."""

    called: ClassVar[str] = "a film"
    endings: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[bool] = True
    folders: ClassVar[bool] = True
    floats: ClassVar[bool] = False

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        files, left_out = _pictures(path)
        if not files:
            raise InputError(f"holds no pictures; found: {', '.join(left_out[:3]) or 'nothing'}")
        frames = [_only(file) for file in files]
        first = frames[0]
        for file, frame in zip(files, frames, strict=True):
            if (frame.shape, frame.axes, frame.dtype) != (first.shape, first.axes, first.dtype):
                raise InputError(
                    f"{file.name!r} is {frame.dtype} of shape {frame.shape}, {files[0].name!r} is {first.dtype} of"
                    f" shape {first.shape}; frames of a film are alike"
                )
        notes = dict.fromkeys(note for frame in frames for note in frame.notes)
        if left_out:
            notes[f"{len(left_out)} other file(s) are left out, e.g. {left_out[0]!r}"] = None
        kept = {self.kind: {"names": [file.name for file in files], "frames": frames}}
        return [
            replace(
                first, path=path, shape=(len(files), *first.shape), axes=f"T{first.axes}", notes=tuple(notes), kept=kept
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        frames = contents.kept[self.kind]["frames"][region[0]]
        return np.stack([format_of(frame.path).read(frame, region[1:]) for frame in frames])

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        values, order = arranged(values, like.axes, "TYX", "TYXC")
        path.mkdir()
        for name, frame, kept in zip(*_as_kept(values, like), strict=True):
            one = replace(kept, axes=order[1:], shape=frame.shape)
            format_of(path / name).write(path / name, frame, one)


def films(files: Sequence[Path]) -> list[Path]:
    """Folders of pictures in place of the pictures, for whoever wants films.

    Files as they are if some are films, or no more are pictures than are of other formats.
    """
    single = [file for file in files if _is_picture(file)]
    by_folder = {file.parent: file for file in reversed(single)}
    pictures, known = set(single), set(endings())
    others = [file for file in files if file not in pictures and ending_of(file.name).lower() in known]
    if (
        len(others) >= len(single)
        or {format_of(file).kind for file in others} & {"gif", "mp4"}
        or any(format_of(f).scan(f)[0].axes[:2] != "YX" for f in by_folder.values())
    ):
        return list(files)
    if others:
        logger.info("left out %d file(s) beside the pictures of films, e.g. %s", len(others), others[0].name)
    return sorted(by_folder, key=natural)


def _pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """Pictures of a folder in order, and names of what else is in it but hidden."""
    pictures, others = [], []
    for file in sorted(folder.iterdir(), key=lambda file: natural(Path(file.name))):
        if not file.name.startswith("."):
            (pictures.append(file) if _is_picture(file) else others.append(file.name))
    return pictures, others


def _is_picture(file: Path) -> bool:
    endings = (ending for kind in _PICTURES for ending in Format.member(kind).endings)
    return file.is_file() and file.name.lower().endswith(tuple(endings))


def _only(file: Path) -> Contents:
    """The one picture of a file."""
    try:
        found = format_of(file).scan(file)
    except InputError as error:
        raise InputError(f"{file.name!r} {error}") from None
    if len(found) != 1 or found[0].axes not in ("YX", "YXC"):
        raise InputError(f"{file.name!r} is no single picture; its axes are {', '.join(one.axes for one in found)}")
    return found[0]


def _as_kept(values: np.ndarray, like: Contents) -> tuple[Sequence[str], Iterator[np.ndarray], Sequence[Contents]]:
    """Names, values and metadata of each frame: those of the folder, or numbers where there are none."""
    kept = like.kept.get(Frames.kind)
    if kept is not None and len(kept["names"]) == len(values):
        return kept["names"], iter(values), kept["frames"]
    ending = ".png" if values.dtype.name == "uint8" or (values.dtype.name == "uint16" and values.ndim == 3) else ".tif"
    if kept is not None:
        ending = Path(kept["names"][0]).suffix
        like = kept["frames"][0]
    return [f"{i:06d}{ending}" for i in range(len(values))], iter(values), [like] * len(values)
