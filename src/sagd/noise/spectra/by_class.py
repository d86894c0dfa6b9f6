"""A spectrum for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import LABEL_LENGTH, Spectrum, refuse_inside
from sagd.spec import suggest


@dataclass(frozen=True)
class ClassConditional(Spectrum, kind="by_class"):
    """One spectrum per class of the data: `by_class(spectra={'3': 'flat', '8': 'power_law(alpha=-0.1)'})`.

    Args:
        spectra: Class name -> spectrum, its text or mapping; a mapping, or pairs. Kept as pairs sorted by name.
        default: Spectrum of the classes that are not named.
    """

    scalable = False
    spectra: tuple[tuple[str, Spectrum], ...] = ()
    default: Spectrum | None = None

    def __post_init__(self) -> None:
        pairs = tuple(self.spectra.items()) if isinstance(self.spectra, Mapping) else self.spectra
        if not isinstance(pairs, (tuple, list)) or not pairs or not all(map(_is_pair, pairs)):
            raise InputError(f"by_class needs a spectrum for each class, e.g. spectra={{'3': 'flat'}}, got {pairs!r}")
        named = {_class_name(name): Spectrum.parse(spectrum) for name, spectrum in pairs}
        if len(named) < len(pairs):
            raise InputError(f"by_class names a class twice among {[str(name) for name, _ in pairs]}; give it once")
        object.__setattr__(self, "spectra", tuple(sorted(named.items())))
        if self.default is not None:
            object.__setattr__(self, "default", Spectrum.parse(self.default))
        refuse_inside(self, self.parts, self.kind, "name all classes in one")

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The classes' spectra, the default last."""
        return tuple(spectrum for _, spectrum in self.spectra) + ((self.default,) if self.default else ())

    @property
    def depends_on_class(self) -> bool:
        """Yes."""
        return True

    def for_classes(self, names: Sequence[str]) -> tuple[Spectrum, ...]:
        """That of its name, or the default."""
        classes, spectra = [str(name) for name in names], dict(self.spectra)
        for name in spectra:
            if name not in classes:
                raise InputError(f"by_class has a spectrum for {name!r}, which is no class{_hint(name, classes)}")
        for name in classes:
            if name not in spectra and self.default is None:
                raise InputError(
                    f"by_class has no spectrum for class {name!r}; add one, or default='flat' for all classes not named"
                )
        return tuple(spectra.get(name) or cast(Spectrum, self.default) for name in classes)

    def weights(self, frequencies: Tensor) -> Tensor:
        """Refused: there is no one weight per frequency."""
        raise InputError(
            f"{self.label} depends on the class, so that it has no weights of its own;"
            " use it with labels (a ClassCovariance), or one class: spectrum.for_classes(names)[label]"
        )

    def with_parts(self, parts: tuple[Spectrum, ...]) -> ClassConditional:
        """Other spectra for the classes, and in place of the default if there is one."""
        named = tuple((name, part) for (name, _), part in zip(self.spectra, parts, strict=False))
        return ClassConditional(named, parts[-1] if self.default else None)

    def to_dict(self) -> dict[str, Any]:
        """Kind, class name -> mapping, and the default's mapping or None."""
        spectra = {name: spectrum.to_dict() for name, spectrum in self.spectra}
        return {"kind": self.kind, "spectra": spectra, "default": self.default and self.default.to_dict()}

    def __str__(self) -> str:
        items = [f"{name!r}: {str(spectrum)!r}" for name, spectrum in self.spectra]
        default = f", default={str(self.default)!r}" if self.default else ""
        return f"{self.kind}(spectra={{{', '.join(items)}}}{default})"


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _class_name(name: Any) -> str:
    # YAML reads 3 as a number, which can only mean the class '3'; yes and null are no names until quoted.
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise InputError(f"by_class needs names of classes, got {name!r}; put it in quotes")
    return str(name)


def _hint(name: str, classes: list[str]) -> str:
    hint = suggest(name, classes)
    return hint if len(hint) <= 2 * LABEL_LENGTH else f"; the {len(classes)} classes begin {', '.join(classes[:5])}"
