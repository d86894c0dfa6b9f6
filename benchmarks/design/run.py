"""One run: train an arm with one seed, draw from it in every way and number of evaluations, and measure."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import records
from benchmarks.design.arms import ARMS, DESIGN, Arm, designed
from benchmarks.design.data import SETS, prepare
from sagd.build.draw import draw
from sagd.build.schema import RunConfig, TrainingConfig
from sagd.build.text import to_dict
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.metrics import evaluate, scalars
from sagd.networks.config import NetworkConfig
from sagd.store.model import load_model, versions
from sagd.study.machine import describe_machine
from sagd.study.train import train

RINGS = 16
_FEW = (4, 6, 10, 18, 50)


@dataclass(frozen=True)
class Scale:
    """How much is computed; the same for all arms.

    Attributes:
        steps: Optimiser steps.
        draws: Samples drawn, at most half as many as there are held-out fields.
        seeds: Seeds of the runs.
        evaluations: Numbers of evaluations of the network per sample.
        batch: Fields a step.
        count: Fields of either part of the data, at most.
        widths: U-Net channels per level; None: those of the set.
        grids: Time grids that are drawn with, `uniform` being what rivals publish; (): all of the arm's ways.
    """

    steps: int
    draws: int
    seeds: tuple[int, ...]
    evaluations: tuple[int, ...] = _FEW
    batch: int = 32
    count: int | None = None
    widths: tuple[int, ...] | None = None
    grids: tuple[str, ...] = ()


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(2, 10, (0, 1), (2, 4), 4, 24, (4, 8)),
    "trial": Scale(500, 256, (0,), (6, 10, 50), grids=("found", "uniform")),
    "longer": Scale(2_000, 256, (0,), (6, 10, 50), grids=("found", "uniform")),
    "short": Scale(500, 512, (0, 1, 2)),
    "middle": Scale(2_000, 512, (0, 1, 2)),
    "long": Scale(10_000, 512, (0,)),
}


@dataclass(frozen=True)
class Job:
    """What a run is identified by."""

    data: str
    arm: str
    seed: int


@dataclass(frozen=True)
class Setting:
    """Where a study runs.

    Attributes:
        scale: Name of the scale.
        source: Folder of the raw data.
        out: Folder of the results.
        work: Folder of data and runs.
        designs: Folder with what `sagd design` wrote, a folder a set; None: that arm is left out.
    """

    scale: str
    source: Path
    out: Path
    work: Path
    designs: Path | None = None

    @property
    def of(self) -> Scale:
        """The scale."""
        return SCALES[self.scale]

    @property
    def results(self) -> Path:
        """Lines of JSON, one a run."""
        return self.out / f"{self.scale}.jsonl"

    def arms(self, data: str) -> dict[str, Arm]:
        """Those of a set by name; the design where there is one."""
        file = None if self.designs is None else self.designs / data / "design.yaml"
        return dict(ARMS) if file is None or not file.exists() else {DESIGN: designed(file)} | dict(ARMS)

    def part(self, data: str, name: str) -> Path:
        """The file of a part of a set."""
        size = "" if self.of.count is None else f"-{self.of.count}"
        return self.work / "data" / f"{data}{size}" / f"{name}.npy"


def run(
    setting: Setting,
    data: Sequence[str],
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    processes: int = 1,
) -> None:
    """Run what is missing, and append a line for each run that ends."""
    setting.out.mkdir(parents=True, exist_ok=True)
    done = {Job(line["data"], line["arm"], line["seed"]) for line in records.read(setting.results)}
    missing = [job for job in jobs(setting, data, arms, seeds) if job not in done]
    for name in {job.data for job in missing}:
        prepare(name, setting.source, setting.part(name, "train").parent, setting.of.count)
    for line in _lines(setting, missing, processes):
        records.append(setting.results, line)


def jobs(setting: Setting, data: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    """All runs, seed by seed, so that what is there after an interruption is whole."""
    for name in data:
        known = setting.arms(name)
        if unknown := set(arms) - set(known):
            raise SystemExit(f"no arms {sorted(unknown)} for {name}; there are: {'; '.join(known)}")
        for seed in seeds or setting.of.seeds:
            yield from (Job(name, arm, seed) for arm in known if not arms or arm in arms)


def _lines(setting: Setting, missing: Sequence[Job], processes: int) -> Iterator[dict[str, Any]]:
    """Lines as they come; in this process if there is one only."""
    if processes == 1:
        yield from (one(setting, job) for job in missing)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_alone) as pool:
        for future in as_completed([pool.submit(one, setting, job) for job in missing]):
            yield future.result()


def _alone() -> None:
    """Side by side, processes that all take every core are slower than one after the other."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def one(setting: Setting, job: Job) -> dict[str, Any]:
    """Train, draw and measure; the line of the results."""
    scale, arm, start = setting.of, setting.arms(job.data)[job.arm], time.perf_counter()
    folder = setting.work / setting.scale / f"{job.data}-{job.arm}-{job.seed}".replace(" ", "")
    training, held_out = _data(setting, job.data)
    begun = (folder / "checkpoints").is_dir()
    if not begun:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.redirect_stderr(io.StringIO()):
        model = load_model(train(configuration(setting, job, arm), folder, resume=begun, data=training))
    trained = time.perf_counter()
    drawn: dict[str, Any] = {}
    for way in [way for way in arm.ways if not scale.grids or way.grid in scale.grids] or arm.ways:
        for evaluations in scale.evaluations:
            x = draw(
                model.denoiser,
                min(scale.draws, len(held_out) // 2),
                way.sampling(evaluations),
                seed=job.seed,
                statistics=model.statistics,
                batch_size=64,
            )
            measured = {"taken": way.taken(evaluations)} | figures(x, held_out, training)
            drawn.setdefault(way.name, {})[str(evaluations)] = measured
    shutil.rmtree(folder, ignore_errors=True)
    return {
        **asdict(job),
        "scale": setting.scale,
        "group": arm.group,
        "process": to_dict(arm.process),
        "denoiser": to_dict(arm.denoiser),
        "parameters": sum(p.numel() for p in model.plain.module.parameters()),
        "drawn": drawn,
        **beside(setting, job.data),
        "seconds": {
            "training": round(trained - start, 1),
            "drawing and measuring": round(time.perf_counter() - trained, 1),
        },
        "versions": versions(),
        "machine": describe_machine(),
    }


def configuration(setting: Setting, job: Job, arm: Arm) -> RunConfig:
    """The whole configuration of a run."""
    scale = setting.of
    return RunConfig(
        data=reading(setting, job.data, "train"),
        process=arm.process,
        network=NetworkConfig(widths=scale.widths or SETS[job.data].widths),
        denoiser=arm.denoiser,
        training=TrainingConfig(
            steps=scale.steps,
            batch_size=scale.batch,
            precision="no",
            sample_every=0,
            checkpoint_every=max(1, scale.steps // 4),
            keep_checkpoints=1,
            log_every=max(1, scale.steps // 10),
            seed=job.seed,
        ),
    )


def figures(x: Tensor, held_out: Signals, training: Signals) -> dict[str, Any]:
    """What is kept of an evaluation of fields `(N, C, *spatial)` against held-out ones."""
    if not x.isfinite().all():
        return {"finite": False}
    found = evaluate(x, held_out.tensor(), bands=RINGS, resamples=0, by_scale=True).to_dict()
    return {"finite": True} | _kept(found, "figure")


@functools.lru_cache(maxsize=16)
def beside(setting: Setting, data: str) -> dict[str, Any]:
    """What else could stand in the place of samples: held-out data itself, its floor, and the training data."""
    training, held_out = _data(setting, data)
    some = training.some(min(setting.of.draws, len(held_out) // 2)).tensor()
    found = evaluate(some, held_out.tensor(), bands=RINGS, resamples=0, by_scale=True).to_dict()
    return {"floor": _kept(found, "floor"), "training_data": _kept(found, "figure")}


def _kept(found: Mapping[str, Any], which: str) -> dict[str, Any]:
    kept: dict[str, Any] = {name: _short(value) for name, value in scalars(found, which).items()}
    nearest = [entry for entry in found[which]["increments"]["entries"] if entry["lag"] == 1]
    for name in ("flatness", "reference_flatness"):
        values = [value for entry in nearest for value in entry[name]]
        kept[name] = _short(sum(values) / len(values))
    kept["told_apart_interval"] = [_short(end) for end in found[which]["apart"]["interval"]]
    kept["rings_db"] = [
        None if error is None or error <= -1 else round(10 * math.log10(1 + error), 2)
        for error in found[which]["spectral"]["error"]
    ]
    return kept


@functools.lru_cache(maxsize=2)
def _data(setting: Setting, name: str) -> tuple[Signals, Signals]:
    training = load(reading(setting, name, "train"))
    return training, load(reading(setting, name, "held-out"), training.meaning)


def reading(setting: Setting, name: str, part: str) -> DataConfig:
    of = SETS[name]
    return DataConfig(str(setting.part(name, part)), kind=of.kind, axes=of.axes, rate=1.0 if of.axes == "NT" else None)


def _short(value: float | None) -> float | None:
    """Five digits: more than any of these figures is known to."""
    return None if value is None else float(f"{value:.5g}")
