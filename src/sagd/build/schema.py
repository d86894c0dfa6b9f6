"""Configuration: plain dataclasses, read strictly from YAML or the command line.

Imports nothing heavy, so that `--help` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sagd.data.config import DataConfig
from sagd.networks.config import NetworkConfig

NO_OMISSION = "none"
"""The mode that leaves no band out."""
OF_DATA = ("guard", "split", "laps")
"""Settings of omission that say what becomes of data before it is seen: no parameters of a mode."""
AUTO_BASIS = "auto"
"""The basis that is chosen by the data."""
AUTO_SPECTRUM = "auto"
"""The spectrum that is chosen by the data, with sampler and grid."""


@dataclass(frozen=True)
class OmissionConfig:
    """Training on data that is damaged in a band of frequencies: what is left out, so that the clean data is learnt."""

    mode: str = NO_OMISSION
    """none; cleaned (the damage is taken out of the data as 'sagd clean' does, which is then trained on as if it were
    clean); or how the band is left out: project (samples have it at its mean), fill (as the rest lets expect; for
    damage of mean zero) or deconvolve (uses what the band still shows; for Gaussian damage of known spectrum); 'sagd
    kinds omission-mode' lists all."""
    band: str = "auto"
    """The damaged band: 'auto' (detected, as 'sagd inspect' does), 'ring(low=0.1, high=0.2)' in fractions of the corner
    radius, 'strip(axis=0, low=0.03)' (scan lines), 'wedge(angle=80, width=30, low=0.3)' (rain), 'spots(at=[[0.25,
    0.1]])' (moire); sums are unions, soft=0.05 softens edges. Any spectrum in [0, 1] is a
    band, but only these shapes have edges, from which a guard and the split of larger files are measured: with others
    set guard, and for windows split, none."""
    corruption: str | None = None
    """Standard deviation of the damage by frequency (white noise of unit variance: 1), a spectrum as in
    'band_pass(low=0.1, high=0.2, inside=3)', or 'excess': what is measured over the smooth fit of the detection.
    'deconvolve' needs it; where others know it, what they leave open is known too: 'fill' draws it, and posterior
    samples."""
    floor: float = 1.0
    """'deconvolve' only: noise that always covers the damage, in units of it. Small values use more of what the band
    shows, large ones ask less of the network; infinity would be 'fill'."""
    evidence: Literal["auto", "none", "frequency", "image"] = "auto"
    """What restored images take from the damaged band itself, given the spectrum of the damage: 'none'; the best share
    by 'frequency'; by 'image', where the level of the damage differs from image to image; 'auto': by frequency if
    corruption is given."""
    log: Literal["auto", "yes", "no"] = "auto"
    """'cleaned' only: whether damage multiplies the values (shading, gain), so that it is taken out of their logarithm.
    'auto' finds out if the band is 'auto' too; damage of a given band adds."""
    guard: str = "auto"
    """What is left out around the band, since damage between two bins of a window leaks beside it: 'auto' (as far as it
    is measured over the clean spectrum; on the grid nothing), cycles per sample, or none."""
    split: str = "auto"
    """Windows of larger files: the band that is taken out of these before they are cut, where it is sharp: 'auto' (the
    band and its guard), none (it is left out of each window by itself), or a band."""
    laps: int = 0
    """Then train again, so many times at most, each for training.steps from the weights of before, on draws of what the
    damage hides given what each item shows: a prior learnt from damaged data. It ends when a lap gains nothing. With
    mode none for data.corruption that hides other frequencies of every item (subsampled, wedges, notches)."""


@dataclass(frozen=True)
class ProcessConfig:
    """The forward process x_t = alpha_t x_0 + sigma_t eps_w, eps_w ~ N(0, Sigma_w), or one with a schedule per
    frequency."""

    schedule: str = "vp"
    """vp, cosine, ve or rectified, with parameters as in 'vp(beta_end=0.02)'."""
    spectrum: str = "flat"
    """Noise weights w(f): auto (chosen by the training data as 'sagd design' does, with sampling.sampler and
    sampling.grid, for as many evaluations as sampling.steps takes; 'process: auto' in YAML), flat,
    'power_law(alpha=-0.1)', band_pass, band_stop, two_band, exponential_decay, flicker, notch, oriented,
    axis_power_law, radial_table, tabulated, 'whitening(exponent=0.5)' (from the data's own spectrum),
    "per_channel(spectra=['flat', ...])", "by_class(spectra={'cat': 'flat'}, default='flat')" (with
    network.conditional), and products and sums:
    'power_law(alpha=-0.1) * notch(at=[[0.25, 0]])'. Where the grid of the data is known, frequencies may have units:
    "band_pass(low='300 Hz', high='3400 Hz')", "physical(spectrum='power_law(alpha=-1)', unit='1/mm')"."""
    calibration: Literal["variance", "snr", "none"] = "variance"
    """'variance': scale w so that the mean of w^2 is 1; 'snr': so that the mean of log w^2 is 0, which keeps the mean
    log-SNR of white noise; 'none': use w as it is."""
    basis: str = AUTO_BASIS
    """Where the noise is diagonal, and the data's spectrum is measured: fourier (fields go on from their other end),
    cosine (as their own mirror image), 'mixed(periodic=[1])' (the first along longitudes alone), "wavelet(name='db2',
    levels=2)", or auto: of the first three the one that the data's ends ask for, fourier for noise that they do not
    take."""
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

    @classmethod
    def of_text(cls, text: str) -> ProcessConfig | None:
        """What a text stands for in the place of all settings; None if for nothing."""
        return cls(spectrum=AUTO_SPECTRUM) if text == AUTO_SPECTRUM else None


@dataclass(frozen=True)
class DenoiserConfig:
    """What the network predicts and how the loss is taken."""

    prediction: str = "wiener"
    """Quantity the network predicts: wiener, edm, eps, x0, v or velocity. edm and wiener correct the best linear guess;
    wiener does so frequency by frequency, which learns soonest, and does not take noise by region or class;
    'wiener(exponent=0.5)' scales by a power of the data's spectrum, between one variance (0) and all of it (1)."""
    time: str = "matched"
    """Training times: matched (the log-normal law over the noise levels at which the scales of the data drown; 'sagd
    inspect' prints it), uniform, log_uniform, 'log_normal(mean=-1.2, std=1.2)' in log(sigma/alpha), or logit_normal."""
    weighting: str = "flat"
    """Loss weight in prediction space: flat, 'min_snr(gamma=5)', by frequency "spectral(spectrum='power_law(alpha=1)')"
    or 'whitened(exponent=1)' (over the data's spectrum), or 'likelihood' (with time log_uniform)."""
    condition_dropout: float = 0.1
    """Conditional models: share of samples trained without their condition, for classifier-free guidance."""
    bands: str = "none"
    """Train a model for 'sagd resample', which draws a band of an image anew given the rest: 'random' for one that
    takes any band (and draws whole images too), or the one band, e.g. 'ring(low=0.3, high=1)' for super-resolution."""
    coupling: Literal["independent", "optimal"] = "independent"
    """Which noise goes with which image of a batch: any, or by optimal transport in the distance of the noise, for flow
    matching ('schedule rectified', 'prediction velocity') drawn by a sampler without randomness; needs scipy."""


@dataclass(frozen=True)
class TrainingConfig:
    """Budget and optimiser."""

    steps: int = 2000
    """Optimiser steps. The default is for a first look: minutes on two cores with photographs of 32 x 32."""
    batch_size: int = 32
    """Items per step, over all processes."""
    lr: float = 2e-3
    """Peak learning rate of AdamW."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    lr_decay: Literal["none", "linear"] = "linear"
    """After warm-up: 'linear' falls to 0 after the last step, which steadies mean colours; 'none' stays."""
    weight_decay: float = 0.0
    """AdamW weight decay."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    ema_decay: float = 0.999
    """Decay of the averaged weights (warmed up)."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Mixed precision of the network, the noise stays float32; 'auto' times a few steps and takes bf16 where it is
    clearly faster."""
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
    tensorboard: bool = False
    """Write what metrics.jsonl holds for TensorBoard too, which shows it with: tensorboard --logdir OUT."""
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
    grid: str = "found"
    """Time grid: found (of least expected error for sampler, steps, noise and the data's spectrum), matched (Karras
    with the range the data needs), 'karras(rho=7)', uniform, log_snr, or spectral (as rings of frequencies drown)."""
    clip: float | None = None
    """Clamp the predicted clean image to [-clip, clip]."""
    guidance: float = 1.0
    """Classifier-free guidance scale of conditional models (1: none)."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What samples are measured with."""

    samples: int = 1000
    """Images to draw; of 'sagd evaluate' 0: as many as there are real ones, but 64 to 1,000."""
    features: str = "auto"
    """'classifier' (trained once on the data's labels), 'labelless' (fixed filters), 'auto' (the classifier where there
    are labels, else labelless) or the path of a TorchScript file."""
    features_sha256: str | None = None
    """Checksum of the TorchScript file; required with one."""
    features_range: tuple[float, ...] = (-1.0, 1.0)
    """Values that the TorchScript file takes black and white as; 0 255 passes uint8, as Inception files want."""
    features_channels: int = 3
    """Channels that the TorchScript file takes; grey images are repeated."""
    bands: int = 10
    """Radial bands of the spectral error."""
    by_scale: bool = False
    """Also measure what a spectrum does not tell, scale by scale: how uneven what a ring of frequencies holds is, and
    whether a classifier tells drawn from real by the highest frequencies alone."""
    batch_size: int = 250
    """Images per sampling batch."""
    likelihood: int = 0
    """Reference images whose bits per dimension are estimated, by models with noise at every frequency (0: none)."""
    likelihood_steps: int = 32
    """Runge-Kutta steps of that estimate, four network evaluations each."""
    seed: int = 0
    """Seed of the samples and of the real-against-real split."""


@dataclass(frozen=True)
class DesignConfig:
    """What 'sagd design' made a configuration for: other data is refused, and 'sagd compare' learns how white noise
    does best."""

    shape: tuple[int, ...] = ()
    """Shape (C, *spatial) of the items."""
    power: tuple[float, ...] = ()
    """Power of the data as a model sees it, by ring of frequencies from low to high, in dB."""
    evaluations: int = 0
    """Evaluations of the network that a sample may take."""
    white_denoiser: DenoiserConfig | None = None
    """How white noise is learnt best; default: as the noise of the design."""
    white_sampling: SamplingConfig | None = None
    """How samples of white noise are drawn best in as many evaluations."""


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    data: DataConfig = field(default_factory=DataConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    plugins: tuple[str, ...] = ()
    """Modules that define kinds which the sections name, as `--plugin` takes them."""
    design: DesignConfig | None = None
    """What the configuration was designed for, as 'sagd design' says it."""


@dataclass(frozen=True)
class ArmConfig:
    """What an arm of a comparison has of its own beside its process; what is left out is as all have it."""

    denoiser: DenoiserConfig | None = None
    """How its network is trained."""
    sampling: SamplingConfig | None = None
    """How its items are drawn."""
    design: DesignConfig | None = None
    """What it was designed for."""


@dataclass(frozen=True)
class CompareConfig:
    """Several processes trained alike: same data, network, budget and seeds."""

    arms: dict[str, ProcessConfig] = field(default_factory=dict)
    """Name -> forward process; the first is the reference of all differences."""
    own: dict[str, ArmConfig] = field(default_factory=dict)
    """Name -> what the arm of that name does otherwise than the sections that all share."""
    seeds: tuple[int, ...] = (0,)
    """One run per arm and seed; the same seed means the same initial weights, data order and white draws."""
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    plugins: tuple[str, ...] = ()
    """Modules that define kinds which the sections name, as `--plugin` takes them."""
