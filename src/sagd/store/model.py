"""Model directories: what is needed to sample, and nothing else.

    config.json             configuration, forward process, data, versions
    model.safetensors       averaged weights; its metadata holds the fingerprint of all else that decides the samples
    statistics.safetensors  mean and power spectrum of the training data, in the basis of the noise; calibration of an
                            unseen band
    manifest.json           sha256 of each file

Weights belong to the process, network, prediction and statistics they were trained with. A fingerprint of these travels
inside the weights file, so that a configuration edited to another spectrum or prediction is refused, whatever the
manifest says. Where the model came from (data source, training budget, versions) is no part of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sagd.build.objects import build_process
from sagd.build.schema import RunConfig
from sagd.build.text import from_dict, to_dict
from sagd.errors import CheckpointError, InputError, ProcessMismatchError, one_line
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.wrappers import Calibrated, Guided
from sagd.networks.build import build_network
from sagd.networks.weights import UNREADABLE, check_layout, check_numbers
from sagd.noise.basis.base import Basis
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.process.description import alike, process_from_dict
from sagd.resampling.bands import BandLaw, BandModel, image_channels
from sagd.store.files import (
    MANIFEST,
    REPLACED,
    read_json,
    read_manifest,
    read_tensors,
    reading,
    to_json,
    to_safetensors,
    verify_file,
    write_directory,
)

CONFIG, WEIGHTS, STATISTICS = "config.json", "model.safetensors", "statistics.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_RANGE = (-1.0, 1.0)

# Metadata of the tensors' files. One key each: safetensors writes several in an order that differs from run to run.
_FINGERPRINT, _MEASURED = "fingerprint", "measured"

# Parts of config.json that decide the samples; those of the first line also what the noise is.
_NOISE = ("process", "config.process", "data")
_DECISIVE = (*_NOISE, "config.network", "config.denoiser", "config.sampling")


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        denoiser: `E[x_0 | x_t]` from the averaged weights, in evaluation mode; a `BandModel` if it resamples bands.
        network: The network alone.
        process: Forward process it was trained with.
        config: Configuration of its training run.
        statistics: Mean and power spectrum of the training data.
        classes: Class names of a conditional model, in label order; else None.
        calibration: That of the unseen band, if there is one.
    """

    denoiser: Denoiser
    network: nn.Module
    process: Process
    config: RunConfig
    statistics: DataStatistics
    classes: tuple[str, ...] | None
    calibration: Tensor | None = None

    def guided(self, scale: float) -> Denoiser:
        """The denoiser with that classifier-free guidance scale.

        Raises:
            InputError: If the scale is not 1 and the model is unconditional.
        """
        classes = None if self.classes is None else len(self.classes)
        return build_denoiser(
            self.config, self.network, self.process, self.statistics, classes, scale, self.calibration
        )


def network_denoiser(
    config: RunConfig, network: nn.Module, process: Process, statistics: DataStatistics, num_classes: int | None
) -> NetworkDenoiser:
    """The denoiser to train that a configuration makes of a network; `num_classes` as for `build_network`."""
    # Standard deviation of all data values: spread about the mean image, and of the mean image itself.
    data_std = math.sqrt(statistics.variance + float(statistics.mean.var(correction=0)))
    null = {} if num_classes is None else {"labels": num_classes}
    names = () if config.denoiser.bands == "none" else ("image",)
    return NetworkDenoiser(network, process, config.denoiser.prediction, data_std, null, names, statistics)


def build_denoiser(
    config: RunConfig,
    network: nn.Module,
    process: Process,
    statistics: DataStatistics,
    num_classes: int | None,
    guidance: float = 1.0,
    calibration: Tensor | None = None,
) -> Denoiser:
    """The denoiser to sample from that a configuration makes of a network; `num_classes` as for `build_network`."""
    denoiser: Denoiser = network_denoiser(config, network, process, statistics, num_classes)
    if guidance != 1:
        denoiser = Guided(denoiser, guidance)
    if calibration is not None:
        denoiser = Calibrated(denoiser, calibration, statistics)
    bands = config.denoiser.bands
    return denoiser if bands == "none" else BandModel(denoiser, BandLaw(bands, statistics.basis))


def save_model(
    path: Path,
    network: nn.Module,
    config: RunConfig,
    process: Process,
    statistics: DataStatistics,
    classes: Sequence[str] | None,
    calibration: Tensor | None = None,
) -> Path:
    """Write a model directory, whole or not at all; `classes` are those of a conditional model.

    Raises:
        CheckpointError: If the disk refuses.
    """
    described = {
        "config": to_dict(config),
        "process": process.to_dict(),
        "data": to_dict(_Data(process.shape, _RANGE, None if classes is None else tuple(classes))),
        "versions": versions(),
    }
    moments = {"mean": statistics.mean, "spectrum": statistics.spectrum}
    if calibration is not None:
        moments["calibration"] = calibration
    measured = {"count": statistics.count, "basis": statistics.basis.to_dict()}
    config_file, statistics_file = to_json(described), to_safetensors(moments, {_MEASURED: json.dumps(measured)})
    parts = fingerprint(json.loads(config_file), hashlib.sha256(statistics_file).hexdigest())
    files = (
        (CONFIG, config_file),
        (WEIGHTS, to_safetensors(network.state_dict(), {_FINGERPRINT: json.dumps(parts)})),
        (STATISTICS, statistics_file),
    )
    write_directory(path, files)
    return path


def load_model(
    path: str | Path,
    process: Process | None = None,
    device: torch.device | str = "cpu",
    guidance: float = 1.0,
) -> Model:
    """Read a model directory, or the model of a finished run's directory.

    Args:
        path: Directory.
        process: The forward process you believe the model has.
        device: Where the network goes.
        guidance: Classifier-free guidance scale of the denoiser.

    Raises:
        ProcessMismatchError: If the model was trained with another process than `process`, or than `config.json` says.
        CheckpointError: If files are missing, damaged, no model, or changed since the weights were written.
    """
    folder = _find(Path(path))
    sums = read_manifest(folder)
    for name in (WEIGHTS, STATISTICS):
        verify_file(folder / name, sums.get(name))
    tensors, metadata = read_tensors(folder / WEIGHTS)
    described, parts = _read_description(folder, sums[STATISTICS])
    _refuse_changes(folder, described, parts, _signed(folder / WEIGHTS, metadata), sums.get(CONFIG))
    config, data = described.config, described.data
    with reading(folder / CONFIG, "does not describe a model"):
        trained = process_from_dict(described.process)
        statistics, calibration = _read_statistics(folder / STATISTICS, data.shape)
        configured = build_process(config.process, data.shape, statistics, data.classes)
    if not alike(configured.to_dict(), trained.to_dict()):
        raise _changed(folder, configured.label)
    if process is not None and not alike(process.to_dict(), trained.to_dict()):
        raise _not_trained_with(folder, trained, process)

    num_classes = None if data.classes is None else len(data.classes)
    beside = 0 if config.denoiser.bands == "none" else image_channels(data.shape[0])
    with reading(folder / CONFIG, "does not describe a model"):
        network = build_network(config.network, data.shape[0], data.shape[1:], num_classes, beside=beside)
        denoiser = build_denoiser(config, network, trained, statistics, num_classes, guidance, calibration)
    _fill(network, tensors, folder / WEIGHTS, described.versions)
    network.to(device).eval().requires_grad_(False)
    return Model(denoiser, network, trained, config, statistics, data.classes, calibration)


def fingerprint(described: dict[str, Any], statistics: str) -> dict[str, str]:
    """Checksum by part of all that decides the samples, but for the weights.

    Args:
        described: Content of `config.json`.
        statistics: sha256 of `statistics.safetensors`.
    """
    parts = {name: _part(described, name) for name in _DECISIVE}
    sums = {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}
    return sums | {"statistics": statistics}


def versions() -> dict[str, str]:
    """Versions of Python, sagd and the libraries that results depend on."""
    names = ("sagd", "torch", "diffusers", "accelerate", "numpy", "safetensors")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def _find(path: Path) -> Path:
    """The model directory at `path`."""
    if path.suffix in _PICKLES:
        raise CheckpointError(f"{str(path)!r} is a pickle file, which could run code when read; give a model directory")
    if not path.is_dir():
        raise CheckpointError(f"{str(path)!r} is not a directory; give a run directory or a model directory")
    if (path / MANIFEST).exists():
        return path
    if (path / "model").is_dir():
        return path / "model"
    replaced = path / f"model{REPLACED}"
    if replaced.is_dir():
        warnings.warn(
            f"saving {str(path / 'model')!r} was cut short; reading the model it was to replace", stacklevel=3
        )
        return replaced
    if (path / "checkpoints").is_dir():
        raise CheckpointError(
            f"the run in {str(path)!r} has not finished, it has no model yet; continue it with --resume"
        )
    raise CheckpointError(f"{str(path)!r} holds no model (no {MANIFEST}); give a run directory or a model directory")


@dataclass(frozen=True)
class _Data:
    """The data of a model, as samples are to be like."""

    shape: tuple[int, ...]
    range: tuple[float, ...]
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class _Description:
    """Content of `config.json`."""

    config: RunConfig
    process: dict[str, Any]
    data: _Data
    versions: dict[str, str]


def _read_description(folder: Path, statistics: str) -> tuple[_Description, dict[str, str]]:
    """Content of `config.json`, and the fingerprint that weights trained with it have."""
    content = read_json(folder / CONFIG)
    with reading(folder / CONFIG, "does not describe a model"):
        described = from_dict(_Description, content)
        if described.data.range != _RANGE:
            raise InputError(f"data.range is {list(described.data.range)}, and must be [-1, 1]")
        if len(described.data.shape) < 2 or min(described.data.shape) < 1:
            raise InputError(f"data.shape must hold channels and sides, got {list(described.data.shape)}")
        return described, fingerprint(content, statistics)


def _signed(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The fingerprint in the metadata of weights."""
    with contextlib.suppress(*UNREADABLE):
        signed = json.loads(metadata[_FINGERPRINT])
        if signed.keys() == {*_DECISIVE, "statistics"}:
            return signed
    raise CheckpointError(
        f"{str(path)!r} does not say what it was trained with, as models of this version of sagd do; train it again"
    )


def _refuse_changes(
    folder: Path, described: _Description, parts: dict[str, str], signed: dict[str, Any], config_sum: str | None
) -> None:
    """Refuse files that are not what the weights were trained with."""
    changed = [part for part in parts if parts[part] != signed[part]]
    # Before damage to config.json, of which an edit is the likely cause.
    if {*changed} & {*_NOISE}:
        raise _changed(folder, _changed_noise(folder, described, changed))
    verify_file(folder / CONFIG, config_sum)
    if changed == ["statistics"]:
        raise CheckpointError(
            f"{str(folder / STATISTICS)!r} is not what the weights were trained with; restore it, or train again"
        )
    if changed:
        raise CheckpointError(
            f"{str(folder / CONFIG)!r} was changed in {changed[0]}, which is not what its weights were trained with;"
            " restore it, or train a model with that"
        )


def _part(described: dict[str, Any], name: str) -> Any:
    part: Any = described
    for key in name.split("."):
        part = part[key]
    return part


def _changed_noise(folder: Path, described: _Description, changed: Sequence[str]) -> str:
    """In words, the noise of a configuration that was changed."""
    config, data = described.config, described.data
    if "data" in changed:
        return "data of another shape, range or classes"
    if "config.process" in changed:
        # What was changed may describe nothing at all.
        with contextlib.suppress(*UNREADABLE):
            statistics, _ = _read_statistics(folder / STATISTICS, data.shape)
            process = build_process(config.process, data.shape, statistics, data.classes)
            return "another config.process" if alike(process.to_dict(), described.process) else one_line(process.label)
    return "another process"


def _changed(folder: Path, noise: str) -> ProcessMismatchError:
    return ProcessMismatchError(
        f"{str(folder / CONFIG)!r} was changed to {noise}, which is not what its weights were trained with; restore it,"
        " or train a model with that process"
    )


def _not_trained_with(folder: Path, trained: Process, expected: Process) -> ProcessMismatchError:
    own, other = trained.label, expected.label
    how = f"not with {other}" if own != other else "not with another of the same kind"
    return ProcessMismatchError(f"model {str(folder)!r} was trained with {own}, {how}; train a model with that process")


def _fill(network: nn.Module, tensors: dict[str, Tensor], path: Path, wrote: dict[str, str]) -> None:
    """Load weights into the network that they must fit."""
    try:
        check_layout(tensors, network.state_dict())
    except InputError as error:
        raise CheckpointError(
            f"weights in {str(path)!r} do not fit the network that diffusers {versions()['diffusers']} builds;"
            f" they were written with diffusers {one_line(wrote.get('diffusers'))}: {error}"
        ) from error
    with reading(path):
        check_numbers(tensors)
    network.load_state_dict(tensors)


def _read_statistics(path: Path, shape: tuple[int, ...]) -> tuple[DataStatistics, Tensor | None]:
    """The statistics of data of a shape, and the calibration of an unseen band if there is one."""
    tensors, metadata = read_tensors(path)
    with reading(path):
        measured = json.loads(metadata[_MEASURED])
        basis, count = Basis.from_dict(measured["basis"]), measured["count"]
        if type(count) is not int or count < 2 or basis.spatial != shape[1:] or basis.channels not in (None, shape[0]):
            raise InputError(f"{count!r} samples in {basis} are no statistics of data {shape}")
        shapes = {"mean": shape, "spectrum": (shape[0], *basis.coefficients), "calibration": basis.coefficients}
        needed = {name: torch.empty(size, dtype=torch.float64, device="meta") for name, size in shapes.items()}
        if "calibration" not in tensors:
            del needed["calibration"]
        check_layout(tensors, needed)
        check_numbers(tensors)
        for name in needed.keys() - {"mean"}:
            if tensors[name].min() < 0:
                raise InputError(f"tensor {name!r} is negative")
    return DataStatistics(tensors["mean"], tensors["spectrum"], count, basis), tensors.get("calibration")
