"""Samples drawn as a `SamplingConfig` says, each from its own `(seed, i)`."""

from __future__ import annotations

from torch import Tensor

from sagd.build.schema import SamplingConfig
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.random import sample_generators
from sagd.resampling.bands import BandModel
from sagd.resampling.run import resample
from sagd.sampling.base import Sampler


def draw(
    denoiser: Denoiser,
    count: int,
    config: SamplingConfig,
    *,
    seed: int = 0,
    condition: Conditional = None,
    statistics: DataStatistics | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Tensor:
    """Draw samples as a configuration says, on the CPU, `(count, C, *spatial)`.

    Sample `i` depends on `(seed, i)` alone, and not on the batch size, the number of samples or the device, but for
    rounding: matrix products of other sizes may be summed in another order. Its white draws are the same bits for every
    process. Other arguments as in `Sampler.sample`.
    """
    return (
        Sampler.parse(config.sampler)
        .sample(
            denoiser,
            count,
            steps=config.steps,
            grid=config.grid,
            generator=sample_generators(seed, count),
            condition=condition,
            clip=config.clip,
            statistics=statistics,
            batch_size=batch_size,
            progress=progress,
        )
        .cpu()
    )


def draw_band(
    model: BandModel,
    x: Tensor,
    band: Spectrum | str,
    config: SamplingConfig,
    *,
    count: int = 1,
    seed: int = 0,
    condition: Conditional = None,
    statistics: DataStatistics | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> Tensor:
    """Draw a band of given fields anew as a configuration says, `(count, B, C, *spatial)`.

    Other arguments and errors as for `sagd.resampling.run.resample`.
    """
    return resample(
        model,
        x,
        band,
        sampler=config.sampler,
        steps=config.steps,
        grid=config.grid,
        clip=config.clip,
        count=count,
        seed=seed,
        condition=condition,
        statistics=statistics,
        batch_size=batch_size,
        progress=progress,
    )
