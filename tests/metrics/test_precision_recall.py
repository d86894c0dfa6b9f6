"""Improved precision and recall against a loop over points."""

import importlib

import numpy as np
import pytest
import torch

from sagd.errors import InputError
from sagd.metrics import PrecisionRecall, precision_recall

MODULE = importlib.import_module("sagd.metrics.precision_recall")  # the package exports the function by that name


def share_inside(points, centres, k):
    radii = [np.sort([np.linalg.norm(c - o) for o in centres])[k] for c in centres]  # index 0 is the point itself
    return np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(centres, radii, strict=True)) for p in points])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("chunk", [1, 100, 2**22])
def test_equals_the_loop_whatever_the_chunk(monkeypatch, k, chunk):
    monkeypatch.setattr(MODULE, "_CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(40, 3, generator=generator, dtype=torch.float64) * 0.7 + 5
    reference = torch.randn(60, 3, generator=generator, dtype=torch.float64) + 6
    got = precision_recall(samples, reference, k)
    assert got.precision == share_inside(samples.numpy(), reference.numpy(), k)
    assert got.recall == share_inside(reference.numpy(), samples.numpy(), k)
    assert 0 < got.recall < 1
    assert 0 < got.precision < 1


def test_equal_sets_are_fully_covered():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    assert precision_recall(x, x.flip(0)) == PrecisionRecall(1.0, 1.0)


def test_a_collapsed_model_is_precise_without_recall():
    generator = torch.Generator().manual_seed(2)
    reference = torch.randn(200, 2, generator=generator)
    collapsed = reference[:1] + 1e-3 * torch.randn(50, 2, generator=generator)
    got = precision_recall(collapsed, reference)
    assert got.precision == 1.0
    assert got.recall <= 1 / 200


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="at least 4 rows of features in each set, got 3 and 9"):
        precision_recall(torch.zeros(3, 2), torch.zeros(9, 2))
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        precision_recall(torch.zeros(9, 2), torch.zeros(9, 2), k=0)
