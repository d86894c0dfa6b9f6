"""Table 2 of the paper on MNIST: eight bands, unit-variance band noise, and what share of the gap each mode closes.

Every arm trains the same network for the same number of steps and images:

    clean       white diffusion on clean images
    corrupted   white diffusion on corrupted images
    project, fill, deconvolve
                the modes of `process.omission`
    refilled    half of the steps `fill`, then white diffusion on the images that it restored, from its weights

The corruption is Gaussian noise in the band, of unit variance per pixel, drawn once per image: no arm but `clean` ever
sees a clean image. Samples are compared with clean test images by the Fréchet distance of the features of a classifier
trained on clean images; `(corrupted - mode) / (corrupted - clean)` is the share of the gap closed.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import records
from sagd.build.draw import draw
from sagd.build.objects import omission_mode
from sagd.build.schema import OmissionConfig, RunConfig
from sagd.build.text import from_dict, to_dict
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.metrics import ClassifierFeatures, frechet_distance
from sagd.networks.config import NetworkConfig
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.bands import BandPass
from sagd.omission.restore import restore
from sagd.random import generator_for, randint, randn
from sagd.store.model import Trained, load_model
from sagd.study.train import train

ARMS = ("clean", "corrupted", "project", "fill", "refilled", "deconvolve")
RESTORING = ("project", "fill", "deconvolve")
BANDS = tuple((k / 10, (k + 1) / 10) for k in range(1, 9))
_TRAIN, _TEST = 1, 2
"""Streams of the corruption: training and test images."""


@dataclass(frozen=True)
class Scale:
    """How much is computed; the same for all arms.

    Attributes:
        images: Training images.
        steps: Optimiser steps.
        batch_size: Images per step.
        widths: U-Net channels per level.
        lr: Peak learning rate.
        ema: Decay of the averaged weights.
        precision: Of the network in training.
        sampler: Sampler.
        sampling_steps: Its steps.
        samples: Images drawn, and test images restored.
        reference: Clean test images they are compared with.
        seeds: Seeds of the runs.
    """

    images: int
    steps: int
    batch_size: int
    widths: tuple[int, ...]
    lr: float
    ema: float
    precision: str
    sampler: str
    sampling_steps: int
    samples: int
    reference: int
    seeds: tuple[int, ...]


SCALES = {
    "quick": Scale(200, 6, 16, (8, 16), 2e-3, 0.9, "no", "dpm_solver", 3, 80, 80, (0,)),
    "cpu": Scale(60_000, 800, 32, (16, 32, 32), 2e-3, 0.995, "no", "dpm_solver", 12, 1000, 5000, (0, 1, 2)),
    "paper": Scale(60_000, 100_000, 128, (64, 128, 256), 2e-4, 0.9999, "no", "heun", 18, 5000, 5000, (0, 1, 2)),
}


@dataclass(frozen=True)
class Key:
    """One run: what identifies a line of the results."""

    arm: str
    band: tuple[float, float] | None
    seed: int
    precision: str


def keys(scale: Scale, bands: tuple[tuple[float, float], ...]) -> Iterator[Key]:
    """All runs, seed by seed, so that what is there after an interruption is whole."""
    for seed in scale.seeds:
        yield Key("clean", None, seed, scale.precision)
        for band in bands:
            for arm in ARMS[1:]:
                yield Key(arm, band, seed, scale.precision)


def study(
    data: Path, out: Path, work: Path, scale: Scale, name: str, bands: tuple[tuple[float, float], ...] = BANDS
) -> Path:
    """Run what is missing of the study and write `out/mnist-NAME.jsonl`; returns it.

    Args:
        data: Folder with `mnist-train.parquet` and `mnist-test.parquet`.
        out: Where results go.
        work: Where runs and features are kept.
        scale: How much is computed.
        name: Its name.
        bands: Bands, in fractions of the corner radius.
    """
    path = out / f"mnist-{name}.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    missing = [key for key in keys(scale, bands) if key not in set(done(path))]
    if not missing:
        return path
    bench = Bench(data, work, scale)
    for key in tqdm(missing, desc="runs", disable=None):
        records.append(path, bench.run(key))
    return path


def done(path: Path) -> list[Key]:
    """Runs whose results are there."""
    return [Key(x["arm"], x["band"] and tuple(x["band"]), x["seed"], x["precision"]) for x in records.read(path)]


class Bench:
    """Data, features and references that all runs share."""

    def __init__(self, data: Path, work: Path, scale: Scale, name: str = "mnist") -> None:
        self.scale, self.work, self.name = scale, work, name
        self.train = load(DataConfig(source=str(data / f"{name}-train.parquet"), limit=scale.images))
        test = load(DataConfig(source=str(data / f"{name}-test.parquet")))
        some = self.train.some(20_000)
        self.features = ClassifierFeatures.train_or_load(some.tensor(), some.labels, 10, work / "features")
        held_out = test.some(len(test)).tensor()
        self.held_out = held_out[: scale.samples]
        self.reference = self.features(held_out[len(held_out) // 2 :][: scale.reference])
        self.floor = frechet_distance(self.features(self.held_out), self.reference)

    def run(self, key: Key) -> dict[str, Any]:
        """Train, sample and measure one run."""
        start, folder = time.perf_counter(), self.work / f"{key.arm}-{key.band}-{key.seed}"
        shutil.rmtree(folder, ignore_errors=True)
        model_path, config = self._train(key, folder)
        trained = time.perf_counter()
        model = load_model(model_path)
        line: dict[str, Any] = {
            **asdict(key),
            **self.figures(self.drawn(model, config, key.seed)),
            "seconds": {"training": round(trained - start, 1), "sampling": round(time.perf_counter() - trained, 1)},
        }
        if key.arm in RESTORING and key.band is not None:
            damaged = self.held_out + band_noise(key.band, len(self.held_out), key.seed, _TEST)
            restored = restored_by(model, damaged)
            line["restored"] = self._restored(key.band, damaged, restored)
        shutil.rmtree(folder, ignore_errors=True)
        return line

    def _train(self, key: Key, folder: Path) -> tuple[Path, RunConfig]:
        clean = self.train.tensor()
        if key.band is None:
            return train(self.config(key.seed), folder, data=self.data(clean)), self.config(key.seed)
        damaged = clean + band_noise(key.band, len(clean), key.seed, _TRAIN)
        if key.arm != "refilled":
            config = self.config(key.seed, omission(key.arm, key.band))
            return train(config, folder, data=self.data(damaged)), config
        half = self.scale.steps // 2
        first = self.config(key.seed, omission("fill", key.band), steps=half)
        path = train(first, folder / "fill", data=self.data(damaged))
        model = load_model(path)
        # Only images that the second half comes to see need restoring; the order of the data is the seed's.
        seen = damaged[: half * self.scale.batch_size]
        restored = restored_by(model, seen)
        second = self.config(key.seed, steps=self.scale.steps - half, init=str(path))
        return train(second, folder / "refilled", data=self.data(restored)), second

    def config(self, seed: int, left_out: OmissionConfig | None = None, **training: Any) -> RunConfig:
        """Of a run that leaves something out, or nothing."""
        s = self.scale
        config = from_dict(
            RunConfig,
            {
                "process": {"schedule": "cosine"},
                "network": to_dict(NetworkConfig(widths=s.widths)),
                "denoiser": {"prediction": "edm", "time": "uniform"},
                "training": {
                    "steps": s.steps,
                    "batch_size": s.batch_size,
                    "lr": s.lr,
                    "warmup_steps": min(50, s.steps),
                    "lr_decay": "none",
                    "ema_decay": s.ema,
                    "precision": s.precision,
                    "sample_every": 0,
                    "checkpoint_every": s.steps,
                    "keep_checkpoints": 1,
                    "seed": seed,
                    **training,
                },
                "sampling": {"sampler": s.sampler, "steps": s.sampling_steps},
            },
        )
        return replace(config, process=replace(config.process, omission=left_out or OmissionConfig()))

    def data(self, x: Tensor) -> Signals:
        """Images to train on."""
        return Signals(self.name, x)

    def drawn(self, model: Trained, config: RunConfig, seed: int) -> Tensor:
        """Samples of a model, as a run is configured to draw them."""
        count, statistics = self.scale.samples, model.statistics
        return draw(model.denoiser, count, config.sampling, seed=seed, statistics=statistics, batch_size=250)

    def figures(self, samples: Tensor) -> dict[str, float]:
        """How far samples are from clean images, how sure that is, and how far clean ones are from others."""
        return {
            "frechet": self.distance(samples),
            "standard_error": self.standard_error(samples),
            "floor": self.floor,
        }

    def distance(self, x: Tensor) -> float:
        """To clean test images."""
        return frechet_distance(self.features(x.clamp(-1, 1)), self.reference)

    def standard_error(self, x: Tensor, resamples: int = 100) -> float:
        """Of the distance, by bootstrap of the samples."""
        features = self.features(x.clamp(-1, 1))
        g = generator_for(0, "bootstrap")
        again = [
            frechet_distance(features[randint(len(features), (len(features),), g)], self.reference)
            for _ in range(resamples)
        ]
        return float(torch.tensor(again).std())

    def _restored(self, band: tuple[float, float], damaged: Tensor, restored: Tensor) -> dict[str, float]:
        basis = FourierBasis(tuple(damaged.shape[2:]))
        b = mask(ring(band), basis)

        def in_band(x: Tensor) -> Tensor:
            return basis.inverse(b * basis.forward(x.double()))

        power = in_band(self.held_out - self.held_out.mean(0)).square().mean()
        removed = damaged - in_band(damaged).float()
        return {
            "frechet": self.distance(restored),
            "frechet_damaged": self.distance(damaged),
            "frechet_removed": self.distance(removed),
            "psnr": psnr(restored, self.held_out),
            "psnr_damaged": psnr(damaged, self.held_out),
            "psnr_removed": psnr(removed, self.held_out),
            # Share of the band's power that the model does not know: 0 is perfect, 1 is the mean image.
            "unexplained": float(in_band(restored - self.held_out).square().mean() / power),
            "damage_over_signal": float(in_band(damaged - self.held_out).square().mean() / power),
        }


def restored_by(model: Trained, damaged: Tensor) -> Tensor:
    """By the mode of a model, its band as it was trained to leave it out."""
    mode = omission_mode(model.omission, model.meaning.grid())
    assert mode is not None
    return restore(model.denoiser, damaged, mode, model.statistics, batch_size=250).images


def ring(band: tuple[float, float]) -> str:
    return f"ring(low={band[0]}, high={band[1]})"


def deviation(band: tuple[float, float], spatial: tuple[int, ...] = (28, 28)) -> float:
    """Standard deviation by frequency of band noise with unit variance per pixel."""
    basis = FourierBasis(spatial)
    share = (BandPass(*band).weights(basis.frequencies()) * basis.multiplicity()).sum() / math.prod(spatial)
    return float(share) ** -0.5


def omission(arm: str, band: tuple[float, float]) -> OmissionConfig:
    """What an arm leaves out."""
    if arm == "corrupted":
        return OmissionConfig()
    c = f"band_pass(low={band[0]}, high={band[1]}, inside={deviation(band)})"
    return from_dict(
        OmissionConfig,
        {"mode": arm, "band": ring(band), "floor": 1.0} | ({"corruption": c} if arm == "deconvolve" else {}),
    )


def band_noise(band: tuple[float, float], count: int, seed: int, stream: int) -> Tensor:
    """Gaussian noise of unit variance per pixel in a band, `(count, 1, 28, 28)`."""
    basis, g = FourierBasis((28, 28)), generator_for(seed, "band noise", stream)
    b = deviation(band) * BandPass(*band).weights(basis.frequencies()).float()
    parts = [
        basis.inverse(b * basis.forward(randn((n, 1, 28, 28), g)))
        for n in [4096] * (count // 4096) + [count % 4096]
        if n
    ]
    return torch.cat(parts)


def psnr(x: Tensor, clean: Tensor) -> float:
    return 10 * math.log10(4 / float((x - clean).square().mean()))
