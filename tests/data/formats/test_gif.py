import numpy as np
import pytest
from PIL import Image

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("gif")


def saved(path, frames, **options):
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, **options)
    return path


def test_a_film_in_grey(tmp_path, draw, again):
    frames = draw("uint8", 4, 5, 7)
    (found,) = again(saved(tmp_path / "a.gif", frames, duration=70, loop=3))
    np.testing.assert_array_equal(found.values, frames)
    assert (found.contents.axes, found.contents.steps) == ("TYX", {"T": Step(0.07, "s")})
    assert found.written.kept == found.contents.kept == {"gif": {"durations": (70,) * 4, "loop": 3}}


def test_a_film_of_few_colours(tmp_path, draw, again):
    colours = draw("uint8", 9, 3)
    frames = colours[draw("uint8", 3, 5, 7) % 9]
    (found,) = again(saved(tmp_path / "a.gif", frames, duration=[70, 90, 70]))
    np.testing.assert_array_equal(found.values, frames)
    assert (found.contents.axes, found.contents.steps) == ("TYXC", {})
    assert found.contents.notes[0] == "its pictures last for different times, which are kept"
    assert found.written.kept == found.contents.kept


def test_single_pictures_have_no_time(tmp_path, draw, again):
    values = draw("uint8", 5, 7)
    (found,) = again(saved(tmp_path / "a.gif", [values]))
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.notes) == ("YX", ())


def test_pictures_that_are_alike_stay_several(tmp_path, like, seconds):
    frames = np.zeros((5, 4, 6), np.uint8)
    FORM.write(tmp_path / "a.gif", frames, like(frames, "TYX", steps={"T": Step(0.04, "s")}))
    (contents,) = FORM.scan(tmp_path / "a.gif")
    assert (contents.shape, contents.steps) == ((5, 4, 6), {"T": Step(0.04, "s")})
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.info["duration"]) == (5, 40)


def test_many_colours_become_near_ones(tmp_path, like):
    y, x = np.mgrid[:64, :64]
    frames = np.stack([np.stack([4 * y, 4 * x, y + x], -1)] * 2).astype(np.uint8)
    FORM.write(tmp_path / "a.gif", frames, like(frames, "TYXC"))
    read = FORM.read(FORM.scan(tmp_path / "a.gif")[0])
    assert 0 < np.abs(read.astype(int) - frames).mean() < 12


def test_transparency_is_said(tmp_path, draw):
    image = Image.frombytes("P", (4, 1), bytes([0, 1, 2, 3]))
    image.putpalette(bytes(range(12)))
    image.save(tmp_path / "a.gif", transparency=3)
    (contents,) = FORM.scan(tmp_path / "a.gif")
    assert "transparency is laid over white" in contents.notes
    assert FORM.read(contents).tolist() == [[[0, 1, 2], [3, 4, 5], [6, 7, 8], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("dtype", "shape", "axes", "message"),
    [
        ("uint16", (2, 5, 7), "TYX", "uint16 values cannot be written so; it takes uint8"),
        ("uint8", (2, 5, 7, 4), "TYXC", "4 channels cannot be written so"),
        ("uint8", (2, 5, 7), "ZYX", "takes 'TYX'"),
        ("uint8", (1, 70000), "YX", "sides of at most 65535"),
    ],
)
def test_what_it_cannot_hold_is_refused(dtype, shape, axes, message, tmp_path, draw, like):
    values = draw(dtype, *shape)
    with pytest.raises(InputError, match=message):
        FORM.write(tmp_path / "a.gif", values, like(values, axes))
    values = draw("uint8", 2, 5, 7)
    with pytest.raises(InputError, match=r"cannot last 0\.001 s in GIF"):
        FORM.write(tmp_path / "a.gif", values, like(values, "TYX", steps={"T": Step(0.001, "s")}))


def test_damaged_blocks_are_refused(tmp_path, draw):
    path = saved(tmp_path / "a.gif", draw("uint8", 2, 5, 7))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=r"has an unknown block b'\?' after 2 picture"):
        FORM.scan(path)
    path.write_bytes(b"GIF89a" + bytes(7) + b";")
    with pytest.raises(InputError, match=r"holds no picture"):
        FORM.scan(path)
