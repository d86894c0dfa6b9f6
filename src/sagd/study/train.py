"""Training from a configuration: what it describes is built and checked, and then a run as any other."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sagd.build.draw import draw
from sagd.build.objects import build_loss, build_process, omission_mode, process_basis
from sagd.build.schema import (
    AUTO_BASIS,
    NO_OMISSION,
    DenoiserConfig,
    OmissionConfig,
    ProcessConfig,
    RunConfig,
    TrainingConfig,
)
from sagd.build.text import call_text, to_dict
from sagd.data.images import as_png
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.signals import SignalReader, Signals
from sagd.errors import InputError, argument, calling
from sagd.integrations.accelerate import runtime
from sagd.integrations.tensorboard import TensorBoard
from sagd.model.denoiser import NetworkDenoiser
from sagd.networks.build import build_network
from sagd.noise.bands import is_own_mirror
from sagd.noise.basis.base import Basis
from sagd.noise.grid import Grid
from sagd.noise.statistics import DataStatistics, channel_covariance, jumps, measure, most_measured
from sagd.omission.calibrate import Calibration
from sagd.omission.detect import Detection, detect
from sagd.omission.detection.base import Detection as WholeDetection
from sagd.omission.detection.find import find
from sagd.omission.modes import Mode
from sagd.omission.second import SecondDamage
from sagd.optional import need
from sagd.random import generator_for, seed_for, subset
from sagd.resampling.bands import BandLaw, shown_channels
from sagd.store.files import write_file, writing
from sagd.store.model import Trained
from sagd.study.compilation import compiled
from sagd.study.guarding import as_begun, guarded, premise_of, read_once, second_damage, set_apart, wholes, without_band
from sagd.study.run import Before, Keeping, Recipe, begun, checked_ends, measured_precision, run, start_from
from sagd.training.batches import Shuffled
from sagd.training.fit import Budget, Callback, Fit, Step
from sagd.training.runtime import Runtime

logger = logging.getLogger(__name__)

SAMPLES = 64
"""Images in a sample grid."""

# What a run computes: a resumed run must not change it. The other settings of the optimiser may be changed, which is
# what one does after a divergence. The data is known by its content.
_FIXED = ("process.", "network.", "denoiser.", "training.seed")
_FIXED_DATA = (
    "data.flip",
    "data.size",
    "data.channels",
    "data.corruption",
    "data.corruption_seed",
    "data.area_weights",
)

# Messages name settings of a training as its configuration does.
_as_configured = calling(
    {f.name: f"training.{f.name}" for f in dataclasses.fields(TrainingConfig)}
    | {"compile of sagd.Fit": "training.compile"}
)

# Images that a damaged band is calibrated on, which the network is not trained on: a share of all, but some at least,
# where that is no more than a larger share; and so many at most.
_CALIBRATED, _LEAST_CALIBRATED, _MOST_CALIBRATED = 0.05, 64, 2048
_LARGEST_PART = 0.2

# Share of a second damage that a prediction draws back, and share of it that is believed, from which on the model says
# so whenever it is used.
_DRAWN_BACK, _LITTLE = 0.1, 0.1

FOURIER = "fourier"
"""The basis of data that goes on from its other end, and of noise with a direction."""

# The basis is chosen by so many fields, at most. An axis whose jump from end to start has more than `_FAR` times the
# power of a step between neighbours is taken not to be periodic.
_LOOKED_AT = 512
_FAR = 2.0
_SHOWN_JUMP = 1e4

# Share of a GPU's free memory that the data may take.
_NEAR = 0.1


@_as_configured
def train(config: RunConfig, out: str | Path, resume: bool = False, data: Signals | None = None) -> Path:
    """Train a model and write it, with checkpoints, metrics and sample grids, into the directory `out`.

    Under `torchrun` each process takes its share of every batch, and the first one writes.

    Args:
        config: What to train, on what, for how long.
        out: Run directory: new or empty, or that of the run to resume.
        resume: Continue from the newest undamaged checkpoint in `out`.
        data: Training images; default: those that `config.data` names.

    Returns:
        The model directory, `out/model`.

    Raises:
        InputError: If something cannot work; before the first step, and one line that says what would.
        CheckpointError: If there is nothing to resume, or the disk is full.
        DivergenceError: On a non-finite loss or gradient, before it has touched weights or averages.
        Interrupted: After SIGINT or SIGTERM, once a checkpoint, or the model that was being written, is there.
    """
    _require_types(config, data)
    out, settings = Path(out), config.training
    check_training(settings)
    if settings.sample_every:
        need("PIL")
    if settings.tensorboard:
        need("tensorboard")
    with (
        runtime(settings.device, settings.precision, settings.batch_size) as machine,
        begun(out, resume, machine) as where,
    ):
        images = load(config.data) if data is None else data
        plan = prepare(config, images, where.before)
        if settings.init is not None and where.before is None:
            start_from(settings.init, plan.model)
        keeping = Keeping(settings.checkpoint_every, settings.keep_checkpoints, settings.log_every)
        callbacks: list[Callback] = [Pictures(out, settings.sample_every, plan)]
        if settings.tensorboard:
            callbacks.append(TensorBoard(out / "tensorboard", settings.log_every))
        run(plan.recipe, plan.batches(machine), where, machine, keeping, callbacks)
    return out / "model"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run that was found to be possible: what the configuration says, as objects.

    Attributes:
        config: The configuration, with what was detected in the data.
        data: Training images, those excepted that a calibration is to see.
        recipe: What is trained.
    """

    config: RunConfig
    data: Signals
    recipe: Recipe

    @property
    def model(self) -> Trained:
        """The model, not yet trained."""
        return self.recipe.model

    def batches(self, machine: Runtime) -> Shuffled:
        """The share of a process in the batches of the run."""
        config, seed = self.config, self.config.training.seed
        data = _near(self.data, machine.device)
        reader = SignalReader(data, seed, config.data.flip, machine.rank, config.network.conditional)
        return Shuffled(reader, config.training.batch_size, seed, machine.rank, machine.processes)


def prepare(config: RunConfig, data: Signals, before: Before | None = None) -> Plan:
    """Build and check all that a configuration describes; nothing is written.

    Args:
        config: Configuration.
        data: Training images.
        before: Where the run was; what it found in the data when it was started is taken as it is, since sums of
            another machine may round otherwise.

    Raises:
        InputError: If configuration and data do not fit each other.
    """
    if config.process.omission.laps:
        raise InputError(
            f"process.omission.laps is {config.process.omission.laps}, and this is one training; laps are trained by"
            " sagd train, or by sagd.study.laps.train_in_laps"
        )
    _check_data(config, data)
    once = read_once(data)
    process = resolve_omission(config.process, once, before.omission if before else None)
    parts = without_band(once, process)
    data = data if parts is once else parts
    process = resolve_basis(process, data, config.denoiser, before.basis if before else None)
    config = dataclasses.replace(config, process=process)
    model = _untrained(config, data)
    _check_flips(config, model.statistics.basis, data.meaning.grid())
    mode, weights, grid = _mode(model), data.meaning.weight_field(data.shape), data.meaning.grid()
    loss = build_loss(config.denoiser, model.process, model.statistics, grid, weights)
    notes = checked_ends(model)
    held_out = second = None
    if mode is not None:
        mode.check(model.statistics)
        notes += premise_of(mode, data, model.statistics).lines()
        if mode.calibrates:
            second = second_damage(mode, data, model.statistics)
            data, held_out = _parted(config, data)
            notes.append(_calibration_note(data, held_out))
    loss.weighting.weight(torch.full((1,), 0.5, dtype=torch.float64), model.plain)
    recipe = Recipe(
        model=model,
        loss=loss,
        budget=budget_of(config.training),
        fixed=_fixed(config, data),
        usual=_flattened(to_dict(RunConfig())),
        settings=to_dict(config),
        layout=config.training.layout,
        compile=_compiler(config, data, model) if config.training.compile else None,
        finish=lambda trained: trained if held_out is None else _calibrated(trained, held_out, second),
        notes=notes,
        unit=Kind.member(data.meaning.kind).item[1],
    )
    return Plan(config, data, recipe)


@final
class Pictures(Callback):
    """Grids of samples, `samples/step-000500.png`.

    Args:
        out: Run directory.
        every: Steps between them; 0 for none.
        plan: The run.
    """

    def __init__(self, out: Path, every: int, plan: Plan) -> None:
        self._out, self._every, self._plan = out, every, plan

    def after(self, fit: Fit, step: Step) -> None:
        """Draw if it is time."""
        if self._every and step.number % self._every == 0:
            fit.runtime.on_first(lambda: self._draw(fit))

    def _draw(self, fit: Fit) -> None:
        config, data = self._plan.config, self._plan.data
        model = dataclasses.replace(self._plan.model, plain=fit.averaged)
        seed, guidance = config.training.seed, config.sampling.guidance
        denoiser = model.guided(guidance)
        labels = None if model.classes is None else torch.arange(SAMPLES) % len(model.classes)
        if model.bands is not None:
            some = data.some(SAMPLES)
            given, own = some.batch(torch.arange(SAMPLES) % len(some))
            labels = labels if labels is None else own
            bands = model.bands.sample(SAMPLES, generator_for(seed, "bands"))
            denoiser = model.resampler(guidance).given_images(given.to(denoiser.device), bands)
        x = draw(denoiser, SAMPLES, config.sampling, seed=seed, condition=labels, statistics=model.statistics)
        path = self._out / "samples" / f"step-{fit.step:06d}.png"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        write_file(path, as_png(Kind.member(data.meaning.kind)().picture(x, data.meaning)))


@_as_configured
def settled(config: RunConfig, data: Signals) -> RunConfig:
    """The configuration with the precision that `auto` stands for on this machine.

    Raises:
        InputError: If the run is not possible.
    """
    training = config.training
    with runtime(training.device, training.precision, training.batch_size) as machine:
        plan = prepare(config, data)
        plan.model.plain.module.to(machine.device)
        machine.settle(lambda: measured_precision(plan.recipe, plan.batches(machine), machine))
        settled = dataclasses.replace(training, precision=machine.precision)  # type: ignore[arg-type]
        return dataclasses.replace(config, training=settled)


def budget_of(settings: TrainingConfig) -> Budget:
    """Steps and optimiser of a configuration."""
    return Budget(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(Budget)})


@_as_configured
def check_training(settings: TrainingConfig) -> None:
    """Refuse settings that cannot train.

    Raises:
        InputError: Naming the setting.
    """
    budget_of(settings)
    Keeping(settings.checkpoint_every, settings.keep_checkpoints, settings.log_every)
    for name, least in (("batch_size", 1), ("sample_every", 0)):
        if getattr(settings, name) < least:
            raise InputError(f"{argument(name)} must be at least {least}, got {getattr(settings, name)}")


def _untrained(config: RunConfig, data: Signals) -> Trained:
    """The model around a network whose weights are drawn by the seed."""
    statistics = process_statistics(data, config.process)
    classes = data.classes if config.network.conditional else None
    number = None if classes is None else len(classes)
    process = build_process(config.process, data.shape, statistics, classes, data.meaning.grid())
    bands = None if config.denoiser.bands == "none" else BandLaw(config.denoiser.bands, statistics.basis)
    beside = shown_channels(bands, data.shape[0])
    seed = seed_for(config.training.seed, "weights")
    network = build_network(config.network, data.shape[0], data.shape[1:], number, seed, beside)
    model = Trained(
        plain=NetworkDenoiser(
            network,
            process,
            config.denoiser.prediction,
            statistics.std,
            null={} if number is None else {"labels": number},
            names=() if bands is None else ("image",),
            statistics=statistics,
        ),
        statistics=statistics,
        network=config.network,
        sampling=config.sampling,
        classes=classes,
        bands=bands,
        omission=config.process.omission,
        configuration=to_dict(config),
        plugins=config.plugins,
        given_meaning=data.meaning,
    )
    if (mode := _mode(model)) is not None:
        model = dataclasses.replace(model, calibration=mode.believed(statistics.basis))
    model.guided(config.sampling.guidance)
    return model


def _compiler(config: RunConfig, data: Signals, model: Trained) -> Callable[[nn.Module], nn.Module]:
    classes = None if model.classes is None else len(model.classes)
    beside = shown_channels(model.bands, data.shape[0])
    return lambda network: compiled(network, config.training.batch_size, data.shape, classes, beside)


def _fixed(config: RunConfig, data: Signals) -> dict[str, Any]:
    """Settings that a resumed run must have as they were."""
    flat = _flattened(to_dict(config))
    settings = {key: value for key, value in flat.items() if key.startswith(_FIXED) or key in _FIXED_DATA}
    return settings | {"data": {"items": len(data), "shape": list(data.shape), "classes": list(data.classes or ())}}


def _mode(model: Trained) -> Mode | None:
    """The mode of omission of a model, if it has one."""
    return omission_mode(model.omission, model.meaning.grid())


def _parted(config: RunConfig, data: Signals) -> tuple[Signals, Signals]:
    """Training data, and a part at random to calibrate on, which bears out nothing that a network memorises.

    Raises:
        InputError: If less than a batch is left to train on.
    """
    kept, held_out = set_apart(data)  # windows that share values with those of training are no others
    if held_out is None:
        share = max(_LEAST_CALIBRATED, round(_CALIBRATED * len(data)))
        count = max(1, min(share, _MOST_CALIBRATED, int(_LARGEST_PART * len(data))))
        order = subset(len(data), len(data), generator_for("held out", 0))
        held_out, kept = (data.subset(part.sort().values) for part in (order[:count], order[count:]))
    held_out = held_out.at_most(_MOST_CALIBRATED)
    if len(kept) < config.training.batch_size:
        items = Kind.member(data.meaning.kind).item[1]
        raise InputError(
            f"training.batch_size is {config.training.batch_size} but {len(kept)} {items} are left to train on,"
            f" with {len(held_out)} set apart to calibrate omission mode {config.process.omission.mode!r}; use at most"
            f" {len(kept)}"
        )
    return kept, held_out


def _calibration_note(kept: Signals, held_out: Signals) -> str:
    items = Kind.member(kept.meaning.kind).item[1]
    return (
        f"{len(held_out)} of {len(kept) + len(held_out)} {items} are set apart: what the model says of the damaged band"
        " is calibrated on them"
    )


def _calibrated(model: Trained, held_out: Signals, second: SecondDamage | None) -> Trained:
    """The model with what its mode of omission measures of it on images that it was not trained on."""
    mode, device = _mode(model), model.plain.device
    assert mode is not None

    def batches() -> Iterator[tuple[Tensor, Tensor | None]]:
        numbers = torch.arange(len(held_out)).split(SAMPLES)
        for part in tqdm(numbers, desc="calibrating", disable=None, leave=False):
            x, labels = held_out.batch(part)
            yield x.to(device), None if labels is None or model.classes is None else labels.to(device)

    found = mode.calibrate(model.plain, batches(), model.statistics, second)
    for line in found.lines():
        logger.info(line)
    doubt = "; ".join(found.lines()) if _speaks_against(found) else ""
    return dataclasses.replace(model, calibration=found.share, unexplained=found.unexplained, doubt=doubt)


def _speaks_against(found: Calibration) -> bool:
    """Whether what was measured of a model's word on its band is a reason not to trust it."""
    drawn_back = found.drawn_back is not None and found.drawn_back > _DRAWN_BACK
    return found.vetoed or drawn_back or (found.believed is not None and found.believed < _LITTLE)


def _require_types(config: RunConfig, data: Signals | None) -> None:
    if not isinstance(config, RunConfig):
        raise InputError(
            f"config must be a RunConfig, got {type(config).__name__}; read a file with"
            " sagd.build.text.load_yaml(RunConfig, path), or train your own network with sagd.fit"
        )
    if data is not None and not isinstance(data, Signals):
        raise InputError(
            f"data must be Signals, got {type(data).__name__}; give sagd.fit any other data, tensors included"
        )


def _near(data: Signals, device: torch.device) -> Signals:
    """The data on a GPU, where a small part of its memory holds it: each batch would have to go there otherwise."""
    if device.type != "cuda" or not isinstance(data.stored, Tensor):
        return data
    free, _ = torch.cuda.mem_get_info(device)
    return data.on(device) if data.stored.numel() * data.stored.element_size() < _NEAR * free else data


def _check_data(config: RunConfig, data: Signals) -> None:
    batch_size = config.training.batch_size
    if len(data) < batch_size:
        items = Kind.member(data.meaning.kind).item[1]
        raise InputError(f"training.batch_size is {batch_size} but the data has {len(data)} {items}; use at most that")
    if config.network.conditional and data.classes is None:
        raise InputError("network.conditional needs labels, and the data has none; name them with data.label_column")


def _check_flips(config: RunConfig, basis: Basis, grid: Grid | None) -> None:
    """Refuse to flip images whose damage would then lie outside its band, where the network learns it.

    Raises:
        InputError: If the band, or the spectrum of the damage, is not its own mirror image.
    """
    mode = omission_mode(config.process.omission, grid)
    if not config.data.flip or mode is None:
        return
    for name, values in mode.weights(basis).items():
        if not is_own_mirror(values, basis):
            what = f"process.omission.{name} {str(getattr(mode, name))!r}"
            why = "is not its own mirror image; leave data.flip out, or give one that is"
            if "wavelet" in config.process.basis:
                why = "flipped wavelets do not hold; leave data.flip out, or use basis fourier or cosine"
            raise InputError(f"data.flip turns the damage out of {what}, which {why}")


def resolve_omission(process: ProcessConfig, data: Signals, found: OmissionConfig | None = None) -> ProcessConfig:
    """The configuration with band and corruption spectrum detected in the data, where it asks for that.

    Args:
        process: Configuration.
        data: Damaged images.
        found: What was detected when the run was started; taken as it is, since sums of another machine may round
            otherwise.

    Raises:
        InputError: If nothing is found.
    """
    mode = omission_mode(process.omission, data.meaning.grid())
    if mode is None:
        return process
    if mode.unmeasured:
        process = dataclasses.replace(process, omission=_detected(process.omission, mode, data, found))
    if found is not None:
        return dataclasses.replace(process, omission=as_begun(process.omission, found))
    return dataclasses.replace(process, omission=guarded(process.omission, data))


def _detected(omission: OmissionConfig, mode: Mode, data: Signals, found: OmissionConfig | None) -> OmissionConfig:
    if found is None:
        detected = _found(mode, data)
        if "band" in mode.unmeasured and detected.band is not None:
            logger.info("\n".join(detected.lines(data.meaning.kind == "image")))
        measured = mode.measured(detected)  # type: ignore[arg-type]  # both have the band
        told = {name: str(getattr(measured, name)) for name in mode.unmeasured}
    else:
        told = {name: getattr(found, name) for name in mode.unmeasured}
    kept = {name: value for name, value in Mode.read(omission.mode).items() if name not in told}
    return dataclasses.replace(omission, mode=call_text(kept), **told)  # type: ignore[arg-type]


def _found(mode: Mode, data: Signals) -> Detection | WholeDetection:
    """What is detected: in the files that windows are cut from, if the band is all that is wanted, else in all data."""
    if data.cut is not None and mode.unmeasured == ("band",):
        return find(torch.stack(wholes(data)))
    return detect(measured_part(data).tensor())


def resolve_basis(
    process: ProcessConfig, data: Signals, denoiser: DenoiserConfig | None = None, found: str | None = None
) -> ProcessConfig:
    """The configuration with the basis that the data's ends ask for, where it is to be chosen.

    Args:
        process: Configuration.
        data: Training data.
        denoiser: How it is trained.
        found: What was chosen when the run was started.
    """
    if process.basis != AUTO_BASIS:
        return process
    return dataclasses.replace(process, basis=found or basis_for([process], data, denoiser))


def basis_for(processes: Sequence[ProcessConfig], data: Signals, denoiser: DenoiserConfig | None = None) -> str:
    """One basis for several processes that leave it to the data.

    A window of a longer record does not go on from its other end. In the Fourier basis its jump there has power at all
    frequencies, which hides what little the data has at high ones; in the cosine basis there is no jump. Where a band
    is left out or drawn anew, and for noise that has a direction, it is Fourier, which alone tells all directions
    apart.

    Args:
        processes: Their configurations.
        data: Training data.
        denoiser: How they are trained.
    """
    banded = any(process.omission.mode != NO_OMISSION for process in processes)
    if banded or (denoiser is not None and denoiser.bands != "none"):
        return FOURIER
    some = data.at_most(_LOOKED_AT, "basis")
    far = jumps(some.tensor(), some.known())
    asked = _basis_of([axis for axis, jump in enumerate(far) if jump <= _FAR], len(far))
    if asked == FOURIER or not all(_fits(process, some, asked) for process in processes):
        return FOURIER
    ends = ", ".join(f"{jump:.0f}" if jump < _SHOWN_JUMP else f"over {_SHOWN_JUMP:g}" for jump in far)
    logger.info(
        f"basis: {asked}, since the data does not go on from its other end (jumps there have {ends} times the power of"
        " steps between neighbours, by axis)"
    )
    return asked


def _basis_of(periodic: Sequence[int], rank: int) -> str:
    """The basis of fields that close on themselves along some of their axes."""
    if len(periodic) == rank:
        return FOURIER
    return f"mixed(periodic={[*periodic]})" if periodic else "cosine"


def _fits(process: ProcessConfig, data: Signals, basis: str) -> bool:
    """Whether the noise can be had in a basis."""
    process = dataclasses.replace(process, basis=basis)
    try:
        build_process(process, data.shape, process_statistics(data, process), data.classes, data.meaning.grid())
    except InputError:
        return False
    return True


def measured_part(data: Signals) -> Signals:
    """As much of the data as is measured: all, or where that is too much for memory, a part at random."""
    return data.at_most(most_measured(data.shape))


def process_statistics(data: Signals, process: ProcessConfig) -> DataStatistics:
    """Statistics of the data in the basis of the noise, or of as much of it as memory allows."""
    some = measured_part(data)
    x = some.tensor()
    process = resolve_basis(process, data)
    if len(x) and x.min() == x.max():
        value = data.meaning.to_values(x.flatten()[:1].expand(1, *data.shape)).flatten()[0]
        raise InputError(f"{data.name!r} does not vary: all its values are {value:g}, of which nothing can be learnt")
    colours = channel_covariance(x) if process.channels == "decorrelated" else None
    return measure(x, process_basis(process, data.shape, colours), mask=some.known())


def _flattened(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
