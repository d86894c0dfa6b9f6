"""Which axes of a file's array number items, which is channels, and which are space, as a kind of signal sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sagd.data.formats import Contents, Region
from sagd.errors import InputError, argument

LETTERS = "NCTZYX"
"""Items, channels, time, space."""
_COLOURS = (1, 3, 4)
_STAND_IN = {"T": "NXZ", "Z": "NT", "Y": "", "X": "T"}
"""Letter that a kind needs and a file has not -> letters that may stand for it, in this order."""


class MissingAxisError(InputError):
    """An array lacks an axis that a kind of signal needs."""


@dataclass(frozen=True)
class Layout:
    """The axes of an array, sorted.

    Attributes:
        axes: A letter for each axis.
        spatial: Letters of space, in the order of the kind.
    """

    axes: str
    spatial: str

    @property
    def inner(self) -> str:
        """Letters of one item: the channel axis, if there is one, and space."""
        return ("C" if "C" in self.axes and "C" not in self.spatial else "") + self.spatial

    @property
    def outer(self) -> str:
        """Letters whose places number items."""
        return "".join(letter for letter in self.axes if letter not in self.inner)

    def count(self, shape: Sequence[int]) -> int:
        """Items in an array of a shape."""
        return math.prod(self._length(shape, letter) for letter in self.outer)

    def item_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """`(C, *spatial)` of the items of an array of a shape."""
        channels = self._length(shape, "C") if self.inner[0] == "C" else 1
        return (channels, *(self._length(shape, letter) for letter in self.spatial))

    def region(self, shape: Sequence[int], item: int, window: Sequence[slice] | None = None) -> Region:
        """The part of an array of a shape that holds an item, or a spatial window of it."""
        where = {letter: slice(None) for letter in self.inner}
        where |= dict(zip(self.spatial, window or (), strict=False))
        for letter in reversed(self.outer):
            item, place = divmod(item, self._length(shape, letter))
            where[letter] = slice(place, place + 1)
        return tuple(where[letter] for letter in self.axes)

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """The values of a region as `(C, *spatial)`."""
        order = [self.axes.index(letter) for letter in self.outer + self.inner]
        item = values.transpose(order).reshape([values.shape[i] for i in order[len(self.outer) :]])
        return item if self.inner[0] == "C" else item[None]

    def restored(self, item: np.ndarray, like: Sequence[int]) -> np.ndarray:
        """Inverse of `arranged`, for an array of the shape of `like` that holds one item."""
        order = [self.axes.index(letter) for letter in self.outer + self.inner]
        inner = item if self.inner[0] == "C" else item[0]
        full = inner.reshape([1] * len(self.outer) + list(inner.shape))
        return full.transpose(np.argsort(order)).reshape(like)

    def _length(self, shape: Sequence[int], letter: str) -> int:
        return shape[self.axes.index(letter)]


def layout_of(contents: Contents, spatial: str, given: str | None = None, coloured: bool = False) -> Layout:
    """The layout of an array as a kind of signal sees it.

    Args:
        contents: The array.
        spatial: Letters of space of the kind, in order.
        given: Letters for its axes that somebody chose, of which an array that holds one item may lack `N`, and one of
            one channel `C`; default: those of the file, and those that its shape suggests.
        coloured: Whether a last axis of 1, 3 or 4 may be colour.

    Raises:
        InputError: If the letters do not fit, or an axis that the kind needs is not there.
    """
    axes = contents.axes if given is None else _own(given, len(contents.shape))
    if given is not None:
        _check(axes, contents)
    elif "?" in axes:
        axes = suggested(contents.shape, spatial, coloured)
    for letter in spatial:
        if letter not in axes:
            axes = _with(letter, axes, spatial, contents)
    return Layout(axes, spatial)


def suggested(shape: Sequence[int], spatial: str, coloured: bool = False) -> str:
    """Letters for the axes of an array of which nothing is known but its shape.

    Space is last, but for colours (1, 3 or 4 of them) after it; a record is time by channels, as tables are, where it
    is longer than wide, and of several records likewise.

    >>> suggested((100, 28, 28), "YX"), suggested((100, 28, 28, 3), "YX", coloured=True), suggested((6000, 2), "T")
    ('NYX', 'NYXC', 'TC')
    >>> suggested((100, 2, 6000), "T"), suggested((100, 6000, 2), "T")
    ('NCT', 'NTC')

    Raises:
        InputError: If it has fewer axes than a kind of signal needs, or so many that their order is anybody's guess.
    """
    rank, more = len(spatial), len(shape) - len(spatial)
    if more < 0 or more > 2:
        raise InputError(
            f"an array of shape {tuple(shape)} does not say which of its axes are {', '.join(spatial)}; say it with"
            f" {argument('data.axes')}, a letter for each axis: N items, C channels, T time, Z Y X space"
        )
    if more == 0:
        return spatial
    if rank == 1:
        if more == 2:
            return f"N{spatial}C" if shape[1] > shape[2] else f"NC{spatial}"
        return f"{spatial}C" if shape[0] > shape[1] else f"N{spatial}"
    if coloured and shape[-1] in _COLOURS and more == 2:
        return f"N{spatial}C"
    if coloured and shape[-1] in _COLOURS[1:] and more == 1 and shape[0] > shape[-1]:
        return f"{spatial}C"
    return f"N{spatial}" if more == 1 else f"NC{spatial}"


def _own(given: str, rank: int) -> str:
    """The letters of an array of fewer axes than those that were given: it holds one item, or has one channel.

    >>> _own("NCYX", 3), _own("NCYX", 2), _own("TYX", 2)
    ('CYX', 'YX', 'TYX')
    """
    for letter in "NC":
        if len(given) > rank:
            given = given.replace(letter, "")
    return given


def _check(axes: str, contents: Contents) -> None:
    if len(axes) != len(contents.shape) or len(set(axes)) != len(axes) or not set(axes) <= set(LETTERS):
        raise InputError(
            f"data.axes {axes!r} must have a letter for each axis of the array of shape {contents.shape}, none twice:"
            " N items, C channels, T time, Z Y X space"
        )


def _with(letter: str, axes: str, spatial: str, contents: Contents) -> str:
    """The letters of a file, one of which stands for the one that the kind needs."""
    found = next((other for other in _STAND_IN[letter] if other in axes and other not in spatial), None)
    if found is None:
        raise MissingAxisError(
            f"an array of shape {contents.shape} with axes {axes} has no axis {letter}; say which are which with"
            f" {argument('data.axes')}, or name another {argument('data.kind')}"
        )
    return axes.replace(found, letter)
