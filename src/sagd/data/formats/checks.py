"""What all formats refuse, and how: damaged files, parts outside of arrays, values that are no real numbers."""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sagd.errors import InputError, one_line
from sagd.paths import special
from sagd.signatures import content_of, misnamed

_DEFLATED = 1032
_CUT = ("HDF error", "truncated file")
"""What libraries say of files that end too early."""
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Numbers of errors of disks, which libraries tell by their texts."""
_ENDING = 16
"""Characters of a name that hold its ending, however long the rest is."""
_SMALL = 2**16
"""Bytes of a file below which nothing is said of its packing: memory for as much is always there."""


def present(path: Path, folder: bool) -> None:
    """Refuse what is missing, empty, a folder that should be a file or the reverse, or a pipe, device or socket.

    Raises:
        InputError: In one line, without the path.
    """
    try:
        found, size = special(path), path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {_reason(error, path)}") from None
    if folder != path.is_dir():
        raise InputError("is no folder" if folder else "is a folder, where a file is needed")
    if folder:
        return
    if found is not None:
        raise InputError(f"is {found}, which may never end; a file is needed")
    if size == 0:
        raise InputError("is empty: it has no bytes")


@contextmanager
def decoding(called: str, path: Path) -> Iterator[None]:
    """Errors of decoders, which on damaged files are of every kind, as one line; a lack of memory stays one."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = _reason(error, path)
        if misnamed(path):
            said = f"its content is that of a {content_of(path)} file; give it the ending of one"
            raise InputError(f"cannot be read as {called}: {said}") from None
        cut = "; it is probably cut short" if any(sign in reason for sign in _CUT) else ""
        raise InputError(f"cannot be read as {called}: {reason}{cut}") from None


@contextmanager
def encoding(called: str, path: Path) -> Iterator[None]:
    """The same of encoders; what a disk refuses stays an OSError, for whoever knows the name of the file."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = _reason(error, path)
        refused = next((number for number in _REFUSED if os.strerror(number) in reason), None)
        if refused is not None:
            raise OSError(refused, os.strerror(refused)) from None
        raise InputError(f"cannot be written as {called}: {reason}") from None


def _reason(error: Exception, path: Path) -> str:
    """What an error says, without the path that it brings along."""
    if said := getattr(error, "strerror", None):  # of films, too, whose errors are none of the system
        return one_line(said)
    text = str(error) or type(error).__name__
    for name in (repr(os.fsencode(path)), repr(str(path)), repr(path), str(path)):
        text = text.replace(name, "the file")
    return one_line(re.sub(r"(?i)\b(image )?file the file\b", "the file", text))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` and with its ending, which becomes `path` if all went well, and is removed otherwise.

    A file of that name is replaced; a folder must be empty or not there. The name beside it is short, so that it fits
    wherever `path` does.
    """
    ending = path.name[max(0, len(path.name) - _ENDING) :]
    ending = ending[ending.find(".") :] if "." in ending else ""
    new = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}{ending}")
    try:
        yield new
        with encoding("a file", path):
            new.replace(path)
    finally:
        if new.is_dir():
            shutil.rmtree(new)
        else:
            new.unlink(missing_ok=True)


def numeric(dtype: np.dtype) -> None:
    """Refuse values that are no real numbers of at most 64 bits.

    Raises:
        InputError: If they are something else.
    """
    if dtype.kind == "c":
        raise InputError(
            f"holds complex numbers ({dtype}); save real and imaginary part, or amplitude and phase, as real ones"
        )
    if not is_numeric(dtype):
        raise InputError(
            f"holds values of type {one_line(dtype)}; whole numbers, floating point or booleans are needed"
        )


def is_numeric(dtype: np.dtype) -> bool:
    """Whether a type is one of real numbers of at most 64 bits, or booleans."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def part_of(shape: Sequence[int], region: Sequence[slice] | None) -> tuple[slice, ...]:
    """A region with its bounds spelt out; None is all.

    >>> part_of((4, 5), (slice(1, None), slice(-2, None, 2)))
    (slice(1, 4, 1), slice(3, 5, 2))

    Raises:
        InputError: If it has not a slice for each axis, goes backwards, or has nothing in it.
    """
    if region is None:
        return tuple(slice(0, n, 1) for n in shape)
    if len(region) != len(shape):
        raise InputError(f"a region has a slice for each of the {len(shape)} axes, got {len(region)}")
    part = tuple(slice(*s.indices(n)) for s, n in zip(region, shape, strict=True))
    if any(s.step < 1 or s.stop <= s.start for s in part):
        raise InputError(f"the region {_spelt(region)} has no values in an array of shape {tuple(shape)}")
    return part


def _spelt(region: Sequence[slice]) -> str:
    return "[" + ", ".join(f"{s.start}:{s.stop}:{s.step}".replace("None", "") for s in region) + "]"


def bytes_of(region: Sequence[slice], dtype: str) -> int:
    """Bytes of the values of a region whose bounds are spelt out."""
    return math.prod(len(range(s.start, s.stop, s.step)) for s in region) * np.dtype(dtype).itemsize


def first_of(region: tuple[slice, ...], axis: int = 0) -> tuple[slice, tuple[slice, ...]]:
    """A region as the slice of one axis from its start to its stop, and the slices left to be taken of that."""
    taken = region[axis]
    rest = slice(0, taken.stop - taken.start, taken.step)
    return slice(taken.start, taken.stop), (*region[:axis], rest, *region[axis + 1 :])


def holds_bytes(size: int, needed: int) -> None:
    """Refuse a header that promises more than the file has, before memory is taken for it.

    Raises:
        InputError: If it does.
    """
    if needed > size:
        raise InputError(f"its header promises {needed} bytes of values, {max(0, size)} are there; it is cut short")


def holds_packed(size: int, needed: int) -> None:
    """The same of compressed values, of which Deflate makes at most 1,032 bytes of one.

    Raises:
        InputError: If even that is too little.
    """
    if needed > _DEFLATED * max(size, _SMALL):
        raise InputError(f"its header promises {needed} bytes of values, more than {size} bytes hold, however packed")


def arranged(values: np.ndarray, axes: str, *wanted: str) -> tuple[np.ndarray, str]:
    """Values with their axes in one of the orders that a format knows; axes of length 1 that it has not are left out.

    >>> arranged(np.zeros((1, 3, 4, 5)), "TCYX", "YX", "YXC")[0].shape
    (4, 5, 3)

    Args:
        values: An array.
        axes: Letters of its axes.
        wanted: Letters that the format can hold, the best first.

    Returns:
        The array and its letters.

    Raises:
        InputError: If there is no such order.
    """
    long = "".join(letter for letter, n in zip(axes, values.shape, strict=True) if n > 1)
    for order in wanted:
        spare = set(axes) - set(order)
        if len(set(axes)) == len(axes) and set(order) <= set(axes) and not spare & set(long):
            squeezed = values.squeeze(tuple(axes.index(letter) for letter in spare))
            kept = "".join(letter for letter in axes if letter in order)
            return squeezed.transpose([kept.index(letter) for letter in order]), order
    raise InputError(
        f"axes {axes!r} of shape {values.shape} cannot be written so; it takes {' or '.join(map(repr, wanted))}"
    )


def typed(values: np.ndarray, *names: str) -> None:
    """Refuse values of a type that a format cannot hold.

    Raises:
        InputError: If their type is not among the names.
    """
    if values.dtype.name not in names:
        raise InputError(f"{values.dtype.name} values cannot be written so; it takes {', '.join(names)}")


def full_scale(dtype: np.dtype) -> tuple[float, float] | None:
    """Black and white of pictures: the range of 1, 8 and 16 bits without sign; None of other numbers."""
    if dtype.kind == "b":
        return (0, 1)
    return (0, int(np.iinfo(dtype).max)) if dtype.name in ("uint8", "uint16") else None
