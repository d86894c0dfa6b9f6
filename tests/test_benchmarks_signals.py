"""The studies of signals run to their end on tiny inputs; what they find is no test's business."""

import io
import json
from pathlib import Path

import netCDF4
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from PIL import Image

from sagd.cli.program import main as sagd

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Noise in the files and shapes of the data."""
    folder, g = tmp_path_factory.mktemp("raw"), np.random.default_rng(0)
    for name in ("speech", "weather", "ecg"):
        (folder / name).mkdir()
    for take in range(30):
        words = g.standard_normal(g.integers(3000, 6000)) * 0.1
        soundfile.write(folder / "speech" / f"{take % 10}_ann_{take}.wav", words, 8000, subtype="PCM_16")
    with netCDF4.Dataset(folder / "weather" / "eraint_uvz.nc", "w") as file:
        for name, length in (("month", 2), ("level", 3), ("latitude", 64), ("longitude", 480)):
            file.createDimension(name, length)
        for name in "uv":
            field = file.createVariable(name, "f8", ("month", "level", "latitude", "longitude"))
            field[:] = g.permutation(2 * 3 * 64 * 480).reshape(2, 3, 64, 480)
    np.save(folder / "ecg" / "mitdb-100-360Hz.npy", g.permutation(120_000).reshape(-1, 2).astype(np.float32))
    for split in ("train", "test"):
        images = []
        for pixels in g.integers(0, 256, (40, 28, 28), dtype=np.uint8):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            images.append({"bytes": buffer.getvalue()})
        pyarrow.parquet.write_table(pyarrow.table({"image": images}), folder / f"mnist-{split}.parquet")
    return folder


@pytest.fixture
def signals(raw, tmp_path, monkeypatch):
    """`study(name, *options)` runs a tiny study, its commands in this process, and gives the folder of its results."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.signals import run
    from benchmarks.signals.__main__ import main as program

    def here(setting, *command):
        calls.append(command[0])
        setting.runs.mkdir(parents=True, exist_ok=True)
        assert sagd(list(command)) == 0
        return {"wall": 1.0, "cpu": 1.0}

    def study(name, *options):
        paths = ("--data", raw, "--out", tmp_path / "results", "--work", tmp_path / "work")
        program([name, "--scale", "tiny", *map(str, paths), *options])
        return tmp_path / "results"

    calls = study.calls = []
    monkeypatch.setattr(run, "_sagd", here)
    return study


@pytest.mark.parametrize(
    ("study", "arms"),
    [
        ("speech", ["white", "half-whitened"]),
        ("weather", ["white", "half-whitened", "white, Fourier basis", "half-whitened, Fourier basis"]),
        ("ecg", ["white", "half-whitened", "white, Fourier basis", "half-whitened, Fourier basis"]),
        ("digits-film", ["white", "slow"]),
        ("cubes", ["white", "half-whitened"]),
    ],
)
def test_a_study_goes_on_by_arm_and_ends_with_its_page(signals, study, arms, capsys):
    results = signals(study, "--arm", "white")
    of_one = (results / f"{study}-tiny.jsonl").read_text()
    signals(study)
    assert signals.calls.count("train") == signals.calls.count("sample") == len(arms)
    text = (results / f"{study}-tiny.jsonl").read_text()
    assert text.startswith(of_one)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["arm"] for line in lines] == arms
    for line in lines:
        assert line["n"] == 8
        assert np.isfinite(line["figure"]["spectral_rms_db"])
        assert np.isfinite(line["figure"]["border_db"])
        assert len(line["figure"]["rings"]) == len(line["floor"]["rings"]) == 10
    page = (results / f"{study}-tiny.md").read_text()
    assert all(f"\n| {arm} | `" in page for arm in arms)
    assert ("training data |" in page) == (study != "speech")
    assert "| Gaussian fields |" in page
    assert ("Flicker" in page) == (study == "digits-film")
    with Image.open(results / f"{study}-tiny.png") as picture:
        assert picture.width == 800
    sounds = [path.name for path in sorted(results.glob("*.wav"))]
    assert sounds == (
        ["speech-tiny-half-whitened.wav", "speech-tiny-held-out-data.wav", "speech-tiny-white.wav"]
        if study == "speech"
        else []
    )
    assert "wrote" in capsys.readouterr().out


def test_a_comparison_goes_on_too(signals, monkeypatch):
    """Its report is another test's business."""
    monkeypatch.setattr("sagd.report.directory.render_directory", lambda out: out / "report.html")
    results = signals("weather-seeds")
    found = json.loads((results / "weather-seeds-tiny.json").read_text())
    assert found["config"]["data"] is None  # which has a path of this machine
    assert [run["seed"] for run in found["arms"]["half-whitened"]["runs"]] == [0, 1, 2]
    page = (results / "weather-seeds-tiny.md").read_text()
    assert "| figure | white | half-whitened | floor | half-whitened less white | adjusted p |" in page
    assert "3 seeds, 2 steps of 4 each; 8 samples a side" in page
    signals("weather-seeds")
    assert signals.calls == ["compare"]
    assert (results / "weather-seeds-tiny.md").read_text() == page


def test_parts_of_the_data_share_nothing(raw, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.signals import data

    data.speech(raw, tmp_path / "speech")
    names = [{path.name for path in (tmp_path / "speech" / part).iterdir()} for part in ("train", "held-out")]
    assert [len(n) for n in names] == [20, 10]
    assert not names[0] & names[1]
    assert all(int(name[:-4].split("_")[2]) < 10 for name in names[1])
    for make, ending in ((data.ecg, "npy"), (data.weather, "nc")):
        make(raw, tmp_path / make.__name__)
        values = []
        for part in ("train", "held-out"):
            path = tmp_path / make.__name__ / f"{part}.{ending}"
            if ending == "npy":
                values.append(np.load(path))
            else:
                with netCDF4.Dataset(path) as file:
                    values.append(np.asarray(file["u"][:]))
        assert not np.isin(values[0], values[1]).any()  # no value is there twice


def test_data_is_always_the_same(raw, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.signals import data

    for make in (data.cubes, data.digits_film):
        for k in (0, 1):
            make(raw, tmp_path / f"{k}", 8)
        for part in ("train", "held-out"):
            one, other = (np.load(tmp_path / f"{k}" / f"{part}.npy") for k in (0, 1))
            assert np.array_equal(one, other)
        assert not np.array_equal(np.load(tmp_path / "0" / "train.npy"), np.load(tmp_path / "0" / "held-out.npy"))


def test_a_digit_drifts_at_its_speed(monkeypatch):
    """The centre of mass of a film moves evenly where nothing turns back, and nothing is lost."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.signals.data import _film

    class Chosen:
        def uniform(self, low, high, size):
            return np.array([1.0, 4.0]) if low == 0 else np.array([0.25, -0.5])

    film = _film(np.full((11, 11), 200.0), Chosen()).astype(float)
    mass = film.sum((1, 2))
    assert mass == pytest.approx(200 * 121, rel=1e-3)
    rows, columns = (np.tensordot(film, grid, 2) / mass for grid in np.meshgrid(range(16), range(16), indexing="ij"))
    assert rows == pytest.approx(6 + 0.25 * np.arange(8), abs=0.01)
    assert columns == pytest.approx(9 - 0.5 * np.arange(8), abs=0.01)


def test_liquids_come_apart(monkeypatch):
    """Of a mixture in equal parts, most ends up near one liquid or the other."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.signals.data import separated

    c = separated(np.random.default_rng(0), 32)
    assert abs(c.mean()) < 1e-6
    assert np.mean(np.abs(c) > 0.5) > 0.6
    assert np.abs(c).max() < 1.1


def test_flicker_is_that_of_neighbouring_frames(monkeypatch):
    """Films of twice the contrast flicker four times as strongly: 6 dB."""
    monkeypatch.syspath_prepend(ROOT)
    import torch
    from benchmarks.signals.run import flicker, measured

    from sagd.metrics import evaluate

    x = torch.randn(40, 1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    line = measured(evaluate(2 * x[:20], x[20:], resamples=0).to_dict())
    assert flicker(line["figure"]) == pytest.approx(6.02, abs=0.5)
    assert flicker(line["floor"]) == pytest.approx(0, abs=0.5)


def test_borders_are_held_against_those_of_the_data(monkeypatch):
    """Ten times as large along one edge of four, which hold 28 places: 10 log10((7 * 100 + 21) / 28) = 14.1 dB."""
    monkeypatch.syspath_prepend(ROOT)
    import torch
    from benchmarks.signals.run import borders

    x = torch.ones(2, 1, 8, 8)
    x[1] *= -1
    other = x.clone()
    other[:, :, 0, :7] *= 10
    other[:, :, 3:5, 3:5] = 1000.0
    assert borders(other, x) == pytest.approx(10 * np.log10(721 / 28))


def test_jumps_at_the_ends_stand_out_in_the_fourier_basis(monkeypatch):
    """Of white noise nothing does; of random walks, whose ends differ, with the Fourier basis alone."""
    monkeypatch.syspath_prepend(ROOT)
    import torch
    from benchmarks.signals.run import _BASES, whitened_ends

    from sagd.data.meaning import usual
    from sagd.data.signals import Signals

    white = torch.randn(4000, 1, 64, generator=torch.Generator().manual_seed(0))
    found = [
        {name: whitened_ends(Signals("x", x, meaning=usual((1, 64))), basis) for name, basis in _BASES.items()}
        for x in (white, white.cumsum(-1))
    ]
    for of in found[0].values():
        assert of["ends"] == pytest.approx(1, abs=0.07)
    assert found[1]["fourier"]["ends"] > 5 * found[1]["cosine"]["ends"]
    assert found[1]["cosine"]["ends"] == pytest.approx(1, abs=0.5)


def test_gaussian_fields_have_mean_and_spectrum_of_the_data(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import torch
    from benchmarks.signals.run import gaussian

    from sagd.data.meaning import usual
    from sagd.data.signals import Signals
    from sagd.noise.statistics import measure

    g = torch.Generator().manual_seed(0)
    x = torch.randn(500, 1, 32, generator=g).cumsum(-1) + torch.linspace(0, 9, 32)
    ours, theirs = measure(gaussian(Signals("walks", x, meaning=usual((1, 32))), 2000)), measure(x)
    # Of 2,000 independent fields: four standard errors of a power are 4 sqrt(2 / 2000).
    assert torch.allclose(ours.spectrum, theirs.spectrum, rtol=0.13)
    assert (ours.mean - theirs.mean).abs().max() < 4 * float(x.std(0).max()) / 2000**0.5


def test_committed_pages_of_signals_are_of_the_committed_results(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.signals import page
    from benchmarks.signals.run import Setting
    from benchmarks.signals.studies import STUDIES

    results = ROOT / "benchmarks" / "signals" / "results"
    found = sorted(results.glob("*.md"))
    assert found
    for path in found:
        study, _, scale = path.stem.rpartition("-")
        for name in (f"{path.stem}.jsonl", f"{path.stem}.json", f"{path.stem}-beside.json", f"{path.stem}.png"):
            if (results / name).exists():
                (tmp_path / name).write_bytes((results / name).read_bytes())
        setting = Setting(study, scale, tmp_path, tmp_path, tmp_path / "none")
        if STUDIES[study].seeds:
            written = page.write_comparison(setting, tmp_path / f"{path.stem}.json")
        else:
            written = page.write(setting)
        assert written.read_text() == path.read_text()


def test_pictures_and_sounds_are_small():
    for path in (ROOT / "benchmarks" / "signals" / "results").iterdir():
        assert path.stat().st_size < 200_000, path.name
