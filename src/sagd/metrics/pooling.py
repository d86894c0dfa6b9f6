"""Averages over neighbouring places, of fields `(B, C, *spatial)` of any rank."""

from __future__ import annotations

import torch
from torch import Tensor


def halved(x: Tensor) -> Tensor:
    """Means over two places along every axis that has two; a last odd place is left out.

    >>> halved(torch.tensor([[[1.0, 3.0, 5.0]]]))
    tensor([[[2.]]])
    """
    for axis in range(2, x.ndim):
        if pairs := x.shape[axis] // 2:
            x = x.narrow(axis, 0, 2 * pairs).unflatten(axis, (pairs, 2)).mean(axis + 1)
    return x


def doubled(x: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """What was halved from the sides `spatial`, each value at the places it was the mean of.

    >>> doubled(torch.tensor([[[2.0]]]), (3,))
    tensor([[[2., 2., 2.]]])
    """
    for axis, side in enumerate(spatial, 2):
        x = x.index_select(axis, (torch.arange(side) // 2).clamp(max=x.shape[axis] - 1))
    return x


def cells(x: Tensor, most: int) -> Tensor:
    """Means over at most `most` parts of every axis, as equal as can be.

    >>> cells(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]]), 2)
    tensor([[[2., 6.]]])
    """
    for axis in range(2, x.ndim):
        parts = torch.tensor_split(x, min(most, x.shape[axis]), dim=axis)
        x = torch.stack([part.mean(axis) for part in parts], axis)
    return x
