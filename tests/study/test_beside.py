"""The usual tools beside ours: called as they are, and judged without a clean array."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest
import torch

from sagd.noise.spectra.base import Spectrum
from sagd.omission.preparation import Scale
from sagd.omission.removal import measure
from sagd.study.beside import beside, tools

COLUMNS = "strip(axis=1, low=0.01, width=0.02)"
ROWS = "strip(axis=0, low=0.01, width=0.02)"
HUM = "spots(at=[[0.125]], radius=0.004)"


def module(monkeypatch, name, **functions):
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(made).update(functions)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def without(monkeypatch):
    """Neither of the packages, whatever is installed."""
    monkeypatch.setattr("sagd.study.beside.has", lambda name: name == "scipy")


@pytest.fixture
def pystripe(monkeypatch):
    """A tool that halves the deviation of every row from its mean."""

    def filter_streaks(x, sigma):
        assert sigma == [128, 256]
        return x - 0.5 * (x.mean(1, keepdims=True) - x.mean())

    module(monkeypatch, "pystripe")
    module(monkeypatch, "pystripe.core", filter_streaks=filter_streaks)
    monkeypatch.setattr("sagd.study.beside.has", lambda name: name == "pystripe")


def walk(rows=128, columns=160, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(1, rows, columns, generator=g).cumsum(1).cumsum(2)
    return x / x.std()


def test_a_notch_for_records(without):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8000, generator=g) + 3 * torch.sin(2 * torch.pi * 0.125 * torch.arange(8000))
    was, own, notch = beside(x, measure(x, HUM), Scale())
    assert [r.tool for r in (was, own, notch)] == ["as it was", "sagd", "scipy iirnotch"]
    assert was.left > own.left + 15
    assert notch.left < was.left - 15
    assert was.outside == 0
    assert own.outside < 0.2
    assert own.outside < notch.outside < 100


def test_stripes_that_lie_are_turned_for_a_tool_of_standing_ones(pystripe):
    x = walk()
    x = x + 0.5 * torch.randn(160, generator=torch.Generator().manual_seed(1))
    upright = beside(x, measure(x, COLUMNS), Scale())[2]
    level = beside(x.mT.contiguous(), measure(x.mT.contiguous(), ROWS), Scale())[2]
    torch.testing.assert_close(level.x, upright.x.mT, rtol=1e-4, atol=1e-4)
    expected = x - 0.5 * (x.mean(1, keepdim=True) - x.mean())
    torch.testing.assert_close(upright.x, expected, rtol=1e-3, atol=1e-3)


def test_tools_are_for_what_they_are_made_for(pystripe):
    names = {band: [name for name, _, _ in tools(Spectrum.parse(band), 2)] for band in (COLUMNS, ROWS)}
    assert names == {COLUMNS: ["pystripe"], ROWS: ["pystripe"]}
    assert not list(tools(Spectrum.parse("stripes(angle=30, width=0.02)"), 2))
    assert not list(tools(Spectrum.parse("spots(at=[[0.2, 0.2]], radius=0.02)"), 2))
    assert not list(tools(Spectrum.parse(COLUMNS), 3))
    assert [name for name, _, _ in tools(Spectrum.parse("stripes(angle=90.2, width=0.02)"), 2)] == ["pystripe"]


def test_a_tool_that_fails_stops_nothing(monkeypatch):
    def fail(x):
        raise RuntimeError("no such thing")

    names = ("remove_stripe_based_wavelet_fft", "remove_stripe_based_sorting", "remove_all_stripe")
    module(monkeypatch, "algotom")
    module(monkeypatch, "algotom.prep")
    module(monkeypatch, "algotom.prep.removal", **dict.fromkeys(names, fail))
    monkeypatch.setattr("sagd.study.beside.has", lambda name: name == "algotom")
    x = walk()
    results = beside(x, measure(x, COLUMNS), Scale())
    assert [r.failed for r in results[2:]] == ["no such thing"] * 3


def test_of_logarithms_tools_get_the_values(pystripe):
    values = torch.exp(0.3 * walk() + 0.2 * torch.randn(160, generator=torch.Generator().manual_seed(1)))
    logs = values.log()
    result = beside(logs, measure(logs, COLUMNS), Scale(0.0))[2]
    expected = values - 0.5 * (values.mean(1, keepdim=True) - values.mean())
    torch.testing.assert_close(result.x, expected, rtol=1e-3, atol=1e-3)
    assert np.isfinite(result.left)
