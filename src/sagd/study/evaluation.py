"""Evaluation of a trained model, or of a folder of images, against a data set."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagd.build.draw import draw
from sagd.build.schema import NO_OMISSION, EvaluationConfig, SamplingConfig
from sagd.counting import stage
from sagd.data.config import DataConfig
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.errors import InputError, argument, check_whole
from sagd.metrics import ClassifierFeatures, FeatureExtractor, FunctionFeatures, TorchScriptFeatures, evaluate, scalars
from sagd.metrics.apart import LEAST
from sagd.metrics.evaluate import FAR
from sagd.process.base import Process
from sagd.random import generator_for, randint, subset
from sagd.sampling.grids import MOST_STEPS
from sagd.sampling.likelihood import dequantise, log_likelihood
from sagd.store.model import Trained, holds_model
from sagd.training.batches import MOST_ITEMS

logger = logging.getLogger(__name__)

_FOLDER, _TRAINED = 1, 2
"""Second keys of the choice among the images of a folder, and among those that were trained on."""
_TRAINED_VALUES = 2**28
"""Values of the images that the classifier is trained on, at most: 1 GiB as float32."""
_FEWEST, _MOST = 64, 1000
"""Samples that are measured where nobody said how many."""
_LEAST = 4
"""Images a side that `sagd.metrics.evaluate` needs."""


def check_evaluation(config: EvaluationConfig, count: int, items: str = "images") -> None:
    """Refuse, before anything is trained or drawn, what could not be evaluated against so many reference items.

    Raises:
        InputError: Naming the setting and its value.
    """
    fewest = LEAST if config.by_scale else _LEAST
    for name, least, most in (
        ("samples", fewest, MOST_ITEMS),
        ("bands", 1, MOST_ITEMS),
        ("batch_size", 1, MOST_ITEMS),
        ("features_channels", 1, MOST_ITEMS),
        ("likelihood_steps", 1, MOST_STEPS),
        ("likelihood", 0, MOST_ITEMS),
        ("seed", 0, None),
    ):
        check_whole(f"evaluation.{name}", getattr(config, name), least, most)
    if len(config.features_range) != 2:
        raise InputError(
            f"evaluation.features_range must be two numbers, got {list(config.features_range)}; e.g. 0 255"
        )
    if count < 2 * fewest:
        raise InputError(f"need at least {2 * fewest} reference {items}, got {count}")


def feature_extractor(config: EvaluationConfig, data: Signals, progress: bool = True) -> FeatureExtractor | None:
    """The feature extractor that a configuration names; the classifier is trained on `data` unless it is cached.

    Returns:
        None for the label-free features, which `sagd.metrics.evaluate` makes of the reference that it compares with:
        those of 'labelless', and of 'auto' where the data has no labels of two classes or more, or too small images.

    Raises:
        InputError: If the classifier is asked for and `data` has no labels, or a TorchScript file cannot be used.
    """
    if config.features == "labelless" or (config.features == "auto" and not _classifiable(data)):
        return None
    if config.features not in ("auto", "classifier"):
        if config.features_sha256 is None:
            raise InputError(f"evaluation.features {config.features!r} needs evaluation.features_sha256 of that file")
        low, high = config.features_range
        with stage("reading the feature network", progress):
            return TorchScriptFeatures(config.features, config.features_sha256, (low, high), config.features_channels)
    if data.labels is None or data.classes is None:
        raise InputError(
            f"{data.name!r} has no labels for the feature classifier; set evaluation.features to 'labelless', or name a"
            " TorchScript file"
        )
    if len(data.classes) < 2:
        raise InputError(
            f"{data.name!r} has one class, {data.classes[0]!r}, and a classifier tells at least two apart; set"
            " evaluation.features to 'labelless'"
        )
    some = data.at_most(max(1, _TRAINED_VALUES // math.prod(data.shape)))
    return ClassifierFeatures.train_or_load(some.tensor(), some.labels, len(data.classes), progress=progress)


def _classifiable(data: Signals) -> bool:
    """Whether the built-in classifier can be trained on the data."""
    several = data.labels is not None and data.classes is not None and len(data.classes) > 1
    return several and ClassifierFeatures.suits(data.shape, len(data))


def draw_labels(model: Trained, data: Signals, count: int, seed: int) -> Tensor | None:
    """Labels for `count` samples of a conditional model, drawn like those of the data; None for others.

    Without labels in the data, all classes of the model in turn.

    Raises:
        InputError: If the data has a class that the model does not know.
    """
    if model.classes is None:
        return None
    if data.labels is None or data.classes is None:
        return torch.arange(count) % len(model.classes)
    return _own_labels(model, data, randint(len(data), (count,), generator_for(seed, "labels")))


def _own_labels(model: Trained, data: Signals, index: Tensor) -> Tensor | None:
    """Labels of some images of the data, numbered as the model's; None for unconditional models.

    Raises:
        InputError: If the data has no labels, or a class that the model does not know.
    """
    if model.classes is None:
        return None
    if data.labels is None or data.classes is None:
        raise InputError(f"{data.name!r} has no labels, which the conditional model needs")
    for name in data.classes:
        if name not in model.classes:
            raise InputError(
                f"{data.name!r} has class {name!r}, which the conditional model was not trained on;"
                f" use data with the classes {', '.join(model.classes)}"
            )
    numbers = torch.tensor([model.classes.index(name) for name in data.classes])
    return numbers[data.labels[index]]


def draw_samples(
    model: Trained,
    data: Signals,
    sampling: SamplingConfig,
    config: EvaluationConfig,
    seed: int,
    progress: bool = True,
) -> Tensor:
    """The `config.samples` images that an evaluation measures, `(N, C, H, W)`.

    They are rounded and clipped to what files of the data hold, so that a model and a folder of its samples measure the
    same.
    """
    x = draw(
        model.guided(sampling.guidance),
        config.samples,
        sampling,
        seed=seed,
        condition=draw_labels(model, data, config.samples, seed),
        statistics=model.statistics,
        batch_size=config.batch_size,
        progress=progress,
    )
    return model.meaning.as_files_hold(x)


def evaluate_samples(
    samples: Tensor,
    data: Signals,
    extractor: FeatureExtractor | None,
    config: EvaluationConfig,
    progress: bool = True,
) -> dict[str, Any]:
    """All figures of `samples`, each beside its real-against-real floor, as plain values.

    Raises:
        InputError: If shapes differ or there are too few images.
    """
    # Twice as many real images as samples are ever used: two disjoint sets of that size.
    with stage("reading the reference", progress):
        some = data.some(2 * len(samples), config.seed)
        reference, known = some.tensor(), some.known()
    evaluation = evaluate(
        samples,
        reference,
        extractor,
        config.bands,
        config.seed,
        progress=progress,
        reference_mask=known,
        weight_field=data.meaning.weight_field(data.shape),
        by_scale=config.by_scale,
    )
    return evaluation.to_dict() | {"kind": data.meaning.kind}


def evaluate_fields(
    samples: Tensor,
    reference: Tensor,
    features: Any = None,
    bands: int = 10,
    seed: int = 0,
    progress: bool = False,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
    weight_field: Tensor | None = None,
) -> dict[str, Any]:
    """All figures of samples of any kind, each beside its real-against-real floor, as plain values.

    Args:
        samples: `(N, C, *spatial)`.
        reference: `(M, C, *spatial)`, real ones.
        features: A `FeatureExtractor`, or any function of fields that gives features `(N, D)`; None: label-free
            features, those of fixed filters.
        bands: Radial bands of the spectral error.
        seed: Seed of the split of the reference.
        progress: Name what is done that takes long, and say how far it is.
        samples_mask: Valid places of the samples, `(N, 1 | C, *spatial)`, bool; None: all. See `sagd.metrics.evaluate`.
        reference_mask: The same of the reference.
        weight_field: How much each place counts. See `sagd.metrics.evaluate`.

    Raises:
        InputError: If shapes differ, there are too few of either, or `features` is no function.
    """
    if features is not None and not isinstance(features, FeatureExtractor):
        if not callable(features):
            raise InputError(f"features must be a function of fields, got {type(features).__name__}")
        features = FunctionFeatures(features)
    masks = {"samples_mask": samples_mask, "reference_mask": reference_mask, "weight_field": weight_field}
    return evaluate(samples, reference, features, bands, seed, progress=progress, **masks).to_dict()  # type: ignore[arg-type]


def is_model(target: Path) -> bool:
    """Whether `target` is a run or model directory, not a folder of files.

    Raises:
        InputError: If there is nothing.
    """
    if not target.exists():
        raise InputError(
            f"{str(target)!r} does not exist; give a run directory, a model directory or a folder of files"
        )
    return holds_model(target)


def evaluate_model(
    model: Trained,
    config: EvaluationConfig,
    data: DataConfig | None = None,
    sampling: SamplingConfig | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Draw from a model and evaluate.

    Args:
        model: What to evaluate.
        config: Features, counts, seed.
        data: Reference images; by default those it was trained on.
        sampling: How to draw; by default as its run was configured.
        progress: Show progress bars.

    Raises:
        InputError: If the reference cannot be read, is of another shape, or a setting cannot be used.
    """
    own = model.config.data
    reference, config = _reference(data or own, config, progress, model.given_meaning)
    if model.omission.mode != NO_OMISSION and own.corruption == "none" and (data or own).source == own.source:
        logger.info(
            "note: the reference is the damaged data of the training; clean items, which %s names, tell more",
            argument("data.source"),
        )
    _require_shape(model.process.shape, reference, "the model's samples")
    check_likelihood(config, model.process, len(reference), _items(reference))
    extractor = feature_extractor(config, reference, progress)
    drawn = sampling or model.sampling
    logger.info("samples are drawn by %s in %d steps, grid %s", drawn.sampler, drawn.steps, drawn.grid)
    with stage(f"drawing {config.samples} samples", progress, barred=True):
        samples = draw_samples(model, reference, drawn, config, config.seed, progress)
    result = evaluate_samples(samples, reference, extractor, config, progress)
    if data is not None and (data.source, data.split) != (own.source, own.split) and _is_far(result):
        result |= _of_training(model, result["n"], reference, extractor, config, progress)
    if not config.likelihood:
        return result
    with stage(f"measuring the likelihood of {config.likelihood} {_items(reference)}", progress, barred=True):
        return result | {"likelihood": measure_likelihood(model, reference, config, progress)}


def _is_far(result: Mapping[str, Any]) -> bool:
    """Whether samples are far from the reference."""
    figure, floor = (figures(result, which)["frechet"] for which in ("figure", "floor"))
    return figure is not None and floor is not None and figure > FAR * floor > 0


def _of_training(
    model: Trained,
    count: int,
    reference: Signals,
    extractor: FeatureExtractor | None,
    config: EvaluationConfig,
    progress: bool,
) -> dict[str, Any]:
    """The figures of so many items that a model was trained on, in place of its samples, as `trained`.

    Nothing where that would not be the same measure: of fewer items, or of damaged ones, or where they are gone.
    """
    own = model.config.data
    if model.omission.mode != NO_OMISSION or own.corruption != "none" or own.observed is not None:
        return {}
    try:
        with stage("reading the training data", progress, barred=True):
            data = load(own, model.given_meaning)
    except (InputError, OSError) as error:
        logger.info("note: how far the training data itself is from the reference is not known: %s", error)
        return {}
    if len(data) < count or data.gaps:
        return {}
    x = data.some(count, config.seed, _TRAINED).tensor()
    return {"trained": evaluate_samples(x, reference, extractor, config, progress)["figure"]}


def check_likelihood(config: EvaluationConfig, process: Process, count: int, items: str = "images") -> None:
    """Refuse, before anything is drawn, a likelihood that cannot be estimated.

    Raises:
        InputError: If some frequency or place carries no noise, or there are fewer items.
    """
    if not config.likelihood:
        return
    if config.likelihood > count:
        raise InputError(
            f"evaluation.likelihood is {config.likelihood} but the reference has {count} {items}; use at most that"
        )
    if process.covariance.is_singular:
        raise InputError(
            f"evaluation.likelihood is {config.likelihood}, but {process.label} leaves some frequency or place without"
            " noise, so that the model has no density; set it to 0"
        )


def measure_likelihood(
    model: Trained, data: Signals, config: EvaluationConfig, progress: bool = True
) -> dict[str, float | int | None]:
    """Bits per dimension of `config.likelihood` images, drawn at random and dequantised once.

    Returns:
        Mean over images, its standard error (from images and probes together; None for one image), their number and
        the steps.
    """
    n = config.likelihood
    generator = generator_for(config.seed, "likelihood")
    index = subset(len(data), n, generator)
    x = dequantise(data.batch(index)[0], generator)
    labels = _own_labels(model, data, index)
    diagonal = model.process.reference.is_diagonal_in(model.statistics.basis)
    bits = [
        log_likelihood(
            model.denoiser,
            x[part],
            steps=config.likelihood_steps,
            probes=1,
            generator=generator,
            condition=None if labels is None else labels[part],
            statistics=model.statistics if diagonal else None,
            progress=progress,
        ).bits_per_dim()
        for part in torch.arange(n).split(config.batch_size)
    ]
    values = torch.cat(bits)
    error = float(values.std() / math.sqrt(n)) if n > 1 else None
    return {"bits_per_dim": float(values.mean()), "standard_error": error, "n": n, "steps": config.likelihood_steps}


def evaluate_folder(folder: Path, config: EvaluationConfig, data: DataConfig, progress: bool = True) -> dict[str, Any]:
    """Evaluate a folder, at most `config.samples` of its images; arguments and errors as in `evaluate_model`."""
    if config.likelihood:
        raise InputError(
            f"{str(folder)!r} is a folder of files, which have no likelihood; set evaluation.likelihood to 0"
        )
    reference, config = _reference(data, config, progress)
    # An absolute path, lest a folder have the name of a built-in data set.
    own = DataConfig(
        str(folder.absolute()),
        kind=reference.meaning.kind,
        channels=reference.shape[0],
        size=data.size,
        fit=data.fit,
        label_column="none",
    )
    with stage(f"reading {folder}", progress, barred=True):
        held = load(own, reference.meaning)
    _require_shape(held.shape, reference, f"{_items(held)} in {str(folder)!r}")
    extractor = feature_extractor(config, reference, progress)
    # Not the stream that draws the reference: of two like sets it would draw the same images.
    with stage(f"reading {folder}", progress):
        samples = held.at_most(config.samples, config.seed, _FOLDER).tensor()
    return evaluate_samples(samples, reference, extractor, config, progress)


def figures(evaluation: Mapping[str, Any], which: str = "figure") -> dict[str, float | None]:
    """The scalars of an evaluation (`which="figure"`) or of its floor (`"floor"`), by name; None for one not finite."""
    return scalars(evaluation, which)


def _items(data: Signals) -> str:
    """What many of them are called."""
    return Kind.member(data.meaning.kind).item[1]


def _reference(
    config: DataConfig, evaluation: EvaluationConfig, progress: bool, meaning: Meaning | None = None
) -> tuple[Signals, EvaluationConfig]:
    """Real items, as a model with that meaning sees them, and the settings with the number of samples for them."""
    try:
        with stage("reading the reference", progress, barred=True):
            data = load(config, meaning).clean
    except InputError as error:
        raise InputError(f"reference data: {error}; {argument('data.source')} names others") from None
    if evaluation.samples == 0:
        evaluation = dataclasses.replace(evaluation, samples=min(max(len(data), _FEWEST), _MOST))
        if progress:
            logger.info("at most %d samples for %d real %s", evaluation.samples, len(data), _items(data))
    check_evaluation(evaluation, len(data), _items(data))
    tell_masks(data)
    if data.roams:
        logger.info(
            "note: the reference is windows of the same few %s, which have much in common, so that floors are low",
            _items(data),
        )
    return data, evaluation


def tell_masks(reference: Signals) -> None:
    """A line for a reference that is not whole."""
    if reference.observed is not None:
        logger.info(
            "note: the reference lacks frequencies (%s), which are 0 in it; whole items are the better measure",
            argument("data.observed"),
        )


def _require_shape(shape: tuple[int, ...], reference: Signals, what: str) -> None:
    if tuple(shape) != reference.shape:
        raise InputError(
            f"{what} are {'x'.join(map(str, shape))}, those of {reference.name!r}"
            f" {'x'.join(map(str, reference.shape))}; set {argument('data.channels')} and {argument('data.size')}"
        )
