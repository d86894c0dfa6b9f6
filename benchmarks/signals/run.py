"""Trainings through the command line, as a user would run them: train, sample, evaluate, each kept once done."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks import records
from benchmarks.signals.studies import DRAWN, STUDIES, THREADS, Study
from sagd.build.schema import EvaluationConfig
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.metrics.evaluate import scalars
from sagd.model.parameterisation.wiener import LEAST_POWER
from sagd.noise.basis.base import Basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import measure
from sagd.random import generator_for, randn
from sagd.store.model import versions
from sagd.study.evaluation import evaluate_samples
from sagd.study.machine import describe_machine

PREPARED = "done"
PLAIN = ("--training.precision", "no", "--training.sample-every", "0", "--training.log-every", "10")
_TINY = ("--network.widths", "4", "8")
_TINY_ITEMS = 40
_MEASURED = 4000
"""Fields of which mean and spectrum are taken, at most."""
_BASES: Mapping[str, type[Basis]] = {"fourier": FourierBasis, "cosine": CosineBasis}


@dataclass(frozen=True)
class Setting:
    """Where a study runs.

    Attributes:
        study: Its name.
        scale: Name of the scale.
        source: Folder of the raw data.
        out: Folder of the results.
        work: Folder of data and runs.
    """

    study: str
    scale: str
    source: Path
    out: Path
    work: Path

    @property
    def of(self) -> Study:
        """The study."""
        return STUDIES[self.study]

    @property
    def name(self) -> str:
        """Name of its results."""
        return f"{self.study}-{self.scale}"

    @property
    def results(self) -> Path:
        """Lines of JSON, one an arm."""
        return self.out / f"{self.name}.jsonl"

    @property
    def runs(self) -> Path:
        """Folder of its trainings."""
        return self.work / self.name

    @property
    def data(self) -> Path:
        """Folder of its data, which studies of the same data share."""
        size = "-tiny" if self.scale == "tiny" else ""
        return self.work / "data" / f"{self.of.prepare.__name__}{size}"

    def part(self, name: str) -> str:
        """The source of a part of the data."""
        return str(self.data / f"{name}{self.of.ending}")


def prepare(setting: Setting) -> None:
    """Write the data, unless it is there."""
    if (setting.data / PREPARED).exists():
        return
    shutil.rmtree(setting.data, ignore_errors=True)
    setting.of.prepare(setting.source, setting.data, _TINY_ITEMS if setting.scale == "tiny" else None)
    (setting.data / PREPARED).touch()


def run(setting: Setting, arms: Sequence[str] = (), processes: int = 1) -> None:
    """Run the arms that have no result yet, and append a line for each that ends."""
    if unknown := set(arms) - set(setting.of.arms):
        raise SystemExit(f"no arms {sorted(unknown)} in {setting.study}; there are: {', '.join(setting.of.arms)}")
    prepare(setting)
    setting.out.mkdir(parents=True, exist_ok=True)
    done = {line["arm"] for line in records.read(setting.results)}
    missing = [arm for arm in setting.of.arms if arm not in done and (not arms or arm in arms)]
    if processes == 1:
        for arm in missing:
            records.append(setting.results, one(setting, arm))
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for future in [pool.submit(one, setting, arm) for arm in missing]:
            records.append(setting.results, future.result())


def one(setting: Setting, arm: str) -> dict[str, Any]:
    """One training with seed 0, drawn from and measured against held-out data."""
    study, folder = setting.of, folder_of(setting, arm)
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {
        "train": _once(folder / "train.json", lambda: _train(setting, arm, folder / "run")),
        "sample": _once(folder / "sample.json", lambda: _sample(setting, folder)),
        "evaluate": _once(folder / "evaluate.json", lambda: _evaluate(setting, folder)),
    }
    return {
        "study": setting.study,
        "scale": setting.scale,
        "arm": arm,
        "process": study.arms[arm],
        "steps": study.steps_at(setting.scale),
        "batch": study.batch,
        "seconds": seconds,
        "versions": versions(),
        "machine": describe_machine(),
    } | with_borders(
        measured(json.loads((folder / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))),
        drawn(setting, arm).tensor(),
        load(reading(setting, "held-out")),
    )


def drawn(setting: Setting, arm: str) -> Signals:
    """The samples of an arm, read as `sagd evaluate` reads them."""
    (files,) = (path for path in (folder_of(setting, arm) / "samples").iterdir() if path.is_dir())
    held = load(reading(setting, "held-out"))
    config = DataConfig(str(files), kind=held.meaning.kind, channels=held.shape[0], label_column="none")
    return load(config, held.meaning)


def folder_of(setting: Setting, arm: str) -> Path:
    """Folder of the training of an arm."""
    return setting.runs / arm.replace(", ", "-").replace(" ", "-")


def beside(setting: Setting) -> dict[str, Any]:
    """Figures of what else could stand in the place of samples, by name: measured once, and kept.

    Held-out data may be of another region or another hour, to which no model of the training data can be nearer than
    that is. Gaussian fields of its mean and spectrum say what a spectrum alone is worth.
    """
    path = setting.out / f"{setting.name}-beside.json"
    if not path.exists():
        held = load(reading(setting, "held-out"))
        train = load(reading(setting, "train"), held.meaning).some(_MEASURED)
        config = EvaluationConfig(samples=DRAWN[setting.scale])
        fields = {"Gaussian fields": gaussian(train, DRAWN[setting.scale])}
        if not train.gaps:
            fields["training data"] = train.tensor()[: DRAWN[setting.scale]]
        found = {
            name: with_borders(measured(evaluate_samples(x, held, None, config, progress=False)), x, held)
            for name, x in fields.items()
        }
        ends = {name: whitened_ends(train, basis) for name, basis in _BASES.items()}
        path.write_text(json.dumps({"others": found, "whitened": ends}) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def whitened_ends(data: Signals, basis: type[Basis]) -> dict[str, float]:
    """Variance at the ends of axes, and inside, of data that was made white by its own spectrum in a basis.

    It is what a network sees at little noise, and is 1 everywhere if windows go on as the basis has it: from their
    other end with `fourier`, as their mirror image with `cosine`. Else the jump is large beside small scales.
    """
    x, known = data.tensor(), data.known()
    statistics = measure(x, basis(data.shape[1:]), mask=known)
    centred = (x - statistics.mean).double()
    centred = centred if known is None else torch.where(known, centred, 0.0)
    std = statistics.spectrum.clamp(min=LEAST_POWER * float(statistics.spectrum.max())).sqrt()
    white = statistics.basis.inverse(statistics.basis.forward(centred) / std)
    variance = white.square().mean((0, 1))
    ends = _ends(variance.shape)
    return {name: _short(float(variance[at].mean())) or 0.0 for name, at in (("ends", ends), ("inside", ~ends))}


def gaussian(data: Signals, count: int) -> Tensor:
    """Gaussian fields `(count, C, *spatial)` of the mean and the spectrum of data."""
    statistics = measure(data.tensor(), mask=data.known())
    white = randn((count, *data.shape), generator_for(0, "gaussian"))
    basis = statistics.basis
    return statistics.mean + basis.inverse(statistics.spectrum.sqrt() * basis.forward(white.double())).float()


def reading(setting: Setting, part: str) -> DataConfig:
    """How a part of the data is read, as the options of the commands say it."""
    given = dict(zip(setting.of.reading[::2], setting.of.reading[1::2], strict=True))
    size, rate = given.get("--data.size"), given.get("--data.rate")
    return DataConfig(
        setting.part(part),
        kind=given.get("--data.kind", "auto"),
        size=None if size is None else int(size),
        rate=None if rate is None else float(rate),
    )


def compare(setting: Setting) -> Path:
    """A matched comparison; finished runs of it are kept. Gives the file of what is committed of its results."""
    prepare(setting)
    out, config = setting.runs / "comparison", setting.runs / "compare.yaml"
    setting.runs.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(comparison(setting), sort_keys=False), encoding="utf-8")
    resumed = ["--resume"] if out.exists() else []
    _once(setting.runs / "compare.json", lambda: _sagd(setting, "compare", str(config), "--out", str(out), *resumed))
    return keep_comparison(setting)


def keep_comparison(setting: Setting) -> Path:
    """The file of what is committed of the results of a comparison."""
    results = json.loads((setting.runs / "comparison" / "results.json").read_text(encoding="utf-8"))
    setting.out.mkdir(parents=True, exist_ok=True)
    path = setting.out / f"{setting.name}.json"
    path.write_text(json.dumps(shortened(results), indent=1) + "\n", encoding="utf-8")
    return path


def comparison(setting: Setting) -> dict[str, Any]:
    """The configuration of a comparison."""
    study = setting.of
    data = dict(zip([key.removeprefix("--data.") for key in study.reading[::2]], study.reading[1::2], strict=True))
    if "size" in data:
        data["size"] = int(data["size"])  # type: ignore[assignment]
    steps, tiny = study.steps_at(setting.scale), setting.scale == "tiny"
    return {
        "arms": {arm: dict(process) for arm, process in study.arms.items()},
        "seeds": list(study.seeds),
        "data": {"source": setting.part("train"), **data},
        "network": {"widths": [4, 8] if tiny else list(study.network), "attention": study.attention},
        "training": {"steps": steps, "batch_size": study.batch, "precision": "no", "sample_every": 0, "log_every": 10}
        | ({"batch_size": 4, "log_every": 1} if tiny else {}),
        "evaluation": {"samples": DRAWN[setting.scale]},
    }


def measured(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an evaluation: single numbers, and by ring and lag what cannot be read from them."""
    kept: dict[str, Any] = {"n": evaluation["n"]}
    for which in ("figure", "floor"):
        of = evaluation[which]
        kept[which] = {name: _short(value) for name, value in scalars(evaluation, which).items()}
        kept[which]["rings"] = [_decibels(error) for error in of["spectral"]["error"]]
        kept[which]["increments"] = [
            {"axis": entry["axis"], "lag": entry["lag"]}
            | {key: [_short(v) for v in entry[key]] for key in ("ratio_db", "flatness", "reference_flatness")}
            for entry in of["increments"]["entries"]
        ]
    return kept


def with_borders(line: dict[str, Any], x: Tensor, data: Signals) -> dict[str, Any]:
    """Figures with the power of fields `(N, C, *spatial)` at the ends of their axes over that of the data, in dB."""
    halves = data.split_halves(0)
    for which, fields in (("figure", x), ("floor", _known(halves[0]))):
        line[which]["border_db"] = round(borders(fields, _known(halves[1])), 2)
    return line


def borders(x: Tensor, data: Tensor) -> float:
    """Mean square about the data's mean, at all places that are first or last along an axis, over the data's, in dB.

    Args:
        x: Fields `(N, C, *spatial)`; NaN where nothing is known.
        data: Others, likewise.
    """
    ours, theirs = (fields[:, :, _ends(x.shape[2:])].double() for fields in (x, data))
    mean = theirs.nanmean(0)
    return 10 * math.log10(float((ours - mean).square().nanmean() / (theirs - mean).square().nanmean()))


def _ends(spatial: Sequence[int]) -> Tensor:
    """Places that are first or last along an axis, bool."""
    ends = torch.ones(tuple(spatial), dtype=torch.bool)
    ends[(slice(1, -1),) * ends.ndim] = False
    return ends


def _known(data: Signals) -> Tensor:
    known, x = data.known(), data.tensor()
    return x if known is None else torch.where(known, x, torch.nan)


def flicker(figures: Mapping[str, Any]) -> float:
    """Power of the differences of neighbouring frames over that of the data, in dB."""
    return next(e["ratio_db"][0] for e in figures["increments"] if (e["axis"], e["lag"]) == (0, 1))


def shortened(results: Mapping[str, Any]) -> dict[str, Any]:
    """What is committed of a comparison: floors, and of each arm means, differences and intervals."""
    kept = {key: results[key] for key in ("reference_arm", "metrics", "floors", "tests", "versions", "machine")}
    leave_out = ("runs",)
    arms = {
        name: {key: value for key, value in arm.items() if key not in leave_out}
        | {"runs": [{"seed": run["seed"], "training": run["training"]} for run in arm["runs"]]}
        for name, arm in results["arms"].items()
    }
    return kept | {"config": results["config"] | {"data": None}, "arms": arms}


def _train(setting: Setting, arm: str, out: Path) -> dict[str, float]:
    study = setting.of
    tiny = ("--training.batch-size", "4", *_TINY) if setting.scale == "tiny" else ()
    return _sagd(
        setting,
        *("train", "--data.source", setting.part("train"), *study.reading),
        *chain.from_iterable((f"--process.{name}", value) for name, value in study.arms[arm].items()),
        *("--network.widths", *map(str, study.network), "--training.batch-size", str(study.batch)),
        *(["--network.attention"] if study.attention else []),
        *("--training.steps", str(study.steps_at(setting.scale)), *PLAIN, *tiny, "--out", str(out)),
        *(["--resume"] if out.exists() else []),
    )


def _sample(setting: Setting, folder: Path) -> dict[str, float]:
    shutil.rmtree(folder / "samples", ignore_errors=True)
    return _sagd(
        setting,
        *("sample", str(folder / "run"), "--count", str(DRAWN[setting.scale]), "--out", str(folder / "samples")),
        *(["--steps", "2"] if setting.scale == "tiny" else []),
    )


def _evaluate(setting: Setting, folder: Path) -> dict[str, float]:
    (samples,) = (path for path in (folder / "samples").iterdir() if path.is_dir())
    return _sagd(setting, "evaluate", str(samples), *_against(setting), "--out", str(folder / "evaluation"))


def _against(setting: Setting) -> tuple[str, ...]:
    count = ("--evaluation.samples", str(DRAWN[setting.scale]))
    return ("--data.source", setting.part("held-out"), *setting.of.reading, *count)


def _once(record: Path, action: Any) -> dict[str, float]:
    """What an action took, done unless its record is there."""
    if not record.exists():
        taken = json.dumps(action())
        record.write_text(taken, encoding="utf-8")
    return json.loads(record.read_text(encoding="utf-8"))


def _sagd(setting: Setting, *command: str) -> dict[str, float]:
    """Run a command of the library in a process of its own; its seconds by the clock and of the processors.

    Raises:
        SystemExit: If it fails; what it printed is shown.
    """
    threads = str(THREADS[setting.scale])
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    wall, used = time.perf_counter(), _of_children()
    setting.runs.mkdir(parents=True, exist_ok=True)
    with (setting.runs / "log.txt").open("a", encoding="utf-8") as log:
        print(f"$ sagd {' '.join(command)}", file=log, flush=True)
        code = subprocess.call([sys.executable, "-m", "sagd", *command], env=environment, stdout=log, stderr=log)
    if code:
        raise SystemExit(f"sagd {command[0]} ended with {code}; see {setting.runs / 'log.txt'}")
    return {"wall": round(time.perf_counter() - wall, 1), "cpu": round(_of_children() - used, 1)}


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _decibels(error: float | None) -> float | None:
    """`10 log10(1 + e)` of a relative error of power; None for a ring without frequencies, or without power."""
    return None if error is None or error <= -1 else round(10 * math.log10(1 + error), 2)
