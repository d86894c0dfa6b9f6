"""What long work tells while it goes on: a bar on a terminal, lines at growing intervals in a log; of quick work
nothing.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar, final

from tqdm import tqdm

from sagd.terminal import duration

logger = logging.getLogger(__name__)

T = TypeVar("T")

SHORT = 2.0
"""Seconds of work that are done without a word."""
_GROWTH = 1.6
"""Ratio of the times of two lines."""


@final
class Count:
    """Context of work that is counted.

    Args:
        total: How many items there are.
        task: What is done, as in "sampling".
        unit: What items are called.
        shown: Whether to say anything.
    """

    def __init__(self, total: int, task: str, unit: str, shown: bool = True) -> None:
        # None: no bar where the output is not a terminal.
        self._bar = tqdm(total=total, desc=task, unit=unit, delay=SHORT, disable=None if shown else True, leave=False)
        self._total, self._task, self._unit = total, task, unit
        self._logs = shown and not sys.stderr.isatty()
        self._done, self._start, self._wait = 0, time.monotonic(), SHORT
        self._context = contextlib.ExitStack()

    def __enter__(self) -> Count:
        if self._logs or not self._bar.disable:
            self._context.enter_context(_later(self._say if self._logs else self._show))
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()
        self._bar.close()

    def done(self, count: int = 1) -> None:
        """Count items that are done."""
        self._done += count
        self._bar.update(count)
        if self._logs and time.monotonic() - self._start >= self._wait:
            self._context.close()
            self._say()

    def _show(self) -> None:
        """The bar of work whose first item takes long."""
        self._bar.delay = 0
        self._bar.refresh()

    def _say(self) -> None:
        if self._done >= self._total:
            return
        spent = time.monotonic() - self._start
        left = f", about {duration(spent / self._done * (self._total - self._done))} left" if self._done else ""
        logger.info("%s: %s of %s %s%s", self._task, f"{self._done:,}", f"{self._total:,}", self._unit, left)
        self._wait = max(SHORT, _GROWTH * spent)


def counting(total: int, task: str, unit: str, progress: bool | Count) -> AbstractContextManager[Count]:
    """A count of its own, shown or not, or the one that counts all of the work; other arguments as of `Count`."""
    return Count(total, task, unit, progress) if isinstance(progress, bool) else contextlib.nullcontext(progress)


def counted(items: Sequence[T], task: str, unit: str, shown: bool = True) -> Iterator[T]:
    """The items one by one; arguments as of `Count`."""
    with Count(len(items), task, unit, shown) as count:
        for item in items:
            yield item
            count.done()


@contextlib.contextmanager
def stage(task: str, shown: bool = True, barred: bool = False) -> Iterator[None]:
    """Context of work whose steps nobody counts: a line that names it, once it has taken two seconds.

    Args:
        task: What is done, as in "reading the model".
        shown: Whether to say anything.
        barred: Whether the work shows a bar on a terminal, so that the line belongs in logs alone.
    """
    hidden = not shown or (barred and sys.stderr.isatty())
    with contextlib.nullcontext() if hidden else _later(lambda: logger.info("%s ...", task)):
        yield


@contextlib.contextmanager
def _later(say: Callable[[], None]) -> Iterator[None]:
    """Context in which something is said if it lasts longer than what is done without a word."""
    timer = threading.Timer(SHORT, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
