import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from sagd.basis import FourierBasis
from sagd.covariance import (
    DenseCovariance,
    IsotropicCovariance,
    SpectralCovariance,
    build_covariance,
    check_weights,
)
from sagd.errors import InputError, SingularCovarianceError
from sagd.randomness import sample_generators
from sagd.spectrum import BandPass, Flat, PowerLaw, Spectrum, TwoBand
from sagd.testing import CovarianceContract, stationary_matrix

SHAPES = [(1, 1), (2, 7), (1, 8), (1, 1, 6), (1, 6, 1), (2, 4, 5), (1, 5, 4), (1, 3, 3, 4), (1, 4, 1, 3)]

# Each spectrum with its weights at squared radii r^2 and rho^2, exact rationals, and the least side length 1/r_min.
ORACLES = {
    "flat": (Flat(), lambda r2, rho2, least: 1.0),
    "red": (PowerLaw(-0.5), lambda r2, rho2, least: math.sqrt(max(r2, least**2)) ** -0.5),
    "blue": (PowerLaw(0.7), lambda r2, rho2, least: math.sqrt(max(r2, least**2)) ** 0.7),
    "raw": (PowerLaw(-0.3, epsilon=0.01), lambda r2, rho2, least: (math.sqrt(r2) + 0.01) ** -0.3),
    "low_pass": (BandPass(0, 0.5), lambda r2, rho2, least: float(rho2 < Fraction(1, 4))),
    "high_pass": (BandPass(0.5, 1), lambda r2, rho2, least: float(rho2 >= Fraction(1, 4))),
    "lifted_band": (
        BandPass(0.2, 0.6, inside=2, outside=0.5),
        lambda r2, rho2, least: 2.0 if Fraction(1, 25) <= rho2 < Fraction(9, 25) else 0.5,
    ),
    "two_band": (TwoBand(0.8, 0, 0.4, 0.3, 0.4, 1), lambda r2, rho2, least: 0.8 if rho2 < Fraction(4, 25) else 0.3),
    "overlap": (
        TwoBand(0.6, 0, 0.6, 0.8, 0.4, 1),
        lambda r2, rho2, least: math.hypot(0.6 * (rho2 < Fraction(9, 25)), 0.8 * (rho2 >= Fraction(4, 25))),
    ),
}


@cache
def raw_weights(name: str, spatial: tuple[int, ...]) -> torch.Tensor:
    """Weights on the full grid from exact rational frequencies, `(*spatial)`."""
    oracle, weights = ORACLES[name][1], torch.zeros(spatial, dtype=torch.float64)
    least = Fraction(1, max(spatial)) if max(spatial) > 1 else Fraction(1)
    for place in np.ndindex(*spatial):
        signed = [Fraction(k if 2 * k <= n else k - n, n) for k, n in zip(place, spatial, strict=True)]
        r2 = sum(f**2 for f in signed)
        weights[place] = oracle(r2, 4 * r2 / len(spatial), least)
    return weights


@cache
def dense(name: str, shape: tuple[int, ...], calibration: str) -> torch.Tensor:
    power = raw_weights(name, shape[1:]) ** 2
    return stationary_matrix(power / power.mean() if calibration == "variance" else power, shape)


CASES = [
    (name, shape, calibration)
    for calibration, shapes in (("variance", SHAPES), ("none", SHAPES[5:8]))
    for name, shape in product(ORACLES, shapes)
    if raw_weights(name, shape[1:]).max() > 0
]


@dataclass(frozen=True)
class Custom(Spectrum):
    """Weights from any function; of no registered kind."""

    function: Callable[[torch.Tensor], torch.Tensor]

    def weights(self, frequencies):
        return self.function(frequencies)

    def __str__(self):
        return "custom"


class TestSpectralCovariance(CovarianceContract):
    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'x'.join(map(str, case[1]))}-{case[2]}", autouse=True)
    def case(self, request):
        self.name, self.shape, self.calibration = request.param

    def covariance(self):
        return SpectralCovariance(ORACLES[self.name][0], self.shape, calibration=self.calibration)

    def matrix(self):
        return dense(self.name, self.shape, self.calibration)


class TestIsotropicCovariance(CovarianceContract):
    @pytest.fixture(params=product([(1, 5), (2, 3, 4)], [1.0, 2.5]), ids=str, autouse=True)
    def case(self, request):
        self.shape, self.variance = request.param

    def covariance(self):
        return IsotropicCovariance(self.shape, self.variance)

    def matrix(self):
        return self.variance * torch.eye(math.prod(self.shape), dtype=torch.float64)


class TestDenseCovariance(CovarianceContract):
    """Neither stationary nor, with 3 of 6 dimensions, of full rank."""

    @pytest.fixture(params=[6, 3], ids=["full", "singular"], autouse=True)
    def case(self, request):
        factor = torch.randn(6, request.param, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        self.dense = factor @ factor.T

    def covariance(self):
        return DenseCovariance(self.dense, (1, 2, 3))

    def matrix(self):
        return self.dense


# MATH.md section 2, rules of exactness


def test_linspace_frequencies_give_another_covariance():
    """Rule 1: a grid from linspace(-.5, .5) has no DC, is not Hermitian, and colours the noise differently."""
    side = 8
    published = PowerLaw(-0.5).weights(torch.linspace(-0.5, 0.5, side, dtype=torch.float64)[None])
    # Read in FFT order after the usual shift, w(k) and w(-k) differ: the filtered noise is not even real.
    shifted = torch.fft.ifftshift(published)
    assert not torch.allclose(shifted[1:], shifted[1:].flip(0))
    filtered = torch.fft.ifft(torch.fft.fft(torch.randn(side, dtype=torch.float64)) * shifted)
    assert filtered.imag.abs().max() > 1e-3
    # Its real part is noise of another covariance than fftfreq's.
    even = (shifted.square() + shifted.roll(-1).flip(0).square()) / 2
    ours = SpectralCovariance(PowerLaw(-0.5), (1, side)).to_dense()
    assert (stationary_matrix(even / even.mean(), (1, side)) - ours).abs().max() > 0.05


def test_weights_without_hermitian_symmetry_are_refused():
    with pytest.raises(InputError, match=r"weights differ between f and -f by up to 0\.5"):
        SpectralCovariance(Custom(lambda f: 1 + f[0]), (1, 4, 4))


@pytest.mark.parametrize("scale", [1e-200, 1e-13, 1, 1e13, 1e200])
def test_asymmetry_is_judged_and_level_calibrated_at_any_scale(scale):
    even, tilted = Custom(lambda f: scale * (1 + f[0].abs())), Custom(lambda f: scale * (1 + f[0]))
    assert SpectralCovariance(even, (1, 5, 4)).trace == pytest.approx(20, rel=1e-12)
    with pytest.raises(InputError, match="differ between f and -f"):
        SpectralCovariance(tilted, (1, 5, 4))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 31, 33), (2, 1000), (1, 9, 10, 11)])
@pytest.mark.parametrize("name", ["red", "blue", "lifted_band", "low_pass"])
def test_calibrated_trace_is_the_dimension(name, shape):
    """Rules 2 and 3, at sizes where a wrong multiplicity of one column is far below any statistical test."""
    covariance = SpectralCovariance(ORACLES[name][0], shape)
    assert covariance.trace == pytest.approx(math.prod(shape), rel=1e-13)


def test_equal_bands_are_white_noise():
    """Rule 4, exactly."""
    covariance = SpectralCovariance(TwoBand(0.3, 0, 0.5, 0.3, 0.5, 1), (1, 8, 9))
    assert torch.equal(covariance.eigenvalues, torch.ones(8, 5, dtype=torch.float64))
    x = torch.randn(2, 1, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(covariance.sqrt(x), x, rtol=0, atol=1e-14)


def test_bands_that_share_an_edge_split_the_noise():
    """Rule 4: low- and high-pass projections add up to the identity and are orthogonal."""
    low, high = (SpectralCovariance(BandPass(*edges), (1, 10, 10)) for edges in ((0, 0.4), (0.4, 1)))
    x = torch.randn(3, 1, 10, 10, dtype=torch.float64)
    torch.testing.assert_close(low.project(x) + high.project(x), x, rtol=0, atol=1e-13)
    torch.testing.assert_close(low.project(high.project(x)), torch.zeros_like(x), rtol=0, atol=1e-13)
    assert low.rank + high.rank == 100


@pytest.mark.parametrize("alpha", [-1.0, -0.4, 0.5])
@pytest.mark.parametrize("shape", [(2, 4096), (1, 64, 48), (1, 16, 18, 20)])
def test_log_psd_of_the_noise_has_slope_two_alpha(alpha, shape):
    """Rule 5, exactly from the eigenvalues and measured on samples with an FFT of our own.

    Each log-periodogram ordinate of Gaussian noise has variance pi^2/6, so the least-squares slope over the half
    spectrum is a z-test: level 1e-6, 8 samples per case, fixed seed.
    """
    covariance = SpectralCovariance(PowerLaw(alpha), shape)
    radius = covariance.basis.radius()
    off_line = (covariance.eigenvalues.log() - 2 * alpha * radius.log())[radius > 0]
    assert off_line.max() - off_line.min() < 1e-12

    spatial, axes = shape[1:], tuple(range(-len(shape) + 1, 0))
    eps = covariance.sample(8, torch.Generator().manual_seed(7), torch.float64).numpy()
    periodogram = np.abs(np.fft.fftn(eps, axes=axes, norm="ortho")) ** 2
    r = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) for n in spatial], indexing="ij")))
    # One of each pair f, -f, and none of the self-conjugate ones: independent exponential ordinates.
    rank_of = np.arange(r.size).reshape(spatial)
    mirror = np.roll(np.flip(rank_of), 1, axis=tuple(range(len(spatial))))
    half = rank_of < mirror
    centred = np.log(r[half]) - np.log(r[half]).mean()
    ordinates = np.log(periodogram[..., half]).reshape(-1, half.sum())
    slope = float((ordinates @ centred).mean() / (centred @ centred))
    std = math.pi / math.sqrt(6 * len(ordinates) * (centred @ centred))
    assert abs(slope - 2 * alpha) < 4.9 * std
    assert std < 0.03


def test_noise_is_not_normalised_sample_by_sample():
    """Rule 3: norms vary as a Gaussian's do, `Var ||eps||^2 = 2 tr Sigma^2`; 4000 draws, fixed seed, level 1e-6."""
    covariance = SpectralCovariance(PowerLaw(-0.8), (1, 8, 8))
    norms = covariance.sample(4000, torch.Generator().manual_seed(3), torch.float64).flatten(1).square().sum(1)
    moments = [float((covariance.basis.multiplicity() * covariance.eigenvalues**k).sum()) for k in (1, 2, 4)]
    assert abs(float(norms.mean()) - 64) < 4.9 * math.sqrt(2 * moments[1] / 4000)
    # Fourth cumulant of a sum of chi-squared variables: 48 tr Sigma^4.
    spread = math.sqrt((48 * moments[2] + 2 * (2 * moments[1]) ** 2) / 4000)
    assert abs(float(norms.var()) - 2 * moments[1]) < 4.9 * spread


def test_power_spectrum_is_what_samples_show():
    covariance = SpectralCovariance(PowerLaw(-0.5), (2, 6, 5))
    basis = FourierBasis((6, 5))
    assert torch.equal(covariance.power_spectrum(basis), covariance.eigenvalues)
    assert torch.equal(IsotropicCovariance((2, 6, 5), 3.0).power_spectrum(basis), torch.full((6, 3), 3.0).double())
    with pytest.raises(InputError, match="not known to be diagonal"):
        covariance.power_spectrum(FourierBasis((5, 6)))
    with pytest.raises(InputError, match="not known to be diagonal"):
        DenseCovariance(torch.eye(60), (2, 6, 5)).power_spectrum(basis)


# Bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor([1.0, -0.25, 1.0]), r"reach -0\.25; they must not be negative"),
        (torch.tensor([1.0, math.nan, 1.0]), "hold NaN or infinity"),
        (torch.tensor([1.0, math.inf, 1.0]), "hold NaN or infinity"),
        (torch.zeros(3), r"are zero at every frequency of \(4,\)"),
        (torch.ones(4), r"have shape \(4,\), the basis needs \(3,\)"),
        (torch.ones(2, 3), r"have shape \(2, 3\), the basis needs \(3,\)"),
    ],
)
def test_bad_weights_are_refused(values, message):
    with pytest.raises(InputError, match="weights of custom " + message):
        check_weights(values, FourierBasis((4,)), "custom")
    with pytest.raises(InputError, match="weights of custom " + message):
        SpectralCovariance(Custom(lambda f: values), (1, 4))


def test_an_empty_band_is_refused():
    with pytest.raises(InputError, match=r"band_pass\(low=0\.9\) are zero at every frequency of \(1, 8\)"):
        SpectralCovariance(BandPass(low=0.9), (1, 1, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpectralCovariance(Flat(), (8,)), r"must be \(channels, \*spatial\) .* got \(8,\)"),
        (lambda: SpectralCovariance(Flat(), (1, 0)), r"positive sides, got \(1, 0\)"),
        (
            lambda: SpectralCovariance(Flat(), (1, 4), FourierBasis((5,))),
            r"shape \(5,\), covariance for \(4,\)",
        ),
        (
            lambda: SpectralCovariance(Flat(), (1, 4), calibration="std"),  # type: ignore[arg-type]
            "'variance' or 'none', got 'std'",
        ),
        (lambda: IsotropicCovariance((1, 4), 0.0), "variance must be positive, got 0.0"),
        (lambda: IsotropicCovariance((1, 4), math.nan), "variance must be positive, got nan"),
        (lambda: DenseCovariance(torch.eye(3), (1, 4)), r"must be \(4, 4\) for shape \(1, 4\), got \(3, 3\)"),
        (lambda: DenseCovariance(torch.ones(2, 2).triu(), (1, 2)), "finite and symmetric"),
        (lambda: DenseCovariance(torch.full((2, 2), math.nan), (1, 2)), "finite and symmetric"),
        (lambda: DenseCovariance(torch.diag(torch.tensor([1.0, -0.5])), (1, 2)), "smallest eigenvalue is -0.5"),
        (lambda: DenseCovariance(torch.zeros(2, 2), (1, 2)), "positive semi-definite"),
    ],
)
def test_bad_covariances_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_generators_need_a_batch_axis():
    with pytest.raises(InputError, match="got 3 generators and no batch axis"):
        IsotropicCovariance((3, 4)).sample((), sample_generators(0, 3))


def test_singular_error_is_an_input_error():
    with pytest.raises(InputError, match="solving of a singular covariance: 11 of 16 dimensions are empty"):
        SpectralCovariance(BandPass(0, 0.4), (1, 4, 4)).solve(torch.zeros(1, 4, 4))
    assert issubclass(SingularCovarianceError, InputError)


# Identity


def test_white_noise_takes_the_route_without_transform():
    assert build_covariance(Flat(), (3, 4)) == IsotropicCovariance((3, 4))
    assert build_covariance(PowerLaw(-0.1), (3, 4), "none") == SpectralCovariance(
        PowerLaw(-0.1), (3, 4), calibration="none"
    )


def test_white_draws_are_common_to_all_covariances():
    """The same seed means the same `xi` whatever the colour, so that processes can be compared draw by draw."""
    shape = (2, 4, 6)
    white = IsotropicCovariance(shape).sample(3, sample_generators(1, 3), torch.float64)
    coloured = SpectralCovariance(PowerLaw(0.3), shape)
    torch.testing.assert_close(coloured.whiten(coloured.sample(3, sample_generators(1, 3), torch.float64)), white)


def test_fingerprints_tell_covariances_apart():
    shape = (1, 4, 4)
    different = [
        SpectralCovariance(PowerLaw(-0.5), shape),
        SpectralCovariance(PowerLaw(-0.4), shape),
        SpectralCovariance(PowerLaw(-0.5), shape, calibration="none"),
        SpectralCovariance(PowerLaw(-0.5), (2, 4, 4)),
        IsotropicCovariance(shape),
        DenseCovariance(torch.eye(16), shape),
        DenseCovariance(2 * torch.eye(16), shape),
    ]
    assert len({c.fingerprint() for c in different}) == len(set(different)) == len(different)


def test_whole_and_fractional_parameters_are_the_same_covariance():
    """`alpha=1` and `alpha=1.0`, `-0.0` and `0.0` are equal, and so must their fingerprints be."""
    for a, b in ((1, 1.0), (-0.0, 0.0)):
        one, other = (SpectralCovariance(PowerLaw(alpha), (1, 4)) for alpha in (a, b))
        assert one == other
        assert one.fingerprint() == other.fingerprint()
        assert hash(one) == hash(other)


def test_weights_too_steep_for_rounding_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"power_law.* span a factor of .*e\+0\d, more than 1e\+06: .* milder spectrum"
    ):
        SpectralCovariance(PowerLaw(-1, epsilon=1e-10), (1, 8, 8))
    with pytest.raises(InputError, match=r"power_law alpha=300 leaves the range of numbers"):
        SpectralCovariance(PowerLaw(300), (1, 32, 32))


def test_steep_weights_are_filtered_in_double_precision() -> None:
    covariance = SpectralCovariance(PowerLaw(-0.5, epsilon=1e-10), (1, 8, 8))
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    exact = covariance.solve(x.double())
    torch.testing.assert_close(covariance.solve(x).double(), exact, rtol=1e-6, atol=1e-6 * float(exact.abs().max()))
