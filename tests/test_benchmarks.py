"""The benchmarks run to their end and write what they say; how fast they are is no test's business."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from sagd.catalogue import catalogue
from sagd.spectrum import Spectrum

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
    "startup": [1],
}


def test_all_studies_run_and_state_every_demand(speed, tmp_path, capsys):
    speed(["--quick", "--out", str(tmp_path)])
    assert {path.stem for path in tmp_path.iterdir()} == set(LIMITS)
    printed = capsys.readouterr().out
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
            assert demand["measured"]["median"] > 0


def test_named_studies_alone(speed, tmp_path):
    speed(["dense", "startup", "--quick", "--out", str(tmp_path / "new")])
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"dense.json", "dense.md", "startup.json", "startup.md"}


def test_every_kind_of_spectrum_is_drawn(timing):
    """A kind that joins the library joins the study."""
    from benchmarks.speed.spectra import CLASSES, MORE

    def kinds(spectrum):
        return {spectrum.kind}.union(*(kinds(part) for part in spectrum.parts))

    entries = [entry for entry in (*catalogue((3, 8, 8), CLASSES), *MORE) if entry.process.basis == "fourier"]
    drawn = set().union(*(kinds(Spectrum.parse(entry.process.spectrum)) for entry in entries))
    ours = {name for name in Spectrum.kinds() if Spectrum._members[name].__module__ == "sagd.spectrum"}
    assert drawn | {"tabulated"} == ours  # whitening becomes a table once it is resolved


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


@pytest.fixture
def omission(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.omission import __main__ as command

    return command


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Random images in the files and shapes of MNIST and CIFAR-10."""
    folder, g = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for name, shape, count in (("mnist", (28, 28), 240), ("cifar10", (32, 32, 3), 400)):
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


def test_leaving_a_band_out_on_mnist_goes_on_after_a_kill(omission, tables, tmp_path, monkeypatch, capsys):
    """Quick runs of two bands; the first try is cut short in the middle of a line."""
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
        str(tmp_path / "work"),
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
    lines = mnist.lines(path)
    assert path.read_text().startswith(before)
    assert [line["arm"] for line in lines] == list(mnist.ARMS)
    assert all(np.isfinite(line["frechet"]) for line in lines)
    assert lines[3]["restored"]["damage_over_signal"] > 0
    page = (tmp_path / "mnist-quick.md").read_text()
    assert "| 0.1 to 0.2 * | 1 |" in page
    assert f"wrote {tmp_path / 'mnist-quick.md'}" in capsys.readouterr().out


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
    assert found["summary"]["recall"]["of"] == 12
    assert "| found |" in (tmp_path / "detection.md").read_text()


def test_committed_pages_are_of_the_committed_results(omission):
    """Every number of a page stands in its result file."""
    from benchmarks.omission import cifar, mnist, page

    results = ROOT / "benchmarks" / "omission" / "results"
    for path, text in (
        (results / "mnist-cpu.md", page.mnist_page(mnist.lines(results / "mnist-cpu.jsonl"), mnist.SCALES["cpu"], "")),
        (results / "cifar-cpu.md", page.cifar_page(mnist.lines(results / "cifar-cpu.jsonl"), cifar.SCALES["cpu"], "")),
        (results / "detection.md", page.detection_page(json.loads((results / "detection.json").read_text()), "")),
    ):
        tables = [line for line in text.splitlines() if line.startswith("|")]
        assert [line for line in path.read_text().splitlines() if line.startswith("|")] == tables
