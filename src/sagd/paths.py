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


_SIGNATURES = {
    b"\x89PNG": ("PNG", (".png", ".apng")),
    b"\xff\xd8\xff": ("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    b"GIF8": ("GIF", (".gif",)),
    b"II*\0": ("TIFF", (".tif", ".tiff", ".tf8", ".btf")),
    b"MM\0*": ("TIFF", (".tif", ".tiff", ".tf8", ".btf")),
    b"RIFF": ("WAV", (".wav", ".wave")),
    b"fLaC": ("FLAC", (".flac",)),
    b"\x93NUMPY": ("NumPy", (".npy",)),
    b"PK\x03\x04": ("ZIP", (".npz",)),
    b"\x1f\x8b": ("gzip", (".gz", ".mgz")),
    b"%PDF": ("PDF", (".pdf",)),
}
"""First bytes of files -> what these are called, and endings of their names."""


def misnamed(path: str | Path) -> str | None:
    """What a file holds that has the ending of another kind, and the ending it should have; None if nobody knows."""
    try:
        require_file(path)
        with Path(path).open("rb") as file:
            start = file.read(12)
    except OSError:
        return None
    kind, endings = next((told for first, told in _SIGNATURES.items() if start.startswith(first)), ("", ()))
    other = kind == "WAV" and not start.endswith(b"WAVE")
    if not kind or other or str(path).lower().endswith(endings):
        return None
    return f"its content is that of a {kind} file; name it {endings[0]}"


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
