import math

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.places import area_weights


@pytest.mark.parametrize("count", [1, 2, 7, 18])
def test_areas_are_those_of_the_sphere(count):
    """Cells of equal steps cover the sphere: each the integral of `cos` over its latitudes, in all 2."""
    step = 180 / count
    latitudes = 90 - step * (torch.arange(count, dtype=torch.float64) + 0.5)
    found = area_weights(latitudes, (count, 3))
    assert found.shape == (1, count, 3)
    assert float(found.mean()) == pytest.approx(1, rel=1e-12)
    if count > 1:
        exact = torch.sin(torch.deg2rad(latitudes + step / 2)) - torch.sin(torch.deg2rad(latitudes - step / 2))
        torch.testing.assert_close(found[0, :, 0], count / 2 * exact)
        cosine = torch.cos(torch.deg2rad(latitudes))
        torch.testing.assert_close(found[0, :, 1], cosine / cosine.mean())


def test_rows_at_the_poles_are_caps():
    """Half a cell high: `1 - cos(step / 2)` against `2 cos(latitude) sin(step / 2)`."""
    found = area_weights(torch.linspace(90, -90, 5), (2, 5, 1), axis=1)[0, 1, :, 0]
    half = math.radians(22.5)
    assert float(found[0] / found[2]) == pytest.approx((1 - math.cos(half)) / (2 * math.sin(half)))
    assert float(found[1] / found[2]) == pytest.approx(math.cos(math.radians(45)))
    torch.testing.assert_close(found, found.flip(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([10.0, 0.0], (3, 4)), r"a latitude for each place of axis 0 of \(3, 4\), got shape \(2,\)"),
        (([10.0, 0.0], (2, 4), 2), "for each place of axis 2"),
        (([100.0, 0.0], (2, 4)), r"must lie in \[-90, 90\] degrees"),
        (([10.0, 10.0], (2, 4)), "from north to south or from south to north"),
        (([10.0, 0.0, 10.0], (3, 4)), "from north to south or from south to north"),
        (([math.nan, 0.0], (2, 4)), r"must lie in \[-90, 90\]"),
    ],
)
def test_bad_latitudes(arguments, message):
    with pytest.raises(InputError, match=message):
        area_weights(*arguments)
