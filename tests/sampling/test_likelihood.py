"""Log-densities through the probability flow, against multivariate normal laws in dense algebra."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.exact import GaussianMixtureDenoiser
from sagd.noise.bands import leave_out, mask
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.regions import Ball
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time
from sagd.process.evolution import Blurring, Interpolated, Sequential
from sagd.process.restricted import Restricted
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.grids import LogSNRGrid
from sagd.sampling.likelihood import Likelihood, dequantise, log_likelihood
from sagd.testing.oracles import FunctionDenoiser

SHAPE = (2, 1, 3)
SIZE = math.prod(SHAPE)
MIX = ChannelBasis(SHAPE[1:], FourierBasis(SHAPE[1:]), ((0.6, 0.8), (-0.8, 0.6)))
PER_CHANNEL = PerChannel((PowerLaw(-0.5), PowerLaw(0.5)))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


SMOOTH: dict[str, Process] = {
    "vp": ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE)),
    "cosine": ForwardProcess(CosineSchedule(), SpectralCovariance(PER_CHANNEL, SHAPE, CosineBasis(SHAPE[1:]))),
    "ve": ForwardProcess(VESchedule(0.05, 5.0), SpectralCovariance(PER_CHANNEL, SHAPE, MIX)),
    "rectified": ForwardProcess(RectifiedSchedule(), SpectralCovariance(Flat(), SHAPE)),
    "white to blue": SpectralProcess.white_to_blue(SHAPE),
    "late": SpectralProcess(VPSchedule(), SpectralCovariance(PowerLaw(0.3), SHAPE), Interpolated("flat", 2.0)),
    "blurring": SpectralProcess.blurring(SHAPE, blur_max=2.0),
    "blurring, colours": SpectralProcess(VPSchedule(), SpectralCovariance(PER_CHANNEL, SHAPE, MIX), Blurring(1.0)),
}


def data_of(process: Process) -> DataStatistics:
    """A mean, and a spectrum of its own for each channel, in the basis of the noise."""
    assert isinstance(process.reference, SpectralCovariance)
    basis = process.reference.basis
    power = torch.stack([0.3 + torch.exp(-4 * basis.radius()), 0.5 + basis.radius()])
    return DataStatistics(0.5 * normal(3, *SHAPE), power, 100, basis)


def exact(process: Process) -> Denoiser:
    """The Wiener filter of every noise level."""
    data = data_of(process)
    S, mean = Diagonal(data.spectrum, data.basis), data.mean

    def wiener(x_t: Tensor, t: Time) -> Tensor:
        a, s = process.diagonal(t, x_t, data.basis)
        return mean + a * S / (a**2 * S + s**2) * (x_t - a * mean.expand_as(x_t))

    return FunctionDenoiser(process, wiener)


def unit_fields() -> Tensor:
    return torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)


def data_matrix(process: Process) -> Tensor:
    data = data_of(process)
    return (Diagonal(data.spectrum, data.basis) * unit_fields()).flatten(1)


def dense_law(process: Process, t: float) -> tuple[Tensor, Tensor]:
    """`A` and `P` of `x_t = A x_0 + N(0, P)`."""
    law = process.marginal(unit_fields(), t)
    std = (law.std * unit_fields()).flatten(1)
    return law.mean.flatten(1).T, std.T @ law.covariance.to_dense() @ std


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.sqrt()) @ vectors.T


def samples(process: Process, count: int = 2) -> Tensor:
    """Of the data, and with it a far one."""
    data = data_of(process)
    x = data.mean.flatten() + normal(4, count, SIZE) @ root(data_matrix(process))
    x[0] += 2
    return x.reshape(count, *SHAPE)


def closed_form(process: Process, x_0: Tensor, first: float, last: float | None = None) -> Tensor:
    """What the method tends to with many steps, for Gaussian data and matrices that commute.

    The density of `A x_0` under the law `N(A mu, V)`, `V = A C A^T + P`, at the first time, per volume of `x_0`. Where
    the law at the last time is not known, the flow `x -> A mu + V_1^(1/2) V_0^(-1/2) (x - A mu)` is followed until
    there, where it is taken for that of the noise.
    """
    mean, C = data_of(process).mean.flatten(), data_matrix(process)
    A, P = dense_law(process, first)
    x, V = x_0.flatten(1) @ A.T, A @ C @ A.T + P
    volume = torch.linalg.slogdet(A).logabsdet
    if last is None:
        return MultivariateNormal(A @ mean, V).log_prob(x) + volume
    B, Q = dense_law(process, last)
    flow = root(B @ C @ B.T + Q) @ torch.linalg.inv(root(V))
    x = B @ mean + (x - A @ mean) @ flow.T
    return MultivariateNormal(torch.zeros(SIZE).double(), Q).log_prob(x) + torch.linalg.slogdet(flow).logabsdet + volume


@pytest.mark.parametrize("t", [0.4, 1.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_samples_start_from_the_law_in_which_likelihoods_end(name: str, t: float) -> None:
    """`N(A mu, A C A^T + P)`, draw for draw: a start is `A mu + R z` of the white draws `z`, with `R R^T` that."""
    process, data = SMOOTH[name], data_of(SMOOTH[name])
    (A, P), C, x = dense_law(process, t), data_matrix(process), normal(5, 3, *SHAPE)
    law = process.law(t, x, data)
    expected = MultivariateNormal(A @ data.mean.flatten(), A @ C @ A.T + P)
    torch.testing.assert_close(law.log_prob(x), expected.log_prob(x.flatten(1)))
    R = (law.std * process.covariance.sqrt(unit_fields())).flatten(1).T
    torch.testing.assert_close(R @ R.T, expected.covariance_matrix)
    noise = process.covariance.sample(3, seeded(2), torch.float64)
    start = process.prior(3, t, seeded(2), torch.float64, statistics=data)
    torch.testing.assert_close(start, law.mean + law.std * noise)
    torch.testing.assert_close(process.prior(3, t, seeded(2), torch.float64), process.sigma(t, noise) * noise)


def test_starts_under_noise_that_is_not_diagonal_have_the_mean_alone() -> None:
    region = ModulatedCovariance(Ball(0.4, inside=1.5, outside=0.7), SpectralCovariance(PowerLaw(0.5), SHAPE))
    process, data = ForwardProcess(VPSchedule(), region), data_of(SMOOTH["vp"])
    start = process.prior(3, 0.5, seeded(2), torch.float64, statistics=data)
    mean = process.alpha(0.5, start) * data.mean
    torch.testing.assert_close(start, mean + process.prior(3, 0.5, seeded(2), torch.float64))
    cosine = DataStatistics(data.mean, data.spectrum, 9, CosineBasis(SHAPE[1:]))
    assert not SMOOTH["white to blue"].is_diagonal_in(cosine.basis)
    with pytest.raises(InputError, match="the process is diagonal in"):
        SMOOTH["white to blue"].law(0.5, start, cosine)


@pytest.mark.parametrize("inner", [SMOOTH["vp"], SpectralProcess.sequential(SHAPE)], ids=["scalar", "spectral"])
def test_frequencies_without_noise_start_at_the_mean(inner: Process) -> None:
    """Those that show, which then stay there, and those of an unseen band, which show nothing at all."""
    band = BandPass(0.0, 0.3)
    basis = FourierBasis(SHAPE[1:])
    assert isinstance(inner.reference, SpectralCovariance)
    noise = SpectralCovariance(leave_out(inner.reference.spectrum, band, hard=True), SHAPE)
    process: Process = dataclasses.replace(
        inner, **{"covariance" if isinstance(inner, ForwardProcess) else "reference": noise}
    )
    data = DataStatistics(normal(3, *SHAPE), torch.ones(2, *basis.coefficients).double(), 9, basis)
    empty = (mask(band, basis) > 0).double()
    start = process.prior(3, 0.5, seeded(2), torch.float64, statistics=data)
    a = process.diagonal(0.5, start, basis)[0].values
    shown = basis.forward(start) - a * basis.forward(data.mean)
    assert float((empty * shown.abs()).max()) < 1e-12 < float(((1 - empty) * shown.abs()).max())
    hidden = Restricted(process, band).prior(3, 0.5, seeded(2), torch.float64, statistics=data)
    torch.testing.assert_close(basis.forward(hidden), (1 - empty) * basis.forward(start))


@pytest.mark.parametrize("name", ["cosine", "ve", "rectified", "late", "blurring, colours"])
def test_exact_on_gaussian_data_with_order_five(name: str) -> None:
    """With the exact divergence and the law at the last time, what is left is the error of the Runge-Kutta method.

    The law at the last time is exact wherever it is, and the closed form starts from the same least noise level.
    """
    process, grid = SMOOTH[name], LogSNRGrid(0.01, 30.0)
    x_0, data, errors = samples(process), data_of(process), []
    for count in (11, 33):
        first = float(grid.times(count + 1, process)[-2])
        options = {"steps": count, "grid": grid, "statistics": data, "tolerance": None}
        got = log_likelihood(exact(process), x_0, probes=None, **options)  # type: ignore[arg-type]
        assert (got.log_prob.dtype, got.standard_error.tolist(), got.size) == (torch.float64, [0.0, 0.0], SIZE)
        errors.append(float((got.log_prob - closed_form(process, x_0, first)).abs().max()))
    assert math.log(errors[0] / errors[1], 3) > 4.5, errors
    assert errors[1] < 1e-4


TURNS: dict[str, Process] = {
    "sequential": SpectralProcess.sequential(SHAPE),
    "narrow": SpectralProcess.sequential(SHAPE, width=0.1),
    "low first": SpectralProcess(RectifiedSchedule(), SpectralCovariance(PER_CHANNEL, SHAPE), Sequential("low", 0.3)),
}


@pytest.mark.parametrize("steps", [8, 16, 32])
@pytest.mark.parametrize("name", TURNS)
def test_segments_are_divided_where_frequencies_take_turns(name: str, steps: int) -> None:
    """A window of time is a large part of it, but may be a small part of the clock, which grids in log-SNR follow: a
    segment then takes a frequency through its whole schedule. Undivided it errs by tenths of nats and more; by default
    densities are right to what is asked, with no more than 1,500 evaluations."""
    process, calls = TURNS[name], []
    x_0, data = samples(process, 2), data_of(process)
    denoiser = exact(process)

    def counted(x_t: Tensor, t: Time) -> Tensor:
        calls.append(t)
        return denoiser(x_t, t)

    first = float(LogSNRGrid(0.001).times(steps + 1, process)[-2])
    for tolerance in (None, 1e-3):
        calls.clear()
        got = log_likelihood(
            FunctionDenoiser(process, counted), x_0, steps=steps, probes=None, statistics=data, tolerance=tolerance
        )
        error = float((got.log_prob - closed_form(process, x_0, first)).abs().max())
        assert (error > 0.1 and len(calls) == 6 * steps + 1) if tolerance is None else error < 1e-3
    assert len(calls) < 1500


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan])
def test_tolerances_are_positive(tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance must be positive, in nats, or None"):
        log_likelihood(exact(SMOOTH["vp"]), samples(SMOOTH["vp"]), tolerance=tolerance)


@pytest.mark.parametrize("name", ["ve", "white to blue"])
def test_least_noise_level_is_a_small_bias(name: str) -> None:
    """The density is that of data with a little noise, of relative variance `n^2` at the least level `n`: the closed
    form moves by that much, and by a hundredth of it at a tenth of the level. No number of steps can do better.

    With `S >= 0.3` the shift of `-log N(x; mu, S + n^2 w^2)` is at most `n^2 w^2 / (2 S) (1 + r^2/S)` per dimension,
    here with `n = 0.003`, `w^2 <= 2` and `r^2/S <= 20`.
    """
    process = SMOOTH[name]
    x_0, data = samples(process, 1), data_of(process)
    law = MultivariateNormal(data.mean.flatten(), data_matrix(process)).log_prob(x_0.flatten(1))
    biases = []
    for level in (0.03, 0.003):
        first = float(process.time_at(torch.tensor(level, dtype=torch.float64)))
        biases.append(float((closed_form(process, x_0, first) - law).abs().max()))
    assert biases[1] < SIZE * 0.003**2 * 2 / (2 * 0.3) * (1 + 20)
    assert biases[0] / biases[1] == pytest.approx(100, rel=0.1)
    grid = LogSNRGrid(0.003, 30.0)
    got = log_likelihood(exact(process), x_0, steps=32, grid=grid, probes=None, statistics=data).log_prob
    first = float(grid.times(33, process)[-2])
    assert float((got - closed_form(process, x_0, first)).abs().max()) < 1e-3
    assert float((got - law).abs().max()) < 1e-3 + biases[1]


@pytest.mark.parametrize("name", ["ve", "rectified", "white to blue"])
def test_without_statistics_the_last_law_is_that_of_the_noise(name: str) -> None:
    """A good guess where noise has drowned the data, and no better: the same as in closed form, right or wrong."""
    process, grid = SMOOTH[name], LogSNRGrid(0.01, 80.0)
    x_0 = samples(process)
    times = grid.times(33, process).tolist()
    got = log_likelihood(exact(process), x_0, steps=32, grid=grid, probes=None)
    expected = closed_form(process, x_0, times[-2], times[0])
    torch.testing.assert_close(got.log_prob, expected, rtol=0, atol=1e-3)
    known = closed_form(process, x_0, times[-2])
    wrong = float((expected - known).abs().max())
    # VE ends at a noise level of 5, where the data is still there.
    assert (wrong > 0.1) if name == "ve" else (wrong < 0.05)


@pytest.mark.parametrize("name", ["vp", "white to blue"])
def test_density_of_a_mixture(name: str) -> None:
    """Data that is not Gaussian, by the density of the mixture in pixel space at the least noise level.

    At the last time the mixture is taken for a Gaussian of its mean and spectrum, from which it differs by the cube of
    the amplitude that is left of it, 1e-6 and less.
    """
    process, grid = SMOOTH[name], LogSNRGrid(0.01, 80.0)
    basis = data_of(process).basis
    spectra = torch.stack([0.3 * torch.ones(basis.coefficients), 0.1 + 0.4 * basis.radius()]).double()
    means, weights = normal(5, 2, *SHAPE), torch.tensor([0.3, 0.7], dtype=torch.float64)
    denoiser = GaussianMixtureDenoiser(process, means, spectra.unsqueeze(1), weights, basis)
    # Mean and spectrum of the mixture: variances within, and of the means.
    mean = torch.einsum("k,k...->...", weights, means)
    between = basis.forward(means - mean).abs().square()
    power = torch.einsum("k,k...->...", weights, between + spectra.unsqueeze(1))
    x_0 = torch.cat([means + 0.5 * normal(6, 2, *SHAPE), mean.unsqueeze(0)])
    data = DataStatistics(mean, power, 100, basis)
    got = log_likelihood(denoiser, x_0, steps=32, grid=grid, probes=None, statistics=data)
    A, P = dense_law(process, float(grid.times(33, process)[-2]))
    C = torch.stack([(Diagonal(S, basis) * unit_fields()).flatten(1) for S in spectra])
    law = MixtureSameFamily(Categorical(weights), MultivariateNormal(means.flatten(1) @ A.T, A @ C @ A.T + P))
    expected = law.log_prob(x_0.flatten(1) @ A.T) + torch.linalg.slogdet(A).logabsdet
    torch.testing.assert_close(got.log_prob, expected, rtol=0, atol=2e-3)


def test_noise_in_a_region() -> None:
    """Noise that is diagonal in no basis, for data that is not diagonal with it: in whitened coordinates all
    commutes."""
    region = ModulatedCovariance(Ball(0.4, inside=1.5, outside=0.7), SpectralCovariance(PowerLaw(0.5), SHAPE))
    process, grid = ForwardProcess(VPSchedule(), region), LogSNRGrid(0.01, 80.0)
    base = normal(8, SIZE, 2 * SIZE)
    C, Sigma, mean = base @ base.T / SIZE + 0.3 * torch.eye(SIZE).double(), region.to_dense(), normal(3, SIZE)

    def posterior_mean(x_t: Tensor, t: Time) -> Tensor:
        time = torch.as_tensor(t, dtype=torch.float64)
        a, s = process.schedule.alpha(time), process.schedule.sigma(time)
        gain = a * torch.linalg.solve(a**2 * C + s**2 * Sigma, C)
        return (mean + (x_t.flatten(1) - a * mean) @ gain).reshape(x_t.shape)

    x_0 = normal(4, 2, *SHAPE)
    got = log_likelihood(FunctionDenoiser(process, posterior_mean), x_0, steps=32, grid=grid, probes=None)
    times = grid.times(33, process)
    (a, b), (s, r) = (f(times[[-2, 0]]).tolist() for f in (process.schedule.alpha, process.schedule.sigma))
    L = torch.linalg.cholesky(Sigma)
    white = torch.linalg.inv(L)
    D, m = white @ C @ white.T, white @ mean
    first, last = a**2 * D + s**2 * torch.eye(SIZE).double(), b**2 * D + r**2 * torch.eye(SIZE).double()
    flow = root(last) @ torch.linalg.inv(root(first))
    z = b * m + (a * (x_0.flatten(1) @ white.T) - a * m) @ flow.T
    law = MultivariateNormal(torch.zeros(SIZE).double(), r**2 * torch.eye(SIZE).double())
    expected = law.log_prob(z) + torch.logdet(flow) + SIZE * math.log(a) - torch.logdet(L)
    torch.testing.assert_close(got.log_prob, expected, rtol=0, atol=1e-3)
    with pytest.raises(InputError, match="not known to be diagonal"):
        log_likelihood(
            FunctionDenoiser(process, posterior_mean),
            x_0,
            steps=1,
            statistics=DataStatistics(mean.reshape(SHAPE), torch.ones(2, 1, 2), 9, FourierBasis(SHAPE[1:])),
        )


class ByClass(Denoiser):
    """Exact denoisers of the same data, one for each class of noise."""

    def __init__(self, members: list[Covariance], schedule: VPSchedule) -> None:
        super().__init__()
        self.process, self.names = ForwardProcess(schedule, ClassCovariance(members)), None
        self.parts = [exact(ForwardProcess(schedule, member)) for member in members]

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        labels = Condition.of(condition).labels
        assert labels is not None
        return torch.cat([self.parts[k](x_t[i : i + 1], t) for i, k in enumerate(labels.tolist())])


@pytest.mark.parametrize("known", [False, True], ids=["noise", "statistics"])
def test_noise_by_class(known: bool) -> None:
    """Each sample's density is that under its own class's noise; without labels it is refused."""
    members: list[Covariance] = [
        SpectralCovariance(PowerLaw(0.5), SHAPE),
        SpectralCovariance(Flat(), SHAPE, calibration="none"),
        SpectralCovariance(PER_CHANNEL, SHAPE),
    ]
    denoiser, labels = ByClass(members, VPSchedule()), torch.tensor([2, 0, 1, 2])
    whole = ForwardProcess(VPSchedule(), members[0])
    x_0, statistics = samples(whole, 4), data_of(whole) if known else None
    options = {"steps": 4, "probes": None, "statistics": statistics, "tolerance": None}
    got = log_likelihood(denoiser, x_0, condition=labels, **options)  # type: ignore[arg-type]
    for i, k in enumerate(labels.tolist()):
        alone = log_likelihood(denoiser.parts[k], x_0[i : i + 1], **options)  # type: ignore[arg-type]
        torch.testing.assert_close(got.log_prob[i : i + 1], alone.log_prob, rtol=0, atol=1e-9)
    assert len(set(got.log_prob.round(decimals=6).tolist())) == 4
    with pytest.raises(InputError, match="noise depends on the class: give labels"):
        log_likelihood(denoiser, x_0)


def test_labels_reach_the_network() -> None:
    """A conditional model's density is that of the model of its class."""
    process = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))

    def network(x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        return labels.reshape(-1, 1, 1, 1).to(x) * torch.tanh(x) / 4

    conditional = NetworkDenoiser(network, process, "x0", null={"labels": 3})
    x_0, labels = normal(0, 3, *SHAPE), torch.tensor([2, 0, 1])
    whole = log_likelihood(conditional, x_0, steps=6, probes=None, condition=labels).log_prob
    for i, label in enumerate(labels.tolist()):
        own = FunctionDenoiser(process, lambda x, t, k=label: k * torch.tanh(x / process.rms(t, x)) / 4)
        alone = log_likelihood(own, x_0[i : i + 1], steps=6, probes=None).log_prob
        torch.testing.assert_close(whole[i : i + 1], alone, rtol=1e-12, atol=1e-9)
    with pytest.raises(InputError, match="an unconditional model was given the condition 'labels'"):
        log_likelihood(NetworkDenoiser(lambda x, t: x, process, "x0"), x_0, condition=labels)


# Random probes.


def test_random_probes_are_unbiased_with_the_stated_error() -> None:
    """200 sign vectors, fixed seed. The flow is linear, and one probe's estimate varies by `2 sum_{i != j} M_ij^2` with
    `M = log(V_1^(1/2) V_0^(-1/2))`, the integral of the Jacobian; the mean must be within 4 standard errors (level
    6e-5), and the standard error itself within 25 % of the truth, about 4 of its own standard deviations.
    """
    process, grid, count = SMOOTH["vp"], LogSNRGrid(0.01, 30.0), 200
    x_0, C = samples(process), data_matrix(process)
    exact_one = log_likelihood(exact(process), x_0, steps=4, grid=grid, probes=None)
    got = log_likelihood(exact(process), x_0, steps=4, grid=grid, probes=count, generator=seeded(0))
    assert ((got.log_prob - exact_one.log_prob).abs() < 4 * got.standard_error).all()
    times = grid.times(5, process)
    variances = []
    for t in times[[-2, 0]].tolist():
        A, P = dense_law(process, t)
        variances.append(A @ C @ A.T + P)
    ratio = variances[1] @ torch.linalg.inv(variances[0])
    values, vectors = torch.linalg.eigh((ratio + ratio.T) / 2)  # symmetric, since the two commute
    M = (vectors * values.log() / 2) @ vectors.T
    off = M - torch.diag(M.diagonal())
    error = math.sqrt(2 * float(off.square().sum()) / count)
    assert got.standard_error.tolist() == pytest.approx([error] * 2, rel=0.25)


def test_probes_are_exact_where_pixels_do_not_mix() -> None:
    """Signs square to 1: for a diagonal Jacobian every probe gives the trace, of data that is far from Gaussian too."""
    process = ForwardProcess(RectifiedSchedule(), IsotropicCovariance(SHAPE))
    denoiser = FunctionDenoiser(process, lambda x, t: torch.tanh(2 * x) * (1 - torch.as_tensor(t) / 2))
    x_0 = normal(0, 3, *SHAPE)
    exact_one = log_likelihood(denoiser, x_0, steps=10, probes=None).log_prob
    for probes in (1, 4):
        got = log_likelihood(denoiser, x_0, steps=10, probes=probes, generator=seeded(1))
        torch.testing.assert_close(got.log_prob, exact_one, rtol=0, atol=1e-9)
        if probes == 1:  # one probe says nothing of its error
            assert got.standard_error.isnan().all()
        else:
            assert (got.standard_error < 1e-9).all()


def test_probes_are_repeatable_and_of_the_generator() -> None:
    process = SMOOTH["cosine"]
    x_0 = samples(process)
    one, two, other, more = (
        log_likelihood(exact(process), x_0, steps=3, probes=count, generator=seeded(seed)).log_prob
        for count, seed in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert not torch.equal(one, more)
    torch.manual_seed(0)
    first = log_likelihood(exact(process), x_0, steps=3).log_prob
    assert not torch.equal(log_likelihood(exact(process), x_0, steps=3).log_prob, first)


@pytest.mark.parametrize("name", ["ve", "blurring"])
def test_batches_do_not_matter(name: str) -> None:
    """Split data has the same densities, with the exact divergence, and with one probe from one generator."""
    process = SMOOTH[name]
    x_0, data = samples(process, 4), data_of(process)
    for probes in (None, 1):
        generator = seeded(2)
        whole = log_likelihood(exact(process), x_0, steps=4, probes=probes, generator=seeded(2), statistics=data)
        parts = [
            log_likelihood(exact(process), part, steps=4, probes=probes, generator=generator, statistics=data).log_prob
            for part in x_0.split([1, 3])
        ]
        torch.testing.assert_close(torch.cat(parts), whole.log_prob, rtol=0, atol=1e-9)


def test_single_precision() -> None:
    """float32 images are integrated in float32 and summed up in float64."""
    process = SMOOTH["vp"]
    x_0, data = samples(process), data_of(process)
    wide = log_likelihood(exact(process), x_0, steps=16, probes=None, statistics=data).log_prob
    narrow = log_likelihood(exact(process), x_0.float(), steps=16, probes=None, statistics=data).log_prob
    assert narrow.dtype == torch.float64
    torch.testing.assert_close(narrow, wide, rtol=0, atol=2e-2)


def test_nothing_keeps_a_graph() -> None:
    """Networks' gradients are neither needed nor left behind, also under `no_grad`."""
    layer = torch.nn.Conv2d(2, 2, 1, dtype=torch.float64)
    process = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))
    denoiser = NetworkDenoiser(lambda x, t: layer(x), process, "x0")
    x_0 = normal(0, 2, *SHAPE)
    plain = log_likelihood(denoiser, x_0, steps=2, generator=seeded(0))
    with torch.no_grad():
        quiet = log_likelihood(denoiser, x_0, steps=2, generator=seeded(0))
    assert torch.equal(plain.log_prob, quiet.log_prob)
    assert not plain.log_prob.requires_grad
    assert layer.weight.grad is None


# Bits per dimension.


def test_bits_per_dim_by_hand() -> None:
    """A density of `2^-36` on 12 dimensions is 3 bits each; in bins of 1/128 it is 7 bits more."""
    result = Likelihood(torch.tensor([-36 * math.log(2), 0.0], dtype=torch.float64), torch.zeros(2), 12)
    assert result.bits_per_dim(1.0).tolist() == pytest.approx([3.0, 0.0], abs=1e-12)
    assert result.bits_per_dim(1 / 128).tolist() == pytest.approx([10.0, 7.0])
    assert result.bits_per_dim().tolist() == pytest.approx([3 + math.log2(127.5), math.log2(127.5)])


def test_bits_of_uniform_levels() -> None:
    """A density that is uniform on the 256 levels of 8-bit images in [-1, 1], a bin each, costs 8 bits."""
    width = 2 / 255
    log_prob = torch.tensor([-12 * math.log(256 * width)], dtype=torch.float64)
    assert Likelihood(log_prob, torch.zeros(1), 12).bits_per_dim().item() == pytest.approx(8, rel=1e-12)


@pytest.mark.parametrize("width", [2 / 255, 0.5])
def test_dequantised_data_fills_its_bins(width: float) -> None:
    """Uniform within half a bin about each level: Kolmogorov-Smirnov test, 10,000 values, seed fixed, level 1e-3."""
    x = torch.full((10, 1000), 0.25)
    y = dequantise(x, seeded(0), width)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    offset = ((y - x) / width + 0.5).flatten()
    assert float(offset.min()) >= -1e-5
    assert float(offset.max()) <= 1 + 1e-5
    assert stats.kstest(offset.numpy(), stats.uniform.cdf).pvalue > 1e-3
    assert torch.equal(dequantise(x, seeded(0), width), y)
    assert not torch.equal(dequantise(x, seeded(1), width), y)
    assert dequantise(x.double()).dtype == torch.float64
    with pytest.raises(InputError, match=r"must be floating point, got torch\.uint8"):
        dequantise(x.to(torch.uint8))


# What is refused.


def silent(process: Process) -> Denoiser:
    return FunctionDenoiser(process, lambda x_t, t: 0 * x_t)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ForwardProcess(VPSchedule(), SpectralCovariance(BandPass(0.3, 0.8), SHAPE)),
        lambda: SpectralProcess(VPSchedule(), SpectralCovariance(BandPass(0.3, 0.8), SHAPE), Sequential()),
        lambda: ForwardProcess(VPSchedule(), DenseCovariance(torch.diag(torch.arange(6.0)), SHAPE)),
        lambda: ForwardProcess(VPSchedule(), ModulatedCovariance(Ball(0.3), IsotropicCovariance(SHAPE))),
    ],
    ids=["band", "band by frequency", "dense", "region"],
)
def test_singular_noise_has_no_density(make: Callable[[], Process]) -> None:
    message = r"schedule vp and .* noise of shape \(2, 1, 3\).* leaves some frequency or place without noise"
    with pytest.raises(SingularCovarianceError, match=message):
        log_likelihood(silent(make()), normal(0, 2, *SHAPE))


def test_refusals() -> None:
    process = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))
    x_0 = normal(0, 2, *SHAPE)
    with pytest.raises(InputError, match=r"data \(1, 3\) does not have the shape of the process \(2, 1, 3\)"):
        log_likelihood(silent(process), x_0[0])
    for probes in (0, -1):
        with pytest.raises(InputError, match=f"probes must be at least 1, or None for the exact .*, got {probes}"):
            log_likelihood(silent(process), x_0, probes=probes)
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        log_likelihood(silent(process), x_0, steps=0)
    with pytest.raises(InputError, match="the matched time grid needs the data's statistics"):
        log_likelihood(silent(process), x_0, grid="matched")
    with pytest.raises(InputError, match=r"the process is diagonal in cosine.*, not in fourier"):
        log_likelihood(silent(SMOOTH["blurring"]), x_0, steps=1, statistics=data_of(SMOOTH["vp"]))
