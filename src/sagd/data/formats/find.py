"""Which format a file is of, and which files lie below a folder."""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from sagd.data.formats.base import Format
from sagd.errors import InputError

logger = logging.getLogger(__name__)

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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
    lower = name.lower()
    fits = [
        (len(ending), member)
        for member in Format.members().values()
        if member.folders == folder
        for ending in member.endings
        if lower.endswith(ending)
    ]
    return max(fits, key=lambda fit: fit[0])[1]() if fits else None


def walk(folder: Path) -> list[Path]:
    """Files below a folder in natural order of their paths (`2.png` before `10.png`), links followed, each folder once.

    Hidden files and folders are left out. Folders that are files of a format, such as those of zarr, count as files.
    Pipes, devices and sockets are named in the log and never opened, as reading them could wait for ever.

    Raises:
        InputError: Naming a folder that cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise InputError(f"cannot list {str(error.filename)!r}: {error.strerror}")

    found: list[Path] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        # A link to a folder above would otherwise be walked again and again.
        resolved = os.path.realpath(root)
        if resolved in seen:
            folders.clear()
            continue
        seen.add(resolved)
        whole = {name for name in folders if _by_ending(name, folder=True) is not None}
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in whole)
        paths = [Path(root, name) for name in (*files, *whole) if not name.startswith(".")]
        found += [path for path in paths if not _is_special(path)]
    return sorted(found, key=lambda path: natural(path.relative_to(folder)))


def natural(path: Path) -> tuple[object, ...]:
    """A key for sorting by which numbers in names count as numbers.

    >>> sorted([Path("b/1"), Path("a10.png"), Path("a9.png"), Path("a09.png")], key=natural)
    [PosixPath('a09.png'), PosixPath('a9.png'), PosixPath('a10.png'), PosixPath('b/1')]
    """
    return tuple(_pieces(part) for part in path.parts), str(path)


def _pieces(name: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers and what is between them; numbers come first, as digits come before letters."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces)


def _is_special(path: Path) -> bool:
    """Whether reading a path could wait for ever; it is named then. What cannot be told is for whoever opens it."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return False
    if kind in _SPECIAL:
        logger.warning("%r is left out: it is %s", str(path), _SPECIAL[kind])
    return kind in _SPECIAL
