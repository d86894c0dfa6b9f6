"""Files that are changed as a whole and written as they came: read in blocks, where an array does not fit memory."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.fields import Part, Recent
from sagd.data.formats import Contents, Format, Step
from sagd.data.formats.find import ending_of, format_of
from sagd.data.formats.values import Loss, of_full_scale, to_type
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.sources.beside import beneath
from sagd.data.sources.choose import of_one_kind, part_of
from sagd.errors import InputError, argument
from sagd.noise.grid import Grid

LARGEST = 2**24
"""Values of an array that is read as a whole; larger ones are read in blocks of about as many."""
_OVERLAP = 16
"""Share of a block that it has in common with the next, as one in so many."""
_LEAST = 64
"""Samples of a block along the axis that is cut, at least."""

Block = tuple[slice, ...]
Change = Callable[[int, Block], tuple[Tensor, Tensor]]
"""Values of a block of an item before and after, `(C, *spatial)`."""


@dataclass(frozen=True)
class Whole:
    """The arrays of a file, by item and block.

    Attributes:
        part: Its arrays.
        kind: Kind of signal.
        rate: Samples per second, where the file does not say.
    """

    part: Part
    kind: type[Kind]
    rate: float | None = None

    @classmethod
    def of(cls, path: Path, config: DataConfig) -> Whole:
        """The arrays of a file.

        Raises:
            InputError: If it cannot be read.
        """
        config = beneath(config, path)
        kind, _ = of_one_kind([path], config, repr(str(path)))
        try:
            return cls(part_of(path, kind(), config), kind, config.rate)
        except InputError as error:
            raise InputError(f"cannot read it: {error}") from None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)` of an item."""
        return self.part.shape

    @property
    def values(self) -> int:
        """Values of all items."""
        return self.part.count * math.prod(self.shape)

    @cached_property
    def narrow(self) -> bool:
        """Whether single precision holds all values of its types."""
        return all(fits_single(array.dtype) for array in self.part.arrays)

    @cached_property
    def steps(self) -> dict[str, Step]:
        """Distance of neighbours along the axes of space."""
        return self.part.steps(self.rate)

    @cached_property
    def grid(self) -> Grid | None:
        """The same, for frequencies in units."""
        return self._meaning((0.0,), (1.0,)).grid()

    def meaning_of(self, x: Tensor) -> Meaning:
        """What values mean, scaled as those of an item `(C, *spatial)` ask for."""
        array = self.part.arrays[0]
        own = x.numpy().astype(array.dtype) if np.dtype(array.dtype).kind in "ui" else x.numpy()
        return self._meaning(*self.kind().numbers([own], array))

    def _meaning(self, offset: tuple[float, ...], scale: tuple[float, ...]) -> Meaning:
        array, kind = self.part.arrays[0], self.kind
        told = (self.steps, array.quantity, self.part.channel_names(), array.dtype, array.limits, kind.ending)
        return Meaning(kind.kind, self.part.layout.spatial, offset, scale, *told)

    @cached_property
    def blocks(self) -> list[Block]:
        """Windows that cover an item: all of it, or overlapping blocks of one size along its longest axis."""
        spatial = self.shape[1:]
        every = tuple(slice(0, side) for side in spatial)
        if math.prod(self.shape) <= LARGEST:
            return [every]
        axis = max(range(len(spatial)), key=lambda a: spatial[a])
        side = min(spatial[axis], max(_LEAST, int(LARGEST * spatial[axis] / math.prod(self.shape))))
        count = -(-(spatial[axis] - side) // (side - side // _OVERLAP)) + 1
        starts = [round(k * (spatial[axis] - side) / max(count - 1, 1)) for k in range(count)]
        return [(*every[:axis], slice(start, start + side), *every[axis + 1 :]) for start in starts]

    def read(self, item: int, block: Sequence[slice] | None = None) -> Tensor:
        """An item, or a block of it, `(C, *spatial)`, float64."""
        if block is None or len(self.blocks) == 1 or self.part.format.streams:
            return torch.from_numpy(self.part.read(item, block).astype(np.float64))
        values = self._recent.whole((item,), lambda: self.part.read(item))
        return torch.from_numpy(values[(slice(None), *block)].astype(np.float64))

    @cached_property
    def _recent(self) -> Recent:
        """Items of formats that decode all of a file for each block."""
        return Recent()

    def changed(self, change: Change) -> Iterator[tuple[int, Block, Tensor, Tensor]]:
        """Number, place, and values before and after of parts that cover all items once.

        Where blocks overlap, one is blended into the next.
        """
        for item in range(self.part.count):
            if len(self.blocks) == 1:
                yield item, self.blocks[0], *change(item, self.blocks[0])
            else:
                yield from ((item, *part) for part in self._blended(item, change))

    def _blended(self, item: int, change: Change) -> Iterator[tuple[Block, Tensor, Tensor]]:
        axis = next(a for a, (one, two) in enumerate(zip(*self.blocks[:2], strict=True)) if one != two)
        tail: Tensor | None = None
        for k, block in enumerate(self.blocks):
            before, after = change(item, block)
            start, stop = block[axis].start, block[axis].stop
            if tail is not None:
                share = torch.linspace(0, 1, tail.shape[axis + 1] + 2, dtype=after.dtype)[1:-1]
                head = after.narrow(axis + 1, 0, tail.shape[axis + 1])
                head.copy_(torch.lerp(tail, head, share.reshape(-1, *(1,) * (after.ndim - axis - 2))))
            end = stop if k == len(self.blocks) - 1 else self.blocks[k + 1][axis].start
            tail = after.narrow(axis + 1, end - start, stop - end).clone()
            place = (*block[:axis], slice(start, end), *block[axis + 1 :])
            yield place, before.narrow(axis + 1, 0, end - start), after.narrow(axis + 1, 0, end - start)

    def write(self, path: Path, parts: Iterator[tuple[int, Block, Tensor]], keep: bool = False) -> tuple[Path, Loss]:
        """Write all items, in the format, type and with the metadata of the file.

        Arrays of one file that has several become files of their own. A format that loses something is left for one
        that does not.

        Args:
            path: Where a file of the same name would be; its folder is made.
            parts: Item, place and values `(C, *spatial)`, which cover everything once.
            keep: Write floating point, so that nothing is rounded or clipped.

        Returns:
            The first file, and what its type has left of the values.

        Raises:
            InputError: If the format cannot hold them.
        """
        like = [exact(array) if keep else array for array in self.part.arrays]
        ending = ending_beside(path, format_of(self.part.path), self.kind, keep)
        path = path.with_name(path.name.removesuffix(ending_of(path.name)) + ending)
        # Of sound in floating point the loudest is 1, whatever the whole numbers were.
        scaled = keep and format_of(path).full_scale
        path.parent.mkdir(parents=True, exist_ok=True)
        lost = Loss()
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            arrays = [_room(Path(folder) / str(k), array) for k, array in enumerate(like)]
            for item, block, x in parts:
                lost += self._put(arrays, like, item, block, x, scaled)
            written = [self._named(path, array) for array in like]
            for file, values, array in zip(written, arrays, like, strict=True):
                format_of(file).write(file, values, array)
        return written[0], lost

    def _put(
        self,
        arrays: Sequence[np.ndarray],
        like: Sequence[Contents],
        item: int,
        block: Sequence[slice],
        x: Tensor,
        scaled: bool,
    ) -> Loss:
        """Fill in a block; gives what is lost of it."""
        lost = Loss()
        for out, array, own, part in zip(arrays, like, self.part.arrays, x.chunk(len(arrays)), strict=True):
            region = self.part.layout.region(array.shape, item, block)
            limits = own.limits if np.dtype(own.dtype).kind in "iu" else None
            values = of_full_scale(part.numpy(), limits) if scaled and limits is not None else part.numpy()
            typed, clipped = to_type(values, array.dtype, array.limits)
            out[region] = self.part.layout.restored(typed, out[region].shape)
            lost += Loss.of(values, typed, clipped)
        return lost

    def _named(self, path: Path, array: Contents) -> Path:
        if len(self.part.arrays) == 1:
            return path
        ending = ending_of(path.name)
        return path.with_name(f"{path.name.removesuffix(ending)}-{array.name}{ending}")


def ending_beside(path: Path, found: Format, kind: type[Kind], keep: bool) -> str:
    """The ending of a new file beside one of a format: another where that loses something.

    Args:
        path: The file.
        found: Its format.
        kind: Kind of signal.
        keep: Whether values are floating point and to stay so.
    """
    own = ending_of(path.name)
    lossy = own.lower() in found.lossy
    if keep:
        return own if found.floats and not lossy else kind.exact
    return kind.ending if lossy else own


def exact(like: Contents) -> Contents:
    """The same in floating point, of no fewer digits than it has."""
    return replace(like, dtype="float32" if fits_single(like.dtype) else "float64", limits=None, exact=True)


def fits_single(dtype: str) -> bool:
    """Whether single precision holds all values of a type."""
    return bool(np.can_cast(np.dtype(dtype), np.float32))


def require_room(part: Part, folder: Path) -> None:
    """Refuse arrays, which are written by way of files as large as they are, that the disk has no room for.

    Args:
        part: The arrays.
        folder: Where they are to be written; it need not be there.

    Raises:
        InputError: If they are larger than what is free.
    """
    needed = sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in part.arrays if math.prod(a.shape) > LARGEST)
    where = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(where).free
    if needed > free:
        raise InputError(
            f"{str(part.path)!r} holds {needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free in"
            f" {str(where)!r}; choose another {argument('out')}, or give a part of it"
        )


def _room(path: Path, like: Contents) -> np.ndarray:
    """An array to fill: on the disk if it is large."""
    if math.prod(like.shape) <= LARGEST:
        return np.empty(like.shape, like.dtype)
    return np.memmap(path, like.dtype, "w+", shape=tuple(like.shape))
