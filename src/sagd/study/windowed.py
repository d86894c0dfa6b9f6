"""Arrays larger than a model of whole items: what their windows show of a damaged band, and what the model makes of it.

What windows show is `y = x + n`, `n` of the power that the damage has on their own grid, its leaks included; each is
replaced by the mean of posterior draws, as items of the model's size are. Whether the model had better be shown the
damaged array or the cleaned one, and whether that is nearer than cleaning, is tried on draws of the array itself: it is
cleaned as a whole, as arrays are, and its windows are compared where they count. See `sagd.omission.trial`.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.model.condition import Condition
from sagd.noise.spectra.base import Spectrum
from sagd.omission.blending import blended_draw, count_of, taper
from sagd.omission.checks import within_reach
from sagd.omission.guard import next_bins
from sagd.omission.removal import Removal, measure
from sagd.omission.trial import MOST, Trial, damaged_draws, tried
from sagd.random import generator_for, rand, seed_for
from sagd.store.model import Trained
from sagd.study.filling import DRAWS, Damage, errors_of, fill, require_finite, say_start
from sagd.study.larger import Change
from sagd.training.progress import stage

logger = logging.getLogger(__name__)

TRIED = 4
"""Arrays that are looked at, and tried, at most."""
_WINDOWS = 2048
"""Windows of arrays that are tried, at most, but for those of the first."""
_MEASURED = 256
"""Windows in which the strength of the damage is measured."""


@dataclass(frozen=True)
class Piece:
    """A part of an array, as the model sees values.

    Attributes:
        y: `(C, *spatial)`, finite.
        taken: What cleaning the array takes out of it.
        band: The damaged band, in cycles per sample.
    """

    y: Tensor
    taken: Tensor
    band: Spectrum


@dataclass(frozen=True)
class ByDraws:
    """The restoration of windows by a model of whole items, for `sagd.study.larger`.

    Attributes:
        model: The model.
        noise: What is damaged in the windows.
        condition: What it is told of each, a batch of one; or nothing.
        seed: Seed of the draws.
        trial: In which it was found what it is to be shown; None if there was none.
        together: How many windows of it each are of one array.
    """

    model: Trained
    noise: Damage
    condition: Condition
    seed: int = 0
    trial: Trial | None = None
    together: int = 1

    @property
    def from_cleaned(self) -> bool:
        """Whether it is shown what cleaning leaves."""
        return self.trial is not None and self.trial.from_cleaned

    @property
    def tried(self) -> dict[str, tuple[float, ...]]:
        """Errors of the trial, of the network and of cleaning; {} without one. Windows of one array share its damage,
        and count as one."""
        of = errors_of(self.trial)
        return {way: tuple(float(own.mean()) for own in errors.split(self.together)) for way, errors in of.items()}

    def damage(self, y: Tensor, removal: Removal, change: Change) -> Tensor:
        """What is to be taken out of an array: in the band and where that leaks, as far as windows show it."""
        start = y - removal.apply(y) if self.from_cleaned else y
        return y - start - change(start)

    def windows(self, x: Tensor, number: int) -> Tensor:
        """Windows restored."""
        noise = self.trial.left if self.trial is not None and self.from_cleaned else self.noise.noise
        return self.filled(x, noise, seed_for("windows", self.seed, number))

    def filled(self, x: Tensor, noise: Tensor, seed: int, draws: int = DRAWS) -> Tensor:
        """Windows under noise of a power: the mean of so many draws."""
        if not noise.any():
            return x
        told = self.condition.expand(len(x)) if self.condition else None
        own = dataclasses.replace(self.noise, noise=noise)
        x = within_reach(x, self.model.statistics)
        return fill(self.model, x, own, draws, seed, told, len(x)).images


def restorer_of(
    model: Trained,
    band: str,
    pieces: Sequence[Piece],
    condition: Condition,
    seed: int = 0,
    batch_size: int = 64,
    tries: bool = True,
    progress: bool = False,
) -> ByDraws:
    """How a model of whole items restores arrays, by what some of them show.

    Args:
        model: The model.
        band: The damaged band.
        pieces: Arrays or parts of them, none smaller than the model.
        condition: What the model is told of all, a batch of one; or nothing.
        seed: Seed of the draws.
        batch_size: Windows per network call.
        tries: Find out whether it had better be shown cleaned arrays; else damaged ones.
        progress: Show that there is work.

    Raises:
        InputError: If the band holds none of the frequencies of windows, or all.
    """
    size = tuple(model.process.shape[1:])
    each = -(-_MEASURED // len(pieces))
    windows = torch.cat([_cut(piece.y, _places(piece.y, size, each, seed), size) for piece in pieces])
    place = next_bins(Spectrum.parse(band).on(model.meaning.grid()), size)
    damage = Damage.of_band(model, str(place), windows.float())
    plain = ByDraws(model, damage, condition, seed)
    if not tries or damage.removal is None or not damage.is_shown or not damage.noise.any():
        return plain
    with stage("trying the ways on draws of the model", progress, barred=False):
        trial, together = _tried(plain, _some(pieces, size), batch_size)
    say_start(trial)
    return dataclasses.replace(plain, trial=trial, together=together)


def _tried(plain: ByDraws, pieces: Sequence[Piece], batch_size: int) -> tuple[Trial, int]:
    """What came of the ways on windows of draws of arrays, and how many windows are of each."""
    size = tuple(plain.model.process.shape[1:])
    room = min(math.prod(m - n + 1 for m, n in zip(piece.y.shape[1:], size, strict=True)) for piece in pieces)
    each, parts = min(room, -(-MOST // len(pieces))), []
    seeds = (seed_for("trial", plain.seed, number) for number in itertools.count())
    for piece in pieces:
        shown = within_reach(piece.y.float(), plain.model.statistics)

        def draw(windows: Tensor, k: int) -> Tensor:
            return plain.filled(windows, plain.noise.noise, next(seeds), draws=1)

        x = blended_draw(shown, size, draw, batch_size).to(piece.y)
        require_finite(x)
        damaged = damaged_draws(piece.y[None], x[None], piece.taken[None])
        cleaned = torch.stack([z - measure(z.double(), piece.band).apply(z.double()).to(z) for z in damaged])
        places = _places(piece.y, size, each, plain.seed + 1)
        parts += [tuple(_cut(z, places, size) for z in (x, *of)) for of in zip(damaged, cleaned, strict=True)]
    x, damaged, cleaned = (torch.cat(several).float() for several in zip(*parts, strict=True))

    def network(z: Tensor, noise: Tensor) -> Tensor:
        return torch.cat([plain.filled(some, noise, next(seeds)) for some in z.split(batch_size)])

    damage = plain.noise
    return tried(x, damaged, cleaned, damage.noise, damage.where, network, taper(size)), len(parts[0][0])


def _some(pieces: Sequence[Piece], size: Sequence[int]) -> list[Piece]:
    """Those that are tried: whole, as a part of an array is not cleaned as well as that."""
    some, windows = [pieces[0]], count_of(pieces[0].y.shape[1:], size)
    for piece in pieces[1:]:
        windows += count_of(piece.y.shape[1:], size)
        some += [piece] if windows <= _WINDOWS else []
    return some


def _places(y: Tensor, size: Sequence[int], count: int, seed: int) -> list[tuple[int, ...]]:
    """Where windows of an array start, at random, each place alike."""
    room = torch.tensor([side - n + 1 for side, n in zip(y.shape[1:], size, strict=True)])
    at = rand((min(count, math.prod(room.tolist())), len(size)), generator_for("windowed", seed), torch.float64)
    return [tuple(start) for start in (at * room).long().tolist()]


def _cut(y: Tensor, places: Sequence[tuple[int, ...]], size: Sequence[int]) -> Tensor:
    """Windows of an array, `(B, C, *size)`."""
    at = ((slice(None), *(slice(o, o + n) for o, n in zip(place, size, strict=True))) for place in places)
    return torch.stack([y[where] for where in at])
