"""The orthonormal cosine transform (DCT-II): no wrap-around at borders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sagd.noise.basis.real import DENSE_SIDE, RealBasis, multiply
from sagd.tensors import complex_of


@dataclass(frozen=True)
class CosineBasis(RealBasis, kind="cosine"):
    """The orthonormal discrete cosine transform (DCT-II) on every spatial axis.

    It continues a field beyond its borders by reflection, where Fourier's wraps around: noise at one border is not
    correlated with the opposite one. Along an axis of `N` samples,
    `c_k = sqrt((2 - [k = 0]) / N) sum_x cos(pi (x + 1/2) k / N) x_x`.

    >>> CosineBasis((4,)).frequencies()
    tensor([[0.0000, 0.1250, 0.2500, 0.3750]], dtype=torch.float64)

    Source: Ahmed, Natarajan, Rao, "Discrete Cosine Transform" (1974); above `DENSE_SIDE` samples per side the algorithm
    of Makhoul, "A fast cosine transform in one and two dimensions" (1980), which needs one real FFT of the same length.
    """

    def forward(self, x: Tensor) -> Tensor:
        """DCT-II over the spatial axes; real `(*, *spatial)`."""
        self._require_trailing(x, self.spatial)
        return self.along(x, self._axes)

    def inverse(self, c: Tensor) -> Tensor:
        """Its transpose, the DCT-III; real `(*, *spatial)`."""
        self._require_trailing(c, self.spatial)
        return self.back_along(c, self._axes)

    def frequencies(self) -> Tensor:
        """`f_k = k / (2N)` on every axis: `(n, *spatial)`, float64."""
        axes = [torch.arange(side, dtype=torch.float64) / (2 * side) for side in self.spatial]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    def along(self, x: Tensor, axes: Iterable[int]) -> Tensor:
        """DCT-II over some axes, counted from the end."""
        for axis in axes:
            x = self._dct(x, axis)
        return x

    def back_along(self, c: Tensor, axes: Iterable[int]) -> Tensor:
        """Its inverse."""
        for axis in axes:
            c = self._inverse_dct(c, axis)
        return c

    def _dct(self, x: Tensor, axis: int) -> Tensor:
        """DCT-II along one axis."""
        side = self.spatial[axis]
        if side <= DENSE_SIDE:
            return multiply(self.held("_matrix", x.dtype, x.device, side), x, axis)
        x = x.movedim(axis, -1)
        folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
        w = torch.fft.rfft(folded, norm="ortho") * self.held("_twiddle", complex_of(x.dtype), x.device, side)
        # w_k = c_k - i c_(N-k), since the folded field is real.
        return torch.cat([w.real, -w.imag[..., 1 : (side + 1) // 2].flip(-1)], -1).movedim(-1, axis)

    def _inverse_dct(self, c: Tensor, axis: int) -> Tensor:
        """DCT-III along one axis: the steps of `_dct` backwards."""
        side = self.spatial[axis]
        if side <= DENSE_SIDE:
            return multiply(self.held("_matrix", c.dtype, c.device, side).T, c, axis)
        c = c.movedim(axis, -1)
        half = side // 2
        w = torch.complex(c[..., : half + 1], -functional.pad(c.flip(-1)[..., :half], (1, 0)))
        twiddle = self.held("_twiddle", complex_of(c.dtype), c.device, side)
        folded = torch.fft.irfft(w / twiddle, n=side, norm="ortho")
        even, odd = folded[..., : side - half], folded[..., side - half :].flip(-1)
        pairs = torch.stack([even, functional.pad(odd, (0, side % 2))], -1)
        return pairs.flatten(-2)[..., :side].movedim(-1, axis)

    def _matrix(self, side: int) -> Tensor:
        """DCT-II, `(side, side)`: rows are frequencies."""
        k, x = torch.arange(side)[:, None], torch.arange(side)
        # Reducing modulo the period in integers keeps the phases exact to rounding.
        phase = (k * (2 * x + 1) % (4 * side)).double() * (math.pi / (2 * side))
        matrix = torch.cos(phase) * math.sqrt(2 / side)
        matrix[0] = side**-0.5
        return matrix

    def _twiddle(self, side: int) -> Tensor:
        """`s_k exp(-i pi k / (2 side))` for `k <= side / 2`, with `s_0 = 1` and the others `sqrt(2)`; complex."""
        k = torch.arange(side // 2 + 1, dtype=torch.float64)
        size = torch.full_like(k, math.sqrt(2))
        size[0] = 1.0
        return torch.polar(size, k * (-math.pi / (2 * side)))
