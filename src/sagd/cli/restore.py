"""`sagd restore`: a damaged band, or frequencies that were never observed, filled in with a model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sagd.cli.options import Command, Flag, label_of
from sagd.errors import InputError, calling, failures
from sagd.optional import need
from sagd.terminal import say

if TYPE_CHECKING:
    from sagd.store.model import Trained
    from sagd.study.filling import Hidden
    from sagd.study.restoration import RestorationResult


_CALLED = {"data.observed": "--observed", "data.observed=mask": "--observed mask"}
"""Settings of data that are options of this command."""


@dataclass(frozen=True)
class Restore(Command):
    """Restore damaged files with a model that was trained to leave their band out; all other frequencies stay, but for
    what rounding to the type of the files changes.

    Files larger than the model are restored in overlapping windows, and written as they came. The result is held
    against what needs no model: the damage measured and taken out as 'sagd clean' does, and the band deleted.

    A model of whole items, as --laps trains it, fills in what --observed says was not observed of each item, or a
    --band: the mean of draws given all that is shown.

    Example: sagd restore runs/fill striped/ --out restored
    """

    model: tyro.conf.Positional[Path]
    """Run directory or model directory: trained with --process.omission.mode, or a model of whole items."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files and folders; of the size that the model was trained on, or larger."""
    out: Path
    """Directory for images/, records/, ... (as the files are), restoration.json, report.html, and of files of the
    model's size restored.safetensors (unrounded). Must be empty or missing."""
    take: Literal["best", "network", "clean", "removal"] = "best"
    """What is written: the network's result, that of 'sagd clean' with the model's band, that with the band deleted, or
    the best: nearest to the --clean files, or without these the first whose band does not stick out of its
    surroundings; a network of which nothing is believed is not run then. Models of whole items try the network and
    cleaning first, on draws of their own under damage like that of the files, and the nearer is taken."""
    samples: int = 0
    """Posterior samples of each, with their standard deviation; only models of whole items and some modes know a
    posterior."""
    band: str | None = None
    """Models of whole items: the band that is damaged, e.g. 'ring(low=0.2, high=0.4)'."""
    observed: str | None = None
    """Models of whole items: the name of masks of what was observed of each, as --data.observed; default: as the
    training data had them."""
    observed_order: Literal["fft", "centred"] | None = None
    """Order of these masks, as --data.observed-order; default: as the training data had them."""
    clean: Path | None = None
    """Folder with the clean files under the same names, or one clean file for one file, if you have them: the report
    then shows errors."""
    label: str | None = None
    """Conditional models: the class of all."""
    seed: int = 0
    """Seed of samples, and of the noise that some modes work under."""
    batch_size: int = 64
    """Items per network call."""
    unrounded: Annotated[Flag, tyro.conf.arg(name="float")] = False
    """Write floating point, so that nothing is rounded or clipped."""


def run_restore(command: Restore) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.store.model import load_model
    from sagd.study.filling import Hidden
    from sagd.study.restoration import mode_of_model
    from sagd.study.wholes import are_larger

    need("matplotlib", "jinja2")
    if command.batch_size < 1:
        raise InputError(f"--batch-size must be at least 1, got {command.batch_size}")
    model = load_model(command.model)
    hidden = Hidden.of(model, command.band, command.observed, command.observed_order)
    if hidden is None:
        mode_of_model(model)
    if (hidden is None or hidden.band) and are_larger(model, command.files):
        _run_wholes(command, model, "" if hidden is None else hidden.band)
        return
    with calling(_CALLED):
        _run_fields(command, model, hidden)


def _run_wholes(command: Restore, model: Trained, band: str) -> None:
    """Files larger than the model."""
    from sagd.data.kinds import Kind
    from sagd.report.restoration import render_restoration
    from sagd.report.wording import number_of
    from sagd.store.files import to_json, write_file, writing
    from sagd.study.wholes import restore_wholes

    if command.samples:
        raise InputError("--samples needs files of the model's size, and these are larger; leave it out")
    called = Kind.member(model.meaning.kind).item
    folder = command.out / called[1]
    result = restore_wholes(
        model,
        command.files,
        folder,
        clean=command.clean,
        take=command.take,
        label=label_of(command.label, model),
        seed=command.seed,
        batch_size=command.batch_size,
        progress=True,
        keep=command.unrounded,
        band=band or None,
    )
    write_file(command.out / "restoration.json", to_json(result.to_dict()))
    with writing(command.out):
        page = render_restoration(result.shown, command.out)
    for line in (*result.sides.lines(), *result.notes, result.line()):
        if line is not None:
            say(line)
    say(f"wrote {number_of(len(result.written), ('file', 'files'))} in {folder} and {page}")
    if result.failed:
        raise InputError(failures(result.failed.items(), result.count, "restored"))


def _run_fields(command: Restore, model: Trained, hidden: Hidden | None) -> None:
    """Files of the model's size."""
    from sagd.data.files import save_like
    from sagd.data.kinds import Kind
    from sagd.report.restoration import render_restoration
    from sagd.report.wording import number_of
    from sagd.store.files import to_json, to_safetensors, write_file, writing
    from sagd.study.held import held_by

    result = _restored(command, model, hidden)
    restoration = result.restoration
    called = Kind.member(model.meaning.kind).item
    folder = command.out / called[1]
    written = save_like(restoration.images, result.named, folder, keep=command.unrounded)
    files = held_by([written], [restoration.images], result.named.known, result.b, result.basis)
    result = dataclasses.replace(result, files=files)
    tensors = {"restored": restoration.images}
    if restoration.std is not None:
        tensors["std"] = restoration.std
    if restoration.samples is not None:
        tensors["samples"] = restoration.samples
        for k, sample in enumerate(restoration.samples):
            save_like(sample, result.named, command.out / "samples" / f"{k:02d}", keep=command.unrounded)
    write_file(command.out / "restored.safetensors", to_safetensors(tensors))
    write_file(command.out / "restoration.json", to_json(result.to_dict()))
    with writing(command.out):
        page = render_restoration(result, command.out)
    for name, value in result.psnr.items():
        say(f"PSNR of {name} {called[1]}: {value:.2f} dB")
    if result.sides is not None:
        for line in result.sides.lines():
            say(line)
    if (told := files.line()) is not None:
        say(told)
    say(f"wrote {number_of(len(result.names), called)} in {folder} and {page}")
    if unread := result.named.unread:
        raise InputError(failures(unread, len({*result.named.files}) + len(unread), "restored"))


def _restored(command: Restore, model: Trained, hidden: Hidden | None) -> RestorationResult:
    """With what is hidden filled in, or by default the band that the model left out."""
    from sagd.study.filling import fill_files
    from sagd.study.restoration import restore_files

    shared: dict[str, Any] = {
        "samples": command.samples,
        "seed": command.seed,
        "clean": command.clean,
        "label": label_of(command.label, model),
        "batch_size": command.batch_size,
        "progress": True,
        "keep": command.unrounded,
        "take": command.take,
    }
    if hidden is None:
        return restore_files(model, command.files, **shared)
    return fill_files(model, command.files, hidden, **shared)
