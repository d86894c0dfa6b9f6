"""What sampling tells while it runs: a bar on a terminal, lines at growing intervals in a log."""

from __future__ import annotations

import logging
import sys
import time
from typing import final

from tqdm import tqdm

from sagd.terminal import duration

logger = logging.getLogger(__name__)

_FIRST, _GROWTH = 2.0, 1.6
"""Seconds to the first line, and the ratio of the times of two."""


@final
class Steps:
    """Context of steps that are counted.

    Args:
        total: How many there are.
        task: What is done, as in "sampling".
        shown: Whether to say anything.
    """

    def __init__(self, total: int, task: str, shown: bool) -> None:
        # None: no bar where the output is not a terminal.
        self._bar = tqdm(total=total, desc=task, disable=None if shown else True, leave=False)
        self._total, self._task, self._logs = total, task, shown and not sys.stderr.isatty()
        self._done, self._start, self._wait = 0, time.monotonic(), _FIRST

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def done(self) -> None:
        """Count a step."""
        self._done += 1
        self._bar.update()
        spent = time.monotonic() - self._start if self._logs else 0.0
        if self._logs and spent >= self._wait and self._done < self._total:
            left = duration(spent / self._done * (self._total - self._done))
            logger.info("%s: step %d of %d, about %s left", self._task, self._done, self._total, left)
            self._wait = _GROWTH * spent
