"""Arrays larger than a model of whole items: what their windows show of a damaged band, and what the model makes of it.

What windows show is `y = x + n`, `n` of the power that the damage has on their own grid, its leaks included; each is
replaced by the mean of posterior draws, as items of the model's size are. Whether the model had better be shown the
damaged array or the cleaned one, and whether that is nearer than cleaning, is tried on draws of the array itself: it is
cleaned as a whole, as arrays are, and its windows are compared where they count. Of a large array the middle alone is
drawn, which lies where it did when all is run backwards; around it is what cleaning leaves, so that the gain is still
measured on the whole. See `sagd.omission.trial`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.counting import Count
from sagd.data.windows import Windows
from sagd.model.condition import Condition
from sagd.noise.spectra.base import Spectrum
from sagd.omission.blending import blended_draw, count_of, taper
from sagd.omission.checks import within_reach
from sagd.omission.guard import next_bins
from sagd.omission.removal import Removal, measure
from sagd.omission.trial import MOST, Trial, damaged_draws, tried, weights_of
from sagd.random import generator_for, seed_for
from sagd.store.model import Trained
from sagd.study.filling import TRYING, Damage, draws_of_trial, errors_of, fill, require_finite, say_start
from sagd.study.larger import Change

TRIED = 8
"""Arrays on which the ways are tried, at most."""
_DRAWN = 512
"""Windows of each that are drawn, at most: those that are compared lie among them."""
_MEASURED = 256
"""Windows in which the strength of the damage is measured."""


@dataclass(frozen=True)
class Piece:
    """An array that the ways are tried on, or a block of it, as the model sees values.

    Attributes:
        y: `(C, *spatial)`, finite.
        taken: What cleaning takes out of it.
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
        band: The damaged band, in the units of the model's grid.
        condition: What it is told of each window, a batch of one; or nothing.
        seed: Seed of the draws.
        trial: In which it was found what it is to be shown; None if there was none.
        groups: How many windows of it are of each array under each kind of damage.
        noise: What is damaged in the windows of an array; None before that is known.
    """

    model: Trained
    band: str
    condition: Condition
    seed: int = 0
    trial: Trial | None = None
    groups: tuple[int, ...] = ()
    noise: Damage | None = None

    @property
    def from_cleaned(self) -> bool:
        """Whether it had better be shown what cleaning leaves."""
        return self.trial is not None and self.trial.from_cleaned

    @property
    def tried(self) -> dict[str, tuple[float, ...]]:
        """Errors of the trial, of the network and of cleaning; {} without one. Windows of one array share its damage,
        and count as one."""
        of = errors_of(self.trial)
        return {way: tuple(float(own.mean()) for own in errors.split(self.groups)) for way, errors in of.items()}

    def of(self, array: Callable[[], Tensor]) -> tuple[ByDraws, str]:
        """With the damage that is measured on an array, and a sentence on it.

        Raises:
            InputError: If the band holds none of the frequencies of windows, or all.
        """
        return self.of_several([array()])

    def of_several(self, arrays: Sequence[Tensor]) -> tuple[ByDraws, str]:
        """With that of several together."""
        size = tuple(self.model.process.shape[1:])
        place = next_bins(Spectrum.parse(self.band).on(self.model.meaning.grid()), size)
        noise, line = Damage.measured(place, _all(_windows(arrays, size, _MEASURED, self.seed)), self.band)
        return dataclasses.replace(self, noise=noise), line

    def damage(self, y: Tensor, removal: Removal, change: Change) -> Tensor:
        """What is to be taken out of an array: in the band and where that leaks, as far as windows show it."""
        start = y - removal.apply(y) if self._cleans else y
        return y - start - change(start)

    def windows(self, x: Tensor, first: int) -> Tensor:
        """Windows restored."""
        assert self.noise is not None
        if self.trial is None or not self._cleans:
            return self.filled(x, self.noise.noise, first, self.seed)
        return self.filled(self.trial.left.shown(x), self.trial.left.noise, first, self.seed)

    @property
    def _cleans(self) -> bool:
        """Whether it is shown what cleaning leaves of this array, in which there is damage, and not all was lost."""
        return self.from_cleaned and self.noise is not None and self.noise.is_shown and bool(self.noise.noise.any())

    def filled(
        self, x: Tensor, noise: Tensor, first: int, seed: int, samples: int = 0, progress: bool | Count = False
    ) -> Tensor:
        """Windows under noise of a power: the mean of draws, or of so many."""
        assert self.noise is not None
        if not noise.any():
            return x
        told = self.condition.expand(len(x)) if self.condition else None
        own = dataclasses.replace(self.noise, noise=noise)
        x = within_reach(x, self.model.statistics)
        return fill(self.model, x, own, samples, seed, told, len(x), progress, first).images


def restorer_of(
    model: Trained,
    band: str,
    pieces: Sequence[Piece],
    condition: Condition,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
) -> ByDraws:
    """How a model of whole items restores arrays.

    Args:
        model: The model.
        band: The damaged band.
        pieces: What it is tried on, whether it had better be shown cleaned arrays; of none it is shown damaged ones.
        condition: What the model is told of all, a batch of one; or nothing.
        seed: Seed of the draws.
        batch_size: Windows per network call.
        progress: Show that there is work.

    Raises:
        InputError: If the band holds none of the frequencies of windows, or all.
    """
    plain = ByDraws(model, band, condition, seed)
    if not pieces:
        return plain
    together, _ = plain.of_several([piece.y for piece in pieces])
    noise = together.noise
    assert noise is not None
    if noise.removal is None or not noise.is_shown or not noise.noise.any():
        return plain
    size = tuple(model.process.shape[1:])
    each = -(-MOST // len(pieces))
    sides = [_middle(piece.y.shape[1:], size) for piece in pieces]
    first, items = 2 * sum(count_of(own, size) for own in sides), 2 * each * len(pieces)
    with Count(draws_of_trial(first, items), TRYING, "draws", progress) as count:
        trial, groups = _tried(together, noise, pieces, each, batch_size, count)
    say_start(trial, len(groups))
    return dataclasses.replace(plain, trial=trial, groups=groups)


def _tried(
    together: ByDraws, noise: Damage, pieces: Sequence[Piece], each: int, batch_size: int, count: Count
) -> tuple[Trial, tuple[int, ...]]:
    """What came of the ways on some windows of a draw of each array, and how many are of each under each damage."""
    size = tuple(together.model.process.shape[1:])
    parts, weights = [], []
    for number, piece in enumerate(pieces):
        seed = seed_for("trial", together.seed, number)
        shown = within_reach(piece.y.float(), together.model.statistics)

        def draw(windows: Tensor, first: int, k: int, seed: int = seed) -> Tensor:
            return together.filled(windows, noise.noise, first, seed_for(seed, k), 1, count)

        sides = _middle(piece.y.shape[1:], size)
        x = piece.y - piece.taken
        _inner(x, sides)[:] = blended_draw(_inner(shown, sides), size, draw, batch_size).to(x)
        require_finite(x)
        damaged = damaged_draws(piece.y[None], x[None], piece.taken[None])
        cleaned = torch.stack([z - measure(z.double(), piece.band).apply(z.double()).to(z) for z in damaged])
        some = _windows([_inner(x, sides)], size, each, seed)
        for of in zip(damaged, cleaned, strict=True):
            parts.append([_all(dataclasses.replace(some, arrays=(_inner(z, sides).float(),))) for z in (x, *of)])
        weights.append(weights_of(piece.taken[None], noise.noise, noise.basis, len(parts[-1][0])))
    x, damaged, cleaned = (torch.cat(several) for several in zip(*parts, strict=True))

    def network(z: Tensor, power: Tensor) -> Tensor:
        seed, firsts = seed_for("trial", together.seed, "network"), range(0, len(z), batch_size)
        return torch.cat([together.filled(z[k : k + batch_size], power, k, seed, progress=count) for k in firsts])

    trial = tried(x, damaged, cleaned, noise.noise, noise.where, network, taper(size), weight=torch.cat(weights))
    return trial, tuple(len(own) for own, *_ in parts)


def _middle(spatial: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """Sides of the part of an array that is drawn: all of one that is small, else the longest shortened.

    >>> _middle((40, 48), (16, 16)), _middle((512, 200), (16, 16)), _middle((1_000_000_000,), (64,))
    ((40, 48), (168, 176), (16352,))
    """
    sides = list(spatial)
    while count_of(sides, size) > _DRAWN:
        windows = [count_of([side], [n]) for side, n in zip(sides, size, strict=True)]
        axis = windows.index(max(windows))
        others = windows[:axis] + windows[axis + 1 :]
        fewer = min(windows[axis] - 1, max([_DRAWN // math.prod(others), *others]))
        sides[axis] = max(size[axis], max(1, size[axis] // 2) * (fewer - 1))
    return tuple(sides)


def _inner(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The middle of an array `(C, *spatial)`."""
    starts = [(n - side) // 2 for n, side in zip(x.shape[1:], sides, strict=True)]
    return x[(slice(None), *(slice(a, a + side) for a, side in zip(starts, sides, strict=True)))]


def _windows(arrays: Sequence[Tensor], size: tuple[int, ...], count: int, seed: int) -> Windows:
    """So many windows of arrays at random places, or as many as there are."""
    none = torch.zeros(0, dtype=torch.int64)
    every = Windows(tuple(y.float() for y in arrays), size, none, none.reshape(0, len(size)))
    return every.scattered(min(count, every.places), generator_for("windowed", seed))


def _all(windows: Windows) -> Tensor:
    return windows[torch.arange(len(windows))]
