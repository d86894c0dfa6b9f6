"""What stands at a path, before anything is read there or written."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_NAME = 255
"""Bytes of a name that file systems take, nearly all of them."""
_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def special(path: str | Path) -> str | None:
    """What is no file at a path, and could be waited for without end: "a pipe", "a socket" or "a device"; else None.

    Raises:
        OSError: If there is nothing, or it may not be looked at.
    """
    return _SPECIAL.get(stat.S_IFMT(os.stat(path).st_mode))  # noqa: PTH116 - strings too


def require_file(path: str | Path) -> None:
    """Refuse pipes, sockets and devices, before they are opened; folders are for whoever opens them.

    Raises:
        OSError: Saying so, as opening would; likewise if there is nothing, or it may not be looked at.
    """
    try:
        found = special(path)
    except ValueError:  # of a NUL in the name
        raise OSError(errno.EINVAL, "no name of a file holds NUL", str(path)) from None
    if found is not None:
        raise OSError(errno.EINVAL, f"it is {found}, which may never end; a file is needed", str(path))


def read_bytes(path: str | Path) -> bytes:
    """Content of a file, which is one; raises as `require_file`."""
    require_file(path)
    return Path(path).read_bytes()


def read_text(path: str | Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Text of a file, which is one, its ends of lines as `\\n`; raises as `require_file`, and on other encodings."""
    require_file(path)
    return Path(path).read_text(encoding=encoding, errors=errors)


@contextmanager
def encodable(path: Path) -> Iterator[Path]:
    """The path, or a link to it if its name is no UTF-8, which some libraries need."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, "file" + path.suffix.encode("ascii", "ignore").decode())
            link.symlink_to(path.absolute())
            yield link
    else:
        yield path


def name_fault(name: str) -> str | None:
    """Why no file of a name, or of a path, can be made on usual file systems; None if it can.

    >>> name_fault("a" * 256 + "/b"), name_fault("a.png")
    ('a part of it has 256 bytes, file systems take 255', None)
    """
    if "\0" in name:
        return "it holds NUL"
    longest = max((len(os.fsencode(part)) for part in name.split("/")), default=0)
    return f"a part of it has {longest} bytes, file systems take {LONGEST_NAME}" if longest > LONGEST_NAME else None
