"""Amplitude maps `m(x) >= 0` on the spatial grid, as small serialisable descriptions: where in a field the noise lies.

A region shapes noise over space as a spectrum shapes it over frequency: `diag(m) T_w xi` has covariance
`diag(m) Sigma_w diag(m)`. It knows no grid of its own. Positions are fractions of the sides, and pixel `i` of `N` has
its centre at `(i + 1/2) / N`, so that [0, 1] covers the field whatever its resolution and spatial rank; only `Table`
holds one value per pixel.

Edges are sharp by default. A soft edge is half a period of a cosine, centred on the edge, from one level to the other.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE
from sagd.noise.spectra.checks import require_finite, require_weight
from sagd.noise.spectra.tables import number_table
from sagd.spec import Description


class Region(Description, family="region"):
    """Base of all regions; a subclass supplies `field`."""

    @abstractmethod
    def field(self, positions: Tensor) -> Tensor:
        """Raw amplitudes at the centres of all pixels.

        Args:
            positions: Fractions of the sides, `(n, *spatial)`, float64.

        Returns:
            Amplitudes `(*spatial)`, or `(C, *spatial)` where channels differ; float64.
        """

    def amplitude(self, spatial: Sequence[int]) -> Tensor:
        """The map `m(x)` on a grid.

        Args:
            spatial: Side lengths of the spatial axes, e.g. `(32, 32)`.

        Returns:
            Amplitudes `(*spatial)`, or `(C, *spatial)` where channels differ; float64.

        Raises:
            InputError: If the region does not fit the grid, or its amplitudes are no amplitudes of noise: negative,
                not finite, or zero everywhere.
        """
        spatial = tuple(spatial)
        m = self.field(pixel_centres(spatial)).double()
        if tuple(m.shape) not in (spatial, (*m.shape[:1], *spatial)):
            raise InputError(
                f"region {self.kind!r} has shape {tuple(m.shape)}, the field needs {spatial}, with channels in front or"
                " not"
            )
        if not torch.isfinite(m).all() or m.min() < 0:
            raise InputError(
                f"region {self.kind!r} reaches {m.min().item():.3g} to {m.max().item():.3g}; amplitudes must be finite"
                " and not negative"
            )
        if m.max() == 0:
            raise InputError(f"region {self.kind!r} is zero at every pixel of {spatial}; some place must carry noise")
        return m


def pixel_centres(spatial: Sequence[int]) -> Tensor:
    """Positions `(i + 1/2) / N` of all pixels as fractions of the sides, `(n, *spatial)`, float64.

    Raises:
        InputError: If `spatial` is empty or holds a side that is no positive whole number.
    """
    if not spatial or any(int(side) != side or side < 1 for side in spatial):
        raise InputError(f"spatial must hold positive side lengths, got {tuple(spatial)}; e.g. (32, 32)")
    axes = [(torch.arange(int(side), dtype=torch.float64) + 0.5) / int(side) for side in spatial]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True)
class Uniform(Region, kind="uniform"):
    """The same amplitude everywhere.

    Args:
        value: The amplitude.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        require_weight("uniform value", self.value)

    def field(self, positions: Tensor) -> Tensor:
        """`value` everywhere."""
        return torch.full_like(positions[0], self.value)


@dataclass(frozen=True)
class Box(Region, kind="box"):
    """`inside` on the box `low <= x < high`, `outside` elsewhere.

    Args:
        low: Corner nearest to the origin: one fraction of the side per spatial axis, in [0, 1].
        high: The opposite corner.
        inside: Amplitude in the box.
        outside: Amplitude elsewhere.
        soft: Width of the edges as a fraction of each side. Edges that lie on the border of the field stay sharp.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    inside: float = 1.0
    outside: float = 0.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, _corner(f"box {name}", getattr(self, name)))
        if len(self.low) != len(self.high) or any(a >= b for a, b in zip(self.low, self.high, strict=False)):
            raise InputError(
                f"box needs 0 <= low < high <= 1 (fractions of the side) on every axis, got low={self.low},"
                f" high={self.high}"
            )
        _require_levels(self)

    def field(self, positions: Tensor) -> Tensor:
        """Levels by axis: the box is where all axes are within their ends."""
        _require_axes("box low", self.low, positions)
        share = torch.ones_like(positions[0])
        for x, low, high in zip(positions, self.low, self.high, strict=True):
            # Sharp edges are closed below, also where a pixel's centre misses one by rounding.
            share = share * (_rise(x - low + EDGE, self.soft) if low > 0 else 1)
            share = share * (1 - _rise(x - high + EDGE, self.soft) if high < 1 else 1)
        return _blend(self, share)


@dataclass(frozen=True)
class Ball(Region, kind="ball"):
    """`inside` within `radius` of a centre, `outside` elsewhere: an interval, a disc, a ball.

    Args:
        radius: Fraction of the shortest side.
        centre: One fraction of the side per spatial axis; the middle of the field where not given.
        inside: Amplitude in the ball.
        outside: Amplitude elsewhere.
        soft: Width of the edge as a fraction of the shortest side.
    """

    radius: float = 0.25
    centre: tuple[float, ...] | None = None
    inside: float = 1.0
    outside: float = 0.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        require_finite("ball radius", self.radius)
        if self.radius <= 0:
            raise InputError(f"ball radius must be positive (a fraction of the shortest side), got {self.radius}")
        if self.centre is not None:
            object.__setattr__(self, "centre", _corner("ball centre", self.centre))
        _require_levels(self)

    def field(self, positions: Tensor) -> Tensor:
        """Levels by the distance from the centre, pixels being square."""
        centre = self.centre or (0.5,) * len(positions)
        _require_axes("ball centre", centre, positions)
        shortest = min(positions.shape[1:])
        offsets = [(x - c) * side / shortest for x, c, side in zip(positions, centre, positions.shape[1:], strict=True)]
        distance = torch.linalg.vector_norm(torch.stack(offsets), dim=0)
        return _blend(self, _rise(self.radius - distance + EDGE, self.soft))


@dataclass(frozen=True)
class Table(Region, kind="table"):
    """One amplitude per pixel: any mask or map.

    Args:
        values: `(*spatial)`, or `(C, *spatial)` where channels differ; lists, an array or a tensor. Kept as nested
            tuples of floats.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", number_table("table values", self.values))

    def field(self, positions: Tensor) -> Tensor:
        """The table."""
        return torch.from_numpy(np.asarray(self.values))


def _rise(distance: Tensor, width: float) -> Tensor:
    """From 0 to 1 around a signed distance of 0, as a raised cosine; 1 from 0 on where the width is 0."""
    if width == 0:
        return (distance >= 0).to(distance.dtype)
    return (1 + torch.sin(math.pi * (distance / width).clamp(-0.5, 0.5))) / 2


def _blend(region: Box | Ball, share: Tensor) -> Tensor:
    """`inside` where the share is 1, `outside` where it is 0; each exactly."""
    return region.inside * share + region.outside * (1 - share)


def _require_levels(region: Box | Ball) -> None:
    for name in ("inside", "outside", "soft"):
        require_finite(f"{region.kind} {name}", getattr(region, name))
    require_weight(f"{region.kind} inside", region.inside)
    require_weight(f"{region.kind} outside", region.outside)
    if not 0 <= region.soft <= 1:
        raise InputError(f"{region.kind} soft must lie in [0, 1] (a fraction of the side), got {region.soft}")


def _corner(name: str, fractions: Any) -> tuple[float, ...]:
    """A point as one fraction per axis; a single number is a point of one axis."""
    point = tuple(fractions) if isinstance(fractions, (list, tuple)) else (fractions,)
    for number in point:
        require_finite(name, number)
    if not point or not all(0 <= number <= 1 for number in point):
        raise InputError(f"{name} must hold one fraction of the side in [0, 1] per spatial axis, got {point}")
    return tuple(map(float, point))


def _require_axes(name: str, point: tuple[float, ...], positions: Tensor) -> None:
    if len(point) != len(positions):
        raise InputError(f"{name} {point} has {len(point)} numbers, the field has {len(positions)} spatial axes")
