"""Restoring the damaged band of data with the model that left it out.

With a model that was trained by a mode of omission (`sagd.omission.modes`) and a damaged image `y`,

    x = y + b (x_hat - y)    frequency by frequency,

where `b` is the band and `x_hat` what the model knows of the image, by its mode. Outside the band the image stays as it
is, to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.counting import Count
from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.checks import check_images
from sagd.omission.level import least_time
from sagd.omission.modes import Mode, Restoration, Task
from sagd.process.base import Process
from sagd.random import sample_generators


def restore(
    denoiser: Denoiser,
    y: Tensor,
    band: Mode | Spectrum | str,
    statistics: DataStatistics,
    *,
    samples: int = 0,
    seed: int = 0,
    condition: Conditional = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Restoration:
    """Replace the damaged band of images by what a model knows of it.

    Args:
        denoiser: Denoiser of a model that was trained to leave the band out.
        y: Damaged images `(B, C, *spatial)`, float, in the range of the training data.
        band: The band of the model, whose soft edges blend; or its mode.
        statistics: Statistics of the training data.
        samples: Posterior samples per image, from modes that know a posterior.
        seed: Seed of what is random; image `i` depends on `(seed, i)` alone.
        condition: What conditional models are told of each image: class numbers `(B,)`, or a mapping.
        batch_size: Images per network call.
        progress: Show a progress bar.

    Raises:
        InputError: On images of another shape, type or range, samples from a model that knows none, or a band that the
            model was not trained to leave out.
    """
    process = denoiser.process
    check_images(y, process, statistics, "restores")
    whole = denoiser.check(condition, len(y))
    if samples < 0 or batch_size < 1:
        raise InputError(f"samples must be at least 0 and batch_size at least 1, got {samples} and {batch_size}")
    mode = band if isinstance(band, Mode) else mode_of(process, Spectrum.parse(band))
    basis = process.reference.basis or statistics.basis
    b = Diagonal(mask(mode.place, basis), basis)
    _check(mode, denoiser, b, statistics, samples)
    task = Task(denoiser, b, least_time(process), statistics, samples)
    parts: list[Restoration] = []
    with Count(len(y), "restoring", "items", progress) as count, torch.no_grad():
        for first in range(0, len(y), batch_size):
            x = y[first : first + batch_size].to(denoiser.device)
            told = whole[first : first + batch_size].to(denoiser.device)
            parts.append(mode.restore(task, x, told, sample_generators(seed, len(x), first)).to(y.device))
            count.done(len(x))
    return Restoration.joined(parts)


def mode_of(process: Process, band: Spectrum) -> Mode:
    """The mode that made a process, for restoring a band.

    Raises:
        InputError: If no mode has: the process leaves nothing out.
    """
    found = (member.of(process, band) for member in Mode.members().values())
    if (mode := next(filter(None, found), None)) is None:
        raise InputError(f"the model does not leave out the band {band.label}, but nothing; train one that does")
    return mode


def _check(mode: Mode, denoiser: Denoiser, b: Diagonal, statistics: DataStatistics, samples: int) -> None:
    """Refuse samples of an unknown posterior, evidence that nothing is known of, and a band that is not the model's.

    There, it was shown the damage, or knows nothing of the image.
    """
    if samples and not mode.knows_posterior(denoiser, statistics):
        raise InputError(
            f"samples need a model of mode 'deconvolve', or one that was told the spectrum of the damage"
            f" (process.omission.corruption); mode {mode.kind!r} learns no more of its band than its mean from damaged"
            " images alone; leave samples out"
        )
    if mode.evidence in ("frequency", "image") and mode.unexplained(denoiser, statistics) is None:
        raise InputError(
            f"evidence {mode.evidence!r} needs what the model leaves open of its band, which is measured when it is"
            " trained with process.omission.corruption; train it again, or use evidence 'none'"
        )
    own, fits = mode.own(denoiser.process, b)
    if not fits:
        raise InputError(f"the model does not leave out the band {mode.place.label}, but {own}; name its own band")
