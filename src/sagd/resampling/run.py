"""Drawing a band of images anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sagd.counting import Count
from sagd.errors import InputError, argument
from sagd.model.condition import Conditional
from sagd.noise.bands import mask
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.checks import check_images
from sagd.random import Stream, generator_for
from sagd.resampling.bands import BandModel, hard_mask
from sagd.sampling.base import Sampler
from sagd.sampling.grids import TimeGrid


@torch.no_grad()
def resample(
    model: BandModel,
    x: Tensor,
    band: Spectrum | str,
    *,
    sampler: Sampler | str = "heun",
    steps: int = 18,
    grid: TimeGrid | str = "matched",
    clip: float | None = None,
    count: int = 1,
    seed: int = 0,
    condition: Conditional = None,
    statistics: DataStatistics | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Draw the band of images anew, given all else: `x_hat`, a draw of the model, where `b` is 1, `x` where it is 0.

    In between the law is that of `m + sqrt(1-b) (x - m) + sqrt(b) (x_hat - m)` with `m = E[band | rest]`, which keeps
    mean and variance of every frequency; a blend `x + b (x_hat - x)` would lose power. Nobody knows `m`, but given the
    rest a second draw varies about it as the first does: `u x + v x_hat + w x_hat'` with `u = sqrt(1-b)`,
    `u + v + w = 1` and `u^2 + v^2 + w^2 = 1` has the same mean and variance, whatever the model. So soft edges take
    twice the time.

    Args:
        model: A resampling model.
        x: Images `(B, C, *spatial)`, float, in the range of the training data.
        band: The band, hard or with soft edges. A model of one band takes that only.
        sampler: Sampler, or its text.
        steps: Steps of the time grid.
        grid: Time grid, or its text.
        clip: Clamp every estimate of the clean image to `[-clip, clip]`.
        count: Draws per image.
        seed: Draw `k` of image `i` depends on `(seed, i, k)` alone.
        condition: What conditional models are told of each image: class numbers `(B,)`, or a mapping.
        statistics: Statistics of the training data.
        batch_size: Draws per network call.
        progress: Show a progress bar.

    Returns:
        `(count, B, C, *spatial)`.

    Raises:
        InputError: If the model resamples nothing, or not this band, or the images do not fit.
    """
    if not isinstance(model, BandModel):
        raise InputError(f"the model resamples no bands; train one with {argument('denoiser.bands')} random")
    if statistics is not None:
        check_images(x, model.process, statistics, "resamples")
    told = model.check(condition, len(x))
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    b = _checked(model, x, band, count)
    chosen, hard = Sampler.parse(sampler), (b > 0).float()
    weights = [Diagonal(weight, model.law.basis) for weight in _weights(b)]
    settled = TimeGrid.parse(grid).fitted(chosen).settled(steps, model.process, statistics)
    images = torch.arange(len(x)).repeat(count)
    parts = []
    with Count(len(images), "resampling", "items", progress) as counted:
        for some in torch.arange(len(images)).split(batch_size):
            index = images[some]
            given = x[index].to(model.device, model.dtype or x.dtype)
            change = torch.zeros_like(given, dtype=torch.float64)
            for number, weight in enumerate(weights):
                drawn = chosen.sample(
                    model.given_images(given, hard.expand(len(some), *hard.shape)),
                    len(some),
                    steps=steps,
                    grid=settled,
                    generator=_generators(seed, index, some // len(x), number),
                    condition=told[index],
                    clip=clip,
                    statistics=statistics,
                    dtype=given.dtype,
                )
                change += weight.on(change) * (drawn - given).double()
            parts.append(x[index] + change.to(x.device, x.dtype))
            counted.done(len(some))
    return torch.cat(parts).reshape(count, *x.shape)


def _weights(b: Tensor) -> list[Tensor]:
    """Weights of draws, of which edges that are soft take two: `v` and `w`, see `resample`; else `b`."""
    if ((b == 0) | (b == 1)).all():
        return [b]
    u = (1 - b).sqrt()
    half, root = (1 - u) / 2, ((1 - u) * (1 + 3 * u)).sqrt() / 2
    return [half + root, half - root]


def _generators(seed: int, images: Tensor, draws: Tensor, number: int) -> Sequence[Stream]:
    """One per draw, keyed by seed, image and number of the draw; the second that an edge takes has its own."""
    own = () if number == 0 else ("edge", number)
    numbers = zip(images.tolist(), draws.tolist(), strict=True)
    return [generator_for(seed, "resample", image, draw, *own) for image, draw in numbers]


def _checked(model: BandModel, x: Tensor, band: Spectrum | str, count: int) -> Tensor:
    """The band's values, if all is well."""
    shape = model.process.shape
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != shape or not len(x):
        raise InputError(f"the model resamples images {shape}, got shape {tuple(x.shape)}")
    if not x.is_floating_point() or not torch.isfinite(x).all():
        raise InputError("images must be finite and floating point, in the range of the training data")
    hard = hard_mask(band, model.law.basis)
    own = model.law.bands
    if own != "random" and not torch.equal(hard, hard_mask(own, model.law.basis)):
        raise InputError(
            f"the model changes the band {own!r}, not {str(band)!r}; train one with {argument('denoiser.bands')} random"
            " for any"
        )
    return mask(band, model.law.basis)
