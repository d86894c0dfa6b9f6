"""`sagd compare`: several processes trained alike, with a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from sagd.build.schema import CompareConfig
from sagd.build.text import load_yaml
from sagd.cli.options import Command, Flag, with_plugins
from sagd.interrupt import Interrupted
from sagd.optional import need
from sagd.terminal import say


@dataclass(frozen=True)
class Compare(Command):
    """Train, sample and evaluate several forward processes alike; writes results.json and report.html.

    Example: sagd compare examples/demo.yaml --out runs/demo
    """

    folder = "own"

    config: tyro.conf.Positional[Path]
    """YAML file with arms (name -> process), seeds, the shared sections, and plugins, a list of what --plugin names."""
    out: Path
    """Directory of the comparison; must be empty or missing unless --resume."""
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
            with_plugins(load_yaml(CompareConfig, command.config), command),
            command.out,
            resume=command.resume,
            then=lambda out: pages.append(render_directory(out)),
        )
    except Interrupted as stop:
        raise Interrupted(stop.signal, resumable=True) from None
    say(f"{comparison_text(results)}\nreport: {pages[0]}")
