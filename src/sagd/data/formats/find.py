"""Which format a file is of, and which files lie below a folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from sagd.counting import stage
from sagd.data.formats.base import Format
from sagd.errors import InputError
from sagd.paths import special

logger = logging.getLogger(__name__)

_Pieces = tuple[tuple[int, int, str], ...]
_Key = tuple[_Pieces, ...]


def format_of(path: Path) -> Format:
    """The format of a file, by its longest known ending; of a folder, frames unless its ending says more.

    Raises:
        InputError: If no format has that ending, with those that are known.
    """
    folder = path.is_dir()
    kinds = (folder,) if path.exists() else (False, True)  # what is to be written may be either
    if (found := next(filter(None, (_by_ending(path.name, kind) for kind in kinds)), None)) is not None:
        return found
    if folder:
        return Format.parse("frames")
    raise InputError(f"{path.name!r} has no known ending; known: {' '.join(endings())}")


def is_one(path: Path) -> bool:
    """Whether a path is a file, or a folder that is a file of a format, such as those of zarr."""
    return path.is_file() or (path.is_dir() and _by_ending(path.name, folder=True) is not None)


def ending_of(name: str) -> str:
    """The longest known ending of a name, as it is spelt; else what comes after its last dot.

    >>> ending_of("a.b.nii.gz"), ending_of("a/b.OME.TIF"), ending_of("a.txt"), ending_of("a")
    ('.nii.gz', '.OME.TIF', '.txt', '')
    """
    longest = max((known for known in endings() if name.lower().endswith(known)), key=len, default="")
    return name[-len(longest) :] if longest else Path(name).suffix


def endings() -> list[str]:
    """All endings that are known, sorted."""
    return sorted({ending for member in Format.members().values() for ending in member.endings})


def _by_ending(name: str, folder: bool) -> Format | None:
    """The format with the longest ending that a name has."""
    known = _known_endings(tuple(Format.members().values()), folder)
    lower = name.lower()
    starts = (dot.start() for dot in re.finditer(r"\.", lower))
    return next((known[lower[start:]]() for start in starts if lower[start:] in known), None)


@lru_cache(maxsize=4)
def _known_endings(members: tuple[type[Format], ...], folder: bool) -> dict[str, type[Format]]:
    return {ending: member for member in members if member.folders == folder for ending in member.endings}


def walk(folder: Path) -> list[Path]:
    """Files below a folder in natural order of their paths (`2.png` before `10.png`), links followed, each folder once.

    Hidden files and folders are left out. Folders that are files of a format, such as those of zarr, count as files.
    Pipes, devices and sockets are named in the log and never opened, as reading them could wait for ever. Nothing is
    opened or asked of a file that the list of its folder tells.

    Raises:
        InputError: Naming a folder that cannot be listed.
    """
    found: list[tuple[_Key, str]] = []
    seen: set[str] = set()
    left: list[tuple[str, _Key]] = [(str(folder), ())]
    with stage(f"listing {str(folder)!r}"):
        while left:
            root, above = left.pop()
            # A link to a folder above would otherwise be walked again and again.
            resolved = os.path.realpath(root)
            if resolved in seen:
                continue
            seen.add(resolved)
            inner = []
            for entry in _entries(root):
                if _is_folder(entry):
                    inner.append(entry)
                elif not _is_special(entry):
                    found.append(((*above, _pieces(entry.name)), entry.path))
            inner.sort(key=lambda entry: entry.name, reverse=True)
            left += [(entry.path, (*above, _pieces(entry.name))) for entry in inner]
        return [Path(path) for _, path in sorted(found)]


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder and not hidden."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot list {str(error.filename)!r}: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether there are files in it, which are not those of a format."""
    try:
        return entry.is_dir() and _by_ending(entry.name, folder=True) is None
    except OSError:  # of a link that leads nowhere, for whoever opens it
        return False


def natural(path: Path) -> tuple[object, ...]:
    """A key for sorting by which numbers in names count as numbers.

    >>> sorted([Path("b/1"), Path("a10.png"), Path("a9.png"), Path("a09.png")], key=natural)
    [PosixPath('a09.png'), PosixPath('a9.png'), PosixPath('a10.png'), PosixPath('b/1')]
    """
    return tuple(_pieces(part) for part in path.parts), str(path)


def _pieces(name: str) -> _Pieces:
    """Numbers and what is between them; numbers come first, as digits come before letters."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces)


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether reading it could wait for ever; it is named then. What cannot be told is for whoever opens it."""
    try:
        kind = None if entry.is_file() or entry.is_dir() else special(entry.path)
    except OSError:
        return False
    if kind is not None:
        logger.warning("%r is left out: it is %s", entry.path, kind)
    return kind is not None
