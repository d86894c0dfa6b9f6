"""Weights in [0, 1] with the shapes of common damage, and soft edges: what `sagd.noise.bands` takes for a band.

`ring` (by radius), `wedge` (by direction: rain), `strip` (along an axis: scan lines, hum), `stripes` (the same at any
angle) and `spots` (moire, harmonics); `guarded` is any of them and what is near it. A soft edge falls from 1 to 0 as a
squared cosine over a distance `soft` beyond the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE, corner_radius
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import require_finite
from sagd.noise.spectra.geometry import band_mask, distance_on_torus, other_sign


@dataclass(frozen=True)
class Ring(Spectrum, kind="ring"):
    """The radii `[low, high)` (with 1 if `high = 1`), in fractions of the corner radius.

    Args:
        low: Inner edge, in [0, 1).
        high: Outer edge, in (low, 1].
        soft: Width of the soft edges, outside of `[low, high)`.
    """

    measures: ClassVar[Mapping[str, str]] = {"low": "corner", "high": "corner", "soft": "corner"}
    low: float = 0.0
    high: float = 1.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        _require_range("ring", self.low, self.high, 1.0, "fractions of the corner radius")
        _require_soft("ring", self.soft)

    def weights(self, frequencies: Tensor) -> Tensor:
        """1 in the ring, 0 away from it."""
        if self.soft == 0:
            return band_mask(frequencies, self.low, self.high)
        return _edge(self._beyond(frequencies), self.soft)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the nearer edge."""
        return self._beyond(frequencies) * corner_radius(len(frequencies))

    def _beyond(self, frequencies: Tensor) -> Tensor:
        """In fractions of the corner radius."""
        rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
        return torch.maximum(self.low - rho, rho - self.high)


@dataclass(frozen=True)
class Wedge(Spectrum, kind="wedge"):
    """Waves whose direction lies within `width / 2` degrees of `angle`, with radii `[low, high)`; images only.

    Args:
        angle: Direction of the wave vector in degrees, from the column axis (vertical stripes: 0) towards rows.
        width: Full width in degrees, in (0, 180].
        low: Least radius, in fractions of the corner radius.
        high: Largest radius.
        soft: Width of the soft edges, in fractions of the corner radius.
    """

    measures: ClassVar[Mapping[str, str]] = {"low": "corner", "high": "corner", "soft": "corner"}
    angle: float = 0.0
    width: float = 20.0
    low: float = 0.0
    high: float = 1.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        require_finite("wedge angle", self.angle)
        require_finite("wedge width", self.width)
        if not 0 < self.width <= 180:
            raise InputError(f"wedge width must lie in (0, 180] degrees, got {self.width}")
        _require_range("wedge", self.low, self.high, 1.0, "fractions of the corner radius")
        _require_soft("wedge", self.soft)

    def weights(self, frequencies: Tensor) -> Tensor:
        """1 in the wedge, 0 away from it; DC belongs to no direction."""
        return self.weights_of_period(frequencies, 1.0)

    def weights_of_period(self, frequencies: Tensor, period: Tensor | float) -> Tensor:
        """Likewise."""
        rho, turn, distance = self._beyond(frequencies, period)
        hard = band_mask(frequencies, self.low, self.high) * (turn <= self.width / 2 + 1e-9)
        return torch.where(rho > 0, hard if self.soft == 0 else _edge(distance, self.soft), 0.0)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the nearest edge."""
        return self._beyond(frequencies, period)[2] * corner_radius(2)

    def _beyond(self, frequencies: Tensor, period: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """Radius, degrees from the middle, and distance from the edge, in fractions of the corner radius."""
        if len(frequencies) != 2:
            raise InputError(f"a wedge is for images (2 spatial axes), the data has {len(frequencies)}")
        rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(2)
        turn = _least(self._turn, frequencies, period)
        across = rho * torch.sin(torch.deg2rad((turn - self.width / 2).clamp(-90, 90)))
        return rho, turn, torch.stack([across, self.low - rho, rho - self.high]).amax(0)

    def _turn(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Degrees between a direction and `angle`, both without sign."""
        return (torch.rad2deg(torch.atan2(rows, columns)) - self.angle + 90).remainder(180).sub(90).abs()


@dataclass(frozen=True)
class Strip(Spectrum, kind="strip"):
    """Waves along one axis: `low <= |f_axis| <= high` and all other `|f_i| <= width / 2`, in cycles per sample.

    With the default `width=0` these are patterns that are constant along all other axes: `strip(axis=0)` is what
    rows of different brightness (scan lines) are made of, `strip(axis=1)` columns.

    Args:
        axis: Spatial axis, from 0; images have rows 0 and columns 1.
        low: Least frequency along it; above 0 keeps the mean brightness.
        high: Largest, at most 0.5.
        width: Full width across.
        soft: Width of the soft edges, in cycles per sample.
    """

    measures: ClassVar[Mapping[str, str]] = {"low": "axis", "high": "axis", "width": "radius", "soft": "radius"}
    names_axes = True
    axis: int = 0
    low: float = 0.0
    high: float = 0.5
    width: float = 0.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or isinstance(self.axis, bool) or self.axis < 0:
            raise InputError(f"strip axis must be a number of a spatial axis, from 0, got {self.axis!r}")
        _require_range("strip", self.low, self.high, 0.5, "cycles per sample")
        _require_width("strip", self.width)
        _require_soft("strip", self.soft)

    def weights(self, frequencies: Tensor) -> Tensor:
        """1 on the strip, 0 away from it."""
        return _edge(self.distance(frequencies), self.soft)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the nearest edge, along an axis: what is beyond a corner counts as beyond the farther of its edges."""
        if self.axis >= len(frequencies):
            raise InputError(f"strip axis {self.axis} is none of the {len(frequencies)} spatial axes of the data")
        along = frequencies[self.axis].abs()
        across = [f.abs() - self.width / 2 for axis, f in enumerate(frequencies) if axis != self.axis]
        return torch.stack([self.low - along, along - self.high, *across]).amax(0)


@dataclass(frozen=True)
class Stripes(Spectrum, kind="stripes"):
    """Waves along one direction in the plane of the last two axes: a `strip` at any angle.

    Args:
        angle: Direction of the wave vector in degrees, from the last axis (upright stripes: 0) to the last but one.
        low: Least frequency along it, in cycles per sample; above 0 keeps the mean brightness.
        high: Largest; along a diagonal there are some up to 0.7071.
        width: Full width across.
        soft: Width of the soft edges, in cycles per sample.
    """

    measures: ClassVar[Mapping[str, str]] = {"low": "radius", "high": "radius", "width": "radius", "soft": "radius"}
    names_axes = True
    angle: float = 0.0
    low: float = 0.0
    high: float = 0.7072
    width: float = 0.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        require_finite("stripes angle", self.angle)
        _require_range("stripes", self.low, self.high, 1.0, "cycles per sample")
        _require_width("stripes", self.width)
        _require_soft("stripes", self.soft)

    def weights(self, frequencies: Tensor) -> Tensor:
        """1 on the stripes, 0 away from them."""
        return self.weights_of_period(frequencies, 1.0)

    def weights_of_period(self, frequencies: Tensor, period: Tensor | float) -> Tensor:
        """Likewise."""
        return _edge(self.distance(frequencies, period), self.soft)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the nearest edge, as of a strip."""
        if len(frequencies) < 2:
            raise InputError(f"stripes are for images and volumes, the data has {len(frequencies)} spatial axis")
        nearest = _least(self._distance, frequencies[-2:], period)
        others = [f.abs() - self.width / 2 for f in frequencies[:-2]]
        return torch.stack([nearest, *others]).amax(0)

    def _distance(self, rows: Tensor, columns: Tensor) -> Tensor:
        turn = math.radians(self.angle)
        along = (columns * math.cos(turn) + rows * math.sin(turn)).abs()
        across = (rows * math.cos(turn) - columns * math.sin(turn)).abs()
        return torch.stack([self.low - along, along - self.high, across - self.width / 2]).amax(0)


@dataclass(frozen=True)
class Spots(Spectrum, kind="spots"):
    """Disks around given frequencies and their mirrors, in cycles per sample; on the torus, as `notch`.

    Args:
        at: Frequencies, each one number per spatial axis.
        radius: Radius of the disks.
        soft: Width of the soft edges.
    """

    measures: ClassVar[Mapping[str, str]] = {"at": "at", "radius": "radius", "soft": "radius"}
    names_axes = True
    at: tuple[tuple[float, ...], ...] = ()
    radius: float = 0.02
    soft: float = 0.0

    def __post_init__(self) -> None:
        listed = self.at if isinstance(self.at, (list, tuple)) else (self.at,)
        at = tuple(tuple(f) if isinstance(f, (list, tuple)) else (f,) for f in listed)
        if not at:
            raise InputError("spots need at least one frequency, e.g. at=[[0.25, 0.0]]")
        for number in (n for f in at for n in f):
            require_finite("spots frequency", number)
            if abs(number) > 0.5:
                raise InputError(f"spots frequencies are cycles per sample, at most 0.5, got {number}")
        object.__setattr__(self, "at", tuple(tuple(map(float, f)) for f in at))
        require_finite("spots radius", self.radius)
        if self.radius < 0:
            raise InputError(f"spots radius must not be negative, got {self.radius}")
        _require_soft("spots", self.soft)

    def weights(self, frequencies: Tensor) -> Tensor:
        """1 in the disks, 0 away from them."""
        return self.weights_of_period(frequencies, 1.0)

    def weights_of_period(self, frequencies: Tensor, period: Tensor | float) -> Tensor:
        """Likewise."""
        return _edge(self.distance(frequencies, period), self.soft)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the nearest disk."""
        nearest = torch.full_like(frequencies[0], math.inf)
        for f in self.at:
            if len(f) != len(frequencies):
                raise InputError(f"spot {f} has {len(f)} numbers, the data has {len(frequencies)} spatial axes")
            centre = torch.tensor(f).to(frequencies).reshape(-1, *(1,) * (frequencies.ndim - 1))
            for sign in (1, -1):
                away = distance_on_torus(frequencies - sign * centre, period)
                nearest = torch.minimum(nearest, away)
        return nearest - self.radius


@dataclass(frozen=True)
class Guarded(Spectrum, kind="guarded"):
    """A band and all within a distance of it, but for the mean, which is in it only if it is in the band.

    Damage whose frequency lies between two bins of a window leaks beside its band: see `sagd.omission.guard`.

    Args:
        band: A band that has edges, of no guard of its own.
        by: Width of the guard beyond these, in cycles per sample.
        soft: Width of the soft edge beyond that.
    """

    scalable = False
    band: Spectrum
    by: float = 0.0
    soft: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "band", Spectrum.parse(self.band))
        require_finite("guarded by", self.by)
        if self.by < 0:
            raise InputError(f"guarded by must not be negative, got {self.by}")
        _require_soft("guarded", self.soft)

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The band."""
        return (self.band,)

    def with_parts(self, parts: tuple[Spectrum, ...]) -> Guarded:
        """A guard around another band."""
        return Guarded(parts[0], self.by, self.soft)

    def weights(self, frequencies: Tensor) -> Tensor:
        """1 in band and guard, 0 away from them."""
        own = self.band.weights(frequencies).clamp(max=1)
        around = _edge(self.distance(frequencies), self.soft)
        return torch.where((frequencies == 0).all(0), own, torch.maximum(own, around))

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the edge of the guard."""
        return self.band.distance(frequencies, period) - self.by

    def to_dict(self) -> dict[str, Any]:
        """With the mapping of the band."""
        return {"kind": self.kind, "band": self.band.to_dict(), "by": self.by, "soft": self.soft}

    @property
    def label(self) -> str:
        """The band as people named it."""
        return self.band.label

    def __str__(self) -> str:
        soft = f", soft={self.soft!r}" if self.soft else ""
        return f"{self.kind}(band={str(self.band)!r}, by={self.by!r}{soft})"


def _least(value: Callable[[Tensor, Tensor], Tensor], frequencies: Tensor, period: Tensor | float) -> Tensor:
    """The least of a value of rows and columns, of the two signs that a Nyquist frequency has: so a mask stays even."""
    least, signed = value(*frequencies), other_sign(frequencies, period)
    edge = (signed != frequencies).any(0)
    (rows, columns), (row, column) = frequencies[:, edge], signed[:, edge]
    pairs = [(rows, columns), (rows, column), (row, columns), (row, column)]
    least[edge] = torch.stack([value(*pair) for pair in pairs]).amin(0)
    return least


def _edge(distance: Tensor, soft: float) -> Tensor:
    """1 up to distance 0, then a squared cosine that reaches 0 at `soft`."""
    if soft == 0:
        return (distance <= EDGE).to(distance.dtype)
    return torch.cos(math.pi / 2 * (distance / soft).clamp(0, 1)) ** 2 * (distance < soft - EDGE)


def _require_range(kind: str, low: float, high: float, most: float, unit: str) -> None:
    require_finite(f"{kind} low edge", low)
    require_finite(f"{kind} high edge", high)
    if not 0 <= low < high <= most:
        raise InputError(f"{kind} needs 0 <= low < high <= {most:g} ({unit}), got low={low}, high={high}")


def _require_width(kind: str, width: float) -> None:
    require_finite(f"{kind} width", width)
    if width < 0:
        raise InputError(f"{kind} width must not be negative, got {width}")


def _require_soft(kind: str, soft: float) -> None:
    require_finite(f"{kind} soft", soft)
    if not 0 <= soft <= 0.5:
        raise InputError(f"{kind} soft must lie in [0, 0.5], got {soft}; 0 is a hard edge")
