"""Training from a configuration: what it describes is built and checked, and then a run as any other."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from sagd.build.draw import draw
from sagd.build.objects import build_loss, build_process, omission_mode
from sagd.build.schema import (
    AUTO_SPECTRUM,
    OmissionConfig,
    ProcessConfig,
    RunConfig,
    TrainingConfig,
)
from sagd.build.text import call_text, load_yaml, to_dict
from sagd.counting import counted
from sagd.data.images import as_png
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.signals import SignalReader, Signals
from sagd.errors import InputError, argument, calling, check_whole
from sagd.integrations.accelerate import runtime
from sagd.integrations.tensorboard import TensorBoard
from sagd.model.denoiser import NetworkDenoiser
from sagd.networks.build import build_network
from sagd.noise.bands import is_own_mirror
from sagd.noise.basis.base import Basis
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.omission.calibrate import Calibration
from sagd.omission.detect import Detection, detect
from sagd.omission.detection.base import Detection as WholeDetection
from sagd.omission.detection.find import find
from sagd.omission.modes import Mode
from sagd.omission.second import SecondDamage
from sagd.optional import need
from sagd.random import generator_for, seed_for, subset
from sagd.resampling.bands import BandLaw, shown_channels
from sagd.store.files import to_json, write_file, writing
from sagd.store.model import Trained
from sagd.store.run import CONFIG
from sagd.study.cleared import cleared
from sagd.study.compilation import compiled
from sagd.study.designing import Design, automatic, check_free, check_likeness, evaluations_of, steps_note
from sagd.study.guarding import (
    as_begun,
    clipped_notes,
    guarded,
    premise_of,
    read_once,
    second_damage,
    set_apart,
    wholes,
    without_band,
)
from sagd.study.measuring import check_masks, measured_part, process_statistics, resolve_basis
from sagd.study.run import Before, Begun, Keeping, Recipe, begun, checked_ends, measured_precision, run, start_from
from sagd.training.batches import MOST_ITEMS, Shuffled
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
    "data.observed",
    "data.observed_order",
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

# Items by which is told how many of their frequencies all show.
_SHOWN = 512

# Share of a GPU's free memory that the data may take.
_NEAR = 0.1


@_as_configured
def train(
    config: RunConfig,
    out: str | Path,
    resume: bool = False,
    data: Signals | None = None,
    designed: Callable[[Design, Path], object] | None = None,
    name: str = "",
) -> Path:
    """Train a model and write it, with checkpoints, metrics and sample grids, into the directory `out`.

    Under `torchrun` each process takes its share of every batch, and the first one writes.

    Args:
        config: What to train, on what, for how long.
        out: Run directory: new or empty, or that of the run to resume.
        resume: Continue from the newest undamaged checkpoint in `out`.
        data: Training images; default: those that `config.data` names.
        designed: Called with what was chosen where the configuration leaves the noise to the data, and with `out`, e.g.
            to draw a page.
        name: What lines on its progress begin with, if it is one of several trainings.

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
        config, found = _designed(config, images, where, machine)
        plan = prepare(config, images, where.before)
        if settings.init is not None and where.before is None:
            start_from(settings.init, plan.model)
        keeping = Keeping(settings.checkpoint_every, settings.keep_checkpoints, settings.log_every)
        callbacks: list[Callback] = [Pictures(out, settings.sample_every, plan)]
        if found is not None:
            callbacks.append(_Kept(found, out, designed))
        if settings.tensorboard:
            callbacks.append(TensorBoard(out / "tensorboard", settings.log_every))
        recipe = dataclasses.replace(plan.recipe, name=name)
        run(recipe, plan.batches(machine), where, machine, keeping, callbacks)
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
    if config.process.spectrum == AUTO_SPECTRUM:
        raise InputError(
            "process.spectrum is 'auto', which a training chooses at its start; elsewhere name the file of a design, as"
            " sagd design writes it"
        )
    _check_data(config, data)
    check_masks(data, config.process.omission)
    if before is None and config.design is not None:
        check_likeness(config.design, data)
    data, process, removed = _without_damage(config.process, data, before.omission if before else None)
    process = resolve_basis(process, data, config.denoiser, before.basis if before else None)
    config = dataclasses.replace(config, process=process)
    model = _untrained(config, data)
    _check_flips(config, model.statistics.basis, data.meaning.grid())
    mode, weights, grid = _mode(model), data.meaning.weight_field(data.shape), data.meaning.grid()
    loss = build_loss(config.denoiser, model.process, model.statistics, grid, weights)
    notes = [*removed, *_notes_of_masks(data, mode), *checked_ends(model)]
    notes += steps_note(config.design, config.sampling) if config.design is not None else []
    held_out = second = None
    if mode is not None and not mode.cleans:
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
        usual=flattened(to_dict(RunConfig())),
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
    check_whole("batch_size", settings.batch_size, 1, MOST_ITEMS)
    check_whole("sample_every", settings.sample_every)


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
    flat = flattened(to_dict(config))
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
        for part in counted(numbers, "calibrating", "parts"):
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


def _designed(config: RunConfig, data: Signals, where: Begun, machine: Runtime) -> tuple[RunConfig, Design | None]:
    """The configuration with the noise that is left to the data, and where it was just chosen, on the first process,
    what speaks for it. A run that is gone on with has what was chosen at its start."""
    if config.process.spectrum != AUTO_SPECTRUM:
        return config, None
    found: list[Design] = []

    def settle() -> RunConfig:
        path = where.out / CONFIG
        if path.exists():
            return _as_chosen(config, load_yaml(RunConfig, path), where.out)
        found.append(automatic(config, data, progress=True))
        logger.info("\n".join(found[0].lines()))
        return found[0].config

    return machine.shared(settle), next(iter(found), None)


def _as_chosen(config: RunConfig, before: RunConfig, out: Path) -> RunConfig:
    """The configuration of a run to go on with, with what was chosen when it was started.

    Raises:
        InputError: If nothing was, or for another number of steps.
    """
    if before.design is None:
        raise InputError(
            f"process.spectrum is 'auto', but the run in {str(out)!r} was started with {before.process.spectrum!r};"
            " give that to resume"
        )
    if before.design.evaluations != evaluations_of(config.sampling):
        raise InputError(
            f"sampling.steps is {config.sampling.steps}, but the noise of the run in {str(out)!r} was chosen for"
            f" {(before.design.evaluations + 1) // 2}; give that to resume"
        )
    check_free(config.sampling)
    process = dataclasses.replace(config.process, spectrum=before.process.spectrum)
    chosen = before.sampling
    sampling = dataclasses.replace(config.sampling, sampler=chosen.sampler, steps=chosen.steps, grid=chosen.grid)
    return dataclasses.replace(config, process=process, sampling=sampling, design=before.design)


@final
class _Kept(Callback):
    """What was chosen, beside the run: `design.json`, and whatever else is made of it.

    It is written once the run has its configuration, so that a folder which holds a design can be gone on with.

    Args:
        design: The choice.
        out: Run directory.
        then: What else is made of it.
    """

    def __init__(self, design: Design, out: Path, then: Callable[[Design, Path], object] | None) -> None:
        self._design, self._out, self._then = design, out, then

    def start(self, fit: Fit) -> None:
        """Write it."""
        write_file(self._out / "design.json", to_json(self._design.to_dict()))
        if self._then is not None:
            self._then(self._design, self._out)


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


def _notes_of_masks(data: Signals, mode: Mode | None) -> list[str]:
    """A line for items that lack frequencies of their own, of which this training makes nothing."""
    coverage = data.at_most(_SHOWN, "coverage").coverage() if mode is None else None
    if coverage is None or coverage.all_shown:
        return []
    whole = 100 * float(coverage.shares.mean())
    return [
        f"note: items show {whole:.1f} % of their frequencies; this training takes 0 for the others and learns items as"
        f" damaged as these: {argument('process.omission.laps=3')} learns whole ones"
    ]


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
            what = f"process.omission.{name} {Spectrum.parse(getattr(mode, name)).label!r}"
            why = "is not its own mirror image; leave data.flip out, or give one that is"
            if "wavelet" in config.process.basis:
                why = "flipped wavelets do not hold; leave data.flip out, or use basis fourier or cosine"
            raise InputError(f"data.flip turns the damage out of {what}, which {why}")


def _without_damage(
    process: ProcessConfig, data: Signals, found: OmissionConfig | None
) -> tuple[Signals, ProcessConfig, list[str]]:
    """Data as the mode of omission has it trained on, the configuration with what was found in it, and lines on that.

    Arguments and errors as for `resolve_omission`.
    """
    once = read_once(data)
    mode = omission_mode(process.omission, data.meaning.grid())
    if mode is not None and mode.cleans:
        taken = cleared(process.omission, once, found)
        return taken.data, dataclasses.replace(process, omission=taken.omission), taken.lines
    process = resolve_omission(process, once, found)
    parts = without_band(once, process)
    return data if parts is once else parts, process, [] if mode is None else clipped_notes(once)


def resolve_omission(process: ProcessConfig, data: Signals, found: OmissionConfig | None = None) -> ProcessConfig:
    """The configuration with band and corruption spectrum detected in the data, where it asks for that.

    That of a mode which takes the damage out of the data stays: what is found is found with what is taken out.

    Args:
        process: Configuration.
        data: Damaged images.
        found: What was detected when the run was started; taken as it is, since sums of another machine may round
            otherwise.

    Raises:
        InputError: If nothing is found.
    """
    mode = omission_mode(process.omission, data.meaning.grid())
    if mode is None or mode.cleans:
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


def flattened(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
