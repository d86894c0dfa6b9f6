"""Numbers with units, written '300 Hz', '0.1 cycles/mm', '1/8000 s', '2.5 degrees' or '4 mm^2'."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from sagd.errors import InputError

_PREFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "\u00b5": 1e-6, "m": 1e-3, "c": 1e-2, "k": 1e3, "M": 1e6, "G": 1e9}
_NAMED = {
    **{f"{prefix}{base}": (base, scale) for base in ("s", "m") for prefix, scale in _PREFIXES.items()},
    **{"second": ("s", 1.0), "min": ("s", 60.0), "minute": ("s", 60.0), "h": ("s", 3600.0), "hour": ("s", 3600.0)},
    **{"day": ("s", 86400.0), "week": ("s", 604800.0)},
    # A year is 365.25 days, as astronomers have it.
    **{"month": ("s", 2629800.0), "year": ("s", 31557600.0)},
    **{"deg": ("degree", 1.0), "degree": ("degree", 1.0)},
    **dict.fromkeys(("px", "pixel", "voxel", "sample", "frame"), ("px", 1.0)),
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:/\d+)?"
_WORD = "[A-Za-z\u00b5]+"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*((?:(?:1|cycles?)\s*/\s*)?{_WORD}(?:\^[1-9])?)\s*")
_PER = re.compile(r"(?:1|cycles?)\s*/\s*")


@dataclass(frozen=True)
class Unit:
    """A power of one unit, in terms of the base unit of what it measures.

    Attributes:
        text: As it was written.
        base: "s", "m", "degree" or "px"; the last is the distance of samples, whatever that is.
        power: 1 for a distance, -1 for a frequency.
        scale: One of it in `base^power`.
    """

    text: str
    base: str
    power: int
    scale: float

    @classmethod
    def parse(cls, text: str) -> Unit:
        """The unit that a text names.

        >>> Unit.parse("kHz")
        Unit(text='kHz', base='s', power=-1, scale=1000.0)

        Raises:
            InputError: If it is unknown.
        """
        word, inverse = _PER.sub("", text.strip()), _PER.match(text.strip())
        name, _, power = word.partition("^")
        exponent = int(power or 1) * (-1 if inverse else 1)
        if name.endswith("Hz") and name[:-2] in _PREFIXES and not inverse:
            return cls(text.strip(), "s", -exponent, _PREFIXES[name[:-2]] ** exponent)
        known = _NAMED.get(_singular(name))
        if known is None:
            raise InputError(
                f"unknown unit {text!r}; known are Hz, s, min, hour, day, month, year, m, degree, px, with n, u, m, c,"
                " k, M before Hz, s and m, and 1/mm or cycles/mm for frequencies"
            )
        return cls(text.strip(), known[0], exponent, known[1] ** exponent)

    @property
    def singular(self) -> str:
        """The text of one of it, 'degree' of 'degrees'."""
        return _singular(self.text)

    @property
    def frequency(self) -> float:
        """The frequency that belongs to it, in cycles per `base`: of 'mm' or 'mm^2' it is 1/mm."""
        return float(self.scale ** (-1 / self.power))


@dataclass(frozen=True)
class Quantity:
    """A number with a unit.

    Attributes:
        number: In the unit.
        unit: The unit.
    """

    number: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """The quantity that a text is.

        Raises:
            InputError: If it is none, or its unit is unknown.
        """
        found = _QUANTITY.fullmatch(text)
        if found is None:
            raise InputError(f"cannot read {text!r}: write a number and a unit, e.g. '300 Hz' or '0.1 cycles/mm'")
        number, _, divisor = found[1].partition("/")
        value = Fraction(number) / Fraction(divisor) if divisor and int(divisor) else Fraction(number)
        return cls(float(value), Unit.parse(found[2]))

    @property
    def value(self) -> float:
        """In `base^power`."""
        return self.number * self.unit.scale


def is_quantity(value: object) -> bool:
    """Whether a value is a text that reads like a number with a unit."""
    return isinstance(value, str) and _QUANTITY.fullmatch(value) is not None


def _singular(name: str) -> str:
    return name[:-1] if len(name) > 3 and name.endswith("s") else name
