"""Spectral weights `w(f) >= 0` of the forward noise, as small serialisable descriptions.

A spectrum is a function of frequency only: it is evaluated on the frequencies of a basis, `(n, *coefficients)` in
cycles per sample, and returns raw weights `(*coefficients)`. The noise `T_w xi = U* diag(w) U xi` then has power
spectrum `w^2`. How the level is set (calibration) is the covariance's business, not the spectrum's: shape and level are
separate knobs.

Band edges `low`, `high` are fractions `rho = r / r_max` of the corner radius `r_max = sqrt(n)/2`, so [0, 1] covers
every frequency. Bands are closed below and open above, except that a band ending at 1 includes the corner; bands that
share an edge therefore share no frequency.
"""

from __future__ import annotations

import ast
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor

from sagd.basis import EDGE, corner_radius
from sagd.description import Description
from sagd.errors import InputError


class Spectrum(Description, family="spectrum"):
    """Base of all spectral weights; a subclass supplies `weights`."""

    @abstractmethod
    def weights(self, frequencies: Tensor) -> Tensor:
        """Raw weights `w(f)`.

        Args:
            frequencies: Frequency vectors in cycles per sample, `(n, *coefficients)`.

        Returns:
            Weights `(*coefficients)`, non-negative, of the dtype of `frequencies`.
        """

    def __mul__(self, other: Spectrum) -> Product:
        return Product((self, other))

    def __add__(self, other: Spectrum) -> Sum:
        return Sum((self, other))

    @classmethod
    def _from_node(cls, node: ast.expr) -> Self:
        """Reads `*` and `+` too."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Add)):
            parts = (cls._from_node(node.left), cls._from_node(node.right))
            return cast(Self, Product(parts) if isinstance(node.op, ast.Mult) else Sum(parts))
        return super()._from_node(node)


def band_mask(frequencies: Tensor, low: float, high: float) -> Tensor:
    """1 where `low <= rho < high` (`<= 1` when `high = 1`), else 0; `(*coefficients)`."""
    rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
    inside = rho >= low - EDGE
    if high < 1:
        inside &= rho < high - EDGE
    return inside.to(frequencies.dtype)


@dataclass(frozen=True)
class Flat(Spectrum, kind="flat"):
    """White noise, `w = 1`."""

    def weights(self, frequencies: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(frequencies[0])


@dataclass(frozen=True)
class PowerLaw(Spectrum, kind="power_law"):
    """Power law `w = (r + epsilon)^alpha`; the noise's log PSD has slope `2 alpha` in log r.

    Negative `alpha` puts noise into low frequencies, positive into high ones. By default (`epsilon=None`) the radius of
    DC is floored at the lowest non-zero frequency of the grid. The paper's raw `epsilon=1e-10` makes the DC weight
    explode for negative `alpha` (1e5 at -0.5) and is available by stating it.

    Source: "Learning What Matters: Steering Diffusion via Spectrally Anisotropic Forward Noise" (arXiv:2510.09660),
    section 4.
    """

    alpha: float = 0.0
    epsilon: float | None = None

    def __post_init__(self) -> None:
        _require_finite("power_law alpha", self.alpha)
        if self.epsilon is not None:
            _require_finite("power_law epsilon", self.epsilon)
            if self.epsilon <= 0:
                raise InputError(f"power_law epsilon must be positive, got {self.epsilon}; leave it out to floor DC")

    def weights(self, frequencies: Tensor) -> Tensor:
        """`max(r, r_min)^alpha`, or `(r + epsilon)^alpha` when `epsilon` is given."""
        r = torch.linalg.vector_norm(frequencies, dim=0)
        positive = r[r > 0]
        floored = torch.clamp(r, min=positive.min() if len(positive) else 1.0)
        w = (floored if self.epsilon is None else r + self.epsilon) ** self.alpha
        if not (torch.isfinite(w) & (w > 0)).all():
            raise InputError(f"power_law alpha={self.alpha} leaves the range of numbers on this grid; use a milder one")
        return w


@dataclass(frozen=True)
class BandPass(Spectrum, kind="band_pass"):
    """`inside` on the band `[low, high)`, `outside` elsewhere.

    With the default `outside=0` the forward process leaves all other frequencies untouched: its covariance is singular,
    and samples hold there what they were started with, the mean of the data where it is known, else nothing.
    """

    low: float = 0.0
    high: float = 1.0
    inside: float = 1.0
    outside: float = 0.0

    def __post_init__(self) -> None:
        _require_band("band_pass", self.low, self.high)
        _require_weight("band_pass inside", self.inside)
        _require_weight("band_pass outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        mask = band_mask(frequencies, self.low, self.high)
        return self.inside * mask + self.outside * (1 - mask)


@dataclass(frozen=True)
class TwoBand(Spectrum, kind="two_band"):
    """Two-band mixture: weight `gamma_low` on `[low_start, low_end)` plus `gamma_high` on `[high_start, high_end)`.

    Equal weights on adjoining bands that cover [0, 1] are white noise after calibration. Each field is drawn as one
    Gaussian, so where bands overlap the variances add: `w^2 = gamma_low^2 1_low + gamma_high^2 1_high`.

    Source: arXiv:2510.09660, section 4 (parameters `gamma_l, a_l, b_l, gamma_h, a_h, b_h`).
    """

    gamma_low: float = 0.5
    low_start: float = 0.0
    low_end: float = 0.5
    gamma_high: float = 0.5
    high_start: float = 0.5
    high_end: float = 1.0

    def __post_init__(self) -> None:
        _require_band("two_band low band", self.low_start, self.low_end)
        _require_band("two_band high band", self.high_start, self.high_end)
        _require_weight("two_band gamma_low", self.gamma_low)
        _require_weight("two_band gamma_high", self.gamma_high)

    def weights(self, frequencies: Tensor) -> Tensor:
        """Root of the summed band variances."""
        low = band_mask(frequencies, self.low_start, self.low_end)
        high = band_mask(frequencies, self.high_start, self.high_end)
        return torch.sqrt(self.gamma_low**2 * low + self.gamma_high**2 * high)


@dataclass(frozen=True)
class ExponentialDecay(Spectrum, kind="exponential_decay"):
    """`w = exp(-beta r^2)`, `r` in cycles per sample; positive `beta` puts noise into low frequencies."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        _require_finite("exponential_decay beta", self.beta)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`exp(-beta r^2)`."""
        return torch.exp(-self.beta * frequencies.square().sum(0))


@dataclass(frozen=True)
class BandStop(Spectrum, kind="band_stop"):
    """`inside` (default 0) on the band `[low, high)`, `outside` (default 1) elsewhere: the complement of `BandPass`."""

    low: float = 0.0
    high: float = 1.0
    inside: float = 0.0
    outside: float = 1.0

    def __post_init__(self) -> None:
        _require_band("band_stop", self.low, self.high)
        _require_weight("band_stop inside", self.inside)
        _require_weight("band_stop outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        mask = band_mask(frequencies, self.low, self.high)
        return self.inside * mask + self.outside * (1 - mask)


@dataclass(frozen=True)
class Notch(Spectrum, kind="notch"):
    """Weight `depth` at given frequencies and their mirrors, rising to 1 around them: moire, mains hum, scan lines.

    `w = depth + (1 - depth) prod_k (1 - exp(-d_k^2 / (2 bandwidth^2)))`, `d_k` the distance to `+-f_k` on the frequency
    torus (which is periodic: 0.5 and -0.5 are one frequency).

    Args:
        at: Frequencies `f_k`, each one number per spatial axis.
        bandwidth: Standard deviation of the notch, in the unit.
        depth: Weight at the centre, in [0, 1].
        unit: "cycles" per sample, or "corner": fractions of the corner radius.
    """

    at: tuple[tuple[float, ...], ...] = ()
    bandwidth: float = 0.01
    depth: float = 0.0
    unit: str = "cycles"

    def __post_init__(self) -> None:
        at = tuple(tuple(f) if isinstance(f, (list, tuple)) else (f,) for f in self.at)
        if not at:
            raise InputError("notch needs at least one frequency, e.g. at=[[0.25, 0.0]]")
        for number in (n for f in at for n in f):
            _require_finite("notch frequency", number)
        object.__setattr__(self, "at", tuple(tuple(map(float, f)) for f in at))
        _require_finite("notch bandwidth", self.bandwidth)
        _require_finite("notch depth", self.depth)
        if not self.bandwidth > 0 or not 0 <= self.depth <= 1:
            raise InputError(
                f"notch needs bandwidth > 0 and depth in [0, 1], got bandwidth={self.bandwidth}, depth={self.depth}"
            )
        if self.unit not in ("cycles", "corner"):
            raise InputError(f"notch unit must be 'cycles' or 'corner', got {self.unit!r}")

    def weights(self, frequencies: Tensor) -> Tensor:
        """`depth` at the notches, 1 far from them."""
        scale = 1.0 if self.unit == "cycles" else corner_radius(len(frequencies))
        keep = torch.ones_like(frequencies[0])
        for f in self.at:
            if len(f) != len(frequencies):
                raise InputError(
                    f"notch frequency {f} has {len(f)} numbers, the data has {len(frequencies)} spatial axes"
                )
            centre = scale * torch.tensor(f, dtype=frequencies.dtype).reshape(-1, *(1,) * (frequencies.ndim - 1))
            # The nearer of +f and -f, on the torus.
            distance = torch.minimum(*(_torus_distance(frequencies - s * centre) for s in (1, -1)))
            keep = keep * -torch.expm1(-((distance / (scale * self.bandwidth)) ** 2) / 2)
        return self.depth + (1 - self.depth) * keep


@dataclass(frozen=True)
class Oriented(Spectrum, kind="oriented"):
    """`inside` for waves in a wedge of directions around `angle`, `outside` elsewhere and at DC; images only.

    Args:
        angle: Direction of the wave vector in degrees, from the column axis (vertical stripes: 0) towards rows.
        bandwidth: Full width of the wedge in degrees, in (0, 180].
        inside: Weight in the wedge.
        outside: Weight elsewhere.
    """

    angle: float = 0.0
    bandwidth: float = 30.0
    inside: float = 1.0
    outside: float = 0.0

    def __post_init__(self) -> None:
        _require_finite("oriented angle", self.angle)
        _require_finite("oriented bandwidth", self.bandwidth)
        if not 0 < self.bandwidth <= 180:
            raise InputError(f"oriented bandwidth must lie in (0, 180] degrees, got {self.bandwidth}")
        _require_weight("oriented inside", self.inside)
        _require_weight("oriented outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` in the wedge, `outside` elsewhere."""
        if len(frequencies) != 2:
            raise InputError(f"oriented spectra are for images (2 spatial axes), the data has {len(frequencies)}")
        rows, columns = frequencies
        # A Nyquist frequency stands for both its signs, so that weights stay even.
        difference = [self._turn(torch.atan2(r, c)) for r in _signs(rows) for c in _signs(columns)]
        wedge = torch.stack(difference).amin(0) <= self.bandwidth / 2 + 1e-9
        wedge &= (rows != 0) | (columns != 0)
        return torch.where(wedge, self.inside, self.outside).to(frequencies.dtype)

    def _turn(self, angle: Tensor) -> Tensor:
        """Degrees between a direction and `self.angle`, both without sign."""
        return (torch.rad2deg(angle) - self.angle + 90).remainder(180).sub(90).abs()


@dataclass(frozen=True)
class AxisPowerLaw(Spectrum, kind="axis_power_law"):
    """A power law per axis, `w = prod_i max(|f_i|, f_min,i)^alpha_i`, e.g. time against space.

    `f_min,i` is the lowest non-zero frequency of axis `i`.

    Args:
        alphas: Exponent per spatial axis.
    """

    alphas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for alpha in self.alphas:
            _require_finite("axis_power_law alpha", alpha)
        object.__setattr__(self, "alphas", tuple(map(float, self.alphas)))

    def weights(self, frequencies: Tensor) -> Tensor:
        """Product of the axes' power laws."""
        if len(self.alphas) != len(frequencies):
            raise InputError(
                f"axis_power_law has {len(self.alphas)} exponents, the data has {len(frequencies)} spatial axes"
            )
        w = torch.ones_like(frequencies[0])
        for f, alpha in zip(frequencies.abs(), self.alphas, strict=True):
            positive = f[f > 0]
            w = w * f.clamp(min=positive.min() if len(positive) else 1.0) ** alpha
        return w


@dataclass(frozen=True)
class Product(Spectrum, kind="product"):
    """Pointwise product of weights, `power_law(alpha=-0.1) * notch(at=[[0.25, 0.0]])`: filters one after the other."""

    factors: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", _members(self, self.factors))

    def weights(self, frequencies: Tensor) -> Tensor:
        """Product of the factors' weights."""
        return torch.stack([factor.weights(frequencies) for factor in self.factors]).prod(0)

    def to_dict(self) -> dict[str, Any]:
        """Kind and the factors' mappings."""
        return {"kind": self.kind, "factors": [factor.to_dict() for factor in self.factors]}

    def __str__(self) -> str:
        return " * ".join(f"({f})" if isinstance(f, Sum) else str(f) for f in self.factors)


@dataclass(frozen=True)
class Sum(Spectrum, kind="sum"):
    """Pointwise sum of weights (amplitudes, not variances), `band_pass(low=0.0, high=0.3) + band_pass(low=0.6)`."""

    terms: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _members(self, self.terms))

    def weights(self, frequencies: Tensor) -> Tensor:
        """Sum of the terms' weights."""
        return torch.stack([term.weights(frequencies) for term in self.terms]).sum(0)

    def to_dict(self) -> dict[str, Any]:
        """Kind and the terms' mappings."""
        return {"kind": self.kind, "terms": [term.to_dict() for term in self.terms]}

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


def _members(owner: Spectrum, parts: Sequence[Spectrum | str | dict[str, Any]]) -> tuple[Spectrum, ...]:
    """The parts as spectra; those of the owner's own kind are taken apart, since both operations are associative."""
    if isinstance(parts, str) or len(parts) < 2:
        raise InputError(f"{owner.kind} needs at least two spectra, got {parts!r}")
    members: list[Spectrum] = []
    for part in parts:
        spectrum = Spectrum.parse(part)
        if isinstance(spectrum, Product) and isinstance(owner, Product):
            members += spectrum.factors
        elif isinstance(spectrum, Sum) and isinstance(owner, Sum):
            members += spectrum.terms
        else:
            members.append(spectrum)
    return tuple(members)


def _torus_distance(difference: Tensor) -> Tensor:
    """Length of frequency differences `(n, *coefficients)`, frequencies being periodic with period 1."""
    return torch.linalg.vector_norm(difference - difference.round(), dim=0)


def _signs(frequency: Tensor) -> tuple[Tensor, Tensor]:
    """A frequency, and what it stands for as well: at Nyquist, its negative."""
    return frequency, torch.where(frequency.abs() == 0.5, -frequency, frequency)


def _require_finite(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, got {value!r}")


def _require_weight(name: str, value: float) -> None:
    _require_finite(name, value)
    if value < 0:
        raise InputError(f"{name} must not be negative, got {value}; weights are amplitudes")


def _require_band(name: str, low: float, high: float) -> None:
    _require_finite(f"{name} low edge", low)
    _require_finite(f"{name} high edge", high)
    if not 0 <= low < high <= 1:
        raise InputError(
            f"{name} needs 0 <= low < high <= 1 (fractions of the corner radius), got low={low}, high={high}"
        )
