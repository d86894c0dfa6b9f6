"""A canvas without borders on which damage is drawn in continuous coordinates; an image is a crop of it.

All draws are functions of a key and a place, so that the damage of a large window holds that of a small one, bit for
bit, and coordinates may be turned, bent and shifted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sagd.random import Generator, randint, uniform_at

_POWER = 151 / 315
"""Integral of the square of a cubic B-spline: the variance of white values that are interpolated with it."""
SLOPE = math.sqrt((2 / 3) / _POWER)
"""Root mean square slope of `smooth` along an axis, per unit of its coordinates."""
GUARD = 2.5
"""Width of a guard in bins. Of a wave between two bins a window without edges leaks `1 / (pi^2 m)` beyond `m` bins on
either side and axis: so the guard leaves out a twelfth of its power in images, and a 25th in records."""


def keys(generator: Generator) -> Iterator[int]:
    """Keys for what is drawn on the canvas of one image."""
    own = int(randint(2**62, (1,), generator))
    return itertools.count(own)


def coordinates(spatial: tuple[int, ...]) -> Tensor:
    """Coordinates of samples, `(n, *spatial)`, float64."""
    return torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in spatial], indexing="ij"))


def turned(spatial: tuple[int, ...], angle: float) -> tuple[Tensor, Tensor]:
    """Coordinates along a wave vector, `(*spatial)`, and along the other axes, `(n - 1, *spatial)`.

    Args:
        spatial: Sides.
        angle: Direction of the wave vector in degrees, from the last axis towards the last but one.
    """
    *others, rows, columns = coordinates(spatial)
    turn = math.radians(angle)
    return _turn(columns, rows, turn), torch.stack([*others, _turn(rows, -columns, turn)])


def normal_at(key: int, places: Tensor) -> Tensor:
    """Standard normal draws at places of a lattice, `(d, *points)` int64 -> `(*points)` float64."""
    return torch.special.ndtri(uniform_at(key, places))


def smooth(key: int, at: Tensor) -> Tensor:
    """A smooth Gaussian field of unit variance, in coordinates whose unit is its correlation length.

    White values on a lattice with a random origin, interpolated by cubic B-splines: in units of cycles per coordinate
    its power spectrum is `sinc(f)^8 / (151 / 315)` along each axis.

    Args:
        key: Of the field.
        at: `(d, *points)`, float64.
    """
    at = at + uniform_at(~key & (2**62 - 1), torch.arange(len(at)).unsqueeze(0)).reshape(-1, *(1,) * (at.ndim - 1))
    cells = at.floor()
    # The lattice that is needed, once: there are fewer of its places than points.
    low = cells.flatten(1).amin(1).long() - 1
    sides = (cells.flatten(1).amax(1).long() + 3 - low).tolist()
    lattice = torch.stack(torch.meshgrid(*[torch.arange(n) for n in sides], indexing="ij"))
    values = normal_at(key, lattice + low.reshape(-1, *(1,) * len(sides))).flatten()
    weights = [_spline(t) for t in at - cells]
    first = [c.long() - 1 - start for c, start in zip(cells, low, strict=True)]
    total = torch.zeros(at.shape[1:], dtype=torch.float64)
    for step in itertools.product(range(4), repeat=len(at)):
        index = torch.zeros_like(first[0])
        weight = torch.ones(())
        for axis, k in enumerate(step):
            index = index * sides[axis] + first[axis] + k
            weight = weight * weights[axis][k]
        total += weight * values[index]
    return total / _POWER ** (len(at) / 2)


def pieces(at: Tensor, ramp: float) -> tuple[Tensor, Tensor]:
    """Numbers of the pieces of unit length in which coordinates lie, int64, and the share of the next one.

    White values that are joined so, `(1 - share) v[k] + share v[k + 1]`, have the variance `1 - ramp / 3`.

    Args:
        at: Coordinates, float64.
        ramp: Over which part of its length, at its end, a piece goes over into the next, in (0, 1].
    """
    cells = at.floor()
    return cells.long(), ((at - cells - 1) / ramp + 1).clamp(min=0)


def _turn(one: Tensor, other: Tensor, turn: float) -> Tensor:
    return one * math.cos(turn) + other * math.sin(turn)


def _spline(t: Tensor) -> list[Tensor]:
    """Weights of the four nearest values."""
    return [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6]
