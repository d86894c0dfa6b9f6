"""The damage of an array whose structure is no stationary field: places where much else happens tell less of it.

The Wiener estimate trusts every place alike, so that a bright structure is smeared along the damage as a dark mirror.
Here places have weights `q(x) = 1 / (1 + p / mean p)`, `p` the local power of the whitened remainder, and next to none
beyond the borders; the damage `n` minimises

    sum_x q |O (y - n)|^2 + sum_f |n|^2 / N,      O = -i sign(f . d) S^-1/2,

`d` the direction in which the damage varies. The odd phase makes what remains of a symmetric structure antisymmetric: a
line or a spot then does not pull the estimate to its side. With `q = 1` this is the Wiener estimate, from which a few
steps of conjugate gradients start.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis

_REACH = 2
"""Samples that boxes reach to each side, of which two in a row make a window of local power."""
_STEPS = 3
_BEYOND = 0.05
"""Weight of samples beyond the borders, which are only a guess."""
_TINY = 1e-30


def weighted_damage(z: Tensor, own: Tensor, basis: FourierBasis, smooth: Tensor, gain: Tensor) -> Tensor:
    """The damage in one channel.

    Args:
        z: The extended array, `(*spatial)`.
        own: 1 where samples are of the array, 0 beyond its borders, likewise.
        basis: Its basis.
        smooth: Clean spectrum `S`, `(*coefficients)`, of the type of `z`.
        gain: The Wiener gain, likewise; nothing is taken out where it is 1.
    """
    frequencies, multiplicity = basis.frequencies().to(z), basis.multiplicity().to(z)
    phase = _odd(frequencies, multiplicity * (1 - gain))
    whiten = phase / smooth.sqrt()
    excess = (1 / gain.clamp(min=1e-9) - 1).clamp(min=0)
    up = phase * excess.sqrt()

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (multiplicity * (u.conj() * v).real).sum()

    c = basis.forward(z)
    # In units of the prior: n = sqrt(N) v.
    v = (1 - gain) * c / (excess * smooth).sqrt().clamp(min=_TINY) * (excess > 0)
    data = basis.inverse(whiten * c)
    remainder = (data - basis.inverse(up * v)).square()
    known = _BEYOND + (1 - _BEYOND) * own
    local = _blurred(remainder)
    q = known / (1 + local / (known * local).mean().clamp(min=_TINY) * known.mean())
    q = q * known.sum() / (q * remainder).sum().clamp(min=_TINY)  # the inverse variance of what counts

    def normal(v: Tensor) -> Tensor:
        return v + up.conj() * basis.forward(q * basis.inverse(up * v))

    preconditioner = 1 / (1 + excess * q.mean())
    r = up.conj() * basis.forward(q * data) - normal(v)
    s = preconditioner * r
    p, size = s, dot(r, s)
    for _ in range(_STEPS):
        image = normal(p)
        step = size / dot(p, image).clamp(min=_TINY)
        v, r = v + step * p, r - step * image
        s, before = preconditioner * r, size
        size = dot(r, s)
        p = s + size / before.clamp(min=_TINY) * p
    return basis.inverse((excess * smooth).sqrt() * v)


def _odd(frequencies: Tensor, weight: Tensor) -> Tensor:
    """`-i sign(f . d)`, `d` the direction in which most of a weight lies; 1 where a frequency has no sign."""
    scatter = torch.einsum("i...,j...->ij", frequencies * weight, frequencies)
    along = torch.einsum("i,i...->...", torch.linalg.eigh(scatter).eigenvectors[:, -1], frequencies)
    none = (along.abs() < 1e-5) | (frequencies.abs() == 0.5).any(0)
    return torch.complex(none.to(along), torch.where(none, 0.0, -torch.sign(along)))


def _blurred(x: Tensor) -> Tensor:
    """Local means, by two boxes in a row along each axis."""
    for axis in range(x.ndim):
        y = x.movedim(axis, -1)
        flat = y.reshape(-1, 1, y.shape[-1])
        for _ in range(2):
            flat = torch.nn.functional.avg_pool1d(flat, 2 * _REACH + 1, 1, _REACH)
        x = flat.reshape(y.shape).movedim(-1, axis)
    return x
