import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sagd.data.formats import Contents, Step
from sagd.data.formats.find import format_of


@pytest.fixture
def draw():
    """Random values of a type and shape."""

    def drawn(dtype, *shape, seed=0):
        g = np.random.default_rng(seed)
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            return g.normal(size=shape).astype(dtype)
        if dtype.kind == "b":
            return g.random(shape) > 0.5
        return g.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    return drawn


@pytest.fixture
def like():
    """Contents of no file, for writing."""

    def made(values, axes, **others):
        return Contents(Path("other"), "", values.shape, axes, values.dtype.name, **others)

    return made


def _every_second(contents):
    return tuple(slice(n // 3, None, 2) if n > 2 else slice(None) for n in contents.shape)


@pytest.fixture
def again(tmp_path):
    """Read each array of a file, write it with its metadata, and read that: equal but for what is `lossy`.

    Returns the contents, values, and contents of what was written, of the arrays of the file.
    """

    def tripped(path, lossy=False):
        found = []
        form = format_of(path)
        for number, contents in enumerate(form.scan(path)):
            values = form.read(contents)
            assert (values.shape, values.dtype.name) == (contents.shape, contents.dtype)
            assert values.dtype.isnative
            assert values.flags.writeable
            part = _every_second(contents)
            np.testing.assert_array_equal(form.read(contents, part), values[part])
            folder = tmp_path / f"written-{path.name}-{number}"
            folder.mkdir(exist_ok=True)
            form.write(folder / path.name, values, contents)
            assert [file.name for file in folder.iterdir()] == [path.name]
            (written,) = form.scan(folder / path.name)
            for field in dataclasses.fields(Contents):
                if field.name not in ("path", "notes", "kept"):
                    assert getattr(written, field.name) == getattr(contents, field.name), field.name
            if not lossy:
                np.testing.assert_array_equal(form.read(written), values)
            found.append(SimpleNamespace(contents=contents, values=values, written=written))
        return found

    return tripped


@pytest.fixture
def seconds():
    """A step of time."""
    return {"T": Step(0.125, "s")}
