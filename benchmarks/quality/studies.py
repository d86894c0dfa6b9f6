"""The studies: which arms differ in what, and how they are sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sagd.build.catalogue import catalogue
from sagd.build.schema import AUTO_BASIS, DenoiserConfig, ProcessConfig, SamplingConfig
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.power_law import PowerLaw

WHITE = "white"
EPSILON = 1e-10
"""What the paper adds to the radius before the power is taken."""

PAPER = DenoiserConfig(prediction="eps", time="uniform")
"""Prediction and training times as published."""
DDIM = {"ddim, 50 evaluations": SamplingConfig(sampler="ddim", steps=50, grid="uniform")}
"""Sampling as published, in as many steps as such sampling usually has."""


@dataclass(frozen=True)
class Arm:
    """One way to train, and the ways to sample what comes of it.

    Attributes:
        name: Its name in tables.
        process: Forward process.
        denoiser: Prediction, training times, weighting.
        samplings: Label -> how images are drawn; each is an evaluation.
        group: What it is a part of, e.g. a way to build noise; arms of a group are drawn as one line.
        value: Its place on that line, if there is one.
        reference: The arm that it is compared with.
        parts: Shares of the steps after which it is evaluated.
        loop: Whose training loop: "sagd" or "diffusers".
    """

    name: str
    process: ProcessConfig = field(default_factory=ProcessConfig)
    denoiser: DenoiserConfig = PAPER
    samplings: Mapping[str, SamplingConfig] = field(default_factory=lambda: DDIM)
    group: str = ""
    value: float | None = None
    reference: str = WHITE
    parts: tuple[float, ...] = (1.0,)
    loop: str = "sagd"

    @property
    def noise(self) -> ProcessConfig:
        """Its process, in the basis of the published ones unless it names another."""
        return replace(self.process, basis="fourier") if self.process.basis == AUTO_BASIS else self.process


@dataclass(frozen=True)
class Study:
    """A question, and the arms that answer it.

    Attributes:
        title: For the page.
        question: What it asks, and how.
        arms: Shape of the images and whether the budget is a small one -> arms.
        data: Data sets it is for; empty for all of the scale.
        overwritten: Upper edge of a low band of the data that noise takes the place of; 0 for none.
    """

    title: str
    question: str
    arms: Callable[[tuple[int, ...], bool], list[Arm]]
    data: tuple[str, ...] = ()
    overwritten: float = 0.0


# (a) The published sweep, taken apart

ALPHAS = (-0.1, -0.08, -0.06, -0.04, -0.02, -0.001, 0.001, 0.02, 0.04, 0.06, 0.08, 0.1)
FEW_ALPHAS = (-0.1, -0.06, -0.02, 0.02, 0.06, 0.1)


def alpha_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """White noise, and for each exponent the published weights and their three parts."""
    arms = [Arm(WHITE)]
    for alpha in FEW_ALPHAS if small else ALPHAS:
        dc, level = dc_weight(alpha), level_of(alpha, shape)
        raw = {
            "as published": f"power_law(alpha={alpha}, epsilon={EPSILON})",
            "DC alone": f"band_pass(low=0.0, high=0.01, inside={dc!r}, outside=1.0)",
            "level alone": f"band_pass(low=0.0, high=1.0, inside={level!r}, outside={level!r})",
        }
        arms += [
            Arm(f"{part}, {alpha:+g}", ProcessConfig(spectrum=text, calibration="none"), group=part, value=alpha)
            for part, text in raw.items()
        ]
        shaped = ProcessConfig(spectrum=f"power_law(alpha={alpha})")
        arms.append(Arm(f"shape alone, {alpha:+g}", shaped, group="shape alone", value=alpha))
    return arms


def dc_weight(alpha: float) -> float:
    """The published weight of the mean of an image."""
    return float(f"{EPSILON**alpha:.6g}")


def level_of(alpha: float, shape: tuple[int, ...]) -> float:
    """Root mean square of the published weights of all other frequencies."""
    basis = FourierBasis(shape[1:])
    w, m = PowerLaw(alpha, EPSILON).weights(basis.frequencies()).double(), basis.multiplicity()
    m = m * (basis.radius() > 0)
    return float(f"{float((m * w**2).sum() / m.sum()) ** 0.5:.6g}")


# (b) Two bands


def band_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """The two-band mixture from almost all noise low to almost all high; equal weights are white noise."""
    gammas = (0.1, 0.3, 0.7, 0.9) if small else (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95)
    return [
        Arm(WHITE),
        *(
            Arm(
                f"gamma {gamma:g}",
                ProcessConfig(spectrum=f"two_band(gamma_low={gamma}, gamma_high={round(1 - gamma, 3)})"),
                group="two bands",
                value=gamma,
            )
            for gamma in gammas
        ),
    ]


# (c) The low band overwritten


def overwritten_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """Tilts towards high frequencies, which alone hold the image."""
    alphas = (-0.08, 0.04, 0.08) if small else (-0.08, -0.04, 0.02, 0.04, 0.06, 0.08, 0.1)
    return [Arm(WHITE), *(_tilt(alpha) for alpha in alphas)]


def _tilt(alpha: float) -> Arm:
    return Arm(f"tilt {alpha:+g}", ProcessConfig(spectrum=f"power_law(alpha={alpha})"), group="tilt", value=alpha)


# (d) Few evaluations

EVALUATIONS = (4, 6, 10, 18, 50)
OWN, COMMON = "own grid", "common grid"
COMMON_RANGE = "karras(sigma_min=0.002, sigma_max=80.0)"
"""The usual grid, whatever the process: that of Karras et al. (2022)."""
LEFT_OUT = ("omission", "by_class", "flicker", "equal_mean_snr", "low_pass_flow")
"""Processes that learn no whole images, need classes, or are the rivals that `benchmarks.design` compares."""


def step_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """All processes of the library, with the time grid that each needs and with one for all."""
    grids = {OWN: "matched", COMMON: COMMON_RANGE}
    samplings = {
        f"{n} evaluations, {name}": SamplingConfig(sampler="dpm_solver", steps=n, grid=grid)
        for n in EVALUATIONS
        for name, grid in grids.items()
    }
    mild = [
        Arm("mild_low_tilt", ProcessConfig(spectrum="power_law(alpha=-0.1)")),
        Arm("mild_high_tilt", ProcessConfig(spectrum="power_law(alpha=0.1)")),
    ]
    entries = [Arm(e.name, e.process) for e in catalogue(shape) if e.name not in LEFT_OUT]
    edm = DenoiserConfig(prediction="edm", time="matched")
    return [replace(arm, denoiser=edm, samplings=samplings) for arm in [entries[0], *mild, *entries[1:]]]


# (e) Parameterisation

PREDICTIONS = ("eps", "x0", "v", "edm", "wiener")
NOISES = {"white": "flat", "tilted": "power_law(alpha=-0.1)"}
TIMES = {"fixed": "log_normal(mean=-1.2, std=1.2)", "matched": "matched"}


def parameterisation_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """Every prediction with white and tilted noise, with training times fixed or matched to the spectrum."""
    sampling = {"dpm_solver, 18 evaluations": SamplingConfig(sampler="dpm_solver", steps=18, grid="matched")}
    return [
        Arm(
            f"{prediction}, {noise}, {times}",
            ProcessConfig(spectrum=spectrum, schedule="cosine"),
            DenoiserConfig(prediction=prediction, time=law),  # type: ignore[arg-type]
            sampling,
            group=f"{noise}, {times}",
            reference=f"{prediction}, white, {times}",
        )
        for prediction in PREDICTIONS
        for noise, spectrum in NOISES.items()
        for times, law in TIMES.items()
    ]


# (f) Learning curves


def curve_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """White noise and two tilts, evaluated while they learn."""
    parts = (0.125, 0.25, 0.5, 1.0)
    sampling = {"dpm_solver, 18 evaluations": SamplingConfig(sampler="dpm_solver", steps=18, grid="matched")}
    edm = DenoiserConfig(prediction="edm", time="matched")
    spectra = {WHITE: "flat", "low tilt": "power_law(alpha=-0.3)", "high tilt": "power_law(alpha=0.3)"}
    return [Arm(name, ProcessConfig(spectrum=text), edm, sampling, parts=parts) for name, text in spectra.items()]


# (g) Drop-in


def dropin_arms(shape: tuple[int, ...], small: bool) -> list[Arm]:
    """diffusers' own loop with white noise, with noise from `sagd`, and sagd's loop with the same."""
    spectra = {WHITE: "flat", "tilt -0.1": "power_law(alpha=-0.1)", "tilt +0.1": "power_law(alpha=0.1)"}
    return [
        Arm(
            f"{loop}, {name}",
            ProcessConfig(spectrum=text),
            reference=f"{loop}, {WHITE}",
            loop=loop,
        )
        for loop in ("diffusers", "sagd")
        for name, text in spectra.items()
    ]


STUDIES: Mapping[str, Study] = {
    "alpha": Study(
        "The power-law sweep, taken apart",
        "The published weights `(r + 1e-10)^alpha` change three things at once: the shape of the spectrum, its level,"
        " and the weight of the mean of an image (DC), which is multiplied by `1e-10^alpha`: 4 at alpha = -0.06. Each"
        " is given alone beside the published weights. Prediction `eps`, uniform training times, as published.",
        alpha_arms,
    ),
    "bands": Study(
        "Two bands",
        "Noise of weight `gamma` in the lower and `1 - gamma` in the upper half of the frequency range; 0.5 is white"
        " noise.",
        band_arms,
    ),
    "overwritten": Study(
        "The low band overwritten",
        "CIFAR-10 with its frequencies below 0.3 of the corner replaced by noise: what is to be learnt is in the high"
        " ones. Samples are compared with held-out images treated alike.",
        overwritten_arms,
        ("cifar10",),
        0.3,
    ),
    "steps": Study(
        "All processes at few evaluations",
        "Every process of the library, sampled by `dpm_solver` with the time grid that fits its noise to the data, and"
        " with the usual one for all: is a gain at few steps from the noise or from the grid? Prediction `edm`,"
        " training times matched to the spectrum, for all.",
        step_arms,
    ),
    "parameterisation": Study(
        "What the network predicts",
        "Five predictions with white noise and a tilt of -0.1, with training times of a fixed law (log-normal, as in"
        " EDM) and of the law matched to the spectrum. Every tilted arm is compared with white noise under the same"
        " prediction and times.",
        parameterisation_arms,
    ),
    "curves": Study(
        "What is learnt first",
        "White noise and tilts of -0.3 and +0.3, evaluated after an eighth, a quarter, a half and all of the budget:"
        " error of the power spectrum by band against images seen.",
        curve_arms,
    ),
    "dropin": Study(
        "Noise alone replaced in diffusers' loop",
        "The training loop of diffusers' unconditional example, where `torch.randn` is replaced by a draw of `sagd`;"
        " beside it sagd's own loop. Each loop is compared with itself under white noise.",
        dropin_arms,
    ),
}
