import itertools
import json
import math

import numpy as np
import pytest
import torch
import yaml

from sagd.errors import InputError
from sagd.noise.regions import Ball, Box, Region, Table, Uniform, pixel_centres

# Each with a field it is for.
REGIONS = [
    (Uniform(), (3, 4)),
    (Uniform(0.5), (5,)),
    (Box(0.2, 0.7), (10,)),
    (Box((0, 0.25), (0.5, 1), inside=2, outside=0.5), (4, 8)),
    (Box((0.2, 0.3, 0), (0.9, 0.8, 0.6), outside=0.1, soft=0.2), (5, 6, 4)),
    (Ball(), (8,)),
    (Ball(0.3, (0.25, 0.5), inside=0.0, outside=1.0), (7, 12)),
    (Ball(0.4, soft=0.3), (6, 5, 4)),
    (Table([[1, 0], [0.25, 2]]), (2, 2)),
    (Table(torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0))), (4, 2)),
]


@pytest.mark.parametrize(("region", "spatial"), REGIONS, ids=lambda v: str(v))
def test_amplitudes_are_finite_and_not_negative(region, spatial):
    m = region.amplitude(spatial)
    assert m.dtype == torch.float64
    assert m.shape in (spatial, m.shape[:1] + spatial)
    assert bool((torch.isfinite(m) & (m >= 0)).all())
    assert m.max() > 0


@pytest.mark.parametrize(("region", "spatial"), REGIONS, ids=lambda v: str(v))
def test_forms_are_equal(region, spatial):
    mapping = region.to_dict()
    for loaded in (json.loads(json.dumps(mapping)), yaml.safe_load(yaml.safe_dump(mapping))):
        assert loaded == mapping
        assert Region.from_dict(loaded) == region
    again = Region.parse(str(region))
    assert (again, hash(again)) == (region, hash(region))
    assert torch.equal(again.amplitude(spatial), region.amplitude(spatial))


def test_every_kind_is_tested():
    assert {region.kind for region, _ in REGIONS} == set(Region.kinds())


def test_pixels_are_at_their_centres():
    assert pixel_centres((4,)).tolist() == [[0.125, 0.375, 0.625, 0.875]]
    centres = pixel_centres((2, 5))
    assert centres.shape == (2, 2, 5)
    assert centres[:, 1, 0].tolist() == [0.75, 0.1]


# Boxes


def test_box_is_closed_below_and_open_above():
    """Also where 0.3 * 10 and the like are no exact numbers: pixel i of 10 has its centre at (2 i + 1)/20."""
    for i, j in itertools.combinations(range(10), 2):
        m = Box((2 * i + 1) / 20, (2 * j + 1) / 20).amplitude((10,))
        assert m.tolist() == [float(i <= k < j) for k in range(10)]


@pytest.mark.parametrize("spatial", [(9,), (6, 11), (4, 5, 7)])
def test_box_by_brute_force(spatial):
    low, high = (0.15, 0.0, 0.4)[: len(spatial)], (0.8, 0.63, 1.0)[: len(spatial)]
    m = Box(low, high, inside=3.0, outside=0.25).amplitude(spatial)
    for place in np.ndindex(*spatial):
        x = [(i + 0.5) / n for i, n in zip(place, spatial, strict=True)]
        within = all(a <= c < b for a, c, b in zip(low, x, high, strict=True))
        assert m[place] == (3.0 if within else 0.25)


def test_soft_edge_is_a_raised_cosine():
    """Half way at the edge, and flat beyond half the width on either side; the border of the field stays sharp."""
    m = Box(0.5, 1.0, inside=3.0, outside=1.0, soft=0.2).amplitude((1000,))
    x = (np.arange(1000) + 0.5) / 1000
    phase = np.clip((x - 0.4) / 0.2, 0, 1)
    np.testing.assert_allclose(m, 1 + 2 * (1 - np.cos(np.pi * phase)) / 2, atol=1e-6)
    assert m[-1] == 3.0
    two = Box((0.5, 0.0), (1.0, 0.5), soft=0.2).amplitude((1000, 10))
    np.testing.assert_allclose(two[:, 2], (m - 1) / 2, atol=1e-12)
    assert two[:, 4].max() < 1


def test_soft_edges_tend_to_sharp_ones():
    for sharp in (Box((0.2, 0.3), (0.7, 0.9)), Ball(0.31)):
        soft = type(sharp)(**{k: v for k, v in sharp.to_dict().items() if k not in ("kind", "soft")}, soft=1e-6)
        torch.testing.assert_close(soft.amplitude((16, 16)), sharp.amplitude((16, 16)))


# Balls


@pytest.mark.parametrize("spatial", [(9,), (6, 11), (11, 6), (4, 5, 7)])
@pytest.mark.parametrize("soft", [0.0, 0.3])
def test_ball_by_brute_force(spatial, soft):
    """Distances in pixels, the radius in shortest sides."""
    centre = (0.3, 0.5, 0.6)[: len(spatial)]
    m = Ball(0.37, centre, inside=2.0, outside=0.5, soft=soft).amplitude(spatial)
    for place in np.ndindex(*spatial):
        offsets = [i + 0.5 - c * n for i, c, n in zip(place, centre, spatial, strict=True)]
        beyond = math.hypot(*offsets) / min(spatial) - 0.37
        share = float(beyond <= 0) if soft == 0 else (1 + math.cos(math.pi * min(max(beyond / soft + 0.5, 0), 1))) / 2
        assert m[place] == pytest.approx(0.5 + 1.5 * share, abs=1e-7)


def test_ball_is_centred_by_default():
    m = Ball(0.3).amplitude((8, 12))
    assert torch.equal(m, m.flip(0, 1))
    assert m.sum(1).max() == m.sum(0).max()  # as wide as high, in pixels


# Tables


def test_table_is_itself():
    values = torch.rand(2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Table(values).amplitude((4, 5)), values)
    assert torch.equal(Table(values[0].numpy()).amplitude((4, 5)), values[0])


# Bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("box(low=0.5, high=0.5)", r"box needs 0 <= low < high <= 1 .*, got low=\(0\.5,\), high=\(0\.5,\)"),
        ("box(low=[0.1, 0.2], high=[0.5])", r"on every axis, got low=\(0\.1, 0\.2\), high=\(0\.5,\)"),
        ("box(low=-0.1, high=0.5)", r"box low must hold one fraction of the side in \[0, 1\] .*, got \(-0\.1,\)"),
        ("box(low=0, high=[])", r"box high must hold one fraction .*, got \(\)"),
        ("box(low=0, high=['a'])", "box high must be a finite number, got 'a'"),
        ("box(low=0)", "missing 1 required positional argument: 'high'"),
        ("box(low=0, high=1, inside=-1)", "box inside must not be negative, got -1"),
        ("box(low=0, high=1, outside=inf)", "box outside must be a finite number, got inf"),
        ("box(low=0, high=1, soft=2)", r"box soft must lie in \[0, 1\] \(a fraction of the side\), got 2"),
        ("ball(radius=0)", r"ball radius must be positive \(a fraction of the shortest side\), got 0"),
        ("ball(radius='r')", "ball radius must be a finite number, got 'r'"),
        ("ball(centre=[0.5, 1.5])", r"ball centre must hold one fraction .*, got \(0\.5, 1\.5\)"),
        ("ball(soft=-1)", r"ball soft must lie in \[0, 1\]"),
        ("uniform(value=-2)", "uniform value must not be negative, got -2"),
        ("table(values=[[1, 2], [3]])", r"table values must be a table of numbers with rows of one length"),
        ("table(values=[1, -2])", "table values reach -2; they must not be negative"),
        ("table(values=[1, 1e999])", "table values hold NaN or infinity"),
        ("disc", "unknown region 'disc'; known: uniform, box, ball, table"),
    ],
)
def test_bad_parameters_are_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        Region.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("region", "spatial", "message"),
    [
        (Box(0.1, 0.5), (4, 4), r"box low \(0\.1,\) has 1 numbers, the field has 2 spatial axes"),
        (Ball(centre=(0.5, 0.5)), (4,), r"ball centre \(0\.5, 0\.5\) has 2 numbers, the field has 1 spatial axes"),
        (Table([[1, 2]]), (2, 2), r"region 'table' has shape \(1, 2\), the field needs \(2, 2\)"),
        (Table([1, 2]), (2, 2), r"region 'table' has shape \(2,\), the field needs \(2, 2\)"),
        (Table([0, 0]), (2,), r"region 'table' is zero at every pixel of \(2,\); some place must carry noise"),
        (Uniform(0.0), (2,), "zero at every pixel"),
        (Box(0.26, 0.3), (2,), "region 'box' is zero at every pixel"),
        (Uniform(), (), r"spatial must hold positive side lengths, got \(\)"),
        (Uniform(), (0, 2), r"spatial must hold positive side lengths, got \(0, 2\)"),
        (Uniform(), (2.5,), r"spatial must hold positive side lengths, got \(2\.5,\)"),
    ],
)
def test_maps_that_do_not_fit_are_refused(region, spatial, message):
    with pytest.raises(InputError, match=message):
        region.amplitude(spatial)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_faulty_member_is_refused(value):
    class Faulty(Uniform):
        def field(self, positions):
            return torch.full_like(positions[0], value)

    with pytest.raises(InputError, match=rf"region 'uniform' reaches {value:.3g} .* finite and not negative"):
        Faulty().amplitude((3,))
