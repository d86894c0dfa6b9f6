"""Data larger than memory: what is read of it, and held, is bounded by what is measured, not by the number of items."""

import json

import numpy as np
import pytest
import torch

from sagd.build.schema import EvaluationConfig
from sagd.cli import main
from sagd.data.config import DataConfig
from sagd.data.fields import LazyFields
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.data.sources import base as sources
from sagd.study.evaluation import evaluate_folder, feature_extractor
from sagd.study.measuring import measured_part

SHAPE = (1, 16, 16)


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 2**15)
    monkeypatch.setattr("sagd.noise.statistics._MEASURED_VALUES", 64 * 256)


@pytest.fixture
def read(monkeypatch):
    """How many fields were read at a time, of whichever data."""
    counts = []
    before = LazyFields.__getitem__
    inside = []

    def counting(self, indices):
        if not inside:
            counts.append(len(indices))
        inside.append(1)
        try:
            return before(self, indices)
        finally:
            inside.pop()

    monkeypatch.setattr(LazyFields, "__getitem__", counting)
    return counts


def array(tmp_path, count):
    """A file of `count` images, most of whose bytes were never written."""
    path = tmp_path / f"{count}.npy"
    values = np.lib.format.open_memmap(path, "w+", np.float32, (count, *SHAPE[1:]))
    values[:64] = np.random.default_rng(0).normal(size=(64, *SHAPE[1:]))
    values[-64:] = np.random.default_rng(1).normal(size=(64, *SHAPE[1:]))
    values[:: count // 256] = np.random.default_rng(2).normal(size=values[:: count // 256].shape)
    return path


def config(path, **options):
    return DataConfig(source=str(path), kind="image", axes="NYX", **options)


def test_inspecting_reads_as_much_as_is_measured(tmp_path, read, capsys):
    for count in (1000, 20_000):
        read.clear()
        path = str(array(tmp_path, count))
        named = ["--data.kind", "image", "--data.axes", "NYX", "--data.limit", str(count)]
        assert main(["inspect", path, *named, "--out", str(tmp_path / f"out-{count}")]) == 0
        assert "64 of " in capsys.readouterr().out
        assert sum(read) <= 64 + 8 + 2 * 16  # those that are shown, and looked at for a word on their channels
        assert "slope" in json.loads((tmp_path / f"out-{count}" / "inspection.json").read_text())


def test_evaluating_reads_as_many_as_are_compared(tmp_path, read):
    samples = tmp_path / "samples"
    samples.mkdir()
    np.save(samples / "a.npy", np.random.default_rng(3).normal(size=(20, *SHAPE[1:])).astype(np.float32))
    settings = EvaluationConfig(samples=20, features="labelless")
    for count in (1000, 20_000):
        read.clear()
        result = evaluate_folder(samples, settings, config(array(tmp_path, count)), progress=False)
        assert result["n"] == 20
        assert sum(read) <= 2 * 20 + 20


def test_what_is_measured_is_read_once(tmp_path, read):
    data = load(config(array(tmp_path, 5000)))
    some = measured_part(data)
    held = some.held
    assert torch.equal(held.tensor(), some.tensor())
    assert torch.equal(held.places_of(torch.arange(64)), some.places_of(torch.arange(64)))
    assert [n for n in read if n > 16] == [64, 64]
    held.tensor()
    assert [n for n in read if n > 16] == [64, 64]
    assert held.held is held


def test_the_classifier_is_trained_on_as_much_as_memory_allows(monkeypatch):
    asked = []
    monkeypatch.setattr("sagd.study.evaluation._TRAINED_VALUES", 30 * 64)
    monkeypatch.setattr(
        "sagd.study.evaluation.ClassifierFeatures.train_or_load", lambda x, labels, *_, **__: asked.append((x, labels))
    )
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 2
    data = Signals("many", torch.randint(256, (100, 1, 8, 8), generator=g, dtype=torch.uint8), labels)
    feature_extractor(EvaluationConfig(features="classifier"), data, progress=False)
    ((x, own),) = asked
    assert x.shape == (30, 1, 8, 8)
    assert len(own) == 30
    assert set(own.tolist()) == {0, 1}
