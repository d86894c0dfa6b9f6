"""Orthonormal transforms `U` of the spatial axes, in which covariances are diagonal.

A basis acts on the last `n` axes of a real tensor `(*, *spatial)`; `forward` gives coefficients `(*, *coefficients)`
and `inverse` is its exact inverse. With `m = multiplicity()`, the number of real degrees of freedom that each stored
coefficient stands for, Parseval's identity reads `||x||^2 = sum_f m(f) |c(f)|^2` and `sum_f m(f) = d = prod(spatial)`.

Frequencies are in cycles per sample, from `fftfreq` (and `rfftfreq` on the last axis), so that DC is exactly zero and
`w(f) = w(-f)` holds for every function of `|f|`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError

EDGE = 1e-9
"""Frequencies this close below a band edge, in `rho`, lie on it: they are there but for rounding."""


@dataclass(frozen=True)
class Basis(ABC):
    """An orthonormal transform of real fields of one spatial shape.

    Args:
        spatial: Side lengths of the spatial axes, e.g. `(32, 32)`; its length is the spatial rank `n`.

    Raises:
        InputError: If `spatial` is empty or holds a non-positive side.
    """

    spatial: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.spatial or any(int(side) != side or side < 1 for side in self.spatial):
            raise InputError(f"spatial must hold positive side lengths, got {self.spatial}; e.g. (32, 32)")
        object.__setattr__(self, "spatial", tuple(int(side) for side in self.spatial))

    @property
    def rank(self) -> int:
        """Spatial rank `n`: 1 for audio, 2 for images, 3 for video and volumes."""
        return len(self.spatial)

    @property
    def size(self) -> int:
        """Number of samples `d = prod(spatial)`."""
        return math.prod(self.spatial)

    @property
    @abstractmethod
    def coefficients(self) -> tuple[int, ...]:
        """Shape of the stored coefficients."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Coefficients `U x` of a real field `(*, *spatial)`, as `(*, *coefficients)`."""

    @abstractmethod
    def inverse(self, c: Tensor) -> Tensor:
        """The real field `U* c` of coefficients `(*, *coefficients)`, as `(*, *spatial)`."""

    @abstractmethod
    def frequencies(self) -> Tensor:
        """Frequency vector of every stored coefficient, in cycles per sample: `(n, *coefficients)`, float64."""

    @abstractmethod
    def multiplicity(self) -> Tensor:
        """Real degrees of freedom each stored coefficient stands for: `(*coefficients)`, float64, summing to `d`."""

    @abstractmethod
    def check_symmetry(self, weights: Tensor) -> None:
        """Raise `InputError` if real weights `(*, *coefficients)` do not map real fields to real fields."""

    def _require_trailing(self, x: Tensor, expected: tuple[int, ...]) -> None:
        if tuple(x.shape[-self.rank :]) != expected:
            raise InputError(f"tensor of shape {tuple(x.shape)} does not end in {expected}, as {self} needs")

    def radius(self) -> Tensor:
        """Radial frequency `r(f) = |f|` in cycles per sample, `(*coefficients)`, float64."""
        return torch.linalg.vector_norm(self.frequencies(), dim=0)

    def relative_radius(self) -> Tensor:
        """`rho = r / r_max`, the fraction of the corner radius `r_max = sqrt(n)/2`: in [0, 1] at every frequency."""
        return self.radius() / corner_radius(self.rank)


def corner_radius(rank: int) -> float:
    """Largest radial frequency of an `n`-dimensional grid, `r_max = sqrt(n)/2` cycles per sample."""
    return math.sqrt(rank) / 2


@dataclass(frozen=True)
class FourierBasis(Basis):
    """The unitary discrete Fourier transform, stored as the half spectrum of a real field.

    >>> basis = FourierBasis((4, 5))
    >>> basis.coefficients
    (4, 3)
    >>> x = torch.randn(2, 4, 5, dtype=torch.float64)
    >>> bool(torch.allclose(basis.inverse(basis.forward(x)), x))
    True
    """

    @property
    def coefficients(self) -> tuple[int, ...]:
        """Half of the last axis is stored: `(*spatial[:-1], spatial[-1] // 2 + 1)`."""
        return (*self.spatial[:-1], self.spatial[-1] // 2 + 1)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.rank, 0))

    def forward(self, x: Tensor) -> Tensor:
        """Orthonormal real FFT over the spatial axes; complex `(*, *coefficients)`."""
        self._require_trailing(x, self.spatial)
        return torch.fft.rfftn(x, dim=self._axes, norm="ortho")

    def inverse(self, c: Tensor) -> Tensor:
        """Orthonormal inverse real FFT; real `(*, *spatial)`."""
        self._require_trailing(c, self.coefficients)
        return torch.fft.irfftn(c, s=self.spatial, dim=self._axes, norm="ortho")

    def frequencies(self) -> Tensor:
        """`fftfreq` on every axis but the last, `rfftfreq` on the last: `(n, *coefficients)`, float64."""
        axes = [torch.fft.fftfreq(side, dtype=torch.float64) for side in self.spatial[:-1]]
        axes.append(torch.fft.rfftfreq(self.spatial[-1], dtype=torch.float64))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    def multiplicity(self) -> Tensor:
        """1 on self-conjugate columns of the last axis (DC, and Nyquist if even), 2 elsewhere."""
        last = torch.full((self.coefficients[-1],), 2.0, dtype=torch.float64)
        last[self._self_conjugate_columns()] = 1.0
        return last.expand(self.coefficients).clone()

    def check_symmetry(self, weights: Tensor) -> None:
        """Weights of a real operator satisfy `w(k) = w(-k)`; only the self-conjugate columns can violate it."""
        columns = weights[..., self._self_conjugate_columns()]
        axes = tuple(range(weights.ndim - self.rank, weights.ndim - 1))
        mirrored = torch.roll(torch.flip(columns, axes), shifts=(1,) * len(axes), dims=axes) if axes else columns
        excess = (columns - mirrored).abs().max().item()
        if excess > 1e-12 * weights.abs().max().item():
            raise InputError(
                f"weights differ between f and -f by up to {excess:.3g}, which no real field allows;"
                " make them even, e.g. a function of |f|"
            )

    def _self_conjugate_columns(self) -> list[int]:
        side = self.spatial[-1]
        return [0, side // 2] if side % 2 == 0 and side > 1 else [0]
