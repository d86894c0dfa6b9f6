"""Windows of few large files, at places of their own and at random ones."""

import numpy as np
import pytest
import torch

from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.data.signals import SignalReader
from sagd.data.windows import Windows
from sagd.errors import InputError
from sagd.random import generator_for


@pytest.fixture
def arrays():
    g = torch.Generator().manual_seed(0)
    return torch.randn(2, 9, 12, generator=g), torch.randn(2, 7, 6, generator=g)


def test_windows_at_their_own_places(arrays):
    windows = Windows(arrays, (4, 5), torch.tensor([0, 1, 0]), torch.tensor([[0, 0], [3, 1], [5, 7]]))
    assert windows.shape == (3, 2, 4, 5)
    expected = [arrays[0][:, :4, :5], arrays[1][:, 3:, 1:], arrays[0][:, 5:, 7:]]
    torch.testing.assert_close(windows[torch.tensor([0, 1, 2])], torch.stack(expected))
    made = Windows(arrays, (4, 5), windows.number, windows.origin, made=lambda x: x[:, :1] - x[:, 1:], channels=1)
    torch.testing.assert_close(made[torch.tensor([1])], (expected[1][:1] - expected[1][1:])[None])
    assert windows.line(("image", "images")) == "3 windows of 4 x 5 of 2 images"


def test_random_places_are_all_taken_alike(arrays):
    codes = torch.arange(20.0).reshape(1, 20)
    windows = Windows((codes,), (6,), torch.zeros(3000, dtype=torch.int64), torch.zeros(3000, 1, dtype=torch.int64))
    first = windows.drawn(torch.arange(3000), generator_for(0, "windows", 1))[:, 0]
    assert ((first[:, 1:] - first[:, :1]) == torch.arange(1.0, 6)).all()
    counts = torch.bincount(first[:, 0].long(), minlength=15)
    assert len(counts) == 15 == windows.places
    assert float(((counts - 200.0) ** 2 / 200).sum()) < 36  # chi squared of 14 degrees of freedom, p = 0.001
    again = windows.drawn(torch.arange(3000), generator_for(0, "windows", 1))[:, 0]
    other = windows.drawn(torch.arange(3000), generator_for(0, "windows", 2))[:, 0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fixed_windows_at_random_places(arrays):
    """All places of all arrays alike: 48 and 8."""
    windows = Windows(arrays, (4, 5), torch.tensor([0]), torch.tensor([[0, 0]]), roams=True)
    some = windows.scattered(5600, generator_for(0, "places"))
    assert not some.roams
    counts = torch.cat(
        [
            torch.bincount(some.origin[some.number == k] @ torch.tensor([across, 1]), minlength=across * down)
            for k, (down, across) in enumerate([(6, 8), (4, 2)])
        ]
    )
    assert len(counts) == 56 == windows.places
    assert float(((counts - 100.0) ** 2 / 100).sum()) < 93  # chi squared of 55 degrees of freedom, p = 0.001
    again = windows.scattered(5600, generator_for(0, "places"))
    assert torch.equal(some[torch.arange(9)], again[torch.arange(9)])


def test_windows_side_by_side(arrays):
    windows = Windows((*arrays, torch.zeros(2, 3, 9)), (4, 5), torch.tensor([0]), torch.tensor([[0, 0]]))
    every = windows.side_by_side()
    assert every.number.tolist() == [0, 0, 0, 0, 1]
    assert every.origin.tolist() == [[0, 0], [0, 5], [4, 0], [4, 5], [0, 0]]


def test_one_file_is_enough(tmp_path, caplog):
    caplog.set_level("INFO")
    x = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    data = load(DataConfig(str(tmp_path / "x.npy"), kind="field", axes="YX", fit="crop", size=16))
    assert data.roams
    assert data.shape == (1, 16, 16)
    assert len(data) == 4 * 6
    assert "24 windows of 16 x 16 half a window apart of 1 field; training draws them anew from all 875" in caplog.text
    reader = SignalReader(data, 5)
    (first, _), digests = reader.read(torch.arange(8), 1)
    (again, _), same = reader.read(torch.arange(8), 1)
    (other, _), known = reader.read(torch.arange(8), 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(digests, same)
    assert torch.equal(digests, known)  # of the windows at their own places, which tell the files
    whole = data.meaning.to_model(torch.from_numpy(x)[None])
    every = whole[0].unfold(0, 16, 1).unfold(1, 16, 1).reshape(-1, 256)
    for window in other:
        assert (every == window.flatten()).all(1).any()
    torch.testing.assert_close(data.tensor()[0], whole[:, :16, :16])


def test_records_and_volumes(tmp_path):
    np.save(tmp_path / "r.npy", np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32))
    records = load(DataConfig(str(tmp_path / "r.npy"), kind="series", axes="NT", fit="crop", size=64))
    assert records.shape == (1, 64)
    assert len(records.stored.arrays) == 3
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(20, 24, 28)).astype(np.float32))
    volumes = load(DataConfig(str(tmp_path / "v.npy"), kind="volume", axes="ZYX", fit="crop", size=16))
    assert volumes.shape == (1, 16, 16, 16)
    assert SignalReader(volumes, 0).read(torch.arange(4), 1)[0][0].shape == (4, 1, 16, 16, 16)


def test_tiles_know_what_they_are_cut_from(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    data = load(DataConfig(str(tmp_path / "x.npy"), kind="field", axes="YX", fit="tile", size=16))
    assert not data.roams
    windows = data.cut()
    torch.testing.assert_close(windows[torch.arange(len(data))], data.tensor())
    assert load(DataConfig("digits", limit=10)).cut is None


def test_what_cannot_be_cropped(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32))
    config = DataConfig(str(tmp_path / "x.npy"), kind="field", axes="YX", fit="crop")
    with pytest.raises(InputError, match=r"data.fit 'crop' cuts windows: give their data.size"):
        load(config)
    with pytest.raises(InputError, match=r"larger than all fields here"):
        load(DataConfig(config.source, kind="field", axes="YX", fit="crop", size=60))
    monkeypatch.setattr("sagd.data.sources.base.MEMORY_LIMIT", 1000)
    with pytest.raises(InputError, match=r"of memory, .*data.fit=tile"):
        load(DataConfig(config.source, kind="field", axes="YX", fit="crop", size=16))
