import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from scipy import stats
from torch import Tensor

from sagd.config import DenoiserConfig
from sagd.covariance import IsotropicCovariance, SpectralCovariance
from sagd.denoiser import NetworkDenoiser, NetworkPrediction
from sagd.errors import InputError
from sagd.loss import (
    DenoisingLoss,
    LogitNormalTime,
    LogNormalTime,
    MinSNRWeighting,
    TimeLaw,
    UniformTime,
    Weighting,
)
from sagd.process import ForwardProcess
from sagd.schedule import CosineSchedule, Schedule, VESchedule, VPSchedule
from sagd.spectrum import BandPass, Flat, PowerLaw, Spectrum
from sagd.testing import signed_frequencies

SHAPE = (2, 4, 5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def process(spectrum: Spectrum, schedule: Schedule | None = None) -> ForwardProcess:
    return ForwardProcess(schedule or CosineSchedule(), SpectralCovariance(spectrum, SHAPE))


@dataclass(frozen=True)
class Fixed(TimeLaw):
    t: float = 0.5

    def sample(self, count: int, schedule: Schedule, generator: torch.Generator | None = None) -> Tensor:
        return torch.full((count,), self.t, dtype=torch.float64)


def time_of(timestep: Tensor, schedule: Schedule) -> Tensor:
    """The time of a time step, `(B, 1, 1, 1)`."""
    start, end = schedule.timestep(torch.tensor([0.0, 1.0], dtype=torch.float64))
    return ((timestep.double() - start) / (end - start)).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity", "edm"])
@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_loss_of_an_oracle(prediction: NetworkPrediction, offset: float) -> None:
    """A network that knows the images and predicts without error has loss 0; with a constant error, its square."""
    p, std, x_0 = process(PowerLaw(0.5)), 0.7, torch.randn(8, *SHAPE, generator=seeded(0), dtype=torch.float64)

    def oracle(x: Tensor, timestep: Tensor) -> Tensor:
        time = time_of(timestep, p.schedule)
        alpha, sigma = p.schedule.alpha(time), p.schedule.sigma(time)
        x_t = x * ((alpha * (std if prediction == "edm" else 1)) ** 2 + sigma**2).sqrt()
        return denoiser.target(x_0, (x_t - alpha * x_0) / sigma, time.flatten()) + offset

    denoiser = NetworkDenoiser(oracle, p, prediction, data_std=std)
    loss = DenoisingLoss(UniformTime())(denoiser, x_0, generator=seeded(1))
    # Time steps reach the network in float32.
    assert loss.item() == pytest.approx(offset**2, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("spectrum", [PowerLaw(0.5), BandPass(0.3, 0.8)], ids=str)
@pytest.mark.parametrize("t", [0.2, 0.6])
def test_least_loss_on_gaussian_data(spectrum: Spectrum, t: float) -> None:
    """The Wiener filter leaves `sum_f sigma^2 w^2 S / (alpha^2 S + sigma^2 w^2) / d` of white data of variance S.

    20,000 images with a fixed seed; the mean squared error of an image is a sum of independent chi-squared terms, and
    the z-score of the loss must stay below 4 (level 6e-5).
    """
    p, S, count = process(spectrum), 0.5, 20_000
    weights = spectrum.weights(signed_frequencies(SHAPE[1:])).square()
    noise = weights / weights.mean()
    alpha, sigma = (float(f(torch.tensor(t, dtype=torch.float64))) for f in (p.schedule.alpha, p.schedule.sigma))
    errors = sigma**2 * noise * S / (alpha**2 * S + sigma**2 * noise)
    gain = alpha * S / (alpha**2 * S + sigma**2 * noise)

    def wiener(x: Tensor, timestep: Tensor) -> Tensor:
        return torch.fft.ifft2(gain * torch.fft.fft2(x)).real

    x_0 = math.sqrt(S) * torch.randn(count, *SHAPE, generator=seeded(0), dtype=torch.float64)
    loss = DenoisingLoss(Fixed(t))(NetworkDenoiser(wiener, p, "x0"), x_0, generator=seeded(1))
    # Mean over C d frequencies of errors lambda chi^2_1: variance 2 sum lambda^2 / (C d)^2 per image.
    deviation = math.sqrt(2 * float(errors.square().mean()) / (math.prod(SHAPE) * count))
    assert abs(loss.item() - float(errors.mean())) < 4 * deviation


def loss_of(
    network: Callable[..., Tensor], prediction: NetworkPrediction, p: ForwardProcess, weighting: Weighting | None = None
) -> float:
    x_0 = torch.randn(64, *SHAPE, generator=seeded(0), dtype=torch.float64)
    loss = DenoisingLoss(LogNormalTime(-0.5, 1.0), weighting or Weighting.parse("flat"))
    return loss(NetworkDenoiser(network, p, prediction), x_0, generator=seeded(1)).item()


def equivalent(p: ForwardProcess, prediction: str) -> Callable[..., Tensor]:
    """The network for `prediction` that belongs to the image estimate `x_t / 2`, by the definitions."""

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        time = time_of(timestep, p.schedule)
        alpha, sigma = p.schedule.alpha(time), p.schedule.sigma(time)
        x_t = x * (alpha**2 + sigma**2).sqrt()
        x_0 = x_t / 2
        eps = (x_t - alpha * x_0) / sigma
        if prediction == "velocity":
            return p.schedule.d_alpha(time) * x_0 + p.schedule.d_sigma(time) * eps
        return {"x0": x_0, "eps": eps, "v": alpha * eps - sigma * x_0}[prediction]

    return network


@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule(), VESchedule(0.05, 5.0)], ids=str)
def test_min_snr_is_one_loss_for_all_predictions(schedule: Schedule) -> None:
    """The same estimate costs the same however it is expressed; unbounded, it is the plain loss on the noise."""
    p = process(PowerLaw(0.5), schedule)
    kinds: tuple[NetworkPrediction, ...] = ("x0", "eps", "v", "velocity")
    bounded = [loss_of(equivalent(p, kind), kind, p, MinSNRWeighting(2.0)) for kind in kinds]
    assert bounded == pytest.approx([bounded[0]] * 4, rel=1e-4)
    unbounded = loss_of(equivalent(p, "x0"), "x0", p, MinSNRWeighting(1e30))
    assert unbounded == pytest.approx(loss_of(equivalent(p, "eps"), "eps", p), rel=1e-4)


def test_min_snr_weights_of_the_paper() -> None:
    """`min(snr, 5)` over 1, snr and snr + 1 for x0, eps and v (Hang et al., 2023, section 3.4), at alpha^2 = 9/10."""
    p = process(Flat(), VPSchedule())
    t = p.schedule.time_at(torch.tensor([1 / 3], dtype=torch.float64))
    expectations: tuple[tuple[NetworkPrediction, float], ...] = (("x0", 5), ("eps", 5 / 9), ("v", 5 / 10))
    for prediction, expected in expectations:
        denoiser = NetworkDenoiser(lambda x, t: x, p, prediction)
        assert MinSNRWeighting(5.0).weight(t, denoiser).item() == pytest.approx(expected, rel=1e-6)
    # c_out^2 = sigma^2 S / (alpha^2 S + sigma^2) with S = 1/4 (Karras et al., 2022, table 1)
    edm = NetworkDenoiser(lambda x, t: x, p, "edm", data_std=0.5)
    assert MinSNRWeighting(5.0).weight(t, edm).item() == pytest.approx(5 * 0.1 / 4 / (0.9 / 4 + 0.1), rel=1e-6)


def test_flat_edm_loss_is_that_of_karras() -> None:
    """`lambda(sigma) ||D - x_0||^2`, `lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2` (table 1)."""
    p, sigma, std = process(PowerLaw(0.5), VESchedule()), 0.8, 0.6
    t = float(p.schedule.time_at(torch.tensor(sigma, dtype=torch.float64)))
    x_0 = torch.randn(16, *SHAPE, generator=seeded(0), dtype=torch.float64)
    denoiser = NetworkDenoiser(lambda x, timestep: torch.tanh(x), p, "edm", data_std=std)
    loss = DenoisingLoss(Fixed(t))(denoiser, x_0, generator=seeded(1))
    x_t = x_0 + sigma * p.noise(x_0, seeded(1))
    weight = (sigma**2 + std**2) / (sigma * std) ** 2
    assert loss.item() == pytest.approx(weight * (denoiser(x_t, t) - x_0).square().mean().item(), rel=1e-9)


def test_uniform_times_are_stratified() -> None:
    """Exactly one time in each of `count` equal cells of (0, 1], in random order."""
    for seed in range(20):
        t = UniformTime().sample(64, VPSchedule(), seeded(seed))
        assert (t > 0).all()
        assert (t <= 1).all()
        cells = torch.ceil(64 * t)
        assert sorted(cells.tolist()) == list(range(1, 65))
        assert cells.tolist() != sorted(cells.tolist())


@pytest.mark.parametrize(
    ("law", "transform", "mean", "std"),
    [
        (UniformTime(), lambda t: torch.special.ndtri(t), 0.0, 1.0),
        (LogNormalTime(), lambda t: VESchedule(1e-6, 1e6).noise_level(t).log(), -1.2, 1.2),
        (LogNormalTime(0.3, 0.5), lambda t: VESchedule(1e-6, 1e6).noise_level(t).log(), 0.3, 0.5),
        (LogitNormalTime(0.5, 0.7), torch.logit, 0.5, 0.7),
    ],
    ids=["uniform", "log_normal", "log_normal_shifted", "logit_normal"],
)
def test_laws_of_training_times(law: TimeLaw, transform: Callable[[Tensor], Tensor], mean: float, std: float) -> None:
    """Kolmogorov-Smirnov test against the stated normal law: 10,000 times, seed fixed, level 1e-3."""
    t = law.sample(10_000, VESchedule(1e-6, 1e6), seeded(0))
    assert t.dtype == torch.float64
    assert stats.kstest(transform(t).numpy(), stats.norm(mean, std).cdf).pvalue > 1e-3


def test_log_normal_times_stay_in_the_schedule() -> None:
    t = LogNormalTime(0.0, 20.0).sample(1000, VPSchedule(), seeded(0))
    assert (t >= 0).all()
    assert (t <= 1).all()
    assert torch.isfinite(t).all()


def test_equal_seeds_give_equal_white_draws_under_every_spectrum() -> None:
    """States of black images, whitened: the same times and the same `xi` whatever the colour."""
    draws = []
    for spectrum in (PowerLaw(-0.5), PowerLaw(0.5), Flat()):
        seen: list[Tensor] = []
        p = process(spectrum)

        def network(x: Tensor, timestep: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(x)
            return x

        x_0 = torch.zeros(16, *SHAPE, dtype=torch.float64)
        DenoisingLoss()(NetworkDenoiser(network, p), x_0, generator=seeded(3))
        draws.append(p.covariance.whiten(seen[0]))
    torch.testing.assert_close(draws[1], draws[0])
    torch.testing.assert_close(draws[2], draws[0])
    isotropic = ForwardProcess(CosineSchedule(), IsotropicCovariance(SHAPE))
    torch.testing.assert_close(isotropic.noise(x_0, seeded(3)), process(Flat()).noise(x_0, seeded(3)))


def test_label_dropout() -> None:
    """A share of 0.3 of 10,000 labels, seed fixed: within 4 binomial standard deviations (level 6e-5)."""
    seen: list[Tensor] = []

    def network(x: Tensor, timestep: Tensor, class_labels: Tensor) -> Tensor:
        seen.append(class_labels)
        return x

    denoiser = NetworkDenoiser(network, process(Flat()), null_label=10)
    x_0, labels = torch.zeros(10_000, *SHAPE), torch.arange(10_000) % 10
    for dropout in (0.3, 0.0):
        DenoisingLoss(label_dropout=dropout)(denoiser, x_0, labels, seeded(0))
    hidden = seen[0] == 10
    assert abs(hidden.double().mean().item() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 10_000)
    assert (seen[0][~hidden] == labels[~hidden]).all()
    assert (seen[1] == labels).all()


def test_labels_of_an_unconditional_model_are_refused() -> None:
    denoiser = NetworkDenoiser(lambda x, t: x, process(Flat()))
    with pytest.raises(InputError, match="labels were given to an unconditional model"):
        DenoisingLoss(label_dropout=0.1)(denoiser, torch.zeros(2, *SHAPE), torch.tensor([0, 1]))


def test_gradients_reach_the_network_and_seeds_decide_the_loss() -> None:
    network = torch.nn.Conv2d(2, 2, 3, padding=1)
    denoiser = NetworkDenoiser(lambda x, timestep: network(x), process(PowerLaw(0.5)))
    x_0 = torch.randn(4, *SHAPE, generator=seeded(0))
    loss = DenoisingLoss()
    losses = [loss(denoiser, x_0, generator=seeded(seed)) for seed in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]
    losses[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_from_config() -> None:
    config = DenoiserConfig("v", "log_normal(mean=-1)", "min_snr(gamma=3)", 0.2)
    assert DenoisingLoss.from_config(config) == DenoisingLoss(LogNormalTime(-1), MinSNRWeighting(3), 0.2)


@pytest.mark.parametrize(
    ("family", "text", "message"),
    [
        (TimeLaw, "log_normal(std=0)", "std must be positive, got 0"),
        (TimeLaw, "logit_normal(std=-1)", "std must be positive, got -1"),
        (TimeLaw, "unifrom", "did you mean 'uniform'"),
        (Weighting, "min_snr(gamma=0)", "gamma must be positive, got 0"),
        (Weighting, "snr", "unknown loss weighting 'snr'"),
    ],
)
def test_refusals(family: type[TimeLaw] | type[Weighting], text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        family.parse(text)


def test_more_refusals() -> None:
    with pytest.raises(InputError, match=r"label_dropout must lie in \[0, 1\), got 1"):
        DenoisingLoss(label_dropout=1)
