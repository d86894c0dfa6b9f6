"""Spectral weights `w(f) >= 0` of the forward noise, as small serialisable descriptions.

A spectrum is evaluated on the frequencies of a basis, `(n, *coefficients)` in cycles per sample, and returns raw
weights `(*coefficients)`, or `(C, *coefficients)` where channels differ. The noise `T_w xi = U* diag(w) U xi` then has
power spectrum `w^2`. How the level is set (calibration) is the covariance's business, not the spectrum's: shape and
level are separate knobs.

Most spectra are functions of frequency alone. Three are more: tables hold one weight per coefficient of one basis; a
data-bound spectrum (`needs_data`) is known once `resolve` has replaced it by a table made from measured statistics; a
class-conditional one is a spectrum per class, which `for_classes` hands out.

Band edges `low`, `high` are fractions `rho = r / r_max` of the corner radius `r_max = sqrt(n)/2`, so [0, 1] covers
every frequency. Bands are closed below and open above, except that a band ending at 1 includes the corner; bands that
share an edge therefore share no frequency.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import math
import reprlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from sagd.basis import EDGE, Basis, corner_radius
from sagd.description import Description, suggest
from sagd.errors import InputError
from sagd.statistics import DataStatistics

LABEL_LENGTH = 80
"""Characters of a spectrum's text up to which messages and titles show it whole."""
SPECTRUM_FLOOR = 1e-10
"""Least power that whitening takes for measured, relative to the largest: amplitudes then span at most 1e5."""


class Spectrum(Description, family="spectrum"):
    """Base of all spectral weights; a subclass supplies `weights`."""

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

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The spectra this one is made of; empty unless it is composite."""
        return ()

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
        return self

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
        require_finite("power_law alpha", self.alpha)
        if self.epsilon is not None:
            require_finite("power_law epsilon", self.epsilon)
            if self.epsilon <= 0:
                raise InputError(f"power_law epsilon must be positive, got {self.epsilon}; leave it out to floor DC")

    def weights(self, frequencies: Tensor) -> Tensor:
        """`max(r, r_min)^alpha`, or `(r + epsilon)^alpha` when `epsilon` is given."""
        r = torch.linalg.vector_norm(frequencies, dim=0)
        positive = r[r > 0]
        floored = torch.clamp(r, min=positive.min() if len(positive) else 1.0)
        w = (floored if self.epsilon is None else r + self.epsilon) ** float(self.alpha)
        return _in_range(w, f"power_law alpha={self.alpha}")


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
        require_weight("band_pass inside", self.inside)
        require_weight("band_pass outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        return _two_levels(self, band_mask(frequencies, self.low, self.high))


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
        require_weight("two_band gamma_low", self.gamma_low)
        require_weight("two_band gamma_high", self.gamma_high)

    def weights(self, frequencies: Tensor) -> Tensor:
        """Root of the summed band variances."""
        low = band_mask(frequencies, self.low_start, self.low_end)
        high = band_mask(frequencies, self.high_start, self.high_end)
        # Unlike the root of a sum of squares, hypot keeps to the range of numbers where the result does.
        w = torch.hypot(float(self.gamma_low) * low, float(self.gamma_high) * high)
        return _in_range(w, self.label, (low > 0) & (self.gamma_low > 0) | (high > 0) & (self.gamma_high > 0))


@dataclass(frozen=True)
class ExponentialDecay(Spectrum, kind="exponential_decay"):
    """`w = exp(-beta r^2)`, `r` in cycles per sample; positive `beta` puts noise into low frequencies."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        require_finite("exponential_decay beta", self.beta)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`exp(-beta r^2)`."""
        w = torch.exp(-float(self.beta) * frequencies.square().sum(0))
        return _in_range(w, f"exponential_decay beta={self.beta}")


@dataclass(frozen=True)
class BandStop(Spectrum, kind="band_stop"):
    """`inside` (default 0) on the band `[low, high)`, `outside` (default 1) elsewhere: the complement of `BandPass`."""

    low: float = 0.0
    high: float = 1.0
    inside: float = 0.0
    outside: float = 1.0

    def __post_init__(self) -> None:
        _require_band("band_stop", self.low, self.high)
        require_weight("band_stop inside", self.inside)
        require_weight("band_stop outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        return _two_levels(self, band_mask(frequencies, self.low, self.high))


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
        listed = self.at if isinstance(self.at, (list, tuple)) else (self.at,)
        at = tuple(tuple(f) if isinstance(f, (list, tuple)) else (f,) for f in listed)
        if not at:
            raise InputError("notch needs at least one frequency, e.g. at=[[0.25, 0.0]]")
        for number in (n for f in at for n in f):
            require_finite("notch frequency", number)
        object.__setattr__(self, "at", tuple(tuple(map(float, f)) for f in at))
        require_finite("notch bandwidth", self.bandwidth)
        require_finite("notch depth", self.depth)
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
            distance = torch.minimum(*(_torus_distance(frequencies - s * centre.to(frequencies)) for s in (1, -1)))
            # But for rounding, a frequency this close is the notch itself and has exactly its depth.
            distance = torch.where(distance < EDGE, 0.0, distance)
            w = -torch.expm1(-((distance / (scale * self.bandwidth)) ** 2) / 2)
            keep = keep * _in_range(w, f"notch bandwidth={self.bandwidth}", distance > 0)
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
        require_finite("oriented angle", self.angle)
        require_finite("oriented bandwidth", self.bandwidth)
        if not 0 < self.bandwidth <= 180:
            raise InputError(f"oriented bandwidth must lie in (0, 180] degrees, got {self.bandwidth}")
        require_weight("oriented inside", self.inside)
        require_weight("oriented outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` in the wedge, `outside` elsewhere."""
        if len(frequencies) != 2:
            raise InputError(f"oriented spectra are for images (2 spatial axes), the data has {len(frequencies)}")
        rows, columns = frequencies
        # A Nyquist frequency stands for both its signs, so that weights stay even.
        difference = [self._turn(torch.atan2(r, c)) for r in _signs(rows) for c in _signs(columns)]
        wedge = torch.stack(difference).amin(0) <= self.bandwidth / 2 + 1e-9
        wedge &= (rows != 0) | (columns != 0)
        return _two_levels(self, wedge.to(frequencies.dtype))

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
        if not isinstance(self.alphas, (list, tuple)):
            object.__setattr__(self, "alphas", (self.alphas,))
        for alpha in self.alphas:
            require_finite("axis_power_law alpha", alpha)
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
        return _in_range(w, f"axis_power_law alphas={self.alphas}")


@dataclass(frozen=True)
class Tabulated(Spectrum, kind="tabulated"):
    """One weight per stored coefficient of a basis: any array, e.g. the root of a measured spectrum.

    A table belongs to the basis and the spatial shape that it was made for.

    Args:
        values: `(*coefficients)`, or `(C, *coefficients)` where channels differ; lists, an array or a tensor. Kept as
            nested tuples of floats.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", number_table("tabulated values", self.values))

    def weights(self, frequencies: Tensor) -> Tensor:
        """The table.

        Raises:
            InputError: If its shape is not that of the frequencies.
        """
        table, grid = np.asarray(self.values), tuple(frequencies.shape[1:])
        if table.shape not in (grid, (len(table), *grid)):
            raise InputError(
                f"tabulated values have shape {table.shape}, the basis needs {grid}, with channels in front or not;"
                " a table fits only the basis and spatial shape it was made for"
            )
        return _from_numpy(table, frequencies, self.label)


@dataclass(frozen=True)
class RadialTable(Spectrum, kind="radial_table"):
    """Weights `w` at fractions `rho` of the corner radius, linear in between and constant beyond the ends.

    Args:
        rho: Increasing, in [0, 1].
        w: As many weights.
    """

    rho: tuple[float, ...]
    w: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("rho", "w"):
            object.__setattr__(self, name, number_table(f"radial_table {name}", getattr(self, name)))
        rho, w = np.asarray(self.rho), np.asarray(self.w)
        if rho.ndim != 1 or rho.shape != w.shape:
            raise InputError(f"radial_table needs one w for each rho, got shapes {w.shape} and {rho.shape}")
        if not ((np.diff(rho) > 0).all() and rho[-1] <= 1):
            raise InputError(
                "radial_table rho must increase within [0, 1] (fractions of the corner radius),"
                f" got {reprlib.repr(self.rho)}"
            )

    def weights(self, frequencies: Tensor) -> Tensor:
        """`w` interpolated at `rho(f)`."""
        rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
        return _from_numpy(np.interp(rho.double().cpu().numpy(), self.rho, self.w), frequencies, self.label)


@dataclass(frozen=True)
class Whitening(Spectrum, kind="whitening"):
    """Partial whitening `w = S(f)^(g/2)` with the power spectrum `S` of the data and the exponent `g` in [0, 1].

    `g = 1` gives the noise the spectrum of the data, so that all frequencies share one signal-to-noise ratio at every
    time; `g = 0` is white noise. `S` counts as at least `SPECTRUM_FLOOR` of its largest value (over channels too):
    frequencies that the data leaves empty keep a little noise, and the weights span less than the factor that a
    covariance accepts. The weights are known once `resolve` has been given measured statistics.

    Args:
        exponent: `g`.
        radial: Average `S` over frequencies of equal radius first, which makes the noise isotropic. Radii are told
            apart to the lowest frequency of the longest side.

    Source: "A Fourier Space Perspective on Diffusion Models" (arXiv:2505.11278), EqualSNR, for `g = 1`.
    """

    exponent: float = 1.0
    radial: bool = False

    def __post_init__(self) -> None:
        require_finite("whitening exponent", self.exponent)
        if not 0 <= self.exponent <= 1:
            raise InputError(
                f"whitening exponent must lie in [0, 1] (0: white noise, 1: the spectrum of the data),"
                f" got {self.exponent}"
            )
        if not isinstance(self.radial, bool):
            raise InputError(f"whitening radial must be true or false, got {self.radial!r}")

    @property
    def needs_data(self) -> bool:
        """True: `S` is measured."""
        return True

    def weights(self, frequencies: Tensor) -> Tensor:
        """Refused: the measured spectrum comes first."""
        raise InputError(
            f"{self} needs the measured power spectrum of the data; resolve it first:"
            " spectrum.resolve(measure(images)), images of shape (N, C, *spatial)"
        )

    def resolve(self, statistics: DataStatistics) -> Tabulated:
        """`S^(g/2)` as a table `(C, *coefficients)`, or `(*coefficients)` of data with one channel."""
        S = statistics.spectrum.detach().cpu().double()
        if not torch.isfinite(S).all() or S.max() <= 0:
            raise InputError(
                f"{self} needs data that varies, but the measured spectrum reaches {S.max().item():.3g};"
                " measure at least two different samples with finite values"
            )
        if self.radial:
            S = _radial_mean(S, statistics.basis)
        w = S.clamp(min=SPECTRUM_FLOOR * float(S.max())) ** (self.exponent / 2)
        return Tabulated(w[0] if len(w) == 1 else w)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Product(Spectrum, kind="product"):
    """Pointwise product of weights, `power_law(alpha=-0.1) * notch(at=[[0.25, 0.0]])`: filters one after the other."""

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
        return _in_range(factors.prod(0), self.label, (factors > 0).all(0))

    def resolve(self, statistics: DataStatistics) -> Product:
        """Product of the resolved factors."""
        return Product(tuple(factor.resolve(statistics) for factor in self.factors))

    def to_dict(self) -> dict[str, Any]:
        """Kind and the factors' mappings."""
        return {"kind": self.kind, "factors": [factor.to_dict() for factor in self.factors]}

    def __str__(self) -> str:
        return " * ".join(f"({f})" if isinstance(f, Sum) else str(f) for f in self.factors)

    def _brief(self) -> str:
        return _joined(self, " * ") or super()._brief()


@dataclass(frozen=True)
class Sum(Spectrum, kind="sum"):
    """Pointwise sum of weights (amplitudes, not variances), `band_pass(low=0.0, high=0.3) + band_pass(low=0.6)`."""

    terms: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _members(self, self.terms))

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The terms."""
        return self.terms

    def weights(self, frequencies: Tensor) -> Tensor:
        """Sum of the terms' weights."""
        return _in_range(_stacked(self, frequencies).sum(0), self.label, False)

    def resolve(self, statistics: DataStatistics) -> Sum:
        """Sum of the resolved terms."""
        return Sum(tuple(term.resolve(statistics) for term in self.terms))

    def to_dict(self) -> dict[str, Any]:
        """Kind and the terms' mappings."""
        return {"kind": self.kind, "terms": [term.to_dict() for term in self.terms]}

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    def _brief(self) -> str:
        return _joined(self, " + ") or super()._brief()


@dataclass(frozen=True)
class PerChannel(Spectrum, kind="per_channel"):
    """One spectrum per channel, in order: weights `(C, *coefficients)`. Channels stay independent of each other.

    Args:
        spectra: Spectra, their texts or mappings; none of them may itself differ between channels.
    """

    spectra: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.spectra, (tuple, list)) or not self.spectra:
            raise InputError(
                f"per_channel needs one spectrum for each channel, e.g. spectra=['flat', 'flat'], got {self.spectra!r}"
            )
        spectra = tuple(Spectrum.parse(spectrum) for spectrum in self.spectra)
        _refuse_inside(self, spectra, PerChannel, "give each channel one spectrum for all that is to shape it")
        _refuse_inside(self, spectra, ClassConditional, "put per_channel spectra into its classes instead")
        object.__setattr__(self, "spectra", spectra)

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The channels' spectra."""
        return self.spectra

    def weights(self, frequencies: Tensor) -> Tensor:
        """The channels' weights, one after the other."""
        weights = [spectrum.weights(frequencies) for spectrum in self.spectra]
        for spectrum, w in zip(self.spectra, weights, strict=True):
            if w.shape != frequencies.shape[1:]:
                raise InputError(
                    f"weights of {spectrum.label} in per_channel have shape {tuple(w.shape)}, one channel needs"
                    f" {tuple(frequencies.shape[1:])}"
                )
        return torch.stack(weights)

    def resolve(self, statistics: DataStatistics) -> PerChannel:
        """Each channel's spectrum resolved on the statistics of that channel."""
        if not self.needs_data:
            return self
        if len(statistics.spectrum) != len(self.spectra):
            raise InputError(
                f"per_channel has {len(self.spectra)} spectra, the measured data {len(statistics.spectrum)} channels;"
                " give one spectrum for each channel"
            )
        return PerChannel(tuple(s.resolve(_channel(statistics, i)) for i, s in enumerate(self.spectra)))

    def to_dict(self) -> dict[str, Any]:
        """Kind and the channels' mappings."""
        return {"kind": self.kind, "spectra": [spectrum.to_dict() for spectrum in self.spectra]}

    def __str__(self) -> str:
        return f"{self.kind}(spectra={tuple(map(str, self.spectra))!r})"

    def _brief(self) -> str:
        return _joined(self, ", ", f"{self.kind}(spectra=({{}}))") or super()._brief()


@dataclass(frozen=True)
class ClassConditional(Spectrum, kind="by_class"):
    """One spectrum per class of the data: `by_class(spectra={'3': 'flat', '8': 'power_law(alpha=-0.1)'})`.

    Args:
        spectra: Class name -> spectrum, its text or mapping; a mapping, or pairs. Kept as pairs sorted by name.
        default: Spectrum of the classes that are not named.
    """

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
        _refuse_inside(self, self.parts, ClassConditional, "name all classes in one")

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The classes' spectra, the default last."""
        return tuple(spectrum for _, spectrum in self.spectra) + ((self.default,) if self.default else ())

    def for_classes(self, names: Sequence[str]) -> tuple[Spectrum, ...]:
        """The spectrum of every class.

        Args:
            names: Names of all classes, in the order of their labels.

        Raises:
            InputError: If a class has no spectrum, or a spectrum no class.
        """
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

    def resolve(self, statistics: DataStatistics) -> ClassConditional:
        """All classes' spectra resolved, on the same statistics."""
        resolved = tuple((name, spectrum.resolve(statistics)) for name, spectrum in self.spectra)
        return ClassConditional(resolved, self.default and self.default.resolve(statistics))

    def to_dict(self) -> dict[str, Any]:
        """Kind, class name -> mapping, and the default's mapping or None."""
        spectra = {name: spectrum.to_dict() for name, spectrum in self.spectra}
        return {"kind": self.kind, "spectra": spectra, "default": self.default and self.default.to_dict()}

    def __str__(self) -> str:
        items = [f"{name!r}: {str(spectrum)!r}" for name, spectrum in self.spectra]
        default = f", default={str(self.default)!r}" if self.default else ""
        return f"{self.kind}(spectra={{{', '.join(items)}}}{default})"


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
    _refuse_inside(owner, members, ClassConditional, f"put a {owner.kind} into its classes instead")
    return tuple(members)


def _walk(spectrum: Spectrum) -> Iterator[Spectrum]:
    """A spectrum and all that it is made of."""
    yield spectrum
    for part in spectrum.parts:
        yield from _walk(part)


def _refuse_inside(owner: Spectrum, parts: Sequence[Spectrum], kind: type[Spectrum], instead: str) -> None:
    for inner in (inner for part in parts for inner in _walk(part)):
        if isinstance(inner, kind):
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


def _two_levels(spectrum: BandPass | BandStop | Oriented, mask: Tensor) -> Tensor:
    """The spectrum's `inside` where `mask` is 1, `outside` where it is 0; of the type of the mask."""
    inside, outside = (mask.new_tensor(float(level)) for level in (spectrum.inside, spectrum.outside))
    expected = torch.where(mask > 0, spectrum.inside > 0, spectrum.outside > 0)
    return _in_range(torch.where(mask > 0, inside, outside), spectrum.label, expected)


def _in_range(w: Tensor, name: str, expected: Tensor | bool = True) -> Tensor:
    """Refuse weights that the range of numbers made infinite, or zero where more is `expected`."""
    if (~torch.isfinite(w) | ((w == 0) & expected)).any():
        raise InputError(f"{name} leaves the range of numbers on this grid; use a milder one")
    return w


def _from_numpy(values: np.ndarray[Any, Any], frequencies: Tensor, name: str) -> Tensor:
    """float64 weights in the type and on the device of the frequencies."""
    table = torch.from_numpy(values)
    return _in_range(table.to(frequencies), name, (table > 0).to(frequencies.device))


def _radial_mean(S: Tensor, basis: Basis) -> Tensor:
    """`S` `(C, *coefficients)` averaged over radii that agree to `1/max(spatial)`, all degrees of freedom counted."""
    # Rings lie around the multiples of the lowest frequency, so that DC has its own.
    ring = (basis.radius() * max(basis.spatial) + 0.5 + EDGE).long().flatten()
    m = basis.multiplicity().flatten()
    total = torch.zeros(len(S), int(ring.max()) + 1, dtype=S.dtype).index_add_(1, ring, S.flatten(1) * m)
    count = torch.zeros(total.shape[1], dtype=S.dtype).index_add_(0, ring, m)
    return (total[:, ring] / count[ring]).reshape(S.shape)


def _channel(statistics: DataStatistics, index: int) -> DataStatistics:
    one = slice(index, index + 1)
    return dataclasses.replace(statistics, mean=statistics.mean[one], spectrum=statistics.spectrum[one])


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


def _joined(owner: Spectrum, separator: str, frame: str = "{}") -> str | None:
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


def number_table(name: str, values: Any) -> tuple[Any, ...]:
    """Nested lists, an array or a tensor as nested tuples of floats.

    Raises:
        InputError: If it is no rectangular table of numbers, or one is negative or not finite.
    """
    if isinstance(values, Tensor) and not values.is_complex():
        values = values.detach().cpu().double().numpy()
    try:
        table = np.asarray(values)
    except ValueError:  # rows of different lengths
        table = np.asarray(None)
    if table.dtype.kind not in "iuf" or table.ndim == 0 or table.size == 0:
        shown = " ".join(reprlib.repr(values).split())
        raise InputError(f"{name} must be a table of numbers with rows of one length, got {shown}")
    if not np.isfinite(table).all():
        raise InputError(f"{name} hold NaN or infinity; they must be finite and not negative")
    if table.min() < 0:
        raise InputError(f"{name} reach {table.min():.3g}; they must not be negative")
    # Adding 0.0 turns -0.0 into 0.0: equal tables then have equal text.
    return cast(tuple[Any, ...], _nested_tuple((table.astype(np.float64) + 0.0).tolist()))


def _nested_tuple(values: Any) -> Any:
    return tuple(map(_nested_tuple, values)) if isinstance(values, list) else values


def _torus_distance(difference: Tensor) -> Tensor:
    """Length of frequency differences `(n, *coefficients)`, frequencies being periodic with period 1."""
    return torch.linalg.vector_norm(difference - difference.round(), dim=0)


def _signs(frequency: Tensor) -> tuple[Tensor, Tensor]:
    """A frequency, and what it stands for as well: at Nyquist, its negative."""
    return frequency, torch.where(frequency.abs() == 0.5, -frequency, frequency)


def require_finite(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is a number, and one that a float can hold."""
    try:
        fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        raise InputError(f"{name} must be a finite number, got an integer beyond 1e308") from None
    if not fine:
        raise InputError(f"{name} must be a finite number, got {value!r}")


def require_weight(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is a finite number and not negative."""
    require_finite(name, value)
    if value < 0:
        raise InputError(f"{name} must not be negative, got {value}; weights are amplitudes")


def _require_band(name: str, low: float, high: float) -> None:
    require_finite(f"{name} low edge", low)
    require_finite(f"{name} high edge", high)
    if not 0 <= low < high <= 1:
        raise InputError(
            f"{name} needs 0 <= low < high <= 1 (fractions of the corner radius), got low={low}, high={high}"
        )


def refuse_mirror_sense(spectrum: Spectrum, frequencies: Tensor, weights: Tensor) -> None:
    """Refuse weights that differ between frequencies which a mirrored basis holds in one coefficient.

    Raises:
        InputError: If they do, by more than rounding.
    """
    bound = 1e-9 * float(weights.max())
    for signs in itertools.product((1.0, -1.0), repeat=len(frequencies)):
        mirror = torch.tensor(signs, dtype=frequencies.dtype).reshape(-1, *(1,) * (frequencies.ndim - 1))
        # Adding 0 turns -0 into 0, which is no other frequency.
        excess = float((spectrum.weights(frequencies * mirror + 0.0).double() - weights).abs().max())
        if not excess <= bound:
            raise InputError(
                f"weights of {spectrum.label} differ between a frequency and its mirror image by up to {excess:.3g},"
                " and this basis holds both in one coefficient; use the Fourier basis, or make them symmetric, e.g."
                " list both mirror images of a notch"
            )
