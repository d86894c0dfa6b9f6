"""A denoiser that is told what damaged images still show: any sampler then draws from their posterior.

Of `x` an image shows `y = x + n` by frequency, `n` independent of `x` and of power `N(f)`: 0 where a coefficient is as
it should be, infinite where nothing is known. With `Cov[x | x_t]` the covariance that the denoiser leaves open and `A`
the projector on what is shown,

    E[x | x_t, y] = x_hat + C A (A C A + N)^-1 A (y - x_hat),    C = Cov[x | x_t],

exactly if `x` given `x_t` is Gaussian, else by matching its first two moments (Rozet et al., arXiv:2405.13712, section
4.2). `C` is taken as diagonal, `V(f) = s^2 S / (a^2 S + s^2)`, which is exact for stationary Gaussian data; or, in
some `rounds` of conjugate gradients that begin there, as the denoiser's own derivative says, `C = J s^2 / a` (Tweedie),
which also knows how frequencies hang together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.model.wrappers import Wrapper
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Time


class Observed(Wrapper):
    """`E[x | x_t, y]` of images of which `y` is shown.

    Args:
        denoiser: Denoiser of whole images.
        shown: `y`, `(B, C, *spatial)`.
        noise: `N(f)`, its values `(B|1, C|1, *coefficients)` in [0, inf], in the basis of the statistics.
        statistics: Of the clean data, whose `S` the variance `V` is made from.
        rounds: Rounds of conjugate gradients, each a derivative of the denoiser; 0 takes `C` as diagonal.

    Raises:
        InputError: If the model has an unseen band, or the noise is no power or of another basis.
    """

    def __init__(
        self, denoiser: Denoiser, shown: Tensor, noise: Diagonal, statistics: DataStatistics, rounds: int = 0
    ) -> None:
        super().__init__(denoiser)
        if self.process.unseen:
            raise InputError(f"{self.process.label} leaves a band out, of which it cannot be told; use a model without")
        check_noise(noise.values, len(shown), noise.basis)
        if noise.basis != statistics.basis:
            raise InputError(f"noise is in {noise.basis}, the statistics in {statistics.basis}; give both in one basis")
        self.shown, self.noise, self.rounds = shown, noise, rounds
        self.spectrum = Diagonal(statistics.spectrum, statistics.basis)

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The estimate, what is shown weighed in."""
        a, s = self.process.diagonal(t, x_t, self.noise.basis)
        spectrum, noise = self.spectrum.on(x_t), self.noise.on(x_t)
        total = a * a * spectrum + s * s
        variance = Diagonal(torch.where(total.values > 0, (s * s * spectrum / total).values, 0.0), noise.basis)
        if not self.rounds:
            x_hat = self.denoiser.estimate(x_t, t, condition)
            weight = Diagonal(weight_of(variance.values, noise.values), noise.basis)
            return x_hat + (weight * (self.shown.to(x_hat) - x_hat)).to(x_hat.dtype)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            out = self.denoiser.estimate(x, t, condition)
        per = Diagonal(torch.where(a.values > 0, (s * s / a).values, 0.0), a.basis)

        def covariance(v: Tensor) -> Tensor:
            (back,) = torch.autograd.grad(out, x, v.to(out.dtype), retain_graph=True)
            return per * back

        return self._solved(out.detach(), variance, noise, covariance).to(out.dtype)

    def _solved(
        self, x_hat: Tensor, variance: Diagonal, noise: Diagonal, covariance: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """`x_hat + C u`, `(A C A + N) u = A (y - x_hat)`: what the last round leaves is closed by the diagonal."""
        seen = noise.map(lambda n: torch.isfinite(n).to(n.dtype))
        own = noise.map(lambda n: torch.where(torch.isfinite(n), n, 0.0))
        inverse = Diagonal(seen.values / (variance + own).values.clamp(min=_LEAST), noise.basis)
        r = seen * (self.shown.to(x_hat) - x_hat)
        z = inverse * r
        p, moved, rho = z, torch.zeros_like(r), _dot(r, z)
        off = rho / _count(seen, variance)
        for _ in range(self.rounds):
            c = covariance(p)
            q = seen * c + own * p
            curvature = _dot(p, q)
            # Networks are no exact derivative of anything: where they claim a variance below 0, nothing is moved.
            step = torch.where(curvature > _LEAST, rho / curvature.clamp(min=_LEAST), 0.0)
            moved, r = moved + step * c, r - step * q
            z = inverse * r
            rho, before = _dot(r, z), rho
            p = z + torch.where(before > 0, rho / before.clamp(min=_LEAST), 0.0) * p
        moved = moved + variance * z
        open_ = noise.map(lambda n: (n > 0).to(n.dtype))
        free = open_ * moved
        return x_hat + moved - free + _bounded(free, off, variance, open_)


_FURTHEST = 4.0
"""Mean square by which coefficients are moved at most that are hidden or shown under noise, over that by which those
that are shown are off, both in units of what is open (`V`, `V + N`). By the law of total variance it is below 1 in the
mean; the derivative of a network in much noise knows no such law, and claims a thousand times as much of an image in a
hundred."""
_LEAST = 1e-12
"""Least variance that is divided by."""


def _bounded(free: Tensor, off: Tensor, variance: Diagonal, where: Diagonal) -> Tensor:
    """What coefficients are moved by that are not shown as they are, made less where it is more than can be."""
    open_ = variance.map(lambda v: torch.where(v > _LEAST, 1 / v.clamp(min=_LEAST), 0.0))
    moved = _dot(free, open_ * free) / _count(where, variance)
    return free * (_FURTHEST * off / moved.clamp(min=_LEAST)).sqrt().clamp(max=1)


def _count(where: Diagonal, variance: Diagonal) -> Tensor:
    """Degrees of freedom of a part of the coefficients that are open at all, by sample, `(B, 1, ...)`."""
    degrees = where.basis.multiplicity().to(variance.values) * (where.values > 0) * (variance.values > _LEAST)
    return degrees.flatten(1).sum(1).clamp(min=1).reshape(-1, *(1,) * (where.basis.rank + 1))


def weight_of(variance: Tensor, noise: Tensor) -> Tensor:
    """`V / (V + N)`, how much what is shown counts: 1 where there is no noise at all, 0 where nothing is known."""
    return torch.where(noise == 0, 1.0, variance / (variance + noise).clamp(min=_LEAST))


def check_noise(noise: Tensor, count: int, basis: Basis) -> None:
    """Refuse what is no power by image and frequency.

    Raises:
        InputError: On another shape, or values below 0.
    """
    wanted = basis.coefficients
    if noise.ndim != 2 + len(wanted) or tuple(noise.shape[2:]) != tuple(wanted) or len(noise) not in (1, count):
        raise InputError(
            f"{argument('noise')} must be (images, channels, {', '.join(map(str, wanted))}) for {count} images, or of"
            f" one image for all, got {tuple(noise.shape)}"
        )
    if not (noise >= 0).all():
        raise InputError("noise must be a power by frequency, from 0 (as it should be) to infinity (nothing known)")


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """By sample, `(B, 1, ...)`."""
    return (x * y).flatten(1).sum(1).reshape(-1, *(1,) * (x.ndim - 1))
