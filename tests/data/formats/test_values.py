from dataclasses import astuple

import numpy as np
import pytest

from sagd.data.formats.values import Loss, to_type
from sagd.errors import InputError

WHOLE = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_of_all_sizes_are_rounded_and_clipped(dtype):
    """What Python's own whole numbers give, which have no end."""
    info = np.iinfo(dtype)
    values = np.array([0.4, 0.5, 1.5, 2.5, 99.49, -0.4, float(info.min), float(info.max), -1e30, 1e30])
    typed, clipped = to_type(values, dtype)
    rounded = [round(float(v)) for v in values]
    assert typed.tolist() == [min(max(v, int(info.min)), int(info.max)) for v in rounded]
    assert clipped == sum(not info.min <= v <= info.max for v in rounded)
    assert typed.dtype == dtype


def test_limits_are_tighter_than_the_type():
    typed, clipped = to_type(np.array([-9e6, 8388607.4, 8388608.0, 3.0]), "int32", (-8388608, 8388607))
    assert typed.tolist() == [-8388608, 8388607, 8388607, 3]
    assert clipped == 2
    assert to_type(np.array([4095.4, 4095.6]), "uint16", (0, 4095))[1] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_whole_numbers_cannot_be_nan(bad):
    with pytest.raises(InputError, match=r"^2 value\(s\) are NaN or infinite, which int16 cannot hold"):
        to_type(np.array([1.0, bad, bad]), "int16")


def test_floating_point_keeps_nan_and_clips_what_would_become_infinite():
    typed, clipped = to_type(np.array([1.5, np.nan, np.inf, 70000.0, -1e9]), "float16")
    np.testing.assert_array_equal(typed, np.array([1.5, np.nan, np.inf, 65504, -65504], np.float16))
    assert clipped == 2
    assert to_type(np.array([0.1]), "float64")[0][0] == 0.1


def test_booleans_are_rounded():
    typed, clipped = to_type(np.array([-0.2, 0.4, 0.6, 1.7]), bool)
    assert (typed.tolist(), clipped) == ([False, False, True, True], 1)


def test_any_shape_and_half_precision():
    typed, _ = to_type(np.full((2, 3, 4), 7.2, np.float32), "uint8")
    assert typed.shape == (2, 3, 4)
    assert (typed == 7).all()


def test_what_a_type_takes_is_counted():
    """By numpy: what was clipped, rounded, and the change over the spread; what arithmetic leaves does not count."""
    values = np.array([[0.0, 3.0 + 1e-9, 7.25, -4.0], [300.0, 9.5, 20.0, 255.4]])
    typed, clipped = to_type(values, "uint8")
    loss = Loss.of(values, typed, clipped)
    assert (loss.values, loss.clipped, loss.rounded) == (8, 2, 3)
    change = np.sqrt(np.mean((typed - values) ** 2)) / values.std()
    assert loss.share == pytest.approx(change)
    halves = (Loss.of(v, t, c) for v, t, c in zip(values, typed, (1, 1), strict=True))
    assert astuple(sum(halves, Loss())) == pytest.approx(astuple(loss))
    assert (
        loss.told("uint8") == "of 8 values 3 (38 %) were rounded to uint8 and 2 (25 %) were clipped to what uint8 holds"
    )
    whole = np.array([1.0, 2.0, np.nan])
    assert Loss.of(whole, *to_type(whole, "float32")) == Loss(2, 0, 0, 0.0, 3.0, 5.0)
    assert Loss.of(whole, *to_type(whole, "float32")).told("float32") == ""
    assert Loss().share == Loss.of(np.ones(3), np.ones(3, np.uint8), 0).share == 0
