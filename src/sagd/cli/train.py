"""`sagd train`: options, and a run of training."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from sagd.build.schema import AUTO_SPECTRUM, DesignConfig, RunConfig
from sagd.cli.options import Command, Flag, with_plugins
from sagd.data.config import DataConfig
from sagd.errors import check_whole
from sagd.interrupt import Interrupted
from sagd.terminal import say


@dataclass(frozen=True)
class _Run(RunConfig):
    """A run as options describe it: its plug-ins are told by `--plugin`, what it was designed for by its file."""

    plugins: tyro.conf.Suppress[tuple[str, ...]] = ()
    design: tyro.conf.Suppress[DesignConfig | None] = None


@dataclass(frozen=True)
class Train(Command):
    """Train one model, from a YAML configuration, options, or both (options win).

    Example: sagd train --data.source digits --process.spectrum "power_law(alpha=-0.1)" --out runs/low
    """

    folder = "own"
    many = True

    out: Path
    """Directory of the run; must be empty or missing unless --resume."""
    config: tyro.conf.Positional[Path | None] = None
    """YAML file with any of the sections data, process, network, denoiser, training, sampling, and plugins, a list of
    what --plugin names."""
    resume: Flag = False
    """Continue from the newest checkpoint in --out; where neither a file nor data is named, with the settings
    that are kept there."""
    laps: int | None = None
    """Short for --process.omission.laps, before which it goes: learn whole items from items of which each lacks
    frequencies of its own (--data.observed), or from a damaged band, in so many trainings at most."""
    run: Annotated[_Run, tyro.conf.arg(name="")] = field(default_factory=_Run)


def _with_laps(config: RunConfig, laps: int | None) -> RunConfig:
    """A configuration with the laps of `--laps`, if it is given.

    Raises:
        InputError: If that is no number of laps.
    """
    if laps is None:
        return config
    check_whole("--laps", laps)
    omission = replace(config.process.omission, laps=laps)
    return replace(config, process=replace(config.process, omission=omission))


def run_train(command: Train) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.build.objects import omission_mode
    from sagd.optional import need
    from sagd.report.designing import write_design
    from sagd.store.model import load_model
    from sagd.store.run import settings_of
    from sagd.study.laps import train_in_laps
    from sagd.study.restoration import removal_command
    from sagd.study.train import train

    config = _with_laps(with_plugins(command.run, command), command.laps)
    if config.process.spectrum == AUTO_SPECTRUM:
        need("matplotlib", "jinja2")  # for the page that says what was chosen
    try:
        if config.process.omission.laps:
            path = train_in_laps(config, command.out, resume=command.resume)
        else:
            path = train(config, command.out, resume=command.resume, designed=write_design)
    except Interrupted as stop:
        raise Interrupted(stop.signal, resumable=settings_of(command.out) is not None) from None
    out, plugins = command.out, "".join(f" --plugin {shlex.quote(name)}" for name in config.plugins)
    if config.denoiser.bands not in ("none", "random"):
        say(f"model: {path}\nuse it with: sagd resample {out} FILES{plugins} --out {out}-resampled")
        return
    model, labels = load_model(path), ""
    if model.process.covariance.depends_on_class:
        labels = " --labels " + " ".join(map(shlex.quote, model.classes or ()))
    say(f"model: {path}\nsample it with: sagd sample {out}{labels}{plugins} --out {out}-samples")
    mode = omission_mode(config.process.omission, model.meaning.grid())
    # What is added as data is read is left out of the reference; what is in the files is not.
    damaged = mode is not None and config.data.corruption == DataConfig.corruption
    against = " --data.source CLEAN, for its own data is damaged" if damaged else ""
    say(f"measure it with: sagd evaluate {out}{plugins}{against}")
    if mode is not None and mode.cleans and config.process.omission.laps:
        say(f"restore damaged files with: sagd restore {out} FILES{plugins} --out {out}-restored")
    elif mode is not None and mode.cleans:
        say(f"take the damage out of files with: {removal_command(model)} --out {out}-cleaned")
    elif mode is not None:
        own = out / "lap-0" if config.process.omission.laps else out  # models of laps leave nothing out
        say(f"restore damaged files with: sagd restore {own} FILES{plugins} --out {out}-restored")
