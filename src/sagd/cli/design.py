"""`sagd design`: the noise, the prediction, the sampler and the grid, from the data alone."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from sagd.build.schema import ProcessConfig
from sagd.cli.options import Command, chosen_data, with_plugins
from sagd.data.config import DataConfig
from sagd.plugins import at_home
from sagd.terminal import say


@dataclass(frozen=True)
class Design(Command):
    """Choose the noise for a data set, how it is learnt and how samples are drawn; within a minute, without training.

    Writes design.yaml, which train and compare take wherever they are called, noise.npy with the weights of the noise
    for other programs, and a page that says why. Where white noise will do, it says so.

    Example: sagd design fields.npy --evaluations 6 --out d
             sagd train d/design.yaml --out run
             sagd compare d/design.yaml --out cmp
    """

    folder = "any"

    out: Path
    """Directory for design.yaml, design.json, noise.npy and report.html."""
    source: tyro.conf.Positional[str | None] = None
    """'digits' (built in), a folder or file of any kind of signal, or a hub data set; default: --data.source."""
    evaluations: int = 18
    """Evaluations of the network that a sample may take: the fewer, the more depends on the noise and the grid."""
    data: DataConfig = field(default_factory=DataConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    """What is settled: schedule, basis, channels, calibration."""


def run_design(command: Design) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    import yaml

    from sagd.build.schema import RunConfig
    from sagd.build.text import changed, to_dict
    from sagd.data.sources import anchored
    from sagd.optional import need
    from sagd.report.designing import REPORT, write_design
    from sagd.store.files import write_file
    from sagd.study.designing import design

    need("matplotlib", "jinja2")
    data = chosen_data(command.source, command.data)
    found = design(data, command.evaluations, command.process, progress=True)
    config = with_plugins(found.config, command)
    # What is written names files so that it means the same wherever it is read.
    data = replace(config.data, source=anchored(config.data.source))
    config = replace(config, data=data, plugins=tuple(map(at_home, config.plugins)))
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
    if not found.search.white_will_do:
        say(f"hold it against white noise with: sagd compare {quoted} --out RUN")
