"""How long a training waits for its data: in memory, read while the network computes, and read when it is needed."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary
from sagd.build.schema import RunConfig, TrainingConfig
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.data.sources import base as sources
from sagd.study.train import prepare
from sagd.training.fit import Callback, Fit, Step
from sagd.training.runtime import OneProcess

LIMIT = 0.05
WARMUP, BLOCK = 3, 3
"""Steps that are not measured, and those whose shares are one value."""

NOTE = """\
Share of the time that the loop of the default U-Net waits for batches, in blocks of three steps, on the CPU in float32.
In memory: decoded once, before. Ahead: `MEMORY_LIMIT = 0`, so that every item is read and decoded whenever its turn
comes, by threads while the step before computes. At once: the same without reading ahead, which shows what that is
worth. On CPUs the threads take the time that they save the loop from its arithmetic, so the steps of both take alike.
"""
COLUMNS = ("data", "step, ms", "in memory", "ahead", "at once", "step at once, ms")


@dataclass(frozen=True)
class Case:
    """Data and batch of a training."""

    name: str
    source: Path
    batch_size: int
    steps: int
    options: dict[str, object] = field(default_factory=dict)

    def data(self, memory: bool) -> Signals:
        """The data set, in memory or read on demand."""
        before = sources.MEMORY_LIMIT
        try:
            sources.MEMORY_LIMIT = before if memory else 0
            data = load(DataConfig(source=str(self.source), **self.options))  # type: ignore[arg-type]
        finally:
            sources.MEMORY_LIMIT = before
        if isinstance(data.stored, torch.Tensor) != memory:
            raise RuntimeError(f"{self.name} is not where it should be")
        return data

    def __str__(self) -> str:
        return f"{self.name}, batch {self.batch_size}"


class Waiting(Callback):
    """Seconds of each step, and those of them that were spent waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.waited: list[float] = []

    def start(self, fit: Fit) -> None:
        """Start the clock."""
        self._clock = perf_counter()

    def after(self, fit: Fit, step: Step) -> None:
        """Note it."""
        now = perf_counter()
        self.seconds.append(now - self._clock)
        self.waited.append(step.waited)
        self._clock = now

    def shares(self) -> Summary:
        """Of blocks of steps."""
        seconds, waited = (np.array(v[WARMUP:]).reshape(-1, BLOCK).sum(1) for v in (self.seconds, self.waited))
        return Summary.of(waited / seconds)

    def step(self) -> Summary:
        """Seconds of a step."""
        return Summary.of(self.seconds[WARMUP:])


def study(quick: bool = False, data: Path | None = None) -> Result:
    """Shares of all data sets.

    Args:
        quick: Next to nothing.
        data: Folder with cifar10-train.parquet and speech/; default: as much noise, in files of the same kind.
    """
    figures: dict[str, dict[str, Summary | float]] = {}
    demands, rows = [], []
    with tempfile.TemporaryDirectory() as folder, _cached_in(folder), _quiet():
        for case in cases(Path(folder), data, quick):
            memory, ahead, at_once = (waiting(case, *how) for how in ((True, True), (False, True), (False, False)))
            for how, found in (("in memory", memory), ("read ahead", ahead)):
                demands.append(Demand(f"{case.name}: share of waiting, {how}", found.shares(), LIMIT))
            named = {"in memory": memory, "ahead": ahead, "at once": at_once}
            own = ({f"{how}, share": found.shares(), f"{how}, step": found.step()} for how, found in named.items())
            figures[str(case)] = dict(item for pair in own for item in pair.items())
            shares = (interval(found.shares(), digits=4) for found in named.values())
            rows.append((str(case), milliseconds(ahead.step()), *shares, milliseconds(at_once.step())))
    settings = {"data": "noise" if data is None else "CIFAR-10, speech, noise", "threads": torch.get_num_threads()}
    return Result(settings, figures, demands, Table("Waiting for data", NOTE, COLUMNS, rows))


def waiting(case: Case, memory: bool, ahead: bool) -> Waiting:
    """A training of some steps that writes nothing."""
    steps = WARMUP + case.steps
    config = RunConfig(training=TrainingConfig(steps=steps, batch_size=case.batch_size, device="cpu", precision="no"))
    plan, machine, clock = prepare(config, case.data(memory)), OneProcess("cpu"), Waiting()
    recipe, batches = plan.recipe, plan.batches(machine)
    if not ahead:
        batches.expect = lambda step: None  # type: ignore[method-assign]
    Fit(recipe.model.plain, recipe.loss, batches, recipe.budget, machine, [clock]).run()
    return clock


def cases(folder: Path, data: Path | None, quick: bool) -> list[Case]:
    """The data sets; those of noise are made in a folder."""
    count, steps = (16, 2 * BLOCK) if quick else (10_000, 6 * BLOCK)
    cifar = _pictures(folder / "cifar.parquet", count) if data is None else data / "cifar10-train.parquet"
    speech = _sounds(folder / "speech", 8 if quick else 500) if data is None else data / "speech"
    tiffs = _tiffs(folder / "tiffs", 2 if quick else 12, 64 if quick else 2048)
    window = {"kind": "audio", "size": 64 if quick else 4096}
    return [
        Case("CIFAR-10, parquet", cifar, 4 if quick else 32, steps, {"limit": count}),
        Case("speech, windows of 4096", speech, 2 if quick else 4, steps, window),
        Case("16-bit TIFF, tiles of 256x256", tiffs, 2, steps, {"fit": "tile", "size": 16 if quick else 256}),
    ]


def _pictures(path: Path, count: int) -> Path:
    """PNG pictures 3x32x32 of smooth noise, of which PNG makes about as little as of photographs."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    g, encoded = np.random.default_rng(0), []
    for _ in range(count):
        buffer = io.BytesIO()
        coarse = Image.fromarray(g.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(buffer, "PNG")
        encoded.append({"bytes": buffer.getvalue()})
    pq.write_table(pa.table({"image": encoded, "label": [i % 10 for i in range(count)]}), path)
    return path


def _sounds(folder: Path, count: int) -> Path:
    """WAV files of 16 bits and two to eight seconds at 8 kHz."""
    import soundfile

    folder.mkdir()
    g = np.random.default_rng(0)
    for k in range(count):
        soundfile.write(folder / f"{k}.wav", 0.1 * g.normal(size=int(g.integers(16_000, 64_000))), 8000)
    return folder


def _tiffs(folder: Path, count: int, side: int) -> Path:
    """Large pictures of 12 bits in 16, packed in strips as microscopes and scanners write them."""
    import tifffile

    folder.mkdir()
    g = np.random.default_rng(0)
    for k in range(count):
        values = g.integers(0, 4096, (side, side)).astype(np.uint16)
        tifffile.imwrite(folder / f"{k}.tif", values, compression="zlib", rowsperstrip=16)
    return folder


@contextlib.contextmanager
def _cached_in(folder: str) -> Iterator[None]:
    """Context in which mapped tables are kept in a folder."""
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = Path(folder, "cache")
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Context in which only warnings are said."""
    logger = logging.getLogger("sagd")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
