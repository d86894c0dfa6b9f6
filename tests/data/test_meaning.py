"""How models see values, and what they stand for outside."""

import json

import numpy as np
import pytest
import torch

from sagd.build.text import from_dict, to_dict
from sagd.data.formats import Step
from sagd.data.images import to_unit_range
from sagd.data.meaning import Meaning, peak, spread, standardised, usual
from sagd.errors import InputError

SOUND = Meaning(
    "audio",
    "T",
    (0.0,),
    (20000.0,),
    {"T": Step(1 / 8000, "s")},
    "",
    ("left", "right"),
    "int16",
    (-32768, 32767),
    ".wav",
)


def test_bytes_are_seen_as_pictures_always_were():
    u = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    meaning = Meaning()
    assert meaning.is_bytes
    assert torch.equal(meaning.to_model(u), to_unit_range(u))
    assert torch.equal(meaning.to_values(meaning.to_model(u)).round().to(torch.uint8), u)
    assert torch.equal(meaning.packed(meaning.to_model(u)), u)
    assert torch.equal(meaning.unpacked(u), to_unit_range(u))


def test_channels_have_offset_and_scale_of_their_own():
    meaning = Meaning("field", "YX", (10.0, -3.0), (2.0, 0.5), dtype="float32", limits=None, ending=".npy")
    values = torch.tensor([12.0, -2.5]).reshape(1, 2, 1, 1).expand(4, 2, 3, 3)
    assert torch.equal(meaning.to_model(values), torch.ones(4, 2, 3, 3))
    assert torch.equal(meaning.to_values(torch.ones(4, 2, 3, 3)).float(), values)


def test_what_files_hold_is_rounded_and_clipped():
    x = torch.tensor([[[0.00001, 2.0, -2.0, 0.5]]])
    held = SOUND.as_files_hold(x) * 20000
    assert torch.allclose(held, torch.tensor([0.0, 32767.0, -32768.0, 10000.0]))
    exact = Meaning("series", "T", (0.0,), (1.0,), dtype="float32", limits=None, ending=".csv")
    assert torch.equal(exact.as_files_hold(x), x)


def test_rate_and_sides():
    assert SOUND.rate == pytest.approx(8000)
    assert usual((1, 64)).rate is None
    steps = {"Z": Step(2.0, "mm"), "Y": Step(0.5, "mm"), "X": Step(0.5, "mm")}
    voxels = Meaning("volume", "ZYX", steps=steps)
    assert (voxels.sides(), voxels.length) == ((2.0, 0.5, 0.5), "mm")
    assert Meaning("volume", "ZYX", steps=steps | {"Z": Step(2.0, "cm")}).sides() is None


def test_new_files_have_their_channels_last(tmp_path):
    told = SOUND.contents(tmp_path / "a.wav", (2, 100))
    assert (told.shape, told.axes, told.dtype, told.limits) == ((100, 2), "TC", "int16", (-32768, 32767))
    assert Meaning().contents(tmp_path / "a.png", (1, 4, 5)).axes == "YX"


def test_it_survives_a_file():
    assert from_dict(Meaning, json.loads(json.dumps(to_dict(SOUND)))) == SOUND


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": "TT"}, "axes must be one to three of T, Z, Y, X"),
        ({"axes": ""}, "axes must be one to three"),
        ({"scale": (0.0,)}, "scale must be positive"),
        ({"scale": (1.0, 1.0)}, "one for each offset"),
        ({"offset": (float("nan"),)}, "must be finite"),
        ({"dtype": "complex64"}, "dtype must be one of numbers"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Meaning(**{"axes": "T", "offset": (0.0,), "scale": (1.0,)} | change)


def test_the_range_that_is_used():
    """12 bits in a 16-bit file fill the range of models, whatever two hot pixels say; nothing is clipped."""
    values = np.linspace(0, 4095, 10_000).reshape(1, 100, 100)
    values[0, 0, :2] = 65535
    (offset,), (scale,) = spread([values])
    assert offset == pytest.approx(2047.5, rel=0.01)
    assert scale == pytest.approx(2047.5, rel=0.01)
    assert spread([np.full((1, 4, 4), 7.0)]) == ((7.0,), (1.0,))
    (_,), (few,) = spread([np.array([[0.0] * 9999 + [8.0]])])
    assert few == 4.0


def test_silence_stays_zero():
    assert peak([np.array([[-3, 2]], np.int16), np.array([[1, -32768]], np.int16)]) == ((0.0,), (32768.0,))
    assert peak([np.zeros((1, 4))]) == ((0.0,), (1.0,))


def test_channels_are_standardised_and_missing_values_left_out():
    g = np.random.default_rng(0)
    values = np.stack([5 + 3 * g.normal(size=4000), np.full(4000, 2.0)])
    values[0, :1000] = np.nan
    offset, scale = standardised([values[:, :2000], values[:, 2000:]])
    assert offset == pytest.approx((np.nanmean(values[0]), 2.0))
    assert scale == pytest.approx((2 * np.nanstd(values[0]), 1.0))


@pytest.mark.parametrize("numbers", [spread, peak, standardised])
@pytest.mark.parametrize("scale", [1e300, 1.7e308, 1e-300])
def test_values_without_squares_are_refused(numbers, scale):
    values = np.array([[-1.0, 0.5, 1.0]]) * scale
    with pytest.raises(InputError, match=r"^values vary by .*, whose square double precision does not hold"):
        numbers([values])
