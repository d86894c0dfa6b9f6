"""Photographs and CIFAR-10 under damage as it is in life, restored by models that never saw a clean image.

The damage is that of `life`, in files of 8 bits. A model is trained on damaged images in laps from mode `cleaned`;
other images, of other photographs, are restored by

    damaged     nothing at all
    cleaned     the measured damage taken out, without a network
    wiener      the Wiener filter of the true spectra, known from the clean images and the damage themselves
    network     the mean of draws of the last lap's model, given the images under noise of the measured power, or the
                cleaned ones under that of what is wrong with them, by trials on draws of the model

PSNR is of values clipped to [-1, 1], against the clean images.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import records
from benchmarks.design.data import photographs
from benchmarks.omission.life import DAMAGE, HELD_OUT, Key, damage_of
from benchmarks.omission.mnist import psnr
from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.alarm import excess
from sagd.omission.removal import measure
from sagd.omission.split import band_part
from sagd.store.model import load_model
from sagd.study import sides
from sagd.study.filling import Damage, doubt_of, errors_of, fill, start_of
from sagd.study.laps import train_in_laps

SETS = ("photographs", "cifar10")
LAPS = 2
IMAGES = {"quick": 40, "cpu": 2048, "paper": 50_000}
STEPS = {"quick": 4, "cpu": 400, "paper": 50_000}
"""Steps of a lap, lap 0 included."""
RESTORED = {"quick": 4, "cpu": 256, "paper": 5000}
WAYS = ("damaged", "cleaned", "wiener", "network")


def study(
    data: Path, out: Path, work: Path, name: str, sets: Sequence[str], damages: Sequence[str], seeds: Sequence[int]
) -> Path:
    """Run what is missing of the study and write `out/restoring-NAME.jsonl`; returns it.

    Args:
        data: Folder with the raw data.
        out: Where results go.
        work: Where runs are kept.
        name: Name of the scale.
        sets: Sets of images; default: all.
        damages: Damage of `life`; default: all.
        seeds: Seeds of the runs and the damage.
    """
    path = out / f"restoring-{name}.jsonl"
    for seed, of, damage in _all(sets or SETS, damages or tuple(DAMAGE), seeds):
        if not any((x["seed"], x["data"], x["damage"]) == (seed, of, damage) for x in records.read(path)):
            records.append(path, _run(data, work, name, of, Key("laps", damage, seed)))
    return path


def _all(sets: Sequence[str], damages: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    for seed in seeds:
        for damage in damages:
            yield from ((seed, of, damage) for of in sets)


def _run(data: Path, work: Path, name: str, of: str, key: Key) -> dict[str, Any]:
    start, folder = time.perf_counter(), work / f"{of}-{key.damage}-{key.seed}"
    known, clean = (x[:limit] for x, limit in zip(images(data, of), (IMAGES[name], RESTORED[name]), strict=True))
    assert key.damage is not None
    band = Corruption.parse(DAMAGE[key.damage][0]).band(tuple(clean.shape[2:]), key.seed)
    config = _configuration(str(band), STEPS[name], key.seed)
    path = train_in_laps(config, folder, resume=folder.exists(), data=Signals(of, damage_of(key, known)))
    seconds = round(time.perf_counter() - start, 1)
    line = _restored(path, band, damage_of(key, clean, HELD_OUT), clean, key.seed)
    laps = [lap for lap in range(1, LAPS + 1) if (folder / f"lap-{lap}" / "judged").exists()]
    shutil.rmtree(folder)
    told = {"data": of, "damage": key.damage, "seed": key.seed, "band": str(band), "images": len(known)}
    return told | {"laps": len(laps), "seconds": seconds} | line


def _restored(path: Path, band: Spectrum, y: Tensor, clean: Tensor, seed: int) -> dict[str, Any]:
    """Figures of held-out images."""
    model, removal = load_model(path), measure(iter(y.double()), band)
    cleaned = y.double() - removal.apply(y.double())
    start = start_of(model, y, Damage.of_band(model, str(band), y), seed, batch_size=128)
    network = fill(model, start.y, start.damage, seed=seed, batch_size=128).images
    images = {"damaged": y, "cleaned": cleaned.float(), "wiener": wiener(y, clean), "network": network}
    # As `sagd restore` decides, which knows no clean image.
    deleted = torch.stack([x - band_part(x, band) for x in y.double()])
    ways = {"damaged": y, **dict(zip(sides.WAYS, (network, cleaned, deleted), strict=True))}
    over = {way: (excess(iter(x.double()), band, removal),) for way, x in ways.items()}
    trials = {way: tuple(values.tolist()) for way, values in errors_of(start.trial).items()}
    told = sides.Sides((f"{len(y)} images",), {}, over, doubt=doubt_of(model), tried=trials)
    return {
        "psnr": {way: psnr(x.clamp(-1, 1), clean) for way, x in images.items()},
        "excess": {way: own[0] for way, own in over.items()},
        "from_cleaned": start.from_cleaned,
        "taken": told.taken,
        "why": told.line(),
    }


def page(lines: Sequence[dict[str, Any]], name: str, about: str) -> str:
    """Errors by set and damage."""
    heads = (
        "images",
        "damage",
        "seed",
        "laps",
        "damaged",
        "cleaned",
        "Wiener, true spectra",
        "network",
        "which is given",
        "taken without clean ones",
    )
    rows = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for x in lines:
        own = (f"{x['psnr'][way]:.1f} dB" for way in WAYS)
        start = "cleaned ones" if x["from_cleaned"] else "damaged ones"
        cells = (f"{x['data']} ({x['images']:,})", x["damage"], str(x["seed"]), str(x["laps"]), *own, start, x["taken"])
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "# Images under damage as it is in life, restored by models that never saw a clean one",
            "",
            about,
            "",
            f"32 x 32, U-Net (16, 32, 32), {STEPS[name]} steps of 32 images a lap, up to {LAPS} laps; PSNR of"
            f" {RESTORED[name]} held-out images. `network` is the mean of 8 draws by the model, given the images under"
            " noise of the measured power or, where trials find that nearer, the cleaned ones. No way knows the"
            " clean images but the Wiener filter.",
            "",
            *rows,
            "",
        ]
    )


def images(data: Path, of: str) -> tuple[Tensor, Tensor]:
    """Images to be damaged and trained on, and others, `(N, C, 32, 32)` in [-1, 1]."""
    if of == "photographs":
        parts = photographs(data, None)
        known, others = (torch.from_numpy(np.asarray(parts[part])).float()[:, None] for part in ("train", "held-out"))
        order = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))
        return known / 127.5 - 1, others[order] / 127.5 - 1
    known, others = (load(DataConfig(source=str(data / f"cifar10-{part}.parquet"))) for part in ("train", "test"))
    return known.some(50_000).tensor(), others.some(10_000).tensor()


def _configuration(band: str, steps: int, seed: int) -> RunConfig:
    return from_dict(
        RunConfig,
        {
            "process": {"omission": {"mode": "cleaned", "band": band, "laps": LAPS}},
            "network": {"widths": [16, 32, 32]},
            "training": {
                "steps": steps,
                "batch_size": 32,
                "lr": 2e-3,
                "warmup_steps": min(50, steps),
                "lr_decay": "none",
                "ema_decay": 0.98,
                "precision": "no",
                "sample_every": 0,
                "checkpoint_every": steps,
                "seed": seed,
            },
        },
    )


def wiener(y: Tensor, clean: Tensor) -> Tensor:
    """By the spectra of the clean images and of the damage that these were given, mean by mean."""
    basis, mean = FourierBasis(tuple(y.shape[2:])), clean.double().mean(0)
    s, n = (basis.forward(z.double() - z.double().mean(0)).abs().square().mean(0) for z in (clean, y - clean))
    off = (y - clean).double().mean(0)
    return (mean + basis.inverse(s / (s + n) * basis.forward(y.double() - mean - off))).float()
