"""The benchmarks run to their end and write what they say; how fast they are is no test's business."""

import dataclasses
import hashlib
import io
import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from sagd.build.catalogue import catalogue
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Ring

ROOT = Path(__file__).parents[1]


@pytest.fixture
def timing(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.speed import timing

    return timing


@pytest.fixture
def speed(timing):
    from benchmarks.speed.__main__ import main

    return main


LIMITS = {
    "noise": [2.5, 1, 1, 1],
    "spectra": [1.05],
    "bases": [1, 1],
    "dense": [],
    "sampling": [1.15],
    "training": [1.03, 1],
    "peers": [1, 1 / 1.2],
    "memory": [],
    "startup": [1],
    "waiting": 6 * [0.05],
}


def test_all_studies_run_and_state_every_demand(speed, tmp_path, capsys, monkeypatch):
    from benchmarks.speed import memory, waiting

    # A process starts in seconds, so that one is measured for all; the study `peers` takes the same steps of each.
    mib = memory.memory(memory.QUICK[0], "sagd")
    monkeypatch.setattr(memory, "memory", lambda *_: mib)
    monkeypatch.setattr(waiting, "BLOCK", 2)
    speed(["--quick", "--out", str(tmp_path)])
    assert {path.stem for path in tmp_path.iterdir()} == {*LIMITS, "README", "overview"}
    printed, overview = capsys.readouterr().out, (tmp_path / "README.md").read_text()
    with Image.open(tmp_path / "overview.png") as picture:
        assert picture.width > 1500
    for study, limits in LIMITS.items():
        results = json.loads((tmp_path / f"{study}.json").read_text())
        page = (tmp_path / f"{study}.md").read_text()
        assert {"machine", "versions", study} == set(results)
        assert {"torch", "diffusers", "sagd"} <= set(results["versions"])
        demands = results[study]["demands"]
        assert [demand["limit"] for demand in demands] == limits
        for demand in demands:
            assert f"| {demand['text']} |" in page
            assert f"| {demand['text']} |" in printed
            assert f"| {demand['text']} |" in overview
            # Of any sign: growth measured in a moment on a busy machine may come out negative.
            assert math.isfinite(demand["measured"]["median"])


def test_named_studies_alone(speed, tmp_path):
    speed(["dense", "startup", "--quick", "--out", str(tmp_path / "new")])
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"dense.json", "dense.md", "startup.json", "startup.md", "README.md"}


def test_the_committed_overview_is_of_the_committed_results(timing, tmp_path):
    from benchmarks.speed import overview

    results = ROOT / "benchmarks" / "speed" / "results"
    for path in results.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert overview.write(tmp_path).read_text() == (results / "README.md").read_text()


def test_every_kind_of_spectrum_is_drawn(timing):
    """A kind that joins the library joins the study."""
    from benchmarks.speed.spectra import CLASSES, MORE

    def kinds(spectrum):
        return {spectrum.kind}.union(*(kinds(part) for part in spectrum.parts))

    entries = [entry for entry in (*catalogue((3, 8, 8), CLASSES), *MORE) if entry.process.basis == "auto"]
    drawn = set().union(*(kinds(Spectrum.parse(entry.process.spectrum)) for entry in entries))
    of_damage = {"outside"} | {k for k in Spectrum.kinds() if Spectrum._members[k].__module__ == Ring.__module__}
    ours = {name for name in Spectrum.kinds() if name not in of_damage}
    # Whitening becomes a table once it is resolved, and frequencies in units are those of the spectrum within.
    assert drawn | {"tabulated", "physical"} == ours


def test_every_action_is_timed_once_a_round(timing):
    calls = []
    actions = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = timing.alternate(actions, rounds=4, warmup=2)
    assert [sorted(calls[i : i + 3]) for i in range(0, 18, 3)] == [["a", "b", "c"]] * 6
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 4, "b": 4, "c": 4}


def test_ratio_is_taken_within_rounds(timing):
    """A drift of the whole machine, which the quotient of the medians would not survive, leaves it exact."""
    drift = np.array([1.0, 50.0, 2.0, 9.0, 1.0, 4.0, 30.0])
    summary = timing.ratio({"a": 3 * drift, "b": drift}, "a", "b")
    assert (summary.median, summary.low, summary.high) == pytest.approx((3, 3, 3))


def test_slowest_is_found_and_measured_in_different_rounds(timing):
    """One chance outlier makes `b` the slowest where it is looked for, and is left out where it is measured."""
    times = {"a": np.array([2.0, 2.0, 2.0, 2.0]), "b": np.array([9.0, 1.0, 9.0, 1.0]), "c": np.ones(4)}
    name, over = timing.slowest(times, ["a", "b"], "c")
    assert (name, over.median, over.rounds) == ("b", 1, 2)


def test_interval_of_the_median(timing):
    """Of ten values the sign test's 95 % interval is from the second to the ninth: 1 - 2 * 11/1024 = 97.9 %."""
    summary = timing.Summary.of(range(1, 11))
    assert (summary.median, summary.low, summary.high) == (5.5, 2, 9)
    assert timing.Summary.of([1.0, 2.0]).low is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.8, 1.0, "met"), (1.01, 1.2, "not met"), (0.9, 1.1, "undecided"), (None, None, "undecided")],
)
def test_verdict_needs_the_whole_interval(timing, low, high, verdict):
    measured = timing.Summary(0.95, low, high, 0.9, 1.0, rounds=10)
    assert timing.Demand("some cost", measured, limit=1.0).verdict == verdict


@pytest.fixture(scope="session")
def features(tmp_path_factory):
    """Classifiers that are trained once."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def work(tmp_path, features):
    """Where benchmarks keep their runs, an own one, and features, which are the same whoever trains them."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "features").symlink_to(features)
    return tmp_path / "work"


def narrow(configuration):
    """What it gives with a narrower network and smaller batches."""

    def narrowed(*args):
        config = configuration(*args)
        network = dataclasses.replace(config.network, widths=(4, 8))
        return dataclasses.replace(config, network=network, training=dataclasses.replace(config.training, batch_size=8))

    return narrowed


@pytest.fixture
def omission(monkeypatch):
    """The command, of which scale `quick` is made quicker still."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.omission import __main__ as command
    from benchmarks.omission import cifar, cleaned_laps, detection, laps, mnist, oracle, restoring, solvers

    smaller = dataclasses.replace(
        mnist.SCALES["quick"], images=100, batch_size=8, widths=(4, 8), sampling_steps=2, samples=70, reference=70
    )
    monkeypatch.setitem(mnist.SCALES, "quick", smaller)
    monkeypatch.setitem(cifar.SCALES, "quick", cifar.Scale(100, 2, 8, (4, 8), 8))
    monkeypatch.setitem(cleaned_laps.IMAGES, "quick", 90)
    monkeypatch.setitem(cleaned_laps.RESTORED, "quick", 4)
    monkeypatch.setitem(laps.IMAGES, "quick", 90)
    # Every source once.
    study, sets = detection.study, len(detection.SOURCES)
    monkeypatch.setattr(detection, "study", lambda data, out, **_: study(data, out, sets))
    for module in (oracle, restoring, solvers):
        monkeypatch.setattr(module, "_configuration", narrow(module._configuration))
    return command


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Random images in the files and shapes of MNIST and CIFAR-10."""
    folder, g = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for name, shape, count in (("mnist", (28, 28), 160), ("cifar10", (32, 32, 3), 240)):
        for split in ("train", "test"):
            images = []
            for pixels in g.integers(0, 256, (count, *shape), dtype=np.uint8):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG")
                images.append({"bytes": buffer.getvalue()})
            labels = [i % 10 for i in range(count)]
            table = pyarrow.table({"image": images, "label": labels})
            pyarrow.parquet.write_table(table, folder / f"{name}-{split}.parquet")
    return folder


def test_leaving_a_band_out_on_mnist_goes_on_after_a_kill(omission, tables, work, tmp_path, monkeypatch, capsys):
    """Quick runs of two bands; the first try is cut short in the middle of a line."""
    from benchmarks import records
    from benchmarks.omission import mnist

    args = [
        "mnist",
        "--data",
        str(tables),
        "--scale",
        "quick",
        "--out",
        str(tmp_path),
        "--work",
        str(work),
    ]
    run = mnist.Bench.run
    calls = []

    def killed(self, key):
        calls.append(key)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(self, key)

    monkeypatch.setattr(mnist.Bench, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        omission.main([*args, "--bands", "0.1"])
    path = tmp_path / "mnist-quick.jsonl"
    before = path.read_text()
    path.write_text(before + '{"arm": "project", "ba')
    omission.main([*args, "--bands", "0.1"])
    assert len(calls) == 3 + 4
    lines = records.read(path)
    assert path.read_text().startswith(before)
    assert [line["arm"] for line in lines] == list(mnist.ARMS)
    assert all(np.isfinite(line["frechet"]) for line in lines)
    assert lines[3]["restored"]["damage_over_signal"] > 0
    page = (tmp_path / "mnist-quick.md").read_text()
    assert "| 0.1 to 0.2 * | 1 |" in page
    assert f"wrote {tmp_path / 'mnist-quick.md'}" in capsys.readouterr().out


def test_leaving_a_band_out_under_damage_as_in_life(omission, tables, work, tmp_path, monkeypatch):
    """Two kinds of damage through all arms; all are drawn, and leave something to go by."""
    from benchmarks import records
    from benchmarks.omission import life

    basis = FourierBasis((28, 28))
    for damage in life.DAMAGE:
        key = life.Key("fill", damage, 0)
        assert life.damage_of(key, torch.zeros(3, 1, 28, 28)).std() > 0.01
        assert 0.5 < mask(life.band_of(key), basis).sum() < basis.radius().numel() / 2
    monkeypatch.setattr(life, "DAMAGE", {name: life.DAMAGE[name] for name in ("moire", "rain")})
    args = ["life", "--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(work)]
    omission.main(args)
    lines = records.read(tmp_path / "life-quick.jsonl")
    assert [(x["damage"], x["arm"]) for x in lines] == [
        (None, "clean"),
        *((damage, arm) for damage in life.DAMAGE for arm in life.ARMS[1:]),
    ]
    # What is drawn is damage, and files of 8 bits hold it, images of half the contrast without clipping.
    key = life.Key("fill", "moire", 0)
    y = life.damage_of(key, torch.zeros(3, 1, 28, 28))
    values = (y / 2 + 1) * 127.5
    torch.testing.assert_close(values, values.round(), atol=1e-3, rtol=0)
    assert values.min() > 0
    assert not torch.equal(y[0], y[1])
    page = (tmp_path / "life-quick.md").read_text()
    assert "| rain | 1 |" in page


def test_laps_of_images_that_lack_frequencies_of_their_own(omission, tables, work, tmp_path):
    from benchmarks import records

    args = ["laps", "--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(work)]
    omission.main(args)
    lines = records.read(tmp_path / "laps-quick.jsonl")
    assert [x["arm"] for x in lines][:3] == ["clean", "filled", "lap 1"]
    assert 0.8 < lines[2]["power_over_clean"] < 1.2
    omission.main(args)
    assert records.read(tmp_path / "laps-quick.jsonl") == lines
    assert "| lap 1 |" in (tmp_path / "laps-quick.md").read_text()


def test_laps_from_cleaned_images(omission, tables, work, tmp_path):
    from benchmarks import records

    args = ["--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(work)]
    omission.main(["cleaned-laps", *args, "--damages", "stripes"])
    lines = records.read(tmp_path / "cleaned-laps-quick.jsonl")
    assert [x["arm"] for x in lines][:5] == ["clean", "corrupted", "cleaned", "oracle", "lap 1"]
    assert lines[0]["powers"]["stripes"] > 0
    assert set(lines[4]["restored"]) == {"damaged", "cleaned", "wiener", "network"}
    assert lines[4]["restored"]["wiener"] > lines[4]["restored"]["damaged"]
    omission.main(["cleaned-laps", *args, "--damages", "stripes"])
    assert records.read(tmp_path / "cleaned-laps-quick.jsonl") == lines
    assert "| mnist | stripes | 0 | 1 |" in (tmp_path / "cleaned-laps-quick.md").read_text()


def test_photographs_restored_by_models_of_damaged_ones(omission, tables, tmp_path):
    from benchmarks import records

    args = ["--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    args = ["restoring", *args, "--sets", "photographs", "--damages", "stripes"]
    omission.main(args)
    lines = records.read(tmp_path / "restoring-quick.jsonl")
    assert [(x["data"], x["damage"]) for x in lines] == [("photographs", "stripes")]
    errors = lines[0]["psnr"]
    assert errors["wiener"] > errors["damaged"]
    assert set(errors) == {"damaged", "cleaned", "wiener", "network"}
    omission.main(args)
    assert records.read(tmp_path / "restoring-quick.jsonl") == lines
    assert "| photographs (40) | stripes | 0 |" in (tmp_path / "restoring-quick.md").read_text()


def test_models_of_clean_images_restore_after_more_and_more_training(omission, tables, tmp_path):
    from benchmarks import records

    args = ["--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    args = ["oracle", *args, "--sets", "photographs", "--damages", "stripes"]
    omission.main(args)
    lines = records.read(tmp_path / "oracle-quick.jsonl")
    assert [x["steps"] for x in lines] == [4, 6]
    assert all(set(x["psnr"]) == {"damaged", "wiener", "network"} for x in lines)
    omission.main(args)
    assert records.read(tmp_path / "oracle-quick.jsonl") == lines
    omission.main([*args[:-1], "rain"])
    assert [x["steps"] for x in records.read(tmp_path / "oracle-quick.jsonl")] == [4, 6, 4, 6]
    page = (tmp_path / "oracle-quick.md").read_text()
    assert "| photographs | stripes |" in page
    assert "| photographs | rain |" in page


def test_solvers_run_to_their_end(omission, tables, tmp_path, monkeypatch):
    from benchmarks import records
    from benchmarks.omission import solvers

    monkeypatch.setattr(solvers, "WAYS", (("heun", 2), ("dpm_solver", 3)))
    args = ["--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    args = ["solvers", *args, "--sets", "mnist", "--damages", "stripes", "masks"]
    omission.main(args)
    lines = records.read(tmp_path / "solvers-quick.jsonl")
    assert [(x["damage"], x["sampler"]) for x in lines] == [
        (damage, sampler) for damage in ("stripes", "masks") for sampler in ("heun", "dpm_solver")
    ]
    omission.main(args)
    assert records.read(tmp_path / "solvers-quick.jsonl") == lines
    assert "| mnist | masks | heun | 2 |" in (tmp_path / "solvers-quick.md").read_text()
    with pytest.raises(SystemExit):
        omission.main(["restoring", "--data", str(tables), "--damages", "masks"])


def test_the_share_of_the_gap(omission):
    """Three seeds: clean 4, corrupted 24; fill halves the gap, by 0.4, 0.5 and 0.6 of it."""
    from benchmarks.omission import mnist, page

    restored = dict.fromkeys(
        ("frechet", "frechet_damaged", "frechet_removed", "psnr", "psnr_damaged", "psnr_removed", "unexplained"), 1.0
    ) | {"frechet_damaged": 11.0, "damage_over_signal": 9.0}
    lines = []
    for seed, fill in enumerate((16.0, 14.0, 12.0)):
        for arm in mnist.ARMS:
            value = {"clean": 4.0, "fill": fill}.get(arm, 24.0)
            band = None if arm == "clean" else [0.1, 0.2]
            line = {"arm": arm, "band": band, "seed": seed, "precision": "bf16", "frechet": value, "floor": 1.0}
            lines.append(line | ({"restored": restored} if arm in mnist.RESTORING else {}))
    text = page.mnist_page(lines, mnist.SCALES["cpu"], "about")
    # Student's quantile for three values is 4.303, their standard error 0.1 / sqrt(3).
    assert "| 0.1 to 0.2 | 3 | 4.00 | 24.00 | 24.00 | 14.00 | 24.00 | 24.00 | 50.0 ± 24.8 % | 0.0 ± 0.0 % |" in text
    assert "| 0.1 to 0.2 | 11.0 | 1.00 | 1.00 | 1.00 | 100.0 ± 0.0 % |" in text


def test_restoring_and_detecting_run_to_their_end(omission, tables, tmp_path):
    options = ["--data", str(tables), "--scale", "quick", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    omission.main(["cifar", *options])
    omission.main(["detection", *options])
    lines = [json.loads(line) for line in (tmp_path / "cifar-quick.jsonl").read_text().splitlines()]
    assert [line["corruption"] for line in lines] == ["rain", "moire", "scan_lines"]
    assert all(line["methods"].keys() == {"damaged", "notch", "wiener", "nl_means", "fill"} for line in lines)
    assert (tmp_path / "cifar-quick.md").read_text().count("scan_lines(level=0.4)") == 3
    found = json.loads((tmp_path / "detection.json").read_text())
    assert found["summary"]["recall"]["of"] == 7
    assert "| found |" in (tmp_path / "detection.md").read_text()


def test_committed_pages_are_of_the_committed_results(omission):
    """Every number of a page stands in its result file."""
    from benchmarks import records
    from benchmarks.omission import cifar, mnist, page

    results = ROOT / "benchmarks" / "omission" / "results"
    for path, text in (
        (results / "mnist-cpu.md", page.mnist_page(records.read(results / "mnist-cpu.jsonl"), mnist.SCALES["cpu"], "")),
        (results / "cifar-cpu.md", page.cifar_page(records.read(results / "cifar-cpu.jsonl"), cifar.SCALES["cpu"], "")),
        (results / "detection.md", page.detection_page(json.loads((results / "detection.json").read_text()), "")),
    ):
        tables = [line for line in text.splitlines() if line.startswith("|")]
        assert [line for line in path.read_text().splitlines() if line.startswith("|")] == tables


@pytest.fixture
def quality(monkeypatch, work, tmp_path):
    """`quality(study, *options)`: run the command on a few small runs."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality import __main__ as command

    def run(study, *options):
        folders = ["--out", str(tmp_path / "results"), "--work", str(work)]
        command.main([study, "--scale", "quick", *folders, *map(str, options)])
        return tmp_path / "results"

    return run


ARMS = ("white", "as published, -0.1", "shape alone, -0.1")


def test_a_study_goes_on_after_a_kill_and_ends_with_its_page(quality, tmp_path, monkeypatch, capsys):
    """The first try is killed in its third run, between two checkpoints, and a line is cut short."""
    from benchmarks import records
    from benchmarks.quality import run as runs

    train, calls = runs.train, []

    def killed(config, folder, **options):
        calls.append((folder.name, options["resume"]))
        if len(calls) == 3:
            half = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=6))
            train(half, folder, **options)
            raise KeyboardInterrupt
        return train(config, folder, **options)

    monkeypatch.setattr(runs, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        quality("alpha", "--arms", *ARMS)
    path = tmp_path / "results" / "alpha-quick.jsonl"
    before = path.read_text()
    assert before.count("\n") == 2
    path.write_text(before + '{"arm": "shape al')
    results = quality("alpha", "--arms", *ARMS)
    assert calls[3] == (calls[2][0], True)  # goes on in the folder of the run that was killed
    assert len(calls) == 3 + 4
    assert path.read_text().startswith(before)
    lines = records.read(path)
    assert [(line["arm"], line["seed"]) for line in lines] == [(arm, seed) for seed in (0, 1) for arm in ARMS]
    for line in lines:
        (found,) = line["evaluations"].values()
        assert found.keys() == line["floor"].keys() == {"classifier", "spectral"}
        assert all(np.isfinite(v) for v in found["classifier"].values())
    page = (results / "alpha-quick.md").read_text()
    assert "| shape alone, -0.1 | 2 |" in page
    for name in re.findall(r"\]\((.*?\.png)\)", page):
        with Image.open(results / name) as picture:
            assert picture.width > 500
    assert f"wrote {results / 'alpha-quick.md'}" in capsys.readouterr().out
    quality("alpha", "--arms", *ARMS)
    assert len(calls) == 7  # nothing is left to do


@pytest.mark.parametrize(
    ("study", "arms", "seed_count"),
    [
        ("steps", ["white", "coarse_to_fine"], 1),
        ("parameterisation", ["wiener, white, matched", "wiener, tilted, matched"], 2),
        ("curves", ["white", "low tilt"], 1),
        ("dropin", ["diffusers, white", "diffusers, tilt -0.1"], 1),
        ("bands", ["white", "gamma 0.1"], 1),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_every_study_runs_to_its_end(quality, study, arms, seed_count):
    results = quality(study, "--arms", *arms, "--seeds", *range(seed_count))
    page = (results / f"{study}-quick.md").read_text()
    assert all(f"| {arm} |" in page for arm in arms)
    assert ("one seed" in page) == (seed_count == 1)
    assert "| *floor* |" in page


@pytest.mark.usefixtures("undrawn")
def test_two_processes_give_what_one_does(quality, tmp_path):
    arms = ("--arms", "white", "gamma 0.9", "--seeds", 0)
    lines = [json.loads(line) for line in (quality("bands", *arms) / "bands-quick.jsonl").read_text().splitlines()]
    (tmp_path / "results" / "bands-quick.jsonl").unlink()
    again = (quality("bands", *arms, "--processes", 2) / "bands-quick.jsonl").read_text().splitlines()
    by_arm = {line["arm"]: line for line in map(json.loads, again)}
    for line in lines:
        assert by_arm[line["arm"]]["evaluations"] == line["evaluations"]


def test_a_low_band_is_overwritten(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality.run import overwritten

    from sagd.data.signals import Signals

    x = (torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5) / 2
    y = overwritten(Signals("x", x), 0.3, 0).tensor()
    f = np.hypot(np.fft.fftfreq(8)[:, None], np.fft.fftfreq(8)) / np.sqrt(0.5) < 0.3
    before, after = (np.fft.fft2(v.double().numpy()) for v in (x, y))
    assert np.abs(after - before)[..., ~f].max() < 1e-5
    # Independent of what was there: 200 x 3 x 5 complex numbers, half of them mirrored.
    c = (after[..., f] * before[..., f].conj()).mean() / (np.abs(before[..., f]) ** 2).mean()
    assert abs(c) < 0.1
    power = (np.abs(after[..., f]) ** 2).mean() / 64
    assert power == pytest.approx(float(x.var()), rel=0.15)
    assert not torch.equal(y, overwritten(Signals("x", x), 0.3, 1).tensor())


def test_the_published_weights_are_taken_apart(monkeypatch):
    """Shape times level, and the weight of DC, give them back."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality.studies import alpha_arms

    basis = FourierBasis((28, 28))
    f, m = basis.frequencies(), basis.multiplicity()
    arms = {(arm.group, arm.value): arm.process.spectrum for arm in alpha_arms((1, 28, 28), small=False)}
    assert len(arms) == 1 + 4 * 12
    for alpha in (-0.06, 0.1):
        whole, dc, level, shape = (
            Spectrum.parse(arms[part, alpha]).weights(f).double()
            for part in ("as published", "DC alone", "level alone", "shape alone")
        )
        away = basis.radius() > 0
        assert whole[0, 0] == pytest.approx(float(dc[0, 0]), rel=1e-5)
        assert (dc[away] == 1).all()
        assert level.unique().numel() == 1
        normed = shape / ((m * shape**2)[away].sum() / m[away].sum()).sqrt()
        assert torch.allclose((normed * level)[away], whole[away], rtol=1e-5)
    assert float(Spectrum.parse(arms["DC alone", -0.06]).weights(f)[0, 0]) == pytest.approx(3.98, abs=0.01)


def result_line(arm, seed, frechet=1.0, error=(0.0, None), label="a"):
    """A line of results, compared with white noise."""
    figures = {"frechet": frechet, "kernel": 0.0, "precision": 1.0, "recall": 1.0}
    measured = {"classifier": figures, "spectral": {"rms_db": 1.0, "error": list(error)}}
    return {"arm": arm, "seed": seed, "reference": "white", "evaluations": {label: measured}, "floor": measured}


def test_differences_are_paired_and_judged_by_their_interval(monkeypatch):
    """Three seeds that differ by far more than the arms do."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality import page

    values = {"white": (10, 20, 30), "less": (8.9, 19, 29.1), "noise": (9, 21.5, 30), "more": (12, 22, 32.3)}
    lines = [result_line(arm, seed, v) for arm, of in values.items() for seed, v in enumerate(of)]
    runs = page.by_arm(lines, [*values, "never run"])
    found = {arm: page.difference(runs, arm, "a", "frechet") for arm in runs}
    assert found["white"] is None
    assert {arm: page.verdict(f) for arm, f in found.items()} == {
        "white": "",
        "less": "better",
        "noise": "no effect",
        "more": "worse",
    }
    # Student's quantile for three values is 4.303; standard error of (-1.1, -1, -0.9) is 0.1 / sqrt(3).
    assert found["less"]["mean"] == pytest.approx(-1)
    assert found["less"]["high"] == pytest.approx(-1 + 4.303 * 0.1 / np.sqrt(3), abs=1e-3)
    one = page.by_arm([x for x in lines if x["seed"] == 0], list(values))
    assert page.verdict(page.difference(one, "less", "a", "frechet")) == "one seed"


def test_errors_by_band_are_paired_as_well(monkeypatch):
    """Power at ten times the reference is 10 dB off, at a tenth as far; nothing at all, or no band, is no error."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality import page

    label = "a, 1 images"
    lines = [result_line("white", s, error=[0.0, 0.0, -1.0, None], label=label) for s in (0, 1, 2)]
    lines += [result_line("far", s, error=[e, 0.0, 0.0, None], label=label) for s, e in enumerate((9.0, -0.9, 9.0))]
    runs = page.by_arm(lines, ["white", "far"])
    assert [e["mean"] for e in page.band_errors(runs, "far", label)] == pytest.approx([10, 0, 0, None])
    assert page.band_differences(runs, "white", label) == [None] * 4
    changes = page.band_differences(runs, "far", label)
    assert [c["mean"] for c in changes] == pytest.approx([10, 0, None, None])
    assert "| far | 1 | 10.00 (**+10.00 ± 0.00**) | 0.00 (+0.00 ± 0.00) | 0.00 |  |" in page.tables("curves", runs)[-2]


def test_further_seeds_of_one_arm_do_not_hide_that_another_is_missing(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality import page

    def missing(*arms):
        runs = page.by_arm([result_line(arm, seed) for arm, seed in arms], ["white", "low tilt", "high tilt"])
        return page.missing_runs("curves", "long", "mnist", runs)

    assert missing() == 3
    assert missing(("white", 0), ("white", 1), ("white", 2)) == 2
    assert missing(("white", 0), ("low tilt", 0), ("high tilt", 0), ("high tilt", 1)) == 0


def test_bad_requests_of_studies(quality, capsys):
    for options, message in (
        (("alpha", "--arms", "whit"), "no arms ['whit'] in alpha; there are: white,"),
        (("alpha", "--sets", "mnist"), "there is: digits"),
        (("overwritten",), "is for cifar10, which scale quick does not have"),
    ):
        with pytest.raises(SystemExit) as stop:
            quality(*options)
        assert message in f"{stop.value.code} {capsys.readouterr().err}"


def test_committed_pages_of_studies_are_of_the_committed_results(monkeypatch, tmp_path):
    """But for the line on versions and machine."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import records
    from benchmarks.quality import page

    # Of pictures the names are compared.
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).touch())
    results = ROOT / "benchmarks" / "quality" / "results"
    found = sorted(results.glob("*.jsonl"))
    assert found
    for path in found:
        study, _, scale = path.stem.rpartition("-")
        written = page.write(study, scale, records.read(path), tmp_path, "ABOUT").read_text()
        committed = (results / f"{path.stem}.md").read_text()
        assert re.sub(r"Written by .*", "ABOUT", committed) == written
        assert {p.name for p in results.glob(f"{path.stem}-*.png")} == {
            p.name for p in tmp_path.glob(f"{path.stem}-*.png")
        }


class Float(torch.nn.Module):
    def forward(self, x):
        return x.float()


@pytest.mark.usefixtures("undrawn")
def test_other_features_are_measured_as_well(quality, tmp_path):
    """Two files, as Inception of 2048 and of 768 dimensions would be."""
    options = []
    for dimension in (6, 3):
        torch.manual_seed(dimension)
        network = torch.nn.Sequential(Float(), torch.nn.Flatten(), torch.nn.Linear(3 * 64, dimension)).eval()
        path = tmp_path / f"features-{dimension}.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what such files are made with
            torch.jit.trace(network, torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).save(path)
        options.append(f"{path}:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    results = quality("bands", "--arms", "white", "gamma 0.9", "--features", *options)
    page = (results / "bands-quick.md").read_text()
    assert "| Fréchet, features-3 | difference |  | Fréchet, features-6 | difference |  |" in page
    line = json.loads((results / "bands-quick.jsonl").read_text().splitlines()[0])
    assert set(line["floor"]) == {"classifier", "features-6", "features-3", "spectral"}


def test_networks_of_all_scales_fit_their_images(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.quality.scales import SCALES, shape_of

    for scale, budgets in SCALES.items():
        for data, budget in budgets.items():
            shape = shape_of(scale, data)
            with torch.device("meta"):
                build_network(NetworkConfig(widths=budget.widths), shape[0], shape[1:])


def test_rows_of_figures_in_the_docs_are_rows_of_results():
    """`docs/where.md` shows no number that a page of results does not."""
    known = {
        row for path in ROOT.glob("benchmarks/*/results/*.md") for row in path.read_text(encoding="utf-8").splitlines()
    }
    rows = [row for row in (ROOT / "docs" / "where.md").read_text(encoding="utf-8").splitlines() if row.startswith("|")]
    figures = [row for row in rows if re.search(r"±|\| [0-9]+ \| [0-9.]+ ", row)]  # interval, or seeds and figure
    assert len(figures) > 20
    assert not [row for row in figures if row not in known]


def test_a_first_training_is_measured_and_drawn(tables, tmp_path, monkeypatch, capsys):
    """Before and after in a few steps, of two kinds of photographs; the photographs of the report are not those of the
    choice."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.defaults import photographs
    from benchmarks.defaults.__main__ import main

    paths = {name: tmp_path / name for name in ("out", "picture.png", "work")}
    args = [text for name, path in paths.items() for text in (f"--{name.split('.')[0]}", str(path))]
    tiny = ["--training.steps", "2", "--training.batch-size", "4", "--network.widths", "4", "8", "--training.device"]
    tiny += ["cpu", "--sampling.steps", "2"]
    main(["--data", str(tables), "--count", "60", "--samples", "28", *args, "--options", *tiny])
    found = json.loads(paths["out"].read_text())
    assert list(found["arms"]) == ["cifar10/default", "cifar10/before", "crops/default"]
    for result in found["arms"].values():
        assert result["samples"] == 28
        assert len(result["mean_colour"]) == 3
        assert {count: len(rings["all"]) for count, rings in result["rings"].items()} == {"10": 10, "16": 16}
    with Image.open(paths["picture.png"]) as picture:
        assert picture.width > 800
    table = capsys.readouterr().out.splitlines()[-3:]
    assert [line.split("|")[1:3] for line in table] == [
        [" cifar10 ", " default "],
        [" cifar10 ", " before "],
        [" crops ", " default "],
    ]
    tuning = photographs.cifar(tables, tmp_path / "tuning", "tuning", 60)
    names = [{path.name for path in folder.iterdir()} for folder in (tuning, paths["work"] / "photographs" / "cifar10")]
    assert [len(n) for n in names] == [60, 60]
    assert not names[0] & names[1]


def test_figures_of_a_first_training(timing):
    """Samples that are the data, brighter in one channel and with twice the contrast in another."""
    from benchmarks.defaults.study import figures

    data = torch.randn(200, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.2
    changed = data.clone()
    changed[:, 0] += 0.1
    changed[:, 2] *= 2
    found = figures(changed, data)
    assert found["mean_colour"][0] == pytest.approx(0.1 / float(data[:, 0].double().std()), rel=1e-5)
    assert found["mean_colour"][1] == 0
    first, _, last = found["rings"]["10"]["channels"]
    assert first == pytest.approx([0] * 10, abs=1e-3)
    assert last == pytest.approx([20 * math.log10(2)] * 10, abs=1e-3)
    # (1 + 1 + 4) / 3, to four standard errors of the powers in the smallest ring.
    assert found["rings"]["10"]["all"] == pytest.approx([10 * math.log10(2)] * 10, abs=0.5)
    # Independent Gaussian pixels: 3 and 0, to four standard errors of 144,000 differences that neighbours share.
    assert found["flatness"][1] == pytest.approx(3, abs=0.055)
    assert found["colour"] == pytest.approx([0, 0], abs=0.0224)
