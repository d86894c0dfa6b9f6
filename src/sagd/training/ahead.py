"""Reading what the next step needs while this one computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

RUN = 8
"""Items that a thread reads before it looks whether they are still wanted."""


@final
class Ahead:
    """Items by number, of which those that are wanted next are read by threads meanwhile: one batch at a time.

    What reads them must draw from no global generator, since these are the process's: a thread would disturb the draws
    of all others, and be disturbed by them.

    Args:
        read: Gives tensors `(B, ...)` of the items of numbers `(B,)`; called by threads, with a few numbers in
            ascending order, so that neighbours in a file are read one after the other.
        threads: How many threads, at most.
    """

    def __init__(self, read: Callable[[Tensor], tuple[Tensor, ...]], threads: int = 1) -> None:
        self._read, self._threads = read, threads
        self._pool: ThreadPoolExecutor | None = None
        self._begun = _Begun(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), deque())

    def begin(self, indices: Tensor) -> None:
        """Begin to read the items of numbers `(B,)`; what was begun before and not taken is given up."""
        self._begun.give_up()
        self._pool = self._pool or ThreadPoolExecutor(self._threads, "sagd-ahead")
        order = indices.argsort()
        runs = indices[order].split(RUN)
        self._begun = _Begun(indices, order, deque(self._pool.submit(self._read, run) for run in runs))

    def take(self, indices: Tensor) -> tuple[Tensor, ...]:
        """What was read of the items of numbers `(B,)`, `B > 0`, which is begun now if it was not before.

        Raises:
            Exception: What reading raised, of the first item by number that cannot be read.
        """
        if not (self._begun.parts and torch.equal(self._begun.indices, indices)):
            self.begin(indices)
        begun = self._begun
        whole: tuple[Tensor, ...] = ()
        try:
            for places in begun.order.split(RUN):
                parts = begun.parts.popleft().result()
                whole = whole or tuple(part.new_empty(len(indices), *part.shape[1:]) for part in parts)
                for out, part in zip(whole, parts, strict=True):
                    out[places] = part
        finally:
            begun.give_up()
        return whole

    def close(self) -> None:
        """End the threads, once each has read the few items that it is at; whoever takes or begins anew has others."""
        self._begun.give_up()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


@dataclass(frozen=True)
class _Begun:
    """A batch that threads read: its numbers, their order by number, and what comes of each run of them."""

    indices: Tensor
    order: Tensor
    parts: deque[Future[tuple[Tensor, ...]]]

    def give_up(self) -> None:
        for future in self.parts:
            future.cancel()
        self.parts.clear()
