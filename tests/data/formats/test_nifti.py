import gzip
import logging
import struct

import nibabel
import numpy as np
import pytest

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("nifti")


def saved(path, values, *, zooms=None, scaling=(np.nan, np.nan), kind=nibabel.Nifti1Image):
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = -10
    image = kind(values, affine, dtype=values.dtype)
    image.header.set_xyzt_units("mm", "msec")
    if zooms:
        image.header.set_zooms(zooms)
    image.header.set_slope_inter(*scaling)
    image.header["descrip"] = b"who"
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_volumes_of_every_type(dtype, name, kind, tmp_path, draw, again):
    values = draw(dtype, 4, 5, 6)
    (found,) = again(saved(tmp_path / name, values, zooms=(0.7, 2, 3), kind=kind))
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.limits) == ("XYZ", None)
    assert found.contents.steps == {"X": Step(0.7, "mm"), "Y": Step(2.0, "mm"), "Z": Step(3.0, "mm")}
    one, other = nibabel.load(tmp_path / name), nibabel.load(found.written.path)
    np.testing.assert_array_equal(one.affine, other.affine)
    assert one.header == other.header
    assert type(one) is type(other)


def test_volumes_in_time(tmp_path, draw, again):
    (found,) = again(saved(tmp_path / "a.nii", draw("int16", 4, 5, 6, 3), zooms=(1, 1, 1, 1500)))
    assert found.contents.axes == "XYZT"
    assert found.contents.steps["T"] == Step(1.5, "s")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_scaling_is_done_and_undone(dtype, tmp_path, draw, again):
    codes = draw(dtype, 4, 5, 6)
    (found,) = again(saved(tmp_path / "a.nii.gz", codes, scaling=(0.25, -3)))
    np.testing.assert_array_equal(found.values, codes.astype(np.float64) * 0.25 - 3)
    assert found.contents.dtype == "float64"
    assert found.contents.notes == (f"stored as {dtype}, times 0.25, plus -3",)
    written = nibabel.load(found.written.path)
    assert (written.get_data_dtype(), written.dataobj.slope, written.dataobj.inter) == (np.dtype(dtype), 0.25, -3)
    np.testing.assert_array_equal(written.dataobj.get_unscaled(), codes)


@pytest.mark.parametrize("value", [1e6, -100, np.nan])
def test_values_that_cannot_be_stored_are_written_as_they_are(value, tmp_path, caplog):
    (contents,) = FORM.scan(saved(tmp_path / "a.nii", np.zeros((2, 3, 4), np.uint8), scaling=(0.25, -3)))
    values = np.full((2, 3, 4), -2.0)
    values[0, 0, 0] = value
    with caplog.at_level(logging.WARNING):
        FORM.write(tmp_path / "b.nii", values, contents)
    assert "1 value(s) are outside of what uint8 can hold; written as they are" in caplog.messages
    np.testing.assert_array_equal(FORM.read(FORM.scan(tmp_path / "b.nii")[0]), values)


def test_headers_that_promise_too_much_take_no_memory(tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((2, 3, 4), np.uint8))
    data = bytearray(path.read_bytes())
    struct.pack_into("<8h", data, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"its header promises 35181150961663 bytes of values, 24 are there"):
        FORM.scan(path)
    packed = tmp_path / "a.nii.gz"
    packed.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(InputError, match=r"its header promises 35181150961663 bytes"):
        FORM.scan(packed)


@pytest.mark.parametrize(("code", "message"), [(32, "complex numbers"), (128, "of type")])
def test_what_is_no_real_number_is_refused(code, message, tmp_path):
    path = saved(tmp_path / "a.nii", np.zeros((2, 3, 4), np.float64))
    data = bytearray(path.read_bytes())
    struct.pack_into("<2h", data, 70, code, 64 if code == 32 else 24)
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        FORM.scan(path)


def test_arrays_of_other_formats(tmp_path, draw, like):
    values = draw("float32", 4, 5, 6)
    steps = {"Z": Step(2.0, "mm"), "Y": Step(0.5, "mm"), "X": Step(0.25, "mm")}
    FORM.write(tmp_path / "a.nii", values, like(values, "ZYX", steps=steps))
    (contents,) = FORM.scan(tmp_path / "a.nii")
    assert (contents.axes, contents.steps) == ("XYZ", steps)
    np.testing.assert_array_equal(FORM.read(contents), values.transpose(2, 1, 0))
    with pytest.raises(InputError, match=r"takes 'XYZTC'"):
        FORM.write(tmp_path / "b.nii", values, like(values, "ZY?"))
    with pytest.raises(InputError, match=r"^cannot be written as nifti: "):
        FORM.write(tmp_path / "b.nii", values.astype(np.float16), like(values, "ZYX"))
    with pytest.raises(InputError, match=r"a step of 2 'furlong'"):
        FORM.write(tmp_path / "b.nii", values, like(values, "ZYX", steps={"X": Step(2.0, "furlong")}))
