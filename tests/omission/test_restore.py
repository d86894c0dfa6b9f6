"""Unseen bands, deconvolution and restoration against dense linear algebra on Gaussian data.

The data is `x ~ N(mu, K)` with a dense `K` that is stationary in no basis, so that a band is predictable from the rest;
the damage is Gaussian noise in a band. "Networks" are the exact posterior means, by matrices.
"""

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.errors import InputError
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.exact import GaussianDenoiser
from sagd.model.parameterisation import quantity
from sagd.model.wrappers import Calibrated, Wrapper
from sagd.noise.bands import mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.damage import Ring
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import calibrate
from sagd.omission.level import LEAST_LEVEL
from sagd.omission.modes import Deconvolve, Project
from sagd.omission.restore import restore
from sagd.omission.vectors import band_vectors
from sagd.process.description import process_from_dict
from sagd.process.evolution import Deconvolved
from sagd.process.restricted import Restricted
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.base import Sampler
from sagd.testing.oracles import gaussian_fields, operator_matrix
from sagd.training.objective import DenoisingLoss

SHAPE, BAND = (1, 6, 6), "ring(low=0.3, high=0.6)"
SIZE = 36
BASIS = FourierBasis(SHAPE[1:])
LEVEL = 0.15
"""Standard deviation of the damage by frequency."""


def operator(values):
    return operator_matrix(values, BASIS, SHAPE)


B = mask(BAND, BASIS)
HIDE, KEEP = operator(B), operator(1 - B)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data():
    """Mean and covariance of the clean data."""
    g = generator(1)
    root = torch.randn(SIZE, 14, generator=g, dtype=torch.float64) / 4
    return torch.randn(SIZE, generator=g, dtype=torch.float64) / 3, root @ root.T + 1e-3 * torch.eye(SIZE).double()


def draws(data, count, seed):
    return gaussian_fields(*data, SHAPE, count, generator(seed))


def damage(count, seed):
    """Gaussian noise of standard deviation LEVEL in the band."""
    return SpectralCovariance(BandPass(0.3, 0.6, LEVEL), SHAPE, calibration="none").sample(
        count, generator(seed), torch.float64
    )


def statistics(data, corrupted=True):
    mean, covariance = data
    eye = torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)
    waves = BASIS.forward(eye).reshape(SIZE, -1)
    power = torch.einsum("ik,ij,jk->k", waves.conj(), covariance.to(waves.dtype), waves).real
    spectrum = power.reshape(1, *BASIS.coefficients) + corrupted * LEVEL**2 * B
    return DataStatistics(mean.reshape(SHAPE), spectrum, 100, BASIS)


def exact(data, process, noise, seen):
    """`E[y | x_t]` for `y ~ N(mu, K + C)`, seen through the matrix `seen` and under noise of covariance `noise(t)`."""
    mean, covariance = data

    def network(x, timestep):
        t = float(process.schedule.time_at(torch.tensor(1.0))) if timestep is None else network.t
        alpha = float(process.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
        total = alpha**2 * seen @ covariance @ seen.T + noise(t)
        gain = alpha * covariance @ seen.T @ torch.linalg.pinv(total, hermitian=True, rtol=1e-13)
        scaled = x.flatten(1).double() * float(process.rms(t, x).flatten()[0])
        return (mean + (scaled - alpha * seen @ mean) @ gain.T).reshape(x.shape)

    return network


class Exact(Wrapper):
    """A denoiser whose network is told the time itself, and not rounded to float32."""

    def estimate(self, x_t, t, condition=None):
        self.denoiser.network.t = float(torch.as_tensor(t).flatten()[0])
        return self.denoiser.estimate(x_t, t, condition)


def process_of(mode, **omission):
    config = OmissionConfig(mode, BAND, **omission)
    return build_process(ProcessConfig(schedule="cosine", omission=config), SHAPE)


def fill_denoiser(data):
    process = process_of("fill")
    w = process.covariance.power_spectrum(BASIS).sqrt()

    def noise(t):
        return float(process.schedule.sigma(torch.tensor(t).double())) ** 2 * operator(w**2)

    return Exact(NetworkDenoiser(exact(data, process, noise, KEEP), process, "x0"))


EVEN = f"band_pass(low=0.3, high=0.6, inside={LEVEL})"


def deconvolving_denoiser(data, floor=0.5, corruption=EVEN):
    process = process_of("deconvolve", corruption=corruption, floor=floor)
    corrupted = (data[0], data[1] + operator(Spectrum.parse(corruption).weights(BASIS.frequencies()).double() ** 2))

    def noise(t):
        x = torch.zeros(1, *SHAPE, dtype=torch.float64)
        return operator(process.diagonal(t, x, BASIS)[1].values[0] ** 2)

    return Exact(NetworkDenoiser(exact(corrupted, process, noise, torch.eye(SIZE).double()), process, "x0"))


# The processes


def test_an_unseen_band_shows_neither_signal_nor_noise(data):
    process = process_of("fill")
    x = draws(data, 5, 2)
    x_t = process.perturb(x, 0.4, generator=generator())
    assert (B * BASIS.forward(x_t)).abs().max() < 1e-12
    changed = x + (HIDE @ torch.randn(SIZE, generator=generator(3)).double()).reshape(SHAPE)
    torch.testing.assert_close(process.perturb(changed, 0.4, generator=generator()), x_t)
    alpha, sigma = process.diagonal(0.4, x, BASIS)
    assert (alpha.values * B).abs().max() == 0 == (sigma.values * B).abs().max()
    assert process.marginal(x, 0.4).mean.sub(process.unseen.left_out(x) * process.alpha(0.4, x)).abs().max() < 1e-14


@pytest.mark.parametrize("kind", ["eps", "x0", "v", "velocity"])
@pytest.mark.parametrize("evolution", ["common", "sequential(width=0.6)"])
def test_predictions_know_the_image_in_the_unseen_band(data, kind, evolution):
    """Every prediction made of an image and its noise gives that image back, unseen band included."""
    config = ProcessConfig(schedule="cosine", evolution=evolution, omission=OmissionConfig("fill", BAND))
    process = build_process(config, SHAPE)
    x = draws(data, 4, 4)
    eps = process.noise(x, generator())
    x_t = process.perturb(x, 0.5, eps)
    value = quantity(kind).target(process, x, eps, 0.5)
    torch.testing.assert_close(quantity(kind).to_x0(process, value, x_t, 0.5), x, atol=1e-10, rtol=0)
    torch.testing.assert_close(quantity(kind).from_x0(process, x, x_t, 0.5), value, atol=1e-9, rtol=0)
    torch.testing.assert_close(HIDE @ value.flatten(1).T, HIDE @ x.flatten(1).T, atol=1e-12, rtol=0)
    torch.testing.assert_close(process.consistent(x, x_t, 0.5), x)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity", "edm", "wiener", "wiener(exponent=0.5)"])
def test_a_network_sees_nothing_of_the_unseen_band(data, prediction):
    seen = []

    def network(x, timestep):
        seen.append(x)
        return torch.zeros_like(x)

    denoiser = NetworkDenoiser(network, process_of("fill"), prediction, 0.5, statistics=statistics(data))
    x_t = torch.randn(3, *SHAPE, generator=generator(), dtype=torch.float64)
    denoiser.output(x_t, 0.3)
    assert (B * BASIS.forward(seen[0])).abs().max() < 1e-12


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity", "edm", "wiener", "wiener(exponent=0.5)"])
def test_targets_are_inverted_by_to_x0(data, prediction):
    process = process_of("fill")
    denoiser = NetworkDenoiser(lambda x, t: x, process, prediction, 0.5, statistics=statistics(data))
    x = draws(data, 4, 5)
    eps = process.noise(x, generator())
    x_t = process.perturb(x, 0.6, eps)
    torch.testing.assert_close(denoiser.to_x0(denoiser.target(x, eps, 0.6), x_t, 0.6), x, atol=1e-9, rtol=0)
    # The gain is the slope of that affine map.
    output = torch.randn(4, *SHAPE, generator=generator(8), dtype=torch.float64)
    moved = denoiser.to_x0(output, x_t, 0.6) - denoiser.to_x0(torch.zeros_like(output), x_t, 0.6)
    torch.testing.assert_close(denoiser.gain(x_t, 0.6) * output, moved, atol=1e-9, rtol=0)


def test_the_exact_gaussian_denoiser_takes_the_mean_where_nothing_shows(data):
    process, s = process_of("fill"), statistics(data, corrupted=False)
    x_t = process.perturb(draws(data, 3, 6), 0.4, generator=generator())
    estimate = GaussianDenoiser(process, s.mean, s.spectrum, BASIS)(x_t, 0.4)
    torch.testing.assert_close(HIDE @ estimate.flatten(1).T, HIDE @ data[0].expand(3, -1).T, atol=1e-10, rtol=0)


def test_deconvolved_coefficients_by_hand():
    process = process_of("deconvolve", corruption="band_pass(low=0.3, high=0.6, inside=0.15)", floor=0.5)
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)
    for t in (1e-6, 0.3, 0.9):
        time = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = float(process.schedule.alpha(time)), float(process.schedule.sigma(time))
        a, s = process.diagonal(t, x, BASIS)
        torch.testing.assert_close(a.values[0, 0], torch.full(BASIS.coefficients, alpha, dtype=torch.float64))
        torch.testing.assert_close(s.values[0, 0] ** 2, sigma**2 + (alpha * 0.5 * 0.15) ** 2 * B)
        assert float(process.noise_level(time)) == pytest.approx(sigma / alpha, rel=1e-6)
    assert process.diagonal(0.0, x, BASIS)[1].values.max() == 0


@pytest.mark.parametrize("t", [1e-4, 0.2, 0.7, 0.99])
@pytest.mark.parametrize("floor", [0.3, 1.0, 3.0])
def test_clean_is_the_posterior_mean_of_the_clean_image(data, t, floor):
    """Tweedie's formula against `E[x | x_t]` from the joint Gaussian of clean image and observation."""
    denoiser = deconvolving_denoiser(data, floor)
    process, (mean, covariance) = denoiser.process, data
    y = draws(data, 6, 7) + damage(6, 8)
    x_t = process.perturb(y, t, generator=generator(9))
    a, s = (c.values[0, 0] for c in process.diagonal(t, x_t, BASIS))
    alpha = float(a.flatten()[0])
    total = operator(s**2 + (alpha * LEVEL) ** 2 * B)
    gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + total)
    expected = mean + (x_t.flatten(1) - alpha * mean) @ gain.T
    torch.testing.assert_close(denoiser.final(x_t, t).flatten(1), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["project", "fill", "deconvolve"])
@pytest.mark.parametrize("spectrum", ["flat", "power_law(alpha=-0.4)", "power_law(alpha=-0.4) * notch(at=[[0.5, 0]])"])
def test_modes_leave_the_spectrum_outside_as_it_is(mode, spectrum):
    omission = OmissionConfig(mode, BAND, "band_pass(low=0.3, high=0.6, inside=0.7)" if mode == "deconvolve" else None)
    config = ProcessConfig(spectrum=spectrum, calibration="none")
    plain = build_process(config, SHAPE)
    process = build_process(ProcessConfig(spectrum=spectrum, calibration="none", omission=omission), SHAPE)
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)
    before, after = (p.diagonal(0.5, x, BASIS)[1].values for p in (plain, process))
    torch.testing.assert_close(after * (1 - B), before * (1 - B))
    if mode != "deconvolve":
        assert (after * B).abs().max() == 0
    assert process_from_dict(process.to_dict()).to_dict() == process.to_dict()


def test_soft_edges_hide_all_of_the_band():
    soft = "ring(low=0.4, high=0.5, soft=0.15)"
    x, b = torch.zeros(1, *SHAPE, dtype=torch.float64), mask(soft, BASIS)
    assert ((b > 0) & (b < 1)).any()
    for mode in ("fill", "project"):
        process = build_process(ProcessConfig(calibration="none", omission=OmissionConfig(mode, soft)), SHAPE)
        sigma = float(process.schedule.sigma(torch.tensor(0.5)))
        for own in process.diagonal(0.5, x, BASIS):
            assert (own.values * (b > 0)).abs().max() == 0
        torch.testing.assert_close(
            process.diagonal(0.5, x, BASIS)[1].values[0, 0], sigma * (b == 0).double(), rtol=1e-6, atol=0
        )


def test_classes_keep_their_own_noise():
    spectrum = "by_class(spectra={'a': 'flat', 'b': 'power_law(alpha=-0.3)'})"
    config = ProcessConfig(spectrum=spectrum, omission=OmissionConfig("fill", BAND))
    process = build_process(config, SHAPE, classes=["a", "b"])
    x = torch.randn(4, *SHAPE, generator=generator())
    own = process.given(torch.tensor([0, 1, 1, 0]))
    x_t = own.perturb(x, 0.5, generator=generator())
    assert (B * BASIS.forward(x_t.double())).abs().max() < 1e-5
    assert own.unseen == process.unseen


@pytest.mark.parametrize("basis", ["cosine", "fourier"])
def test_other_bases(basis):
    process = build_process(ProcessConfig(basis=basis, omission=OmissionConfig("fill", BAND)), SHAPE)
    own = CosineBasis(SHAPE[1:]) if basis == "cosine" else BASIS
    x_t = process.perturb(torch.randn(2, *SHAPE, generator=generator()), 0.3, generator=generator())
    assert (mask(BAND, own) * own.forward(x_t.double())).abs().max() < 1e-5


# Sampling and restoring


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpm_solver", "ddpm"])
def test_samples_of_fill_are_the_clean_complement_and_its_conditional_mean(data, sampler):
    """The law of `x_out + E[x_band | x_out]`, in mean and covariance.

    20,000 samples: a variance is known to 1 % (one sigma); the tolerance of 6 % holds the sampler's step error too.
    """
    mean, covariance = data
    denoiser = fill_denoiser(data)
    x = (
        Sampler.parse(sampler)
        .sample(
            denoiser,
            20_000,
            steps=200 if sampler.startswith("dd") else 60,
            grid="karras",
            generator=generator(10),
            statistics=statistics(data),
            dtype=torch.float64,
        )
        .flatten(1)
    )
    predict = KEEP + HIDE @ covariance @ KEEP @ torch.linalg.pinv(KEEP @ covariance @ KEEP, hermitian=True, rtol=1e-12)
    expected = predict @ (KEEP @ covariance @ KEEP) @ predict.T
    got = torch.cov(x.T)
    assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < 0.06
    assert torch.linalg.norm(x.mean(0) - mean) / torch.linalg.norm(mean) < 0.05


def test_fill_restores_the_conditional_mean(data):
    mean, covariance = data
    x = draws(data, 8, 11)
    y = x + damage(8, 12)
    restored = restore(fill_denoiser(data), y, BAND, statistics(data)).images
    sigma2 = LEAST_LEVEL**2
    seen = KEEP @ covariance @ KEEP + sigma2 * SIZE / float(torch.trace(KEEP)) * KEEP
    gain = HIDE @ covariance @ KEEP @ torch.linalg.pinv(seen, hermitian=True, rtol=1e-13)
    expected = (y.flatten(1) @ KEEP) + (HIDE @ mean) + (y.flatten(1) - mean) @ KEEP @ gain.T
    torch.testing.assert_close(restored.flatten(1), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(restored.flatten(1) @ KEEP, y.flatten(1) @ KEEP, atol=1e-12, rtol=0)


def test_the_band_of_the_damage_does_not_matter_to_fill(data):
    y = draws(data, 4, 13)
    clean, damaged = (restore(fill_denoiser(data), z, BAND, statistics(data)).images for z in (y, y + damage(4, 14)))
    torch.testing.assert_close(clean, damaged, atol=1e-9, rtol=0)


def test_project_restores_the_mean_of_the_data(data):
    y = draws(data, 4, 15)
    denoiser = NetworkDenoiser(lambda x, t: x, process_of("project"), "x0")
    restored = restore(denoiser, y, Project(BAND), statistics(data)).images.flatten(1)
    torch.testing.assert_close(restored, y.flatten(1) @ KEEP + (HIDE @ data[0]), atol=1e-12, rtol=0)


class Faulty(Wrapper):
    """Adds an error of its own, independent of the data, to what a denoiser says of the unseen band."""

    def __init__(self, denoiser, level, seed):
        super().__init__(denoiser)
        self.level, self.generator = level, generator(seed)

    def estimate(self, x_t, t, condition=None):
        error = torch.randn(len(x_t), SIZE, generator=self.generator, dtype=torch.float64) @ HIDE
        return self.denoiser.estimate(x_t, t, condition) + self.level * error.reshape(x_t.shape)


@pytest.mark.parametrize("level", [0.0, 0.2])
def test_calibration_is_the_share_that_is_known(data, level):
    """Against the closed form `Var m / (Var m + level^2)`; 4000 images, of damage as strong as the error and more."""
    _, covariance = data
    denoiser = Faulty(fill_denoiser(data), level, 4)
    y = draws(data, 4000, 21) + damage(4000, 22)
    g = calibrate(denoiser, ((part, None) for part in y.split(500)), statistics(data)).share
    predict = HIDE @ covariance @ KEEP @ torch.linalg.pinv(KEEP @ covariance @ KEEP, hermitian=True, rtol=1e-12)
    known = predict @ (KEEP @ covariance @ KEEP) @ predict.T
    eye = torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)
    waves = BASIS.forward(eye).reshape(SIZE, -1)
    power = torch.einsum("ik,ij,jk->k", waves.conj(), known.to(waves.dtype), waves).real.reshape(BASIS.coefficients)
    m = BASIS.multiplicity() * B
    for rho in BASIS.relative_radius()[B > 0].unique():
        ring = (BASIS.relative_radius() - rho).abs() < 0.04  # of the rings of calibration, on this grid
        expected = float((m * ring * power).sum() / (m * ring * (power + level**2)).sum())
        at = BASIS.relative_radius() == rho
        assert g[at & (B > 0)].mean() == pytest.approx(expected, abs=0.1)
    assert ((g >= 0) & (g <= 1)).all()
    assert (g[B == 0] == 1).any()


def test_a_calibrated_model_errs_less_and_keeps_the_rest(data):
    y, clean = draws(data, 2000, 23) + damage(2000, 24), draws(data, 2000, 23)
    denoiser = Faulty(fill_denoiser(data), 0.4, 5)
    plain = restore(denoiser, y, BAND, statistics(data)).images
    g = calibrate(denoiser, [(y, None)], statistics(data)).share
    better = restore(Calibrated(denoiser, g, statistics(data)), y, BAND, statistics(data)).images
    removed = (y.flatten(1) @ KEEP + HIDE @ data[0]).reshape(y.shape)
    errors = [float((x - clean).square().mean()) for x in (better, plain, removed)]
    assert errors[0] < 0.95 * min(errors[1:])
    torch.testing.assert_close(better.flatten(1) @ KEEP, y.flatten(1) @ KEEP, atol=1e-12, rtol=0)


def test_deconvolve_beats_fill_where_the_band_still_shows(data):
    """By as much as theory says, to a fifth: 400 images."""
    covariance = data[1]
    x = draws(data, 400, 16)
    y = x + damage(400, 17)

    def error(denoiser):
        return float((restore(denoiser, y, BAND, statistics(data)).images - x).square().flatten(1).sum(1).mean())

    fill, deconvolve = error(fill_denoiser(data)), error(deconvolving_denoiser(data, 0.2))
    unseen = (
        covariance
        - covariance
        @ KEEP
        @ torch.linalg.pinv(KEEP @ covariance @ KEEP, hermitian=True, rtol=1e-12)
        @ KEEP
        @ covariance
    )
    assert fill == pytest.approx(float(torch.trace(HIDE @ unseen @ HIDE)), rel=0.2)
    noise = LEVEL**2 * HIDE
    posterior = covariance - covariance @ torch.linalg.pinv(covariance + noise, hermitian=True, rtol=1e-13) @ covariance
    best = float(torch.trace(HIDE @ posterior @ HIDE))
    assert best * 0.9 < deconvolve < best * 1.25 < fill


@pytest.mark.parametrize("corruption", [EVEN, str(Spectrum.parse(EVEN) * PowerLaw(-1.5))], ids=["even", "steep"])
def test_posterior_samples_have_the_exact_covariance(data, corruption):
    covariance = data[1]
    denoiser = deconvolving_denoiser(data, corruption=corruption)
    c = Spectrum.parse(corruption).weights(BASIS.frequencies()).double()
    y = draws(data, 2, 18) + damage(2, 19)
    result = restore(denoiser, y, BAND, statistics(data), samples=4000)
    t = float(denoiser.process.time_at(torch.tensor(LEAST_LEVEL, dtype=torch.float64)))
    schedule = denoiser.process.schedule
    alpha, sigma = (float(z(torch.tensor(t).double())) for z in (schedule.alpha, schedule.sigma))
    # What is known of the image: all of it as it is, but for the least noise outside the band.
    total = operator((sigma / alpha) ** 2 * (1 - B) + c**2)
    posterior = covariance - covariance @ torch.linalg.inv(covariance + total) @ covariance
    expected = HIDE @ posterior @ HIDE
    torch.testing.assert_close(result.std[0].flatten(), expected.diagonal().sqrt(), atol=1e-4, rtol=1e-3)
    for i in range(2):
        got = torch.cov(result.samples[:, i].flatten(1).T)
        # 4,000 samples: 2.2 % in each of the largest entries, one sigma.
        assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < 0.08
        torch.testing.assert_close(result.samples[:, i].flatten(1) @ KEEP, (y[i].flatten() @ KEEP).expand(4000, -1))


def test_samples_of_soft_edges_are_blended_as_the_mean_is(data):
    band = "ring(low=0.45, high=0.46, soft=0.2)"
    b = mask(band, BASIS)
    assert bool(((b > 0.1) & (b < 0.9)).any())
    denoiser = deconvolving_denoiser(data)
    y = draws(data, 1, 18) + damage(1, 19)
    whole = "ring(low=0.2, high=0.7)"
    hard, soft = (
        restore(denoiser, y, Deconvolve(own, EVEN, "none"), statistics(data), samples=3000) for own in (whole, band)
    )
    p, q = operator(b), operator((b > 0).double())
    full = torch.cov(hard.samples[:, 0].flatten(1).T)
    got, expected = torch.cov(soft.samples[:, 0].flatten(1).T), p @ full @ p.T
    assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < 0.1
    assert torch.linalg.norm(got - q @ full @ q.T) / torch.linalg.norm(expected) > 0.2


def test_samples_do_not_depend_on_the_batch(data):
    denoiser = deconvolving_denoiser(data)
    y = draws(data, 5, 20) + damage(5, 21)
    one, other = (restore(denoiser, y, BAND, statistics(data), samples=3, seed=7, batch_size=size) for size in (5, 2))
    torch.testing.assert_close(one.images, other.images)
    torch.testing.assert_close(one.samples, other.samples)


@pytest.mark.parametrize("basis", [FourierBasis((6, 5)), FourierBasis((8, 8)), CosineBasis((5, 4))], ids=str)
@pytest.mark.parametrize("channels", [1, 2])
def test_band_vectors(basis, channels):
    b = mask(Ring(0.3, 0.7), basis)
    q = band_vectors(Diagonal(b, basis), channels)
    assert len(q) == channels * int((b * basis.multiplicity()).sum())
    torch.testing.assert_close(q.flatten(1) @ q.flatten(1).T, torch.eye(len(q), dtype=torch.float64))
    assert ((1 - b) * basis.forward(q)).abs().max() < 1e-12


# Training


def test_training_on_damaged_images_finds_the_clean_mean(data):
    """A linear network, trained on the plain loss against damaged images, comes to the clean conditional mean."""
    process = process_of("fill")
    network = torch.nn.Linear(SIZE, SIZE, dtype=torch.float64)
    denoiser = NetworkDenoiser(lambda x, t: network(x.flatten(1)).reshape(x.shape), process, "x0")

    class AtLeast:
        def sample(self, count, process, generator=None):
            return torch.full((count,), 1e-3, dtype=torch.float64)

    loss = DenoisingLoss(time=AtLeast())
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-9
    )
    y = draws(data, 20_000, 22) + damage(20_000, 23)

    def closure():
        optimizer.zero_grad()
        value = loss(denoiser, y, generator=generator(24))
        value.backward()
        return value

    optimizer.step(closure)
    x = draws(data, 500, 25)
    got = denoiser.final(process.alpha(1e-3, x) * x, 1e-3).detach().flatten(1) @ HIDE
    expected = fill_denoiser(data).final(process.alpha(1e-3, x) * x, 1e-3).flatten(1) @ HIDE
    error = (got - expected).square().mean() / expected.var()
    # 20,000 damaged images leave a relative error of (clean + damage) / clean * 36 / 20,000 at most.
    assert error < 0.02


# What cannot be


@pytest.mark.parametrize(
    ("omission", "message"),
    [
        (OmissionConfig("fill", "ring(low=0, high=1)"), "holds every frequency"),
        (OmissionConfig("project", "ring(low=0.45, high=0.46)"), "holds none"),
        (OmissionConfig("fill", "ring(low=0.1, high=2)"), "0 <= low < high <= 1"),
        (OmissionConfig("fill"), "'auto' is detected when training"),
        (
            OmissionConfig("fill", BAND, floor=2.0),
            "floor is no option of omission mode 'fill'; .*: band, corruption, evidence",
        ),
        (OmissionConfig("fill", BAND, evidence="image"), "evidence 'image' needs the damage's standard deviation"),
        (OmissionConfig("deconvolve", BAND), "needs the damage's standard deviation by frequency"),
        (OmissionConfig("deconvolve", BAND, "flat", floor=0), "floor must be positive, got 0"),
    ],
)
def test_omissions_that_cannot_be(omission, message):
    with pytest.raises(InputError, match=message) as refused:
        build_process(ProcessConfig(omission=omission), SHAPE)
    assert "\n" not in str(refused.value)


def test_omission_needs_noise_with_a_spectrum():
    config = ProcessConfig(region="box(low=[0, 0], high=[0.5, 1])", omission=OmissionConfig("fill", BAND))
    with pytest.raises(InputError, match=r"leave process\.region out"):
        build_process(config, SHAPE)
    with pytest.raises(InputError, match="only under noise with a spectrum"):
        Restricted(ForwardProcess(CosineSchedule(), DenseCovariance(torch.eye(SIZE), SHAPE)), Ring(0.3, 0.6))
    with pytest.raises(InputError, match="reaches into the unseen band"):
        Restricted(ForwardProcess(CosineSchedule(), SpectralCovariance(Flat(), SHAPE)), Ring(0.3, 0.6))
    with pytest.raises(InputError, match="evolution 'common'"):
        build_process(ProcessConfig(evolution="blurring", omission=OmissionConfig("deconvolve", BAND, "flat")), SHAPE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[..., :5], r"restores images \(1, 6, 6\), got shape \(2, 1, 6, 5\)"),
        (lambda y: (255 * y).byte(), "must be floating point"),
        (lambda y: 127.5 * (y + 1), "scale 8-bit images to"),
        (lambda y: y * torch.nan, "reach from nan"),
    ],
)
def test_images_that_cannot_be_restored(data, change, message):
    with pytest.raises(InputError, match=message):
        restore(fill_denoiser(data), change(draws(data, 2, 0)), BAND, statistics(data))


def test_a_posterior_that_nobody_knows_is_not_drawn(data):
    with pytest.raises(InputError, match="samples need a model of mode 'deconvolve'"):
        restore(fill_denoiser(data), draws(data, 2, 0), BAND, statistics(data), samples=3)


def test_deconvolved_is_a_description():
    evolution = Deconvolved(BandPass(0.3, 0.6, 2.0), 0.4)
    assert Deconvolved.parse(str(evolution)) == evolution
    process = SpectralProcess(CosineSchedule(), SpectralCovariance(Flat(), SHAPE), evolution)
    assert process_from_dict(process.to_dict()) == process


@pytest.mark.parametrize(
    ("mode", "band"),
    [
        ("fill", "ring(low=0.3, high=0.5)"),
        ("fill", "ring(low=0.2, high=0.6)"),
        ("project", "ring(low=0.2, high=0.6)"),
        ("deconvolve", "ring(low=0.8)"),
    ],
)
def test_the_band_must_be_the_models(data, mode, band):
    denoiser = {
        "fill": fill_denoiser,
        "project": lambda _: NetworkDenoiser(lambda x, t: x, process_of("project"), "x0"),
        "deconvolve": deconvolving_denoiser,
    }[mode](data)
    with pytest.raises(InputError, match=r"does not leave out the band ring\(.*; name its own band") as refused:
        restore(denoiser, draws(data, 2, 0), band, statistics(data))
    assert "\n" not in str(refused.value)


def test_a_model_without_a_band_restores_none(data):
    process = build_process(ProcessConfig(schedule="cosine"), SHAPE)
    with pytest.raises(InputError, match="does not leave out"):
        restore(NetworkDenoiser(lambda x, t: x, process, "x0"), draws(data, 2, 0), BAND, statistics(data))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("mode", ["fill", "deconvolve"])
def test_images_of_any_precision(data, mode, dtype):
    """A float32 network; what is outside of the band stays to the precision of the images."""
    torch.manual_seed(0)
    omission = {"corruption": EVEN} if mode == "deconvolve" else {}
    denoiser = NetworkDenoiser(torch.nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False), process_of(mode, **omission))
    denoiser.network.forward = lambda x, t, forward=denoiser.network.forward: forward(x)
    y = draws(data, 3, 0).to(dtype)
    result = restore(denoiser, y, BAND, statistics(data), samples=2 * (mode == "deconvolve"))
    assert result.images.dtype == dtype
    change = BASIS.forward((result.images - y).double()).abs()
    assert float((change * (1 - B)).max()) < (1e-12 if dtype == torch.float64 else 1e-2)
    assert float((change * B).max()) > 0.05
    if mode == "fill":  # the draws of deconvolve's noise depend on the precision
        reference = restore(denoiser, y.float(), BAND, statistics(data)).images
        torch.testing.assert_close(result.images.float(), reference, atol=5e-3, rtol=0)


def test_labels_reach_the_network(data):
    seen = []

    def network(x, timestep, labels=None):
        seen.append(labels)
        return x

    for denoiser in (
        NetworkDenoiser(network, process_of("fill"), "x0", null={"labels": 3}),
        NetworkDenoiser(network, process_of("deconvolve", corruption=EVEN), "x0", null={"labels": 3}),
    ):
        seen.clear()
        restore(
            denoiser, draws(data, 5, 0), BAND, statistics(data), condition=torch.tensor([0, 1, 2, 0, 1]), batch_size=3
        )
        assert [labels.tolist() for labels in seen] == [[0, 1, 2]] * (len(seen) // 2) + [[0, 1]] * (len(seen) // 2)
        with pytest.raises(InputError, match=r"got 2 labels for 5 samples; give one per sample"):
            restore(denoiser, draws(data, 5, 0), BAND, statistics(data), condition=torch.tensor([0, 1]))


def test_channels_with_bands_of_their_own_are_calibrated_by_their_own():
    """The second channel hides other radii than the first, and what it says there is no part of the first one's."""
    shape = (2, 6, 6)
    band = "per_channel(spectra=['ring(low=0.3, high=0.6)', 'ring(low=0.6)'])"
    process = build_process(ProcessConfig(schedule="cosine", omission=OmissionConfig("fill", band)), shape)
    b = mask(band, BASIS)
    y = torch.randn(2000, *shape, dtype=torch.float64, generator=generator(1))
    share = torch.tensor([1.0, 0.25], dtype=torch.float64).reshape(2, 1, 1)

    class Knowing(Denoiser):
        """Predicts the band itself, with an error of its own that makes `share` the best multiple."""

        def __init__(self):
            super().__init__()
            self.process = process

        def estimate(self, x_t, t, condition=None):
            error = torch.randn(y.shape, dtype=torch.float64, generator=generator(2))
            return BASIS.inverse(b * BASIS.forward(y + (1 / share - 1).sqrt() * error))

    denoiser = Knowing()
    statistics = DataStatistics(torch.zeros(shape).double(), torch.ones(2, *BASIS.coefficients).double(), 9, BASIS)
    g = calibrate(denoiser, [(y, None)], statistics).share
    rho = BASIS.relative_radius()
    assert torch.allclose(g[(rho > 0.35) & (rho < 0.55)], torch.tensor(1.0).double(), atol=0.05)
    assert torch.allclose(g[rho > 0.65], torch.tensor(0.25).double(), atol=0.05)
