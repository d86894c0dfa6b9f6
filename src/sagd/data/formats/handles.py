"""Files that stay open from one reading to the next: opening one may take longer than reading a part of it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final

T = TypeVar("T")

_MOST = 32
"""Files that are open without being read, at most."""


@dataclass(frozen=True)
class _Handle:
    """An open file: what tells whether it is still that of the path, in which process it was opened, how it ends."""

    key: tuple[Any, ...]
    file: Any
    ends: ExitStack


@final
class Handles:
    """Files that were read last, open; several threads may share them, each has those to itself that it reads.

    They are closed when nobody holds this any longer. Copies and other processes have none to begin with.

    Args:
        most: How many stay open beside those that are being read.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most, self._free, self._lock = most, list[_Handle](), threading.Lock()
        weakref.finalize(self, _close_all, self._free)

    def __reduce__(self) -> tuple[Any, ...]:
        return Handles, (self._most,)

    def __len__(self) -> int:
        return len(self._free)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Context in which `opened` takes files from here, and gives them back."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextmanager
    def lent(self, path: Path, opening: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """A file, opened unless it is here already; closed if reading fails."""
        is_now = path.stat()
        key = (path, opening.__qualname__, os.getpid(), is_now.st_ino, is_now.st_size, is_now.st_mtime_ns)
        handle = self._taken(key) or _open(key, opening)
        try:
            yield handle.file
        except BaseException:
            handle.ends.close()
            raise
        with self._lock:
            self._free.append(handle)
            spare = self._free[: -self._most]
            del self._free[: -self._most]
        _close_all(spare)

    def _taken(self, key: tuple[Any, ...]) -> _Handle | None:
        with self._lock:
            at = next((i for i, handle in enumerate(self._free) if handle.key == key), None)
            return None if at is None else self._free.pop(at)


_current: ContextVar[Handles | None] = ContextVar("handles", default=None)


@contextmanager
def opened(path: Path, opening: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """An open file, which stays open where somebody keeps `Handles`; nothing that is read may change it.

    Args:
        path: The file or folder.
        opening: Opens it; of one place in the code for one way of opening.
    """
    handles = _current.get()
    with opening() if handles is None else handles.lent(path, opening) as file:
        yield file


def _open(key: tuple[Any, ...], opening: Callable[[], AbstractContextManager[Any]]) -> _Handle:
    ends = ExitStack()
    return _Handle(key, ends.enter_context(opening()), ends)


def _close_all(handles: list[_Handle]) -> None:
    while handles:
        handles.pop().ends.close()
