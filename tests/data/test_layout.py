"""Axes of arrays, sorted into items, channels and space."""

from pathlib import Path

import numpy as np
import pytest

from sagd.data.formats import Contents
from sagd.data.kinds import Kind
from sagd.data.layout import Layout, layout_of, suggested
from sagd.errors import InputError


def contents(shape, axes=None):
    return Contents(Path("a"), "", tuple(shape), axes or "?" * len(shape), "float32")


@pytest.mark.parametrize(
    ("axes", "spatial"),
    [("NYXC", "YX"), ("CTZYX", "ZYX"), ("TZCYX", "YX"), ("TC", "T"), ("XYZ", "ZYX"), ("XCNY", "YX")],
)
def test_items_are_arranged_and_put_back(axes, spatial):
    """Against plain indexing: item by item, the value at each place is that of the array there."""
    shape = tuple(range(2, 2 + len(axes)))
    values = np.random.default_rng(0).normal(size=shape)
    layout = Layout(axes, spatial)
    back = np.empty_like(values)
    names = layout.outer
    lengths = [shape[axes.index(letter)] for letter in names]
    assert layout.count(shape) == np.prod(lengths, dtype=int)
    for item in range(layout.count(shape)):
        region = layout.region(shape, item)
        field = layout.arranged(values[region])
        assert field.shape == layout.item_shape(shape)
        outer = dict(zip(names, np.unravel_index(item, lengths) if lengths else (), strict=True))
        for place in np.ndindex(field.shape):
            at = dict(zip("C" + spatial, place, strict=True)) | outer
            assert field[place] == values[tuple(at[letter] for letter in axes)]
        back[region] = layout.restored(field, back[region].shape)
    assert np.array_equal(back, values)


def test_windows_are_those_of_the_item():
    values = np.arange(2 * 5 * 6).reshape(2, 5, 6)
    layout = Layout("NYX", "YX")
    part = values[layout.region(values.shape, 1, (slice(1, 3), slice(2, 6)))]
    assert np.array_equal(layout.arranged(part), values[1:2, 1:3, 2:6])


@pytest.mark.parametrize(
    ("shape", "spatial", "axes"),
    [
        ((28, 28), "YX", "YX"),
        ((28, 28, 3), "YX", "YXC"),
        ((28, 28, 28), "YX", "NYX"),
        ((10, 28, 28, 3), "YX", "NYXC"),
        ((10, 2, 28, 28), "YX", "NCYX"),
        ((1000,), "T", "T"),
        ((1000, 2), "T", "TC"),
        ((12, 1000), "T", "NT"),
        ((7, 1000, 3), "T", "NTC"),
        ((7, 3, 1000), "T", "NCT"),
        ((6, 8, 8), "T", "NCT"),
        ((16, 16, 16), "ZYX", "ZYX"),
        ((5, 16, 16, 16), "ZYX", "NZYX"),
        ((8, 16, 16, 3), "TYX", "TYXC"),
    ],
)
def test_what_a_shape_suggests(shape, spatial, axes):
    assert suggested(shape, spatial, coloured=True) == axes
    if axes[-1] != "C" or spatial == "T":
        assert suggested(shape, spatial) == axes


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5, 6)])
def test_shapes_that_suggest_nothing(shape):
    with pytest.raises(InputError, match=r"does not say which of its axes are Y, X; say it with data.axes"):
        suggested(shape, "YX")


def test_letters_of_files_stand_in_for_those_that_a_kind_needs():
    assert layout_of(contents((9, 4, 4), "NYX"), "ZYX").axes == "ZYX"
    assert layout_of(contents((9, 4, 4), "NYX"), "TYX").axes == "TYX"
    assert layout_of(contents((9, 4, 4), "TYX"), "YX").outer == "T"
    with pytest.raises(InputError, match=r"has no axis Y; say which are which with data.axes"):
        layout_of(contents((9, 4), "TC"), "YX")


def test_letters_that_somebody_chose():
    assert layout_of(contents((2, 3, 8, 9), "TZYX"), "YX", "NCYX").inner == "CYX"
    for axes in ("YX", "NNYX", "NCYQ"):
        with pytest.raises(InputError, match=f"data.axes '{axes}' must have a letter for each axis"):
            layout_of(contents((2, 3, 8, 9)), "YX", axes)


def test_fields_take_the_space_that_there_is():
    field = Kind.member("field")()
    assert field.layout(contents((2, 3, 8, 9), "TZYX")).spatial == "ZYX"
    assert field.layout(contents((2, 3, 8, 9), "TZYX"), "NCYX").spatial == "YX"
    assert field.layout(contents((50,))).spatial == "X"
    assert field.layout(contents((7, 8, 9))).axes == "NYX"
    with pytest.raises(InputError, match="axes 'NC' name no axis of space"):
        field.layout(contents((8, 9)), "NC")
