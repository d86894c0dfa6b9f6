"""`sagd design`: the noise, the prediction, the sampler and the grid, from the data alone."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from sagd.build.schema import ProcessConfig
from sagd.cli.options import Command, chosen_data, with_plugins
from sagd.data.config import DataConfig
from sagd.terminal import say


@dataclass(frozen=True)
class Design(Command):
    """Choose the noise for a data set, how it is learnt and how samples are drawn; seconds, without training.

    Writes design.yaml, which train takes, noise.npy with the weights of the noise for other programs, and a page that
    says why. Where white noise will do, it says so.

    Example: sagd design fields.npy --evaluations 6 --out d
             sagd train d/design.yaml --out run
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
    import io

    import numpy as np
    import yaml

    from sagd.build.schema import RunConfig
    from sagd.build.text import changed
    from sagd.optional import need
    from sagd.report.designing import render_design
    from sagd.store.files import to_json, write_file
    from sagd.study.designing import design

    need("matplotlib", "jinja2")
    data = chosen_data(command.source, command.data)
    found = design(data, command.evaluations, command.process, progress=True)
    config = with_plugins(found.config, command)
    array = io.BytesIO()
    np.save(array, found.weights.numpy(), allow_pickle=False)
    path = command.out / "design.yaml"
    write_file(path, yaml.safe_dump(changed(config, RunConfig()), sort_keys=False, width=1000).encode())
    write_file(command.out / "design.json", to_json(found.to_dict()))
    write_file(command.out / "noise.npy", array.getvalue())
    write_file(command.out / "report.html", render_design(found).encode())
    say("\n".join([*found.lines(), f"wrote {path}; why: {command.out / 'report.html'}"]))
    say(f"train it with: sagd train {shlex.quote(str(path))} --out RUN")
