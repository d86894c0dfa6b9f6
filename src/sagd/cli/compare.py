"""`sagd compare`: several processes trained alike, with a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from sagd.build.arms import read_comparison
from sagd.build.schema import CompareConfig
from sagd.cli.options import Command, Flag, with_plugins
from sagd.interrupt import Interrupted
from sagd.optional import need
from sagd.terminal import say


@dataclass(frozen=True)
class Compare(Command):
    """Train, sample and evaluate several forward processes alike; writes results.json and report.html.

    Of a file of a training, as sagd design writes it, the noise is compared with white noise: same data, network and
    steps, as many evaluations of the network for a sample, each on the grid that is best for it.

    Example: sagd compare examples/demo.yaml --out runs/demo
             sagd compare d/design.yaml --seeds 0 1 2 --out cmp
    """

    folder = "own"

    config: tyro.conf.Positional[Path]
    """YAML file with arms (name -> process, or the file of a training), seeds, the shared sections, and plugins, a list
    of what --plugin names; or the file of a training, such as design.yaml."""
    out: Path
    """Directory of the comparison; must be empty or missing unless --resume."""
    seeds: tuple[int, ...] | None = None
    """One run per arm and seed; default: as the file has them."""
    steps: int | None = None
    """Optimiser steps of each run; default: training.steps of the file."""
    resume: Flag = False
    """Keep finished runs and continue the others."""


def run_compare(command: Compare) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.report.directory import render_directory
    from sagd.report.text import comparison_text
    from sagd.study.compare import compare

    need("matplotlib", "jinja2")
    pages: list[Path] = []
    try:
        results = compare(
            with_plugins(_asked(command), command),
            command.out,
            resume=command.resume,
            then=lambda out: pages.append(render_directory(out)),
        )
    except Interrupted as stop:
        raise Interrupted(stop.signal, resumable=True) from None
    say(f"{comparison_text(results)}\nreport: {pages[0]}")


def _asked(command: Compare) -> CompareConfig:
    """The comparison that the file describes, with what options say otherwise."""
    config = read_comparison(command.config)
    steps, seeds = command.steps, command.seeds
    if steps is not None:
        config = replace(config, training=replace(config.training, steps=steps))
    return config if seeds is None else replace(config, seeds=seeds)
