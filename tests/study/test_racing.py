"""Races of tiny networks, and their rules on errors that are made up."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from sagd.build.schema import RunConfig, TrainingConfig
from sagd.data.meaning import usual
from sagd.data.signals import Signals
from sagd.designs.search import Candidate
from sagd.errors import InputError
from sagd.networks.config import NetworkConfig
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.report.designing import render_design
from sagd.study import racing
from sagd.study.designing import design
from sagd.study.racing import Judged, Runner, race

pytestmark = pytest.mark.usefixtures("undrawn")

TINY = RunConfig(
    network=NetworkConfig(widths=(4, 8)),
    training=TrainingConfig(batch_size=8, sample_every=0, device="cpu", precision="no", warmup_steps=1),
)


def data(count=200):
    x = SpectralCovariance(PowerLaw(-2.0), (1, 16, 16)).sample(count, torch.Generator().manual_seed(0))
    return Signals("steep", x.float(), meaning=usual((1, 16, 16)))


def judged(exponent, spectrum, flatness, features, prediction="wiener", expected=1.0):
    errors = {"spectrum_db": spectrum, "flatness_db": flatness, "features": features}
    score = float(np.prod([max(1, e) for e in errors.values()])) ** (1 / 3)
    return Judged(Runner(Candidate(exponent, "heun", 3, "matched", expected), prediction), 8, errors, score)


def test_a_good_spectrum_does_not_make_up_for_what_was_not_learnt():
    white, half = judged(0.0, 8.0, 2.0, 9.0), judged(0.5, 2.0, 2.0, 5.0)
    gaussian = judged(1.0, 1.0, 3.5, 1.0)
    table = racing.vetoed([white, half, gaussian])
    assert [one.vetoed for one in table] == [(), (), ("flatness",)]
    assert gaussian.score < half.score
    decision = racing.decided(table, table)
    assert (decision.chosen.exponent, decision.white.exponent) == (0.5, 0.0)
    assert "out" not in decision.said


def test_the_mildest_of_the_good_is_chosen():
    table = racing.vetoed([judged(0.0, 2.0, 2.0, 2.1), judged(1.0, 2.0, 2.0, 2.0)])
    assert racing.decided(table, table).chosen.exponent == 0


def test_white_noise_stays_in_the_race():
    table = [judged(0.0, 50.0, 2.0, 9.0), judged(0.0, 40.0, 2.0, 9.0, "edm")]
    table += [judged(g, 1.0 + g, 2.0, 1.0) for g in (0.25, 0.5, 0.75, 1.0)]
    kept = racing.better_half(racing.vetoed(table))
    assert [(runner.exponent, runner.prediction) for runner in kept] == [(0.25, "wiener"), (0.5, "wiener"), (0, "edm")]


def test_what_is_expected_counts_before_the_end():
    """Of two that do as well early, and are expected to be 0.4 and 0.1 dB off."""
    table = [judged(g, 2.0, 2.0, 2.0, expected=error) for g, error in ((0.0, 0.9), (0.5, 0.4), (1.0, 0.1))]
    assert [runner.exponent for runner in racing.better_half(racing.vetoed(table))] == [1.0, 0.0]
    assert table[2].early == pytest.approx(2 * math.sqrt(0.1))


def test_heuns_method_does_not_run_in_few_evaluations():
    """Whatever its spectrum promises, as where nothing is raced."""
    made = design(data(), 6)
    favoured = tuple(dataclasses.replace(c, error=0.0) if c.sampler == "heun" else c for c in made.search.candidates)
    given = dataclasses.replace(made, search=dataclasses.replace(made.search, candidates=favoured))
    assert {runner.candidate.sampler for runner in racing.field_of(given)} == {"dpm_solver"}


@pytest.fixture(scope="module")
def closed():
    """The design of the closed form."""
    return design(data(), 5)


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """A design that a race of four steps has decided, and the folder of that."""
    out = tmp_path_factory.mktemp("raced")
    return design(data(), 5, decide=lambda d, own: race(d, own, TINY, 4, out)), out


def test_a_race_decides_and_goes_on_where_it_was(raced, monkeypatch):
    found, out = raced
    exponents = {one["exponent"] for one in found.decision.race}
    assert {0.0, 0.5, 1.0} <= exponents
    last = [one for one in found.decision.race if one["steps"] == 4]
    assert 2 <= len(last) < len(found.decision.race) / 2
    assert any(not one["exponent"] for one in last)
    winner = [one for one in last if one["exponent"] == found.chosen.exponent]
    assert found.config.denoiser.prediction in {one["prediction"] for one in winner}
    assert found.config.process.spectrum == (
        f"whitening(exponent={found.chosen.exponent:g})" if found.chosen.exponent else "flat"
    )
    assert found.config.sampling.grid == found.chosen.grid
    assert "in a race of" in found.lines()[0]
    assert "The race" in render_design(found)
    # All of it is known now, and what is taken away is trained again from its checkpoint.
    monkeypatch.setattr(racing, "train", lambda *_, **__: pytest.fail("trained again"))
    assert race(found, data(), TINY, 4, out) == found.decision
    wide = dataclasses.replace(TINY, network=NetworkConfig(widths=(8, 8)))
    for config, items, budget, said in (
        (TINY, 200, 8, "budget is 8, and was 4"),
        (wide, 200, 8, r"network\.widths is \[8, 8\], and was \[4, 8\]; budget is 8, and was 4"),
        (TINY, 220, 4, "it was of other data"),
    ):
        message = f"holds another race: {said}; give those, choose another out, or remove it$"
        with pytest.raises(InputError, match=message):
            race(found, data(items), config, budget, out)


@pytest.mark.parametrize(
    ("count", "budget", "said"),
    [(100, 8, r"'steep' has 100 \w+; a race needs at least 160"), (200, 3, "budget must be at least 4 steps, got 3")],
)
def test_what_cannot_race(closed, tmp_path, count, budget, said):
    with pytest.raises(InputError, match=said):
        race(closed, data(count), TINY, budget, tmp_path)
    assert not (tmp_path / "race").exists()


def test_a_race_that_was_stopped_ends_alike(raced, closed, tmp_path, monkeypatch):
    trained, real = [], racing.train

    def stopping(*args, **kwargs):
        trained.append(args)
        if len(trained) == 7:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(racing, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        race(closed, data(), TINY, 4, tmp_path)
    assert dataclasses.asdict(race(closed, data(), TINY, 4, tmp_path)) == dataclasses.asdict(raced[0].decision)


@pytest.mark.parametrize(("budget", "warns"), [(400, True), (408, False)])
def test_a_budget_within_the_warm_up_is_warned_of(budget, warns, monkeypatch, caplog, tmp_path):
    def stop(*_):
        raise InputError("enough")

    monkeypatch.setattr(racing.Course, "judged", stop)
    config = dataclasses.replace(TINY, training=dataclasses.replace(TINY.training, warmup_steps=100))
    with pytest.raises(InputError, match="enough"):
        race(design(data(), 4), data(), config, budget, tmp_path)
    assert (f"first judged after {budget // 4} steps, while the learning rate still rises" in caplog.text) == warns
    assert ("give budget 800 or more" in caplog.text) == warns


def test_lines_of_a_race_say_which_score_is_best():
    line = judged(0.5, 2.0, 1.0, 1.0).line()
    assert line.startswith(
        "noise of the data's spectrum to the power 0.5, predict wiener, 8 steps: score 1.26 (1 is best;"
    )
