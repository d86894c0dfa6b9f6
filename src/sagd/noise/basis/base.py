"""Transforms: the base of all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.spec import Description
from sagd.tensors import Holding

EDGE = 1e-9
"""Frequencies this close below a band edge, in `rho`, lie on it: they are there but for rounding."""


@dataclass(frozen=True)
class Basis(Holding, Description, ABC, family="basis", example="fourier"):
    """An orthonormal transform of real fields of one spatial shape.

    A basis is a description too: `{"kind": "fourier", "spatial": [28, 28]}`; see `build_basis` for the text form.

    Args:
        spatial: Side lengths of the spatial axes, e.g. `(32, 32)`; its length is the spatial rank `n`.

    Raises:
        InputError: If `spatial` is empty or holds a non-positive side.
    """

    spatial: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            sides = tuple(int(side) for side in self.spatial)
            valid = bool(sides) and sides == tuple(self.spatial) and min(sides) >= 1
        except (TypeError, ValueError, OverflowError):
            valid = False
        if not valid:
            raise InputError(f"spatial must hold positive side lengths, got {self.spatial}; e.g. (32, 32)")
        object.__setattr__(self, "spatial", sides)

    @property
    def rank(self) -> int:
        """Spatial rank `n`: 1 for audio, 2 for images, 3 for video and volumes."""
        return len(self.spatial)

    @property
    def size(self) -> int:
        """Number of samples `d = prod(spatial)`, in each channel."""
        return math.prod(self.spatial)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Axes whose frequencies have no sign, so that `f` and its mirror image in any of them are one.

        Orientations that differ by such a mirroring cannot be told apart then.
        """
        return ()

    @property
    def channels(self) -> int | None:
        """Number of channels that the basis mixes, the axis before the spatial ones; None if it acts on those alone."""
        return None

    @property
    def mixing(self) -> tuple[tuple[float, ...], ...] | None:
        """Rows of the orthonormal mix of channels, `(C, C)`; None if it acts on the spatial axes alone."""
        return None

    @property
    def spatial_part(self) -> Basis:
        """The basis of the spatial axes, without the mix of channels."""
        return self

    @property
    def is_fourier(self) -> bool:
        """Whether it is the Fourier transform on the spatial axes, in which cyclic shifts are diagonal."""
        return False

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
        if self.channels is not None:
            expected = (self.channels, *expected)
        if tuple(x.shape[-len(expected) :]) != expected:
            layout = "" if self.channels is None else f": {self.channels} channels, then the spatial axes"
            raise InputError(
                f"tensor of shape {tuple(x.shape)} does not end in {expected}, as {type(self).__name__} needs{layout}"
            )

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.rank, 0))

    def radius(self) -> Tensor:
        """Radial frequency `r(f) = |f|` in cycles per sample, `(*coefficients)`, float64."""
        return torch.linalg.vector_norm(self.frequencies(), dim=0)

    def relative_radius(self) -> Tensor:
        """`rho = r / r_max`, the fraction of the corner radius `r_max = sqrt(n)/2`: in [0, 1] at every frequency."""
        return self.radius() / corner_radius(self.rank)


def corner_radius(rank: int) -> float:
    """Largest radial frequency of an `n`-dimensional grid, `r_max = sqrt(n)/2` cycles per sample."""
    return math.sqrt(rank) / 2


def build_basis(text: str | dict[str, Any] | Basis, spatial: tuple[int, ...]) -> Basis:
    """The basis for one spatial shape, described without it.

    >>> build_basis("cosine", (4, 5))
    CosineBasis(spatial=(4, 5))
    >>> build_basis("wavelet(name='db2', levels=1)", (8, 4)).to_dict()
    {'kind': 'wavelet', 'spatial': [8, 4], 'name': 'db2', 'levels': 1}

    Args:
        text: `kind` or `kind(name=value, ...)`, the same as a mapping, or a basis.
        spatial: Side lengths of the spatial axes.

    Raises:
        InputError: On unknown names or parameters, on values that the basis refuses on these axes, and if `text` names
            another spatial shape.
    """
    basis = text if isinstance(text, Basis) else Basis.from_dict({"spatial": spatial, **Basis.read(text)})
    if basis.spatial != tuple(spatial):
        raise InputError(f"basis is for spatial shape {basis.spatial}, wanted for {tuple(spatial)}; leave spatial out")
    return basis
