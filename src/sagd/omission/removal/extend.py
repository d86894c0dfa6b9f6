"""Arrays made periodic before their Fourier transform: their reflections, blended, and values in place of missing ones.

A pattern that is constant along an axis stays constant in what is added, and no border jumps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis

_LAPS = 8
"""Times that borders are continued, at most; fewer where what passes changes by less than `_SETTLED` of itself."""
_SETTLED = 1e-2
_LEAST = 16
"""Samples added along an axis, at least; one in `_SHARE` of its length if that is more."""
_SHARE = 4
_FACTORS = (2, 3, 5)


def extended_size(spatial: Sequence[int]) -> tuple[int, ...]:
    """Sizes after `extend`: products of 2, 3 and 5, whose transforms are quick."""
    return tuple(_quick(side + max(_LEAST, side // _SHARE)) for side in spatial)


def extend(x: Tensor, size: Sequence[int]) -> Tensor:
    """`x (*, *spatial)` continued to `size`: by the reflection of its end, blended into that of its start."""
    for axis, wanted in zip(range(-len(size), 0), size, strict=True):
        side = x.shape[axis]
        place = torch.arange(wanted - side, device=x.device)
        end, start = side - 1 - place % side, (len(place) - 1 - place) % side
        share = torch.sin(math.pi / 2 * (place + 0.5).to(x.dtype) / len(place)) ** 2
        share = share.reshape(-1, *(1,) * (-axis - 1))
        x = torch.cat([x, torch.lerp(x.index_select(axis, end), x.index_select(axis, start), share)], axis)
    return x


def crop(x: Tensor, spatial: Sequence[int]) -> Tensor:
    """The first `spatial` samples of `x (*, *spatial)`."""
    for axis, side in enumerate(spatial, start=x.ndim - len(spatial)):
        x = x.narrow(axis, 0, side)
    return x


def passed(x: Tensor, gain: Tensor, basis: FourierBasis) -> tuple[Tensor, Tensor]:
    """What a gain lets through of arrays beyond whose borders they go on as what they are.

    A reflected wave is another one: what is left is reflected, and what passes is continued.

    Args:
        x: Channels `(*, *spatial)`, each of mean 0 and by itself.
        gain: In [0, 1], `(*coefficients)`.
        basis: Of the extended arrays.

    Returns:
        What passes, of the size of the basis, and the coefficients of the whole.
    """
    axes = tuple(range(-basis.rank, 0))
    spatial = x.shape[-basis.rank :]
    c = basis.forward(extend(x, basis.spatial))
    through = basis.inverse(gain * c)
    moving = torch.tensor(True)
    for _ in range(_LAPS):
        rest = x - crop(through, spatial)
        # What has settled stays, whatever it is among.
        c = torch.where(moving, basis.forward(extend(rest, basis.spatial) + through), c)
        before, through = through, torch.where(moving, basis.inverse(gain * c), through)
        change, whole = (v.square().sum(axes, keepdim=True) for v in (through - before, through))
        moving = change > _SETTLED**2 * whole
        if not moving.any():
            break
    return through, c


def interpolated(x: Tensor, missing: Tensor) -> Tensor:
    """`x (C, *spatial)` with missing samples replaced by means of neighbours, from the edges of gaps inwards.

    Args:
        x: Values; those that are missing are not looked at.
        missing: Which are, of the same shape, bool; not all of a channel.
    """
    known = ~missing
    x = torch.where(missing, 0.0, x)
    pool = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool3d)[x.ndim - 2]
    while not known.all():
        count = pool(known.to(x.dtype)[None], 3, 1, 1)[0]
        mean = pool(x[None], 3, 1, 1)[0] / count.clamp(min=1e-12)
        found = ~known & (count > 0)
        x, known = torch.where(found, mean, x), known | found
    return x


def _quick(side: int) -> int:
    """The least product of 2, 3 and 5 from `side` on."""
    while True:
        rest = side
        for factor in _FACTORS:
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return side
        side += 1
