from fractions import Fraction

import av
import numpy as np
import pytest

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("mp4")


@pytest.fixture
def smooth():
    """40 frames of colours that change slowly, `(T, Y, X, C)`."""
    t, y, x = np.mgrid[:40, :32, :48]
    return np.stack([4 * y + 2 * t, 4 * x, y + x + t], -1).astype(np.uint8)


def encoded(path, frames, codec="libx264", pixels="yuv420p", rate=25, **options):
    """A film by PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "5", "g": "10"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if options.get("sound"):
            sound = container.add_stream("aac", rate=44100)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24" if frame.ndim == 3 else "gray")))
        container.mux(stream.encode(None))
        if options.get("sound"):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 44100
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
@pytest.mark.parametrize("grey", [False, True])
def test_lossless_films(name, grey, tmp_path, draw, like, again):
    values = draw("uint8", 30, 15, 21) if grey else draw("uint8", 30, 15, 21, 3)
    FORM.write(tmp_path / name, values, like(values, "TYXC"[: values.ndim], steps={"T": Step(1 / 30, "s")}))
    (found,) = again(tmp_path / name)
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.steps) == ("TYXC"[: values.ndim], {"T": Step(1 / 30, "s")})
    assert name[1:] not in FORM.lossy


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("odd", [False, True])
def test_films_of_cameras(name, odd, tmp_path, smooth, like, again):
    values = smooth[:, :31, :47] if odd else smooth
    FORM.write(tmp_path / name, values, like(values, "TYXC", steps={"T": Step(1001 / 30000, "s")}))
    (found,) = again(tmp_path / name, lossy=True)
    assert np.abs(found.values.astype(int) - values).mean() < 3
    assert found.contents.steps == {"T": Step(float(Fraction(1001, 30000)), "s")}
    assert found.contents.notes[0].startswith("MP4 and MOV do not keep values as they are")
    assert name[1:] in FORM.lossy


def test_parts_are_found_between_pictures_that_depend_on_others(tmp_path, smooth):
    """Ten pictures from one that stands alone to the next, and some shown later than they are stored."""
    (contents,) = FORM.scan(encoded(tmp_path / "a.mp4", smooth))
    whole = FORM.read(contents)
    assert whole.shape == smooth.shape
    for start in (0, 1, 9, 10, 11, 25, 39):
        np.testing.assert_array_equal(
            FORM.read(contents, (slice(start, start + 1), *[slice(None)] * 3)), whole[start : start + 1]
        )
    np.testing.assert_array_equal(
        FORM.read(contents, (slice(3, 33, 7), slice(4, 9), *[slice(None)] * 2)), whole[3:33:7, 4:9]
    )


@pytest.mark.parametrize(("b", "c", "quarters"), [(1, -1, -1), (-1, 1, 1)])
def test_films_that_were_held_upright_are_turned(b, c, quarters, tmp_path, smooth):
    """The matrix of the track says `x' = c y, y' = b x`: it is written into the bytes."""
    path = encoded(tmp_path / "a.mp4", smooth)
    before = FORM.read(FORM.scan(path)[0])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert data[at : at + 4] == (1 << 16).to_bytes(4, "big")
    for place, value in ((0, 0), (4, b << 16), (12, c << 16), (16, 0)):
        data[at + place : at + place + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    (contents,) = FORM.scan(path)
    assert contents.shape == (40, 48, 32, 3)
    np.testing.assert_array_equal(FORM.read(contents), np.rot90(before, quarters, (1, 2)))


def test_other_streams_are_left_out_and_said(tmp_path, smooth):
    (contents,) = FORM.scan(encoded(tmp_path / "a.mp4", smooth, sound=True))
    assert contents.notes[0] == "its other streams are left out: audio"
    assert contents.shape[0] == 40


def test_more_than_eight_bits_are_refused(tmp_path, smooth):
    path = encoded(tmp_path / "a.mkv", smooth, codec="ffv1", pixels="yuv420p10le")
    with pytest.raises(InputError, match=r"^has 10 bits a channel; 8 are supported$"):
        FORM.scan(path)


def test_files_without_pictures_are_refused(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    with pytest.raises(InputError, match=r"^holds no pictures$"):
        FORM.scan(tmp_path / "a.mkv")


def test_other_files_are_named_as_people_know_them(tmp_path):
    (tmp_path / "a.avi").write_bytes(b"x" * 300)
    with pytest.raises(InputError, match=r"^cannot be read as a film: Invalid data found when processing input$"):
        FORM.scan(tmp_path / "a.avi")


@pytest.mark.parametrize(
    ("dtype", "shape", "axes", "steps", "message"),
    [
        ("uint16", (3, 5, 7), "TYX", {}, "uint16 values cannot be written so; it takes uint8"),
        ("uint8", (3, 5, 7, 4), "TYXC", {}, "4 channels cannot be written so; a film has 3 or is grey"),
        ("uint8", (3, 5, 7), "ZYX", {}, "takes 'TYXC' or 'TYX'"),
        ("uint8", (3, 5, 7), "TYX", {"T": Step(1.0, "mm")}, "a step of 1 'mm' is no time between pictures"),
    ],
)
def test_what_it_cannot_hold_is_refused(dtype, shape, axes, steps, message, tmp_path, draw, like):
    values = draw(dtype, *shape)
    with pytest.raises(InputError, match=message):
        FORM.write(tmp_path / "a.mkv", values, like(values, axes, steps=steps))
    assert list(tmp_path.iterdir()) == []
