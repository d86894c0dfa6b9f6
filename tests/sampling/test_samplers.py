import io
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from tqdm import tqdm

from sagd.build.draw import draw
from sagd.build.schema import SamplingConfig
from sagd.errors import InputError, ProcessMismatchError
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.exact import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from sagd.model.parameterisation import Parameterisation
from sagd.noise.basis.base import Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.regions import Ball, Box
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics, measure
from sagd.process.base import Time
from sagd.process.evolution import Blurring, Common, Evolution, Frequencies, Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.random import sample_generators
from sagd.sampling.base import Run, Sampler
from sagd.sampling.ddim import DDIM
from sagd.sampling.ddpm import DDPM
from sagd.sampling.dpm_solver import DPMSolver
from sagd.sampling.euler import Euler
from sagd.sampling.grids import KarrasGrid, LogSNRGrid, MatchedGrid, TimeGrid, UniformGrid
from sagd.sampling.heun import Heun
from sagd.testing.oracles import FunctionDenoiser, output_spectrum
from sagd.testing.samplers import SamplerContract

SHAPE = (1, 6, 5)
BASIS = FourierBasis(SHAPE[1:])
DATA = 0.2 + torch.exp(-8 * BASIS.radius())
SAMPLERS = [DDPM(), DDIM(), DDIM(0.5), DDIM(1.0), Euler(), Euler(churn=3.0), Heun(), Heun(churn=3.0), DPMSolver()]
DETERMINISTIC = [DDIM(), Euler(), Heun(), DPMSolver()]
SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(), RectifiedSchedule()]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


class TestDDPM(SamplerContract):
    def sampler(self) -> Sampler:
        return DDPM()


class TestDDIM(SamplerContract):
    def sampler(self) -> Sampler:
        return DDIM()


class TestStochasticDDIM(SamplerContract):
    def sampler(self) -> Sampler:
        return DDIM(eta=0.5)


class TestEuler(SamplerContract):
    def sampler(self) -> Sampler:
        return Euler()


class TestHeun(SamplerContract):
    order = 2

    def sampler(self) -> Sampler:
        return Heun()


class TestChurningHeun(SamplerContract):
    order = 2

    def sampler(self) -> Sampler:
        return Heun(churn=2.0, churn_min=0.05, churn_max=50.0)


class TestDPMSolver(SamplerContract):
    order = 2

    def sampler(self) -> Sampler:
        return DPMSolver()


class WhiteNoise(DDPM):
    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        posterior = run.process.posterior(x_t, run.denoise(x_t, t), t, s)
        return posterior.mean + posterior.std * torch.randn(x_t.shape, generator=seeded(0), dtype=x_t.dtype)


class LoudNoise(DDPM):
    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        posterior = run.process.posterior(x_t, run.denoise(x_t, t), t, s)
        return posterior.mean + 1.2 * posterior.std * run.noise(x_t)


class SharedNoise(DDPM):
    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        posterior = run.process.posterior(x_t, run.denoise(x_t, t), t, s)
        return posterior.mean + posterior.std * run.noise(x_t)[:1]


class NeverArrives(DDPM):
    def step(self, run: Run, x_t: Tensor, t: float, s: float) -> Tensor:
        return super().step(run, x_t, t, max(s, 0.01))


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (WhiteNoise(), "test_coloured_noise_is_white_noise_in_other_coordinates"),
        (LoudNoise(), "test_output_covariance_tends_to_that_of_the_data"),
        (SharedNoise(), "test_samples_do_not_depend_on_the_batch_size"),
        (NeverArrives(), "test_last_step_returns_the_image"),
    ],
)
def test_the_contract_fails_faulty_samplers(faulty: Sampler, test: str) -> None:
    class Suite(SamplerContract):
        def sampler(self) -> Sampler:
            return faulty

    with pytest.raises(AssertionError):
        getattr(Suite(), test)()


# Power spectra of outputs on Gaussian data, by recursions that share nothing with the samplers: Wiener gains per
# frequency, and each method as its source writes it.


def ancestral_spectrum(schedule: Schedule, W: Tensor, times: Tensor) -> Tensor:
    """DDPM: `x_s` given `x_t` and the estimate, by conditioning the two-by-two joint law of `(x_s, x_t)`."""
    v = schedule.sigma(times[0]) ** 2 * W
    for t, s in itertools.pairwise(times):
        a, b, sigma_t, sigma_s = schedule.alpha(t), schedule.alpha(s), schedule.sigma(t), schedule.sigma(s)
        gain = a * DATA / (a**2 * DATA + sigma_t**2 * W)
        cross, total = a / b * sigma_s**2 * W, sigma_t**2 * W
        slope = cross / total
        v = (b * gain + slope * (1 - a * gain)) ** 2 * v + sigma_s**2 * W - cross**2 / total
    return v


def ddim_spectrum(eta: float) -> Callable[[Schedule, Tensor, Tensor], Tensor]:
    """Equations 12 and 16 of Song et al. (2021), in their `alpha` (our `alpha_bar`)."""

    def spectrum(schedule: Schedule, W: Tensor, times: Tensor) -> Tensor:
        v = schedule.sigma(times[0]) ** 2 * W
        for t, s in itertools.pairwise(times):
            abar_t, abar_s = schedule.alpha(t) ** 2, schedule.alpha(s) ** 2
            std = eta * ((1 - abar_s) / (1 - abar_t)).sqrt() * (1 - abar_t / abar_s).sqrt()
            image = abar_t.sqrt() * DATA / (abar_t * DATA + (1 - abar_t) * W)
            noise = (1 - abar_t.sqrt() * image) / (1 - abar_t).sqrt()
            v = (abar_s.sqrt() * image + (1 - abar_s - std**2).clamp(min=0).sqrt() * noise) ** 2 * v + std**2 * W
        return v

    return spectrum


def karras_spectrum(order: int, churn: float = 0.0) -> Callable[[Schedule, Tensor, Tensor], Tensor]:
    """Algorithm 2 of Karras et al. (2022) on `y = x / alpha` with noise level `n = sigma / alpha`."""

    def slope(n: Tensor, W: Tensor) -> Tensor:
        return (1 - DATA / (DATA + n**2 * W)) / n

    def spectrum(schedule: Schedule, W: Tensor, times: Tensor) -> Tensor:
        levels = schedule.noise_level(times)
        v = levels[0] ** 2 * W
        for n, m in itertools.pairwise(levels):
            # The process ends at t = 1: no noise is added beyond its largest level.
            raised = (n * (1 + min(churn / (len(levels) - 1), math.sqrt(2) - 1))).clamp(
                max=schedule.noise_level(torch.ones((), dtype=torch.float64))
            )
            v = v + (raised**2 - n**2) * W
            euler = 1 + (m - raised) * slope(raised, W)
            if order == 2 and m > 0:
                euler = 1 + (m - raised) * (slope(raised, W) + slope(m, W) * euler) / 2
            v = euler**2 * v
        return v

    return spectrum


def dpm_spectrum(schedule: Schedule, W: Tensor, times: Tensor) -> Tensor:
    """Algorithm 2 of Lu et al. (2022), with `h` and `r` in half-log-SNR; the last step is the estimate."""
    start = schedule.sigma(times[0]) * W.sqrt()
    x, before, h_before = start, None, None
    for t, s in itertools.pairwise(times):
        a, sigma = schedule.alpha(t), schedule.sigma(t)
        image = a * DATA / (a**2 * DATA + sigma**2 * W) * x
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        if s == 0:
            x = image
            break
        D = image
        if before is not None and h_before is not None:
            r = h_before / h
            D = (1 + 1 / (2 * r)) * image - before / (2 * r)
        x = schedule.sigma(s) / sigma * x - schedule.alpha(s) * torch.expm1(-h) * D
        before, h_before = image, h
    return x**2


RECURSIONS: list[tuple[Sampler, Callable[[Schedule, Tensor, Tensor], Tensor]]] = [
    (DDPM(), ancestral_spectrum),
    (DDIM(), ddim_spectrum(0.0)),
    (DDIM(0.5), ddim_spectrum(0.5)),
    (DDIM(1.0), ddim_spectrum(1.0)),
    (Euler(), karras_spectrum(1)),
    (Euler(churn=3.0), karras_spectrum(1, 3.0)),
    (Heun(), karras_spectrum(2)),
    (Heun(churn=3.0), karras_spectrum(2, 3.0)),
    (DPMSolver(), dpm_spectrum),
]


@pytest.mark.parametrize("spectrum", [Flat(), PowerLaw(-0.5), PowerLaw(1.0)], ids=str)
@pytest.mark.parametrize(("sampler", "recursion"), RECURSIONS, ids=[str(s) for s, _ in RECURSIONS])
def test_output_covariance_after_few_steps(
    sampler: Sampler, recursion: Callable[[Schedule, Tensor, Tensor], Tensor], spectrum: Spectrum
) -> None:
    covariance = SpectralCovariance(spectrum, SHAPE)
    for schedule in (VPSchedule(), CosineSchedule()):
        process = ForwardProcess(schedule, covariance)
        for grid, steps in ((UniformGrid(), 1), (UniformGrid(), 7), (KarrasGrid(0.01, 80.0), 6)):
            times = grid.times(steps, process)
            exact = recursion(schedule, covariance.eigenvalues, times)
            # log alpha_bar of the VP schedule is known to 1e-10 only.
            torch.testing.assert_close(
                output_spectrum(sampler, process, DATA, times.tolist()), exact, rtol=1e-5, atol=1e-8
            )


@pytest.mark.parametrize("sampler", [DDPM(), Euler(churn=3.0)], ids=str)
def test_drawn_samples_have_the_exact_covariance(sampler: Sampler) -> None:
    """4,000 samples, seed fixed: every frequency's power, a chi-squared variable, at level 1e-3 over all of them."""
    count = 4000
    process = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    denoiser = GaussianDenoiser(process, torch.zeros(SHAPE), DATA)
    x = sampler.sample(denoiser, count, steps=5, generator=seeded(0), dtype=torch.float64)
    exact = output_spectrum(sampler, process, DATA, KarrasGrid().times(5, process).tolist())
    power = BASIS.forward(x[:, 0]).abs().square().sum(0) / exact
    # Self-conjugate coefficients are real: one degree of freedom, not two.
    frequencies = BASIS.frequencies()
    real = ((frequencies.abs() % 0.5) == 0).all(0)
    freedom = torch.where(real, count, 2 * count).numpy()
    p = stats.chi2.cdf((power * torch.where(real, 1, 2)).numpy(), freedom)
    level = 1e-3 / p.size
    assert ((p > level / 2) & (p < 1 - level / 2)).all()


@pytest.mark.parametrize(("sampler", "order"), [(DDIM(), 1), (Euler(), 1), (Heun(), 2), (DPMSolver(), 2)], ids=str)
@pytest.mark.parametrize("schedule", [CosineSchedule(), RectifiedSchedule(), VESchedule(0.1, 5.0)], ids=str)
def test_convergence_to_the_probability_flow(sampler: Sampler, order: int, schedule: Schedule) -> None:
    """On Gaussian data the flow of equation 35 is `x_s = x_t sqrt(v_s / v_t)` per frequency, `v = alpha^2 S + sigma^2
    w^2`; the order is the slope of a log-log regression."""
    process = ForwardProcess(schedule, SpectralCovariance(PowerLaw(0.5), SHAPE))
    denoiser = GaussianDenoiser(process, torch.zeros(SHAPE), DATA)
    W, ends = process.covariance.power_spectrum(BASIS), torch.tensor([0.9, 0.3], dtype=torch.float64)
    v_t, v_s = (schedule.alpha(t) ** 2 * DATA + schedule.sigma(t) ** 2 * W for t in ends)
    start = normal(0, 1, *SHAPE)
    exact = BASIS.inverse((v_s / v_t).sqrt() * BASIS.forward(start))
    steps, errors = [16, 32, 64, 128], []
    for count in steps:
        run, x = Run(process, lambda x_t, t: denoiser(x_t, t)), start
        for t, s in itertools.pairwise(torch.linspace(0.9, 0.3, count + 1, dtype=torch.float64).tolist()):
            x = sampler.step(run, x, t, s)
        errors.append(float((x - exact).norm()))
    slope = stats.linregress([math.log(n) for n in steps], [math.log(e) for e in errors]).slope
    assert -slope == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("one", "other"), [(DDPM(), DDIM(1.0)), (Euler(), DDIM(0.0))], ids=str)
def test_equal_methods(one: Sampler, other: Sampler, schedule: Schedule) -> None:
    """DDIM is ancestral sampling at `eta = 1` and Euler's method at `eta = 0`: draw for draw, so in law."""
    process = ForwardProcess(schedule, SpectralCovariance(PowerLaw(0.5), SHAPE))
    denoiser = FunctionDenoiser(process, lambda x_t, t: torch.tanh(x_t))
    x, y = (s.sample(denoiser, 3, steps=8, generator=seeded(0), dtype=torch.float64) for s in (one, other))
    torch.testing.assert_close(x, y)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_combination_gives_finite_samples(sampler: Sampler, schedule: Schedule) -> None:
    predictions = [p for p in Parameterisation.kinds() if p != "eps" or schedule != RectifiedSchedule()]
    covariances = [IsotropicCovariance((1, 4, 4)), SpectralCovariance(BandPass(0.2, 0.7), (1, 4, 4))]
    data = measure(0.5 + 0.3 * normal(0, 20, 1, 4, 4))
    for covariance, prediction, grid in itertools.product(covariances, predictions, ("uniform", "karras")):
        process = ForwardProcess(schedule, covariance)
        denoiser = NetworkDenoiser(lambda x, t: torch.tanh(x), process, prediction, statistics=data)
        for steps in (1, 3) if grid == "uniform" else (3,):
            x = sampler.sample(denoiser, 2, steps=steps, grid=grid, generator=seeded(0))
            assert (x.shape, x.dtype) == ((2, 1, 4, 4), torch.float32)
            assert torch.isfinite(x).all(), (str(covariance), prediction, grid, steps)


@dataclass(frozen=True)
class UniformFrom(TimeGrid):
    """Equal steps from a chosen time."""

    first: float

    def points(self, steps: int, process: ForwardProcess, statistics: DataStatistics | None) -> Tensor:
        return torch.linspace(self.first, 0, steps + 1, dtype=torch.float64)[:-1]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("schedule", [VPSchedule(), VESchedule(0.05, 5.0)], ids=str)
def test_frequencies_without_noise_are_those_of_the_start(schedule: Schedule, sampler: Sampler) -> None:
    """Band-limited resampling: the other frequencies of an image come through untouched, whatever the denoiser says;
    without a given start they are empty."""
    covariance = SpectralCovariance(BandPass(0.4, 0.8), SHAPE)
    process = ForwardProcess(schedule, covariance)
    rho = BASIS.relative_radius()
    outside = (rho < 0.4) | (rho >= 0.8)
    denoiser = NetworkDenoiser(lambda x, t: torch.tanh(3 * x + 1), process, "x0")
    image = normal(0, 4, *SHAPE)
    start = process.perturb(image, 0.7, generator=seeded(1))
    x = sampler.sample(denoiser, 4, steps=6, grid=UniformFrom(0.7), start=start, generator=seeded(2), clip=0.5)
    assert (BASIS.forward(x - image)[..., outside].abs() < 1e-9).all()
    assert (BASIS.forward(x - image)[..., ~outside].abs() > 1e-3).any()
    x = sampler.sample(denoiser, 4, steps=6, generator=seeded(2), dtype=torch.float64)
    assert (BASIS.forward(x)[..., outside].abs() < 1e-9).all()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_samples_of_an_empirical_distribution_are_its_points(sampler: Sampler) -> None:
    """Four far images: every sample is one of them, and each is drawn equally often. 400 samples, seed fixed;
    chi-squared test at level 1e-3."""
    covariance = SpectralCovariance(PowerLaw(-0.5), (1, 4, 4))
    data = torch.linalg.qr(normal(0, 16, 16))[0][:4].reshape(4, 1, 4, 4) * 4
    denoiser = EmpiricalDenoiser(ForwardProcess(VPSchedule(), covariance), data)
    x = sampler.sample(denoiser, 400, steps=30, generator=seeded(1), dtype=torch.float64)
    distances = torch.cdist(x.flatten(1), data.flatten(1))
    assert (distances.min(1).values < 1e-6).all()
    counts = distances.argmin(1).bincount(minlength=4)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_samples_of_a_mixture() -> None:
    """Two narrow modes with weights 1 and 3, each with a spectrum of its own.

    2,000 samples, seed fixed. Shares within 4 binomial standard deviations, means of pixels within 6; the variance
    within a mode to 10 %, which is at least 6 and leaves room for the error of 40 steps.
    """
    process = ForwardProcess(CosineSchedule(), SpectralCovariance(PowerLaw(0.5), SHAPE))
    means = torch.stack([torch.ones(SHAPE), -torch.ones(SHAPE)]).double()
    spectra = torch.stack([0.01 * DATA, torch.full_like(DATA, 0.04)]).unsqueeze(1)
    denoiser = GaussianMixtureDenoiser(process, means, spectra, torch.tensor([1.0, 3.0]))
    x = Heun().sample(denoiser, 2000, steps=40, generator=seeded(0), dtype=torch.float64)
    first = x.mean((1, 2, 3)) > 0
    assert abs(first.double().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    for mode, chosen in ((0, first), (1, ~first)):
        statistics = measure(x[chosen])
        assert (statistics.mean - means[mode]).abs().max() < 0.03
        expected = (spectra[mode] * BASIS.multiplicity()).sum() / 30
        assert statistics.variance == pytest.approx(float(expected), rel=0.1)


def test_labels() -> None:
    """Labels reach the network in the order of the samples, batch by batch."""
    seen: list[Tensor] = []

    def network(x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels)
        return labels.reshape(-1, 1, 1, 1).to(x) + 0 * x

    process = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))
    denoiser = NetworkDenoiser(network, process, "x0", null={"labels": 10})
    labels = torch.arange(5)
    x = Euler().sample(denoiser, 5, steps=2, condition=labels, batch_size=2, generator=seeded(0))
    torch.testing.assert_close(x, labels.reshape(-1, 1, 1, 1).float().expand_as(x))
    assert torch.cat(seen).tolist() == [0, 1, 0, 1, 2, 3, 2, 3, 4, 4]


def test_another_process_is_refused() -> None:
    process = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    denoiser = FunctionDenoiser(process, lambda x_t, t: x_t)
    same = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    assert Euler().sample(denoiser, 1, steps=1, process=same).shape == (1, *SHAPE)
    for other in (
        ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.4), SHAPE)),
        ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE, calibration="none")),
        ForwardProcess(VPSchedule(beta_end=0.01), SpectralCovariance(PowerLaw(-0.5), SHAPE)),
        ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE)),
    ):
        with pytest.raises(ProcessMismatchError, match=r"trained with .*-0\.5.*train a model with that process"):
            Euler().sample(denoiser, 1, steps=1, process=other)


def test_bad_requests_are_refused() -> None:
    denoiser = FunctionDenoiser(ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE)), lambda x_t, t: x_t)
    with pytest.raises(InputError, match="count must be at least 1, got 0"):
        Euler().sample(denoiser, 0)
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        Euler().sample(denoiser, 2, batch_size=0)
    with pytest.raises(InputError, match="got 3 labels for 2 samples"):
        Euler().sample(denoiser, 2, condition=torch.zeros(3, dtype=torch.long))
    with pytest.raises(InputError, match="got 1 start for 2 samples"):
        Euler().sample(denoiser, 2, start=torch.zeros(1, *SHAPE))
    with pytest.raises(InputError, match="got 3 generators for 2 samples"):
        Euler().sample(denoiser, 2, generator=sample_generators(0, 3))
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        Euler().sample(denoiser, 2, steps=0)
    with pytest.raises(InputError, match="unknown time grid 'karas'; did you mean 'karras'"):
        Euler().sample(denoiser, 2, grid="karas")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ddim(eta=1.5)", r"eta must lie in \[0, 1\], got 1\.5"),
        ("euler(churn=-1)", "churn must be >= 0 and churn_noise > 0, got -1"),
        ("heun(churn_noise=0)", "got 0.0 and 0"),
        ("dpm_solver(order=3)", "has no parameter 'order'"),
        ("ddmp", "unknown sampler 'ddmp'; did you mean 'ddpm'"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampler.parse(text)


def test_draw_follows_its_configuration() -> None:
    process = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    denoiser = GaussianDenoiser(process, torch.zeros(SHAPE), DATA)
    statistics = measure(denoiser.process.covariance.sample(50, seeded(0)))
    config = SamplingConfig(sampler="ddim(eta=0.5)", steps=4, grid="matched(margin=3)", clip=0.3)
    x = draw(denoiser, 4, config, seed=7, statistics=statistics)
    expected = DDIM(0.5).sample(
        denoiser,
        4,
        steps=4,
        grid="matched(margin=3)",
        clip=0.3,
        statistics=statistics,
        generator=sample_generators(7, 4),
    )
    assert torch.equal(x, expected)
    assert x.abs().max() <= 0.3
    fewer = draw(denoiser, 2, config, seed=7, statistics=statistics, batch_size=1)
    torch.testing.assert_close(fewer, x[:2], rtol=0, atol=1e-6)
    assert not torch.equal(draw(denoiser, 4, config, seed=8, statistics=statistics), x)


def test_progress_bar_counts_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three batches of three steps; nothing is shown unless asked for, or where there is no terminal."""
    bars: list[Any] = []

    class Bar(tqdm):
        def __init__(self, total: int, disable: bool | None, **_: object) -> None:
            bars.append(self)
            self.asked = disable
            super().__init__(total=total, file=io.StringIO())

    monkeypatch.setattr("sagd.counting.tqdm", Bar)
    denoiser = FunctionDenoiser(ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE)), lambda x_t, t: x_t)
    for progress, disable in ((False, True), (True, None)):
        Euler().sample(denoiser, 5, steps=3, batch_size=2, progress=progress)
        assert (bars[-1].n, bars[-1].total, bars[-1].asked) == (9, 9, disable)


@pytest.mark.parametrize("spectrum", [Flat(), PowerLaw(0.3), BandPass(0.3, 1.0)], ids=str)
def test_matched_range_keeps_the_mean_of_the_data(spectrum: Spectrum) -> None:
    """The range ends where noise drowns the spread of the data but not its mean, so sampling starts about the mean.

    Deterministic sampling from zero noise follows the mean of Gaussian data exactly, whatever the grid.
    """
    process = ForwardProcess(VPSchedule(), SpectralCovariance(spectrum, (1, 8, 8)))
    mean = torch.full((1, 8, 8), 0.8, dtype=torch.float64)
    basis = FourierBasis((8, 8))
    power = torch.full((1, *basis.coefficients), 0.05**2, dtype=torch.float64)
    statistics = DataStatistics(mean, power, 100, basis)
    denoiser = GaussianDenoiser(process, mean, power)
    x = Heun().sample(denoiser, 4000, steps=12, grid="matched", statistics=statistics, generator=seeded(0))
    # Band-pass leaves DC without noise: its samples hold the mean there exactly. Level 1e-6, 4000 samples.
    bound = 5 * 0.05 / 4000**0.5 + 1e-5
    assert (x.double().mean(0) - mean).abs().max() < bound


# A schedule for each frequency: the same recursions with coefficients `a(f)`, `s(f)`, in `y = x / a` and `n = s / a`.

Law = Callable[[float], tuple[Tensor, Tensor]]


def law_of(process: SpectralProcess) -> Law:
    """`t -> (a, s)` over `(C, *coefficients)`."""
    x = torch.zeros(1, *process.shape, dtype=torch.float64)

    def law(t: float) -> tuple[Tensor, Tensor]:
        a, s = (c.values.expand(1, process.shape[0], *process.basis.coefficients)[0] for c in coefficients(t))
        return a, s

    def coefficients(t: float) -> tuple[Diagonal, Diagonal]:
        return process.diagonal(t, x, process.basis)

    return law


def ancestral(law: Law, S: Tensor, times: list[float]) -> Tensor:
    """DDPM, by conditioning the joint law of `(x_s, x_t)` given the estimate."""
    v = law(times[0])[1] ** 2
    for t, s in itertools.pairwise(times):
        (a, sigma_t), (b, sigma_s) = law(t), law(s)
        gain = a * S / (a**2 * S + sigma_t**2)
        slope = a / b * sigma_s**2 / sigma_t**2
        v = (b * gain + slope * (1 - a * gain)) ** 2 * v + sigma_s**2 * (1 - slope * a / b)
    return v


def implicit(eta: float) -> Callable[[Law, Tensor, list[float]], Tensor]:
    """DDIM in `y`: of the noise `m` at the next time, `eta^2 m^2 (1 - m^2/n^2)` is fresh (Song et al., equation 16)."""

    def spectrum(law: Law, S: Tensor, times: list[float]) -> Tensor:
        a, s = law(times[0])
        v = (s / a) ** 2
        for t, u in itertools.pairwise(times):
            n, m = (law(time)[1] / law(time)[0] for time in (t, u))
            fresh = eta**2 * m**2 * (1 - m**2 / n**2)
            image = S / (S + n**2)
            v = (image + (m**2 - fresh).clamp(min=0).sqrt() * (1 - image) / n) ** 2 * v + fresh
        return v

    return spectrum


def exponential(law: Law, S: Tensor, times: list[float]) -> Tensor:
    """Heun's method in `l = log n`, where `dy/dl = y - D`: the image is taken as the straight line between its values
    at both ends, and the integral `y(l) = e^-h y + int_0^h e^(u-h) D(u) du` by Gauss-Legendre quadrature."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(80))
    share = ((nodes + 1) / 2).reshape(-1, *(1,) * S.ndim)
    weights = (weights / 2).reshape(share.shape)
    a, s = law(times[0])
    y = s / a
    for t, u in itertools.pairwise(times):
        n, m = (law(time)[1] / law(time)[0] for time in (t, u))
        image = S / (S + n**2) * y
        if u == 0:
            return image**2
        h = (n / m).log()
        kernel = weights * h * torch.exp(-(1 - share) * h)
        guess = torch.exp(-h) * y + (kernel * image).sum(0)
        image_then = S / (S + m**2) * guess
        y = torch.exp(-h) * y + (kernel * ((1 - share) * image + share * image_then)).sum(0)
    raise AssertionError("times end at 0")


def multistep(law: Law, S: Tensor, times: list[float]) -> Tensor:
    """DPM-Solver++(2M) with `h` and `r` of each frequency; a frequency whose step is more than twice its last is
    extrapolated as if it were twice, and one that stays is not."""
    a, s = law(times[0])
    x, before, h_before = s, None, None
    for t, u in itertools.pairwise(times):
        (a, sigma_t), (b, sigma_s) = law(t), law(u)
        image = a * S / (a**2 * S + sigma_t**2) * x
        if u == 0:
            return image**2
        h = (b * sigma_t / (a * sigma_s)).log()
        D = image
        if before is not None and h_before is not None:
            correction = torch.where(h > 0, h / (2 * h_before), 0.0).clamp(max=1)
            D = image + correction * (image - before)
        x = sigma_s / sigma_t * x - b * torch.expm1(-h) * D
        before, h_before = image, h
    raise AssertionError("times end at 0")


def churned(process: SpectralProcess, churn: float) -> Callable[[Law, Tensor, list[float]], Tensor]:
    """Euler's method after noise up to the time at which the process's clock shows the raised level."""

    def spectrum(law: Law, S: Tensor, times: list[float]) -> Tensor:
        v = law(times[0])[1] ** 2
        for t, u in itertools.pairwise(times):
            level = process.noise_level(torch.tensor(t, dtype=torch.float64))
            raised = level * (1 + min(churn / (len(times) - 1), math.sqrt(2) - 1))
            later = max(t, float(process.time_at(raised)))
            (a, s), (b, r), (c, q) = law(t), law(later), law(u)
            v = (b / a) ** 2 * v + (r**2 - (b / a * s) ** 2).clamp(min=0)
            image = b * S / (b**2 * S + r**2)
            v = (c * image + q * (1 - b * image) / r) ** 2 * v
        return v

    return spectrum


@dataclass(frozen=True)
class Halting(Evolution):
    """High frequencies stand still for a fifth of the time."""

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        high = torch.linalg.vector_norm(frequencies.vectors, dim=0) > 0.3
        u = torch.where(high & (t > 0.4), 0.4 + ((t - 0.6).clamp(min=0)) * 1.5, t + 0 * high)
        return schedule.alpha(u) + 0 * frequencies.near, schedule.sigma(u) * frequencies.near


def spectral(
    evolution: Evolution, shape: tuple[int, ...], spectrum: Spectrum, schedule: Schedule, basis: Basis | None = None
) -> SpectralProcess:
    return SpectralProcess(schedule, SpectralCovariance(spectrum, shape, basis), evolution)


COLOURS = ChannelBasis((3, 4), CosineBasis((3, 4)), ((0.6, 0.8), (-0.8, 0.6)))
LOUD_AND_QUIET = PerChannel((PowerLaw(-0.5), PowerLaw(0.5)))
BY_FREQUENCY: dict[str, SpectralProcess] = {
    "blurring": SpectralProcess.blurring(SHAPE),
    "white to blue": SpectralProcess.white_to_blue(SHAPE),
    "sequential": SpectralProcess.sequential(SHAPE),
    "sequential, low first": SpectralProcess.sequential(SHAPE, "low"),
    "sequential, narrow": SpectralProcess.sequential(SHAPE, width=0.1),
    "sequential, rectified": spectral(Sequential(), (2, 3, 4), LOUD_AND_QUIET, RectifiedSchedule()),
    "blurring, colours": spectral(Blurring(2.0), (2, 3, 4), LOUD_AND_QUIET, VESchedule(0.05, 5.0), COLOURS),
    "red to white, line": spectral(Interpolated(), (1, 9), PowerLaw(-0.5), VESchedule(0.05, 5.0)),
    "halting": spectral(Halting(), SHAPE, PowerLaw(-0.3), CosineSchedule()),
}


def data_of(process: SpectralProcess) -> Tensor:
    """Power of the data, which differs between channels."""
    radius = process.basis.radius()
    return torch.stack([(c + 1) * (0.2 + torch.exp(-(8 - 6 * c) * radius)) for c in range(process.shape[0])])


SPECTRAL_RECURSIONS: list[tuple[Sampler, Callable[..., Tensor]]] = [
    (DDPM(), ancestral),
    (DDIM(), implicit(0.0)),
    (DDIM(0.5), implicit(0.5)),
    (DDIM(1.0), implicit(1.0)),
    (Euler(), implicit(0.0)),
    (Heun(), exponential),
    (DPMSolver(), multistep),
]


@pytest.mark.parametrize("name", BY_FREQUENCY)
@pytest.mark.parametrize(("sampler", "recursion"), SPECTRAL_RECURSIONS, ids=[str(s) for s, _ in SPECTRAL_RECURSIONS])
def test_output_covariance_of_processes_by_frequency(
    sampler: Sampler, recursion: Callable[[Law, Tensor, list[float]], Tensor], name: str
) -> None:
    process = BY_FREQUENCY[name]
    S, law = data_of(process), law_of(process)
    for grid, steps in ((UniformGrid(), 1), (UniformGrid(), 10), (KarrasGrid(), 7)):
        # A recursion in x / a cannot start where a = 0.
        rectified = process.schedule == RectifiedSchedule() and isinstance(grid, UniformGrid)
        times = (LogSNRGrid(0.01, 50.0) if rectified else grid).times(steps, process).tolist()
        got = output_spectrum(sampler, process, S, times, process.basis).reshape(S.shape)
        torch.testing.assert_close(got, recursion(law, S, times), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["blurring", "white to blue", "sequential", "red to white, line"])
def test_churn_under_processes_by_frequency(name: str) -> None:
    process = BY_FREQUENCY[name]
    S, recursion = data_of(process), churned(process, 3.0)
    for grid, steps in ((UniformGrid(), 5), (KarrasGrid(0.01, 80.0), 6)):
        times = grid.times(steps, process).tolist()
        got = output_spectrum(Euler(churn=3.0), process, S, times, process.basis).reshape(S.shape)
        # At t = 1 no noise can be added; what rounding adds has the amplitude 1e-8.
        torch.testing.assert_close(got, recursion(law_of(process), S, times), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("sampler", "order"), [(Euler(), 1), (Heun(), 2), (DPMSolver(), 2)], ids=str)
@pytest.mark.parametrize("name", ["white to blue", "sequential", "blurring"])
def test_convergence_to_the_flow_of_each_frequency(name: str, sampler: Sampler, order: int) -> None:
    """On Gaussian data `x_s = x_t sqrt(v_s / v_t)`, `v = a^2 S + s^2`, frequency by frequency.

    Blurring is stiff: where it is steepest a frequency falls by a factor e in a hundredth of the time, and the order is
    that of smaller steps. So it is for the extrapolation of the multistep method under sequential processes.
    """
    process = BY_FREQUENCY[name]
    S, basis, first, last = Diagonal(data_of(process), process.basis), process.basis, 0.9, 0.2
    (a, s), (b, r) = law_of(process)(first), law_of(process)(last)
    start = normal(0, 1, *process.shape)
    power = S.values
    exact = basis.inverse(((b**2 * power + r**2) / (a**2 * power + s**2)).sqrt() * basis.forward(start))

    def wiener(x_t: Tensor, t: float) -> Tensor:
        a, s = process.alpha(t, x_t), process.sigma(t, x_t)
        return a * S / (a**2 * S + s**2) * x_t

    slow = name == "blurring" or (isinstance(sampler, DPMSolver) and name.startswith("sequential"))
    steps, errors = [128, 256, 512] if slow else [32, 64, 128], []
    for count in steps:
        run, x = Run(process, wiener), start
        for t, u in itertools.pairwise(torch.linspace(first, last, count + 1, dtype=torch.float64).tolist()):
            x = sampler.step(run, x, t, u)
        errors.append(float((x - exact).norm()))
    slope = stats.linregress([math.log(n) for n in steps], [math.log(e) for e in errors]).slope
    assert -slope == pytest.approx(order, abs=0.15), errors


@pytest.mark.parametrize("name", ["white to blue", "sequential", "blurring"])
def test_convergence_of_ancestral_sampling_by_frequency(name: str) -> None:
    """Order 1 in the output's covariance. By the recursion above, which the sampler equals, since many steps are needed
    where a frequency runs through its whole schedule in a part of the time."""
    process = BY_FREQUENCY[name]
    S, law, errors = data_of(process), law_of(process), []
    steps = [256, 512]
    for count in steps:
        times = UniformGrid().times(count, process).tolist()
        errors.append(float((ancestral(law, S, times) / S - 1).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15), errors


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_frequencies_that_stay_are_left_alone(sampler: Sampler) -> None:
    """Steps within the halt of the high frequencies change them only by fresh noise, of which there is none: whatever
    the denoiser says, to float32's rounding too."""
    process = BY_FREQUENCY["halting"]
    high = process.basis.radius() > 0.3
    if isinstance(sampler, Euler | Heun) and sampler.churn > 0:
        pytest.skip("churn moves time forward, beyond the halt")
    for dtype in (torch.float64, torch.float32):
        start = normal(0, 2, *SHAPE).to(dtype)
        run = Run(process, lambda x_t, t: torch.tanh(5 * x_t + 10 * t), seeded(0), 3)
        x = start
        for t, s in ((0.59, 0.55), (0.55, 0.5), (0.5, 0.42)):
            x = sampler.step(run, x, t, s)
        before, after = (process.basis.forward(field.double())[..., high] for field in (start, x))
        torch.testing.assert_close(after, before, rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-5)
        assert not torch.isclose(process.basis.forward(x)[..., ~high], process.basis.forward(start)[..., ~high]).any()


def test_extrapolation_is_bounded_where_a_frequency_leaps() -> None:
    """A frequency enters its narrow window after long rest: ten steps of the multistep method stay near the data, which
    lies within 3, while the plain extrapolation would leave it by a factor of 7."""
    process = BY_FREQUENCY["sequential, narrow"]
    means = normal(1, 2, *SHAPE)
    spectra = torch.stack([0.01 * data_of(process), torch.full_like(data_of(process), 0.04)])
    denoiser = GaussianMixtureDenoiser(process, means, spectra, torch.tensor([1.0, 3.0]))
    x = DPMSolver().sample(denoiser, 300, steps=10, generator=seeded(0), dtype=torch.float64)
    assert x.abs().max() < 6


@pytest.mark.parametrize("name", ["white to blue", "sequential", "blurring"])
def test_samples_of_a_mixture_by_frequency(name: str) -> None:
    """Two narrow modes with weights 1 and 3, each with a spectrum of its own, in the basis of the process.

    1,000 samples of 60 steps, seed fixed. Shares within 4 binomial standard deviations (level 6e-5); in each mode,
    means of pixels within 5 of their standard deviations, and every coefficient's variance within 5 of its own (of
    level 6e-7 each), besides 5 % for the error of the steps.
    """
    process, count = BY_FREQUENCY[name], 1000
    basis = process.basis
    means = torch.stack([torch.ones(SHAPE), -torch.ones(SHAPE)]).double()
    means[1, :, ::2] *= 0.5
    spectra = torch.stack([0.01 * data_of(process), torch.full_like(data_of(process), 0.04)])
    denoiser = GaussianMixtureDenoiser(process, means, spectra, torch.tensor([1.0, 3.0]), basis)
    grid = "log_snr(sigma_min=0.003, sigma_max=100)"
    x = Heun().sample(denoiser, count, steps=60, grid=grid, generator=seeded(0), dtype=torch.float64)
    distance = torch.stack([(x - mean).flatten(1).norm(dim=1) for mean in means])
    first = distance[0] < distance[1]
    assert abs(first.double().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / count)
    for mode, chosen in ((0, first), (1, ~first)):
        found = measure(x[chosen], basis)
        power = spectra[mode]
        variance = float((power * basis.multiplicity()).sum()) / 30
        largest = float(power.max())
        assert (found.mean - means[mode]).abs().max() < 5 * math.sqrt(largest / found.count)
        assert found.variance == pytest.approx(variance, rel=0.1)
        relative = (found.spectrum / power - 1).abs()
        assert (relative < 5 * math.sqrt(2 / found.count) + 0.05).all()


@pytest.mark.parametrize("name", ["sequential, rectified", "blurring, colours", "halting"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_prediction_gives_finite_samples_by_frequency(sampler: Sampler, name: str) -> None:
    process = BY_FREQUENCY[name]
    data = measure(0.5 + 0.3 * normal(0, 20, *process.shape), process.basis)
    for prediction, grid in itertools.product(Parameterisation.kinds(), ("uniform", "matched")):
        # Nothing but noise at the end says nothing of the image, nor does the velocity of what stands still.
        if (prediction, name) in (("eps", "sequential, rectified"), ("velocity", "halting")):
            continue
        denoiser = NetworkDenoiser(lambda x, t: torch.tanh(x), process, prediction, statistics=data)
        x = sampler.sample(denoiser, 2, steps=4, grid=grid, generator=seeded(0), statistics=data)
        assert (x.shape, x.dtype) == ((2, *process.shape), torch.float32)
        assert torch.isfinite(x).all(), (prediction, grid)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_samples_by_frequency_do_not_depend_on_the_batch(sampler: Sampler) -> None:
    """To rounding, which double precision keeps far from what matters: of one channel and odd sides, where matrix
    products of a batch of one have a kernel of their own on some processors, and of two channels."""
    for process in (
        SpectralProcess.blurring((1, 7, 9)),
        SpectralProcess.blurring((2, 8, 8)),
        SpectralProcess.white_to_blue((2, 8, 8)),
        SpectralProcess.sequential((1, 8, 8), "low"),
    ):
        denoiser = FunctionDenoiser(process, lambda x_t, t: torch.tanh(x_t))
        whole, split, shorter = (
            sampler.sample(
                denoiser,
                count,
                steps=4,
                generator=sample_generators(3, count),
                batch_size=size,
                dtype=torch.float64,
            )
            for count, size in ((5, None), (5, 2), (3, 1))
        )
        torch.testing.assert_close(split, whole, rtol=0, atol=1e-9 * float(whole.abs().max()))
        torch.testing.assert_close(shorter, whole[:3], rtol=0, atol=1e-9 * float(whole.abs().max()))


@pytest.mark.parametrize("name", ["white to blue", "sequential", "blurring"])
def test_matched_range_keeps_the_mean_of_the_data_by_frequency(name: str) -> None:
    """The flow from the mean of the start is the mean of Gaussian data, on every grid."""
    process = BY_FREQUENCY[name]
    mean = normal(4, *SHAPE)
    statistics = DataStatistics(mean, 0.01 * data_of(process), 100, process.basis)
    denoiser = GaussianDenoiser(process, mean, statistics.spectrum, process.basis)
    times = MatchedGrid().times(12, process, statistics).tolist()
    start = float(process.rms(times[0], mean[None]).squeeze())
    assert start > 0
    x = process.alpha(times[0], mean[None]) * mean[None]
    for sampler in DETERMINISTIC:
        y = sampler.sample(denoiser, 1, steps=12, grid="matched", statistics=statistics, start=x)
        torch.testing.assert_close(y[0], mean, rtol=0, atol=1e-9)
    point = DataStatistics(mean, 0 * statistics.spectrum, 100, process.basis)
    with_mean = process.prior(4, times[0], seeded(0), torch.float64, statistics=point)
    without = process.prior(4, times[0], seeded(0), torch.float64)
    torch.testing.assert_close(with_mean - without, x.expand(4, *SHAPE))


@pytest.mark.parametrize("name", ["common", "sequential", "white to blue"])
def test_power_at_the_strongest_frequency_is_exact_on_a_matched_grid(name: str) -> None:
    """Where sampling starts, noise exceeds the strongest frequency eightfold: a start without the data lacks
    `10 log10(1 + 1/64) = 0.07` dB of its power, however many steps follow. The map of the steps is linear and diagonal,
    so the answer to the start of each frequency is its power."""
    process = BY_FREQUENCY[name] if name in BY_FREQUENCY else spectral(Common(), SHAPE, Flat(), VPSchedule())
    S, basis = data_of(process), process.basis
    data = DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), S, 100, basis)
    times = MatchedGrid().times(150, process, data).tolist()
    white = output_spectrum(Heun(), process, S, times, basis)
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    start, noise = process.law(times[0], zero, data).std.values, process.sigma(times[0], zero).values
    strongest = S[0] == S.max()
    lacking, left = (
        10 * (power / S[0]).log10()[strongest].abs().max() for power in (white, white * (start / noise)[0, 0] ** 2)
    )
    assert float(lacking) == pytest.approx(10 * math.log10(1 + 1 / 64), abs=0.01)
    assert float(left) < 0.01


# Fixed covariances: isotropic diffusion of whitened data.

PLAIN = (2, 4, 6)
FULL: dict[str, Callable[[], Covariance]] = {
    "Fourier": lambda: SpectralCovariance(PowerLaw(-0.5), PLAIN),
    "cosine": lambda: SpectralCovariance(PowerLaw(0.5), PLAIN, CosineBasis(PLAIN[1:])),
    "wavelet": lambda: SpectralCovariance(PowerLaw(0.5), PLAIN, WaveletBasis(PLAIN[1:], "haar", 1)),
    "per channel": lambda: SpectralCovariance(LOUD_AND_QUIET, PLAIN),
    "region": lambda: ModulatedCovariance(
        Ball(0.3, inside=1.5, outside=0.6, soft=0.3), SpectralCovariance(PowerLaw(0.5), PLAIN)
    ),
    "by class": lambda: ClassCovariance([FULL["region"](), FULL["cosine"](), IsotropicCovariance(PLAIN, 1.3)]),
}


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_full_support_noise_is_white_noise_in_other_coordinates(sampler: Sampler, name: str) -> None:
    """With the same white draws, sampling with `L xi` is sampling `L^-1 x` with white noise, in float32 to 1e-5: also
    where the factor `L` is not symmetric, or one per class. The denoiser is not linear."""
    labels = torch.tensor([0, 2, 1, 0]) if name == "by class" else None
    covariance = FULL[name]().given(labels)
    dressed = ForwardProcess(CosineSchedule(), FULL[name]())

    def image(x_t: Tensor, t: Time) -> Tensor:
        return 0.8 * torch.tanh(x_t + 0.3 * torch.as_tensor(t)) - 0.1

    coloured = FunctionDenoiser(dressed, image)
    white = FunctionDenoiser(
        ForwardProcess(CosineSchedule(), IsotropicCovariance(PLAIN)),
        lambda z_t, t: covariance.whiten(image(covariance.sqrt(z_t), t)),
    )
    x = sampler.sample(coloured, 4, steps=6, generator=seeded(0), condition=labels)
    z = sampler.sample(white, 4, steps=6, generator=seeded(0))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, covariance.sqrt(z), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_noise_by_class_is_that_of_the_own_class(sampler: Sampler) -> None:
    """Samples of mixed labels, in batches of two, are those of one process per class, from their own generators."""
    process = ForwardProcess(VPSchedule(), FULL["by class"]())
    labels = torch.tensor([0, 2, 1, 0, 1])

    def image(x_t: Tensor, t: Time) -> Tensor:
        return torch.tanh(x_t)

    x = sampler.sample(
        FunctionDenoiser(process, image),
        5,
        steps=5,
        generator=sample_generators(0, 5),
        condition=labels,
        batch_size=2,
        dtype=torch.float64,
    )
    for i, label in enumerate(labels.tolist()):
        member = ForwardProcess(VPSchedule(), process.covariance.covariances[label])  # type: ignore[attr-defined]
        alone = sampler.sample(
            FunctionDenoiser(member, image), 1, steps=5, generator=sample_generators(0, 1, i), dtype=torch.float64
        )
        torch.testing.assert_close(alone, x[i : i + 1], rtol=0, atol=1e-10)
    with pytest.raises(InputError, match="noise depends on the class: give labels"):
        sampler.sample(FunctionDenoiser(process, image), 2, steps=2)


@pytest.mark.parametrize("inner", [IsotropicCovariance(SHAPE), SpectralCovariance(PowerLaw(0.5), SHAPE)], ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_places_without_noise_are_those_of_the_start(sampler: Sampler, inner: Covariance) -> None:
    """Resampling of a region: the rest of an image comes through untouched, whatever the denoiser says."""
    covariance = ModulatedCovariance(Box([0.0, 0.5], [1.0, 1.0]), inner)
    process = ForwardProcess(VPSchedule(), covariance)
    outside = covariance.amplitude == 0
    denoiser = NetworkDenoiser(lambda x, t: torch.tanh(3 * x + 1), process, "x0")
    image = normal(0, 4, *SHAPE)
    start = process.perturb(image, 0.7, generator=seeded(1))
    x = sampler.sample(denoiser, 4, steps=6, grid=UniformFrom(0.7), start=start, generator=seeded(2), clip=0.5)
    assert ((x - image)[..., outside].abs() < 1e-9).all()
    assert ((x - image)[..., ~outside].abs() > 1e-3).any()


def test_processes_by_frequency_are_told_apart() -> None:
    """A model is not sampled under another evolution than it was trained with."""
    denoiser = FunctionDenoiser(SpectralProcess.sequential(SHAPE), lambda x_t, t: x_t)
    assert Euler().sample(denoiser, 1, steps=1, process=SpectralProcess.sequential(SHAPE)).shape == (1, *SHAPE)
    for other in (
        SpectralProcess.sequential(SHAPE, "low"),
        SpectralProcess.sequential(SHAPE, width=0.4),
        SpectralProcess.white_to_blue(SHAPE),
        ForwardProcess(CosineSchedule(), SpectralCovariance(Flat(), SHAPE)),
    ):
        with pytest.raises(ProcessMismatchError, match=r"trained with .*sequential.*train a model with that process"):
            Euler().sample(denoiser, 1, steps=1, process=other)


@pytest.mark.parametrize("name", ["blurring", "sequential, narrow", "halting"])
@pytest.mark.parametrize("sampler", [Euler(), Heun(), DPMSolver()], ids=str)
def test_single_precision_by_frequency(sampler: Sampler, name: str) -> None:
    """Rounding of float32 grows with the steps alone, 1e-6 each: no ratio or logarithm of coefficients blows it up."""
    process = BY_FREQUENCY[name]
    denoiser = GaussianDenoiser(process, normal(1, *SHAPE), data_of(process), process.basis)
    start = process.perturb(normal(1, 2, *SHAPE), 1.0, generator=seeded(3))
    wide, narrow = (
        sampler.sample(denoiser, 2, steps=30, grid="uniform", start=start.to(dtype))
        for dtype in (torch.float64, torch.float32)
    )
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=0, atol=30e-6)
