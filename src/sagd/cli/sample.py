"""`sagd sample`: draws from a trained model, as files and a picture."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from sagd.cli.options import Command, Drawing, Flag, labels_of, override
from sagd.errors import check_whole
from sagd.optional import need
from sagd.terminal import say

if TYPE_CHECKING:
    from sagd.store.model import Trained

MOST = 1_000_000
"""Draws of one call: all are made before the first is written."""


@dataclass(frozen=True)
class Sample(Command):
    """Draw from a trained model: a picture of some, and a file each, in the type and format it was trained on.

    Example: sagd sample runs/low --count 100 --seed 3 --out samples
    """

    model: tyro.conf.Positional[Path]
    """Run directory or model directory."""
    out: Path
    """Directory for grid.png and a folder of files; must be empty or missing."""
    count: int = 64
    """How many to draw."""
    seed: int = 0
    """Draw i depends, but for rounding, on the seed and i only, not on count or batch size."""
    labels: tuple[str, ...] = ()
    """Conditional models: class names, repeated in turn; default: no label, which noise by class cannot do without."""
    batch_size: int = 64
    """Draws per network call."""
    spectrum: str | None = None
    """The noise spectrum you believe the model has: refused if it was trained with another."""
    unrounded: Annotated[Flag, tyro.conf.arg(name="float")] = False
    """Write floating point, so that nothing is rounded or clipped."""
    drawing: Annotated[Drawing, tyro.conf.arg(name="")] = field(default_factory=Drawing)


def run_sample(command: Sample) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.build.draw import draw
    from sagd.data.files import require_writable, save_fields
    from sagd.data.images import as_png
    from sagd.data.kinds import Kind
    from sagd.store.files import write_file
    from sagd.store.model import load_model
    from sagd.study.restoration import warn_of_doubts

    need("PIL")
    check_whole("--count", command.count, 1, MOST)
    check_whole("--batch-size", command.batch_size, 1)
    model = load_model(command.model)
    if command.spectrum is not None:
        _require_spectrum(command.spectrum, command.model, model)
    sampling = override(model.sampling, command.drawing, Drawing())
    labels = labels_of(command.labels, command.count, model)
    require_writable(model.process.shape, model.meaning, command.unrounded)
    warn_of_doubts(model)
    drawn = draw(
        model.guided(sampling.guidance),
        command.count,
        sampling,
        seed=command.seed,
        condition=labels,
        statistics=model.statistics,
        batch_size=command.batch_size,
        progress=True,
    )
    kind = Kind.member(model.meaning.kind)()
    folder, grid = command.out / kind.item[1], command.out / "grid.png"
    names = [f"{i:06d}" for i in range(command.count)]
    written = save_fields(drawn, names, folder, model.meaning, command.unrounded)
    write_file(grid, as_png(kind.picture(drawn[:256], model.meaning)))
    if (told := written.line()) is not None:
        say(told)
    say(f"wrote {grid} and {kind.counted(command.count)} in {folder}")


def _require_spectrum(spectrum: str, path: Path, model: Trained) -> None:
    """Refuse another noise spectrum than the model was trained with."""
    from sagd.build.objects import build_process
    from sagd.store.model import load_model

    config = replace(model.config.process, spectrum=spectrum)
    grid = model.meaning.grid()
    load_model(path, process=build_process(config, model.process.shape, model.statistics, model.classes, grid))
