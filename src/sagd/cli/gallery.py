"""`sagd gallery`: every process of the library on one item of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from sagd.cli.options import Command, chosen_data
from sagd.data.config import DataConfig
from sagd.optional import need
from sagd.terminal import say


@dataclass(frozen=True)
class Gallery(Command):
    """Draw every process of the library on one item of your data: noise, its spectrum, SNR over time, and noisy items.

    Example: sagd gallery photos/ --data.size 64 --out runs/gallery
    """

    out: Path
    """Directory for gallery.html and figures/; must be empty or missing."""
    source: tyro.conf.Positional[str | None] = None
    """'digits' (built in), a folder or file of any kind of signal, or a hub data set name; default: --data.source."""
    item: int = 0
    """Number of the item that is drawn, from 0, of those that --data.limit leaves, in the order of the data."""
    seed: int = 0
    """Seed of the noise."""
    names: tuple[str, ...] = ()
    """Processes to draw, e.g. white low_tilt; default: all that fit the data."""
    data: DataConfig = field(default_factory=lambda: DataConfig(limit=2_000))


def run_gallery(command: Gallery) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    import torch

    from sagd.build.catalogue import unfit
    from sagd.data.kinds import Kind
    from sagd.data.load import load
    from sagd.report.gallery import render_gallery
    from sagd.store.files import writing
    from sagd.study.gallery import exhibits

    need("matplotlib", "jinja2", "scipy")
    config = chosen_data(command.source, command.data)
    data = load(config)
    shown = exhibits(data, command.item, command.seed, command.names, progress=True)
    size = " x ".join(map(str, data.shape))
    place = int(data.places_of(torch.tensor([command.item])))
    where = "" if place == command.item else f" (number {place:,} of the source)"
    called = Kind.member(data.meaning.kind).item[0]
    subtitle = f"{data.name}: {called} {command.item} of {len(data):,}{where}, {size}; noise of seed {command.seed}"
    with writing(command.out):
        page = render_gallery(shown, command.out, f"Forward processes on {data.name}", subtitle)
    left_out = {} if command.names else unfit(data.shape, data.classes)
    for name, lacking in left_out.items():
        say(f"left out: {name}, which needs {lacking}")
    say(f"wrote {page} and its figures in {command.out / 'figures'}")
