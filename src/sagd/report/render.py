"""Results of a comparison as one self-contained HTML page: draws, never computes."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from numpy.typing import ArrayLike
from torch import Tensor

from sagd.build.schema import ProcessConfig
from sagd.data.drawing import Style, styles
from sagd.errors import InputError
from sagd.report import figures, tables, wording
from sagd.report.pictures import Picture, noise_colours, pixels, plot, reach, sample_columns
from sagd.report.subject import Shown, Subject, subject_of
from sagd.report.template import fill
from sagd.report.text import features_text
from sagd.store.files import write_file

Results = Mapping[str, Any]
Arrays = Mapping[str, Tensor | ArrayLike]
Looks = Mapping[str, Style]

_MOST_WIDE, _FEW_WIDE, _MANY_LISTS = 6, 3, 5
"""Signals with axes in a list, and fewer where there are many lists."""
_FEW_NOISES, _LEAST_SPAN = 2, 1e-6
_MOST_ARMS = 8
"""Processes whose signals are shown where each takes a picture with axes, half a megabyte in all."""


def render(results: Results, arrays: Arrays, path: str | Path) -> None:
    """Write the report of a comparison to `path`: one HTML file that needs no other, no network and no JavaScript.

    Args:
        results: Content of `results.json`: title, reference arm, and for every arm its process, runs, summary and
            differences to the reference.
        arrays: Content of `arrays.safetensors`: images, spectra and curves; what is absent is not drawn.
        path: File to write.

    Raises:
        InputError: If there is no arm, the reference is not one of them, images hold non-finite values or spectra do
            not fit their bands.
        CheckpointError: If the page cannot be written.
    """
    _check(results)
    page = fill("page.html", _page(results, {k: _tensor(v) for k, v in arrays.items()}))
    write_file(Path(path), page.encode())


def _check(results: Results) -> None:
    arms, reference = results.get("arms"), results.get("reference_arm")
    if not arms:
        raise InputError("results hold no arms; a report needs at least one")
    if reference not in arms:
        raise InputError(f"reference_arm {reference!r} is not one of the arms: {', '.join(arms)}")


def _tensor(values: Tensor | ArrayLike) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32).cpu()


def _page(results: Results, arrays: Mapping[str, Tensor]) -> dict[str, Any]:
    """Everything the template shows, under the names it uses."""
    looks = styles(results["arms"])
    subject = _subject(results, arrays)
    item, items = subject.called
    shown = looks if subject.tiled else dict(list(looks.items())[:_MOST_ARMS])
    return {
        "item": item,
        "items": items,
        "tiled": subject.tiled,
        "shapes": subject.shapes,
        "frequency": subject.frequency,
        "title": results["title"],
        "subtitle": _subtitle(results),
        "outcome": tables.outcome(results),
        "processes": {arm: _stated(entry["process"]) for arm, entry in results["arms"].items()},
        "reference": results["reference_arm"],
        "seeds": tables.seeds(results),
        "looks": looks,
        "metrics": results.get("metrics"),
        "features": features_text(results["metrics"]["features"]) if results.get("metrics") else "",
        "tables": tables.tables(results, looks),
        "doubts": tables.doubts(results),
        "family": wording.family_note(results.get("tests"), subject.called),
        "few": len(shown) if len(shown) < len(looks) else 0,
        "samples": _samples(arrays, shown, subject),
        "noise": _noise(arrays, shown, subject),
        "in_colour": any(noise.shape[1] != 1 for noise in _by_arm(arrays, looks, "noise").values()),
        "noise_spectra": _noise_spectra(arrays, looks, subject),
        "forward": _forward(arrays, shown, subject),
        "levels": _levels(arrays),
        "spectra": _spectra(results, arrays, looks, subject),
        "lined": "spectrum/rho" in arrays,
        "loss": _loss(arrays, looks),
        "runs": tables.runs(results),
        "documents": {
            heading: yaml.safe_dump(results[key], sort_keys=False, allow_unicode=True)
            for heading, key in (("Configuration", "config"), ("Versions", "versions"), ("Machine", "machine"))
            if results.get(key)
        },
    }


def _subject(results: Results, arrays: Mapping[str, Tensor]) -> Subject:
    """What was compared; results that do not say it are of pictures with as many channels as those there are."""
    held = next((x for name, x in arrays.items() if name.endswith(("/images", "/samples", "/noise", "/forward"))), None)
    return subject_of(results, 1 if held is None else held.shape[1])


def _subtitle(results: Results) -> str:
    arms, seeds, data = len(results["arms"]), tables.seeds(results), results.get("data")
    parts = [wording.counted(arms, "forward process", "es"), wording.counted(seeds, "seed")]
    if data:
        count = wording.number_of(data["count"], subject_of(results).called)
        parts.append(f"{data['name']}: {count} of {' × '.join(map(str, data['shape']))}")
    if results.get("created"):
        parts.append(f"{datetime.datetime.fromisoformat(results['created']):%d %B %Y, %H:%M %Z}".strip())
    return " · ".join(parts)


def _stated(process: Mapping[str, Any]) -> dict[str, Any]:
    """Schedule and spectrum of a process, and whatever else is not as usual."""
    usual = dataclasses.asdict(ProcessConfig())
    always = ("schedule", "spectrum")
    stated = {key: value for key, value in process.items() if key in always or value != usual.get(key)}
    return {
        key: _changes(value, usual.get(key) or {}) if isinstance(value, Mapping) else value
        for key, value in stated.items()
    }


def _changes(values: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """What of a section is not as usual.

    >>> _changes({"mode": "fill", "floor": 1.0}, {"mode": "none", "floor": 1.0})
    'mode: fill'
    """
    return ", ".join(f"{key}: {value}" for key, value in values.items() if value != usual.get(key))


def _by_arm(arrays: Mapping[str, Tensor], looks: Looks, name: str) -> dict[str, Tensor]:
    return {arm: arrays[f"{arm}/{name}"] for arm in looks if f"{arm}/{name}" in arrays}


def _samples(arrays: Mapping[str, Tensor], looks: Looks, subject: Subject) -> dict[str, Shown]:
    """Arm -> its samples; real signals under the empty name, first."""
    real = {"": arrays["data/images"]} if "data/images" in arrays else {}
    lists = real | _by_arm(arrays, looks, "samples")
    items = subject.called[1]
    what = {arm: f"{items} generated by {arm}" if arm else f"real {items}" for arm in lists}
    if not subject.tiled:
        count = _MOST_WIDE if len(lists) < _MANY_LISTS else _FEW_WIDE
        few = {arm: x[:count] for arm, x in lists.items()}
        # Colours are those of real data, and the scales say what lies beyond; lines must not leave their axes.
        like = few[""] if real and subject.rank > 1 else torch.cat(list(few.values())) if few else None
        return {arm: subject.signals(x, f"{len(x)} {what[arm]}.", like=like, parts=len(few)) for arm, x in few.items()}
    shown = {}
    for arm, images in lists.items():
        side = sample_columns(images)
        alt = f"{min(len(images), side**2)} {what[arm]} in a grid."
        shown[arm] = Shown(pixels(images[: side**2], side, alt), wide=False)
    return shown


def _noise(arrays: Mapping[str, Tensor], looks: Looks, subject: Subject) -> dict[str, Shown]:
    fields = _by_arm(arrays, looks, "noise")
    alts = {arm: f"{len(noise)} draws of the noise of {arm}." for arm, noise in fields.items()}
    if not subject.tiled:
        few = {arm: noise[: _FEW_NOISES if subject.rank == 1 else None] for arm, noise in fields.items()}
        like = torch.cat(list(few.values())) if few else None
        alts = {arm: f"{len(noise)} draws of the noise of {arm}." for arm, noise in few.items()}
        return {arm: subject.noise(x, alts[arm], like, len(few)) for arm, x in few.items()}
    limit = max((reach(noise) for noise in fields.values()), default=1.0)
    return {arm: Shown(pixels(noise_colours(noise, limit), 2, alts[arm]), wide=False) for arm, noise in fields.items()}


def _noise_spectra(arrays: Mapping[str, Tensor], looks: Looks, subject: Subject) -> Picture | None:
    lined = "spectrum/rho" in arrays
    profiles = _by_arm(arrays, looks, "noise_spectrum" if lined else "noise_profile")
    edges = arrays.get("spectrum/rho" if lined else "profile/edges")
    if not profiles or edges is None:
        return None
    alt = f"Line plot of noise power against frequency for {wording.joined(list(profiles))}."
    return plot(figures.noise_spectra_figure(edges, profiles, looks, subject.scale), alt)


def _forward(arrays: Mapping[str, Tensor], looks: Looks, subject: Subject) -> dict[str, Shown]:
    """Arm -> one signal at every noise level, each level on a range of its own that all arms share."""
    rows = _by_arm(arrays, looks, "forward")
    if not rows:
        return {}
    stacked = torch.stack(list(rows.values()))
    spans = torch.tensor([max(1.0 if subject.tiled else _LEAST_SPAN, reach(level)) for level in stacked.unbind(1)])
    fitted = {arm: row / spans.reshape(-1, *(1,) * (row.ndim - 1)) for arm, row in rows.items()}
    alts = {arm: f"One {subject.called[0]} under {arm} at {len(row)} rising noise levels." for arm, row in rows.items()}
    if subject.tiled:
        return {arm: Shown(pixels(row, len(row), alts[arm]), wide=False) for arm, row in fitted.items()}
    captions = [f"\u03c3/\u03b1 = {level}" for level in _levels(arrays)]
    return {arm: subject.drowned(row, alts[arm], captions, len(fitted)) for arm, row in fitted.items()}


def _levels(arrays: Mapping[str, Tensor]) -> list[str]:
    """Noise levels as text."""
    levels = arrays.get("forward/levels", torch.empty(0)).tolist()
    return [wording.number(level, wording.places(level, digits=2)) for level in levels]


def _spectra(results: Results, arrays: Mapping[str, Tensor], looks: Looks, subject: Subject) -> Picture | None:
    samples = _by_arm(arrays, looks, "sample_profile")
    if not samples or not {"profile/edges", "data/profile"} <= arrays.keys():
        return None
    run = results["arms"][results["reference_arm"]]["runs"][0]
    errors = run.get("evaluation", {}).get("floor", {}).get("spectral", {}).get("error")
    floor = [float("nan") if e is None else 1 + e for e in errors] if errors else None
    # Floors are by rings of samples, which on other grids are not those of the world.
    floor = floor if subject.even else None
    fine = None
    if {"spectrum/rho", "data/spectrum"} <= arrays.keys():
        own = _by_arm(arrays, looks, "sample_spectrum")
        fine = figures.FineSpectra(arrays["spectrum/rho"], arrays["data/spectrum"], own)
    figure = figures.spectra_figure(
        arrays["profile/edges"], arrays["data/profile"], samples, looks, floor, subject.scale, fine
    )
    item, items = subject.called
    alt = f"Line plots of {item} power against frequency for real {items} and {wording.joined(list(samples))}."
    return plot(figure, f"{alt} Below, samples over data.")


def _loss(arrays: Mapping[str, Tensor], looks: Looks) -> Picture | None:
    losses, steps = _by_arm(arrays, looks, "loss"), _by_arm(arrays, looks, "loss_steps")
    curves = {arm: (steps[arm], loss) for arm, loss in losses.items() if arm in steps and len(loss)}
    if not curves:
        return None
    alt = f"Line plot of training loss against optimiser step for {wording.joined(list(curves))}."
    return plot(figures.loss_figure(curves, looks), alt)
