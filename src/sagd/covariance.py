"""Noise covariances `Sigma` as linear operators on fields `(*, C, *spatial)`.

`SpectralCovariance` is the operator of the paper: with an orthonormal basis `U` and weights `w(f) >= 0`,

    T_w = U* diag(w) U,     Sigma_w = T_w T_w* = U* diag(w^2) U,     eps_w = T_w xi ~ N(0, Sigma_w).

Frequencies with `w = 0` carry no noise: `Sigma` is then singular, `solve`, `whiten` and `logdet` refuse, and their
pseudo-inverse forms (`pseudo=True`) act on the range, which `project` projects onto. Spectral arithmetic is in float32,
or float64 where the input is or the weights are steep; half-precision inputs come back in their own type.
"""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from sagd.basis import Basis, FourierBasis
from sagd.errors import InputError, SingularCovarianceError
from sagd.randomness import Generators, randn
from sagd.spectrum import Flat, Spectrum

STEEP_SPAN = 1e3
"""Ratio of largest to least positive weight from which filtering is done in float64."""
MAX_SPAN = 1e6
"""Largest such ratio: beyond it the weaker frequencies drown in the rounding of a float32 field."""

Calibration = Literal["variance", "none"]


class Covariance(ABC):
    """A covariance operator on fields of shape `(C, *spatial)`.

    A subclass supplies the symmetric functions of `Sigma` (`apply`, `sqrt`, `whiten`, `solve`, `project`) and its rank,
    trace and log-determinant; sampling, norms and the dense form follow.

    Args:
        shape: `(C, *spatial)`.
    """

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
    def rank(self) -> int:
        """Number of dimensions that carry noise."""

    @property
    @abstractmethod
    def trace(self) -> float:
        """`tr Sigma = E ||eps||^2`."""

    @abstractmethod
    def sqrt(self, x: Tensor) -> Tensor:
        """`Sigma^(1/2) x`, the symmetric root; for spectral covariances this is `T_w x`."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """`Sigma x`."""

    @abstractmethod
    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`Sigma^(-1/2) x`; with `pseudo`, the root of the pseudo-inverse.

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
    def logdet(self, pseudo: bool = False) -> float:
        """`log det Sigma`; with `pseudo`, the sum of logs of the non-zero eigenvalues.

        Raises:
            SingularCovarianceError: If `Sigma` is singular and `pseudo` is false.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description that identifies the operator."""

    def power_spectrum(self, basis: Basis) -> Tensor:
        """Eigenvalues by coefficient of `basis`, `(*coefficients)`, float64.

        Raises:
            InputError: If the covariance is not diagonal in `basis`.
        """
        raise InputError(f"{type(self).__name__} is not known to be diagonal in {basis}")

    @property
    def is_singular(self) -> bool:
        """Whether some direction carries no noise."""
        return self.rank < self.size

    def sample(
        self,
        batch: Sequence[int] | int,
        generator: Generators = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw `eps = Sigma^(1/2) xi ~ N(0, Sigma)`.

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
        return f"{type(self).__name__}({self.to_dict()})"

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


class IsotropicCovariance(Covariance):
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

    def power_spectrum(self, basis: Basis) -> Tensor:
        """`variance` at every coefficient of any orthonormal basis."""
        return torch.full(basis.coefficients, self.variance, dtype=torch.float64)

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape, variance."""
        return {"kind": "isotropic", "shape": list(self.shape), "variance": self.variance}

    def _scale(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        return x if self.variance == 1 or power == 0 else x * self.variance**power


class SpectralCovariance(Covariance):
    """`Sigma_w = U* diag(w^2) U`, the same for every channel.

    Args:
        spectrum: Spectral weights `w(f)`.
        shape: `(C, *spatial)`.
        basis: The transform `U`; defaults to the Fourier basis of the spatial axes.
        calibration: "variance" scales `w` so that the mean of `w^2` over all `d` frequencies is 1 and `E||eps||^2 = C
            d` whatever the shape of `w`; "none" keeps the raw weights.

    Raises:
        InputError: If weights are negative, not finite, all zero, or not symmetric as real fields require.

    Source: arXiv:2510.09660, equations 5-8; calibration replaces the per-sample normalisation of its appendix code,
    which is neither Gaussian nor has covariance `Sigma_w`.
    """

    def __init__(
        self,
        spectrum: Spectrum,
        shape: Sequence[int],
        basis: Basis | None = None,
        calibration: Calibration = "variance",
    ) -> None:
        super().__init__(shape)
        self.spectrum = spectrum
        self.basis = basis or FourierBasis(self.shape[1:])
        self.calibration = calibration
        if self.basis.spatial != self.shape[1:]:
            raise InputError(f"basis is for spatial shape {self.basis.spatial}, covariance for {self.shape[1:]}")
        raw = spectrum.weights(self.basis.frequencies()).double()
        check_weights(raw, self.basis, str(spectrum))
        span = float(raw.max() / raw[raw > 0].min())
        if span > MAX_SPAN:
            raise InputError(
                f"weights of {spectrum} span a factor of {span:.3g}, more than {MAX_SPAN:.0e}: the weak frequencies"
                " would drown in rounding; use a milder spectrum, or zero weight where no noise is wanted"
            )
        self._steep = span > STEEP_SPAN
        self._multiplicity = self.basis.multiplicity()
        self.weights = _calibrate(raw, self._multiplicity, calibration)
        self._powers: dict[tuple[float, torch.dtype, torch.device], Tensor] = {}

    @property
    def eigenvalues(self) -> Tensor:
        """`w(f)^2` after calibration, `(*coefficients)`, float64: the power spectrum of the noise."""
        return self.weights.square()

    @property
    def rank(self) -> int:
        """Channels times the degrees of freedom of frequencies with `w > 0`."""
        return self.shape[0] * round(float(self._multiplicity[self.weights > 0].sum()))

    @property
    def trace(self) -> float:
        """`C sum_f m(f) w(f)^2`."""
        return self.shape[0] * float((self._multiplicity * self.eigenvalues).sum())

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
        """`2 C sum_f m(f) log w(f)` over the frequencies with `w > 0`."""
        self._refuse_singular(pseudo, "log-determinant")
        inside = self.weights > 0
        return 2 * self.shape[0] * float((self._multiplicity[inside] * self.weights[inside].log()).sum())

    def power_spectrum(self, basis: Basis) -> Tensor:
        """`w(f)^2`, if `basis` is the covariance's own."""
        return self.eigenvalues if basis == self.basis else super().power_spectrum(basis)

    def to_dict(self) -> dict[str, Any]:
        """Kind, shape, basis, calibration and spectrum."""
        return {
            "kind": "spectral",
            "shape": list(self.shape),
            "basis": type(self.basis).__name__,
            "calibration": self.calibration,
            "spectrum": self.spectrum.to_dict(),
        }

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_powers": {}}

    def _filter(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        wide = torch.float64 if self._steep or x.dtype == torch.float64 else torch.float32
        coefficients = self.basis.forward(x.to(wide))
        return self.basis.inverse(coefficients * self._power(power, wide, x.device)).to(x.dtype)

    def _power(self, power: float, dtype: torch.dtype, device: torch.device) -> Tensor:
        """`w^power` where `w > 0`, else 0; computed in float64 once per type and device."""
        key = (power, dtype, device)
        if key not in self._powers:
            inside = self.weights > 0
            values = torch.where(inside, self.weights, 1.0) ** power * inside
            self._powers[key] = values.to(device=device, dtype=dtype)
        return self._powers[key]


class DenseCovariance(Covariance):
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
        return {"kind": "dense", "shape": list(self.shape), "sha256": checksum}

    def _function(self, x: Tensor, power: float) -> Tensor:
        self._check(x)
        wide = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        inside = self._values > 0
        values = torch.where(inside, self._values, 1.0) ** power * inside
        matrix = ((self._vectors * values) @ self._vectors.T).to(device=x.device, dtype=wide)
        flat = x.to(wide).flatten(-len(self.shape))
        return (flat @ matrix).reshape(x.shape).to(x.dtype)


def check_weights(weights: Tensor, basis: Basis, name: str) -> None:
    """Refuse weights that are no amplitudes of a real noise: negative, non-finite, all zero, misshapen or asymmetric.

    Raises:
        InputError: Naming the fault and `name`.
    """
    if tuple(weights.shape) != basis.coefficients:
        raise InputError(f"weights of {name} have shape {tuple(weights.shape)}, the basis needs {basis.coefficients}")
    if not torch.isfinite(weights).all():
        raise InputError(f"weights of {name} hold NaN or infinity; they must be finite and not negative")
    if weights.min() < 0:
        raise InputError(f"weights of {name} reach {weights.min().item():.3g}; they must not be negative")
    if weights.max() == 0:
        raise InputError(
            f"weights of {name} are zero at every frequency of {basis.spatial}; some band must carry noise"
        )
    basis.check_symmetry(weights)


def build_covariance(spectrum: Spectrum, shape: Sequence[int], calibration: Calibration = "variance") -> Covariance:
    """The covariance of a spectrum; white noise takes the route without a transform."""
    if isinstance(spectrum, Flat):
        return IsotropicCovariance(shape)
    return SpectralCovariance(spectrum, shape, calibration=calibration)


def _calibrate(weights: Tensor, multiplicity: Tensor, calibration: Calibration) -> Tensor:
    if calibration == "none":
        return weights
    if calibration == "variance":
        relative = weights / weights.max()  # squares of very small or large weights would leave float64
        return relative / torch.sqrt((multiplicity * relative.square()).sum() / multiplicity.sum())
    raise InputError(f"calibration must be 'variance' or 'none', got {calibration!r}")
