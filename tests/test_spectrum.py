import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from sagd.basis import FourierBasis
from sagd.errors import InputError
from sagd.spectrum import (
    AxisPowerLaw,
    BandPass,
    BandStop,
    ExponentialDecay,
    Flat,
    Notch,
    Oriented,
    PowerLaw,
    Product,
    Spectrum,
    Sum,
    TwoBand,
    band_mask,
)
from sagd.testing import SpectrumContract

SPECTRA = [
    Flat(),
    PowerLaw(-0.5),
    PowerLaw(1),
    PowerLaw(-0.25, epsilon=1e-10),
    BandPass(0.2, 0.6),
    BandPass(0.3, 1.0, inside=0.5, outside=2),
    TwoBand(),
    TwoBand(0.9, 0.1, 0.4, 0.2, 0.3, 0.8),
    ExponentialDecay(4.0),
    BandStop(0.2, 0.6),
    PowerLaw(-0.2) * BandStop(0.3, 0.5, inside=0.1),
    BandPass(0.0, 0.4) + BandPass(0.6, 1.0, inside=0.5),
]
# These name axes, so they are not for every rank; see their own tests.
RANKED = {"notch", "oriented", "axis_power_law"}


class TestSpectra(SpectrumContract):
    @pytest.fixture(params=SPECTRA, ids=str, autouse=True)
    def case(self, request):
        self.text = str(request.param)
        self.mapping = request.param.to_dict()

    def spectrum(self):
        return Spectrum.from_dict(self.mapping)


def test_every_kind_is_under_contract():
    assert {s.kind for s in SPECTRA} | RANKED == set(Spectrum.kinds())


# Bands


def exact_rho_squared(spatial):
    """`rho^2` of the half spectrum as exact fractions, an object array."""
    values = np.empty((*spatial[:-1], spatial[-1] // 2 + 1), dtype=object)
    for place in np.ndindex(*values.shape):
        signed = [Fraction(k if 2 * k <= n else k - n, n) for k, n in zip(place, spatial, strict=True)]
        values[place] = 4 * sum(f**2 for f in signed) / len(spatial)
    return values


@pytest.mark.parametrize("spatial", [(70,), (100,), (9,), (32, 32), (10, 20), (1, 12), (6, 6, 6)])
def test_bands_are_closed_below_and_open_above_exactly(spatial):
    """MATH.md section 2, rule 4, against rational arithmetic: frequencies on an edge are never lost to rounding."""
    rho2, frequencies = exact_rho_squared(spatial), FourierBasis(spatial).frequencies()
    edges = [Fraction(k, 20) for k in range(21)] + [Fraction(3, 8), Fraction(5, 8)]
    for low in edges[:-1]:
        for high in edges:
            if low < high:
                inside = np.vectorize(lambda r2, a=low, b=high: a**2 <= r2 and (r2 < b**2 or b == 1))(rho2)
                mask = band_mask(frequencies, float(low), float(high)).numpy()
                np.testing.assert_array_equal(mask, inside.astype(float), f"[{low}, {high})")


@pytest.mark.parametrize("spatial", [(8,), (7,), (6, 9), (4, 4, 6)])
def test_adjoining_bands_cover_each_frequency_once(spatial):
    frequencies = FourierBasis(spatial).frequencies()
    edges = [0, 0.15, 0.5, 0.7, 1]
    total = sum(band_mask(frequencies, a, b) for a, b in pairwise(edges))
    assert torch.equal(total, torch.ones_like(frequencies[0]))


def test_band_pass_levels():
    frequencies = torch.tensor([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]], dtype=torch.float64)  # rho = 0, .2, ..., 1
    assert BandPass(0.2, 0.6).weights(frequencies).tolist() == [0, 1, 1, 0, 0, 0]
    assert BandPass(0.6, 1, inside=3, outside=0.5).weights(frequencies).tolist() == [0.5, 0.5, 0.5, 3, 3, 3]


def test_two_band_variances_add_where_bands_overlap():
    frequencies = torch.tensor([[0.0, 0.25, 0.5]], dtype=torch.float64)
    assert TwoBand(3, 0, 0.6, 4, 0.4, 1).weights(frequencies).tolist() == [3, 5, 4]
    assert TwoBand(0.5, 0, 0.2, 0.5, 0.8, 1).weights(frequencies).tolist() == [0.5, 0, 0.5]


# Power law


def test_dc_is_floored_at_the_lowest_frequency():
    """MATH.md section 2, rule 5: on a non-square grid the lowest frequency is that of the longest side."""
    weights = PowerLaw(-0.5).weights(FourierBasis((4, 16)).frequencies())
    assert weights[0, 0] == weights[0, 1] == 4.0  # (1/16)^-0.5
    assert weights.max() == 4.0
    assert weights[2, 8] == pytest.approx(0.5**-0.25, rel=1e-14)  # r = sqrt(1/2) at the corner


def test_raw_epsilon_is_the_papers():
    """The paper's 1e-10 gives DC a weight of 1e5 at alpha = -0.5, and a positive exponent leaves almost none there."""
    frequencies = FourierBasis((8,)).frequencies()
    raw = PowerLaw(-0.5, epsilon=1e-10).weights(frequencies)
    assert raw[0] == pytest.approx(1e5, rel=1e-12)
    torch.testing.assert_close(raw[1:], PowerLaw(-0.5).weights(frequencies)[1:], rtol=1e-8, atol=0)
    assert PowerLaw(0.5, epsilon=1e-10).weights(frequencies)[0] == pytest.approx(1e-5, rel=1e-12)


def test_power_law_of_one_sample_is_flat():
    assert PowerLaw(-2).weights(FourierBasis((1, 1)).frequencies()).tolist() == [[1.0]]


# Bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("band_pass(low=0.6, high=0.2)", r"0 <= low < high <= 1 .* got low=0\.6, high=0\.2"),
        ("band_pass(low=0.5, high=0.5)", r"got low=0\.5, high=0\.5"),
        ("band_pass(low=-0.1)", r"got low=-0\.1, high=1\.0"),
        ("band_pass(high=1.5)", r"got low=0\.0, high=1\.5"),
        ("band_pass(inside=-1)", "band_pass inside must not be negative, got -1"),
        ("band_pass(outside='much')", "band_pass outside must be a finite number, got 'much'"),
        ("two_band(low_end=0)", r"two_band low band needs .* got low=0\.0, high=0"),
        ("two_band(high_start=1)", r"two_band high band needs .* got low=1, high=1\.0"),
        ("two_band(gamma_high=-0.5)", r"two_band gamma_high must not be negative, got -0\.5"),
        ("power_law(alpha='steep')", "power_law alpha must be a finite number, got 'steep'"),
        ("power_law(alpha=inf)", "power_law alpha must be a finite number, got inf"),
        ("power_law(alpha=True)", "power_law alpha must be a finite number, got True"),
        ("power_law(epsilon=0)", "power_law epsilon must be positive, got 0; leave it out"),
        ("power_law(epsilon=1e999)", "power_law epsilon must be a finite number, got inf"),
        ("power_law(epsilon='x')", "power_law epsilon must be a finite number, got 'x'"),
    ],
)
def test_bad_parameters_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Spectrum.parse(text)


def test_nan_parameters_are_refused():
    for make in (lambda: PowerLaw(math.nan), lambda: BandPass(low=math.nan), lambda: TwoBand(gamma_low=math.nan)):
        with pytest.raises(InputError, match="must be a finite number, got nan"):
            make()


# Decay, stop, notch, orientation, axes


def test_exponential_decay_is_its_formula():
    frequencies = torch.tensor([[0.0, 0.3], [0.0, -0.4]], dtype=torch.float64)
    weights = ExponentialDecay(2.0).weights(frequencies)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-0.5)])


def test_band_stop_is_the_complement_of_band_pass():
    frequencies = FourierBasis((9, 12)).frequencies()
    total = BandStop(0.2, 0.6).weights(frequencies) + BandPass(0.2, 0.6).weights(frequencies)
    assert torch.equal(total, torch.ones_like(total))


@pytest.mark.parametrize("unit", ["cycles", "corner"])
def test_notch_at_known_distances(unit):
    """0 at the notch and its mirror, 1 - exp(-1/2) one bandwidth away, also across the edge of the torus."""
    scale = 1.0 if unit == "cycles" else math.sqrt(2) / 2
    notch = Notch(at=((0.25 / scale, 0.45 / scale),), bandwidth=0.1 / scale, unit=unit)
    points = torch.tensor([[0.25, 0.45], [-0.25, -0.45], [0.15, 0.45], [0.25, -0.45], [0.0, 0.0]], dtype=torch.float64)
    # (0.25, -0.45) is (0.25, 0.55) on the torus: 0.1 away.
    far = 1 - math.exp(-(0.25**2 + 0.45**2) / 0.02)
    expected = [0, 0, 1 - math.exp(-0.5), 1 - math.exp(-0.5), far]
    assert notch.weights(points.T).tolist() == pytest.approx(expected, abs=1e-12)
    shallow = Notch(at=((0.25 / scale, 0.45 / scale),), bandwidth=0.1 / scale, depth=0.3, unit=unit)
    assert shallow.weights(points.T)[0].item() == pytest.approx(0.3)


def test_notches_of_audio_multiply():
    hum = Notch(at=(0.1, 0.2), bandwidth=0.01)
    assert hum.at == ((0.1,), (0.2,))
    frequencies = torch.tensor([[0.1, -0.2, 0.45]], dtype=torch.float64)
    assert hum.weights(frequencies).tolist() == pytest.approx([0, 0, 1], abs=1e-9)


def test_oriented_wedge_by_angle():
    """Vertical stripes vary along columns: their waves lie at angle 0."""
    frequencies = torch.tensor([[0.0, 0.0, 0.2, 0.2, 0.2, -0.2], [0.0, 0.2, 0.0, 0.2, -0.2, 0.2]], dtype=torch.float64)
    assert Oriented(0, 30).weights(frequencies).tolist() == [0, 1, 0, 0, 0, 0]
    assert Oriented(90, 30).weights(frequencies).tolist() == [0, 0, 1, 0, 0, 0]
    assert Oriented(45, 30, inside=2.0, outside=0.5).weights(frequencies).tolist() == [0.5, 0.5, 0.5, 2, 0.5, 0.5]
    assert Oriented(-45, 30).weights(frequencies).tolist() == Oriented(135, 30).weights(frequencies).tolist()
    assert Oriented(-45, 30).weights(frequencies).tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("spatial", [(8, 8), (7, 8), (8, 7), (6, 10)])
@pytest.mark.parametrize(
    "spectrum", [Oriented(30, 40), Oriented(100, 25, 1.0, 0.2), Notch(at=((0.5, 0.2),), bandwidth=0.1)], ids=str
)
def test_directional_weights_are_even(spatial, spectrum):
    """On all frequencies of the grid, f and its index-mirror -f have one weight: the operator maps real to real."""
    axes = [torch.fft.fftfreq(side, dtype=torch.float64) for side in spatial]
    weights = spectrum.weights(torch.stack(torch.meshgrid(*axes, indexing="ij")))
    mirrored = weights.flip(0, 1).roll((1, 1), (0, 1))
    torch.testing.assert_close(weights, mirrored, rtol=0, atol=1e-12)
    FourierBasis(spatial).check_symmetry(spectrum.weights(FourierBasis(spatial).frequencies()))


def test_axis_power_law_separates_time_and_space():
    frequencies = FourierBasis((4, 6, 8)).frequencies()
    weights = AxisPowerLaw((-1.0, 0.5, 0.0)).weights(frequencies)
    # Floors: 1/4 and 1/6.
    assert weights[0, 0, 0].item() == pytest.approx(0.25**-1 * (1 / 6) ** 0.5)
    assert weights[2, 3, 4].item() == pytest.approx(0.5**-1 * 0.5**0.5)


# Composition


def test_products_and_sums_are_pointwise_and_associative():
    a, b, c = PowerLaw(-0.3), BandPass(0.1, 0.7, outside=0.2), ExponentialDecay(1.0)
    frequencies = FourierBasis((6, 9)).frequencies()
    wa, wb, wc = (s.weights(frequencies) for s in (a, b, c))
    torch.testing.assert_close((a * (b + c)).weights(frequencies), wa * (wb + wc))
    assert (a * b) * c == a * (b * c) == Product((a, b, c))
    assert (a + b) + c == Sum((a, b, c))
    assert Spectrum.parse(f"{a} * ({b} + {c})") == a * (b + c)
    assert Spectrum.parse(str(a * (b + c))) == a * (b + c)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notch()", "at least one frequency"),
        ("notch(at=[[0.1, 0.2]], bandwidth=0)", "bandwidth > 0 .* bandwidth=0"),
        ("notch(at=[[0.1, 0.2]], depth=2)", r"depth in \[0, 1\], .* depth=2"),
        ("notch(at=[[0.1, 0.2]], unit='hertz')", "'cycles' or 'corner', got 'hertz'"),
        ("notch(at=[[0.1, 'a']])", "notch frequency must be a finite number, got 'a'"),
        ("oriented(bandwidth=0)", r"\(0, 180\] degrees, got 0"),
        ("exponential_decay(beta='x')", "beta must be a finite number, got 'x'"),
        ("band_stop(low=0.5, high=0.5)", "low < high"),
        ("product(factors=[flat])", "cannot read spectrum"),
        ("sum(terms=[{'kind': 'flat'}])", "needs at least two spectra"),
        ("flat - flat", "cannot read spectrum"),
        ("flat * pink", "unknown spectrum 'pink'"),
    ],
)
def test_new_spectra_refuse(text, message):
    with pytest.raises(InputError, match=message):
        Spectrum.parse(text)


def test_spectra_of_another_rank_are_refused():
    audio = FourierBasis((16,)).frequencies()
    with pytest.raises(InputError, match=r"has 2 numbers, the data has 1 spatial axes"):
        Notch(at=((0.1, 0.2),)).weights(audio)
    with pytest.raises(InputError, match=r"2 spatial axes\), the data has 1"):
        Oriented().weights(audio)
    with pytest.raises(InputError, match=r"has 2 exponents, the data has 1 spatial axes"):
        AxisPowerLaw((1.0, 1.0)).weights(audio)
