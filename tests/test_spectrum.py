import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from sagd.basis import FourierBasis
from sagd.errors import InputError
from sagd.spectrum import BandPass, Flat, PowerLaw, Spectrum, TwoBand, band_mask
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
]


class TestSpectra(SpectrumContract):
    @pytest.fixture(params=SPECTRA, ids=str, autouse=True)
    def case(self, request):
        self.text = str(request.param)
        self.mapping = request.param.to_dict()

    def spectrum(self):
        return Spectrum.from_dict(self.mapping)


def test_every_kind_is_under_contract():
    assert {s.kind for s in SPECTRA} == set(Spectrum.kinds()) == {"flat", "power_law", "band_pass", "two_band"}


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
