import numpy as np
import pytest
from PIL import Image

from sagd.data.formats import Format
from sagd.errors import InputError

FORM = Format.parse("netpbm")


@pytest.mark.parametrize(
    ("data", "dtype", "most", "values"),
    [
        (b"P1\n3 2\n101\n0 1 1\n", "bool", 1, [[0, 1, 0], [1, 0, 0]]),
        (b"P1 # comment\n# more\n3\n2\n1 0 1 0 1 1", "bool", 1, [[0, 1, 0], [1, 0, 0]]),
        (b"P4\n3 2\n\xa0\x60", "bool", 1, [[0, 1, 0], [1, 0, 0]]),
        (b"P2 3 1 1000\n1 2 1000\n", "uint16", 1000, [[1, 2, 1000]]),
        (b"P2\n3 1\n9\n1 # one\n2\n9\n", "uint8", 9, [[1, 2, 9]]),
        (b"P5\n3 1\n200\n\x01\x02\xc8", "uint8", 200, [[1, 2, 200]]),
        (b"P5 3 1 4095 \x00\x01\x01\x00\x0f\xff", "uint16", 4095, [[1, 256, 4095]]),
        (b"P3\n1 1 255\n1 2 3\n", "uint8", 255, [[[1, 2, 3]]]),
        (b"P6\n1 1 65535\n\x00\x01\x00\x02\xff\xff", "uint16", 65535, [[[1, 2, 65535]]]),
    ],
)
def test_values_are_those_of_the_bytes(data, dtype, most, values, tmp_path, again):
    (tmp_path / "a.pnm").write_bytes(data)
    (found,) = again(tmp_path / "a.pnm")
    assert found.values.tolist() == values
    assert (found.contents.dtype, found.contents.limits) == (dtype, (0, most))
    assert found.contents.notes == ()


@pytest.mark.parametrize(
    ("ending", "dtype", "shape"), [("pbm", "bool", (5, 11)), ("pgm", "uint8", (5, 7)), ("ppm", "uint8", (5, 7, 3))]
)
def test_pillow_reads_what_is_written(ending, dtype, shape, tmp_path, draw, like):
    values = draw(dtype, *shape)
    FORM.write(tmp_path / f"a.{ending}", values, like(values, "YXC"[: len(shape)]))
    with Image.open(tmp_path / f"a.{ending}") as image:
        np.testing.assert_array_equal(np.asarray(image), values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P7\nWIDTH 3\n", "does not begin with P1 to P6"),
        (b"P5\n3 x\n255\n", "its header is no width, height and largest value"),
        (b"P5\n3 2\n", "its header is no width"),
        (b"P5\n3 2\n0\nabcdef", "says that 0 is its largest value"),
        (b"P5\n3 2\n65536\nabcdef", "says that 65536 is its largest"),
        (b"P5\n0 2\n255\n", r"holds no values: its shape is \(2, 0\)"),
        (b"P5\n1000000 1000000\n255\nabc", "promises 1000000000000 bytes of values, 3 are there"),
        (b"P2\n1000000 1000000\n255\n1 2 3", "promises 1000000000000 bytes"),
        (b"P6\n2 1\n255\nabcde", "promises 6 bytes of values, 5 are there; it is cut short"),
        (b"P2\n3 1\n255\n1 2      ", "promises 3 values, 2 are there"),
        (b"P5\n3 1\n9\n\x01\x02\x0a", "has the value 10, and says that 9 is the largest"),
        (b"P2\n3 1\n9\n1 2 10", "has the value 10, and says that 9 is the largest"),
        (b"P2\n3 1\n9\n1 2 x", "cannot be read as a picture: "),
    ],
)
def test_damaged_files_are_refused(data, message, tmp_path):
    (tmp_path / "a.pgm").write_bytes(data)
    with pytest.raises(InputError, match=message):
        FORM.read(FORM.scan(tmp_path / "a.pgm")[0])


def test_more_pictures_are_said(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n1 1\n255\nxP5\n1 1\n255\ny")
    (contents,) = FORM.scan(tmp_path / "a.pgm")
    assert contents.notes == ("the first of several pictures; the others are left out",)


def test_values_above_the_largest_are_not_written(tmp_path, like):
    values = np.array([[1, 5000]], np.uint16)
    with pytest.raises(InputError, match=r"the value 5000 is above 4095"):
        FORM.write(tmp_path / "a.pgm", values, like(values, "YX", limits=(0, 4095)))
    with pytest.raises(InputError, match=r"int16 values cannot be written so"):
        FORM.write(tmp_path / "a.pgm", values.astype(np.int16), like(values, "YX"))
    FORM.write(tmp_path / "a.pgm", values, like(values, "YX"))
    assert FORM.scan(tmp_path / "a.pgm")[0].limits == (0, 65535)
