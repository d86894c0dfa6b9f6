"""A covariance for each class, and the one of a batch of labelled fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Self

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.base import Covariance


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
            if member.depends_on_class:
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
    def members(self) -> tuple[Covariance, ...]:
        """That of each class."""
        return self.covariances

    @property
    def depends_on_class(self) -> bool:
        """Yes."""
        return True

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
    def members(self) -> tuple[Covariance, ...]:
        """That of each class, whether or not a sample is of it."""
        return self.by_class.covariances

    @property
    def depends_on_class(self) -> bool:
        """Yes."""
        return True

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
        places = {label: self.held("_places", torch.int64, x.device, label) for label in self._members}
        parts = [operate(members[label], x[index]) for label, index in places.items()]
        return torch.cat(parts)[self.held("_order", torch.int64, x.device)]

    def _places(self, label: int) -> Tensor:
        """The samples of a class."""
        return self._members[label]

    def _per_sample(self, value: Callable[[Covariance], Any], dtype: torch.dtype = torch.float64) -> Tensor:
        """A value of each sample's class, on the device of the labels."""
        members = self.by_class.covariances
        values = {label: torch.as_tensor(value(members[label]), dtype=dtype) for label in self._members}
        return torch.stack([values[label] for label in self.labels]).to(self._device)
