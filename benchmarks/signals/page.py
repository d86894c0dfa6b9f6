"""Pages of Markdown and pictures, drawn from the lines of the results; pictures of samples also from the runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks import records
from benchmarks.signals.run import Setting, beside, drawn, flicker, folder_of, reading
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.data.previews import Look
from sagd.data.signals import Signals
from sagd.report.wording import metric, number

SHOWN = 4
"""Fields of each arm that are drawn, and heard."""
_WIDTH, _HEAD = 800, 26
_COLOURS = 96
Line = Mapping[str, Any]


def write(setting: Setting) -> Path:
    """The page of single trainings, with pictures of whatever has its run still there."""
    lines = {line["arm"]: line for line in records.read(setting.results)}
    lines = {arm: lines[arm] for arm in setting.of.arms if arm in lines}
    if not lines:
        raise SystemExit(f"nothing measured yet in {setting.results}")
    known = beside(setting)
    others = known["others"]
    drawn = _draw(setting, lines)
    parts = [
        _head(setting),
        "| arm | noise | steps | batch | training, s of processor | drawing |\n| --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(_arm(line) for line in lines.values()),
        _figures(lines, others, setting.of.flicker),
        _rings(lines, others),
        _whitened(known["whitened"]),
        *(f"![{name}]({path.name})" for name, path in drawn.items() if path.exists()),
        "One seed: differences between arms may be chance.",
    ]
    if missing := [arm for arm in setting.of.arms if arm not in lines]:
        parts.append(f"Not yet run: {'; '.join(missing)}.")
    path = setting.out / f"{setting.name}.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def write_comparison(setting: Setting, results: Path) -> Path:
    """The page of a matched comparison."""
    found = json.loads(results.read_text(encoding="utf-8"))
    names = list(found["floors"])
    arms, count = found["arms"], found["metrics"]["n"]
    others = [arm for arm in arms if arm != found["reference_arm"]]
    head = ["figure", *arms, "floor", *(f"{arm} less {found['reference_arm']}" for arm in others), "adjusted p"]
    rows = [
        [
            _label(name),
            *(number(arms[arm]["summary"][name]["mean"]) for arm in arms),
            number(found["floors"][name]),
            *(_interval(arms[arm]["difference"][name]) for arm in others),
            ", ".join(number(arms[arm]["adjusted"].get(name)) for arm in others),
        ]
        for name in names
    ]
    training = found["config"]["training"]
    seconds = [run["training"]["seconds"] for arm in arms.values() for run in arm["runs"]]
    parts = [
        _head(setting),
        f"{len(found['config']['seeds'])} seeds, {training['steps']} steps of {training['batch_size']} each; {count}"
        " samples a side against the training data, as `sagd compare` has it; differences are paired by seed, with 95 %"
        f" intervals. Trainings took {min(seconds):.0f} to {max(seconds):.0f} s by the clock, on shared cores.",
        _table(head, rows),
    ]
    path = setting.out / f"{setting.name}.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _head(setting: Setting) -> str:
    study = setting.of
    made = " ".join((inspect.getdoc(study.prepare) or "").split("Args:")[0].split())
    return f"# {study.title}, {setting.scale}\n\n{made}\n\n{study.why}"


def _arm(line: Line) -> str:
    settings = ", ".join(value if name == "spectrum" else f"{name} {value}" for name, value in line["process"].items())
    train, sample = (line["seconds"][key]["cpu"] for key in ("train", "sample"))
    return f"| {line['arm']} | `{settings}` | {line['steps']} | {line['batch']} | {train:.0f} | {sample:.0f} |"


def _figures(lines: Mapping[str, Line], others: Mapping[str, Line], flickers: bool) -> str:
    first = next(iter(lines.values()))
    columns = {arm: line["figure"] for arm, line in lines.items()} | {"floor": first["floor"]}
    columns |= {name: line["figure"] for name, line in others.items()}
    names = [name for name in first["floor"] if name not in ("rings", "increments", "border_db")]
    rows = [[_label(name), *(number(of[name]) for of in columns.values())] for name in names]
    label = "Power at the ends of axes (dB; 0 is right)"
    rows.append([label, *(_signed(of["border_db"]) for of in columns.values())])
    if flickers:
        label = "Flicker: power of differences of neighbouring frames (dB; 0 is right)"
        rows.append([label, *(_signed(flicker(of)) for of in columns.values())])
    note = (
        f"{first['n']} of each against as many held-out ones; the floor is other held-out data in their place. Gaussian"
        " fields have mean and spectrum of the training data, and need no network."
    )
    return _table(["figure", *columns], rows) + f"\n\n{note}"


def _rings(lines: Mapping[str, Line], others: Mapping[str, Line]) -> str:
    """Power by ring of frequencies against held-out data."""
    first = next(iter(lines.values()))
    rows = {arm: line["figure"]["rings"] for arm, line in lines.items()} | {"floor": first["floor"]["rings"]}
    rows |= {name: line["figure"]["rings"] for name, line in others.items()}
    count = len(first["floor"]["rings"])
    head = ["power (dB; 0 is right)", *(f"{k / count:g}-{(k + 1) / count:g}" for k in range(count))]
    note = "Rings of frequencies are in fractions of the highest radius there is."
    return _table(head, [[name, *map(_signed, values)] for name, values in rows.items()]) + f"\n\n{note}"


def _whitened(bases: Mapping[str, Mapping[str, float]]) -> str:
    """How far the ends of windows stand out in each basis."""
    told = "; ".join(f"{of['ends']:.2g} and {of['inside']:.2g} with `{basis}`" for basis, of in bases.items())
    return f"Variance of the training data made white by its own spectrum, at the ends of axes and inside: {told}."


def _draw(setting: Setting, lines: Mapping[str, Line]) -> dict[str, Path]:
    """Title -> picture of data and samples, and sounds; what was drawn before stays where a run is gone."""
    picture = setting.out / f"{setting.name}.png"
    folders = {arm: folder_of(setting, arm) / "samples" for arm in lines}
    if all(folder.exists() for folder in folders.values()) and setting.data.exists():
        data = load(reading(setting, "held-out"))
        groups = {"held-out data": _some(data)} | {arm: drawn(setting, arm).batch(range(SHOWN))[0] for arm in lines}
        kind = Kind.member(data.meaning.kind)()
        look = Look(like=torch.cat([*groups.values()]))
        titled = [(name, kind.picture(x, data.meaning, look).convert("RGB")) for name, x in groups.items()]
        stacked(titled).save(picture, optimize=True)
        if data.meaning.kind == "audio":
            for name, x in groups.items():
                _record(setting.out / f"{setting.name}-{name.replace(' ', '-')}.wav", x, data.meaning)
    return {f"{SHOWN} of each": picture} if picture.exists() else {}


def stacked(titled: Iterable[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures under each other with their titles, in few colours, which keeps them small."""
    font = ImageFont.load_default(15)
    scaled = [(title, _as_wide(picture)) for title, picture in titled]
    sheet = Image.new("RGB", (_WIDTH, sum(p.height + _HEAD for _, p in scaled)), "white")
    top = 0
    for title, picture in scaled:
        ImageDraw.Draw(sheet).text((8, top + 5), title, "black", font)
        sheet.paste(picture, (0, top + _HEAD))
        top += picture.height + _HEAD
    return sheet.quantize(_COLOURS)


def _as_wide(picture: Image.Image) -> Image.Image:
    return picture.resize((_WIDTH, round(picture.height * _WIDTH / picture.width)), Image.Resampling.LANCZOS)


def _some(data: Signals) -> Tensor:
    """Some of the data, NaN where nothing is known."""
    some = data.some(SHOWN)
    known, x = some.known(), some.tensor()
    return x if known is None else torch.where(known, x, torch.nan)


def _record(path: Path, x: Tensor, meaning: Meaning) -> None:
    """Records one after the other as one of 16 bits; nothing is heard where nothing is known."""
    import soundfile

    values = meaning.to_values(x.nan_to_num(0.0)).flatten() / 2**15
    soundfile.write(path, values.clamp(-1, 1).numpy(), round(meaning.rate or 8000), subtype="PCM_16")


def _label(name: str) -> str:
    return metric(name).label + {"lower": "", "higher": " (higher is better)", None: ""}[metric(name).better]


def _interval(values: Mapping[str, float | None] | None) -> str:
    if values is None or values["mean"] is None or values["low"] is None:
        return ""
    return f"{number(values['mean'])} ({number(values['low'])} to {number(values['high'])})"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
