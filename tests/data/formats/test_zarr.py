import numpy as np
import pytest
import zarr

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("zarr")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float32", "float64"])
def test_values_of_every_type(version, dtype, tmp_path, draw, again):
    values = draw(dtype, 3, 4, 5)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(3, 4, 5), dtype=dtype, chunks=(2, 2, 5), zarr_format=version
    )
    array[...] = values
    (found,) = again(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.name, found.contents.axes) == ("", "???")
    assert found.written.kept == found.contents.kept


@pytest.mark.parametrize("version", [2, 3])
def test_axes_and_steps_of_ome(version, tmp_path, draw, again):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    values = draw("uint16", 2, 3, 4, 5)
    for level, part in (("0", values), ("1", values[..., ::2])):
        group.create_array(level, shape=part.shape, dtype=part.dtype, chunks=part.shape)[...] = part
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx"),
    ]
    levels = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [1.5, 1, 0.5, size]}]}
        for i, size in enumerate((0.25, 0.5))
    ]
    images = [{"axes": axes, "datasets": levels}]
    group.attrs.update({"multiscales": images} if version == 2 else {"ome": {"version": "0.5", "multiscales": images}})
    first, second = again(tmp_path / "a.zarr")
    assert first.contents.axes == "TCYX"
    assert first.contents.steps == {
        "T": Step(1.5, "second"),
        "Y": Step(0.5, "micrometer"),
        "X": Step(0.25, "micrometer"),
    }
    assert second.contents.steps["X"] == Step(0.5, "micrometer")
    written = dict(zarr.open_group(str(second.written.path), mode="r").attrs)
    (image,) = (written.get("ome") or written)["multiscales"]
    assert [level["path"] for level in image["datasets"]] == ["1"]


def test_names_of_dimensions(tmp_path, draw, again):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    array = group.create_array("deep/t2m", shape=(2, 3, 4), dtype="f4", dimension_names=("time", "lat", "lon"))
    array[...] = draw("float32", 2, 3, 4)
    array.attrs["units"] = "K"
    (found,) = again(tmp_path / "a.zarr")
    assert (found.contents.name, found.contents.axes, found.contents.quantity) == ("deep/t2m", "TYX", "K")
    assert found.written.kept == found.contents.kept


def test_chunks_that_are_cut_short_are_refused(tmp_path, draw):
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(50, 50), dtype="f8", chunks=(50, 50))
    array[...] = draw("float64", 50, 50)
    (chunk,) = (tmp_path / "a.zarr" / "c").rglob("0/0")
    data = chunk.read_bytes()
    for part in (0, 10, len(data) // 2, len(data) - 1):
        chunk.write_bytes(data[:part])
        with pytest.raises(InputError, match=r"^cannot be read as zarr: "):
            FORM.read(FORM.scan(tmp_path / "a.zarr")[0])


def test_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match=r"^cannot be read as zarr"):
        FORM.scan(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"^cannot be read as zarr"):
        FORM.scan(tmp_path / "a.zarr")
    zarr.open_group(str(tmp_path / "b.zarr"), mode="w").create_array("a", shape=(3,), dtype="complex64")
    with pytest.raises(InputError, match=r"^holds no array of real numbers$"):
        FORM.scan(tmp_path / "b.zarr")


def test_arrays_of_other_formats(tmp_path, draw, like):
    values = draw("float32", 6, 4)
    FORM.write(tmp_path / "a.zarr", values, like(values, "TC"))
    (contents,) = FORM.scan(tmp_path / "a.zarr")
    assert contents.axes == "TC"
