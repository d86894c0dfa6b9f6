import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sagd.data.formats import Format, Step
from sagd.errors import InputError

WAV, FLAC = Format.parse("wav"), Format.parse("flac")
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
WIDTHS = {
    1: ("uint8", (0, 255)),
    2: ("int16", (-(2**15), 2**15 - 1)),
    3: ("int32", (-(2**23), 2**23 - 1)),
    4: ("int32", (-(2**31), 2**31 - 1)),
}


def written(path, data, width, channels=1, rate=8000):
    """A WAV by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("width", WIDTHS)
def test_values_are_those_of_the_standard_library(width, channels, tmp_path, again):
    data = np.random.default_rng(0).integers(0, 256, 50 * width * channels, np.uint8).tobytes()
    (found,) = again(written(tmp_path / "a.wav", data, width, channels))
    signed = width > 1
    samples = [int.from_bytes(data[i : i + width], "little", signed=signed) for i in range(0, len(data), width)]
    assert found.values.ravel().tolist() == samples
    assert found.values.shape == ((50,) if channels == 1 else (50, channels))
    assert (found.contents.dtype, found.contents.limits) == WIDTHS[width]
    assert found.contents.steps == {"T": Step(1 / 8000, "s")}
    with wave.open(str(found.written.path)) as file:
        assert file.readframes(50) == data


@pytest.mark.parametrize(("subtype", "dtype"), [("FLOAT", "float32"), ("DOUBLE", "float64")])
def test_floating_point_has_no_limits(subtype, dtype, tmp_path, draw, again):
    values = 3 * draw(dtype, 50, 2)
    soundfile.write(tmp_path / "a.wav", values, 44100, subtype)
    (found,) = again(tmp_path / "a.wav")
    np.testing.assert_array_equal(found.values, values)
    assert found.contents.limits is None


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_the_codings_of_telephones_stay_and_are_said(subtype, tmp_path, draw, again):
    soundfile.write(tmp_path / "a.wav", draw("int16", 50), 8000, subtype)
    (found,) = again(tmp_path / "a.wav")
    assert found.contents.notes == (f"{subtype} holds values near those given, not these",)
    assert soundfile.info(found.written.path).subtype == subtype


@pytest.mark.parametrize(("subtype", "dtype"), [("PCM_S8", "int8"), ("PCM_16", "int16"), ("PCM_24", "int32")])
def test_flac(subtype, dtype, tmp_path, draw, again):
    values = draw("int16", 500, 2) >> (8 if subtype == "PCM_S8" else 0)
    shift = {"PCM_S8": 8, "PCM_16": 0, "PCM_24": 8}[subtype]
    soundfile.write(
        tmp_path / "a.flac", values.astype("int32" if shift and dtype == "int32" else "int16") << shift, 44100, subtype
    )
    (found,) = again(tmp_path / "a.flac")
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.dtype, soundfile.info(found.written.path).subtype) == (dtype, subtype)


def test_texts_and_rate_are_kept(tmp_path, draw, again):
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 11025, 2, "PCM_16") as file:
        file.title, file.artist = "name", "who"
        file.write(draw("int16", 50, 2))
    (found,) = again(tmp_path / "a.wav")
    with soundfile.SoundFile(found.written.path) as file:
        assert (file.title, file.artist, file.samplerate) == ("name", "who", 11025)
    assert found.written.kept == found.contents.kept


def test_only_a_part_is_read(tmp_path, draw, monkeypatch):
    written(tmp_path / "a.wav", draw("int16", 1000).tobytes(), 2)
    (contents,) = WAV.scan(tmp_path / "a.wav")
    counts = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, n, *a, **k: counts.append(n) or read(self, n, *a, **k)
    )
    np.testing.assert_array_equal(WAV.read(contents, (slice(500, 520, 4),)), draw("int16", 1000)[500:520:4])
    assert counts == [20]


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 2002])
def test_headers_that_promise_too_much_are_refused(size, tmp_path, draw):
    path = written(tmp_path / "a.wav", draw("int16", 1000).tobytes(), 2)
    data = bytearray(path.read_bytes())
    data[40:44] = size.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=rf"^its header promises {size} bytes of values, 2000 are there; it is cut short$"
    ):
        WAV.scan(path)


def test_flac_that_promises_too_much_is_refused(tmp_path, draw):
    soundfile.write(tmp_path / "a.flac", draw("int16", 1000), 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    for samples in (0, 2**36 - 1):
        data[21:26] = (int.from_bytes(data[21:22], "big") >> 4 << 36 | samples).to_bytes(5, "big")
        (tmp_path / "a.flac").write_bytes(data)
        with pytest.raises(InputError, match=rf"^its header promises {samples} samples"):
            FLAC.scan(tmp_path / "a.flac")
    data[21:26] = (int.from_bytes(data[21:22], "big") >> 4 << 36 | 1001).to_bytes(5, "big")
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(InputError):
        FLAC.read(FLAC.scan(tmp_path / "a.flac")[0])


def test_no_samples_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no values"):
        WAV.scan(written(tmp_path / "a.wav", b"", 2))


def test_other_formats_are_named(tmp_path, draw):
    soundfile.write(tmp_path / "a.flac", draw("int16", 100), 8000)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    with pytest.raises(InputError, match=r"^is FLAC, whatever its ending says; give it that of FLAC$"):
        WAV.scan(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", draw("int16", 1000), 8000, "IMA_ADPCM")
    with pytest.raises(InputError, match=r"^its coding IMA_ADPCM is not supported; save it as PCM_U8"):
        WAV.scan(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("dtype", "limits", "subtype"),
    [
        ("uint8", (0, 255), "PCM_U8"),
        ("int16", None, "PCM_16"),
        ("int32", (-(2**23), 2**23 - 1), "PCM_24"),
        ("int32", None, "PCM_32"),
        ("float32", None, "FLOAT"),
        ("float64", None, "DOUBLE"),
    ],
)
def test_new_files_have_the_subtype_of_the_values(dtype, limits, subtype, tmp_path, draw, like, seconds):
    values = np.clip(draw(dtype, 3, 50), *limits).astype(dtype) if limits else draw(dtype, 3, 50)
    WAV.write(tmp_path / "a.wav", values, like(values, "CT", limits=limits, steps=seconds))
    assert soundfile.info(tmp_path / "a.wav").subtype == subtype
    (contents,) = WAV.scan(tmp_path / "a.wav")
    np.testing.assert_array_equal(WAV.read(contents), values.T)
    assert contents.steps == seconds


@pytest.mark.parametrize(
    ("form", "dtype", "axes", "steps", "message"),
    [
        (WAV, "uint16", "T", {"T": Step(0.125, "s")}, "uint16 values cannot be written so; it takes uint8, int16"),
        (FLAC, "float32", "T", {"T": Step(0.125, "s")}, "float32 values cannot be written so; it takes int8"),
        (WAV, "int16", "X", {"T": Step(0.125, "s")}, "takes 'T' or 'TC'"),
        (WAV, "int16", "T", {}, "nothing says how many samples a second has"),
        (WAV, "int16", "T", {"T": Step(0.3, "s")}, r"a step of 0\.3 's' is no whole number of samples a second"),
        (WAV, "int16", "T", {"T": Step(1.0, "mm")}, "a step of 1 'mm' is no whole"),
        (FLAC, "int16", "T", {"T": Step(1e-6, "s")}, "cannot be written as flac"),
    ],
)
def test_what_it_cannot_hold_is_refused(form, dtype, axes, steps, message, tmp_path, draw, like):
    values = draw(dtype, 50)
    with pytest.raises(InputError, match=message):
        form.write(tmp_path / f"a.{form.kind}", values, like(values, axes, steps=steps))
    assert list(tmp_path.iterdir()) == []


def test_values_outside_of_24_bits_are_refused(tmp_path, again, draw):
    soundfile.write(tmp_path / "a.wav", draw("int32", 50), 8000, "PCM_24")
    (found,) = again(tmp_path / "a.wav")
    with pytest.raises(InputError, match=r"^values from 0 to 8388608 cannot be written as PCM_24"):
        WAV.write(tmp_path / "b.wav", np.array([0, 2**23], np.int32), found.contents)


def test_spoken_digits(again):
    path = SHARED / "speech" / "0_george_0.wav"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    (found,) = again(path)
    with wave.open(str(path)) as file:
        np.testing.assert_array_equal(found.values, np.frombuffer(file.readframes(10**6), "<i2"))
    assert found.contents.steps == {"T": Step(1 / 8000, "s")}
