"""Errors that users meet: each message is one line naming what was wrong, the value, and what would work.

Messages name arguments as Python does. Who calls them otherwise, as the command line and configurations do, says so by
`calling`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

_MOST, _START, _END = 600, 400, 150
"""Characters of a message, and those that stay at its ends if it is longer: values can be of any length."""
_LONGEST = 160
"""Characters of a text of others that a message quotes."""

_CALLED: ContextVar[Mapping[str, str]] = ContextVar("called", default=MappingProxyType({}))
"""What arguments are called, by what Python calls them."""


def argument(name: str) -> str:
    """An argument, or an argument and its value, as whoever reads the message would write it.

    >>> argument("resume=True")
    'resume=True'
    >>> with calling({"resume=True": "--resume"}):
    ...     argument("resume=True"), argument("lr")
    ('--resume', 'lr')
    """
    return _CALLED.get().get(name, name)


def check_whole(name: str, value: object, least: int = 0, most: int | None = None) -> None:
    """Refuse what is no whole number, or one out of bounds; before memory is taken for so many.

    >>> check_whole("steps", 10**10, 1, 100_000)
    Traceback (most recent call last):
    sagd.errors.InputError: steps must be at most 100,000, got 10000000000

    Args:
        name: What Python calls it.
        value: Its value.
        least: The smallest that works.
        most: The largest; default: any.

    Raises:
        InputError: Naming it.
    """
    if type(value) is not int or value < least:
        whole = "" if type(value) is int else " and whole"
        raise InputError(f"{argument(name)} must be at least {least}{whole}, got {value!r}")
    if most is not None and value > most:
        raise InputError(f"{argument(name)} must be at most {most:,}, got {value}")


_LEAST_SQUARED, _MOST_SQUARED = 1e-140, 1e140
"""Differences between which sums of squares stay within what double precision holds."""


def check_squares(what: str, largest: float) -> None:
    """Refuse values of which double precision holds no powers: these would be 0, or infinite.

    >>> check_squares("values", 1e-200)
    Traceback (most recent call last):
    sagd.errors.InputError: values vary by 1e-200 at most, whose square double precision does not hold; divide them by \
1e-200

    Args:
        what: What they are called.
        largest: How far they are apart, at most; 0 passes.

    Raises:
        InputError: If that is too much or too little.
    """
    if not largest < _MOST_SQUARED:
        raise InputError(
            f"{what} vary by more than {_MOST_SQUARED:.0e}, whose square double precision does not hold; divide them,"
            " or make values that stand for missing ones NaN"
        )
    if 0 < largest < _LEAST_SQUARED:
        raise InputError(
            f"{what} vary by {largest:.3g} at most, whose square double precision does not hold; divide them by"
            f" {largest:.0e}"
        )


def called() -> dict[str, str]:
    """What arguments are called here, by what Python calls them: for processes that begin with none of it."""
    return dict(_CALLED.get())


@contextlib.contextmanager
def calling(names: Mapping[str, str]) -> Iterator[None]:
    """Context in which messages call arguments otherwise, beside what they are called already.

    Args:
        names: What they are called, by what Python calls them.
    """
    before = _CALLED.set({**_CALLED.get(), **names})
    try:
        yield
    finally:
        _CALLED.reset(before)


def one_line(text: object) -> str:
    """Text of others as a part of a message: without line breaks, and cut where it is long; of an error, its kind if it
    says nothing.

    >>> one_line("two\\nlines"), one_line(ValueError())
    ('two lines', 'ValueError')
    """
    words = " ".join(str(text).split()) or type(text).__name__
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."


def failures(failed: Iterable[tuple[str, str]], count: int, done: str) -> str:
    """A sentence about files that something could not be done with, of so many; a reason that several have, once.

    Args:
        failed: Names, and why.
        count: How many files there are.
        done: What could not be done with them, as in "cleaned".

    >>> failures([("a", "it is cut off"), ("b", "no image"), ("a", "it is cut off")], 5, "read")
    '3 of 5 file(s) could not be read: a and 1 more: it is cut off; b: no image'
    """
    alike: dict[str, list[str]] = {}
    for name, why in failed:
        alike.setdefault(why, []).append(name)
    more = (f"{names[0]} and {len(names) - 1} more" if names[1:] else names[0] for names in alike.values())
    listed = "; ".join(f"{names}: {why}" for names, why in zip(more, alike, strict=True))
    return f"{sum(map(len, alike.values()))} of {count} file(s) could not be {done}: {listed}"


_MEMORY = ("can't allocate memory", "out of memory", "alloc_cpu")
"""What torch says, in errors of no kind of their own, where memory is too small."""


def beyond(error: Exception) -> str | None:
    """What an error of system or machine says, in a line: a path that cannot be used, a value that is too large, memory
    that is too small; None if it is one of the program's own.

    >>> beyond(FileNotFoundError(2, "No such file or directory", "a.png"))
    "cannot use 'a.png': No such file or directory"
    """
    if isinstance(error, OSError):
        where = ", ".join(repr(str(name)) for name in (error.filename, error.filename2) if name is not None)
        why = one_line(error.strerror or error)
        return f"cannot use {where}: {why}" if where else f"the system refused: {why}"
    if isinstance(error, UnicodeError):
        text = one_line(repr(error.object)) if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else ""
        return f"text {text} cannot be used: {one_line(error)}; write it in UTF-8"
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _MEMORY):
        return f"the memory is too small: {one_line(error)}; lower sizes of batches, data or network"
    if isinstance(error, RecursionError):
        return f"nested too deeply: {one_line(error)}; write it flatter"
    return f"a number is too large: {one_line(error)}" if isinstance(error, OverflowError) else None


class InputError(ValueError):
    """An input from outside (argument, file, configuration) cannot be used. The command line exits with 2.

    The message is one line. What is left out of a long one is said in its middle, so that the cure at its end stays.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())
        if len(line) > _MOST:
            left_out = len(line) - _START - _END
            line = f"{line[:_START]} ... ({left_out} characters left out) ... {line[-_END:]}"
        super().__init__(line)


class TooFewError(InputError):
    """There is one item where a set has two at least."""


class SingularCovarianceError(InputError):
    """An inverse or log-determinant of a covariance with empty bands was asked for."""


class ProcessMismatchError(InputError):
    """A model was asked to sample with another forward process than the one it was trained with."""


class DataMismatchError(InputError):
    """A run was asked to go on with other data than it was started with."""


class CheckpointError(InputError):
    """A checkpoint or model directory is missing, damaged or of another run."""


class DivergenceError(RuntimeError):
    """Training produced a non-finite loss or gradient. The command line exits with 3."""

    def __init__(self, step: int, value: float, quantity: str = "loss") -> None:
        super().__init__(
            f"{quantity} became {value} at step {step}; lower {argument('lr')} or raise {argument('warmup_steps')}"
        )
        self.step = step
        self.value = value
