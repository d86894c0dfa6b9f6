"""Arrays larger than a model, restored by it: of any size from its own on, in overlapping windows.

Of an array `y` the band and its guard are split off as a whole, a model fills windows of what is left in, and these are
blended into `m`, what it knows of the band. The damage is then measured and taken out of what it does not know,

    x = m + (y - m) less its damage,    frequency by frequency m + g (y - m),

so that all outside of the band stays as it was, and what the band still shows has its say. See
`sagd.omission.removal` for `g`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from sagd.data.fields import scales
from sagd.data.kinds import Kind
from sagd.errors import InputError, argument
from sagd.model.condition import Condition, Conditional
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.omission.blending import blended, count_of, require_size
from sagd.omission.checks import reach, within_reach
from sagd.omission.guard import unguarded
from sagd.omission.modes import Mode
from sagd.omission.preparation import Scale, finished, lines_of, prepared
from sagd.omission.removal import Removal, measure
from sagd.omission.restore import restore
from sagd.omission.split import band_part, split
from sagd.store.model import Trained
from sagd.study.guarding import AUTO, NONE, split_band
from sagd.study.restoration import mode_of_model

logger = logging.getLogger(__name__)

_BEYOND = 0.01
"""Share of an array's values beyond those of the training data from which on it is taken to be of other units: single
ones are hot pixels and clicks."""


@dataclass(frozen=True)
class Blending:
    """What a model makes of arrays, window by window.

    Attributes:
        model: The model.
        mode: How it leaves its band out.
        condition: What it is told of the array, a batch of one; or nothing.
        seed: Seed of the noise that some modes work under.
        batch_size: Windows at a time.
        done: Told how many are done.
    """

    model: Trained
    mode: Mode
    condition: Condition
    seed: int = 0
    batch_size: int = 64
    done: Callable[[int], object] | None = None

    def change(self, x: Tensor) -> Tensor:
        """How the model changes an array `(C, *spatial)`, as it sees values.

        Values beyond those of its training data are shown to it as the nearest within.
        """
        shown = within_reach(x.float(), self.model.statistics)
        return blended(shown, self.model.process.shape[1:], self._restored, self.batch_size, self.done) - shown

    def _restored(self, windows: Tensor) -> Tensor:
        told = self.condition.expand(len(windows)) if self.condition else None
        return restore(
            self.model.denoiser,
            windows,
            self.mode,
            self.model.statistics,
            seed=self.seed,
            condition=told,
            batch_size=len(windows),
        ).images


def network_damage(
    y: Tensor, band: Spectrum, removal: Removal, leaves_out: bool, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """What is to be taken out of an array where a model knows something of its band.

    Args:
        y: `(C, *spatial)`, finite.
        band: What is split off.
        removal: The gain that was measured on it.
        leaves_out: Whether the model is not to see the band; see `Mode`.
        change: How the model changes arrays like `y`.
    """
    if not leaves_out:
        return band_part(-change(y), band)
    seen, _ = split(y, band)
    return removal.apply(y - change(seen))


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


def restore_arrays(
    model: Trained,
    x: Tensor,
    *,
    condition: Conditional = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Restore arrays larger than the model, each by itself.

    Args:
        model: A model that was trained by a mode of omission.
        x: `(B, C, *spatial)`, floating point, as the model sees values; NaN where some are missing, and stay so. Dead
            lines are interpolated, with a line.
        condition: What a conditional model is told of each.
        seed: Seed of the noise that some modes work under.
        batch_size: Windows per network call.
        progress: Show a bar.

    Returns:
        Like `x`.

    Raises:
        InputError: If the model leaves no band out, or an array does not fit.
    """
    mode, (channels, *size) = mode_of_model(model), model.process.shape
    if x.ndim != len(size) + 2 or x.shape[1] != channels or not len(x) or not x.is_floating_point():
        raise InputError(
            f"arrays must be floating point, (B, {channels}, ...) with {len(size)} axes of space, got {x.dtype}"
            f" {tuple(x.shape)}"
        )
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    require_windows(x.shape[2:], model)
    told = model.denoiser.check(condition, len(x))
    for k, beyond in enumerate([count_beyond([item], model) for item in x]):
        if beyond:
            logger.info("array %d: %s", k, beyond_line(beyond))
    out = torch.empty_like(x)
    total = len(x) * count_of(x.shape[2:], size)
    quiet = None if progress else True
    with tqdm(total=total, desc="restoring", unit="window", disable=quiet, leave=False) as bar:
        for k, item in enumerate(x):
            one = Blending(model, mode, told[k : k + 1] if told else told, seed, batch_size, bar.update)
            filled, missing, dead = prepared(item.cpu(), Scale())
            if dead:
                logger.info("array %d: %s", k, lines_of(dead, model.meaning.axes))
            band = split_of(model, mode, model.meaning.grid(), lambda filled=filled: filled)  # type: ignore[misc]
            removal = measure(filled, band)
            damage = network_damage(filled, band, removal, mode.leaves_out, one.change)
            out[k] = finished(filled, damage, missing, Scale())
    return out
