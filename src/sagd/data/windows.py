"""Windows of arrays in memory: at places of their own, or, while training, at random ones anew at each reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from sagd.random import Generator, rand


@final
@dataclass(frozen=True, eq=False)
class Windows:
    """Windows `(N, C, *size)`, cut whenever they are indexed; see `sagd.data.signals.OnDemand`.

    Attributes:
        arrays: `(C', *spatial)` each, of one type, uint8 or float32 as `Signals.stored` has them.
        size: Sides of windows, none longer than an array's.
        number: The array of each window, int64 `(N,)`.
        origin: Where it starts, int64 `(N, rank)`.
        roams: Whether a training takes windows at random places of these arrays instead.
        made: What is made of windows `(B, C', *size)` of the arrays; None: nothing.
        channels: `C`, of what is made; None: as the arrays have.
    """

    arrays: tuple[Tensor, ...]
    size: tuple[int, ...]
    number: Tensor
    origin: Tensor
    roams: bool = False
    made: Callable[[Tensor], Tensor] | None = None
    channels: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, C, *size)`."""
        return (len(self.number), self.channels or len(self.arrays[0]), *self.size)

    @property
    def threads(self) -> int:
        """One: nothing is read."""
        return 1

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Those of indices `(B,)` at their own places, `(B, C, *size)`."""
        return self._cut(self.number[indices], self.origin[indices])

    def drawn(self, indices: Tensor, generator: Generator) -> Tensor:
        """Likewise, each at a random place of its array, all of which are as likely."""
        number = self.number[indices]
        room = torch.tensor([self._room(array) for array in self.arrays])[number]
        return self._cut(number, (rand(room.shape, generator, torch.float64) * room).long())

    @property
    def places(self) -> int:
        """How many windows there are at all places."""
        return sum(math.prod(self._room(array)) for array in self.arrays)

    def line(self, items: Sequence[str]) -> str:
        """How many windows there are, for people.

        Args:
            items: What one array is called, and several.
        """
        several = f"{len(self.arrays)} {items[len(self.arrays) != 1]}"
        size = " x ".join(map(str, self.size))
        if not self.roams:
            return f"{len(self)} windows of {size} of {several}"
        return (
            f"{len(self)} windows of {size} half a window apart of {several}; training draws them anew from all"
            f" {self.places} places"
        )

    def _room(self, array: Tensor) -> list[int]:
        """Places along each axis at which a window may start."""
        return [side - n + 1 for side, n in zip(array.shape[1:], self.size, strict=True)]

    def _cut(self, number: Tensor, origin: Tensor) -> Tensor:
        cut = torch.stack(
            [
                self.arrays[k][(slice(None), *(slice(o, o + n) for o, n in zip(start, self.size, strict=True)))]
                for k, start in zip(number.tolist(), origin.tolist(), strict=True)
            ]
        )
        return cut if self.made is None else self.made(cut)
