"""The unitary discrete Fourier transform of real fields, its half spectrum and its multiplicities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis


@dataclass(frozen=True)
class FourierBasis(Basis, kind="fourier"):
    """The unitary discrete Fourier transform, stored as the half spectrum of a real field.

    >>> basis = FourierBasis((4, 5))
    >>> basis.coefficients
    (4, 3)
    >>> x = torch.randn(2, 4, 5, dtype=torch.float64)
    >>> bool(torch.allclose(basis.inverse(basis.forward(x)), x))
    True
    """

    @property
    def is_fourier(self) -> bool:
        """Yes."""
        return True

    @property
    def coefficients(self) -> tuple[int, ...]:
        """Half of the last axis is stored: `(*spatial[:-1], spatial[-1] // 2 + 1)`."""
        return (*self.spatial[:-1], self.spatial[-1] // 2 + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Orthonormal real FFT over the spatial axes; complex `(*, *coefficients)`."""
        self._require_trailing(x, self.spatial)
        # torch up to 2.8 refuses fields expanded to a batch.
        return torch.fft.rfftn(x.contiguous(), dim=self._axes, norm="ortho")

    def inverse(self, c: Tensor) -> Tensor:
        """Orthonormal inverse real FFT; real `(*, *spatial)`."""
        self._require_trailing(c, self.coefficients)
        return torch.fft.irfftn(c.contiguous(), s=self.spatial, dim=self._axes, norm="ortho")

    def frequencies(self) -> Tensor:
        """`fftfreq` on every axis but the last, `rfftfreq` on the last: `(n, *coefficients)`, float64."""
        return torch.stack(torch.meshgrid(*self.axis_frequencies(), indexing="ij"))

    def axis_frequencies(self) -> list[Tensor]:
        """The same for each axis by itself, `(side,)`, float64."""
        axes = [torch.fft.fftfreq(side, dtype=torch.float64) for side in self.spatial[:-1]]
        return [*axes, torch.fft.rfftfreq(self.spatial[-1], dtype=torch.float64)]

    def multiplicity(self) -> Tensor:
        """1 on self-conjugate columns of the last axis (DC, and Nyquist if even), 2 elsewhere."""
        return half_counts(self.spatial[-1]).expand(self.coefficients).clone()

    def check_symmetry(self, weights: Tensor) -> None:
        """Weights of a real operator satisfy `w(k) = w(-k)`; only the self-conjugate columns can violate it."""
        require_even(weights, range(-self.rank, -1), -1, self.spatial[-1])


def whole(half: Tensor, side: int) -> Tensor:
    """All frequencies of the half of them that a real FFT keeps, of what is the same at `f` and `-f`.

    >>> whole(torch.tensor([[0.0, 1.0, 2.0]]), 4)
    tensor([[0., 1., 2., 1.]])

    Args:
        half: `(C, *coefficients)`.
        side: Samples along the last axis.

    Returns:
        `(C, *spatial)`, in the order of `numpy.fft`.
    """
    axes = tuple(range(1, half.ndim - 1))
    mirrored = half[..., 1 : (side + 1) // 2].flip((*axes, -1))
    for axis in axes:
        mirrored = mirrored.roll(1, axis)
    return torch.cat([half, mirrored], dim=-1)


def half_counts(side: int) -> Tensor:
    """What each stored coefficient of a halved axis counts, `(side // 2 + 1)`: 1 if it is its own conjugate, else 2."""
    counts = torch.full((side // 2 + 1,), 2.0, dtype=torch.float64)
    counts[_self_conjugate(side)] = 1.0
    return counts


def require_even(weights: Tensor, axes: Sequence[int], half: int, side: int, cure: str = "") -> None:
    """Refuse weights with `w(k) != w(-k)`, of which only the self-conjugate columns of a halved axis hold both.

    Args:
        weights: `(*, *coefficients)`.
        axes: The other axes that have signed frequencies, counted from the end.
        half: The axis of which half is stored, counted from the end.
        side: Its number of samples.
        cure: What would work, if it is not to be even.

    Raises:
        InputError: If they differ by more than rounding.
    """
    columns = weights.index_select(half, torch.tensor(_self_conjugate(side), device=weights.device))
    axes = tuple(axes)
    mirrored = torch.roll(torch.flip(columns, axes), shifts=(1,) * len(axes), dims=axes) if axes else columns
    excess = (columns - mirrored).abs().max().item()
    if excess > 1e-12 * weights.abs().max().item():
        raise InputError(
            f"weights differ between f and -f by up to {excess:.3g}, which no real field allows;"
            f" {cure or 'make them even, e.g. a function of |f|'}"
        )


def _self_conjugate(side: int) -> list[int]:
    return [0, side // 2] if side % 2 == 0 and side > 1 else [0]
