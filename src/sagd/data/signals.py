"""Data sets as models see them: `Signals` hands out fields of one shape by number, in memory or read on demand."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from sagd.data.corruption import Corruption, corrupt, generators
from sagd.data.images import to_unit_range
from sagd.data.masks import Coverage, observed_part
from sagd.data.meaning import Meaning
from sagd.data.windows import Windows
from sagd.errors import InputError
from sagd.model.condition import Condition
from sagd.noise.basis.fourier import FourierBasis
from sagd.random import Generator, generator_for, rand, randperm, subset
from sagd.training.ahead import Ahead
from sagd.training.batches import Batch, hashes

_HASHED = 256
"""Fields that are copied at a time to be hashed, or whose masks are counted."""


class OnDemand(Protocol):
    """Fields that are read whenever they are indexed; threads may index them, several at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(M, C, *spatial)`."""

    @property
    def threads(self) -> int:
        """Threads that read faster than one does."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Those of indices `(B,)`, uint8 or float32 as `Signals.stored` has them.

        Raises:
            InputError: Naming what cannot be read.
        """


@dataclass(frozen=True, eq=False)
class Origin:
    """The files of which fields are items, as they are: neither scaled nor cut.

    Attributes:
        root: The file or folder that was named.
        paths: The files.
        part: Which of them each place of the source is in, int64.
        item: The number of its item there, int64.
    """

    root: Path
    paths: tuple[Path, ...]
    part: np.ndarray
    item: np.ndarray


@dataclass(frozen=True, eq=False)
class Signals:
    """Fields of one shape, in memory or read on demand, with class labels where there are any.

    Args:
        name: Short name of the data set.
        stored: `(M, C, *spatial)`, a tensor or read on demand: uint8 of 8-bit pictures, else float32 as models see it,
            NaN where a value is missing or beyond the end of a record.
        labels: Class numbers 0..K-1 of the `N` fields, int64 `(N,)`, or None.
        classes: Names of the `K` classes; default: their numbers. None without labels.
        rows: Which of the `M` fields these are, int64 `(N,)`; default: all.
        places: Place of each of the `M` fields in its source, int64 `(M,)`, by which it keeps its damage; default:
            0..M-1.
        corruption: Damage that is added to the fields as they are read.
        corruption_seed: Its seed.
        meaning: What their values stand for.
        gaps: Whether some values are missing.
        origin: The files that they are from; None if they are not whole items of files.
        cut: Reads the larger arrays that all of the `M` fields are windows of; None if they are not.
        observed: Which frequencies of each of the `M` fields were observed, bool `(M, *coefficients)` of the Fourier
            basis; what a field holds elsewhere is left out as it is read. None: all.
        read: The `M` fields as they were read, by which these are known again where they were made of them: what is
            computed is rounded otherwise on other machines. None: these are what was read.

    Raises:
        InputError: If shapes or types do not fit together.
    """

    name: str
    stored: Tensor | OnDemand
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    rows: Tensor | None = None
    places: Tensor | None = None
    corruption: Corruption | None = None
    corruption_seed: int = 0
    meaning: Meaning = field(default_factory=Meaning)
    gaps: bool = False
    origin: Origin | None = None
    cut: Callable[[], Windows] | None = None
    observed: Tensor | None = None
    read: Signals | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.stored.shape)
        if len(shape) != 2 + len(self.meaning.axes):
            axes = ", ".join(self.meaning.axes)
            raise InputError(f"{self.meaning.kind} data must have shape (N, C, {axes}), got {shape}")
        if isinstance(self.stored, Tensor) and self.stored.dtype not in (torch.uint8, torch.float32):
            raise InputError(f"data must be uint8, or float32 as models see it, got {self.stored.dtype}")
        wanted = (shape[0], *FourierBasis(shape[2:]).coefficients)
        if self.observed is not None and (tuple(self.observed.shape), self.observed.dtype) != (wanted, torch.bool):
            raise InputError(f"observed must be bool {wanted}, got {self.observed.dtype} {tuple(self.observed.shape)}")
        if self.labels is None:
            object.__setattr__(self, "classes", None)
            return
        if self.labels.dtype != torch.int64 or self.labels.shape != (len(self),):
            raise InputError(f"labels must be int64 ({len(self)},), got {self.labels.dtype} {tuple(self.labels.shape)}")
        if self.classes is None:
            object.__setattr__(self, "classes", tuple(map(str, range(int(self.labels.max()) + 1))))
        if len(self) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes or ()):
            raise InputError(f"labels must be in 0..{len(self.classes or ()) - 1}, got {self.labels.unique().tolist()}")

    def __len__(self) -> int:
        return len(self.stored) if self.rows is None else len(self.rows)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Signals | tuple[Tensor, int | None]:
        """One field `(C, *spatial)` as models see it with its label, or None; of a slice or several numbers, `subset`.

        >>> data = Signals("zeros", torch.zeros(5, 1, 4, 4, dtype=torch.uint8), torch.arange(5))
        >>> data[-1][0].shape, data[-1][1], len(data[1:4])
        (torch.Size([1, 4, 4]), 4, 3)

        Raises:
            InputError: As `batch`.
            IndexError: If there is no such number, by which loops over the fields end.
        """
        if isinstance(index, slice):
            return self.subset(torch.arange(len(self))[index])
        if (isinstance(index, Tensor) and index.ndim) or isinstance(index, Sequence):
            return self.subset(index)
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no number {number} among {len(self)}")
        x, labels = self.batch([number % len(self)])
        return x[0], None if labels is None else int(labels[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(C, *spatial)` of one field."""
        return tuple(self.stored.shape[1:])

    def on(self, device: torch.device) -> Signals:
        """With the fields on a device, where batches are taken then; itself if they are read on demand."""
        return replace(self, stored=self.stored.to(device)) if isinstance(self.stored, Tensor) else self

    def batch(
        self, indices: Tensor | Sequence[int], flips: Tensor | None = None, draw: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """Fields `(B, C, *spatial)` as models see them, 0 where values are missing, and their labels `(B,)` or None.

        Args:
            indices: Numbers 0..len-1 of the fields, `(B,)`.
            flips: Which of them to flip along the last axis, damage included, bool `(B,)`; default: none.
            draw: Number of the reading, for damage that is not fixed.

        Raises:
            InputError: If an index or the shape of `flips` is wrong, or a field cannot be read.
        """
        indices = self._checked(indices)
        x, labels, _ = self.shown(self.values(indices), indices, flips, draw)
        return x, labels

    def values(self, indices: Tensor) -> Tensor:
        """What `stored` holds of the fields of these numbers `(B,)`."""
        return self.stored[self._numbers(indices)]

    @property
    def roams(self) -> bool:
        """Whether a training takes windows at random places, see `Windows`."""
        return isinstance(self.stored, Windows) and self.stored.roams

    def drawn(self, indices: Tensor, generator: Generator) -> Tensor:
        """As `values`, of fields that are windows of larger arrays: from random places of these."""
        assert isinstance(self.stored, Windows)
        return self.stored.drawn(self._numbers(indices), generator)

    def shown(
        self, values: Tensor, indices: Tensor, flips: Tensor | None = None, draw: int = 0
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The batch that is made of `values`, and where they are known, bool likewise; None if everywhere.

        Arguments and errors as for `batch`.
        """
        x = to_unit_range(values) if values.dtype == torch.uint8 else values
        known = ~x.isnan() if self.gaps else None
        if known is not None:
            x = torch.where(known, x, 0.0)
        if self.corruption is not None:
            x = corrupt(x, self.corruption, self.corruption_seed, self.places_of(indices), draw)
            x = x if known is None else torch.where(known, x, 0.0)
        if self.observed is not None and (missing := self.unobserved(indices)) is not None:
            x = observed_part(x, missing)
        if flips is not None:
            if flips.shape != indices.shape or flips.dtype != torch.bool:
                raise InputError(f"flips must be bool {tuple(indices.shape)}, got {flips.dtype} {tuple(flips.shape)}")
            at = flips.to(x.device).reshape(-1, *(1,) * (x.ndim - 1))
            x = torch.where(at, x.flip(-1), x)
            known = known if known is None else torch.where(at, known.flip(-1), known)
        return x, None if self.labels is None else self.labels[indices], known

    def digests(self, values: Tensor, indices: Tensor) -> Tensor:
        """A hash of each field as it was read, its `values` if that is what they are, and of its label and its mask,
        int64 `(B,)`, not 0."""
        rows = self._as_read(values, indices)
        labels = [b""] * len(indices) if self.labels is None else [b"%d" % k for k in self.labels[indices].tolist()]
        return hashes(row.tobytes() + label for row, label in zip(rows, labels, strict=True))

    def _as_read(self, values: Tensor, indices: Tensor) -> np.ndarray:
        """What was read of each field, and its mask, as bytes `(B, *)`."""
        numbers = self._numbers(indices)
        if self.read is not None:
            return self.read._as_read(self.read.values(numbers), numbers)
        rows = values.cpu().contiguous().flatten(1).view(torch.uint8).numpy()
        if self.observed is None:
            return rows
        return np.concatenate([rows, self.observed[numbers].flatten(1).view(torch.uint8).numpy()], 1)

    def tensor(self) -> Tensor:
        """All fields as float32 `(N, C, *spatial)`."""
        return self.batch(torch.arange(len(self)))[0]

    def known(self) -> Tensor | None:
        """Where the values of `tensor` are known, bool `(N, C, *spatial)`; None if everywhere."""
        return ~self.values(torch.arange(len(self))).isnan() if self.gaps else None

    def places_of(self, indices: Tensor) -> Tensor:
        """Places in the source of the fields of these indices `(B,)`."""
        numbers = self._numbers(indices)
        return numbers if self.places is None else self.places[numbers]

    def unobserved(self, indices: Tensor) -> Tensor | None:
        """Frequencies that the fields of these indices `(B,)` lack, bool `(B, *coefficients)` of the Fourier basis.

        None if they are alike in all: no masks were given, and the damage hides no frequency, or the same in all.
        """
        if self.observed is not None:
            return ~self.observed[self._numbers(indices)]
        if self.corruption is None:
            return None
        own = generators(self.corruption_seed, self.places_of(indices).tolist(), None if self.corruption.fixed else 0)
        return self.corruption.places(self.shape[1:], own)

    def coverage(self) -> Coverage | None:
        """Which frequencies the fields show; None if that is alike in all."""
        if not len(self) or self.unobserved(torch.zeros(1, dtype=torch.int64)) is None:
            return None
        parts = (self.unobserved(some) for some in torch.arange(len(self)).split(_HASHED))
        return Coverage.of((part for part in parts if part is not None), self.shape[1:])

    def some(self, count: int, *key: int | str) -> Signals:
        """`count` of the fields at random, in random order, so that the first of these stand for all too.

        All, likewise in random order, if there are no more.

        Args:
            count: Number of fields.
            key: Key of the choice, as for `generator_for`; what is to be independent needs keys of its own. Default: 0.

        Raises:
            InputError: If `count` is less than 1.
        """
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        return self.subset(subset(len(self), count, generator_for("some", *(key or (0,)))))

    def at_most(self, count: int, *key: int | str) -> Signals:
        """These fields as they are, or `some` of them where there are more."""
        return self if len(self) <= count else self.some(count, *key)

    @property
    def held(self) -> Signals:
        """The same fields in memory, for whoever needs all of them more than once."""
        if isinstance(self.stored, Tensor):
            return self
        every = torch.arange(len(self))
        observed = None if self.observed is None else self.observed[self._numbers(every)]
        read = None if self.read is None else self.read.subset(self._numbers(every))
        places = self.places_of(every)
        return replace(self, stored=self.values(every), rows=None, places=places, observed=observed, read=read)

    @property
    def unchosen(self) -> Signals:
        """All the `M` fields, without labels."""
        return replace(self, rows=None, labels=None, classes=None)

    @property
    def clean(self) -> Signals:
        """The same fields without the damage that is added as they are read."""
        return replace(self, corruption=None)

    def subset(self, indices: Tensor | Sequence[int]) -> Signals:
        """The fields of these indices `(B,)`, in this order, sharing memory with the whole."""
        indices = self._checked(indices)
        rows = self._numbers(indices)
        return replace(self, rows=rows, labels=None if self.labels is None else self.labels[indices])

    def split_halves(self, seed: int) -> tuple[Signals, Signals]:
        """Two disjoint random halves of `N // 2` fields each; of an odd number one is in neither."""
        order = randperm(len(self), generator_for(seed, "halves"))
        half = len(self) // 2
        return self.subset(order[:half]), self.subset(order[half : 2 * half])

    def _numbers(self, indices: Tensor) -> Tensor:
        """Which of the `M` fields those of these indices `(B,)` are."""
        return indices if self.rows is None else self.rows[indices]

    def _checked(self, indices: Tensor | Sequence[int]) -> Tensor:
        """`indices` as int64, not truncated from other types and all in range."""
        given = torch.as_tensor(indices, device="cpu")
        if given.numel() == 0:
            return torch.zeros(0, dtype=torch.int64)
        if given.ndim != 1 or given.is_floating_point() or given.dtype == torch.bool:
            raise InputError(f"indices must be whole numbers (B,), got {given.dtype} {tuple(given.shape)}")
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= len(self):
            raise InputError(f"indices must be in 0..{len(self) - 1}, got {low}..{high}")
        return given.long()


@final
class SignalReader:
    """Fields for training, flipped at random and from random places if asked for; see `sagd.training.batches.Reader`.

    Those that are read on demand are read and hashed by threads, and damaged and flipped by whoever asks for them: what
    is in files is the same whoever reads it, damage of a plug-in may be drawn from global generators.

    Args:
        data: Fields.
        seed: Seed of the flips.
        flip: Flip fields along the last axis with probability 1/2.
        rank: Number of this process.
        labelled: Hand out the labels as conditions.
    """

    def __init__(self, data: Signals, seed: int, flip: bool = False, rank: int = 0, labelled: bool = True) -> None:
        self.data, self.seed, self.flip, self.rank, self.labelled = data, seed, flip, rank, labelled
        self._known: Tensor | None = None
        stored = data.stored

        def fetch(indices: Tensor) -> tuple[Tensor, Tensor]:
            values = data.values(indices)
            return values, data.digests(values, indices)

        self._ahead = None if isinstance(stored, Tensor) or data.roams else Ahead(fetch, stored.threads)

    def __len__(self) -> int:
        return len(self.data)

    def expect(self, indices: Tensor) -> None:
        """Begin to read the fields of these numbers `(B,)`, unless they are in memory."""
        if self._ahead is not None:
            self._ahead.begin(indices)

    def close(self) -> None:
        """End the threads that read."""
        if self._ahead is not None:
            self._ahead.close()

    def read(self, indices: Tensor, step: int) -> tuple[Batch, Tensor]:
        """Fields as `Signals.batch` gives them, with a `mask` where values are missing, and hashes of what was read."""
        flips = None
        if self.flip:
            generator = generator_for(self.seed, "flips", step, self.rank)
            flips = rand((len(indices),), generator) < 0.5
        values, digests = self._read(indices)
        if self.data.roams:
            values = self.data.drawn(indices, generator_for(self.seed, "windows", step, self.rank))
        x, labels, known = self.data.shown(values, indices, flips, step)
        told = {} if labels is None or not self.labelled else {"labels": labels}
        if known is not None:
            told["mask"] = known
        return (x, Condition(told)), digests

    def _read(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The values of fields, and their hashes."""
        if self._ahead is not None:
            values, digests = self._ahead.take(indices)
            return values, digests
        if self.data.roams:  # they are told by those at their own places
            values = self.data.values(indices)
            return values, self.data.digests(values, indices)
        # Once for all fields in memory: those on a GPU would have to come back for each batch.
        if self._known is None:
            parts = torch.arange(len(self.data)).split(_HASHED)
            self._known = torch.cat([self.data.digests(self.data.values(part), part) for part in parts])
        return self.data.values(indices), self._known[indices]
