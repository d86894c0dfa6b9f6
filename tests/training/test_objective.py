import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from sagd.build.objects import build_loss
from sagd.build.schema import DenoiserConfig
from sagd.errors import InputError, SingularCovarianceError
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.exact import GaussianDenoiser
from sagd.model.parameterisation import Parameterisation, quantity
from sagd.noise.basis.base import Basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.regions import Box
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.process.evolution import Blurring, Evolution, Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.resampling.bands import BandLaw
from sagd.resampling.objective import BandLoss
from sagd.testing.oracles import signed_frequencies
from sagd.training.objective import DenoisingLoss
from sagd.training.times import LogitNormalTime, LogNormalTime, LogUniformTime, MatchedTime, TimeLaw, UniformTime
from sagd.training.weighting import FlatWeighting, LikelihoodWeighting, MinSNRWeighting, Weighting

SHAPE = (2, 4, 5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def process(spectrum: Spectrum, schedule: Schedule | None = None) -> ForwardProcess:
    return ForwardProcess(schedule or CosineSchedule(), SpectralCovariance(spectrum, SHAPE))


@dataclass(frozen=True)
class Fixed(TimeLaw):
    t: float = 0.5

    def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
        return torch.full((count,), self.t, dtype=torch.float64)


def time_of(timestep: Tensor, schedule: Schedule) -> Tensor:
    """The time of a time step, `(B, 1, 1, 1)`."""
    start, end = schedule.timestep(torch.tensor([0.0, 1.0], dtype=torch.float64))
    return ((timestep.double() - start) / (end - start)).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity", "edm"])
@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_loss_of_an_oracle(prediction: str, offset: float) -> None:
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
    network: Callable[..., Tensor], prediction: str, p: ForwardProcess, weighting: Weighting | None = None
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
    kinds: tuple[str, ...] = ("x0", "eps", "v", "velocity")
    bounded = [loss_of(equivalent(p, kind), kind, p, MinSNRWeighting(2.0)) for kind in kinds]
    assert bounded == pytest.approx([bounded[0]] * 4, rel=1e-4)
    unbounded = loss_of(equivalent(p, "x0"), "x0", p, MinSNRWeighting(1e30))
    assert unbounded == pytest.approx(loss_of(equivalent(p, "eps"), "eps", p), rel=1e-4)


def test_min_snr_weights_of_the_paper() -> None:
    """`min(snr, 5)` over 1, snr and snr + 1 for x0, eps and v (Hang et al., 2023, section 3.4), at alpha^2 = 9/10."""
    p = process(Flat(), VPSchedule())
    t = p.schedule.time_at(torch.tensor([1 / 3], dtype=torch.float64))
    expectations: tuple[tuple[str, float], ...] = (("x0", 5), ("eps", 5 / 9), ("v", 5 / 10))
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
        t = UniformTime().sample(64, process(Flat(), VPSchedule()), seeded(seed))
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
    t = law.sample(10_000, process(Flat(), VESchedule(1e-6, 1e6)), seeded(0))
    assert t.dtype == torch.float64
    assert stats.kstest(transform(t).numpy(), stats.norm(mean, std).cdf).pvalue > 1e-3


@pytest.mark.parametrize("law", ["log_normal", "logit_normal"])
@pytest.mark.parametrize("values", ["mean=1e308, std=1e308", "mean=1e308", "std=1e308", "std=0", "mean=-31"])
def test_laws_whose_draws_are_all_at_one_end_are_refused(law: str, values: str) -> None:
    with pytest.raises(InputError, match=f"^{law} (mean must lie in|std must be positive and at most 30)"):
        TimeLaw.parse(f"{law}({values})")


def test_a_law_beyond_the_noise_of_a_process_is_refused() -> None:
    law, vp = LogNormalTime(20.0, 1.0), process(Flat(), VPSchedule())
    statistics = statistics_of(vp)
    with pytest.raises(InputError, match=r"log_normal\(mean=20.0, std=1.0\) has no noise levels that vp reaches"):
        law.resolve(vp, statistics)
    assert LogNormalTime(6.0, 1.0).resolve(vp, statistics) == LogNormalTime(6.0, 1.0)


def test_log_normal_times_stay_in_the_schedule() -> None:
    t = LogNormalTime(0.0, 20.0).sample(1000, process(Flat(), VPSchedule()), seeded(0))
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


def test_condition_dropout() -> None:
    """A share of 0.3 of 10,000 labels, seed fixed: within 4 binomial standard deviations (level 6e-5)."""
    seen: list[Tensor] = []

    def network(x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels)
        return x

    denoiser = NetworkDenoiser(network, process(Flat()), null={"labels": 10})
    x_0, labels = torch.zeros(10_000, *SHAPE), torch.arange(10_000) % 10
    for dropout in (0.3, 0.0):
        DenoisingLoss(condition_dropout=dropout)(denoiser, x_0, labels, seeded(0))
    hidden = seen[0] == 10
    assert abs(hidden.double().mean().item() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 10_000)
    assert (seen[0][~hidden] == labels[~hidden]).all()
    assert (seen[1] == labels).all()


def test_dropout_of_an_embedding_and_what_is_never_dropped() -> None:
    """Labels and embedding of a sample are dropped together; the image, which has no null, stays."""
    seen: list[dict[str, Tensor]] = []

    def network(x: Tensor, timestep: Tensor, **condition: Tensor) -> Tensor:
        seen.append(condition)
        return x

    null = {"labels": 10, "embedding": torch.zeros(3)}
    denoiser = NetworkDenoiser(network, process(Flat()), null=null, names=("image",))
    told = {"labels": torch.arange(64) % 10, "embedding": torch.ones(64, 3), "image": torch.ones(64, *SHAPE)}
    DenoisingLoss(condition_dropout=0.5)(denoiser, torch.zeros(64, *SHAPE), told, seeded(0))
    dropped = seen[0]["labels"] == 10
    assert 0 < int(dropped.sum()) < 64
    assert torch.equal(seen[0]["embedding"][:, 0] == 0, dropped)
    assert (seen[0]["image"] == 1).all()


@pytest.mark.parametrize(
    ("x_0", "condition", "message"),
    [
        (torch.zeros(2, *SHAPE)[..., :-1], None, r"the model is of images .*, got a batch of shape"),
        (torch.zeros(SHAPE), None, "got a batch of shape"),
        (torch.zeros(2, *SHAPE, dtype=torch.uint8), None, r"images must be floating point, got torch\.uint8; scale"),
        (torch.zeros(2, *SHAPE), torch.tensor([0]), "got 1 labels for 2 samples; give one per sample"),
        (torch.zeros(2, *SHAPE), {"image": torch.ones(2)}, "a model of labels was given the condition 'image'"),
        (torch.zeros(2, *SHAPE), 3, "a condition is a mapping of names to tensors"),
    ],
)
def test_batches_of_another_model(x_0: Tensor, condition: Any, message: str) -> None:
    denoiser = NetworkDenoiser(lambda x, t, labels: x, process(Flat()), null={"labels": 10})
    with pytest.raises(InputError, match=message) as refused:
        DenoisingLoss()(denoiser, x_0, condition)
    assert "\n" not in str(refused.value)


def test_labels_of_an_unconditional_model_are_refused() -> None:
    denoiser = NetworkDenoiser(lambda x, t: x, process(Flat()))
    with pytest.raises(InputError, match="an unconditional model was given the condition 'labels'"):
        DenoisingLoss(condition_dropout=0.1)(denoiser, torch.zeros(2, *SHAPE), torch.tensor([0, 1]))


def test_gradients_reach_the_network_and_seeds_decide_the_loss() -> None:
    network = torch.nn.Conv2d(2, 2, 3, padding=1)
    denoiser = NetworkDenoiser(lambda x, timestep: network(x), process(PowerLaw(0.5)))
    x_0 = torch.randn(4, *SHAPE, generator=seeded(0))
    loss = DenoisingLoss()
    losses = [loss(denoiser, x_0, generator=seeded(seed)) for seed in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]
    losses[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def white_statistics(power: float = 0.25) -> DataStatistics:
    basis = FourierBasis(SHAPE[1:])
    spectrum = torch.full((SHAPE[0], *basis.coefficients), power, dtype=torch.float64)
    return DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), spectrum, 10, basis)


def test_from_config() -> None:
    config = DenoiserConfig("v", "log_normal(mean=-1)", "min_snr(gamma=3)", 0.2)
    loss = build_loss(config, process(Flat()), white_statistics())
    assert loss == DenoisingLoss(LogNormalTime(-1), MinSNRWeighting(3), 0.2)


@pytest.mark.parametrize("alpha", [0.0, -0.5])
def test_matched_times_are_those_at_which_the_data_drowns(alpha: float) -> None:
    """`log(sqrt(S)/w)` in mean, every radius alike; in variance its spread and that of a transition."""
    p, statistics = process(PowerLaw(alpha)), white_statistics()
    loss = build_loss(DenoiserConfig(time="matched"), p, statistics)
    basis = statistics.basis
    w2 = p.covariance.power_spectrum(basis).expand(SHAPE[0], *basis.coefficients)
    r = basis.radius()
    level, m = 0.5 * torch.log(0.25 / w2), (basis.multiplicity() / r.clamp(min=r[r > 0].min())).expand_as(w2)
    mean = float((m * level).sum() / m.sum())
    std = math.sqrt(float((m * (level - mean) ** 2).sum() / m.sum()) + 1.2**2)
    assert isinstance(loss.time, LogNormalTime)
    assert (loss.time.mean, loss.time.std) == pytest.approx((mean, std), rel=1e-9)
    t = loss.time.sample(4000, p, seeded(0))
    assert float(p.noise_level(t).log().mean()) == pytest.approx(mean, abs=4 * std / math.sqrt(4000))


def test_matched_times_need_the_data() -> None:
    with pytest.raises(InputError, match=r"'matched' needs the data's statistics; call resolve"):
        MatchedTime().sample(3, process(Flat()))


@pytest.mark.parametrize(
    ("family", "text", "message"),
    [
        (TimeLaw, "log_normal(std=0)", "std must be positive and at most 30, got 0"),
        (TimeLaw, "logit_normal(std=-1)", "std must be positive and at most 30, got -1"),
        (TimeLaw, "unifrom", "did you mean 'uniform'"),
        (Weighting, "min_snr(gamma=0)", "gamma must be positive, got 0"),
        (Weighting, "snr", "unknown loss weighting 'snr'"),
    ],
)
def test_refusals(family: type[TimeLaw] | type[Weighting], text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        family.parse(text)


def test_more_refusals() -> None:
    with pytest.raises(InputError, match=r"condition_dropout must lie in \[0, 1\), got 1"):
        DenoisingLoss(condition_dropout=1)


# Processes with a schedule for each frequency.


def spectral(
    evolution: Evolution, spectrum: Spectrum | None = None, basis: Basis | None = None, schedule: Schedule | None = None
) -> SpectralProcess:
    covariance = SpectralCovariance(spectrum or Flat(), SHAPE, basis)
    return SpectralProcess(schedule or CosineSchedule(), covariance, evolution)


SPECTRAL = {
    "blurring": spectral(Blurring(3.0), basis=CosineBasis(SHAPE[1:])),
    "white to blue": spectral(Interpolated(), PowerLaw(0.5)),
    "sequential": spectral(Sequential(), PowerLaw(-0.3), schedule=VPSchedule()),
    "sequential band": spectral(Sequential("low"), BandPass(0.3, 0.8)),
}


def data_of(p: SpectralProcess) -> DataStatistics:
    power = torch.stack([0.2 + torch.exp(-4 * p.basis.radius()), 0.5 + p.basis.radius()])
    return DataStatistics(torch.randn(SHAPE, generator=seeded(9), dtype=torch.float64), power, 99, p.basis)


@pytest.mark.parametrize("prediction", Parameterisation.kinds())
@pytest.mark.parametrize("name", SPECTRAL)
def test_loss_of_an_oracle_of_any_process(name: str, prediction: str) -> None:
    """A network that knows the draws: noise first, then times, from one generator."""
    p, x_0 = SPECTRAL[name], torch.randn(8, *SHAPE, generator=seeded(0), dtype=torch.float64)
    source = seeded(1)
    eps = p.noise(x_0, source)
    t = UniformTime().sample(8, p, source)
    for offset in (0.0, 0.25):
        denoiser = NetworkDenoiser(
            lambda x, timestep: denoiser.target(x_0, eps, t) + offset,  # noqa: B023
            p,
            prediction,
            data_std=0.7,
            statistics=data_of(p),
        )
        loss = DenoisingLoss()(denoiser, x_0, generator=seeded(1))
        assert loss.item() == pytest.approx(offset**2, rel=1e-12, abs=1e-24)


@pytest.mark.parametrize("name", ["white to blue", "sequential", "sequential band"])
def test_least_loss_of_processes_by_frequency(name: str) -> None:
    """The Wiener filter leaves `sum_f s^2 S / (a^2 S + s^2) / d` of white data of variance S, at t = 0.5.

    4,000 images with a fixed seed; the z-score of the loss must stay below 4 (level 6e-5).
    """
    p, S, count = SPECTRAL[name], 0.5, 4000
    half = p.diagonal(0.5, torch.zeros(1, *SHAPE, dtype=torch.float64), FourierBasis(SHAPE[1:]))
    # Coefficients of the full grid, by indices and not by the library's frequencies.
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    mirrored = columns > 2
    a, s = (
        c.values[0, 0][torch.where(mirrored, -rows % 4, rows), torch.where(mirrored, 5 - columns, columns)]
        for c in half
    )
    errors, gain = s**2 * S / (a**2 * S + s**2), a * S / (a**2 * S + s**2)

    def wiener(x: Tensor, timestep: Tensor) -> Tensor:
        rms = p.rms(0.5, x)
        return torch.fft.ifft2(gain * torch.fft.fft2(x * rms)).real

    x_0 = math.sqrt(S) * torch.randn(count, *SHAPE, generator=seeded(0), dtype=torch.float64)
    loss = DenoisingLoss(Fixed(0.5))(NetworkDenoiser(wiener, p, "x0"), x_0, generator=seeded(1))
    deviation = math.sqrt(2 * float(errors.square().mean()) / (math.prod(SHAPE) * count))
    assert abs(loss.item() - float(errors.mean())) < 4 * deviation


@pytest.mark.parametrize("name", SPECTRAL)
def test_log_normal_times_follow_the_clock_of_the_process(name: str) -> None:
    """Kolmogorov-Smirnov test of `log noise_level`: 2,000 times, seed fixed, level 1e-3; the process's range holds 8
    standard deviations."""
    p = SPECTRAL[name]
    t = LogNormalTime(-0.5, 0.7).sample(2000, p, seeded(0))
    assert (t.dtype, bool(((t > 0) & (t < 1)).all())) == (torch.float64, True)
    assert stats.kstest(p.noise_level(t).log().numpy(), stats.norm(-0.5, 0.7).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", SPECTRAL)
def test_min_snr_prices_a_white_error_by_its_image(name: str) -> None:
    """What the weight means where the gain differs between frequencies, so that no weight makes all predictions one
    loss: an error of the output that is equal at all frequencies, such as a single wrong pixel, costs `min(snr, gamma)`
    times the mean squared error of the image it makes; `snr` is that of the process's clock."""
    p, gamma, t = SPECTRAL[name], 2.0, torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)
    x_0 = torch.randn(3, *SHAPE, generator=seeded(0), dtype=torch.float64)
    eps = p.noise(x_0, seeded(1))
    x_t = p.perturb(x_0, t, eps)
    # In each channel, one unit at every frequency: in the Fourier basis a pixel, else what the basis makes of it.
    error = 0.3 * p.basis.inverse(torch.ones(3, 2, *p.basis.coefficients, dtype=torch.float64))
    snr = (p.noise_level(t) ** -2).clamp(max=gamma)
    for kind in Parameterisation.kinds():
        denoiser = NetworkDenoiser(lambda x, s: x, p, kind, data_std=0.6, statistics=data_of(p))
        target = denoiser.target(x_0, eps, t)
        image = denoiser.to_x0(target + error, x_t, t) - denoiser.to_x0(target, x_t, t)
        weight = MinSNRWeighting(gamma).weight(t, denoiser)
        assert weight is not None
        got = weight * error.square().flatten(1).mean(1)
        torch.testing.assert_close(got, snr * image.square().flatten(1).mean(1), rtol=1e-9, atol=0)


def test_min_snr_is_one_loss_where_gains_do_not_depend_on_the_frequency() -> None:
    """White noise and one schedule, whichever of the two classes says so; the same estimate costs the same."""
    p = spectral(Sequential(width=1.0, leak=0.5), schedule=VPSchedule())
    x_0, t = torch.randn(16, *SHAPE, generator=seeded(0), dtype=torch.float64), 0.4
    x_t = p.perturb(x_0, t, generator=seeded(1))
    estimate = x_t / 2
    losses = []
    for kind in ("x0", "eps", "v", "velocity"):
        value = quantity(kind).from_x0(p, estimate, x_t, t)  # type: ignore[arg-type]
        denoiser = NetworkDenoiser(lambda x, s, value=value: value, p, kind)  # type: ignore[arg-type]
        losses.append(DenoisingLoss(Fixed(t), MinSNRWeighting(2.0))(denoiser, x_0, generator=seeded(1)).item())
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-9)
    # Coloured, they are not one: the images' error is weighed by frequency.
    p = spectral(Sequential(), PowerLaw(-0.5))
    x_t = p.perturb(x_0, t, generator=seeded(1))
    one, other = (
        DenoisingLoss(Fixed(t), MinSNRWeighting(2.0))(
            NetworkDenoiser(lambda x, s, kind=kind: quantity(kind).from_x0(p, x_t / 2, x_t, t), p, kind),  # type: ignore[arg-type]
            x_0,
            generator=seeded(1),
        ).item()
        for kind in ("x0", "eps")
    )
    assert one != pytest.approx(other, rel=0.01)


def test_equal_seeds_give_equal_white_draws_under_every_process() -> None:
    """The same `xi` and the same uniform times, whether frequencies evolve alike or not."""
    x_0 = torch.zeros(16, *SHAPE, dtype=torch.float64)
    white = process(Flat()).noise(x_0, seeded(3))
    for p in (SPECTRAL["blurring"], SPECTRAL["white to blue"], SPECTRAL["sequential"]):
        torch.testing.assert_close(p.noise(x_0, seeded(3)), white)


# Noise that depends on the class, and noise in a region.


def test_labels_choose_the_noise_before_they_are_dropped() -> None:
    """Black images whose states, whitened by their own class's noise, are the white draws, while the network is told
    "no label" for nearly all of them."""
    red, blue = SpectralCovariance(PowerLaw(-0.5), SHAPE), SpectralCovariance(PowerLaw(0.5), SHAPE)
    p = ForwardProcess(CosineSchedule(), ClassCovariance([red, blue]))
    seen: list[tuple[Tensor, Tensor]] = []

    def network(x: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        seen.append((x, labels))
        return 0 * x

    labels = torch.arange(64) % 2
    x_0 = torch.zeros(64, *SHAPE, dtype=torch.float64)
    denoiser = NetworkDenoiser(network, p, null={"labels": 2})
    loss = DenoisingLoss(Fixed(0.4), condition_dropout=0.99)(denoiser, x_0, labels, seeded(3))
    (x_t, told), white = seen[0], IsotropicCovariance(SHAPE).sample(64, seeded(3), torch.float64)
    assert (told == 2).double().mean() > 0.8
    sigma = p.schedule.sigma(torch.tensor(0.4, dtype=torch.float64))
    for label, covariance in enumerate((red, blue)):
        mine = labels == label
        torch.testing.assert_close(covariance.whiten(x_t[mine] / sigma), white[mine])
    # The target is the coloured noise.
    eps = torch.where((labels == 0).reshape(-1, 1, 1, 1), red.sqrt(white), blue.sqrt(white))
    assert loss.item() == pytest.approx(eps.square().mean().item(), rel=1e-9)
    with pytest.raises(InputError, match="depends on the class: give labels"):
        DenoisingLoss()(denoiser, x_0)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity", "edm"])
@pytest.mark.parametrize("inner", [IsotropicCovariance(SHAPE), SpectralCovariance(PowerLaw(0.5), SHAPE)], ids=str)
def test_training_in_a_region_leaves_the_rest(inner: IsotropicCovariance | SpectralCovariance, prediction: str) -> None:
    """Noise in the right half alone: the network sees the left half of the image as it is, but for the scale of the
    schedule, and its estimate there does not matter to the denoiser; the loss and its gradients are finite."""
    covariance = ModulatedCovariance(Box([0.0, 0.4], [1.0, 1.0]), inner)
    p = ForwardProcess(VPSchedule(), covariance)
    left = covariance.amplitude == 0
    assert left.any()
    seen: list[Tensor] = []
    layer = torch.nn.Conv2d(2, 2, 3, padding=1, dtype=torch.float64)

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        seen.append(x.detach())
        return layer(x)

    x_0 = torch.randn(4, *SHAPE, generator=seeded(0), dtype=torch.float64)
    denoiser = NetworkDenoiser(network, p, prediction)
    loss = DenoisingLoss(Fixed(0.3))(denoiser, x_0, generator=seeded(1))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(w.grad).all() for w in layer.parameters() if w.grad is not None)
    alpha, sigma = (float(f(torch.tensor(0.3, dtype=torch.float64))) for f in (p.schedule.alpha, p.schedule.sigma))
    scale = math.hypot(0.5 * alpha, sigma) if prediction == "edm" else math.hypot(alpha, sigma)
    torch.testing.assert_close(seen[0][..., left], alpha / scale * x_0[..., left])
    x_t = p.perturb(x_0, 0.3, generator=seeded(2))
    with torch.no_grad():
        torch.testing.assert_close(denoiser(x_t, 0.3)[..., left], x_0[..., left])
        torch.testing.assert_close(denoiser(x_t, 0.3)[..., ~left], denoiser.estimate(x_t, 0.3)[..., ~left])


# Places that are missing, or count differently.


def patched(count: int, channels: int = 1, share: float = 0.6, seed: int = 3) -> Tensor:
    """Masks in which each place is valid with probability `share`, `(count, channels, 4, 5)`, bool."""
    return torch.rand(count, channels, *SHAPE[1:], generator=seeded(seed)) < share


AREA = (0.5 + torch.arange(4).double())[None, :, None].expand(1, 4, 5)


def small_network(channels: int = SHAPE[0]) -> torch.nn.Conv2d:
    torch.manual_seed(0)
    return torch.nn.Conv2d(channels, channels, 3, padding=1)


def plain_denoiser(p: Process | None = None, prediction: str = "eps") -> NetworkDenoiser:
    network = small_network()
    return NetworkDenoiser(lambda x, t: network(x), p or process(PowerLaw(0.5)), prediction)


@pytest.mark.parametrize("weighting", ["flat", "min_snr"])
@pytest.mark.parametrize(
    ("mask", "field"),
    [
        (torch.ones(6, 1, 4, 5), None),
        (torch.ones(6, *SHAPE, dtype=torch.bool), None),
        (None, torch.ones(1, 4, 5)),
        (torch.ones(6, 1, 4, 5, dtype=torch.uint8), torch.full(SHAPE, 4.0)),
    ],
)
def test_masks_of_ones_change_no_bit(mask: Tensor | None, field: Tensor | None, weighting: str) -> None:
    x_0, denoiser = torch.randn(6, *SHAPE, generator=seeded(0)), plain_denoiser()
    plain = DenoisingLoss(weighting=Weighting.parse(weighting))(denoiser, x_0, generator=seeded(1))
    loss = DenoisingLoss(weighting=Weighting.parse(weighting), weight_field=field)
    assert torch.equal(loss(denoiser, x_0, None if mask is None else {"mask": mask}, seeded(1)), plain)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("field", [None, AREA, AREA.expand(SHAPE) * torch.tensor([1.0, 0.0])[:, None, None]])
@pytest.mark.parametrize("weighting", ["flat", "min_snr"])
def test_loss_counts_what_is_valid(channels: int, field: Tensor | None, weighting: str) -> None:
    """Value by value: `sum_i w_i sum_x W e^2 / sum_i sum_x W`, the error `e` that of images with 0 where `W = 0`."""
    x_0, mask = torch.randn(6, *SHAPE, generator=seeded(0), dtype=torch.float64), patched(6, channels)
    denoiser = NetworkDenoiser(lambda x, t: 0.3 * x.roll(1, -1), process(PowerLaw(0.5)), "eps")
    loss = DenoisingLoss(weighting=Weighting.parse(weighting), weight_field=field)
    W = (torch.ones(SHAPE) if field is None else field.expand(SHAPE)) * mask.double()
    found = loss(denoiser, torch.where(W > 0, x_0, math.nan), {"mask": mask}, seeded(1))

    source, p = seeded(1), denoiser.process
    eps = p.noise(x_0, source)
    t = UniformTime().sample(6, p, source)
    clean = x_0 * (W > 0)
    error = denoiser.output(p.perturb(clean, t, eps), t) - eps
    own = loss.weighting.weight(t, denoiser)
    total = sum(
        (1.0 if own is None else float(own[i])) * float(W[i, c, j, k] * error[i, c, j, k] ** 2)
        for i, c, j, k in torch.cartesian_prod(*map(torch.arange, error.shape)).tolist()
    )
    assert found.item() == pytest.approx(total / float(W.sum()), rel=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_level_of_the_loss_does_not_depend_on_the_valid_share(share: float) -> None:
    """A network that is wrong by the same everywhere has that loss, whatever is missing."""
    p, x_0 = process(PowerLaw(0.5)), torch.randn(8, *SHAPE, generator=seeded(0), dtype=torch.float64)
    source = seeded(1)
    eps = p.noise(x_0, source)
    denoiser = NetworkDenoiser(lambda x, t: eps + 0.25, p, "eps")
    loss = DenoisingLoss(weight_field=AREA)(denoiser, x_0, {"mask": patched(8, share=share)}, seeded(1))
    assert loss.item() == pytest.approx(0.0625, rel=1e-12)


@pytest.mark.parametrize("takes", [True, False])
def test_networks_are_shown_the_mask_only_if_they_take_it(takes: bool) -> None:
    """And 0 in place of what is missing, with noise on it."""
    seen, mask = [], patched(5)

    def network(x: Tensor, timestep: Tensor, **condition: Tensor) -> Tensor:
        seen.append((x, condition))
        return x

    p = process(Flat())
    denoiser = NetworkDenoiser(network, p, "x0", names=("mask", "labels") if takes else ("labels",))
    x_0 = torch.where(mask, 1.0, math.nan).expand(5, *SHAPE)
    condition = {"mask": mask, "labels": torch.arange(5)}
    loss = DenoisingLoss(Fixed(0.2))(denoiser, x_0, condition, seeded(1))
    (x, told), noise = seen[0], p.noise(x_0, seeded(1))
    assert sorted(told) == (["labels", "mask"] if takes else ["labels"])
    assert not takes or torch.equal(told["mask"], mask)
    assert torch.isfinite(loss)
    torch.testing.assert_close(x, denoiser.process.perturb(mask.float().expand_as(x), 0.2, noise))


@pytest.mark.parametrize("prediction", Parameterisation.kinds())
def test_what_is_missing_enters_the_targets_of_its_own_places_alone(prediction: str) -> None:
    """But for `wiener`, whose targets are scaled by frequency."""
    p, mask = process(PowerLaw(0.5)), patched(4)
    x_0 = torch.randn(4, *SHAPE, generator=seeded(0), dtype=torch.float64)
    power = (0.2 + torch.exp(-4 * p.covariance.basis.radius())).expand(2, -1, -1)
    data = DataStatistics(torch.zeros(SHAPE, dtype=torch.float64), power, 9, p.covariance.basis)
    denoiser = NetworkDenoiser(lambda x, t: x, p, prediction, statistics=data)
    eps = p.noise(x_0, seeded(1))
    whole, holes = (denoiser.target(x, eps, 0.4) for x in (x_0, x_0 * mask))
    away = ((whole - holes) * mask).abs().max()
    assert (away > 0.01) if prediction == "wiener" else (away < 1e-12)


def test_models_of_a_band_know_nothing_of_what_is_missing() -> None:
    p, mask = process(Flat()), patched(4)
    loss = BandLoss(DenoisingLoss(), BandLaw("ring(low=0.3, high=0.8)", p.covariance.basis or FourierBasis(SHAPE[1:])))
    network = small_network()
    denoiser = NetworkDenoiser(lambda x, t, image: network(x) + image[:, :2], p, "x0", names=("image",))
    x_0 = torch.randn(4, *SHAPE, generator=seeded(0))
    losses = [
        loss(denoiser, torch.where(mask, x_0, fill), {"mask": mask}, generator=seeded(1)) for fill in (math.nan, 0.0)
    ]
    assert torch.isfinite(losses[0])
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 4, 5), r"condition 'mask' must have shape \(1 or 2, 4, 5\) for each sample, got \(4, 5\)"),
        (torch.ones(2, 3, 4, 5), r"for each sample, got \(3, 4, 5\)"),
        (torch.ones(3, 1, 4, 5), "got 3 masks for 2 images; give one per image"),
        (torch.full((2, 1, 4, 5), 0.5), r"a mask holds 1 \(or True\) where data is valid"),
        (torch.full((2, 1, 4, 5), math.nan), r"a mask holds 1 \(or True\) where data is valid"),
        (torch.zeros(2, 1, 4, 5), "no place of the batch counts"),
    ],
)
def test_bad_masks(mask: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DenoisingLoss()(plain_denoiser(), torch.zeros(2, *SHAPE), {"mask": mask})


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ([1.0], r"weight_field must be a tensor \(1 or C, \*spatial\), got list"),
        (torch.ones(4), r"got \(4,\)"),
        (torch.tensor([[-1.0, 1.0]]), "nowhere negative"),
        (torch.tensor([[math.inf, 1.0]]), "must be finite"),
        (torch.zeros(1, 4, 5), "somewhere positive"),
    ],
)
def test_bad_fields_of_weights(field: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DenoisingLoss(weight_field=field)


def test_a_field_of_weights_for_other_images() -> None:
    with pytest.raises(
        InputError, match=r"weight_field must have shape \(1 or 2, 4, 5\) for each sample, got \(1, 5, 4\)"
    ):
        DenoisingLoss(weight_field=torch.ones(1, 5, 4))(plain_denoiser(), torch.zeros(2, *SHAPE))


# Weights by frequency.


def statistics_of(p: Process, seed: int = 4) -> DataStatistics:
    """A mean, and a spectrum of its own for each channel, in the basis of the noise."""
    basis = p.reference.members[0].basis or FourierBasis(SHAPE[1:])
    power = torch.stack([0.1 * (basis.radius() + 0.2) ** -1.5, 0.5 * (basis.radius() + 0.3) ** 0.7])
    mean = torch.randn(SHAPE, generator=seeded(seed), dtype=torch.float64)
    return DataStatistics(mean, power, 50, basis)


def dense(operator: Diagonal) -> Tensor:
    """The matrix of an operator, from its action on unit fields."""
    size = math.prod(SHAPE)
    return (operator * torch.eye(size, dtype=torch.float64).reshape(size, *SHAPE)).flatten(1)


WEIGHTINGS = [
    "spectral(spectrum='power_law(alpha=0.7)')",
    "spectral(spectrum='whitening(exponent=0.8)')",
    "spectral(spectrum='band_pass(low=0.2, high=0.7)')",
    "whitened(exponent=0.6)",
    "whitened(exponent=-1)",
]


@pytest.mark.parametrize("text", WEIGHTINGS)
@pytest.mark.parametrize("basis", [FourierBasis(SHAPE[1:]), CosineBasis(SHAPE[1:])], ids=str)
def test_weights_by_frequency_are_a_matrix_of_mean_one_between_errors(text: str, basis: Basis) -> None:
    """`e^T L e / d` with `L` of trace `d`; under white noise, which has no basis of its own, that of the statistics."""
    p: Process = ForwardProcess(CosineSchedule(), IsotropicCovariance(SHAPE))
    data = dataclasses.replace(
        statistics_of(ForwardProcess(CosineSchedule(), SpectralCovariance("flat", SHAPE, basis)))
    )
    weighting = Weighting.parse(text).resolve(p, data)
    x_0 = torch.randn(8, *SHAPE, generator=seeded(0), dtype=torch.float64)
    error = torch.randn(8, *SHAPE, generator=seeded(1), dtype=torch.float64)
    denoiser = NetworkDenoiser(lambda x, t: x_0 + error, p, "x0")
    L = dense(weighting.weight(TIMES, denoiser))  # type: ignore[arg-type]
    assert float(L.trace()) == pytest.approx(math.prod(SHAPE))
    expected = torch.einsum("bi,ij,bj->b", error.flatten(1), L, error.flatten(1)).mean() / math.prod(SHAPE)
    loss = DenoisingLoss(Fixed(0.5), weighting)(denoiser, x_0, generator=seeded(1))
    torch.testing.assert_close(loss, expected)
    # Each place that counts takes part with the root of its weight, and what is missing does not, whatever it holds.
    mask = torch.rand(8, 1, *SHAPE[1:], generator=seeded(2)) < 0.6
    W = (mask / mask.double().mean()).sqrt().expand(8, *SHAPE)
    bad = torch.where(mask, x_0, math.nan)
    hidden = (torch.where(mask, error, 0.0) * W).flatten(1)
    expected = torch.einsum("bi,ij,bj->b", hidden, L, hidden).mean() / math.prod(SHAPE)
    loss = DenoisingLoss(Fixed(0.5), weighting)(denoiser, bad, {"mask": mask}, seeded(1))
    torch.testing.assert_close(loss, expected)


TIMES = torch.linspace(0.2, 0.8, 8, dtype=torch.float64)


def test_weights_by_frequency_follow_the_spectrum_they_name() -> None:
    p = process(PowerLaw(0.5))
    data, denoiser = statistics_of(p), NetworkDenoiser(lambda x, t: x, p, "x0")

    def weights(text: str) -> Tensor:
        return Weighting.parse(text).resolve(p, data).weight(TIMES, denoiser).values  # type: ignore[union-attr]

    ratio = weights("whitened(exponent=0.6)") * data.spectrum**0.6
    torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio))
    r = data.basis.radius()
    ratio = weights("spectral(spectrum='power_law(alpha=1)')")[:, r > 0] / r[r > 0] ** 2
    torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio))


@pytest.mark.parametrize("text", ["flat", "spectral", "spectral(spectrum='flat')", "whitened(exponent=0)"])
def test_equal_weights_are_the_plain_loss(text: str) -> None:
    p, x_0 = process(PowerLaw(0.5)), torch.randn(8, *SHAPE, generator=seeded(0))
    assert Weighting.parse(text).resolve(p, statistics_of(p)) == FlatWeighting()
    denoiser = NetworkDenoiser(lambda x, t: x / 2, p, "v")
    plain = DenoisingLoss(UniformTime())(denoiser, x_0, generator=seeded(1))
    loss = DenoisingLoss(UniformTime(), Weighting.parse(text)).resolve(p, statistics_of(p))
    assert torch.equal(loss(denoiser, x_0, generator=seeded(1)), plain)


def test_weights_by_frequency_from_config() -> None:
    p = process(PowerLaw(0.5))
    data = statistics_of(p)
    text = "spectral(spectrum={'kind': 'ring', 'low': '0.1 1/mm', 'high': '0.3 1/mm'})"
    loss = build_loss(DenoiserConfig("x0", "uniform", text), p, data, grid=["1 mm", "1 mm"])
    assert isinstance(loss, DenoisingLoss)
    weights = loss.weighting.weight(TIMES, NetworkDenoiser(lambda x, t: x, p, "x0")).values  # type: ignore[union-attr]
    r = data.basis.radius()
    torch.testing.assert_close(weights[0] > 0, (r >= 0.1 - 1e-9) & (r <= 0.3 + 1e-9))
    for text in WEIGHTINGS:
        member = Weighting.parse(text)
        assert Weighting.from_dict(member.to_dict()) == Weighting.parse(str(member)) == member


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("whitened(exponent=2)", r"exponent must lie in \[-1, 1\]"),
        ("spectral(spectrum='power')", "unknown spectrum 'power'"),
        ("likelihood(sigma_min=0)", "sigma_min must be positive, got 0"),
    ],
)
def test_weights_by_frequency_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Weighting.parse(text)


def test_weights_by_frequency_need_the_data() -> None:
    p = process(PowerLaw(0.5))
    denoiser, x_0 = NetworkDenoiser(lambda x, t: x, p, "x0"), torch.zeros(2, *SHAPE)
    for text in ("spectral", "whitened"):
        with pytest.raises(InputError, match=f"weighting '{text}' needs the data's statistics; call resolve"):
            DenoisingLoss(UniformTime(), Weighting.parse(text))(denoiser, x_0)
    constant = dataclasses.replace(statistics_of(p), spectrum=torch.zeros(SHAPE[0], 4, 3, dtype=torch.float64))
    with pytest.raises(InputError, match="needs data that varies"):
        Weighting.parse("whitened").resolve(p, constant)


# Weights of the likelihood.

LIKELIHOOD: dict[str, Process] = {
    "white": ForwardProcess(CosineSchedule(), IsotropicCovariance(SHAPE)),
    "coloured": process(PowerLaw(0.5), VPSchedule()),
    "ve": process(PowerLaw(-0.5), VESchedule(0.05, 5.0)),
    "rectified": process(PowerLaw(0.3), RectifiedSchedule()),
    "blurring": SpectralProcess.blurring(SHAPE, blur_max=2.0),
    "sequential": SpectralProcess.sequential(SHAPE, width=0.6),
    "white to blue": SpectralProcess.white_to_blue(SHAPE),
}
LEAST = 0.01


def powers(p: Process, t: float, data: DataStatistics) -> tuple[Tensor, Tensor]:
    a, s = p.diagonal(t, torch.zeros(1, *SHAPE, dtype=torch.float64), data.basis)
    return a.values[0], s.values[0]


def divergence(p: Process, t: float, data: DataStatistics, believed: Tensor) -> float:
    """Kullback-Leibler divergence of `x_t` of the data from that of the other spectrum, per dimension."""
    a, s = powers(p, t, data)
    ratio = (a**2 * data.spectrum + s**2) / (a**2 * believed + s**2)
    terms = data.basis.multiplicity() * (ratio - 1 - ratio.log()) / 2
    return float(terms.sum()) / math.prod(SHAPE)


def information(p: Process, t: float, data: DataStatistics) -> float:
    """Nats per dimension that `x_t` tells of Gaussian data."""
    a, s = powers(p, t, data)
    return float((data.basis.multiplicity() * torch.log1p((a / s) ** 2 * data.spectrum)).sum()) / 2 / math.prod(SHAPE)


def integrated(p: Process, data: DataStatistics, believed: Tensor, prediction: str = "x0") -> float:
    """The expected loss in closed form for each time, by Gauss-Legendre quadrature in pieces of time."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    first = p.time_of(LEAST)
    edges = torch.exp(torch.linspace(math.log(first), 0, 241, dtype=torch.float64))
    edges = torch.cat([edges, 1 - torch.linspace(0, 1, 201, dtype=torch.float64)[:-1] * (1 - first)]).unique()
    denoiser = NetworkDenoiser(lambda x, t: x, p, prediction, statistics=data)
    low, width = edges[:-1, None], edges.diff()[:, None]
    t = (low + width * torch.tensor(nodes + 1) / 2).clamp(min=first * (1 + 1e-12)).flatten()
    zero = torch.zeros(len(t), *SHAPE, dtype=torch.float64)
    weight = LikelihoodWeighting(LEAST).weight(t, denoiser).values
    gain = denoiser.gain(zero, t)
    gain = gain.values if isinstance(gain, Diagonal) else gain
    a, s = (c.values for c in p.diagonal(t, zero, data.basis))
    filtered = a * believed / (a**2 * believed + s**2)
    error = (1 - filtered * a) ** 2 * data.spectrum + filtered**2 * s**2
    by_time = (data.basis.multiplicity() * weight * error / gain**2).flatten(1).sum(1) / math.prod(SHAPE)
    return float((torch.tensor(weights) * by_time.reshape(-1, 8) * width / 2).sum())


@pytest.mark.parametrize("prediction", ["x0", "v", "edm", "wiener(exponent=0.5)"])
@pytest.mark.parametrize("name", LIKELIHOOD)
def test_likelihood_weights_integrate_to_what_is_known_and_to_the_divergence(name: str, prediction: str) -> None:
    """On Gaussian data the loss of the exact denoiser is the information that enters between the two ends of time, and
    that of another spectrum's exceeds it by the divergence of the model from the data (less what is left at t = 1)."""
    p = LIKELIHOOD[name]
    data = statistics_of(p)
    believed = data.spectrum * (0.4 + 2 * data.basis.radius())
    first = p.time_of(LEAST)
    least = integrated(p, data, data.spectrum, prediction)
    assert least == pytest.approx(information(p, first, data) - information(p, 1.0, data), rel=1e-5)
    excess = divergence(p, first, data, believed) - divergence(p, 1.0, data, believed)
    assert integrated(p, data, believed, prediction) - least == pytest.approx(excess, rel=1e-4)


@pytest.mark.parametrize(
    "law",
    [UniformTime(), LogUniformTime(0.01, 80.0), LogNormalTime(-0.5, 1.5), LogitNormalTime(0.0, 1.2)],
    ids=str,
)
@pytest.mark.parametrize("name", ["white", "coloured", "sequential", "white to blue"])
def test_the_likelihood_loss_is_that_for_any_law_of_times(name: str, law: TimeLaw) -> None:
    """Its mean over draws, 100 batches of 400 with a fixed seed, within 4.5 standard errors (level 2e-5); levels beyond
    the law's are few, and count for less than that."""
    p = LIKELIHOOD[name]
    data = statistics_of(p)
    believed = data.spectrum * (0.4 + 2 * data.basis.radius())
    exact = GaussianDenoiser(p, data.mean, believed, data.basis)

    def network(u: Tensor, timestep: Tensor) -> Tensor:
        t = kept[-1]
        return exact(u * p.rms(t, u), t)

    kept: list[Tensor] = []

    @dataclass(frozen=True)
    class Kept(TimeLaw):
        def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
            kept.append(law.sample(count, process, generator))
            return kept[-1]

        def density(self, t: Tensor, process: Process) -> Tensor:
            return law.density(t, process)

    loss = DenoisingLoss(Kept(), LikelihoodWeighting(LEAST))
    denoiser, generator, root = NetworkDenoiser(network, p, "x0"), seeded(7), Diagonal(data.spectrum.sqrt(), data.basis)
    losses = []
    for _ in range(100):
        x_0 = data.mean + root * torch.randn(400, *SHAPE, generator=generator, dtype=torch.float64)
        losses.append(loss(denoiser, x_0, generator=generator))
    values = torch.stack(losses)
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - integrated(p, data, believed)) < 4.5 * error
    # The steadiest law.
    assert not isinstance(law, LogUniformTime) or error < 0.02


def test_likelihood_refusals() -> None:
    band = process(BandPass(0.2, 0.7))
    with pytest.raises(SingularCovarianceError, match="so that its model has no density; take another weighting"):
        LikelihoodWeighting().weight(TIMES, NetworkDenoiser(lambda x, t: x, band, "x0"))
    region = ForwardProcess(
        VPSchedule(),
        ModulatedCovariance(Box((0.2, 0.2), (0.6, 0.6), inside=2.0, outside=0.5), IsotropicCovariance(SHAPE)),
    )
    with pytest.raises(InputError, match="not known to be diagonal"):
        LikelihoodWeighting().weight(TIMES, NetworkDenoiser(lambda x, t: x, region, "x0"))
    p = process(PowerLaw(0.5))
    with pytest.raises(InputError, match=r"training time '' does not know its density.*take uniform"):
        DenoisingLoss(Fixed(), LikelihoodWeighting()).resolve(p, statistics_of(p))
    with pytest.raises(InputError, match="needs 0 < sigma_min < sigma_max"):
        LogUniformTime(2.0, 1.0)
    with pytest.raises(InputError, match="beyond the noise of"):
        LogUniformTime(90.0, 100.0).sample(3, process(PowerLaw(0.5), VESchedule(0.05, 5.0)))


@pytest.mark.parametrize("name", ["coloured", "sequential", "ve"])
def test_log_uniform_times_are_even_in_the_log_level(name: str) -> None:
    p, law = LIKELIHOOD[name], LogUniformTime(0.01, 3.0)
    t = law.sample(1000, p, seeded(0))
    place = (p.noise_level(t).log() - math.log(0.01)) / math.log(300)
    torch.testing.assert_close(
        place.sort().values, torch.arange(0.5, 1000, dtype=torch.float64) / 1000, rtol=0, atol=6e-4
    )
    # The density is the slope of the distribution function.
    inner = t.sort().values[100:900:50]
    step = 1e-6 * inner
    slope = (p.noise_level(inner + step).log() - p.noise_level(inner - step).log()) / (2 * step) / math.log(300)
    torch.testing.assert_close(law.density(inner, p), slope, rtol=1e-3, atol=0)
