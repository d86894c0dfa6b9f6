"""Files cleaned: in their own type and format, whatever cannot be cleaned said, nothing overwritten."""

import dataclasses
import errno
import json
import math
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import soundfile
import tifffile
import torch
from PIL import Image

from sagd.cli.program import main
from sagd.data import whole
from sagd.data.config import DataConfig
from sagd.data.formats import Format
from sagd.data.formats.pillow import Pillow
from sagd.data.load import load
from sagd.errors import InputError
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.removal import Removal, measure
from sagd.report.cleaning import render_cleaning
from sagd.study import cleaning, looking
from sagd.study.cleaning import CleaningConfig, clean_files
from sagd.study.shown import whole_map

pytestmark = pytest.mark.usefixtures("undrawn")

RATE = 400
HUM = "spots(at=[['50 Hz']], radius='2 Hz')"
COLUMNS = "strip(axis=1, low=0.004, width=0.008)"


def scene(height=192, width=224, seed=0):
    """A smooth random scene of mean 0 and standard deviation 1."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(2 * height)[:, None], np.fft.rfftfreq(2 * width))
    waves = np.fft.rfft2(rng.standard_normal((2 * height, 2 * width))) / np.maximum(f, 0.004) ** 1.2
    x = np.fft.irfft2(waves, (2 * height, 2 * width))[:height, :width]
    return (x - x.mean()) / x.std()


def striped(height=192, width=224, seed=0):
    x = scene(height, width, seed)
    columns = np.random.default_rng(9).standard_normal(width)
    return x, x + 0.6 * (columns - columns.mean())


def humming(length=6000):
    rng = np.random.default_rng(0)
    x = np.convolve(rng.standard_normal(length + 20), np.ones(8) / 8, "valid")[:length]
    return x, x + np.sin(2 * np.pi * 50.3 * np.arange(length) / RATE)


def gain(cleaned, clean, damaged):
    return 10 * math.log10(((damaged - clean) ** 2).mean() / ((cleaned - clean) ** 2).mean())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_sixteen_bit_images_keep_type_name_and_metadata(folder, tmp_path):
    x, y = striped()
    path = folder / "deep.tif"
    tifffile.imwrite(path, np.rint(2000 + 300 * y).astype(np.uint16), resolution=(254, 254), resolutionunit="INCH")
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert (result.status, result.path, result.clipped) == ("cleaned", tmp_path / "out" / "deep.tif", 0)
    with tifffile.TiffFile(result.path) as file:
        values = file.asarray()
        assert file.pages[0].tags["XResolution"].value == (254, 1)
    assert values.dtype == np.uint16
    assert gain((values - 2000.0) / 300, x, y) > 8
    assert str(result.band).startswith("strip(axis=1")


def test_stacks_are_cleaned_page_by_page(folder, tmp_path):
    both = [striped(seed=seed) for seed in (0, 1, 2)]
    path = folder / "stack.tif"
    tifffile.imwrite(path, np.stack([y for _, y in both]).astype(np.float32), photometric="minisblack")
    (result,) = clean_files([path], tmp_path / "out", CleaningConfig(band=COLUMNS))
    values = tifffile.imread(result.path)
    assert (values.shape, values.dtype) == ((3, 192, 224), np.float32)
    for page, (x, y) in zip(values, both, strict=True):
        assert gain(page, x, y) > 8


def test_small_pages_are_cleaned_many_at_a_time_by_one_gain(folder, tmp_path, monkeypatch):
    pages = torch.from_numpy(np.stack([striped(40, 44, seed)[1] for seed in range(150)])).float()
    pages[140, 10, 10] = math.nan
    np.save(folder / "a.npy", pages.numpy())
    removal = measure((page for page in pages[:, None].nan_to_num()), COLUMNS)
    calls, apply = [], Removal.apply
    monkeypatch.setattr(Removal, "apply", lambda removal, x: calls.append(len(x)) or apply(removal, x))
    band = CleaningConfig(band=COLUMNS, kind="image", axes="NYX")
    (result,) = clean_files([folder], tmp_path / "out", band)
    assert result.status == "cleaned", result.error
    assert calls == [1, 128, 22]  # the first of what the pages have in common
    values = torch.from_numpy(np.load(result.path))
    assert values.isnan().nonzero().tolist() == [[140, 10, 10]]
    for k in (0, 127, 128, 149):
        alone = pages[k] - apply(removal, pages[k][None])[0]
        torch.testing.assert_close(values[k], alone, rtol=0, atol=1e-4)


def test_sound_and_tables_in_hertz(folder, tmp_path):
    x, y = humming()
    soundfile.write(folder / "tone.wav", y / 8, RATE, subtype="PCM_16")
    table = folder / "hum.csv"
    table.write_text("time [s],a\n" + "".join(f"{k / RATE:.6f},{v:.6f}\n" for k, v in enumerate(y)))
    results = clean_files([folder / "tone.wav", table], tmp_path / "out", CleaningConfig(band=HUM))
    assert [r.status for r in results] == ["cleaned", "cleaned"], results
    sound, rate = soundfile.read(tmp_path / "out" / "tone.wav")
    assert rate == RATE
    assert gain(sound * 8, x, y) > 12
    assert {r.band for r in results} == {HUM}
    lines = (tmp_path / "out" / "hum.csv").read_text().splitlines()
    assert len(lines) == 6001
    assert gain(np.array([float(line.split(",")[1]) for line in lines[1:]]), x, y) > 12


def short_record(length, amplitude):
    """Content whose spectrum falls, without and with a hum."""
    content = SpectralCovariance(PowerLaw(-0.8), (1, 1050)).sample(2, torch.Generator().manual_seed(2))[:, 0]
    x = content.flatten()[:length].double().numpy()
    return x, x + amplitude * np.cos(2 * np.pi * 0.0513 * np.arange(length) + 2)


def test_a_record_that_is_too_short_to_be_sure_says_so(folder, tmp_path):
    """A hum of twice the power of all else, as strong in all 16 windows as what it lies upon by chance."""
    x, y = short_record(1050, 1.0)
    for name, values in (("hum", y), ("none", x), ("longer", short_record(2100, 0.0)[1])):
        rows = (f"{k / RATE:.6f},{v:.6f}\n" for k, v in enumerate(values))
        (folder / f"{name}.csv").write_text("time,a\n" + "".join(rows))
    hum, longer, none = clean_files([folder], None, CleaningConfig())
    short = "; 1,050 samples are too few to be sure: if it is damaged, name the band"
    assert [r.status for r in (hum, longer, none)] == ["clean"] * 3
    band = hum.asked.removeprefix("band ").strip('"')
    assert "hum.csv: nothing found; left as it is; likeliest with probability 0.0" in hum.line()
    assert f": {hum.asked}{short}; its times are taken for seconds" in hum.line()
    assert "20.5" in band
    assert f"none.csv: nothing found; left as it is{short} with band; its times" in none.line()
    assert "too few" not in longer.line()
    (cleaned,) = clean_files([folder / "hum.csv"], tmp_path / "out", CleaningConfig(band=band))
    rows = cleaned.path.read_text().splitlines()[1:]
    assert gain(np.array([float(row.split(",")[1]) for row in rows]), x, y) > 10


def test_times_without_a_unit_are_seconds_and_even(folder, tmp_path):
    _, y = humming()
    for name, power in (("even", 1.0), ("uneven", 1.1)):
        lines = (f"{(k / RATE) ** power:.6f},{v:.3f}\n" for k, v in enumerate(y))
        (folder / f"{name}.csv").write_text("time,a\n" + "".join(lines))
    even, uneven = clean_files([folder], tmp_path / "out", CleaningConfig(band=HUM))
    assert (even.status, even.band) == ("cleaned", HUM), even.error
    assert "taken for seconds: 400 samples per second" in even.line()
    assert {len(line.split(".")[-1]) for line in even.path.read_text().splitlines()[1:]} == {3}
    assert uneven.status == "failed"
    assert "not evenly spaced" in uneven.error


def test_hertz_without_a_rate_are_refused_for_that_file_alone(folder, tmp_path):
    np.save(folder / "a.npy", humming()[1])
    results = clean_files([folder], tmp_path / "out", CleaningConfig(band=HUM))
    assert results[0].status == "failed"
    assert "rate" in results[0].error
    results = clean_files([folder], tmp_path / "out", CleaningConfig(band=HUM, rate=RATE))
    assert results[0].status == "cleaned"


def test_clean_files_are_copied_and_bad_ones_are_listed(folder, tmp_path, capsys):
    x, y = striped()
    for name, values in (("damaged", y), ("clean", x)):
        Image.fromarray(np.clip(128 + 30 * values, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "short.png").write_bytes((folder / "clean.png").read_bytes()[:800])
    code = main(["clean", str(folder), "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 2
    assert "short.png" in said.err
    results = {r["name"]: r for r in json.loads((tmp_path / "out" / "cleaning.json").read_text())}
    assert {name: r["status"] for name, r in results.items()} == {
        "damaged.png": "cleaned",
        "clean.png": "clean",
        "short.png": "failed",
    }
    assert (tmp_path / "out" / "clean.png").read_bytes() == (folder / "clean.png").read_bytes()
    assert not (tmp_path / "out" / "short.png").exists()
    assert "Cleaned files" in (tmp_path / "out" / "report.html").read_text()


def test_a_dry_run_writes_no_file(folder, tmp_path):
    tifffile.imwrite(folder / "a.tif", striped()[1].astype(np.float32))
    assert main(["clean", str(folder), "--out", str(tmp_path / "out"), "--dry-run", "--band", COLUMNS]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")) == [
        "cleaning.json",
        "report.html",
    ]


def test_blocks_make_the_same_of_what_does_not_fit_memory(folder, tmp_path, monkeypatch):
    x, y = humming(40_000)
    np.save(folder / "long.npy", y)
    config = CleaningConfig(band=HUM, rate=RATE)
    (once,) = clean_files([folder], tmp_path / "whole", config)
    monkeypatch.setattr(whole, "LARGEST", 6000)
    (parts,) = clean_files([folder], tmp_path / "parts", config)
    one, other = np.load(once.path), np.load(parts.path)
    assert parts.excess == pytest.approx(once.excess, abs=0.2)
    assert gain(one, x, y) > 12
    assert gain(other, x, y) > 12
    assert not list((tmp_path / "parts").glob(".*"))


def test_a_picture_is_decoded_once_for_all_blocks(folder, tmp_path, monkeypatch):
    y = striped(320, 224)[1]
    Image.fromarray((255 * (y - y.min()) / np.ptp(y)).astype(np.uint8)).save(folder / "a.png")
    monkeypatch.setattr(whole, "LARGEST", 160 * 224)
    load, loads = Pillow.load, []
    monkeypatch.setattr(Pillow, "load", lambda *args: loads.append(args) or load(*args))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(COLUMNS))
    assert "overlapping blocks" in result.line()
    assert len(loads) == 1


@pytest.mark.parametrize("log", [None, True])
def test_values_that_were_not_looked_at_decide_on_the_logarithm(folder, tmp_path, monkeypatch, log):
    _, y = striped(320, 224)
    y = y - y.min() + 4
    y[200, 3] = -1
    np.save(folder / "a.npy", y)
    monkeypatch.setattr(whole, "LARGEST", 160 * 224)
    monkeypatch.setattr("sagd.study.looking._LOOKED_AT", 160 * 224)
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(log=log))
    if log:
        assert "1 of those in" in result.error
        assert not (tmp_path / "out").exists()
    else:
        assert (result.status, result.multiplies) == ("cleaned", False), result.error


def test_curtains_of_each_slice_of_a_volume_are_taken_out(folder, tmp_path):
    rng = np.random.default_rng(0)
    pages = np.stack([scene(128, 128, seed=seed) for seed in range(16)])
    np.save(folder / "a.npy", (pages + 0.8 * rng.standard_normal((16, 1, 128))).astype(np.float32))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(kind="volume", axes="ZYX"))
    assert result.status == "cleaned", result.error
    assert "its slices were cleaned one by one" in result.line()
    values = np.load(result.path)
    assert values.shape == pages.shape
    assert gain(values, pages, np.load(folder / "a.npy")) > 5


def test_lines_tell_probability_and_the_first_of_many(folder):
    tifffile.imwrite(folder / "a.tif", striped()[1].astype(np.float32))
    (result,) = clean_files([folder], None, CleaningConfig())
    assert "(damage with probability 0.99" in result.line()
    assert result.to_dict()["detection"]["findings"][0]["probability"] == result.probability


def test_masks_say_where(folder, tmp_path):
    x, y = striped()
    y[:, :100] = x[:, :100]
    tifffile.imwrite(folder / "a.tif", y.astype(np.float32))
    mask = np.zeros((192, 224), np.uint8)
    mask[:, 100:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    config = CleaningConfig(band=COLUMNS, mask=tmp_path / "mask.png")
    (result,) = clean_files([folder], tmp_path / "out", config)
    values = tifffile.imread(result.path)
    np.testing.assert_allclose(values[:, :99], y[:, :99], atol=1e-5)
    assert gain(values[:, 104:], x[:, 104:], y[:, 104:]) > 6
    Image.fromarray(mask[:, 1:]).save(tmp_path / "mask.png")
    (result,) = clean_files([folder], tmp_path / "again", config)
    assert "give one of its size" in result.error
    Image.fromarray(0 * mask).save(tmp_path / "mask.png")
    (result,) = clean_files([folder], tmp_path / "none", config)
    assert "is 0 everywhere; give one that is not 0 where the damage is" in result.error


def test_several_processes_do_the_same(folder, tmp_path):
    for k in range(3):
        tifffile.imwrite(folder / f"{k}.tif", striped(seed=k)[1].astype(np.float32))
    config = CleaningConfig(band=COLUMNS)
    one, two = (clean_files([folder], tmp_path / str(jobs), config, jobs) for jobs in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(tifffile.imread(a.path), tifffile.imread(b.path), atol=1e-5)


def test_clipped_values_are_counted_and_float_keeps_them(folder, tmp_path):
    y = np.clip(128 + 80 * striped()[1], 0, 255).astype(np.uint8)
    Image.fromarray(y).save(folder / "a.png")
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert result.clipped > 0
    assert "were clipped" in result.line()
    (kept,) = clean_files([folder], tmp_path / "float", CleaningConfig(band=COLUMNS, keep=True))
    assert kept.path.suffix == ".tif"
    values = tifffile.imread(kept.path)
    assert values.dtype == np.float32
    assert int(((values < -0.5) | (values > 255.5)).sum()) == result.clipped


def test_sound_in_floating_point_is_within_one(folder, tmp_path):
    x, y = humming()
    soundfile.write(folder / "tone.wav", y / 8, RATE, subtype="PCM_16")
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=HUM, keep=True))
    sound, _ = soundfile.read(result.path)
    assert soundfile.info(result.path).subtype == "FLOAT"
    assert gain(sound * 8, x, y) > 12


def test_packed_maps_in_floating_point_are_not_packed_again(folder, tmp_path):
    x, y = striped()
    with netCDF4.Dataset(folder / "a.nc", "w") as file:
        for name, length in zip("yx", y.shape, strict=True):
            file.createDimension(name, length)
        variable = file.createVariable("t", "i2", ("y", "x"))
        variable.scale_factor = 0.1
        variable[:] = y
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS, keep=True))
    with netCDF4.Dataset(result.path) as file:
        values = np.asarray(file["t"][:])
    assert values.dtype.kind == "f"
    assert np.abs(values / 0.1 - np.rint(values / 0.1)).mean() > 0.1
    assert gain(values, x, y) > 6


def test_what_a_file_beside_them_says_holds(folder, tmp_path):
    np.save(folder / "a.npy", humming()[1][:, None])
    (folder / "signals.json").write_text(json.dumps({"kind": "series", "axes": "TC", "rate": RATE}))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=HUM))
    assert result.status == "cleaned", result.error


def test_processes_know_plugins(folder, tmp_path, monkeypatch):
    plugin = tmp_path / "halo.py"
    plugin.write_text(
        "from dataclasses import dataclass\nimport torch\nfrom sagd import Spectrum\n"
        "@dataclass(frozen=True)\nclass Halo(Spectrum, kind='halo_of_a_test'):\n"
        "    def weights(self, frequencies):\n"
        "        return ((torch.linalg.vector_norm(frequencies, dim=0) - 0.3).abs() < 0.02).double()\n"
    )
    for k in range(2):
        tifffile.imwrite(folder / f"{k}.tif", striped(seed=k)[1].astype(np.float32))
    monkeypatch.setattr(Spectrum, "_members", dict(Spectrum._members))  # what the test adds goes when it ends
    options = ["--band", "halo_of_a_test", "--jobs", "2", "--plugin", str(plugin)]
    assert main(["clean", str(folder), "--out", str(tmp_path / "out"), *options]) == 0


def grey(values):
    return np.clip(128 + 30 * values, 0, 255).astype(np.uint8)


def test_files_of_one_name_are_told_apart_by_their_endings(folder, tmp_path):
    y = striped()[1]
    Image.fromarray(grey(y)).save(folder / "a.png")
    tifffile.imwrite(folder / "a.tif", y.astype(np.float32))
    results = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert {r.path.name for r in results} == {"a.png", "a.tif"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "a.tif"}


@pytest.mark.parametrize(("endings", "keep"), [((".jpg", ".png"), False), ((".png", ".tif"), True)])
def test_files_that_would_be_written_as_one_are_refused(folder, tmp_path, endings, keep):
    for ending in endings:
        Image.fromarray(grey(striped()[1])).save(folder / f"a{ending}")
    with pytest.raises(InputError, match="both be written as 'a"):
        clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS, keep=keep))
    assert not (tmp_path / "out").exists()


def test_two_folders_with_files_of_one_name(folder, tmp_path):
    for part in ("one", "two"):
        (folder / part).mkdir()
        np.save(folder / part / "a.npy", striped()[1])
    both = [folder / "one", folder / "two"]
    with pytest.raises(InputError, match="clean them apart"):
        clean_files(both, tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert [r.name for r in clean_files(both, None, CleaningConfig(band=COLUMNS))] == ["a.npy", "a.npy"]
    assert len(clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))) == 2


def test_files_of_mixed_types_have_no_band_together(folder, tmp_path):
    y = striped()[1]
    tifffile.imwrite(folder / "a.tif", y.astype(np.float32))
    tifffile.imwrite(folder / "b.tif", np.rint(2000 + 300 * y).astype(np.uint16))
    with pytest.raises(InputError, match="one band is for files of one type of values"):
        clean_files([folder], tmp_path / "out", CleaningConfig(shared=True))


def waves(folder, count, seed=0):
    """Small 8-bit digits under one upright wave that no window holds whole, and as they were."""
    g = np.random.default_rng(seed)
    clean = load(DataConfig("digits", size=16, limit=count)).tensor()[:, 0].numpy() * 80 + 128
    damage = 35 * np.cos(2 * np.pi * (0.27 * np.arange(16) + g.random((count, 1, 1))))
    for k, image in enumerate(clean + damage):
        Image.fromarray(image.clip(0, 255).round().astype(np.uint8)).save(folder / f"{k:03}.png")
    return clean


def error(results, clean):
    return float(np.mean([(np.asarray(Image.open(r.path)) - x) ** 2 for r, x in zip(results, clean, strict=True)]))


@pytest.mark.parametrize("unsure", [True, False])
def test_files_in_which_nothing_is_certain_together_are_copied(folder, tmp_path, monkeypatch, unsure, caplog):
    """Each with what was looked at in all; none is looked at by itself."""
    waves(folder, 60)
    certain = looking.search
    looks = []

    def nothing(x, reference=None, log=None):
        looks.append(x)
        found, scale = certain(x, reference, log)
        doubtful = tuple(dataclasses.replace(f, probability=0.8) for f in found.findings)
        return dataclasses.replace(found, findings=(), unsure=doubtful if unsure else (), nearest=0.8), scale

    monkeypatch.setattr(looking, "search", nothing)
    monkeypatch.setattr(cleaning, "search", nothing)
    caplog.set_level("INFO")
    assert main(["clean", str(folder), "--together", "--out", str(tmp_path / "out")]) == 0
    assert len(looks) == 1
    assert all((tmp_path / "out" / p.name).read_bytes() == p.read_bytes() for p in folder.glob("*.png"))
    assert (tmp_path / "out" / "report.html").exists()
    assert ("not sure" if unsure else "nothing found") in caplog.text
    told = json.loads((tmp_path / "out" / "cleaning.json").read_text())
    assert {one["status"] for one in told} == {"unsure" if unsure else "clean"}
    assert all(one["asked"].endswith("--together") for one in told if one["asked"])


@pytest.mark.parametrize("together", [True, False])
def test_a_blank_page_cancels_no_dead_line(folder, tmp_path, together):
    x = np.random.default_rng(0).integers(0, 256, (10, 16, 16), np.uint8)
    x[:, :, 9] = 200
    x[3] = 128
    if together:
        for k, image in enumerate(x):
            Image.fromarray(image).save(folder / f"{k}.png")
    else:
        tifffile.imwrite(folder / "stack.tif", x)
    results = clean_files([folder], tmp_path / "out", CleaningConfig("strip(axis=0, low=0.1)", shared=together))
    assert "X 9" in results[0].line()


@pytest.mark.parametrize("band", ["auto", "strip(axis=1, low=0.0625, width=0.4)"])
@pytest.mark.parametrize("bad", ["unreadable", "infinite", "empty"])
def test_a_bad_file_stops_no_other_that_is_cleaned_with_it(folder, tmp_path, band, bad):
    clean = load(DataConfig("digits", size=16, limit=60)).tensor()[:, 0].numpy()
    damage = 0.4 * np.cos(2 * np.pi * (0.27 * np.arange(16) + np.random.default_rng(0).random((60, 1, 1))))
    for k, x in enumerate((clean + damage).astype(np.float32)):
        tifffile.imwrite(folder / f"{k:03}.tif", x)
    if bad == "unreadable":
        (folder / "bad.tif").write_bytes(b"no image")
    else:
        tifffile.imwrite(folder / "bad.tif", np.full((16, 16), np.inf if bad == "infinite" else np.nan, np.float32))
    results = clean_files([folder], tmp_path / "out", CleaningConfig(band, shared=True))
    told = {r.name: r.status for r in results}
    assert told.pop("bad.tif") == "failed"
    assert set(told.values()) == {"cleaned"}


@pytest.mark.parametrize("band", ["auto", "strip(axis=1, low=0.0625, width=0.4)"])
def test_small_files_together_are_cleaned_by_one_gain(folder, tmp_path, caplog, band):
    """What a file of 16 x 16 shows by itself is too little to tell damage from content by."""
    clean = waves(folder, 60)
    caplog.set_level("INFO")
    together = clean_files([folder], tmp_path / "together", CleaningConfig(band, shared=True))
    assert "one gain, measured on 60 arrays of 16 x 16 samples" in caplog.text
    assert "what comes of the other 40 is told in cleaning.json" in caplog.text
    apart = clean_files([folder], tmp_path / "apart", CleaningConfig(together[0].band))
    assert error(together, clean) < 0.75 * error(apart, clean)
    if band == "auto":
        several = clean_files([folder], tmp_path / "several", CleaningConfig(band, shared=True), jobs=2)
        assert all((tmp_path / "several" / r.path.name).read_bytes() == r.path.read_bytes() for r in together)
        assert len(several) == 60


def test_small_files_of_several_sizes_have_a_gain_for_each(folder, tmp_path, caplog):
    waves(folder, 40)
    for k in range(3):
        tifffile.imwrite(folder / f"large-{k}.tif", grey(striped()[1])[: 20 + k // 2])
    caplog.set_level("INFO")
    band = "strip(axis=1, low=0.0625, width=0.4)"
    results = clean_files([folder], tmp_path / "out", CleaningConfig(band, shared=True))
    assert [r.status for r in results] == ["cleaned"] * 43
    assert caplog.text.count("one gain, measured on") == 2  # the third large one is alone of its size


def test_what_has_no_content_stays_as_it_is_among_what_has_something_in_common(folder, tmp_path):
    """And is not cleaned of what the others have in common."""
    waves(folder, 40)
    for k in range(40):
        path = folder / f"{k:03}.png"
        image = np.asarray(Image.open(path)).astype(int)
        image[4:12, 4:12] += 60
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    blank = np.full((16, 16), 128, np.uint8)
    faint = blank.copy()
    faint[2, 3] = 130
    for name, image in (("blank.png", blank), ("faint.png", faint)):
        Image.fromarray(image).save(folder / name)
    results = {r.name: r for r in clean_files([folder], tmp_path / "out", CleaningConfig(COLUMNS, shared=True))}
    for name, image in (("blank.png", blank), ("faint.png", faint)):
        assert (np.asarray(Image.open(results[name].path)) == image).all()


def test_a_constant_line_of_one_small_file_is_content(folder, tmp_path):
    """Lines of a sensor are constant in all."""
    for k, image in enumerate(np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)):
        image[:, 9] = 200
        if k == 7:
            image[5] = 200
        Image.fromarray(image).save(folder / f"{k:03}.png")
    results = clean_files([folder], tmp_path / "out", CleaningConfig("strip(axis=0, low=0.1)", shared=True))
    assert all("X 9" in r.line() and "Y 5" not in r.line() for r in results)


def test_many_small_files_are_told_of_looking_at_all_together(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    waves(folder, 20)
    assert main(["clean", str(folder), "--band", COLUMNS, "--out", str(tmp_path / "out")]) == 0
    assert "--together looks for one band in all of them" in caplog.text


def test_black_and_white_is_left_to_floating_point(folder, tmp_path):
    y = striped()[1]
    Image.fromarray(y > 0).save(folder / "a.png")
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert result.status == "failed"
    assert "black or white" in result.error
    (result,) = clean_files([folder], tmp_path / "float", CleaningConfig(band=COLUMNS, keep=True))
    assert result.status == "cleaned"
    assert tifffile.imread(result.path).dtype == np.float32


def test_what_a_file_loses_is_said(folder, tmp_path):
    y = grey(striped()[1])
    Image.fromarray(np.dstack([y, y, y, y])).save(folder / "clear.png")
    Image.fromarray(y).save(folder / "lossy.jpg", quality=95)
    Image.fromarray(y).convert("P").save(folder / "palette.png")
    clear, lossy, palette = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert "colours of its palette are looked up" in palette.line()
    assert "transparency is laid over white" in clear.line()
    assert "written as lossy.png" in lossy.line()


def test_values_that_were_cut_off_are_told_and_reckoned_with(folder, tmp_path):
    x, y = striped()
    Image.fromarray(grey(y + 2.5)).save(folder / "bright.png")
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert "of the values are the least or the largest that there are, where damage was cut off" in result.line()
    clean, damaged = (np.clip(128 + 30 * (z + 2.5), 0, 255) for z in (x, y))
    assert gain(np.asarray(Image.open(result.path), float), clean, damaged) > 10
    Image.fromarray(grey(0.3 * y)).save(folder / "bright.png")
    (result,) = clean_files([folder], tmp_path / "other", CleaningConfig(band=COLUMNS))
    assert "cut off" not in result.line()


def test_pages_show_files_with_missing_values(folder, tmp_path):
    y = striped()[1].astype(np.float32)
    y[40:50, 60:70] = np.nan
    tifffile.imwrite(folder / "a.tif", y)
    assert main(["clean", str(folder), "--out", str(tmp_path / "out"), "--band", COLUMNS]) == 0
    assert np.isnan(tifffile.imread(tmp_path / "out" / "a.tif")).sum() == 100
    assert "missing values" in (tmp_path / "out" / "report.html").read_text()


def test_the_rate_is_asked_for_as_the_command_has_it(folder, tmp_path, capsys):
    for name in ("a", "b"):
        np.save(folder / f"{name}.npy", humming()[1])
    options = ["--band", HUM, "--jobs", "2"]
    assert main(["clean", str(folder), "--out", str(tmp_path / "out"), *options]) == 2
    assert "give --rate, e.g. 8000" in capsys.readouterr().err


def test_what_does_not_vary_is_copied(folder, tmp_path):
    np.save(folder / "a.npy", np.full((200, 200), 7.0))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig())
    assert (result.status, result.line()) == ("clean", "a.npy: copied as it is; it does not vary")
    np.testing.assert_array_equal(np.load(result.path), 7.0)
    render_cleaning([result], tmp_path / "out")


def test_hertz_are_for_what_has_time(folder, tmp_path):
    np.save(folder / "a.npy", scene())
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig("spots(at=[['60 Hz']], radius='1 Hz')", rate=9))
    assert "is in Hz, and this has no axis of time" in result.error


def test_damage_is_looked_for_where_the_mask_is(folder, tmp_path):
    clear, damaged = striped()
    half = np.zeros(clear.shape, np.uint8)
    half[:, : clear.shape[1] // 2] = 255
    mask = tmp_path / "mask.npy"
    np.save(mask, half)
    np.save(folder / "a.npy", np.where(half > 0, damaged, clear))
    seen = []
    search = cleaning.search
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "search", lambda x, *rest: seen.append(x.shape) or search(x, *rest))
        clean_files([folder], tmp_path / "out", CleaningConfig(mask=mask))
    assert seen[0][-1] <= clear.shape[1] // 2 + 1


@pytest.fixture
def unsure(monkeypatch):
    """Nothing that is found is certain."""
    certain = cleaning.search

    def search(x, reference=None, log=None):
        found, scale = certain(x, reference, log)
        return dataclasses.replace(found, findings=(), unsure=found.findings), scale

    monkeypatch.setattr(cleaning, "search", search)


@pytest.mark.usefixtures("unsure")
def test_what_is_unsure_is_shown_and_left_alone(folder, tmp_path):
    path = folder / "a.tif"
    tifffile.imwrite(path, striped()[1].astype(np.float32))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig())
    assert (result.status, result.path.read_bytes()) == ("unsure", path.read_bytes())
    assert result.shown.taken.max() > 0.9
    page = render_cleaning([result], tmp_path / "out").read_text()
    assert "would be taken out" in page
    assert "without it" in page


@pytest.mark.usefixtures("unsure")
def test_many_unsure_files_are_told_of_looking_at_all_together(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("a", "b"):
        tifffile.imwrite(folder / f"{name}.tif", striped()[1].astype(np.float32))
    assert main(["clean", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "--together looks for one band in all of them" in caplog.text


def test_cleaned_files_among_the_others_are_said(folder, tmp_path, caplog):
    tifffile.imwrite(folder / "a.tif", striped()[1].astype(np.float32))
    clean_files([folder], folder / "out", CleaningConfig(band=COLUMNS))
    assert "whoever reads that next reads the cleaned files, too" in caplog.text


def test_what_is_likeliest_is_shown_where_nothing_is_found(folder, tmp_path, monkeypatch):
    """And taken out where that is asked for."""
    tifffile.imwrite(folder / "a.tif", striped()[1].astype(np.float32))
    certain = cleaning.search

    def nothing(x, reference=None, log=None):
        found, scale = certain(x, reference, log)
        likeliest = dataclasses.replace(found.findings[0], probability=0.3)
        return dataclasses.replace(found, findings=(), unsure=(), likeliest=likeliest), scale

    monkeypatch.setattr(cleaning, "search", nothing)
    monkeypatch.setattr(looking, "search", nothing)
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig())
    assert (result.status, result.nearest) == ("clean", 0.3)
    assert result.asked.startswith('band "strip(axis=1')
    assert result.asked in result.line()
    assert result.shown.taken.max() == 1
    page = render_cleaning([result], tmp_path / "out").read_text()
    assert result.asked.replace('"', "&#34;") in page
    assert "taken out</span>" not in page
    (result,) = clean_files([folder], tmp_path / "likeliest", CleaningConfig("likeliest"))
    assert result.status == "cleaned"
    assert "(damage with probability 0.30)" in result.line()
    (result,) = clean_files([folder], tmp_path / "together", CleaningConfig("likeliest", shared=True))
    assert result.status == "cleaned"


def test_what_is_unsure_beside_what_was_taken_out_is_told(folder, tmp_path, monkeypatch):
    tifffile.imwrite(folder / "a.tif", striped()[1].astype(np.float32))
    certain = cleaning.search

    def more(x, reference=None, log=None):
        found, scale = certain(x, reference, log)
        spots = dataclasses.replace(
            found.findings[0], band=Spectrum.parse("spots(at=[[0.2, 0.3]], radius=0.01)"), probability=0.7
        )
        return dataclasses.replace(found, unsure=(spots,)), scale

    monkeypatch.setattr(cleaning, "search", more)
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig())
    assert result.status == "cleaned"
    assert f"not sure of more (probability 0.70), if it is damage, too: {result.asked}" in result.line()
    assert Spectrum.parse(result.asked.split('"')[1]).parts


def test_how_much_was_taken_out_where_content_is_strong(folder):
    x, y = striped()
    for name, amount in (("weak", 0.15), ("strong", 3.0)):
        tifffile.imwrite(folder / f"{name}.tif", (x + amount * (y - x)).astype(np.float32))
    strong, weak = clean_files([folder], None, CleaningConfig(band=COLUMNS))
    assert strong.mixed < 0.1 < weak.mixed <= 1
    assert "where content is strong" in weak.line()


def test_the_band_is_shown_over_the_image(folder):
    x, y = striped()
    tifffile.imwrite(folder / "a.tif", y.astype(np.float32))
    (result,) = clean_files([folder], None, CleaningConfig(band=COLUMNS))
    stripes = (y - x)[:1]
    # What is in the band, stripes and more, is what is taken out and a rest that has nothing to do with the stripes.
    rest = result.shown.held[0] - result.shown.removed[0]
    assert np.corrcoef(result.shown.held[0].mean(0), stripes[0])[0, 1] > 0.85
    assert abs((rest * stripes).mean()) < 0.1 * (stripes**2).mean()


def test_of_many_files_pages_keep_a_few(folder):
    for k in range(14):
        np.save(folder / f"{k}.npy", humming(1500)[1])
    results = clean_files([folder], None, CleaningConfig(band=HUM, rate=RATE))
    assert [r.name for r in results] == [f"{k}.npy" for k in range(14)]
    assert 6 <= sum(r.shown is not None for r in results) <= 12


def test_a_band_without_damage_takes_nothing_out(folder, tmp_path):
    np.save(folder / "a.npy", np.random.default_rng(0).standard_normal((192, 224)))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band="spots(at=[[0.3, 0.3]], radius=0.01)"))
    assert result.status == "clean"
    assert "; nothing there stands out, and nothing was taken out" in result.line()


@pytest.mark.parametrize("width", [6, 7])
def test_maps_hold_every_frequency_once(width):
    x = np.random.default_rng(0).standard_normal((5, width))
    full = np.fft.fftshift(np.abs(np.fft.fft2(x)))
    half = torch.from_numpy(np.abs(np.fft.rfft2(x)))
    np.testing.assert_allclose(whole_map(half, width), full, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "picture"}, "picture"),
        ({"rate": -3.0}, "rate must be positive"),
        ({"mask": Path("nowhere.png")}, "no mask 'nowhere.png'"),
        ({"reference": Path("nowhere.png")}, "no reference 'nowhere.png'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_work(folder, tmp_path, options, message):
    np.save(folder / "a.npy", scene())
    with pytest.raises(InputError, match=message):
        clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS, **options))


def test_inputs_are_never_overwritten(folder):
    np.save(folder / "a.npy", humming()[1])
    with pytest.raises(InputError, match="would be overwritten"):
        clean_files([folder / "a.npy"], folder, CleaningConfig(band=HUM, rate=RATE))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"band": "strip(axis=3)"}, "axis 3"), ({"band": "ring(low=0, high=1)"}, "holds every frequency")],
)
def test_bands_that_cannot_be_are_refused(folder, tmp_path, options, message):
    np.save(folder / "a.npy", scene())
    (result,) = clean_files([folder], tmp_path / "out", dataclasses.replace(CleaningConfig(), **options))
    assert result.status == "failed"
    assert message in result.error


def test_bands_that_cannot_be_read_are_refused_before_any_work(folder, tmp_path):
    np.save(folder / "a.npy", scene())
    with pytest.raises(InputError, match="nonsense"):
        clean_files([folder], tmp_path / "out", CleaningConfig(band="nonsense"))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1e-2), (0.0, 1e-12), (0.0, 1e-40), (0.0, 1e39)])
def test_values_of_any_size_are_cleaned_alike(offset, scale, keep, folder, tmp_path):
    y = striped()[1]
    np.save(folder / "a.npy", y)
    np.save(folder / "b.npy", offset + scale * y)
    one, other = clean_files([folder], tmp_path / "out", CleaningConfig(keep=keep))
    assert one.status == other.status == "cleaned"
    assert other.excess == pytest.approx(one.excess, abs=0.01)
    a, b = (np.load(result.path).astype(np.float64) for result in (one, other))
    np.testing.assert_allclose((b - offset) / scale, a, atol=1e-4)


def test_floating_point_tells_apart_what_whole_numbers_did(folder, tmp_path):
    np.save(folder / "a.npy", (10**9 + 5 * striped()[1]).astype(np.int32))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(keep=True))
    found = np.load(result.path)
    assert (result.status, found.dtype) == ("cleaned", np.float64)
    assert len(np.unique(found)) > 1000


@pytest.mark.parametrize(("band", "scale"), [("auto", 1e300), (COLUMNS, 1e300), ("auto", 1e-300), (COLUMNS, 1e-300)])
def test_values_without_squares_are_refused_with_the_reason(band, scale, folder, tmp_path):
    np.save(folder / "a.npy", scale * striped()[1])
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=band))
    assert "whose square double precision does not hold; divide them" in result.error


def test_what_the_disk_has_no_room_for_is_refused_before_any_work(folder, tmp_path, monkeypatch):
    np.save(folder / "a.npy", striped()[1])
    monkeypatch.setattr(whole, "LARGEST", 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 0))
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig())
    assert "a.npy' holds 0.0 GiB, and 0.0 GiB are free in" in result.error
    assert not (tmp_path / "out").exists()
    (result,) = clean_files([folder], None, CleaningConfig())
    assert result.status == "cleaned"


def test_a_full_disk_is_told_with_the_name_of_the_file(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    np.save(folder / "a.npy", striped()[1])
    monkeypatch.setattr(type(Format.parse("npy")), "save", full)
    (result,) = clean_files([folder], tmp_path / "out", CleaningConfig(band=COLUMNS))
    assert result.error == f"cannot use '{tmp_path / 'out' / 'a.npy'}': No space left on device"
