"""Every figure of a set of samples, each beside its real-against-real floor.

The reference is split at random into disjoint halves `R1`, `R2` of `n` images. A figure compares `n` samples
with `R2`; its floor compares `R1` with `R2`. Both have the same sample sizes, so the biases of finite samples,
which fall with `n`, are in both alike, and a perfect model's figure is another draw of the floor.

Beyond what it is given, it holds a batch of fields, their features, and sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sagd.counting import stage
from sagd.errors import InputError
from sagd.metrics.apart import LEAST, Apart, told_apart
from sagd.metrics.features import FeatureExtractor
from sagd.metrics.fields import Fields, FieldSet, channel_scale, field_sets
from sagd.metrics.frechet import frechet_distance, frechet_interval
from sagd.metrics.increments import Increments, increments
from sagd.metrics.kernel import Estimate, kernel_distance
from sagd.metrics.labelless import LabellessFeatures
from sagd.metrics.marginals import Marginals, marginals
from sagd.metrics.precision_recall import precision_recall
from sagd.metrics.rings import Rings, ring_flatness
from sagd.metrics.sliced import Sliced, sliced_wasserstein
from sagd.metrics.spectral import SpectralError, spectral_error
from sagd.metrics.spectrogram import spectrogram_distance
from sagd.random import generator_for, subset

_LEAST = 4  # images per set that the kernel distance and three nearest neighbours need

FAR = 5.0
"""Times its floor from which a distance is called far."""
SCALARS: Mapping[str, tuple[str, ...]] = {
    "frechet": ("frechet",),
    "kernel": ("kernel",),
    "precision": ("precision",),
    "recall": ("recall",),
    "labelless_kernel": ("labelless",),
    "spectrogram_kernel": ("spectrogram",),
    "sliced": ("sliced", "distance"),
    "spectral_rms_db": ("spectral", "rms_db"),
    "spectral_mean_error": ("spectral", "mean_error"),
    "marginal_wasserstein": ("marginals", "wasserstein"),
    "structure_rms_db": ("increments", "structure_rms_db"),
    "flatness_rms_db": ("increments", "flatness_rms_db"),
    "ring_flatness_rms_db": ("rings", "flatness_rms_db"),
    "told_apart": ("apart", "accuracy"),
}
"""Figures that are one number, and where each stands in a `Comparison` as plain values. Those of `labelless` and
`spectrogram`, like `kernel`, have a standard error; an interval, where there is one, stands beside under the name
with `_interval`."""
_OPTIONAL = ("labelless_kernel", "spectrogram_kernel", "ring_flatness_rms_db", "told_apart")


@dataclass(frozen=True)
class Comparison:
    """All figures of one set of images against another of the same size.

    Attributes:
        frechet: Fréchet distance.
        frechet_interval: 95 % interval for its mean at this sample size, or None if not asked for.
        kernel: Kernel distance and its standard error.
        precision: Share of samples within the manifold of the reference.
        recall: Share of the reference within the manifold of the samples.
        spectral: Errors of the power spectrum by band.
        marginals: Distributions of single values.
        increments: Structure functions and flatness of increments.
        sliced: Sliced Wasserstein distances, of fields and of patches.
        labelless: Kernel distance of features that need no labels; None where the others are of these features too.
        spectrogram: Kernel distance of log-spectrograms; None but for signals of one axis.
        rings: Flatness by ring of frequencies; None if not asked for.
        apart: How well a classifier tells the sets apart by the highest frequencies; None if not asked for.
    """

    frechet: float
    frechet_interval: tuple[float, float] | None
    kernel: Estimate
    precision: float
    recall: float
    spectral: SpectralError
    marginals: Marginals
    increments: Increments
    sliced: Sliced
    labelless: Estimate | None
    spectrogram: Estimate | None
    rings: Rings | None = None
    apart: Apart | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = None if self.frechet_interval is None else list(self.frechet_interval)
        return {
            "frechet": self.frechet,
            "frechet_interval": interval,
            "kernel": asdict(self.kernel),
            "precision": self.precision,
            "recall": self.recall,
            "spectral": self.spectral.to_dict(),
            "marginals": self.marginals.to_dict(),
            "increments": self.increments.to_dict(),
            "sliced": self.sliced.to_dict(),
            "labelless": None if self.labelless is None else asdict(self.labelless),
            "spectrogram": None if self.spectrogram is None else asdict(self.spectrogram),
            "rings": None if self.rings is None else self.rings.to_dict(),
            "apart": None if self.apart is None else self.apart.to_dict(),
        }


@dataclass(frozen=True)
class Evaluation:
    """Figures of samples, and of real images in their place.

    Attributes:
        n: Images in each of the three sets: samples, `R1` and `R2`.
        features: Name of the feature extractor.
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


def scalars(evaluation: Mapping[str, Any], which: str = "figure") -> dict[str, float | None]:
    """The figures that are one number (`which="figure"`), or their floors (`"floor"`), by name: as in `SCALARS`.

    None for one that is not finite; what was not measured is left out.

    Args:
        evaluation: An `Evaluation` as plain values.
        which: "figure" or "floor".
    """
    values = {name: _at(evaluation[which], path) for name, path in SCALARS.items()}
    measured = {name: value for name, value in values.items() if value is not None or name not in _OPTIONAL}
    return {name: v["value"] if isinstance(v, Mapping) else v for name, v in measured.items()}


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:  # evaluations of before a figure was known lack its part
        values = None if values is None else values.get(key)
    return values


def evaluate(
    samples: FieldSet,
    reference: FieldSet,
    extractor: FeatureExtractor | None = None,
    bands: int = 10,
    seed: int = 0,
    resamples: int = 100,
    progress: bool = False,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
    weight_field: Tensor | None = None,
    by_scale: bool = False,
) -> Evaluation:
    """Measure samples against real images, and real images against each other.

    `n = min(len(samples), len(reference) // 2)` images of each are drawn at random: samples may come sorted, by
    class say.

    Args:
        samples: `(N, C, *spatial)`, scaled as the data.
        reference: `(M, C, *spatial)`, real ones; best not those the samples' model was trained on.
        extractor: Feature extractor of Fréchet and kernel distance, precision and recall; by default
            `LabellessFeatures` of `R2`, which need no labels.
        bands: Radial bands of the spectral error.
        seed: Seed of the choice of images and of the bootstrap.
        resamples: Bootstrap resamples of the Fréchet interval; 0 leaves it out (each costs a distance: seconds
            at `D = 2048`).
        progress: Name what is done that takes long, and say how far it is.
        samples_mask: Valid places of the samples, `(N, 1 | C, *spatial)`, bool; None: all. Spectrum, mean, marginals
            and increments ignore the others; features and sliced distances see the mean of the reference there.
        reference_mask: The same of the reference.
        weight_field: How much each place counts, `(1 | C, *spatial)`, e.g. `area_weights`, in the mean error and the
            marginals; spectra, increments and features are those of the grid as it is.
        by_scale: Also measure what a spectrum does not tell, scale by scale: flatness by ring, and whether a classifier
            tells the sets apart by the highest frequencies alone.

    Raises:
        InputError: If shapes differ, there are fewer than 4 samples or 8 reference images, values are not
            finite, `resamples` is neither 0 nor at least 20, or `by_scale` is asked of fields with gaps.

    Warns:
        UserWarning: If `n` is at most the feature dimension, where the Fréchet distance means little.
    """
    given, real = field_sets(samples, reference, samples_mask, reference_mask)
    if by_scale and not (samples_mask is None and reference_mask is None):
        raise InputError(
            "by_scale measures what a ring of frequencies holds, in which the edges of gaps would be all there is;"
            " leave it out, or fill the gaps"
        )
    if weight_field is not None:
        given, real = given.weighted(weight_field), real.weighted(weight_field)
    n, least = min(len(samples), len(reference) // 2), LEAST if by_scale else _LEAST
    if n < least:
        raise InputError(
            f"need at least {least} samples and {2 * least} reference images{' by scale' if by_scale else ''}, got"
            f" {len(samples)} and {len(reference)}"
        )
    generator = generator_for(seed, "evaluation")
    halves = real.taken(subset(len(real), 2 * n, generator))
    chosen = given.taken(subset(len(given), n, generator))
    target = halves[n:]
    with stage("fitting label-free features", progress):
        labelless = LabellessFeatures.fitted(target)
    fill = channel_scale(target).mean
    used = extractor or labelless
    ours, first, theirs = _features(used, chosen, halves, fill, progress)
    others = None if extractor is None else _features(labelless, chosen, halves, fill, progress)

    def compared(fields: Fields, features: Tensor, other: int) -> Comparison:
        beside = None if others is None else kernel_distance(others[other], others[2])
        found = _compare(fields, target, features, theirs, beside, bands, seed, resamples, progress)
        return _with_scales(found, fields, target, bands, seed, progress) if by_scale else found

    figure, floor = compared(chosen, ours, 0), compared(halves[:n], first, 1)
    return Evaluation(n, used.name, used.identifier, ours.shape[1], seed, figure, floor)


def _features(
    extractor: FeatureExtractor, chosen: Fields, halves: Fields, fill: Tensor, progress: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Features of samples, `R1` and `R2`."""
    with stage("extracting features of the samples", progress):
        ours = torch.cat([extractor(x) for x in chosen.rows(fill)])
    with stage("extracting features of the reference", progress):
        real = torch.cat([extractor(x) for x in halves.rows(fill)])
    first, second = real.split(len(chosen))
    return ours, first, second


def _compare(
    fields: Fields,
    target: Fields,
    ours: Tensor,
    theirs: Tensor,
    labelless: Estimate | None,
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
    with stage("comparing spectra, values, increments and patches", progress):
        return Comparison(
            frechet=frechet,
            frechet_interval=interval,
            kernel=kernel,
            precision=manifold.precision,
            recall=manifold.recall,
            spectral=spectral_error(fields, target, bands),
            marginals=marginals(fields, target),
            increments=increments(fields, target),
            sliced=sliced_wasserstein(fields, target),
            labelless=labelless,
            spectrogram=spectrogram_distance(fields, target),
        )


def _with_scales(
    found: Comparison, fields: Fields, target: Fields, bands: int, seed: int, progress: bool
) -> Comparison:
    with stage("comparing scale by scale", progress):
        apart = told_apart(fields, target, seed=seed)
        return replace(found, rings=ring_flatness(fields, target, bands), apart=apart)
