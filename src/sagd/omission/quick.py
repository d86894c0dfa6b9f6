"""One thread for what is many small steps: threads that wait for each other, beside other programs on the same cores,
take many times as long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Lock

import torch

_SMALL = 2**22
"""Values below which an array is small."""


class _Inside:
    """Who is within the context, of all threads: torch has one number for all of those that are yet to begin, and one
    for each that has begun, so that what was usual is read by the first and put back by each."""

    def __init__(self) -> None:
        self.lock, self.count, self.usual = Lock(), 0, 0


_INSIDE = _Inside()


@contextlib.contextmanager
def quick_for(values: int) -> Iterator[None]:
    """Context of one thread for arrays of few values; may be entered by several threads, and again within itself.

    Args:
        values: Number of values.
    """
    if values >= _SMALL:
        yield
        return
    with _INSIDE.lock:
        if not _INSIDE.count:
            _INSIDE.usual = torch.get_num_threads()
        _INSIDE.count += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _INSIDE.lock:
            _INSIDE.count -= 1
            torch.set_num_threads(_INSIDE.usual)
