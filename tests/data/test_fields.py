"""Fields of files of every kind: what is read, in which windows, and what is refused before training."""

import csv
import dataclasses
import logging
import pickle
import wave

import nibabel
import numpy as np
import pytest
import tifffile
import torch
import xarray
from PIL import Image

from sagd.build.schema import RunConfig, TrainingConfig
from sagd.data.config import DataConfig
from sagd.data.fields import LazyFields, Recent, differ, windows
from sagd.data.files import read_named, require_like, save_fields, save_like
from sagd.data.formats import Coordinates, Format, Step
from sagd.data.formats.csv import Csv
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.data.signals import SignalReader
from sagd.data.sources import base as sources
from sagd.errors import InputError
from sagd.networks.config import NetworkConfig
from sagd.noise.places import area_weights
from sagd.study.train import prepare


def loaded(source, **options):
    return load(DataConfig(source=str(source), **options))


def write_wav(path, values, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if values.ndim == 1 else values.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(values.astype("<i2").tobytes())
    return path


def sound(length, seed=0):
    return np.random.default_rng(seed).integers(-20000, 20000, length)


@pytest.fixture
def records(tmp_path):
    """Three records of 250, 100 and 70 samples."""
    for i, length in enumerate((250, 100, 70)):
        write_wav(tmp_path / "sound" / f"{i}.wav", sound(length, i))
    return tmp_path / "sound"


@pytest.mark.parametrize(
    ("length", "size", "starts"), [(10, 4, [0, 4, 6]), (8, 4, [0, 4]), (4, 4, [0]), (3, 4, [0]), (5, 4, [0, 1])]
)
def test_windows_cover_all_and_reach_no_further(length, size, starts):
    assert windows(length, size) == starts
    covered = {i for start in starts for i in range(start, min(start + size, length))}
    assert covered == set(range(length))


def test_records_are_cut_into_windows_and_short_ones_padded(records):
    data = loaded(records, size=100)
    assert data.shape == (1, 100)
    assert len(data) == 3 + 1 + 1
    assert data.meaning.rate == pytest.approx(8000)
    assert (data.meaning.offset, data.meaning.dtype, data.meaning.ending) == ((0.0,), "int16", ".wav")
    values = data.meaning.to_values(data.tensor())
    expected = [sound(250)[0:100], sound(250)[100:200], sound(250)[150:250], sound(100, 1), sound(70, 2)]
    for found, own in zip(values, expected, strict=True):
        assert np.allclose(found[0, : len(own)], own, atol=0.01)
        assert (found[0, len(own) :] == 0).all()
    known = data.known()
    assert known is not None
    assert known.sum((1, 2)).tolist() == [100, 100, 100, 100, 70]


def test_batches_say_where_values_are_missing(records):
    reader = SignalReader(loaded(records, size=100), seed=0)
    (x, told), digests = reader.read(torch.tensor([4, 0]), 1)
    assert torch.equal(told["mask"].sum((1, 2)), torch.tensor([70, 100]))
    assert torch.isfinite(x).all()
    assert len(set(digests.tolist())) == 2


def test_in_memory_and_on_demand_agree(records, monkeypatch):
    memory = loaded(records, size=100)
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    lazy = loaded(records, size=100)
    assert isinstance(lazy.stored, LazyFields)
    assert torch.equal(lazy.tensor(), memory.tensor())
    assert torch.equal(lazy.known(), memory.known())
    every = torch.arange(len(memory))
    assert torch.equal(lazy.digests(lazy.values(every), every), memory.digests(memory.values(every), every))


def test_what_was_read_is_said(records, caplog):
    (records / "readme.txt").write_text("sound")
    with caplog.at_level(logging.INFO):
        loaded(records, size=100)
    said = caplog.text
    assert "left out 1 file(s)" in said
    assert "1 .txt" in said
    assert "5 records of 3 files, 1 x 100 (C, T) at 8000 Hz" in said
    assert "values are int16, which models see as (v - 0) / " in said
    assert "6 % of the values are missing or beyond the end, and are left out of loss and measures" in said


def test_records_are_resampled(tmp_path):
    """A tone of 400 Hz at 8 and at 16 kHz is the same at 4 kHz, but for its ends."""
    for rate in (8000, 16000):
        t = np.arange(rate) / rate
        write_wav(tmp_path / f"{rate}.wav", 10000 * np.sin(2 * np.pi * 400 * t), rate)
    with pytest.raises(InputError, match=r"8000.wav' has a rate of 8000 Hz, .* Hz; bring all to one with data.resam"):
        loaded(tmp_path)
    data = loaded(tmp_path, resample=4000.0)
    assert data.shape == (1, 4000)
    assert data.meaning.rate == pytest.approx(4000)
    x = data.meaning.to_values(data.tensor())
    expected = 10000 * torch.sin(2 * torch.pi * 400 * torch.arange(4000, dtype=torch.float64) / 4000)
    assert (x[:, 0, 100:-100] - expected[100:-100]).abs().max() < 20


def test_sixteen_bits_stay_sixteen_bits(tmp_path):
    g = np.random.default_rng(0)
    images = g.integers(0, 4096, (3, 8, 10)).astype(np.uint16)
    for i, image in enumerate(images[:2]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    tifffile.imwrite(tmp_path / "2.tif", images[2])
    data = loaded(tmp_path)
    assert data.meaning.kind == "image"
    assert np.array_equal(data.meaning.to_values(data.tensor()).numpy().round(), images[:, None])
    assert data.tensor().min() < -0.9
    assert data.tensor().max() > 0.9


def test_pages_of_a_stack_are_images_and_min_is_white_is_turned(tmp_path):
    pages = np.random.default_rng(0).integers(0, 256, (5, 6, 7)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="miniswhite")
    data = loaded(tmp_path / "a.tif")
    assert len(data) == 5
    assert np.array_equal(data.stored[:, 0].numpy(), 255 - pages)
    assert data.meaning.is_bytes


def test_large_images_are_cut_into_tiles(tmp_path):
    image = np.random.default_rng(0).normal(size=(10, 12)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(InputError, match=r"windows of it are many: data.fit=tile data.size=4"):
        loaded(tmp_path / "a.tif")
    data = loaded(tmp_path / "a.tif", fit="tile", size=(5, 6))
    tiles = [image[i : i + 5, j : j + 6] for i in (0, 5) for j in (0, 6)]
    assert np.allclose(data.meaning.to_values(data.tensor())[:, 0], np.stack(tiles), atol=1e-6)


def test_images_of_any_depth_are_scaled(tmp_path):
    ramp = np.linspace(0, 60000, 32, dtype=np.float32).round().astype(np.uint16)
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", np.broadcast_to(ramp, (16, 32)))
    data = loaded(tmp_path, size=8)
    values = data.meaning.to_values(data.tensor())[0, 0, 0]
    # Two pixels become one; the middle half of the columns is kept.
    expected = torch.tensor(ramp.astype(np.float64)).reshape(16, 2).mean(1)[4:12]
    assert torch.allclose(values, expected, rtol=0.02, atol=300)


def test_tables_are_series(tmp_path):
    for k in range(2):
        with (tmp_path / f"{k}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["time [s]", "north", "east"])
            rows.writerows([[0.5 * i, i + k, -i] for i in range(20)])
    data = loaded(tmp_path)
    assert (data.meaning.kind, data.shape) == ("series", (2, 20))
    assert data.meaning.channels == ("north", "east")
    assert data.meaning.rate == pytest.approx(2.0)
    values = data.meaning.to_values(data.tensor())
    assert torch.allclose(values[1, 0], torch.arange(20, dtype=torch.float64) + 1, atol=1e-5)


def test_films_and_volumes(tmp_path):
    frames = [Image.fromarray(np.full((6, 8), 10 * k, np.uint8)) for k in range(5)]
    for name in ("a", "b"):
        frames[0].save(tmp_path / f"{name}.gif", save_all=True, append_images=frames[1:], duration=50)
    film = loaded(tmp_path)
    assert (film.meaning.kind, film.shape) == ("video", (1, 5, 6, 8))
    assert film.meaning.rate == pytest.approx(20)
    np.save(tmp_path / "v.npy", np.zeros((4, 6, 6, 6), np.float32))
    assert loaded(tmp_path / "v.npy", kind="volume").shape == (1, 6, 6, 6)


def test_labels_of_a_table_beside_the_files(records, caplog):
    (records / "metadata.csv").write_text("file_name,label,speaker\n0.wav,dog,a\n1.wav,cat,b\n2.wav,dog,b\n")
    data = loaded(records, size=100)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [1, 1, 1, 0, 1]
    assert loaded(records, size=100, label_column="speaker").classes == ("a", "b")
    assert loaded(records, size=100, label_column="none").labels is None
    with pytest.raises(InputError, match=r"metadata.csv' has no column 'mood'; it has file_name, label, speaker"):
        loaded(records, size=100, label_column="mood")
    (records / "metadata.csv").write_text("file_name,label\n0.wav,dog\n")
    with pytest.raises(InputError, match=r"metadata.csv' has no row for '1.wav'; add it"):
        loaded(records, size=100)
    (records / "metadata.csv").write_text("file_name,speaker\n0.wav,dog\n1.wav,x\n2.wav,y\n")
    with caplog.at_level(logging.INFO):
        assert loaded(records, size=100).labels is None
    assert "metadata.csv holds no labels" in caplog.text


def test_missing_values_are_refused_or_left_out(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)
    values[2, 1, 1:] = np.nan
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"field 2 of '.*a.npy' holds 3 missing value\(s\) \(NaN\).*data.missing=mask"):
        loaded(tmp_path / "a.npy")
    data = loaded(tmp_path / "a.npy", missing="mask")
    assert int((~data.known()).sum()) == 3
    assert len(loaded(tmp_path / "a.npy", skip_bad=True)) == 5
    values[3, 0, 0] = np.inf
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"field 3 of '.*a.npy' holds 1 infinite value\(s\)"):
        loaded(tmp_path / "a.npy", missing="mask")


def test_mixtures_are_refused_with_the_names_of_files(tmp_path):
    write_wav(tmp_path / "a" / "1.wav", sound(50))
    write_wav(tmp_path / "a" / "2.wav", sound(60))
    with pytest.raises(InputError, match=r"1.wav' is 50, '.*2.wav' is 60; give all one with data.size \(medians: 55\)"):
        loaded(tmp_path / "a")
    write_wav(tmp_path / "b" / "1.wav", sound(50))
    write_wav(tmp_path / "b" / "2.wav", sound(100).reshape(50, 2))
    with pytest.raises(InputError, match=r"differ in channels: '.*1.wav' has 1, '.*2.wav' 2"):
        loaded(tmp_path / "b")
    for name, dtype in (("1", np.uint8), ("2", np.uint16)):
        (tmp_path / "c").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "c" / f"{name}.tif", np.ones((4, 4), dtype))
    with pytest.raises(InputError, match=r"differ in type: '.*1.tif' holds uint8, '.*2.tif' uint16"):
        loaded(tmp_path / "c")


def test_bad_files_are_named_or_left_out(records, caplog):
    (records / "3.wav").write_bytes((records / "0.wav").read_bytes()[:30])
    with pytest.raises(InputError, match=r"cannot read '.*3.wav': .*; leave such files out with data.skip_bad=True"):
        loaded(records, size=100)
    with caplog.at_level(logging.WARNING):
        assert len(loaded(records, size=100, skip_bad=True)) == 5
    assert "left out 1 of 4 files" in caplog.text


def test_windows_larger_than_everything_are_refused(records):
    with pytest.raises(
        InputError, match=r"data.size \[300\] is larger than all records here, which have at most \[250\]"
    ):
        loaded(records, size=300)
    with pytest.raises(InputError, match=r"data.size \[3, 4\] names 2 sides, records here have 1 \(T\)"):
        loaded(records, size=(3, 4))


def test_a_rate_that_is_missing(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((400, 2)))
    assert loaded(tmp_path / "a.npy", size=100).meaning.rate is None
    assert loaded(tmp_path / "a.npy", size=100, rate=50.0).meaning.rate == pytest.approx(50)
    with pytest.raises(InputError, match=r"does not say its rate, from which data.resample=25 .* data.rate"):
        loaded(tmp_path / "a.npy", size=100, resample=25.0)


def test_times_that_are_not_evenly_spaced_are_told_from_those_that_are_missing(tmp_path):
    even = "time [s],a\n" + "".join(f"{i},{i % 3}\n" for i in range(20))
    (tmp_path / "0.csv").write_text(even)
    (tmp_path / "1.csv").write_text(even.replace("\n7,", "\n7.4,"))
    uneven = r"1.csv' has times that are not evenly spaced"
    with pytest.raises(InputError, match=rf"'.*0.csv' has a rate of 1 Hz, '.*{uneven}; bring all"):
        loaded(tmp_path)
    with pytest.raises(InputError, match=rf"{uneven}, from which data.resample=2 could be reached"):
        loaded(tmp_path, resample=2.0)


def test_infinite_and_missing_values_are_told_together(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 9 + "inf,\n")
    with pytest.raises(InputError, match=r"holds 1 infinite value\(s\) and 1 missing value\(s\) \(NaN\) in one series"):
        loaded(tmp_path / "a.csv", size=5)


@pytest.mark.parametrize("memory", [True, False])
def test_a_channel_that_does_not_vary_is_named(memory, tmp_path, caplog, monkeypatch):
    (tmp_path / "a.csv").write_text("a [V],b\n" + "".join(f"0.1,{i % 4}\n" for i in range(20)))
    if not memory:
        monkeypatch.setattr("sagd.data.sources.base.MEMORY_LIMIT", 0)
    with caplog.at_level(logging.INFO):
        loaded(tmp_path / "a.csv", size=5)
    assert caplog.text.count("does not vary") == 1
    assert f"note: channel 'a [V]' does not vary{'' if memory else ' in the first 4'}\n" in caplog.text


def test_each_channel_of_a_volume_has_a_scale_of_its_own(tmp_path):
    g = np.random.default_rng(0)
    np.save(tmp_path / "v.npy", g.normal([[0.0], [5e4]], [[1.0], [1e3]], (3 * 64, 2, 1)).reshape(3, 4, 4, 4, 2))
    data = loaded(tmp_path / "v.npy", kind="volume", axes="NZYXC")
    assert len(data.meaning.scale) == 2
    x = data.tensor()
    assert x.amin((0, 2, 3, 4)) == pytest.approx([-1, -1], abs=0.1)
    assert x.amax((0, 2, 3, 4)) == pytest.approx([1, 1], abs=0.1)


def test_arrays_of_a_file_are_channels(tmp_path):
    g = np.random.default_rng(0)
    u, v = g.normal(size=(2, 5, 6, 6))
    np.savez(tmp_path / "a.npz", u=u, v=v, times=np.arange(5))
    data = loaded(tmp_path / "a.npz")
    assert (data.shape, data.meaning.channels) == ((2, 6, 6), ("u", "v"))
    assert torch.allclose(data.meaning.to_values(data.tensor())[:, 1], torch.from_numpy(v), atol=1e-5)
    assert loaded(tmp_path / "a.npz", arrays=("v",)).shape == (1, 6, 6)
    with pytest.raises(InputError, match=r"it has no array 'w'; it has u \(5, 6, 6\)"):
        loaded(tmp_path / "a.npz", arrays=("w",))
    with pytest.raises(InputError, match="cannot be channels of one field"):
        loaded(tmp_path / "a.npz", arrays=("u", "times"))


def test_constant_signals_are_seen_as_zero(tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 6, 6), 3.5))
    assert (loaded(tmp_path / "a.npy").tensor() == 0).all()


def test_complex_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 6, 6), complex))
    with pytest.raises(InputError, match="complex"):
        loaded(tmp_path / "a.npy")


def test_scales_of_another_data_set_are_taken(records):
    meaning = loaded(records, size=100).meaning
    quiet = load(DataConfig(str(records), size=70), meaning)
    assert quiet.meaning is meaning


def test_windows_of_long_files_open_them_once(tmp_path, monkeypatch):
    """Whatever the order, and of a format that cannot be read in part, the whole once."""
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    whole = np.random.default_rng(0).normal(size=(30, 6, 6)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", whole)
    np.savez(tmp_path / "b.npz", whole)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    for name, times in (("a.tif", "tifffile.TiffFile.__init__"), ("b.npz", "numpy.lib.format.read_array")):
        data = loaded(tmp_path / name, kind="image", axes="NYX")
        calls = []
        target, attribute = times.rsplit(".", 1)
        module = tifffile.TiffFile if target == "tifffile.TiffFile" else np.lib.format
        before = getattr(module, attribute)
        monkeypatch.setattr(module, attribute, lambda *a, b=before, c=calls, **k: (c.append(1), b(*a, **k))[1])
        x = torch.cat([data.values(part) for part in order.split(7)])
        assert np.allclose(data.meaning.to_values(x)[:, 0], whole[order], atol=1e-5)
        assert len(calls) <= 1  # none, if the file is open or held since it was looked at
        monkeypatch.setattr(module, attribute, before)


def test_arrays_that_were_read_whole_make_room(tmp_path, monkeypatch):
    """Two of three files fit; those used least of late go, but never one of the file that is read."""
    monkeypatch.setattr("sagd.data.fields._HELD", 2 * 8 * 10)
    recent, made = Recent(), []

    def take(path, name=""):
        return recent.whole((path, name), lambda: (made.append(path), np.zeros(10))[1])

    for path in ("a", "b", "a", "c", "a", "b"):
        take(path)
    assert made == ["a", "b", "c", "b"]
    for name in "xyzxyz":
        take("d", name)
    assert made[4:] == ["d", "d", "d"]
    take("a")
    assert len(recent._held) == 2
    assert recent._bytes == 2 * 8 * 10


def test_records_that_are_resampled_are_resampled_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    write_wav(tmp_path / "a.wav", sound(4000))
    data, calls = loaded(tmp_path / "a.wav", size=100, resample=4000.0), []
    from sagd.data import fields

    once = fields.resampled
    monkeypatch.setattr(fields, "resampled", lambda *args: (calls.append(1), once(*args))[1])
    data.values(torch.arange(len(data)).flip(0))
    assert len(calls) <= 1


def test_fields_on_demand_are_read_by_several_threads(tmp_path, monkeypatch):
    monkeypatch.setattr("sagd.data.fields._THREADED", 16)
    whole = np.random.default_rng(0).integers(0, 4096, (40, 8, 8)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", whole, compression="zlib")
    memory = loaded(tmp_path / "a.tif").tensor()
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    data = loaded(tmp_path / "a.tif")
    assert data.stored.threads == 4
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(data.values(order), memory[order])
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again.tensor(), memory)


def stack(path, shape=(6, 8, 8), step=0.5):
    """A stack of floating point whose pixels are `step` micrometres wide."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tifffile.imwrite(path, values, imagej=True, resolution=(1 / step, 1 / step), metadata={"axes": "ZYX", "unit": "um"})


def test_pixels_keep_their_size_or_are_scaled(tmp_path, caplog):
    stack(tmp_path / "a" / "1.tif")
    with caplog.at_level(logging.INFO):
        whole, half = loaded(tmp_path / "a"), loaded(tmp_path / "a", size=4)
    assert {letter: step.size for letter, step in whole.meaning.steps.items()} == pytest.approx({"X": 0.5, "Y": 0.5})
    assert {letter: step.size for letter, step in half.meaning.steps.items()} == pytest.approx({"X": 1.0, "Y": 1.0})
    assert "6 images of 1.tif, 1 x 8 x 8 (C, Y, X), steps " in caplog.text
    given = loaded(tmp_path / "a", size=4, spacing=("3 mm", "3 mm"))
    assert given.meaning.steps["X"] == Step(6.0, "mm")


def test_pixels_of_several_sizes_are_told_none(tmp_path, caplog):
    stack(tmp_path / "a" / "1.tif")
    stack(tmp_path / "a" / "2.tif", step=0.25)
    stack(tmp_path / "b" / "1.tif")
    stack(tmp_path / "b" / "2.tif", (6, 16, 16))
    with caplog.at_level(logging.INFO):
        assert loaded(tmp_path / "a").meaning.steps == loaded(tmp_path / "b", size=8).meaning.steps == {}
    assert caplog.text.count("files differ in the size of a pixel") == 2


def test_messages_name_the_kind_of_item(tmp_path):
    values = np.ones((4, 6, 6))
    values[0, 0, 0] = np.nan
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"missing=mask; leave such fields out with data.skip_bad=True"):
        loaded(tmp_path / "a.npy", kind="field")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "still.gif")
    with pytest.raises(InputError, match="it holds images, and clips are needed"):
        loaded(tmp_path / "still.gif", kind="video")


def test_variables_keep_their_names_and_their_common_unit(tmp_path):
    """From NetCDF to samples of it, and read again."""
    rng, path = np.random.default_rng(0), tmp_path / "wind.nc"
    unit = {"units": "m s-1"}
    xarray.Dataset({name: (("time", "lat", "lon"), rng.normal(size=(4, 5, 6)), unit) for name in "uv"}).to_netcdf(path)
    data = loaded(path)
    assert (data.meaning.channels, data.meaning.quantity) == (("u", "v"), "m s-1")
    save_fields(data.tensor(), [f"{k}" for k in range(4)], tmp_path / "new", data.meaning)
    again = loaded(tmp_path / "new")
    assert (again.meaning.channels, again.meaning.quantity, again.shape) == (("u", "v"), "m s-1", (2, 5, 6))
    values = [d.meaning.to_values(d.tensor()) for d in (data, again)]
    assert torch.allclose(*values, atol=1e-5)
    alone = loaded(path, arrays=("v",))
    assert alone.meaning.channels == ("v",)


def test_sound_of_several_channels_is_mixed_on_request(tmp_path):
    left, right = sound(50), sound(50, 1)
    write_wav(tmp_path / "1.wav", np.stack([left, right], 1))
    write_wav(tmp_path / "2.wav", left)
    with pytest.raises(InputError, match=r"differ in channels: '.*1.wav' has 2, '.*2.wav' 1; choose with data.chan"):
        loaded(tmp_path)
    one = loaded(tmp_path, channels=1)
    assert np.allclose(one.meaning.to_values(one.tensor())[:, 0], [(left + right) / 2, left], atol=0.6)
    two = loaded(tmp_path, channels=2)
    assert np.allclose(two.meaning.to_values(two.tensor()), [[left, right], [left, left]], atol=0.01)


def test_quantities_are_not_mixed(tmp_path):
    np.save(tmp_path / "1.npy", np.ones((3, 2, 6, 6)))
    np.save(tmp_path / "2.npy", np.ones((3, 1, 6, 6)))
    with pytest.raises(InputError, match=r"fields differ in channels: .*; keep those of one number"):
        loaded(tmp_path, kind="field")
    with pytest.raises(InputError, match=r"has 2 channels, which cannot be made 1"):
        loaded(tmp_path, kind="field", channels=1)


def test_only_two_axes_are_scaled(records):
    with pytest.raises(
        InputError, match=r"data.fit 'scale' is for two axes of space, records here have 1 \(T\); leave"
    ):
        loaded(records, size=100, fit="scale")


def test_an_array_that_is_one_item_asks_what_its_axes_are(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((20, 30)))
    with pytest.raises(
        InputError, match=r"x.npy is taken for one, its axes \(20, 30\) for YX; say otherwise with data"
    ):
        loaded(tmp_path / "x.npy")
    assert loaded(tmp_path / "x.npy", kind="series").shape == (1, 30)


def test_compressed_volumes_come_back_as_what_they_were(tmp_path):
    """Endings of two parts, as `.nii.gz`, stay whole."""
    values = np.random.default_rng(0).integers(0, 500, (4, 5, 6)).astype(np.int16)
    for k in range(2):
        image = nibabel.Nifti1Image(values + k, np.diag([2.0, 2, 3, 1]))
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / f"sub-{k}.nii.gz")
    data = loaded(tmp_path)
    assert data.meaning.ending == ".nii.gz"
    (path, _) = save_fields(data.tensor(), ["0", "1"], tmp_path / "new", data.meaning).paths
    again = nibabel.load(path)
    assert np.array_equal(again.get_fdata(), values)
    assert (again.get_data_dtype(), again.header.get_zooms()) == (np.int16, (2, 2, 3))
    named = read_named([tmp_path / "sub-0.nii.gz"], data.shape, data.meaning)
    (path,) = save_like(named.x, named, tmp_path / "like", "-00").paths
    assert path.name == "sub-0-00.nii.gz"


def test_new_files_that_need_a_header_are_of_another_format(tmp_path, monkeypatch):
    """As those of DICOM do."""
    stack(tmp_path / "1.tif")
    monkeypatch.setattr(Format.member("tiff"), "inherits", True)
    assert loaded(tmp_path, kind="field", axes="NYX").meaning.ending == ".npy"
    assert Format.member("dicom").inherits


def test_volumes_of_several_steps_are_refused(tmp_path):
    for k in (2, 3):
        nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([2.0, 2, k, 1])), tmp_path / f"{k}.nii")
    with pytest.raises(
        InputError, match=r"volumes differ in steps along Z: '.*2.nii' has 2, '.*3.nii' has 3; resample"
    ):
        loaded(tmp_path)


def write_grey(path, values):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.mark.parametrize("limit", [sources.MEMORY_LIMIT, 0])
def test_pictures_of_8_bits_that_are_padded_keep_their_values(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", limit)
    full, short = (
        np.random.default_rng(k).integers(0, 256, (side, 16), dtype=np.uint8) for k, side in ((0, 16), (1, 10))
    )
    write_grey(tmp_path / "a.png", full)
    write_grey(tmp_path / "b.png", short)
    data = loaded(tmp_path, size=16, fit="tile")
    x = data.tensor()[:, 0]
    assert torch.allclose(x[0], torch.from_numpy(full).float() / 127.5 - 1, atol=1e-6)
    assert torch.allclose(x[1, :10], torch.from_numpy(short).float() / 127.5 - 1, atol=1e-6)
    assert data.known()[:, 0].sum((1, 2)).tolist() == [16 * 16, 10 * 16]


def test_films_of_8_bits_that_are_resampled_are_not_rounded_to_bits(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), 16 * k, np.uint8)) for k in range(12)]
    for name in ("a.gif", "b.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    x = loaded(tmp_path, resample=5.0).tensor()
    wanted = torch.arange(0, 12, 2) * 16 / 127.5 - 1
    assert (x[0, 0, 1:-1, 4, 4] - wanted[1:-1]).abs().max() < 0.02


def test_a_header_that_cannot_be_read_is_named_or_left_out(tmp_path, caplog):
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).normal(size=(1, 8, 8)))
    whole = (tmp_path / "b.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(whole[:-100])
    with pytest.raises(
        InputError, match=r"cannot read .*b.npy': .*cut short; leave such files out with data.skip_bad=True"
    ):
        loaded(tmp_path)
    assert len(loaded(tmp_path, skip_bad=True)) == 2
    assert "left out 1 of 3 files" in caplog.text


def test_values_that_cannot_be_read_do_not_stop_those_that_measure_all(tmp_path):
    for seed, name in enumerate("abc"):
        values = np.random.default_rng(seed).integers(0, 2**16, (32, 32)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:900])
    with pytest.raises(InputError, match=r"c.png': .*; leave such images out with data.skip_bad=True"):
        loaded(tmp_path)
    assert len(loaded(tmp_path, skip_bad=True)) == 2


def test_records_of_one_file_make_room_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("sagd.data.fields._HELD", 3 * 500 * 8)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(20, 1000)))
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 0)
    data = loaded(tmp_path / "a.npy", kind="series", axes="NT", rate=1000.0, resample=500.0)
    data.stored[torch.arange(8)]
    assert len(data.stored._recent._held) <= 3


@pytest.mark.parametrize("rate", [0.3, 1e9])
def test_rates_that_are_too_far_apart_are_refused(rate, tmp_path):
    write_wav(tmp_path / "a.wav", sound(3000))
    write_wav(tmp_path / "b.wav", sound(3000))
    with pytest.raises(InputError, match=r"more than a factor of 1000 from the rate of the file, 8000 per second"):
        loaded(tmp_path, resample=rate)


@pytest.mark.parametrize("name", ["rate", "resample"])
def test_infinite_rates_are_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"data.{name} must be positive and finite"):
        loaded(tmp_path, **{name: float("inf")})


def test_windows_may_be_longer_than_images(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=200_000))
    assert loaded(tmp_path / "a.npy", size=100_000).shape == (1, 100_000)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "label": 1}\n{"label": 2}', "row 2 .* must name a file"),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "label": 1}\n{"file_name": "b.png"}',
            "row 2 .* its class in 'label'",
        ),
        ("metadata.jsonl", '{"file_name": "a.png", "label": [1]}', "row 1 .* its class in 'label'"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": 1}\n{"file_name": "b.png", "label": "x"}', "all classes"),
        ("metadata.csv", "file_name,label\na.png,x\nb.png", "row 2 .* its class in 'label'"),
        ("metadata.csv", "file_name,label\na.png,x\nb.png,y\na.png,y", "gives 'a.png' two classes: 'x' and 'y'"),
    ],
)
def test_tables_of_labels_that_are_not_whole_are_refused(name, text, message, tmp_path):
    for picture in ("a.png", "b.png"):
        write_grey(tmp_path / picture, np.zeros((8, 8), np.uint8))
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        loaded(tmp_path)


def test_names_that_no_file_can_have_are_one_line():
    with pytest.raises(InputError, match="File name too long"):
        loaded("x" * 5000)


def test_channels_in_another_order_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("u,v\n1,20\n2,30\n5,60\n")
    (tmp_path / "b.csv").write_text("v,u\n20,1\n30,2\n60,5\n")
    with pytest.raises(InputError, match=r"same channels in another order: .*a.csv' u, v, .*b.csv' v, u"):
        loaded(tmp_path)


def test_of_large_fields_only_some_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("sagd.data.fields._MEASURED", 3 * 64)
    np.save(tmp_path / "a.npy", np.arange(9.0)[:, None, None] * np.ones((9, 8, 8)))
    meaning = loaded(tmp_path / "a.npy").meaning
    measured = np.array([0.0, 4.0, 8.0])
    assert np.allclose((meaning.offset, meaning.scale), ([measured.mean()], [2 * measured.std()]))


def test_columns_of_tables_are_chosen_and_the_others_stay(tmp_path):
    g = np.random.default_rng(0)
    for name in "ab":
        rows = [f"{i / 10:.1f},{g.normal():.5f},Bern,{g.normal():.5f},{g.normal():.5f}" for i in range(30)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["time,u,place,v,w", *rows]) + "\n")
    data = loaded(tmp_path)
    assert (data.shape, data.meaning.channels) == ((3, 30), ("u", "v", "w"))
    assert any("'place' without a number are left out" in n for n in Csv().scan(tmp_path / "a.csv")[0].notes)
    assert any("without a unit" in n and "data.rate" in n for n in Csv().scan(tmp_path / "a.csv")[0].notes)
    some = loaded(tmp_path, arrays=("w", "u"))
    assert (some.shape, some.meaning.channels) == ((2, 30), ("w", "u"))
    values = data.meaning.to_values(data.tensor())
    assert torch.allclose(some.meaning.to_values(some.tensor()), values[:, [2, 0]], atol=1e-6)
    named = read_named([tmp_path / "a.csv"], (2, 30), some.meaning)
    (path,) = save_like(named.x + 1, named, tmp_path / "out").paths
    lines = path.read_text().splitlines()
    assert lines[0] == "time,u,place,v,w"
    assert [line.split(",")[2] for line in lines[1:]] == ["Bern"] * 30
    again = loaded(tmp_path / "out", limit=None, fit="tile", size=10)
    assert np.allclose([float(line.split(",")[3]) for line in lines[1:]], values[0, 1], atol=1e-6)
    scale = torch.tensor(some.meaning.scale, dtype=torch.float64)
    assert np.allclose([float(line.split(",")[4]) for line in lines[1:]], values[0, 2] + scale[0], atol=1e-5)
    assert again.meaning.channels == ("u", "v", "w")
    with pytest.raises(InputError, match=r"it has no array 'x'; it has .* with u, v, w"):
        loaded(tmp_path, arrays=("x",))


def test_folders_of_frames_are_films(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 7), dtype=np.uint8)
    for clip, pictures in zip(("walk/a", "walk/b", "run/c"), frames, strict=True):
        (tmp_path / "in" / clip).mkdir(parents=True)
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / "in" / clip / f"{i}.png")
    data = loaded(tmp_path / "in", kind="video")
    assert (data.shape, data.classes, data.labels.tolist()) == ((1, 5, 6, 7), ("run", "walk"), [0, 1, 1])
    named = read_named([tmp_path / "in"], data.shape, data.meaning)
    assert named.names == ("run/c", "walk/a", "walk/b")
    require_like(named)
    save_like(named.x, named, tmp_path / "out")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "walk" / "b" / "4.png")), frames[1, 4])
    one = loaded(tmp_path / "in" / "run" / "c", kind="video", fit="tile", size=(1, 6, 7))
    assert one.shape == (1, 1, 6, 7)
    assert {path.suffix for path in save_like(named.x, named, tmp_path / "float", keep=True).paths} == {".npy"}


def test_quoted_line_breaks_in_tables_of_labels(records):
    paths = sorted(records.rglob("*.wav"))
    rows = [f'{path.name},"a\ntext",{i % 2}' for i, path in enumerate(paths)]
    (records / "metadata.csv").write_text("\n".join(["file_name,words,label", *rows]))
    assert loaded(records, size=20).classes == ("0", "1")


def test_units_and_coordinates_of_several_variables_come_back(tmp_path):
    """Each its own unit; latitudes that are not evenly spaced, and longitudes, where all fields have them whole."""
    g, path = np.random.default_rng(0), tmp_path / "air.nc"
    latitudes = np.array([80.0, 45.0, 20.0, -5.0, -60.0], np.float32)
    dims = ("time", "lat", "lon")
    variables = {
        "t": (dims, g.normal(280, 9, (6, 5, 8)), {"units": "K"}),
        "u": (dims, g.normal(0, 5, (6, 5, 8)), {"units": "m s-1"}),
    }
    places = {"lat": ("lat", latitudes, {"units": "degrees_north"}), "lon": ("lon", 45.0 * np.arange(8))}
    xarray.Dataset(variables, places).to_netcdf(path)
    data = loaded(path)
    assert (data.meaning.quantity, data.meaning.quantities) == ("", ("K", "m s-1"))
    assert data.meaning.coordinates["Y"] == Coordinates(tuple(latitudes), "degrees_north", "lat")
    (new, *_) = save_fields(data.tensor(), list("abcdef"), tmp_path / "new", data.meaning).paths
    with xarray.open_dataset(new) as file:
        assert (file["t"].units, file["u"].units, file["t"].dims) == ("K", "m s-1", ("lat", "lon"))
        assert np.array_equal(file["lat"], latitudes)
        assert (file["lat"].dtype, file["lon"].dtype) == (np.float32, np.float64)
        assert file["lat"].units == "degrees_north"
        assert np.array_equal(file["lon"], 45.0 * np.arange(8))
    again = loaded(tmp_path / "new").meaning
    assert (again.quantities, again.coordinates) == (data.meaning.quantities, data.meaning.coordinates)
    windows_of = loaded(path, size=(5, 4)).meaning
    assert windows_of.coordinates.keys() == {"Y"}


@pytest.mark.parametrize("ending", [".zarr", ".h5"])
def test_samples_are_written_in_the_format_of_the_data(ending, tmp_path):
    pytest.importorskip("zarr" if ending == ".zarr" else "h5py")
    steps = {"Y": Step(2.0, "km"), "X": Step(3.0, "km")}
    meaning = Meaning(
        "field", "YX", (0.0,), (1.0,), steps, "", ("t", "u"), "float64", None, ending, quantities=("K", "m s-1")
    )
    x = torch.randn(3, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    save_fields(x, list("abc"), tmp_path / "new", meaning)
    data = loaded(tmp_path / "new")
    assert (data.shape, data.meaning.channels, data.meaning.quantities) == ((2, 5, 8), ("t", "u"), ("K", "m s-1"))
    assert (data.meaning.ending, data.meaning.steps) == (ending, steps)
    assert torch.allclose(data.meaning.to_values(data.tensor()), x.double(), atol=1e-6)


def test_maps_count_by_area_where_latitudes_are_known(tmp_path):
    latitudes = np.array([75.0, 30.0, -10.0, -80.0])
    values = np.random.default_rng(0).normal(size=(6, 4, 8))
    place = {"lat": ("lat", latitudes, {"units": "degrees_north"})}
    xarray.Dataset({"t": (("time", "lat", "lon"), values)}, place).to_netcdf(tmp_path / "t.nc")
    data = loaded(tmp_path / "t.nc", area_weights=True)
    assert torch.equal(data.meaning.weight_field(data.shape), area_weights(latitudes, (4, 8)))
    assert loaded(tmp_path / "t.nc").meaning.weight_field((1, 4, 8)) is None
    np.save(tmp_path / "t.npy", values)
    with pytest.raises(InputError, match=r"data.area_weights=True needs latitudes in degrees"):
        loaded(tmp_path / "t.npy", area_weights=True)
    with pytest.raises(InputError, match=r"needs latitudes in degrees of the rows"):
        loaded("digits", area_weights=True)
    config = RunConfig(network=NetworkConfig(widths=(4, 8)), training=TrainingConfig(batch_size=2))
    loss = prepare(config, data).recipe.loss
    assert torch.equal(loss.weight_field, area_weights(latitudes, (4, 8)))


def test_the_loss_of_a_map_is_the_mean_over_its_area(tmp_path):
    latitudes = [75.0, 30.0, -10.0, -80.0]
    place = {"lat": ("lat", latitudes, {"units": "degrees_north"})}
    values = np.random.default_rng(0).normal(size=(6, 4, 8))
    xarray.Dataset({"t": (("time", "lat", "lon"), values)}, place).to_netcdf(tmp_path / "t.nc")
    data = loaded(tmp_path / "t.nc", area_weights=True)
    config = RunConfig(network=NetworkConfig(widths=(4, 8)), training=TrainingConfig(batch_size=2))
    recipe = prepare(config, data).recipe

    def loss(weights):
        weighted = dataclasses.replace(recipe.loss, weight_field=weights)
        return weighted(recipe.model.plain, data.tensor(), None, torch.Generator().manual_seed(0)).item()

    rows = [loss(row.reshape(1, 4, 1).expand(1, 4, 8)) for row in torch.eye(4) + 1e-7]
    shares = area_weights(latitudes, (4, 1)).flatten() / 4
    assert loss(recipe.loss.weight_field) == pytest.approx(float(shares @ torch.tensor(rows).double()), rel=1e-5)


def test_steps_that_are_rounded_are_the_same():
    """Five digits of a time stamp say 360.001 samples per second of a device that takes 360."""
    assert not differ(Step(1 / 360, "s"), Step(1 / 360.001, "s"))
    assert differ(Step(1 / 44100, "s"), Step(1 / 44056, "s"))
    assert differ(Step(1.0, "s"), Step(1.0, "m"))
    assert differ(Step(1.0, "s"), None)
