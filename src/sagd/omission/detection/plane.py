"""Spectra of real fields on all frequencies, mirrored ones included, and neighbourhoods in it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis


def unfolded(values: Tensor, side: tuple[int, ...]) -> Tensor:
    """Values `(*, *coefficients)` of a real field's frequencies on all of them, `(*, *side)`."""
    full = torch.zeros(*values.shape[: -len(side)], *side, dtype=values.dtype)
    n, last = side[-1], values.shape[-1]
    full[..., :last] = values
    axes = tuple(range(-len(side), -1))
    mirrored = values.flip(axes).roll((1,) * len(axes), axes) if axes else values
    full[..., last:] = mirrored[..., 1 : n - last + 1].flip(-1)
    return full


def folded(index: Tensor, side: tuple[int, ...]) -> Tensor:
    """Numbers of frequencies on the plane `(d, n)` as flat numbers of the coefficients that hold them, `(n,)`."""
    sizes = torch.tensor(side)[:, None]
    index = index % sizes
    mirror = index[-1] > side[-1] // 2
    index = torch.where(mirror, (-index) % sizes, index)
    flat = torch.zeros_like(index[0])
    for axis, n in enumerate((*side[:-1], side[-1] // 2 + 1)):
        flat = flat * n + index[axis]
    return flat


def offsets(rank: int, low: int, high: int, most: float = 48) -> Tensor:
    """Steps to neighbours at largest-component distances `low` to `high`, `(n, d)`; at most so many of them."""
    every = [s for s in itertools.product(range(-high, high + 1), repeat=rank) if low <= max(map(abs, s)) <= high]
    if len(every) > most:
        # Pairs with their mirrors, so that a slope cancels.
        half = every[: len(every) // 2]
        half = half[:: max(1, round(2 * len(half) / most))]
        every = [*half, *(tuple(-v for v in s) for s in half)]
    return torch.tensor(every)


def shifted(full: Tensor, steps: Tensor) -> Tensor:
    """Values at neighbours, `(n, *side)`."""
    axes = tuple(range(full.ndim))
    return torch.stack([full.roll(tuple((-s).tolist()), axes) for s in steps])


def bins(basis: FourierBasis) -> Tensor:
    """Distance from DC in steps of the grid, the smallest that any axis allows, `(*coefficients)`."""
    f = basis.frequencies().double()
    sizes = torch.tensor(basis.spatial, dtype=torch.float64).reshape(-1, *(1,) * (f.ndim - 1))
    return (f * sizes).square().sum(0).sqrt()
