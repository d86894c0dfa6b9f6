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

import math

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis

_REACH = 2
"""Samples that boxes reach to each side, of which two in a row make a window of local power."""
_STEPS = 3
_STEPS_OF_RECORDS = 10
"""The ends of a record, and where damage is missing in parts, are farther from the Wiener estimate, and steps cheap."""
_STRAYED = 10.0
"""Power left in the band, in that of the clean spectrum, from which on the Wiener estimate holds, which leaves less: a
strong line that is wider than its band looks like structure beside it, and would be kept within it, too."""
_KEPT = 0.5
"""The same, as a part of the power that was there: what is left of it beyond the borders of an array is no harm."""
_BEYOND = 0.05
"""Weight of samples beyond the borders, which are only a guess."""
_TINY = 1e-30


def weighted_damage(
    c: Tensor,
    own: Tensor,
    basis: FourierBasis,
    smooth: Tensor,
    gain: Tensor,
    phase: Tensor,
    strength: Tensor | None = None,
) -> Tensor:
    """The damage in channels that share their spectra, each by itself, `(*, *spatial)`.

    Args:
        c: Coefficients of the extended arrays, `(*, *coefficients)`.
        own: 1 where samples are of the array, 0 beyond its borders, `(*spatial)`.
        basis: Its basis.
        smooth: Clean spectrum `S`, `(*coefficients)`, of the type of the array.
        gain: The Wiener gain, likewise; nothing is taken out where it is 1.
        phase: `odd_phase` of what is taken out.
        strength: Factor of the damage by place, `(*, *spatial)`; 1 everywhere by default.
    """
    axes = tuple(range(-basis.rank, 0))
    # What is estimated lives at few frequencies, and is kept for these alone.
    at = (gain < 1).flatten().nonzero()[:, 0]
    held = c.flatten(-basis.rank)[..., at]
    gain, clean, turn, multiplicity = (v.flatten()[at] for v in (gain, smooth, phase, basis.multiplicity().to(gain)))
    excess = (1 / gain.clamp(min=1e-9) - 1).clamp(min=0)
    up = turn * excess.sqrt()

    def spread(v: Tensor) -> Tensor:
        whole = torch.zeros((*v.shape[:-1], math.prod(basis.coefficients)), dtype=v.dtype)
        return whole.index_copy_(-1, at, v).unflatten(-1, basis.coefficients)

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (multiplicity * (u.conj() * v).real).sum(-1, keepdim=True)

    def field(v: Tensor) -> Tensor:
        found = basis.inverse(spread(root * v))
        return found if strength is None else strength * found

    def shown(v: Tensor) -> Tensor:
        """Of a damage, whitened; `seen` is its adjoint."""
        return basis.inverse(spread(up * v) if strength is None else whiten * basis.forward(field(v)))

    def seen(u: Tensor) -> Tensor:
        c = basis.forward(u)
        if strength is None:
            return up.conj() * c.flatten(-basis.rank)[..., at]
        return root * basis.forward(strength * basis.inverse(whiten.conj() * c)).flatten(-basis.rank)[..., at]

    # In units of the prior: n = sqrt(N) v.
    root = (excess * clean).sqrt()
    v = (1 - gain) * held / root.clamp(min=_TINY) * (excess > 0)
    whiten = phase * smooth.rsqrt()
    remainder = basis.inverse(whiten * c) - shown(v)
    power = remainder.square()
    known = _BEYOND + (1 - _BEYOND) * own
    local = _blurred(power, basis.rank)
    q = known / (1 + local / (known * local).mean(axes, keepdim=True).clamp(min=_TINY) * known.mean())
    # The inverse variance of what counts.
    q = q * known.sum() / (q * power).sum(axes, keepdim=True).clamp(min=_TINY)
    preconditioner = 1 / (1 + excess * q.mean(axes)[..., None])
    wiener = v
    r = seen(q * remainder) - v
    s = preconditioner * r
    p, size = s, dot(r, s)
    for _ in range(_STEPS if basis.rank > 1 else _STEPS_OF_RECORDS):
        image = p + seen(q * shown(p))
        step = size / dot(p, image).clamp(min=_TINY)
        v, r = v + step * p, r - step * image
        s, before = preconditioner * r, size
        size = dot(r, s)
        p = s + size / before.clamp(min=_TINY) * p
    if strength is None:
        left, all_of = ((multiplicity * d.abs().square()).sum(-1, keepdim=True) for d in (held - root * v, held))
        strayed = (left > _KEPT * all_of) & (left > _STRAYED * (multiplicity * clean).sum())
        v = torch.where(strayed, wiener, v)
    return field(v)


def odd_phase(basis: FourierBasis, weight: Tensor) -> Tensor:
    """`-i sign(f . d)`, `d` the direction in which most of a weight lies; 1 where a frequency has no sign.

    Args:
        basis: Of the coefficients.
        weight: What each counts, `(*coefficients)`; of its type is what is returned.
    """
    axes = basis.axis_frequencies()
    held = weight.flatten().nonzero()[:, 0]
    found, rest = [], held
    for axis in reversed(axes):
        found.append(axis[rest % len(axis)])
        rest = rest // len(axis)
    f = torch.stack(found[::-1]).to(weight)
    direction = torch.linalg.eigh((f * weight.flatten()[held]) @ f.T).eigenvectors[:, -1]
    # Of the two signs of an eigenvector rounding takes one; frequencies without a sign tell them apart.
    direction = direction * torch.sign(direction[direction.abs().argmax()])
    along, edge = torch.zeros((), dtype=weight.dtype), torch.zeros((), dtype=torch.bool)
    for number, axis in enumerate(axes):
        shape = (-1, *(1,) * (basis.rank - number - 1))
        along = along + (direction[number] * axis.to(weight)).reshape(shape)
        edge = edge | (axis.abs() == 0.5).reshape(shape)
    none = (along.abs() < 1e-5) | edge
    return torch.complex(none.to(along), torch.where(none, 0.0, -torch.sign(along)))


def _blurred(x: Tensor, rank: int) -> Tensor:
    """Local means of `(*, *spatial)`, by two boxes in a row along each of the last axes."""
    size = 2 * _REACH + 1
    for axis in range(-rank, 0):
        side = x.shape[axis]
        around = [0] * (2 * (-axis - 1)) + [_REACH, _REACH]
        for _ in range(2):
            padded = torch.nn.functional.pad(x, around)
            x = padded.narrow(axis, 0, side).clone()
            for start in range(1, size):
                x += padded.narrow(axis, start, side)
    return x / size ** (2 * rank)
