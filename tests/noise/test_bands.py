"""Masks of bands against their definitions, frequency by frequency."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.bands import Outside, is_own_mirror, leave_out, mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.spectra.damage import Ring, Spots, Strip, Stripes, Wedge
from sagd.noise.spectra.power_law import PowerLaw

BASES = [FourierBasis((24,)), FourierBasis((12, 15)), FourierBasis((6, 8, 7)), CosineBasis((9, 10))]


def each_frequency(basis):
    """Index and frequency of every stored coefficient."""
    f = basis.frequencies().double()
    for index in torch.cartesian_prod(*[torch.arange(n) for n in f.shape[1:]]).reshape(-1, f.ndim - 1).tolist():
        yield tuple(index), [float(f[(axis, *index)]) for axis in range(len(f))]


def cosine_edge(distance, soft):
    return (
        1.0
        if distance <= 1e-9
        else 0.0
        if soft == 0 or distance >= soft
        else math.cos(math.pi / 2 * distance / soft) ** 2
    )


@pytest.mark.parametrize("basis", BASES, ids=str)
@pytest.mark.parametrize("soft", [0.0, 0.15])
def test_ring_by_radius(basis, soft):
    b = mask(Ring(0.3, 0.5, soft), basis)
    for index, f in each_frequency(basis):
        rho = math.hypot(*f) / (0.5 * math.sqrt(len(f)))
        expected = cosine_edge(max(0.3 - rho, rho - 0.5), soft)
        if abs(rho - 0.5) < 1e-9 and soft == 0:
            expected = 0.0  # the outer edge belongs to the next ring
        assert b[index] == pytest.approx(expected, abs=1e-6)


def test_hard_rings_part_the_plane():
    basis = FourierBasis((28, 28))
    total = sum(mask(Ring(k / 10, (k + 1) / 10), basis) for k in range(10))
    assert torch.equal(total, torch.ones_like(total))


@pytest.mark.parametrize("soft", [0.0, 0.1])
@pytest.mark.parametrize("angle", [0.0, 35.0, 90.0, 150.0])
def test_wedge_by_direction(angle, soft):
    basis = FourierBasis((16, 13))
    b = mask(Wedge(angle, 40.0, 0.2, 0.9, soft), basis)
    for index, (rows, columns) in each_frequency(basis):
        rho = math.hypot(rows, columns) / math.sqrt(0.5)
        if rho == 0:
            assert b[index] == 0
            continue
        turns = []
        for r in {rows, -rows} if abs(rows) == 0.5 else {rows}:
            turn = (math.degrees(math.atan2(r, columns)) - angle) % 180
            turns.append(min(turn, 180 - turn))
        across = rho * math.sin(math.radians(max(-90.0, min(90.0, min(turns) - 20))))
        expected = cosine_edge(max(across, 0.2 - rho, rho - 0.9), soft)
        assert b[index] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_strip_is_what_lines_are_made_of(axis):
    """A field that varies along one axis only has all its power on the strip, and loses all with it."""
    basis = FourierBasis((14, 18))
    line = torch.randn((14, 18)[axis], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (line[:, None] if axis == 0 else line[None]).expand(1, 14, 18) - line.mean()
    b = mask(Strip(axis=axis, low=0.01), basis)
    power = basis.forward(x).abs().square()
    assert ((1 - b) * power).max() < 1e-20
    assert int((b * basis.multiplicity()).sum()) == (14, 18)[axis] - 1


@pytest.mark.parametrize(("angle", "axis"), [(0.0, 1), (90.0, 0), (180.0, 1)])
@pytest.mark.parametrize("soft", [0.0, 0.1])
def test_upright_and_lying_stripes_are_strips(angle, axis, soft):
    basis = FourierBasis((14, 18))
    stripes, strip = Stripes(angle, 0.1, 0.3, 0.15, soft), Strip(axis, 0.1, 0.3, 0.15, soft)
    torch.testing.assert_close(mask(stripes, basis), mask(strip, basis), rtol=0, atol=1e-5)


def test_stripes_at_an_angle_are_a_bar_in_the_plane_of_the_last_axes():
    basis = FourierBasis((6, 32, 40))
    b, f = mask(Stripes(30.0, 0.1, 0.4, 0.08), basis), basis.frequencies()
    along = 0.5 * f[1] + math.sqrt(3) / 2 * f[2]
    across = math.sqrt(3) / 2 * f[1] - 0.5 * f[2]
    inside = (along.abs() >= 0.1) & (along.abs() <= 0.4) & (across.abs() <= 0.04) & (f[0].abs() <= 0.04)
    # Nyquist stands for both signs, and is checked by what is its own mirror.
    plain = (f.abs() < 0.49).all(0)
    assert torch.equal(b[plain] > 0, inside[plain])
    assert int(b.sum()) > 10


def test_spots_hold_a_plane_wave_and_its_mirror():
    basis = FourierBasis((16, 16))
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    wave = torch.cos(2 * math.pi * (3 / 16 * rows - 5 / 16 * columns) + 0.7).double()
    b = mask(Spots(at=((3 / 16, -5 / 16),), radius=0.01), basis)
    power = basis.forward(wave[None]).abs().square()
    assert ((1 - b) * power).max() < 1e-9
    assert float((b * basis.multiplicity()).sum()) == 2


def test_spots_on_the_torus():
    basis = FourierBasis((16,))
    b = mask(Spots(at=((0.5,),), radius=0.07), basis)
    assert b.tolist() == [0.0] * 7 + [1.0, 1.0]


def test_a_sum_is_a_union():
    basis = FourierBasis((12, 12))
    one, other = Ring(0.1, 0.4), Strip(axis=0)
    union = mask(one + other, basis)
    assert torch.equal(union, torch.maximum(mask(one, basis), mask(other, basis)))


def test_outside_is_the_complement():
    basis = FourierBasis((12, 12))
    soft = Ring(0.3, 0.5, 0.2)
    b, f = mask(soft, basis), basis.frequencies()
    torch.testing.assert_close(Outside(soft).weights(f).double(), 1 - b)
    assert torch.equal(Outside(soft, hard=True).weights(f) > 0, b == 0)


@pytest.mark.parametrize(
    "text",
    [
        "ring(low=0.1, high=0.3, soft=0.05)",
        "wedge(angle=80.0, width=30.0, low=0.3)",
        "strip(axis=1, low=0.05)",
        "stripes(angle=30.0, low=0.05, width=0.1)",
        "spots(at=((0.25, 0.1),), radius=0.05)",
        "ring(low=0.1, high=0.3) + strip(low=0.05)",
        "outside(band='ring(low=0.1, high=0.3)', hard=True)",
    ],
)
def test_text_and_mapping_are_read_back(text):
    band = Spectrum.parse(text)
    assert Spectrum.parse(str(band)) == band
    assert Spectrum.from_dict(band.to_dict()) == band


@pytest.mark.parametrize("hard", [False, True])
def test_leave_out(hard):
    band, shape = Ring(0.3, 0.5, 0.1), (1, 16, 16)
    noise = SpectralCovariance(leave_out(PowerLaw(-0.3), band, hard), shape, calibration="none")
    b, w = mask(band, noise.basis), PowerLaw(-0.3).weights(noise.basis.frequencies()).double()
    torch.testing.assert_close(noise.weights, w * ((b == 0).double() if hard else 1 - b))


def test_leave_out_of_every_class():
    by_class = ClassConditional({"a": "flat", "b": "power_law(alpha=-0.2)"}, default=Flat())
    left = leave_out(by_class, Ring(0.3, 0.5), True)
    assert [str(s) for s in left.for_classes(["a", "b", "c"])] == [
        f"{s} * outside(band='ring(low=0.3, high=0.5)', hard=True)" for s in ("flat", "power_law(alpha=-0.2)", "flat")
    ]


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ("ring(low=0.0, high=1.0)", "holds every frequency"),
        ("flat", "holds every frequency"),
        ("ring(low=0.51, high=0.52)", "holds none of the frequencies of 4 x 4"),
        ("ring(low=0.2, high=1.2)", r"0 <= low < high <= 1 .* got low=0.2, high=1.2"),
        ("strip(low=0.2, high=0.7)", "at most|<= 0.5"),
        ("strip(axis=2)", "none of the 2 spatial axes"),
        ("stripes(width=-0.1)", "width must not be negative"),
        ("stripes(low=0.3, high=0.2)", "0 <= low < high <= 1"),
        ("spots(at=[[0.7, 0.0]])", "at most 0.5, got 0.7"),
        ("spots(at=[[0.3]])", "has 1 numbers, the data has 2"),
        ("spots", "at least one frequency"),
        ("wedge(width=0)", "must lie in .0, 180. degrees, got 0"),
        ("ring(soft=2)", "soft must lie in"),
        ("by_class(spectra={'a': 'flat'})", "same for all classes"),
    ],
)
def test_what_is_no_band(band, message):
    with pytest.raises(InputError, match=message) as refused:
        mask(band, FourierBasis((4, 4)))
    assert "\n" not in str(refused.value)


def test_a_wedge_is_for_images():
    with pytest.raises(InputError, match="2 spatial axes"):
        mask(Wedge(), FourierBasis((8,)))


@pytest.mark.parametrize("band", ["wedge(angle=30)", "spots(at=[[0.25, -0.25]])"])
def test_directions_that_a_mirrored_basis_does_not_tell_apart(band):
    with pytest.raises(InputError, match="use the Fourier basis, or make them symmetric"):
        mask(band, CosineBasis((8, 8)))
    assert mask("wedge(angle=90)", CosineBasis((8, 8))).sum() > 0
    assert mask("spots(at=[[0.25, -0.25], [0.25, 0.25]])", CosineBasis((8, 8))).sum() > 0


MIRRORED = [
    ("ring(low=0.2, high=0.4)", True),
    ("strip(axis=0, low=0.1)", True),
    ("strip(axis=1, low=0.1, soft=0.1)", True),
    ("wedge(angle=0, width=40)", True),
    ("wedge(angle=80, width=30)", False),
    ("spots(at=[[0.25, 0.125]], radius=0.05)", False),
    ("spots(at=[[0.25, 0.125], [0.25, -0.125]], radius=0.05)", True),
    ("spots(at=[[0.0, 0.25]], radius=0.1)", True),
]


@pytest.mark.parametrize(("text", "expected"), MIRRORED)
@pytest.mark.parametrize("spatial", [(8, 8), (7, 9), (16, 6)], ids=str)
def test_a_band_is_its_own_mirror_image_where_flipped_damage_stays_in_it(text, expected, spatial):
    """Against the spectra of flipped fields: damage that lies in the band lies there still."""
    basis = FourierBasis(spatial)
    b = mask(text, basis)
    assert is_own_mirror(b, basis) == expected
    white = torch.randn(20, *spatial, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    damage = basis.inverse(b * basis.forward(white))
    beside = (basis.forward(damage.flip(-1)).abs() * (b == 0)).max()
    assert (float(beside) < 1e-9) == expected


def test_bands_of_other_bases_and_channels_may_be_mirror_images():
    """A cosine basis does not tell directions apart; a colour may have a band that another has not."""
    assert is_own_mirror(mask("ring(low=0.2, high=0.4)", CosineBasis((6, 7))), CosineBasis((6, 7)))
    basis = FourierBasis((8, 8))
    ring, spot = (mask(text, basis) for text in ("ring(low=0.2, high=0.4)", "spots(at=[[0.25, 0.125]], radius=0.05)"))
    assert is_own_mirror(torch.stack([ring, 0 * ring, ring]), basis)
    assert not is_own_mirror(torch.stack([ring, spot, ring]), basis)
