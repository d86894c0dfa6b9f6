"""Coordinates of damage: how far across its shape a frequency lies, and how far along it.

Damage has one shape across (the line width of a spot, how long stripes are) and another along (how fine stripes are).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sagd.noise.basis.base import EDGE, corner_radius
from sagd.noise.spectra.base import Spectrum, Sum
from sagd.noise.spectra.damage import Guarded, Ring, Spots, Strip, Stripes, Wedge
from sagd.noise.spectra.geometry import distance_on_torus
from sagd.noise.spectra.physical import Physical


@dataclass(frozen=True)
class Part:
    """One connected shape of a band, on some grid of frequencies.

    Attributes:
        inside: Where its weights are above 0, `(*coefficients)`, bool.
        across: Distance from its middle in cycles per sample, likewise.
        extended: Whether it is a line, along which the radius tells where one is; otherwise it is a spot or a ring.
    """

    inside: Tensor
    across: Tensor
    extended: bool

    def at(self, index: Tensor) -> Part:
        """The same at some frequencies, `(n,)`."""
        return replace(self, inside=self.inside[index], across=self.across[index])


def parts_of(band: Spectrum, frequencies: Tensor) -> list[Part]:
    """The connected shapes of a band.

    Args:
        band: Its mask as a spectrum: a shape of damage, a sum of them, or any other mask, which counts as one shape.
        frequencies: In cycles per sample, `(n, *coefficients)`.
    """
    if isinstance(band, Physical):
        plain, stretched, _ = band.placed(frequencies)
        return parts_of(plain, stretched)
    if isinstance(band, Sum):
        return [part for term in band.parts for part in parts_of(term, frequencies)]
    if isinstance(band, Guarded):
        return _guarded(band, frequencies)
    if isinstance(band, Spots):
        return [_spot(replace(band, at=(at,)), frequencies) for at in band.at]
    inside = band.weights(frequencies) > 0
    if isinstance(band, Stripes) and len(frequencies) > 1:
        return [Part(inside, _from_line(band, frequencies), True)]
    if isinstance(band, Strip) and len(frequencies) > 1:
        others = [f for axis, f in enumerate(frequencies) if axis != band.axis]
        return [Part(inside, torch.linalg.vector_norm(torch.stack(others), dim=0), True)]
    if isinstance(band, Wedge):
        angle = torch.deg2rad(torch.tensor(band.angle, dtype=frequencies.dtype))
        return [Part(inside, (frequencies[0] * torch.cos(angle) - frequencies[1] * torch.sin(angle)).abs(), True)]
    radius = torch.linalg.vector_norm(frequencies, dim=0)
    if isinstance(band, Strip):
        return [Part(inside, (radius - (band.low + band.high) / 2).abs(), False)]
    if isinstance(band, Ring):
        middle = (band.low + band.high) / 2 * corner_radius(len(frequencies))
        return [Part(inside, (radius - middle).abs(), False)]
    return [Part(inside, torch.where(inside, 0.0, 1.0).to(radius), False)]


def _guarded(band: Guarded, frequencies: Tensor) -> list[Part]:
    """The shapes of a band that has a guard, each with its own."""
    inner = band.band
    if isinstance(inner, Physical):
        plain, stretched, period = inner.placed(frequencies)
        size = float(period.max())
        return _guarded(Guarded(plain, size * band.by, size * band.soft), stretched)
    several: tuple[Spectrum, ...] = (inner,)
    if isinstance(inner, Sum):
        several = inner.parts
    elif isinstance(inner, Spots):
        several = tuple(replace(inner, at=(at,)) for at in inner.at)
    if len(several) > 1:
        return [part for one in several for part in _guarded(replace(band, band=one), frequencies)]
    inside = band.weights(frequencies) > 0
    return [replace(part, inside=inside) for part in parts_of(several[0], frequencies)]


def _from_line(band: Stripes, frequencies: Tensor) -> Tensor:
    """Distance from the line through the origin that stripes lie on; other axes count as across."""
    turn = math.radians(band.angle)
    across = frequencies[-2] * math.cos(turn) - frequencies[-1] * math.sin(turn)
    return torch.linalg.vector_norm(torch.stack([across, *frequencies[:-2]]), dim=0)


def _spot(spot: Spots, frequencies: Tensor) -> Part:
    """A disk and its mirror."""
    centre = torch.tensor(spot.at[0]).to(frequencies).reshape(-1, *(1,) * (frequencies.ndim - 1))
    across = torch.minimum(distance_on_torus(frequencies - centre), distance_on_torus(frequencies + centre))
    inside = across <= spot.radius + spot.soft + EDGE
    inside[inside.clone()] = spot.weights(frequencies[:, inside]) > 0
    return Part(inside, across, False)
