"""`sagd design`: the noise, the prediction, the sampler and the grid, from the data alone."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from sagd.build.schema import ProcessConfig, TrainingConfig
from sagd.cli.options import Command, Flag, chosen_data, with_plugins
from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.networks.config import NetworkConfig
from sagd.plugins import at_home
from sagd.terminal import say


@dataclass(frozen=True)
class Design(Command):
    """Choose the noise for a data set, how it is learnt and how samples are drawn; within a minute, or by a race.

    Writes design.yaml, which train and compare take wherever they are called, noise.npy with the weights of the noise
    for other programs, and a page that says why. Where white noise is expected to do better, or the data has all
    frequencies alike, it says so.

    The closed form knows the spectrum alone. With --race, several kinds of noise and predictions are trained for a
    quarter of the budget, the better half of them further, and judged on held-out items by spectrum, flatness and
    features together: which is best then decides. It is kept in race/, and goes on there if it was stopped.

    Example: sagd design fields.npy --evaluations 6 --out d
             sagd train d/design.yaml --out run
             sagd compare d/design.yaml --out cmp
    """

    folder = "any"

    out: Path
    """Directory for design.yaml, design.json, noise.npy, report.html and race/."""
    source: tyro.conf.Positional[str | None] = None
    """'digits' (built in), a folder or file of any kind of signal, or a hub data set; default: --data.source."""
    evaluations: int = 18
    """Evaluations of the network that a sample may take: the fewer, the more depends on the noise and the grid."""
    race: Flag = False
    """Let short trainings decide."""
    budget: int | None = None
    """Optimiser steps of the candidates that come to the end of a race, of which all together take about four times as
    many; default: training.steps."""
    data: DataConfig = field(default_factory=DataConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    """What is settled: schedule, basis, channels, calibration."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The network of a race, and of the design."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How a race trains, and the design."""


def run_design(command: Design) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from functools import partial

    import yaml

    from sagd.build.schema import RunConfig
    from sagd.build.text import changed, to_dict
    from sagd.data.sources import anchored
    from sagd.optional import need
    from sagd.report.designing import REPORT, write_design
    from sagd.store.files import write_file
    from sagd.study.designing import design
    from sagd.study.racing import race
    from sagd.study.train import check_training

    need("matplotlib", "jinja2")
    data = chosen_data(command.source, command.data)
    run = with_plugins(RunConfig(data=data, network=command.network, training=command.training), command)
    check_training(command.training)
    decide = None
    if command.race:
        budget = command.training.steps if command.budget is None else command.budget
        decide = partial(race, config=run, budget=budget, out=command.out)
    elif command.budget is not None:
        raise InputError("--budget is for a race of trainings; add --race, or leave it out")
    found = design(data, command.evaluations, command.process, progress=True, decide=decide)
    config = replace(found.config, network=run.network, training=run.training, plugins=run.plugins)
    # What is written names files so that it means the same wherever it is read.
    home = replace(config.data, source=anchored(config.data.source))
    config = replace(config, data=home, plugins=tuple(map(at_home, config.plugins)))
    if config.training.init is not None:
        config = replace(config, training=replace(config.training, init=str(Path(config.training.init).absolute())))
    path = command.out / "design.yaml"
    settings = changed(config, RunConfig()) | {
        name: to_dict(getattr(config, name)) for name in ("denoiser", "sampling")
    }
    told = f"# For {command.evaluations} evaluations of the network a sample; {REPORT} says why.\n"
    write_file(path, (told + yaml.safe_dump(settings, sort_keys=False, width=1000)).encode())
    write_design(found, command.out)
    say("\n".join([*found.lines(), f"wrote {path}; why: {command.out / REPORT}"]))
    quoted = shlex.quote(str(path))
    say(f"train it with: sagd train {quoted} --out RUN")
    if not found.white_will_do:
        say(f"hold it against white noise with: sagd compare {quoted} --out RUN")
