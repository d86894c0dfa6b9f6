"""The directory that a command writes into, which one command at a time may hold."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from sagd.errors import InputError, argument

LOCK = ".lock"
"""The only file that a directory holds besides results; it is there while a command works, or after one was killed."""

# Each time, another command must have ended between two system calls.
_TRIES = 100
_LONGEST = 32
"""Bytes of a process number."""
_NO_FOLDER = {errno.EEXIST: "it is no folder", errno.ENOTDIR: "a part of this path is no folder"}
"""What numbers of errors mean here."""
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Refuses a link; Windows has no such flag, and lets only administrators make links."""


@contextlib.contextmanager
def claim(out: Path, empty: bool = True, advice: str | None = None) -> Iterator[None]:
    """Hold the directory `out`, made if missing, for this process alone.

    The lock is the operating system's, so that it ends with the process that holds it. Where a file system has none, or
    the system has no `flock` (Windows), a warning says so.

    Args:
        out: Directory.
        empty: Refuse a directory that holds something.
        advice: What to do about one that does; default: choose another.

    Raises:
        InputError: If another process holds it, it cannot be written, or it should be empty and is not.
    """
    made = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    try:
        with _locked(out):
            if empty and _holds_something(out):
                raise InputError(f"{str(out)!r} is not empty; {advice or _another()}")
            yield
    except BaseException:
        # What was refused or stopped before it wrote leaves nothing behind.
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _holds_something(out: Path) -> bool:
    with _writable(out):
        return any(entry.name != LOCK for entry in out.iterdir())


def _another() -> str:
    return f"choose another {argument('out')}"


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    path = out / LOCK
    lock = _open(path)
    try:
        with _writable(out):
            os.ftruncate(lock, 0)
            os.lseek(lock, 0, os.SEEK_SET)
            os.write(lock, f"{os.getpid()}\n".encode())
        yield
    finally:
        try:
            _release(lock, path)
        except BaseException:  # a signal just now
            with contextlib.suppress(OSError):
                if _is_at(lock, path):
                    path.unlink()
            raise


def _release(lock: int, path: Path) -> None:
    """Remove the lock file and close it."""
    left = False
    with contextlib.suppress(OSError):
        left = _is_at(lock, path)
        if left:
            # Still locked: whoever has opened the file meanwhile will see that it is no longer the one at its path.
            path.unlink()
            left = False
    os.close(lock)
    with contextlib.suppress(OSError):
        if left:  # Windows removes no file that is open
            path.unlink()


def _open(path: Path) -> int:
    """Descriptor of the lock file, locked."""
    for _ in range(_TRIES):
        with _writable(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o666)
        _require_own(lock, path)
        try:
            _lock(lock)
        except BlockingIOError:
            _refuse(lock, path.parent)
        except OSError as error:
            where, why = repr(str(path.parent)), error.strerror or str(error)
            warnings.warn(f"{where} cannot be locked ({why}); let no other command write there", stacklevel=6)
            return lock
        if _is_at(lock, path):
            return lock
        os.close(lock)
    raise InputError(f"{str(path.parent)!r} cannot be locked: {LOCK} keeps changing; {_another()}")


def _lock(lock: int) -> None:
    """Lock a file for this process, or raise an OSError: BlockingIOError if another process has it."""
    try:
        import fcntl
    except ImportError:
        raise OSError("this system has no flock") from None
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read(lock: int) -> bytes:
    os.lseek(lock, 0, os.SEEK_SET)
    return os.read(lock, _LONGEST)


def _require_own(lock: int, path: Path) -> None:
    """Leave a file alone that is named as a lock and is something else: ours hold a process number or nothing."""
    status = os.fstat(lock)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST or not re.fullmatch(rb"\d*\s*", _read(lock)):
        os.close(lock)
        raise InputError(f"{str(path)!r} is no lock of sagd; move it away, or {_another()}")


def _refuse(lock: int, out: Path) -> None:
    holder = _read(lock).decode(errors="replace").strip()
    os.close(lock)
    process = f" (process {holder})" if holder else ""
    raise InputError(f"another run{process} is writing in {str(out)!r}; wait, or {_another()}")


def _is_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = _NO_FOLDER.get(error.errno or 0, error.strerror)
        raise InputError(f"cannot write in {str(out)!r}: {why}; {_another()}") from None
