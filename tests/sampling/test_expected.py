"""The closed form of few-step sampling, against the output spectrum of samplers on Gaussian data, and grids by it."""

import dataclasses
import itertools
import math

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.designs.ends import check_ends
from sagd.errors import InputError
from sagd.model.exact import GaussianMixtureDenoiser
from sagd.noise.basis.base import build_basis
from sagd.noise.operator import Diagonal
from sagd.noise.scales import OCTAVES, Scales, octaves
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics, by_radius
from sagd.process.restricted import Restricted
from sagd.process.schedule import VPSchedule
from sagd.sampling.base import Sampler
from sagd.sampling.expected import Expected, _Unequal
from sagd.sampling.found_grid import find_grid
from sagd.sampling.grids import KarrasGrid, MatchedGrid, TimeGrid
from sagd.testing.oracles import output_spectrum


def steep(spatial, slope=-3.0, channels=1, basis="fourier"):
    basis = build_basis(basis, spatial)
    spectrum = basis.radius().clamp(min=1 / max(spatial)) ** slope
    spectrum = spectrum * basis.size / (basis.multiplicity() * spectrum).sum()
    spectrum = spectrum.expand(channels, *basis.coefficients).clone()
    return DataStatistics(torch.zeros(channels, *spatial, dtype=torch.float64), spectrum, 1000, basis)


def process_of(statistics, spectrum="flat", **process):
    config = ProcessConfig(spectrum=spectrum, basis=statistics.basis.kind, **process)
    return build_process(config, tuple(statistics.mean.shape), statistics)


def expected(statistics, spectrum="flat", **process):
    return Expected(process_of(statistics, spectrum, **process), statistics)


def by_oracle(known, sampler, times):
    """Error of the power spectrum of all frequencies, rms over radii, in dB; samplers start from data and noise."""
    process, statistics = known.process, known.statistics
    power = output_spectrum(sampler, process, statistics.spectrum, times, statistics.basis)
    x = torch.zeros(1, *process.shape, dtype=torch.float64)
    a, s = (c.values[0, 0] for c in process.diagonal(times[0], x, statistics.basis))
    power = power * (a**2 * statistics.spectrum[0] + s**2) / s**2
    kept = statistics.spectrum[0] > 0
    off = 10 * torch.log10(power[kept] / statistics.spectrum[0][kept])
    weight = by_radius(statistics.basis)[kept]
    return math.sqrt(float((weight * off.square()).sum() / weight.sum()))


EVOLUTIONS = ["common", "sequential(first='high')", "sequential(first='low')", "blurring", "interpolated(far='flat')"]


@pytest.mark.parametrize("sampler", ["heun", "dpm_solver", "euler", "ddim"])
@pytest.mark.parametrize("noise", ["flat", "whitening(exponent=0.5)", "power_law(alpha=-0.3)"])
def test_error_is_that_of_samplers_on_gaussian_data(sampler, noise):
    """A record of 96 samples has 48 frequencies but DC, which are those that stand for all."""
    statistics = steep((96,))
    statistics.spectrum[:, 0] = 0
    known = expected(statistics, noise)
    times = TimeGrid.parse("matched").times(5, known.process, statistics).tolist()
    # The last frequency counts once, the others twice: which of them stand for all may be one beside.
    assert known.error(sampler, 5, "matched") == pytest.approx(
        by_oracle(known, Sampler.parse(sampler), times), rel=0.02
    )


@pytest.mark.parametrize("evolution", EVOLUTIONS)
@pytest.mark.parametrize("basis", ["fourier", "cosine"])
def test_frequencies_may_have_schedules_of_their_own(evolution, basis):
    """In one dimension, all of which are looked at: those of the cosine basis are 48, of Fourier's 48 but DC."""
    statistics = steep((96,) if basis == "fourier" else (48,), basis=basis)
    if basis == "fourier":
        statistics.spectrum[:, 0] = 0
    known = expected(statistics, "power_law(alpha=-0.2)", evolution=evolution)
    times = TimeGrid.parse("matched").times(6, known.process, statistics).tolist()
    assert known.error("heun", 6, "matched") == pytest.approx(by_oracle(known, Sampler.parse("heun"), times), rel=0.03)


def test_many_grids_at_once_are_each_as_alone():
    known = expected(steep((16, 12), channels=2), evolution="sequential")
    grids = [KarrasGrid(0.01, 30.0, 7.0), KarrasGrid(0.1, 20.0, 30.0), MatchedGrid()]
    times = torch.stack([g.times(4, known.process, known.statistics) for g in grids])
    together = known.errors(Sampler.parse("heun"), times, from_noise=False)
    alone = torch.tensor([known.error("heun", 4, g) for g in grids], dtype=torch.float64)
    assert torch.allclose(together, alone, rtol=1e-9)


def test_full_whitening_makes_all_frequencies_alike():
    known = expected(steep((16, 16)), "whitening(exponent=1)")
    t = torch.tensor([0.5], dtype=torch.float64)
    few = known.process.few(torch.arange(5), known.statistics.basis)
    a, s = few.diagonal(t, torch.zeros(1, 1, 5, dtype=torch.float64), few.reference.basis)
    ratio = known.statistics.spectrum.flatten()[:5] / (s.values / a.values).square()
    assert torch.allclose(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-6)


@pytest.mark.parametrize("evolution", EVOLUTIONS)
def test_few_frequencies_evolve_as_they_do_among_all(evolution):
    statistics = steep((12, 10), channels=2)
    process = process_of(statistics, "power_law(alpha=-0.4)", evolution=evolution)
    which = torch.tensor([1, 30, 71, 119])
    few = process.few(which, statistics.basis)
    assert few.shape == (1, 4)
    for t in (0.1, 0.7, 1.0):
        x = torch.zeros(1, *process.shape, dtype=torch.float64)
        all_of = (
            c.values.expand(1, 2, *statistics.basis.coefficients).flatten()
            for c in process.diagonal(t, x, statistics.basis)
        )
        own = few.diagonal(t, torch.zeros(1, 1, 4, dtype=torch.float64), few.reference.basis)
        for every, some in zip(all_of, own, strict=True):
            assert torch.allclose(every[which], some.values.expand(1, 1, 4).flatten(), rtol=1e-12)


def test_few_of_another_basis_or_of_noise_by_place_are_refused():
    statistics = steep((12, 10))
    cosine = build_basis("cosine", (12, 10))
    with pytest.raises(InputError, match="diagonal in"):
        process_of(statistics, evolution="sequential").few(torch.arange(3), cosine)
    with pytest.raises(InputError):
        process_of(statistics, region="box(low=[0.0, 0.0], high=[0.5, 0.5])").few(torch.arange(3), statistics.basis)


@pytest.mark.parametrize("spatial", [(64,), (16, 12), (8, 6, 10)])
@pytest.mark.parametrize("steps", [3, 6])
def test_a_grid_that_was_found_is_better_than_the_usual_one(spatial, steps):
    known = expected(steep(spatial, channels=2))
    grid = find_grid(known, Sampler.parse("heun"), steps)
    assert known.error("heun", steps, grid) < 0.7 * known.error("heun", steps, "matched")
    assert grid == find_grid(known, Sampler.parse("heun"), steps)


def test_the_search_asks_for_the_times_of_all_grids_of_a_round_at_once(monkeypatch):
    """Schedules without a closed form invert their levels step by step, which takes as long for one grid as for all."""
    known, asked, time = expected(steep((16, 12))), [], VPSchedule.time
    monkeypatch.setattr(VPSchedule, "time", lambda self, log_snr: asked.append(None) or time(self, log_snr))
    find_grid(known, Sampler.parse("euler"), 3)
    assert len(asked) < 10


@pytest.mark.parametrize("sampler", ["heun", "dpm_solver", "ddim"])
@pytest.mark.parametrize("evolution", ["common", "sequential", "blurring"])
@pytest.mark.parametrize("evaluations", [4, 10, 18, 50])
def test_a_found_grid_is_never_worse_than_the_matched_one(sampler, evolution, evaluations):
    """By what it is found by: from noise alone, over data of three strengths; from the law of the data to a tenth."""
    statistics = steep((16, 12))
    known = expected(statistics, evolution=evolution)
    chosen = Sampler.parse(sampler)
    steps = (evaluations + 1) // 2 if sampler == "heun" else evaluations
    grids = [find_grid(known, chosen, steps), MatchedGrid()]
    times = torch.stack([g.times(steps, known.process, statistics) for g in grids])
    found, matched = known.errors(chosen, times, (-5.0, 0.0, 5.0)).tolist()
    assert found <= matched * (1 + 1e-3)  # of the rounding to four digits
    found, matched = known.errors(chosen, times, from_noise=False).tolist()
    assert found <= 1.1 * matched + 0.01


@pytest.mark.parametrize("noise", ["flat", "whitening(exponent=0.5)", "whitening(exponent=1)"])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_a_grid_that_was_found_starts_where_training_lets_it(noise, steps):
    """Else `sagd train` refuses what `sagd design` wrote."""
    statistics = steep((16, 12), slope=-5.0)
    known = expected(statistics, noise)
    start = float(find_grid(known, Sampler.parse("heun"), steps).times(steps, known.process, statistics)[0])
    check_ends(statistics, known.process, start=start).refuse()


def test_the_found_grid_is_that_of_the_sampler_it_is_given_to():
    statistics = steep((16, 12))
    process, grid = process_of(statistics), TimeGrid.parse("found")
    for sampler in (Sampler.parse("heun"), Sampler.parse("dpm_solver")):
        times = grid.fitted(sampler).times(5, process, statistics)
        assert torch.equal(times, find_grid(Expected(process, statistics), sampler, 5).times(5, process, statistics))


@pytest.mark.parametrize(
    ("sampler", "process"),
    [
        ("ddpm", {}),
        ("ddim(eta=1.0)", {}),
        ("heun(churn=10.0)", {}),
        ("heun", {"region": "box(low=[0.0, 0.0], high=[0.5, 0.5])"}),
    ],
)
def test_samplers_that_draw_noise_and_noise_by_place_take_the_matched_grid(sampler, process):
    statistics = steep((16, 12))
    process = process_of(statistics, **process)
    times = TimeGrid.parse("found").fitted(Sampler.parse(sampler)).times(5, process, statistics)
    assert torch.equal(times, MatchedGrid().times(5, process, statistics))
    with pytest.raises(InputError, match=r"closed form|tell|diagonal"):
        Expected(process, statistics).error(sampler, 5, "matched")


def test_an_unseen_band_does_not_count():
    statistics = steep((32,))
    band = "ring(low=0.5, high=1)"
    inner = process_of(statistics, "band_stop(low=0.5, high=1)")
    known = Expected(Restricted(inner, Spectrum.parse(band)), statistics)
    assert known.error("heun", 5, "matched") == Expected(inner, statistics).error("heun", 5, "matched")


def test_what_cannot_be_expected_is_refused():
    statistics = steep((16, 12))
    with pytest.raises(InputError, match="statistics are of data"):
        Expected(process_of(steep((16, 10))), statistics)
    with pytest.raises(InputError, match="pass statistics"):
        TimeGrid.parse("found").times(3, process_of(statistics))
    statistics.spectrum.zero_()
    with pytest.raises(InputError, match="does not vary"):
        Expected(process_of(steep((16, 12))), statistics)


def unequal(statistics, powers=(0.03, 0.4, 3.0), weights=(0.5, 0.3, 0.2), evidence=1.0):
    """The statistics of items that are louder or softer, the law by octave alike."""
    powers, weights = (torch.tensor(v, dtype=torch.float64).expand(OCTAVES, -1) for v in (powers, weights))
    powers = powers / (weights * powers).sum(1, keepdim=True)
    scales = Scales(weights, powers, torch.full((OCTAVES,), evidence, dtype=torch.float64))
    return dataclasses.replace(statistics, scales=scales)


def components(statistics):
    """Weights and spectra of all combinations of powers in the octaves that there are."""
    law, which = statistics.scales, octaves(statistics.basis)
    there = which.unique().tolist()
    chosen = torch.tensor([*itertools.product(range(law.powers.shape[1]), repeat=len(there))])
    table = torch.ones(len(chosen), OCTAVES, dtype=torch.float64)
    table[:, there] = torch.stack([law.powers[b][chosen[:, k]] for k, b in enumerate(there)], 1)
    weights = torch.stack([law.weights[b][chosen[:, k]] for k, b in enumerate(there)], 1).prod(1)
    return weights, statistics.spectrum * table[:, which].unsqueeze(1)


@pytest.mark.parametrize("times", [0.3, [0.2, 0.6]])
def test_the_denoiser_of_unequal_items_is_a_sum_over_all_components(times):
    """In values, by dense normal densities: every combination of the powers of octaves is a Gaussian."""
    statistics = unequal(steep((16,), basis="cosine"), (0.1, 1.6), (0.5, 0.5))
    process, basis = process_of(statistics), statistics.basis
    assert len(octaves(basis).unique()) == 5
    x = torch.randn(6, 1, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    few, grids = process.few(torch.arange(16), basis), 1 if isinstance(times, float) else 2
    spectra = Diagonal(statistics.spectrum.expand(6, 1, 16), few.reference.basis)
    ones = torch.ones(6 // grids, 16, dtype=torch.float64)
    known = _Unequal(few, spectra, statistics.scales, octaves(basis), ones[0], ones, grids)
    t = times if grids == 1 else torch.tensor(times, dtype=torch.float64).repeat_interleave(3)
    found = known.estimate(x, t)
    rows = basis.inverse(torch.eye(16, dtype=torch.float64)[:, None])[:, 0]
    weights, every = components(statistics)
    for k, value in enumerate(x[:, 0]):
        at = float(t[k]) if grids > 1 else t
        a, s = float(process.alpha(at, x)), float(process.sigma(at, x))
        clean = torch.einsum("ci,kc,cj->kij", rows, every[:, 0], rows)
        noisy = a**2 * clean + s**2 * torch.eye(16, dtype=torch.float64)
        density = torch.distributions.MultivariateNormal(torch.zeros(16, dtype=torch.float64), noisy).log_prob(value)
        own = (weights.log() + density).softmax(0)
        direct = (own[:, None] * (a * clean @ torch.linalg.solve(noisy, value[:, None]))[..., 0]).sum(0)
        assert torch.allclose(found[k, 0], direct, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("evolution", ["common", "sequential"])
@pytest.mark.parametrize("sampler", ["heun", "dpm_solver"])
def test_items_of_one_power_are_gaussian(sampler, evolution):
    statistics = steep((16, 12), channels=2)
    process = process_of(statistics, evolution=evolution)
    one = Expected(process, unequal(statistics, (1.0,), (1.0,), 0.3))
    for steps in (3, 6):
        plain = Expected(process, statistics).error(sampler, steps, "matched")
        assert one.error(sampler, steps, "matched") == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize(("sampler", "steps"), [("heun", 3), ("heun", 6), ("dpm_solver", 4), ("dpm_solver", 12)])
def test_error_of_unequal_items_is_that_of_samples(sampler, steps):
    """Of draws of whole records with the exact denoiser, all frequencies and components of it."""
    statistics = unequal(steep((48,), slope=-2.0, basis="cosine"), (0.1, 3.0), (0.7, 0.3))
    process, basis = process_of(statistics), statistics.basis
    weights, every = components(statistics)
    exact = GaussianMixtureDenoiser(process, torch.zeros(len(every), 1, 48), every, weights, basis)
    drawn = Sampler.parse(sampler).sample(
        exact,
        1000,
        steps=steps,
        grid="matched",
        generator=torch.Generator().manual_seed(0),
        statistics=statistics,
        dtype=torch.float64,
    )
    off = 10 * (basis.forward(drawn).square().mean(0) / statistics.spectrum).log10()
    found = Expected(process, statistics).error(sampler, steps, "matched")
    assert found == pytest.approx(float(off.square().mean().sqrt()), rel=0.1, abs=0.3)


@pytest.mark.parametrize(("sampler", "steps"), [("heun", 3), ("heun", 5), ("dpm_solver", 6), ("dpm_solver", 18)])
def test_a_grid_found_for_unequal_items_is_never_worse_for_them_than_the_matched_one(sampler, steps):
    statistics = unequal(steep((16, 12)), evidence=0.4)
    known, chosen = expected(statistics), Sampler.parse(sampler)
    grids = [find_grid(known, chosen, steps), MatchedGrid()]
    times = torch.stack([g.times(steps, known.process, statistics) for g in grids])
    found, matched = known.errors(chosen, times).tolist()
    assert found <= matched * (1 + 1e-2)  # of the rounding to four digits, which items may feel


def test_unequal_items_are_followed_alike_each_time():
    statistics = unequal(steep((64,)))
    one, other = (expected(statistics).error("heun", 5, "matched") for _ in range(2))
    assert one == other
    assert one != expected(dataclasses.replace(statistics, scales=None)).error("heun", 5, "matched")
