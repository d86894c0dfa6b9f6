"""Errors that users meet: each message is one line naming what was wrong, the value, and what would work.

Messages name arguments as Python does. Who calls them otherwise, as the command line and configurations do, says so by
`calling`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
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
