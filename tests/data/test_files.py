"""Named image files: what is read, in which order, and what is written back."""

import errno
import io
import logging
import os
import pathlib
import re
import wave
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
from PIL import Image

from sagd.cli.program import main
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption
from sagd.data.files import (
    RESERVED,
    folder_name,
    list_files,
    read_named,
    read_partners,
    require_like,
    require_writable,
    save_damaged,
    save_fields,
    save_like,
)
from sagd.data.formats import Format, Step
from sagd.data.formats.find import format_of
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.errors import InputError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    g = np.random.default_rng(0)
    for name in ("b.png", "a/2.png", "a/1.bmp"):
        save(tmp_path / name, g.integers(0, 256, (4, 6)))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def read(paths, shape=(1, 4, 6)):
    return read_named(paths, shape, Meaning())


def test_a_folder_is_read_in_order_with_its_names(folder):
    named = read([folder])
    assert named.names == ("a/1.bmp", "a/2.png", "b.png")
    assert named.x.shape == (3, 1, 4, 6)
    expected = np.asarray(Image.open(folder / "b.png")) / 127.5 - 1
    assert np.allclose(named.x[2, 0], expected, atol=1e-6)


def test_files_and_folders_together(folder):
    assert read([folder / "b.png", folder / "a"]).names == ("b.png", "1.bmp", "2.png")


def test_a_file_named_twice_is_read_once(folder):
    assert read([folder / "b.png", folder / "b.png"]).names == ("b.png",)


def test_what_is_written_reads_back(folder):
    named = read([folder])
    written = save_like(named.x, named, folder / "out")
    assert [str(path.relative_to(folder / "out")) for path in written.paths] == ["a/1.bmp", "a/2.png", "b.png"]
    assert (written.clipped, written.line()) == (0, None)
    assert torch.equal(read([folder / "out"]).x, named.x)


def test_colour_is_as_asked_for_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    grey = save(tmp_path / "grey.png", np.full((4, 6), 51))
    colour = save(tmp_path / "colour.png", np.full((4, 6, 3), (255, 0, 0)))
    assert read([colour], (3, 4, 6)).x.shape == (1, 3, 4, 6)
    assert "other channels" not in caplog.text
    assert torch.allclose(read([grey], (3, 4, 6)).x, torch.tensor(-0.6))
    assert "1 of 1 file(s) have other channels than the model, are turned into 3" in caplog.text
    assert read([colour], (1, 4, 6)).x.shape == (1, 1, 4, 6)
    assert "come back so: colour.png" in caplog.text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: [f / "missing.png"], "no file or folder"),
        (
            lambda f: [pathlib.Path(os.devnull)],
            "'/dev/null' is a device, which may never end; a file or",
        ),
        (lambda f: [], "no files were named; give files or folders"),
        (lambda f: [f / "notes.txt"], "cannot read .*notes.txt"),
        (lambda f: [save(f / "large.png", np.zeros((4, 7)))], r"is 4 x 7, the model is for 4 x 6 \(Y, X\)"),
        (lambda f: [f / "b.png", save(f / "other/b.png", np.zeros((4, 6)))], "two files are named 'b'"),
        (lambda f: [f, save(f / "b.bmp", np.zeros((4, 6)))], r"two files are named 'b': .*b\.(png|bmp)"),
        (lambda f: [(f / "empty").mkdir() or f / "empty"], "no data in .*empty"),
    ],
)
def test_what_cannot_be_read_is_named(folder, make, message):
    with pytest.raises(InputError, match=message):
        read(make(folder))


def test_files_of_another_kind_of_signal_are_told_as_such(tmp_path):
    table, sound = tmp_path / "a.csv", tmp_path / "a.wav"
    table.write_text("t,v\n" + "".join(f"{i},{i * i}\n" for i in range(30)))
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(30, dtype="<i2").tobytes())
    for path, held in ((table, "series"), (sound, "records")):
        with pytest.raises(InputError, match=rf"{path.name}': it holds {held}, and the model is of images; give it"):
            read([path])
        with pytest.raises(InputError, match=rf"it holds {held}, and images are needed; say which axis is which"):
            load(DataConfig(str(path), kind="image"))
        with pytest.raises(InputError, match=rf"^'a' holds {held}, which cannot be compared with images$"):
            load(DataConfig(str(path)), Meaning())


def test_images_are_no_records(tmp_path):
    """Whatever their rows could be taken for; arrays whose format does not say what they hold may be."""
    image = np.random.default_rng(0).normal(size=(60, 64))
    tifffile.imwrite(tmp_path / "a.tif", image.astype(np.float32))
    save(tmp_path / "a.png", image)
    np.save(tmp_path / "a.npy", image.astype(np.float32))
    record = Meaning("series", "T", (0.0,), (1.0,), dtype="float32", limits=None, ending=".npy")
    for name in ("a.tif", "a.png"):
        said = f"{name}': it holds images, and the model is of series; give it such, or train one of images"
        with pytest.raises(InputError, match=said):
            read_named([tmp_path / name], (1, 64), record)
    assert read_named([tmp_path / "a.npy"], (1, 64), record).x.shape == (60, 1, 64)
    rows = replace(record, ending=".tif")  # of a model that was trained on rows of images
    assert read_named([tmp_path / "a.tif"], (1, 64), rows).x.shape == (60, 1, 64)


def test_masks_beside_items_are_none(folder):
    np.save(folder / "c.npy", np.zeros((4, 6), np.float32))
    np.save(folder / "c.mask.npy", np.ones((4, 6), bool))
    assert [name for name, _ in list_files([folder], DataConfig(kind="field"))] == ["c.npy"]


def test_partners_are_found_by_name_without_ending_and_no_other_is_read(folder, tmp_path):
    save(folder / "b.bmp", np.zeros((4, 6)))
    (folder / "b.png").unlink()
    save(folder / "of another size.png", np.zeros((9, 9)))
    damaged = tmp_path / "damaged"
    for name in ("b.png", "a/2.png"):
        save(damaged / name, np.ones((4, 6)))
    a, b = read_partners(read([damaged]), folder)
    assert torch.equal(b, torch.full((1, 4, 6), -1.0))
    assert torch.equal(a, read([folder / "a"]).x[1])
    save(damaged / "c.png", np.ones((4, 6)))
    with pytest.raises(InputError, match="no clean image 'c' in"):
        read_partners(read([damaged]), folder)


def test_one_file_is_that_of_one_other_whatever_their_names(folder, tmp_path):
    save(tmp_path / "of" / "damaged.png", np.ones((4, 6)))
    save(tmp_path / "of" / "clean.png", np.zeros((4, 6)))
    one = read_partners(read([tmp_path / "of" / "damaged.png"]), tmp_path / "of" / "clean.png")
    assert torch.equal(one, torch.full((1, 1, 4, 6), -1.0))
    with pytest.raises(InputError, match="no clean image"):
        read_partners(read([folder]), tmp_path / "of" / "clean.png")
    with pytest.raises(InputError, match="no clean image 'damaged' in"):  # a folder may hold others
        read_partners(read([tmp_path / "of" / "damaged.png"]), folder)


def test_class_names_stay_inside_the_folder(tmp_path, caplog):
    """Labels come with the data: absolute paths, '..', nothing, what is too long for a file system, any language."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "000000.png").write_text("precious")
    victim = tmp_path / "victim"
    names = (str(victim), "../../up", "..", "", ".hidden", "a/b", "a%2Fb", "x" * 300, "x" * 301, "café 猫", "\0")
    png = io.BytesIO()
    Image.new("L", (8, 8)).save(png, "PNG")
    pq.write_table(pa.table({"image": [png.getvalue()] * len(names), "label": names}), tmp_path / "set.parquet")
    out = tmp_path / "parent" / "out"
    assert main(["corrupt", str(tmp_path / "set.parquet"), "band_noise(level=0.1)", "--out", str(out)]) == 0
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.png") if path.parent != victim]
    assert (tmp_path / "victim" / "000000.png").read_text() == "precious"
    assert len(written) == 2 * len(names)
    assert {path.parts[:3] for path in written} == {("parent", "out", "clean"), ("parent", "out", "damaged")}
    folders = {path.parts[3] for path in written}
    assert len(folders) == len(names)  # none stands for two classes
    assert "café 猫" in folders
    assert not any(name.startswith(".") for name in folders)  # hidden ones would not be read again
    assert "10 class name(s) cannot be names of folders as they are; e.g. '' is written '%'" in caplog.text


@pytest.mark.parametrize(
    "label", ["CON", "nul", "Com1", "lpt\u00b9", "aux.png", "con .x", "prn.", "a:b", "a\\b", 'a"b', "x "]
)
def test_no_class_is_a_folder_that_windows_cannot_have(label):
    name = folder_name(label)
    assert name != label
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]|[. ]$', name)
    assert not RESERVED.fullmatch(name)


def test_names_that_only_begin_as_devices_stay():
    assert [folder_name(name) for name in ("console", "null", "com10", "auxiliary.png")] == [
        "console",
        "null",
        "com10",
        "auxiliary.png",
    ]


@pytest.mark.parametrize("name", ["/tmp/a", "../a", "a/../../b"])
def test_files_stay_inside_the_folder(name, tmp_path):
    with pytest.raises(InputError, match="leads out of"):
        save_fields(torch.zeros(1, 1, 4, 4), [name], tmp_path / "out", Meaning())


# Types and formats ------------------------------------------------------------------------------------------------


def loaded(path, **options):
    return load(DataConfig(str(path), **options))


def test_stacks_come_back_as_stacks(tmp_path):
    """Pages, type, axes and resolution are those of the file; what the type cannot hold is counted."""
    pages = np.random.default_rng(0).integers(100, 4000, (3, 4, 6)).astype(np.uint16)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(
        tmp_path / "in" / "a.tif", pages, imagej=True, metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    )
    data = loaded(tmp_path / "in" / "a.tif")
    named = read_named([tmp_path / "in"], data.shape, data.meaning)
    assert named.names == ("a.tif[0]", "a.tif[1]", "a.tif[2]")
    x = named.x.clone()
    x[0, 0, 0, :2] = 1000.0
    written = save_like(x, named, tmp_path / "out")
    (scanned,) = format_of(written.paths[0]).scan(written.paths[0])
    assert (scanned.shape, scanned.axes, scanned.dtype, scanned.steps["Z"].size) == ((3, 4, 6), "ZYX", "uint16", 2.0)
    again = format_of(written.paths[0]).read(scanned)
    assert again[0, 0, 0] == again[0, 0, 1] == 65535
    assert np.array_equal(again.reshape(3, -1)[:, 2:], pages.reshape(3, -1)[:, 2:])
    assert written.clipped == 2
    assert "2 of 72 values (2.8 %) lay beyond what uint16 files hold" in written.line()


@pytest.mark.parametrize("kind", ["image", "colour", "stack", "sound"])
def test_what_files_hold_is_what_is_read_of_them(tmp_path, kind):
    """Of fields beyond what the type holds, and between its numbers; and how many that are is counted."""
    g, folder = np.random.default_rng(0), tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        if kind == "stack":
            pages = g.integers(0, 65536, (5, 4, 6)).astype(np.uint16)
            tifffile.imwrite(folder / f"{name}.tif", pages, photometric="minisblack")
        elif kind == "sound":
            with wave.open(str(folder / f"{name}.wav"), "wb") as file:
                file.setparams((2, 2, 8000, 50, "NONE", ""))
                file.writeframes(g.integers(-32768, 32768, (50, 2)).astype("<i2").tobytes())
        else:
            save(folder / f"{name}.png", g.integers(0, 256, (4, 6, 3) if kind == "colour" else (4, 6)))
    data = loaded(folder)
    named = read_named([folder], data.shape, data.meaning)
    x = named.x * 1.1 + 0.001
    written = save_like(x, named, tmp_path / "out")
    again = read_named([tmp_path / "out"], data.shape, data.meaning).x
    assert torch.allclose(written.held, again, atol=1e-6)
    values, held = data.meaning.to_values(x), data.meaning.to_values(again)
    info = np.iinfo(written.dtype)
    assert written.clipped == int(((values < info.min - 0.5) | (values > info.max + 0.5)).sum()) > 0
    assert written.clipped + written.lost.rounded == int(((values - held).abs() > 0.01).sum())
    assert save_like(named.x, named, tmp_path / "same").lost.told("it") == ""
    everything = save_like(x, named, tmp_path / "float", keep=True)
    assert (everything.lost.told("it"), torch.allclose(everything.held, x, atol=1e-5)) == ("", True)


def test_floating_point_on_request(tmp_path):
    save(tmp_path / "a.png", np.full((4, 6), 7))
    named = read([tmp_path / "a.png"])
    written = save_like(named.x + 2.0, named, tmp_path / "out", keep=True)
    assert written.paths == (tmp_path / "out" / "a.tif",)
    assert np.allclose(tifffile.imread(written.paths[0]), 7 + 2 * 127.5)
    assert written.clipped == 0


def test_what_loses_something_is_written_as_what_does_not(tmp_path):
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.jpg")
    named = read([tmp_path / "a.jpg"])
    assert save_like(named.x, named, tmp_path / "out").paths == (tmp_path / "out" / "a.png",)


def test_sound_comes_back_as_sound(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        values = np.random.default_rng(0).integers(-9000, 9000, (50, 2)).astype("<i2")
        file.writeframes(values.tobytes())
    meaning = loaded(tmp_path, size=10).meaning
    named = read_named([tmp_path / "a.wav"], (2, 50), meaning)
    save_like(named.x, named, tmp_path / "out", suffix="-00")
    with wave.open(str(tmp_path / "out" / "a-00.wav")) as file:
        assert file.getparams()[:4] == (2, 2, 16000, 50)
        assert np.array_equal(np.frombuffer(file.readframes(50), "<i2").reshape(50, 2), values)


@pytest.mark.parametrize(
    ("meaning", "shape"),
    [
        (Meaning(), (3, 4, 6)),
        (
            Meaning("audio", "T", (0.0,), (3e4,), {"T": Step(1 / 8000, "s")}, "", (), "int16", (-32768, 32767), ".wav"),
            (1, 50),
        ),
        (Meaning("series", "T", (1.0, 2.0), (3.0, 4.0), {}, "", ("a", "b"), "float64", None, ".csv"), (2, 20)),
        (Meaning("video", "TYX", (127.5,), (127.5,), {"T": Step(0.05, "s")}, ending=".gif"), (1, 5, 6, 6)),
        (Meaning("volume", "ZYX", (0.0,), (100.0,), {}, "", (), "int16", (-32768, 32767), ".tif"), (1, 4, 6, 6)),
        (Meaning("field", "YX", (0.0,), (1.0,), {}, "", (), "float32", None, ".npy"), (2, 6, 7)),
    ],
    ids=lambda value: value.kind if isinstance(value, Meaning) else "",
)
def test_fields_of_every_kind_are_written_and_read_again(tmp_path, meaning, shape):
    x = meaning.as_files_hold(0.3 * torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)))
    save_fields(x, ["0", "1", "2"], tmp_path, meaning)
    data = load(DataConfig(str(tmp_path), kind=meaning.kind), meaning)
    assert data.shape == shape
    assert torch.allclose(data.tensor(), x, atol=1e-6)
    assert len(list(tmp_path.glob(f"*{meaning.ending}"))) == 3


def grey(path, dtype, seed=0):
    path.mkdir()
    for name in "ab":
        pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (8, 8)).astype(dtype)
        Image.fromarray(pixels).save(path / f"{name}.png")
    return path


def test_files_of_another_encoding_are_refused(tmp_path):
    small, deep = grey(tmp_path / "small", np.uint8), grey(tmp_path / "deep", np.uint16)
    with pytest.raises(
        InputError, match=r"a.png' holds uint16 values from 0 to 65535, the model is for uint8 from 0 to 255"
    ):
        read_named([deep], (1, 8, 8), load(DataConfig(str(small))).meaning)
    with pytest.raises(InputError, match="holds uint8 values from 0 to 255, the model is for uint16"):
        read_named([small], (1, 8, 8), load(DataConfig(str(deep))).meaning)
    with pytest.raises(InputError, match="holds uint16 values from 0 to 65535, the model is for uint8"):
        load(DataConfig(str(deep)), load(DataConfig(str(small))).meaning)


def test_sound_of_another_rate_is_refused(tmp_path):
    for name, rate in (("a", 8000), ("b", 8000), ("c", 44100)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(np.arange(-50, 50, dtype="<i2").tobytes())
    meaning = Meaning(
        "audio", "T", (0.0,), (50.0,), {"T": Step(1 / 8000, "s")}, "", (), "int16", (-32768, 32767), ".wav"
    )
    assert read_named([tmp_path / "a.wav"], (1, 100), meaning).x.shape == (1, 1, 100)
    with pytest.raises(
        InputError, match=r"c.wav' has 44100 samples per s, the model is for 8000 per s; resample the file"
    ):
        read_named([tmp_path / "c.wav"], (1, 100), meaning)


def test_arrays_that_a_model_knows_by_name_are_taken(tmp_path):
    a, b = np.random.default_rng(0).normal(size=(2, 4, 6, 7))
    np.savez(tmp_path / "x.npz", a=a, b=b)
    meaning = load(DataConfig(str(tmp_path / "x.npz"), arrays=("b",))).meaning
    named = read_named([tmp_path / "x.npz"], (1, 6, 7), meaning)
    assert np.allclose(meaning.to_values(named.x)[:, 0], b, atol=1e-6)


@pytest.mark.parametrize("where", ["", "folder"])
def test_folders_that_are_files_come_back_as_such(where, tmp_path):
    zarr = pytest.importorskip("zarr")
    values = np.random.default_rng(0).normal(size=(4, 6, 7))
    (tmp_path / "folder").mkdir()
    zarr.save(str(tmp_path / "folder" / "x.zarr"), values)
    path = tmp_path / "folder" / ("" if where else "x.zarr")
    data = load(DataConfig(str(path)))
    assert data.shape == (1, 6, 7)
    named = read_named([path], (1, 6, 7), data.meaning)
    save_like(named.x, named, tmp_path / "out")
    assert np.allclose(zarr.load(str(tmp_path / "out" / "x.zarr")), values, atol=1e-6)


def test_volumes_without_letters_are_read_as_the_model_takes_them(tmp_path):
    meaning = Meaning("field", "ZYX", (0.0,), (1.0,), dtype="float32", limits=None, ending=".npy")
    x = torch.randn(2, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    save_fields(x, ["0", "1"], tmp_path, meaning)
    assert torch.allclose(read_named([tmp_path], (1, 5, 6, 7), meaning).x, x, atol=1e-6)


def test_what_is_missing_stays_missing(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 6, 7))
    values[1, 2, 3] = np.nan
    np.save(tmp_path / "x.npy", values)
    meaning = load(DataConfig(str(tmp_path / "x.npy"), missing="mask")).meaning
    named = read_named([tmp_path / "x.npy"], (1, 6, 7), meaning)
    assert named.known.sum() == named.x.numel() - 1
    (path,) = save_like(named.x, named, tmp_path / "out").paths
    assert np.allclose(np.load(path), values, atol=1e-6, equal_nan=True)


def test_what_is_missing_in_windows_stays_missing(tmp_path):
    values = np.random.default_rng(0).normal(100, 1, size=(2, 64)).astype(np.float32)
    values[0, 5] = np.nan
    for number, series in enumerate(values):
        np.save(tmp_path / f"{number}.npy", series)
    data = load(DataConfig(str(tmp_path), kind="series", missing="mask", size=32))
    save_damaged(data, Corruption.parse("hum(level=0.1)"), tmp_path / "out")
    for stage in ("clean", "damaged"):
        written = np.stack([np.load(path).ravel() for path in sorted((tmp_path / "out" / stage).glob("*.npy"))])
        assert np.array_equal(np.isnan(written).reshape(2, 64), np.isnan(values))
        assert np.allclose(written.reshape(2, 64), values, atol=10, equal_nan=True)


def test_whole_numbers_have_none_for_what_is_missing(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    known = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    known[..., 0] = False
    (path,) = save_fields(torch.ones(1, 1, 4, 4), ["b"], tmp_path, Meaning(), known=known).paths
    assert np.asarray(Image.open(path))[0].tolist() == [128, 255, 255, 255]
    assert "4 values, missing or beyond the end, are written as what models see as 0" in caplog.text
    (path,) = save_fields(torch.zeros(1, 1, 4, 4), ["a"], tmp_path, Meaning(), keep=True, known=known).paths
    assert np.isnan(tifffile.imread(path)).sum() == 4


SOUND = {"T": Step(1 / 8000, "s")}


@pytest.mark.parametrize(
    ("meaning", "shape", "ending"),
    [
        (Meaning(), (3, 4, 6), ".tif"),
        (Meaning("audio", "T", (0.0,), (9.0,), SOUND, "", (), "int16", (-32768, 32767), ".flac"), (1, 50), ".wav"),
        (Meaning("video", "TYX", (127.5,), (127.5,), {"T": Step(0.05, "s")}, ending=".gif"), (1, 5, 6, 6), ".npy"),
        (Meaning("field", "YX", (0.0,), (1.0,), {}, "", (), "float64", None, ".h5"), (1, 6, 7), ".h5"),
    ],
    ids=lambda value: value.kind if isinstance(value, Meaning) else "",
)
def test_floating_point_is_written_where_the_format_has_none(meaning, shape, ending, tmp_path):
    x = 9 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    require_writable(shape, meaning, keep=True)
    written = save_fields(x, ["a", "b"], tmp_path, meaning, keep=True)
    assert {path.suffix for path in written.paths} == {ending}
    assert written.clipped == 0
    assert torch.allclose(load(DataConfig(str(tmp_path)), meaning).tensor(), x, rtol=1e-5, atol=1e-4)


def test_what_a_format_cannot_hold_is_refused_before_any_work(tmp_path):
    meaning = Meaning("volume", "ZYX", (0.0,), (1.0,), {}, "", (), "int16", (-32768, 32767), ".nii")
    require_writable((1, 4, 5, 6), meaning)
    with pytest.raises(
        InputError, match=r"volumes could not be written: axes 'ZYXC' .* cannot be written so; .*train on"
    ):
        require_writable((2, 4, 5, 6), meaning)
    with pytest.raises(InputError, match=r"2 channels .*; give keep=True, which writes .tif"):
        require_writable((2, 4, 5), Meaning(channels=("a", "b")))
    named = read([save(tmp_path / "a.png", np.zeros((4, 6)))])
    require_like(named)
    require_like(named, keep=True)


def test_damaged_files_keep_names_and_metadata(tmp_path):
    """As restored ones do: pages stay pages of their file, with its steps; a part of a file is written by number."""
    pages = np.random.default_rng(0).integers(100, 4000, (3, 4, 6)).astype(np.uint16)
    (tmp_path / "in" / "b").mkdir(parents=True)
    for name in ("scan", "b/other"):
        metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", pages, imagej=True, metadata=metadata)
    damage = Corruption.parse("band_noise(low=0.3, high=0.7, level=0.1)")
    save_damaged(loaded(tmp_path / "in"), damage, tmp_path / "out")
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert names == {f"{stage}/{name}.tif" for stage in ("clean", "damaged") for name in ("scan", "b/other")}
    path = tmp_path / "out" / "clean" / "scan.tif"
    (scanned,) = format_of(path).scan(path)
    assert (scanned.shape, scanned.axes, scanned.steps["Z"].size) == ((3, 4, 6), "ZYX", 2.0)
    assert np.array_equal(tifffile.imread(path), pages)
    save_damaged(loaded(tmp_path / "in", limit=4), damage, tmp_path / "some")
    assert len(list((tmp_path / "some" / "clean").iterdir())) == 4


@pytest.mark.parametrize(("dtype", "full", "silence"), [("<i2", 32768, 0), ("u1", 128, 128)])
def test_floating_point_sound_is_at_most_one_in_files(dtype, full, silence, tmp_path):
    """As all other programs have it; whoever reads it with the model has the model's units again."""
    values = np.random.default_rng(0).integers(-0.9 * full, 0.9 * full, (4, 50))
    for i, record in enumerate(values + silence):
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as file:
            file.setparams((1, np.dtype(dtype).itemsize, 8000, 0, "NONE", ""))
            file.writeframes(record.astype(dtype).tobytes())
    data = loaded(tmp_path)
    x, names = data.tensor(), list("abcd")
    named = read_named([tmp_path], data.shape, data.meaning)
    for out, written in (
        ("drawn", save_fields(x, names, tmp_path / "drawn", data.meaning, keep=True)),
        ("restored", save_like(named.x, named, tmp_path / "restored", keep=True)),
    ):
        (array,) = format_of(written.paths[0]).scan(written.paths[0])
        assert np.allclose(format_of(array.path).read(array), values[0] / full, atol=1e-6)
        again = read_named([tmp_path / out], data.shape, data.meaning)
        assert torch.allclose(again.x, x, atol=1e-6)
        assert torch.allclose(load(DataConfig(str(tmp_path / out)), data.meaning).tensor(), x, atol=1e-6)
        # And restored files of floating point stay what they are.
        (first, *_) = save_like(again.x, again, tmp_path / f"{out} again").paths
        (array,) = format_of(first).scan(first)
        assert np.allclose(format_of(array.path).read(array), values[0] / full, atol=1e-6)


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(Format.parse("npy")), "save", full)
    meaning = Meaning("field", "YX", (0.0,), (1.0,), dtype="float32", limits=None, ending=".npy")
    with pytest.raises(InputError, match=r"^cannot write '.*/a\.npy': No space left on device$"):
        save_fields(torch.zeros(1, 1, 4, 4), ["a"], tmp_path, meaning)
