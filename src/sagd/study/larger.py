"""Arrays larger than a model, restored by it: of any size from its own on, in overlapping windows.

Of an array `y` the band and its guard are split off as a whole, a model fills windows of what is left in, and these are
blended into `m`, what it knows of the band. The damage is then measured and taken out of what it does not know,

    x = m + (y - m) less its damage,    frequency by frequency m + g (y - m),

so that all outside of the band stays as it was, and what the band still shows has its say. See
`sagd.omission.removal` for `g`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sagd.data.fields import scales
from sagd.data.kinds import Kind
from sagd.errors import InputError, argument
from sagd.model.condition import Condition
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.omission.blending import blended, numbered, require_size
from sagd.omission.checks import reach, within_reach
from sagd.omission.guard import unguarded
from sagd.omission.modes import Mode
from sagd.omission.removal import Removal
from sagd.omission.restore import restore
from sagd.omission.split import band_part, split
from sagd.store.model import Trained
from sagd.study.guarding import AUTO, NONE, split_band

logger = logging.getLogger(__name__)

_BEYOND = 0.01
"""Share of an array's values beyond those of the training data from which on it is taken to be of other units: single
ones are hot pixels and clicks."""


Change = Callable[[Tensor], Tensor]
"""How a model changes an array, in the values of that."""


class Restorer(Protocol):
    """How a model restores windows."""

    @property
    def model(self) -> Trained:
        """The model."""

    @property
    def tried(self) -> Mapping[str, tuple[float, ...]]:
        """Errors of the network and of cleaning in trials; {} if there were none."""

    def damage(self, y: Tensor, removal: Removal, change: Change) -> Tensor:
        """What is to be taken out of an array `(C, *spatial)`, finite, given the gain that was measured on it."""

    def of(self, array: Callable[[], Tensor]) -> tuple[Restorer, str]:
        """The same for an array, and a sentence on that, "" if there is nothing to say; `array` gives it, or a block of
        it, `(C, *spatial)`, finite, as the model sees values."""

    def windows(self, x: Tensor, first: int) -> Tensor:
        """Windows `(B, C, *size)` restored, given the number of the first, by which each has draws of its own."""


@dataclass(frozen=True)
class ByMode:
    """Of a model that was trained to leave a band out.

    Attributes:
        model: The model.
        mode: How it leaves its band out.
        condition: What it is told of the array, a batch of one; or nothing.
        seed: Seed of the noise that some modes work under.
    """

    model: Trained
    mode: Mode
    condition: Condition
    seed: int = 0

    @property
    def tried(self) -> dict[str, tuple[float, ...]]:
        """Nothing: what the model says was judged when it was trained."""
        return {}

    def damage(self, y: Tensor, removal: Removal, change: Change) -> Tensor:
        """What is to be taken out of an array."""
        if not self.mode.leaves_out:
            return band_part(-change(y), removal.band)
        seen, _ = split(y, removal.band)
        return removal.apply(y - change(seen))

    def of(self, array: Callable[[], Tensor]) -> tuple[ByMode, str]:
        """The same: what the model knows of its band was measured when it was trained."""
        return self, ""

    def windows(self, x: Tensor, first: int) -> Tensor:
        """Windows restored."""
        told = self.condition.expand(len(x)) if self.condition else None
        return restore(
            self.model.denoiser,
            x,
            self.mode,
            self.model.statistics,
            seed=self.seed,
            condition=told,
            batch_size=len(x),
        ).images


@dataclass(frozen=True)
class Blending:
    """What a model makes of arrays, window by window.

    Attributes:
        restorer: How it restores windows.
        batch_size: Windows at a time.
        done: Told how many are done.
    """

    restorer: Restorer
    batch_size: int = 64
    done: Callable[[int], object] | None = None

    def change(self, x: Tensor) -> Tensor:
        """How the model changes an array `(C, *spatial)`, as it sees values.

        Values beyond those of its training data are shown to it as the nearest within.
        """
        model = self.restorer.model
        shown = within_reach(x.float(), model.statistics)
        restored = numbered(self.restorer.windows)
        return blended(shown, model.process.shape[1:], restored, self.batch_size, self.done) - shown


def split_of(model: Trained, mode: Mode, grid: Grid | None, array: Callable[[], Tensor]) -> Spectrum:
    """The band that is split off an array: with the guard that was measured when training, or is on it.

    Args:
        model: The model.
        mode: Its mode.
        grid: That of the array.
        array: Gives it, or a block of it, `(C, *spatial)`, finite.
    """
    told = model.omission.split
    if told in (AUTO, NONE):
        return split_band(unguarded(mode.place), [array()])
    return Spectrum.parse(told).on(grid)


def require_windows(spatial: Sequence[int], model: Trained, what: str = "the array") -> None:
    """Refuse an array of another size than the model's that it has no windows of.

    Raises:
        InputError: If a side is shorter, or the model knows scaled data alone.
    """
    size = tuple(model.process.shape[1:])
    if tuple(spatial) == size:
        return
    if _knows_scaled(model):
        own, needed = (" x ".join(map(str, sides)) for sides in (spatial, size))
        raise InputError(
            f"{what} is {own}, and the model was trained on data scaled to {needed}, which knows nothing of others at"
            f" their own scale; scale it to that size, or train on windows: {argument('data.fit=crop')} and a size"
        )
    require_size(spatial, size, what)


def _knows_scaled(model: Trained) -> bool:
    """Whether the data that a model was trained on was scaled to its size."""
    if "process" not in model.configuration:
        return False
    data = model.config.data
    return data.size is not None and scales(Kind.member(model.meaning.kind)(), data)


def count_beyond(blocks: Iterable[Tensor], model: Trained) -> int:
    """How many values of an array lie beyond those that the model knows.

    Args:
        blocks: Parts of it, as models see values; NaN does not count.
        model: The model.

    Raises:
        InputError: If they are so many that the array is of other units, or some are infinite.
    """
    low, high = reach(model.statistics)
    beyond = infinite = known = 0
    for x in blocks:
        beyond += int(((x < low) | (x > high)).sum())
        infinite += int(x.isinf().sum())
        known += int((~x.isnan()).sum())
    if infinite:
        raise InputError(f"{infinite} value(s) are infinite; mend them, or make them NaN, which is filled in")
    if beyond > _BEYOND * known:
        raise InputError(
            f"{100 * beyond / known:.2g} % of the values lie beyond {low:.3g} to {high:.3g} as the model sees them,"
            " where its training data lies; give them in the units of that"
        )
    return beyond


def beyond_line(count: int) -> str:
    """A sentence about values beyond those that the model knows."""
    return f"{count} value(s) far beyond the training data were shown to the network as the nearest within, and stay"
