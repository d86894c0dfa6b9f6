"""The arms of the study: designs, each a process, how a network learns it, and the ways to draw from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sagd.build.schema import DenoiserConfig, ProcessConfig, RunConfig, SamplingConfig
from sagd.build.text import load_yaml

DESIGN = "design"
"""The arm that `sagd design` makes."""
WHITE = "white"
"""The group of which each figure takes the best recipe: what others are held against."""
KARRAS = "karras(sigma_min=0.002, sigma_max=80)"
_PUBLISHED = DenoiserConfig(prediction="eps", time="uniform")
_FLOW = DenoiserConfig(prediction="velocity", time="uniform")
_EVALUATIONS_OF_A_STEP = {"heun": 2}


@dataclass(frozen=True)
class Way:
    """How samples are drawn, but for the number of steps.

    Attributes:
        sampler: Sampler.
        grid: Time grid.
    """

    sampler: str = "heun"
    grid: str = "matched"

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.sampler}, {self.grid.partition('(')[0]}"

    def steps(self, evaluations: int) -> int:
        """Most steps that take at most so many evaluations of the network; Heun's last step takes one."""
        each = _EVALUATIONS_OF_A_STEP.get(self.sampler.partition("(")[0], 1)
        return (evaluations + each - 1) // each

    def taken(self, evaluations: int) -> int:
        """Evaluations that these steps take."""
        each = _EVALUATIONS_OF_A_STEP.get(self.sampler.partition("(")[0], 1)
        return each * self.steps(evaluations) - (each - 1)

    def sampling(self, evaluations: int) -> SamplingConfig:
        """As a configuration."""
        return SamplingConfig(sampler=self.sampler, steps=self.steps(evaluations), grid=self.grid)


USUAL = (Way("heun", "found"), Way("dpm_solver", "found"))
EVERY = (*USUAL, Way("heun", "matched"), Way("dpm_solver", "matched"), Way("heun", KARRAS), Way("dpm_solver", KARRAS))


@dataclass(frozen=True)
class Arm:
    """A design.

    Attributes:
        process: Forward process.
        denoiser: Prediction, training times, weighting, coupling.
        ways: How samples are drawn; the best of them counts.
        group: Arms of one group stand for one method, of whose recipes the best counts.
    """

    process: ProcessConfig = field(default_factory=ProcessConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    ways: tuple[Way, ...] = USUAL
    group: str = ""


def _learnt(prediction: str, time: str = "matched") -> DenoiserConfig:
    return DenoiserConfig(prediction=prediction, time=time)


def _whitened(exponent: float, prediction: str) -> Arm:
    spectrum = f"whitening(exponent={exponent:g})"
    return Arm(ProcessConfig(spectrum=spectrum), _learnt(prediction), group=spectrum)


def _tilted(alpha: float) -> Arm:
    return Arm(ProcessConfig(spectrum=f"power_law(alpha={alpha:g})"), _learnt("wiener"), group="tilt")


ARMS: Mapping[str, Arm] = {
    "white, edm, log-normal": Arm(denoiser=_learnt("edm", "log_normal"), ways=EVERY, group=WHITE),
    "white, wiener": Arm(ways=(*EVERY, Way("heun", "spectral"), Way("dpm_solver", "spectral")), group=WHITE),
    "half whitening, edm": _whitened(0.5, "edm"),
    "whitening, edm": _whitened(1.0, "edm"),
    "whitening, wiener": _whitened(1.0, "wiener"),
    "half whitening, wiener": _whitened(0.5, "wiener"),
    "white, edm": Arm(denoiser=_learnt("edm"), ways=EVERY, group=WHITE),
    "white, v": Arm(denoiser=_learnt("v"), ways=EVERY, group=WHITE),
    "white, eps": Arm(denoiser=_learnt("eps"), ways=EVERY, group=WHITE),
    "white, as published": Arm(denoiser=_PUBLISHED, ways=(Way("ddim(eta=0)", "uniform"), *USUAL), group=WHITE),
    "EqualSNR": Arm(
        ProcessConfig(spectrum="whitening", basis="fourier"),
        _PUBLISHED,
        (Way("ddim(eta=0)", "uniform"), *USUAL),
        group="EqualSNR",
    ),
    "tilt -0.5": _tilted(-0.5),
    "tilt -1": _tilted(-1.0),
    "flicker": Arm(
        ProcessConfig(spectrum="flicker(eta=1)", basis="fourier"),
        _PUBLISHED,
        (Way("ddim(eta=0)", "uniform"), *USUAL),
        group="flicker",
    ),
    "flicker, filtered": Arm(
        ProcessConfig(spectrum="flicker(eta=1) * flicker(eta=1)", basis="fourier"),
        _PUBLISHED,
        (Way("ddim(eta=0)", "uniform"), *USUAL),
        group="flicker",
    ),
    "low-pass flow": Arm(
        ProcessConfig(
            schedule="rectified",
            spectrum="exponential_decay(beta=8)",
            calibration="none",
            evolution="interpolated(far='flat')",
        ),
        _FLOW,
        (Way("heun", "uniform"), Way("euler", "uniform")),
        group="low-pass flow",
    ),
    "flow": Arm(
        ProcessConfig(schedule="rectified"), _FLOW, (Way("heun", "uniform"), Way("euler", "uniform")), group="flow"
    ),
    "flow, coupled": Arm(
        ProcessConfig(schedule="rectified"),
        DenoiserConfig(prediction="velocity", time="uniform", coupling="optimal"),
        (Way("heun", "uniform"), Way("euler", "uniform")),
        group="flow, coupled",
    ),
    "whitened flow, coupled": Arm(
        ProcessConfig(schedule="rectified", spectrum="whitening(exponent=1)"),
        DenoiserConfig(prediction="velocity", time="uniform", coupling="optimal"),
        (Way("heun", "uniform"), Way("euler", "uniform")),
        group="whitened flow, coupled",
    ),
}
"""Name -> design, the table of the trial first."""


def designed(path: Path) -> Arm:
    """The arm of a file that `sagd design` wrote."""
    config = load_yaml(RunConfig, path)
    return Arm(config.process, config.denoiser, USUAL, DESIGN)
