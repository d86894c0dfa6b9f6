"""Spectra: the base of all, their products and sums."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.grid import Grid
from sagd.noise.spectra.checks import in_range
from sagd.noise.statistics import DataStatistics
from sagd.noise.units import is_quantity
from sagd.spec import Description

LABEL_LENGTH = 80
"""Characters of a spectrum's text up to which messages and titles show it whole."""


class Spectrum(Description, family="spectrum", example="flat"):
    """Base of all spectral weights; a subclass supplies `weights`.

    Parameters that are frequencies may be texts with units, `band_pass(low='300 Hz', high='3400 Hz')`: what is read is
    then a `physical` spectrum, which `on` tells the grid it is for.
    """

    measures: ClassVar[Mapping[str, str]] = {}
    """What parameters that may have units measure: "corner" (fractions of the corner radius), "radius" (cycles per
    sample in any direction), "axis" (along the axis that the parameter `axis` names), "at" (lists of one number for
    each axis), "frequency" or "area" (of a law that holds in any unit). Parameters that are not named are frequencies
    or powers of them, in the unit in which frequencies then are."""
    names_axes: ClassVar[bool] = False
    """Whether it tells axes apart, so that it needs all of them."""
    scalable: ClassVar[bool] = True
    """Whether it is a function of frequency alone, of which axes can be stretched."""

    @abstractmethod
    def weights(self, frequencies: Tensor) -> Tensor:
        """Raw weights `w(f)`.

        Args:
            frequencies: Frequency vectors in cycles per sample, `(n, *coefficients)`.

        Returns:
            Weights `(*coefficients)`, or `(C, *coefficients)` where channels differ; non-negative, of the dtype of
            `frequencies`.

        Raises:
            InputError: If the spectrum does not fit the frequencies, or its weights leave the range of numbers there.
        """

    def weights_of_period(self, frequencies: Tensor, period: Tensor | float) -> Tensor:
        """Weights where frequencies along an axis repeat after another number than 1: those of stretched axes.

        Args:
            frequencies: As for `weights`, within half a period.
            period: `(n, 1, ..., 1)`, or one number for all axes.
        """
        return self.weights(frequencies)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """How far frequencies lie outside of a band, soft edges apart: `(*coefficients)`, at most 0 inside.

        Args:
            frequencies: As for `weights`, and so is the unit of the distance.
            period: As for `weights_of_period`.

        Raises:
            InputError: If it is no shape that has edges.
        """
        raise InputError(
            f"{self.label} has no edges to measure from; give ring, wedge, strip, stripes or spots, or sums of them"
        )

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The spectra this one is made of; empty unless it is composite."""
        return ()

    def with_parts(self, parts: tuple[Spectrum, ...]) -> Spectrum:
        """The same made of others, of which there are as many."""
        return self

    @property
    def depends_on_class(self) -> bool:
        """Whether each class has a spectrum of its own."""
        return False

    def for_classes(self, names: Sequence[str]) -> tuple[Spectrum, ...]:
        """The spectrum of every class.

        Args:
            names: Names of all classes, in the order of their labels.

        Raises:
            InputError: If a class has no spectrum, or a spectrum no class.
        """
        return (self,) * len(names)

    @property
    def needs_data(self) -> bool:
        """Whether the weights depend on measured data, so that `resolve` must come before `weights`."""
        return any(part.needs_data for part in self.parts)

    def resolve(self, statistics: DataStatistics) -> Spectrum:
        """The same spectrum with every data-bound part replaced by a table; itself where there is none.

        Args:
            statistics: Mean and power spectrum of the data, in the basis that the noise is to have.

        Returns:
            A spectrum that needs no data: its mapping is complete.

        Raises:
            InputError: If the statistics do not determine the weights.
        """
        return self.with_parts(tuple(part.resolve(statistics) for part in self.parts))

    def on(self, grid: Grid | None) -> Spectrum:
        """The same with all frequencies that have units told the grid that they are for.

        Args:
            grid: How far apart samples are; None changes nothing.
        """
        return self.with_parts(tuple(part.on(grid) for part in self.parts))

    @property
    def label(self) -> str:
        """The text form if it is short, else an abbreviation for people, such as `tabulated(values=28x15 numbers)`."""
        text = str(self)
        return text if len(text) <= LABEL_LENGTH else self._brief()

    def _brief(self) -> str:
        """The text form with long values replaced by their sizes."""
        fields = [(f, getattr(self, f.name)) for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        changed = [f"{f.name}={_brief_value(value)}" for f, value in fields if value != f.default]
        return f"{self.kind}({', '.join(changed)})"

    def __mul__(self, other: Spectrum) -> Product:
        return Product((self, other))

    def __add__(self, other: Spectrum) -> Sum:
        return Sum((self, other))

    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> Self:
        """As `Description.from_dict`; one with units in its parameters is the `physical` spectrum around it."""
        if mapping.get("kind") != "physical" and any(map(holds_units, mapping.values())):
            return super().from_dict({"kind": "physical", "spectrum": mapping})
        return super().from_dict(mapping)

    @classmethod
    def _from_node(cls, node: ast.expr) -> Self:
        """Reads `*` and `+` too."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Add)):
            parts = (cls._from_node(node.left), cls._from_node(node.right))
            return cast(Self, Product(parts) if isinstance(node.op, ast.Mult) else Sum(parts))
        return super()._from_node(node)


@dataclass(frozen=True)
class Flat(Spectrum, kind="flat"):
    """White noise, `w = 1`."""

    def weights(self, frequencies: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(frequencies[0])


@dataclass(frozen=True)
class Product(Spectrum, kind="product"):
    """Pointwise product of weights, `power_law(alpha=-0.1) * notch(at=[[0.25, 0.0]])`: filters one after the other."""

    scalable = False
    factors: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", _members(self, self.factors))

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The factors."""
        return self.factors

    def weights(self, frequencies: Tensor) -> Tensor:
        """Product of the factors' weights."""
        factors = _stacked(self, frequencies)
        return in_range(factors.prod(0), self.label, (factors > 0).all(0))

    def with_parts(self, parts: tuple[Spectrum, ...]) -> Product:
        """Product of other factors."""
        return Product(parts)

    def to_dict(self) -> dict[str, Any]:
        """Kind and the factors' mappings."""
        return {"kind": self.kind, "factors": [factor.to_dict() for factor in self.factors]}

    def __str__(self) -> str:
        return " * ".join(f"({f})" if isinstance(f, Sum) else str(f) for f in self.factors)

    def _brief(self) -> str:
        return joined(self, " * ") or super()._brief()


@dataclass(frozen=True)
class Sum(Spectrum, kind="sum"):
    """Pointwise sum of weights (amplitudes, not variances), `band_pass(low=0.0, high=0.3) + band_pass(low=0.6)`."""

    scalable = False
    terms: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _members(self, self.terms))

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The terms."""
        return self.terms

    def weights(self, frequencies: Tensor) -> Tensor:
        """Sum of the terms' weights."""
        return in_range(_stacked(self, frequencies).sum(0), self.label, False)

    def distance(self, frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
        """To the nearest term."""
        return torch.stack([term.distance(frequencies, period) for term in self.terms]).amin(0)

    def with_parts(self, parts: tuple[Spectrum, ...]) -> Sum:
        """Sum of other terms."""
        return Sum(parts)

    def to_dict(self) -> dict[str, Any]:
        """Kind and the terms' mappings."""
        return {"kind": self.kind, "terms": [term.to_dict() for term in self.terms]}

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    def _brief(self) -> str:
        return joined(self, " + ") or super()._brief()


def holds_units(value: Any) -> bool:
    """Whether a value is, or a list holds, a text with a unit."""
    return any(map(holds_units, value)) if isinstance(value, (list, tuple)) else is_quantity(value)


def _members(owner: Spectrum, parts: Sequence[Spectrum | str | dict[str, Any]]) -> tuple[Spectrum, ...]:
    """The parts as spectra; those of the owner's own kind are taken apart, since both operations are associative."""
    if isinstance(parts, str) or len(parts) < 2:
        raise InputError(f"{owner.kind} needs at least two spectra, got {parts!r}")
    members: list[Spectrum] = []
    for part in parts:
        spectrum = Spectrum.parse(part)
        if type(spectrum) is type(owner):
            members += spectrum.parts
        else:
            members.append(spectrum)
    refuse_inside(owner, members, "by_class", f"put a {owner.kind} into its classes instead")
    return tuple(members)


def _walk(spectrum: Spectrum) -> Iterator[Spectrum]:
    """A spectrum and all that it is made of."""
    yield spectrum
    for part in spectrum.parts:
        yield from _walk(part)


def refuse_inside(owner: Spectrum, parts: Sequence[Spectrum], kind: str, instead: str) -> None:
    """Refuse parts that are, or are made of, spectra of some kind.

    Raises:
        InputError: Naming that part, and what to do instead.
    """
    for inner in (inner for part in parts for inner in _walk(part)):
        if inner.kind == kind:
            raise InputError(f"{owner.kind} cannot hold {inner.label}; {instead}")


def _stacked(owner: Spectrum, frequencies: Tensor) -> Tensor:
    """Weights of the owner's parts, `(parts, *coefficients)` or, where any differs by channel, `(parts, C, ...)`."""
    grid = frequencies.shape[1:]
    weights = [part.weights(frequencies) for part in owner.parts]
    for part, w in zip(owner.parts, weights, strict=True):
        if w.shape not in (grid, w.shape[:1] + grid):
            raise InputError(f"weights of {part.label} have shape {tuple(w.shape)}, the basis needs {tuple(grid)}")
    channels = sorted({len(w) for w in weights if w.ndim > len(grid)})
    if len(channels) > 1:
        raise InputError(
            f"spectra in {owner.label} have {' and '.join(map(str, channels))} channels; give all the same number"
        )
    return torch.stack(torch.broadcast_tensors(*weights))


def joined(owner: Spectrum, separator: str, frame: str = "{}") -> str | None:
    """The parts' labels, or `kind(...)` for each where those are too long; None where these are too long as well."""
    labels = [f"({p.label})" if isinstance(owner, Product) and isinstance(p, Sum) else p.label for p in owner.parts]
    kinds = [f"{p.kind}(...)" if dataclasses.fields(p) else p.kind for p in owner.parts]  # type: ignore[arg-type]
    texts = (frame.format(separator.join(names)) for names in (labels, kinds))
    return next((text for text in texts if len(text) <= LABEL_LENGTH), None)


def _brief_value(value: Any) -> str:
    """A value as text, or its size where it is long."""
    if isinstance(value, Spectrum):
        return value.label
    if not isinstance(value, tuple) or len(repr(value)) <= LABEL_LENGTH // 2:
        return repr(value)
    try:
        return f"{'x'.join(map(str, np.asarray(value, dtype=np.float64).shape))} numbers"
    except (TypeError, ValueError):  # no numbers
        return f"{len(value)} spectra"


def refuse_mirror_sense(spectrum: Spectrum, weights: Tensor, basis: Basis) -> None:
    """Refuse weights that differ between frequencies which a mirrored basis holds in one coefficient.

    Args:
        spectrum: Where they come from.
        weights: `w(f)` at the frequencies of the basis.
        basis: The basis.

    Raises:
        InputError: If they do, by more than rounding.
    """
    if not basis.mirrored:
        return
    bound, frequencies = 1e-9 * float(weights.max()), basis.frequencies()
    for signs in itertools.product(*((1.0, -1.0) if axis in basis.mirrored else (1.0,) for axis in range(basis.rank))):
        mirror = torch.tensor(signs, dtype=frequencies.dtype).reshape(-1, *(1,) * (frequencies.ndim - 1))
        # Adding 0 turns -0 into 0, which is no other frequency.
        excess = float((spectrum.weights(frequencies * mirror + 0.0).double() - weights).abs().max())
        if not excess <= bound:
            raise InputError(
                f"weights of {spectrum.label} differ between a frequency and its mirror image by up to {excess:.3g},"
                " and this basis holds both in one coefficient; use the Fourier basis, or make them symmetric, e.g."
                " list both mirror images of a notch"
            )
