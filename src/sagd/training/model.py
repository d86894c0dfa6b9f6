"""Model directories: what is needed to sample, and nothing else.

    config.json             configuration, forward process, data, versions
    model.safetensors       averaged weights; its metadata holds the fingerprint of the forward process
    statistics.safetensors  mean and power spectrum of the training data, in the basis of the noise; calibration of a
                            hidden band
    manifest.json           sha256 of each file

Weights belong to the process they were trained with. Its fingerprint travels inside the weights file, so that a
configuration edited to another spectrum or schedule is refused.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sagd.basis import Basis
from sagd.build import alike, build_process, process_from_dict
from sagd.config import RunConfig, from_dict, to_dict
from sagd.denoiser import NetworkDenoiser
from sagd.errors import CheckpointError, InputError, ProcessMismatchError
from sagd.nn import build_network
from sagd.process import Process
from sagd.resampling import BandDenoiser, input_channels
from sagd.statistics import DataStatistics
from sagd.training.storage import (
    MANIFEST,
    REPLACED,
    read_json,
    read_manifest,
    to_json,
    to_safetensors,
    verify_file,
    write_directory,
)

CONFIG, WEIGHTS, STATISTICS = "config.json", "model.safetensors", "statistics.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        denoiser: `E[x_0 | x_t]` from the averaged weights, in evaluation mode.
        process: Forward process it was trained with.
        config: Configuration of its training run.
        statistics: Mean and power spectrum of the training data.
        classes: Class names of a conditional model, in label order; else None.
    """

    denoiser: NetworkDenoiser
    process: Process
    config: RunConfig
    statistics: DataStatistics
    classes: tuple[str, ...] | None


def build_denoiser(
    config: RunConfig,
    network: nn.Module,
    process: Process,
    statistics: DataStatistics,
    num_classes: int | None,
    guidance: float = 1.0,
    calibration: Tensor | None = None,
) -> NetworkDenoiser:
    """The denoiser that a configuration makes of a network; `num_classes` as for `build_network`."""
    # Standard deviation of all data values: spread about the mean image, and of the mean image itself.
    data_std = math.sqrt(statistics.variance + float(statistics.mean.var(correction=0)))
    prediction, bands = config.denoiser.prediction, config.denoiser.bands
    given = (network, process, prediction, data_std, num_classes, guidance, statistics, calibration)
    if bands == "none":
        return NetworkDenoiser(*given)
    return BandDenoiser(*given, bands=bands, basis=statistics.basis)


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
        "data": {"shape": list(process.shape), "range": [-1, 1], "classes": None if classes is None else list(classes)},
        "versions": versions(),
    }
    moments = {"mean": statistics.mean, "spectrum": statistics.spectrum}
    if calibration is not None:
        moments["calibration"] = calibration
    files = (
        (CONFIG, to_json(described)),
        (WEIGHTS, to_safetensors(network.state_dict(), {"process": fingerprint(process)})),
        (STATISTICS, to_safetensors(moments, _statistics_metadata(statistics))),
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
        CheckpointError: If files are missing, damaged, or no model.
    """
    folder = _find(Path(path))
    sums = read_manifest(folder)
    for name in (WEIGHTS, STATISTICS):
        verify_file(folder / name, sums.get(name))
    described = read_json(folder / CONFIG)
    try:
        config = from_dict(RunConfig, described["config"])
        shape, classes = described["data"]["shape"], described["data"]["classes"]
        trained = process_from_dict(described["process"])
        statistics, calibration = _read_statistics(folder / STATISTICS)
        measured = statistics if tuple(statistics.mean.shape) == tuple(shape) else None
        configured = build_process(config.process, shape, measured, classes)
    except (KeyError, TypeError, InputError) as error:
        raise CheckpointError(f"{str(folder / CONFIG)!r} does not describe a model: {error}") from None
    _refuse_mismatch(folder, trained, configured, process)
    verify_file(folder / CONFIG, sums.get(CONFIG))

    num_classes = None if classes is None else len(classes)
    inputs = input_channels(config.denoiser.bands, shape[0])
    network = build_network(config.network, shape[0], shape[1:], num_classes, inputs=inputs)
    try:
        network.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except RuntimeError as error:
        wrote = described.get("versions", {}).get("diffusers")
        raise CheckpointError(
            f"weights in {str(folder)!r} do not fit the network that diffusers {versions()['diffusers']} builds;"
            f" they were written with diffusers {wrote}: install that"
        ) from error
    network.to(device).eval().requires_grad_(False)
    denoiser = build_denoiser(config, network, trained, statistics, num_classes, guidance, calibration)
    return Model(denoiser, trained, config, statistics, None if classes is None else tuple(classes))


def fingerprint(process: Process) -> str:
    """Checksum of a process's description."""
    return hashlib.sha256(json.dumps(process.to_dict(), sort_keys=True).encode()).hexdigest()


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


def _refuse_mismatch(folder: Path, trained: Process, configured: Process, expected: Process | None) -> None:
    with safetensors.safe_open(folder / WEIGHTS, "pt") as file:
        metadata = file.metadata() or {}
    intact = metadata.get("process") == fingerprint(trained)
    if not intact or not alike(configured.to_dict(), trained.to_dict()):
        # With the described process as it was, the configuration is what was changed.
        changed = configured if intact else trained
        raise ProcessMismatchError(
            f"{str(folder / CONFIG)!r} was changed to {changed.label}, which is not what its weights were"
            " trained with; restore it, or train a model with that process"
        )
    if expected is not None and not alike(expected.to_dict(), trained.to_dict()):
        own, other = trained.label, expected.label
        how = f"not with {other}" if own != other else "not with another of the same kind"
        raise ProcessMismatchError(
            f"model {str(folder)!r} was trained with {own}, {how}; train a model with that process"
        )


def _statistics_metadata(statistics: DataStatistics) -> dict[str, str]:
    return {"count": str(statistics.count), "basis": json.dumps(statistics.basis.to_dict())}


def _read_statistics(path: Path) -> tuple[DataStatistics, Tensor | None]:
    """The statistics, and the calibration of a hidden band if there is one."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
        basis = Basis.from_dict(json.loads(metadata["basis"]))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    statistics = DataStatistics(tensors["mean"], tensors["spectrum"], int(metadata["count"]), basis)
    return statistics, tensors.get("calibration")
