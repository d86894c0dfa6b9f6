"""Fourier along some axes, cosine along the others: grids that close on themselves in part, as maps of the globe do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import half_counts, require_even


@dataclass(frozen=True)
class MixedBasis(Basis, kind="mixed"):
    """The unitary Fourier transform along `periodic` axes and the orthonormal cosine transform along all others.

    On a grid of latitudes and longitudes, `mixed(periodic=[1])`: noise runs on across the date line and is reflected at
    the poles. Of the last periodic axis half is stored, as in the Fourier basis.

    Args:
        spatial: Side lengths of the spatial axes.
        periodic: Axes that close on themselves, from 0; some, not all.

    Raises:
        InputError: If `periodic` is no list of some of the axes.

    >>> basis = MixedBasis((2, 4), periodic=(1,))
    >>> basis.coefficients, basis.mirrored
    ((2, 3), (0,))
    """

    periodic: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "periodic", _some_of(self.periodic, self.rank))

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The axes that are not periodic."""
        return tuple(axis for axis in range(self.rank) if axis not in self.periodic)

    @property
    def coefficients(self) -> tuple[int, ...]:
        """The spatial shape, with half of the last periodic axis."""
        sides = list(self.spatial)
        sides[self._half] = sides[self._half] // 2 + 1
        return tuple(sides)

    def forward(self, x: Tensor) -> Tensor:
        """DCT-II over the other axes, then the real FFT over the periodic ones; complex `(*, *coefficients)`."""
        self._require_trailing(x, self.spatial)
        x = self._cosine.along(x, self._trailing(self.mirrored))
        return torch.fft.rfftn(x.contiguous(), dim=self._trailing(self.periodic), norm="ortho")

    def inverse(self, c: Tensor) -> Tensor:
        """The inverses of both, in turn; real `(*, *spatial)`."""
        self._require_trailing(c, self.coefficients)
        sides = [self.spatial[axis] for axis in self.periodic]
        x = torch.fft.irfftn(c.contiguous(), s=sides, dim=self._trailing(self.periodic), norm="ortho")
        return self._cosine.back_along(x, self._trailing(self.mirrored))

    def frequencies(self) -> Tensor:
        """`k / (2N)` on mirrored axes, `rfftfreq` on the last periodic one, `fftfreq` on the others."""
        return torch.stack(torch.meshgrid(*map(self._frequencies, range(self.rank)), indexing="ij"))

    def multiplicity(self) -> Tensor:
        """By the place on the last periodic axis: 1 at DC and Nyquist, 2 elsewhere."""
        counts = half_counts(self.spatial[self._half])
        return counts.reshape(-1, *(1,) * (self.rank - 1 - self._half)).expand(self.coefficients).clone()

    def check_symmetry(self, weights: Tensor) -> None:
        """As in the Fourier basis, for each frequency of the mirrored axes."""
        *others, half = self._trailing(self.periodic)
        cure = f"make them even along each axis, since axis {self.mirrored[0]} tells no direction from its mirror image"
        require_even(weights, others, half, self.spatial[self._half], cure)

    @cached_property
    def _cosine(self) -> CosineBasis:
        """The transform of the axes that are not periodic."""
        return CosineBasis(self.spatial)

    @property
    def _half(self) -> int:
        """The axis of which half is stored."""
        return self.periodic[-1]

    def _trailing(self, axes: Sequence[int]) -> list[int]:
        """Axes counted from the end."""
        return [axis - self.rank for axis in axes]

    def _frequencies(self, axis: int) -> Tensor:
        """Those of one axis."""
        side = self.spatial[axis]
        if axis not in self.periodic:
            return torch.arange(side, dtype=torch.float64) / (2 * side)
        return (torch.fft.rfftfreq if axis == self._half else torch.fft.fftfreq)(side, dtype=torch.float64)


def _some_of(axes: object, rank: int) -> tuple[int, ...]:
    """Numbers of some axes, in order."""
    listed = axes if isinstance(axes, (list, tuple)) else (axes,)
    known = all(type(axis) is int and 0 <= axis < rank for axis in listed)
    if not known or not 0 < len(set(listed)) == len(listed) < rank:
        raise InputError(
            f"mixed periodic must name some of the axes 0 to {rank - 1}, not all, got {axes!r}; e.g. [1] for"
            " longitudes; where all are periodic use 'fourier', where none is 'cosine'"
        )
    return tuple(sorted(listed))
