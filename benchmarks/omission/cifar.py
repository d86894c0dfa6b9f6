"""Rain, moire and scan lines on CIFAR-10: restoration by `fill` against classical filters.

One model per corruption, trained on damaged images alone. Held-out images are restored by

    damaged         nothing at all
    notch           the band replaced by its mean
    wiener          the Wiener filter of the measured spectrum of damaged images and the known spectrum of the damage
    nl_means        non-local means (scikit-image), its strength chosen on other images with the clean ones at hand
    fill            the model

PSNR and SSIM are of values clipped to [-1, 1], against the clean images.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import records
from benchmarks.omission.mnist import restored_by
from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt
from sagd.data.load import load
from sagd.noise.bands import mask
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics, measure
from sagd.store.model import load_model
from sagd.study.train import train

CORRUPTIONS = {
    "rain": "rain(level=0.25)",
    "moire": "moire(waves=3, level=0.4)",
    "scan_lines": "scan_lines(level=0.4)",
}
_STRENGTHS = (0.4, 0.6, 0.8, 1.2, 1.8)
"""Filter strengths of non-local means to choose from, in standard deviations of the noise."""
_CHOICE = 24
"""Images on which it is chosen."""


@dataclass(frozen=True)
class Scale:
    """How much is computed."""

    images: int
    steps: int
    batch_size: int
    widths: tuple[int, ...]
    test: int


SCALES = {
    "quick": Scale(200, 4, 16, (8, 16), 16),
    "cpu": Scale(50_000, 1000, 32, (24, 48, 48), 500),
    "paper": Scale(50_000, 100_000, 128, (64, 128, 256), 10_000),
}


def study(data: Path, out: Path, work: Path, name: str) -> Path:
    """Restore under every corruption and write `out/cifar-NAME.jsonl`; finished lines are kept."""
    path = out / f"cifar-{name}.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    known = [line["corruption"] for line in records.read(path)]
    for kind, text in CORRUPTIONS.items():
        if kind not in known:
            records.append(path, run(kind, text, SCALES[name], data, work))
    return path


def run(kind: str, text: str, scale: Scale, data: Path, work: Path, seed: int = 0) -> dict[str, Any]:
    """Train on images under one corruption, restore others, measure."""
    start, corruption = time.perf_counter(), Corruption.parse(text)
    clean = load(DataConfig(source=str(data / "cifar10-test.parquet"))).some(scale.test + _CHOICE).tensor()
    # Places beyond those of the training images: their damage is its own.
    damaged = corrupt(clean, corruption, seed, torch.arange(len(clean)) + 10**6)
    chosen, clean, choice, damaged = clean[:_CHOICE], clean[_CHOICE:], damaged[:_CHOICE], damaged[_CHOICE:]
    folder = work / kind
    shutil.rmtree(folder, ignore_errors=True)
    config = configuration(text, str(corruption.band(tuple(clean.shape[2:]), seed)), scale, data, seed)
    model = load_model(train(config, folder))
    seconds = time.perf_counter() - start
    band = Spectrum.parse(config.process.omission.band)
    own = measure(load(config.data).some(5000).tensor())
    noise = corruption.spectrum(tuple(clean.shape[1:]), seed)
    strength = best_strength(choice, chosen, noise)
    methods: dict[str, Callable[[], Tensor]] = {
        "damaged": lambda: damaged,
        "notch": lambda: notch(damaged, band, own),
        "wiener": lambda: wiener(damaged, own, noise),
        "nl_means": lambda: nl_means(damaged, strength, noise),
        "fill": lambda: restored_by(model, damaged),
    }
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "corruption": kind,
        "text": text,
        "band": str(band),
        "nl_means_strength": strength,
        "seconds": round(seconds, 1),
        "images": len(clean),
        "methods": {method: scores(restored(), clean) for method, restored in methods.items()},
    }


def configuration(text: str, band: str, scale: Scale, data: Path, seed: int) -> RunConfig:
    return from_dict(
        RunConfig,
        {
            "data": {
                "source": str(data / "cifar10-train.parquet"),
                "limit": scale.images,
                "corruption": text,
                "corruption_seed": seed,
            },
            "process": {"schedule": "cosine", "omission": {"mode": "fill", "band": band}},
            "network": {"widths": list(scale.widths)},
            "denoiser": {"prediction": "edm", "time": "uniform"},
            "training": {
                "steps": scale.steps,
                "batch_size": scale.batch_size,
                "lr": 2e-3,
                "warmup_steps": min(50, scale.steps),
                "lr_decay": "none",
                "ema_decay": 0.995,
                "sample_every": 0,
                "checkpoint_every": scale.steps,
                "seed": seed,
            },
        },
    )


def notch(y: Tensor, band: Spectrum, statistics: DataStatistics) -> Tensor:
    """The band replaced by the mean of the data."""
    basis = statistics.basis
    b, mean = mask(band, basis), statistics.mean
    return (y - basis.inverse(b * basis.forward(y.double() - mean))).float()


def wiener(y: Tensor, statistics: DataStatistics, noise: Tensor) -> Tensor:
    """The linear filter of least error for data of the measured spectrum less that of the noise."""
    basis, power = statistics.basis, statistics.spectrum
    gain = (power - noise).clamp(min=0) / power.clamp(min=1e-12)
    return (statistics.mean + basis.inverse(gain * basis.forward(y.double() - statistics.mean))).float()


def nl_means(y: Tensor, strength: float, noise: Tensor) -> Tensor:
    """Non-local means with patches of 5 x 5 in a window of 13 x 13."""
    from skimage.restoration import denoise_nl_means

    sigma = math.sqrt(float(noise.mean()))
    done = [
        denoise_nl_means(
            image.permute(1, 2, 0).numpy(),
            patch_size=5,
            patch_distance=6,
            h=strength * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=-1,
        )
        for image in y
    ]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1).float() for image in done])


def best_strength(y: Tensor, clean: Tensor, noise: Tensor) -> float:
    """The strength of non-local means with the least error on these images."""
    errors = {h: float((nl_means(y, h, noise) - clean).square().mean()) for h in _STRENGTHS}
    return min(errors, key=errors.__getitem__)


def scores(x: Tensor, clean: Tensor) -> dict[str, float]:
    """Mean PSNR in dB, mean SSIM, and their standard errors over images."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    x = x.clamp(-1, 1)
    psnr = 10 * torch.log10(4 / (x - clean).square().flatten(1).mean(1).clamp(min=1e-10))
    similarity = ssim(x, clean, data_range=2.0, reduction="none")
    assert isinstance(similarity, Tensor)
    root = math.sqrt(len(x))
    return {
        "psnr": float(psnr.mean()),
        "psnr_error": float(psnr.std()) / root,
        "ssim": float(similarity.mean()),
        "ssim_error": float(similarity.std()) / root,
    }
