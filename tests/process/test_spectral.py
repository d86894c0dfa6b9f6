"""Processes with a schedule for each frequency: the contract on many, and the published ones by their formulas."""

import dataclasses
import itertools
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from scipy import fft, optimize
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.exact import GaussianMixtureDenoiser
from sagd.model.parameterisation import quantity
from sagd.noise.basis.base import Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics, measure
from sagd.process.base import Process
from sagd.process.description import process_from_dict
from sagd.process.evolution import Blurring, Common, Evolution, Frequencies, Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.base import Sampler
from sagd.sampling.ddim import DDIM
from sagd.sampling.ddpm import DDPM
from sagd.sampling.dpm_solver import DPMSolver
from sagd.sampling.euler import Euler
from sagd.sampling.heun import Heun
from sagd.testing.oracles import signed_frequencies
from sagd.testing.processes import ProcessContract

SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(0.05, 5.0), RectifiedSchedule()]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def spectral(
    evolution: Evolution,
    shape: tuple[int, ...],
    spectrum: Spectrum | None = None,
    schedule: Schedule | None = None,
    basis: Basis | None = None,
) -> SpectralProcess:
    return SpectralProcess(
        schedule or CosineSchedule(), SpectralCovariance(spectrum or Flat(), shape, basis), evolution
    )


def colours(inner: Basis) -> ChannelBasis:
    return ChannelBasis(inner.spatial, inner, ((0.6, 0.8), (-0.8, 0.6)))


def equal_snr(basis: Basis, schedule: Schedule | None = None) -> SpectralProcess:
    """Noise with the spectrum of 40 smooth fields of two channels."""
    x = normal(0, 40, 2, *basis.spatial)
    return SpectralProcess.equal_snr(measure(x + x.roll(1, -1) + 0.3 * x.flip(1), basis), schedule)


LOUD_AND_QUIET = PerChannel((PowerLaw(-0.5), PowerLaw(0.5)))

PROCESSES: dict[str, Callable[[], SpectralProcess]] = {
    "blurring": lambda: SpectralProcess.blurring((1, 4, 5), blur_max=3.0),
    "strong blurring": lambda: SpectralProcess.blurring((1, 3, 4)),
    "blurring, line": lambda: SpectralProcess.blurring((2, 7), VPSchedule()),
    "blurring, volume": lambda: SpectralProcess.blurring((1, 2, 3, 4), VESchedule(0.05, 5.0), blur_max=2.0),
    "blurring, Fourier": lambda: SpectralProcess.blurring((2, 4, 3), VPSchedule(), FourierBasis((4, 3)), 2.0),
    "white to blue": lambda: SpectralProcess.white_to_blue((2, 3, 4)),
    "white to blue, line": lambda: SpectralProcess.white_to_blue((1, 9), VPSchedule()),
    "white to blue, volume": lambda: SpectralProcess.white_to_blue((1, 3, 2, 4), VESchedule(0.05, 5.0)),
    "red to per channel": lambda: spectral(
        Interpolated(LOUD_AND_QUIET, 3.0), (2, 4, 3), PowerLaw(-0.3), RectifiedSchedule()
    ),
    "sequential": lambda: SpectralProcess.sequential((1, 5, 4)),
    "sequential, low first": lambda: SpectralProcess.sequential((2, 7), "low", VPSchedule()),
    "sequential, narrow": lambda: SpectralProcess.sequential((1, 4, 4), width=0.1),
    "sequential, volume": lambda: SpectralProcess.sequential((1, 3, 3, 2), "low", RectifiedSchedule()),
    "sequential, coloured": lambda: spectral(Sequential("low"), (1, 4, 4), PowerLaw(-0.7), VPSchedule()),
    "sequential, per channel": lambda: spectral(Sequential(), (2, 3, 4), LOUD_AND_QUIET),
    "sequential, cosine": lambda: spectral(Sequential(), (2, 3, 4), PowerLaw(0.3), basis=CosineBasis((3, 4))),
    "sequential, wavelet": lambda: spectral(Sequential(), (1, 4, 8), basis=WaveletBasis((4, 8), "db2", 1)),
    "sequential, colours": lambda: spectral(
        Sequential(), (2, 4, 3), LOUD_AND_QUIET, VPSchedule(), colours(FourierBasis((4, 3)))
    ),
    "blurring, cosine colours": lambda: spectral(
        Blurring(1.0), (2, 3, 3), PowerLaw(0.5), basis=colours(CosineBasis((3, 3)))
    ),
    "equal SNR": lambda: equal_snr(FourierBasis((4, 3))),
    "equal SNR, colours": lambda: equal_snr(colours(FourierBasis((3, 4))), RectifiedSchedule()),
    "common": lambda: spectral(Common(), (2, 3, 4), PowerLaw(-0.5), VPSchedule()),
    "band": lambda: spectral(Sequential(), (2, 5, 4), BandPass(0.3, 0.8)),
    "band, blurring": lambda: spectral(Blurring(2.0), (1, 5, 4), BandPass(0.3, 0.8), RectifiedSchedule()),
    "band, per channel": lambda: spectral(
        Sequential("low"), (2, 4, 4), PerChannel((BandPass(0.0, 0.5), PowerLaw(0.5))), VPSchedule()
    ),
    "band to white": lambda: spectral(Interpolated(), (1, 5, 4), BandPass(0.3, 0.8)),
    "one dead channel to white": lambda: spectral(
        Interpolated("band_pass(low=0, high=0.5)"),
        (2, 4, 4),
        PerChannel((BandPass(0.0, 0.5, outside=0.0), BandPass(0.0, 0.3))),
    ),
}


class TestContract(ProcessContract):
    @pytest.fixture(autouse=True, params=PROCESSES)
    def _choose(self, request: pytest.FixtureRequest) -> None:
        self.one = PROCESSES[request.param]()

    def process(self) -> SpectralProcess:
        return self.one

    def basis(self) -> Basis:
        return self.one.basis


# A process as dense matrices, from its action on all unit fields.


def unit_fields(process: Process) -> Tensor:
    size = math.prod(process.shape)
    return torch.eye(size, dtype=torch.float64).reshape(size, *process.shape)


def dense_law(process: Process, t: float) -> tuple[Tensor, Tensor]:
    """`A` and `P` of `x_t = A x_0 + N(0, P)`."""
    law = process.marginal(unit_fields(process), t)
    std = (law.std * unit_fields(process)).flatten(1)
    return law.mean.flatten(1).T, std.T @ law.covariance.to_dense() @ std


def half(power: Tensor) -> Tensor:
    """The stored half of a spectrum on the full grid."""
    return power[..., : power.shape[-1] // 2 + 1]


# One schedule for all frequencies: the same process as `ForwardProcess`, up to what `eps` is.

TIMES = torch.tensor([0.1, 0.45, 0.95], dtype=torch.float64)
EARLIER = torch.tensor([0.05, 0.45, 0.3], dtype=torch.float64)
PAIR_SHAPE = (2, 3, 4)


def pair(schedule: Schedule, spectrum: Spectrum) -> tuple[ForwardProcess, SpectralProcess]:
    covariance = SpectralCovariance(spectrum, PAIR_SHAPE)
    return ForwardProcess(schedule, covariance), SpectralProcess(schedule, covariance, Common())


def assert_equal(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """To `tolerance` of the largest value, type and shape included."""
    atol = tolerance * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("spectrum", [PowerLaw(-0.5), BandPass(0.2, 0.8)], ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
class TestCommonIsTheForwardProcess:
    def test_states_and_laws(self, schedule: Schedule, spectrum: Spectrum) -> None:
        """From the same white draws; conditional laws draw for draw."""
        one, other = pair(schedule, spectrum)
        x_0, x_t, basis = normal(0, 3, *PAIR_SHAPE), normal(1, 3, *PAIR_SHAPE), other.basis
        power = normal(6, PAIR_SHAPE[0], *basis.coefficients).square()
        data = DataStatistics(normal(2, *PAIR_SHAPE), power, 9, basis)
        for t in (TIMES, 0.6):
            assert_equal(other.perturb(x_0, t, generator=seeded(3)), one.perturb(x_0, t, generator=seeded(3)))
        for law in (
            lambda p: p.marginal(x_0, TIMES),
            lambda p: p.transition(x_0, EARLIER, TIMES),
            lambda p: p.posterior(x_t, x_0, TIMES, EARLIER),
        ):
            assert_equal(law(other).mean, law(one).mean)
            assert_equal(law(other).sample(seeded(4)), law(one).sample(seeded(4)))
        for start in ({}, {"statistics": data}, {"t": 0.4, "statistics": data, "dtype": torch.float64}):
            expected = one.prior(3, generator=seeded(5), **start)  # type: ignore[arg-type]
            tolerance = 1e-12 if expected.dtype == torch.float64 else 1e-6
            assert_equal(other.prior(3, generator=seeded(5), **start), expected, tolerance)  # type: ignore[arg-type]
        if not one.covariance.is_singular:
            assert_equal(other.marginal(x_0, TIMES).log_prob(x_t), one.marginal(x_0, TIMES).log_prob(x_t))

    def test_predictions(self, schedule: Schedule, spectrum: Spectrum) -> None:
        """Image, score and velocity are the same; `eps` is whitened, and `v` is made of that."""
        one, other = pair(schedule, spectrum)
        x_0 = normal(0, 3, *PAIR_SHAPE)
        x_t = one.perturb(x_0, TIMES, generator=seeded(3))
        for kind in ("x0", "score", "velocity"):
            expected = quantity(kind).from_x0(one, x_0, x_t, TIMES)  # type: ignore[arg-type]
            assert_equal(quantity(kind).from_x0(other, x_0, x_t, TIMES), expected)  # type: ignore[arg-type]
            back = quantity(kind).to_x0(one, expected, x_t, TIMES)  # type: ignore[arg-type]
            assert_equal(quantity(kind).to_x0(other, expected, x_t, TIMES), back)  # type: ignore[arg-type]
            if kind != "score":
                assert_equal(quantity(kind).gain(other, x_t, TIMES) * x_0, quantity(kind).gain(one, x_t, TIMES) * x_0)  # type: ignore[arg-type]
        eps = quantity("eps").from_x0(one, x_0, x_t, TIMES)
        white = quantity("eps").from_x0(other, x_0, x_t, TIMES)
        assert_equal(one.covariance.sqrt(white), eps)
        a, s = (f(TIMES).reshape(-1, 1, 1, 1) for f in (schedule.alpha, schedule.sigma))
        v = quantity("v").from_x0(other, x_0, x_t, TIMES)
        unseen = x_0 - other.covariance.project(x_0)
        assert_equal(v, a * white - s * (one.covariance.sqrt(x_0) + unseen))
        assert_equal(other.consistent(quantity("v").to_x0(other, v, x_t, TIMES), x_t, TIMES), x_0, 1e-11)

    def test_coefficients_and_clock(self, schedule: Schedule, spectrum: Spectrum) -> None:
        one, other = pair(schedule, spectrum)
        x, basis = normal(0, 3, *PAIR_SHAPE), one.covariance.basis  # type: ignore[attr-defined]
        for mine, theirs in zip(other.diagonal(TIMES, x, basis), one.diagonal(TIMES, x, basis), strict=True):
            assert_equal(mine * x, theirs * x)
        t = torch.linspace(0.001, 0.999, 57, dtype=torch.float64)
        # The clock is tabulated at times that DDPM's schedule finds by Newton's method, to 1e-12.
        tolerance = 1e-11 if isinstance(schedule, VPSchedule) else 1e-12
        torch.testing.assert_close(other.noise_level(t), one.noise_level(t), rtol=tolerance, atol=0)
        levels = torch.logspace(-4, 4, 33, dtype=torch.float64)
        torch.testing.assert_close(other.time_at(levels), one.time_at(levels), rtol=1e-10, atol=1e-12)
        power = normal(6, 2, 3, 3).square()
        drowned = one.drowned_at(power, basis)
        torch.testing.assert_close(other.drowned_at(power, basis), drowned, rtol=1e-9, atol=0)
        scale = one.rms(TIMES, x)
        if not one.covariance.is_singular:  # else the weights of frequencies without noise are arbitrary
            assert_equal(other.rms(TIMES, x), scale)


SAMPLERS: list[Sampler] = [DDPM(), DDIM(), DDIM(0.5), DDIM(1.0), Euler(), Euler(churn=3.0), DPMSolver()]


def mixture(process: Process, basis: Basis) -> GaussianMixtureDenoiser:
    spectra = torch.stack([0.1 + torch.exp(-4 * basis.radius()), 0.3 * torch.ones(basis.coefficients).double()])
    means, weights = normal(5, 2, *process.shape), torch.tensor([0.3, 0.7])
    return GaussianMixtureDenoiser(process, means, spectra.unsqueeze(1), weights, basis)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_samples_of_common_are_those_of_the_forward_process(schedule: Schedule, sampler: Sampler) -> None:
    """Of data that is not Gaussian, from the same draws. What churn adds is the root of a difference of variances, in
    which rounding of 1e-16 becomes 1e-8."""
    tolerance = 1e-7 if sampler == Euler(churn=3.0) else 1e-9
    for spectrum in (PowerLaw(-0.5), BandPass(0.2, 0.8)):
        for grid in ("uniform", "karras"):
            x, y = (
                sampler.sample(
                    mixture(p, FourierBasis(PAIR_SHAPE[1:])),
                    3,
                    steps=6,
                    grid=grid,
                    generator=seeded(0),
                    dtype=torch.float64,
                )
                for p in pair(schedule, spectrum)
            )
            assert_equal(y, x, tolerance)


@pytest.mark.parametrize("schedule", [CosineSchedule(), VESchedule(0.05, 5.0)], ids=str)
def test_heun_of_common_tends_to_that_of_the_forward_process(schedule: Schedule) -> None:
    """Its two forms are different methods of order 2 for the same flow: the distance of their samples falls by 4 with
    each doubling of the steps."""
    distances = []
    for steps in (24, 48, 96):
        x, y = (
            Heun().sample(
                mixture(p, FourierBasis(PAIR_SHAPE[1:])),
                4,
                steps=steps,
                grid="log_snr(sigma_min=0.01, sigma_max=60)",
                generator=seeded(0),
                dtype=torch.float64,
            )
            for p in pair(schedule, PowerLaw(-0.5))
        )
        distances.append(float((x - y).norm()))
    assert distances[2] < 0.01 * float(x.norm())
    assert [math.log2(a / b) for a, b in itertools.pairwise(distances)] == pytest.approx([2, 2], abs=0.3)


# The published processes.


@pytest.mark.parametrize("basis", [FourierBasis((4, 5)), CosineBasis((4, 5)), colours(FourierBasis((4, 5)))], ids=str)
@pytest.mark.parametrize("schedule", [None, CosineSchedule(), VESchedule(0.05, 5.0)], ids=str)
def test_equal_snr_at_all_frequencies(schedule: Schedule | None, basis: Basis) -> None:
    """In dense algebra: with the sample covariance of data as the basis sees it, the noise is `sigma^2 / alpha^2` times
    what is left of the data. By default the schedule is DDPM's."""
    x = normal(0, 30, 2, 4, 5)
    x = x + x.roll(1, -1) + 0.5 * x.flip(1)
    process = SpectralProcess.equal_snr(measure(x, basis), schedule)
    assert process.schedule == (schedule or VPSchedule())
    # Variances of the coefficients, by transforming the samples; their correlations are not noise's business.
    c = basis.forward(x - x.mean(0))
    power = c.abs().square().sum(0) / 29
    for t in (0.1, 0.5, 1.0):
        time = torch.tensor(t, dtype=torch.float64)
        snr = float((process.schedule.alpha(time) / process.schedule.sigma(time)) ** 2)
        a, s = process.diagonal(t, x, basis)
        torch.testing.assert_close(a.values[0] ** 2 * power / s.values[0] ** 2, torch.full_like(power, snr))
        assert float(process.noise_level(time)) == pytest.approx(snr**-0.5, rel=1e-12)
    # All drown at once.
    drowned = process.drowned_at(power, basis)
    torch.testing.assert_close(drowned, torch.ones_like(power), rtol=1e-9, atol=0)


def published_blurring(x: Tensor, t: float, log_snr_max: float) -> tuple[Tensor, float]:
    """Mean and standard deviation of `q(x_t | x_0)`, as in appendix A of Hoogeboom & Salimans (2023), in numpy.

    `get_frequency_scaling` with `sigma_blur_max = 20` and `min_scale = 0.001`; `get_noise_scaling_cosine` with
    `logsnr_min = -10`.
    """
    sides = x.shape[-2:]
    sigma_blur = 20 * math.sin(t * math.pi / 2) ** 2
    dissipation_time = sigma_blur**2 / 2
    rows, columns = ((torch.pi * torch.arange(side, dtype=torch.float64) / side) ** 2 for side in sides)
    labda = rows[:, None] + columns[None, :]
    scaling = torch.exp(-labda * dissipation_time) * (1 - 0.001) + 0.001
    limit_max = math.atan(math.exp(-0.5 * log_snr_max))
    limit_min = math.atan(math.exp(-0.5 * -10)) - limit_max
    log_snr = -2 * math.log(math.tan(limit_min * t + limit_max))
    a, sigma = (1 / (1 + math.exp(-log_snr))) ** 0.5, (1 / (1 + math.exp(log_snr))) ** 0.5
    coefficients = torch.from_numpy(fft.dctn(x.numpy(), type=2, axes=(-2, -1), norm="ortho"))
    return torch.from_numpy(fft.idctn((a * scaling * coefficients).numpy(), axes=(-2, -1), norm="ortho")), sigma


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)])
def test_blurring_is_the_published_process(shape: tuple[int, ...]) -> None:
    """Marginals at all times. The published code also cuts the log-SNR at 10 next to the data, where ours starts
    without noise (so that sampling may end there): an angle of the cosine schedule of at most arctan(exp(-5))."""
    process, x_0 = SpectralProcess.blurring(shape), normal(0, 2, *shape)
    noise = normal(1, 2, *shape)
    for t in (0.01, 0.1, 0.35, 0.7, 0.9, 1.0):
        law = process.marginal(x_0, t)
        mean, sigma = published_blurring(x_0, t, math.inf)
        torch.testing.assert_close(law.mean, mean, rtol=0, atol=1e-12)
        torch.testing.assert_close(law.std * noise, sigma * noise, rtol=0, atol=1e-12)
        mean, sigma = published_blurring(x_0, t, 10.0)
        step = math.atan(math.exp(-5)) * (1 - t)
        assert float((law.mean - mean).norm()) <= step * float(x_0.norm()) + 1e-12
        assert abs(float((law.std * noise).norm() / noise.norm()) - sigma) <= step + 1e-12
    assert process.covariance == IsotropicCovariance(shape)
    assert process.basis == CosineBasis(shape[1:])


def calibrated(raw: Tensor) -> Tensor:
    """Weights on the full grid with mean square 1."""
    return raw / raw.square().mean().sqrt()


@pytest.mark.parametrize("schedule", [CosineSchedule(), VPSchedule(), RectifiedSchedule()], ids=str)
def test_white_to_blue_ends(schedule: Schedule) -> None:
    """Noise next to the data is blue, at `t = 1` it is white; each frequency moves one way in between."""
    process = SpectralProcess.white_to_blue((1, 5, 6), schedule)
    r = signed_frequencies((5, 6)).norm(dim=0)
    blue = half(calibrated(r.clamp(min=float(r[r > 0].min())).sqrt()))
    x, weights = torch.zeros(1, 1, 5, 6, dtype=torch.float64), []
    times = [1e-7, *torch.linspace(0.05, 1, 20, dtype=torch.float64).tolist()]
    for t in times:
        a, s = process.diagonal(t, x, process.basis)
        time = torch.tensor(t, dtype=torch.float64)
        weights.append((s / float(schedule.sigma(time))).values[0, 0])
        torch.testing.assert_close(a.values[0, 0], schedule.alpha(time).expand(5, 4))
        torch.testing.assert_close(weights[-1], (1 - t) * blue + t)
    torch.testing.assert_close(weights[0], blue, rtol=1e-6, atol=0)
    torch.testing.assert_close(weights[-1], torch.ones(5, 4).double())
    assert (torch.stack(weights).diff(dim=0) * (1 - blue).sign() >= 0).all()


def test_white_to_blue_of_other_spectra() -> None:
    """Any pair, calibrated alike."""
    process = SpectralProcess.white_to_blue((1, 4, 4), near=PowerLaw(0.3), far=PowerLaw(-0.3), calibration="none")
    r = signed_frequencies((4, 4)).norm(dim=0)
    r = half(r.clamp(min=0.25))
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    s = process.diagonal(1.0, x, process.basis)[1].values[0, 0]
    torch.testing.assert_close(s, process.schedule.sigma(torch.ones(()).double()) * r**-0.3)
    assert process.reference == SpectralCovariance(PowerLaw(0.3), (1, 4, 4), calibration="none")


def test_sequential_drowns_band_after_band() -> None:
    """A white signal, from the corner of the spectrum to its origin or the reverse; at full width all at once."""
    for first, sign in (("high", -1), ("low", 1)):
        process = SpectralProcess.sequential((1, 6, 5), first)  # type: ignore[arg-type]
        radius, order = process.basis.radius().flatten().sort()
        level = process.drowned_at(torch.ones(1, 6, 3).double(), process.basis).flatten()[order]
        distinct = radius.diff() > 1e-9
        assert (sign * level.diff()[distinct] > 0).all()
        torch.testing.assert_close(level.diff()[~distinct], torch.zeros(int((~distinct).sum())).double())
        together = SpectralProcess.sequential((1, 6, 5), first, width=1.0)  # type: ignore[arg-type]
        level = together.drowned_at(torch.ones(1, 6, 3).double(), together.basis)
        torch.testing.assert_close(level, level[0, 0, 0].expand_as(level), rtol=1e-12, atol=0)
        # The clock is interpolated, here to 1e-6.
        assert float(level[0, 0, 0]) == pytest.approx(1, abs=1e-5)


def test_constructors_spelled_out() -> None:
    assert SpectralProcess.sequential((1, 4, 4), "low", VPSchedule(), 0.3) == SpectralProcess(
        VPSchedule(), SpectralCovariance(Flat(), (1, 4, 4)), Sequential("low", 0.3)
    )
    assert SpectralProcess.blurring((1, 4, 4), VPSchedule(), FourierBasis((4, 4)), 7.0) == SpectralProcess(
        VPSchedule(), SpectralCovariance(Flat(), (1, 4, 4)), Blurring(7.0)
    )
    assert SpectralProcess.blurring((1, 4, 4)).schedule == CosineSchedule(-10)
    assert SpectralProcess.white_to_blue((1, 4, 4)) == SpectralProcess(
        CosineSchedule(), SpectralCovariance(PowerLaw(0.5), (1, 4, 4)), Interpolated("flat")
    )
    assert SpectralProcess(VPSchedule(), SpectralCovariance(Flat(), (1, 4))).evolution == Common()


# Clock.


def snr_of(A: Tensor, P: Tensor, W: Tensor) -> Tensor:
    """Signal-to-noise ratios of data with covariance `W` in all directions that carry noise, `A W A^T` against `P`."""
    values, vectors = torch.linalg.eigh(P)
    inside = values > 1e-12 * values.max()
    root = vectors[:, inside] / values[inside].sqrt()
    return torch.linalg.eigvalsh(root.T @ A @ W @ A.T @ root)


@pytest.mark.parametrize(
    "name", ["blurring", "white to blue", "sequential, per channel", "sequential, wavelet", "band"]
)
def test_clock_weighs_noise_against_signal(name: str) -> None:
    """`noise_level^2 = mean sigmoid(-lambda) / mean sigmoid(lambda)` over all degrees of freedom that carry noise, with
    `lambda = log(a^2 w^2 / s^2)`: at the levels of the scalar schedule for which it is tabulated, 513 from 1e-6 up;
    in between it is interpolated, to 1 % here.
    """
    process = PROCESSES[name]()
    end = float(process.schedule.noise_level(torch.ones((), dtype=torch.float64)))
    knots = torch.linspace(math.log(1e-6), math.log(end), 513, dtype=torch.float64)[200::50]
    for shift, tolerance in ((0.0, 1e-9), (0.5, 1e-2)):
        levels = (knots + shift * math.log(end / 1e-6) / 512).exp()
        for t in process.schedule.time_at(levels).tolist():
            snr = snr_of(*dense_law(process, t), process.reference.to_dense())
            assert len(snr) == process.reference.rank
            expected = float((1 / (1 + snr)).mean() / (snr / (1 + snr)).mean()) ** 0.5
            level = process.noise_level(torch.tensor(t, dtype=torch.float64))
            assert float(level) == pytest.approx(expected, rel=tolerance), t
            assert float(process.time_at(level)) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize(
    ("build", "bound"),
    [
        (lambda: SpectralProcess.blurring((1, 256, 258)), 2e-5),
        (lambda: SpectralProcess.white_to_blue((1, 256, 256)), 2e-5),
        (lambda: SpectralProcess.sequential((1, 256, 256)), 5e-4),
        (lambda: SpectralProcess.sequential((1, 256, 255), "low", width=0.05), 1e-3),
    ],
    ids=["blurring", "white to blue", "sequential", "sharp windows"],
)
def test_clock_of_many_frequencies(
    build: Callable[[], SpectralProcess], bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One frequency stands for those next to it; the clock is that of all."""
    thinned = build()._clock
    monkeypatch.setattr("sagd.process.spectral._EXAMINED", 10**9)
    every = build()._clock
    assert (thinned[1] != every[1]).any()
    torch.testing.assert_close(thinned[0], every[0])
    torch.testing.assert_close(thinned[1], every[1], rtol=0, atol=bound)


def test_falling_ratios_are_refused_among_many_frequencies() -> None:
    with pytest.raises(InputError, match="noise-to-signal ratio of some frequency falls in time"):
        spectral(Interpolated("flat", 8.0), (1, 200, 200), PowerLaw(2.0), VESchedule(0.05, 5.0))


@pytest.mark.parametrize("name", PROCESSES)
def test_clock_is_fine_enough_to_be_inverted(name: str) -> None:
    """`time_at` undoes `noise_level` however unevenly a process moves, over 14 decades, and never runs backwards."""
    process = PROCESSES[name]()
    levels = torch.logspace(-7, 7, 300, dtype=torch.float64)
    times = process.time_at(levels)
    assert (times.diff() >= 0).all()
    inside = (times > 0) & (times < 1 - 1e-9)
    torch.testing.assert_close(process.noise_level(times[inside]), levels[inside], rtol=1e-6, atol=0)
    shaped = process.noise_level(times.reshape(3, 4, 25))
    assert torch.equal(shaped.flatten(), process.noise_level(times))
    narrow = process.noise_level(torch.tensor([0.5]))
    assert float(narrow) == pytest.approx(float(process.noise_level(torch.tensor([0.5]).double())), rel=1e-12)


@pytest.mark.parametrize("name", PROCESSES)
def test_drowned_at_by_root_finding(name: str) -> None:
    """Brent's method on `log(s^2 / (a^2 S))` of every frequency; 0 where there is no noise or no signal, and the level
    at `t = 1` where the signal is never drowned."""
    process = PROCESSES[name]()
    basis, x = process.basis, torch.zeros(1, *process.shape, dtype=torch.float64)
    power = torch.exp(3 * normal(0, process.shape[0], *basis.coefficients))
    power.flatten()[::7] = 0
    power.flatten()[3::7] *= 1e12
    got = process.drowned_at(power, basis)
    assert (got.shape, got.dtype) == (power.shape, torch.float64)

    def excess(t: float, place: int, S: float) -> float:
        a, s = (c.values.expand(1, *power.shape).flatten()[place] for c in process.diagonal(t, x, basis))
        return math.log(float(s) ** 2 / S) - 2 * math.log(float(a)) if a > 0 else math.inf

    noisy = process.diagonal(0.5, x, basis)[1].values.expand(1, *power.shape).flatten() > 0
    for place, S in enumerate(power.flatten().tolist()):
        if S == 0 or not noisy[place]:
            assert got.flatten()[place] == 0
            continue
        last = 1 - 1e-12
        if excess(last, place, S) < 0:
            t = 1.0
        else:
            t = optimize.brentq(excess, 1e-12, last, args=(place, S), xtol=1e-16, rtol=1e-15)
        level = float(process.noise_level(torch.tensor(t, dtype=torch.float64)))
        assert float(got.flatten()[place]) == pytest.approx(level, rel=1e-6), (place, t)


@pytest.mark.parametrize("name", ["equal SNR", "sequential, cosine", "band, per channel"])
def test_other_bases_are_refused(name: str) -> None:
    process = PROCESSES[name]()
    other = WaveletBasis((4, 4), "haar", 1)
    x = torch.zeros(1, *process.shape)
    with pytest.raises(InputError, match=r"the process is diagonal in .*, not in wavelet"):
        process.diagonal(0.5, x, other)
    with pytest.raises(InputError, match=r"the process is diagonal in .*, not in wavelet"):
        process.drowned_at(torch.ones(1), other)


# Scores of data that is not Gaussian.


def pixel_mixture(process: SpectralProcess, basis: Basis) -> tuple[GaussianMixtureDenoiser, Any]:
    """Two Gaussians: the exact denoiser, and a function of `t` that gives the density in pixel space."""
    denoiser = mixture(process, basis)
    eye = unit_fields(process)
    spectra = torch.stack([0.1 + torch.exp(-4 * basis.radius()), 0.3 * torch.ones(basis.coefficients).double()])
    C = torch.stack([(Diagonal(S, basis) * eye).flatten(1) for S in spectra])
    means = normal(5, 2, *process.shape).flatten(1)

    def law(t: float) -> MixtureSameFamily:
        A, P = dense_law(process, t) if t > 0 else (torch.eye(len(eye)).double(), 0.0)
        parts = MultivariateNormal(means @ A.T, A @ C @ A.T + P)
        return MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7]).double()), parts)

    return denoiser, law


def pixel_score(law: MixtureSameFamily, x: Tensor) -> Tensor:
    flat = x.flatten(1).requires_grad_()
    return torch.autograd.grad(law.log_prob(flat).sum(), flat)[0]


@pytest.mark.parametrize("name", PROCESSES)
def test_score_of_a_mixture(name: str) -> None:
    """The gradient of the log-density in pixel space, projected where the noise is singular; and `eps`, and the density
    itself up to its constant."""
    process = PROCESSES[name]()
    denoiser, law = pixel_mixture(process, process.basis)
    projector = process.covariance.project(unit_fields(process)).flatten(1)
    for t in (0.1, 0.6, 0.9):
        image = normal(5, 2, *process.shape) + normal(6, 2, *process.shape)
        x_t = process.perturb(image, t, generator=seeded(7))
        exact = pixel_score(law(t), x_t) @ projector
        torch.testing.assert_close(denoiser.score(x_t, t).flatten(1), exact, rtol=1e-7, atol=1e-7)
        eps = denoiser.predict("eps", x_t, t).flatten(1)
        std = (process.sigma(t, x_t) * unit_fields(process)).flatten(1)
        torch.testing.assert_close(-eps, exact @ std, rtol=1e-7, atol=1e-7)
        offset = 0.5 * math.prod(process.shape) * math.log(2 * math.pi)
        density = law(t).log_prob(x_t.flatten(1))
        # The dense factor loses digits where the data is blurred away at frequencies that carry no noise.
        condition = float(torch.linalg.cond(law(t).component_distribution.covariance_matrix).max())
        tolerance = 1e-9 + 1e-16 * condition
        torch.testing.assert_close(denoiser.log_density(x_t, t) - offset, density, rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize(
    "name", ["blurring", "white to blue", "sequential", "sequential, low first", "equal SNR", "red to per channel"]
)
def test_score_tends_to_that_of_the_data(name: str) -> None:
    """Where all frequencies carry noise, whatever their order, with an error of order `1 - a` or `s^2`."""
    process = PROCESSES[name]()
    denoiser, law = pixel_mixture(process, process.basis)
    x = normal(5, 2, *process.shape) + 0.3 * normal(6, 2, *process.shape)
    exact = pixel_score(law(0.0), x)
    times = process.time_at(torch.tensor([0.001, 0.0005, 0.00025], dtype=torch.float64))
    errors = [float((denoiser.score(x, t).flatten(1) - exact).abs().max()) for t in times]
    assert errors[2] < 0.01 * float(exact.abs().max())
    order = 1 if process.schedule == RectifiedSchedule() else 2
    assert [math.log2(a / b) for a, b in itertools.pairwise(errors)] == pytest.approx([order] * 2, abs=0.15)


# What is refused, described, and kept.


def test_falling_ratios_are_refused() -> None:
    """Noise that takes itself back: from very loud high frequencies to white, late and under a slow schedule."""
    with pytest.raises(InputError, match=r"noise-to-signal ratio of some frequency falls in time \(by up to .*closer"):
        spectral(Interpolated("flat", 8.0), (1, 16, 16), PowerLaw(2.0), VESchedule(0.05, 5.0))
    # The same spectra are a diffusion under a schedule that ends in more noise.
    spectral(Interpolated("flat", 8.0), (1, 16, 16), PowerLaw(2.0), RectifiedSchedule())


@dataclass(frozen=True)
class Faulty(Evolution):
    """Coefficients that are no schedule's."""

    fault: str

    def coefficients(self, t: Tensor, schedule: Schedule, frequencies: Frequencies) -> tuple[Tensor, Tensor]:
        a, s = Common().coefficients(t, schedule, frequencies)
        slow = torch.sin(20 * t).abs()
        return {"no number": (a, s * math.nan), "no signal": (0 * a, s), "no noise": (a, 0 * s), "wave": (a, s * slow)}[
            self.fault
        ]


@pytest.mark.parametrize("fault", ["no number", "no signal", "no noise", "wave"])
def test_faulty_evolutions_are_refused(fault: str) -> None:
    message = "falls in time" if fault == "wave" else "coefficients that are zero or no numbers; use a milder one"
    with pytest.raises(InputError, match=message):
        spectral(Faulty(fault), (1, 4, 4))


def test_noise_must_stay_where_it_was() -> None:
    """Weights that vanish at `t = 1` would take noise away; those that vanish next to the data add it later."""
    with pytest.raises(InputError, match=r"coefficients that are zero or no numbers|falls in time"):
        spectral(Interpolated("band_pass(low=0, high=0.5)"), (1, 6, 6))
    process = spectral(Interpolated("flat"), (1, 6, 6), BandPass(0.0, 0.5))
    assert not process.covariance.is_singular


def test_noise_must_be_diagonal_in_a_basis() -> None:
    with pytest.raises(InputError, match="needs a spectral covariance, got IsotropicCovariance; white noise is"):
        SpectralProcess(VPSchedule(), IsotropicCovariance((1, 4, 4)), Sequential())  # type: ignore[arg-type]


def test_statistics_of_an_unvaried_data_set_are_refused() -> None:
    with pytest.raises(InputError, match="needs data that varies"):
        SpectralProcess.equal_snr(measure(torch.ones(3, 1, 4, 4)))


def test_frequencies_without_noise() -> None:
    """The band carries noise in both channels, at all times; the rest of an image shows through."""
    process = PROCESSES["band"]()
    assert process.covariance.rank == process.reference.rank < process.covariance.size
    x_0, wrong = normal(0, 2, *process.shape), normal(1, 2, *process.shape)
    x_t = process.perturb(x_0, 0.7, generator=seeded(2))
    outside = process.reference.power_spectrum(process.basis) == 0
    back = process.consistent(wrong, x_t, 0.7)
    torch.testing.assert_close(process.basis.forward(back)[..., outside], process.basis.forward(x_0)[..., outside])
    torch.testing.assert_close(process.basis.forward(back)[..., ~outside], process.basis.forward(wrong)[..., ~outside])
    with pytest.raises(SingularCovarianceError, match="dimensions are empty"):
        process.marginal(x_0, 0.5).log_prob(x_t)


def test_descriptions() -> None:
    """Fresh processes are equal, read back from JSON, and differ from each other."""
    processes = [make() for make in PROCESSES.values()]
    for place, (process, make) in enumerate(zip(processes, PROCESSES.values(), strict=True)):
        again = make()
        assert (process, hash(process)) == (again, hash(again))
        described = json.loads(json.dumps(process.to_dict()))
        assert set(described) == {"schedule", "covariance", "evolution"}
        rebuilt = process_from_dict(described)
        assert rebuilt == process
        x_0 = normal(0, 2, *process.shape)
        assert torch.equal(rebuilt.perturb(x_0, 0.4, x_0), process.perturb(x_0, 0.4, x_0))
        assert process != dataclasses.replace(process, evolution=Sequential(width=0.77))
        assert processes.index(process) == place


def test_large_processes_stay_small() -> None:
    """Examining the ratios at hundreds of times leaves nothing of them behind."""
    assert len(pickle.dumps(SpectralProcess.sequential((1, 64, 64)))) < 1e6


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_velocities_without_gradients(mode: Callable[[], Any]) -> None:
    """Derivatives are to be had where nothing else is differentiated, and at `t = 0` they are no error."""
    process, x_0 = PROCESSES["sequential, per channel"](), normal(0, 3, 2, 3, 4)
    expected = quantity("velocity").target(process, x_0, x_0, TIMES)
    with mode():
        assert torch.equal(quantity("velocity").target(process, x_0, x_0, TIMES), expected)
    assert process.derivatives(0.0, x_0)[0].values.isfinite().all()


def test_gradients_pass_through_processes() -> None:
    """To the image, the noise and a network's output, as likelihoods and guidance need."""
    process = PROCESSES["white to blue"]()
    x_0, eps = normal(0, 2, *process.shape).requires_grad_(), normal(1, 2, *process.shape).requires_grad_()
    torch.autograd.gradcheck(lambda x, e: process.perturb(x, 0.4, e), (x_0, eps), fast_mode=True)
    for kind in ("eps", "x0", "v", "velocity", "score"):
        torch.autograd.gradcheck(
            lambda x, e, kind=kind: quantity(kind).from_x0(process, x, e, 0.4), (x_0, eps), fast_mode=True
        )
        torch.autograd.gradcheck(
            lambda x, e, kind=kind: quantity(kind).to_x0(process, x, e, 0.4), (x_0, eps), fast_mode=True
        )


def test_other_devices() -> None:
    """Coefficients follow the field; "meta" stands for an accelerator."""
    process = PROCESSES["sequential, colours"]()
    x = torch.zeros(2, *process.shape, device="meta")
    for c in (process.alpha(0.4, x), process.sigma(torch.tensor([0.1, 0.4]), x), *process.derivatives(0.4, x)):
        assert (c.values.device.type, c.values.dtype) == ("meta", torch.float32)
    assert process.perturb(x, 0.3, x).device.type == "meta"


def test_coefficients_that_are_kept_are_those_of_their_time() -> None:
    """A few times are kept for a sampler's steps: whatever was asked before, in any type, shape of field and mode, and
    for times within rounding of each other, answers are those of a fresh process."""
    process, fields = PROCESSES["sequential, colours"](), normal(0, 2, 2, 4, 3)
    times = [0.3, 0.7, 0.3 + 1e-12, 0.1, 0.9, 0.5, 0.3, 0.7]
    for dtype in (torch.float64, torch.float32):
        x = fields.to(dtype)
        for t in times:
            fresh = PROCESSES["sequential, colours"]()
            with torch.inference_mode():
                assert torch.equal(process.perturb(x, t, x), fresh.perturb(x, t, x))
            got = [process.alpha(t, x), process.sigma(t, x), *process.derivatives(t, x), *process.derivatives(t, x)]
            expected = [fresh.alpha(t, x), fresh.sigma(t, x), *fresh.derivatives(t, x), *fresh.derivatives(t, x)]
            for mine, theirs in zip(got, expected, strict=True):
                assert mine.values.dtype == dtype
                assert torch.equal(mine.values, theirs.values)
    # Also as tensors, where each sample has its own.
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    whole = process.perturb(fields, t, fields)
    torch.testing.assert_close(whole[1:], process.perturb(fields[1:], 0.7, fields[1:]), rtol=0, atol=1e-12)


def test_what_is_kept_serves_gradients_and_stays_at_home() -> None:
    """Coefficients first asked for under inference mode are of use in training; copies leave them behind."""
    process = PROCESSES["white to blue"]()
    x = normal(0, 2, *process.shape)
    with torch.inference_mode():
        process.perturb(x, 0.4, x)
        quantity("velocity").target(process, x, x, 0.4)
    leaf = x.clone().requires_grad_()
    process.perturb(leaf, 0.4, x).square().sum().backward()
    quantity("velocity").target(process, leaf, x, 0.4).square().sum().backward()
    assert leaf.grad is not None
    size = len(pickle.dumps(PROCESSES["white to blue"]()))
    for t in torch.linspace(0.1, 0.9, 50).tolist():
        process.perturb(x, t, x)
    assert abs(len(pickle.dumps(process)) - size) < 2000
    assert pickle.loads(pickle.dumps(process)) == process


@pytest.mark.parametrize("name", PROCESSES)
def test_noise_to_signal(name: str) -> None:
    """`s^2 / a^2` of the diagonals; 0 without noise, infinite without signal."""
    process = PROCESSES[name]()
    x = torch.zeros(1, *process.shape, dtype=torch.float64)
    for t in (0.2, 1.0):
        shape = (1, process.shape[0], *process.basis.coefficients)
        a, s = (c.values.expand(shape)[0] for c in process.diagonal(t, x, process.basis))
        for side in process.noise_to_signal(t, process.basis):
            assert side.shape == a.shape
            for got, alpha, sigma in zip(*(part.flatten().tolist() for part in (side, a, s)), strict=True):
                expected = 0.0 if sigma == 0 else math.inf if alpha == 0 else (sigma / alpha) ** 2
                assert got == pytest.approx(expected, rel=1e-12)


def test_labels_name_the_evolution() -> None:
    process = PROCESSES["sequential, coloured"]()
    assert process.label == (
        "schedule vp and power_law(alpha=-0.7) noise of shape (1, 4, 4), evolving as sequential(first='low')"
    )
    assert "(cosine)" in PROCESSES["blurring"]().label
