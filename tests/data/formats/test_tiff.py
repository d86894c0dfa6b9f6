import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("tiff")
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
TYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float16", "float32", "float64")
LIMITS = {"bool": (0, 1), "uint8": (0, 255), "uint16": (0, 65535)}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_values_of_every_type(dtype, byteorder, tmp_path, draw, again):
    values = draw(dtype, 5, 7)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", byteorder=byteorder)
    (found,) = again(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.limits) == ("YX", LIMITS.get(dtype))


@pytest.mark.parametrize("dtype", TYPES)
def test_white_that_is_the_least_value_is_turned_round(dtype, tmp_path, draw, again):
    """At every depth, which neither tifffile nor, beyond 8 bits, pillow does."""
    values = draw(dtype, 5, 7)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    (found,) = again(tmp_path / "a.tif")
    kind = np.dtype(dtype).kind
    expected = {"b": np.logical_not, "u": lambda v: np.iinfo(dtype).max - v, "i": np.invert, "f": lambda v: v}[kind](
        values
    )
    np.testing.assert_array_equal(found.values, expected)
    assert "MinIsWhite" in found.contents.notes[0]
    np.testing.assert_array_equal(tifffile.imread(found.written.path), values)
    with tifffile.TiffFile(found.written.path) as file:
        assert file.pages[0].photometric == 0


def test_pillow_agrees_on_white_of_eight_bits(tmp_path, draw):
    tifffile.imwrite(tmp_path / "a.tif", draw("uint8", 5, 7), photometric="miniswhite")
    with Image.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(FORM.read(FORM.scan(tmp_path / "a.tif")[0]), np.asarray(image))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (32, 48)])
@pytest.mark.parametrize(
    ("shape", "axes", "options"),
    [
        ((100, 130), "YX", {"photometric": "minisblack"}),
        ((3, 100, 130), "NYX", {"photometric": "minisblack"}),
        ((100, 130, 3), "YXC", {"photometric": "rgb"}),
        ((100, 130, 4), "YXC", {"photometric": "rgb"}),
        ((3, 100, 130), "CYX", {"photometric": "rgb", "planarconfig": "separate"}),
        ((2, 3, 100, 130), "NCYX", {"photometric": "rgb", "planarconfig": "separate"}),
        ((2, 3, 40, 50), "NNYX", {"photometric": "minisblack"}),
    ],
)
def test_layouts_of_pages(compression, tile, shape, axes, options, tmp_path, draw, again):
    values = draw("uint16", *shape)
    tifffile.imwrite(
        tmp_path / "a.tif", values, compression=compression, tile=tile, predictor=bool(compression), **options
    )
    (found,) = again(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.axes == axes
    assert found.written.kept == found.contents.kept


def test_only_the_tiles_of_a_part_are_read(tmp_path, draw, monkeypatch):
    values = draw("uint8", 2, 100, 120)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", tile=(16, 16), compression="zlib")
    (contents,) = FORM.scan(tmp_path / "a.tif")
    taken = []
    read = tifffile.FileHandle.read
    monkeypatch.setattr(tifffile.FileHandle, "read", lambda self, n=-1: taken.append(n) or read(self, n))
    part = (slice(1, 2), slice(20, 30), slice(40, 60))
    np.testing.assert_array_equal(FORM.read(contents, part), values[part])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        counts = file.pages[1].databytecounts
    assert sum(taken) < sum(counts) / 3


def test_values_in_one_piece_are_mapped(tmp_path, draw, monkeypatch):
    values = draw("uint16", 4, 50, 60)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    (contents,) = FORM.scan(tmp_path / "a.tif")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    monkeypatch.setattr(tifffile.TiffPage, "decode", None)
    np.testing.assert_array_equal(FORM.read(contents), values)


def test_pages_that_nobody_said_more_of(tmp_path, draw, again):
    values = draw("uint8", 3, 5, 7)
    Image.fromarray(values[0]).save(
        tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(v) for v in values[1:]]
    )
    (found,) = again(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.axes == "NYX"


def test_series_of_other_sizes_are_other_arrays(tmp_path, draw, again):
    one, other = draw("uint8", 5, 7), draw("float32", 2, 6, 8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(one, metadata=None)
        file.write(other, metadata=None, photometric="minisblack")
    first, second = FORM.scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(FORM.read(first), one)
    np.testing.assert_array_equal(FORM.read(second), other)
    assert (first.name, second.name) == ("0", "1")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_hyperstacks_of_imagej(dtype, tmp_path, draw, again):
    values = draw(dtype, 2, 3, 4, 5, 6)
    metadata = {"axes": "TZCYX", "spacing": 0.5, "unit": "um", "finterval": 2.0, "Info": "a = 1", "mode": "composite"}
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, resolution=(4, 8), metadata=metadata)
    (found,) = again(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.axes == "TZCYX"
    assert found.contents.steps == {
        "T": Step(2.0, "s"),
        "Z": Step(0.5, "um"),
        "Y": Step(0.125, "um"),
        "X": Step(0.25, "um"),
    }
    with tifffile.TiffFile(found.written.path) as file:
        assert file.is_imagej
        assert {name: file.imagej_metadata[name] for name in ("Info", "mode")} == {"Info": "a = 1", "mode": "composite"}


def test_ome(tmp_path, draw, again):
    values = draw("uint16", 2, 3, 4, 5, 6)
    metadata = {
        "axes": "TZCYX",
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 2.0,
        "TimeIncrement": 3.0,
        "Channel": {"Name": ["a", "b", "c", "d"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata=metadata)
    (found,) = again(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.axes == "TZCYX"
    assert found.contents.steps == {
        "T": Step(3.0, "s"),
        "Z": Step(2.0, "µm"),
        "Y": Step(0.5, "µm"),
        "X": Step(0.25, "nm"),
    }
    assert found.written.kept == found.contents.kept
    assert found.written.kept["tiff"]["ome"]["Channel"] == {"Name": ["a", "b", "c", "d"]}


def test_resolution_says_the_step(tmp_path, draw, again):
    tifffile.imwrite(tmp_path / "a.tif", draw("uint8", 5, 7), resolution=(254, 508), resolutionunit="INCH")
    (found,) = again(tmp_path / "a.tif")
    assert {letter: step.size for letter, step in found.contents.steps.items()} == pytest.approx({"X": 0.1, "Y": 0.05})
    assert {step.unit for step in found.contents.steps.values()} == {"mm"}
    tifffile.imwrite(tmp_path / "a.tif", draw("uint8", 5, 7), resolution=(254, 508), resolutionunit="NONE")
    assert FORM.scan(tmp_path / "a.tif")[0].steps == {}


def test_no_resolution_says_no_step(tmp_path):
    """As pillow writes it: readers give 1 per inch where there are no tags."""
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "x.tif")
    (contents,) = FORM.scan(tmp_path / "x.tif")
    assert contents.steps == {}


def test_steps_of_other_formats_become_resolution(tmp_path, draw, like):
    values = draw("float32", 5, 7)
    steps = {"Y": Step(0.5, "mm"), "X": Step(250.0, "um")}
    FORM.write(tmp_path / "a.tif", values, like(values, "YX", steps=steps))
    (contents,) = FORM.scan(tmp_path / "a.tif")
    assert (contents.axes, contents.steps) == ("YX", {"Y": Step(0.5, "mm"), "X": Step(0.25, "mm")})


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(
    ("axes", "steps"),
    [
        ("ZYX", {"Y": Step(0.5, "mm"), "X": Step(250.0, "um"), "Z": Step(1.0, "mm")}),
        ("TYX", {"T": Step(0.04, "s"), "Y": Step(0.5, "mm"), "X": Step(0.5, "mm")}),
        ("YX", {"Y": Step(0.25, "degrees"), "X": Step(0.25, "degrees")}),
    ],
)
def test_steps_that_resolution_cannot_say_are_kept_in_ome(dtype, axes, steps, tmp_path, draw, like):
    values = draw(dtype, *(3, 5, 7)[-len(axes) :])
    FORM.write(tmp_path / "a.tif", values, like(values, axes, steps=steps))
    (contents,) = FORM.scan(tmp_path / "a.tif")
    assert (contents.axes, contents.steps, contents.dtype) == (axes, steps, dtype)
    assert np.array_equal(FORM.read(contents), values)
    FORM.write(tmp_path / "a.ome.tif", values, like(values, axes, steps=steps))
    assert FORM.scan(tmp_path / "a.ome.tif")[0].steps == steps


def test_big_files_stay_big(tmp_path, draw, again):
    tifffile.imwrite(tmp_path / "a.tif", draw("uint8", 5, 7), bigtiff=True)
    (found,) = again(tmp_path / "a.tif")
    with tifffile.TiffFile(found.written.path) as file:
        assert file.is_bigtiff


def test_colour_profile_date_and_description_are_kept(tmp_path, draw, again):
    tifffile.imwrite(
        tmp_path / "a.tif", draw("uint8", 5, 7), iccprofile=b"colours", datetime=True, description="who", metadata=None
    )
    (found,) = again(tmp_path / "a.tif")
    assert found.contents.notes == ("its colour profile is kept and not applied",)
    assert found.written.kept == found.contents.kept


@pytest.mark.parametrize(("factor", "dtype"), [(257, "uint8"), (256, "uint8"), (255, "uint16")])
def test_palettes_are_looked_up(factor, dtype, tmp_path, draw, again):
    colours = (np.arange(768).reshape(3, 256) % 256 * factor).astype(np.uint16)
    numbers = draw("uint8", 5, 7)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=colours)
    (found,) = again(tmp_path / "a.tif")
    scaled = colours // factor if dtype == "uint8" else colours
    np.testing.assert_array_equal(found.values, scaled.T[numbers])
    assert found.contents.dtype == dtype


def test_transparency_stays_a_channel(tmp_path, draw):
    values = draw("uint8", 5, 7, 4)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    (contents,) = FORM.scan(tmp_path / "a.tif")
    assert contents.notes == ("the last channel is transparency, which is not applied",)
    np.testing.assert_array_equal(FORM.read(contents), values)


def test_compressions_that_need_more_say_what(tmp_path, draw):
    Image.fromarray(draw("uint8", 50, 70)).save(tmp_path / "a.tif", compression="tiff_lzw")
    (contents,) = FORM.scan(tmp_path / "a.tif")
    assert contents.notes == ("its compression LZW is written as Deflate",)
    if importlib.util.find_spec("imagecodecs") is None:
        with pytest.raises(InputError, match=r"requires the 'imagecodecs' package"):
            FORM.read(contents)


@pytest.mark.parametrize("axes", ["T", "TC", "??", "ZX"])
def test_what_is_no_picture_is_not_written(axes, tmp_path, draw, like):
    values = draw("uint8", *(5, 7)[: len(axes)])
    with pytest.raises(InputError, match=r"cannot be written so; pictures have Y and X$"):
        FORM.write(tmp_path / "a.tif", values, like(values, axes))


def test_new_files_in_colour_and_with_channels(tmp_path, draw, like):
    for dtype, photometric, axes in (("uint8", 2, "YXC"), ("float32", 1, "CYX")):
        values = draw(dtype, 5, 7, 3)
        FORM.write(tmp_path / "a.tif", values, like(values, "YXC"))
        (contents,) = FORM.scan(tmp_path / "a.tif")
        assert contents.axes == axes
        assert contents.kept["tiff"]["photometric"] == photometric
        expected = values if axes == "YXC" else values.transpose(2, 0, 1)
        np.testing.assert_array_equal(FORM.read(contents), expected)


@pytest.mark.parametrize("cut", range(4, 700, 23))
def test_no_cut_goes_unnoticed(cut, tmp_path, draw, caplog):
    """Wherever a file ends: either all is there, or it is refused."""
    values = draw("uint8", 3, 5, 7)
    Image.fromarray(values[0]).save(
        tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(v) for v in values[1:]]
    )
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:cut])
    if cut < len(data):
        with pytest.raises(InputError):
            FORM.read(FORM.scan(tmp_path / "a.tif")[0])
        assert "TiffPages" not in caplog.text


def test_absurd_sizes_take_no_memory(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7), np.uint8), metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            at = tags[name].valueoffset
            data[at : at + 4] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError):
        FORM.read(FORM.scan(tmp_path / "a.tif")[0])


def test_counts_of_a_camera(again):
    path = SHARED / "damaged" / "twelve_bit_in_16_bit.tif"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    (found,) = again(path)
    assert (found.values.shape, found.values.dtype.name, found.contents.limits) == ((128, 128), "uint16", (0, 65535))
    assert found.values.max() < 4096
