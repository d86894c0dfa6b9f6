"""A comparison from start to end: matched arms, results that say what was run, and work that is never done twice."""

import dataclasses
import importlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sagd.build.objects import build_process
from sagd.build.schema import CompareConfig, ProcessConfig
from sagd.build.text import dump_yaml, load_yaml, to_dict
from sagd.data.config import DataConfig
from sagd.data.images import to_unit_range
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.errors import InputError
from sagd.interrupt import Interrupted
from sagd.store.files import write_directory
from sagd.store.folder import claim
from sagd.study.compare import compare
from sagd.study.evaluation import figures
from sagd.study.summary import HEADLINE, family
from sagd.training.fit import Fit

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="session")
def config(comparison):
    return comparison


# The package has a function of this name, which hides it.
MODULE = importlib.import_module("sagd.study.compare")


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished comparison that a test may change."""
    return shutil.copytree(finished.out, tmp_path / "copy")


def directory(fit):
    """That of the run of a fit."""
    return str(fit.callbacks[-1]._run)


@pytest.fixture
def steps(monkeypatch):
    """Every optimiser step taken, as (directory of the run, step)."""
    taken, advance = [], Fit.advance

    def counted(self):
        taken.append((directory(self), self.step + 1))
        return advance(self)

    monkeypatch.setattr(Fit, "advance", counted)
    return taken


def stamps(out):
    """What every run's evaluation file holds and when it was written."""
    return {
        str(path.parent.parent.relative_to(out)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in out.glob("*/*/evaluation/evaluation.json")
    }


def without_clock(results):
    """Results but for what a clock decided."""
    plain = json.loads(json.dumps(results))
    del plain["created"]
    for arm in plain["arms"].values():
        for run in arm["runs"]:
            del run["training"]["seconds"], run["training"]["items_per_second"]
    return plain


def test_results_are_what_was_written(finished):
    assert json.loads((finished.out / "results.json").read_text()) == json.loads(json.dumps(finished.results))
    assert load_yaml(CompareConfig, finished.out / "config.yaml") == finished.config
    assert finished.results["config"] == to_dict(finished.config)
    assert finished.results["reference_arm"] == "white"
    assert finished.results["data"] == {
        "name": "digits",
        "shape": [1, 8, 8],
        "count": 160,
        "classes": tuple("0123456789"),
        "meaning": to_dict(Meaning()),
    }


def test_every_arm_has_every_seed_and_its_evaluation(finished):
    for arm, process in finished.config.arms.items():
        entry = finished.results["arms"][arm]
        assert entry["process"] == to_dict(process)
        assert [run["seed"] for run in entry["runs"]] == [3, 5]
        for run in entry["runs"]:
            folder = finished.out / arm / f"seed-{run['seed']}" / "evaluation"
            assert run == json.loads((folder / "evaluation.json").read_text())
            assert run["evaluation"]["n"] == 70
            assert run["training"]["parameters"] > 100


def test_summary_is_over_seeds_and_difference_to_the_first_arm(finished):
    arms = finished.results["arms"]
    values = {arm: [figures(run["evaluation"])["frechet"] for run in arms[arm]["runs"]] for arm in arms}
    low = arms["low"]
    assert low["summary"]["frechet"]["mean"] == pytest.approx(sum(values["low"]) / 2)
    gaps = [a - b for a, b in zip(values["low"], values["white"], strict=True)]
    assert low["difference"]["frechet"]["mean"] == pytest.approx(sum(gaps) / 2)
    # With two values the half-width is t_0.975(1) = 12.7062 times half their distance.
    reach = 12.7062 * abs(gaps[0] - gaps[1]) / 2
    assert low["difference"]["frechet"]["high"] - low["difference"]["frechet"]["mean"] == pytest.approx(reach, rel=1e-5)
    assert arms["white"]["difference"] is None


def test_verdicts_are_tested_together(finished):
    """One arm beside the reference, by four figures; p-values are those of all of them."""
    assert finished.results["tests"] == {"method": "Holm", "level": 0.05, "figures": HEADLINE, "count": 4}
    arms = finished.results["arms"]
    assert arms["white"]["adjusted"] == {}
    values = {arm: {run["seed"]: figures(run["evaluation"]) for run in arms[arm]["runs"]} for arm in arms}
    assert arms["low"]["adjusted"] == family(values, "white").adjusted["low"]


def test_floors_are_shared(finished):
    """All arms and seeds are measured against the same two sets of real images."""
    floors = [figures(run["evaluation"], "floor") for arm in finished.results["arms"].values() for run in arm["runs"]]
    assert all(floor == finished.results["floors"] for floor in floors)


def test_arrays_are_what_the_report_needs(finished):
    arrays = load_file(finished.out / "arrays.safetensors")
    assert {value.dtype for value in arrays.values()} == {torch.float32}
    some = load(finished.config.data).some(64)
    images = some.tensor()
    assert torch.equal(arrays["data/images"], images)
    assert len(some.labels.unique()) > 5  # they stand for all classes
    assert arrays["profile/edges"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    levels = arrays["forward/levels"]
    assert (levels.diff() > 0).all()
    for arm, config in finished.config.arms.items():
        process = build_process(config, (1, 8, 8))
        # The same white draws in every arm, shaped by its own spectrum.
        white = process.covariance.whiten(arrays[f"{arm}/noise"])
        torch.testing.assert_close(white, arrays["white/noise"], atol=1e-5, rtol=0)
        level = float(levels[-1])
        expected = (images[0] + level * arrays[f"{arm}/noise"][0]) / (1 + level**2) ** 0.5
        torch.testing.assert_close(arrays[f"{arm}/forward"][-1], expected)
        saved = load_file(finished.out / arm / "seed-3" / "evaluation" / "samples.safetensors")["samples"]
        assert torch.equal(arrays[f"{arm}/samples"], to_unit_range(saved))
        assert arrays[f"{arm}/loss_steps"].tolist() == [2, 4]
    assert arrays["white/noise_profile"].tolist() == pytest.approx([1] * 5)
    # Noise of the tilt -0.2 falls with frequency.
    assert (arrays["low/noise_profile"].diff() < 0).all()


def test_arms_differ_in_nothing_but_their_noise(config, tmp_path, monkeypatch):
    """Initial weights, batches, times and white draws of training, and white draws of sampling, are equal."""
    from sagd.noise.covariance import base

    seen = {}
    advance, randn = Fit.advance, base.randn

    def record(kind, value):
        seen.setdefault(current[0], []).append((kind, value))

    def spied_advance(self):
        current[0] = str(self.averaged.process.covariance.label)
        if self.step == 0:
            record("weights", torch.cat([p.detach().flatten().clone() for p in self.parameters().values()]))
        record("batch", self.batches.indices(self.step + 1))
        return advance(self)

    def spied_randn(*args, **kwargs):
        draw = randn(*args, **kwargs)
        record("white", draw.clone())
        return draw

    current = ["before"]
    monkeypatch.setattr(Fit, "advance", spied_advance)
    monkeypatch.setattr(base, "randn", spied_randn)
    stochastic = dataclasses.replace(config.sampling, sampler="ddpm")
    # There is nothing to resume yet, which is no error.
    compare(dataclasses.replace(config, sampling=stochastic, seeds=(3,)), tmp_path / "out", resume=True)

    # What comes after the second arm's training is drawn for it, then for the pictures of the report.
    first, second = seen["flat"], seen["power_law(alpha=-0.2)"][: len(seen["flat"])]
    assert [kind for kind, _ in first] == [kind for kind, _ in second]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
    # Four batches and their noise; then a prior and one injected noise, for 70 samples at once.
    kinds = [kind for kind, _ in first]
    assert kinds == ["weights", *["batch", "white"] * 4, "white", "white"]
    assert [tuple(value.shape) for kind, value in first if kind == "white"][-2:] == [(70, 1, 8, 8)] * 2


def test_resuming_a_finished_comparison_does_nothing_again(finished, copy, steps):
    before = stamps(copy)
    again = compare(finished.config, copy, resume=True)
    assert stamps(copy) == before
    assert steps == []
    assert again["arms"] == finished.results["arms"]


def test_a_missing_evaluation_is_made_again_and_no_other(finished, copy, steps):
    before = stamps(copy)
    shutil.rmtree(copy / "low" / "seed-5" / "evaluation")
    again = compare(finished.config, copy, resume=True)
    after = stamps(copy)
    changed = {run for run in before if before[run] != after[run]}
    assert changed == {"low/seed-5"}
    assert after["low/seed-5"][0] == before["low/seed-5"][0]
    assert steps == []  # the model was there
    assert again["arms"] == finished.results["arms"]


def test_an_interrupted_comparison_goes_on_where_it_was(finished, tmp_path, monkeypatch, steps):
    """Ctrl-C in step 2 of the third run: two runs are kept, the third goes on, and the results are the same."""
    counted = Fit.advance

    def interrupted(self):
        if len(steps) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return counted(self)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "advance", interrupted)
        with pytest.raises(Interrupted, match="stopped by SIGINT; continue with resume=True"):
            compare(finished.config, out)
    before = stamps(out)
    assert set(before) == {"white/seed-3", "low/seed-3"}
    assert not (out / "results.json").exists()
    third = str(out / "white" / "seed-5")
    assert steps[8:] == [(third, 1), (third, 2)]

    steps.clear()
    results = compare(finished.config, out, resume=True)
    assert {run: stamp for run, stamp in stamps(out).items() if run in before} == before
    assert steps == [(third, 3), (third, 4), *((str(out / "low" / "seed-5"), step) for step in (1, 2, 3, 4))]
    assert without_clock(results) == without_clock(finished.results)


def test_an_evaluation_cut_short_is_made_on_resuming(config, tmp_path, monkeypatch, steps):
    """Ctrl-C while the second arm is measured: its model is kept."""
    evaluate, calls = MODULE.evaluate_samples, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args)

    one = dataclasses.replace(config, seeds=(3,))
    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "evaluate_samples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(one, tmp_path / "out")
    assert set(stamps(tmp_path / "out")) == {"white/seed-3"}
    steps.clear()
    compare(one, tmp_path / "out", resume=True)
    assert set(stamps(tmp_path / "out")) == {"white/seed-3", "low/seed-3"}
    assert steps == []


@pytest.mark.parametrize("added", ["arm", "seed"])
def test_arms_and_seeds_may_be_added(finished, copy, steps, added):
    before = stamps(copy)
    arms = finished.config.arms | {"high": ProcessConfig(spectrum="power_law(alpha=0.2)")}
    more = {"arm": {"arms": arms}, "seed": {"seeds": (*finished.config.seeds, 0)}}[added]
    results = compare(dataclasses.replace(finished.config, **more), copy, resume=True)
    assert before.items() <= stamps(copy).items()
    new = ["high/seed-3", "high/seed-5"] if added == "arm" else ["white/seed-0", "low/seed-0"]
    assert [run for run, step in steps if step == 1] == [str(copy / name) for name in new]
    assert [run["seed"] for run in results["arms"]["low"]["runs"]] == ([3, 5] if added == "arm" else [3, 5, 0])


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("training", {"steps": 6}, r"training\.steps is 6, but the comparison in '.*copy' was started with 4"),
        ("network", {"widths": (8, 8)}, r"network\.widths is \[8, 8\], but .* was started with \[4, 8\]"),
        ("data", {"limit": 170}, r"data\.limit is 170, but .* was started with 160"),
        ("sampling", {"steps": 3}, r"sampling\.steps is 3, but .* was started with 2"),
        ("evaluation", {"seed": 1}, r"evaluation\.seed is 1, but .* was started with 0"),
        ("denoiser", {"prediction": "v"}, r"denoiser\.prediction is 'v', but .* was started with 'eps'"),
    ],
)
def test_a_changed_setting_is_refused(finished, copy, change, steps, section, values, message):
    before = stamps(copy)
    with pytest.raises(InputError, match=f"{message}; give that to resume, or choose another out"):
        compare(change(finished.config, section, **values), copy, resume=True)
    assert stamps(copy) == before
    assert steps == []
    # Nor does the attempt change what is accepted afterwards.
    assert load_yaml(CompareConfig, copy / "config.yaml") == finished.config


def test_all_changed_settings_are_named(finished, copy, change):
    changed = change(change(finished.config, "sampling", steps=3), "data", limit=170)
    message = (
        r"^data\.limit is 170, sampling\.steps is 3, but .* was started with 160, 2; give those to resume, or choose"
    )
    with pytest.raises(InputError, match=message):
        compare(changed, copy, resume=True)


def test_a_changed_arm_is_refused(finished, copy):
    arms = finished.config.arms | {"low": ProcessConfig(spectrum="power_law(alpha=-0.3)")}
    with pytest.raises(
        InputError, match=r"arms\.low\.spectrum is 'power_law\(alpha=-0\.3\)', but .* 'power_law\(alpha=-0"
    ):
        compare(dataclasses.replace(finished.config, arms=arms), copy, resume=True)


def test_models_that_draw_no_whole_images_are_refused(config, change, tmp_path, steps):
    with pytest.raises(InputError, match="draw no whole images to compare; use 'random'"):
        compare(change(config, "denoiser", bands="ring(low=0.5)"), tmp_path / "out")
    assert steps == []


def test_a_finished_comparison_is_not_overwritten(finished, copy):
    with pytest.raises(InputError, match="is not empty; continue that run with resume=True, or choose another out"):
        compare(finished.config, copy)


@pytest.mark.parametrize("content", ["notes.txt", "config.yaml"])
def test_other_directories_are_not_taken_for_comparisons(config, tmp_path, content):
    (tmp_path / content).write_text("process: {spectrum: flat}\n")
    with pytest.raises(InputError, match=r"holds no comparison to resume.*; choose another out"):
        compare(config, tmp_path, resume=True)


BAD = [
    (
        "arms",
        {"a": ProcessConfig(), "b": ProcessConfig(schedule="rectified")},
        "arm 'b': eps prediction cannot start at",
    ),
    (
        "arms",
        {"a": ProcessConfig(), "b": ProcessConfig(spectrum="power(alpha=1)")},
        "arm 'b': unknown spectrum 'power'",
    ),
    ("arms", {"a": ProcessConfig(), "b": ProcessConfig(spectrum="band_pass(inside=0)")}, "arm 'b': .*zero"),
    ("arms", {"a": ProcessConfig(), "../b": ProcessConfig()}, r"arm name '\.\./b' names a directory: use letters"),
    ("arms", {"a": ProcessConfig(), "": ProcessConfig()}, "arm name '' names a directory"),
    ("arms", {"a": ProcessConfig(), "Aux": ProcessConfig()}, "arm name 'Aux' .* Windows cannot have; try 'Aux_arm'"),
    ("arms", {}, r"arms is empty; name at least one forward process"),
    ("seeds", (), r"seeds must be whole numbers from 0, all different, got \[\]"),
    ("seeds", (1, 1), r"seeds must be whole numbers from 0, all different, got \[1, 1\]"),
    ("seeds", (0, -1), r"seeds must be whole numbers from 0, all different, got \[0, -1\]"),
    ("network", {"widths": (4, 4, 4, 4, 4)}, "network.widths has 5 levels, which need sides of at least 16, got 8x8"),
    ("training", {"lr": 0.0}, "training.lr must be positive"),
    ("sampling", {"sampler": "huen"}, "unknown sampler 'huen'; did you mean 'heun'"),
    ("sampling", {"grid": "karras(rho=0)"}, "karras rho must be positive"),
    ("sampling", {"guidance": 2.0}, r"guidance 2\.0 needs a conditional model"),
    ("evaluation", {"samples": 2}, r"evaluation\.samples must be at least 4, got 2"),
    ("evaluation", {"features": "x.pt"}, r"evaluation\.features 'x\.pt' needs evaluation\.features_sha256"),
    ("data", {"limit": 6}, "need at least 8 reference images, got 6"),
]


@pytest.mark.parametrize(("section", "values", "message"), BAD)
def test_what_cannot_work_fails_before_any_training(config, change, tmp_path, steps, section, values, message):
    whole = section in ("arms", "seeds")
    bad = dataclasses.replace(config, **{section: values}) if whole else change(config, section, **values)
    with pytest.raises(InputError, match=message) as error:
        compare(bad, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert steps == []


def test_after_a_refusal_the_same_directory_can_be_used(config, change, tmp_path):
    with pytest.raises(InputError, match="needs evaluation"):
        compare(change(config, "evaluation", features="x.pt"), tmp_path / "out")
    compare(dataclasses.replace(config, seeds=(3,), arms={"white": ProcessConfig()}), tmp_path / "out")


def test_two_arms_of_one_name_are_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("arms:\n  white: {spectrum: flat}\n  white: {spectrum: power_law(alpha=1)}\n")
    with pytest.raises(InputError, match="key 'white' is repeated"):
        load_yaml(CompareConfig, path)


def test_images_without_labels_are_refused_before_training(config, tmp_path, steps):
    evaluation = dataclasses.replace(config.evaluation, features="classifier")
    plain = dataclasses.replace(config, data=DataConfig(limit=160, label_column="none"), evaluation=evaluation)
    with pytest.raises(InputError, match="'digits' has no labels for the feature classifier"):
        compare(plain, tmp_path / "out")
    assert steps == []


def test_a_comparison_that_is_running_is_left_alone(finished, copy):
    with claim(copy, empty=False), pytest.raises(InputError, match=r"another run \(process \d+\) is writing in"):
        compare(finished.config, copy, resume=True)


def test_no_bars_without_a_terminal(finished):
    assert finished.stderr == ""


def test_the_written_configuration_is_whole_or_absent(finished, copy, monkeypatch):
    """A disk that fills while it is written leaves the old one."""

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        compare(dataclasses.replace(finished.config, seeds=(3,)), copy, resume=True)
    assert load_yaml(CompareConfig, copy / "config.yaml") == finished.config


def test_likelihoods_of_arms(config, tmp_path):
    """Beside each arm's figures; an arm whose model would have no density is refused before anything is trained."""
    evaluation = dataclasses.replace(config.evaluation, likelihood=2, likelihood_steps=1)
    config = dataclasses.replace(config, seeds=(3,), arms={"white": ProcessConfig()}, evaluation=evaluation)
    (run,) = compare(config, tmp_path / "out")["arms"]["white"]["runs"]
    assert run["evaluation"]["likelihood"]["n"] == 2
    band = dataclasses.replace(config, arms={"band": ProcessConfig(spectrum="band_stop(low=0.5, high=0.7)")})
    with pytest.raises(InputError, match=r"arm 'band': evaluation.likelihood is 2, but .* no density; set it to 0"):
        compare(band, tmp_path / "band")


@pytest.mark.parametrize("name", ["evaluation.json", "samples.safetensors", "manifest.json"])
def test_a_damaged_evaluation_is_refused_with_the_cure(copy, config, name, steps):
    """Also where no reader would notice: one bit of a number. What the line says helps."""
    run = copy / "white" / "seed-3"
    content = bytearray((run / "evaluation" / name).read_bytes())
    at = content.index(b"0.") + 2 if name == "evaluation.json" else len(content) - 8
    content[at] ^= 1
    (run / "evaluation" / name).write_bytes(content)
    with pytest.raises(InputError, match=r"damaged.*; remove '.*evaluation' to measure that arm again$") as refused:
        compare(config, copy, resume=True)
    assert "\n" not in str(refused.value)
    shutil.rmtree(run / "evaluation")
    compare(config, copy, resume=True)
    assert steps == []


@pytest.mark.parametrize("content", [b"[]", b"{}"])
def test_an_evaluation_that_is_something_else_is_refused(copy, config, content):
    folder = copy / "white" / "seed-3" / "evaluation"
    write_directory(folder, [("evaluation.json", content), ("samples.safetensors", b"x")])
    with pytest.raises(InputError, match=r"holds no result; remove '.*evaluation' to measure that arm again"):
        compare(config, copy, resume=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[1]\n", "holds no metrics; remove the run to train it again"), (b"", "holds no metrics; .*it is empty")],
)
def test_metrics_that_hold_none_are_refused(copy, config, content, message):
    shutil.rmtree(copy / "white" / "seed-3" / "evaluation")
    (copy / "white" / "seed-3" / "metrics.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message):
        compare(config, copy, resume=True)


def _arm_bases(arms, data, out=Path("none")):
    config = MODULE._in_one_basis(CompareConfig(arms=arms), out, data)
    return [arm.basis for arm in config.arms.values()]


def test_arms_share_the_basis_that_all_can_have(data):
    white, low, oblique = (
        ProcessConfig(spectrum=text) for text in ("flat", "power_law(alpha=-0.2)", "oriented(angle=30, width=20)")
    )
    wavelet = ProcessConfig(basis="wavelet(name='haar')")
    assert _arm_bases({"white": white, "low": low, "own": wavelet}, data) == ["cosine", "cosine", wavelet.basis]
    assert _arm_bases({"white": white, "oblique": oblique}, data) == ["fourier", "fourier"]


def test_added_arms_have_the_basis_of_the_others(data, tmp_path):
    dump_yaml(CompareConfig(arms={"white": ProcessConfig(basis="fourier")}), tmp_path / "config.yaml")
    arms = {"white": ProcessConfig(), "low": ProcessConfig(spectrum="power_law(alpha=-0.2)")}
    assert _arm_bases(arms, data, tmp_path) == ["fourier", "fourier"]


def test_known_arms_keep_their_own_basis_each(data, tmp_path):
    before = {"a": ProcessConfig(basis="cosine"), "b": ProcessConfig(basis="fourier")}
    dump_yaml(CompareConfig(arms=before), tmp_path / "config.yaml")
    arms = {"new": ProcessConfig(), "b": ProcessConfig(), "a": ProcessConfig(), "own": ProcessConfig(basis="cosine")}
    assert _arm_bases(arms, data, tmp_path) == ["fourier", "fourier", "cosine", "cosine"]
