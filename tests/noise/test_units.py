import math

import pytest

from sagd.errors import InputError
from sagd.noise.units import Quantity, Unit, is_quantity

READ = [
    ("300 Hz", "s", -1, 300.0),
    ("3.4kHz", "s", -1, 3400.0),
    ("20 mHz", "s", -1, 0.02),
    ("2 1/s", "s", -1, 2.0),
    ("2 cycles/s", "s", -1, 2.0),
    ("1/8000 s", "s", 1, 1 / 8000),
    ("0.1 cycles/mm", "m", -1, 100.0),
    ("1e-1 1 / mm", "m", -1, 100.0),
    ("5 um", "m", 1, 5e-6),
    ("5 \u00b5m", "m", 1, 5e-6),
    ("4 mm^2", "m", 2, 4e-6),
    ("2.5 degrees", "degree", 1, 2.5),
    ("1 cycle/year", "s", -1, 1 / (365.25 * 86400)),
    ("12 1/year", "s", -1, 12 / (365.25 * 86400)),
    ("2 min", "s", 1, 120.0),
    ("0.25 cycles/px", "px", -1, 0.25),
    ("3 samples", "px", 1, 3.0),
    ("-.5 m", "m", 1, -0.5),
]


@pytest.mark.parametrize(("text", "base", "power", "value"), READ)
def test_quantities(text, base, power, value):
    assert is_quantity(text)
    found = Quantity.parse(text)
    assert (found.unit.base, found.unit.power) == (base, power)
    assert found.value == pytest.approx(value, rel=1e-15)


def test_months_are_twelfths_of_a_year():
    assert Quantity.parse("1 1/month").value == pytest.approx(Quantity.parse("12 1/year").value, rel=1e-15)
    assert Quantity.parse("7 days").value == Quantity.parse("1 week").value


@pytest.mark.parametrize("value", ["flat", "db2", "3", "1/mm", "3 blind mice", "0.1, 0.2", 3, None, ["3 Hz"], "", "Hz"])
def test_other_values_are_none(value):
    assert not is_quantity(value)


@pytest.mark.parametrize(
    ("text", "frequency"), [("mm", 1e3), ("mm^2", 1e3), ("1/mm", 1e3), ("kHz", 1e3), ("degree", 1.0), ("h", 1 / 3600)]
)
def test_the_frequency_of_a_unit(text, frequency):
    assert math.isclose(Unit.parse(text).frequency, frequency, rel_tol=1e-15)


@pytest.mark.parametrize(("text", "message"), [("3 foo", "unknown unit 'foo'"), ("Hz", "cannot read 'Hz': write a")])
def test_what_cannot_be_read(text, message):
    with pytest.raises(InputError, match=message):
        Quantity.parse(text)
