"""What all formats do alike: refuse what is damaged in one line, write a whole file or none, and read parts."""

import dataclasses
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import features

from sagd.data.formats import Contents, Format, Step
from sagd.data.formats.find import endings, format_of
from sagd.errors import InputError, beyond

# Kind of the format: name of a file, axes, shape and type.
EXAMPLES = {
    "pillow": ("a.png", "YXC", (20, 30, 3), "uint8"),
    "netpbm": ("a.pgm", "YX", (20, 30), "uint16"),
    "gif": ("a.gif", "TYX", (3, 20, 30), "uint8"),
    "frames": ("frames", "TYX", (3, 20, 30), "uint8"),
    "tiff": ("a.tif", "ZYX", (3, 20, 30), "uint16"),
    "npy": ("a.npy", "TC", (90, 2), "float32"),
    "npz": ("a.npz", "TC", (90, 2), "float32"),
    "wav": ("a.wav", "TC", (900, 2), "int16"),
    "flac": ("a.flac", "TC", (900, 2), "int16"),
    "csv": ("a.csv", "TC", (90, 2), "float64"),
    "hdf5": ("a.h5", "TC", (900, 2), "float32"),
    "zarr": ("a.zarr", "TC", (90, 2), "float32"),
    "netcdf": ("a.nc", "TC", (900, 2), "float32"),
    "nifti": ("a.nii.gz", "XYZ", (9, 10, 11), "int16"),
    "mp4": ("a.mkv", "TYXC", (30, 16, 24, 3), "uint8"),
}
FLOATING = ("tiff", "npy", "npz", "wav", "csv", "hdf5", "zarr", "netcdf", "nifti")
MORE = [
    ("pillow", "a.bmp"),
    ("pillow", "a.jpg"),
    ("pillow", "a.webp"),
    ("pillow", "a.jp2"),
    ("pillow", "a.avif"),
    ("netpbm", "a.ppm"),
    ("nifti", "a.nii"),
    ("mp4", "a.mp4"),
    ("mp4", "a.mov"),
    ("mp4", "a.avi"),
]
FILES = [kind for kind in EXAMPLES if kind not in ("frames", "zarr")]


def example(kind, folder, name=None):
    """A file of a format, its contents and values."""
    usual, axes, shape, dtype = EXAMPLES[kind]
    if name and Path(name).suffix == ".ppm":
        axes, shape, dtype = "YXC", (20, 30, 3), "uint8"
    g = np.random.default_rng(0)
    values = (g.normal(size=shape) if dtype.startswith("f") else g.integers(0, 200, shape)).astype(dtype)
    path = folder / (name or usual)
    steps = {"T": Step(0.125, "s")} if "T" in axes else {}
    form = Format.parse(kind)
    form.write(path, values, Contents(Path("other"), "", shape, axes, dtype, steps=steps))
    return path, form, values


def cut(path, part):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])


def test_every_format_has_an_example():
    assert EXAMPLES.keys() | {"dicom"} == Format.members(installed=False).keys()


def test_every_ending_is_of_one_format():
    own = [ending for member in Format.members(installed=False).values() for ending in member.endings]
    assert len(own) == len(set(own))
    assert all(ending == ending.lower() and ending.startswith(".") for ending in own)
    assert sorted(own) == endings()
    assert all(set(member.lossy) <= set(member.endings) for member in Format.members().values())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_is_written_is_read(kind, tmp_path):
    path, form, values = example(kind, tmp_path)
    assert format_of(path) == form
    (contents,) = form.scan(path)
    np.testing.assert_array_equal(form.read(contents), values)
    if "T" in contents.steps:
        assert contents.steps["T"].size == pytest.approx(0.125, abs=0.01 if kind == "gif" else 0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_parts_are_those_of_the_whole(kind, tmp_path):
    path, form, values = example(kind, tmp_path)
    (contents,) = form.scan(path)
    part = (slice(1, 3, 2), *(slice(-2, None) for _ in values.shape[1:]))
    read = form.read(contents, part)
    np.testing.assert_array_equal(read, values[part])
    assert read.flags.writeable
    with pytest.raises(InputError, match=r"^the region \[5:5:"):
        form.read(contents, (slice(5, 5), *part[1:]))
    with pytest.raises(InputError, match=r"has no values"):
        form.read(contents, (slice(None, None, -1), *part[1:]))
    with pytest.raises(InputError, match=rf"each of the {values.ndim} axes, got 1$"):
        form.read(contents, (slice(None),))


@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(("kind", "name"), [*((kind, None) for kind in FILES if kind != "csv"), *MORE])
def test_files_that_are_cut_short_are_refused(kind, name, part, tmp_path):
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this pillow has no AVIF")
    path, form, _ = example(kind, tmp_path, name)
    cut(path, part)
    with pytest.raises(InputError) as caught:
        form.read(form.scan(path)[0])
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", FILES)
def test_empty_files_are_refused(kind, tmp_path):
    path, form, _ = example(kind, tmp_path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"^is empty: it has no bytes$"):
        form.scan(path)


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "csv"])
def test_what_only_bears_the_ending_is_refused(kind, tmp_path):
    path, form, _ = example(kind, tmp_path)
    other, _, _ = example("npy" if kind != "npy" else "pillow", tmp_path)
    path.write_bytes(other.read_bytes())
    with pytest.raises(InputError) as caught:
        form.scan(path)
    assert str(tmp_path) not in str(caught.value)
    for text in (b"\0" * 500, b"some text\n" * 50):
        path.write_bytes(text)
        with pytest.raises(InputError):
            form.scan(path)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_missing_files_and_folders_are_told_apart(kind, tmp_path):
    form = Format.parse(kind)
    with pytest.raises(InputError, match=r"^cannot be read: No such file or directory$"):
        form.scan(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"x")
    said = "is no folder" if form.folders else "is a folder, where a file is needed"
    with pytest.raises(InputError, match=rf"^{said}$"):
        form.scan(tmp_path / "file" if form.folders else tmp_path)


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"^is a pipe, which may never end; a file is needed$"):
        Format.parse("npy").scan(tmp_path / "a.npy")


@pytest.mark.parametrize("length", [250, 255])
def test_names_may_be_as_long_as_a_disk_takes_them(length, tmp_path):
    path = tmp_path / f"{'a' * (length - 4)}.npy"
    values = np.arange(6.0).reshape(2, 3)
    npy = Format.parse("npy")
    npy.write(path, values, Contents(path, "", values.shape, "YX", "float64"))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert np.array_equal(npy.read(npy.scan(path)[0]), values)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_names_need_not_be_text(kind, tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff folder")
    folder.mkdir()
    path, form, values = example(kind, folder, f"\udcff\udcfe {EXAMPLES[kind][0]}")
    (contents,) = form.scan(path)
    np.testing.assert_array_equal(form.read(contents), values)


@pytest.mark.parametrize("kind", FLOATING)
def test_nan_stays_nan(kind, tmp_path, like):
    name, axes, _, _ = EXAMPLES[kind]
    values = np.random.default_rng(0).normal(size=(6, 5, 4)[: len(axes)])
    values.flat[3] = np.nan
    form = Format.parse(kind)
    form.write(tmp_path / name, values, like(values, axes, steps={"T": Step(0.125, "s")}))
    (contents,) = form.scan(tmp_path / name)
    np.testing.assert_array_equal(form.read(contents), values)


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("values", [np.zeros(3, complex), np.array(["a"]), np.array([None]), np.zeros(3, "M8[s]")])
def test_what_is_no_real_number_is_not_written(kind, values, tmp_path, like):
    with pytest.raises(InputError, match=r"complex numbers|of type"):
        Format.parse(kind).write(tmp_path / EXAMPLES[kind][0], values, like(values, "T"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", EXAMPLES)
def test_nothing_is_left_of_what_cannot_be_written(kind, tmp_path, like):
    """Seven axes of one name; and nothing in them."""
    form, path = Format.parse(kind), tmp_path / EXAMPLES[kind][0]
    values = np.zeros((2,) * 7, np.float16)
    if kind not in ("npy", "npz", "hdf5", "zarr", "netcdf"):
        with pytest.raises(InputError):
            form.write(path, values, like(values, "NNNNNNN"))
    for empty in (np.zeros((0, 3, 3)), np.zeros((3, 3))):
        with pytest.raises(InputError, match=r"cannot be written with the axes 'TYX'$"):
            form.write(path, empty, dataclasses.replace(like(empty, ""), axes="TYX"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(tmp_path, like):
    values = np.zeros(3)
    with pytest.raises(InputError, match=r"^cannot be written as npy: No such file or directory$"):
        Format.parse("npy").write(tmp_path / "new" / "a.npy", values, like(values, "T"))


def test_files_are_replaced_and_folders_only_if_empty(tmp_path):
    path, form, _ = example("npy", tmp_path)
    new = np.arange(4.0)
    form.write(path, new, Contents(path, "", (4,), "T", "float64"))
    np.testing.assert_array_equal(np.load(path), new)
    example("frames", tmp_path)
    with pytest.raises(InputError, match=r"^cannot be written as a file: Directory not empty$"):
        example("frames", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy", "frames"]


def test_a_file_that_has_become_another_is_noticed(tmp_path):
    path, form, _ = example("npy", tmp_path)
    (contents,) = form.scan(path)
    np.save(path, np.zeros((90, 2)))
    with pytest.raises(InputError, match=r"promises float32 values of shape .*, read were float64"):
        form.read(contents)


def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path, form, _ = example("npy", tmp_path)
    (contents,) = form.scan(path)

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(type(form), "load", fail)
    with pytest.raises(MemoryError):
        form.read(contents)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Can't write data (file write failed: error message = 'No space left on device')"),
        RuntimeError("System error: No space left on device"),
    ],
)
def test_a_full_disk_is_told_with_the_name_of_the_file(error, tmp_path, like, monkeypatch):
    form, values = Format.parse("npy"), np.zeros(3)

    def full(*_):
        raise error

    monkeypatch.setattr(type(form), "save", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        form.write(tmp_path / "a.npy", values, like(values, "T"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.npy"))
    assert beyond(caught.value) == f"cannot use '{tmp_path / 'a.npy'}': No space left on device"
    assert list(tmp_path.iterdir()) == []
