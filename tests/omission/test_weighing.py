"""Evidence and what is measured for it, against dense matrices and the law of draws."""

import pytest
import torch

from sagd.noise.basis.base import Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.operator import Diagonal
from sagd.omission.weighing import Known, by_ring, deviations, draws, gain, remainder
from sagd.random import sample_generators
from sagd.testing.oracles import operator_matrix

SHAPE = (2, 4, 5)
MIX = ChannelBasis.decorrelating(torch.tensor([[2.0, 0.8], [0.8, 1.0]]).double(), FourierBasis(SHAPE[1:]))
BASES = [FourierBasis(SHAPE[1:]), CosineBasis(SHAPE[1:]), MIX]


def powers(basis: Basis, seed: int, batch: int = 1) -> Diagonal:
    """Some powers by frequency, 0 at low ones, alike at mirrored ones."""
    level = torch.rand(batch, 2, 1, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Diagonal((level + basis.radius()) * (basis.radius() > 0.3), basis)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_deviations_are_those_of_a_dense_covariance(basis: Basis) -> None:
    v = powers(basis, 1, batch=3)
    for one, found in zip(v.values, deviations(v, SHAPE), strict=True):
        dense = operator_matrix(one, basis, SHAPE)
        torch.testing.assert_close(found.flatten(), dense.diagonal().sqrt())
    common = Diagonal(v.values[0, 0], basis)
    torch.testing.assert_close(
        deviations(common, SHAPE).flatten(), operator_matrix(common.values, basis, SHAPE).diagonal().sqrt()
    )


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_the_estimate_is_the_posterior_of_two_gaussians(basis: Basis) -> None:
    v, n, zero = powers(basis, 2), powers(basis, 3), torch.zeros(1, *SHAPE, dtype=torch.float64)
    shown = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    known = Known(zero, v, shown, n)
    mean, variance = known.estimate("frequency")
    dense_v, dense_n = (operator_matrix(x.values[0], basis, SHAPE) for x in (v, n))
    weight = dense_v @ torch.linalg.pinv(dense_v + dense_n, hermitian=True, rtol=1e-12)
    torch.testing.assert_close(mean.flatten(), weight @ shown.flatten(), atol=1e-10, rtol=0)
    left = operator_matrix(variance.values[0], basis, SHAPE)
    torch.testing.assert_close(left, dense_v - weight @ dense_v, atol=1e-10, rtol=0)
    bare = known.estimate("none")
    assert bare[0] is known.mean
    assert torch.equal(bare[1].values, v.values)


def test_a_gain_is_nothing_where_nothing_is() -> None:
    basis = FourierBasis((6,))
    v, n = (Diagonal(torch.tensor(values), basis) for values in ([0.0, 0, 3, 1], [0.0, 2, 1, 0]))
    torch.testing.assert_close(gain(v, n).values, torch.tensor([0, 0, 0.75, 1]))


def test_the_level_of_an_image_is_the_most_likely_one() -> None:
    """Its likelihood is largest there, on a grid of levels."""
    basis = FourierBasis((16, 16))
    g = torch.Generator().manual_seed(5)
    v, n = Diagonal(0.1 + 0 * basis.radius(), basis), Diagonal(basis.radius() * (basis.radius() > 0.2), basis)
    true = torch.tensor([0.5, 1.0, 6.0]).double().reshape(3, 1, 1, 1)
    white = torch.randn(3, 1, 16, 16, generator=g, dtype=torch.float64)
    r = Diagonal((v.values + true * n.values).sqrt(), basis) * white
    found = Known(torch.zeros_like(r), v, r, n).level()
    power, weight = basis.forward(r).abs().square(), basis.multiplicity() * (n.values > 0)

    def log_likelihood(a: torch.Tensor) -> torch.Tensor:
        total = v.values + a * n.values
        return -(weight * (total.log() + power / total)).flatten(1).sum(1)

    for factor in (0.97, 1.03):
        assert (log_likelihood(found) > log_likelihood(factor * found)).all()
    assert ((found / true).log().abs() < 0.5).all()


def test_what_remains_keeps_the_power_of_each_ring() -> None:
    basis = FourierBasis((12, 12))
    where = (basis.radius() > 0.2).double().expand(2, *basis.coefficients)
    noise = torch.full((2, *basis.coefficients), 2.0, dtype=torch.float64)
    own = torch.randn(2, *basis.coefficients, generator=torch.Generator().manual_seed(6), dtype=torch.float64) + 0.3
    left = remainder(noise + own, noise, where, basis, 10**9)
    assert (left >= 0).all()
    assert (left[where == 0] == 0).all()
    torch.testing.assert_close(by_ring(left, basis), by_ring(where * own, basis).clamp(min=0))
    torch.testing.assert_close(remainder(noise + own.abs(), noise, where, basis, 10**9), where * own.abs())


@pytest.mark.parametrize("alike", [True, False])
def test_differences_within_a_ring_are_believed_as_far_as_they_are_no_chance(alike: bool) -> None:
    """70 images: the error of powers that are alike is about half, that of powers that differ by far no larger."""
    basis = FourierBasis((16, 16))
    across = torch.ones(basis.coefficients).double() if alike else 0.1 + 4 * (basis.frequencies()[0].abs() < 0.1)
    true, noise = 0.3 * across[None], torch.ones(1, *basis.coefficients, dtype=torch.float64)
    white = torch.randn(70, 1, 16, 16, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    total = basis.forward(Diagonal((true + noise).sqrt(), basis) * white).abs().square().mean(0)
    where = torch.ones_like(noise)
    found, plain = remainder(total, noise, where, basis, 70), (total - noise).clamp(min=0)
    error, before = ((x - true).square().mean().sqrt() / true.mean() for x in (found, plain))
    assert error < (0.6 if alike else 1.0) * before


def test_draws_have_the_covariance_and_depend_on_their_own_image() -> None:
    basis = FourierBasis(SHAPE[1:])
    v, like = powers(basis, 7, batch=2), torch.zeros(2, *SHAPE, dtype=torch.float64)
    x = draws(v, like, 20_000, sample_generators(0, 2))
    for i in range(2):
        expected = operator_matrix(v.values[i], basis, SHAPE)
        got = torch.cov(x[:, i].flatten(1).T)
        assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < 0.05
    one = draws(Diagonal(v.values[1:], basis), like[1:], 20_000, sample_generators(0, 1, 1))
    torch.testing.assert_close(one[:, 0], x[:, 1])
