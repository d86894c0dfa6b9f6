"""What `sagd.*` offers over everything below: `fit`, `train`, `load` and the `Model` that they give."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import logging
import numbers
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final, get_args

import numpy as np
import torch
from torch import Tensor, nn

from sagd.build.draw import draw, draw_band
from sagd.build.schema import ProcessConfig, SamplingConfig
from sagd.build.text import from_dict, to_dict
from sagd.data.config import DataConfig, Order
from sagd.data.load import load as load_signals
from sagd.data.masks import half_of
from sagd.data.meaning import usual
from sagd.data.signals import SignalReader, Signals
from sagd.errors import InputError, one_line
from sagd.integrations.accelerate import runtime
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.parameterisation import Parameterisation
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.build import build_covariance
from sagd.noise.grid import Grid, GridLike
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics, measure_with_scales, most_measured
from sagd.omission.checks import check_images
from sagd.omission.clean import Cleaned
from sagd.omission.clean import clean as clean_array
from sagd.omission.detection.base import AUTO, SOUGHT
from sagd.omission.modes import Restoration
from sagd.omission.restore import restore
from sagd.process.base import Process
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import VPSchedule
from sagd.random import generator_for, subset
from sagd.store.model import Trained, load_model, reference_of, save_model
from sagd.study.arrays import restore_arrays
from sagd.study.designing import Design
from sagd.study.designing import design as design_of
from sagd.study.evaluation import evaluate_fields
from sagd.study.filling import Damage, fill, start_of
from sagd.study.restoration import mode_of_model
from sagd.study.run import Begun, Keeping, Recipe, begun, checked_ends, run
from sagd.study.train import train
from sagd.training.batches import Batches, Shuffled, batches_of, in_single
from sagd.training.fit import Budget, Callback
from sagd.training.objective import DenoisingLoss
from sagd.training.runtime import Runtime
from sagd.training.times import MatchedTime

__all__ = ["Model", "clean", "fit", "load", "read", "train"]

logger = logging.getLogger(__name__)

_FAINT, _LOUD = 0.01, 4.0
"""Root mean square of the loudest channel beyond which values are none that models see, of which none has over 1."""
_CHANNELS = 4
"""Channels of a record from which on an array may well be meant for fields of one."""


@final
class Model:
    """A trained model: draws samples, restores and resamples given ones, and knows what it was trained with.

    Args:
        trained: Denoiser, statistics and settings.

    Attributes:
        denoiser: `E[x_0 | x_t]`, without guidance.
        process: The forward process it was trained with.
        statistics: Mean and power spectrum of the training data.
        classes: Class names in label order; None without.
        meaning: What values mean: `meaning.to_values(x)` are those of files, in their unit.
        network: The network, with averaged weights.
        sampling: How samples are drawn unless asked otherwise.
        trained: All of it.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.denoiser: Denoiser = trained.denoiser
        self.process, self.statistics, self.classes = trained.process, trained.statistics, trained.classes
        self.network, self.sampling = trained.plain.module, trained.sampling
        self.meaning = trained.meaning

    def sample(
        self,
        count: int = 16,
        *,
        seed: int = 0,
        condition: Any = None,
        sampler: str | None = None,
        steps: int | None = None,
        grid: str | None = None,
        clip: float | None = None,
        guidance: float | None = None,
        batch_size: int = 64,
        progress: bool = False,
    ) -> Tensor:
        """Draw samples as the model is set up to, `(count, C, *spatial)`, on the CPU.

        Sample `i` depends on `(seed, i)` alone, but for rounding.

        Args:
            count: Number of samples.
            seed: Seed.
            condition: What a conditional model is told: class names or numbers, or a mapping, one value per sample.
            sampler: ddpm, 'ddim(eta=0)', euler, heun or dpm_solver.
            steps: Time steps.
            grid: Time grid.
            clip: Clamp every estimate of the clean field to `[-clip, clip]`.
            guidance: Classifier-free guidance scale.
            batch_size: Samples per network call.
            progress: Show a progress bar.

        Raises:
            InputError: If a setting cannot be used.
        """
        sampling = self._sampling(sampler, steps, grid, clip, guidance)
        return draw(
            self.trained.guided(sampling.guidance),
            count,
            sampling,
            seed=seed,
            condition=self._told(condition),
            statistics=self.statistics,
            batch_size=batch_size,
            progress=progress,
        )

    def restore(
        self,
        x: Any,
        *,
        band: str | None = None,
        observed: Any = None,
        observed_order: Order = "fft",
        samples: int = 0,
        seed: int = 0,
        condition: Any = None,
        batch_size: int = 64,
        progress: bool = False,
    ) -> Restoration:
        """Fill in the band of given fields that the model was trained to leave out; all else stays as it is.

        A model of whole fields fills in a band that is named, or what was not observed of each: with the mean of some
        posterior draws given all that is shown.

        Fields larger than the model are restored in overlapping windows as `sagd restore` does, each by itself: the
        band is split off the whole, windows of the rest are filled in and blended, and the measured damage is taken out
        of what they leave open; by a model of whole fields, windows are drawn given what they show. NaN in them is
        filled in before, and NaN again after.

        Args:
            x: Damaged fields `(B, C, *spatial)`, array or tensor, floating point, scaled as the training data
                (`meaning.to_model(values)`); of the model's size or, without `observed`, larger.
            band: For models of whole fields: the band that is damaged, e.g. "ring(low=0.2, high=0.4)". How strong
                the damage is there is measured on all fields together, and what they still show weighed in.
            observed: Likewise: 1 for each frequency that was observed of a field, else 0, `(B, *spatial)` as
                `numpy.fft.fftn` orders them, or its half as `numpy.fft.rfftn` does.
            observed_order: "centred" for whole masks with frequency 0 in the middle.
            samples: Posterior samples per field of the model's size, which show what is uncertain: of a band given the
                damaged fields, where the mean of 0 starts from cleaned ones if trials find that nearer.
            seed: Seed of these, and of the noise that some modes work under.
            condition: As for `sample`.
            batch_size: Fields, or windows, per network call.
            progress: Show a progress bar.

        Returns:
            `images`, and with samples `std` and `samples`: arrays or tensors as the input is, scaled likewise.

        Raises:
            InputError: If the model leaves no band out and none is named, or the fields do not fit.
        """
        given, told = _floats(x), self._told(condition)
        larger = given.ndim == len(self.process.shape) + 1 and given.shape[2:] != self.process.shape[1:]
        if larger and samples:
            raise InputError("samples need fields of the model's size, and these are others; leave samples out")
        if larger and observed is None:
            images = restore_arrays(
                self.trained, given, band=band, condition=told, seed=seed, batch_size=batch_size, progress=progress
            )
            return Restoration(images) if isinstance(x, Tensor) else _arrays(Restoration(images))
        if band is not None or observed is not None:
            check_images(given, self.process, self.statistics, "fills in")
            y, damage = given.cpu(), self._damage(band, observed, observed_order, given)
            if not samples:
                start = start_of(self.trained, y, damage, seed, told, batch_size, progress)
                y, damage = start.y, start.damage
            found = fill(self.trained, y, damage, samples, seed, told, batch_size, progress)
            return found.to(x.device) if isinstance(x, Tensor) else _arrays(found)
        mode = mode_of_model(self.trained)
        found = restore(
            self.denoiser,
            given,
            mode,
            self.statistics,
            samples=samples,
            seed=seed,
            condition=told,
            batch_size=batch_size,
            progress=progress,
        )
        if isinstance(x, Tensor):
            return found
        return _arrays(found)

    def _damage(self, band: str | None, observed: Any, order: Order, x: Tensor) -> Damage:
        """What is to be filled in."""
        if observed is None:
            assert band is not None
            return Damage.of_band(self.trained, band, x.cpu())
        if band is not None:
            raise InputError("band is hidden in all fields, observed says what each shows; give one")
        if order not in get_args(Order):
            raise InputError(f"observed_order must be one of {', '.join(get_args(Order))}, got {order!r}")
        spatial, given = self.process.shape[1:], torch.as_tensor(observed).cpu().numpy()
        if given.ndim != 1 + len(spatial) or len(given) != len(x):
            raise InputError(f"observed must be a mask for each of {len(x)} fields, got shape {given.shape}")
        masks = [half_of(own, spatial, order) for own in given]
        return Damage.by_masks(torch.stack(masks), spatial)

    def resample(
        self,
        x: Tensor,
        band: Spectrum | str,
        *,
        count: int = 1,
        seed: int = 0,
        condition: Any = None,
        sampler: str | None = None,
        steps: int | None = None,
        grid: str | None = None,
        clip: float | None = None,
        guidance: float | None = None,
        batch_size: int = 64,
        progress: bool = False,
    ) -> Tensor:
        """Draw a band of given fields anew, given all else, `(count, B, C, *spatial)`.

        Args:
            x: Fields `(B, C, *spatial)`, scaled as the training data.
            band: The band, as in 'ring(low=0.3, high=1)'.
            count: Draws per field.
            seed: Seed.
            condition: As for `sample`, and so the settings that follow.
            sampler: Sampler.
            steps: Time steps.
            grid: Time grid.
            clip: Clamp.
            guidance: Guidance scale.
            batch_size: Draws per network call.
            progress: Show a progress bar.

        Raises:
            InputError: If the model resamples no bands, or not this one, or the fields do not fit.
        """
        sampling = self._sampling(sampler, steps, grid, clip, guidance)
        return draw_band(
            self.trained.resampler(sampling.guidance),
            x,
            band,
            sampling,
            count=count,
            seed=seed,
            condition=self._told(condition),
            statistics=self.statistics,
            batch_size=batch_size,
            progress=progress,
        )

    def evaluate(
        self,
        data: Any,
        *,
        count: int = 1000,
        features: Any = None,
        bands: int = 10,
        seed: int = 0,
        batch_size: int = 64,
        progress: bool = False,
    ) -> dict[str, Any]:
        """Measure samples against real data, each figure beside the same figure for real data in place of samples.

        Args:
            data: Reference: a data set as for `fit`, best one the model has not seen; those of its conditions that the
                model takes are those of the samples. Of a loader, the first items are taken, some thousands at most.
            count: Samples to draw, no more than half of the reference.
            features: Maps fields to features `(N, D)`, for distances of distributions; by default those of fixed
                filters, which need no labels.
            bands: Radial bands of the spectral error.
            seed: Seed.
            batch_size: Samples per network call.
            progress: Show a progress bar.

        Raises:
            InputError: If the data is too small or of another shape.
        """
        x, told = _batches(data, 2, seed).some(2 * count, seed)
        known = None if told.mask is None else told.mask.bool()
        if tuple(x.shape[1:]) != self.process.shape:
            raise InputError(f"the model draws fields {self.process.shape}, the data holds {tuple(x.shape[1:])}")
        at = subset(len(x), max(1, min(count, len(x) // 2)), generator_for(seed, "evaluate"))
        told = told.without(set(told.names) - set(self.denoiser.names or ()))
        samples = self.sample(len(at), seed=seed, condition=told[at], batch_size=batch_size, progress=progress)
        W = self.meaning.weight_field(self.process.shape)
        return evaluate_fields(samples, x, features, bands, seed, progress, reference_mask=known, weight_field=W)

    def save(self, path: str | Path) -> Path:
        """Write a model directory, whole or not at all, that `sagd.load` and every command read.

        Raises:
            CheckpointError: If the disk refuses.
        """
        return save_model(Path(path), self.trained)

    def _sampling(self, *given: Any) -> SamplingConfig:
        """The model's settings, with those that were given in their place."""
        names = ("sampler", "steps", "grid", "clip", "guidance")
        changes = {name: value for name, value in zip(names, given, strict=True) if value is not None}
        return dataclasses.replace(self.sampling, **changes)

    def _told(self, condition: Any) -> Conditional:
        """A condition, class names as numbers, and lists and arrays as tensors."""
        if condition is None or isinstance(condition, (Condition, Tensor)):
            return condition
        if isinstance(condition, Mapping):
            return {str(name): self._tensor(value) for name, value in condition.items()}
        return self._tensor(condition)

    def _tensor(self, values: Any) -> Tensor:
        """Values of a condition, class names among them as numbers."""
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InputError(f"a condition holds a value per sample, got {one_line(repr(values))}")
        values = values if hasattr(values, "__array__") else [self._number(value) for value in values]
        try:
            return torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"a condition must be numbers or class names, got {one_line(repr(values))}") from None

    def _number(self, value: Any) -> Any:
        """The number of a class that is named; other values as they are."""
        if not isinstance(value, str):
            return value
        if value not in (self.classes or ()):
            known = ", ".join(self.classes or ()) or "none, since fit was given no classes="
            raise InputError(f"the model has no class {one_line(repr(value))}; known: {known}")
        return (self.classes or ()).index(value)


def read(source: str | Path, **options: Any) -> Signals:
    """Data of files, as the commands read it: any kind of signal, in windows of one size, scaled for models.

    `signals.tensor()` is all of it; `model.meaning.to_values(x)` are values of files again.

    Args:
        source: A folder, a file, 'digits', or the name of a data set of the hub.
        options: Settings of `sagd.data.config.DataConfig`, e.g. `kind="audio"`, `size=4096`.

    Raises:
        InputError: If an option is unknown, or the data cannot be read.
    """
    return load_signals(from_dict(DataConfig, {"source": str(source), **options}))


def load(
    path: str | Path,
    process: Process | None = None,
    device: torch.device | str = "cpu",
    network: nn.Module | None = None,
    allow: Sequence[str] = (),
) -> Model:
    """Read the model of a directory; arguments and errors as for `sagd.store.model.load_model`."""
    return Model(load_model(path, process, device, network, allow))


def fit(
    network: nn.Module,
    data: Any,
    process: Process | Covariance | Spectrum | str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    steps: int = 2000,
    batch_size: int = 64,
    lr: float = 1e-3,
    prediction: Parameterisation | str = "edm",
    loss: DenoisingLoss | None = None,
    null: Mapping[str, Tensor | float] | None = None,
    statistics: DataStatistics | None = None,
    sampling: SamplingConfig | None = None,
    classes: Sequence[str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    warmup_steps: int = 100,
    lr_decay: str = "linear",
    weight_decay: float = 0.0,
    clip_norm: float = 1.0,
    ema_decay: float = 0.999,
    precision: str = "no",
    device: str = "auto",
    checkpoint_every: int = 500,
    keep_checkpoints: int = 2,
    log_every: int = 50,
    callbacks: Sequence[Callback] = (),
) -> Model:
    """Train a network of your own on data of your own; checkpoints, resuming and `torchrun` as `sagd train` has them.

    Args:
        network: Called as `network(x, t, **condition)`, `x` `(B, C, *spatial)`, `t` `(B,)` from 0 to 1000; returns a
            tensor like `x`, or an output of diffusers. `sagd.Adapter` translates other signatures.
        data: What `sagd.read` gives; a map-style data set or list of items, a tensor `(N, C, *spatial)`, or a loader
            of batches: of tensors, pairs `(x, condition)` or mappings, see `sagd.training.batches`; `x` is floating
            point and scaled to about [-1, 1]. Loaders have their own batch size, and each process has its own; those
            with `state_dict` are resumed exactly.
        process: Forward process, or the noise of one with a variance-preserving schedule; default: white noise.
        out: Run directory with checkpoints, metrics and `model/`; without one, nothing is kept on disk.
        resume: Go on from the newest checkpoint in `out`.
        steps: Optimiser steps.
        batch_size: Items per step, over all processes.
        lr: Peak learning rate of AdamW.
        prediction: What the network's output stands for.
        loss: Loss of a batch; default: noise levels matched to the data, for conditions in `null` a tenth left out, and
            places weighted by area where the data asks for that (`data.area_weights`).
        null: Name of a condition -> the value that stands for "nothing", without a batch axis: such conditions may be
            left out when sampling, and guided by.
        statistics: Mean and spectrum of the data, in a basis of the noise; default: measured.
        sampling: How samples are drawn unless asked otherwise.
        classes: Names of the classes that `labels` number.
        arguments: Keyword arguments of the network's class, JSON-ready, by which `sagd.load(path, allow=[module])`
            makes one like it; without them `sagd.load(path, network=...)` wants one.
        seed: Seed of order, times, noise and dropout; initial weights are the network's own.
        warmup_steps: Steps of linear warm-up.
        lr_decay: "linear" lets the rate fall to 0 after the last step; "none" keeps it.
        weight_decay: That of AdamW.
        clip_norm: Largest gradient norm.
        ema_decay: Decay of the averaged weights.
        precision: "no", "bf16", "fp16", or "auto", which takes bf16 where a step is faster with it.
        device: "auto" takes the accelerator that there is; "cpu".
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: Checkpoints kept.
        log_every: Steps between lines of metrics.
        callbacks: What else happens beside the steps.

    Raises:
        InputError: If something cannot work; before the first step.
        CheckpointError: If there is nothing to resume, or the disk is full.
        DivergenceError: On a non-finite loss or gradient.
        Interrupted: After SIGINT or SIGTERM, once a checkpoint is there.
    """
    if not isinstance(network, nn.Module):
        raise InputError(f"network must be a torch.nn.Module, got {type(network).__name__}")
    _check_kinds(loss, statistics, sampling, callbacks)
    if out is None and resume:
        raise InputError("resume=True goes on with the run in a directory; name it as out=")
    budget = Budget(steps, lr, warmup_steps, lr_decay, weight_decay, clip_norm, ema_decay, seed)
    keeping = Keeping(steps if out is None else checkpoint_every, keep_checkpoints, log_every)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out
        machine = stack.enter_context(runtime(device, precision, batch_size))
        where = stack.enter_context(begun(Path(folder), resume, machine))
        labelled = _takes(network, "labels")
        batches = _batches(data, batch_size, seed, machine.rank, machine.processes, labelled)
        meaning = data.meaning if isinstance(data, Signals) else None
        asked = _asked(process)
        basis = _basis(asked, batches.peek()[0].shape[1:])
        known = statistics or _known(where, machine, lambda: _measured(batches, basis, seed))
        noised = _noised(asked, known, None if meaning is None else meaning.grid())
        plain = _denoiser(network, noised, prediction, known, null, batches.peek()[1])
        model = Trained(
            plain,
            known,
            reference_of(network, arguments),
            sampling or SamplingConfig(),
            _checked_classes(
                classes or (data.classes if isinstance(data, Signals) and labelled else None), batches.peek()[1]
            ),
            given_meaning=meaning,
        )
        recipe = _recipe(model, loss, budget, batch_size)
        try:
            return Model(run(recipe, batches, where, machine, keeping, callbacks))
        except (RuntimeError, TypeError) as error:
            if _passed(error, network):
                _refuse_unfit(plain, *batches.peek())
            raise


def _passed(error: Exception, network: nn.Module) -> bool:
    """Whether an error came out of a call of a network."""
    return any(frame.f_locals.get("self") is network for frame, _ in traceback.walk_tb(error.__traceback__))


def _refuse_unfit(plain: NetworkDenoiser, x: Tensor, told: Condition) -> None:
    """A line of what a network says that cannot take the data, after it has failed.

    Raises:
        InputError: If it fails on one item, too.
    """
    # Layers that take statistics of a batch while they are trained fail on one item.
    plain.module.eval()
    try:
        with torch.no_grad():
            plain.output(x[:1].to(plain.device), 0.5, told[:1])
    except (RuntimeError, TypeError) as error:
        channels, *spatial = x.shape[1:]
        raise InputError(
            f"the network fails on items of shape {tuple(x.shape[1:])}: {one_line(error)}; give one of {channels}"
            f" channel(s) and {len(spatial)} axes of space"
        ) from error


def _batches(data: Any, batch_size: int, seed: int, rank: int = 0, world: int = 1, labelled: bool = True) -> Batches:
    """The share of a process in the batches of any data."""
    if isinstance(data, Signals):
        return Shuffled(SignalReader(data, seed, rank=rank, labelled=labelled), batch_size, seed, rank, world)
    return batches_of(data, batch_size, seed, rank, world)


def _known(where: Begun, machine: Runtime, measured: Callable[[], DataStatistics]) -> DataStatistics:
    """Statistics of the data that a run was started with, or of its data now."""
    # Of one process for all: the loaders of others give other fields.
    return where.before.statistics if where.before else machine.shared(measured)


def _denoiser(
    network: nn.Module,
    process: Process,
    prediction: Parameterisation | str,
    statistics: DataStatistics,
    null: Mapping[str, Tensor | float] | None,
    told: Condition,
) -> NetworkDenoiser:
    """The denoiser around a network that is told what its data says."""
    nothing = _nothing(null, told)
    names = [name for name in told.names if name not in nothing and (name != "mask" or _takes(network, name))]
    return NetworkDenoiser(network, process, prediction, statistics.std, nothing, names, statistics)


def _recipe(model: Trained, loss: DenoisingLoss | None, budget: Budget, batch_size: int) -> Recipe:
    """What is trained, found to be possible.

    Raises:
        InputError: If the model could not be sampled.
    """
    plain, process = model.plain, model.process
    settings = {
        "fit": {
            **dataclasses.asdict(budget),
            "batch_size": batch_size,
            "prediction": str(plain.parameterisation),
            "process": process.label,
            "network": to_dict(model.network),
        }
    }
    dropout = 0.1 if plain.null else 0.0
    return Recipe(
        notes=checked_ends(model),
        model=dataclasses.replace(model, configuration=settings),
        loss=(
            loss
            or DenoisingLoss(
                MatchedTime(), condition_dropout=dropout, weight_field=model.meaning.weight_field(process.shape)
            )
        ).resolve(process, model.statistics),
        budget=budget,
        fixed={"seed": budget.seed, "prediction": plain.parameterisation.identity, "names": list(plain.names or ())},
        settings=settings,
        unit="items",
    )


def _check_kinds(loss: Any, statistics: Any, sampling: Any, callbacks: Any) -> None:
    """Refuse what is of another kind, before any work."""
    for name, value, kind in (
        ("loss", loss, DenoisingLoss),
        ("statistics", statistics, DataStatistics),
        ("sampling", sampling, SamplingConfig),
    ):
        if value is not None and not isinstance(value, kind):
            raise InputError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    if not isinstance(callbacks, Sequence) or not all(isinstance(one, Callback) for one in callbacks):
        raise InputError(f"callbacks must be a list of sagd.Callback objects, got {one_line(repr(callbacks))}")


def _nothing(null: Mapping[str, Tensor | float] | None, told: Condition) -> dict[str, Tensor]:
    """What stands for conditions that are left out, in the shape that they have in the data.

    Raises:
        InputError: If the data holds no such condition, or of another shape.
    """
    found = {}
    for name, value in (null or {}).items():
        if name not in told:
            known = ", ".join(told.names) or "no conditions"
            raise InputError(f"null names {one_line(repr(name))}, and the data holds {known}")
        like = told[name]
        try:
            found[name] = torch.as_tensor(value, dtype=like.dtype).expand(like.shape[1:]).clone()
        except (TypeError, ValueError, RuntimeError):
            raise InputError(
                f"null[{name!r}] must be a number or of shape {tuple(like.shape[1:])}, as the condition in the data,"
                f" got {one_line(repr(value))}"
            ) from None
    return found


def _checked_classes(classes: Sequence[str] | None, told: Condition) -> tuple[str, ...] | None:
    """Names of classes, refused if they are fewer than the labels number."""
    if classes is None:
        return None
    if told.labels is None:
        raise InputError("classes names what labels number, and the data holds no labels")
    if int(told.labels.max()) >= len(classes):
        raise InputError(f"the data holds label {int(told.labels.max())}, and classes names {len(classes)}, from 0 on")
    return tuple(classes)


def _asked(process: Process | Covariance | Spectrum | str | None) -> Process | Spectrum:
    """What noise is asked for: a process, or the spectrum of one on data whose shape is not yet known."""
    if process is None or isinstance(process, str):
        return Spectrum.parse(process or "flat")
    if isinstance(process, Covariance):
        return ForwardProcess(VPSchedule(), process)
    if isinstance(process, (Process, Spectrum)):
        return process
    raise InputError(
        "process must be a Process, a Covariance or a spectrum such as 'power_law(alpha=-0.5)', got"
        f" {type(process).__name__}"
    )


def _noised(asked: Process | Spectrum, statistics: DataStatistics, grid: Grid | None) -> Process:
    """The forward process of data with these statistics, on that grid."""
    if isinstance(asked, Process):
        return asked
    shape = tuple(statistics.mean.shape)
    covariance = build_covariance(asked.on(grid).resolve(statistics), shape, "variance", statistics.basis)
    return ForwardProcess(VPSchedule(), covariance)


def _basis(asked: Process | Spectrum, shape: Sequence[int]) -> Basis:
    """The basis in which the noise of data `(C, *spatial)` is diagonal, if it has one; else Fourier.

    Raises:
        InputError: If the process is of other fields.
    """
    if isinstance(asked, Process):
        if asked.shape != tuple(shape):
            raise InputError(
                f"the process is of fields {asked.shape}, the data holds {tuple(shape)}; give both the same shape"
            )
        if asked.reference.basis is not None:
            return asked.reference.basis
    return FourierBasis(tuple(shape[1:]))


def _measured(batches: Batches, basis: Basis, seed: int) -> DataStatistics:
    """Mean and spectrum of as many items as memory allows, drawn at random where the data can be."""
    shape = batches.peek()[0].shape[1:]
    x, told = batches.some(most_measured(shape), seed)
    return measure_with_scales(x, basis, told.mask)


def _takes(network: nn.Module, name: str) -> bool:
    """Whether a network has an argument of that name, or takes any."""
    arguments = inspect.signature(network.forward).parameters
    return name in arguments or any(a.kind is a.VAR_KEYWORD for a in arguments.values())


def _warn_of_scale(x: Tensor) -> None:
    """A line if values `(N, C, *spatial)` are far from those that models see, which files are scaled to."""
    std, mean = torch.std_mean(x, dim=(0, *range(2, x.ndim)))
    rms, loudest = torch.hypot(std, mean).max(0)
    if float(rms) > _LOUD or 0 < float(rms) < _FAINT:
        logger.warning(
            "data of mean %.3g and standard deviation %.3g is taken as models see it, whose values are about one, and"
            " what is told of it will not hold: give (x - mean) / (2 * std), or what sagd.read gives",
            mean[loudest],
            std[loudest],
        )


def design(data: Any, *, evaluations: int = 18, process: ProcessConfig | None = None, progress: bool = False) -> Design:
    """Choose the noise for data, how it is learnt and how samples are drawn; nothing is trained.

    Args:
        data: Arrays or tensors `(N, C, *spatial)` as a model sees them, values of about one; or what `sagd.read` gives.
        evaluations: Evaluations of the network that a sample may take.
        process: What is settled: schedule, basis, channels, calibration.
        progress: Show a bar.

    Returns:
        `config`, whose sections `train` takes; `weights` of the noise at all frequencies; and what speaks for them.

    Raises:
        InputError: If the data is too little, does not vary or cannot be used, or the evaluations are too few.

    >>> x = torch.randn(100, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> design(x, evaluations=6).config.process.spectrum
    'flat'
    """
    if isinstance(data, Signals):
        return design_of(data, evaluations, process, progress)
    x = data if isinstance(data, Tensor) else torch.from_numpy(_real(data))
    if x.ndim not in (3, 4, 5):
        raise InputError(f"data must be (N, C, *spatial) with 1 to 3 axes of space, got {tuple(x.shape)}")
    if x.ndim == 3 and x.shape[1] > _CHANNELS:
        logger.warning(
            "data of %s is taken for %d records of %d channels; of fields of one channel give x[:, None]",
            " x ".join(map(str, x.shape)),
            *x.shape[:2],
        )
    stored = in_single(x, "the data")
    _warn_of_scale(stored)
    return design_of(Signals("the data", stored, meaning=usual(tuple(x.shape[1:]))), evaluations, process, progress)


def clean(
    x: Any,
    band: Spectrum | str = AUTO,
    *,
    rate: float | GridLike = None,
    reference: Any = None,
    log: bool | None = None,
    place: Any = None,
    channel_axis: int | None = None,
) -> Cleaned:
    """Find stripes, hum, moire or another damaged band in one array, and take it out; no model is needed.

    Args:
        x: An array or tensor of one to three axes of space: a record, an image, a volume; NaN where values are missing.
        band: Where the damage is, in cycles per sample or, with a rate, in units; 'auto' looks for it, and takes what
            is damage with a probability of 0.99 or more; 'likeliest' takes what is likeliest to be damage, whatever its
            probability, for data that is known to be damaged.
        rate: Samples per second, or steps along each axis as in `Grid.parse`.
        reference: Clean arrays of the same shape, stacked along a first axis of their own: far fainter damage is found.
        log: Whether damage multiplies the values; None finds that out with the band.
        place: Where the damage is, of the shape of one channel, in [0, 1]; everywhere by default.
        channel_axis: The axis of channels, if there is one; each is cleaned by itself, and three of an image jointly
            where that promises less error.

    Returns:
        `x` and `removed`, arrays or tensors as the input is, floating point and neither rounded nor clipped; `band`,
        None if nothing was found, and `detection`, which says what was, and what is not sure.

    Raises:
        InputError: If the array or the band cannot be used.

    >>> x = torch.randn(2000, generator=torch.Generator().manual_seed(0)).cumsum(0) / 10
    >>> hum = torch.sin(2 * torch.pi * 50 / 400 * torch.arange(2000))
    >>> cleaned = clean(x + hum, "spots(at=[['50 Hz']], radius='1 Hz')", rate=400)
    >>> bool((cleaned.x - x).std() < 0.1 * hum.std())
    True
    """
    array = x if isinstance(x, Tensor) else torch.from_numpy(_real(x))
    if array.is_complex():
        raise InputError(f"x must be of real numbers, got {array.dtype}; take real and imaginary parts apart")
    if channel_axis is not None and not -array.ndim <= channel_axis < array.ndim:
        raise InputError(f"channel_axis must be one of the {array.ndim} axes of x, got {channel_axis}")
    if not array.is_floating_point():
        array = array.float() if array.element_size() < 4 else array.double()
    item = array[None] if channel_axis is None else array.movedim(channel_axis, 0)
    rank = item.ndim - 1
    told: Any = [f"{float(rate)!r} Hz"] * rank if isinstance(rate, numbers.Real) else rate
    grid = Grid.parse(told)
    if grid is not None:
        grid.require_rank(rank)
    if not (isinstance(band, str) and band in SOUGHT):
        band = Spectrum.parse(band).on(grid)
    others = None
    if reference is not None:
        others = reference if isinstance(reference, Tensor) else torch.from_numpy(_real(reference))
        others = others.to(item.dtype)
        others = others[:, None] if channel_axis is None else others.movedim(channel_axis % array.ndim + 1, 1)
    where = place if place is None or isinstance(place, Tensor) else torch.from_numpy(_real(place))
    cleaned = clean_array(item, band, others, log, where)

    def back(v: Tensor) -> Any:
        v = v[0] if channel_axis is None else v.movedim(0, channel_axis)
        return v if isinstance(x, Tensor) else v.numpy()

    return dataclasses.replace(cleaned, x=back(cleaned.x), removed=back(cleaned.removed))


def _arrays(found: Restoration) -> Restoration:
    """The same as arrays of numpy."""
    return Restoration(*(None if z is None else z.numpy() for z in vars(found).values()))  # type: ignore[arg-type]


def _floats(x: Any) -> Tensor:
    """An array or tensor of floating point as a tensor; arrays are copied.

    Raises:
        InputError: If it is none.
    """
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise InputError(
            f"x must be floating point in the range of the training data, got {array.dtype}; model.meaning.to_model"
            " scales values of files"
        )
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))


def _real(x: Any) -> np.ndarray:
    """An array of real numbers that torch knows."""
    array = np.asarray(x)
    if array.dtype.kind not in "buif":
        cure = "read files with sagd.read" if array.dtype.kind in "US" else "take real and imaginary parts apart"
        raise InputError(f"x must be an array of real numbers, got {array.dtype}; {cure}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if np.can_cast(array.dtype, np.float32) else np.float64)
    # Reversed and read-only arrays are none that torch can share.
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()
