"""Runs what is missing of a study, in several processes, and appends each result as a line of JSON."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import records
from benchmarks.quality.run import Bench, Features, Job
from benchmarks.quality.scales import SCALES, is_small, shape_of
from benchmarks.quality.studies import STUDIES, Arm

Line = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where a study runs.

    Attributes:
        study: Its name.
        scale: Name of the scale.
        folder: Folder with parquet files.
        out: Folder of the results.
        work: Folder of runs in progress and of features.
        features: Further feature extractors.
        processes: Runs at a time.
    """

    study: str
    scale: str
    folder: Path | None
    out: Path
    work: Path
    features: tuple[Features, ...] = ()
    processes: int = 1

    @property
    def path(self) -> Path:
        """The results."""
        return self.out / f"{self.study}-{self.scale}.jsonl"


def run(setting: Setting, data: Sequence[str], arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> None:
    """Run what is missing.

    Args:
        setting: Where.
        data: Data sets.
        arms: Only these arms; default: all.
        seeds: Only these seeds; default: those of the scale.
    """
    setting.out.mkdir(parents=True, exist_ok=True)
    done = {_job(line) for line in records.read(setting.path)}
    missing = [job for job in jobs(setting, data, arms, seeds) if job not in done]
    with tqdm(total=len(missing), desc=setting.study, unit="run", disable=None) as bar:
        for line in _results(setting, missing):
            records.append(setting.path, line)
            bar.update()


def jobs(setting: Setting, data: Sequence[str], arms: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    """All runs, seed by seed, so that what is there after an interruption is whole."""
    for name in data:
        budget = SCALES[setting.scale][name]
        known = [arm.name for arm in arms_of(setting, name)]
        if unknown := set(arms) - set(known):
            raise SystemExit(f"no arms {sorted(unknown)} in {setting.study}; there are: {', '.join(known)}")
        for seed in seeds or budget.seeds:
            for arm in known:
                if not arms or arm in arms:
                    yield Job(setting.study, name, arm, seed)


def _job(line: Line) -> Job:
    return Job(line["study"], line["data"], line["arm"], line["seed"])


def _results(setting: Setting, missing: Sequence[Job]) -> Iterator[Line]:
    """Lines as they come; in this process if there is one only."""
    if setting.processes == 1:
        yield from (one(setting, job) for job in missing)
        return
    for name in {job.data for job in missing}:
        _ = _bench(setting, name).extractors  # trained once, not in every process
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(setting.processes, context, initializer=_alone) as pool:
        left, running = iter(missing), set[Future[Line]]()
        while True:
            for job in left:
                running.add(pool.submit(one, setting, job))
                if len(running) == setting.processes:
                    break
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _alone() -> None:
    """Side by side, processes that all take every core are slower than one after the other."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def one(setting: Setting, job: Job) -> Line:
    """One run."""
    arm = next(arm for arm in arms_of(setting, job.data) if arm.name == job.arm)
    return _bench(setting, job.data).run(arm, job.seed)


def arms_of(setting: Setting, data: str) -> list[Arm]:
    """The arms of the study on a data set."""
    return STUDIES[setting.study].arms(shape_of(setting.scale, data), is_small(setting.scale))


@functools.lru_cache(maxsize=4)
def _bench(setting: Setting, data: str) -> Bench:
    budget = SCALES[setting.scale][data]
    return Bench(setting.study, data, budget, setting.folder, setting.work, setting.features)
