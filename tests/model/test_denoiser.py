import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.exact import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from sagd.model.parameterisation import Parameterisation
from sagd.model.wrappers import Guided
from sagd.noise.basis.base import Basis
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
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.process.evolution import Blurring, Evolution, Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.testing.oracles import signed_frequencies, stationary_matrix

SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(0.05, 5.0), RectifiedSchedule()]
PREDICTIONS = [*Parameterisation.kinds(), "wiener(exponent=0.5)"]
SHAPE = (2, 3, 4)
TIMES = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise_power(spectrum: Spectrum, spatial: tuple[int, ...]) -> Tensor:
    """`w^2` on the full grid, calibrated to mean 1."""
    power = spectrum.weights(signed_frequencies(spatial)).square()
    return power / power.mean()


def data_power(spatial: tuple[int, ...], slope: float = -1.0) -> Tensor:
    """A spectrum that is neither flat nor that of the noise, on the full grid."""
    r = signed_frequencies(spatial).norm(dim=0)
    return 0.3 * (r + 0.2) ** slope


def statistics(shape: tuple[int, ...] = SHAPE) -> DataStatistics:
    """Of data with a mean, and a spectrum of its own in each channel."""
    basis = FourierBasis(shape[1:])
    power = torch.stack([(c + 1) * half(data_power(shape[1:], -c)) for c in range(shape[0])])
    return DataStatistics(normal(7, *shape), power, 100, basis)


def half(power: Tensor) -> Tensor:
    """The stored half of a spectrum on the full grid."""
    return power[..., : power.shape[-1] // 2 + 1]


def coefficients(schedule: Schedule) -> tuple[Tensor, Tensor]:
    return schedule.alpha(TIMES), schedule.sigma(TIMES)


CASES = [
    (SHAPE, PowerLaw(-0.5)),
    ((1, 5, 3), PowerLaw(0.5)),
    (SHAPE, BandPass(0.3, 0.7)),
    ((2, 9), PowerLaw(1.0)),
    ((1, 2, 3, 4), PowerLaw(-1.0)),
]


@pytest.mark.parametrize(("shape", "spectrum"), CASES, ids=str)
@pytest.mark.parametrize("schedule", [VPSchedule(), VESchedule(0.05, 5.0)], ids=str)
def test_gaussian_denoiser_is_the_dense_conditional_mean(
    schedule: Schedule, shape: tuple[int, ...], spectrum: Spectrum
) -> None:
    """`mu + alpha C (alpha^2 C + sigma^2 Sigma)^-1 (x_t - alpha mu)`, singular noise and channels of their own too."""
    spatial = shape[1:]
    power = torch.stack([(c + 1) * data_power(spatial, -c) for c in range(shape[0])])
    C = torch.block_diag(*[stationary_matrix(p, (1, *spatial)) for p in power])
    Sigma = stationary_matrix(noise_power(spectrum, spatial), shape)
    mean, x_t = normal(0, *shape), normal(1, 3, *shape)
    denoiser = GaussianDenoiser(ForwardProcess(schedule, SpectralCovariance(spectrum, shape)), mean, half(power))
    for i, (a, s) in enumerate(zip(*coefficients(schedule), strict=True)):
        residual = (x_t[i] - a * mean).flatten()
        expected = mean.flatten() + a * C @ torch.linalg.solve(a**2 * C + s**2 * Sigma, residual)
        torch.testing.assert_close(denoiser.estimate(x_t, TIMES)[i].flatten(), expected)
    torch.testing.assert_close(denoiser(x_t.float(), TIMES), denoiser(x_t, TIMES).float(), rtol=1e-4, atol=1e-4)


def test_gaussian_denoiser_shares_a_spectrum_between_channels() -> None:
    process = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))
    mean, S, x_t = normal(0, *SHAPE), half(data_power(SHAPE[1:])), normal(1, 2, *SHAPE)
    shared, repeated = GaussianDenoiser(process, mean, S), GaussianDenoiser(process, mean, S.expand(2, -1, -1))
    torch.testing.assert_close(shared(x_t, 0.4), repeated(x_t, 0.4))
    white, flat = GaussianDenoiser(process, mean, torch.tensor(0.5)), torch.full_like(S, 0.5)
    torch.testing.assert_close(white(x_t, 0.4), GaussianDenoiser(process, mean, flat)(x_t, 0.4))


@pytest.mark.parametrize("spectrum", [PowerLaw(0.5), BandPass(0.3, 0.7)], ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_mixture_denoiser_is_the_dense_posterior_mean(schedule: Schedule, spectrum: Spectrum) -> None:
    """Components by Gaussian conditioning, their posterior weights and the density by torch's distributions."""
    t = 0.6
    means, proportions = normal(0, 3, *SHAPE), torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    power = torch.stack([data_power(SHAPE[1:], slope) for slope in (0.0, -1.0, 0.7)])
    C = torch.stack([stationary_matrix(p, SHAPE) for p in power])
    Sigma = stationary_matrix(noise_power(spectrum, SHAPE[1:]), SHAPE)
    a, s = (float(f(torch.tensor(t, dtype=torch.float64))) for f in (schedule.alpha, schedule.sigma))
    covariance = a**2 * C + s**2 * Sigma
    x_t = a * means[[0, 1, 2, 0]] + 0.5 * normal(1, 4, *SHAPE)
    residual = x_t.flatten(1).unsqueeze(1) - a * means.flatten(1)
    component = means.flatten(1) + a * torch.einsum("kij,kjl,bkl->bki", C, torch.linalg.inv(covariance), residual)
    law = MixtureSameFamily(Categorical(proportions), MultivariateNormal(a * means.flatten(1), covariance))
    log_joint = law.component_distribution.log_prob(x_t.flatten(1).unsqueeze(1)) + law.mixture_distribution.logits
    expected = (torch.softmax(log_joint, 1).unsqueeze(-1) * component).sum(1).reshape(x_t.shape)

    process = ForwardProcess(schedule, SpectralCovariance(spectrum, SHAPE))
    denoiser = GaussianMixtureDenoiser(process, means, half(power).unsqueeze(1), proportions)
    torch.testing.assert_close(denoiser.estimate(x_t, t), expected)
    offset = 0.5 * math.prod(SHAPE) * math.log(2 * math.pi)
    torch.testing.assert_close(denoiser.log_density(x_t, t) - offset, law.log_prob(x_t.flatten(1)))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("covariance", [SpectralCovariance(PowerLaw(-0.5), SHAPE), "dense"], ids=["spectral", "dense"])
def test_empirical_denoiser_by_brute_force(schedule: Schedule, covariance: Covariance | str) -> None:
    if isinstance(covariance, str):
        root = normal(9, 24, 48)
        covariance = DenseCovariance(root @ root.T / 48, SHAPE)
    data, noise, inverse = normal(0, 5, *SHAPE), normal(1, 3, *SHAPE), torch.linalg.inv(covariance.to_dense())
    process = ForwardProcess(schedule, covariance)
    x_t = process.perturb(data[:3], TIMES, noise)
    a, s = (f.reshape(-1, 1, 1) for f in coefficients(schedule))
    residual = x_t.flatten(1).unsqueeze(1) - a * data.flatten(1)
    logits = -torch.einsum("bni,ij,bnj->bn", residual, inverse, residual).unsqueeze(-1) / (2 * s**2)
    expected = (torch.softmax(logits, 1) * data.flatten(1)).sum(1).reshape(x_t.shape)
    torch.testing.assert_close(EmpiricalDenoiser(process, data)(x_t, TIMES), expected)


def test_empirical_distribution_is_a_mixture_of_points() -> None:
    process = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))
    data, x_t = normal(0, 5, *SHAPE), normal(1, 3, *SHAPE)
    points = GaussianMixtureDenoiser(process, data, torch.zeros(5, 1, 1, 1))
    torch.testing.assert_close(EmpiricalDenoiser(process, data)(x_t, TIMES), points(x_t, TIMES))


def test_nothing_is_known_of_empty_frequencies_where_no_signal_is_left() -> None:
    """`alpha_1 = 0` and `w = 0`: the posterior there is the prior, and equals its limit as t -> 1."""
    process = ForwardProcess(RectifiedSchedule(), SpectralCovariance(BandPass(0.3, 0.7), SHAPE))
    power = torch.stack([data_power(SHAPE[1:]), data_power(SHAPE[1:], 0.5)])
    means = normal(0, 2, *SHAPE)
    denoiser = GaussianMixtureDenoiser(process, means, half(power).unsqueeze(1))
    torch.testing.assert_close(denoiser.estimate(process.prior(3).double(), 1.0), means.mean(0).expand(3, *SHAPE))


def test_exact_denoisers_refuse_undefined_posteriors() -> None:
    band = ForwardProcess(VPSchedule(), SpectralCovariance(BandPass(0.3, 0.7), SHAPE))
    white = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))
    means, S = normal(0, 2, *SHAPE), torch.ones(2, 1, 3, 3)
    with pytest.raises(InputError, match="neither noise nor data variance"):
        GaussianMixtureDenoiser(band, means, torch.zeros(2, 1, 1, 1))
    with pytest.raises(InputError, match="spectra must be finite and not negative"):
        GaussianMixtureDenoiser(white, means, -S)
    with pytest.raises(InputError, match=r"weights must be 2 positive numbers, got \[1.0, -1.0\]"):
        GaussianMixtureDenoiser(white, means, S, torch.tensor([1.0, -1.0]))
    with pytest.raises(InputError, match="not known to be diagonal"):
        GaussianMixtureDenoiser(ForwardProcess(VPSchedule(), DenseCovariance(torch.eye(24), SHAPE)), means, S)
    with pytest.raises(SingularCovarianceError):
        EmpiricalDenoiser(band, means)
    with pytest.raises(InputError, match=r"data must be floating point, got torch\.uint8"):
        EmpiricalDenoiser(white, means.to(torch.uint8))
    with pytest.raises(InputError, match="does not end in"):
        EmpiricalDenoiser(white, means[..., :2])


class Recorder:
    """A network that remembers what it was given."""

    def __init__(self, output: Tensor | None = None) -> None:
        self.output = output
        self.inputs: list[Tensor] = []
        self.timesteps: list[Tensor] = []

    def __call__(self, x: Tensor, timestep: Tensor) -> Tensor:
        self.inputs.append(x)
        self.timesteps.append(timestep)
        return x if self.output is None else self.output


def coloured_process(schedule: Schedule) -> ForwardProcess:
    return ForwardProcess(schedule, SpectralCovariance(PowerLaw(0.5), SHAPE))


@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [(s, p) for s in SCHEDULES for p in PREDICTIONS if not (p == "eps" and isinstance(s, RectifiedSchedule))],
    ids=str,
)
def test_a_network_that_outputs_the_target_gives_the_image_back(schedule: Schedule, prediction: str) -> None:
    process = coloured_process(schedule)
    x_0 = normal(0, 3, *SHAPE)
    eps = process.noise(x_0, torch.Generator().manual_seed(1))
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
        x, e = x_0.to(dtype), eps.to(dtype)
        denoiser = NetworkDenoiser(
            lambda scaled, timestep: target,  # noqa: B023
            process,
            prediction,
            data_std=0.7,
            statistics=statistics(),
        )
        target = denoiser.target(x, e, TIMES)
        estimate = denoiser(process.perturb(x, TIMES, e), TIMES)
        assert estimate.dtype == dtype
        torch.testing.assert_close(estimate, x, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0, 80.0])
def test_edm_preconditioning_is_table_1_of_karras(sigma: float) -> None:
    """At `alpha = 1`, with sigma_data = 0.5."""
    process = ForwardProcess(VESchedule(0.001, 100.0), IsotropicCovariance(SHAPE))
    t = process.schedule.time_at(torch.tensor(sigma, dtype=torch.float64))
    x, output = normal(0, 2, *SHAPE), normal(1, 2, *SHAPE)
    network = Recorder(output)
    denoiser = NetworkDenoiser(network, process, "edm", data_std=0.5)
    c_skip = 0.5**2 / (sigma**2 + 0.5**2)
    c_out = sigma * 0.5 / math.sqrt(0.5**2 + sigma**2)
    torch.testing.assert_close(denoiser(x, t), c_skip * x + c_out * output)
    torch.testing.assert_close(network.inputs[0], x / math.sqrt(sigma**2 + 0.5**2))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_edm_inputs_and_targets_have_unit_variance(schedule: Schedule) -> None:
    """The conditions that define the preconditioning (Karras et al., 2022, appendix B.6), at every `alpha`; both are
    linear in image and noise, so two unit fields give their variance exactly."""
    std, unit, zero = 0.3, torch.ones(3, 1, 1, dtype=torch.float64), torch.zeros(3, 1, 1, dtype=torch.float64)
    process = ForwardProcess(schedule, IsotropicCovariance((1, 1)))
    network = Recorder()
    denoiser = NetworkDenoiser(network, process, "edm", data_std=std)
    for x_0, eps in ((std * unit, zero), (zero, unit)):
        denoiser.output(process.perturb(x_0, TIMES, eps), TIMES)
    torch.testing.assert_close(network.inputs[0] ** 2 + network.inputs[1] ** 2, unit)
    targets = [denoiser.target(x_0, eps, TIMES) for x_0, eps in ((std * unit, zero), (zero, unit))]
    torch.testing.assert_close(targets[0] ** 2 + targets[1] ** 2, unit)


def test_edm_target_keeps_its_precision_at_vanishing_noise() -> None:
    """As sigma -> 0 the target tends to `-eps`, in float32 and at sigma = 0 too (table 1 with `alpha = 1`)."""
    denoiser = NetworkDenoiser(lambda x, t: x, ForwardProcess(VESchedule(), IsotropicCovariance(SHAPE)), "edm")
    x_0, eps = normal(0, 2, *SHAPE).float(), normal(1, 2, *SHAPE).float()
    for t in (0.0, 1e-12):
        torch.testing.assert_close(denoiser.target(x_0, eps, t), -eps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_network_sees_unit_variance_and_the_time_step(schedule: Schedule) -> None:
    network, x = Recorder(), normal(0, 3, *SHAPE)
    denoiser = NetworkDenoiser(network, coloured_process(schedule), "x0")
    a, s = (f.reshape(-1, 1, 1, 1) for f in coefficients(schedule))
    denoiser(x, TIMES)
    denoiser(x, 1.0)
    torch.testing.assert_close(network.inputs[0], x / (a**2 + s**2).sqrt())
    torch.testing.assert_close(network.timesteps[0], schedule.timestep(TIMES).float())
    torch.testing.assert_close(network.timesteps[1], schedule.timestep(TIMES[2:]).float().expand(3))


def conditional(x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
    return (labels + 1.0).reshape(-1, 1, 1, 1) * x


def test_guidance_extrapolates_the_prediction() -> None:
    """`(1 - g) F(unlabelled) + g F(labelled)`, whatever the network predicts (Ho & Salimans, 2022, with w = g - 1)."""
    process, x, labels, t = coloured_process(VPSchedule()), normal(0, 3, *SHAPE), torch.tensor([0, 1, 3]), 0.4
    null = torch.tensor([3, 3, 3])
    for prediction in PREDICTIONS:
        options: dict[str, Any] = {"null": {"labels": 3}, "statistics": statistics()}
        plain = NetworkDenoiser(conditional, process, prediction, **options)
        guided = Guided(plain, 2.5)
        mixed = lambda x, t, labels: -1.5 * conditional(x, t, null) + 2.5 * conditional(x, t, labels)  # noqa: E731
        expected = NetworkDenoiser(mixed, process, prediction, **options)
        torch.testing.assert_close(guided(x, t, labels), expected(x, t, labels))
        torch.testing.assert_close(guided(x, t), plain(x, t, null))


def test_labels_that_mean_nothing_are_refused() -> None:
    process, x = coloured_process(VPSchedule()), normal(0, 2, *SHAPE)
    with pytest.raises(InputError, match="an unconditional model was given the condition 'labels'; leave it out"):
        NetworkDenoiser(lambda x, t: x, process)(x, 0.5, torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"guidance 2\.0 needs a conditional model"):
        Guided(NetworkDenoiser(lambda x, t: x, process), 2.0)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,), lambda x: [x, None], lambda x: x.to(torch.bfloat16)])
def test_forms_of_network_output(wrap: Any) -> None:
    """A tensor, or anything whose first item is one, as diffusers' outputs; in any precision."""
    x = normal(0, 2, *SHAPE).float()
    denoiser = NetworkDenoiser(lambda x, t: wrap(x / 2), coloured_process(VPSchedule()), "x0")
    assert denoiser(x, 0.5).dtype == torch.float32
    torch.testing.assert_close(denoiser(x, 0.5), x / 2, rtol=1e-2, atol=1e-2)


def test_network_device() -> None:
    process = coloured_process(VPSchedule())
    assert NetworkDenoiser(torch.nn.Conv2d(2, 2, 1, device="meta"), process).device.type == "meta"
    assert NetworkDenoiser(lambda x, t: x, process).device.type == "cpu"


def test_predictions_follow_from_the_image() -> None:
    process, x = coloured_process(VPSchedule()), normal(0, 3, *SHAPE)
    denoiser = NetworkDenoiser(lambda x, t: x**2, process, "eps")
    torch.testing.assert_close(denoiser.predict("eps", x, TIMES), x**2)
    a, s = (f.reshape(-1, 1, 1, 1) for f in coefficients(process.schedule))
    x_0 = (x - s * x**2) / a
    torch.testing.assert_close(denoiser.predict("x0", x, TIMES), x_0)
    torch.testing.assert_close(denoiser.predict("v", x, TIMES), a * x**2 - s * x_0)
    inverse = torch.linalg.inv(process.covariance.to_dense())
    torch.testing.assert_close(denoiser.score(x, TIMES).flatten(1), -((x**2) / s).flatten(1) @ inverse)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_frequencies_without_noise_are_those_of_the_state(prediction: str) -> None:
    """Whatever the network says, and after clipping, which holds elsewhere."""
    spectrum = BandPass(0.3, 0.7)
    process = ForwardProcess(VPSchedule(), SpectralCovariance(spectrum, SHAPE))
    # An independent projection onto the empty band.
    empty = stationary_matrix((noise_power(spectrum, SHAPE[1:]) == 0).double(), SHAPE)
    x_0 = normal(0, 3, *SHAPE)
    x_t = process.perturb(x_0, TIMES, generator=torch.Generator().manual_seed(1))
    denoiser = NetworkDenoiser(lambda x, t: torch.tanh(x), process, prediction, statistics=statistics())
    for clip in (None, 0.1):
        x = denoiser(x_t, TIMES, clip=clip)
        torch.testing.assert_close(x.flatten(1) @ empty, x_0.flatten(1) @ empty)
    raw = denoiser.estimate(x_t, TIMES).clamp(-0.1, 0.1)
    full = torch.eye(len(empty), dtype=torch.float64) - empty
    torch.testing.assert_close(x.flatten(1) @ full, raw.flatten(1) @ full)


def test_clipping_bounds_the_image() -> None:
    denoiser = NetworkDenoiser(lambda x, t: x, coloured_process(VPSchedule()), "x0")
    x = normal(0, 3, *SHAPE)
    torch.testing.assert_close(denoiser(x, 0.5, clip=0.5), x.clamp(-0.5, 0.5))


def test_refusals() -> None:
    process = coloured_process(VPSchedule())
    with pytest.raises(InputError, match=r"unknown prediction 'epsilon'; did you mean 'eps'\?"):
        NetworkDenoiser(lambda x, t: x, process, "epsilon")
    with pytest.raises(InputError, match="wiener statistics must be measured, got 3"):
        NetworkDenoiser(lambda x, t: x, process, "wiener(statistics=3)")
    with pytest.raises(InputError, match="data_std must be positive and finite, got -1"):
        NetworkDenoiser(lambda x, t: x, process, "edm(data_std=-1)")
    with pytest.raises(InputError, match="data_std must be positive and finite, got 0"):
        NetworkDenoiser(lambda x, t: x, process, "edm", data_std=0)
    with pytest.raises(InputError, match=r"cannot start at t = 1 of schedule 'rectified'.*use prediction x0"):
        NetworkDenoiser(lambda x, t: x, coloured_process(RectifiedSchedule()), "eps")


# Per frequency: processes with a schedule for each, and preconditioning by the data's spectrum.

COLOURS = ((0.6, 0.8), (-0.8, 0.6))


def channel_basis(inner: Basis) -> ChannelBasis:
    return ChannelBasis(inner.spatial, inner, COLOURS)


def in_basis(evolution: Evolution | None, basis: Basis, spectrum: Spectrum, schedule: Schedule) -> Process:
    covariance = SpectralCovariance(spectrum, SHAPE, basis)
    return (
        ForwardProcess(schedule, covariance) if evolution is None else SpectralProcess(schedule, covariance, evolution)
    )


PER_CHANNEL = PerChannel((PowerLaw(-0.5), PowerLaw(0.5)))
DIAGONAL = {
    "Fourier": lambda: in_basis(None, FourierBasis(SHAPE[1:]), PowerLaw(-0.5), VPSchedule()),
    "cosine": lambda: in_basis(None, CosineBasis(SHAPE[1:]), PowerLaw(0.5), CosineSchedule()),
    "colours": lambda: in_basis(None, channel_basis(FourierBasis(SHAPE[1:])), PER_CHANNEL, VESchedule(0.05, 5.0)),
    "per channel": lambda: in_basis(None, FourierBasis(SHAPE[1:]), PER_CHANNEL, RectifiedSchedule()),
    "band": lambda: in_basis(None, FourierBasis(SHAPE[1:]), BandPass(0.3, 0.7), VPSchedule()),
    "blurring": lambda: in_basis(Blurring(2.0), CosineBasis(SHAPE[1:]), Flat(), CosineSchedule()),
    "white to blue": lambda: in_basis(Interpolated(), FourierBasis(SHAPE[1:]), PowerLaw(0.5), VPSchedule()),
    "sequential": lambda: in_basis(Sequential(), FourierBasis(SHAPE[1:]), PER_CHANNEL, RectifiedSchedule()),
    "sequential colours": lambda: in_basis(
        Sequential("low"), channel_basis(CosineBasis(SHAPE[1:])), PER_CHANNEL, VESchedule(0.05, 5.0)
    ),
    "sequential band": lambda: in_basis(Sequential(), FourierBasis(SHAPE[1:]), BandPass(0.3, 0.7), CosineSchedule()),
}


def basis_of(process: Process) -> Basis:
    assert isinstance(process.reference, SpectralCovariance)
    return process.reference.basis


def data_of(process: Process) -> DataStatistics:
    """A mean, and a spectrum of its own for each channel, in the basis of the noise."""
    basis = basis_of(process)
    r = basis.radius()
    power = torch.stack([0.3 * (r + 0.2) ** -1.0, 0.5 * (r + 0.3) ** 0.7])
    return DataStatistics(normal(3, *SHAPE), power, 50, basis)


def unit_fields() -> Tensor:
    size = math.prod(SHAPE)
    return torch.eye(size, dtype=torch.float64).reshape(size, *SHAPE)


@pytest.mark.parametrize("name", DIAGONAL)
def test_gaussian_denoiser_of_any_diagonal_process_is_the_dense_conditional_mean(name: str) -> None:
    """`mu + C A^T (A C A^T + P)^-1 (x_t - A mu)` with matrices from the action on unit fields."""
    process = DIAGONAL[name]()
    data = data_of(process)
    C = (Diagonal(data.spectrum, data.basis) * unit_fields()).flatten(1)
    denoiser = GaussianDenoiser(process, data.mean, data.spectrum, data.basis)
    x_t = process.perturb(data.mean + normal(1, 3, *SHAPE), TIMES, generator=torch.Generator().manual_seed(2))
    for i, t in enumerate(TIMES.tolist()):
        law = process.marginal(unit_fields(), t)
        std = (law.std * unit_fields()).flatten(1)
        A, P = law.mean.flatten(1).T, std.T @ law.covariance.to_dense() @ std
        total, mean = A @ C @ A.T + P, data.mean.flatten()
        # Where neither signal nor noise is left, nothing is learnt.
        expected = mean + C @ A.T @ torch.linalg.pinv(total, hermitian=True) @ (x_t[i].flatten() - A @ mean)
        torch.testing.assert_close(denoiser.estimate(x_t, TIMES)[i].flatten(), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", DIAGONAL)
def test_wiener_with_a_silent_network_is_the_exact_denoiser_of_gaussian_data(name: str) -> None:
    process = DIAGONAL[name]()
    data = data_of(process)
    exact = GaussianDenoiser(process, data.mean, data.spectrum, data.basis)
    denoiser = NetworkDenoiser(lambda x, t: torch.zeros_like(x), process, "wiener", statistics=data)
    x_t = process.perturb(data.mean + normal(1, 3, *SHAPE), TIMES, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(denoiser(x_t, TIMES), exact(x_t, TIMES), rtol=0, atol=1e-12)
    single = denoiser(x_t.float(), 0.4)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, exact(x_t, 0.4).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", DIAGONAL)
def test_wiener_inputs_and_targets_have_unit_variance_at_every_frequency(name: str) -> None:
    """For Gaussian data: both are linear in image and noise, so the answers to `sqrt(S)` and 1 at every frequency add
    up to their power spectra. Frequencies without noise have nothing to predict."""
    process = DIAGONAL[name]()
    data = data_of(process)
    basis, network = data.basis, Recorder()
    denoiser = NetworkDenoiser(network, process, "wiener", statistics=data)
    ones = torch.ones(3, *data.spectrum.shape, dtype=torch.float64)
    zero = torch.zeros(3, *SHAPE, dtype=torch.float64)
    deviation = basis.inverse(data.spectrum.sqrt() * ones)
    white = basis.inverse(ones)
    eps = process.covariance.sqrt(white)
    for x_0, noise in ((data.mean + deviation, zero), (data.mean + zero, eps)):
        denoiser.output(process.perturb(x_0, TIMES, noise), TIMES)
    powers = [basis.forward(x).abs().square() for x in network.inputs]
    noisy = process.diagonal(0.5, zero, basis)[1].values.expand(3, *data.spectrum.shape) > 0
    # At the end of a rectified process nothing at all is left where no noise is.
    seen = noisy | (process.diagonal(TIMES, zero, basis)[0].values > 0)
    torch.testing.assert_close(powers[0] + powers[1], seen.double(), rtol=0, atol=1e-9)
    targets = [denoiser.target(data.mean + x, e, TIMES) for x, e in ((deviation, zero), (zero, eps))]
    powers = [basis.forward(x).abs().square() for x in targets]
    torch.testing.assert_close(powers[0] + powers[1], noisy.double(), rtol=0, atol=1e-9)


EXPONENTS = [0.0, 0.3, 0.5, 1.0]


def raised(data: DataStatistics, exponent: float) -> Tensor:
    """`s^2 (S / s^2)^g`, with the mean over all frequencies of the full grid by the trace of the matrix."""
    trace = (Diagonal(data.spectrum, data.basis) * unit_fields()).flatten(1).trace()
    variance = trace / math.prod(SHAPE)
    return variance * (data.spectrum / variance) ** exponent


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("name", DIAGONAL)
def test_a_power_of_the_spectrum_scales_input_and_target_as_in_closed_form(name: str, exponent: float) -> None:
    """The answers to `sqrt(S)` and to unit noise at every frequency add up to the power spectra on Gaussian data."""
    process = DIAGONAL[name]()
    data, network = data_of(process), Recorder()
    basis, S, G = data.basis, data.spectrum, raised(data, exponent)
    denoiser = NetworkDenoiser(network, process, f"wiener(exponent={exponent})", statistics=data)
    times = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    zero = torch.zeros(3, *SHAPE, dtype=torch.float64)
    ones = torch.ones(3, *S.shape, dtype=torch.float64)
    deviation, eps = basis.inverse(S.sqrt() * ones), process.covariance.sqrt(basis.inverse(ones))
    pairs = ((data.mean + deviation, zero), (data.mean + zero, eps))
    for x_0, noise in pairs:
        denoiser.output(process.perturb(x_0, times, noise), times)
    seen = sum(basis.forward(x).abs().square() for x in network.inputs)
    wanted = sum(basis.forward(denoiser.target(*pair, times)).abs().square() for pair in pairs)
    a, s = (c.values for c in process.diagonal(times, zero, basis))
    total = a**2 * G + s**2
    torch.testing.assert_close(seen, (a**2 * S + s**2) / total, rtol=1e-9, atol=1e-9)
    target = torch.where(s > 0, a**2 * G + s**2 * S / G, 0.0) / total
    torch.testing.assert_close(wanted, target, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("name", DIAGONAL)
def test_with_the_network_that_is_best_a_power_of_the_spectrum_is_exact_on_gaussian_data(
    name: str, exponent: float
) -> None:
    """That network is linear and known: `E[F u] / E[u u]`, the covariance of target and input over the input's. The
    squared error is then `S s^2 / (a^2 S + s^2)` at every frequency, by a sum over image and noise."""
    process = DIAGONAL[name]()
    data, t = data_of(process), 0.6
    basis, S, G = data.basis, data.spectrum, raised(data, exponent)
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    a, s = (c.values for c in process.diagonal(t, zero, basis))
    # c_in x_t and F = c_in (s / std (x_0 - mu) - a std noise), on data of power S.
    best = torch.where(s > 0, a * s * (S / G.sqrt() - G.sqrt()) / (a**2 * S + s**2), 0.0)

    def network(u: Tensor, timestep: Tensor) -> Tensor:
        return basis.inverse(best * basis.forward(u))

    denoiser = NetworkDenoiser(network, process, f"wiener(exponent={exponent})", statistics=data)
    exact = GaussianDenoiser(process, data.mean, S, basis)
    x_t = process.perturb(data.mean + normal(1, 3, *SHAPE), t, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(denoiser(x_t, t), exact(x_t, t), rtol=0, atol=1e-10)
    ones = torch.ones(1, *S.shape, dtype=torch.float64)
    deviation, eps = basis.inverse(S.sqrt() * ones), process.covariance.sqrt(basis.inverse(ones))
    errors = [
        basis.forward(x_0 - denoiser(process.perturb(x_0, t, noise), t)).abs().square()
        for x_0, noise in ((data.mean + deviation, zero), (data.mean + zero, eps))
    ]
    torch.testing.assert_close(errors[0] + errors[1], S * s**2 / (a**2 * S + s**2), rtol=1e-9, atol=1e-10)


def test_the_ends_of_the_exponent_are_edm_and_wiener() -> None:
    """`edm` is told neither the mean nor the colour of the noise, so it is met on centred data with white noise, and
    under schedules per frequency, whose noise it knows."""
    white = in_basis(None, FourierBasis(SHAPE[1:]), Flat(), VPSchedule())
    network, x_t = Recorder(normal(1, 3, *SHAPE)), normal(2, 3, *SHAPE)
    for process in (white, DIAGONAL["sequential"]()):
        data = dataclasses.replace(data_of(process), mean=torch.zeros(SHAPE, dtype=torch.float64))
        ends = [
            NetworkDenoiser(network, process, prediction, data_std=data.std, statistics=data)
            for prediction in ("edm", "wiener(exponent=0)", "wiener", "wiener(exponent=1)")
        ]
        values = [denoiser(x_t, TIMES) for denoiser in ends]
        edm, zero, wiener, one = network.inputs[-4:]
        torch.testing.assert_close((values[1], zero), (values[0], edm), rtol=0, atol=1e-12)
        assert torch.equal(values[2], values[3])
        assert torch.equal(wiener, one)
        assert not torch.allclose(edm, wiener)


def test_a_power_of_the_spectrum_is_described_with_the_model() -> None:
    half = Parameterisation.parse("wiener(exponent=0.5)")
    assert half.to_dict() == {"kind": "wiener", "exponent": 0.5}
    assert str(half.resolve(1.0, statistics())) == "wiener(exponent=0.5)"
    assert half.resolve(1.0, statistics()).to_dict() == half.to_dict()
    # As models of before hold it.
    assert Parameterisation.from_dict({"kind": "wiener"}) == Parameterisation.parse("wiener")
    assert [Parameterisation.parse(text).identity for text in ("wiener", "edm(data_std=2)")] == ["wiener", "edm"]
    for value in (-0.1, 1.1, math.inf):
        with pytest.raises(InputError, match="wiener exponent must"):
            Parameterisation.parse(f"wiener(exponent={value})")


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", DIAGONAL)
def test_any_diagonal_process_gives_the_image_of_its_target_back(name: str, prediction: str) -> None:
    process = DIAGONAL[name]()
    data = data_of(process)
    if prediction == "eps" and isinstance(process.schedule, RectifiedSchedule):
        with pytest.raises(InputError, match="eps prediction cannot start at t = 1"):
            NetworkDenoiser(lambda x, t: x, process, "eps")
        return
    x_0, times = normal(0, 3, *SHAPE), torch.tensor([0.05, 0.5, 0.9], dtype=torch.float64)
    eps = process.noise(x_0, torch.Generator().manual_seed(1))
    x_t = process.perturb(x_0, times, eps)
    denoiser = NetworkDenoiser(lambda scaled, timestep: target, process, prediction, data_std=0.7, statistics=data)
    target = denoiser.target(x_0, eps, times)
    torch.testing.assert_close(denoiser(x_t, times), x_0, rtol=0, atol=1e-9)
    # The gain is the derivative by the output, on the frequencies that carry noise.
    change = process.covariance.project(normal(4, 3, *SHAPE))
    moved = NetworkDenoiser(lambda x, t: target + change, process, prediction, data_std=0.7, statistics=data)
    expected = process.covariance.project(denoiser.gain(x_t, times) * change)
    torch.testing.assert_close(moved(x_t, times) - denoiser(x_t, times), expected, rtol=0, atol=1e-9)


def test_network_sees_unit_variance_of_white_data_under_any_process() -> None:
    """On average over frequencies: `x_t / rms`, with the time step of the scalar schedule."""
    process = DIAGONAL["white to blue"]()
    network, x_t = Recorder(), normal(0, 3, *SHAPE)
    NetworkDenoiser(network, process, "x0")(x_t, TIMES)
    powers = []
    for i, t in enumerate(TIMES.tolist()):
        fields = [(c * unit_fields()).square().sum() for c in (process.alpha(t, x_t), process.sigma(t, x_t))]
        powers.append(float(sum(fields)) / math.prod(SHAPE))
        torch.testing.assert_close(network.inputs[0][i], x_t[i] / math.sqrt(powers[i]))
    torch.testing.assert_close(network.timesteps[0], (1000 * TIMES - 1).float())


def test_edm_weighs_each_frequency_by_its_own_noise() -> None:
    """`c_skip`, `c_out` and `c_in` of a process with schedules per frequency, with white data of variance 0.49."""
    process = DIAGONAL["sequential"]()
    network, basis, x = Recorder(normal(1, 2, *SHAPE)), basis_of(process), normal(0, 2, *SHAPE)
    denoiser = NetworkDenoiser(network, process, "edm", data_std=0.7)
    a, s = (c.values for c in process.diagonal(0.6, x, basis))
    total = 0.49 * a**2 + s**2
    expected = 0.49 * a / total * basis.forward(x) + 0.7 * s / total.sqrt() * basis.forward(normal(1, 2, *SHAPE))
    torch.testing.assert_close(basis.forward(denoiser(x, 0.6)), expected)
    torch.testing.assert_close(basis.forward(network.inputs[0]), basis.forward(x) / total.sqrt())


@pytest.mark.parametrize("evolution", [None, Sequential()], ids=str)
def test_wiener_where_nothing_is_left(evolution: Evolution | None) -> None:
    """Empty frequencies at the end of a rectified process: no infinity meets a zero, and the network is told
    nothing."""
    process = in_basis(evolution, FourierBasis(SHAPE[1:]), BandPass(0.3, 0.7), RectifiedSchedule())
    network = Recorder()
    denoiser = NetworkDenoiser(network, process, "wiener", statistics=statistics())
    x_t = process.prior(2, generator=torch.Generator().manual_seed(0)).double()
    assert torch.isfinite(denoiser(x_t, 1.0)).all()
    torch.testing.assert_close(network.inputs[0], process.covariance.project(network.inputs[0]))
    target = denoiser.target(x_t, process.noise(x_t), 1.0)
    assert torch.isfinite(target).all()


def test_wiener_takes_no_frequency_of_the_data_for_empty() -> None:
    """Power is floored at a millionth of the largest; floors are part of the estimate, and it stays finite."""
    process = DIAGONAL["Fourier"]()
    data = data_of(process)
    power = data.spectrum.clone()
    power[:, 1:, 0] = 0
    floored = power.clamp(min=1e-6 * float(power.max()))
    x_t = normal(1, 3, *SHAPE)
    denoiser = NetworkDenoiser(
        lambda x, t: torch.zeros_like(x), process, "wiener", statistics=dataclasses.replace(data, spectrum=power)
    )
    exact = GaussianDenoiser(process, data.mean, floored, data.basis)
    torch.testing.assert_close(denoiser(x_t, TIMES), exact(x_t, TIMES), rtol=0, atol=1e-12)


def test_wiener_refusals() -> None:
    process, data = coloured_process(VPSchedule()), statistics()

    def wiener(process: Process, statistics: DataStatistics | None) -> NetworkDenoiser:
        return NetworkDenoiser(lambda x, t: x, process, "wiener", statistics=statistics)

    with pytest.raises(InputError, match=r"needs the data's spectrum; pass statistics=measure\(data, basis\)"):
        wiener(process, None)
    with pytest.raises(InputError, match=r"statistics are of data \(1, 3, 4\), the process of \(2, 3, 4\)"):
        wiener(process, statistics((1, 3, 4)))
    with pytest.raises(InputError, match="needs data that varies; its measured spectrum is zero"):
        wiener(process, dataclasses.replace(data, spectrum=0 * data.spectrum))
    cosine = dataclasses.replace(data, basis=CosineBasis(SHAPE[1:]), spectrum=torch.ones(SHAPE).double())
    modulated = ModulatedCovariance(Ball(0.3, outside=0.5), SpectralCovariance(PowerLaw(0.5), SHAPE))
    for other in (
        process,
        ForwardProcess(VPSchedule(), modulated),
        ForwardProcess(VPSchedule(), DenseCovariance(torch.eye(24), SHAPE)),
    ):
        with pytest.raises(InputError, match=r"needs noise that is diagonal in cosine.*measure\(data, basis\) in its"):
            wiener(other, cosine)
    with pytest.raises(InputError, match=r"and schedule vp .*evolving as interpolated.* is not"):
        wiener(DIAGONAL["white to blue"](), cosine)
    with pytest.raises(InputError, match=r"needs noise that is diagonal in fourier"):
        wiener(ForwardProcess(VPSchedule(), ClassCovariance([process.covariance])), data)


def test_empirical_denoiser_needs_one_schedule() -> None:
    with pytest.raises(InputError, match="needs one schedule for all frequencies, a ForwardProcess"):
        EmpiricalDenoiser(DIAGONAL["sequential"](), normal(0, 4, *SHAPE))


# Noise that depends on the class.


def by_class() -> ForwardProcess:
    members = [
        SpectralCovariance(PowerLaw(-0.5), SHAPE),
        IsotropicCovariance(SHAPE),
        SpectralCovariance(BandPass(0.0, 0.5), SHAPE),
    ]
    return ForwardProcess(VPSchedule(), ClassCovariance(members))


def test_predictions_under_noise_by_class() -> None:
    """Each sample's estimate, score and consistency are those of its own class."""
    process, labels, x_t = by_class(), torch.tensor([2, 0, 1]), normal(0, 3, *SHAPE)
    denoiser = NetworkDenoiser(conditional, process, "v", null={"labels": 3})
    for kind in ("eps", "score", "velocity", "x0"):
        whole = denoiser.predict(kind, x_t, TIMES, labels)  # type: ignore[arg-type]
        for i, label in enumerate(labels.tolist()):
            one = slice(i, i + 1)
            member = ForwardProcess(VPSchedule(), process.covariance.covariances[label])  # type: ignore[attr-defined]
            alone = NetworkDenoiser(conditional, member, "v", null={"labels": 3})
            expected = alone.predict(kind, x_t[one], TIMES[one], labels[one])  # type: ignore[arg-type]
            torch.testing.assert_close(whole[one], expected)


def test_noise_by_class_needs_labels() -> None:
    denoiser = NetworkDenoiser(conditional, by_class(), "v", null={"labels": 3})
    with pytest.raises(InputError, match=r"noise depends on the class: give labels, integers in \[0, 3\)"):
        denoiser(normal(0, 3, *SHAPE), TIMES)
    with pytest.raises(InputError, match="label 3 is of no class"):
        denoiser(normal(0, 3, *SHAPE), TIMES, torch.tensor([0, 3, 1]))
