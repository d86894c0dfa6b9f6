import math

import pytest

from sagd.report import wording
from sagd.report.wording import Interval, answer, joined, metric, number, places, verdict

BETTER, UNCLEAR, WORSE = Interval(-1.5, -2.5, -0.5), Interval(-1.5, -4.0, 1.0), Interval(3.0, 1.0, 5.0)


def test_numbers():
    assert number(-0.0001, 2) == "0.00"
    assert number(0.0, sign=True) == "+0"
    assert number(-6.81, 1, sign=True) == "−6.8"
    assert number(math.nan) == "not finite"
    assert number(412345) == "412,345"
    assert number(1.5e-9) == "1.5e−09"
    assert places(0.0) == 0
    assert places(9.99, digits=2) == 1


def test_rounding_does_not_move_an_interval_onto_zero():
    difference = Interval(-0.4, -0.8012, -0.0017)
    assert difference.span(difference.places(2)) == "−0.801 to −0.002"
    assert UNCLEAR.places(2) == 1


@pytest.mark.parametrize(
    ("difference", "better", "expected"),
    [
        (BETTER, "lower", "better"),
        (BETTER, "higher", "worse"),
        (WORSE, "lower", "worse"),
        (WORSE, "higher", "better"),
        (BETTER, None, "lower"),
        (WORSE, None, "higher"),
        (UNCLEAR, "lower", "no difference shown"),
        (Interval(-1.5, -3.0, 0.0), "lower", "no difference shown"),
        (Interval(-1.5, None, None), "lower", "no difference shown"),
        (Interval(None, None, None), "lower", "no difference shown"),
        (Interval(-1.5, -2.5, -0.5, adjusted=0.049), "lower", "better"),
        (Interval(-1.5, -2.5, -0.5, adjusted=0.05), "lower", "no difference shown"),
        (Interval(-1.5, -2.5, -0.5, tested=False), "lower", "not tested"),
        (Interval(-1.5, None, None, tested=False), "lower", "no difference shown"),
    ],
)
def test_verdict_claims_only_what_the_interval_shows(difference, better, expected):
    assert verdict(difference, better) == expected


def test_answer_with_several_seeds():
    distance = metric("frechet")
    assert (
        answer(distance, "white", 3, {"tilt": BETTER}) == "By Fréchet distance over 3 seeds, tilt is better than white."
    )
    assert (
        answer(distance, "white", 3, {"tilt": UNCLEAR})
        == "By Fréchet distance over 3 seeds, no difference between white and tilt is shown."
    )
    assert (
        answer(distance, "white", 5, {"a": BETTER, "b": WORSE, "c": UNCLEAR, "d": BETTER, "e": UNCLEAR})
        == "By Fréchet distance over 5 seeds, a and d are better than white, b is worse than white"
        " and no difference between white and c or e is shown."
    )
    assert answer(metric("recall"), "white", 3, {"tilt": WORSE}).endswith("tilt is better than white.")


def test_answer_with_one_seed_claims_nothing_whatever_the_figures():
    text = answer(metric("frechet"), "white", 1, {"tilt": Interval(-100.0, None, None)})
    assert text.startswith("No difference shown: with one seed")
    assert "better" not in text


def test_answer_with_one_arm():
    assert answer(metric("frechet"), "white", 3, {}) == "Only white was run, so there is nothing to compare it with."


def test_values_behind_an_answer():
    text = wording.values(
        metric("frechet"), {"white": 26.6, "tilt": 19.8}, {"tilt": Interval(-6.81, -7.4, -6.22)}, 2.13
    )
    assert text.replace("\u00a0", " ") == (
        "Fréchet distance (lower is better): white 26.6 and tilt 19.8 (difference −6.8, 95 % interval −7.4 to −6.2)."
        " Real images against other real images: 2.13."
    )


def test_values_of_many_arms_leave_intervals_to_the_table():
    differences = dict.fromkeys("bcde", BETTER)
    text = wording.values(metric("frechet"), dict.fromkeys("abcde", 2.5), differences, None)
    assert text == "Fréchet distance (lower is better): a 2.50, b 2.50, c 2.50, d 2.50 and e 2.50."


def test_unknown_metric_has_no_better_direction():
    assert metric("colourfulness") == wording.Metric("colourfulness", None, "")


def test_joined():
    assert [joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"], "or")] == ["a", "a and b", "a, b or c"]


@pytest.mark.parametrize(
    ("figures", "reasons"),
    [
        ({"precision": 0.95, "recall": 0.3, "frechet": 3.0}, ["recall is 0.30"]),
        ({"precision": 0.9, "recall": 0.8, "frechet": 30.0}, ["distance is 10 times"]),
        ({"precision": 0.89, "recall": 0.0, "frechet": 30.0}, []),
        ({"precision": 1.0, "recall": 0.5, "frechet": 14.0}, []),
        ({"precision": None, "recall": 0.0, "frechet": 90.0}, []),
        ({"precision": 1.0, "recall": None}, []),
    ],
)
def test_when_a_precision_means_nothing(figures, reasons):
    found = wording.precision_note(figures, {"precision": 0.9, "recall": 0.8, "frechet": 3.0})
    assert bool(found) == bool(reasons)
    assert all(reason in found for reason in reasons)


def test_every_scalar_of_an_evaluation_has_a_meaning():
    from sagd.metrics import SCALARS

    assert set(SCALARS) == set(wording.METRICS)
    assert all(wording.metric(name).better and wording.metric(name).meaning for name in SCALARS)
