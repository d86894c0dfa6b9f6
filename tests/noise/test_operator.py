"""Operators that are diagonal in a basis, against dense matrices that are built without the library's transforms."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import fft
from torch import Tensor

from sagd.noise.basis.base import Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.operator import Diagonal, log_determinant, mean_over_frequencies, pseudo_inverse
from sagd.testing.oracles import signed_frequencies, stationary_matrix

SPATIAL = (3, 4)
SHAPE = (2, *SPATIAL)
MIX = ((0.6, 0.8), (-0.8, 0.6))


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fourier(scale: float) -> tuple[Basis, Tensor, Tensor]:
    """Values that differ between channels, on the half grid, and the matrix by a sum of cosines."""
    full = torch.stack([torch.exp(-c * signed_frequencies(SPATIAL).norm(dim=0)) + 0.1 * scale for c in (scale, 2.0)])
    matrix = torch.block_diag(*[stationary_matrix(power, (1, *SPATIAL)) for power in full])
    return FourierBasis(SPATIAL), full[..., :3], matrix


def cosine(scale: float) -> tuple[Basis, Tensor, Tensor]:
    values = 0.2 * scale + normal(int(scale), *SHAPE).square()
    rows = torch.from_numpy(fft.dctn(torch.eye(12).double().reshape(12, *SPATIAL).numpy(), axes=(1, 2), norm="ortho"))
    transform = rows.reshape(12, 12).T
    matrix = torch.block_diag(*[transform.T @ (v.flatten()[:, None] * transform) for v in values])
    return CosineBasis(SPATIAL), values, matrix


def channels(scale: float) -> tuple[Basis, Tensor, Tensor]:
    """Of colours mixed first."""
    inner, values, matrix = fourier(scale)
    mix = torch.kron(torch.tensor(MIX, dtype=torch.float64), torch.eye(12, dtype=torch.float64))
    return ChannelBasis(SPATIAL, inner, MIX), values, mix.T @ matrix @ mix


BASES = [fourier, cosine, channels]


def function(matrix: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of a symmetric matrix, by its eigenvectors."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * f(values)) @ vectors.T


# What is written of two operators C and D, and the matrix it stands for.
EXPRESSIONS: list[tuple[str, Callable[[Any, Any], Any], Callable[[Tensor, Tensor], Tensor]]] = [
    ("C * D", lambda C, D: C * D, lambda C, D: C @ D),
    ("C / D", lambda C, D: C / D, lambda C, D: C @ torch.linalg.inv(D)),
    ("C + D", lambda C, D: C + D, lambda C, D: C + D),
    ("C - D", lambda C, D: C - D, lambda C, D: C - D),
    ("2 * C", lambda C, D: 2 * C, lambda C, D: 2 * C),
    ("C * 0.5", lambda C, D: C * 0.5, lambda C, D: C / 2),
    ("C / 4", lambda C, D: C / 4, lambda C, D: C / 4),
    ("3 / C", lambda C, D: 3 / C, lambda C, D: 3 * torch.linalg.inv(C)),
    ("1 - C", lambda C, D: 1 - C, lambda C, D: torch.eye(len(C)).double() - C),
    ("C - 1", lambda C, D: C - 1, lambda C, D: C - torch.eye(len(C)).double()),
    ("1 + C", lambda C, D: 1 + C, lambda C, D: torch.eye(len(C)).double() + C),
    ("-C", lambda C, D: -C, lambda C, D: -C),
    ("C ** 2", lambda C, D: C**2, lambda C, D: C @ C),
    ("C ** -1", lambda C, D: C**-1, lambda C, D: torch.linalg.inv(C)),
    ("C ** 0", lambda C, D: C**0, lambda C, D: torch.eye(len(C)).double()),
    ("sqrt", lambda C, D: C.sqrt(), lambda C, D: function(C, torch.sqrt)),
    ("rsqrt", lambda C, D: C.rsqrt(), lambda C, D: function(C, torch.rsqrt)),
    ("log", lambda C, D: C.log(), lambda C, D: function(C, torch.log)),
    ("clamp", lambda C, D: C.clamp(0.3, 0.7), lambda C, D: function(C, lambda v: v.clamp(0.3, 0.7))),
    ("clamp below", lambda C, D: C.clamp(min=0.5), lambda C, D: function(C, lambda v: v.clamp(min=0.5))),
    ("map", lambda C, D: C.map(torch.exp), lambda C, D: function(C, torch.exp)),
    ("a formula", lambda C, D: ((C * D) ** 2 + 1).rsqrt() * D, lambda C, D: D @ function(C @ D @ C @ D, _root)),
]


def _root(values: Tensor) -> Tensor:
    return (values + 1).rsqrt()


@pytest.mark.parametrize("make", BASES)
@pytest.mark.parametrize(("expression", "matrix"), [e[1:] for e in EXPRESSIONS], ids=[e[0] for e in EXPRESSIONS])
def test_expressions_are_those_of_matrices(
    make: Callable[[float], tuple[Basis, Tensor, Tensor]],
    expression: Callable[[Any, Any], Any],
    matrix: Callable[[Tensor, Tensor], Tensor],
) -> None:
    (basis, c, C), (_, d, D) = make(1.0), make(3.0)
    x = normal(5, 3, *SHAPE)
    got = expression(Diagonal(c, basis), Diagonal(d, basis)) * x
    torch.testing.assert_close(got.flatten(1), x.flatten(1) @ matrix(C, D), rtol=0, atol=1e-11)


@pytest.mark.parametrize("make", BASES)
def test_fields_stand_on_either_side(make: Callable[[float], tuple[Basis, Tensor, Tensor]]) -> None:
    basis, values, matrix = make(1.0)
    c, x = Diagonal(values, basis), normal(5, 3, *SHAPE)
    for field, expected in ((c * x, matrix), (x * c, matrix), (x / c, torch.linalg.inv(matrix))):
        assert isinstance(field, Tensor)
        torch.testing.assert_close(field.flatten(1), x.flatten(1) @ expected, rtol=0, atol=1e-11)


def test_an_operator_for_each_sample() -> None:
    """Values with a batch axis act on their own sample; one channel's values act on all channels."""
    basis, x = FourierBasis(SPATIAL), normal(5, 3, *SHAPE)
    values = torch.rand(3, 1, *basis.coefficients, dtype=torch.float64)
    whole = Diagonal(values, basis) * x
    for i in range(3):
        for c in range(2):
            alone = Diagonal(values[i, 0], basis) * x[i, c]
            torch.testing.assert_close(whole[i, c], alone, rtol=0, atol=1e-14)


def test_comparison_is_by_value() -> None:
    c = Diagonal(torch.tensor([0.0, 1.0, -2.0]), FourierBasis((4,)))
    assert (c > 0).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("field", "values", "result"),
    [
        (torch.float32, torch.float32, torch.float32),
        (torch.float64, torch.float64, torch.float64),
        (torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.float32, torch.float32),
    ],
)
def test_types(field: torch.dtype, values: torch.dtype, result: torch.dtype) -> None:
    """Filtering is done in float32 at least, from a field as it was given."""
    basis, x = FourierBasis(SPATIAL), normal(5, 3, *SHAPE).to(field)
    c = Diagonal(torch.rand(basis.coefficients, dtype=values), basis)
    got = c * x
    assert got.dtype == result
    exact = Diagonal(c.values.double(), basis) * x.double()
    torch.testing.assert_close(got, exact.to(result), rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", BASES)
def test_gradients(make: Callable[[float], tuple[Basis, Tensor, Tensor]]) -> None:
    basis, values, _ = make(1.0)
    x = normal(5, 1, *SHAPE).requires_grad_()
    torch.autograd.gradcheck(lambda y, v: Diagonal(v, basis).sqrt() * y, (x, values.clone().requires_grad_()))


def test_pseudo_inverse() -> None:
    """`1 / c`, and 0 where `c = 0`, without infinities on the way back."""
    values = torch.tensor([[0.0, 2.0, -4.0]], dtype=torch.float64, requires_grad=True)
    basis = FourierBasis((4,))
    for inverse in (pseudo_inverse(values), pseudo_inverse(Diagonal(values, basis)).values):
        assert inverse.tolist() == [[0.0, 0.5, -0.25]]
        (gradient,) = torch.autograd.grad(inverse.sum(), values)
        assert gradient.tolist() == [[0.0, -0.25, -1 / 16]]


@pytest.mark.parametrize("make", BASES)
def test_mean_and_determinant_are_those_of_the_matrix(make: Callable[[float], tuple[Basis, Tensor, Tensor]]) -> None:
    """`tr C / d` and `log det C`, one for each sample."""
    parts = [make(1.0), make(3.0)]
    c = Diagonal(torch.stack([values for _, values, _ in parts]), parts[0][0])
    for i, (_, _, matrix) in enumerate(parts):
        assert float(mean_over_frequencies(c)[i]) == pytest.approx(float(matrix.trace()) / len(matrix), rel=1e-12)
        assert float(log_determinant(c, SHAPE)[i]) == pytest.approx(float(torch.logdet(matrix)), rel=1e-12)


def test_mean_and_determinant_of_one_spectrum_for_all_channels() -> None:
    power = torch.exp(-signed_frequencies(SPATIAL).norm(dim=0))
    matrix = stationary_matrix(power, SHAPE)
    c = Diagonal(power[None, None, :, :3], FourierBasis(SPATIAL))
    assert mean_over_frequencies(c).tolist() == pytest.approx([float(matrix.trace()) / 24], rel=1e-12)
    assert log_determinant(c, SHAPE).tolist() == pytest.approx([float(torch.logdet(matrix))], rel=1e-12)


def test_scalars_are_operators_too() -> None:
    """Coefficients that broadcast against fields, one per sample."""
    c = torch.tensor([0.5, 2.0]).reshape(2, 1, 1, 1)
    assert mean_over_frequencies(c).tolist() == [0.5, 2.0]
    assert log_determinant(c, SHAPE).dtype == torch.float64
    assert log_determinant(c, SHAPE).tolist() == pytest.approx([-24 * math.log(2), 24 * math.log(2)], rel=1e-12)


def test_float32_values_have_float64_determinants() -> None:
    values = torch.full((1, 1, 8, 5), 1e-30)
    assert log_determinant(Diagonal(values, FourierBasis((8, 8))), (1, 8, 8)).item() == pytest.approx(
        64 * math.log(1e-30), rel=1e-7
    )
