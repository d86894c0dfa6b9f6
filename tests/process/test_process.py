import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.denoiser import Denoiser
from sagd.model.exact import EmpiricalDenoiser, GaussianMixtureDenoiser
from sagd.model.parameterisation import Parameterisation, quantity
from sagd.noise.basis.base import Basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.regions import Ball, Box
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.random import sample_generators
from sagd.testing.oracles import signed_frequencies, stationary_matrix
from sagd.testing.processes import ProcessContract

SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(0.05, 5.0), RectifiedSchedule()]
SHAPE = (2, 3, 4)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(shape: tuple[int, ...], rank: int | None = None) -> DenseCovariance:
    size = math.prod(shape)
    root = normal(99, size, rank or 2 * size)
    return DenseCovariance(root @ root.T / size, shape)


def floored_radius(spatial: tuple[int, ...]) -> Tensor:
    """`|f|` on the full grid, DC raised to the lowest other frequency."""
    r = signed_frequencies(spatial).norm(dim=0)
    return r.clamp(min=float(r[r > 0].min()))


class TestVariancePreservingPowerLaw(ProcessContract):
    def process(self) -> ForwardProcess:
        return ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.7), SHAPE))

    def basis(self) -> Basis:
        return FourierBasis(SHAPE[1:])


class TestPerChannelCosine(ProcessContract):
    def process(self) -> ForwardProcess:
        spectrum = PerChannel((PowerLaw(-0.7), PowerLaw(0.5)))
        return ForwardProcess(RectifiedSchedule(), SpectralCovariance(spectrum, SHAPE, self.basis()))

    def basis(self) -> Basis:
        return CosineBasis(SHAPE[1:])


class TestRegion(ProcessContract):
    """Noise whose root is not symmetric."""

    def process(self) -> ForwardProcess:
        region = Ball(0.3, inside=2.0, outside=0.5, soft=0.4)
        return ForwardProcess(VPSchedule(), ModulatedCovariance(region, SpectralCovariance(PowerLaw(0.5), SHAPE)))


class TestWhiteNoiseInABox(ProcessContract):
    """Noise in some places, white there."""

    def process(self) -> ForwardProcess:
        region = Box([0.0, 0.5], [1.0, 1.0], inside=1.5)
        return ForwardProcess(RectifiedSchedule(), ModulatedCovariance(region, IsotropicCovariance((1, 4, 5))))


class TestIsotropicVolume(ProcessContract):
    def process(self) -> ForwardProcess:
        return ForwardProcess(CosineSchedule(), IsotropicCovariance((1, 2, 3, 2), variance=1.7))

    def basis(self) -> Basis:
        return CosineBasis((2, 3, 2))


class TestVarianceExplodingDense(ProcessContract):
    def process(self) -> ForwardProcess:
        return ForwardProcess(VESchedule(0.05, 5.0), dense(SHAPE))


class TestSingularBand(ProcessContract):
    def process(self) -> ForwardProcess:
        return ForwardProcess(VPSchedule(), SpectralCovariance(BandPass(0.3, 0.8), (1, 5, 4)))

    def basis(self) -> Basis:
        return FourierBasis((5, 4))


class TestSingularDense(ProcessContract):
    def process(self) -> ForwardProcess:
        return ForwardProcess(CosineSchedule(), dense((1, 9), rank=4))


class TestRectifiedSeries(ProcessContract):
    """Nothing of the data is left at `t = 1`."""

    def process(self) -> ForwardProcess:
        return ForwardProcess(RectifiedSchedule(), SpectralCovariance(PowerLaw(0.5), (2, 7)))


class TestRectifiedSingularBand(ProcessContract):
    def process(self) -> ForwardProcess:
        return ForwardProcess(RectifiedSchedule(), SpectralCovariance(BandPass(0.0, 0.5), (1, 3, 5)))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_log_prob_of_the_marginal(schedule: Schedule) -> None:
    """Against torch's multivariate normal with a covariance made of DFT matrices."""
    power = floored_radius(SHAPE[1:]) ** -1.4
    sigma = stationary_matrix(power / power.mean(), SHAPE)
    process = ForwardProcess(schedule, SpectralCovariance(PowerLaw(-0.7), SHAPE))
    x_0, x, t = normal(0, 3, *SHAPE), normal(1, 3, *SHAPE), torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    alpha, std = schedule.alpha(t).reshape(-1, 1), schedule.sigma(t).reshape(-1, 1, 1)
    law = MultivariateNormal(alpha * x_0.flatten(1), std**2 * sigma)
    torch.testing.assert_close(process.marginal(x_0, t).log_prob(x), law.log_prob(x.flatten(1)))
    torch.testing.assert_close(process.marginal(x_0, 0.5).log_prob(x)[1], law.log_prob(x.flatten(1))[1])


def test_log_prob_of_a_singular_law_is_refused() -> None:
    law = ForwardProcess(VPSchedule(), dense((1, 9), rank=4)).marginal(normal(0, 1, 1, 9), 0.5)
    with pytest.raises(SingularCovarianceError, match="5 of 9 dimensions are empty"):
        law.log_prob(law.mean)


@pytest.mark.parametrize(("s", "u", "t"), [(0.0, 0.4, 0.8), (0.2, 0.21, 0.9), (0.5, 0.5, 0.5)])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_transitions_compose(schedule: Schedule, s: float, u: float, t: float) -> None:
    process, x = ForwardProcess(schedule, IsotropicCovariance((1, 2))), normal(0, 1, 1, 2)
    first, whole = process.transition(x, s, u), process.transition(x, s, t)
    second = process.transition(first.mean, u, t)
    factor = process.transition(torch.ones_like(x), u, t).mean
    torch.testing.assert_close(second.mean, whole.mean)
    torch.testing.assert_close(factor**2 * first.std**2 + second.std**2, whole.std**2 + 0 * x, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_posterior_of_equal_times_is_the_state(schedule: Schedule) -> None:
    process, x_t, x_0 = ForwardProcess(schedule, dense(SHAPE)), normal(0, 2, *SHAPE), normal(1, 2, *SHAPE)
    posterior = process.posterior(x_t, x_0, 0.6, 0.6)
    torch.testing.assert_close(posterior.mean, x_t)
    assert (posterior.std == 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_definitions_of_predictions(schedule: Schedule) -> None:
    process, x_0, eps = ForwardProcess(schedule, dense(SHAPE)), normal(0, 2, *SHAPE), normal(1, 2, *SHAPE)
    time = torch.tensor(0.4, dtype=torch.float64)
    a, s = schedule.alpha(time), schedule.sigma(time)
    torch.testing.assert_close(process.perturb(x_0, 0.4, eps), a * x_0 + s * eps)
    torch.testing.assert_close(quantity("v").target(process, x_0, eps, 0.4), a * eps - s * x_0)
    assert quantity("eps").target(process, x_0, eps, 0.4) is eps


def test_predictions_that_say_nothing_are_refused() -> None:
    process, x = ForwardProcess(RectifiedSchedule(), dense((1, 4))), normal(0, 2, 1, 4)
    for kind in ("eps", "score"):
        with pytest.raises(InputError, match=f"a {kind} prediction at alpha_t = 0 .*predict x0, v or velocity"):
            quantity(kind).to_x0(process, x, x, 1.0)
        with pytest.raises(InputError, match="alpha_t = 0"):
            quantity(kind).to_x0(process, x, x, torch.tensor([0.5, 1.0]))
    eps = normal(1, 2, 1, 4)
    for kind in ("x0", "v", "velocity"):
        value = quantity(kind).target(process, x, eps, 1.0)
        torch.testing.assert_close(quantity(kind).to_x0(process, value, process.perturb(x, 1.0, eps), 1.0), x)


def test_unknown_predictions_are_refused() -> None:
    with pytest.raises(InputError, match="unknown prediction 'epsilon'; did you mean 'eps'"):
        quantity("epsilon")
    with pytest.raises(InputError, match="'edm' is no quantity of image and noise alone; known: score, eps, x0, v"):
        quantity("edm")
    with pytest.raises(InputError, match="unknown prediction 'score'"):
        Parameterisation.parse("score")


def test_nothing_shows_at_the_end_of_a_rectified_singular_process() -> None:
    process = ForwardProcess(RectifiedSchedule(), SpectralCovariance(BandPass(0.0, 0.5), (1, 4, 4)))
    x_0 = normal(0, 2, 1, 4, 4)
    torch.testing.assert_close(process.consistent(x_0, process.prior(2), 1.0), process.covariance.project(x_0))


SPATIAL = (3, 4)
MEANS = normal(5, 3, 1, *SPATIAL)
PROPORTIONS = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def mixture(process: ForwardProcess) -> tuple[Denoiser, Tensor]:
    """A Gaussian mixture with three stationary components, and their covariances in pixel space `(3, d, d)`."""
    power = [0.3 * floored_radius(SPATIAL) ** slope for slope in (0.0, -1.0, 1.0)]
    spectra = torch.stack([p[:, : SPATIAL[1] // 2 + 1] for p in power]).unsqueeze(1)
    denoiser = GaussianMixtureDenoiser(process, MEANS, spectra, PROPORTIONS)
    return denoiser, torch.stack([stationary_matrix(p, (1, *SPATIAL)) for p in power])


def coloured(singular: bool) -> tuple[Covariance, Tensor]:
    """A noise covariance and its matrix."""
    rho = signed_frequencies(SPATIAL).norm(dim=0) / math.sqrt(0.5)
    power = ((rho >= 0.3) & (rho < 0.7)).double() if singular else floored_radius(SPATIAL)
    covariance = SpectralCovariance(
        BandPass(0.3, 0.7) if singular else PowerLaw(0.5), (1, *SPATIAL), calibration="none"
    )
    return covariance, stationary_matrix(power, (1, *SPATIAL))


def pixel_law(alpha: float, variance: Tensor) -> MixtureSameFamily:
    """Density of `alpha x_0 + noise` in pixel space; `variance` `(3, d, d)` is that of each component."""
    return MixtureSameFamily(Categorical(PROPORTIONS), MultivariateNormal(alpha * MEANS.flatten(1), variance))


def pixel_score(law: MixtureSameFamily, x: Tensor) -> Tensor:
    flat = x.flatten(1).requires_grad_()
    return torch.autograd.grad(law.log_prob(flat).sum(), flat)[0].reshape(x.shape)


@pytest.mark.parametrize("singular", [False, True], ids=["full", "singular"])
@pytest.mark.parametrize("t", [0.15, 0.7])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_score_relation(schedule: Schedule, t: float, singular: bool) -> None:
    """Equations 26 and 29: the score of the noised mixture, by autograd of its density in pixel space; on the range of
    the covariance where it is singular."""
    covariance, sigma = coloured(singular)
    denoiser, spread = mixture(ForwardProcess(schedule, covariance))
    time = torch.tensor(t, dtype=torch.float64)
    a, s = float(schedule.alpha(time)), float(schedule.sigma(time))
    x_t = a * MEANS + normal(6, *MEANS.shape)
    exact = pixel_score(pixel_law(a, a**2 * spread + s**2 * sigma), x_t).flatten(1)
    pseudo_inverse = torch.linalg.pinv(sigma, hermitian=True)
    torch.testing.assert_close(denoiser.score(x_t, t).flatten(1), exact @ sigma @ pseudo_inverse)
    eps = denoiser.predict("eps", x_t, t).flatten(1)
    torch.testing.assert_close(-eps @ pseudo_inverse / s, exact @ sigma @ pseudo_inverse)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_score_tends_to_the_data_score(schedule: Schedule) -> None:
    """Equation 30: for full-support noise, whatever its colour, with an error of order `sigma_t^2` or `1 - alpha_t`."""
    denoiser, spread = mixture(ForwardProcess(schedule, coloured(singular=False)[0]))
    x = MEANS + 0.3 * normal(6, *MEANS.shape)
    exact = pixel_score(pixel_law(1.0, spread), x)
    levels = torch.tensor([0.004, 0.002, 0.001], dtype=torch.float64)
    errors = [(denoiser.score(x, t) - exact).abs().max().item() for t in schedule.time_at(levels)]
    assert errors[2] < 0.003 * exact.abs().max()
    orders = [math.log2(errors[0] / errors[1]), math.log2(errors[1] / errors[2])]
    expected = 1 if isinstance(schedule, RectifiedSchedule) else 2
    assert orders == pytest.approx([expected] * 2, abs=0.1)


def test_score_of_an_empirical_distribution() -> None:
    """The points of a data set, noised: a mixture of equal Gaussians."""
    covariance, sigma = coloured(singular=False)
    process = ForwardProcess(VPSchedule(), covariance)
    law = MixtureSameFamily(
        Categorical(torch.ones(3)),
        MultivariateNormal(0.5 * MEANS.flatten(1), (0.75 * sigma).expand(3, -1, -1)),
    )
    t = float(VPSchedule().time_at(torch.tensor(math.sqrt(3), dtype=torch.float64)))  # alpha = 1/2
    x_t = 0.5 * MEANS + 0.3 * normal(6, *MEANS.shape)
    torch.testing.assert_close(EmpiricalDenoiser(process, MEANS).score(x_t, t), pixel_score(law, x_t))


def test_undefined_conditionals_are_refused() -> None:
    rectified = ForwardProcess(RectifiedSchedule(), IsotropicCovariance((1, 4, 4)))
    x = torch.zeros(2, 1, 4, 4)
    with pytest.raises(InputError, match=r"no transition starts where alpha_s = 0 \(s = 1.0\)"):
        rectified.transition(x, 1.0, 1.0)
    with pytest.raises(InputError, match=r"a posterior needs noise at t and signal at s, got t=0.0, s=0.0"):
        rectified.posterior(x, x, 0.0, 0.0)


# Noise that depends on the class: every formula holds sample by sample.

MEMBERS = [
    SpectralCovariance(PowerLaw(-0.5), SHAPE),
    IsotropicCovariance(SHAPE, 1.7),
    ModulatedCovariance(Ball(0.3, outside=0.5), SpectralCovariance(PowerLaw(0.5), SHAPE)),
]
LABELS = torch.tensor([2, 0, 1, 2])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_noise_by_class_is_that_of_each_class(schedule: Schedule) -> None:
    """Laws, draws, densities and scores of a batch of mixed labels, against one process per sample."""
    process = ForwardProcess(schedule, ClassCovariance(MEMBERS)).given(LABELS)
    x_0, x_t = normal(0, 4, *SHAPE), normal(1, 4, *SHAPE)
    s, t = (torch.tensor(times, dtype=torch.float64) for times in ([0.1, 0.3, 0.2, 0.5], [0.4, 0.3, 0.9, 0.8]))
    generators = [sample_generators(0, 4) for _ in range(5)]
    x = process.perturb(x_0, t, generator=generators[0])
    laws = [process.marginal(x_0, t), process.transition(x_0, s, t), process.posterior(x_t, x_0, t, s)]
    draws = [law.sample(g) for law, g in zip(laws, generators[1:4], strict=True)]
    start = process.prior(4, 0.7, generators[4], torch.float64)
    density, score = laws[0].log_prob(x_t), quantity("score").from_x0(process, x_0, x_t, t)
    for i, label in enumerate(LABELS.tolist()):
        one, own = slice(i, i + 1), ForwardProcess(schedule, MEMBERS[label])
        again = [sample_generators(0, 1, i) for _ in range(5)]
        torch.testing.assert_close(own.perturb(x_0[one], t[one], generator=again[0]), x[one])
        alone = [
            own.marginal(x_0[one], t[one]),
            own.transition(x_0[one], s[one], t[one]),
            own.posterior(x_t[one], x_0[one], t[one], s[one]),
        ]
        for law, draw, g in zip(alone, draws, again[1:4], strict=True):
            torch.testing.assert_close(law.sample(g), draw[one])
        torch.testing.assert_close(own.prior(1, 0.7, again[4], torch.float64), start[one])
        torch.testing.assert_close(alone[0].log_prob(x_t[one]), density[one])
        torch.testing.assert_close(quantity("score").from_x0(own, x_0[one], x_t[one], t[one]), score[one])


def test_noise_by_class_needs_classes() -> None:
    process = ForwardProcess(VPSchedule(), ClassCovariance(MEMBERS))
    x_0 = normal(0, 4, *SHAPE)
    with pytest.raises(InputError, match=r"the noise depends on the class: give labels, integers in \[0, 3\)"):
        process.given(None)
    with pytest.raises(InputError, match=r"label 3 is of no class: labels must be in \[0, 3\)"):
        process.given(torch.tensor([0, 3]))
    with pytest.raises(InputError, match="depends on the class; call given"):
        process.perturb(x_0, 0.5)
    with pytest.raises(InputError, match="needs 4 samples on its first axis, one per label"):
        process.given(LABELS).perturb(x_0[:2], 0.5)
    assert ForwardProcess(VPSchedule(), MEMBERS[0]).given(LABELS).covariance is MEMBERS[0]


@pytest.mark.parametrize("inner", [IsotropicCovariance(SHAPE), MEMBERS[0]], ids=["white", "coloured"])
def test_places_without_noise_show_through(inner: Covariance) -> None:
    """Whatever is estimated; the score of coloured noise in part of a field is not known and is refused."""
    region = Box([0.0, 0.5], [1.0, 1.0])
    process = ForwardProcess(VPSchedule(), ModulatedCovariance(region, inner))
    x_0, wrong = normal(0, 2, *SHAPE), normal(1, 2, *SHAPE)
    x_t = process.perturb(x_0, 0.7, generator=torch.Generator().manual_seed(0))
    alpha = float(process.schedule.alpha(torch.tensor(0.7, dtype=torch.float64)))
    torch.testing.assert_close(x_t[..., :2], alpha * x_0[..., :2])
    assert not torch.isclose(x_t[..., 2:], alpha * x_0[..., 2:]).any()
    expected = torch.cat([x_0[..., :2], wrong[..., 2:]], dim=-1)
    torch.testing.assert_close(process.consistent(wrong, x_t, 0.7), expected)
    if inner is not MEMBERS[0]:
        score = quantity("score").from_x0(process, wrong, x_t, 0.7)
        assert (score[..., :2] == 0).all()
        return
    with pytest.raises(SingularCovarianceError, match="needs white noise inside the region"):
        quantity("score").from_x0(process, wrong, x_t, 0.7)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_levels_at_which_frequencies_drown(schedule: Schedule) -> None:
    """`sqrt(S)/w`, at most the level at `t = 1`; where noise by place is weakest, places without any left out."""
    basis, power = FourierBasis(SHAPE[1:]), torch.tensor([0.25, 1e9, 0.0], dtype=torch.float64).expand(2, 3, 3)
    end = float(schedule.noise_level(torch.ones((), dtype=torch.float64)))
    white = ForwardProcess(schedule, IsotropicCovariance(SHAPE, 4.0)).drowned_at(power, basis)
    expected = torch.tensor([0.25, min(math.sqrt(1e9) / 2, end), 0.0], dtype=torch.float64).expand(2, 3, 3)
    torch.testing.assert_close(white, expected)
    for outside, least in ((0.0, 2.0), (0.5, 0.5)):
        region = ModulatedCovariance(Box([0.0, 0.5], [1.0, 1.0], 2.0, outside), IsotropicCovariance(SHAPE))
        level = ForwardProcess(schedule, region).drowned_at(power, basis)
        torch.testing.assert_close(level[..., 0], torch.full((2, 3), 0.5 / least, dtype=torch.float64))
    band = ForwardProcess(schedule, SpectralCovariance(BandPass(0.5, 1.0), SHAPE)).drowned_at(power, basis)
    assert (band[:, 0, 0] == 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_noise_to_signal(schedule: Schedule) -> None:
    """`(sigma/alpha)^2 w^2` where noise is weakest and where it is strongest; no noise is no noise, also where nothing
    is left of the signal."""
    basis = FourierBasis(SHAPE[1:])
    rho = signed_frequencies(SHAPE[1:]).norm(dim=0)[:, :3] / math.sqrt(0.5)
    inside = ((rho >= 0.3) & (rho < 0.8)).double().expand(2, 3, 3)
    band = SpectralCovariance(BandPass(0.3, 0.8), SHAPE, calibration="none")
    region = ModulatedCovariance(Box([0.0, 0.5], [1.0, 1.0], 2.0, 0.5), IsotropicCovariance(SHAPE))
    for t in (0.3, 1.0):
        time = torch.tensor(t, dtype=torch.float64)
        ratio = float((schedule.sigma(time) / schedule.alpha(time)) ** 2)
        expected = torch.where(inside > 0, torch.full_like(inside, ratio), 0.0)
        for side in ForwardProcess(schedule, band).noise_to_signal(t, basis):
            torch.testing.assert_close(side, expected)
        least, most = ForwardProcess(schedule, region).noise_to_signal(t, basis)
        torch.testing.assert_close(least, torch.full((2, 3, 3), ratio / 4, dtype=torch.float64))
        torch.testing.assert_close(most, torch.full((2, 3, 3), ratio * 4, dtype=torch.float64))


def test_labels_of_processes() -> None:
    """A few words for messages, instead of tables of numbers."""
    process = ForwardProcess(CosineSchedule(-9.0), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    assert process.label == "schedule cosine(log_snr_min=-9.0) and power_law(alpha=-0.5) noise of shape (2, 3, 4)"
    assert (
        ForwardProcess(VPSchedule(), IsotropicCovariance((1, 4))).label == "schedule vp and flat noise of shape (1, 4)"
    )
