import math
from fractions import Fraction

import pytest
import torch

from sagd.basis import FourierBasis, corner_radius
from sagd.errors import InputError
from sagd.testing import BasisContract, fourier_matrix, signed_frequencies

SHAPES = [(1,), (2,), (7,), (8,), (1, 6), (6, 1), (4, 5), (5, 4), (4, 6), (1, 1, 1), (2, 3, 4), (3, 2, 5)]


class TestFourierBasis(BasisContract):
    @pytest.fixture(params=SHAPES, ids=str, autouse=True)
    def case(self, request):
        self.spatial = request.param

    def basis(self):
        return FourierBasis(self.spatial)

    def matrix(self):
        """Rows of the full DFT with `0 <= k <= N/2` on the last axis."""
        size, last = math.prod(self.spatial), self.spatial[-1]
        full = fourier_matrix(self.spatial).reshape(*self.spatial, size)
        return full[..., : last // 2 + 1, :].reshape(-1, size)

    def test_frequencies_are_eigenvalues_of_shifts(self):
        """Moving a field by one sample multiplies coefficient `f` by `exp(-2 pi i f)`: signs and Nyquist included."""
        basis = self.basis()
        x = torch.randn(basis.spatial, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for axis, frequency in enumerate(basis.frequencies()):
            shifted = basis.forward(torch.roll(x, 1, axis))
            torch.testing.assert_close(shifted, basis.forward(x) * torch.exp(-2j * math.pi * frequency))

    def test_multiplicity_counts_the_full_grid(self):
        """A stored coefficient stands for itself and, where the half spectrum leaves it out, its mirror image `-k`."""
        basis, last = self.basis(), self.spatial[-1]
        stored = set(range(last // 2 + 1))
        column = [2.0 if (-k) % last not in stored else 1.0 for k in range(last // 2 + 1)]
        assert torch.equal(basis.multiplicity(), torch.tensor(column).double().expand(basis.coefficients))


@pytest.mark.parametrize("spatial", SHAPES)
def test_radius_against_exact_arithmetic(spatial):
    basis = FourierBasis(spatial)
    half = signed_frequencies(spatial)[..., : basis.coefficients[-1]]
    torch.testing.assert_close(basis.radius(), half.square().sum(0).sqrt(), rtol=1e-15, atol=0)
    # The corner is at rho = 1 on even grids, inside it on odd ones.
    fractions = [Fraction(n // 2, n) for n in spatial]
    corner = math.sqrt(4 * sum(f**2 for f in fractions) / len(spatial))
    assert float(basis.relative_radius().max()) == pytest.approx(corner, rel=1e-14)
    assert corner_radius(len(spatial)) == math.sqrt(len(spatial)) / 2


def test_linspace_is_not_fftfreq():
    """MATH.md section 2, rule 1: the paper's grid has no DC, and no w(f) = w(-f) in FFT order."""
    fft = FourierBasis((8,)).frequencies()[0]
    linspace = torch.fft.ifftshift(torch.linspace(-0.5, 0.5, 8, dtype=torch.float64))
    assert fft[0] == 0
    assert linspace[0] != 0
    full = signed_frequencies((8,))[0].abs()
    assert torch.equal(full[1:], full[1:].flip(0))
    assert not torch.allclose(linspace[1:].abs(), linspace[1:].abs().flip(0))


@pytest.mark.parametrize("spatial", [(4, 6), (5, 4), (4, 3), (3, 4, 2)])
def test_asymmetric_weights_are_refused_wherever_they_are(spatial):
    """Only coefficients whose mirror image is stored can be asymmetric; each of those must be caught."""
    basis = FourierBasis(spatial)
    size, last = spatial, spatial[-1]
    for place in torch.cartesian_prod(*[torch.arange(n) for n in basis.coefficients]).tolist():
        mirror = [(-k) % n for k, n in zip(place, size, strict=True)]
        weights = torch.ones(basis.coefficients, dtype=torch.float64)
        weights[tuple(place)] = 2.0
        if mirror == place or mirror[-1] > last // 2:
            basis.check_symmetry(weights)
        else:
            with pytest.raises(InputError, match="differ between f and -f by up to 1,"):
                basis.check_symmetry(weights)
            weights[tuple(mirror)] = 2.0
            basis.check_symmetry(weights)


@pytest.mark.parametrize("spatial", [(), (0,), (4, -1), (2.5,)])
def test_bad_shapes_are_refused(spatial):
    with pytest.raises(InputError, match=r"positive side lengths, got .*; e\.g\. \(32, 32\)"):
        FourierBasis(spatial)


def test_sides_become_plain_integers():
    assert FourierBasis([4.0, 5]) == FourierBasis((4, 5))
    assert FourierBasis([4.0, 5]).spatial == (4, 5)
