import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sagd.data.formats import Format
from sagd.errors import InputError

NPY, NPZ = Format.parse("npy"), Format.parse("npz")
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
TYPES = ("?", "u1", "<u2", ">u2", "<i4", ">i8", "<f2", "<f4", ">f4", "<f8", ">f8")


def header(text):
    """The first bytes of version 1, by hand."""
    text = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_values_are_those_of_the_bytes(tmp_path):
    data = header("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }")
    (tmp_path / "a.npy").write_bytes(data + bytes([0, 1, 0, 2, 0, 3, 0, 4, 1, 0, 255, 255]))
    (contents,) = NPY.scan(tmp_path / "a.npy")
    assert (contents.shape, contents.axes, contents.dtype) == ((2, 3), "??", "int16")
    assert NPY.read(contents).tolist() == [[1, 3, 256], [2, 4, -1]]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", TYPES)
def test_type_and_order_stay(dtype, order, tmp_path, draw, again):
    values = np.asarray(draw(np.dtype(dtype).newbyteorder("="), 3, 4, 5), dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    (found,) = again(tmp_path / "a.npy")
    assert found.written.path.read_bytes() == (tmp_path / "a.npy").read_bytes()
    np.savez(tmp_path / "a.npz", one=values)
    (found,) = again(tmp_path / "a.npz")
    assert found.written.kept == found.contents.kept


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive_have_names(save, tmp_path, draw, again):
    save(
        tmp_path / "a.npz",
        draw("float32", 9),
        b=draw("uint8", 3, 4),
        text=np.array(["x"]),
        one=np.array(3),
        no=np.zeros(0),
    )
    first, second = again(tmp_path / "a.npz")
    assert {first.contents.name, second.contents.name} == {"arr_0", "b"}
    with zipfile.ZipFile(first.written.path) as archive, zipfile.ZipFile(tmp_path / "a.npz") as before:
        assert [m.compress_type for m in archive.infolist()] == [before.infolist()[0].compress_type]
        assert len(archive.infolist()) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3, complex), r"^holds complex numbers \(complex128\); save real and imaginary part"),
        (np.array(["a"]), r"^holds values of type <U1; whole numbers"),
        (np.zeros(3, "M8[s]"), r"^holds values of type datetime64\[s\]"),
        (np.zeros(3, [("a", "f4")]), "^holds values of type"),
        (np.zeros(3, np.longdouble), "^holds values of type float128"),
        (np.array(3.0), "^holds a single number, no array$"),
        (np.zeros((0, 3)), r"^holds no values: its shape is \(0, 3\)$"),
        (np.array([None]), "^holds pickled objects, which are never read"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(values, message, tmp_path):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=message):
        NPY.scan(tmp_path / "a.npy")
    if values.dtype != object:
        np.savez(tmp_path / "a.npz", values)
        with pytest.raises(InputError, match=r"^holds no array of real numbers; found: 'arr_0'"):
            NPZ.scan(tmp_path / "a.npz")


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.save(tmp_path / "a.npy", np.array([Trap()]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", np.array([Trap()]))
    for form, name in ((NPY, "a.npy"), (NPZ, "a.npz")):
        with pytest.raises(InputError, match=r"pickled objects, which are never read"):
            form.scan(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("shape", ["(10**9, 10**9)", "(1000000000000,)", "(4,)"])
def test_headers_that_promise_too_much_take_no_memory(shape, tmp_path):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".replace("10**9", "1000000000")
    data = header(text) + bytes(24)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(InputError, match=r"its header promises \d+ bytes of values, 24 are there"):
        NPY.scan(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(InputError, match=r"its header promises"):
        NPZ.scan(tmp_path / "a.npz")


def test_archives_whose_sizes_lie_are_refused(tmp_path):
    """The size that the archive says of a member is changed: by its checksum, or its bytes, this is seen."""
    np.savez_compressed(tmp_path / "a.npz", np.arange(1000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        (member,) = archive.infolist()
    data[member.header_offset + 60] ^= 255
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError):
        NPZ.read(NPZ.scan(tmp_path / "a.npz")[0])


@pytest.mark.parametrize(
    "text", ["{'descr': '<f8'}", "[1]", "{'descr': '<x8', 'fortran_order': False, 'shape': (1,)}", "("]
)
def test_headers_that_are_none_are_refused(text, tmp_path):
    (tmp_path / "a.npy").write_bytes(header(text) + bytes(24))
    with pytest.raises(InputError, match=r"^cannot be read as npy: "):
        NPY.scan(tmp_path / "a.npy")


def test_later_versions_are_for_tables(tmp_path):
    data = io.BytesIO()
    np.lib.format.write_array(data, np.zeros(3), version=(2, 0))
    (tmp_path / "a.npy").write_bytes(data.getvalue())
    assert NPY.scan(tmp_path / "a.npy")[0].shape == (3,)
    (tmp_path / "a.npy").write_bytes(data.getvalue().replace(b"NUMPY\x02", b"NUMPY\x03"))
    with pytest.raises(InputError, match=r"^is of version 3\.0"):
        NPY.scan(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["alarm-v102s-250Hz.npy", "mitdb-100-360Hz.npy"])
def test_records_of_hearts(name, again):
    path = SHARED / "ecg" / name
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    (found,) = again(path)
    assert (found.values.shape[1], found.values.dtype) == (2, np.float32)
    assert found.written.path.read_bytes() == path.read_bytes()


def test_two_arrays_of_one_name_are_refused(tmp_path):
    data = io.BytesIO()
    np.save(data, np.ones((4, 4)))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", data.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", data.getvalue())
    with pytest.raises(InputError, match=r"^holds two arrays 'x'; save each under a name of its own$"):
        NPZ.scan(tmp_path / "a.npz")


def test_content_of_another_kind_is_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(
        InputError, match=r"^cannot be read as npy: its content is that of a PNG file; give it the ending of one$"
    ):
        NPY.scan(tmp_path / "a.npy")
