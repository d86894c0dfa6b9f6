"""Tables for the terminal, compared with what they should look like."""

from sagd.report.text import comparison_text, evaluation_text, table


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [["arm", "x", "long name"], ["white", "12,345.67", "1"], ["real images", "–", ""]]
    assert table(rows).splitlines() == [
        "arm                  x  long name",
        "white        12,345.67          1",
        "real images          –",
    ]


def test_an_evaluation_stands_beside_its_floors():
    evaluation = {"n": 718, "features": "classifier", "figure": {"frechet_interval": [3.25, 4.5]}}
    figures = {"frechet": 3.81, "kernel": -0.0123, "recall": 0.9}
    floors = {"frechet": 2.5, "kernel": 0.0001, "recall": 0.955}
    assert evaluation_text(evaluation, figures, floors).splitlines() == [
        "figure              value     floor  better",
        "Fréchet distance     3.81      2.50   lower",
        "Kernel distance   −0.0123  0.000100   lower",
        "Recall              0.900     0.955  higher",
        "",
        "Fréchet distance, 95 % interval at this sample size: 3.25 to 4.5",
        "718 images each of samples and of two disjoint real sets; features: classifier",
        "floor: the same figure for real images in place of samples",
    ]


def test_a_word_where_the_samples_are_far_from_the_data():
    evaluation = {"n": 9, "features": "classifier", "figure": {"frechet_interval": None}}
    far = evaluation_text(evaluation, {"frechet": 40.0}, {"frechet": 2.5}).splitlines()[-1]
    assert far.startswith(
        "The Fréchet distance is 16 times its floor: far from the data. More training (training.steps,"
    )
    for figure, floor in ((12.0, 2.5), (None, 2.5), (3.0, None), (3.0, 0.0)):
        assert "far from" not in evaluation_text(evaluation, {"frechet": figure}, {"frechet": floor})


def test_a_figure_that_is_not_finite_is_a_dash():
    evaluation = {"n": 5, "features": "f", "figure": {"frechet_interval": None}}
    text = evaluation_text(evaluation, {"spectral_rms_db": None}, {"spectral_rms_db": 0.5})
    assert text.splitlines()[1].split() == ["Spectral", "error", "(dB)", "–", "0.500", "lower"]
    assert "interval" not in text


def test_a_comparison_shows_means_differences_and_floors(results):
    text = comparison_text(results({"white": 24.9, "low": 23.4}, {"low": (-1.5, 0.5)}))
    assert text.splitlines() == [
        "arm                  Fréchet distance",
        "white                            24.9",
        "low                              23.4",
        "  minus white            −2.0 to −1.0",
        "real images (floor)              2.13",
        "n = 500 images a side, 3 seeds; differences are paired by seed, with 95 % intervals",
    ]


def test_one_seed_claims_no_difference(results):
    text = comparison_text(results({"white": 24.9, "low": 23.4}, {"low": (-1.5, 0.5)}, seeds=(0,)))
    assert "minus" not in text
    assert text.endswith("1 seed: one seed cannot tell arms apart; add seeds for intervals")


def test_differences_that_are_unknown_are_dashes(results):
    given = results({"white": 24.9, "low": 23.4}, {"low": (-1.5, 0.5)})
    given["arms"]["low"]["summary"]["frechet"] = {"mean": None, "low": None, "high": None}
    given["arms"]["low"]["difference"]["frechet"] = {"mean": None, "low": None, "high": None}
    lines = comparison_text(given).splitlines()
    assert lines[2].split() == ["low", "–"]
    assert lines[3].split() == ["minus", "white", "–"]
