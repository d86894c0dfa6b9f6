"""Randomness of training as a function of (seed, step, rank): a resumed run draws what an uninterrupted one would.

No generator is carried from step to step and none is saved: each use has streams of its own.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from sagd.data.dataset import ImageData
from sagd.random import generator_for


class Stream(IntEnum):
    """What random numbers are for: the second key after the seed.

    Part of what a seed means, so do not renumber. Beyond any sample number, since samples are keyed `(seed, index)`.
    """

    WEIGHTS = 2**32 - 1
    ORDER = 2**32 - 2
    FLIPS = 2**32 - 3
    NOISE = 2**32 - 4
    DROPOUT = 2**32 - 5
    BANDS = 2**32 - 6


class Batches:
    """The training batches of one process, by step.

    Epochs are random orders of the data, one after the other; step `k >= 1` takes places `(k-1) B ... k B - 1` of that
    endless sequence and each process its share of them, so every image is seen equally often.

    Args:
        data: Data set.
        batch_size: `B`, over all processes.
        seed: Seed of orders and flips.
        flip: Flip images left-right with probability 1/2.
        rank: Number of this process.
        world: Number of processes, a divisor of `B`.
    """

    def __init__(
        self, data: ImageData, batch_size: int, seed: int, flip: bool = False, rank: int = 0, world: int = 1
    ) -> None:
        self.data, self.batch_size, self.seed, self.flip = data, batch_size, seed, flip
        self.rank, self.share = rank, batch_size // world
        self._orders: dict[int, Tensor] = {}

    def __call__(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Images `(B / world, C, H, W)` and labels `(B / world,)` or None."""
        flips = None
        if self.flip:
            flips = torch.rand(self.share, generator=generator_for(self.seed, Stream.FLIPS, step, self.rank)) < 0.5
        return self.data.batch(self.indices(step), flips, draw=step)

    def indices(self, step: int) -> Tensor:
        """Which images step `step` takes, `(B / world,)`."""
        start = (step - 1) * self.batch_size + self.rank * self.share
        stop, parts = start + self.share, []
        while start < stop:
            epoch, place = divmod(start, len(self.data))
            parts.append(self._order(epoch)[place : place + stop - start])
            start += len(parts[-1])
        return torch.cat(parts)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            order = torch.randperm(len(self.data), generator=generator_for(self.seed, Stream.ORDER, epoch))
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {epoch: order}
        return self._orders[epoch]
