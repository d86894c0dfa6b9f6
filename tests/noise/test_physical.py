"""Frequencies in the units of the data: the same weights at the same physical frequencies, whatever the grid."""

import json
import math
from fractions import Fraction
from itertools import product

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.bands import Outside, mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Product, Spectrum
from sagd.noise.spectra.physical import Physical
from sagd.noise.statistics import measure
from sagd.testing.spectra import SpectrumContract

SPEECH = "band_pass(low='300 Hz', high='3400 Hz')"
VOXELS = Grid.parse("0.5 mm, 0.5 mm, 2 mm")
MAPS = Grid.parse("1 month, 2.5 degrees, 2.5 degrees")


def on(text, grid):
    return Spectrum.parse(text).on(Grid.parse(grid))


ONE_AXIS = [
    SPEECH,
    "power_law(alpha=-0.5, epsilon='10 Hz')",
    "exponential_decay(beta='1e-7 s^2')",
    "ring(low='0.5 kHz', high='2 kHz', soft='100 Hz')",
    "two_band(low_end='1 kHz', high_start='1 kHz')",
    "notch(at=[['50 Hz'], ['1500 Hz']], bandwidth='20 Hz')",
    "spots(at=['1 kHz'], radius='300 Hz')",
    "strip(low='1 kHz', high='9 kHz')",
    "radial_table(rho=['0 Hz', '1 kHz', '4 kHz'], w=[1, 0.5, 0.2])",
    "physical(spectrum='power_law(alpha=0.3)')",
    f"{SPEECH} * notch(at=['50 Hz']) + per_channel(spectra=['flat', \"band_stop(low='1 kHz')\"])",
    "physical(spectrum='axis_power_law(alphas=[0.5])')",
]
THREE_AXES = [
    "ring(low='0.1 cycles/mm', high='0.5 1/mm')",
    "physical(spectrum='power_law(alpha=-0.5)', unit='1/mm')",
    "exponential_decay(beta='4 mm^2')",
    "notch(at=[['0.9 1/mm', '0.2 1/mm', '0.25 1/mm']], bandwidth='0.1 1/mm')",
    "spots(at=[['1 1/mm', '0.3 1/mm', '0.2 1/mm']], radius='0.2 1/mm')",
    "physical(spectrum='axis_power_law(alphas=[0.5, -0.5, 0.1])')",
]


class TestAlongOneAxis(SpectrumContract):
    spatial_shapes = ((1,), (2,), (7,), (8,), (64,))

    @pytest.fixture(params=ONE_AXIS, autouse=True)
    def case(self, request):
        self.text = request.param

    def spectrum(self):
        return on(self.text, "8 kHz")


class TestOnVoxels(SpectrumContract):
    spatial_shapes = ((1, 1, 1), (2, 3, 4), (3, 3, 3), (4, 2, 6))

    @pytest.fixture(params=THREE_AXES, autouse=True)
    def case(self, request):
        self.text = request.param

    def spectrum(self):
        return on(self.text, VOXELS)


class TestBeforeTheGridIsKnown(SpectrumContract):
    spatial_shapes = ()

    @pytest.fixture(params=[*ONE_AXIS[:10], *THREE_AXES], autouse=True)
    def case(self, request):
        self.text = request.param

    def spectrum(self):
        return Spectrum.parse(self.text)

    def test_is_written_as_it_was_read(self):
        assert str(self.spectrum()) == str(Spectrum.parse(str(self.spectrum())))
        with pytest.raises(
            InputError, match=r"and the data has no (rate; give data\.rate|spacing; give data\.spacing)"
        ):
            self.spectrum().weights(FourierBasis((4,) * 3).frequencies())


# Closed forms.


def world(spatial, steps):
    """Exact frequencies of the half spectrum in cycles per unit, as `place -> tuple of fractions`."""
    basis = FourierBasis(spatial)
    frequencies = {}
    for place in product(*map(range, basis.coefficients)):
        signed = [Fraction(k if 2 * k < n else k - n, n) for k, n in zip(place, spatial, strict=True)]
        frequencies[place] = [f / Fraction(h) for f, h in zip(signed, steps, strict=True)]
    return basis, frequencies


STEPS = (Fraction(1, 2), Fraction(1, 2), Fraction(2))


@pytest.mark.parametrize("spatial", [(4, 6, 5), (5, 4, 8)], ids=str)
def test_radial_spectra_are_isotropic_in_the_world(spatial):
    """`|F|` in cycles per mm of voxels of 0.5 x 0.5 x 2 mm, by exact fractions."""
    basis, frequencies = world(spatial, STEPS)
    laws = {
        "ring(low='0.25 1/mm', high='0.8 1/mm')": lambda F2: float(Fraction(1, 16) <= F2 < Fraction(16, 25)),
        "band_pass(low='0.25 1/mm', high='9 1/mm')": lambda F2: float(Fraction(1, 16) <= F2),
        "power_law(alpha=-0.5, epsilon='0.1 1/mm')": lambda F2: (math.sqrt(F2) + 0.1) ** -0.5,
        "power_law(alpha=-0.5, epsilon='100 1/m')": lambda F2: (1e3 * math.sqrt(F2) + 100) ** -0.5,
        "exponential_decay(beta='4 mm^2')": lambda F2: math.exp(-4 * F2),
    }
    for text, law in laws.items():
        found = on(text, VOXELS).weights(basis.frequencies())
        for place, F in frequencies.items():
            assert float(found[place]) == pytest.approx(law(sum(f * f for f in F)), rel=1e-12), (text, place)


@pytest.mark.parametrize("spatial", [(4, 6, 5), (5, 4, 8)], ids=str)
@pytest.mark.parametrize("at", [(0.9, 0.2, 0.2), (1.0, 0.5, 0.25), (-1.0, 1.0, 0.0)], ids=str)
def test_notches_lie_on_the_torus_of_the_world(spatial, at):
    """The distance in cycles per mm to the nearest of `+-F` and its aliases, which are `1/h` apart along an axis."""
    basis, frequencies = world(spatial, STEPS)
    texts = [f"{f} 1/mm" for f in at]
    notch = on(f"notch(at=[{texts}], bandwidth='0.3 1/mm')", VOXELS).weights(basis.frequencies())
    spots = on(f"spots(at=[{texts}], radius='0.61 1/mm')", VOXELS).weights(basis.frequencies())
    periods = [1 / float(h) for h in STEPS]
    for place, F in frequencies.items():
        aliases = product((1, -1), *[(-1, 0, 1)] * 3)
        distance = min(
            math.dist(map(float, F), [s * f + k * p for f, k, p in zip(at, shift, periods, strict=True)])
            for s, *shift in aliases
        )
        assert float(spots[place]) == float(distance <= 0.61), place
        assert float(notch[place]) == pytest.approx(1 - math.exp(-((distance / 0.3) ** 2) / 2), abs=1e-12), place


@pytest.mark.parametrize("kind", ["oriented(angle=45, bandwidth=40)", "wedge(angle=45, width=40)"])
def test_directions_are_those_of_the_world(kind):
    """Angles of `(F_rows, F_columns)` on pixels of 1 x 2 mm; Nyquist frequencies stand for both signs."""
    spatial, found = (6, 8), on(f"physical(spectrum='{kind}', unit='1/mm')", "1 mm, 2 mm")
    basis, frequencies = world(spatial, (Fraction(1), Fraction(2)))
    w = found.weights(basis.frequencies())
    basis.check_symmetry(w)
    for place, (rows, columns) in frequencies.items():
        signs = [
            (r, c)
            for r in {rows, -rows if abs(rows) == Fraction(1, 2) else rows}
            for c in {columns, -columns if abs(columns) == Fraction(1, 4) else columns}
        ]
        turns = [abs((math.degrees(math.atan2(r, c)) - 45 + 90) % 180 - 90) for r, c in signs]
        assert float(w[place]) == float(min(turns) <= 20 and (rows, columns) != (0, 0)), place


def test_axes_of_different_kinds():
    """A frequency speaks of the axes that its unit belongs to; laws by axis take each in its own."""
    frequencies = FourierBasis((8, 4, 6)).frequencies()
    month, *degrees = frequencies / torch.tensor([1, 2.5, 2.5]).reshape(3, 1, 1, 1)
    radius = torch.stack(degrees).norm(dim=0)
    ring = on("ring(low='0.1 1/degree', high='0.2 1/degree')", MAPS).weights(frequencies)
    assert torch.equal(ring, ((radius >= 0.1 - 1e-12) & (radius < 0.2 - 1e-12)).double())
    annual = on("band_pass(low='1.5 1/year', high='4 1/year')", MAPS).weights(frequencies)
    assert torch.equal(annual, ((12 * month.abs() >= 1.5 - 1e-9) & (12 * month.abs() < 4 - 1e-9)).double())
    law = "physical(spectrum='power_law(alpha={})', unit='1/{}')"
    both = on(f"{law.format(-0.5, 'month')} * {law.format(-1, 'degree')}", MAPS).weights(frequencies)
    expected = month.abs().clamp(min=1 / 8) ** -0.5 * radius.clamp(min=float(radius[radius > 0].min())) ** -1
    torch.testing.assert_close(both, expected)
    each = on("physical(spectrum='axis_power_law(alphas=[-0.5, 0.3, 0])')", MAPS).weights(frequencies)
    torch.testing.assert_close(each, month.abs().clamp(min=1 / 8) ** -0.5 * degrees[0].abs().clamp(min=0.1) ** 0.3)
    line = on("notch(at=[['3 1/year', '0.1 1/degree', 0]], bandwidth=0.05)", MAPS).weights(frequencies)
    plain = Spectrum.parse("notch(at=[[0.25, 0.25, 0]], bandwidth=0.05)").weights(frequencies)
    torch.testing.assert_close(line, plain)
    rows = on("strip(axis=1, low='0.1 1/degree')", MAPS).weights(frequencies)
    assert torch.equal(rows, Spectrum.parse("strip(axis=1, low=0.25)").weights(frequencies))


def test_cycles_per_pixel_are_those_of_today():
    """They need no grid, and on any mean the same."""
    frequencies = FourierBasis((8, 6)).frequencies()
    pairs = [
        ("strip(low='0.1 cycles/px', high='0.3 1/px')", "strip(low=0.1, high=0.3)"),
        ("spots(at=[['0.25 1/px', 0]], radius='0.05 1/px')", "spots(at=[[0.25, 0]], radius=0.05)"),
        ("ring(low='0.2 cycles/sample')", f"ring(low={0.2 / math.sqrt(0.5)})"),
    ]
    for text, plain in pairs:
        for grid in (None, "0.5 mm, 2 mm", "1 s, 2 mm"):
            assert torch.equal(on(text, grid).weights(frequencies), Spectrum.parse(plain).weights(frequencies)), text


def test_numbers_do_not_depend_on_the_grid():
    """Spectra without units are what they were, as objects and in the description."""
    for text in ("power_law(alpha=-0.1)", "band_pass(low=0.2) * flat", "per_channel(spectra=['flat', 'flat'])"):
        assert on(text, VOXELS) == Spectrum.parse(text)
        assert on(text, VOXELS).to_dict() == Spectrum.parse(text).to_dict()


@pytest.mark.parametrize("grid", ["8 kHz", "0.125 ms"])
def test_square_grids_need_no_stretching(grid):
    """The plain spectrum is the one that a user would have written in numbers."""
    assert on(SPEECH, grid).plain(1).to_dict() == pytest.approx(
        Spectrum.parse("band_pass(low=0.075, high=0.85)").to_dict()
    )
    w = on("ring(low='0.2 1/mm', high='0.4 1/mm')", "1 mm, 1 mm").weights(FourierBasis((8, 6)).frequencies())
    plain = f"ring(low={0.2 * math.sqrt(2)}, high={0.4 * math.sqrt(2)})"
    assert torch.equal(w, Spectrum.parse(plain).weights(FourierBasis((8, 6)).frequencies()))


# The same noise on another grid.


def noise(text, side, rate, calibration, basis=FourierBasis):
    return SpectralCovariance(on(text, rate), (1, side), basis((side,)), calibration)


@pytest.mark.parametrize("text", [*ONE_AXIS[:9], "power_law(alpha=-0.5, epsilon='10 Hz') * " + SPEECH])
@pytest.mark.parametrize("basis", [FourierBasis, CosineBasis])
def test_raw_weights_are_a_function_of_physical_frequency(text, basis):
    """64 points at 8 kHz, 128 at 8 kHz and 128 at 16 kHz have the same `w` at the frequencies that they share."""
    if "9 kHz" in text or "two_band" in text:  # reach beyond 4 kHz, or hold a number that is a fraction of it
        text = text.replace("9 kHz", "2 kHz").replace("high_start='1 kHz'", "high_start='1 kHz', high_end='4 kHz'")
    short, long, fast = (noise(text, n, r, "none", basis) for n, r in ((64, "8 kHz"), (128, "8 kHz"), (128, "16 kHz")))
    # The highest frequency of the slow grid is the edge of what it holds, so that upper edges include it there.
    common = 32
    torch.testing.assert_close(long.weights[::2][:common], short.weights[:common], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fast.weights[:common], short.weights[:common], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("side", "rate", "stride"), [(128, "16 kHz", 2), (256, "32 kHz", 4)])
def test_calibrated_noise_of_a_band_is_the_same_process_sampled_faster(side, rate, stride):
    """Noise of unit variance whose band lies within both grids: its draws agree in law at common times."""
    text = f"power_law(alpha=-0.5, epsilon='10 Hz') * {SPEECH}"
    slow, fast = noise(text, 64, "8 kHz", "variance"), noise(text, side, rate, "variance")
    torch.testing.assert_close(fast.to_dense()[::stride, ::stride], slow.to_dense(), rtol=0, atol=1e-12)
    # The two-sided density is `w^2 h`, in units of the data squared per Hz.
    density = [c.eigenvalues[:32] * h for c, h in ((slow, 1 / 8000), (fast, 1 / 8000 / stride))]
    torch.testing.assert_close(*density, rtol=1e-12, atol=0)


def test_drawn_noise_has_the_same_density_at_the_same_frequencies():
    """Measured on 3000 draws of each, seeds fixed: power per Hz in the band at common frequencies.

    Estimates have relative deviation `sqrt(1 / N)` (two degrees of freedom each); their difference over 24 frequencies
    stays within `5 sqrt(2 / N)`, level 2e-5.
    """
    densities = []
    for seed, side, rate, h in ((0, 64, "8 kHz", 1 / 8000), (1, 128, "16 kHz", 1 / 16000)):
        x = noise(SPEECH, side, rate, "variance").sample(3000, torch.Generator().manual_seed(seed), torch.float64)
        densities.append(measure(x).spectrum[0, 3:27] * h)
    assert ((densities[0] / densities[1] - 1).abs() < 5 * math.sqrt(2 / 3000)).all()


def test_a_saved_description_is_told_another_grid():
    """Units stay in the mapping, so that it means the same noise elsewhere; a resolved one is told again."""
    saved = json.loads(json.dumps(on(f"{SPEECH} * notch(at=['50 Hz'], bandwidth='5 Hz')", "8 kHz").to_dict()))
    assert [factor["spectrum"]["kind"] for factor in saved["factors"]] == ["band_pass", "notch"]
    again = Spectrum.from_dict(saved)
    faster = again.on(Grid.parse("16 kHz"))
    assert again.on(None) == again
    assert faster == on(f"{SPEECH} * notch(at=['50 Hz'], bandwidth='5 Hz')", "16 kHz")
    assert faster.on(Grid.parse("8 kHz")) == again


def test_grids_reach_every_part():
    """Inside products, channels, classes and what bands leave out."""
    inner = Spectrum.parse(SPEECH)
    for text in (f'per_channel(spectra=["{SPEECH}"])', f'by_class(spectra={{"a": "{SPEECH}"}}, default="{SPEECH}")'):
        parts = on(text, "8 kHz").parts
        assert {part.grid for part in parts} == {Grid.parse("8 kHz")}
    outside = Product((Spectrum.parse("flat"), Outside(inner, hard=True))).on(Grid.parse("8 kHz"))
    assert outside.parts[1] == Outside(inner.on(Grid.parse("8 kHz")), hard=True)
    b = mask(inner.on(Grid.parse("8 kHz")), FourierBasis((64,)))
    assert b.nonzero().flatten().tolist() == list(range(3, 28))


def test_labels_leave_the_grid_out():
    spectrum = on(SPEECH, "8 kHz")
    assert spectrum.label == SPEECH
    assert (spectrum * on("band_stop(low='1 kHz')", "8 kHz")).label == f"{SPEECH} * band_stop(low='1 kHz')"


@pytest.mark.parametrize(
    ("text", "grid", "spatial", "message"),
    [
        (SPEECH, None, (8,), r"high='3400 Hz'\) is in Hz, and the data has no rate; give data\.rate, e\.g\. 8000$"),
        ("ring(low='1 1/mm')", None, (8,), r"is in 1/mm, and the data has no spacing; give data\.spacing"),
        ("physical(spectrum='flat')", None, (8,), "is in physical units, and the data has no spacing"),
        (SPEECH, "8 kHz", (8, 8), "the grid 0.000125 s has 1 axes, the data 2"),
        (SPEECH, "1 mm", (8,), "is in Hz, and the steps of the grid are 1.0 mm"),
        ("ring(low='9 kHz')", "8 kHz", (8,), r"does not fit the data on steps of 0.000125 s: ring needs 0 <= low"),
        ("notch(at=['4.1 kHz'])", "8 kHz", (8,), "'4.1 kHz' is beyond the highest frequency of axis 0, half a cycle"),
        ("notch(at=['50 Hz'])", "8 kHz, 8 kHz", (8, 8), "has 1 numbers, the data has 2 spatial axes"),
        ("notch(at=[['.1 Hz', '.1 Hz']])", "1 s, 1 mm", (8, 8), "has '.1 Hz' for axis 1, which is in mm"),
        ("spots(at=[['.1 Hz', 0]], radius='.1 Hz')", "1 s, 1 mm", (8, 8), "radius='.1 Hz' goes across axes"),
        ("strip(axis=1, low='.1 Hz')", "1 s, 1 mm", (8, 8), "is in Hz, axis 1 in mm"),
        ("ring(low='1 Hz', high='1 1/mm')", "8 kHz", (8,), "mixes Hz and 1/mm; give a spectrum for each"),
        (
            "physical(spectrum='flat')",
            "1 s, 1 mm",
            (8, 8),
            "differ in what they measure: say of which, e.g. unit='1/mm'",
        ),
    ],
)
def test_what_a_grid_cannot_hold(text, grid, spatial, message):
    with pytest.raises(InputError, match=message):
        on(text, grid).weights(FourierBasis(spatial).frequencies())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("band_pass(low='3 mm')", "band_pass low must be a frequency, e.g. '300 Hz' or '0.1 cycles/mm', got '3 mm'"),
        ("exponential_decay(beta='3 mm')", "exponential_decay beta must be an area, e.g. '4 mm\\^2', got '3 mm'"),
        ("band_pass(low='3 foo')", "unknown unit 'foo'"),
        ("band_pass(lo='3 Hz')", "has no parameter 'lo'; did you mean 'low'"),
        ("radial_table(rho=['3 Hz'])", "spectrum 'radial_table' needs w"),
        ("notch(at=['3 Hz'], unit='corner')", "notch has unit='corner', and units in its numbers too"),
        (
            "physical(spectrum='flat * flat')",
            "physical is of one spectrum that is a function of frequency, not of 'product'",
        ),
        ("physical(spectrum='whitening')", "not of 'whitening'"),
        (
            "physical(spectrum='flat', unit='mm')",
            "physical unit must be one of frequencies, e.g. '1/mm' or 'Hz', got 'mm'",
        ),
        (
            "physical(spectrum='axis_power_law(alphas=[1])', unit='Hz')",
            "each of which has its unit; leave unit='Hz' out",
        ),
        ("physical(spectrum='band_pass(low=2)')", "band_pass needs 0 <= low"),
    ],
)
def test_bad_units(text, message):
    with pytest.raises(InputError, match=message):
        Spectrum.parse(text)


def test_spectra_of_others_take_units_as_they_are():
    """One that says nothing of its parameters is evaluated at frequencies in the unit that they are given in."""
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Bump(Spectrum):
        centre: float = 0.1

        def weights(self, frequencies):
            return torch.exp(-((frequencies.norm(dim=0) - self.centre) ** 2))

    Spectrum._members["bump"], Bump.kind = Bump, "bump"
    try:
        frequencies = FourierBasis((8,)).frequencies()
        found = on("bump(centre='1.5 kHz')", "8 kHz")
        assert isinstance(found, Physical)
        torch.testing.assert_close(found.weights(frequencies), torch.exp(-((8 * frequencies[0].abs() - 1.5) ** 2)))
    finally:
        del Spectrum._members["bump"]
