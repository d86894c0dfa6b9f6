"""Smooth spectra: a fit to the logarithm of a power spectrum that does not see what lies above it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sagd.noise.basis.base import Basis

_MOST = 3000
"""Frequencies that a fit goes by, at most."""


def smooth_fit(levels: Tensor, basis: Basis, free: Tensor) -> Tensor:
    """Polynomials in radius and log radius, and low harmonics of the direction, robust against excess.

    Args:
        levels: Logarithm of the power, `(*coefficients)`.
        basis: Its basis.
        free: Frequencies to go by, `(*coefficients)`, bool.
    """
    x, step = _features(basis), 1 / max(basis.spatial)
    # As much weight to each octave's worth of low frequencies as to a corner full of high ones, nearly.
    w = basis.multiplicity() / basis.radius().clamp(min=step) ** (len(basis.spatial) / 2)
    rows = free.flatten().nonzero()[:, 0]
    rows = rows[:: max(1, len(rows) // _MOST)]
    b = robust_fit(x.flatten(0, -2)[rows], levels.flatten()[rows], w.flatten()[rows])
    return x @ b


def robust_fit(x: Tensor, y: Tensor, w: Tensor, quantile: float = 0.35, steps: int = 20) -> Tensor:
    """Coefficients of `y ~ x b`, robust against values that lie above: a quantile, then Tukey's weights on that side.

    Args:
        x: `(n, K)`.
        y: `(n,)`.
        w: Weights `(n,)`.
        quantile: Share of values that are to lie below the first fit; damage of up to `1 - quantile` does not matter.
        steps: Iterations of the first part; the second takes half as many.
    """
    b = _least_squares(x, y, w)
    for _ in range(steps):
        rest = y - x @ b
        side = torch.where(rest > 0, quantile, 1 - quantile)
        b = _least_squares(x, y, w * side / rest.abs().clamp(min=0.05))
    for _ in range(steps // 2):
        rest = y - x @ b
        below = rest[rest < 0].abs()
        scale = max(1.4826 * float(below.median()) if len(below) else 0.0, 0.08)
        tukey = (1 - (rest / (4 * scale)) ** 2).clamp(min=0) ** 2 + 1e-6
        b = _least_squares(x, y, w * torch.where(rest > 0, torch.where(rest < 4 * scale, tukey, 1e-6), 1.0))
    return b


def _features(basis: Basis) -> Tensor:
    """`(*coefficients, K)`."""
    f, step = basis.frequencies().double(), 1 / max(basis.spatial)
    radius = basis.radius().double().clamp(min=step)
    r = radius / radius.max()
    columns = [torch.ones_like(r), r.log(), r.log() ** 2, r, r**2, r**3]
    if len(f) > 1:
        along = [component / radius for component in f]
        even = [a**2 - b**2 for a, b in itertools.pairwise(along)]
        even += [2 * a * b for a, b in itertools.combinations(along, 2)]
        if len(along) == 2:
            even.append(even[0] ** 2 - even[1] ** 2)
        columns += [h * factor for h in even for factor in (torch.ones_like(r), r)]
    return torch.stack(columns, dim=-1)


def _least_squares(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    root = w.sqrt()
    # A little ridge, for grids with fewer radii than columns.
    ridge = 1e-6 * torch.eye(x.shape[1], dtype=x.dtype) * float(w.sum()) ** 0.5
    rows, values = torch.cat([x * root[:, None], ridge]), torch.cat([y * root, y.new_zeros(x.shape[1])])
    # The default driver, which pivots, gives other last bits each time.
    return torch.linalg.lstsq(rows, values[:, None], driver="gels").solution[:, 0]
