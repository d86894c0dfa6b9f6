"""What a source of data is: a description that finds records, still encoded, without decoding any."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.fields import AnyMask, FieldRecords
from sagd.errors import InputError
from sagd.optional import need
from sagd.paths import special
from sagd.spec import Description

if TYPE_CHECKING:
    from PIL import Image

MEMORY_LIMIT = 4 * 2**30
"""Bytes a data set may take in memory; beyond it, files are mapped and images are decoded when they are asked for."""

SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
"""What folders and files of splits are called."""

NO_LABELS = "none"
"""The `label_column` that leaves labels out."""


@dataclass(frozen=True)
class Records(ABC):
    """Encoded images by number, and what is known of them before decoding.

    Attributes:
        name: Short name of the data set.
        labels: Class numbers `(len,)`, int64, or None.
        classes: Names of the classes, or None without labels.
        masks: Which frequencies of each image were observed; () if nobody asked.
    """

    name: str
    labels: Tensor | None
    classes: tuple[str, ...] | None
    masks: tuple[AnyMask, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def open(self, index: int) -> Image.Image:
        """The image as Pillow opens it, not decoded."""

    @abstractmethod
    def describe(self, index: int) -> str:
        """How errors name the image."""

    def file(self, index: int) -> Path | None:
        """The file of which an image is all; None where there is none."""
        return None

    def fields(self, config: DataConfig) -> FieldRecords | None:
        """The same as fields of any depth, for pictures of more than 8 bits; None where there is no such reading."""
        return None


@dataclass(frozen=True)
class ArrayRecords(Records):
    """Images that need no decoding: uint8 `(N, H, W)` or `(N, H, W, 3)`."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        need("PIL")
        from PIL import Image

        return Image.fromarray(self.pixels[index])

    def describe(self, index: int) -> str:  # noqa: D102
        return f"image {index} of {self.name}"


class Source(Description, ABC, family="data source", example="digits"):
    """Where data comes from; members are frozen dataclasses with a `kind`, whose fields say which data.

    A class says what of a configuration it heeds, and the rest is refused: the `splits` it has, None if it looks
    itself, and whether there are `columns` to choose.
    """

    splits: ClassVar[tuple[str, ...] | None] = ("train",)
    columns: ClassVar[bool] = False

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The source that a text means which is no description, such as the name of a folder; None if it is not one."""
        return None

    @abstractmethod
    def open(self, config: DataConfig) -> Records | FieldRecords:
        """Find the records, without decoding any; what a configuration says of their form is for others to do.

        Raises:
            InputError: If there are none, or not those that the configuration asks for.
        """

    def records(self, config: DataConfig) -> Records | FieldRecords:
        """`open`, after checking what the configuration asks for, and without labels if it wants none.

        Raises:
            InputError: As `open`, or on a split or column that is not there, or if what was opened is no `Records`,
                holds none, or has labels that do not fit them.
        """
        if self.splits is not None:
            check_split(config, self.splits)
        if not self.columns:
            _check_no_columns(config)
        records = self.open(config)
        _check_records(records, f"{type(self).__module__}.{type(self).__qualname__}.open")
        return replace(records, labels=None, classes=None) if config.label_column == NO_LABELS else records


def refuse_special(path: Path, source: str) -> None:
    """Refuse what is there if it is no file and no folder.

    Raises:
        InputError: Naming it by `source`.
        OSError: If there is nothing, or it may not be looked at.
    """
    if (found := special(path)) is not None:
        raise InputError(f"{source!r} is {found}, which may never end; a file or a folder is needed")


def expanded(source: str) -> Path:
    """The path that a text would be."""
    path = Path(os.path.expanduser(source))  # noqa: PTH111 (Path raises on an unknown '~user')
    try:
        if path.exists():
            refuse_special(path, source)
    except OSError as error:  # of names that are too long, and folders that may not be entered
        raise InputError(f"cannot look for {source[:60]!r}: {error.strerror}") from None
    return path


def not_here(source: str) -> str:
    """The start of an error about a source that nobody knows."""
    looked = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111
    return f"no data set {source!r}: it is not 'digits', and there is no file or folder {looked!r}"


def check_split(config: DataConfig, available: Sequence[str]) -> None:
    """Refuse a split that is not there.

    Raises:
        InputError: Naming those that are.
    """
    if config.split not in available:
        raise InputError(f"{config.source!r} has no split {config.split!r}; available: {', '.join(available)}")


def _check_no_columns(config: DataConfig) -> None:
    label_column = None if config.label_column == NO_LABELS else config.label_column
    for option, value in (("image_column", config.image_column), ("label_column", label_column)):
        if value is not None:
            raise InputError(f"{config.source!r} has no columns, so {option} {value!r} cannot be chosen; leave it out")


def _check_records(records: Any, opened: str) -> None:
    """Refuse what a source opened that no data set can be made of; `opened` is the method that did."""
    if not isinstance(records, (Records, FieldRecords)):
        raise InputError(f"{opened} must return Records, got {type(records).__name__}; for an array, ArrayRecords")
    if not len(records):
        raise InputError(f"{opened} returned no records; let it raise InputError that says where they should be")
    labels, classes = records.labels, records.classes
    if labels is None:
        return
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (len(records),):
        got = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise InputError(f"{opened} must return labels torch.int64 ({len(records)},) or None, got {got}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes is not None and high >= len(classes)):
        raise InputError(f"{opened} returned labels {low}..{high}; they must number the classes {list(classes or ())}")


def encode_labels(values: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels 0..K-1 in the sorted order of the values, and the values as names."""
    known = sorted(set(values))
    numbers = {value: number for number, value in enumerate(known)}
    return torch.tensor([numbers[value] for value in values], dtype=torch.int64), tuple(map(str, known))


def check_text(kind: str, name: str, value: object) -> None:
    """Refuse a field that must be text, and is not.

    Raises:
        InputError: Naming it.
    """
    if not isinstance(value, str) or not value:
        raise InputError(f"data source {kind!r}: {name} must be text, got {value!r}")
