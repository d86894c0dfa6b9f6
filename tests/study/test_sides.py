"""Which of three results is taken."""

import dataclasses

import pytest

from sagd.errors import InputError
from sagd.study.sides import Sides, decibels


def sides(excess=(20, -3, -5, -20), errors=None, asked="best", files=1, tried=None):
    stages = ("damaged", "network", "clean", "removal")
    over = dict(zip(stages, ((float(v),) * files for v in excess), strict=True))
    known = {} if errors is None else dict(zip(stages, ((v,) * files for v in errors), strict=True))
    trials = {} if tried is None else dict(zip(("network", "clean"), tried, strict=True))
    return Sides(tuple(f"{k}.png" for k in range(files)), known, over, asked, tried=trials)


@pytest.mark.parametrize(
    ("found", "taken", "said"),
    [
        (sides(), "network", "at most 1 dB over"),
        (sides((20, 4, 0, -9)), "clean", "the network shows the damage; network +4.0 dB"),
        (sides((20, 5, 4, -9)), "removal", "the network shows the damage"),
        (sides((20, 4, 2.9, -9)), "clean", "less than what deleting the band takes of the content; the network shows"),
        (sides((20, 2.3, 1.3, -20)), "clean", "is less than what deleting the band takes of the content"),
        (sides((20, 1.3, 2.3, -20)), "network", "is less than what deleting the band takes of the content"),
        (sides((20, 4, 3, 2)), "removal", "all show the damage, this least"),
        (
            sides(errors=(1.0, 0.02, 0.01, 0.03)),
            "clean",
            "clean, 26.02 dB (nearest to the clean files; network 23.01 dB",
        ),
        (sides(errors=(1.0, 0.02, 0.01, 0.03), asked="network"), "network", "took network, as asked"),
        (
            sides(tried=((0.04, 0.04), (0.004, 0.004))),
            "clean",
            "(nearer in 2 trials on draws of the model, where the truth is known: network 20.0 dB, clean 30.0 dB;",
        ),
        (sides(tried=((0.004, 0.005), (0.04, 0.042))), "network", "nearer in 2 trials on draws"),
        (
            sides(tried=((0.004, 0.04), (0.04, 0.01))),
            "clean",
            "(the network is not nearer for certain, by 1 dB, in 2 trials on draws",
        ),
        (
            sides(tried=((0.0085, 0.0086, 0.0085, 0.0086), (0.01, 0.0101, 0.01, 0.0101))),
            "clean",
            "(the network is not nearer for certain, by 1 dB, in 4 trials on draws",
        ),
        (sides((20, 4, 0, -9), tried=((0.004, 0.004), (0.04, 0.05))), "clean", "the network shows the damage"),
        (sides((20, 0, 4, -9), tried=((0.04, 0.04), (0.004, 0.005))), "network", "the first that is at most 1 dB over"),
        (
            dataclasses.replace(sides((20, 0, 0, -9)), doubt="no lap of this model was kept"),
            "clean",
            "at most 1 dB over; no lap of this model was kept, so that the network is not run (take network runs it); ",
        ),
        (
            sides(errors=(1.0, 0.02, 0.01, 0.03), tried=((0.004, 0.005), (0.04, 0.04))),
            "clean",
            "nearest to the clean files",
        ),
    ],
)
def test_what_is_taken_is_said_with_its_reason(found, taken, said):
    assert found.taken == taken
    assert said in found.line()
    assert found.to_dict()["taken"] == taken


def test_files_are_told_one_by_one_and_together():
    found = sides(errors=(1.0, 0.04, 0.01, 0.02), files=2)
    assert found.lines()[:3] == [
        "0.png: damaged 6.02 dB, network 20.00 dB, clean 26.02 dB, removal 23.01 dB",
        "1.png: damaged 6.02 dB, network 20.00 dB, clean 26.02 dB, removal 23.01 dB",
        "all 2: damaged 6.02 dB, network 20.00 dB, clean 26.02 dB, removal 23.01 dB",
    ]
    assert found.to_dict()["files"]["1.png"]["clean"] == {"excess_db": -5.0, "psnr": pytest.approx(26.02, abs=0.01)}
    many = sides(files=20)
    assert "... and 8 more, in restoration.json" in many.lines()
    assert decibels(4e-3) == pytest.approx(30)


def test_files_that_are_better_left_alone_are_named():
    found = sides(errors=(0.04, 0.02, 0.01, 0.02), files=6)
    assert found.lines()[-1].startswith("took clean")
    worse = {**found.errors, "damaged": (0.04, *(0.004,) * 5)}
    line = dataclasses.replace(found, errors=worse).lines()[-1]
    assert line == ("nearer to the clean files as they came, so better left alone: 1.png, 2.png, 3.png and 2 more")
    assert sides().lines()[-1].startswith("took network")


def test_unknown_ways_are_refused():
    with pytest.raises(InputError, match="take must be one of network, clean, removal, best, got 'all'"):
        sides(asked="all")
