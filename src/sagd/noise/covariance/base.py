"""Covariances: the base of all."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sagd.errors import InputError, SingularCovarianceError
from sagd.noise.basis.base import Basis
from sagd.random import Generators, randn
from sagd.spec import suggest
from sagd.tensors import Holding, exact

CHUNK = 2**21
"""Numbers held at a time where unit fields are pushed through an operator one by one."""


class Covariance(Holding, ABC):
    """A covariance operator on fields of shape `(C, *spatial)`.

    A subclass supplies `Sigma` as an operator (`apply`, `solve`, `project`), a factor of it (`sqrt`, `whiten`) and its
    rank, trace and log-determinant; sampling, norms and the dense form follow. One that names its `kind` and supplies
    `_read` can be read back from its description.

    Args:
        shape: `(C, *spatial)`.
    """

    basis: Basis | None = None
    """The basis that it is diagonal in by construction; None if there is none."""

    kind: ClassVar[str] = ""
    _kinds: ClassVar[dict[str, type[Covariance]]] = {}

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind
            cls._kinds[kind] = cls

    def __init__(self, shape: Sequence[int]) -> None:
        if not isinstance(shape, Sequence) or len(shape) < 2 or any(int(side) != side or side < 1 for side in shape):
            raise InputError(f"shape must be (channels, *spatial) with positive sides, got {shape!r}; e.g. (3, 32, 32)")
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
        require_basis(basis, self.shape)
        power = self._eigenvalues_in(basis)
        if power is None:
            power = self._fourier_power(basis)
        if power is None:
            power = torch.zeros(self.shape[0], *basis.coefficients, dtype=torch.float64)
            for fields in self._unit_fields():
                power += basis.forward(self.sqrt(fields)).abs().square().sum(0)
        return power.expand(self.shape[0], *basis.coefficients).clone()

    def is_diagonal_in(self, basis: Basis) -> bool:
        """Whether `Sigma` is known to be diagonal in a basis."""
        return self._eigenvalues_in(basis) is not None

    def has_closed_power(self, basis: Basis) -> bool:
        """Whether `mean_power` in this basis takes a few transforms, and not one for every value of a field."""
        return self.is_diagonal_in(basis) or self._fourier_power(basis) is not None

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
    def members(self) -> tuple[Covariance, ...]:
        """The covariance of each class, in the order of labels; itself alone where the class does not matter."""
        return (self,)

    @property
    def depends_on_class(self) -> bool:
        """Whether each class has a covariance of its own."""
        return False

    @property
    def is_white(self) -> bool:
        """Whether `Sigma` is a multiple of the identity, as far as is known."""
        return False

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
        autocovariance = self._mean_autocovariance() if basis.is_fourier else None
        if autocovariance is None:
            return None
        mix = torch.eye(self.shape[0], dtype=torch.float64)
        if basis.mixing is not None:
            mix = torch.tensor(basis.mixing, dtype=torch.float64)
        mixed = torch.einsum("kc,cd...,kd->k...", mix, autocovariance, mix)
        return (math.sqrt(basis.size) * basis.spatial_part.forward(mixed).real).clamp(min=0)

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
        batch = tuple(batch) if isinstance(batch, Sequence) else (batch,)
        if not all(hasattr(size, "__index__") and size > 0 for size in batch):
            raise InputError(f"a batch has whole numbers of at least 1, got {batch if len(batch) > 1 else batch[0]!r}")
        if not batch and isinstance(generator, Sequence):
            raise InputError(f"got {len(generator)} generators and no batch axis; give one generator")
        return self.sqrt(randn((*batch, *self.shape), generator, dtype, device))

    def sample_like(self, x: Tensor, generator: Generators = None) -> Tensor:
        """Draw one `eps ~ N(0, Sigma)` per field of `x`, `(*, C, *spatial)`, of its type and on its device.

        Raises:
            InputError: If `x` is not floating point or does not end in the shape of this covariance.
        """
        self._check(x)
        return self.sample(x.shape[: -len(self.shape)], generator, x.dtype, x.device)

    def mahalanobis(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`x^T Sigma^-1 x` per sample, `(*, C, *spatial) -> (*)`, summed in float64."""
        return exact(self.whiten(x, pseudo)).square().flatten(-len(self.shape)).sum(-1)

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
        if not isinstance(x, Tensor):
            raise InputError(f"a field must be a torch.Tensor, got {type(x).__name__}")
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


def require_basis(basis: Basis, shape: tuple[int, ...]) -> None:
    """Refuse a basis that is not of fields of this shape.

    Raises:
        InputError: Naming both shapes.
    """
    if basis.spatial != shape[1:]:
        raise InputError(f"basis is for spatial shape {basis.spatial}, covariance for {shape[1:]}")
    if basis.channels not in (None, shape[0]):
        raise InputError(f"basis mixes {basis.channels} channels, the data has {shape[0]}")
