"""Model directories: what is needed to sample, and nothing else.

    model.json              the denoiser: process, prediction, network, data, sampling; and where it came from
    model.safetensors       averaged weights; its metadata holds the fingerprint of all else that decides the samples
    moments.safetensors     mean and power spectrum of the training data, in the basis of the noise, and the law of the
                            powers of unequal items; calibration of a damaged band; what stands for a condition that is
                            left out
    manifest.json           sha256 of each file

Weights belong to the process, network, prediction and statistics they were trained with. A fingerprint of these travels
inside the weights file, so that a description edited to another process or prediction is refused, whatever the
manifest says. Where the model came from (`configuration`, `versions`) decides nothing and is no part of it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import json
import platform
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sagd import plugins
from sagd.build.schema import OmissionConfig, RunConfig, SamplingConfig
from sagd.build.text import from_dict, to_dict
from sagd.data.meaning import Meaning, usual
from sagd.errors import CheckpointError, InputError, ProcessMismatchError, argument, one_line
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.parameterisation import Parameterisation
from sagd.model.wrappers import Calibrated, Guided
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig
from sagd.networks.own import OwnNetwork
from sagd.networks.weights import UNREADABLE, check_layout, check_numbers
from sagd.noise.basis.base import Basis
from sagd.noise.scales import Scales
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.process.description import alike, process_from_dict
from sagd.resampling.bands import BandLaw, BandModel, shown_channels
from sagd.sampling.base import Sampler
from sagd.sampling.grids import TimeGrid
from sagd.store.checkpoint import STATE, latest_checkpoint, load_checkpoint
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

DESCRIPTION, WEIGHTS, MOMENTS = "model.json", "model.safetensors", "moments.safetensors"
_FORMAT = 3
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

# Metadata of the tensors' files. One key each: safetensors writes several in an order that differs from run to run.
LAPS = "laps.yaml"
"""Settings of a training in laps, in its directory."""
_FINGERPRINT, _MEASURED = "fingerprint", "measured"

# Parts of the description that decide the samples.
_DECISIVE = ("process", "prediction", "network", "data", "names", "bands", "omission", "sampling")
_NULL, _SCALES = "null.", "scales."


@dataclass(frozen=True)
class ImportedNetwork:
    """A network of one's own: where its class is found, and what makes another one like it.

    Attributes:
        path: `module:Class`.
        arguments: Keyword arguments of the class, JSON-ready; None if nobody said them.
    """

    path: str
    arguments: dict[str, Any] | None = None

    origin: ClassVar[str] = "import"


@dataclass(frozen=True)
class Trained:
    """A trained model, or one in training.

    Attributes:
        plain: The denoiser that was trained, around its network.
        statistics: Mean and power spectrum of the training data.
        network: What the network is made from.
        sampling: How samples are drawn unless asked otherwise.
        classes: Class names in label order, of a model that is told them; else None.
        calibration: That of the unseen band, if there is one, `(*coefficients)`.
        bands: The law of the bands that it resamples; None for a model of whole fields.
        omission: What was left out of the training data.
        configuration: The settings of the run that trained it, for people to read.
        plugins: Modules that define kinds which it names.
        given_meaning: What the values of its fields mean; None for data that came from no files.
        unexplained: The variance that the model leaves open of a damaged band, `(C, *coefficients)`; None if it was not
            measured. Goes with a calibration.
        doubt: What was found against its word on a damaged band when that was calibrated, a sentence; or nothing.
    """

    plain: NetworkDenoiser
    statistics: DataStatistics
    network: NetworkConfig | ImportedNetwork
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    classes: tuple[str, ...] | None = None
    calibration: Tensor | None = None
    bands: BandLaw | None = None
    omission: OmissionConfig = field(default_factory=OmissionConfig)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    given_meaning: Meaning | None = None
    unexplained: Tensor | None = None
    doubt: str = ""

    @functools.cached_property
    def settled_grid(self) -> TimeGrid:
        """The time grid of its sampler and steps, as it is found for its noise and data: once, for many draws."""
        own = TimeGrid.parse(self.sampling.grid).fitted(Sampler.parse(self.sampling.sampler))
        return own.settled(self.sampling.steps, self.process, self.statistics)

    @property
    def meaning(self) -> Meaning:
        """What the values of its fields mean; what is usual for their shape if nobody said."""
        return self.given_meaning or usual(self.process.shape)

    @property
    def process(self) -> Process:
        """The forward process it was trained with."""
        return self.plain.process

    def guided(self, scale: float) -> Denoiser:
        """The denoiser to sample from, with that classifier-free guidance scale.

        Raises:
            InputError: If the scale is not 1 and the model cannot be asked without its condition.
        """
        if self.bands is not None:
            return self.resampler(scale)
        guided = self.plain if scale == 1 else Guided(self.plain, scale)
        if self.calibration is None:
            return guided
        return Calibrated(guided, self.calibration, self.statistics, self.unexplained)

    def resampler(self, scale: float = 1.0) -> BandModel:
        """The denoiser of given bands, with that classifier-free guidance scale.

        Raises:
            InputError: If the model resamples no bands.
        """
        if self.bands is None:
            raise InputError(f"the model resamples no bands; train one with {argument('denoiser.bands')} random")
        return BandModel(self.plain if scale == 1 else Guided(self.plain, scale), self.bands)

    @cached_property
    def denoiser(self) -> Denoiser:
        """The denoiser to sample from, without guidance; a `BandModel` if it resamples bands."""
        return self.guided(1.0)

    @property
    def config(self) -> RunConfig:
        """The settings of the run, if `sagd train` trained it.

        Raises:
            InputError: If something else did.
        """
        if "process" not in self.configuration:
            raise InputError("the model was not trained from a configuration; name its data and settings")
        return from_dict(RunConfig, dict(self.configuration))


def describe_model(model: Trained) -> dict[str, Any]:
    """Content of `model.json`."""
    return {
        "format": _FORMAT,
        "process": model.process.to_dict(),
        "prediction": model.plain.parameterisation.to_dict(),
        "network": {model.network.origin: to_dict(model.network)},
        "data": {
            "shape": list(model.process.shape),
            "meaning": None if model.given_meaning is None else to_dict(model.given_meaning),
            "classes": None if model.classes is None else list(model.classes),
        },
        "names": list(model.plain.names or ()),
        "bands": None if model.bands is None else model.bands.bands,
        "omission": to_dict(model.omission),
        "doubt": model.doubt,
        "sampling": to_dict(model.sampling),
        "plugins": list(model.plugins),
        "configuration": dict(model.configuration),
        "versions": versions(),
    }


def moments(model: Trained) -> dict[str, Tensor]:
    """Tensors of `moments.safetensors`."""
    known = {"mean": model.statistics.mean, "spectrum": model.statistics.spectrum}
    if model.statistics.scales is not None:
        known |= {_SCALES + name: value for name, value in vars(model.statistics.scales).items()}
    if model.calibration is not None:
        known["calibration"] = model.calibration
    if model.unexplained is not None:
        known["unexplained"] = model.unexplained
    return known | {_NULL + name: value for name, value in model.plain.null.items()}


def measured(model: Trained) -> dict[str, Any]:
    """What the moments were measured on and in."""
    return {"count": model.statistics.count, "basis": model.statistics.basis.to_dict()}


def save_model(path: Path, model: Trained) -> Path:
    """Write a model directory, whole or not at all.

    Raises:
        CheckpointError: If the disk refuses.
    """
    described = to_json(describe_model(model))
    moments_file = to_safetensors(moments(model), {_MEASURED: json.dumps(measured(model))})
    parts = fingerprint(json.loads(described), hashlib.sha256(moments_file).hexdigest())
    weights = to_safetensors(model.plain.module.state_dict(), {_FINGERPRINT: json.dumps(parts)})
    write_directory(path, ((DESCRIPTION, described), (WEIGHTS, weights), (MOMENTS, moments_file)))
    return path


def load_model(
    path: str | Path,
    process: Process | None = None,
    device: torch.device | str = "cpu",
    network: nn.Module | None = None,
    allow: Sequence[str] = (),
) -> Trained:
    """Read a model directory, or the model of a run's directory: that of its newest checkpoint if it has not finished.

    Args:
        path: Directory: a run, its model, or one of its checkpoints.
        process: The forward process you believe the model has.
        device: Where the network goes.
        network: For a model with a network of one's own: a network like that, whose weights are replaced.
        allow: Modules that networks of one's own may be imported from, and plug-ins; importing runs their code.

    Raises:
        ProcessMismatchError: If the model was trained with another process than `process`, or than `model.json` says.
        CheckpointError: If files are missing, damaged, no model, or changed since the weights were written.
        InputError: If the network is of one's own and neither given nor allowed.
    """
    if (Path(path) / STATE).exists():
        content = _of_checkpoint(Path(path))
    else:
        found = _find(Path(path))
        content = _unfinished(Path(path)) if found is None else _finished(found)
    return _rebuilt(content, process, device, network, allow)


@dataclass(frozen=True)
class _Content:
    """What files say of a model.

    Attributes:
        folder: Where they are.
        names: Those of description, weights and moments.
        described: Description.
        weights: Averaged weights.
        moments: Moments.
        measured: What these were measured on and in.
    """

    folder: Path
    names: tuple[str, str, str]
    described: _Description
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    measured: Any

    def path(self, part: int) -> Path:
        """The file of description, weights or moments."""
        return self.folder / self.names[part]


def _finished(folder: Path) -> _Content:
    """Content of a model directory."""
    sums = read_manifest(folder)
    for name in (WEIGHTS, MOMENTS):
        verify_file(folder / name, sums.get(name))
    weights, metadata = read_tensors(folder / WEIGHTS)
    content = read_json(folder / DESCRIPTION)
    described = _read_description(folder / DESCRIPTION, content)
    parts = fingerprint(content, sums[MOMENTS])
    _refuse_changes(folder, parts, _signed(folder / WEIGHTS, metadata), sums.get(DESCRIPTION))
    tensors, measured = read_tensors(folder / MOMENTS)
    with reading(folder / MOMENTS):
        told = json.loads(measured[_MEASURED])
    return _Content(folder, (DESCRIPTION, WEIGHTS, MOMENTS), described, weights, tensors, told)


def fingerprint(described: Mapping[str, Any], moments: str) -> dict[str, str]:
    """Checksum by part of all that decides the samples, but for the weights.

    Args:
        described: Content of `model.json`.
        moments: sha256 of `moments.safetensors`.
    """
    parts = {name: json.dumps(described[name], sort_keys=True) for name in _DECISIVE}
    return {name: hashlib.sha256(part.encode()).hexdigest() for name, part in parts.items()} | {"moments": moments}


def versions() -> dict[str, str]:
    """Versions of Python, sagd and those libraries that results depend on and are installed."""
    found = {"python": platform.python_version()}
    for name in ("sagd", "torch", "diffusers", "monai", "accelerate", "numpy", "safetensors"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def reference_of(network: nn.Module, arguments: Mapping[str, Any] | None = None) -> ImportedNetwork:
    """What names the class of a network, and makes another one like it.

    Args:
        network: Network.
        arguments: Keyword arguments of its class.

    Raises:
        InputError: If the arguments are not JSON-ready, or make a network with other weights.
    """
    kind = type(network)
    told = None if arguments is None else dict(arguments)
    if told is not None:
        try:
            again = json.loads(json.dumps(told))
        except (TypeError, ValueError):
            raise InputError(
                f"arguments of {kind.__name__} must be numbers, texts and lists of them, got {one_line(told)}"
            ) from None
        with torch.random.fork_rng(devices=[]):
            check_layout(kind(**again).state_dict(), network.state_dict())
    return ImportedNetwork(f"{kind.__module__}:{kind.__qualname__}", told)


def holds_model(path: Path) -> bool:
    """Whether a directory is that of a run or a model, or what a kill left of one; folders of data may well have one
    named as ours are."""
    files = (MANIFEST, f"model/{MANIFEST}", "model/model.json", "config.yaml")
    return any((path / name).exists() for name in files) or any((path / "checkpoints").glob("step-*"))


def _find(path: Path) -> Path | None:
    """The model directory at `path`; None for a run that has checkpoints only."""
    if path.suffix in _PICKLES:
        raise CheckpointError(f"{str(path)!r} is a pickle file, which could run code when read; give a model directory")
    if not path.is_dir():
        raise CheckpointError(f"{str(path)!r} is not a directory; give a run directory or a model directory")
    if (path / MANIFEST).exists():
        return path
    if (path / "model").is_dir() and holds_model(path):
        return path / "model"
    replaced = path / f"model{REPLACED}"
    if replaced.is_dir():
        warnings.warn(
            f"saving {str(path / 'model')!r} was cut short; reading the model it was to replace", stacklevel=3
        )
        return replaced
    if (path / "checkpoints").is_dir():
        return None
    if (path / LAPS).exists():
        raise CheckpointError(
            f"{str(path)!r} is a training in laps that is not finished; go on with it ({argument('resume=True')}), or"
            " give the run of one lap"
        )
    raise CheckpointError(f"{str(path)!r} holds no model (no {MANIFEST}); give a run directory or a model directory")


def _unfinished(run: Path) -> _Content:
    """Content of the newest checkpoint of a run."""
    newest = latest_checkpoint(run)
    if newest is None:
        raise CheckpointError(
            f"the run in {str(run)!r} has no checkpoint yet; continue it with {argument('resume=True')}"
        )
    warnings.warn(f"the run in {str(run)!r} is not finished: this is its model of {newest.name}", stacklevel=3)
    return _of_checkpoint(newest)


def _of_checkpoint(newest: Path) -> _Content:
    """Content of a checkpoint."""
    snapshot = load_checkpoint(newest)
    with reading(newest / STATE, "does not describe a model"):
        state = snapshot.state["model"]
        described, told = _read_description(newest / STATE, state["described"]), state["measured"]
    with reading(newest, "holds no model"):
        weights, tensors = snapshot.tensors["ema"], snapshot.tensors["moments"]
    return _Content(newest, (STATE, "ema.safetensors", "moments.safetensors"), described, weights, tensors, told)


@dataclass(frozen=True)
class _Data:
    """The data of a model, as samples are to be like."""

    shape: tuple[int, ...]
    meaning: Meaning | None
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class _Description:
    """Content of `model.json`."""

    format: int
    process: dict[str, Any]
    prediction: dict[str, Any]
    network: dict[str, Any]
    data: _Data
    names: tuple[str, ...]
    bands: str | None
    omission: OmissionConfig
    sampling: SamplingConfig
    plugins: tuple[str, ...]
    configuration: dict[str, Any]
    versions: dict[str, str]
    doubt: str = ""


def _read_description(path: Path, content: Any) -> _Description:
    with reading(path, "does not describe a model"):
        described = from_dict(_Description, content)
        if described.format != _FORMAT:
            raise InputError(f"format is {described.format}, and this version of sagd reads {_FORMAT}; train it again")
        if len(described.data.shape) < 2 or min(described.data.shape) < 1:
            raise InputError(f"data.shape must hold channels and sides, got {list(described.data.shape)}")
        if (meaning := described.data.meaning) is not None and len(meaning.axes) != len(described.data.shape) - 1:
            raise InputError(f"data.meaning is of axes {meaning.axes}, data.shape of {list(described.data.shape)}")
        return described


def _signed(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The fingerprint in the metadata of weights."""
    with contextlib.suppress(*UNREADABLE):
        signed = json.loads(metadata[_FINGERPRINT])
        if signed.keys() == {*_DECISIVE, "moments"}:
            return signed
    raise CheckpointError(
        f"{str(path)!r} does not say what it was trained with, as models of this version of sagd do; train it again"
    )


def _refuse_changes(
    folder: Path, parts: Mapping[str, str], signed: Mapping[str, Any], description_sum: str | None
) -> None:
    """Refuse files that are not what the weights were trained with."""
    changed = [part for part in parts if parts[part] != signed[part]]
    # Before damage to the description, of which an edit is the likely cause.
    if {*changed} & {"process", "data"}:
        raise ProcessMismatchError(
            f"{str(folder / DESCRIPTION)!r} was changed in {changed[0]}, which is not what its weights were trained"
            " with; restore it, or train a model with that"
        )
    verify_file(folder / DESCRIPTION, description_sum)
    if changed == ["moments"]:
        raise CheckpointError(
            f"{str(folder / MOMENTS)!r} is not what the weights were trained with; restore it, or train again"
        )
    if changed:
        raise CheckpointError(
            f"{str(folder / DESCRIPTION)!r} was changed in {changed[0]}, which is not what its weights were trained"
            " with; restore it, or train a model with that"
        )


def _rebuilt(
    content: _Content,
    expected: Process | None,
    device: torch.device | str,
    given: nn.Module | None,
    allow: Sequence[str],
) -> Trained:
    """The model of a description, its weights and its moments, all of which are checked."""
    described, data = content.described, content.described.data
    _allow(described.plugins, allow)
    _refuse_unknown(content.path(0), described.plugins)
    with reading(content.path(0), "does not describe a model"):
        process = process_from_dict(described.process)
        if process.shape != data.shape:
            raise InputError(f"the process is of data {list(process.shape)}, and data.shape {list(data.shape)}")
    with reading(content.path(2)):
        statistics, null = read_moments(content.moments, content.measured, data.shape)
    if expected is not None and not alike(expected.to_dict(), process.to_dict()):
        raise _not_trained_with(content.folder, process, expected)
    reference, network = _network(content, null, given, allow)
    with reading(content.path(0), "does not describe a model"):
        prediction = Parameterisation.parse(described.prediction)
        names = [name for name in described.names if name not in null]
        plain = NetworkDenoiser(network, process, prediction, null=null, names=names, statistics=statistics)
        bands = None if described.bands is None else BandLaw(described.bands, statistics.basis)
        model = Trained(
            plain,
            statistics,
            reference,
            described.sampling,
            data.classes,
            content.moments.get("calibration"),
            bands,
            described.omission,
            described.configuration,
            described.plugins,
            data.meaning,
            content.moments.get("unexplained"),
            described.doubt,
        )
        _ = model.denoiser
    _fill(network, content.weights, content.path(1), described.versions)
    network.to(device).eval().requires_grad_(False)
    return model


def _allow(names: Sequence[str], allow: Sequence[str]) -> None:
    """Import those plug-ins that the caller allows."""
    for name in names:
        if name in allow:
            plugins.load_plugin(name)


def _refuse_unknown(path: Path, names: Sequence[str]) -> None:
    """Refuse a model whose plug-ins the caller has not imported: no file may choose code to run."""
    if missing := plugins.missing(names):
        options = " ".join(f"--plugin {shlex.quote(one_line(name))}" for name in missing)
        raise CheckpointError(
            f"{str(path)!r} needs kinds of a plug-in that has not been imported; if you trust it, give {options} (in"
            " Python, import it first)"
        )


def _network(
    content: _Content, null: Mapping[str, Tensor], given: nn.Module | None, allow: Sequence[str]
) -> tuple[NetworkConfig | ImportedNetwork, nn.Module]:
    """What the network is made from, and one like it."""
    described, data, parts = content.described, content.described.data, content.described.network
    with reading(content.path(0), "does not describe a model"):
        if parts.keys() == {"built"}:
            config = from_dict(NetworkConfig, parts["built"], "network")
            own = OwnNetwork.from_text(config.name)
            _allow([] if own is None else [own.module], allow)
            classes = None if data.classes is None else len(data.classes)
            beside = shown_channels(described.bands, data.shape[0])
            built = build_network(config, data.shape[0], data.shape[1:], classes, beside=beside)
            return config, built if given is None else given
        reference = from_dict(ImportedNetwork, parts["import"], "network")
    if given is not None:
        return reference, given
    return reference, _imported(content.folder, reference, allow)


def _imported(path: Path, reference: ImportedNetwork, allow: Sequence[str]) -> nn.Module:
    """A network of one's own, if its module may be imported."""
    module, _, name = reference.path.partition(":")
    if reference.arguments is None:
        raise InputError(
            f"{str(path)!r} has a network of its own, {one_line(reference.path)!r}, and nobody said by which arguments"
            " it is made (arguments= of sagd.fit); in Python, give one like it as network="
        )
    if module not in allow and not plugins.is_named(module):
        raise InputError(
            f"{str(path)!r} has a network of its own, {one_line(reference.path)!r}, whose code would be run;"
            f" allow that with --plugin {one_line(module)} (in Python, allow=[{one_line(module)!r}]), or give one like"
            " it as network="
        )
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        network = found(**reference.arguments)
    except Exception as error:
        raise InputError(
            f"network {one_line(reference.path)!r} cannot be made: {one_line(error)}; give one like it as network="
        ) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{one_line(reference.path)!r} makes no network but {type(network).__name__}")
    return network


def _not_trained_with(folder: Path, trained: Process, expected: Process) -> ProcessMismatchError:
    own, other = trained.label, expected.label
    how = f"not with {other}" if own != other else "not with another of the same kind"
    return ProcessMismatchError(f"model {str(folder)!r} was trained with {own}, {how}; train a model with that process")


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, wrote: Mapping[str, str]) -> None:
    """Load weights into the network that they must fit."""
    try:
        check_layout(tensors, network.state_dict())
    except InputError as error:
        now, then = versions().get("diffusers"), wrote.get("diffusers")
        made = f"; diffusers was {one_line(then)}, and is {now}" if then != now else ""
        raise CheckpointError(f"weights in {str(path)!r} do not fit the network: {error}{made}") from error
    with reading(path):
        check_numbers(tensors)
    network.load_state_dict(dict(tensors))


def read_moments(
    tensors: Mapping[str, Tensor], told: Any, shape: tuple[int, ...]
) -> tuple[DataStatistics, dict[str, Tensor]]:
    """The statistics of data of a shape, and what stands for nothing.

    Raises:
        InputError: If the tensors, those of a calibration included, or what is told of them, cannot be those.
    """
    basis, count = Basis.from_dict(told["basis"]), told["count"]
    if type(count) is not int or count < 2 or basis.spatial != shape[1:] or basis.channels not in (None, shape[0]):
        raise InputError(f"{count!r} samples in {basis} are no statistics of data {shape}")
    null = {name.removeprefix(_NULL): value for name, value in tensors.items() if name.startswith(_NULL)}
    scales = {name.removeprefix(_SCALES): value for name, value in tensors.items() if name.startswith(_SCALES)}
    found = {name: value for name, value in tensors.items() if not name.startswith((_NULL, _SCALES))}
    spectra = (shape[0], *basis.coefficients)
    shapes = {"mean": shape, "spectrum": spectra, "calibration": basis.coefficients, "unexplained": spectra}
    needed = {
        name: torch.empty(size, dtype=torch.float64, device="meta")
        for name, size in shapes.items()
        if name in found or name in ("mean", "spectrum")
    }
    check_layout(found, needed)
    check_numbers(tensors)
    for name in needed.keys() - {"mean"}:
        if found[name].min() < 0:
            raise InputError(f"tensor {name!r} is negative")
    law = _read_scales(scales) if scales else None
    return DataStatistics(found["mean"], found["spectrum"], count, basis, law), null


def _read_scales(tensors: Mapping[str, Tensor]) -> Scales:
    """The law of the powers of items.

    Raises:
        InputError: If the tensors cannot be one.
    """
    check_layout(tensors, {name: torch.empty(size, dtype=torch.float64) for name, size in Scales.shapes().items()})
    for name, value in tensors.items():
        if not value.min() > 0:
            raise InputError(f"tensor {_SCALES + name!r} is not positive")
    return Scales(**tensors)
