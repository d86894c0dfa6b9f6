"""Text on standard output and standard error, whatever state these are in.

Under torchrun, where every process gets here alike, only the first one speaks.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import math
import os
import re
import sys
import unicodedata
from collections.abc import Iterator

# What stands for characters that have no accent to lose.
_LIKE = {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{PLUS-MINUS SIGN}": "+/-", "\N{MULTIPLICATION SIGN}": "x"}


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


class PrintError(Exception):
    """Standard output cannot be written: it is closed, or its disk is full."""


class _Closed(io.TextIOWrapper):
    """Stands for a standard output that was closed before the start."""


@contextlib.contextmanager
def legible() -> Iterator[None]:
    """Context in which any text can be printed: where a stream lacks a character, it shows others like it.

    Closed streams are opened for nothing, lest the next file get their number and be written into.
    """
    if sys.stdout is None:
        sys.stdout = _Closed(_nowhere(1), write_through=True)
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(_nowhere(2), write_through=True)
    before = [(s, s.errors) for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    for stream, _ in before:
        stream.reconfigure(errors="sagd.like")
    try:
        yield
    finally:
        for stream, errors in before:
            stream.reconfigure(errors=errors)


def say(text: str) -> None:
    """Print on standard output.

    Raises:
        PrintError: If that is impossible.
        BrokenPipeError: If its reader is gone.
    """
    if _first():
        with printing():
            print(harmless(text))


def tell(text: str) -> None:
    """Print on standard error, if that is possible."""
    if _first():
        with contextlib.suppress(OSError):
            print(harmless(text), file=sys.stderr)


def harmless(text: str) -> str:
    r"""Text that a terminal shows and does not obey: names of files may hold its control characters.

    >>> harmless("a\x1b[31m\n")
    'a\\x1b[31m\n'
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def flush() -> None:
    """Have all that was printed written; raises as `say`."""
    if isinstance(sys.stdout, _Closed):
        raise PrintError("standard output is closed")
    with printing():
        sys.stdout.flush()


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Context of what prints on standard output and does nothing else; raises as `say`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PrintError(error.strerror or str(error)) from None


def give_up() -> None:
    """Write no more to standard output: Python would complain again when it flushes at exit."""
    with contextlib.suppress(OSError):  # a stream of Python's own has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _nowhere(number: int) -> io.BufferedWriter:
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return io.BufferedWriter(io.FileIO(number, "w", closefd=False))


def _like(error: UnicodeError) -> tuple[str | bytes, int]:
    """ASCII for a character that a stream lacks; bytes of a file name that are no text stay as they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    plain = unicodedata.normalize("NFKD", _LIKE.get(character, character)).encode("ascii", "ignore").decode()
    return plain or "?", error.start + 1


codecs.register_error("sagd.like", _like)


def duration(seconds: float) -> str:
    """A time in the unit that people would use.

    >>> [duration(s) for s in (8.2, 100, 5000, 200000)]
    ['9 s', '1 min 40 s', '1 h 23 min', '2 d 7 h']
    """
    whole = math.ceil(seconds)
    for unit, below, size, small in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"
