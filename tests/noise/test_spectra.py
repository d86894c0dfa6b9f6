import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml

from sagd.errors import InputError
from sagd.noise.bands import Outside
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.bands import BandPass, BandStop, TwoBand
from sagd.noise.spectra.base import Flat, Product, Spectrum, Sum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.spectra.damage import Guarded, Ring
from sagd.noise.spectra.flicker import Flicker
from sagd.noise.spectra.geometry import band_mask
from sagd.noise.spectra.notch import Notch
from sagd.noise.spectra.oriented import Oriented
from sagd.noise.spectra.power_law import AxisPowerLaw, ExponentialDecay, PowerLaw
from sagd.noise.spectra.tables import RadialTable, Tabulated
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.statistics import DataStatistics, measure
from sagd.testing.spectra import SpectrumContract

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
    Flicker(),
    Flicker(2.5),
    BandStop(0.2, 0.6),
    PowerLaw(-0.2) * BandStop(0.3, 0.5, inside=0.1),
    BandPass(0.0, 0.4) + BandPass(0.6, 1.0, inside=0.5),
    RadialTable([0.1, 0.3, 1], [2.0, 0.5, 0.7]),
    RadialTable([0.5], [3]),
    PerChannel(["flat", "power_law(alpha=-0.5)", "radial_table(rho=[0.0, 1.0], w=[1, 2])"]),
    PerChannel(["flat", "power_law(alpha=0.5)"]) * BandStop(0.3, 0.5, inside=0.1) + Flat(),
    Ring(0.2, 0.6),
    Ring(0.3, 0.5, soft=0.2),
    Outside(Ring(0.3, 0.5, soft=0.2)),
    Guarded(Ring(0.3, 0.5), 0.05, soft=0.1),
    PowerLaw(-0.2) * Outside(Ring(0.3, 0.5), hard=True),
]
# These name axes, or are of a grid, so they are not for every rank; see their own tests.
RANKED = {"physical", "notch", "oriented", "axis_power_law", "wedge", "strip", "stripes", "spots"}


class TestSpectra(SpectrumContract):
    @pytest.fixture(params=SPECTRA, ids=str, autouse=True)
    def case(self, request):
        self.text = str(request.param)
        self.mapping = request.param.to_dict()

    def spectrum(self):
        return Spectrum.from_dict(self.mapping)


def even_table(*shape, channels=None, seed=0):
    """Positive numbers with the symmetry of a real field's power spectrum, on the half spectrum."""
    noise = torch.randn(channels or 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    power = FourierBasis(shape).forward(noise).abs()
    return power if channels else power[0]


# Tables, and the shape that each is for.
TABLES = [
    (Tabulated(even_table(4, 6)), (4, 6)),
    (Tabulated(even_table(5, 5, channels=3)), (5, 5)),
    (Tabulated([1, 0, 2.5]), (5,)),
    (Tabulated([[1, 0.5], [2, 3]]), (2,)),
    (Tabulated(even_table(2, 3, 4, channels=2)), (2, 3, 4)),
    (Tabulated(even_table(4, 6)) * PowerLaw(-0.3), (4, 6)),
    (PerChannel([Tabulated(even_table(7)), "flat"]) + BandPass(0.2, 0.7), (7,)),
]
MEASURED = [
    Whitening(),
    Whitening(0.5),
    Whitening(0.0),
    Whitening(0.7, radial=True),
    Whitening() * BandStop(0.0, 0.3, inside=0.5) + Flat(),
    PerChannel(["flat", "whitening(radial=True)"]),
]


class TestTables(SpectrumContract):
    on_any_grid = False

    @pytest.fixture(params=TABLES, ids=lambda case: case[0].label, autouse=True)
    def case(self, request):
        self.mapping, shape = request.param[0].to_dict(), request.param[1]
        self.spatial_shapes = (shape,)

    def spectrum(self):
        return Spectrum.from_dict(self.mapping)


class TestMeasured(SpectrumContract):
    on_any_grid = False

    @pytest.fixture(params=MEASURED, ids=str, autouse=True)
    def case(self, request):
        self.mapping = request.param.to_dict()

    def spectrum(self):
        return Spectrum.from_dict(self.mapping)


class TestMeasuredOnOneChannel(SpectrumContract):
    on_any_grid = False
    channels = 1

    def spectrum(self):
        return Whitening(0.8)


class TestByClass(SpectrumContract):
    spatial_shapes = ()

    @pytest.fixture(
        params=[
            ClassConditional({"3": "flat", "8": "power_law(alpha=-0.1)"}, default="whitening"),
            ClassConditional([("it's", Notch(at=((0.1, 0.2),), unit="corner") * Flat())]),
            ClassConditional({"polar-bear": PerChannel(["flat", "flat"])}),
        ],
        ids=str,
        autouse=True,
    )
    def case(self, request):
        self.mapping = request.param.to_dict()

    def spectrum(self):
        return Spectrum.from_dict(self.mapping)


def test_every_kind_is_under_contract():
    parts = {s.kind for s in [*SPECTRA, *MEASURED]} | {s.kind for s, _ in TABLES}
    assert parts | RANKED | {ClassConditional.kind} == set(Spectrum.kinds())


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


@pytest.mark.parametrize("eta", [1.5, 2.0, 4.0])
def test_flicker_is_the_transform_of_its_correlations(eta):
    """In one dimension, against the integral of `(d + 1)^-eta cos(k d)`."""
    from scipy.integrate import quad

    f = torch.tensor([[0.02, 0.1, 0.25, 0.5]], dtype=torch.float64)
    power = (Flicker(eta).weights(f) ** 2).tolist()
    exact = [quad(lambda d: (d + 1) ** -eta, 0, np.inf, weight="cos", wvar=2 * math.pi * k)[0] for k in f[0].tolist()]
    assert [p / power[0] for p in power] == pytest.approx([e / exact[0] for e in exact], rel=1e-5)


def test_flicker_of_images_is_pink_at_low_frequencies():
    f = torch.tensor([[1e-5, 1e-4], [0.0, 0.0]], dtype=torch.float64)
    low, high = (Flicker(1.0).weights(f) ** 2).tolist()
    assert low / high == pytest.approx(10, rel=1e-2)
    assert (Flicker(1.0) * Flicker(1.0)).weights(f).tolist() == pytest.approx([low, high])


def test_flicker_floors_dc_at_the_lowest_frequency():
    w = Flicker().weights(torch.tensor([[0.0, 0.125, 0.25]], dtype=torch.float64))
    assert w[0] == w[1] > w[2]


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


# Tables


@pytest.mark.parametrize("convert", [torch.tensor, np.array, list, lambda v: torch.tensor(v, dtype=torch.float16)])
def test_tables_keep_their_numbers(convert):
    table = Tabulated(convert([[1.0, 0.5], [2.0, 0.25]]))
    assert table.values == ((1.0, 0.5), (2.0, 0.25))
    assert table.weights(FourierBasis((2, 2)).frequencies()).tolist() == [[1.0, 0.5], [2.0, 0.25]]
    assert str(table) == "tabulated(values=((1.0, 0.5), (2.0, 0.25)))"


def test_tables_are_exact_in_text_json_and_yaml():
    table = Tabulated(even_table(5, 8, channels=2).square() / 3)
    assert Spectrum.parse(str(table)) == table
    assert Spectrum.from_dict(json.loads(json.dumps(table.to_dict()))) == table


@pytest.mark.parametrize("spectrum", [*SPECTRA, *MEASURED, *(s for s, _ in TABLES)], ids=lambda s: s.label)
def test_yaml_round_trip(spectrum):
    by_class = ClassConditional({"3": spectrum, "no": "flat"}, default=spectrum)
    for each in (spectrum, by_class):
        assert Spectrum.from_dict(yaml.safe_load(yaml.safe_dump(each.to_dict()))) == each


def test_a_table_is_for_one_shape():
    table = Tabulated(torch.ones(4, 3))
    with pytest.raises(InputError, match=r"tabulated values have shape \(4, 3\), the basis needs \(5, 3\)"):
        table.weights(FourierBasis((5, 5)).frequencies())
    # In one dimension, rows are channels.
    assert table.weights(FourierBasis((5,)).frequencies()).shape == (4, 3)
    with pytest.raises(InputError, match=r"have shape \(4, 3\), the basis needs \(2, 2, 2\)"):
        table.weights(FourierBasis((2, 2, 2)).frequencies())


def test_radial_table_interpolates_and_is_constant_beyond_its_ends():
    table = RadialTable(rho=[0.2, 0.4, 0.6], w=[1, 3, 0])
    frequencies = torch.tensor([[0.0, 0.1, 0.15, -0.2, 0.25, 0.3, 0.5]], dtype=torch.float64)  # rho is twice that
    assert table.weights(frequencies).tolist() == pytest.approx([1, 1, 2, 3, 1.5, 0, 0])
    # In two dimensions the corner has rho = 1.
    assert RadialTable([0, 1], [0, 1]).weights(FourierBasis((2, 2)).frequencies())[1, 1] == pytest.approx(1)


def test_labels_abbreviate_what_is_long():
    table = Tabulated(torch.ones(28, 15))
    assert table.label == "tabulated(values=28x15 numbers)"
    assert (PowerLaw(-0.1) * table).label == "power_law(alpha=-0.1) * tabulated(values=28x15 numbers)"
    assert (
        (PowerLaw(-0.1) + table) * Flat()
    ).label == "(power_law(alpha=-0.1) + tabulated(values=28x15 numbers)) * flat"
    assert PerChannel(["flat", table]).label == "per_channel(spectra=(flat, tabulated(values=28x15 numbers)))"
    assert PerChannel([table] * 3).label == "per_channel(spectra=(tabulated(...), tabulated(...), tabulated(...)))"
    assert PerChannel([table] * 9).label == "per_channel(spectra=9 spectra)"
    long = PowerLaw(-0.12345) * BandPass(0.12345, 0.54321) * Flat() * (table + Notch(at=((0.123, 0.456),)))
    assert long.label == "power_law(...) * band_pass(...) * flat * sum(...)"
    assert Product((table,) * 9).label == "product(factors=9 spectra)"
    many = ClassConditional({str(i): "power_law(alpha=-0.1)" for i in range(10)}, default=table)
    assert many.label == "by_class(spectra=10 spectra, default=tabulated(values=28x15 numbers))"
    assert RadialTable(np.linspace(0, 1, 30), np.ones(30)).label == "radial_table(rho=30 numbers, w=30 numbers)"
    assert PowerLaw(-0.1).label == "power_law(alpha=-0.1)"


# Measured spectra


def known(S, basis, mean=0.0):
    """Statistics of made-up data with power spectrum `S` `(C, *coefficients)`."""
    return DataStatistics(torch.full((len(S), *basis.spatial), mean, dtype=torch.float64), S, 100, basis)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("basis", [FourierBasis((5, 6)), CosineBasis((4, 7)), FourierBasis((9,))], ids=str)
def test_noise_power_is_a_power_of_the_measured_spectrum(basis, exponent):
    S = torch.stack([1 / (0.1 + basis.radius()), 3 * torch.exp(-4 * basis.radius())])
    resolved = Whitening(exponent).resolve(known(S, basis))
    w = resolved.weights(basis.frequencies())
    torch.testing.assert_close(w.square(), S**exponent, rtol=1e-12, atol=0)
    single = Whitening(exponent).resolve(known(S[:1], basis)).weights(basis.frequencies())
    torch.testing.assert_close(single.square(), S[0] ** exponent, rtol=1e-12, atol=0)


def test_full_whitening_gives_one_signal_to_noise_ratio():
    """Measured from data: the power of images over that of noise is the same at every frequency (arXiv:2505.11278)."""
    x = torch.randn(20, 1, 6, 8, generator=torch.Generator().manual_seed(1)).cumsum(-1).cumsum(-2)
    basis = FourierBasis((6, 8))
    # Away from the code under test: power by NumPy's transform, about the mean.
    power = (np.abs(np.fft.rfft2((x.double() - x.double().mean(0)).numpy())) ** 2).sum(0)[0]
    noise = SpectralCovariance(Whitening().resolve(measure(x)), (1, 6, 8), basis).eigenvalues
    ratio = power / noise.reshape(basis.coefficients).numpy()
    assert ratio.max() / ratio.min() == pytest.approx(1, abs=1e-9)


def test_empty_frequencies_keep_a_little_noise():
    S = torch.tensor([[4.0, 0.0, 1e-12]], dtype=torch.float64)
    w = Whitening().resolve(known(S, FourierBasis((4,)))).weights(FourierBasis((4,)).frequencies())
    assert w.tolist() == pytest.approx([2, 2e-5, 2e-5])
    SpectralCovariance(Whitening().resolve(known(S, FourierBasis((4,)))), (1, 4))  # within its span


@pytest.mark.parametrize("spatial", [(8, 8), (5, 7), (4, 10), (12,), (3, 4, 5)])
def test_radial_whitening_averages_rings(spatial):
    """Brute force over all `d` frequencies of the full grid, one by one."""
    S = even_table(*spatial, channels=2).square()
    full = np.abs(
        np.fft.fftn(np.fft.irfftn(S.numpy(), spatial, axes=range(1, len(spatial) + 1)), axes=range(1, S.ndim))
    )
    rings = {}
    for place in np.ndindex(*spatial):
        r = math.hypot(*(min(k, n - k) / n for k, n in zip(place, spatial, strict=True)))
        rings.setdefault(math.floor(r * max(spatial) + 0.5 + 1e-9), []).append(full[(slice(None), *place)])
    basis = FourierBasis(spatial)
    w = Whitening(radial=True).resolve(known(S, basis)).weights(basis.frequencies())
    for place in np.ndindex(*basis.coefficients):
        r = math.hypot(*(min(k, n - k) / n for k, n in zip(place, spatial, strict=True)))
        expected = np.mean(rings[math.floor(r * max(spatial) + 0.5 + 1e-9)], axis=0)
        np.testing.assert_allclose(w[(slice(None), *place)].numpy() ** 2, expected, rtol=1e-9)


def test_whitening_asks_for_data():
    with pytest.raises(InputError, match=r"whitening\(exponent=0.5\) needs the measured power spectrum .* resolve"):
        Whitening(0.5).weights(FourierBasis((4,)).frequencies())
    with pytest.raises(InputError, match=r"whitening needs data that varies, but the measured spectrum reaches 0"):
        Whitening().resolve(measure(torch.ones(3, 1, 4)))
    with pytest.raises(InputError, match="resolve it first"):
        (Flat() * Whitening()).weights(FourierBasis((4,)).frequencies())


def test_needs_data_sees_through_composites():
    inner = Whitening()
    for spectrum in (inner, inner * Flat(), Flat() + inner * Flat(), PerChannel(["flat", inner])):
        assert spectrum.needs_data
        assert ClassConditional({"a": "flat", "b": spectrum}).needs_data
        assert ClassConditional({"a": "flat"}, default=spectrum).needs_data
    assert not (Flat() * PowerLaw() + PerChannel(["flat", "flat"])).needs_data
    assert PowerLaw(-0.1).resolve(measure(torch.randn(3, 1, 4))) == PowerLaw(-0.1)


def test_composites_resolve_their_parts():
    statistics = measure(torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(0)))
    table = Whitening().resolve(statistics)
    assert (Whitening() * Flat()).resolve(statistics) == table * Flat()
    assert (Flat() + Whitening()).resolve(statistics) == Flat() + table
    by_class = ClassConditional({"a": "flat", "b": "whitening"}, default="whitening").resolve(statistics)
    assert by_class == ClassConditional({"a": "flat", "b": table}, default=table)


# Channels


def test_each_channel_has_its_spectrum():
    frequencies = FourierBasis((4, 6)).frequencies()
    parts = [PowerLaw(-0.5), BandPass(0.1, 0.6), Flat()]
    weights = PerChannel(parts).weights(frequencies)
    assert torch.equal(weights, torch.stack([part.weights(frequencies) for part in parts]))
    tilt = ExponentialDecay(2.0)
    both = (PerChannel(parts) * tilt + Flat()).weights(frequencies)
    for channel, part in enumerate(parts):
        torch.testing.assert_close(both[channel], part.weights(frequencies) * tilt.weights(frequencies) + 1)


def test_channels_resolve_on_their_own_data():
    x = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    resolved = PerChannel(["whitening", "flat", "whitening(exponent=0.5)"]).resolve(measure(x))
    first, last = (measure(x[:, c : c + 1]) for c in (0, 2))
    assert resolved.spectra[1] == Flat()
    frequencies = FourierBasis((4, 5)).frequencies()
    weights = resolved.weights(frequencies)
    torch.testing.assert_close(weights[0], first.spectrum[0].sqrt())
    torch.testing.assert_close(weights[2], last.spectrum[0] ** 0.25)
    with pytest.raises(InputError, match="per_channel has 2 spectra, the measured data 3 channels"):
        PerChannel(["whitening", "flat"]).resolve(measure(x))


def test_channels_that_do_not_fit_are_refused():
    frequencies = FourierBasis((4,)).frequencies()
    with pytest.raises(InputError, match="have 2 and 3 channels; give all the same number"):
        (PerChannel(["flat"] * 2) * PerChannel(["flat"] * 3)).weights(frequencies)
    with pytest.raises(
        InputError, match=r"weights of tabulated.* in per_channel have shape \(2, 3\), one channel needs"
    ):
        PerChannel(["flat", Tabulated(torch.ones(2, 3))]).weights(frequencies)

    class Scalar(PowerLaw):
        def weights(self, frequencies):
            return torch.ones(1)

    with pytest.raises(InputError, match=r"weights of power_law have shape \(1,\), the basis needs \(3,\)"):
        Product((Scalar(), Flat())).weights(frequencies)


# Classes


def test_every_class_gets_its_spectrum_in_label_order():
    spectrum = Spectrum.parse("by_class(spectra={'dog': 'flat', 'cat': 'power_law(alpha=-0.1)'}, default='band_pass')")
    assert spectrum.for_classes(["cat", "cow", "dog"]) == (PowerLaw(-0.1), BandPass(), Flat())
    assert ClassConditional({3: "flat", "8": "flat"}).for_classes(["3", "8"]) == (Flat(), Flat())
    assert str(ClassConditional({"8": "flat", "3": "flat"})) == "by_class(spectra={'3': 'flat', '8': 'flat'})"


def test_classes_and_spectra_must_match():
    spectrum = ClassConditional({"cat": "flat", "dog": "flat"})
    with pytest.raises(InputError, match="no spectrum for class 'cow'; add one, or default='flat'"):
        spectrum.for_classes(["cat", "cow", "dog"])
    with pytest.raises(InputError, match=r"a spectrum for 'dog', which is no class; did you mean 'dogs'\?"):
        spectrum.for_classes(["cat", "dogs"])
    many = [f"thing {i}" for i in range(1000)]
    with pytest.raises(InputError, match=r"for 'cat', which is no class; the 1000 classes begin thing 0, thing 1, "):
        spectrum.for_classes(many)
    with pytest.raises(InputError, match=r"depends on the class, .*\.for_classes\(names\)\[label\]"):
        spectrum.weights(FourierBasis((4,)).frequencies())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tabulated([[1, 2], [3]]), r"tabulated values must be a table of numbers .*, got \[\[1, 2\], \[3\]\]"),
        (lambda: Tabulated([]), r"must be a table of numbers .*, got \[\]"),
        (lambda: Tabulated(1.0), r"must be a table of numbers .*, got 1\.0"),
        (lambda: Tabulated(["a"]), r"must be a table of numbers .*, got \['a'\]"),
        (lambda: Tabulated([True, False]), "must be a table of numbers"),
        (lambda: Tabulated([10**400]), "must be a table of numbers"),
        (lambda: Tabulated(torch.ones(2) * 1j), "must be a table of numbers"),
        (lambda: Tabulated([1, math.nan]), "tabulated values hold NaN or infinity"),
        (lambda: Tabulated([1, -2.5]), r"tabulated values reach -2\.5; they must not be negative"),
        (lambda: RadialTable([0, 1], [1]), r"one w for each rho, got shapes \(1,\) and \(2,\)"),
        (lambda: RadialTable([[0, 1]], [[1, 1]]), r"one w for each rho, got shapes \(1, 2\)"),
        (lambda: RadialTable([0.5, 0.2], [1, 1]), r"rho must increase within \[0, 1\] .*, got \(0\.5, 0\.2\)"),
        (lambda: RadialTable([0.5, 0.5], [1, 1]), r"rho must increase"),
        (lambda: RadialTable([0.5, 1.2], [1, 1]), r"rho must increase within"),
        (lambda: RadialTable([-0.5, 1], [1, 1]), r"radial_table rho reach -0\.5"),
        (lambda: RadialTable([0.5, 1], [-1, 1]), r"radial_table w reach -1"),
        (lambda: Whitening(1.5), r"whitening exponent must lie in \[0, 1\] .*, got 1\.5"),
        (lambda: Whitening(-0.1), r"got -0\.1"),
        (lambda: Whitening("half"), "whitening exponent must be a finite number, got 'half'"),
        (lambda: Whitening(radial="yes"), "whitening radial must be true or false, got 'yes'"),
        (lambda: PerChannel(()), r"per_channel needs one spectrum for each channel, e\.g\..*, got \(\)"),
        (lambda: PerChannel("flat"), "got 'flat'"),
        (lambda: PerChannel(3), "got 3"),
        (
            lambda: PerChannel([Flat() * PerChannel(["flat"])]),
            r"per_channel cannot hold per_channel\(spectra=\('flat',\)\)",
        ),
        (
            lambda: PerChannel([ClassConditional({"a": "flat"})]),
            "per_channel cannot hold by_class.* its classes instead",
        ),
        (lambda: ClassConditional({"a": "flat"}) * Flat(), "product cannot hold by_class"),
        (lambda: Flat() + Flat() * ClassConditional({"a": "flat"}), "product cannot hold by_class"),
        (lambda: Flat() + ClassConditional({"a": "flat"}), "sum cannot hold by_class.*put a sum into its classes"),
        (lambda: ClassConditional({"a": ClassConditional({"b": "flat"})}), "by_class cannot hold by_class"),
        (lambda: ClassConditional({"a": "flat"}, default=ClassConditional({"b": "flat"})), "by_class cannot hold"),
        (lambda: ClassConditional({}), r"by_class needs a spectrum for each class, .*, got \(\)"),
        (lambda: ClassConditional("flat"), "got 'flat'"),
        (lambda: ClassConditional([("a", "flat", 1)]), "needs a spectrum for each class"),
        (lambda: ClassConditional({True: "flat"}), "needs names of classes, got True; put it in quotes"),
        (lambda: ClassConditional({3: "flat", "3": "flat"}), r"names a class twice among \['3', '3'\]"),
        (lambda: ClassConditional({"a": "pink"}), "unknown spectrum 'pink'"),
        (lambda: PowerLaw(10**400), "power_law alpha must be a finite number, got an integer beyond 1e308"),
    ],
)
def test_what_cannot_be_used_is_refused(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# Extremes


@pytest.mark.parametrize(
    "spectrum",
    [
        PowerLaw(1e4),
        PowerLaw(-(10**5)),
        PowerLaw(3.0, epsilon=1e200),
        AxisPowerLaw((1e6, 0.0)),
        AxisPowerLaw((-1e6, 1e6)),
        ExponentialDecay(1e5),
        ExponentialDecay(-1e200),
        BandPass(0, 0.5, inside=1e-200) * BandPass(0, 1, inside=1e-200),
        Flat() * BandPass(0, 0.5, inside=1e200) * BandPass(0, 1, inside=1e200),
        BandPass(0, 0.5, inside=1.5e308) + BandPass(0, 0.5, inside=1e308),
        TwoBand(1.7e308, 0, 1, 1.7e308, 0, 1),
        Notch(at=((0.1, 0.2),), bandwidth=1e200),
    ],
    ids=lambda s: s.label,
)
def test_weights_beyond_the_numbers_are_refused(spectrum):
    with pytest.raises(InputError, match="leaves the range of numbers on this grid; use a milder one") as caught:
        spectrum.weights(FourierBasis((6, 6)).frequencies())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spectrum",
    [
        BandPass(0.2, 0.6, inside=1e100),
        BandStop(0.2, 0.6, inside=1e-60),
        Oriented(outside=1e-60),
        TwoBand(1e60),
        RadialTable([0.0, 1.0], [1e-60, 1.0]),
        Tabulated(torch.full((6, 4), 1e60, dtype=torch.float64)),
    ],
    ids=lambda s: s.label,
)
def test_float32_has_its_own_range(spectrum):
    frequencies = FourierBasis((6, 6)).frequencies()
    spectrum.weights(frequencies)
    with pytest.raises(InputError, match="leaves the range of numbers"):
        spectrum.weights(frequencies.float())


def test_extreme_levels_keep_their_ratio():
    frequencies = torch.tensor([[0.0, 0.25, 0.5]], dtype=torch.float64)
    assert TwoBand(3e200, 0, 0.6, 4e200, 0.4, 1).weights(frequencies).tolist() == pytest.approx([3e200, 5e200, 4e200])
    assert TwoBand(3e-200, 0, 0.6, 4e-200, 0.4, 1).weights(frequencies).tolist() == pytest.approx(
        [3e-200, 5e-200, 4e-200]
    )
    levels = Oriented(0, 30, inside=0.1, outside=0.3).weights(
        torch.tensor([[0.0, 0.1], [0.1, 0.0]], dtype=torch.float64)
    )
    assert levels.tolist() == [0.1, 0.3]


@pytest.mark.parametrize("side", [10, 20, 30, 70])
def test_a_notch_on_a_frequency_of_the_grid_is_exactly_zero(side):
    """3/10 and the grid's own 0.3 differ by rounding, which must not leave a weight of 1e-29."""
    for k in range(1, side // 2 + 1):
        weights = Notch(at=(k / side,), bandwidth=0.02).weights(FourierBasis((side,)).frequencies())
        assert weights[k] == 0
        assert weights[weights > 0].min() > 1e-3
