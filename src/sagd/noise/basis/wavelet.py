"""Orthonormal wavelets on periodic fields: space and scale together."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.real import DENSE_SIDE, RealBasis, multiply
from sagd.optional import need
from sagd.tensors import complex_of

_SPELT = 64
"""Levels whose factor a message spells out."""


@dataclass(frozen=True)
class WaveletBasis(RealBasis, kind="wavelet"):
    """An orthonormal separable wavelet transform with periodic borders, in Mallat's layout.

    Each level splits the low-pass block, at first the whole field, into halves along every axis, low-pass before
    high-pass; the next level goes on with the corner that is low-pass in all axes. Coefficients are those of
    `pywt.wavedecn(x, name, "periodization", levels)`, arranged by `pywt.coeffs_to_array`. Sides of length 1 are left
    alone. Frequencies are the centres of the subbands: along an axis, `[2^-(j+1), 2^-j]` for what level `j` passed
    high, `[0, 2^-(j+1)]` for what it passed low, and 0 for a side of length 1.

    Args:
        spatial: Side lengths; those longer than 1 must divide by `2^levels`.
        name: An orthogonal wavelet of PyWavelets, e.g. "haar", "db2", "sym4", "coif1".
        levels: Number of levels; by default the largest that the sides allow, at most 5.

    Raises:
        InputError: If PyWavelets is missing, the wavelet unknown or not orthogonal, or a side does not divide.

    Source: Mallat, "A theory for multiresolution signal decomposition: the wavelet representation" (1989).

    >>> basis = WaveletBasis((8,), levels=2)
    >>> basis.frequencies()
    tensor([[0.0625, 0.0625, 0.1875, 0.1875, 0.3750, 0.3750, 0.3750, 0.3750]], dtype=torch.float64)
    """

    name: str = "haar"
    levels: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_orthogonal(self.name)
        # The number is kept, so that equal transforms are equal bases.
        object.__setattr__(self, "levels", _wavelet_levels(self.spatial, self.levels))
        for side in {side >> level for side in self.spatial if side > 1 for level in range(self._depth)}:
            # What PyWavelets makes is there before torch traces anything.
            if side <= DENSE_SIDE:
                self.held("_split_matrix", torch.float64, torch.device("cpu"), side)
            else:
                self.held("_split_response", torch.complex128, torch.device("cpu"), side)

    def forward(self, x: Tensor) -> Tensor:
        """Wavelet transform over the spatial axes; real `(*, *spatial)`."""
        self._require_trailing(x, self.spatial)
        return self._transform(x, range(self._depth), self._split)

    def inverse(self, c: Tensor) -> Tensor:
        """Its transpose, from the coarsest level to the finest; real `(*, *spatial)`."""
        self._require_trailing(c, self.spatial)
        return self._transform(c, reversed(range(self._depth)), self._merge)

    def frequencies(self) -> Tensor:
        """Centre of the subband on every axis: `(n, *spatial)`, float64."""
        level = torch.stack(_grid([_axis_levels(side, self._depth) for side in self.spatial])).amin(0)
        centres = []
        for index, side in zip(_grid([torch.arange(side) for side in self.spatial]), self.spatial, strict=True):
            # Low-pass along this axis is the half of the level's block before `side / 2^level`.
            centre = torch.where(index << level < side, 0.25, 0.75).double() * 0.5 ** level.double()
            centres.append(centre if side > 1 else torch.zeros_like(centre))
        return torch.stack(centres)

    @property
    def _depth(self) -> int:
        return self.levels or 0

    def _transform(self, x: Tensor, levels: Iterable[int], step: Callable[[Tensor, int], Tensor]) -> Tensor:
        """One step per level and axis, each on the block that `level` halvings of every side leave."""
        y = x.clone()
        for level in levels:
            block: tuple[Any, ...] = (..., *[slice(side >> level or 1) for side in self.spatial])
            # An FFT keeps its input for the gradient, which must not be a view of what is written to below.
            part = y[block].clone() if level else y
            for axis in self._axes:
                if self.spatial[axis] > 1:
                    part = step(part, axis)
            if level:
                y[block] = part
            else:
                y = part
        return y

    def _split(self, x: Tensor, axis: int) -> Tensor:
        """One level along one axis: low-pass half, then high-pass half."""
        side = x.shape[axis]
        if side <= DENSE_SIDE:
            return multiply(self.held("_split_matrix", x.dtype, x.device, side), x, axis)
        # The rows are shifts by 2 of the first: a correlation, of which every other sample is kept.
        response = self.held("_split_response", complex_of(x.dtype), x.device, side)
        # Contiguous as in the Fourier basis.
        product = torch.fft.rfft(x.movedim(axis, -1).contiguous()).unsqueeze(-2) * response.conj()
        return torch.fft.irfft(product, n=side)[..., ::2].flatten(-2).movedim(-1, axis)

    def _merge(self, c: Tensor, axis: int) -> Tensor:
        """The transpose of `_split`."""
        side = c.shape[axis]
        if side <= DENSE_SIDE:
            return multiply(self.held("_split_matrix", c.dtype, c.device, side).T, c, axis)
        halves = c.movedim(axis, -1).unflatten(-1, (2, side // 2))
        spread = torch.stack([halves, torch.zeros_like(halves)], -1).flatten(-2)
        product = (torch.fft.rfft(spread) * self.held("_split_response", complex_of(c.dtype), c.device, side)).sum(-2)
        return torch.fft.irfft(product, n=side).movedim(-1, axis)

    def _split_matrix(self, side: int) -> Tensor:
        """One level along an axis of even length, `(side, side)`: low-pass rows, then high-pass rows."""
        low, high = _pywt().dwt(np.eye(side), self.name, mode="periodization", axis=0)
        return torch.from_numpy(np.concatenate([low, high]))

    def _split_response(self, side: int) -> Tensor:
        """Fourier transforms of the first low-pass and first high-pass row of `_split_matrix`, `(2, side // 2 + 1)`."""
        first = np.eye(1, side // 2)[0]
        rows = [_pywt().idwt(*pair, self.name, mode="periodization") for pair in ((first, None), (None, first))]
        return torch.fft.rfft(torch.from_numpy(np.stack(rows)))


def _pywt() -> Any:
    need("pywt")
    import pywt

    return pywt


def _require_orthogonal(name: str) -> None:
    """Refuse what is no wavelet whose even shifts are orthonormal, by the filter and not only by its label."""
    pywt = _pywt()
    known = pywt.wavelist(kind="discrete")
    if name not in known:
        close = difflib.get_close_matches(str(name).lower(), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "try 'haar', 'db2' to 'db38', 'sym2' to 'sym20' or 'coif1'"
        raise InputError(f"unknown wavelet {name!r}; {hint}")
    wavelet = pywt.Wavelet(name)
    low = np.array(wavelet.dec_lo)
    # By numpy: `torch.compile` may build a basis anew.
    shifts = np.correlate(low, low, "full")[(len(low) - 1) % 2 :: 2]
    shifts[len(shifts) // 2] -= 1
    if not wavelet.orthogonal or np.abs(shifts).max() > 1e-9:
        raise InputError(f"wavelet {name!r} is not orthogonal; try 'haar', 'db2', 'sym4' or 'coif1'")


def _wavelet_levels(spatial: tuple[int, ...], levels: int | None) -> int:
    """The number of levels, checked against the sides; the default if None."""
    split = [side for side in spatial if side > 1]
    # The lowest set bit of a side is the largest power of 2 that divides it.
    most = min([(side & -side).bit_length() - 1 for side in split], default=1)
    if levels is not None and (isinstance(levels, bool) or not isinstance(levels, int) or levels < 1):
        raise InputError(f"levels must be a positive integer, got {levels!r}; leave it out for as many as fit")
    if most == 0:
        odd = next(side for side in split if side % 2)
        raise InputError(f"wavelets need even sides (or 1), got {odd} in {spatial}; crop or pad, or use 'cosine'")
    if levels is not None and split and levels > most:
        factor = 2**levels if levels < _SPELT else f"2^{levels}"
        raise InputError(f"{levels} levels need sides that divide by {factor}, got {spatial}; use levels={most}")
    return levels or min(most, 5)


def _axis_levels(side: int, depth: int) -> Tensor:
    """The level at which each position along one axis in Mallat's layout left the low-pass block."""
    level = torch.full((side,), depth)
    for j in range(1, depth + 1 if side > 1 else 1):
        level[side >> j : side >> (j - 1)] = j
    return level


def _grid(axes: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*axes, indexing="ij")
