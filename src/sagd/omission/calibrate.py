"""How much of what a network predicts in an unseen band is true, by ring of radii."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.basis.base import EDGE
from sagd.noise.statistics import DataStatistics
from sagd.omission.level import least_time

_RINGS = 20
"""Rings of radius over which the calibration is pooled."""


@torch.no_grad()
def calibrate(denoiser: Denoiser, batches: Iterable[tuple[Tensor, Conditional]], statistics: DataStatistics) -> Tensor:
    """How much of what a model predicts of its unseen band the damaged data bears out.

    The factor `g` that makes `g m` the best multiple of the prediction `m` for the damaged band, `E[y m] / E[m m]`
    about the mean, pooled over rings of radius. Since the damage is independent of the rest of the image it is the best
    multiple for the clean band as well: near 1 where the network has learnt the conditional mean, near 0 where what it
    gives is its own error, as in bands that nothing predicts.

    Args:
        denoiser: The denoiser, not calibrated.
        batches: Damaged images `(B, C, *spatial)` and their condition.
        statistics: Mean and basis of the training data.

    Returns:
        `(*coefficients)`, float64, in [0, 1]; 1 where nothing is predicted.
    """
    process, basis = denoiser.process, statistics.basis
    t = least_time(process)
    cross, own = torch.zeros(2, process.shape[0], *basis.coefficients, dtype=torch.float64)
    for y, condition in batches:
        mean = statistics.mean.to(y)
        m = basis.forward((denoiser.final(process.alpha(t, y) * y, t, condition) - mean).double())
        cross += (m.conj() * basis.forward((y - mean).double())).real.sum(0).cpu()
        own += m.abs().square().sum(0).cpu()
    ring = ((basis.relative_radius() + EDGE) * _RINGS).long().clamp(max=_RINGS - 1)
    # Channel by channel, since a band may differ between them.
    weight = basis.multiplicity() * (mask(process.unseen.band or "", basis) > 0)
    pooled = [
        torch.zeros(_RINGS, dtype=torch.float64).index_add_(0, ring.flatten(), (weight * v).sum(0).flatten())
        for v in (cross, own)
    ]
    g = torch.where(pooled[1] > 0, pooled[0] / pooled[1].clamp(min=1e-300), 1.0).clamp(0, 1)
    return g[ring]
