"""One run: train an arm with one seed, draw from it in every way it asks for, and measure."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.quality import dropin
from benchmarks.quality.scales import Budget, reference_data, training_data
from benchmarks.quality.studies import STUDIES, Arm
from sagd.build.schema import EvaluationConfig, RunConfig, TrainingConfig
from sagd.build.text import to_dict
from sagd.data.images import image_grid, to_uint8, to_unit_range
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.metrics import ClassifierFeatures, FeatureExtractor, TorchScriptFeatures, evaluate
from sagd.networks.config import NetworkConfig
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.damage import Ring
from sagd.random import generator_for, randn
from sagd.store.model import Trained, load_model
from sagd.study.evaluation import draw_samples
from sagd.study.train import train

SHOWN = 10
"""Samples of each arm that the results keep."""
_FLOOR_SEED = 0
_CLASSIFIED = 20_000
"""Images that the feature classifier is trained on, at most."""


@dataclass(frozen=True)
class Features:
    """An Inception network, or another, as a TorchScript file of RGB images in 0 to 255.

    Attributes:
        path: The file.
        sha256: Its checksum.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class Job:
    """What a run is identified by."""

    study: str
    data: str
    arm: str
    seed: int


class Bench:
    """Data, features and budget that the runs of one data set share.

    Args:
        study: Name of the study.
        data: Name of the data set.
        budget: What every arm gets.
        folder: Folder with parquet files.
        work: Folder for runs, which may be continued, and features.
        features: Further feature extractors.
    """

    def __init__(
        self,
        study: str,
        data: str,
        budget: Budget,
        folder: Path | None,
        work: Path,
        features: tuple[Features, ...] = (),
    ) -> None:
        self.study, self.name, self.budget, self.work, self.files = study, data, budget, work, features
        self.low = STUDIES[study].overwritten
        self.config = training_data(data, folder, budget)
        self.data = overwritten(load(self.config), self.low, 0)
        self.held_out = overwritten(load(reference_data(data, folder, budget)), self.low, 1)

    @cached_property
    def extractors(self) -> dict[str, FeatureExtractor]:
        """Name -> extractor: the data set's own classifier first."""
        assert self.data.labels is not None
        some = self.data.some(_CLASSIFIED)
        classes = len(self.data.classes or ())
        own = ClassifierFeatures.train_or_load(some.tensor(), some.labels, classes, self.work / "features")
        others = {f"{f.path.stem}": TorchScriptFeatures(str(f.path), f.sha256, (0.0, 255.0), 3) for f in self.files}
        return {"classifier": own, **others}

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Train, draw and measure; the line of the results."""
        start, drawn = time.perf_counter(), 0.0
        folder = self.work / f"{self.study}-{self.name}-{_digest(arm, self.budget, seed)}"
        evaluations: dict[str, Any] = {}
        floor: dict[str, Any] = {}
        samples = torch.empty(0)
        for part in arm.parts:
            model = self._train(arm, seed, folder, part)
            begun = time.perf_counter()
            for label, sampling in arm.samplings.items():
                samples = self._draw(arm, model, sampling, seed)
                name = label if len(arm.parts) == 1 else f"{label}, {self._images(part):,} images"
                measured = self._measure(samples)
                evaluations[name], floor = measured["figure"], measured["floor"]
            drawn += time.perf_counter() - begun
        shutil.rmtree(folder, ignore_errors=True)
        return {
            "study": self.study,
            "data": self.name,
            "arm": arm.name,
            "seed": seed,
            "group": arm.group,
            "value": arm.value,
            "reference": arm.reference,
            "process": to_dict(arm.noise),
            "denoiser": to_dict(arm.denoiser),
            "evaluations": evaluations,
            "floor": floor,
            "samples": picture(samples[:SHOWN]),
            "seconds": {
                "training": round(time.perf_counter() - start - drawn, 1),
                "sampling and measuring": round(drawn, 1),
            },
        }

    def _train(self, arm: Arm, seed: int, folder: Path, part: float) -> Any:
        """A model, or what diffusers' loop leaves."""
        steps = max(1, round(part * self.budget.steps))
        config = self.run_config(arm, seed, steps)
        if arm.loop == "diffusers":
            return dropin.train(config, self.data)
        begun = (folder / "checkpoints").is_dir()
        if not begun:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.redirect_stderr(io.StringIO()):
            return load_model(train(config, folder, resume=begun, data=self.data))

    def run_config(self, arm: Arm, seed: int, steps: int) -> RunConfig:
        """The whole configuration of a run."""
        b = self.budget
        return RunConfig(
            data=self.config,
            process=arm.noise,
            network=NetworkConfig(widths=b.widths, attention=b.attention),
            denoiser=arm.denoiser,
            training=TrainingConfig(
                steps=steps,
                batch_size=b.batch_size,
                lr=b.lr,
                warmup_steps=min(50, b.steps),
                lr_decay="none",
                ema_decay=b.ema,
                precision=b.precision,  # type: ignore[arg-type]
                sample_every=0,
                checkpoint_every=max(100, b.steps // 20),
                keep_checkpoints=1,
                log_every=max(1, b.steps // 10),
                seed=seed,
            ),
            sampling=next(iter(arm.samplings.values())),
        )

    def _draw(self, arm: Arm, model: Any, sampling: Any, seed: int) -> Tensor:
        """Samples as the data has them: 256 levels."""
        if arm.loop == "diffusers":
            return to_unit_range(to_uint8(dropin.draw(model, self.budget.samples, sampling.steps, seed)))
        assert isinstance(model, Trained)
        if torch.accelerator.is_available():
            model.plain.module.to(torch.accelerator.current_accelerator())
        count = EvaluationConfig(samples=self.budget.samples, batch_size=250)
        return draw_samples(model, self.data, sampling, count, seed, progress=False)

    def _measure(self, samples: Tensor) -> dict[str, Any]:
        """Figures by every extractor, and the error of the spectrum by band; of samples and of real images."""
        measured: dict[str, Any] = {"figure": {}, "floor": {}}
        reference = self.real(2 * len(samples))
        for name, extractor in self.extractors.items():
            found = evaluate(samples, reference, extractor, seed=_FLOOR_SEED, resamples=0).to_dict()
            for which, of in measured.items():
                values = found[which]
                of[name] = {key: _short(values[key]) for key in ("frechet", "precision", "recall")}
                of[name]["kernel"] = _short(values["kernel"]["value"])
                spectral = values["spectral"]
                of["spectral"] = {"rms_db": _short(spectral["rms_db"]), "error": list(map(_short, spectral["error"]))}
        return measured

    def real(self, count: int) -> Tensor:
        """Images that samples are compared with."""
        return self.held_out.some(count, _FLOOR_SEED).tensor()

    def _images(self, part: float) -> int:
        return max(1, round(part * self.budget.steps)) * self.budget.batch_size


def overwritten(data: Signals, low: float, stream: int) -> Signals:
    """The data with its band below `low` replaced by noise as strong as a pixel varies; as it is at 0."""
    if low == 0:
        return data
    basis, g = FourierBasis(data.shape[1:]), generator_for(0, "overwritten", stream)
    b, x = mask(Ring(0.0, low), basis), data.tensor()
    level, out = float(x.std()), []
    for part in x.split(4096):
        noise = level * randn(part.shape, g, torch.float64)
        out.append((part + basis.inverse(b * basis.forward(noise - part.double()))).float().clamp(-1, 1))
    return Signals(data.name, torch.cat(out), data.labels, data.classes)


def _short(value: float | None) -> float | None:
    """Five digits: more than any of these figures is known to."""
    return None if value is None else float(f"{value:.5g}")


def picture(x: Tensor) -> str:
    """Samples in a row as PNG in base64."""
    buffer = io.BytesIO()
    image_grid(x, len(x)).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _digest(arm: Arm, budget: Budget, seed: int) -> str:
    return hashlib.sha256(json.dumps([repr(arm), repr(budget), seed]).encode()).hexdigest()[:16]
