import json
import math

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid, RingScale
from sagd.noise.statistics import radial_profile


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ("8 kHz", ((1 / 8000, "s"),)),
        ("1/8000 s", ((1 / 8000, "s"),)),
        ("0.5 mm, 0.5 mm, 2 mm", ((0.5, "mm"), (0.5, "mm"), (2.0, "mm"))),
        (["1 month", "2.5 degrees", None], ((1.0, "month"), (2.5, "degrees"), (1.0, "px"))),
        ([[0.5, "mm"], (2, "mm")], ((0.5, "mm"), (2.0, "mm"))),
        (["10 cycles/mm"], ((1e-4, "m"),)),
    ],
)
def test_forms_of_a_grid(value, steps):
    grid = Grid.parse(value)
    assert [unit for _, unit in grid.steps] == [unit for _, unit in steps]
    assert [size for size, _ in grid.steps] == pytest.approx([size for size, _ in steps], rel=1e-15)
    assert Grid.parse(grid) is grid
    assert Grid.parse(str(grid)) == grid
    assert Grid.parse(json.loads(json.dumps(grid.to_list()))) == grid


def test_lengths():
    grid = Grid.parse(["1 month", "500 um", "2 mm"])
    assert grid.bases == ("s", "m", "m")
    assert grid.lengths == pytest.approx((365.25 / 12 * 86400, 5e-4, 2e-3))
    assert (grid.alike, grid.square) == (False, False)
    assert Grid.parse("500 um, 0.5 mm").square


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("8", "cannot read '8': write a number and a unit"),
        ("-1 mm", "steps of a grid must be positive, got -1.0 mm"),
        ("0 Hz", "a rate of samples must be positive, got '0 Hz'"),
        ([[8, "kHz"]], "or rates, e.g. '8 kHz', got 'kHz'"),
        ("4 mm^2", "steps of a grid are distances"),
        ([3.0], "a step is a distance, e.g. '0.5 mm', or a rate, e.g. '8 kHz', got 3.0"),
        ([["3", "mm"]], "a step is a size and a unit"),
        ([[3, "foo"]], "unknown unit 'foo'"),
        ([], "a grid is a distance for each axis"),
        (8000, "a grid is a distance for each axis"),
    ],
)
def test_bad_grids(value, message):
    with pytest.raises(InputError, match=message):
        Grid.parse(value)


def test_radii_of_the_world():
    """`|F|` over the largest, of steps of 1, 2 and 4 mm; those of samples on a grid of equal steps, bit for bit."""
    grid, basis = Grid.parse("1 mm, 2 mm, 4 mm"), FourierBasis((4, 4, 4))
    F = basis.frequencies() / torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1)
    assert grid.corner == pytest.approx(1e3 * math.sqrt(0.25 + 0.0625 + 0.015625))
    torch.testing.assert_close(grid.relative_radius(basis.frequencies()), F.norm(dim=0) / F.norm(dim=0).max())
    square = Grid.parse("2 mm, 2 mm, 2 mm")
    assert torch.equal(square.relative_radius(basis.frequencies()), basis.relative_radius())
    with pytest.raises(InputError, match="differ in what they measure, so no radius goes across them"):
        _ = Grid.parse("1 s, 1 mm").corner
    with pytest.raises(InputError, match="has 2 axes, the data 3"):
        Grid.parse("1 mm, 1 mm").relative_radius(basis.frequencies())


@pytest.mark.parametrize("basis", [FourierBasis((12, 6)), CosineBasis((12, 6))], ids=lambda b: b.kind)
def test_rings_of_the_world(basis):
    """Averages over all frequencies whose radius in cycles per mm lies in the ring."""
    grid = Grid.parse("0.5 mm, 2 mm")
    S = torch.exp(-8 * grid.relative_radius(basis.frequencies()) ** 2)
    profile = radial_profile(S, basis, 4, grid)
    ring = (grid.relative_radius(basis.frequencies()) * 4 + 1e-9).long().clamp(max=3)
    m = basis.multiplicity()
    for k in range(4):
        own = ring == k
        assert float(profile.values[k]) == pytest.approx(float((S * m)[own].sum() / m[own].sum()), nan_ok=True)
    assert float(profile.degrees_of_freedom.sum()) == 72


@pytest.mark.parametrize(
    ("grid", "label", "value", "said"),
    [
        ("8 kHz", "frequency (kHz)", 1.4, "0.35 of the corner = 1.4 kHz"),
        ("100 Hz", "frequency (Hz)", 17.5, "0.35 of the corner = 17.5 Hz"),
        ("2 MHz", "frequency (MHz)", 0.35, "0.35 of the corner = 0.35 MHz"),
        ("2 s", "frequency (mHz)", 87.5, "0.35 of the corner = 87.5 mHz"),
        ("1 day", "frequency (cycles/day)", 0.175, "0.35 of the corner = 0.175 cycles/day"),
        ("0.5 mm, 0.5 mm", "frequency (cycles/mm)", 0.35 * math.sqrt(2), "0.35 of the corner = 0.495 cycles/mm"),
        ("2.5 degrees", "frequency (cycles/degree)", 0.07, "0.35 of the corner = 0.07 cycles/degree"),
        ("1 s, 1 mm", "frequency (1: corner of the grid)", 0.35, "0.35 of the corner"),
        (None, "frequency (1: corner of the grid)", 0.35, "0.35 of the corner"),
        ("1 px", "frequency (1: corner of the grid)", 0.35, "0.35 of the corner"),
    ],
)
def test_rings_are_told_in_units(grid, label, value, said):
    scale = RingScale.of(Grid.parse(grid))
    assert (scale.label, scale.say(0.35)) == (label, said)
    assert float(scale.values(torch.tensor(0.35, dtype=torch.float64))) == pytest.approx(value)
