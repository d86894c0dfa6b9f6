"""The study of designs runs to its end on tiny inputs; what it finds is no test's business."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.noise.statistics import measure
from sagd.study.racing import field_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def design(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import benchmarks.design.__main__  # noqa: F401
    from benchmarks import design

    return design


def study(design, folder, *options):
    paths = ("--data", folder / "raw", "--out", folder / "results", "--work", folder / "work")
    design.__main__.main(["--scale", "tiny", *map(str, paths), *options])
    lines = (folder / "results" / "tiny.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], (folder / "results" / "tiny.md").read_text()


@pytest.mark.filterwarnings("ignore:the Fréchet distance")
def test_it_goes_on_by_arm_and_ends_with_its_page(design, tmp_path):
    first, page = study(design, tmp_path, "--arms", "white, wiener", "--seeds", "0")
    assert [(line["data"], line["arm"], line["seed"]) for line in first] == [("velocity", "white, wiener", 0)]
    assert "Not" not in page.splitlines()[0]
    both, page = study(design, tmp_path, "--arms", "white, wiener", "flow, coupled")
    assert both[0] == first[0]
    assert [(line["arm"], line["seed"]) for line in both[1:]] == [
        ("flow, coupled", 0),
        ("white, wiener", 1),
        ("flow, coupled", 1),
    ]
    for line in both:
        assert {"floor", "training_data", "seconds", "process"} <= line.keys()
        assert all(set(of) == {"2", "4"} for of in line["drawn"].values())
        for drawn in line["drawn"].values():
            assert drawn["4"]["taken"] in (3, 4)
            assert drawn["4"]["finite"]
    assert "| *white, best* |" in page
    assert "### Error of the spectrum over 16 rings, dB, over that of white noise at its best" in page
    assert " to " in page.split("over that of white")[1]


def test_the_page_of_what_is_expected_is_of_its_results(design):
    from benchmarks import records
    from benchmarks.design import expected

    assert (expected.RESULTS / "expected.md").read_text() == expected.page(
        records.read(expected.RESULTS / "expected.jsonl")
    )


def test_the_page_of_races_is_of_its_results(design):
    from benchmarks import records
    from benchmarks.design import racing

    assert (racing.RESULTS / "racing.md").read_text() == racing.page(records.read(racing.RESULTS / "racing.jsonl"))


def test_a_race_in_which_none_drops_out(design, tmp_path, monkeypatch):
    """Of two of its candidates."""
    from benchmarks import records
    from benchmarks.design import racing, run

    monkeypatch.setattr(run, "SCALES", {"trial": run.Scale(4, 8, (0,), batch=4, count=160, widths=(4, 8))})
    monkeypatch.setattr(racing, "field_of", lambda found: field_of(found)[::5])
    args = ["--sets", "velocity", "--data", str(tmp_path), "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    racing.main(args)
    lines = records.read(tmp_path / "racing.jsonl")
    assert [(line["exponent"], line["prediction"]) for line in lines] == [
        (0.0, "wiener"),
        (1.0, "wiener(exponent=0.5)"),
    ]
    assert [one["steps"] for one in lines[0]["judged"]] == [1, 2, 4]
    assert all(line["held_out"]["score"] >= 1 for line in lines)
    assert "## What halving chooses" in (tmp_path / "racing.md").read_text()


def test_what_a_design_says_that_networks_add_is_of_the_results(design):
    from benchmarks import records
    from benchmarks.design import expected

    from sagd.designs.search import ADDED_DB

    errors = expected.added(records.read(expected.RESULTS / "expected.jsonl")).values()
    assert (round(min(errors), 1), round(max(errors), 1)) == ADDED_DB


def test_heuns_method_is_further_off_in_few_evaluations_by_the_results():
    """As `sagd design`, its page and docs/where.md say; arms that are one network count once."""
    from sagd.designs.search import FEW

    cases = set()
    for line in map(json.loads, (ROOT / "benchmarks/design/results/trial.jsonl").read_text().splitlines()):
        heun, solver = (line["drawn"].get(f"{sampler}, found") for sampler in ("heun", "dpm_solver"))
        for n in (n for n in heun or () if int(n) <= FEW):
            cases.add((line["data"], line["seed"], n, heun[n]["frechet"], solver[n]["frechet"]))
    assert len(cases) == 102
    assert sum(heun > solver for *_, heun, solver in cases) == 100


def test_a_design_is_an_arm(design, tmp_path):
    folder = tmp_path / "designs" / "velocity"
    folder.mkdir(parents=True)
    (folder / "design.yaml").write_text(
        "process: {spectrum: flicker(eta=2)}\ndenoiser: {prediction: edm}\nsampling: {sampler: heun, grid: karras}\n"
    )
    lines, _ = study(design, tmp_path, "--designs", str(tmp_path / "designs"), "--arms", "design", "--seeds", "0")
    (line,) = lines
    assert (line["arm"], line["group"], list(line["drawn"])) == (
        "design",
        "design",
        ["heun, found", "dpm_solver, found"],
    )
    assert (line["process"]["spectrum"], line["denoiser"]["prediction"]) == ("flicker(eta=2)", "edm")


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 64)])
def test_every_arm_can_be_built(design, shape):
    from benchmarks.design.arms import ARMS

    statistics = measure(torch.randn(40, *shape, generator=torch.Generator().manual_seed(0)).cumsum(-1))
    for arm in ARMS.values():
        assert build_process(arm.process, shape, statistics).shape == shape


@pytest.mark.parametrize(("evaluations", "steps", "taken"), [(4, 2, 3), (6, 3, 5), (9, 5, 9), (10, 5, 9), (35, 18, 35)])
def test_heun_takes_at_most_so_many_evaluations(design, evaluations, steps, taken):
    from benchmarks.design.arms import Way

    assert (Way().steps(evaluations), Way().taken(evaluations)) == (steps, taken)
    assert Way("dpm_solver").steps(evaluations) == Way("ddim(eta=0)").taken(evaluations) == evaluations


def test_published_equal_snr_has_the_mean_snr_of_white_noise():
    """`mean_f S / w^2 = mean_f S` with `w^2 = S / mean S`, at any level."""
    x = torch.randn(500, 1, 8, 8, generator=torch.Generator().manual_seed(1)).cumsum(-1)
    statistics = measure(x)
    process = build_process(ProcessConfig(spectrum="whitening", basis="fourier"), (1, 8, 8), statistics)
    power = process.covariance.power_spectrum(statistics.basis)
    ratio, m = statistics.spectrum / power, statistics.basis.multiplicity()
    assert ratio.max() == pytest.approx(ratio.min())
    assert ratio.mean().item() == pytest.approx(((statistics.spectrum * m).sum() / m.sum()).item())


def test_turbulence_has_its_parts(design, tmp_path):
    from benchmarks.design.data import prepare

    prepare("stream", tmp_path / "raw", tmp_path / "stream", 8)
    train, held_out = (np.load(tmp_path / "stream" / f"{part}.npy") for part in ("train", "held-out"))
    assert train.shape == held_out.shape == (8, 32, 32)
    assert not np.allclose(train, held_out)
