"""Tables whose rows hold sound or arrays: which kind they are, and the one-line errors of rows that cannot be used."""

import io
import json
import re
import zipfile

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from sagd.cli import main
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.sources import base
from sagd.errors import InputError


def sound(values, rate=8000, kind="WAV"):
    file = io.BytesIO()
    soundfile.write(file, values, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


def loaded(path, **options):
    return load(DataConfig(source=str(path), **options))


@pytest.fixture
def noise():
    return np.random.default_rng(0)


@pytest.fixture
def table(tmp_path):
    """Write a column, and labels, as row groups of two."""

    def write(column, kind=None, name="some.parquet"):
        column = column if isinstance(column, pa.Array) else pa.array(column, kind)
        labels = [("up", "down")[i % 2] for i in range(len(column))]
        pq.write_table(pa.table({"x": column, "label": labels}), tmp_path / name, row_group_size=2)
        return tmp_path / name

    return write


def values_of(data):
    return data.meaning.to_values(data.batch(torch.arange(len(data)))[0]).numpy()


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("holds", ["bytes", "struct", "path", "archive"])
def test_sound_is_read_with_its_rate_and_labels(table, noise, tmp_path, kind, holds):
    waves = noise.integers(-20000, 20000, (4, 50, 2)).astype(np.int16)
    files = [sound(wave, 22050, kind) for wave in waves]
    if holds == "path":
        for i, file in enumerate(files):
            (tmp_path / f"{i}.snd").write_bytes(file)
        files = [{"bytes": None, "path": str(tmp_path / f"{i}.snd")} for i in range(4)]
    elif holds == "archive":
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for i, file in enumerate(files):
                archive.writestr(f"{i}.snd", file)
        files = [{"bytes": None, "path": f"zip://{i}.snd::{tmp_path / 'all.zip'}"} for i in range(4)]
    elif holds == "struct":
        files = [{"bytes": file, "path": "of the past"} for file in files]
    kind = pa.binary() if holds == "bytes" else pa.struct({"bytes": pa.binary(), "path": pa.string()})
    data = loaded(table(files, kind))
    assert (data.meaning.kind, data.meaning.rate, data.meaning.dtype) == ("audio", 22050, "int16")
    assert (data.meaning.ending, data.origin) == (".wav", None)
    assert (data.classes, data.labels.tolist()) == (("down", "up"), [1, 0, 1, 0])
    assert np.abs(values_of(data) - waves.transpose(0, 2, 1)).max() < 0.01


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "kind", "turned"),
    [
        ((7,), "float32", {}, "series", (0, 1)),
        ((7,), "float32", {"kind": "field"}, "field", (0, 1)),
        ((7, 2), "float64", {"kind": "series"}, "series", (0, 2, 1)),
        ((2, 7), "float64", {"kind": "series"}, "series", (0, 1, 2)),
        ((5, 6), "float32", {}, "field", (0, 1, 2)),
        ((5, 6), "uint16", {}, "image", (0, 1, 2)),
        ((3, 5, 6), "uint8", {}, "image", (0, 1, 2, 3)),
        ((5, 6, 3), "uint8", {}, "image", (0, 3, 1, 2)),
        ((3, 5, 6), "float32", {"kind": "field"}, "field", (0, 1, 2, 3)),
        ((4, 5, 6), "float32", {}, "volume", (0, 1, 2, 3)),
        ((4, 5, 6), "float32", {"axes": "YXC", "kind": "field"}, "field", (0, 3, 1, 2)),
    ],
)
def test_arrays_are_of_the_kind_that_their_axes_say(table, noise, shape, dtype, options, kind, turned):
    values = noise.integers(0, 255, (4, *shape)).astype(dtype)
    nested = pa.from_numpy_dtype(values.dtype)
    for _ in shape:
        nested = pa.list_(nested)
    data = loaded(table(values.tolist(), nested), **options)
    assert (data.meaning.kind, data.meaning.dtype, data.classes) == (kind, dtype, ("down", "up"))
    wanted = values.transpose(turned)
    assert np.abs(values_of(data).reshape(wanted.shape) - wanted).max() < 1e-3


@pytest.mark.parametrize("form", ["fixed", "large", "tensor", "datasets"])
def test_lists_of_every_form_are_the_same_arrays(table, noise, tmp_path, form):
    values = noise.normal(size=(4, 5, 6)).astype(np.float32)
    if form == "tensor":
        path = table(pa.FixedShapeTensorArray.from_numpy_ndarray(values))
    elif form == "datasets":
        features = datasets.Features({"x": datasets.Array2D((5, 6), "float32")})
        path = tmp_path / "some.parquet"
        datasets.Dataset.from_dict({"x": values}, features).to_parquet(path)
    else:
        kind = {"fixed": pa.list_(pa.list_(pa.float32(), 6), 5), "large": pa.large_list(pa.large_list(pa.float32()))}
        path = table(values.tolist(), kind[form])
    data = loaded(path)
    assert data.meaning.kind == "field"
    assert np.abs(values_of(data)[:, 0] - values).max() < 1e-6


def test_sound_of_datasets_needs_no_decoder_of_its_own(tmp_path, noise):
    """The metadata of the feature `Audio`, without torchcodec."""
    column = [{"bytes": sound(noise.normal(size=40) * 0.1), "path": None}] * 2
    features = {"info": {"features": {"audio": {"sampling_rate": 8000, "_type": "Audio"}}}}
    told = pa.table({"audio": column}).replace_schema_metadata({b"huggingface": json.dumps(features).encode()})
    pq.write_table(told, tmp_path / "some.parquet")
    assert loaded(tmp_path / "some.parquet").meaning.rate == 8000


def test_windows_are_cut_of_rows_in_memory_and_mapped(table, noise, monkeypatch):
    """Each window is of its own row, whether rows are read one after the other or at random."""
    files = [sound(np.full(length, 1000 * (i + 1), np.int16)) for i, length in enumerate((40, 70, 32, 64))]
    path = table(files)
    held = loaded(path, size=32)
    assert held.labels.tolist() == [1, 1, 0, 0, 0, 1, 0, 0]
    assert values_of(held)[:, 0, 0].round().tolist() == [1000, 1000, 2000, 2000, 2000, 3000, 4000, 4000]
    monkeypatch.setattr(base, "MEMORY_LIMIT", 100)
    lazy = loaded(path, size=32)
    assert not isinstance(lazy.stored, torch.Tensor)
    assert torch.equal(lazy.batch(torch.arange(8))[0], held.batch(torch.arange(8))[0])
    turned = loaded(path, size=16, resample=4000)
    assert values_of(turned)[:, 0, 8].round(-3).tolist()[-2:] == [4000, 4000]


def test_rows_of_shards_are_named_by_their_files(tmp_path, table, noise):
    folder = tmp_path / "many"
    folder.mkdir()
    for k in range(2):
        values = noise.normal(size=(3, 8 - k)).tolist()
        table(values, name="one.parquet").rename(folder / f"part-{k}.parquet")
    with pytest.raises(InputError, match=r"size: row 0 of '.*part-0.parquet' is 8, row 0 of '.*part-1"):
        loaded(folder)
    assert len(loaded(folder, size=7)) == 9


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (lambda: [sound(np.ones(9)), sound(np.ones(9), 16000)], "row 1 of .* has a rate of 16000 Hz; bring all to one"),
        (lambda: [sound(np.ones(9)), None], "row 1 of .*: the row holds no bytes .null.; fill it, or remove it"),
        (lambda: [sound(np.ones(9)), sound(np.ones(9))[:50]], "row 1 of .*: its header promises 18 bytes of values"),
        (lambda: [sound(np.ones(9)), b"RIFF"], "row 1 of .*: is no sound that can be read"),
        (lambda: [sound(np.ones(9), kind="AIFF")] * 2, "row 0 of .*: is AIFF; write WAV or FLAC"),
        (
            lambda: [[1.0, 2.0], [1.0]],
            "row 0 of .* is 2, row 1 of .* is 1; give all one with data.size",
        ),
        (lambda: [[[1.0, 2.0]], [[1.0], [2.0, 3.0]]], "row 1 of .*: its lists have 1 to 2 numbers along axis 1"),
        (lambda: [[1.0, 2.0], None], "row 1 of .*: it holds 1 missing list.s. .null.; fill or remove them"),
        (lambda: [[1.0, 2.0], []], "row 1 of .*: it holds an empty list; remove the row"),
        (lambda: [[1, 2], [3, None]], "row 1 of .*: it holds 1 missing value.s. .null. among int64.*floating point"),
        (lambda: [[1.0, 2.0], [3.0, None]], "row 1 of .* holds 1 missing value.s. .NaN.*data.missing=mask"),
        (lambda: [["a"], ["b"]], "has no column of images, sound or arrays .*; it has x .list"),
    ],
)
def test_rows_that_cannot_be_used_are_named(table, column, message):
    with pytest.raises(InputError, match=message) as caught:
        loaded(table(column()))
    assert "\n" not in str(caught.value)


def test_missing_numbers_are_masked_and_bad_rows_left_out(table, caplog):
    data = loaded(table([[1.0, None], [2.0, 4.0]]), missing="mask")
    assert data.gaps
    assert values_of(data)[1, 0] == pytest.approx([2, 4])
    assert len(loaded(table([[1.0, 3.0], [], [2.0, 4.0]]), skip_bad=True)) == 2
    assert re.search(r"left out 1 of 3 rows; the first: row 1 of .*: it holds an empty list", caplog.text)


def test_columns_are_chosen_by_name(tmp_path, noise):
    values = noise.normal(size=(2, 4))
    pq.write_table(pa.table({"a": values.tolist(), "b": (-values).tolist(), "c": [1, 2]}), tmp_path / "some.parquet")
    with pytest.raises(InputError, match=r"has several columns of arrays; set data.image_column to one of a, b"):
        loaded(tmp_path / "some.parquet")
    assert np.allclose(values_of(loaded(tmp_path / "some.parquet", image_column="b"))[:, 0], -values)
    with pytest.raises(InputError, match=r"column 'c' .* holds no images, sound or arrays of numbers; it has a "):
        loaded(tmp_path / "some.parquet", image_column="c")
    with pytest.raises(InputError, match=r"is a table, of which data.image_column names the column"):
        loaded(tmp_path / "some.parquet", image_column="b", arrays=("a",))


def test_a_table_of_sound_is_inspected_trained_on_and_evaluated(table, noise, tmp_path, capsys):
    path = table([sound(noise.normal(size=64) * 0.1) for _ in range(12)])
    assert main(["inspect", str(path), "--out", str(tmp_path / "seen")]) == 0
    assert "power by radial band of 12 records of some, 1 x 64" in capsys.readouterr().out
    run = tmp_path / "run"
    (tmp_path / "run.yaml").write_text(
        "network: {widths: [4, 8]}\nsampling: {steps: 2}\n"
        "training: {steps: 2, batch_size: 4, sample_every: 0, device: cpu, precision: 'no'}\n"
    )
    assert main(["train", str(tmp_path / "run.yaml"), "--data.source", str(path), "--out", str(run)]) == 0
    assert main(["evaluate", str(run), "--evaluation.samples", "8", "--evaluation.bands", "3"]) == 0
    assert "Error of the mean record" in capsys.readouterr().out
