"""Sliced Wasserstein distance: how far two sets lie apart along random directions, as whole fields and in patches.

    SW = mean over unit vectors theta of W1(<theta, a>, <theta, b>)

over the root-mean-square spread of the reference along the same directions. Whole fields tell what is where; patches
at several scales tell local structure, which is what most samples go wrong in. Scales are the levels of a Laplacian
pyramid: what averaging over two samples a side takes away, again and again, and what it leaves in the end. Directions
and places of the patches are those of a fixed seed. Channels are first brought to mean zero and unit spread, those of
the reference. Masked places hold the mean.

Sources: Rabin et al., "Wasserstein barycenter and its application to texture mixing" (2011); Karras et al.,
"Progressive growing of GANs", arXiv:1710.10196, section 5 (patches of a pyramid).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sagd.metrics.fields import ChannelScale, Fields, FieldSet, channel_scale, field_sets
from sagd.metrics.pooling import doubled, halved
from sagd.metrics.spectral import finite
from sagd.random import generator_for, randint, randn

_DIRECTIONS = 64
_CHUNK = 2**18
"""Values of a field whose directions are held at a time: 64 MiB."""
_SIDES = {1: 32, 2: 7, 3: 4}
_PATCHES = 2**13
"""Patches of a set, at most; one of each field at least."""
_OF_A_FIELD = 16
_LEVELS = 4


@dataclass(frozen=True)
class Scale:
    """Patches at one scale: sides of the patch in samples of fields `factor` times smaller."""

    factor: int
    sides: tuple[int, ...]
    distance: float


@dataclass(frozen=True)
class Sliced:
    """Sliced Wasserstein distances, in standard deviations along the directions.

    Attributes:
        distance: Mean over the scales of the patches.
        fields: Of whole fields.
        patches: Of patches, from fine to coarse.
    """

    distance: float
    fields: float
    patches: tuple[Scale, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null stands for NaN."""
        patches = [asdict(p) | {"sides": list(p.sides), "distance": finite(p.distance)} for p in self.patches]
        return {"distance": finite(self.distance), "fields": finite(self.fields), "patches": patches}


def sliced_wasserstein(
    samples: FieldSet,
    reference: FieldSet,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
    seed: int = 0,
) -> Sliced:
    """Sliced Wasserstein distances of fields `(N, C, *spatial)` to `(M, C, *spatial)`.

    Args:
        samples: Generated fields.
        reference: Real ones.
        samples_mask: Their valid places, `(N, 1 | C, *spatial)`; None: all.
        reference_mask: The same of the reference.
        seed: Seed of directions and places.

    Raises:
        InputError: If shapes differ, there are fewer than two of either, or values are not finite.

    >>> x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> sliced_wasserstein(x, x).distance
    0.0
    """
    pair = field_sets(samples, reference, samples_mask, reference_mask)
    scale = channel_scale(pair[1])
    ours, theirs = (_patches(fields, scale, seed) for fields in pair)
    scales = tuple(
        Scale(2**level, sides, _distance(a, b))
        for level, (sides, a, b) in enumerate(zip(_patch_sides(pair[0].shape[1:]), ours, theirs, strict=True))
    )
    whole = _distance(*(_projected(fields, scale, seed) for fields in pair))
    return Sliced(sum(s.distance for s in scales) / len(scales), whole, scales)


def wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """First Wasserstein distance of the columns of `(N, K)` and `(M, K)`, `(K,)`.

    >>> wasserstein(torch.zeros(3, 1), torch.tensor([[1.0], [3.0]]))
    tensor([2.])
    """
    values, order = torch.cat([a, b]).T.contiguous().sort()  # rows lie together, which sorts faster
    # Whole numbers, so that equal sets are not apart by rounding.
    gap = torch.where(order < len(a), len(b), -len(a)).cumsum(1).abs() / (len(a) * len(b))
    return (gap[:, :-1].to(a.dtype) * values.diff(dim=1)).sum(1)


def _distance(a: Tensor, b: Tensor) -> float:
    """Mean over directions, over the spread of `b`."""
    spread = b.var(0).mean().sqrt()
    return float(wasserstein(a, b).mean() / spread)


def _scaled(fields: Fields, scale: ChannelScale) -> Iterator[Tensor]:
    """Batches at the scale of the reference, float32; zero where not valid."""
    shape = (-1, *[1] * fields.rank)
    mean, std = scale.mean.reshape(shape), scale.std.clamp(min=1e-300).reshape(shape)
    for x, mask in fields.batches():
        z = ((x - mean) / std).float()
        yield z if mask is None else torch.where(mask, z, 0.0)


def _projected(fields: Fields, scale: ChannelScale, seed: int) -> Tensor:
    """Whole fields along the directions, `(N, directions)`."""
    total, norms = torch.zeros(len(fields), _DIRECTIONS), torch.zeros(_DIRECTIONS)
    values = torch.Size(fields.shape).numel()
    for chunk, start in enumerate(range(0, values, _CHUNK)):
        theta = _directions(min(_CHUNK, values - start), seed, "fields", chunk)
        norms += theta.square().sum(0)
        total += torch.cat([z.flatten(1)[:, start : start + _CHUNK] @ theta for z in _scaled(fields, scale)])
    return total / norms.sqrt()


def _patches(fields: Fields, scale: ChannelScale, seed: int) -> list[Tensor]:
    """Patches of each level along the directions, `(N * patches, directions)` each."""
    number = max(1, min(_OF_A_FIELD, _PATCHES // len(fields)))
    sides = _patch_sides(fields.shape[1:])
    directions = [
        functional.normalize(_directions(fields.shape[0] * torch.Size(s).numel(), seed, "patches", level), dim=0)
        for level, s in enumerate(sides)
    ]
    generators = [generator_for(seed, "sliced", "places", level) for level in range(len(sides))]
    parts: list[list[Tensor]] = [[] for _ in sides]
    for z in _scaled(fields, scale):
        for level, band in enumerate(_pyramid(z, len(sides))):
            cut = _cut(band, sides[level], number, generators[level])
            parts[level].append(cut.flatten(1) @ directions[level])
    return [torch.cat(part) for part in parts]


def _patch_sides(spatial: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Sides of the patch at each level: further levels while some side is wide enough to be halved for one."""
    side = _SIDES.get(len(spatial), 3)
    levels: list[tuple[int, ...]] = []
    while len(levels) < _LEVELS:
        levels.append(tuple(min(side, s) for s in spatial))
        smaller = tuple(s // 2 if s > 1 else 1 for s in spatial)
        if min((s for s in smaller if s > 1), default=0) < side:
            break
        spatial = smaller
    return levels


def _pyramid(z: Tensor, levels: int) -> Iterator[Tensor]:
    """What each averaging takes away, and in the end what is left."""
    for _ in range(levels - 1):
        coarse = halved(z)
        yield z - doubled(coarse, tuple(z.shape[2:]))
        z = coarse
    yield z


def _cut(z: Tensor, sides: tuple[int, ...], number: int, generator: Any) -> Tensor:
    """`number` patches of each field at random places, `(B * number, *sides, C)`."""
    rank = len(sides)
    index = [torch.arange(len(z)).reshape(-1, *[1] * (rank + 1))]
    for axis, side in enumerate(sides):
        start = randint(z.shape[2 + axis] - side + 1, (len(z), number), generator)
        places = start[..., None] + torch.arange(side)
        index.append(places.reshape(*places.shape[:2], *[1] * axis, side, *[1] * (rank - 1 - axis)))
    return z.movedim(1, -1)[tuple(index)].flatten(0, 1)


def _directions(values: int, seed: int, purpose: str, place: int) -> Tensor:
    """`(values, directions)`, Gaussian."""
    return randn((values, _DIRECTIONS), generator_for(seed, "sliced", purpose, place))
