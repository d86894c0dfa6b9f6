"""Every figure of a set of samples, each beside its real-against-real floor.

The reference is split at random into disjoint halves `R1`, `R2` of `n` images. A figure compares `n` samples
with `R2`; its floor compares `R1` with `R2`. Both have the same sample sizes, so the biases of finite samples,
which fall with `n`, are in both alike, and a perfect model's figure is another draw of the floor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.checks import field_pair
from sagd.metrics.features import FeatureExtractor
from sagd.metrics.frechet import frechet_distance, frechet_interval
from sagd.metrics.kernel import Estimate, kernel_distance
from sagd.metrics.precision_recall import precision_recall
from sagd.metrics.spectral import SpectralError, spectral_error
from sagd.random import Generator, generator_for, subset
from sagd.training.progress import counted, stage

_AT_A_TIME = 256  # images whose features are extracted between two movements of a bar
_LEAST = 4  # images per set that the kernel distance and three nearest neighbours need


@dataclass(frozen=True)
class Comparison:
    """All figures of one set of images against another of the same size.

    Attributes:
        frechet: Fréchet distance; this and the next four are None without features.
        frechet_interval: 95 % interval for its mean at this sample size, or None if not asked for.
        kernel: Kernel distance and its standard error.
        precision: Share of samples within the manifold of the reference.
        recall: Share of the reference within the manifold of the samples.
        spectral: Errors of the power spectrum by band.
    """

    frechet: float | None
    frechet_interval: tuple[float, float] | None
    kernel: Estimate | None
    precision: float | None
    recall: float | None
    spectral: SpectralError

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = None if self.frechet_interval is None else list(self.frechet_interval)
        return {
            "frechet": self.frechet,
            "frechet_interval": interval,
            "kernel": {"value": None, "standard_error": None} if self.kernel is None else asdict(self.kernel),
            "precision": self.precision,
            "recall": self.recall,
            "spectral": self.spectral.to_dict(),
        }


@dataclass(frozen=True)
class Evaluation:
    """Figures of samples, and of real images in their place.

    Attributes:
        n: Images in each of the three sets: samples, `R1` and `R2`.
        features: Name of the feature extractor; "none" without one.
        features_identifier: Which extractor exactly.
        feature_dimension: Its dimension `D`.
        seed: Seed of the split.
        figure: Samples against `R2`.
        floor: `R1` against `R2`.
    """

    n: int
    features: str
    features_identifier: str
    feature_dimension: int
    seed: int
    figure: Comparison
    floor: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, `figure` and `floor` alike in form."""
        plain = {k: v for k, v in vars(self).items() if k not in ("figure", "floor")}
        return plain | {"figure": self.figure.to_dict(), "floor": self.floor.to_dict()}


def evaluate(
    samples: Tensor,
    reference: Tensor,
    extractor: FeatureExtractor | None,
    bands: int = 10,
    seed: int = 0,
    resamples: int = 100,
    progress: bool = False,
) -> Evaluation:
    """Measure samples against real images, and real images against each other.

    `n = min(len(samples), len(reference) // 2)` images of each are drawn at random: samples may come sorted, by
    class say.

    Args:
        samples: `(N, C, *spatial)`, scaled as the data.
        reference: `(M, C, *spatial)`, real ones; best not those the samples' model was trained on.
        extractor: Feature extractor of Fréchet and kernel distance, precision and recall; without one these are None.
        bands: Radial bands of the spectral error.
        seed: Seed of the choice of images and of the bootstrap.
        resamples: Bootstrap resamples of the Fréchet interval; 0 leaves it out (each costs a distance: seconds
            at `D = 2048`).
        progress: Name what is done that takes long, and say how far it is.

    Raises:
        InputError: If shapes differ, there are fewer than 4 samples or 8 reference images, values are not
            finite, or `resamples` is neither 0 nor at least 20.

    Warns:
        UserWarning: If `n` is at most the feature dimension, where the Fréchet distance means little.
    """
    field_pair(samples, reference)
    n = min(len(samples), len(reference) // 2)
    if n < _LEAST:
        raise InputError(
            f"need at least {_LEAST} samples and {2 * _LEAST} reference images, got {len(samples)} and {len(reference)}"
        )
    generator = generator_for(seed, "evaluation")
    halves = reference[_choose(len(reference), 2 * n, generator, reference.device)]
    chosen = samples[_choose(len(samples), n, generator, samples.device)]
    if extractor is None:
        with stage("comparing spectra", progress):
            floor, figure = (_of_fields(x, halves[n:], bands) for x in (halves[:n], chosen))
        return Evaluation(n, "none", "none", 0, seed, figure, floor)
    ours = _features(extractor, chosen, "extracting features of the samples", progress)
    first, second = _features(extractor, halves, "extracting features of the reference", progress).split(n)
    floor, figure = (
        _compare(images, halves[n:], features, second, bands, seed, resamples, progress)
        for images, features in ((halves[:n], first), (chosen, ours))
    )
    return Evaluation(n, extractor.name, extractor.identifier, ours.shape[1], seed, figure, floor)


def _choose(available: int, count: int, generator: Generator, device: torch.device) -> Tensor:
    return subset(available, count, generator).to(device)


def _features(extractor: FeatureExtractor, images: Tensor, task: str, progress: bool) -> Tensor:
    """Features of images, so many at a time that the bar moves, and few extractors are called with smaller batches."""
    return torch.cat([extractor(part) for part in counted(images.split(_AT_A_TIME), task, "parts", progress)])


def _of_fields(x: Tensor, target: Tensor, bands: int) -> Comparison:
    """The figures that need no features."""
    return Comparison(None, None, None, None, None, spectral_error(x, target, bands))


def _compare(
    images: Tensor,
    target: Tensor,
    ours: Tensor,
    theirs: Tensor,
    bands: int,
    seed: int,
    resamples: int,
    progress: bool,
) -> Comparison:
    with stage("measuring precision and recall", progress):
        manifold = precision_recall(ours, theirs)
    with stage("measuring the Fréchet distance", progress):
        frechet = frechet_distance(ours, theirs)
    interval = frechet_interval(ours, theirs, resamples, seed=seed, progress=progress) if resamples else None
    with stage("measuring the kernel distance", progress):
        kernel = kernel_distance(ours, theirs)
    with stage("comparing spectra", progress):
        spectral = spectral_error(images, target, bands)
    return Comparison(frechet, interval, kernel, manifold.precision, manifold.recall, spectral)
