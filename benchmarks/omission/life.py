"""MNIST under damage as it is in life, in files of 8 bits: what share of the gap each way of training closes.

Waves between bins whose frequencies differ from image to image, stripes that end and drift, rain as lines: damage that
leaks beside its band; of damage that is clipped besides, half is left, and what is left is tied to the image. Every arm
trains the same network for the same number of steps and images:

    clean       white diffusion on clean images
    corrupted   white diffusion on damaged images
    cleaned, project, fill
                the modes of `process.omission`, by the band of the damage with its guard; `cleaned` is white diffusion
                on images of which the damage was taken out without a network
    refilled    half of the steps `fill`, then white diffusion on the images that it restored, from its weights

The band is that of the damage, which detection is measured for elsewhere. Samples are compared as in `mnist`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import records
from benchmarks.omission.mnist import Bench, Scale, psnr, restored_by
from sagd.build.schema import OmissionConfig, RunConfig
from sagd.build.text import from_dict
from sagd.data.corruption import Corruption, corrupt
from sagd.data.signals import Signals
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.store.model import load_model
from sagd.study.cleared import cleared
from sagd.study.train import train

_MOIRE = "fringes(waves=1, low=0.2, high=0.3, spread=0.002, bend=0, vary=0, level={})"
DAMAGE = {
    "moire": (_MOIRE.format(0.25), 0.5),
    "stripes": ("curtains(width=1.5, length=60, level=0.2)", 0.5),
    "rain": ("streaks(length=12, density=0.01, level=0.2)", 0.5),
    "moire, clipped": (_MOIRE.format(0.5), 1.0),
}
"""Damage, and the contrast of the images in the files that it is drawn on: at 0.5 next to nothing is clipped, at 1.0
half of what falls upon black."""
ARMS = ("clean", "corrupted", "cleaned", "project", "fill", "refilled")
HELD_OUT = 10**6
"""Number of the first held-out image: their damage is their own."""
_TOGETHER = 4096
"""Images whose spectra removal measures together."""


@dataclass(frozen=True)
class Key:
    """One run: what identifies a line of the results."""

    arm: str
    damage: str | None
    seed: int


def keys(scale: Scale) -> Iterator[Key]:
    """All runs, seed by seed."""
    for seed in scale.seeds:
        yield Key("clean", None, seed)
        for damage in DAMAGE:
            for arm in ARMS[1:]:
                yield Key(arm, damage, seed)


def study(data: Path, out: Path, work: Path, scale: Scale, name: str) -> Path:
    """Run what is missing of the study and write `out/life-NAME.jsonl`; returns it.

    Args:
        data: Folder with `mnist-train.parquet` and `mnist-test.parquet`.
        out: Where results go.
        work: Where runs and features are kept.
        scale: How much is computed.
        name: Its name.
    """
    path = out / f"life-{name}.jsonl"
    done = {Key(x["arm"], x["damage"], x["seed"]) for x in records.read(path)}
    missing = [key for key in keys(scale) if key not in done]
    if missing:
        bench = Bench(data, work, scale)
        for key in tqdm(missing, desc="runs", disable=None):
            records.append(path, run(bench, key))
    return path


def run(bench: Bench, key: Key) -> dict[str, Any]:
    """Train, sample and measure one run."""
    start, folder = time.perf_counter(), bench.work / f"{key.arm}-{key.damage}-{key.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    path, config = _trained(bench, key, folder)
    model = load_model(path)
    samples = bench.drawn(model, config, key.seed)
    line: dict[str, Any] = {
        **asdict(key),
        **bench.figures(samples),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if key.damage is not None:
        band, basis = band_of(key), FourierBasis((28, 28))
        damaged = damage_of(key, bench.held_out, HELD_OUT)
        line["band"] = str(band)
        line["power"] = power_of(samples, band, basis) / power_of(bench.held_out, band, basis)
        restored = {"damaged": damaged, "cleaned": cleaned(damaged, band)}
        if key.arm in ("project", "fill"):
            restored[key.arm] = restored_by(model, damaged)
        line["restored"] = {
            name: {"frechet": bench.distance(x), "psnr": psnr(x.clamp(-1, 1), bench.held_out)}
            for name, x in restored.items()
        }
    shutil.rmtree(folder, ignore_errors=True)
    return line


def damage_of(key: Key, x: Tensor, first: int = 0) -> Tensor:
    """Damaged images as an 8-bit file has them, back in the range of the clean ones."""
    assert key.damage is not None
    parts, (text, contrast) = [], DAMAGE[key.damage]
    for start in range(0, len(x), _TOGETHER):
        part = x[start : start + _TOGETHER]
        numbers = torch.arange(len(part)) + start + first
        y = corrupt(contrast * part, Corruption.parse(text), key.seed, numbers)
        parts.append((((y + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1) / contrast)
    return torch.cat(parts)


def band_of(key: Key, spatial: tuple[int, ...] = (28, 28)) -> Spectrum:
    """The band of the damage, its guard included."""
    assert key.damage is not None
    return Corruption.parse(DAMAGE[key.damage][0]).band(spatial, key.seed)


def cleaned(x: Tensor, band: Spectrum) -> Tensor:
    """As mode `cleaned` has them trained on."""
    return cleared(OmissionConfig("cleaned", str(band)), Signals("mnist", x)).data.tensor()


def _trained(bench: Bench, key: Key, folder: Path) -> tuple[Path, RunConfig]:
    clean = bench.train.tensor()
    if key.damage is None:
        config = bench.config(key.seed)
        return train(config, folder, data=bench.data(clean)), config
    damaged, band = damage_of(key, clean), band_of(key)
    scale = bench.scale
    if key.arm == "corrupted":
        config = bench.config(key.seed)
        return train(config, folder, data=bench.data(damaged)), config
    left_out = from_dict(OmissionConfig, {"mode": "fill" if key.arm == "refilled" else key.arm, "band": str(band)})
    if key.arm != "refilled":
        config = bench.config(key.seed, left_out)
        # Only images that training comes to see need cleaning; the order of the data is the seed's.
        x = damaged[: scale.steps * scale.batch_size] if key.arm == "cleaned" else damaged
        return train(config, folder, data=bench.data(x)), config
    half = scale.steps // 2
    path = train(bench.config(key.seed, left_out, steps=half), folder / "fill", data=bench.data(damaged))
    model = load_model(path)
    seen = damaged[: half * scale.batch_size]
    restored = restored_by(model, seen)
    second = bench.config(key.seed, steps=scale.steps - half, init=str(path))
    return train(second, folder / "refilled", data=bench.data(restored)), second


def power_of(x: Tensor, band: Spectrum, basis: FourierBasis) -> float:
    """In the band, about the mean of the images."""
    centred = basis.forward((x - x.mean(0)).double())
    return float((basis.multiplicity() * mask(band, basis) * centred.abs().square()).sum() / len(x))
