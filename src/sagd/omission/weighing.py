"""Evidence: what a damaged band still shows, weighed against what a model expects there, frequency by frequency.

Of the band `x` of an image a model gives the mean `m` and leaves the variance `V` open; the image shows `y = x + n`,
`n` of power `N` and independent of both. Exactly if all is Gaussian and nothing correlates two frequencies, else as the
best linear estimate of each,

    E[x | y] = m + V / (V + N) (y - m),    Cov[x | y] = V N / (V + N).

`V = Cov[y - m] - N` is measured on damaged data alone (`remainder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.operator import Diagonal, pseudo_inverse
from sagd.random import Generator, randn

Weighing = Literal["none", "frequency", "image"]
"""By what the power of the damage is known: not at all, by frequency, or by frequency but for its level in an image."""

_RINGS = 20
"""Rings of radius over which what is measured is pooled."""
_SCORINGS = 20
"""Steps in which the level of the damage in an image is found; a handful suffices."""
_PLACES = 256
"""Places whose variance is computed at a time."""


@dataclass(frozen=True)
class Known:
    """What is known of the band of a batch.

    Attributes:
        mean: `m`, what the model expects, `(B, C, *spatial)`.
        variance: `V(f)`, what it leaves open.
        shown: `y`, what the images show, likewise; None if it is not to be heeded.
        noise: `N(f)`, the power of the damage in that; None if nobody knows.
    """

    mean: Tensor
    variance: Diagonal
    shown: Tensor | None = None
    noise: Diagonal | None = None

    def estimate(self, weighing: Weighing) -> tuple[Tensor, Diagonal]:
        """Mean `(B, C, *spatial)` and variance of the band, with the evidence or without."""
        if weighing == "none":
            return self.mean, self.variance.on(self.mean)
        assert self.shown is not None
        assert self.noise is not None
        v, n = self.variance.on(self.mean), self.noise.on(self.mean)
        if weighing == "image":
            n = n * Diagonal(self.level(), n.basis).on(self.mean)
        g = gain(v, n)
        return self.mean + (g * (self.shown - self.mean)).to(self.mean.dtype), g * n

    def level(self) -> Tensor:
        """The power of the damage of each image over `N`, `(B, 1, ...)`: the most likely, by Fisher scoring.

        A residual `r = y - m` at `f` has the power `V + a N`, so `(|r|^2 - V) / N` estimates `a` without bias, with a
        variance in proportion to `(V / N + a)^2`.
        """
        assert self.shown is not None
        assert self.noise is not None
        basis = self.noise.basis
        v, n = self.variance.on(self.mean).values, self.noise.on(self.mean).values
        power = basis.forward(self.shown.to(v.dtype) - self.mean.to(v.dtype)).abs().square()
        each, ratio = (power - v) * pseudo_inverse(n), v * pseudo_inverse(n)
        count = basis.held("multiplicity", v.dtype, v.device) * (n > 0)
        over = tuple(range(1, power.ndim))
        a = power.new_ones(len(power), *(1,) * (power.ndim - 1))
        for _ in range(_SCORINGS):
            weight = count / (ratio + a).square()
            a = ((weight * each).sum(over, True) / weight.expand_as(each).sum(over, True)).clamp(min=1e-6)
        return a


def gain(v: Diagonal, n: Diagonal) -> Diagonal:
    """`V / (V + N)`, 0 where there is neither."""
    return v * pseudo_inverse(v + n)


def remainder(total: Tensor, noise: Tensor, where: Tensor, basis: Basis, count: int) -> Tensor:
    """`V = total - noise` in a band, powers by frequency `(C, *coefficients)`, none of them negative.

    Measured powers scatter. How far the frequencies of a ring of radii differ is believed as far as they differ more
    than by chance; and where less than nothing would be left there is nothing, which is taken from the others, so that
    each ring keeps its power.

    Args:
        total: Mean power that was measured.
        noise: Power of the damage in it.
        where: 1 in the band, 0 outside.
        basis: That of all these.
        count: Images of which `total` is the mean.
    """
    ring, degrees = rings(basis), by_ring(where, basis).clamp(min=1e-300)
    difference = where * (total - noise)
    mean = (by_ring(difference, basis) / degrees)[..., ring]
    chance = 2 * total.square() / (basis.multiplicity().clamp(min=1e-300) * count)
    spread, by_chance = (by_ring(where * x, basis) for x in ((difference - mean).square(), chance))
    believed = (1 - by_chance / spread.clamp(min=1e-300)).clamp(0, 1)[..., ring]
    difference = where * (mean + believed * (difference - mean))
    positive = difference.clamp(min=0)
    net, gross = (by_ring(values, basis) for values in (difference, positive))
    return positive * (net / gross.clamp(min=1e-300)).clamp(0, 1)[..., ring]


def rings(basis: Basis) -> Tensor:
    """The ring of radii in which each frequency lies, `(*coefficients)`."""
    return ((basis.relative_radius() + EDGE) * _RINGS).long().clamp(max=_RINGS - 1)


def by_ring(values: Tensor, basis: Basis) -> Tensor:
    """Sums over rings, each frequency counted with its multiplicity: `(*, rings)` of `(*, *coefficients)`."""
    flat = (values * basis.multiplicity()).flatten(-len(basis.coefficients))
    return flat.new_zeros(*flat.shape[:-1], _RINGS).index_add_(-1, rings(basis).flatten(), flat)


def deviations(variance: Diagonal, shape: tuple[int, ...]) -> Tensor:
    """Standard deviation of every value of fields `N(0, U* diag(variance) U)` of a shape, `(B|1, *shape)`."""
    basis, v = variance.basis, variance.values
    v = v[(None,) * (2 + len(basis.coefficients) - v.ndim)]
    weight = (v * basis.held("multiplicity", v.dtype, v.device)).expand(-1, shape[0], *basis.coefficients).flatten(1)
    # One place stands for all where fields are stationary.
    places = torch.arange(1 if basis.is_fourier else basis.size)
    found = []
    for channel in range(shape[0]):
        parts = []
        for part in places.split(_PLACES):
            unit = torch.zeros(len(part), shape[0], basis.size, dtype=v.dtype)
            unit[torch.arange(len(part)), channel, part] = 1
            waves = basis.forward(unit.reshape(-1, *shape).to(v.device)).abs().square()
            parts.append(weight @ waves.flatten(1).T)
        found.append(torch.cat(parts, dim=1).expand(-1, basis.size))
    return torch.stack(found, dim=1).reshape(-1, *shape).sqrt()


def draws(variance: Diagonal, like: Tensor, count: int, generators: Sequence[Generator]) -> Tensor:
    """Draws of `N(0, U* diag(variance) U)`, `(count, *like.shape)`, each image by its own generator."""
    root = variance.sqrt()
    xi = torch.stack([randn((count, *like.shape[1:]), generator).to(like) for generator in generators], dim=1)
    return torch.stack([(root * one).to(like.dtype) for one in xi])
