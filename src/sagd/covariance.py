"""Noise covariances `Sigma` as linear operators on fields `(*, C, *spatial)`.

`SpectralCovariance` is the operator of the paper: with an orthonormal basis `U` and weights `w(f) >= 0`, common to all
channels or one set per channel,

    T_w = U* diag(w) U,     Sigma_w = T_w T_w* = U* diag(w^2) U,     eps_w = T_w xi ~ N(0, Sigma_w).

`ModulatedCovariance` varies the level over the field, `diag(m) Sigma diag(m)` with `m(x) >= 0`: noise in a region.
`ClassCovariance` holds one covariance per class label; `given(labels)` makes it an operator on labelled samples.

A factor `L` with `L L^T = Sigma` turns white noise into noise (`sqrt`), and its pseudo-inverse whitens it (`whiten`).
It is the symmetric root `Sigma^(1/2)` except for modulated covariances, where it is `diag(m) Sigma^(1/2)`.

Directions with `w = 0` or `m = 0` carry no noise: `Sigma` is then singular, `solve`, `whiten` and `logdet` refuse, and
their pseudo-inverse forms (`pseudo=True`) act on the range, which `project` projects onto. Spectral arithmetic is in
float32, or float64 where the input is or the weights are steep; half-precision inputs come back in their own type.
"""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, NoReturn, Self

import torch
from torch import Tensor

from sagd.basis import Basis, ChannelBasis, FourierBasis, build_basis
from sagd.description import suggest
from sagd.errors import InputError, SingularCovarianceError
from sagd.randomness import Generators, randn
from sagd.region import Region
from sagd.spectrum import ClassConditional, Flat, Spectrum, refuse_mirror_sense

STEEP_SPAN = 1e3
"""Ratio of largest to least positive weight from which filtering is done in float64."""
MAX_SPAN = 1e6
"""Largest such ratio: beyond it the weaker frequencies drown in the rounding of a float32 field."""

NO_AMPLITUDE = 1 / MAX_SPAN
"""Amplitudes of a region this small, next to its largest, are no noise: it would drown in rounding as well."""
CHUNK = 2**21
"""Numbers held at a time where unit fields are pushed through an operator one by one."""

Calibration = Literal["variance", "snr", "none"]


class Covariance(ABC):
    """A covariance operator on fields of shape `(C, *spatial)`.

    A subclass supplies `Sigma` as an operator (`apply`, `solve`, `project`), a factor of it (`sqrt`, `whiten`) and its
    rank, trace and log-determinant; sampling, norms and the dense form follow. One that names its `kind` and supplies
    `_read` can be read back from its description.

    Args:
        shape: `(C, *spatial)`.
    """

    kind: ClassVar[str] = ""
    _kinds: ClassVar[dict[str, type[Covariance]]] = {}

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind
            cls._kinds[kind] = cls

    def __init__(self, shape: Sequence[int]) -> None:
        if len(shape) < 2 or any(int(side) != side or side < 1 for side in shape):
            raise InputError(
                f"shape must be (channels, *spatial) with positive sides, got {tuple(shape)}; e.g. (3, 32, 32)"
            )
        self.shape = tuple(int(side) for side in shape)

    @property
    def size(self) -> int:
        """Dimension of the space, `C * prod(spatial)`."""
        return math.prod(self.shape)

    @property
    @abstractmethod
    def rank(self) -> int | Tensor:
        """Number of dimensions that carry noise; one per sample, `(B,)`, for labelled samples."""

    @property
    @abstractmethod
    def trace(self) -> float | Tensor:
        """`tr Sigma = E ||eps||^2`; one per sample, `(B,)`, for labelled samples."""

    @abstractmethod
    def sqrt(self, x: Tensor) -> Tensor:
        """`L x` with `L L^T = Sigma`: the symmetric root (`T_w` of spectral covariances), unless said otherwise."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """`Sigma x`."""

    @abstractmethod
    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`L^-1 x`, `L` being the factor of `sqrt`; with `pseudo`, its pseudo-inverse.

        Raises:
            SingularCovarianceError: If `Sigma` is singular and `pseudo` is false.
        """

    @abstractmethod
    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`Sigma^-1 x`; with `pseudo`, the pseudo-inverse.

        Raises:
            SingularCovarianceError: If `Sigma` is singular and `pseudo` is false.
        """

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Orthogonal projection of `x` onto the range of `Sigma`."""

    @abstractmethod
    def logdet(self, pseudo: bool = False) -> float | Tensor:
        """`log det Sigma`; with `pseudo`, the sum of logs of the non-zero eigenvalues; `(B,)` for labelled samples.

        Raises:
            SingularCovarianceError: If `Sigma` is singular and `pseudo` is false.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description that identifies the operator."""

    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> Covariance:
        """The covariance that `to_dict` described.

        Raises:
            InputError: On an unknown kind, on fields that are missing, unknown or refused, and for dense covariances,
                whose matrix is not in their description.
        """
        if not isinstance(mapping, dict):
            raise InputError(f"a covariance is described by a mapping with a kind, got {mapping!r}")
        fields = dict(mapping)
        kind = fields.pop("kind", None)
        known = list(Covariance._kinds)
        if kind not in known:
            raise InputError(f"unknown covariance {kind!r}{suggest(str(kind), known)}")
        try:
            return Covariance._kinds[kind]._read(fields)
        except KeyError as error:
            raise InputError(f"the description of a {kind!r} covariance lacks {error}") from None
        except InputError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"covariance {kind!r}: {str(error).split('() ')[-1]}") from None

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        """Build from the fields of `to_dict`, `kind` left out."""
        raise InputError(f"a {cls.kind} covariance cannot be rebuilt from its description")

    def given(self, labels: Tensor | None) -> Covariance:
        """The covariance of samples with these class labels `(B,)`: itself, unless it depends on the class."""
        return self

    def power_spectrum(self, basis: Basis) -> Tensor:
        """Eigenvalues by coefficient of `basis`, `(*coefficients)` or `(C, *coefficients)`, float64.

        Raises:
            InputError: If the covariance is not known to be diagonal in `basis`; `mean_power` asks for less.
        """
        eigenvalues = self._eigenvalues_in(basis)
        if eigenvalues is None:
            raise InputError(f"{type(self).__name__} is not known to be diagonal in {basis}")
        return eigenvalues

    def mean_power(self, basis: Basis) -> Tensor:
        """`E |U eps|^2` per coefficient, `(C, *coefficients)`, float64: the diagonal of `U Sigma U*`.

        Exact whether or not `Sigma` is diagonal in `basis`. Closed forms are known in a basis in which it is, and in
        Fourier bases for stationary and modulated stationary noise; else every unit field is pushed through `sqrt`,
        which costs `O(size^2)`.

        Raises:
            InputError: If `basis` is for other shapes.
        """
        _require_basis(basis, self.shape)
        power = self._eigenvalues_in(basis)
        if power is None:
            power = self._fourier_power(basis)
        if power is None:
            power = torch.zeros(self.shape[0], *basis.coefficients, dtype=torch.float64)
            for fields in self._unit_fields():
                power += basis.forward(self.sqrt(fields)).abs().square().sum(0)
        return power.expand(self.shape[0], *basis.coefficients).clone()

    def has_closed_power(self, basis: Basis) -> bool:
        """Whether `mean_power` in this basis takes a few transforms, and not one for every value of a field."""
        return self._eigenvalues_in(basis) is not None or self._fourier_power(basis) is not None

    def power_range(self, basis: Basis) -> tuple[Tensor, Tensor]:
        """Least and largest power of the noise by coefficient, over classes and places; each `(C, *coefficients)`.

        float64. What is drowned where noise is weakest is drowned everywhere. Places and classes without any noise do
        not count. For noise that is alike everywhere both are `mean_power`.
        """
        power = self.mean_power(basis)
        return power, power

    @property
    def label(self) -> str:
        """The noise in a few words, for messages."""
        return self.kind or type(self).__name__

    @property
    def is_stationary(self) -> bool:
        """Whether `Sigma` commutes with cyclic shifts, as far as is known."""
        return False

    def _eigenvalues_in(self, basis: Basis) -> Tensor | None:
        """Eigenvalues by coefficient of a basis in which `Sigma` is diagonal, `([C,] *coefficients)`, else None."""
        return None

    def _mean_autocovariance(self) -> Tensor | None:
        """`mean_y E eps_c(y) eps_d(y + x)`, cyclic, `(C, C, *spatial)`, float64, where it takes `O(C)` applications."""
        if not self.is_stationary:
            return None
        channels = range(self.shape[0])
        impulses = torch.zeros(self.shape[0], *self.shape, dtype=torch.float64)
        impulses.flatten(2)[channels, channels, 0] = 1
        return self.apply(impulses)

    def _fourier_power(self, basis: Basis) -> Tensor | None:
        """`E |U eps|^2` in a Fourier basis: the transform of the mean autocovariance (Wiener-Khinchin)."""
        autocovariance = self._mean_autocovariance() if isinstance(_spatial_part(basis), FourierBasis) else None
        if autocovariance is None:
            return None
        mix = torch.eye(self.shape[0], dtype=torch.float64)
        if isinstance(basis, ChannelBasis):
            mix = torch.tensor(basis.matrix, dtype=torch.float64)
        mixed = torch.einsum("kc,cd...,kd->k...", mix, autocovariance, mix)
        return (math.sqrt(basis.size) * _spatial_part(basis).forward(mixed).real).clamp(min=0)

    def _variances(self) -> Tensor:
        """Variance of every value, `(C, *spatial)`, float64; `O(size^2)` unless stationary."""
        autocovariance = self._mean_autocovariance() if self.is_stationary else None
        if autocovariance is not None:
            first = autocovariance.flatten(2)[..., 0].diagonal()
            return first.reshape(-1, *(1,) * (len(self.shape) - 1)).expand(self.shape)
        diagonal = [(self.apply(fields) * fields).flatten(1).sum(1) for fields in self._unit_fields()]
        return torch.cat(diagonal).reshape(self.shape)

    def _unit_fields(self) -> Iterator[Tensor]:
        """All fields with one value 1 and the rest 0, in order, a chunk `(K, C, *spatial)` at a time."""
        chunk = max(1, CHUNK // self.size)
        for first in range(0, self.size, chunk):
            count = min(chunk, self.size - first)
            fields = torch.zeros(count, self.size, dtype=torch.float64)
            fields[range(count), range(first, first + count)] = 1
            yield fields.reshape(count, *self.shape)

    @property
    def is_singular(self) -> bool:
        """Whether some direction carries no noise."""
        return bool(self.rank < self.size)

    def sample(
        self,
        batch: Sequence[int] | int,
        generator: Generators = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw `eps = L xi ~ N(0, Sigma)`, `L` being the factor of `sqrt`.

        Args:
            batch: Batch shape, or one batch size.
            generator: One, or one per sample of the first batch axis.
            dtype: Type of the result.
            device: Device of the result.

        Returns:
            `(*batch, C, *spatial)`. The white draw `xi` is the same for every covariance of this shape.
        """
        batch = (batch,) if isinstance(batch, int) else tuple(batch)
        if not batch and isinstance(generator, Sequence):
            raise InputError(f"got {len(generator)} generators and no batch axis; give one generator")
        return self.sqrt(randn((*batch, *self.shape), generator, dtype, device))

    def mahalanobis(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`x^T Sigma^-1 x` per sample, `(*, C, *spatial) -> (*)`, summed in float64."""
        return self.whiten(x, pseudo).double().square().flatten(-len(self.shape)).sum(-1)

    def to_dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """The matrix of `Sigma` on flattened fields, `(size, size)`."""
        eye = torch.eye(self.size, dtype=dtype).reshape(self.size, *self.shape)
        return self.apply(eye).reshape(self.size, self.size).T

    def fingerprint(self) -> str:
        """Checksum of `to_dict`: equal descriptions have equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Covariance) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label}, shape={self.shape})"

    def _check(self, x: Tensor) -> None:
        if x.shape[-len(self.shape) :] != self.shape:
            raise InputError(
                f"field of shape {tuple(x.shape)} does not end in {self.shape}, the shape of this covariance"
            )
        if not x.is_floating_point():
            raise InputError(f"field must be floating point, got {x.dtype}; images are float32 in [-1, 1]")

    def _refuse_singular(self, pseudo: bool, operation: str) -> None:
        if self.is_singular and not pseudo:
            raise SingularCovarianceError(
                f"{operation} of a singular covariance: {self.size - self.rank} of {self.size} dimensions are empty;"
                " pass pseudo=True for the pseudo-inverse"
            )


class IsotropicCovariance(Covariance, kind="isotropic"):
    """White noise, `Sigma = variance * I`."""

    def __init__(self, shape: Sequence[int], variance: float = 1.0) -> None:
        super().__init__(shape)
        if not (math.isfinite(variance) and variance > 0):
            raise InputError(f"variance must be positive, got {variance}")
        self.variance = float(variance)

    @property
    def rank(self) -> int:
        """Full."""
        return self.size

    @property
    def trace(self) -> float:
        """`variance * size`."""
        return self.variance * self.size

    def sqrt(self, x: Tensor) -> Tensor:
        """`sqrt(variance) x`."""
        return self._scale(x, 0.5)

    def apply(self, x: Tensor) -> Tensor:
        """`variance x`."""
        return self._scale(x, 1.0)

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`x / sqrt(variance)`."""
        return self._scale(x, -0.5)

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`x / variance`."""
        return self._scale(x, -1.0)

    def project(self, x: Tensor) -> Tensor:
        """`x` itself."""
        return self._scale(x, 0.0)

    def logdet(self, pseudo: bool = False) -> float:
        """`size log(variance)`."""
        return self.size * math.log(self.variance)

    @property
    def is_stationary(self) -> bool:
        """Yes."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape, variance."""
        return {"kind": self.kind, "shape": list(self.shape), "variance": self.variance}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)

    @property
    def label(self) -> str:
        """White noise, and its variance if it is not 1."""
        return "flat" if self.variance == 1 else f"flat (variance {self.variance:g})"

    def _eigenvalues_in(self, basis: Basis) -> Tensor:
        """`variance` at every coefficient of any orthonormal basis."""
        return torch.full(basis.coefficients, self.variance, dtype=torch.float64)

    def _scale(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        return x if self.variance == 1 or power == 0 else x * self.variance**power


class SpectralCovariance(Covariance, kind="spectral"):
    """`Sigma_w = U* diag(w^2) U`, with the same weights for every channel or weights of its own for each.

    Args:
        spectrum: Spectral weights `w(f)`, `(*coefficients)` or `(C, *coefficients)`; or their text.
        shape: `(C, *spatial)`.
        basis: The transform `U`, or its text; defaults to the Fourier basis of the spatial axes. With a basis that
            mixes channels, weights per channel are those of the mixed channels.
        calibration: How the level of `w` is set, by one factor for all frequencies and channels. Means are over all
            frequencies of all channels, each counted with its multiplicity.

            * "variance": the mean of `w^2` is 1, so that `E||eps||^2 = C d` whatever the shape of `w`.
            * "snr": the mean of `log w^2` over the frequencies that carry noise is 0. The log-SNR of data with power
              spectrum `S` is `log S - log w^2` up to the schedule's part, so its mean is that under white noise on the
              same frequencies for any `S`, which need not be known.
            * "none": the raw weights.

    Raises:
        InputError: If weights are negative, not finite, all zero, of another number of channels, not symmetric as real
            fields require, or if they tell a frequency from a mirror image that the basis cannot tell from it.

    Source: arXiv:2510.09660, equations 5-8; calibration replaces the per-sample normalisation of its appendix code,
    which is neither Gaussian nor has covariance `Sigma_w`.
    """

    def __init__(
        self,
        spectrum: Spectrum | str,
        shape: Sequence[int],
        basis: Basis | str | None = None,
        calibration: Calibration = "variance",
    ) -> None:
        super().__init__(shape)
        self.spectrum = Spectrum.parse(spectrum)
        basis = build_basis(basis, self.shape[1:]) if isinstance(basis, str) else basis
        self.basis = basis or FourierBasis(self.shape[1:])
        self.calibration = calibration
        _require_basis(self.basis, self.shape)
        frequencies = self.basis.frequencies()
        raw = self.spectrum.weights(frequencies).double()
        check_weights(raw, self.basis, self.spectrum.label, self.shape[0])
        if self.basis.mirrored:
            refuse_mirror_sense(self.spectrum, frequencies, raw)
        span = _span(raw)
        if span > MAX_SPAN:
            raise InputError(
                f"weights of {self.spectrum.label} span a factor of {span:.3g}, more than {MAX_SPAN:.0e}: the weak"
                " frequencies would drown in rounding; use a milder spectrum, or zero weight where no noise is wanted"
            )
        self._steep = span > STEEP_SPAN
        # Views of all channels: what is summed over them needs no second case.
        self._multiplicity = self.basis.multiplicity().expand(self.shape[0], *self.basis.coefficients)
        self.weights = _calibrate(raw, self.basis.multiplicity(), calibration)
        self._rank = round(float((self._multiplicity * (self.weights > 0)).sum()))
        self._powers = _Powers(self.weights)

    @property
    def eigenvalues(self) -> Tensor:
        """`w(f)^2` after calibration, `([C,] *coefficients)`, float64: the power spectrum of the noise."""
        return self.weights.square()

    @property
    def rank(self) -> int:
        """Degrees of freedom of the frequencies with `w > 0`, over all channels."""
        return self._rank

    @property
    def trace(self) -> float:
        """`sum_c sum_f m(f) w_c(f)^2`."""
        return float((self._multiplicity * self.eigenvalues).sum())

    @property
    def is_stationary(self) -> bool:
        """In a Fourier basis, whether or not channels are mixed."""
        return isinstance(_spatial_part(self.basis), FourierBasis)

    def sqrt(self, x: Tensor) -> Tensor:
        """`T_w x = U* diag(w) U x`."""
        return self._filter(x, 1.0)

    def apply(self, x: Tensor) -> Tensor:
        """`U* diag(w^2) U x`."""
        return self._filter(x, 2.0)

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`U* diag(1/w) U x`."""
        self._refuse_singular(pseudo, "whitening")
        return self._filter(x, -1.0)

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`U* diag(1/w^2) U x`."""
        self._refuse_singular(pseudo, "solving")
        return self._filter(x, -2.0)

    def project(self, x: Tensor) -> Tensor:
        """`U* diag(w > 0) U x`."""
        self._check(x)
        return self._filter(x, 0.0) if self.is_singular else x

    def logdet(self, pseudo: bool = False) -> float:
        """`2 sum_c sum_f m(f) log w_c(f)` over the frequencies with `w > 0`."""
        self._refuse_singular(pseudo, "log-determinant")
        logs = torch.where(self.weights > 0, self.weights, 1.0).log()
        return 2 * float((self._multiplicity * logs).sum())

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape, basis, calibration and spectrum."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "basis": self.basis.to_dict(),
            "calibration": self.calibration,
            "spectrum": self.spectrum.to_dict(),
        }

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        parts = {"spectrum": Spectrum.from_dict(fields["spectrum"]), "basis": Basis.from_dict(fields["basis"])}
        return cls(**fields | parts)

    @property
    def label(self) -> str:
        """The spectrum, and the basis if it is not Fourier's."""
        where = "" if isinstance(self.basis, FourierBasis) else f" ({self.basis.kind})"
        return self.spectrum.label + where

    def _eigenvalues_in(self, basis: Basis) -> Tensor | None:
        if bool((self.weights == self.weights.flatten()[0]).all()):  # white in any basis
            return torch.full(basis.coefficients, float(self.weights.flatten()[0]) ** 2, dtype=torch.float64)
        # Weights common to all channels stay as they are when channels are mixed.
        common = self.weights.ndim == self.basis.rank and _spatial_part(basis) == _spatial_part(self.basis)
        return self.eigenvalues if common or basis == self.basis else None

    def _filter(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        wide = torch.float64 if self._steep or x.dtype == torch.float64 else torch.float32
        coefficients = self.basis.forward(x.to(wide))
        return self.basis.inverse(coefficients * self._powers(power, wide, x.device)).to(x.dtype)


class DenseCovariance(Covariance, kind="dense"):
    """Any covariance as an explicit matrix: the oracle of tests, and small problems of your own.

    Args:
        matrix: Symmetric positive semi-definite `(size, size)` on flattened fields; kept in float64.
        shape: `(C, *spatial)`.
        tolerance: Eigenvalues below `tolerance` times the largest count as zero.

    Raises:
        InputError: If the matrix has the wrong size, is not symmetric, or has negative eigenvalues.
    """

    def __init__(self, matrix: Tensor, shape: Sequence[int], tolerance: float = 1e-10) -> None:
        super().__init__(shape)
        matrix = matrix.to("cpu", torch.float64)
        if matrix.shape != (self.size, self.size):
            raise InputError(
                f"matrix must be ({self.size}, {self.size}) for shape {self.shape}, got {tuple(matrix.shape)}"
            )
        if not torch.isfinite(matrix).all() or not torch.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10):
            raise InputError("matrix must be finite and symmetric")
        values, self._vectors = torch.linalg.eigh(matrix)
        if values.min() < -tolerance * values.max() or values.max() <= 0:
            raise InputError(
                f"matrix must be positive semi-definite, its smallest eigenvalue is {values.min().item():.3g}"
            )
        self.matrix = matrix
        self._values = torch.where(values > tolerance * values.max(), values, 0.0)

    @property
    def rank(self) -> int:
        """Number of non-zero eigenvalues."""
        return int((self._values > 0).sum())

    @property
    def trace(self) -> float:
        """Sum of eigenvalues."""
        return float(self._values.sum())

    def sqrt(self, x: Tensor) -> Tensor:
        """Symmetric root times `x`."""
        return self._function(x, 0.5)

    def apply(self, x: Tensor) -> Tensor:
        """Matrix times `x`."""
        return self._function(x, 1.0)

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """Symmetric inverse root times `x`."""
        self._refuse_singular(pseudo, "whitening")
        return self._function(x, -0.5)

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """Inverse times `x`."""
        self._refuse_singular(pseudo, "solving")
        return self._function(x, -1.0)

    def project(self, x: Tensor) -> Tensor:
        """Projection onto the eigenvectors with non-zero eigenvalues."""
        return self._function(x, 0.0)

    def logdet(self, pseudo: bool = False) -> float:
        """Sum of logs of non-zero eigenvalues."""
        self._refuse_singular(pseudo, "log-determinant")
        return float(self._values[self._values > 0].log().sum())

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape and a checksum of the matrix."""
        checksum = hashlib.sha256(self.matrix.numpy().tobytes()).hexdigest()
        return {"kind": self.kind, "shape": list(self.shape), "sha256": checksum}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        raise InputError("a dense covariance cannot be rebuilt: its description holds a checksum, not the matrix")

    def _function(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        wide = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        inside = self._values > 0
        values = torch.where(inside, self._values, 1.0) ** power * inside
        matrix = ((self._vectors * values) @ self._vectors.T).to(device=x.device, dtype=wide)
        flat = x.to(wide).flatten(-len(self.shape))
        return (flat @ matrix).reshape(x.shape).to(x.dtype)


class ModulatedCovariance(Covariance, kind="modulated"):
    """`diag(m) Sigma diag(m)`: noise of covariance `Sigma` whose amplitude varies over the field.

    Where `m = 0` there is no noise; amplitudes below `NO_AMPLITUDE` of the largest count as 0. The factor of `sqrt` is
    `L = diag(m) L_Sigma`, which is not symmetric.

    With zeros in `m`, inverses and the log-determinant need the inverse of a block of `Sigma`; they are exact for white
    inner noise and refused for any other, `pseudo` or not. All else is exact.

    Args:
        region: Amplitude `m(x) >= 0`, `(*spatial)` or `(C, *spatial)`.
        inner: `Sigma`, of full rank: the projection onto the range is then the restriction to `m > 0`.

    Raises:
        InputError: If the region does not fit the shape, or if `inner` is singular or depends on the class.
    """

    def __init__(self, region: Region, inner: Covariance) -> None:
        super().__init__(inner.shape)
        if isinstance(inner, (ClassCovariance, LabelledCovariance)):
            raise InputError("a region cannot modulate noise that depends on the class; modulate that of each class")
        if inner.is_singular:
            raise InputError(
                f"a region needs inner noise of full rank, got rank {inner.rank} of {inner.size}: no exact projection"
                " exists for others; use a spectrum with positive weights, e.g. outside > 0"
            )
        self.region = Region.parse(region)
        self.inner = inner
        amplitude = self.region.amplitude(self.shape[1:])
        if tuple(amplitude.shape) not in (self.shape[1:], self.shape):
            raise InputError(f"the region has {len(amplitude)} channels, the data has {self.shape[0]}; give one each")
        self.amplitude = amplitude * (amplitude > NO_AMPLITUDE * amplitude.max())
        self._rank = int((self.amplitude > 0).expand(self.shape).sum())
        self._steep = _span(self.amplitude) > STEEP_SPAN
        self._amplitudes = _Powers(self.amplitude)

    @property
    def rank(self) -> int:
        """Number of values with `m > 0`."""
        return self._rank

    @property
    def trace(self) -> float:
        """`sum_x m(x)^2 Sigma_xx`; `O(size^2)` unless the inner covariance is stationary."""
        return float((self.amplitude.square() * self.inner._variances()).sum())

    def sqrt(self, x: Tensor) -> Tensor:
        """`m L_Sigma x`: a factor, not the symmetric root."""
        return self._widely(x, lambda m, y: m(1) * self.inner.sqrt(y))

    def apply(self, x: Tensor) -> Tensor:
        """`m Sigma (m x)`."""
        return self._widely(x, lambda m, y: m(1) * self.inner.apply(m(1) * y))

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`L_Sigma^-1 (x / m)`; 0 for `x / m` where `m = 0`."""
        self._require_invertible(pseudo, "whitening")
        return self._widely(x, lambda m, y: self.inner.whiten(m(-1) * y))

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`Sigma^-1 (x / m) / m`; 0 for `1 / m` where `m = 0`."""
        self._require_invertible(pseudo, "solving")
        return self._widely(x, lambda m, y: m(-1) * self.inner.solve(m(-1) * y))

    def project(self, x: Tensor) -> Tensor:
        """`x` where `m > 0`, else 0."""
        self._check(x)
        return x * self._amplitudes(0, x.dtype, x.device) if self.is_singular else x

    def logdet(self, pseudo: bool = False) -> float:
        """`2 sum_x log m(x) + log det Sigma`, over the values with `m > 0`."""
        self._require_invertible(pseudo, "log-determinant")
        logs = torch.where(self.amplitude > 0, self.amplitude, 1.0).log().expand(self.shape)
        # With zeros the inner noise is white: each value that is left has its share.
        return 2 * float(logs.sum()) + float(self.inner.logdet()) * self.rank / self.size

    def power_range(self, basis: Basis) -> tuple[Tensor, Tensor]:
        """That of the inner noise, times the least and the largest `m^2` of places with noise."""
        least, most = self.inner.power_range(basis)
        m = self.amplitude[self.amplitude > 0].square()
        return float(m.min()) * least, float(m.max()) * most

    @property
    def label(self) -> str:
        """The inner noise and the region."""
        return f"{self.inner.label} in {self.region.kind}"

    def to_dict(self) -> dict[str, Any]:
        """Kind, region and inner covariance."""
        return {"kind": self.kind, "region": self.region.to_dict(), "inner": self.inner.to_dict()}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        parts = {"region": Region.from_dict(fields["region"]), "inner": Covariance.from_dict(fields["inner"])}
        return cls(**fields | parts)

    def _mean_autocovariance(self) -> Tensor | None:
        """The inner one times the correlations `mean_y m_c(y) m_d(y + x)`; their transforms are convolved."""
        inner = self.inner._mean_autocovariance() if self.inner.is_stationary else None
        if inner is None:
            return None
        basis = FourierBasis(self.shape[1:])
        c = basis.forward(self.amplitude.expand(self.shape))
        return inner * basis.inverse(c[:, None].conj() * c) / math.sqrt(basis.size)

    def _require_invertible(self, pseudo: bool, operation: str) -> None:
        self._refuse_singular(pseudo, operation)
        if self.is_singular and not isinstance(self.inner, IsotropicCovariance):
            raise SingularCovarianceError(
                f"{operation} where {self.size - self.rank} of {self.size} values carry no noise needs white noise"
                " inside the region; use a flat spectrum, or a positive amplitude outside"
            )

    def _widely(self, x: Tensor, operate: Callable[[Callable[[int], Tensor], Tensor], Tensor]) -> Tensor:
        """`operate(m, x)` in float32 or wider, `m` being the powers of the amplitude."""
        self._check(x)
        wide = torch.float64 if self._steep or x.dtype == torch.float64 else torch.float32
        return operate(lambda power: self._amplitudes(power, wide, x.device), x.to(wide)).to(x.dtype)


class ClassCovariance(Covariance, kind="by_class"):
    """One covariance per class label. It acts on nothing until `given(labels)` says which sample is of which class.

    `mean_power` is the mean over classes; every other operation is refused.

    Args:
        covariances: That of label `k` at place `k`; all of one shape.

    Raises:
        InputError: If there are none, or their shapes differ.
    """

    def __init__(self, covariances: Sequence[Covariance]) -> None:
        if not covariances:
            raise InputError("a covariance by class needs at least one class, got none")
        super().__init__(covariances[0].shape)
        for label, member in enumerate(covariances):
            if isinstance(member, (ClassCovariance, LabelledCovariance)):
                raise InputError(f"the covariance of class {label} depends on the class itself; give plain ones")
            if member.shape != self.shape:
                raise InputError(f"covariances of class 0 and {label} have shapes {self.shape} and {member.shape}")
        self.covariances = tuple(covariances)

    def given(self, labels: Tensor | None) -> LabelledCovariance:
        """The covariance of samples with these labels, `(B,)` integers.

        Raises:
            InputError: Without labels, or with one that is not of a class.
        """
        if labels is None:
            raise InputError(f"the noise depends on the class: give labels, integers in [0, {len(self.covariances)})")
        return LabelledCovariance(self, torch.as_tensor(labels))

    @property
    def is_singular(self) -> bool:
        """Whether that of any class is."""
        return any(member.is_singular for member in self.covariances)

    @property
    def rank(self) -> NoReturn:
        """Refused."""
        self._refuse("rank")

    @property
    def trace(self) -> NoReturn:
        """Refused."""
        self._refuse("trace")

    def sqrt(self, x: Tensor) -> NoReturn:
        """Refused."""
        self._refuse("sqrt")

    def apply(self, x: Tensor) -> NoReturn:
        """Refused."""
        self._refuse("apply")

    def whiten(self, x: Tensor, pseudo: bool = False) -> NoReturn:
        """Refused."""
        self._refuse("whiten")

    def solve(self, x: Tensor, pseudo: bool = False) -> NoReturn:
        """Refused."""
        self._refuse("solve")

    def project(self, x: Tensor) -> NoReturn:
        """Refused."""
        self._refuse("project")

    def logdet(self, pseudo: bool = False) -> NoReturn:
        """Refused."""
        self._refuse("logdet")

    def power_spectrum(self, basis: Basis) -> NoReturn:
        """Refused."""
        self._refuse("power_spectrum")

    def mean_power(self, basis: Basis) -> Tensor:
        """Mean over classes of `E |U eps|^2`, `(C, *coefficients)`, float64."""
        return torch.stack([member.mean_power(basis) for member in self.covariances]).mean(0)

    def power_range(self, basis: Basis) -> tuple[Tensor, Tensor]:
        """Over the classes that have noise at a coefficient."""
        ranges = [member.power_range(basis) for member in self.covariances]
        least = torch.stack([torch.where(low > 0, low, math.inf) for low, _ in ranges]).amin(0)
        return torch.where(torch.isfinite(least), least, 0.0), torch.stack([high for _, high in ranges]).amax(0)

    def to_dict(self) -> dict[str, Any]:
        """Kind and the classes' covariances."""
        return {"kind": self.kind, "covariances": [member.to_dict() for member in self.covariances]}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields | {"covariances": [Covariance.from_dict(member) for member in fields["covariances"]]})

    def _refuse(self, operation: str) -> NoReturn:
        raise InputError(f"{operation} depends on the class; call given(labels) first")


class LabelledCovariance(Covariance):
    """The covariance of a batch of samples with class labels: `Sigma_{y_b}` for sample `b`.

    Fields are `(B, *, C, *spatial)`: their first batch axis is that of the labels. `rank`, `trace` and `logdet` are
    tensors `(B,)`, the dense form is `(B, size, size)`, power spectra are `(B, C, *coefficients)`: one per sample, on
    the device of the labels.

    Args:
        by_class: Covariance of each class.
        labels: `(B,)`, integers in `[0, K)`.

    Raises:
        InputError: If the labels are not integers, not one axis, or out of range.
    """

    def __init__(self, by_class: ClassCovariance, labels: Tensor) -> None:
        super().__init__(by_class.shape)
        count = len(by_class.covariances)
        if (
            labels.ndim != 1
            or not len(labels)
            or labels.is_floating_point()
            or labels.is_complex()
            or labels.dtype == torch.bool
        ):
            raise InputError(f"labels must be integers (B,), got {labels.dtype} {tuple(labels.shape)}")
        self.by_class = by_class
        self.labels = tuple(labels.tolist())
        self._device = labels.device
        wrong = [label for label in self.labels if not 0 <= label < count]
        if wrong:
            raise InputError(f"label {wrong[0]} is of no class: labels must be in [0, {count})")
        # Samples sorted by class, the share of each class that occurs, and the way back to the order of the batch.
        by_label = torch.argsort(labels.cpu(), stable=True)
        present, counts = torch.unique_consecutive(labels.cpu()[by_label], return_counts=True)
        self._members = dict(zip(present.tolist(), by_label.split(counts.tolist()), strict=True))
        self._order = torch.argsort(by_label)

    @property
    def rank(self) -> Tensor:
        """Per sample, `(B,)`, int64."""
        return self._per_sample(lambda member: member.rank, torch.int64)

    @property
    def trace(self) -> Tensor:
        """Per sample, `(B,)`, float64."""
        return self._per_sample(lambda member: member.trace)

    @property
    def is_singular(self) -> bool:
        """Whether that of any sample is."""
        return any(self.by_class.covariances[label].is_singular for label in self._members)

    def sqrt(self, x: Tensor) -> Tensor:
        """`L` of its class times each sample."""
        return self._each(x, lambda member, y: member.sqrt(y))

    def apply(self, x: Tensor) -> Tensor:
        """`Sigma` of its class times each sample."""
        return self._each(x, lambda member, y: member.apply(y))

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`L^-1` of its class times each sample."""
        return self._each(x, lambda member, y: member.whiten(y, pseudo))

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`Sigma^-1` of its class times each sample."""
        return self._each(x, lambda member, y: member.solve(y, pseudo))

    def project(self, x: Tensor) -> Tensor:
        """Each sample projected onto the range of its class."""
        return self._each(x, lambda member, y: member.project(y))

    def logdet(self, pseudo: bool = False) -> Tensor:
        """Per sample, `(B,)`, float64."""
        return self._per_sample(lambda member: member.logdet(pseudo))

    def to_dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """The matrix of each sample's covariance, `(B, size, size)`."""
        return self._per_sample(lambda member: member.to_dense(dtype), dtype)

    def power_spectrum(self, basis: Basis) -> Tensor:
        """Eigenvalues per sample, `(B, C, *coefficients)`, float64."""
        shape = (self.shape[0], *basis.coefficients)
        return self._per_sample(lambda member: member.power_spectrum(basis).expand(shape))

    def mean_power(self, basis: Basis) -> Tensor:
        """`E |U eps|^2` per sample, `(B, C, *coefficients)`, float64."""
        return self._per_sample(lambda member: member.mean_power(basis))

    def to_dict(self) -> dict[str, Any]:
        """The classes' covariances and the labels; not to be rebuilt, since labels are no part of a process."""
        return {"kind": "labelled", "by_class": self.by_class.to_dict(), "labels": list(self.labels)}

    def _check(self, x: Tensor) -> None:
        super()._check(x)
        if x.ndim == len(self.shape) or len(x) != len(self.labels):
            raise InputError(
                f"field of shape {tuple(x.shape)} needs {len(self.labels)} samples on its first axis, one per label"
            )

    def _each(self, x: Tensor, operate: Callable[[Covariance, Tensor], Tensor]) -> Tensor:
        """Every sample through the operation of its class."""
        self._check(x)
        members = self.by_class.covariances
        if len(self._members) == 1:
            return operate(members[self.labels[0]], x)
        parts = [operate(members[label], x[index.to(x.device)]) for label, index in self._members.items()]
        return torch.cat(parts)[self._order.to(x.device)]

    def _per_sample(self, value: Callable[[Covariance], Any], dtype: torch.dtype = torch.float64) -> Tensor:
        """A value of each sample's class, on the device of the labels."""
        members = self.by_class.covariances
        values = {label: torch.as_tensor(value(members[label]), dtype=dtype) for label in self._members}
        return torch.stack([values[label] for label in self.labels]).to(self._device)


def check_weights(weights: Tensor, basis: Basis, name: str, channels: int = 1) -> None:
    """Refuse weights that are no amplitudes of a real noise: negative, non-finite, all zero, misshapen or asymmetric.

    Args:
        weights: `(*coefficients)`, or `(C, *coefficients)` with weights per channel.
        basis: The basis of the coefficients.
        name: What to call the weights in messages.
        channels: `C`.

    Raises:
        InputError: Naming the fault and `name`.
    """
    shape = tuple(weights.shape)
    if shape[1:] == basis.coefficients and shape[0] != channels:
        raise InputError(f"{name} has {shape[0]} spectra, the data has {channels} channels; give one each")
    if shape not in (basis.coefficients, (channels, *basis.coefficients)):
        raise InputError(f"weights of {name} have shape {shape}, the basis needs {basis.coefficients}")
    if not torch.isfinite(weights).all():
        raise InputError(f"weights of {name} hold NaN or infinity; they must be finite and not negative")
    if weights.min() < 0:
        raise InputError(f"weights of {name} reach {weights.min().item():.3g}; they must not be negative")
    if weights.max() == 0:
        raise InputError(
            f"weights of {name} are zero at every frequency of {basis.spatial}; some band must carry noise"
        )
    basis.check_symmetry(weights)


def build_covariance(
    spectrum: Spectrum,
    shape: Sequence[int],
    calibration: Calibration = "variance",
    basis: Basis | None = None,
    region: Region | None = None,
    classes: Sequence[str] | None = None,
) -> Covariance:
    """The covariance of a spectrum.

    Args:
        spectrum: Weights `w(f)`. White noise takes the route without a transform, whatever the basis.
        shape: `(C, *spatial)`.
        calibration: How the level of `w` is set; see `SpectralCovariance`. Each class is calibrated on its own.
        basis: The transform; defaults to the Fourier basis of the spatial axes.
        region: Where the noise is, and how strong; its amplitudes multiply the calibrated noise.
        classes: Names of the classes, in the order of their labels; needed if the spectrum depends on the class.

    Raises:
        InputError: If the parts do not fit each other, or the spectrum still needs statistics of data.
    """
    if spectrum.needs_data:
        raise InputError(f"{spectrum.label} depends on the data: give its statistics, spectrum.resolve(statistics)")
    if isinstance(spectrum, ClassConditional):
        if not classes:
            raise InputError(f"{spectrum.label} depends on the class: give the names of the classes")
        members = [build_covariance(s, shape, calibration, basis, region) for s in spectrum.for_classes(classes)]
        return ClassCovariance(members)
    if isinstance(spectrum, Flat):
        covariance: Covariance = IsotropicCovariance(shape)
        if basis is not None:
            _require_basis(basis, covariance.shape)
    else:
        covariance = SpectralCovariance(spectrum, shape, basis, calibration)
    return covariance if region is None else ModulatedCovariance(region, covariance)


class _Powers:
    """`a^power` where `a > 0`, else 0; computed in float64 once per type and device, and not copied with its owner."""

    def __init__(self, base: Tensor) -> None:
        self._base = base
        self._known: dict[tuple[float, torch.dtype, torch.device], Tensor] = {}

    @torch.inference_mode(False)  # what it keeps may serve in training later
    def __call__(self, power: float, dtype: torch.dtype, device: torch.device) -> Tensor:
        key = (power, dtype, device)
        if key not in self._known:
            inside = self._base > 0
            values = torch.where(inside, self._base, 1.0) ** power * inside
            self._known[key] = values.to(device=device, dtype=dtype)
        return self._known[key]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": {}}


def _spatial_part(basis: Basis) -> Basis:
    """The basis without its mixing of channels."""
    return basis.inner if isinstance(basis, ChannelBasis) else basis


def _span(values: Tensor) -> float:
    """Ratio of the largest to the least positive value."""
    return float(values.max() / values[values > 0].min())


def _require_basis(basis: Basis, shape: tuple[int, ...]) -> None:
    if basis.spatial != shape[1:]:
        raise InputError(f"basis is for spatial shape {basis.spatial}, covariance for {shape[1:]}")
    if basis.channels not in (None, shape[0]):
        raise InputError(f"basis mixes {basis.channels} channels, the data has {shape[0]}")


def _calibrate(weights: Tensor, multiplicity: Tensor, calibration: Calibration) -> Tensor:
    if calibration == "none":
        return weights
    counts = multiplicity.expand(weights.shape)
    if calibration == "variance":
        relative = weights / weights.max()  # squares of very small or large weights would leave float64
        return relative / torch.sqrt((counts * relative.square()).sum() / counts.sum())
    if calibration == "snr":
        inside = weights > 0
        return weights * torch.exp(-(counts[inside] * weights[inside].log()).sum() / counts[inside].sum())
    raise InputError(f"calibration must be 'variance', 'snr' or 'none', got {calibration!r}")
