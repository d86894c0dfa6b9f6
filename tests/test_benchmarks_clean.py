"""Measures of removal, the choice of settings, and the page."""

import json

import numpy as np
import pytest
import torch
from benchmarks import records
from benchmarks.clean import damage as drawn
from benchmarks.clean import demo, detection, page, removal
from benchmarks.clean.cases import DAMAGE, Case, all_cases, picture
from benchmarks.clean.measures import dark_mirror, decibel, line, outside, similarity
from benchmarks.clean.tools import TOOLS, Tool, band_of, bound, deleted, mask_of

from sagd.data.corruption import Corruption
from sagd.omission.search import search


def striped(n=64):
    g = np.random.default_rng(0)
    clean = g.normal(size=(n, n)).cumsum(0).cumsum(1)
    clean = 255 * (clean - clean.min()) / np.ptp(clean)
    return clean, clean + 60 * g.normal(size=n)


CASE = Case("walk", "made", "stripes", "middle", striped, text=DAMAGE["stripes"].format(0.1), angle=0.0)


def test_decibels():
    clean = np.array([0.0, 2.0, 0.0, 2.0])
    assert decibel(clean, clean + 0.1, None) == pytest.approx(20)
    assert decibel(clean, clean + 25.5, 255.0) == pytest.approx(20)


def test_what_changes_in_the_band_alone_is_not_outside():
    clean, damaged = striped()
    rows, columns = np.arange(64)[:, None], np.arange(64)
    wave = np.cos(2 * np.pi * 10 / 64 * columns) + 0 * rows
    band = np.zeros((64, 33))
    band[:, 8:13] = 1
    assert outside(clean, damaged, damaged - wave, band) < -60
    assert outside(clean, damaged, damaged - wave, 1 - band) > -20


def test_a_band_that_is_taken_out_leaves_dark_mirrors():
    """A bright square on grey: without its waves across upright stripes it has a shadow above and below."""
    clean = np.full((96, 96), 100.0)
    clean[36:60, 36:60] = 200.0
    g = np.random.default_rng(0)
    shadowed = clean - (clean.mean(0) - clean.mean())
    assert dark_mirror(clean, shadowed, 0.0) > 10
    assert dark_mirror(clean, clean - 5, 0.0) == pytest.approx(0)
    assert abs(dark_mirror(clean, clean + g.normal(size=clean.shape), 0.0)) < 0.3
    assert abs(dark_mirror(clean, shadowed, 90.0)) < dark_mirror(clean, shadowed, 0.0)


@pytest.mark.parametrize(("angle", "along"), [(0.0, (1, 0)), (90.0, (0, 1)), (45.0, (1, -1))])
def test_a_line_runs_along_the_stripes(angle, along):
    rows, columns = np.nonzero(line(10, angle))
    assert len(rows) >= 15
    np.testing.assert_array_equal((rows - 10) * along[1], (columns - 10) * along[0])


def test_deleting_and_the_bound():
    """Even the crudest tool gains on straight stripes, and nothing is better than the bound."""
    clean, damaged = CASE.make()
    values = [decibel(clean, x, 255.0) for x in (damaged, deleted(damaged, CASE, 1.0), bound(damaged, CASE))]
    assert values == sorted(values)
    assert decibel(clean, deleted(clean + 50, CASE, 1.0), 255.0) < 20  # the mean stays


def test_the_best_setting_is_kept():
    clean, damaged = CASE.make()
    tool = Tool(
        lambda x, case, share: x - share * (x - clean),
        lambda case: True,
        ({"share": 0.2}, {"share": 0.9}, {"share": 0.5}),
    )
    found = removal.best(CASE, "some", tool, clean, damaged, mask_of(CASE, band_of(CASE)))
    assert found["setting"] == {"share": 0.9}
    assert found["decibel"] == pytest.approx(decibel(clean, damaged, 255.0) + 20, abs=1e-6)
    assert json.dumps(found, allow_nan=False)


def test_a_package_that_is_not_there_is_said(capsys, monkeypatch, tmp_path):
    assert "No module named 'nowhere'" in Tool(print, print, needs="nowhere").missing()
    monkeypatch.setattr(removal, "TOOLS", {"some": Tool(print, print, needs="nowhere")})
    monkeypatch.setattr(removal, "all_cases", lambda data: ())
    removal.measure(tmp_path, tmp_path / "lines.jsonl")
    assert capsys.readouterr().out == "left out some: nowhere: No module named 'nowhere'\n"


def test_runs_go_on_where_they_stopped(monkeypatch, tmp_path):
    runs = []
    tool = Tool(lambda x, case: runs.append(case.key) or x, lambda case: True)
    monkeypatch.setattr(removal, "all_cases", lambda data: (CASE,))
    monkeypatch.setattr(removal, "tools_for", lambda case: [("some", tool)])
    for again, expected in (((), 1), ((), 1), (("some",), 2)):
        removal.measure(tmp_path, tmp_path / "lines.jsonl", again)
        assert len(runs) == expected
        assert [each["tool"] for each in records.read(tmp_path / "lines.jsonl")] == ["damaged", "some"]


def test_the_curtains_that_the_readme_opens_with_are_found():
    _, damaged = demo.case_of("flower", *demo.PHOTOGRAPHS["flower"]).make()
    assert search(torch.from_numpy(damaged).movedim(-1, 0)[None])[0].band is not None


def test_the_page_says_who_is_behind(tmp_path):
    common = {
        "group": "made",
        "strength": "weak",
        "setting": {},
        "ssim": 0.9,
        "outside": -20.0,
        "mirror": 1.0,
        "seconds": 0.1,
    }
    values = {"stripes": (30.0, 30.1), "rain": (25.0, 27.0)}
    for damage, (own, other) in values.items():
        for tool, value in (("damaged", 20.0), ("sagd", own), ("band deleted", other), ("bound", 40.0)):
            records.append(
                tmp_path / "l.jsonl", {"data": "a", "damage": damage, "tool": tool, "decibel": value} | common
            )
    text = page.write(tmp_path, tmp_path / "l.jsonl", tmp_path, "Written by a test.").read_text()
    assert "`sagd` is best or within 0.2 dB in 1 of 2 cases (50 %)" in text
    assert (
        "further than 1 dB behind in 1, of which 0 were left as they were or came out worse: a, rain, weak: 2.0 dB."
        in text
    )
    assert "| made | rain | weak | 20.0 | 25.0 | 40.0 | **27.0** |" in text


def test_cases_have_names_of_their_own_and_pictures_are_grey(tmp_path):
    cases = list(all_cases(tmp_path))
    assert len({case.key for case in cases}) == len(cases) == 180
    assert picture("brick").shape == (320, 320)
    clean, damaged = cases[0].make()
    assert np.array_equal(damaged, np.round(damaged))
    assert decibel(clean, damaged, 255.0) == pytest.approx(-20 * np.log10(0.05 / 2), abs=1.5)
    assert similarity(clean, clean, 255.0) == pytest.approx(1)
    assert set(TOOLS) > {"sagd", "pystripe", "iirnotch", "bound"}


@pytest.mark.parametrize("kind", [*drawn.FOR_IMAGES, *drawn.FOR_RECORDS])
def test_damage_has_the_level_that_is_asked_for(kind):
    """In dB over noise of unit power, before it is clipped; single images are whole grey levels."""
    g = np.random.default_rng(0)
    shape = (1, 1, 96, 128) if kind in drawn.FOR_IMAGES else (1, 1, 4096)
    clean = torch.from_numpy(g.normal(size=shape)).float() * (8 if len(shape) == 4 else 1)
    clean = (clean + 128).round() if len(shape) == 4 else clean
    y, n, text = drawn.damaged(clean, kind, 6.0, g)
    assert drawn.level(clean, n) == pytest.approx(6, abs=1.0 if kind == "rain" else 0.6)
    torch.testing.assert_close(y - clean, n)
    assert Corruption.parse(text)
    assert len(shape) == 3 or torch.equal(y, y.round())


def test_weights_have_the_signs_that_they_mean():
    """What is content for being locked is no likelier damage for being strong, and the other way round."""
    g = np.random.default_rng(0)
    names = ["one", "excess", "locked", "narrow"]
    y = g.random(400) < 0.5
    x = np.stack([np.ones(400), -1.0 * y + g.normal(size=400), -1.0 * y + g.normal(size=400), g.normal(size=400)], 1)
    found = detection._regression(x, y, names, ("narrow",), {})
    assert set(found) == {"one", "locked"}
    assert found["locked"] < 0
    least = detection._regression(x, y, names, (), {"excess": 2.0})
    assert least["excess"] == pytest.approx(2, abs=0.01)


def test_the_page_of_detection_counts_prints_apart():
    line = {"half": "judge", "seed": 0, "text": None, "shape": [1, 1, 9, 9], "as": "spots", "true": 0.0}
    short = [line | {"kind": k, "damage": None, "db": None, "false": 0.995} for k in ("halftone prints", "noise")]
    short.append(line | {"kind": "noise", "damage": "hum", "db": 7.0, "false": 0.0, "true": 0.999})
    text = detection.page(short, "about")
    assert "False starts: 1 of 1" in text
    assert "In 1 of 1 halftone prints" in text
    assert "| 6 to 10 dB | 1 of 1" in text
