"""What a model is told of each sample besides `x_t` and `t`: class numbers, images, embeddings, masks, as one value.

A condition is a mapping of names to tensors whose first axis is the batch. All of it reaches the network, as
`network(x, t, **condition)`. Some names have a meaning to the library:

    labels      `(B,)`, class numbers; noise by class asks for them
    image       `(B, C', *spatial)`, fields on the grid of the data: what is to be refined, continued or filled in
    embedding   `(B, features)` or `(B, length, features)`
    mask        `(B, 1|C, *spatial)`, 1 or true where the data of a sample is valid: the loss counts those places alone,
                and a network is shown it if it takes a condition of that name
"""

from __future__ import annotations

from collections.abc import Collection, ItemsView, KeysView, Mapping, Sequence
from typing import overload

import torch
from torch import Tensor

from sagd.errors import InputError, one_line


class Condition:
    """The condition of a batch; immutable. A batch without one has an empty condition, which is false.

    Args:
        values: Name -> tensor, its first axis the batch; see `Condition.of` for what else can be read.

    Raises:
        InputError: If a name is no identifier, a value no tensor with a batch axis, or the lengths differ.
    """

    def __init__(self, values: Mapping[str, Tensor] | None = None) -> None:
        self._values: dict[str, Tensor] = dict(values or {})
        for name, value in self._values.items():
            _check_entry(name, value)
        lengths = {name: len(value) for name, value in self._values.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{length} {name}" for name, length in lengths.items())
            raise InputError(f"a condition holds one value per sample of each name, got {told}")

    @classmethod
    def of(cls, value: Conditional) -> Condition:
        """A condition from what users write: nothing, a mapping of tensors, or bare class numbers `(B,)`.

        >>> Condition.of(torch.tensor([3, 8]))
        Condition(labels (2,) int64)

        Raises:
            InputError: If it is anything else.
        """
        if isinstance(value, Condition):
            return value
        if value is None:
            return cls()
        if isinstance(value, Tensor):
            return cls({"labels": value})
        if isinstance(value, Mapping):
            return cls(value)
        raise InputError(
            f"a condition is a mapping of names to tensors, or a tensor of class numbers, got {type(value).__name__}"
        )

    def __len__(self) -> int:
        """Number of samples; 0 of an empty condition."""
        return len(next(iter(self._values.values()), ()))

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        parts = (f"{k} {tuple(v.shape)} {str(v.dtype).removeprefix('torch.')}" for k, v in self._values.items())
        return f"Condition({', '.join(parts)})"

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @overload
    def __getitem__(self, part: str) -> Tensor: ...
    @overload
    def __getitem__(self, part: slice | Tensor | Sequence[int]) -> Condition: ...
    def __getitem__(self, part: str | slice | Tensor | Sequence[int]) -> Tensor | Condition:
        """The tensor of a name, or the condition of some samples."""
        if isinstance(part, str):
            return self._values[part]
        return Condition({name: value[part] for name, value in self._values.items()})

    def keys(self) -> KeysView[str]:
        """The names, for `**condition`."""
        return self._values.keys()

    def items(self) -> ItemsView[str, Tensor]:
        """Names and tensors."""
        return self._values.items()

    @property
    def names(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._values)

    @property
    def labels(self) -> Tensor | None:
        """Class numbers `(B,)`, if there are."""
        return self._values.get("labels")

    @property
    def mask(self) -> Tensor | None:
        """Where the data is valid, `(B, 1|C, *spatial)`, if it is said."""
        return self._values.get("mask")

    def __or__(self, other: Conditional) -> Condition:
        """With the names of another condition of the same samples, whose values win."""
        return Condition(self._values | Condition.of(other)._values)

    def without(self, names: Collection[str]) -> Condition:
        """Without these names."""
        return Condition({name: value for name, value in self._values.items() if name not in names})

    def to(self, device: torch.device | str) -> Condition:
        """On a device."""
        return Condition({name: value.to(device) for name, value in self._values.items()})

    def expand(self, count: int) -> Condition:
        """The condition of one sample, for `count` of them."""
        return Condition({name: value.expand(count, *value.shape[1:]) for name, value in self._values.items()})

    def filled(self, null: Mapping[str, Tensor], count: int, device: torch.device | str | None = None) -> Condition:
        """With the values of `null`, which have no batch axis, for the names that it lacks."""
        missing = {name: value for name, value in null.items() if name not in self._values}
        expanded = {name: value.to(device).expand(count, *value.shape) for name, value in missing.items()}
        return Condition(self._values | expanded)

    def dropped(self, where: Tensor, null: Mapping[str, Tensor]) -> Condition:
        """With the values of `null` in place of those of some samples, of the names that `null` knows.

        Args:
            where: `(B,)`, true for samples whose condition is dropped.
            null: Name -> value without a batch axis that stands for "nothing".
        """
        values = dict(self._values)
        for name in values.keys() & null.keys():
            value = values[name]
            at = where.to(value.device).reshape(-1, *(1,) * (value.ndim - 1))
            values[name] = torch.where(at, null[name].to(value), value)
        return Condition(values)


Conditional = Condition | Mapping[str, Tensor] | Tensor | None
"""What stands for a condition in calls: see `Condition.of`."""


def _check_entry(name: object, value: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"names of a condition are those of arguments, like 'labels', got {one_line(repr(name))}")
    if not isinstance(value, Tensor) or value.ndim < 1:
        got = "a tensor without axes" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"condition {name!r} must be a tensor with one value per sample, got {got}")
    whole = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    if name == "labels" and (value.ndim != 1 or not whole):
        kind = f"shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
        raise InputError(
            f"labels must be whole numbers, one per sample, got {kind}; name other conditions, as in {{'embedding': x}}"
        )
