"""What a gallery shows of a process: noise, its spectrum, one image at rising noise levels, and its SNR over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.build.catalogue import Entry, choose
from sagd.build.objects import build_process
from sagd.counting import counted
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.tables import Tabulated
from sagd.noise.statistics import DataStatistics, radial_profile
from sagd.process.base import Process
from sagd.process.scalar import ForwardProcess
from sagd.process.spectral import SpectralProcess
from sagd.random import generator_for
from sagd.study.illustration import forward_images, power_curve, shown_power
from sagd.study.measuring import process_statistics

LEVELS, TIMES, BANDS = 6, 101, 5
LOWEST = 0.05
"""Noise level (in all) of the first image: where noise begins to show."""
LEAST_SNR = 0.25
"""SNR below which a band cannot be seen; in the last image all are."""
_EARLY, _LATE = 1, -2
"""Images at whose times noise that changes in time is shown."""


@dataclass(frozen=True)
class Exhibit:
    """One process of a gallery.

    Attributes:
        entry: Name, configuration, summary, source.
        meaning: What values of the data mean.
        noise: Caption -> a draw of the noise, `(C, *spatial)`. There is one without a caption; two where the noise
            depends on the class (that of the image first) or changes in time.
        power: Caption -> power spectrum of that noise in the Fourier basis, channels averaged: of images by frequency,
            `(H, W // 2 + 1)`; else as `power_curve` has it, `(2, K)`.
        images: One image at rising noise levels, scaled to unit noise and data, `(6, C, *spatial)`.
        times: Times of those images, `(6,)`.
        curve_times: Times of the curves, `(T,)`.
        snr: Signal-to-noise ratio, the power of signal over that of noise, by band `(K, T)`: bands of equal width from
            low to high. Infinite where no noise is, NaN where a band holds no frequency.
    """

    entry: Entry
    meaning: Meaning
    noise: dict[str, Tensor]
    power: dict[str, Tensor]
    images: Tensor
    times: Tensor
    curve_times: Tensor
    snr: Tensor


def exhibits(
    data: Signals, item: int = 0, seed: int = 0, names: Sequence[str] = (), progress: bool = False
) -> Iterator[Exhibit]:
    """What the gallery shows of every process that fits the data, one after the other.

    Args:
        data: Images; their spectrum decides the SNR and the noise levels.
        item: Number of the item that is drowned.
        seed: Seed of the noise.
        names: Entries of the catalogue to show; all by default.
        progress: Show a bar if it takes longer than two seconds, what is done with the exhibits included.

    Raises:
        InputError: At once, if the item or a name does not exist.
    """
    if not 0 <= item < len(data):
        raise InputError(f"item must be one of 0..{len(data) - 1}, got {item}")
    entries = choose(names, data.shape, data.classes)
    return (exhibit(entry, data, item, seed) for entry in counted(entries, "drawing", "processes", progress))


def exhibit(entry: Entry, data: Signals, item: int = 0, seed: int = 0) -> Exhibit:
    """What the gallery shows of one process.

    Args:
        entry: Of the catalogue.
        data: Images.
        item: Number of the item that is drowned.
        seed: Seed of the noise.
    """
    x, labels = data.batch([item])
    statistics = process_statistics(data, entry.process)
    whole = build_process(entry.process, data.shape, statistics, data.classes, data.meaning.grid())
    process = _of_class(whole, 0 if labels is None else int(labels))
    curve_times = torch.linspace(0.01, 1, TIMES, dtype=torch.float64)
    snr = _snr(process, statistics, curve_times)
    levels = _levels(process, curve_times, snr)
    noises = _by_class(whole, process, data) or _by_time(process, levels) or {"": process.reference}
    flat, rings = len(data.shape) == 3, data.meaning.rings()
    return Exhibit(
        entry,
        data.meaning,
        {caption: noise.sample(1, generator_for(seed, "noise"))[0] for caption, noise in noises.items()},
        {caption: shown_power(noise) if flat else power_curve(noise, rings) for caption, noise in noises.items()},
        forward_images(process, x, levels, None, seed),
        process.time_at(levels),
        curve_times,
        snr,
    )


def _levels(process: Process, times: Tensor, snr: Tensor) -> Tensor:
    """Noise levels of the images, by equal factors: from the first trace of noise to the last of the image."""
    drowned = ((snr < LEAST_SNR) | ~torch.isfinite(snr)).all(0)
    end = times[drowned.int().argmax()] if drowned.any() else times[-1]
    highest = float(process.noise_level(end))
    steps = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
    return LOWEST * max(2.0, highest / LOWEST) ** steps


def _of_class(process: Process, label: int) -> Process:
    """The process of one class; itself unless the noise depends on the class."""
    if not process.covariance.depends_on_class:
        return process
    return ForwardProcess(process.schedule, process.covariance.members[label])


def _by_class(whole: Process, process: Process, data: Signals) -> dict[str, Covariance]:
    """Noise of the image's class, and of the first class with another; empty unless it depends on the class."""
    if not whole.covariance.depends_on_class or data.classes is None:
        return {}
    members = dict(zip(data.classes, whole.covariance.members, strict=True))
    own = next(name for name, member in members.items() if member is process.covariance)
    other = next(name for name, member in members.items() if member.to_dict() != process.covariance.to_dict())
    return {f"class {name}": members[name] for name in (own, other)}


def _by_time(process: Process, levels: Tensor) -> dict[str, Covariance]:
    """Noise at an early and a late time; empty unless its spectrum changes."""
    if not isinstance(process, SpectralProcess):
        return {}
    times = process.time_at(levels)
    early, late = (_noise_at(process, times[i]) for i in (_EARLY, _LATE))
    if torch.allclose(early.eigenvalues, late.eigenvalues):
        return {}
    return {f"t = {times[i]:.2f}": noise for i, noise in ((_EARLY, early), (_LATE, late))}


def _noise_at(process: SpectralProcess, t: Tensor) -> SpectralCovariance:
    """The noise at one time, scaled to unit power."""
    x = torch.zeros(1, *process.shape, dtype=torch.float64)
    deviation = process.diagonal(t, x, process.basis)[1].values[0]
    weights = deviation[0] if len(deviation) == 1 else deviation
    return SpectralCovariance(Tabulated(weights), process.shape, process.basis)  # type: ignore[arg-type]


def _snr(process: Process, statistics: DataStatistics, times: Tensor) -> Tensor:
    """Power of the signal over power of the noise by band, channels averaged, `(K, T)`."""
    if isinstance(process, SpectralProcess):
        return torch.stack([_snr_at(process, statistics, t) for t in times], dim=1)
    noise = _by_band(process.covariance.mean_power(statistics.basis), statistics)
    return (_by_band(statistics.spectrum, statistics) / noise)[:, None] / process.noise_level(times) ** 2


def _snr_at(process: SpectralProcess, statistics: DataStatistics, t: Tensor) -> Tensor:
    x = torch.zeros(1, *process.shape, dtype=torch.float64)
    a, s = (c.values[0].square() for c in process.diagonal(t, x, statistics.basis))
    return _by_band(a * statistics.spectrum, statistics) / _by_band(s, statistics)


def _by_band(power: Tensor, statistics: DataStatistics) -> Tensor:
    return radial_profile(power, statistics.basis, BANDS).values.mean(0)
