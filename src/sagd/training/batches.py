"""Batches of a training, by step: from a data set of items, or from a loader that hands out batches of its own.

A batch is `(x, condition)`: fields `(B, C, *spatial)`, float32, and a `Condition`. It may be written as a tensor, as a
pair of that and labels or a mapping, or as a mapping with the fields under one of `FIELDS`; what else the mapping holds
is the condition, in which labels go by the name `labels`, whatever they are called.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate

from sagd.errors import DataMismatchError, InputError, argument, one_line
from sagd.model.condition import Condition
from sagd.random import generator_for, randperm, seeded, subset

MOST_ITEMS = 2**20
"""Items of a batch, and of a measure: more would be a slip of the pen, and take all memory."""
FIELDS = ("x", "image", "images", "pixel_values")
"""Names under which a mapping may hold the fields; the first of these that it has."""
LABELS = ("labels", "label", "class_labels", "y", "target")
"""Names under which it may hold classes."""

_COMPARED = 32
"""Items of a data set that are read again before a run goes on."""

_COARSE = 0.1
"""Part of the range of values that may be lost in single precision."""
_ROUNDING = 1e-12
"""Part of the largest value by which values differ that are alike."""
_READ = 256
"""Items that are read at a time to be measured."""
_AHEAD = 4096
"""Items of a loader that are read ahead to be measured, at most."""

Batch = tuple[Tensor, Condition]


class Batches(ABC):
    """The share of one process of the batch of each step.

    Attributes:
        exact: Whether a resumed run sees what an uninterrupted one would.
    """

    exact: bool = True

    @abstractmethod
    def __call__(self, step: int) -> Batch:
        """The batch of step 1, 2, ...; steps are asked for in order, from any first one.

        What it draws from global generators it seeds itself, by `sagd.random.seeded`.
        """

    def expect(self, step: int) -> None:  # noqa: B027 (most have nothing to do)
        """Begin to read the batch of a step, which is asked for next, while others work; where that is possible."""

    def close(self) -> None:  # noqa: B027
        """End what `expect` began, threads included."""

    @abstractmethod
    def peek(self) -> Batch:
        """A batch to look at, which no step misses."""

    @abstractmethod
    def some(self, count: int, seed: int) -> Batch:
        """So many items to measure, or fewer if there are no more; no step misses them."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What must not change about the data between a run and its resumption, JSON-ready."""

    @abstractmethod
    def snapshot(self) -> tuple[dict[str, Tensor], Any]:
        """Tensors and a JSON value by which another process goes on."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Go on from a snapshot.

        Raises:
            DataMismatchError: If the data is not that of the snapshot.
        """


class Reader(Protocol):
    """Items by number."""

    def __len__(self) -> int:
        """Number of items."""

    def read(self, indices: Tensor, step: int) -> tuple[Batch, Tensor | None]:
        """The items of numbers `(B,)`, and a hash of the content of each, int64 `(B,)` and not 0.

        `step` tells readings apart; the hash does not depend on it, and is None where an item is not always the same.
        """

    def expect(self, indices: Tensor) -> None:
        """Begin to read the items of numbers `(B,)` in threads, but for what draws from global generators."""

    def close(self) -> None:
        """End these threads."""


@final
class Items:
    """A map-style data set, read item by item.

    Args:
        dataset: Has `__len__` and `__getitem__`; items as batches are, without the batch axis.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        if not len(dataset):
            raise InputError("the data holds no items")
        first, again = (_digests(as_batch(self._collated([0]), "item 0 of the data")) for _ in range(2))
        self.fixed = torch.equal(first, again)

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, indices: Tensor, step: int) -> tuple[Batch, Tensor | None]:
        """Read and put together by torch's `default_collate`; data that is augmented as it is read has no hashes."""
        batch = as_batch(self._collated(indices.tolist()), "the data")
        return batch, _digests(batch) if self.fixed else None

    def expect(self, indices: Tensor) -> None:
        """Nothing: what data of others draws from, nobody knows. A loader with workers reads such data ahead."""

    def close(self) -> None:
        """Nothing."""

    def _collated(self, indices: Sequence[int]) -> Any:
        read = getattr(self.dataset, "__getitems__", None)
        items = [self.dataset[i] for i in indices] if read is None else read(list(indices))
        kinds = {tuple(sorted(map(str, item))) if isinstance(item, Mapping) else None for item in items}
        if len(kinds) > 1:
            raise InputError(f"items of the data do not make a batch: they hold {one_line(sorted(map(str, kinds)))}")
        try:
            return default_collate(items)
        except (RuntimeError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"items of the data do not make a batch: {one_line(reason)}") from None


@final
class Shuffled(Batches):
    """Random orders of a data set, one after the other: a function of seed and step alone.

    Step `k >= 1` takes places `(k-1) B ... k B - 1` of that endless sequence and each process its share of them, so
    every item is seen equally often. While items are read, the global generators of Python, numpy and torch are those
    of (seed, step, rank), so that data which is augmented by them is the same when a run is resumed. Items are hashed
    as they are read, so that a resumed run notices other data; those that turn out to change from reading to reading,
    as augmented ones do, are not compared.

    Args:
        reader: Items.
        size: `B`, over all processes.
        seed: Seed of the orders.
        rank: Number of this process.
        world: Number of processes, a divisor of `B`.

    Raises:
        InputError: If there are fewer items than a batch holds.
    """

    def __init__(self, reader: Reader, size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if type(size) is not int or size < 1:
            raise InputError(f"{argument('batch_size')} must be a whole number of at least 1, got {size!r}")
        if size > len(reader):
            raise InputError(
                f"{argument('batch_size')} is {size} but the data has {len(reader)} items; use at most that"
            )
        self.reader, self.size, self.seed = reader, size, seed
        self.rank, self.share = rank, size // world
        self._orders: dict[int, Tensor] = {}
        self._known = torch.zeros(len(reader), dtype=torch.int64)
        self._read_here = torch.zeros(len(reader), dtype=torch.bool)
        self._fixed = True

    def __call__(self, step: int) -> Batch:
        """Read the items of a step.

        Raises:
            DataMismatchError: If one is not what the run was started with.
        """
        indices = self.indices(step)
        with seeded(self.seed, "items", step, self.rank):
            batch, digests = self.reader.read(indices, step)
        self._compare(indices, digests)
        return batch

    def expect(self, step: int) -> None:
        """By the reader, which knows what threads may do."""
        self.reader.expect(self.indices(step))

    def close(self) -> None:
        """Likewise."""
        self.reader.close()

    def indices(self, step: int) -> Tensor:
        """Which items step `step` takes, `(B / world,)`."""
        start = (step - 1) * self.size + self.rank * self.share
        stop, parts = start + self.share, []
        while start < stop:
            epoch, place = divmod(start, len(self.reader))
            parts.append(self._order(epoch)[place : place + stop - start])
            start += len(parts[-1])
        return torch.cat(parts)

    def peek(self) -> Batch:
        """That of step 1."""
        with seeded(self.seed, "items", 1, self.rank):
            return self.reader.read(self.indices(1), 1)[0]

    def some(self, count: int, seed: int) -> Batch:
        """Drawn at random, without repetition."""
        chosen = subset(len(self.reader), count, generator_for(seed, "some")).sort().values
        with seeded(self.seed, "some"):
            return _joined([self.reader.read(part, 0)[0] for part in chosen.split(_READ)])

    def identity(self) -> dict[str, Any]:
        """Number of items and size of batches."""
        return {"items": len(self.reader), "batch_size": self.size}

    def snapshot(self) -> tuple[dict[str, Tensor], Any]:
        """Hashes of the items that this process has read, or that were read before the run was resumed."""
        return {"digests": self._known}, None

    def restore(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Some items that were read then are read again, the others as their turn comes."""
        known = tensors.get("digests")
        if known is None or known.dtype != torch.int64 or known.shape != self._known.shape:
            raise DataMismatchError(
                f"the data has {len(self.reader)} items, and had another number; give the data of then"
            )
        self._known, self._fixed = known.clone(), True
        self._read_here.zero_()
        read = known.nonzero().flatten()
        some = read[torch.linspace(0, len(read) - 1, min(_COMPARED, len(read))).long()]
        if len(some):
            self._compare(some, self.reader.read(some, 0)[1])

    def _compare(self, indices: Tensor, digests: Tensor | None) -> None:
        if digests is None or not self._fixed:
            return
        before = self._known[indices]
        other = (before != 0) & (before != digests)
        if not other.any():
            self._known[indices], self._read_here[indices] = digests, True
        elif self._read_here[indices[other]].any() or self._changes(indices, digests):
            self._fixed = False
            self._known.zero_()
        else:
            raise DataMismatchError(
                f"item {int(indices[other][0])} of the data is not what the run was started with;"
                " give the data of then to resume"
            )

    def _changes(self, indices: Tensor, digests: Tensor) -> bool:
        """Whether reading the same items again gives others."""
        again = self.reader.read(indices, 0)[1]
        return again is None or not torch.equal(again, digests)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            order = randperm(len(self.reader), generator_for(self.seed, "order", epoch))
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {epoch: order}
        return self._orders[epoch]


@final
class Streamed(Batches):
    """The batches of a loader, begun anew when it ends; each process has a loader of its own.

    While a step's batch is asked for, the global generators are those of (seed, step, rank), as in `Shuffled`.

    Args:
        loader: Gives batches whenever it is iterated over. One with `state_dict` and `load_state_dict`, whose states
            are JSON-ready, is resumed where it was; others begin anew.
        seed: Seed of what the loader draws from global generators.
        rank: Number of this process.

    Raises:
        InputError: If it gives nothing.
    """

    def __init__(self, loader: Iterable[Any], seed: int = 0, rank: int = 0) -> None:
        self.loader, self.seed, self.rank = loader, seed, rank
        self.exact = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        self._iterator: Iterator[Any] | None = None
        # Batches that were read before their steps, each with the state of the loader that follows it.
        self._ahead: deque[tuple[Batch, Any]] = deque()
        self._before: Any = None

    def __call__(self, step: int) -> Batch:
        """The next one."""
        if not self._ahead:
            with seeded(self.seed, "data", step, self.rank):
                return self._next()
        batch, self._before = self._ahead.popleft()
        return batch

    def peek(self) -> Batch:
        """The next one."""
        self.some(1, 0)
        return self._ahead[0][0]

    def some(self, count: int, seed: int) -> Batch:
        """The next ones until the loader ends, `_AHEAD` items at most: they are kept until their steps come."""
        if not self._ahead:
            self._before = self._state()
            self._ahead.append((self._next(), self._state()))
        held = sum(len(x) for (x, _), _ in self._ahead)
        while held < min(count, _AHEAD) and (batch := self._next_of_pass()) is not None:
            self._ahead.append((batch, self._state()))
            held += len(batch[0])
        x, condition = _joined([batch for batch, _ in self._ahead])
        return x[:count], condition[:count]

    def identity(self) -> dict[str, Any]:
        """That it is one; nothing is known of what it gives."""
        return {"items": "those of a loader"}

    def snapshot(self) -> tuple[dict[str, Tensor], Any]:
        """The loader's own state after the batch that was handed out last."""
        return {}, self._before if self._ahead else self._state()

    def restore(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """By the loader's `load_state_dict`."""
        self._iterator = None
        self._ahead.clear()
        if self.exact and state is not None:
            self.loader.load_state_dict(state)  # type: ignore[attr-defined]

    def _state(self) -> Any:
        """The state of the loader, JSON-ready; None without one."""
        if not self.exact:
            return None
        what = f"the state_dict of {type(self.loader).__name__}"
        advice = "hide it, and the run is resumed from the loader's beginning"
        return json_ready(self.loader.state_dict(), what, advice)  # type: ignore[attr-defined]

    def _next(self) -> Batch:
        """The next batch, of another pass after the end of one."""
        for _ in range(2):
            self._iterator = self._iterator or iter(self.loader)
            if (batch := self._next_of_pass()) is not None:
                return batch
        raise InputError(
            f"{type(self.loader).__name__} gives no more batches; give one that can be iterated over again and again"
        )

    def _next_of_pass(self) -> Batch | None:
        """The next batch; None at the end of a pass."""
        for batch in self._iterator or ():
            return as_batch(batch, "a batch of the loader")
        self._iterator = None
        return None


def as_batch(value: Any, what: str = "the batch") -> Batch:
    """Fields and condition of a batch in any of its forms.

    >>> x, condition = as_batch((torch.zeros(2, 1, 8), torch.tensor([0, 1])))
    >>> x.shape, condition
    (torch.Size([2, 1, 8]), Condition(labels (2,) int64))

    Raises:
        InputError: If it has another form, or its fields are no floating-point `(B, C, *spatial)`.
    """
    fields, condition = _split(value, what)
    if not isinstance(fields, Tensor) or not fields.is_floating_point():
        kind = str(fields.dtype) if isinstance(fields, Tensor) else type(fields).__name__
        raise InputError(f"{what} must hold floating-point fields (C, *spatial), scaled to about [-1, 1]; got {kind}")
    if fields.ndim < 3:
        raise InputError(f"{what} must hold fields (C, *spatial), got shape {tuple(fields.shape[1:])}")
    told = Condition(condition)
    if told and len(told) != len(fields):
        raise InputError(f"{what} holds {len(fields)} fields and conditions of {len(told)}; give one for each")
    return in_single(fields, what), told


def in_single(fields: Tensor, what: str) -> Tensor:
    """Fields as networks see them, in single precision.

    >>> in_single(1e9 + torch.linspace(0, 1, 8, dtype=torch.float64), "the batch")
    Traceback (most recent call last):
    sagd.errors.InputError: the batch holds values from 1000000000 to 1000000001, which single precision does not tell \
    apart; scale them to about [-1, 1]

    Raises:
        InputError: If that does not hold or tell apart values of double precision.
    """
    x = fields.float()
    fields = fields if fields.is_floating_point() else fields.double()
    if fields.dtype == torch.float64 and fields.numel():
        low, high = map(float, fields.aminmax())  # not a number where one is not, which is for others to refuse
        alike = high - low <= _ROUNDING * max(abs(low), abs(high))
        if not alike and float((x - fields).abs().max()) > _COARSE * (high - low):
            raise InputError(
                f"{what} holds values from {low:.12g} to {high:.12g}, which single precision does not tell apart; scale"
                " them to about [-1, 1]"
            )
    return x


def _split(value: Any, what: str) -> tuple[Any, dict[str, Any]]:
    if isinstance(value, Mapping):
        name = next((name for name in FIELDS if name in value), None)
        if name is None:
            raise InputError(f"{what} holds {sorted(map(str, value))}, and no fields; name them {', '.join(FIELDS)}")
        return value[name], _named({key: part for key, part in value.items() if key != name}, what)
    if isinstance(value, (list, tuple)) and len(value) == 2:
        fields, condition = value
        if isinstance(condition, Mapping):
            return fields, _named(condition, what)
        return fields, {"labels": condition}
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return value[0], {}
    if isinstance(value, Tensor):
        return value, {}
    raise InputError(f"{what} must be a tensor, a pair or a mapping, got {type(value).__name__}")


def _named(condition: Mapping[Any, Any], what: str) -> dict[str, Any]:
    """A condition by the names that the library knows."""
    names = [str(key) for key in condition]
    labels = [name for name in names if name in LABELS]
    if len(labels) > 1:
        raise InputError(f"{what} holds labels twice, as {' and '.join(labels)}; leave one out")
    return {"labels" if str(key) in labels else str(key): part for key, part in condition.items()}


def _joined(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    told = [condition for _, condition in batches]
    names = told[0].keys()
    return torch.cat([x for x, _ in batches]), Condition({name: torch.cat([c[name] for c in told]) for name in names})


def _digests(batch: Batch) -> Tensor:
    """A hash of each item, int64 `(B,)`, not 0."""
    x, condition = batch
    parts = [x, *(condition[name] for name in sorted(condition.keys()))]
    rows = [part.detach().cpu().contiguous().reshape(len(part), -1) for part in parts]
    return hashes([b"".join(row[i].view(torch.uint8).numpy().tobytes() for row in rows) for i in range(len(x))])


def hashes(contents: Iterable[bytes]) -> Tensor:
    """A hash of each content, int64 and not 0."""
    digests = (hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return torch.tensor([int.from_bytes(digest, "little", signed=True) or 1 for digest in digests], dtype=torch.int64)


def json_ready(value: Any, what: str, advice: str = "give those alone") -> Any:
    """A copy of a value that a checkpoint can keep.

    Raises:
        InputError: If there is more to it than numbers, texts, and lists and mappings of them.
    """
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise InputError(
            f"{what} holds more than numbers, texts, and lists and mappings of them, so that no checkpoint can keep it;"
            f" {advice}"
        ) from None


_MOST_CHANNELS = 4
"""Channels of a batch up to which a list of such is told from a list of items."""


def _refuse_listed_batches(data: Any) -> None:
    """Refuse a list of batches, which would be read as a list of items with as many channels as a batch has fields.

    An item `(C, *spatial)` has more than four places along its first axis, or at most as many channels as places.

    Raises:
        InputError: If the first of a list looks like a batch `(B, C, *spatial)`.
    """
    if not isinstance(data, (list, tuple)) or not len(data):
        return
    x: Any = data[0]
    condition: Mapping[str, Any] = {}
    if not hasattr(x, "shape"):
        with contextlib.suppress(InputError):  # of an item that is none, which is told when it is read
            x, condition = _split(x, "item 0 of the data")
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) < 3:
        return
    labelled = tuple(getattr(condition.get("labels"), "shape", ())) == shape[:1]
    if labelled or shape[0] > shape[1] <= _MOST_CHANNELS:
        raise InputError(
            f"the data is a {type(data).__name__} whose first item, {shape}, looks like a batch (B, C, *spatial):"
            " join them by torch.cat, with labels in torch.utils.data.TensorDataset(x, labels), or give a DataLoader;"
            " if it is one item (C, *spatial), give torch.stack(data)"
        )


def batches_of(data: Any, size: int, seed: int, rank: int = 0, world: int = 1) -> Batches:
    """Batches from whatever data is given as.

    Args:
        data: A map-style data set (also a tensor of fields, or a list of items), or a loader or another iterable of
            batches; a list of batches is refused.
        size: Items per step, over all processes; a loader has its own.
        seed: Seed of the orders, and of what is drawn from global generators.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        InputError: If it is neither.
    """
    if isinstance(data, Batches):
        return data
    if isinstance(data, IterableDataset):
        raise InputError(
            f"{type(data).__name__} gives items, not batches; give torch.utils.data.DataLoader(data, batch_size={size})"
        )
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (str, bytes, Mapping))
    if indexed and not isinstance(data, DataLoader):
        _refuse_listed_batches(data)
        return Shuffled(Items(data), size, seed, rank, world)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, Mapping)):
        return Streamed(data, seed, rank)
    raise InputError(
        f"data must be a data set with __len__ and __getitem__, a loader or a tensor (N, C, *spatial);"
        f" got {one_line(type(data).__name__)}"
    )
