"""What samples of each mode hold, and what is known of a damaged band, against closed forms on Gaussian data.

The data is `x ~ N(mu, K)`: a stationary part, of which nothing in the band can be predicted, and a dense part of low
rank, by which the band correlates with the rest. The damage is Gaussian noise in the band, about as strong as the data.
"Networks" are the exact posterior means, by matrices.
"""

import functools

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.errors import InputError
from sagd.model.denoiser import Denoiser
from sagd.model.wrappers import Calibrated
from sagd.noise.bands import leave_out, mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import calibrate
from sagd.omission.detect import Detection as Contrasts
from sagd.omission.detection.base import Detection
from sagd.omission.level import LEAST_LEVEL
from sagd.omission.modes import Mode, Project
from sagd.omission.modes.deconvolve import beside
from sagd.omission.restore import restore
from sagd.omission.weighing import Known
from sagd.process.description import process_from_dict
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule
from sagd.sampling.base import Sampler
from sagd.testing.oracles import FunctionDenoiser, gaussian_fields, operator_matrix

SHAPE, BAND = (1, 6, 6), "ring(low=0.3, high=0.6)"
SIZE, LEVEL = 36, 0.6
"""Values of a field; standard deviation of the damage by frequency."""
BASIS = FourierBasis(SHAPE[1:])
DAMAGE = f"band_pass(low=0.3, high=0.6, inside={LEVEL})"
MODES = ("project", "fill", "deconvolve")


def operator(values):
    return operator_matrix(values, BASIS, SHAPE)


B = mask(BAND, BASIS)
HIDE, KEEP = operator(B), operator(1 - B)
STATIONARY = (0.15 + BASIS.radius()) ** -2 / 50


def generator(seed):
    return torch.Generator().manual_seed(seed)


MEAN = torch.randn(SIZE, generator=generator(1), dtype=torch.float64) / 3


@pytest.fixture(scope="module")
def data():
    """Mean and covariance of the clean data."""
    root = torch.randn(SIZE, 14, generator=generator(2), dtype=torch.float64) / 6
    return MEAN, root @ root.T + operator(STATIONARY)


def draws(data, count, seed):
    return gaussian_fields(*data, SHAPE, count, generator(seed))


def damage(count, seed):
    """Gaussian noise of standard deviation LEVEL in the band."""
    noise = SpectralCovariance(BandPass(0.3, 0.6, LEVEL), SHAPE, calibration="none")
    return noise.sample(count, generator(seed), torch.float64)


def statistics(data):
    """Those of damaged data."""
    waves = BASIS.forward(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)).reshape(SIZE, -1)
    power = torch.einsum("ik,ij,jk->k", waves.conj(), data[1].to(waves.dtype), waves).real
    spectrum = power.reshape(1, *BASIS.coefficients) + LEVEL**2 * B
    return DataStatistics(data[0].reshape(SHAPE), spectrum, 10**9, BASIS)


class Exact(Denoiser):
    """`E[y | x_t]` of damaged data `y ~ N(mu, K + N)`, from what the process shows of it."""

    def __init__(self, mode, data, floor=1.0):
        super().__init__()
        told = {"corruption": DAMAGE, "floor": floor} if mode == "deconvolve" else {}
        omission = OmissionConfig(mode, BAND, **told)
        self.process = build_process(ProcessConfig(schedule="cosine", omission=omission), SHAPE)
        self.mean, self.covariance = data[0], data[1] + LEVEL**2 * HIDE
        self.gain = functools.lru_cache(self._gain)

    def _gain(self, t):
        a, s = (c.values[0] for c in self.process.diagonal(t, torch.zeros(1, *SHAPE).double(), BASIS))
        shown, cross = operator(a), self.covariance @ operator(a).T
        total = shown @ cross + operator(s**2)
        return shown @ self.mean, cross @ torch.linalg.pinv(total, hermitian=True, rtol=1e-13)

    def estimate(self, x_t, t, condition=None):
        centre, gain = self.gain(float(torch.as_tensor(t).flatten()[0]))
        return (self.mean + (x_t.flatten(1).double() - centre) @ gain.T).reshape(x_t.shape)


def mode_of(name, evidence="auto"):
    return Mode.member(name)(BAND, DAMAGE, evidence)


def finished(name, data, floor=1.0):
    """The denoiser with what its mode believes, or measures on 10,000 damaged images."""
    mode, plain = mode_of(name), Exact(name, data, floor)
    if not mode.calibrates:
        return Calibrated(plain, mode.believed(BASIS), statistics(data))
    y = draws(data, 10_000, 31) + damage(10_000, 32)
    found = mode.calibrate(plain, ((part, None) for part in y.split(1000)), statistics(data))
    return Calibrated(plain, found.share, statistics(data), found.unexplained)


def sampled(denoiser, data):
    """10,000 samples by 40 steps of Heun's method: a power over some frequencies is known to 1 %."""
    return Sampler.parse("heun").sample(
        denoiser,
        10_000,
        steps=40,
        grid="karras",
        generator=generator(33),
        statistics=statistics(data),
        dtype=torch.float64,
    )


def power_ratio(x, data, projector):
    """Power of samples in the image of a projector, over that of the clean data."""
    got, true = torch.cov(x.flatten(1).T), data[1]
    return float(torch.trace(projector @ got @ projector) / torch.trace(projector @ true @ projector))


def test_samples_of_project_are_the_clean_complement_with_the_band_at_its_mean(data):
    """Not the complement given that the band is at its mean, whose power is less."""
    x = sampled(finished("project", data), data)
    assert power_ratio(x, data, KEEP) == pytest.approx(1, abs=0.02)
    got, expected = torch.cov(x.flatten(1).T), KEEP @ data[1] @ KEEP
    assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < 0.06
    torch.testing.assert_close(x.flatten(1) @ HIDE, (HIDE @ data[0]).expand(len(x), -1), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["fill", "deconvolve"])
def test_the_band_of_samples_has_its_power_where_the_damage_is_known(data, name):
    """By ring of radii; what is left out by the mean alone is a draw of the right variance."""
    x, bare = (sampled(denoiser, data) for denoiser in (finished(name, data), Exact(name, data)))
    assert power_ratio(bare, data, HIDE) < 0.75
    assert power_ratio(x, data, HIDE) == pytest.approx(1, abs=0.05)
    assert power_ratio(x, data, KEEP) == pytest.approx(1, abs=0.03)
    rho = BASIS.relative_radius()
    for low, high in ((0.3, 0.45), (0.45, 0.6)):
        ring = operator(B * ((rho >= low) & (rho < high)))
        assert power_ratio(x, data, ring) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("evidence", ["auto", "none"])
@pytest.mark.parametrize("signal", [1, 16])
@pytest.mark.parametrize("name", MODES)
def test_intervals_hold_what_they_say(data, name, signal, evidence):
    """90 % intervals of the values of 300 images, whose share is known to 1 %, for weak data and for strong."""
    data = data[0], signal * data[1]
    denoiser = Exact(name, data) if name == "deconvolve" and evidence == "none" else finished(name, data)
    x = draws(data, 300, 34)
    result = restore(denoiser, x + damage(300, 35), mode_of(name, evidence), statistics(data), samples=40)
    held = ((result.images - x).abs() <= 1.6449 * result.std).double().mean()
    assert float(held) == pytest.approx(0.9, abs=0.03)
    # Samples are about the images, and as far apart as is said.
    spread = result.samples.var(0).mean() / result.std.square().mean()
    assert float(spread) == pytest.approx(1, abs=0.05)
    centre = (result.samples.mean(0) - result.images).square().mean() / result.std.square().mean()
    assert float(centre) == pytest.approx(1 / 40, rel=0.2)


@pytest.mark.parametrize("name", MODES)
def test_evidence_makes_the_estimate_better_by_what_it_says(data, name):
    """Errors by the closed form `V N / (V + N)` of each frequency, summed up; without evidence `V`."""
    x = draws(data, 4000, 36)
    y, denoiser, errors = x + damage(4000, 37), finished(name, data), {}
    for evidence in ("none", "auto"):
        mode = mode_of(name, evidence)
        result = restore(denoiser, y, mode, statistics(data), batch_size=1000)
        errors[evidence] = float((result.images - x).square().flatten(1).sum(1).mean())
        v, n = mode.unexplained(denoiser, statistics(data)).values[0], LEVEL**2 * B
        if name != "deconvolve":  # which averages over draws of the floor
            expected = v if evidence == "none" else torch.where(B > 0, v * n / (v + n), 0.0)
            assert errors[evidence] == pytest.approx(float((BASIS.multiplicity() * B * expected).sum()), rel=0.05)
    assert errors["auto"] < errors["none"]
    posterior = data[1] - data[1] @ torch.linalg.inv(data[1] + LEVEL**2 * HIDE) @ data[1]
    assert errors["auto"] > 0.98 * float(torch.trace(HIDE @ posterior @ HIDE))


@pytest.mark.parametrize("name", MODES)
def test_with_evidence_an_image_is_the_wiener_filter_of_stationary_data(name):
    """Whose frequencies know nothing of each other: the posterior mean, whatever the floor of noise hid."""
    data = MEAN, operator(STATIONARY)
    power, n, floor = STATIONARY, LEVEL**2 * B, 0.7
    y = draws(data, 6, 42) + damage(6, 43)
    fresh = (floor * LEVEL) ** 2 + LEAST_LEVEL**2
    left = {"project": None, "fill": power, "deconvolve": 1 / (1 / power + 1 / (LEVEL**2 + fresh))}[name]
    share = torch.ones(BASIS.coefficients).double()
    own = None if left is None else (left * B)[None]
    denoiser = Calibrated(Exact(name, data, floor), share, statistics(data), own)
    mean = data[0].reshape(SHAPE)
    wiener = BASIS.inverse(torch.where(B > 0, power / (power + n), 1.0) * BASIS.forward(y - mean)) + mean
    for samples in (0, 2):
        result = restore(denoiser, y, mode_of(name), statistics(data), samples=samples)
        torch.testing.assert_close(result.images, wiener, atol=1e-6, rtol=0)


def test_what_an_image_shows_beside_its_noisy_state_is_independent_of_that(data):
    process = Exact("deconvolve", data, floor=0.8).process
    y = damage(20_000, 44)
    z = process.perturb(y, 0.1, generator=generator(45))
    shown, noise = beside(process, y, z, 0.1)
    own, other = (BASIS.forward(values)[:, 0, B > 0] for values in (shown, z))
    power = own.abs().square().mean(0)
    torch.testing.assert_close(power, noise.values[0, 0][B > 0], rtol=0.05, atol=0)
    cross = (own.conj() * other).mean(0).abs() / (power * other.abs().square().mean(0)).sqrt()
    assert cross.max() < 0.03


def test_the_level_of_the_damage_may_differ_from_image_to_image(data):
    """Evidence by image is near what the true levels give, and better than with one level for all."""
    x, scale = draws(data, 2000, 46), (torch.randn(2000, 1, 1, 1, generator=generator(48)).double() * 0.7).exp()
    scale = scale / scale.square().mean().sqrt()
    y, denoiser = x + scale * damage(2000, 47), finished("fill", data)

    def error(images):
        return float((HIDE @ (images - x).flatten(1).T).square().mean())

    one, each, none = (
        restore(denoiser, y, mode_of("fill", how), statistics(data), batch_size=500).images
        for how in ("frequency", "image", "none")
    )
    true = Diagonal(scale.square() * LEVEL**2 * B, BASIS)
    best, _ = Known(none, denoiser.unexplained, y, true).estimate("frequency")
    assert error(best) < error(each) < error(best) + 0.5 * (min(error(one), error(none)) - error(best))


@pytest.mark.parametrize("name", MODES)
def test_levels_that_are_alike_cost_little_to_be_found(data, name):
    """Of an image that has but 16 values in the band."""
    x = draws(data, 300, 49)
    y, denoiser = x + damage(300, 50), finished(name, data)
    for samples in (0, 1):
        one, each = (
            restore(denoiser, y, mode_of(name, how), statistics(data), samples=samples).images
            for how in ("frequency", "image")
        )
        assert (one - x).square().mean() < (each - x).square().mean() < 1.25 * (one - x).square().mean()


def test_an_overfitted_network_is_found_out_by_images_that_it_was_not_trained_on(data):
    """A linear network through all of 20 training images: its prediction of their damaged bands is perfect."""
    y = draws(data, 20, 51) + damage(20, 52)
    others = draws(data, 2000, 53) + damage(2000, 54)
    mean = data[0].reshape(SHAPE)
    seen = ((y - mean).flatten(1) @ KEEP).numpy()
    learnt = torch.linalg.pinv(torch.from_numpy(seen)) @ ((y - mean).flatten(1) @ HIDE)

    class Overfitted(Denoiser):
        """Exact on what it was trained on."""

        def __init__(self):
            super().__init__()
            self.process = Exact("fill", data).process

        def estimate(self, x_t, t, condition=None):
            outside = (x_t / self.process.alpha(t, x_t) - mean).flatten(1) @ KEEP
            return (outside + outside @ learnt).reshape(x_t.shape) + mean

    own, held_out = (calibrate(Overfitted(), [(z, None)], statistics(data)).share[B > 0] for z in (y, others))
    torch.testing.assert_close(own, torch.ones_like(own), atol=1e-6, rtol=0)
    assert held_out.max() < 0.7


@pytest.mark.parametrize("name", MODES)
def test_damage_of_more_power_than_the_data_is_refused(data, name):
    mode_of(name).check(statistics(data))
    with pytest.raises(InputError, match=r"corruption gives the damage .* times the power of the damaged data") as no:
        Mode.member(name)(BAND, "band_pass(low=0.3, high=0.6, inside=15)").check(statistics(data))
    assert "\n" not in str(no.value)


def test_evidence_of_a_model_that_measured_nothing_is_refused(data):
    with pytest.raises(InputError, match="needs what the model leaves open of its band"):
        restore(Exact("fill", data), draws(data, 2, 0), mode_of("fill", "frequency"), statistics(data))


def test_models_of_before_project_hid_the_band_are_read_and_restore(data):
    """Their process leaves the band without noise, and shows it."""
    left = leave_out(Flat(), Spectrum.parse(BAND), hard=False)
    process = ForwardProcess(CosineSchedule(), SpectralCovariance(left, SHAPE))
    assert process_from_dict(process.to_dict()) == process
    y = draws(data, 4, 61) + damage(4, 62)
    expected = y.flatten(1) @ KEEP + HIDE @ data[0]
    for band in (BAND, Project(BAND)):
        restored = restore(FunctionDenoiser(process, lambda x, t: x), y, band, statistics(data)).images
        torch.testing.assert_close(restored.flatten(1), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("mode", ["project", "fill"])
def test_damage_counts_in_the_band_alone(mode):
    """White damage is known of all frequencies, and images outside the band, where a model errs a little, tell none."""
    noise = Mode.parse(f"{mode}(band={BAND!r}, corruption='power_law(alpha=0)')").damage(BASIS)
    assert torch.equal(noise, (B > 0).double())
    off = Diagonal(0.1 * (1 - B), BASIS) * torch.randn(3, *SHAPE, generator=generator(2), dtype=torch.float64)
    shown = Diagonal(2 * B, BASIS) * torch.randn(3, *SHAPE, generator=generator(3), dtype=torch.float64)
    known = Known(torch.zeros_like(off), Diagonal(0 * B[None], BASIS), shown + off, Diagonal(noise, BASIS))
    power = BASIS.forward(shown).abs().square() * BASIS.multiplicity()
    exact = power.sum((1, 2, 3)) / (BASIS.multiplicity() * B).sum()
    torch.testing.assert_close(known.level().flatten(), exact)


def test_what_was_not_found_is_said_in_its_own_unit():
    """Whole arrays are told a probability, sets of images a contrast."""
    power = torch.ones(BASIS.coefficients, dtype=torch.float64)
    whole = Detection((), (), power, power, BASIS, 0.4)
    with pytest.raises(
        InputError, match=r"'auto': no damaged band found \(nothing is damage .* 0\.40 probability\); name"
    ):
        Mode.parse("fill").measured(whole)
    with pytest.raises(InputError, match=r"no damaged band found \(the largest contrast is 40 % of what would count\)"):
        Mode.parse("fill").measured(Contrasts((), power, power, BASIS, 0.4))
