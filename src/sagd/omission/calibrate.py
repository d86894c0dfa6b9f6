"""How much of what a model says of its band is true, and how much it leaves open, measured on damaged images alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.statistics import DataStatistics
from sagd.omission.evidence import by_ring, remainder, rings
from sagd.omission.level import least_time

Batches = Iterable[tuple[Tensor, Conditional]]
"""Damaged images `(B, C, *spatial)` and their condition."""


@dataclass(frozen=True)
class Calibration:
    """What was measured of a model's word on its band.

    Attributes:
        share: The share of a prediction, about the mean of the data, that is believed, `(*coefficients)`, float64.
        unexplained: `V(f)`, the variance that what is believed leaves open, `(C, *coefficients)`, float64; None if the
            spectrum of the damage, without which it cannot be told, is not known.
    """

    share: Tensor
    unexplained: Tensor | None = None


@torch.no_grad()
def calibrate(
    denoiser: Denoiser, batches: Batches, statistics: DataStatistics, noise: Tensor | None = None
) -> Calibration:
    """How much of what a model predicts of its unseen band the damaged data bears out, and what that leaves open.

    The share `g` makes `g m` the best multiple of the prediction `m` for the damaged band, `E[y m] / E[m m]` about the
    mean, pooled over rings of radius. Since the damage is independent of the rest of the image it is the best multiple
    for the clean band as well: near 1 where the network has learnt the conditional mean, near 0 where what it gives is
    its own error, as in bands that nothing predicts. Images that the network was trained on bear out whatever it has
    memorised of them, so these have to be others.

    Args:
        denoiser: The denoiser, not calibrated.
        batches: Damaged images that it was not trained on, and their condition.
        statistics: Mean and basis of the training data.
        noise: `N(f)`, the power of the damage by frequency, if it is known.

    Returns:
        `g` in [0, 1], 1 where nothing is predicted; and `V = E|y - g m|^2 - N` of the band, if `N` is known.
    """
    process, basis = denoiser.process, statistics.basis
    t = least_time(process)
    cross, own, all_of = torch.zeros(3, process.shape[0], *basis.coefficients, dtype=torch.float64)
    count = 0
    for y, condition in batches:
        mean = statistics.mean.to(y)
        m = basis.forward((denoiser.final(process.alpha(t, y) * y, t, condition) - mean).double())
        shown = basis.forward((y - mean).double())
        cross += (m.conj() * shown).real.sum(0).cpu()
        own += m.abs().square().sum(0).cpu()
        all_of += shown.abs().square().sum(0).cpu()
        count += len(y)
    # Channel by channel, since a band may differ between them.
    band = (mask(process.unseen.band or "", basis) > 0).double()
    pooled = [by_ring(band * power, basis).sum(0) for power in (cross, own)]
    g = torch.where(pooled[1] > 0, pooled[0] / pooled[1].clamp(min=1e-300), 1.0).clamp(0, 1)[rings(basis)]
    if noise is None:
        return Calibration(g)
    total = (all_of - 2 * g * cross + g.square() * own) / max(count, 1)
    return Calibration(g, remainder(total, noise, band.expand_as(total), basis, count))
