"""A first training on 2,000 photographs: the defaults, and those of before, through the commands that a user types."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagd.cli.program import main as sagd
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.metrics.spectral import spectral_error

BEFORE = (
    *("--denoiser.prediction", "eps", "--denoiser.time", "uniform", "--denoiser.weighting", "flat"),
    *("--network.widths", "32", "64", "64", "--network.blocks", "1"),
    *("--training.batch-size", "64", "--training.lr", "1e-3", "--training.lr-decay", "none"),
    *("--training.warmup-steps", "100", "--training.ema-decay", "0.999"),
    *("--sampling.sampler", "heun", "--sampling.steps", "18", "--sampling.grid", "matched"),
)
"""The defaults of before; of their 2,000 steps, as many as take the time of the present ones."""
PLAIN = ("--training.precision", "no")
"""32-bit arithmetic on every machine, for times that compare."""
RINGS = (10, 16)
"""Numbers of rings that the spectrum is judged in."""


def run(folder: Path, work: Path, options: Sequence[str], samples: int) -> dict[str, Any]:
    """Train on a folder of photographs, draw samples, and measure them.

    Args:
        folder: Photographs.
        work: Directory of the run, emptied before.
        options: Of `sagd train`, beside the folder.
        samples: How many to draw.

    Returns:
        Seconds and figures, ready for JSON.
    """
    shutil.rmtree(work, ignore_errors=True)
    trained = _timed("train", "--data.source", str(folder), *options, "--out", str(work / "run"))
    drawn = _timed("sample", str(work / "run"), "--count", str(samples), "--out", str(work / "samples"))
    found = figures(images(work / "samples" / "images"), images(folder))
    return {"options": list(options), "training": trained, "sampling": drawn, **found}


def images(folder: Path) -> Tensor:
    """The images of a folder, `(N, C, H, W)` in [-1, 1]."""
    return load(DataConfig(source=str(folder))).tensor()


def figures(samples: Tensor, data: Tensor) -> dict[str, Any]:
    """How samples `(N, C, H, W)` differ from data `(M, C, H, W)`.

    Returns:
        `mean_colour`: error of the mean of each channel, in standard deviations of that channel of the data.
        `rings`: for each number of rings, the error of the power spectrum in dB, of all channels together and of each.
        `flatness`: that of the differences of neighbouring pixels, `E d^4 / E[d^2]^2`, of samples and of data: 3 for
            Gaussian images of whatever spectrum.
        `colour`: correlation of these differences between the first and the last channel, of samples and of data.
    """
    mean, reference = samples.double().mean((0, 2, 3)), data.double().mean((0, 2, 3))
    return {
        "samples": len(samples),
        "mean_colour": ((mean - reference) / data.double().std((0, 2, 3))).tolist(),
        "rings": {str(count): _decibels(samples, data, count) for count in RINGS},
        "flatness": [_flatness(_differences(x)) for x in (samples, data)],
        "colour": [_first_with_last(_differences(x)) for x in (samples, data)],
    }


def _timed(*command: str) -> dict[str, float]:
    """Seconds of a command, by the clock and of all threads together."""
    wall, used = time.perf_counter(), time.process_time()
    if code := sagd(list(command)):
        raise SystemExit(code)
    return {"wall_seconds": round(time.perf_counter() - wall, 1), "cpu_seconds": round(time.process_time() - used, 1)}


def _decibels(samples: Tensor, data: Tensor, rings: int) -> dict[str, Any]:
    error = spectral_error(samples, data, rings)
    return {"all": _levels(error.error), "channels": [_levels(row) for row in error.channel_error]}


def _levels(errors: Sequence[float]) -> list[float | None]:
    """`10 log10(1 + error)`; None for a ring that holds no frequency."""
    return [None if math.isnan(e) else round(10 * math.log10(1 + e), 3) for e in errors]


def _differences(x: Tensor) -> Tensor:
    """Of neighbours along a row, `(C, -1)`."""
    return x.double().diff(dim=-1).transpose(0, 1).flatten(1)


def _flatness(d: Tensor) -> float:
    return float((d**4).mean() / (d**2).mean() ** 2)


def _first_with_last(d: Tensor) -> float:
    return float(torch.corrcoef(d)[0, -1])
