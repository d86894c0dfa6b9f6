import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from sagd.covariance import Covariance, DenseCovariance, IsotropicCovariance, SpectralCovariance
from sagd.denoiser import (
    EmpiricalDenoiser,
    GaussianDenoiser,
    GaussianMixtureDenoiser,
    NetworkDenoiser,
    NetworkPrediction,
)
from sagd.errors import InputError, SingularCovarianceError
from sagd.process import ForwardProcess
from sagd.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.spectrum import BandPass, PowerLaw, Spectrum
from sagd.testing import signed_frequencies, stationary_matrix

SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(0.05, 5.0), RectifiedSchedule()]
PREDICTIONS = get_args(NetworkPrediction)
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


def spectral_process(schedule: Schedule) -> ForwardProcess:
    return ForwardProcess(schedule, SpectralCovariance(PowerLaw(0.5), SHAPE))


@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [(s, p) for s in SCHEDULES for p in PREDICTIONS if not (p == "eps" and isinstance(s, RectifiedSchedule))],
    ids=str,
)
def test_a_network_that_outputs_the_target_gives_the_image_back(
    schedule: Schedule, prediction: NetworkPrediction
) -> None:
    process = spectral_process(schedule)
    x_0 = normal(0, 3, *SHAPE)
    eps = process.noise(x_0, torch.Generator().manual_seed(1))
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
        x, e = x_0.to(dtype), eps.to(dtype)
        denoiser = NetworkDenoiser(lambda scaled, timestep: target, process, prediction, data_std=0.7)  # noqa: B023
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
    denoiser = NetworkDenoiser(network, spectral_process(schedule), "x0")
    a, s = (f.reshape(-1, 1, 1, 1) for f in coefficients(schedule))
    denoiser(x, TIMES)
    denoiser(x, 1.0)
    torch.testing.assert_close(network.inputs[0], x / (a**2 + s**2).sqrt())
    torch.testing.assert_close(network.timesteps[0], schedule.timestep(TIMES).float())
    torch.testing.assert_close(network.timesteps[1], schedule.timestep(TIMES[2:]).float().expand(3))


def conditional(x: Tensor, timestep: Tensor, class_labels: Tensor) -> Tensor:
    return (class_labels + 1.0).reshape(-1, 1, 1, 1) * x


def test_guidance_extrapolates_the_prediction() -> None:
    """`(1 - g) F(unlabelled) + g F(labelled)`, whatever the network predicts (Ho & Salimans, 2022, with w = g - 1)."""
    process, x, labels, t = spectral_process(VPSchedule()), normal(0, 3, *SHAPE), torch.tensor([0, 1, 3]), 0.4
    null = torch.tensor([3, 3, 3])
    for prediction in PREDICTIONS:
        plain = NetworkDenoiser(conditional, process, prediction, null_label=3)
        guided = NetworkDenoiser(conditional, process, prediction, null_label=3, guidance=2.5)
        mixed = lambda x, t, class_labels: -1.5 * conditional(x, t, null) + 2.5 * conditional(x, t, labels)  # noqa: E731
        expected = NetworkDenoiser(mixed, process, prediction, null_label=3)
        torch.testing.assert_close(guided(x, t, labels), expected(x, t, labels))
        torch.testing.assert_close(guided(x, t), plain(x, t, null))


def test_labels_that_mean_nothing_are_refused() -> None:
    process, x = spectral_process(VPSchedule()), normal(0, 2, *SHAPE)
    with pytest.raises(InputError, match="labels were given to an unconditional model; leave them out"):
        NetworkDenoiser(lambda x, t: x, process)(x, 0.5, torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"guidance 2\.0 needs a conditional model"):
        NetworkDenoiser(lambda x, t: x, process, guidance=2.0)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,), lambda x: [x, None], lambda x: x.to(torch.bfloat16)])
def test_forms_of_network_output(wrap: Any) -> None:
    """A tensor, or anything whose first item is one, as diffusers' outputs; in any precision."""
    x = normal(0, 2, *SHAPE).float()
    denoiser = NetworkDenoiser(lambda x, t: wrap(x / 2), spectral_process(VPSchedule()), "x0")
    assert denoiser(x, 0.5).dtype == torch.float32
    torch.testing.assert_close(denoiser(x, 0.5), x / 2, rtol=1e-2, atol=1e-2)


def test_network_device() -> None:
    process = spectral_process(VPSchedule())
    assert NetworkDenoiser(torch.nn.Conv2d(2, 2, 1, device="meta"), process).device.type == "meta"
    assert NetworkDenoiser(lambda x, t: x, process).device.type == "cpu"


def test_predictions_follow_from_the_image() -> None:
    process, x = spectral_process(VPSchedule()), normal(0, 3, *SHAPE)
    denoiser = NetworkDenoiser(lambda x, t: x**2, process, "eps")
    torch.testing.assert_close(denoiser.predict("eps", x, TIMES), x**2)
    a, s = (f.reshape(-1, 1, 1, 1) for f in coefficients(process.schedule))
    x_0 = (x - s * x**2) / a
    torch.testing.assert_close(denoiser.predict("x0", x, TIMES), x_0)
    torch.testing.assert_close(denoiser.predict("v", x, TIMES), a * x**2 - s * x_0)
    inverse = torch.linalg.inv(process.covariance.to_dense())
    torch.testing.assert_close(denoiser.score(x, TIMES).flatten(1), -((x**2) / s).flatten(1) @ inverse)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_frequencies_without_noise_are_those_of_the_state(prediction: NetworkPrediction) -> None:
    """Whatever the network says, and after clipping, which holds elsewhere."""
    spectrum = BandPass(0.3, 0.7)
    process = ForwardProcess(VPSchedule(), SpectralCovariance(spectrum, SHAPE))
    # An independent projection onto the empty band.
    empty = stationary_matrix((noise_power(spectrum, SHAPE[1:]) == 0).double(), SHAPE)
    x_0 = normal(0, 3, *SHAPE)
    x_t = process.perturb(x_0, TIMES, generator=torch.Generator().manual_seed(1))
    denoiser = NetworkDenoiser(lambda x, t: torch.tanh(x), process, prediction)
    for clip in (None, 0.1):
        x = denoiser(x_t, TIMES, clip=clip)
        torch.testing.assert_close(x.flatten(1) @ empty, x_0.flatten(1) @ empty)
    raw = denoiser.estimate(x_t, TIMES).clamp(-0.1, 0.1)
    full = torch.eye(len(empty), dtype=torch.float64) - empty
    torch.testing.assert_close(x.flatten(1) @ full, raw.flatten(1) @ full)


def test_clipping_bounds_the_image() -> None:
    denoiser = NetworkDenoiser(lambda x, t: x, spectral_process(VPSchedule()), "x0")
    x = normal(0, 3, *SHAPE)
    torch.testing.assert_close(denoiser(x, 0.5, clip=0.5), x.clamp(-0.5, 0.5))


def test_refusals() -> None:
    process = spectral_process(VPSchedule())
    with pytest.raises(InputError, match="unknown prediction 'epsilon'; known: eps, x0, v, velocity, edm"):
        NetworkDenoiser(lambda x, t: x, process, "epsilon")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data_std must be positive, got 0"):
        NetworkDenoiser(lambda x, t: x, process, "edm", data_std=0)
    with pytest.raises(InputError, match=r"cannot start at t = 1 of schedule 'rectified'.*use prediction x0"):
        NetworkDenoiser(lambda x, t: x, spectral_process(RectifiedSchedule()), "eps")
