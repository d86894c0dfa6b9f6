"""How much of what a model says of its band is true, and how much it leaves open, measured on damaged images alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.statistics import DataStatistics
from sagd.omission.alarm import ALARM
from sagd.omission.level import least_time
from sagd.omission.second import SecondDamage
from sagd.omission.weighing import by_ring, remainder, rings
from sagd.random import generator_for

_NOTHING = 1e-12
"""Power over the largest up to which there is none but rounding."""
Batches = Iterable[tuple[Tensor, Conditional]]
"""Damaged images `(B, C, *spatial)` and their condition."""


@dataclass(frozen=True)
class Calibration:
    """What was measured of a model's word on its band.

    Attributes:
        share: The share of a prediction, about the mean of the data, that is believed, `(*coefficients)`, float64.
        unexplained: `V(f)`, the variance that what is believed leaves open, `(C, *coefficients)`, float64; None if the
            spectrum of the damage, without which it cannot be told, is not known.
        believed: Power of what is believed, as a part of all that is predicted; None if nothing is predicted.
        drawn_back: Share of a second damage that the prediction draws back, see `sagd.omission.second`; None if none
            was laid on.
        alarm: Power of the prediction over the clean spectrum, where the damage is; None if that is not known.
    """

    share: Tensor
    unexplained: Tensor | None = None
    believed: float | None = None
    drawn_back: float | None = None
    alarm: float | None = None

    @property
    def vetoed(self) -> bool:
        """Whether the prediction shows the damage, so that nothing of it is believed."""
        return _is_loud(self.alarm)

    def lines(self) -> list[str]:
        """For people."""
        if self.vetoed:
            return [
                f"what the model says of the band has {10 * math.log10(self.alarm or 1):.1f} dB more power than clean"
                " data has beside it: it is damage that leaks there, or the network's own error, and nothing of it is"
                " believed; train longer, widen the band, or take the damage out without a network first (sagd clean)"
            ]
        said = []
        if self.believed is not None:
            said.append(f"{100 * self.believed:.0f} % of what the model says of the band is believed")
        if self.drawn_back is not None:
            said.append(
                f"of a second damage laid over held-out data it draws {100 * max(0.0, self.drawn_back):.0f} % back"
            )
        return said


@torch.no_grad()
def calibrate(
    denoiser: Denoiser,
    batches: Batches,
    statistics: DataStatistics,
    noise: Tensor | None = None,
    second: SecondDamage | None = None,
) -> Calibration:
    """How much of what a model predicts of its unseen band the damaged data bears out, and what that leaves open.

    The share `g` makes `g m` the best multiple of the prediction `m` for the damaged band, `E[y m] / E[m m]` about the
    mean, by ring of radii, each frequency by what it tells. Since the damage is independent of the rest of the image it
    is the best multiple for the clean band as well: near 1 where the network has learnt the conditional mean, near 0
    where what it gives is its own error, as in bands that nothing predicts. Images that the network was trained on bear
    out whatever it has memorised of them, so these have to be others; and what leaks beside the band bears out damage
    that is drawn back, `E[y m] = E[x m] + E[n m]`, unless a second damage tells the last term.

    Args:
        denoiser: The denoiser, not calibrated.
        batches: Damaged images that it was not trained on, and their condition.
        statistics: Mean and basis of the training data.
        noise: `N(f)`, the power of the damage by frequency, if it is known.
        second: Damage of the same law, to lay over the images.

    Returns:
        `g` in [0, 1], 1 where nothing is predicted; and `V = E|y - g m|^2 - N` of the band, if `N` is known.
    """
    process, basis = denoiser.process, statistics.basis
    t = least_time(process)
    cross, own, all_of = torch.zeros(3, process.shape[0], *basis.coefficients, dtype=torch.float64)
    count, generator = 0, generator_for(1, "second damage")
    learnt, given = torch.zeros_like(cross), torch.zeros(())

    def predicted(y: Tensor, condition: Conditional) -> Tensor:
        return basis.forward((denoiser.final(process.alpha(t, y) * y, t, condition) - statistics.mean.to(y)).double())

    for y, condition in batches:
        mean = statistics.mean.to(y)
        m = predicted(y, condition)
        shown = basis.forward((y - mean).double())
        cross += (m.conj() * shown).real.sum(0).cpu()
        own += m.abs().square().sum(0).cpu()
        all_of += shown.abs().square().sum(0).cpu()
        count += len(y)
        if second is not None:
            d = second.draw(len(y), generator).to(y)
            change = (predicted(y + d, condition) - m).cpu()
            learnt += (basis.forward(d.double()).cpu().conj() * change).real.sum(0)
            # What is clean is known of channels as they are, which the basis may mix.
            given = given + second.basis.forward(basis.inverse(m)).abs().square().sum(0).cpu()
    # Channel by channel, since a band may differ between them.
    band = (mask(process.unseen.band or "", basis) > 0).double()
    cross -= learnt
    alarm = None if second is None or not count else second.alarm(given / count)
    # Where the data has no power, as in a channel that does not vary, nothing is told.
    told = band * (all_of > _NOTHING * all_of.max())
    tells = told / (all_of / max(count, 1)).clamp(min=1e-300)
    g = _believed(tells * cross, tells * own, basis)
    if _is_loud(alarm):
        g = torch.zeros_like(g)
    found = Calibration(g, None, _share(g.square() * own, own, band, basis), alarm=alarm)
    if second is not None and count:
        found = replace(found, drawn_back=_share(learnt, second.power * count, band, basis))
    if noise is None:
        return found
    total = (all_of - 2 * g * cross + g.square() * own) / max(count, 1)
    return replace(found, unexplained=remainder(total, noise, band.expand_as(total), basis, count))


def _is_loud(over: float | None) -> bool:
    return over is not None and over > 10 ** (ALARM / 10)


def _believed(cross: Tensor, own: Tensor, basis: Basis) -> Tensor:
    """The best multiple of a prediction by ring, `(*coefficients)` in [0, 1], as far as rings differ beyond chance.

    With all powers over that of the data, a ring's `g = cross / own` has the variance `1 / own` by chance; what the
    rings differ by beyond that (DerSimonian and Laird, 1986) says how far each is believed against all of them.
    """
    c, w = (by_ring(v, basis).sum(0) for v in (cross, own))
    if not w.sum() > 0:
        return torch.ones(basis.coefficients, dtype=torch.float64)
    each, all_of = c / w.clamp(min=1e-300), c.sum() / w.sum()
    beyond = (w * (each - all_of).square()).sum() - ((w > 0).sum() - 1)
    spread = (beyond / (w.sum() - w.square().sum() / w.sum()).clamp(min=1e-300)).clamp(min=0)
    found = (all_of + spread * w / (1 + spread * w) * (each - all_of)).clamp(0, 1)
    return torch.where(w > 0, found, 1.0)[rings(basis)]


def _share(part: Tensor, whole: Tensor, band: Tensor, basis: Basis) -> float | None:
    """Of powers in the band."""
    mine, all_of = (float((basis.multiplicity() * band * power).sum()) for power in (part, whole))
    return mine / all_of if all_of > 0 else None
