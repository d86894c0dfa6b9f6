"""Arrays larger than a model: overlapping windows, and what a model makes of them blended into one.

    y(x) = sum_k h(x - x_k) y_k(x - x_k) / sum_k h(x - x_k),    h(x) = prod_i sin^2(pi (x_i + 1/2) / n_i),

half a window apart, so that every place is near the middle of some window. Beyond its borders the array is reflected.

The mean of draws varies less than each: blended ones by `rho = sum_k h^2 / (sum_k h)^2` of what one does, where they
are independent. Of two blended draws, `(y_1 + y_2) / 2 + a (y_1 - y_2) / sqrt(2)` with `rho (1/2 + a^2) = 1` has the
mean and the variance of one draw.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from sagd.errors import InputError

Estimate = Callable[[Tensor], Tensor]
"""What becomes of windows `(B, C, *size)`: others of the same shape."""


class Draw(Protocol):
    """Draws of windows `(B, C, *size)`, given the number of the first of them and that of the draw, `k`."""

    def __call__(self, windows: Tensor, first: int, k: int) -> Tensor:
        """One of each."""


def require_size(spatial: Sequence[int], size: Sequence[int], what: str = "the array") -> None:
    """Refuse an array that has no window of a size.

    Raises:
        InputError: If a side is shorter, or their number is another.
    """
    if len(spatial) != len(size) or any(side < n for side, n in zip(spatial, size, strict=True)):
        own, needed = (" x ".join(map(str, sides)) for sides in (spatial, size))
        raise InputError(
            f"{what} is {own}, smaller than the model's windows of {needed}; give larger ones, or train a model of"
            f" that size"
        )


def count_of(spatial: Sequence[int], size: Sequence[int]) -> int:
    """How many windows an array is cut into."""
    return math.prod(map(len, _starts(spatial, size)))


def blended(
    x: Tensor,
    size: Sequence[int],
    estimate: Estimate,
    batch_size: int = 64,
    done: Callable[[int], object] | None = None,
) -> Tensor:
    """What a model makes of an array, window by window.

    Args:
        x: `(C, *spatial)`, no side shorter than a window.
        size: Sides of windows.
        estimate: Asked for some windows at a time.
        batch_size: How many of them.
        done: Told how many windows are done.

    Returns:
        Like `x`.

    Raises:
        InputError: If the array is smaller than a window.
    """
    spatial = tuple(x.shape[1:])
    require_size(spatial, size)
    starts = _starts(spatial, size)
    wide = x
    for axis, (own, side, n) in enumerate(zip(starts, spatial, size, strict=True), start=1):
        wide = wide.index_select(axis, _reflected(own[-1] + n, n // 2, side).to(x.device))
    h = taper(size).to(x)
    total, share = torch.zeros_like(wide), torch.zeros_like(wide[0])
    for places in _batches(itertools.product(*starts), batch_size):
        at = [(slice(None), *(slice(o, o + n) for o, n in zip(place, size, strict=True))) for place in places]
        for where, window in zip(at, estimate(torch.stack([wide[where] for where in at])), strict=True):
            total[where] += h * window.to(x)
            share[where[1:]] += h
        if done is not None:
            done(len(places))
    inner = (slice(None), *(slice(n // 2, n // 2 + side) for n, side in zip(size, spatial, strict=True)))
    return total[inner] / share[inner[1:]]


def numbered(estimate: Callable[[Tensor, int], Tensor]) -> Estimate:
    """An estimate that is told the number of the first of some windows too, for one array."""
    first = 0

    def of_some(windows: Tensor) -> Tensor:
        nonlocal first
        found = estimate(windows, first)
        first += len(windows)
        return found

    return of_some


def blended_draw(x: Tensor, size: Sequence[int], draw: Draw, batch_size: int = 64) -> Tensor:
    """A draw of an array, of two draws of each of its windows.

    Args:
        x: `(C, *spatial)`, no side shorter than a window.
        size: Sides of windows.
        draw: Draws of some windows, asked for draws 0 and 1.
        batch_size: How many of them.
    """
    one, two = (blended(x, size, numbered(partial(draw, k=k)), batch_size) for k in (0, 1))
    a = (1 / _varies(x.shape[1:], size).to(x) - 1 / 2).sqrt()
    return (one + two) / 2 + a * (one - two) / math.sqrt(2)


def _varies(spatial: Sequence[int], size: Sequence[int]) -> Tensor:
    """`rho` at each place, `(*spatial)`, in (0, 1]."""
    rho = torch.ones(())
    for own, side, n in zip(_starts(spatial, size), spatial, size, strict=True):
        h, total = taper([n]), torch.zeros(2, own[-1] + n)
        for start in own:
            total[:, start : start + n] += torch.stack([h, h.square()])
        once, twice = total[:, n // 2 : n // 2 + side]
        rho = rho[..., None] * (twice / once.square())
    return rho


def _starts(spatial: Sequence[int], size: Sequence[int]) -> list[range]:
    """Where windows start along each axis, of an array that half a window was added to at its start."""
    steps = [max(1, n // 2) for n in size]
    return [range(0, side + step, step) for side, step in zip(spatial, steps, strict=True)]


def _reflected(length: int, before: int, side: int) -> Tensor:
    """The sample that each place of an axis shows, which goes on as its own mirror image."""
    place = torch.arange(length) - before
    folded = place.remainder(2 * side)
    return torch.where(folded < side, folded, 2 * side - 1 - folded)


def taper(size: Sequence[int]) -> Tensor:
    """`h`, `(*size)`, above 0."""
    h = torch.ones(())
    for n in size:
        h = h[..., None] * torch.sin(math.pi * (torch.arange(n) + 0.5) / n) ** 2
    return h


def _batches(places: Iterator[tuple[int, ...]], count: int) -> Iterator[list[tuple[int, ...]]]:
    while batch := list(itertools.islice(places, count)):
        yield batch
