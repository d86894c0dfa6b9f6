"""Embeddings of raw features: what scale and directions a reference gives."""

import pytest
import torch

from sagd.errors import InputError
from sagd.metrics.embedding import Embedding


def draw(n, f, seed=0):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_reference_has_mean_zero_and_mean_variance_one():
    raw = draw(600, 80) * torch.logspace(-2, 2, 80) + 7
    got = Embedding.fitted(raw)(raw)
    assert got.shape == (600, 50)
    assert got.mean(0).abs().max() < 1e-9
    assert float(got.var(0).mean()) == pytest.approx(1)
    # Halfway to equal: variances are as the spreads of the principal components.
    assert (got.var(0).diff() < 0).all()


@pytest.mark.parametrize(("n", "f", "dimension"), [(4, 30, 3), (40, 30, 4), (240, 30, 20), (900, 9, 9), (900, 99, 64)])
def test_dimensions(n, f, dimension):
    assert Embedding.fitted(draw(n, f))(draw(2, f)).shape == (2, dimension)


def test_scale_and_shift_of_raw_features_do_not_matter():
    raw, other = draw(100, 5), draw(20, 5, seed=1)
    scale, shift = torch.tensor([1.0, 2, 3, 50, 9]), torch.arange(5)
    one, two = Embedding.fitted(raw)(other), Embedding.fitted(raw * scale + shift)(other * scale + shift)
    torch.testing.assert_close(one.abs(), two.abs())  # directions have no sign


def test_an_odd_value_does_not_outweigh_the_rest():
    other = draw(20, 5, seed=1)
    other[0, 0] = 1e6
    assert Embedding.fitted(draw(100, 5))(other).abs().max() < 30


def test_equal_features_are_no_directions():
    raw = torch.cat([draw(50, 3), torch.ones(50, 2)], 1)
    assert Embedding.fitted(raw)(raw).shape[1] == 3
    same = Embedding.fitted(torch.ones(10, 4))(torch.ones(3, 4))
    assert torch.equal(same, torch.zeros(3, 1, dtype=same.dtype))


def test_what_is_not_finite_is_refused():
    with pytest.raises(InputError, match="features hold non-finite"):
        Embedding.fitted(torch.full((9, 2), torch.nan))
