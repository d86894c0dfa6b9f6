"""Intervals and paired differences against scipy's own tests."""

import numpy as np
import pytest
from scipy import stats

from sagd.study.summary import LEVEL, family, holm, interval, p_value, summarise

METRICS = ("frechet", "recall")


@pytest.fixture
def values():
    """Three arms with four seeds each, and seeds that move all arms alike."""
    rng = np.random.default_rng(0)
    seeds = {0: -20.0, 1: 5.0, 2: 30.0, 7: -10.0}
    return {
        arm: {s: {m: float(shift + seed + rng.normal()) for m in METRICS} for s, seed in seeds.items()}
        for arm, shift in (("white", 10.0), ("low", 9.0), ("high", 14.0))
    }


def column(values, arm, metric):
    return [run[metric] for run in values[arm].values()]


def test_known_interval():
    """1, 2, 3: standard error 1/sqrt(3), and 4.302653 is the 0.975 quantile of t with 2 degrees of freedom."""
    found = interval([1.0, 2.0, 3.0])
    assert found == pytest.approx({"mean": 2.0, "low": 2 - 4.302653 / 3**0.5, "high": 2 + 4.302653 / 3**0.5}, abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_intervals_are_students(level):
    values = np.random.default_rng(1).normal(size=6)
    found, expected = interval(values, level), stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-12)


def test_one_seed_has_no_interval():
    assert interval([4.0]) == {"mean": 4.0, "low": None, "high": None}


def test_a_missing_figure_is_not_averaged_away():
    assert interval([1.0, None, 3.0]) == {"mean": None, "low": None, "high": None}


@pytest.mark.parametrize("metric", METRICS)
def test_differences_are_paired(values, metric):
    """The mean over seeds of every arm, and the interval of scipy's paired t-test to the reference."""
    found = summarise(values, "white")
    for arm in ("low", "high"):
        expected = stats.ttest_rel(column(values, arm, metric), column(values, "white", metric)).confidence_interval()
        difference = found[arm]["difference"][metric]
        assert (difference["low"], difference["high"]) == pytest.approx((expected.low, expected.high), rel=1e-10)
        # Pairing takes out what the seeds do to all arms, which is most of the spread here.
        own = found[arm]["summary"][metric]
        assert own["high"] - own["low"] > 2 * (difference["high"] - difference["low"])
        assert own["mean"] == pytest.approx(np.mean(column(values, arm, metric)))


def test_pairs_are_found_by_seed_not_by_order(values):
    backwards = {**values, "low": dict(reversed(values["low"].items()))}
    expected = summarise(values, "white")["low"]["difference"]["frechet"]
    assert summarise(backwards, "white")["low"]["difference"]["frechet"] == pytest.approx(expected)


def test_the_reference_has_no_difference(values):
    found = summarise(values, "low")
    assert found["low"]["difference"] is None
    assert list(found) == ["white", "low", "high"]
    assert set(found["white"]["difference"]) == set(METRICS)


def test_missing_figures_leave_the_others(values):
    values["high"][7]["recall"] = None
    found = summarise(values, "white")["high"]
    assert found["summary"]["recall"]["mean"] is None
    assert found["difference"]["recall"] == {"mean": None, "low": None, "high": None}
    assert found["difference"]["frechet"]["low"] is not None


def test_holm_on_a_known_case():
    """Holm's own steps: 4 * 0.01, 3 * 0.02, 2 * 0.03, and never below what came before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_values_are_scipys():
    given = np.random.default_rng(2).normal(0.5, size=6)
    assert p_value(list(given)) == pytest.approx(stats.ttest_1samp(given, 0).pvalue, rel=1e-10)
    assert p_value([1.0]) is p_value([1.0, None]) is None
    assert (p_value([2.0, 2.0]), p_value([0.0, 0.0])) == (0.0, 1.0)


def test_tests_go_over_arms_and_headline_figures(values):
    for runs in values.values():
        for run in runs.values():
            run["aside"] = 3.0
    got = family(values, "white")
    assert got.figures == ("frechet", "recall")
    assert got.count == 4
    assert got.adjusted["white"] == {}
    plain = [
        stats.ttest_rel(column(values, arm, m), column(values, "white", m)).pvalue
        for arm in ("low", "high")
        for m in METRICS
    ]
    assert [got.adjusted[arm][m] for arm in ("low", "high") for m in METRICS] == pytest.approx(holm(plain))


def test_what_has_no_test_does_not_count(values):
    values["high"][7]["recall"] = None
    got = family(values, "white")
    assert got.count == 3
    assert got.adjusted["high"]["recall"] is None


def test_the_chance_of_one_wrong_word_is_held():
    """Five arms that differ by chance alone, four seeds: a false verdict in at most 5 % of 400 comparisons.

    Intervals by themselves would be wrong in far more, as every fourth of them shows.
    """
    rng, wrong, single = np.random.default_rng(4), 0, 0
    for i in range(400):
        drawn = {a: {s: {m: float(rng.normal()) for m in METRICS} for s in range(4)} for a in "abcdef"}
        found = [p for by_figure in family(drawn, "a").adjusted.values() for p in by_figure.values()]
        wrong += min(found) < LEVEL
        if i % 4:
            continue
        spans = [d for arm in summarise(drawn, "a").values() if arm["difference"] for d in arm["difference"].values()]
        single += any(d["low"] > 0 or d["high"] < 0 for d in spans)
    assert wrong <= 37  # binomial with 0.05: 1e-4
    assert single > 20  # what intervals by themselves would have claimed
