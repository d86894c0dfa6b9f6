"""Finding, checking and reading data sets: `load` makes `Signals` of what a configuration names."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from sagd.counting import counted
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption
from sagd.data.fields import (
    LARGEST,
    AnyMask,
    FieldRecords,
    LazyFields,
    Part,
    Plan,
    Recent,
    check_means,
    differ,
    given_steps,
    meaning_of,
    plan_of,
)
from sagd.data.images import CHANNELS, Header, read_header, to_pixels
from sagd.data.kinds import Kind
from sagd.data.masks import CENTRED, beside_line, check_sides, half_of, own_mask, power_beside, reordered
from sagd.data.meaning import Meaning
from sagd.data.signals import Origin, Signals
from sagd.data.sources import Records, base, open_source
from sagd.data.sources.base import expanded
from sagd.data.sources.beside import beneath
from sagd.data.windows import Windows
from sagd.errors import InputError, TooFewError, argument, one_line
from sagd.noise.basis.fourier import FourierBasis
from sagd.optional import need
from sagd.random import generator_for, subset

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Smaller images take longer in threads than in a loop: most of their time goes into Python, one thread at a time.
_THREADED_AREA = 128 * 128
_RUN = 8
_LOOKED_AT = 16
"""Fields that memory cannot hold in which a channel that does not vary is looked for."""
_SEEN = 256
"""Fields whose power beside their masks is measured at a time."""
_LEAST_SIDE, _USUAL_SIDE = 8, 64
"""Least side of an array that windows are advised for, and largest side of these."""
_NAMED, _LONGEST = 10, 40
"""Classes that a line lists, and characters of their names."""


@dataclass(frozen=True, eq=False)
class LazyPixels:
    """Pixels `(N, C, H, W)` that are decoded whenever they are indexed.

    Attributes:
        records: The encoded images.
        rows: Number in `records` of each of the `N` images.
        image_shape: `(C, H, W)`.
        size: Side length to scale to, as in `DataConfig`.
        threads: Images decoded at a time.
    """

    records: Records
    rows: Sequence[int]
    image_shape: tuple[int, int, int]
    size: int | None = None
    threads: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(N, C, H, W)`."""
        return (len(self.rows), *self.image_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """uint8 `(B, C, H, W)` of indices `(B,)`.

        Raises:
            InputError: Naming an image that cannot be decoded.
        """
        wanted = indices.tolist()
        out = np.empty((len(wanted), *self.image_shape), np.uint8)

        def decode(i: int) -> None:
            out[i] = self.decode(wanted[i])

        for outcome in list(_each(decode, len(wanted), self.threads if len(wanted) > _RUN else 1)):
            if isinstance(outcome, InputError):
                raise outcome
        return torch.from_numpy(out)

    def decode(self, index: int) -> np.ndarray:
        """uint8 `(C, H, W)` of one image."""

        def pixels_of(image: Image.Image) -> np.ndarray:
            pixels = to_pixels(image, self.image_shape[0], self.size)
            if pixels.shape != self.image_shape:
                raise InputError(f"decoded to shape {pixels.shape}, not {self.image_shape} as its header says")
            return pixels

        return _read(self.records, self.rows[index], pixels_of)


def load(config: DataConfig, meaning: Meaning | None = None) -> Signals:
    """Find, check and read the data that `config` names.

    Headers are read before any values, so that mixed sizes, channels, rates or types are found early. Values are read
    once, unless they exceed `sagd.data.sources.base.MEMORY_LIMIT`: then each item is read whenever it is asked for
    (with `skip_bad`, all are read once beforehand to know which are good).

    `limit` items are drawn at random, always the same ones, and kept in order; bad ones count. Classes that it leaves
    out are named in the log. Labels are numbered 0..K-1 over the whole split, whatever
    `limit` is: by sorted folder name or value, or as the `ClassLabel` of the column says.

    Args:
        config: Where the data is, and what is made of it.
        meaning: How values are scaled; default: by the data itself.

    Raises:
        InputError: In one line, if the source, split, column, channels, size or limit cannot be used, or an item is
            bad.
    """
    config = _settled(config, meaning)
    _check(config)
    records = open_source(config)
    if config.observed is not None and not records.masks:
        raise InputError(
            f"{argument('data.observed')} is {config.observed!r}, and {config.source!r} has no masks: they are files"
            " beside others, arrays in them, or a column of a table"
        )
    if isinstance(records, FieldRecords):
        data = _fields(records, config, meaning)
    else:
        data = _pictures(records, config, meaning)
    corruption = None if config.corruption == "none" else Corruption.parse(config.corruption).on(data.meaning.grid())
    if corruption is not None:
        corruption.band(data.shape[1:], config.corruption_seed)
    _say_beside(data, config)
    return replace(data, corruption=corruption, corruption_seed=config.corruption_seed)


def _settled(config: DataConfig, meaning: Meaning | None) -> DataConfig:
    """The configuration with what a file beside the data says of how they are read, and below that the model."""
    path = expanded(config.source)
    config = beneath(config, path) if config.source and path.exists() else config
    return config if meaning is None else meaning.reading.beneath(config)


def _pictures(records: Records, config: DataConfig, meaning: Meaning | None) -> Signals:
    """Pictures of 8 bits, decoded by Pillow; those of files that turn out to be deeper are fields like all others.

    So are those that are to mean something else than 8 bits.
    """
    if meaning is not None and not meaning.is_bytes and (fields := records.fields(config)) is not None:
        return _fields(fields, config, meaning)
    if config.area_weights:
        replace(Meaning(), by_area=True).weight_field((1, 1, 1))
    numbers = _limited(len(records), config).tolist()
    problems: list[InputError] = []
    checked = _each(lambda i: _read(records, numbers[i], read_header), len(numbers), task="checking")
    headers = {numbers[i]: header for i, header in _sift(checked, config, problems).items()}
    if (deep := next((row for row, header in headers.items() if header.deep), None)) is not None:
        if (fields := records.fields(config)) is not None:
            return _fields(fields, config, meaning)
        logger.warning("%s has more than 8 bits, which are rounded to 8 here", records.describe(deep))
    first = next(iter(headers.values()), None)
    _check_enough(len(headers), problems, config, () if first is None else (first.height, first.width))
    shape = _common_shape(headers, records, config)
    lazy = LazyPixels(records, list(headers), shape, side_of(config), _threads(headers))
    pixels, rows = _decoded(lazy, config, problems)
    _check_enough(len(pixels), problems, config)
    _report_bad(len(numbers), problems, config)
    labels = None if records.labels is None else records.labels[torch.tensor(rows)]
    _name_missing_classes(records.labels, records.classes, labels, config)
    _say_notes(headers)
    files = [records.file(row) for row in range(len(records))] if config.size is None else [None]
    origin = None
    if all(files):
        every = np.arange(len(files))
        origin = Origin(expanded(config.source), tuple(filter(None, files)), every, np.zeros_like(every))
    data = Signals(records.name, pixels, labels, records.classes, places=torch.tensor(rows), origin=origin)
    sides = {(headers[row].height, headers[row].width) for row in rows}
    return _with_masks(data, records.masks, np.array(rows), np.zeros(len(rows), int), sides, config)


def _say_notes(headers: dict[int, Header]) -> None:
    """Lines for what decoding does not keep."""
    for name, told in (
        ("transparent", "transparency, which is laid over white"),
        ("profiled", "a profile of colours (ICC), which is not applied"),
    ):
        if count := sum(getattr(header, name) for header in headers.values()):
            logger.info("note: %d of %d images have %s", count, len(headers), told)


def _fields(records: FieldRecords, config: DataConfig, meaning: Meaning | None) -> Signals:
    """Fields of files, whatever their kind, type and format."""
    plan = plan_of(records, config)
    rows = _limited(len(plan), config)
    items = records.kind.item[1]
    if len(plan) == 1 and records.parts[0].format.kind in ("npy", "npz"):
        array = records.parts[0].arrays[0]
        windows = _windows(plan.shape[1:], ", or cut windows: ")
        raise TooFewError(
            f"need at least two {items}, and {array.path.name} is taken for one, its axes {array.shape} for"
            f" {records.parts[0].layout.axes}; say otherwise with {argument('data.axes')}, a letter for"
            f" each (N items, C channels, T time, Z Y X space), or {argument('data.kind')}{windows}"
        )
    if meaning is not None and len(meaning.axes) != len(plan.shape) - 1:
        other = Kind.member(meaning.kind).item[1]
        raise InputError(f"{records.name!r} holds {items}, which cannot be compared with {other}")
    _check_enough(len(rows), [], config, plan.shape[1:], items)
    axes = records.parts[0].layout.spatial
    if config.rate is not None and "T" not in axes:
        raise InputError(
            f"{argument('data.rate')} is {config.rate:g}, and {items} of {records.name!r} have no time, only"
            f" {', '.join(axes)}; say how far apart samples are with {argument('data.spacing')}"
        )
    chosen = plan.some(rows)
    if meaning is None:
        meaning = replace(meaning_of(chosen), by_area=config.area_weights)
        meaning.weight_field(plan.shape)
    else:
        for part in records.parts:
            check_means(part, meaning, config)
    lazy = LazyFields(chosen, meaning, config.missing == "mask")
    problems: list[InputError] = []
    stored: Tensor | LazyFields | Windows
    if config.fit == "crop":
        stored, good = _cut(lazy, roams=True), np.arange(len(lazy))
        logger.info("%s: %s", records.name, stored.line(records.kind.item))
    else:
        stored, good = _stored(lazy, config, problems)
    _check_enough(len(good), problems, config, plan.shape[1:], items)
    _report_bad(len(rows), problems, config, items)
    labels = every = None
    if records.labels is not None:
        every = records.labels[torch.from_numpy(plan.part)]
        labels = every[torch.from_numpy(rows[good])]
    _name_missing_classes(every, records.classes, labels, config, records.kind.item[0])
    gaps = config.missing == "mask" or plan.pads
    missing = float(stored.isnan().double().mean()) if gaps and isinstance(stored, Tensor) else None
    gaps = gaps and missing != 0
    logger.info("%s", "\n".join(_said(chosen, meaning, gaps, missing) + _constant(stored, meaning)))
    data = Signals(
        records.name,
        stored,
        labels,
        records.classes,
        places=torch.from_numpy(rows[good]),
        meaning=meaning,
        gaps=gaps,
        origin=_origin(plan),
        cut=partial(_cut, replace(lazy, plan=chosen.some(good)), config.fit == "crop") if chosen.cuts else None,
    )
    sides = {part.shape[1:] for part in records.parts}
    return _with_masks(data, records.masks, chosen.part[good], chosen.item[good], sides, config, records.parts)


def _with_masks(
    data: Signals,
    masks: Sequence[AnyMask],
    part: np.ndarray,
    item: np.ndarray,
    sides: Collection[tuple[int, ...]],
    config: DataConfig,
    parts: Sequence[Part] = (),
) -> Signals:
    """Data with what was observed of each field.

    Args:
        data: The fields.
        masks: Of the files or rows; () if nobody asked.
        part: Which of these each field is in, `(N,)`.
        item: The number of its item there.
        sides: Side lengths that items have there.
        config: Settings.
        parts: Files or rows whose axes may be in another order than those of fields.

    Raises:
        InputError: If fields are not whole items as they are in files, or a mask is none.
    """
    if not masks:
        return data
    spatial, basis, order = data.shape[1:], FourierBasis(data.shape[1:]), config.observed_order
    if {*sides} != {spatial} or config.resample is not None or config.fit == "crop":
        raise InputError(
            f"masks ({argument('data.observed')}) are of whole items as files hold them; leave {argument('data.size')},"
            f" {argument('data.fit')} and {argument('data.resample')} out"
        )
    shape = (len(part), *basis.coefficients)
    if math.prod(shape) > base.MEMORY_LIMIT:
        raise InputError(
            f"masks of {len(part)} items take {math.prod(shape) / 2**30:.1f} GiB of memory, at most"
            f" {base.MEMORY_LIMIT / 2**30:.0f} are used; take fewer with {argument('data.limit')}"
        )

    def own_of(number: int, item: int, values: np.ndarray) -> np.ndarray:
        file = parts[number] if parts else None
        return own_mask(values, item, file.count if file else 1, file.layout if file else None, len(spatial))

    for number in dict.fromkeys(part.tolist()):
        if (promised := masks[number].shape) is not None:
            with _naming(masks[number]):
                # Of one value, so that a shape that does not fit is refused before its values take memory.
                check_sides(own_of(number, 0, np.broadcast_to(np.True_, promised)).shape, spatial, order)
    observed, good, problems = torch.zeros(shape, dtype=torch.bool), [], list[InputError]()
    last, values = -1, None
    for i, number in enumerate(counted(part.tolist(), "reading", "masks")):
        if number != last:
            last, values = number, _mask_read(masks[number], config, problems)
        if values is not None:
            good.append(i)
            with _naming(masks[number]):
                observed[i] = half_of(own_of(number, int(item[i]), values), spatial, order)
    if not problems:
        return replace(data, observed=observed)
    items = Kind.member(data.meaning.kind).item[1]
    _check_enough(len(good), problems, config, items=items)
    left, why = f"{len(part) - len(good)} of {len(part)} {items}", problems[0]
    logger.warning("left out %s in %r, whose masks cannot be read; the first: %s", left, config.source, why)
    return replace(data, observed=observed).subset(good)


def _mask_read(mask: AnyMask, config: DataConfig, problems: list[InputError]) -> np.ndarray | None:
    """The values of masks; None, and a line more in `problems`, if they cannot be read and such items are left out."""
    try:
        return mask.read()
    except InputError as error:
        if not config.skip_bad:
            raise InputError(f"{error}; leave such items out with {argument('data.skip_bad=True')}") from None
        problems.append(error)
        return None


@contextmanager
def _naming(mask: AnyMask) -> Iterator[None]:
    """Errors of what masks hold, which name them."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{mask.described}: {error}") from None


def _say_beside(data: Signals, config: DataConfig) -> None:
    """A line for items that hold something where nothing was observed."""
    if data.observed is None:
        return
    order, other = config.observed_order, "fft" if config.observed_order == CENTRED else CENTRED
    some = data if isinstance(data.stored, Tensor) else data.at_most(_SEEN)
    share, turned = _share_beside(some), _share_beside(some.at_most(_SEEN), order)
    line = beside_line(data.name, share, turned, argument(f"data.observed_order={other}"), "left out")
    if line is not None:
        logger.info(line)


def _share_beside(data: Signals, order: str | None = None) -> float:
    """Share of power where nothing was observed; or what it would be if masks, read in an order, were in the other."""
    whole = replace(data, observed=None)
    parts = []
    for some in torch.arange(len(data)).split(_SEEN):
        missing = data.unobserved(some)
        assert missing is not None
        missing = missing if order is None else reordered(missing, data.shape[-1], order)
        parts.append(torch.stack(power_beside(whole.batch(some)[0], missing)))
    beside, power = torch.cat(parts, 1).sum(1).tolist()
    return beside / power if power else 0.0


def _cut(lazy: LazyFields, roams: bool) -> Windows:
    """The items that fields are windows of, in memory.

    Raises:
        InputError: If they do not fit there.
    """
    plan = lazy.plan
    sizes = [part.count * math.prod(part.shape) for part in plan.records.parts]
    if (needed := sum(sizes) * (1 if lazy.packed else 4)) > base.MEMORY_LIMIT:
        cure = (
            f"read their windows where they lie, with {argument('data.fit=tile')}"
            if roams
            else "train on what sagd clean leaves of them, or name the damaged band and leave it out of each window by"
            " itself, with process.omission.split none"
        )
        raise InputError(
            f"{plan.records.name!r} takes {needed / 2**30:.1f} GiB of memory, at most {base.MEMORY_LIMIT / 2**30:.0f}"
            f" are used; name fewer files, or {cure}"
        )
    wholes, number = lazy.wholes()
    return Windows(tuple(wholes), plan.shape[1:], torch.from_numpy(number), torch.from_numpy(plan.origin), roams)


def _origin(plan: Plan) -> Origin | None:
    """The files of fields that are whole items of them; None of rows of tables, which have none of their own."""
    parts = plan.records.parts
    if not parts[0].format.endings or plan.config.resample is not None:
        return None
    if any(part.shape[1:] != plan.shape[1:] for part in parts):
        return None
    return Origin(expanded(plan.config.source), tuple(part.path for part in parts), plan.part, plan.item)


def _windows(spatial: Sequence[int], start: str) -> str:
    """Advice to cut windows of which an array has two along each axis; empty for one that is too small.

    >>> _windows((32, 48), ""), _windows((512, 512), ""), _windows((5,), "")
    ('data.fit=tile data.size=16', 'data.fit=tile data.size=64', '')
    """
    least = min(spatial)
    if least < _LEAST_SIDE:
        return ""
    return (
        f"{start}{argument('data.fit=tile')} {argument('data.size=')}{min(_USUAL_SIDE, 2 ** (least.bit_length() - 2))}"
    )


def _stored(lazy: LazyFields, config: DataConfig, problems: list[InputError]) -> tuple[Tensor | LazyFields, np.ndarray]:
    """Fields in memory if they fit, and the numbers of those that could be read, int64."""
    bytes_each = math.prod(lazy.plan.shape) * (1 if lazy.packed else 4)
    fits = len(lazy) * bytes_each <= base.MEMORY_LIMIT
    if not fits and not config.skip_bad:
        return lazy, np.arange(len(lazy))
    kind = torch.uint8 if lazy.packed else torch.float32
    store = torch.empty(lazy.shape if fits else 0, dtype=kind)

    recent = Recent()

    def read(i: int) -> None:
        x = lazy.field(i, recent)
        if fits:
            store[i] = x

    units = lazy.plan.records.kind.item[1]
    good = np.array(list(_sift(_each(read, len(lazy), task="reading", units=units), config, problems, units)), np.int64)
    if not fits:
        return replace(lazy, plan=lazy.plan.some(good)), good
    return store if len(good) == len(store) else store[torch.from_numpy(good)], good


def _said(plan: Plan, meaning: Meaning, gaps: bool, missing: float | None) -> list[str]:
    """What was read, in a few lines; `missing` is the share of values that are, if it is known."""
    records = plan.records
    first = records.parts[0].arrays[0]
    shape = f"{' x '.join(map(str, plan.shape))} (C, {', '.join(meaning.axes)})"
    rate = "" if meaning.rate is None else f" at {meaning.rate:g} Hz"
    steps = [(a, meaning.steps[a]) for a in meaning.axes if a in meaning.steps and not (a == "T" and rate)]
    apart = f", steps {', '.join(f'{a} {s.size:.6g} {s.unit}'.strip() for a, s in steps)}" if steps else ""
    files = len({part.path for part in records.parts})
    many = f" of {files} files" if files > 1 else f" of {first.path.name}"
    names = [array.name for array in records.parts[0].arrays if array.name]
    arrays = f", arrays {', '.join(names)}" if names else ""
    lines = [f"{records.name}: {records.kind.counted(len(plan))}{many}, {shape}{rate}{apart}{arrays}"]
    axes = records.parts[0].layout.axes
    if axes != first.axes and plan.config.axes is None:
        lines.append(f"axes of arrays {first.shape} taken as {axes}; {argument('data.axes')} says otherwise")
    given = plan.config.axes
    if given is not None and (odd := next((part for part in records.parts if part.layout.axes != given), None)):
        taken = odd.layout.axes
        lines.append(
            f"axes {given} of an array {odd.arrays[0].shape} taken as {taken}: one item, or one of no channels"
        )
    if plan.scales and not meaning.steps and any(part.steps(plan.config.rate) for part in records.parts):
        lines.append("files differ in the size of a pixel, so that none is told here")
    if other := [letter for letter in meaning.axes if _overruled(plan, letter)]:
        lines.append(f"steps along {', '.join(other)} are those of {argument('data.spacing')}; files say others")
    if not meaning.is_bytes:
        scale = ", ".join(_formula(o, s) for o, s in zip(meaning.offset, meaning.scale, strict=True))
        unit = ", ".join(name or "-" for name in meaning.quantities) or meaning.quantity
        lines.append(f"values{f' {unit}' if unit else ''} are {meaning.dtype}, which models see as {scale}")
    if gaps:
        share = "values" if missing is None else f"{100 * missing:.2g} % of the values"
        lines.append(f"{share} are missing or beyond the end, and are left out of loss and measures")
    return lines + [
        f"note: {note}" for note in dict.fromkeys(n for p in records.parts for a in p.arrays for n in a.notes)
    ]


def _constant(fields: Tensor | LazyFields | Windows, meaning: Meaning) -> list[str]:
    """A line for each channel that is the same everywhere, in all fields, or in some where memory cannot hold all."""
    some = fields if isinstance(fields, Tensor) else fields[torch.arange(min(len(fields), _LOOKED_AT))]
    where = "" if isinstance(fields, Tensor) else f" in the first {len(some)}"
    lines = []
    for c in range(some.shape[1]):
        values = some[:, c]
        low = values if values.dtype == torch.uint8 else values.nan_to_num(nan=float("inf"))
        high = values if values.dtype == torch.uint8 else values.nan_to_num(nan=float("-inf"))
        if low.min() >= high.max():
            name = f" {meaning.channels[c]!r}" if meaning.channels else "" if some.shape[1] == 1 else f" {c + 1}"
            lines.append(f"note: channel{name} does not vary{where}")
    return lines


def _overruled(plan: Plan, letter: str) -> bool:
    """Whether files say another step along an axis than the one that was given."""
    own = (part.steps(plan.config.rate).get(letter) for part in plan.records.parts)
    given = given_steps(plan.config, plan.records.parts[0].layout.spatial).get(letter)
    return given is not None and any(step is not None and differ(step, given) for step in own)


def _formula(offset: float, scale: float) -> str:
    """How models see a value `v`.

    >>> _formula(-0.5, 2)
    '(v + 0.5) / 2'
    """
    return f"(v {'+' if offset < 0 else '-'} {abs(offset):.6g}) / {scale:.6g}"


def _limited(count: int, config: DataConfig) -> np.ndarray:
    """Numbers of the items that `limit` takes, in order, int64."""
    return subset(count, config.limit or count, generator_for(0, "limit")).sort().values.numpy()


def _report_bad(count: int, problems: Sequence[InputError], config: DataConfig, items: str = "images") -> None:
    if problems:
        bad = len(problems)
        logger.warning("left out %d of %d %s in %r; the first: %s", bad, count, items, config.source, problems[0])


def side_of(config: DataConfig) -> int | None:
    """The side length of square pictures that `size` asks for."""
    size = config.size
    return size if size is None or isinstance(size, int) else size[0]


def _name_missing_classes(
    every: Tensor | None,
    classes: Sequence[str] | None,
    labels: Tensor | None,
    config: DataConfig,
    item: str = "image",
) -> None:
    """A line for classes of which nothing is left."""
    if every is None or classes is None or labels is None:
        return
    kept = set(labels.tolist())
    missing = [repr(classes[k][:_LONGEST]) for k in every.unique().tolist() if k not in kept]
    if missing:
        listed = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        reasons = {"data.limit": config.limit is not None, "data.skip_bad": config.skip_bad}
        why = " and ".join(name for name, given in reasons.items() if given)
        logger.warning("%s leaves no %s of %d of %d classes: %s", why, item, len(missing), len(classes), listed)


def _check(config: DataConfig) -> None:
    if config.kind != "auto":
        Kind.member(config.kind)
    if config.channels is not None and config.channels < 1:
        raise InputError(f"data.channels must be at least 1, got {config.channels}; e.g. 1 (grey) or 3 (RGB)")
    if config.size == ():
        raise InputError("data.size is an empty list; give one side, e.g. 32, or one for each axis, or leave it out")
    for side in (config.size,) if isinstance(config.size, int) else config.size or ():
        if side < 1:
            raise InputError(f"data.size must be at least 1, got {side}; e.g. 32")
    for name in ("rate", "resample"):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"data.{name} must be positive and finite (samples per second), got {value}")
    if config.observed is not None:
        _check_observed(config)
    if config.limit is not None and config.limit < 2:
        raise InputError(f"data.limit must be at least 2, got {config.limit}")


def _check_observed(config: DataConfig) -> None:
    """Refuse settings that go with no masks."""
    if not config.observed:
        raise InputError(
            f"{argument('data.observed')} is the name of a column, of an array, or what stands before the ending of"
            f" files, e.g. mask; got {config.observed!r}"
        )
    if config.corruption != "none":
        raise InputError(
            f"two damages, masks ({argument('data.observed')} {config.observed}) and {argument('data.corruption')}"
            f" {config.corruption}; name one"
        )
    if config.missing == "mask":
        raise InputError(
            f"{argument('data.missing=mask')} is for values that are missing, {argument('data.observed')} for"
            " frequencies, which items with gaps have not; leave one of them out"
        )


def _check_enough(
    count: int,
    problems: Sequence[InputError],
    config: DataConfig,
    spatial: Sequence[int] = (),
    items: str = "images",
) -> None:
    if count < 2:
        why = f"; {len(problems)} cannot be read, the first: {problems[0]}" if problems else ""
        whole = count == 1 and spatial and config.fit not in ("tile", "crop")
        one = _windows(spatial, "; windows of it are many: ") if whole else ""
        raise (TooFewError if count else InputError)(
            f"need at least two {items}, found {count} in {config.source!r}{why}{one}"
        )


def _common_shape(headers: dict[int, Header], records: Records, config: DataConfig) -> tuple[int, int, int]:
    """Shape `(C, H, W)` that all images have or are given."""
    if config.channels is not None and config.channels not in CHANNELS:
        raise InputError(f"data.channels must be 1 (grey) or 3 (RGB) of images, got {config.channels}")
    first_row, first = next(iter(headers.items()))
    for row, header in headers.items():
        if config.channels is None and header.channels != first.channels:
            one, other = ("grey" if h.channels == 1 else "colour" for h in (first, header))
            problem, advice = "channels", f"choose with {argument('data.channels')} 1 or 3"
        elif config.size is None and (header.width, header.height) != (first.width, first.height):
            one, other = (f"{h.width}x{h.height}" for h in (first, header))
            problem, advice = "size (width x height)", f"give all one with {argument('data.size')}"
        else:
            continue
        pair = f"{records.describe(first_row)} is {one}, {records.describe(row)} is {other}"
        raise InputError(f"images differ in {problem}: {pair}; {advice}")
    side = side_of(config)
    if side is not None and side > LARGEST:
        raise InputError(f"data.size must be at most {LARGEST}, got {side}; e.g. 32")
    height, width = (first.height, first.width) if side is None else (side, side)
    return config.channels or first.channels, height, width


def _threads(headers: dict[int, Header]) -> int:
    area = sum(header.width * header.height for header in headers.values()) / len(headers)
    return os.cpu_count() or 1 if area >= _THREADED_AREA else 1


def _decoded(lazy: LazyPixels, config: DataConfig, problems: list[InputError]) -> tuple[Tensor | LazyPixels, list[int]]:
    """Pixels in memory if they fit, and the rows they are of."""
    fits = math.prod(lazy.shape) <= base.MEMORY_LIMIT
    if not fits and not config.skip_bad:
        return lazy, list(lazy.rows)
    store = np.empty(lazy.shape if fits else 0, np.uint8)

    def decode(i: int) -> None:
        pixels = lazy.decode(i)
        if fits:
            store[i] = pixels

    good = list(_sift(_each(decode, len(lazy), lazy.threads, "decoding"), config, problems))
    rows = [lazy.rows[i] for i in good]
    if not fits:
        return replace(lazy, rows=rows), rows
    return torch.from_numpy(store if len(good) == len(store) else store[good]), rows


def _read(records: Records, row: int, use: Callable[[Image.Image], T]) -> T:
    """`use` of the opened image, with an error that names the image."""
    try:
        with records.open(row) as image:
            return use(image)
    except MemoryError:
        raise
    except Exception as error:  # on damaged data decoders raise errors of every kind
        raise InputError(f"cannot read {records.describe(row)}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    need("PIL")
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error)


def _sift(
    outcomes: Generator[T | InputError, None, None],
    config: DataConfig,
    problems: list[InputError],
    items: str = "images",
) -> dict[int, T]:
    """Successes by their number; failures are appended to `problems` or, without `skip_bad`, raised."""
    good: dict[int, T] = {}
    with closing(outcomes):
        for i, outcome in enumerate(outcomes):
            if not isinstance(outcome, InputError):
                good[i] = outcome
            elif config.skip_bad:
                problems.append(outcome)
            else:
                raise InputError(f"{outcome}; leave such {items} out with {argument('data.skip_bad=True')}")
    return good


def _each(
    function: Callable[[int], T], count: int, threads: int = 1, task: str = "", units: str = "images"
) -> Generator[T | InputError, None, None]:
    """`function(i)` of each number in order, an `InputError` as a value; how far it is, by `task`, if it takes long."""

    def attempt(i: int) -> T | InputError:
        try:
            return function(i)
        except InputError as error:
            return error

    def attempt_run(start: int) -> list[T | InputError]:
        return [attempt(i) for i in range(start, min(start + _RUN, count))]

    starts = range(0, count, _RUN)
    pool = ThreadPoolExecutor(threads)
    runs = pool.map(attempt_run, starts) if threads > 1 else map(attempt_run, starts)
    numbers = counted(range(count), task, units, shown=bool(task))
    try:
        for _, outcome in zip(numbers, itertools.chain.from_iterable(runs), strict=True):
            yield outcome
    finally:
        pool.shutdown(cancel_futures=True)
