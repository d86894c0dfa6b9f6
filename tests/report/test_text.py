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


def test_what_is_far_is_held_against_the_training_data():
    def said(trained, **kind):
        evaluation = {"n": 9, "features": "classifier", "figure": {"frechet_interval": None}, "trained": trained}
        return evaluation_text(evaluation | kind, {"frechet": 40.0}, {"frechet": 2.5}).splitlines()[-1]

    assert said({"frechet": 35.0}, kind="audio") == (
        "The Fréchet distance is 16 times its floor, that of the training data itself 14 times: the reference differs"
        " from what was trained on, and more training hardly helps; train on more records, or such as the reference"
        " has."
    )
    assert said({"frechet": 5.0}).startswith(
        "The Fréchet distance is 16 times its floor, that of the training data itself 2 times: far from the data. More"
        " training"
    )


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
        "n = 500 images a side, features: classifier, 3 seeds; differences are paired by seed, with 95 % intervals",
    ]


def test_many_figures_are_several_tables(results):
    given = results({"white": 24.9})
    for name in "abcdef":
        given["floors"][name] = 0.5
        given["arms"]["white"]["summary"][name] = {"mean": 1.0, "low": None, "high": None}
    lines = comparison_text(given).splitlines()
    assert [line.split() for line in lines if line.startswith("arm")] == [
        ["arm", "Fréchet", "distance", "a", "b", "c", "d"],
        ["arm", "e", "f"],
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


def test_stars_stand_where_a_difference_holds_among_all_tests(results):
    given = results({"white": 24.9, "low": 23.4, "high": 24.0}, {"low": (-1.5, 0.5), "high": (-0.9, 0.8)})
    given["tests"] = {"method": "Holm", "level": 0.05, "figures": ["frechet"], "count": 2}
    for arm, p in (("low", 0.01), ("high", 0.06)):
        given["arms"][arm]["adjusted"] = {"frechet": p}
    lines = comparison_text(given).splitlines()
    assert [line.split()[-1] for line in lines if "minus white" in line] == ["−1.0*", "−0.1"]
    assert lines[-1] == (
        "*: shown to differ. Verdicts are on Fréchet distance alone, 2 tests in all, adjusted together by Holm's"
        " method: the chance of even one wrong verdict is at most 5 %. Intervals hold one by one: one may exclude zero"
        " where no difference is shown."
    )


def test_a_precision_that_means_nothing_is_called_so(results):
    """White noise: precision 1, recall 0, a distance of 84 where real images have 3.3."""
    evaluation = {"n": 50, "features": "classifier", "figure": {"frechet_interval": None}}
    figures = {"frechet": 84.0, "precision": 1.0, "recall": 0.0}
    floors = {"frechet": 3.3, "precision": 0.9, "recall": 0.88}
    assert (
        "Precision means nothing here (1.00, real images 0.90), because recall is 0.00 where real images have 0.88 and"
        " the Fréchet distance is 25 times its floor" in evaluation_text(evaluation, figures, floors)
    )
    given = results({"white": 0.9, "low": 1.0}, {"low": (0.1, 0.2)}, metric="precision")
    assert "means nothing" not in comparison_text(given)
    given["floors"] |= {"precision": 0.85, "recall": 0.8}
    for arm, recall in (("white", 0.79), ("low", 0.3)):
        given["arms"][arm]["summary"]["recall"] = {"mean": recall, "low": None, "high": None}
    given["arms"]["low"]["difference"]["recall"] = {"mean": -0.49, "low": None, "high": None}
    last = comparison_text(given).splitlines()[-1]
    assert last.startswith("low: Precision means nothing here (1.00, real images 0.85), because recall is 0.30 where")


def test_the_spectral_error_stands_beside_what_chance_explains():
    spectral = {"spectral": {"rms_db_interval": [0.0, 0.212]}}
    evaluation = {
        "n": 50,
        "features": "labelless",
        "figure": {"frechet_interval": None, **spectral},
        "floor": spectral,
    }
    lines = evaluation_text(evaluation, {"spectral_rms_db": 0.29}, {"spectral_rms_db": 0.31}).splitlines()
    assert lines[3] == (
        "spectral error with infinitely many images, 95 % interval: 0 to 0.21 dB; of real images in place: 0 to 0.21 dB"
    )
    assert lines[4].endswith("features: labelless (fixed filters; no labels needed)")
