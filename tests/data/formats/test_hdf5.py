from pathlib import Path

import h5py
import numpy as np
import pytest

from sagd.data.formats import Format
from sagd.errors import InputError

FORM = Format.parse("hdf5")
SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "<i4", "<f2", ">f4", "<f8"])
def test_values_of_every_type(dtype, tmp_path, draw, again):
    values = draw(np.dtype(dtype).newbyteorder("="), 3, 4, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=values, dtype=dtype)
    (found,) = again(tmp_path / "a.h5")
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.name, found.contents.axes) == ("a", "???")
    assert found.written.kept == found.contents.kept


def test_every_array_of_numbers_is_found(tmp_path, draw, again):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one/two"] = draw("float32", 3, 4)
        file["three"] = draw("uint8", 5)
        file["text"] = "x"
        file["scalar"] = 3.0
        file["empty"] = np.zeros((0, 3))
        file["complex"] = np.zeros(3, complex)
        file["table"] = np.zeros(3, [("a", "f4")])
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/a")
    assert [found.contents.name for found in again(tmp_path / "a.h5")] == ["one/two", "three"]


def test_what_is_said_of_an_array_is_kept(tmp_path, draw, again):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        item = file.create_dataset("a", data=draw("float32", 6, 4), chunks=(3, 4), compression="gzip", shuffle=True)
        item.attrs.update({"units": "mV", "gain": 3.5, "names": np.array([1, 2])})
        item.dims[0].label, item.dims[1].label = "time", "channel"
        item.attrs["other"] = item.ref
        file.attrs["who"] = "me"
    (found,) = again(tmp_path / "a.h5")
    assert (found.contents.axes, found.contents.quantity) == ("TC", "mV")
    with h5py.File(found.written.path) as file:
        item = file["a"]
        assert (item.attrs["units"], item.attrs["gain"], item.attrs["names"].tolist()) == ("mV", 3.5, [1, 2])
        assert (item.chunks, item.compression, item.shuffle) == ((3, 4), "gzip", True)
        assert file.attrs["who"] == "me"


def test_sizes_that_were_never_written_take_no_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", shape=(10**6, 10**6), dtype="f4", chunks=(100, 100))
    (contents,) = FORM.scan(tmp_path / "a.h5")
    assert FORM.read(contents, (slice(0, 2), slice(0, 2))).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(InputError, match=r"its header promises 4000000000000 bytes of values"):
        FORM.read(contents)


def test_files_without_arrays_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["text"] = "x"
    with pytest.raises(InputError, match=r"^holds no array of real numbers; found: 'text' \(object, \(\)\)$"):
        FORM.scan(tmp_path / "a.h5")


def test_arrays_of_other_formats(tmp_path, draw, like):
    values = draw("float32", 6, 4)
    FORM.write(tmp_path / "a.h5", values, like(values, "TC", quantity="K"))
    (contents,) = FORM.scan(tmp_path / "a.h5")
    assert (contents.name, contents.axes, contents.quantity) == ("data", "TC", "K")


def test_projections_of_a_tooth(again):
    path = SHARED / "tomography" / "tooth.h5"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    found = {one.contents.name: one for one in again(path)}
    assert sorted(found) == ["exchange/data", "exchange/data_dark", "exchange/data_white", "exchange/theta"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(found["exchange/data"].values, file["exchange/data"])
