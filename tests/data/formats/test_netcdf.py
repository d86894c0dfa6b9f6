import logging
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray

from sagd.data.formats import Contents, Format, Step
from sagd.errors import InputError

FORM = Format.parse("netcdf")
SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture
def weather(draw):
    """A field in time with its coordinates."""
    values = draw("float32", 3, 4, 5)
    values[0, 0, 0] = np.nan
    return xarray.Dataset(
        {
            "t2m": (("time", "lat", "lon"), values, {"units": "K", "long_name": "temperature"}),
            "count": (("time",), np.arange(3, dtype="i4")),
        },
        {
            "time": ("time", np.array([0, 6, 12]), {"units": "hours since 2000-01-01", "calendar": "noleap"}),
            "lat": ("lat", np.array([10.0, 5, 0, -5]), {"units": "degrees_north"}),
            "lon": ("lon", np.array([0.0, 1, 2, 4, 9]), {"units": "degrees_east"}),
            "height": ((), 2.0, {"units": "m"}),
        },
        {"title": "weather"},
    )


@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_variables_with_all_that_is_said_of_them(kind, weather, tmp_path, again):
    weather.to_netcdf(tmp_path / "a.nc", engine="netcdf4", format=kind)
    first, second = again(tmp_path / "a.nc")
    np.testing.assert_array_equal(first.values, weather.t2m)
    assert (first.contents.name, first.contents.axes, first.contents.quantity) == ("t2m", "TYX", "K")
    assert first.contents.steps == {"T": Step(6.0, "hours since 2000-01-01"), "Y": Step(5.0, "degrees_north")}
    assert (second.contents.name, second.contents.axes, second.contents.dtype) == ("count", "T", "int32")
    with xarray.open_dataset(first.written.path) as read, xarray.open_dataset(tmp_path / "a.nc") as before:
        xarray.testing.assert_identical(read.drop_attrs(), before.drop_vars("count").drop_attrs())
        assert read.attrs == before.attrs
        assert {name: read[name].attrs for name in read.variables} == {n: before[n].attrs for n in read.variables}
    with netCDF4.Dataset(first.written.path) as file:
        assert file.data_model == ("NETCDF3_64BIT_OFFSET" if kind == "NETCDF3_64BIT" else kind)


def packed(path, codes, **attributes):
    """A packed variable, written by netCDF4 as it is."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", len(codes))
        variable = file.createVariable("a", "i2", ("x",), fill_value=-999)
        variable.set_auto_maskandscale(False)
        variable.setncatts(attributes)
        variable[:] = codes
    return path


def test_packing_is_undone_and_done_again(tmp_path, again):
    path = packed(tmp_path / "a.nc", [0, 1, -2, -999, 32767], scale_factor=0.5, add_offset=10.0)
    (found,) = again(path)
    np.testing.assert_array_equal(found.values, [10, 10.5, 9, np.nan, 16393.5])
    assert found.contents.limits is None
    with netCDF4.Dataset(found.written.path) as file:
        file["a"].set_auto_maskandscale(False)
        assert file["a"][:].tolist() == [0, 1, -2, -999, 32767]
        assert (file["a"].dtype, file["a"].scale_factor) == (np.int16, 0.5)


@pytest.mark.parametrize("value", [1e6, -1e6, -999 * 0.5 + 10])
def test_values_that_cannot_be_packed_are_written_as_they_are(value, tmp_path, caplog):
    (contents,) = FORM.scan(packed(tmp_path / "a.nc", [0, 1], scale_factor=0.5, add_offset=10.0))
    values = np.array([value, np.nan])
    with caplog.at_level(logging.WARNING):
        FORM.write(tmp_path / "b.nc", values, contents)
    assert caplog.messages == ["1 value(s) are outside of the packing as int16; written as they are"]
    np.testing.assert_array_equal(FORM.read(FORM.scan(tmp_path / "b.nc")[0]), values)


def test_missing_whole_numbers_are_nan(tmp_path, again):
    (found,) = again(packed(tmp_path / "a.nc", [0, -999, 7]))
    np.testing.assert_array_equal(found.values, [0, np.nan, 7])


def test_axes_by_their_attribute(tmp_path, again):
    data = xarray.Dataset(
        {"a": (("p", "q"), np.zeros((3, 4)))},
        {"p": ("p", np.arange(3.0), {"axis": "Z"}), "q": ("q", np.arange(4.0) * 2, {"axis": "X"})},
    )
    data.to_netcdf(tmp_path / "a.nc")
    (found,) = again(tmp_path / "a.nc")
    assert found.contents.axes == "ZX"
    assert found.contents.steps == {"Z": Step(1.0, ""), "X": Step(2.0, "")}


def test_only_a_part_is_read(weather, tmp_path, monkeypatch):
    weather.to_netcdf(tmp_path / "a.nc")
    contents = FORM.scan(tmp_path / "a.nc")[0]
    part = (slice(1, 2), slice(0, 4, 3), slice(2, 4))
    np.testing.assert_array_equal(FORM.read(contents, part), weather.t2m.values[part])


def test_a_part_is_written_with_the_coordinates_that_fit(weather, tmp_path):
    weather.to_netcdf(tmp_path / "a.nc")
    contents = FORM.scan(tmp_path / "a.nc")[0]
    FORM.write(tmp_path / "b.nc", np.zeros((2, 4, 5), "f4"), contents)
    with xarray.open_dataset(tmp_path / "b.nc") as read:
        assert set(read.coords) == {"lat", "lon", "height"}


def test_arrays_of_other_formats(tmp_path, draw, like, seconds):
    values = draw("float32", 6, 4)
    FORM.write(tmp_path / "a.nc", values, like(values, "TC", quantity="mV", steps=seconds))
    (contents,) = FORM.scan(tmp_path / "a.nc")
    assert (contents.name, contents.axes, contents.quantity, contents.steps) == ("data", "TC", "mV", seconds)


def test_files_without_variables_are_refused(tmp_path):
    xarray.Dataset({"a": ((), 3.0), "text": (("x",), np.array(["a", "b"]))}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"^holds no variable of real numbers with an axis; found: a, text$"):
        FORM.scan(tmp_path / "a.nc")


def test_files_that_are_cut_short_say_so(tmp_path, draw, like):
    values = draw("float64", 60, 60)
    FORM.write(tmp_path / "a.nc", values, like(values, "YX"))
    data = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "a.nc").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"^cannot be read as netcdf: NetCDF: HDF error; it is probably cut short$"):
        FORM.scan(tmp_path / "a.nc")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
def test_classic_files_that_are_cut_short_are_refused(part, tmp_path, draw):
    xarray.Dataset({"a": (("y", "x"), draw("float64", 50, 50))}).to_netcdf(
        tmp_path / "a.nc", engine="netcdf4", format="NETCDF3_CLASSIC"
    )
    data = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "a.nc").write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError):
        FORM.read(FORM.scan(tmp_path / "a.nc")[0])


def test_winds_of_a_reanalysis(tmp_path, again):
    path = SHARED / "weather" / "eraint_uvz.nc"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    found = {one.contents.name: one for one in again(path)}
    assert sorted(found) == ["u", "v", "z"]
    wind = found["u"].contents
    assert (wind.axes, wind.quantity, wind.steps["Y"]) == ("TZYX", "m s**-1", Step(0.75, "degrees_north"))
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        codes = file["u"][:]
        expected = codes * file["u"].scale_factor + file["u"].add_offset
    np.testing.assert_allclose(found["u"].values, expected, rtol=1e-12)
    with netCDF4.Dataset(found["u"].written.path) as file:
        file.set_auto_maskandscale(False)
        np.testing.assert_array_equal(file["u"][:], codes)


def test_channels_with_names_become_variables(tmp_path):
    """Each with its values, the common unit and the steps; read again, they are the arrays of the file."""
    values = np.random.default_rng(0).normal(size=(4, 6, 2)).astype(np.float32)
    path = tmp_path / "new.nc"
    like = Contents(
        path, "", (4, 6, 2), "YXC", "float32", steps={"Y": Step(2.5, "km")}, quantity="m s-1", channels=("u", "v")
    )
    FORM.write(path, values, like)
    found = FORM.scan(path)
    assert [(c.name, c.axes, c.quantity, c.steps) for c in found] == [
        (name, "YX", "m s-1", {"Y": Step(2.5, "km")}) for name in "uv"
    ]
    assert all(np.array_equal(FORM.read(c), values[..., k]) for k, c in enumerate(found))


def test_names_that_are_no_names_of_variables_stay_one_array(tmp_path):
    path = tmp_path / "new.nc"
    for names in (("a/b", "c"), ("u", "u"), ("x", "y")):
        FORM.write(path, np.ones((4, 6, 2)), Contents(path, "", (4, 6, 2), "YXC", "float64", channels=names))
        assert [(c.name, c.shape) for c in FORM.scan(path)] == [("data", (4, 6, 2))]
        path.unlink()
