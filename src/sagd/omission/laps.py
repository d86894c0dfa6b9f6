"""Laps: a prior learnt from damaged data alone, by expectation and maximisation.

Lap by lap, every image is drawn from its posterior under the present model, and the model is trained on the draws
(Rozet et al., arXiv:2405.13712). The likelihood of the damaged data does not fall from lap to lap as long as draws and
training are good enough, which is judged by what was hidden from held-out images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.data.corruption.subsampled import Subsampled
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.alarm import ALARM, excess
from sagd.omission.posterior import Judged, judged
from sagd.random import generator_for

Draw = Callable[[Tensor, Tensor, int], Tensor]
"""Draws of images `(B, C, *spatial)` by their noise `N(f)` and the number of the draw."""
_HIDDEN = 0.2
"""Share of what held-out images show that is hidden from the draws that are judged."""


@dataclass(frozen=True)
class HeldOut:
    """Damaged images that no lap is trained on.

    Attributes:
        y: `(B, C, *spatial)`.
        noise: `N(f)`, `(B|1, C|1, *coefficients)`.
        mean: The mean of the data `(C, *spatial)`.
        basis: Of the noise.
        band: Where the damage lies, if that is alike in all; None if it is of its own in every image.
        hides: Whether nothing is known there; else all is shown under the noise.
        shown: What draws are given in place of `y`, as when this was cleaned; None: `y`. They are judged on `y`, whose
            damage they know nothing of, so that it adds the same to all errors.
    """

    y: Tensor
    noise: Tensor
    mean: Tensor
    basis: Basis
    band: Spectrum | None = None
    hides: bool = True
    shown: Tensor | None = None

    def judge(self, draw: Draw) -> Judged:
        """What draws are worth where they are not shown what the damaged images show.

        That is in a band that is hidden, whose damage adds the same to all errors; or at frequencies hidden at random.
        """
        hidden = self._hidden
        noise = torch.where(hidden > 0, torch.inf, self.noise.expand(len(self.y), *self.noise.shape[1:]))
        shown = self.y if self.shown is None else self.shown
        both = draw(shown, noise, 0), draw(shown, noise, 1)
        found = judged(both, self.y, hidden, noise, self.mean, self.basis)
        if self.band is None:
            return found
        return dataclasses.replace(found, power=10 ** (excess(list(both[0]), self.band) / 10))

    @property
    def _hidden(self) -> Tensor:
        """The band that is hidden; or frequencies at random of those that each image shows, never those next to 0."""
        if self.band is not None and self.hides:
            return (mask(self.band, self.basis) > 0).double().reshape(1, -1, *self.basis.coefficients)
        streams = [generator_for(0, "hidden", number) for number in range(len(self.y))]
        chosen = Subsampled(keep=1 - _HIDDEN).places(self.basis.spatial, streams)[:, None]
        return (chosen & torch.isfinite(self.noise)).double()


@dataclass(frozen=True)
class Lap:
    """One lap, and what came of it.

    Attributes:
        number: 0 for what there is before laps.
        judged: What its draws are worth.
    """

    number: int
    judged: Judged

    def line(self, best: Lap | None) -> str:
        """For people."""
        found = self.judged
        said = f"lap {self.number}: {100 * found.error:.1f} % of what was hidden from held-out data is not predicted"
        if found.power == found.power:
            said += f", draws have {found.power:.2f} times the power that is expected there"
        if best is None:
            return said
        gained, error = found.better_by(best.judged)
        return f"{said}; {100 * gained:+.1f} ± {100 * error:.1f} % gained on lap {best.number}"


def gains(lap: Lap, best: Lap, banded: bool) -> bool:
    """Whether a lap is better than the best before it beyond chance, and does not draw back damage of a band.

    What is drawn back may not be more than the alarm allows, or than the best has. Where every image has damage of its
    own there is none to draw back: power that is too much is error, and counted.
    """
    gained, error = lap.judged.better_by(best.judged)
    return gained > error and not (banded and lap.judged.power > max(10 ** (ALARM / 10), best.judged.power))
