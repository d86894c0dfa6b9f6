"""Configuration: plain dataclasses, read strictly from YAML or the command line.

Imports nothing heavy, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from sagd.description import suggest
from sagd.errors import InputError, one_line
from sagd.strict_yaml import read_yaml


@dataclass(frozen=True)
class DataConfig:
    """Where images come from and the shape they are given."""

    source: str = "digits"
    """'digits' (built in), a folder of images, a .parquet file with an image column, or a hub data set 'name' or
    'name:subset'. Write './digits' for a folder of that name."""
    split: str = "train"
    """Split to read; digits has 'train', 'test' and 'all', a folder or parquet file has only 'train'."""
    channels: int | None = None
    """1 (grey) or 3 (RGB; transparency is laid over white); default: as the files are, which must agree."""
    size: int | None = None
    """Side length; images are scaled on the shorter side (Lanczos) and centre-cropped. Default: as the files are."""
    flip: bool = False
    """Flip images left-right at random while training; a damaged band must then be its own mirror image."""
    image_column: str | None = None
    """Column with images; default: the only image column."""
    label_column: str | None = None
    """Column with integer or text labels, or 'none'; default: 'label', or a folder per class, where present."""
    limit: int | None = None
    """Use only so many images, at least 2, drawn at random, always the same ones. Bad ones count: skip_bad leaves
    fewer."""
    skip_bad: bool = False
    """Leave out unreadable images (their number is printed) instead of stopping."""
    corruption: str = "none"
    """Damage to try omission on, added to the images as they are read: 'band_noise(low=0.1, high=0.2, level=1)', rain,
    moire, scan_lines, fixed_pattern, hum or shading; fixed=False draws it anew at each reading."""
    corruption_seed: int = 0
    """Seed of the damage: the same image always gets the same."""


@dataclass(frozen=True)
class OmissionConfig:
    """Training on data that is damaged in a band of frequencies: what is left out, so that the clean data is learnt."""

    mode: Literal["none", "project", "fill", "deconvolve"] = "none"
    """'project': no noise in the band, which samples leave at its mean; 'fill': the network never sees the band and
    learns its mean given the rest, which needs damage of mean zero; 'deconvolve': uses what the band still shows, which
    needs Gaussian damage of known spectrum."""
    band: str = "auto"
    """The damaged band: 'auto' (detected, as 'sagd inspect' does), 'ring(low=0.1, high=0.2)' in fractions of the corner
    radius, 'strip(axis=0, low=0.03)' (scan lines), 'wedge(angle=80, width=30, low=0.3)' (rain), 'spots(at=[[0.25,
    0.1]])' (moire); sums are unions, soft=0.05 softens edges, and any spectrum in [0, 1] is a band."""
    corruption: str | None = None
    """'deconvolve' only: standard deviation of the damage by frequency (white noise of unit variance: 1), a spectrum as
    in 'band_pass(low=0.1, high=0.2, inside=3)', or 'excess': what is measured over the smooth fit of the detection."""
    floor: float = 1.0
    """'deconvolve' only: noise that always covers the damage, in units of it. Small values use more of what the band
    shows, large ones ask less of the network; infinity would be 'fill'."""


@dataclass(frozen=True)
class ProcessConfig:
    """The forward process x_t = alpha_t x_0 + sigma_t eps_w, eps_w ~ N(0, Sigma_w), or one with a schedule per
    frequency."""

    schedule: str = "vp"
    """vp, cosine, ve or rectified, with parameters as in 'vp(beta_end=0.02)'."""
    spectrum: str = "flat"
    """Noise weights w(f): flat, 'power_law(alpha=-0.1)', band_pass, band_stop, two_band, exponential_decay, notch,
    oriented, axis_power_law, radial_table, tabulated, 'whitening(exponent=0.5)' (from the data's own spectrum),
    "per_channel(spectra=['flat', ...])", "by_class(spectra={'cat': 'flat'}, default='flat')" (with
    network.conditional), and products and sums:
    'power_law(alpha=-0.1) * notch(at=[[0.25, 0]])'."""
    calibration: Literal["variance", "snr", "none"] = "variance"
    """'variance': scale w so that the mean of w^2 is 1; 'snr': so that the mean of log w^2 is 0, which keeps the mean
    log-SNR of white noise; 'none': use w as it is."""
    basis: str = "fourier"
    """Where the noise is diagonal: fourier, cosine (no wrap-around at borders) or "wavelet(name='db2', levels=2)"."""
    channels: Literal["as_given", "decorrelated"] = "as_given"
    """'decorrelated': noise channels are the principal colours of the data, so per_channel speaks of those."""
    region: str | None = None
    """Amplitude of the noise by place: 'box(low=[0, 0], high=[0.5, 1], inside=1, outside=0.3)', ball, table."""
    evolution: str = "common"
    """How frequencies evolve in time: common (one schedule for all), 'blurring(blur_max=20)' (published with basis
    cosine and schedule 'cosine(log_snr_min=-10)'), "interpolated(far='flat')" (from the spectrum next to the data to
    another at t = 1), or "sequential(first='high')" (band after band). All but common go without regions and by_class.
    'sagd gallery' shows them."""
    omission: OmissionConfig = field(default_factory=OmissionConfig)


@dataclass(frozen=True)
class NetworkConfig:
    """The denoising network, built from diffusers."""

    name: Literal["unet", "dit"] = "unet"
    """unet (UNet2DModel) or dit (DiTTransformer2DModel)."""
    widths: tuple[int, ...] = (32, 64, 64)
    """U-Net channels per level; each level after the first halves the image."""
    blocks: int = 1
    """Residual blocks per U-Net level."""
    attention: bool = False
    """Self-attention at the coarsest U-Net level."""
    depth: int = 4
    """Transformer blocks of the DiT."""
    width: int = 128
    """Hidden width of the DiT."""
    patch: int = 4
    """Patch side of the DiT."""
    dropout: float = 0.0
    """Dropout probability in the U-Net."""
    conditional: bool = False
    """Condition on class labels (needs data with labels)."""


@dataclass(frozen=True)
class DenoiserConfig:
    """What the network predicts and how the loss is taken."""

    prediction: Literal["eps", "x0", "v", "velocity", "edm", "wiener"] = "eps"
    """Quantity the network predicts; edm and wiener correct the best linear guess, wiener by frequency."""
    time: str = "uniform"
    """Training times: uniform, 'log_normal(mean=-1.2, std=1.2)' in log(sigma/alpha), logit_normal, or matched (the
    log-normal law over the noise levels at which the bands of the data drown; 'sagd inspect' prints it)."""
    weighting: str = "flat"
    """Loss weight in prediction space: flat or 'min_snr(gamma=5)'."""
    label_dropout: float = 0.1
    """Conditional models: share of labels hidden in training, for classifier-free guidance."""
    bands: str = "none"
    """Train a model for 'sagd resample', which draws a band of an image anew given the rest: 'random' for one that
    takes any band (and draws whole images too), or the one band, e.g. 'ring(low=0.3, high=1)' for super-resolution."""


@dataclass(frozen=True)
class TrainingConfig:
    """Budget and optimiser."""

    steps: int = 2000
    """Optimiser steps."""
    batch_size: int = 64
    """Images per step, over all processes."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.0
    """AdamW weight decay."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    ema_decay: float = 0.999
    """Decay of the averaged weights (warmed up)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision of the network; the noise stays float32."""
    device: Literal["auto", "cpu"] = "auto"
    """'auto' takes the accelerator that is there."""
    layout: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Memory layout of the network; 'auto': channels_last on a GPU, whose convolutions want it, else contiguous."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at first, then faster steps on most GPUs. Its gradients are held
    against those of the plain network before the first step."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    """Checkpoints kept on disk."""
    sample_every: int = 1000
    """Steps between sample grids (0: none)."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    seed: int = 0
    """Seed of initial weights, data order and noise."""
    init: str | None = None
    """Run or model directory whose weights training starts from, of the same network and prediction; e.g. a model of
    mode fill, to go on with the images that it restored."""


@dataclass(frozen=True)
class SamplingConfig:
    """How images are drawn from a model."""

    sampler: str = "heun"
    """ddpm, 'ddim(eta=0)', euler, heun or dpm_solver."""
    steps: int = 18
    """Time steps (Heun evaluates the network twice in all but the last)."""
    grid: str = "matched"
    """Time grid: uniform, 'karras(rho=7)', log_snr, or matched (Karras with the range the data needs)."""
    clip: float | None = None
    """Clamp the predicted clean image to [-clip, clip]."""
    guidance: float = 1.0
    """Classifier-free guidance scale of conditional models (1: none)."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What samples are measured with."""

    samples: int = 1000
    """Images to draw."""
    features: str = "classifier"
    """'classifier' (trained once on the data's labels) or the path of a TorchScript file."""
    features_sha256: str | None = None
    """Checksum of the TorchScript file; required with one."""
    features_range: tuple[float, ...] = (-1.0, 1.0)
    """Values that the TorchScript file takes black and white as; 0 255 passes uint8, as Inception files want."""
    features_channels: int = 3
    """Channels that the TorchScript file takes; grey images are repeated."""
    bands: int = 10
    """Radial bands of the spectral error."""
    batch_size: int = 250
    """Images per sampling batch."""
    likelihood: int = 0
    """Reference images whose bits per dimension are estimated, by models with noise at every frequency (0: none)."""
    likelihood_steps: int = 32
    """Runge-Kutta steps of that estimate, four network evaluations each."""
    seed: int = 0
    """Seed of the samples and of the real-against-real split."""


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    data: DataConfig = field(default_factory=DataConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass(frozen=True)
class CompareConfig:
    """Several processes trained alike: same data, network, budget and seeds."""

    arms: dict[str, ProcessConfig] = field(default_factory=dict)
    """Name -> forward process; the first is the reference of all differences."""
    seeds: tuple[int, ...] = (0,)
    """One run per arm and seed; the same seed means the same initial weights, data order and white draws."""
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


T = TypeVar("T")

_NAME = 100
"""Characters of a key that are compared with known ones."""


def from_dict(cls: type[T], mapping: Any, where: str = "") -> T:
    """Build a configuration dataclass from nested mappings; unknown and missing keys and wrong types are errors.

    Raises:
        InputError: Naming the key, the value and what would work.
    """
    if not isinstance(mapping, dict):
        raise InputError(f"{where or 'configuration'} must be a mapping of keys, got {_quoted(mapping)}")
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise InputError(f"unknown key {_quoted(_join(where, key))}{suggest(str(key)[:_NAME], known)}")
    for f in dataclasses.fields(cls):  # type: ignore[arg-type]
        if f.name not in mapping and f.default is f.default_factory is dataclasses.MISSING:
            raise InputError(f"key {_join(where, f.name)!r} is missing")
    return cls(**{key: _convert(hints[key], value, _join(where, key)) for key, value in mapping.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain mappings of a configuration, ready for YAML or JSON."""
    return _plain(dataclasses.asdict(config))


def load_yaml(cls: type[T], path: str | Path) -> T:
    """Read a configuration file strictly.

    Raises:
        InputError: If the file is missing, is not YAML, repeats a key, or does not fit `cls`.
    """
    try:
        mapping = read_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read configuration {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{str(path)!r} is not YAML: it is no UTF-8 text; save it as that") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not YAML: {error}") from None
    return from_dict(cls, mapping if mapping is not None else {})


def dump_yaml(config: Any, path: str | Path) -> None:
    """Write a resolved configuration, every default spelt out."""
    Path(path).write_text(yaml.safe_dump(to_dict(config), sort_keys=False), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _quoted(value: Any) -> str:
    """A value in a message: a line of it."""
    return one_line(repr(value))


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type `hint`, or an error; no coercion but int -> float and list -> tuple."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        # YAML reads a bare `no` as False.
        value = "no" if value is False and "no" in args else value
        if value not in args:
            raise InputError(f"{where} must be one of {', '.join(map(str, args))}; got {_quoted(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where} must be a list, got {_quoted(value)}; e.g. [1, 2]")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} must be a mapping, got {_quoted(value)}")
        return {str(k): _convert(args[1], v, _join(where, k)) for k, v in value.items()}
    if hint is str and isinstance(value, dict) and isinstance(value.get("kind"), str):
        return _call_text(value)
    if hint is float:
        value = _number(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{where} must be a finite number, got {_quoted(value)}")
    accepted = isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)
    if not accepted:
        raise InputError(f"{where} must be {_TYPE_NAMES.get(hint, hint)}, got {_quoted(value)}")
    return value


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _number(value: Any) -> Any:
    """Whole numbers are numbers, and so is '1e-3', which YAML 1.1 reads as text."""
    if isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, (int, str)) else value
    except (ValueError, OverflowError):
        return value


def _call_text(mapping: dict[str, Any]) -> str:
    """`{"kind": "power_law", "alpha": 1}` as `power_law(alpha=1)`."""
    fields = ", ".join(f"{k}={v!r}" for k, v in mapping.items() if k != "kind")
    return f"{mapping['kind']}({fields})" if fields else str(mapping["kind"])
