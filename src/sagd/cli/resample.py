"""`sagd resample`: a band of given files drawn anew."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sagd.cli.options import Command, Drawing, Flag, label_of, override
from sagd.errors import InputError
from sagd.optional import need
from sagd.terminal import say


@dataclass(frozen=True)
class Resample(Command):
    """Draw a band of given files anew, given all else, which stays: decide what is altered and what is not.

    Example: sagd resample runs/bands photo.png --band 0.4 1 --count 5 --out variants
    """

    model: tyro.conf.Positional[Path]
    """Run directory or model directory, trained with --denoiser.bands."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files and folders; of the size that the model was trained on."""
    out: Path
    """Directory for images/, records/, ... (as the files are), resampled.safetensors (unrounded), report.html.
    Must be empty or missing."""
    band: tuple[float, float] | None = None
    """LOW HIGH: what changes, in fractions of the corner frequency; '0.4 1' is fine detail, '0 0.1' the layout.
    Default, of models of one band: that band."""
    mask: str | None = None
    """The band in words instead, e.g. 'strip(axis=0, low=0.1)' or 'ring(low=0.2, high=0.4, soft=0.05)'."""
    count: int = 4
    """Draws of each."""
    seed: int = 0
    """Draw k of item i depends on the seed, i and k only."""
    label: str | None = None
    """Conditional models: the class of all."""
    batch_size: int = 64
    """Draws per network call."""
    unrounded: Annotated[Flag, tyro.conf.arg(name="float")] = False
    """Write floating point, so that nothing is rounded or clipped."""
    drawing: Annotated[Drawing, tyro.conf.arg(name="")] = field(default_factory=Drawing)


def run_resample(command: Resample) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.data.files import save_like
    from sagd.data.kinds import Kind
    from sagd.report.resampling import render_resampling
    from sagd.store.files import to_json, to_safetensors, write_file, writing
    from sagd.store.model import load_model
    from sagd.study.held import held_by
    from sagd.study.resampling import resample_files

    need("matplotlib", "jinja2")
    if command.count < 1 or command.batch_size < 1:
        raise InputError(f"--count and --batch-size must be at least 1, got {command.count} and {command.batch_size}")
    if command.band is not None and command.mask is not None:
        raise InputError("--band and --mask are two ways to name what changes; give one")
    band = command.mask if command.band is None else "ring(low={!r}, high={!r})".format(*command.band)
    model = load_model(command.model)
    sampling = override(model.sampling, command.drawing, Drawing())
    label = label_of(command.label, model)
    result = resample_files(
        model,
        command.files,
        band,
        sampling,
        command.count,
        command.seed,
        label,
        command.batch_size,
        progress=True,
        keep=command.unrounded,
    )
    items = Kind.member(model.meaning.kind).item[1]
    folder = command.out / items
    written = [
        save_like(draw, result.named, folder, f"-{k:02d}", command.unrounded) for k, draw in enumerate(result.samples)
    ]
    files = held_by(written, list(result.samples), result.named.known, result.b, result.basis)
    result = dataclasses.replace(result, files=files)
    write_file(command.out / "resampled.safetensors", to_safetensors({"resampled": result.samples}))
    write_file(command.out / "resampling.json", to_json(result.to_dict()))
    with writing(command.out):
        page = render_resampling(result, command.out)
    if (told := files.line()) is not None:
        say(told)
    say(f"wrote {len(result.names)} x {command.count} {items} in {folder} and {page}")
