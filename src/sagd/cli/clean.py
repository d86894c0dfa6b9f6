"""`sagd clean`: a damaged band found and taken out of files, without a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sagd.cli.options import Command, Flag
from sagd.errors import InputError, calling, failures
from sagd.terminal import say

logger = logging.getLogger("sagd.clean")

_SEVERAL = 16
"""Small files of which one gain knows more than one of each."""


@dataclass(frozen=True)
class Clean(Command):
    """Find stripes, hum, moire or another damaged band in files and take it out; no model is needed.

    The whole image, page, volume or record is measured, and every frequency of the band is lowered to what its
    surroundings have. What is not certain is shown and left alone. Nothing of the input is changed.

    Example: sagd clean scans/ --out cleaned
    """

    folder = "empty"

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files and folders, of any kind of signal; all of one kind below a folder are taken."""
    out: Path
    """Directory for the cleaned files, under their own names, cleaning.json and report.html; empty or missing."""
    band: str = "auto"
    """'auto' looks for it and takes what is damage with a probability of 0.99 or more. 'likeliest', for files that you
    know are damaged, takes what is likeliest to be damage, however unsure. Or the band, e.g. 'strip(axis=1, low=0.01,
    width=0.01)' (upright stripes), 'spots(at=[[0.14, 0.14]], radius=0.01)' (a screen), or in units where files have
    them: "spots(at=[['60 Hz'], ['120 Hz']], radius='1 Hz')" (hum). Sums are unions."""
    reference: Path | None = None
    """Clean file or folder of the same kind and size: far fainter damage is found against it."""
    together: Flag = False
    """Look for one band in all files together, and take it out of each; files of one size under 128 x 128 share one
    gain, that of all: for many small files of one device, damaged alike. With a band, that is taken."""
    log: Literal["auto", "yes", "no"] = "auto"
    """Whether damage multiplies the values (shading, gain), so that it is taken out of their logarithm. 'auto' finds
    that out with the band; a band that is given adds unless this is 'yes'."""
    mask: Path | None = None
    """File of the size of all files, not 0 where the damage is; all else is left alone. Default: everywhere; in records
    where it is found."""
    dry_run: Flag = False
    """Only look: write report.html and cleaning.json, with the band drawn over spectrum and image, and no cleaned
    files."""
    beside: Flag = False
    """Show in the report what the usual tools make of the same files at their default settings, where they are
    installed: pystripe, algotom, and scipy's notch for records."""
    unrounded: Annotated[Flag, tyro.conf.arg(name="float")] = False
    """Write floating point, so that nothing is rounded or clipped."""
    jobs: int = 1
    """Files that are cleaned at a time."""
    kind: str = "auto"
    """image, audio, series, video, volume or field; 'auto' goes by the files."""
    axes: str | None = None
    """Letters for the axes of arrays whose files do not say: N items, C channels, T time, Z Y X space."""
    rate: float | None = None
    """Samples per second of records whose files do not say, for bands in Hz."""


def run_clean(command: Clean) -> None:
    """Do what the options ask for; errors of input are for the caller to print.

    Raises:
        InputError: If no file could be cleaned, or some could not; what was written stays.
    """
    from sagd.optional import need
    from sagd.report.cleaning import render_cleaning
    from sagd.store.files import to_json, write_file, writing
    from sagd.study.cleaning import CleaningConfig, clean_files

    need("matplotlib", "jinja2")
    config = CleaningConfig(
        command.band,
        command.reference,
        command.together,
        {"auto": None, "yes": True, "no": False}[command.log],
        command.mask,
        command.kind,
        command.axes,
        command.rate,
        command.unrounded,
        command.beside,
    )
    out = None if command.dry_run else command.out
    with calling({f"data.{name}": f"--{name}" for name in ("rate", "axes", "kind")}):
        results = clean_files(command.files, out, config, command.jobs, progress=True, plugins=command.plugin)
    failed = [(result.name, str(result.error)) for result in results if result.status == "failed"]
    if len(failed) == len(results):
        raise InputError(failures(failed, len(results), "cleaned"))
    write_file(command.out / "cleaning.json", to_json([result.to_dict() for result in results]))
    with writing(command.out):
        page = render_cleaning(results, command.out)
    told = {status: sum(result.status == status for result in results) for status in ("cleaned", "clean", "unsure")}
    done = "would be cleaned" if command.dry_run else "cleaned"
    say(
        f"{told['cleaned']} of {len(results)} file(s) {done}, in {told['clean']} nothing was found,"
        f" {told['unsure']} are not sure; see {page}"
    )
    if not command.together and (told["unsure"] > 1 or sum(result.small for result in results) >= _SEVERAL):
        logger.info(
            "if the files are of one device, --together looks for one band in all of them, and cleans small ones by the"
            " gain of all, which is better known than that of each"
        )
    if failed:
        raise InputError(failures(failed, len(results), "cleaned"))
