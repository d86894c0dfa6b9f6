"""Detection of damaged bands: recall and false alarms over random sets, each examined once damaged and once clean.

A set is a random subset of MNIST, CIFAR-10 (whole, or one class), the digits, Gaussian fields of a random power law in
one or two dimensions, or such images enlarged by a factor of up to 2, which detection cautions against. Damage is of
random kind, its level set so that the power in its band exceeds the clean one by a random number of decibels:
`10 log10((S + N) / S)`, `S` and `N` the powers of clean images and damage in the band.

Further sets are of the pieces of four photographs, side by side, of which one alone may repeat something.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor
from tqdm import tqdm

from benchmarks.clean.sets import picture
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt
from sagd.data.load import load
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import AxisPowerLaw, PowerLaw
from sagd.noise.statistics import measure
from sagd.omission.detect import detect

SOURCES = ("mnist", "cifar10", "cifar10 class", "digits", "fields", "records", "enlarged")
PIECES, PHOTOGRAPHS = "pieces", 4
SIDES = (16, 24, 28, 32, 48, 64)
EXCESS = (3.0, 25.0)
CLASSES = ((3.0, 6.0), (6.0, 10.0), (10.0, 25.0))


def study(data: Path, out: Path, sets: int = 100, first: int = 0) -> Path:
    """Examine sets and write `out/detection.json`; returns it.

    Args:
        data: Folder with the parquet files of MNIST and CIFAR-10.
        out: Where results go.
        sets: Number of sets.
        first: Seed of the first; thresholds were chosen on seeds from 1000 on.
    """
    pool = {
        "mnist": load(DataConfig(source=str(data / "mnist-train.parquet"), limit=20_000)),
        "cifar10": load(DataConfig(source=str(data / "cifar10-train.parquet"), limit=20_000)),
        "digits": load(DataConfig()),
    }
    seeds = range(first, first + sets)
    lines = [one(pool, SOURCES[seed % len(SOURCES)], seed) for seed in tqdm(seeds, desc="sets", disable=None)]
    pieces = [one(pool, PIECES, seed) for seed in tqdm(seeds[: sets // 2], desc=PIECES, disable=None)]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "detection.json"
    found = {"summary": summary(lines), PIECES: summary(pieces), "sets": lines + pieces}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return path


def one(pool: dict[str, Any], source: str, seed: int) -> dict[str, Any]:
    """One set, clean and damaged."""
    g = np.random.default_rng(seed)
    clean = images(pool, source, g)
    alarm = detect(clean)
    text, excess = damage(clean, source, g, seed)
    corruption = Corruption.parse(text)
    found = detect(corrupt(clean, corruption, seed))
    basis = FourierBasis(tuple(clean.shape[2:]))
    true, noise = mask(corruption.band(basis.spatial, seed), basis), corruption.spectrum(tuple(clean.shape[1:]), seed)
    got = torch.zeros_like(true) if found.band is None else mask(found.band, basis)
    power, m = noise.mean(0) * basis.multiplicity(), basis.multiplicity()
    return {
        "seed": seed,
        "source": source,
        "images": len(clean),
        "corruption": text,
        "excess_db": excess,
        "false_alarm": None if alarm.band is None else str(alarm.band),
        "nearest_clean": alarm.nearest,
        "band": None if found.band is None else str(found.band),
        "confidence": max((f.confidence for f in found.findings), default=0.0),
        "hit": bool(((got > 0) & (true > 0)).any()),
        "covered": float((power * got).sum() / power.sum()),
        "spoilt": float((m * got * (true == 0)).sum() / (m * (true == 0)).sum()),
    }


def images(pool: dict[str, Any], source: str, g: np.random.Generator) -> Tensor:
    """A random set."""
    if source == PIECES:
        side = int(g.choice(SIDES))
        cuts = [_squares(picture(str(g.choice(("fit", "judge"))), g), side) for _ in range(PHOTOGRAPHS)]
        return torch.from_numpy(np.concatenate(cuts)[:, None] / np.float32(127.5) - 1)
    count = int(g.integers(300, 2000))
    if source in ("fields", "records"):
        slope, shape = float(g.uniform(-1.5, 0)), (1, 32, 32) if source == "fields" else (1, 256)
        own = AxisPowerLaw(tuple(g.uniform(-0.2, 0.2, 2))) if source == "fields" else None
        spectrum = PowerLaw(slope) * own if own is not None else PowerLaw(slope)
        generator = torch.Generator().manual_seed(int(g.integers(2**31)))
        return SpectralCovariance(spectrum, shape).sample(count, generator) / 3
    if source == "enlarged":
        x = images(pool, str(g.choice(("mnist", "cifar10", "digits"))), g)
        size = round(x.shape[-1] * g.uniform(1.1, 2))
        return torch.nn.functional.interpolate(x, (size, size), mode="bicubic", antialias=True)
    data = pool[source.split()[0]]
    rows = torch.arange(len(data))
    if source.endswith("class"):
        rows = rows[data.labels == int(g.integers(10))]
    picked = g.permutation(len(rows))[:count]
    return data.batch(rows[torch.from_numpy(picked)])[0]


def _squares(image: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (n // side for n in image.shape)
    cut = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(-1, side, side).astype(np.float32)


def damage(clean: Tensor, source: str, g: np.random.Generator, seed: int) -> tuple[str, float]:
    """A random corruption as text, and its excess in dB."""
    excess = float(g.uniform(*EXCESS))
    low = float(g.integers(1, 9)) / 10
    kinds = {
        "band_noise": f"band_noise(low={low}, high={round(low + 0.1 * (1 + (min(clean.shape[2:]) < 16)), 2)})",
        "moire": f"moire(waves={int(g.integers(1, 4))})",
        "scan_lines": f"scan_lines(axis={int(g.integers(2))})",
        "rain": f"rain(angle={int(g.integers(-40, 40))})",
        "hum": f"hum(frequency={g.uniform(0.03, 0.15):.3f})",
    }
    fits = ("band_noise", "moire", "hum") if source == "records" else ("band_noise", "moire", "scan_lines", "rain")
    corruption = Corruption.parse(kinds[str(g.choice(fits))])
    statistics = measure(clean)
    basis = statistics.basis
    b = mask(corruption.band(basis.spatial, seed), basis) * basis.multiplicity()
    unit = dataclasses.replace(corruption, level=1.0)  # type: ignore[call-arg]
    ratio = float(
        (b * unit.spectrum(tuple(clean.shape[1:]), seed).mean(0)).sum() / (b * statistics.spectrum.mean(0)).sum()
    )
    level = math.sqrt((10 ** (excess / 10) - 1) / ratio)
    return str(dataclasses.replace(corruption, level=float(f"{level:.3g}"))), excess  # type: ignore[call-arg]


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates with 95 % intervals (Clopper-Pearson), by strength and by kind."""
    hits = [line for line in lines if line["hit"]]
    kinds = sorted({line["corruption"].split("(")[0] for line in lines})
    return {
        "false_alarms": rate([line["false_alarm"] is not None for line in lines]),
        "recall": rate([line["hit"] for line in lines]),
        "recall_by_excess": {
            f"{low:g} to {high:g} dB": rate([line["hit"] for line in lines if low <= line["excess_db"] < high])
            for low, high in CLASSES
        },
        "recall_by_kind_from_6_db": {
            kind: rate(
                [x["hit"] for x in lines if x["corruption"].split("(")[0] == kind and x["excess_db"] >= CLASSES[1][0]]
            )
            for kind in kinds
        },
        "false_alarms_by_source": {
            source: rate([line["false_alarm"] is not None for line in lines if line["source"] == source])
            for source in SOURCES
        },
        "median_covered": float(np.median([line["covered"] for line in hits])) if hits else 0.0,
        "median_spoilt": float(np.median([line["spoilt"] for line in hits])) if hits else 0.0,
    }


def rate(outcomes: list[bool]) -> dict[str, Any]:
    """Successes of trials with a 95 % interval."""
    k, n = sum(outcomes), len(outcomes)
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    return {"count": k, "of": n, "interval": [round(low, 3), round(high, 3)]}
