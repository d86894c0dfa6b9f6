"""Windows of arrays in memory: at places of their own, or, while training, at random ones anew at each reading."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

    def scattered(self, count: int, generator: Generator) -> Windows:
        """So many that stay where they are, at random places, all of which are as likely."""
        rooms = torch.tensor([self._room(array) for array in self.arrays])
        until = rooms.prod(1).cumsum(0).double()
        draws = rand((count, 1 + len(self.size)), generator, torch.float64)
        number = torch.searchsorted(until, draws[:, 0] * until[-1], right=True)
        return replace(self, number=number, origin=(draws[:, 1:] * rooms[number]).long(), roams=False)

    def side_by_side(self) -> Windows:
        """As many as lie beside each other, without a value in common."""
        sides = [
            [range(0, room, n) for room, n in zip(self._room(array), self.size, strict=True)] for array in self.arrays
        ]
        places = [(k, *origin) for k, own in enumerate(sides) for origin in itertools.product(*own)]
        table = torch.tensor(places, dtype=torch.int64).reshape(-1, 1 + len(self.size))
        return replace(self, number=table[:, 0], origin=table[:, 1:], roams=False)

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
