"""Arrays in memory that are larger than a model, restored by it, each by itself."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from sagd.counting import Count
from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.noise.spectra.base import Spectrum
from sagd.omission.blending import count_of
from sagd.omission.preparation import Scale, finished, lines_of, prepared
from sagd.omission.removal import measure
from sagd.store.model import Trained
from sagd.study.larger import (
    Blending,
    ByMode,
    Restorer,
    beyond_line,
    count_beyond,
    require_windows,
    split_of,
)
from sagd.study.restoration import mode_of_model
from sagd.study.windowed import Piece, restorer_of

logger = logging.getLogger(__name__)


def restore_arrays(
    model: Trained,
    x: Tensor,
    *,
    band: str | None = None,
    condition: Conditional = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Restore arrays larger than the model, each by itself.

    Args:
        model: A model that was trained by a mode of omission; or of whole items, with a band.
        x: `(B, C, *spatial)`, floating point, as the model sees values; NaN where some are missing, and stay so. Dead
            lines are interpolated, with a line.
        band: What is damaged, of a model of whole items, in its units; None: what the model leaves out.
        condition: What a conditional model is told of each.
        seed: Seed of draws, and of the noise that some modes work under.
        batch_size: Windows per network call.
        progress: Show a bar.

    Returns:
        Like `x`.

    Raises:
        InputError: If the model leaves no band out, or an array does not fit.
    """
    mode, (channels, *size) = None if band is not None else mode_of_model(model), model.process.shape
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
    with Count(total, "restoring", "windows", progress) as count:
        for k, item in enumerate(x):
            own = told[k : k + 1] if told else told
            filled, missing, dead = prepared(item.cpu(), Scale())
            if dead:
                logger.info("array %d: %s", k, lines_of(dead, model.meaning.axes))
            restorer: Restorer
            if mode is not None:
                split = split_of(model, mode, model.meaning.grid(), lambda filled=filled: filled)  # type: ignore[misc]
                removal, restorer = measure(filled, split, clipped=True), ByMode(model, mode, own, seed)
            else:
                assert band is not None
                removal = measure(filled, Spectrum.parse(band).on(model.meaning.grid()), clipped=True)
                piece = Piece(filled, removal.apply(filled), removal.band)
                tried = restorer_of(model, band, [piece], own, seed, batch_size, progress)
                restorer, line = tried.of_several([filled])
                logger.info("array %d: %s", k, line)
            change = Blending(restorer, batch_size, count.done).change
            damage = restorer.damage(filled, removal, change)
            out[k] = finished(filled, damage, missing, Scale())
    return out
