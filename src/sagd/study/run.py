"""A run: a network that is trained, with checkpoints, metrics and pictures, into a directory that holds it all.

`sagd.study.train` makes the recipe of a run from a configuration, `sagd.fit` from objects; what happens then is the
same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sagd.build.schema import OmissionConfig
from sagd.build.strict_yaml import read_yaml
from sagd.build.text import from_dict, read_mapping, to_dict, to_yaml
from sagd.counting import stage
from sagd.designs.ends import check_ends
from sagd.errors import CheckpointError, DataMismatchError, InputError, argument, check_whole, one_line
from sagd.interrupt import Interrupts
from sagd.networks.weights import check_layout, check_numbers
from sagd.noise.basis.base import build_basis
from sagd.noise.statistics import DataStatistics
from sagd.process.description import alike
from sagd.sampling.base import Sampler, check_clip
from sagd.sampling.grids import MOST_STEPS, TimeGrid
from sagd.store.checkpoint import STATE, Checkpoints, latest_checkpoint, load_checkpoint, prune
from sagd.store.files import reading
from sagd.store.folder import claim
from sagd.store.model import (
    Trained,
    describe_model,
    load_model,
    measured,
    moments,
    read_moments,
    save_model,
)
from sagd.store.run import CONFIG, Metrics, advice, describe, require_run
from sagd.store.state import RunState, check_moments, check_scaler, read_state
from sagd.training.batches import Batches
from sagd.training.fit import Budget, Callback, Fit, Loss, Snapshot
from sagd.training.progress import Progress
from sagd.training.runtime import MEASURED, Runtime, timed

logger = logging.getLogger(__name__)

_NAMED = 5
"""Settings that a line names, at most."""


@dataclass(frozen=True)
class Recipe:
    """What a run trains, and what it must not change when it is resumed.

    Attributes:
        model: The model, around the network to train.
        loss: Loss of a batch.
        budget: Steps and optimiser.
        fixed: Settings by name, JSON-ready, that a resumed run must have as they were.
        usual: What settings are by default: those of a run of before they were known.
        settings: All settings, for `config.yaml`.
        layout: Memory layout of the network: "contiguous", "channels_last", or "auto", the latter on a GPU.
        compile: Makes of the network what a step calls.
        finish: Makes of the trained model what is saved.
        notes: Lines to say before the first step.
        unit: What items are called.
        name: What lines on its progress begin with, if it is one of several trainings.
    """

    model: Trained
    loss: Loss
    budget: Budget
    fixed: Mapping[str, Any] = field(default_factory=dict)
    usual: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "auto"
    compile: Callable[[nn.Module], nn.Module] | None = None
    finish: Callable[[Trained], Trained] = lambda model: model
    notes: Sequence[str] = ()
    unit: str = "images"
    name: str = ""


@dataclass(frozen=True)
class Keeping:
    """What a run keeps on disk, and how often.

    Attributes:
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: How many stay.
        log_every: Steps between lines of metrics.

    Raises:
        InputError: If one of them is less than 1.
    """

    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    log_every: int = 50

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            check_whole(name, value, 1)


@dataclass(frozen=True)
class Before:
    """Where a run that is gone on with was.

    Attributes:
        folder: Its newest checkpoint.
        snapshot: What that holds.
        state: What that says.
    """

    folder: Path
    snapshot: Snapshot
    state: RunState

    @property
    def statistics(self) -> DataStatistics:
        """Those of the data that the run was started with.

        Raises:
            CheckpointError: If the snapshot holds none.
        """
        with reading(self.folder, "does not fit the run"):
            shape = tuple(self.state.model["described"]["data"]["shape"])
            return read_moments(self.snapshot.tensors["moments"], self.state.model["measured"], shape)[0]

    @property
    def omission(self) -> OmissionConfig:
        """What the run left out of its data from its start on.

        Raises:
            CheckpointError: If the snapshot does not say.
        """
        with reading(self.folder / STATE, "does not fit the run"):
            return from_dict(OmissionConfig, self.state.model["described"]["omission"], "omission")

    @property
    def basis(self) -> str | None:
        """The basis of the noise of the run; None if it does not say."""
        named = self.state.fixed.get("process.basis")
        if named is None:
            return None
        with reading(self.folder / STATE, "does not fit the run"):
            build_basis(str(named), tuple(self.state.model["described"]["data"]["shape"][1:]))
        return str(named)


@dataclass(frozen=True)
class Begun:
    """A run directory that this process holds, with the others of its runtime.

    Attributes:
        out: The directory.
        before: Where its run was; None for a run at its start.
    """

    out: Path
    before: Before | None = None


@contextlib.contextmanager
def begun(out: Path, resume: bool, runtime: Runtime) -> Iterator[Begun]:
    """Hold a run directory, and read where its run was.

    Raises:
        InputError: If it is in use, or not empty and not to be resumed.
        CheckpointError: If there is nothing to resume, or the checkpoint is of another version.
    """
    with contextlib.ExitStack() as stack:
        if resume:
            runtime.on_first(lambda: require_run(out))
        runtime.on_first(lambda: stack.enter_context(claim(out, empty=not resume, advice=advice())))
        if not resume:
            yield Begun(out)
            return
        path = runtime.shared(lambda: latest_checkpoint(out))
        if path is None:
            warnings.warn(f"no checkpoint in {str(out)!r} yet; starting at step 0", stacklevel=3)
            yield Begun(out)
            return
        snapshot = load_checkpoint(path)
        with reading(path / STATE, "is damaged or of another version of sagd"):
            state = read_state(snapshot)
        yield Begun(out, Before(path, snapshot, state))


def run(
    recipe: Recipe,
    batches: Batches,
    where: Begun,
    runtime: Runtime,
    keeping: Keeping,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Train as a recipe says and write the model, `out/model`.

    Args:
        recipe: What to train.
        batches: Batches of this process.
        where: Run directory, held.
        runtime: Device, precision and processes.
        keeping: What is kept on disk.
        callbacks: What else happens beside the steps, before a checkpoint is written.

    Raises:
        InputError: If the recipe is not that of the run to go on with.
        CheckpointError: If its checkpoint does not fit, or the disk is full.
        DivergenceError: On a non-finite loss or gradient, before it has touched weights or averages.
        Interrupted: After SIGINT or SIGTERM, once a checkpoint, or the model that was being written, is there.
    """
    out = where.out
    with Interrupts() as interrupts:
        plain = recipe.model.plain
        plain.module.to(runtime.device)
        plain.module.to(memory_format=_layout(recipe, runtime.device))  # type: ignore[call-overload]
        every = keeping.checkpoint_every
        saved = Checkpoints(out, every, keeping.keep_checkpoints, lambda snapshot: _completed(recipe, fit, snapshot))
        runtime.settle(lambda: _precision(recipe, where, batches, runtime))
        recipe = _recorded(recipe, runtime.precision)
        fit = Fit(
            plain,
            recipe.loss,
            batches,
            recipe.budget,
            runtime,
            [Progress(recipe.unit, recipe.name), Metrics(out, keeping.log_every), *callbacks, saved],
            lambda: interrupts.received,
            recipe.compile,
        )
        _resume(fit, recipe, where)
        runtime.on_first(lambda: _open(recipe, where, fit, keeping.keep_checkpoints))
        averaged = fit.run()
        model = dataclasses.replace(recipe.model, plain=averaged)
        finished = runtime.on_first(lambda: _write(recipe.finish(model), out))
        fit.heed()
    return model if finished is None else finished


def checked_ends(model: Trained) -> list[str]:
    """What a person should know of both ends of time; fails on settings that are first used when sampling.

    Raises:
        InputError: If the model cannot be sampled as its settings say, or would start where the data never gets.
    """
    sampling, statistics, process = model.sampling, model.statistics, model.process
    sampler = Sampler.parse(sampling.sampler)
    check_clip(sampling.clip)
    check_whole("sampling.steps", sampling.steps, 1, MOST_STEPS)
    times = TimeGrid.parse(sampling.grid).fitted(sampler).times(sampling.steps, process, statistics).tolist()
    ends = check_ends(statistics, process, end=times[-2])
    ends.refuse()
    check_ends(statistics, process, start=times[0]).refuse()
    return ends.lines()


def start_from(path: str | Path, model: Trained) -> None:
    """Load the averaged weights of another model into the network of this one.

    Args:
        path: Run or model directory of the other one.
        model: Model to train.

    Raises:
        InputError: If that has another network, prediction, bands or shape.
        CheckpointError: If it cannot be read.
    """
    other = load_model(path)
    theirs = _comparable(other)
    for name, value in _comparable(model).items():
        if theirs.get(name) != value:
            raise InputError(
                f"{argument('init')} {str(path)!r} has {name} {one_line(theirs.get(name))}, this run has"
                f" {one_line(value)}; give both the same"
            )
    model.plain.module.load_state_dict(other.plain.module.state_dict())


def _comparable(model: Trained) -> dict[str, Any]:
    """What two models must have in common for one to start from the weights of the other."""
    return {
        **{f"network.{key}": value for key, value in to_dict(model.network).items()},
        "prediction": model.plain.parameterisation.identity,
        "bands": None if model.bands is None else model.bands.bands,
        "shape of data": list(model.process.shape),
        "classes": model.classes,
    }


def _precision(recipe: Recipe, where: Begun, batches: Batches, runtime: Runtime) -> str:
    """That of the run to go on with, or the faster one."""
    if where.before is None:
        return measured_precision(recipe, batches, runtime)
    then = where.before.state.fixed.get("precision")
    if then not in MEASURED:
        raise InputError(
            f"{argument('precision')} 'auto' chooses among {', '.join(MEASURED)}, but the run in {str(where.out)!r}"
            f" was started with {one_line(repr(then))}; give that to resume"
        )
    return str(then)


def _recorded(recipe: Recipe, precision: str) -> Recipe:
    """The recipe whose record names the precision that is used: what "auto" was settled as by timing."""
    settings = {
        name: {**section, "precision": precision} if name in ("training", "fit") else section
        for name, section in recipe.settings.items()
    }
    model = dataclasses.replace(recipe.model, configuration=settings)
    return dataclasses.replace(recipe, settings=settings, model=model)


def measured_precision(recipe: Recipe, batches: Batches, runtime: Runtime) -> str:
    """The precision in which a step takes less time on this machine."""
    plain, (x, told) = recipe.model.plain, batches.peek()
    x, told = x.to(runtime.device), told.to(runtime.device)
    with stage("timing steps in float32 and in bf16"):
        timing = timed(plain.module, lambda called: recipe.loss(plain.around(called), x, told, None))
    logger.info(timing.line())
    return timing.precision


def _completed(recipe: Recipe, fit: Fit, snapshot: Snapshot) -> Snapshot:
    """A fit's snapshot with all that makes a model of it, and what must not change."""
    model = recipe.model
    told = {"described": describe_model(model), "measured": measured(model)}
    state = {**snapshot.state, "fixed": _fixed(recipe, fit), "model": told}
    return Snapshot(snapshot.step, {**snapshot.tensors, "moments": moments(model)}, state)


def _layout(recipe: Recipe, device: torch.device) -> torch.memory_format:
    # Of images alone: the layout is one of four axes.
    planar = len(recipe.model.process.shape) == 3
    last = recipe.layout == "channels_last" or (recipe.layout == "auto" and device.type == "cuda" and planar)
    return torch.channels_last if last else torch.contiguous_format


def _fixed(recipe: Recipe, fit: Fit) -> dict[str, Any]:
    """What a resumed run must have as it was."""
    return {**recipe.fixed, **fit.batches.identity(), "precision": fit.runtime.precision}


def _open(recipe: Recipe, where: Begun, fit: Fit, keep: int) -> None:
    if where.before is None:
        _say_changes(where.out / CONFIG, recipe.settings)
    else:
        prune(where.out, where.before.snapshot.step, keep)
    describe(where.out, recipe.settings)
    for note in recipe.notes:
        logger.info(note)
    if not fit.batches.exact:
        logger.warning("the loader has no state_dict: if this run is resumed, its data begins anew")


def _say_changes(path: Path, settings: Mapping[str, Any]) -> None:
    """Say what is otherwise than in a run that was stopped before its first checkpoint: of it, settings are left."""
    if not path.exists():
        return
    try:
        changes = changed(path, settings)
    except InputError as error:
        warnings.warn(f"{error}; it is written anew", stacklevel=4)
        return
    if changes:
        several = [*changes.items()][:_NAMED]
        named = ", ".join(f"{key} {one_line(now)} (was {one_line(before)})" for key, (now, before) in several)
        more = f", and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
        warnings.warn(f"it starts with other settings: {named}{more}", stacklevel=4)


def changed(path: Path, settings: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that are others than in a file of them, by their whole names: now and then.

    Raises:
        InputError: If the file cannot be read.
    """
    before, now = _by_name(read_mapping(path)), _by_name(read_yaml(to_yaml(settings).decode()))
    return {key: (value, before[key]) for key, value in now.items() if before.get(key, value) != value}


def _by_name(settings: Any, section: str = "") -> dict[str, Any]:
    """Settings by their whole names, `section.name`."""
    if not isinstance(settings, Mapping):
        return {section.removesuffix("."): settings}
    inner = (_by_name(value, f"{section}{key}.") for key, value in settings.items())
    return {name: value for own in inner for name, value in own.items()}


def _write(model: Trained, out: Path) -> Trained:
    save_model(out / "model", model)
    return model


def _resume(fit: Fit, recipe: Recipe, where: Begun) -> None:
    """Go on from a checkpoint; nothing is touched unless all of it fits."""
    before = where.before
    if before is None:
        return
    _check_same_run(fit, recipe, where.out, before)
    _check_fit(fit, before)
    try:
        fit.restore(before.snapshot)
    except DataMismatchError:
        raise
    except InputError as error:
        raise CheckpointError(f"{str(before.folder)!r} does not fit the run: {error}") from error


def _check_same_run(fit: Fit, recipe: Recipe, folder: Path, before: Before) -> None:
    """Refuse settings that change what the run computes."""
    out, state, done = repr(str(folder)), before.state, before.snapshot.step
    changes = {
        argument(key): (value, old)
        for key, value in _fixed(recipe, fit).items()
        if (old := state.fixed.get(key, recipe.usual.get(key))) != value
    }
    if changes:
        raise InputError(of_another(changes, f"the run in {out}"))
    if not alike(state.model["described"]["process"], recipe.model.process.to_dict()):
        raise InputError(
            f"the data gives another noise ({recipe.model.process.label}) than the run in {out} was started with;"
            " give the data of then to resume"
        )
    if done > recipe.budget.steps:
        raise InputError(
            f"{argument('steps')} is {recipe.budget.steps}, but the run in {out} has done {done}; give more"
        )
    if state.processes != fit.runtime.processes:
        warnings.warn(
            f"resuming a run of {state.processes} processes with {fit.runtime.processes}:"
            " it goes on with other random draws, and loaders begin anew",
            stacklevel=4,
        )


def of_another(changes: Mapping[str, tuple[Any, Any]], what: str) -> str:
    """The line that refuses to go on with something that was started with other settings.

    Args:
        changes: Name of a setting, as the message is to have it -> its value, and that of then.
        what: What was started.
    """
    named = list(changes.items())[:_NAMED]
    more = f" ({len(changes) - _NAMED} others differ, too)" if len(changes) > _NAMED else ""
    now = ", ".join(f"{key} is {one_line(repr(value))}" for key, (value, _) in named)
    then = ", ".join(one_line(repr(old)) for _, (_, old) in named)
    those = "that" if len(changes) == 1 else "those"
    return f"{now}, but {what} was started with {then}{more}; give {those} to resume"


def _check_fit(fit: Fit, before: Before) -> None:
    """Refuse a checkpoint that holds something else than this run would have saved."""
    folder, snapshot, state = before.folder, before.snapshot, before.state
    for group, network in (("weights", fit.network), ("ema", fit.average.network)):
        with reading(folder / f"{group}.safetensors", "does not fit the run"):
            found = snapshot.tensors.get(group, {})
            check_layout(found, network.state_dict())
            check_numbers(found)
    with reading(folder / "optimizer.safetensors", "does not fit the run"):
        check_moments(snapshot.tensors.get("optimizer", {}), fit.parameters(), state.updates)
    if fit.runtime.scaler is not None:
        with reading(folder / STATE, "does not fit the run"):
            check_scaler(state.scaler, fit.runtime.scaler.state_dict())
