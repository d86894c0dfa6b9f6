"""Draws of stationary Gaussian fields of few frequencies, on a window: sums of waves, without a transform.

    d(p) = Re sum_k s_k z_k exp(2 pi i f_k p),    z_k = a_k - i b_k,  a_k, b_k ~ N(0, 1),

so that the wave `k` has the variance `s_k^2` everywhere. Exponentials are products of those of each axis. Few waves are
summed one by one, others axis after axis over the grid that they span, by a transform where that is nearly full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.random import Generator, randn

_AT_A_TIME = 2**22
"""Complex numbers that are held at a time, at most, but for those of a single draw."""


@dataclass(frozen=True, eq=False)
class Waves:
    """Waves on a window.

    Attributes:
        frequencies: `(rank, K)`, in cycles per sample, float64, each once.
        deviation: Standard deviation of the values of each wave, `(K,)`, float64.
        spatial: Sides of the window.
        canvas: Sides of a larger one, of which these are frequencies: whole numbers over them.
    """

    frequencies: Tensor
    deviation: Tensor
    spatial: tuple[int, ...]
    canvas: tuple[int, ...]

    def draw(self, count: int, generator: Generator) -> Tensor:
        """`count` independent fields, `(count, *spatial)`, float64."""
        a, b = (self.deviation * randn((count, 2, len(self.deviation)), generator, torch.float64)).unbind(1)
        axes = [f.unique(return_inverse=True) for f in self.frequencies]
        listed = 2 * (count + 2) * len(self.deviation) * math.prod(self.spatial)
        return self._listed(a, b) if listed <= count * self._spans(axes) else self._spanned(torch.complex(a, -b), axes)

    def _spans(self, axes: Sequence[tuple[Tensor, Tensor]]) -> float:
        """Real multiplications of one draw axis by axis, about."""
        sides, total = [len(own) for own, _ in axes], 0.0
        for k, (u, n, side) in enumerate(zip(sides, self.spatial, self.canvas, strict=True)):
            total += 4 * min(u * n, _fast(side)) * math.prod(self.spatial[:k]) * math.prod(sides[k + 1 :])
        return total

    def _listed(self, a: Tensor, b: Tensor) -> Tensor:
        """Wave by wave."""
        size = math.prod(self.spatial)
        total = a.new_zeros(len(a), size)
        for part in torch.arange(len(self.deviation)).split(max(1, _AT_A_TIME // size)):
            wave = torch.ones(len(part), 1, dtype=torch.complex128)
            for f, n in zip(self.frequencies[:, part], self.spatial, strict=True):
                wave = (wave[:, :, None] * _exponentials(f, n)[:, None]).flatten(1)
            total += a[:, part] @ wave.real + b[:, part] @ wave.imag
        return total.reshape(-1, *self.spatial)

    def _spanned(self, z: Tensor, axes: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Axis by axis, on the grid of all the numbers that occur along each."""
        sides, place = [len(own) for own, _ in axes], torch.zeros((), dtype=torch.int64)
        for own, number in axes:
            place = place * len(own) + number
        drawn = []
        for part in z.split(max(1, _AT_A_TIME // math.prod(sides))):
            x = z.new_zeros(len(part), *sides)
            x.flatten(1)[:, place] = part
            for (own, _), n, side in zip(axes, self.spatial, self.canvas, strict=True):
                x = _summed(x, own, n, side)
            drawn.append(x.real)
        return torch.cat(drawn)


def _exponentials(f: Tensor, n: int) -> Tensor:
    """`exp(2 pi i f p)` at the places `p` of an axis, `(K, n)`."""
    return torch.exp(2j * math.pi * f[:, None] * torch.arange(n, dtype=f.dtype))


def _summed(x: Tensor, f: Tensor, n: int, side: int) -> Tensor:
    """`sum_k x_k exp(2 pi i f_k p)` over the axis after the first, at `n` places of a last axis."""
    if len(f) * n <= _fast(side):
        return torch.tensordot(x, _exponentials(f, n), dims=([1], [0]))
    full = x.new_zeros(len(x), side, *x.shape[2:])
    full[:, (f * side).round().long() % side] = x
    return torch.fft.ifft(full, dim=1, norm="forward")[:, :n].movedim(1, -1)


def _fast(side: int) -> float:
    """Complex multiplications that a transform of a side costs, about."""
    return side * math.log2(side + 1)
