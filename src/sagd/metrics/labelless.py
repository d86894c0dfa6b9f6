"""Features that need neither labels nor training: what fixed filters make of a field of any rank, at every scale.

At each scale, fields pass all products of three short filters along their axes, a mean [1 2 1], a slope [-1 0 1] and a
bend [1 -2 1], each of unit gain for white noise, but for the product of means: two filters for signals, eight for
images, twenty-six for volumes. Of each response the features are, as logarithms and ratios,

    its mean size, in two parts of every axis    how much of this is where; at the finest scale, noise and blur
    its root mean square over its mean size      whether it is that of edges, or of Gaussian noise of the same spectrum
    its skewness                                 which way slopes and bends go
    the mean size of the increments of its size  whether what is large lies together

then the field is averaged over two places a side, until a side has fewer than three; of what is left, and of the mean
over all, the values themselves are features. Channels are taken as they are, and each less the one before it.

Sources: Laws, "Textured image segmentation" (1980) (the filters); Portilla and Simoncelli, "A parametric texture
model based on joint statistics of complex wavelet coefficients" (2000) (the statistics); Bruna and Mallat, "Invariant
scattering convolution networks", arXiv:1203.1513 (sizes of sizes).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.embedding import Embedding
from sagd.metrics.features import extract
from sagd.metrics.fields import ChannelScale, Fields, FieldSet, channel_scale
from sagd.metrics.pooling import cells, halved

_LEAST = 0.01
"""Size of a response, in standard deviations of the data, below which it is as good as none."""
_PARTS = 2
_KEPT = 4
"""Values a side that are features themselves, at the coarsest scale."""
_VERSION = 1


@final
class LabellessFeatures:
    """Features of fixed filters, at most 64, as a reference has them (see `Embedding`). Build it with `fitted`.

    Attributes:
        shape: `(C, *spatial)` of the fields it takes.
        identifier: Version of the filters, and a checksum of the reference's scale.
    """

    name = "labelless"

    def __init__(self, shape: tuple[int, ...], scale: ChannelScale, embedding: Embedding) -> None:
        self.shape, self._scale, self._embedding = shape, scale, embedding
        self.identifier = f"labelless:{_VERSION} sha256:{embedding.digest}"

    @classmethod
    def fitted(cls, reference: FieldSet, mask: Tensor | None = None) -> LabellessFeatures:
        """The features of a reference `(N, C, *spatial)`; masked places are taken to hold the mean.

        Raises:
            InputError: If values are not finite.
        """
        fields = Fields.of(reference, mask)
        scale = channel_scale(fields)
        raw = torch.cat([_raw(_standard(x, scale)) for x in fields.rows(scale.mean)])
        return cls(fields.shape, scale, Embedding.fitted(raw))

    def __call__(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Features `(N, D)`, float64 on the CPU, of fields `(N, C, *spatial)`.

        Raises:
            InputError: If the fields have another shape, or values are not finite.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"these features take fields (N, {', '.join(map(str, self.shape))}), got {tuple(images.shape)}"
            )
        return extract(lambda x: self._embedding(_raw(_standard(x, self._scale))), images, batch_size)


def _standard(x: Tensor, scale: ChannelScale) -> Tensor:
    """Mean zero and spread one by channel, float32 on the CPU; a channel of equal values stays as it is."""
    shape = (-1, *[1] * (x.ndim - 2))
    std = torch.where(scale.std > 0, scale.std, 1.0)
    return ((x.cpu().double() - scale.mean.reshape(shape)) / std.reshape(shape)).float()


def _raw(x: Tensor) -> Tensor:
    """All features of `(B, C, *spatial)`, `(B, F)`."""
    y = torch.cat([x, x[:, 1:] - x[:, :-1]], 1)
    parts = [y.flatten(2).mean(2)]
    while max(y.shape[2:]) >= 3:
        for response in _responses(y):
            parts += _statistics(response)
        y = halved(y)
    parts.append(cells(y, _KEPT).flatten(1))
    return torch.cat(parts, 1)


def _responses(y: Tensor) -> Iterator[Tensor]:
    """What each product of filters makes of `(B, M, *spatial)`; axes of fewer than three places are left alone."""
    axes = [axis for axis in range(2, y.ndim) if y.shape[axis] >= 3]
    for kinds in itertools.product(range(3), repeat=len(axes)):
        if any(kinds):
            response = y
            for axis, kind in zip(axes, kinds, strict=True):
                response = _filtered(response, axis, kind)
            yield response


def _filtered(x: Tensor, axis: int, kind: int) -> Tensor:
    """Mean, slope or bend along an axis, of unit gain for white noise."""
    length = x.shape[axis] - 2
    before, here, after = (x.narrow(axis, start, length) for start in range(3))
    if kind == 0:
        return (before + 2 * here + after) / 6**0.5
    return (after - before) / 2**0.5 if kind == 1 else (before - 2 * here + after) / 6**0.5


def _statistics(u: Tensor) -> list[Tensor]:
    """Features of responses `(B, M, *spatial)`: `(B, *)` each."""
    size = u.abs()
    first = size.flatten(2).mean(2)
    square = u.square().flatten(2).mean(2)
    cubic = u.pow(3).flatten(2).mean(2)
    return [
        (cells(size, _PARTS) + _LEAST).log().flatten(1),
        (square + _LEAST**2).log() / 2 - (first + _LEAST).log(),
        (cubic / (square + _LEAST**2) ** 1.5).asinh(),
        *((change + _LEAST).log() - (first + _LEAST).log() for change in _changes(halved(size))),
    ]


def _changes(size: Tensor) -> Iterator[Tensor]:
    """Mean size of the increments along every axis, `(B, M)`."""
    for axis in range(2, size.ndim):
        if size.shape[axis] > 1:
            yield size.diff(dim=axis).abs().flatten(2).mean(2)
