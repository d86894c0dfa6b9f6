import dataclasses
import functools
import json
import math
import subprocess
import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest
import pywt
import scipy.fft
import torch

from sagd.errors import InputError
from sagd.noise.basis.base import Basis, build_basis, corner_radius
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.mixed import MixedBasis
from sagd.noise.basis.real import DENSE_SIDE
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.testing.bases import BasisContract
from sagd.testing.oracles import fourier_matrix, signed_frequencies

SHAPES = [(1,), (2,), (7,), (8,), (1, 6), (6, 1), (4, 5), (5, 4), (4, 6), (1, 1, 1), (2, 3, 4), (3, 2, 5)]


def half_fourier_matrix(spatial):
    """Rows of the full DFT with `0 <= k <= N/2` on the last axis."""
    size, last = math.prod(spatial), spatial[-1]
    full = fourier_matrix(spatial).reshape(*spatial, size)
    return full[..., : last // 2 + 1, :].reshape(-1, size)


def cosine_matrix(spatial):
    """`s_k cos(pi (x + 1/2) k / N)`, rows of unit length, one factor per axis."""
    factors = []
    for side in spatial:
        rows = [[math.cos(math.pi * (x + 0.5) * k / side) for x in range(side)] for k in range(side)]
        factors.append(np.array([row / np.linalg.norm(row) for row in np.array(rows)]))
    return torch.from_numpy(functools.reduce(np.kron, factors))


def wavelet_matrix(spatial, name, levels):
    """Column `x` is PyWavelets' own multi-level transform of a unit impulse at `x`."""
    axes = [axis for axis, side in enumerate(spatial) if side > 1]
    columns = []
    for impulse in np.eye(math.prod(spatial)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Level value of .* is too high")
            parts = pywt.wavedecn(impulse.reshape(spatial), name, "periodization", levels, axes)
        columns.append(pywt.coeffs_to_array(parts, axes=axes)[0].ravel())
    return torch.from_numpy(np.stack(columns, 1))


def rotation(size, seed=0):
    return torch.linalg.qr(normal(size, size, seed=seed))[0].contiguous()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestFourierBasis(BasisContract):
    @pytest.fixture(params=SHAPES, ids=str, autouse=True)
    def case(self, request):
        self.spatial = request.param

    def basis(self):
        return FourierBasis(self.spatial)

    def matrix(self):
        return half_fourier_matrix(self.spatial)

    def test_frequencies_are_eigenvalues_of_shifts(self):
        """Moving a field by one sample multiplies coefficient `f` by `exp(-2 pi i f)`: signs and Nyquist included."""
        basis = self.basis()
        x = normal(*basis.spatial)
        for axis, frequency in enumerate(basis.frequencies()):
            shifted = basis.forward(torch.roll(x, 1, axis))
            torch.testing.assert_close(shifted, basis.forward(x) * torch.exp(-2j * math.pi * frequency))

    def test_multiplicity_counts_the_full_grid(self):
        """A stored coefficient stands for itself and, where the half spectrum leaves it out, its mirror image `-k`."""
        basis, last = self.basis(), self.spatial[-1]
        stored = set(range(last // 2 + 1))
        column = [2.0 if (-k) % last not in stored else 1.0 for k in range(last // 2 + 1)]
        assert torch.equal(basis.multiplicity(), torch.tensor(column).double().expand(basis.coefficients))


LARGE = [(DENSE_SIDE,), (DENSE_SIDE + 1,), (DENSE_SIDE + 2,), (131,), (160,), (2, 131), (131, 2)]


class TestCosineBasis(BasisContract):
    @pytest.fixture(params=[*SHAPES, *LARGE], ids=str, autouse=True)
    def case(self, request):
        self.spatial = request.param

    def basis(self):
        return CosineBasis(self.spatial)

    def matrix(self):
        return cosine_matrix(self.spatial)

    def test_agrees_with_scipy(self):
        basis, x = self.basis(), normal(2, *self.spatial)
        expected = scipy.fft.dctn(x.numpy(), type=2, norm="ortho", axes=range(1, 1 + basis.rank))
        torch.testing.assert_close(basis.forward(x), torch.from_numpy(expected), rtol=0, atol=1e-12)

    def test_frequencies_are_those_of_the_reflected_field(self):
        """Continued by reflection, each basis function is a wave of period `1/f`: one pair of bins of the DFT."""
        basis = self.basis()
        for axis, side in enumerate(self.spatial):
            unit = torch.zeros(self.spatial, dtype=torch.float64)
            for k in range(side):
                place = tuple(k if a == axis else 0 for a in range(basis.rank))
                unit.zero_()[place] = 1.0
                wave = basis.inverse(unit).movedim(axis, 0).reshape(side, -1)[:, 0]
                power = torch.fft.rfft(torch.cat([wave, wave.flip(0)])).abs()
                frequency = torch.fft.rfftfreq(2 * side, dtype=torch.float64)[power.argmax()]
                assert basis.frequencies()[axis][place] == pytest.approx(float(frequency), abs=1e-15)
                assert float(power.max() ** 2 / power.square().sum()) == pytest.approx(1)


WAVELETS = [
    *[((side,), name, None) for side in (1, 2, 6, 8) for name in ("haar", "db2", "db3")],
    *[((32,), "db2", None), ((24,), "db3", 2), ((8, 4), "haar", None), ((4, 12), "db2", 2), ((8, 8), "db3", 3)],
    *[((1, 8), "db2", 2), ((6, 1), "db3", None), ((1, 1), "haar", None), ((1, 1, 1), "db2", 3)],
    *[((4, 2, 6), "haar", None), ((4, 4, 4), "db2", 2), ((4, 1, 8), "db3", None), ((2, 4, 4), "sym4", None)],
    # Beyond matrices; 262 halves to an odd side, 144 to sides within reach of matrices.
    *[((262,), "db3", None), ((144,), "db2", 4), ((2, 132), "db3", 1), ((132, 2), "haar", 1)],
]


class TestWaveletBasis(BasisContract):
    @pytest.fixture(params=WAVELETS, ids=str, autouse=True)
    def case(self, request):
        self.spatial, self.name, self.levels = request.param

    def basis(self):
        return WaveletBasis(self.spatial, self.name, self.levels)

    def matrix(self):
        if max(self.spatial) == 1:
            return torch.ones(1, 1, dtype=torch.float64)
        return wavelet_matrix(self.spatial, self.name, self.basis().levels)


@pytest.mark.parametrize("spatial", [(128,), (64, 64), (64, 1), (32, 64), (16, 16, 32)])
def test_nominal_frequencies_are_where_wavelets_live(spatial):
    """For a long wavelet, close to an ideal filter, the mean |f| of a basis function is the centre of its subband."""
    basis = WaveletBasis(spatial, "db20", 2)
    frequencies, full = basis.frequencies(), signed_frequencies(spatial).abs()
    for index in torch.cartesian_prod(*[torch.arange(0, n, max(1, n // 8)) for n in spatial]).reshape(-1, len(spatial)):
        unit = torch.zeros(spatial, dtype=torch.float64)
        unit[tuple(index)] = 1.0
        power = torch.fft.fftn(basis.inverse(unit)).abs().square()
        mean = (full * power / power.sum()).flatten(1).sum(1)
        torch.testing.assert_close(mean, frequencies[(slice(None), *index)], rtol=0.05, atol=0)


def test_levels_are_as_many_as_fit_and_at_most_five():
    for spatial, levels in (((64, 64), 5), ((28, 28), 2), ((32, 12), 2), ((1, 16), 4), ((6,), 1), ((1,), 1)):
        assert WaveletBasis(spatial).levels == levels
        assert WaveletBasis(spatial) == WaveletBasis(spatial, "haar", levels)
    assert WaveletBasis((64,), levels=6).levels == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((7,),), r"wavelets need even sides \(or 1\), got 7 in \(7,\); crop or pad, or use 'cosine'"),
        (((4, 9), "haar", 1), r"wavelets need even sides \(or 1\), got 9 in \(4, 9\)"),
        (((28, 28), "haar", 3), r"3 levels need sides that divide by 8, got \(28, 28\); use levels=2"),
        (((8,), "haar", 0), "levels must be a positive integer, got 0; leave it out for as many as fit"),
        (((8,), "haar", -1), "levels must be a positive integer, got -1"),
        (((8,), "haar", 1.5), "levels must be a positive integer, got 1.5"),
        (((8,), "haar", True), "levels must be a positive integer, got True"),
        (((8,), "har"), "unknown wavelet 'har'; did you mean 'haar'"),
        (((8,), "DB2"), "unknown wavelet 'DB2'; did you mean 'db2'"),
        (((8,), "morlet?"), "unknown wavelet 'morlet\\?'; try 'haar', 'db2' to 'db38'"),
        (((8,), 3), "unknown wavelet 3; try 'haar'"),
        (((8,), "bior2.2"), "wavelet 'bior2.2' is not orthogonal; try 'haar'"),
        # Labelled orthogonal by PyWavelets, but its filter is cut off.
        (((8,), "dmey"), "wavelet 'dmey' is not orthogonal; try 'haar'"),
    ],
)
def test_bad_wavelets_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        WaveletBasis(*arguments)


@pytest.mark.parametrize("name", [n for n in pywt.wavelist(kind="discrete") if pywt.Wavelet(n).orthogonal])
def test_every_orthogonal_wavelet_is_inverted(name):
    if name == "dmey":
        return
    x = normal(2, 16, 132)
    basis = WaveletBasis((16, 132), name, 2)
    torch.testing.assert_close(basis.inverse(basis.forward(x)), x, rtol=0, atol=1e-9)


def test_other_bases_need_no_extra():
    code = "import sys, sagd; sagd.CosineBasis((4,)); print({'pywt', 'scipy'} & set(sys.modules) or '')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


CHANNELS = [
    *[("fourier", spatial, size) for spatial, size in (((4, 5), 3), ((1,), 1), ((6,), 2), ((2, 3, 4), 2))],
    *[("cosine", spatial, size) for spatial, size in (((5, 4), 3), ((131,), 2), ((1, 6), 4), ((3, 2, 2), 2))],
    *[("wavelet", (4, 8), 3), ("wavelet(name='db2', levels=1)", (6,), 2), ("wavelet(name='db3')", (2, 4, 2), 2)],
]


class TestChannelBasis(BasisContract):
    @pytest.fixture(params=CHANNELS, ids=str, autouse=True)
    def case(self, request):
        self.inner, self.spatial, self.size = request.param

    def basis(self):
        return ChannelBasis(self.spatial, build_basis(self.inner, self.spatial), rotation(self.size))

    def matrix(self):
        inner = build_basis(self.inner, self.spatial)
        if isinstance(inner, WaveletBasis):
            dense = wavelet_matrix(self.spatial, inner.name, inner.levels)
        else:
            dense = {"fourier": half_fourier_matrix, "cosine": cosine_matrix}[self.inner](self.spatial)
        return torch.kron(rotation(self.size).to(dense.dtype), dense)

    def test_delegates_to_the_inner_basis(self):
        basis, inner = self.basis(), build_basis(self.inner, self.spatial)
        assert (basis.mirrored, basis.channels) == (inner.mirrored, self.size)
        assert torch.equal(basis.frequencies(), inner.frequencies())
        assert torch.equal(basis.multiplicity(), inner.multiplicity())

    def test_inner_may_be_described(self):
        basis, matrix = self.basis(), rotation(self.size)
        for inner in (self.inner, Basis.read(self.inner), basis.inner.to_dict()):
            assert ChannelBasis(self.spatial, inner, matrix.tolist()) == basis
            mapping = {"kind": "channels", "inner": inner, "matrix": matrix.tolist()}
            assert build_basis(mapping, self.spatial) == basis


def test_channel_symmetry_is_that_of_the_inner_basis():
    basis = ChannelBasis((4, 6), FourierBasis((4, 6)), torch.eye(2))
    weights = torch.ones(2, *basis.coefficients)
    basis.check_symmetry(weights)
    weights[1, 1, 0] = 2
    with pytest.raises(InputError, match="differ between f and -f"):
        basis.check_symmetry(weights)
    dataclasses.replace(basis, inner=CosineBasis((4, 6))).check_symmetry(torch.rand(2, 4, 6))


MIXED = [
    *[((4, 5), (1,)), ((5, 4), (0,)), ((1, 6), (1,)), ((6, 1), (1,)), ((3, 2, 5), (0, 2)), ((2, 3, 4), (1, 2))],
    *[((4, 3, 2), (0, 1)), ((2, 6, 3), (1,)), ((131, 2), (1,)), ((131, 2), (0,)), ((130, 3), (1,))],
]


def mixed_matrix(spatial, periodic):
    """A Kronecker product over the axes: the whole DFT on periodic ones, half of it on the last of them, else a DCT."""
    factors = []
    for axis, side in enumerate(spatial):
        whole = fourier_matrix((side,)) if axis in periodic else cosine_matrix((side,)).to(torch.complex128)
        factors.append(whole[: side // 2 + 1] if axis == max(periodic) else whole)
    return functools.reduce(torch.kron, factors)


class TestMixedBasis(BasisContract):
    @pytest.fixture(params=MIXED, ids=str, autouse=True)
    def case(self, request):
        self.spatial, self.periodic = request.param

    def basis(self):
        return MixedBasis(self.spatial, self.periodic)

    def matrix(self):
        return mixed_matrix(self.spatial, self.periodic)

    def test_shifts_along_periodic_axes_turn_phases(self):
        basis, x = self.basis(), normal(*self.spatial)
        for axis in self.periodic:
            turned = basis.forward(x) * torch.exp(-2j * math.pi * basis.frequencies()[axis])
            torch.testing.assert_close(basis.forward(x.roll(1, axis)), turned, rtol=0, atol=1e-12)

    def test_other_axes_are_those_of_the_cosine_basis(self):
        basis, cosine = self.basis(), CosineBasis(self.spatial)
        assert basis.mirrored == tuple(axis for axis in range(basis.rank) if axis not in self.periodic)
        for axis in basis.mirrored:
            assert set(basis.frequencies()[axis].unique().tolist()) == set(cosine.frequencies()[axis].unique().tolist())


def test_weights_of_two_periodic_axes_must_be_even():
    """Of the halved axis, columns that are their own conjugate hold `k` and `-k` of the other periodic axis."""
    basis = MixedBasis((3, 5, 4), periodic=(1, 2))
    even = basis.frequencies()[1].abs() + basis.frequencies()[0]
    basis.check_symmetry(even)
    basis.check_symmetry(torch.stack([even, even + 1]))
    for column, refused in ((0, True), (1, False), (2, True)):
        odd = even.clone()
        odd[0, 1, column] = 9
        if refused:
            with pytest.raises(InputError, match="differ between f and -f by up to"):
                basis.check_symmetry(odd)
        else:
            basis.check_symmetry(odd)


@pytest.mark.parametrize("periodic", [[], [0, 1], [2], [-1], [1, 1], "1", 1.0, None, [True]])
def test_bad_periodic_axes_are_refused(periodic):
    with pytest.raises(InputError, match=r"mixed periodic must name some of the axes 0 to 1, not all, got"):
        MixedBasis((4, 6), periodic)


def test_mixed_basis_by_text():
    assert build_basis("mixed(periodic=[1])", (4, 6)) == MixedBasis((4, 6), (1,))
    assert build_basis("mixed(periodic=1)", (4, 6)).to_dict() == {"kind": "mixed", "spatial": [4, 6], "periodic": [1]}


def test_only_fourier_frequencies_have_signs():
    assert [build_basis(kind, (4, 6)).mirrored for kind in ("fourier", "cosine", "wavelet")] == [(), (0, 1), (0, 1)]
    assert [build_basis(kind, (4, 6)).channels for kind in ("fourier", "cosine", "wavelet")] == [None, None, None]


def test_decorrelating_channels():
    """New channels have the eigenvalues for variances, in decreasing order, and no covariance."""
    mix = normal(4, 4, seed=1)
    covariance = mix @ mix.T
    basis = ChannelBasis.decorrelating(covariance, CosineBasis((5,)))
    assert (basis.spatial, basis.inner, basis.channels) == ((5,), CosineBasis((5,)), 4)
    rows = torch.tensor(basis.matrix, dtype=torch.float64)
    variances = torch.from_numpy(np.sort(np.linalg.eigvals(covariance.numpy()).real)[::-1].copy())
    torch.testing.assert_close(rows @ covariance @ rows.T, torch.diag(variances), rtol=0, atol=1e-12)
    assert all(max(row) == max(map(abs, row)) for row in basis.matrix)
    # The sign is not the solver's: it is the same for the same directions, however they were found.
    flipped = ChannelBasis.decorrelating(rows.T @ torch.diag(variances) @ rows, CosineBasis((5,)))
    np.testing.assert_allclose(flipped.matrix, basis.matrix, rtol=0, atol=1e-10)


def test_decorrelating_leaves_uncorrelated_channels_alone():
    for variances in ((1.0, 1.0, 1.0), (3.0, 2.0, 0.0), (0.0, 0.0)):
        basis = ChannelBasis.decorrelating(torch.diag(torch.tensor(variances)), FourierBasis((4,)))
        assert basis.matrix == tuple(map(tuple, np.eye(len(variances)).tolist()))


def test_decorrelating_two_equal_channels_has_a_fixed_sign():
    for strength in (0.1, 0.3, 0.5, 0.7, 0.9):
        basis = ChannelBasis.decorrelating(torch.tensor([[1.0, strength], [strength, 1.0]]), FourierBasis((4,)))
        half = math.sqrt(0.5)
        np.testing.assert_allclose(basis.matrix, [[half, half], [half, -half]], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (torch.ones(2, 3), r"must be a matrix \(C, C\), got shape \(2, 3\)"),
        (torch.ones(2), r"must be a matrix \(C, C\), got shape \(2,\)"),
        (torch.ones(0, 0), r"must be a matrix \(C, C\), got shape \(0, 0\)"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "must be finite and symmetric"),
        (torch.tensor([[1.0, math.nan], [math.nan, 1.0]]), "must be finite and symmetric"),
        (torch.diag(torch.tensor([1.0, -0.5])), "must have no negative eigenvalues, got -0.5"),
    ],
)
def test_bad_channel_covariances_are_refused(covariance, message):
    with pytest.raises(InputError, match=f"channel covariance {message}"):
        ChannelBasis.decorrelating(covariance, FourierBasis((4,)))


@pytest.mark.parametrize(
    ("inner", "matrix", "message"),
    [
        ("fourier", [[1.0, 0.0]], r"channel matrix must be square \(C, C\), got shape \(1, 2\)"),
        ("fourier", [], r"channel matrix must be square \(C, C\), got shape \(0,\)"),
        ("fourier", [[1.0], [0.0, 1.0]], "channel matrix must be rows of numbers, got"),
        ("fourier", "eye", "channel matrix must be rows of numbers, got 'eye'"),
        ("fourier", [[2.0]], "orthonormal to 3 only, 1e-6 is needed"),
        ("fourier", [[1.0, 1e-5], [0.0, 1.0]], "orthonormal to 1e-05 only, 1e-6 is needed"),
        ("fourier", [[math.nan]], "orthonormal to nan only"),
        ("fourrier", [[1.0]], "unknown basis 'fourrier'; did you mean 'fourier'?"),
        (FourierBasis((5,)), [[1.0]], r"basis is for spatial shape \(5,\), wanted for \(4,\)"),
        (ChannelBasis((4,), "cosine", [[1.0]]), [[1.0]], "inner must act on the spatial axes alone, got 'channels'"),
    ],
)
def test_bad_channel_bases_are_refused(inner, matrix, message):
    with pytest.raises(InputError, match=message):
        ChannelBasis((4,), inner, matrix)


def test_channels_to_float32_precision_are_accepted_as_they_are():
    matrix = rotation(3).float()
    basis = ChannelBasis((4,), "cosine", matrix)
    assert torch.equal(torch.tensor(basis.matrix, dtype=torch.float64), matrix.double())


def test_equal_channel_bases_have_equal_json():
    one, other = (ChannelBasis((4,), "cosine", m) for m in ([[1, 0], [0, 1]], [[1.0, -0.0], [-0.0, 1.0]]))
    assert one == other
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())
    assert one.to_dict() == {
        "kind": "channels",
        "spatial": [4],
        "inner": {"kind": "cosine", "spatial": [4]},
        "matrix": [[1.0, 0.0], [0.0, 1.0]],
    }


def test_build_basis_reads_every_form():
    assert build_basis("fourier", (28, 28)) == FourierBasis((28, 28))
    assert build_basis("cosine()", [28, 28]) == CosineBasis((28, 28))
    expected = WaveletBasis((8, 8), "db2", 2)
    for text in (
        "wavelet(name='db2', levels=2)",
        {"kind": "wavelet", "name": "db2", "levels": 2},
        expected.to_dict(),
        str(expected),
        expected,
    ):
        assert build_basis(text, (8, 8)) == expected
    assert FourierBasis((28, 28)).to_dict() == {"kind": "fourier", "spatial": [28, 28]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("forier", r"^unknown basis 'forier'; did you mean 'fourier'\?$"),
        ("cosine(name='db2')", "^basis 'cosine' has no parameter 'name'; known: spatial$"),
        ("wavelet(level=2)", r"^basis 'wavelet' has no parameter 'level'; did you mean 'levels'\?$"),
        ("channels(inner='cosine')", "^basis 'channels': missing 1 required positional argument: 'matrix'$"),
        ("fourier * cosine", r"^cannot read basis 'fourier \* cosine': write 'fourier' or 'kind\(name=value\)'$"),
        ("fourier(spatial=(4,))", r"^basis is for spatial shape \(4,\), wanted for \(8,\); leave spatial out$"),
        ("fourier(spatial=8)", "^spatial must hold positive side lengths, got 8;"),
        (CosineBasis((4,)), r"^basis is for spatial shape \(4,\), wanted for \(8,\)"),
        ({"name": "haar"}, "^unknown basis None; did you mean "),
        (None, "^cannot read basis None"),
    ],
)
def test_unknown_bases_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        build_basis(text, (8,))


@pytest.mark.parametrize("kind", ["cosine", "wavelet", "channels(inner='cosine', matrix=[[0.6, 0.8], [-0.8, 0.6]])"])
@pytest.mark.parametrize("side", [92, 184])
def test_constants_made_in_inference_serve_training(kind, side):
    """What is kept between calls must not be an inference tensor; no other test uses these sides."""
    basis = build_basis(kind, (side,))
    x = normal(2, side)
    with torch.inference_mode():
        basis.inverse(basis.forward(x))
    x.requires_grad_()
    # The gradient with respect to a factor of the coefficients needs both transforms saved.
    scale = torch.ones(2, side, dtype=torch.float64, requires_grad=True)
    basis.inverse(basis.forward(x) * scale).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


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


@pytest.mark.parametrize("spatial", [(), (0,), (4, -1), (2.5,), 4, "ab", (math.inf,), (None,)])
def test_bad_shapes_are_refused(spatial):
    with pytest.raises(InputError, match=r"positive side lengths, got .*; e\.g\. \(32, 32\)"):
        FourierBasis(spatial)


def test_sides_become_plain_integers():
    assert FourierBasis([4.0, 5]) == FourierBasis((4, 5))
    assert FourierBasis([4.0, 5]).spatial == (4, 5)
