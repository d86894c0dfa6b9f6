"""What a file beside others says of how they are read."""

import json

import numpy as np
import pytest
import torch

from sagd.data.config import DataConfig, Reading
from sagd.data.files import read_named, save_fields, save_like
from sagd.data.formats import Step
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.data.sources.beside import BESIDE
from sagd.errors import InputError

G = np.random.default_rng(0)


def meaning_of(**options):
    return load(DataConfig(**options)).meaning


@pytest.mark.parametrize(
    ("kind", "axes", "shape", "item"),
    [
        ("field", "CNYX", (2, 6, 5, 7), (2, 5, 7)),
        ("field", "NZYX", (6, 4, 5, 7), (1, 4, 5, 7)),
        ("field", "XNC", (9, 6, 2), (2, 9)),
        ("series", "NTC", (6, 4, 9), (9, 4)),
        ("series", "CNT", (1, 6, 40), (1, 40)),
        ("video", "NTYXC", (6, 3, 5, 7, 3), (3, 3, 5, 7)),
        ("volume", "XYZN", (7, 5, 4, 6), (1, 4, 5, 7)),
    ],
)
def test_arrays_are_read_again_as_they_were_for_training(kind, axes, shape, item, tmp_path):
    values = G.normal(size=shape).astype(np.float32)
    np.save(tmp_path / "all.npy", values)
    data = load(DataConfig(str(tmp_path / "all.npy"), kind=kind, axes=axes))
    assert data.shape == item
    x = data.tensor()
    named = read_named([tmp_path / "all.npy"], item, data.meaning)
    assert torch.equal(named.x, x)
    (again,) = save_like(x, named, tmp_path / "restored").paths
    assert np.allclose(np.load(again), values, atol=1e-5)
    assert load(DataConfig(str(tmp_path / "restored"))).shape == item
    # Samples: by the model, and by whoever knows nothing of it.
    save_fields(x, [f"{i:02d}" for i in range(len(x))], tmp_path / "samples", data.meaning)
    assert torch.allclose(read_named([tmp_path / "samples"], item, data.meaning).x, x, atol=1e-5)
    for known in (data.meaning, None):
        read = load(DataConfig(str(tmp_path / "samples")), known)
        assert (read.meaning.kind, read.meaning.axes, read.shape) == (kind, data.meaning.axes, item)
        assert torch.allclose(read.meaning.to_values(read.tensor()), data.meaning.to_values(x), atol=1e-4)


def test_rates_and_steps_of_arrays_are_remembered(tmp_path):
    np.save(tmp_path / "all.npy", G.normal(size=(6, 50)))
    told = meaning_of(source=str(tmp_path / "all.npy"), kind="audio", axes="NT", rate=8000)
    save_fields(torch.zeros(4, 1, 50), list("abcd"), tmp_path / "out", told)
    assert json.loads((tmp_path / "out" / BESIDE).read_text()) == {
        "kind": "audio",
        "axes": "NT",
        "spacing": ["0.000125 s"],
    }
    again = meaning_of(source=str(tmp_path / "out"), missing="mask")
    assert (again.kind, again.rate) == ("audio", 8000)
    np.save(tmp_path / "maps.npy", G.normal(size=(6, 5, 7)))
    told = meaning_of(source=str(tmp_path / "maps.npy"), spacing=("2 km", "3 km"))
    save_fields(torch.zeros(4, 1, 5, 7), list("abcd"), tmp_path / "maps", told)
    assert meaning_of(source=str(tmp_path / "maps")).steps == {"Y": Step(2.0, "km"), "X": Step(3.0, "km")}


def test_what_the_caller_says_goes_before_what_the_file_says(tmp_path):
    np.save(tmp_path / "a.npy", G.normal(size=(6, 4, 5)))
    (tmp_path / BESIDE).write_text('{"kind": "field", "axes": "NYX"}')
    assert load(DataConfig(str(tmp_path))).shape == (1, 4, 5)
    assert load(DataConfig(str(tmp_path / "a.npy"))).shape == (1, 4, 5)
    assert load(DataConfig(str(tmp_path), axes="YNX")).shape == (1, 6, 5)


def test_arrays_of_fewer_axes_than_were_named_are_told(tmp_path, caplog):
    caplog.set_level("INFO", "sagd")
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", G.normal(size=(3, 16, 16)))
    assert load(DataConfig(str(tmp_path), kind="field", axes="NCYX")).shape == (3, 16, 16)
    assert "axes NCYX of an array (3, 16, 16) taken as CYX" in caplog.text


def _arrays(folder, shape):
    folder.mkdir()
    for name in "ab":
        np.save(folder / f"{name}.npy", G.normal(size=shape).astype(np.float32))
    return folder


def test_files_that_somebody_names_are_read_as_the_file_beside_them_says(tmp_path):
    model = meaning_of(source=str(_arrays(tmp_path / "in", (2, 64))), kind="series", axes="CT", rate=100.0)
    turned, slow = _arrays(tmp_path / "turned", (64, 2)), _arrays(tmp_path / "slow", (2, 64))
    (turned / BESIDE).write_text('{"kind": "series", "axes": "TC", "rate": 100}')
    (slow / BESIDE).write_text('{"kind": "series", "axes": "CT", "rate": 50}')
    for path in (turned, turned / "a.npy"):
        named = read_named([path], (2, 64), model)
        assert np.allclose(model.to_values(named.x)[0], np.load(turned / "a.npy").T, atol=1e-6)
    with pytest.raises(InputError, match="has 50 samples per s, the model is for 100 per s; resample the file"):
        read_named([slow], (2, 64), model)


def test_rates_are_remembered_per_second_whatever_the_unit_of_times(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("time [ms],v\n" + "".join(f"{2 * i},{i % 7}\n" for i in range(40)))
    found = meaning_of(source=str(tmp_path))
    assert found.rate == pytest.approx(500)
    assert meaning_of(source=str(tmp_path), rate=1000.0).reading == Reading(rate=pytest.approx(500))
    assert load(DataConfig(str(tmp_path), resample=250.0)).shape == (1, 20)


def test_a_remembered_distance_goes_beneath_what_files_say(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    model = meaning_of(
        source=str(_arrays(tmp_path / "in", (4, 5, 6))), kind="volume", axes="ZYX", spacing=("2 mm",) * 3
    )
    values = G.normal(size=(4, 5, 6)).astype(np.float32)
    for name, size in (("same", 2.0), ("other", 3.0)):
        image = nibabel.Nifti1Image(values, np.diag([size, size, size, 1.0]))
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / f"{name}.nii")
    assert read_named([tmp_path / "same.nii"], (1, 4, 5, 6), model).x.shape == (1, 1, 4, 5, 6)
    assert read_named([tmp_path / "in"], (1, 4, 5, 6), model).x.shape == (2, 1, 4, 5, 6)
    with pytest.raises(InputError, match="has steps of 3 mm along Z, the model is for 2 mm"):
        read_named([tmp_path / "other.nii"], (1, 4, 5, 6), model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("[1]", "must hold an object with some of kind, axes, arrays, rate, spacing"),
        ('{"limit": 3}', "must hold an object with some of"),
        ('{"rate": "fast"}', "'rate' of .* cannot be 'fast'"),
        ('{"arrays": [1]}', "'arrays' of .* cannot be"),
        ('{"rate": -1}', "data.rate must be positive"),
    ],
)
def test_what_cannot_be_used_is_refused(text, message, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((6, 4, 5)))
    (tmp_path / BESIDE).write_text(text)
    with pytest.raises(InputError, match=message):
        load(DataConfig(str(tmp_path)))


def test_steps_in_space_are_those_of_the_model(tmp_path, caplog):
    """A file of other voxels is refused, one in another unit of the same length is not."""
    caplog.set_level("INFO", "sagd")
    tifffile = pytest.importorskip("tifffile")
    for name, unit, size in (("a", "mm", 2.0), ("b", "cm", 0.2), ("c", "mm", 3.0)):
        values = G.normal(size=(4, 5, 6)).astype(np.float32)
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(
            path,
            values,
            imagej=True,
            metadata={"axes": "ZYX", "spacing": size, "unit": unit},
            resolution=(1 / size,) * 2,
        )
    steps = {letter: Step(2.0, "mm") for letter in "ZYX"}
    meaning = Meaning("volume", "ZYX", (0.0,), (1.0,), steps, dtype="float32", limits=None, ending=".tif")
    assert read_named([tmp_path / "a.tif", tmp_path / "b.tif"], (1, 4, 5, 6), meaning).x.shape[0] == 2
    with pytest.raises(InputError, match=r"c.tif' has steps of 3 mm along Z, the model is for 2 mm; resample the file"):
        read_named([tmp_path / "c.tif"], (1, 4, 5, 6), meaning)
    assert (
        load(
            DataConfig(str(tmp_path / "c.tif"), kind="volume", fit="tile", size=4, spacing=("2 mm",) * 3)
        ).meaning.steps
        == steps
    )
    assert "steps along Z, Y, X are those of data.spacing; files say others" in caplog.text
    given = Meaning(**{**vars(meaning), "reading": Reading(spacing=("2 mm",) * 3)})
    with pytest.raises(InputError, match="has steps of 3 mm along Z, the model is for 2 mm"):
        read_named([tmp_path / "c.tif"], (1, 4, 5, 6), given)
    (tmp_path / BESIDE).write_text('{"spacing": ["2 mm", "2 mm", "2 mm"]}')
    assert read_named([tmp_path / "c.tif"], (1, 4, 5, 6), given).x.shape[0] == 1
