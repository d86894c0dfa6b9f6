"""Restored files larger than the model: images, stacks, volumes and records, read and written in blocks.

Each is restored as `sagd.study.larger` says, and held against what needs no model. A file that cannot be restored does
not stop the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sagd.counting import Count
from sagd.data.fields import Part, in_units_of
from sagd.data.files import Named, named_parts, partner_parts
from sagd.data.formats.values import Loss
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.whole import Block, Whole, exact, require_room
from sagd.errors import InputError, argument, failures, one_line
from sagd.model.condition import Condition
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.alarm import excess
from sagd.omission.blending import count_of
from sagd.omission.guard import next_bins, unguarded
from sagd.omission.modes import Restoration
from sagd.omission.preparation import Scale, lines_of, prepared
from sagd.omission.split import band_part
from sagd.store.model import Trained
from sagd.study.filling import doubt_of, method_of, require_whole
from sagd.study.held import Held
from sagd.study.larger import (
    Blending,
    ByMode,
    Restorer,
    beyond_line,
    count_beyond,
    require_windows,
    split_of,
)
from sagd.study.restoration import (
    UNBELIEVED,
    Method,
    RestorationResult,
    believes,
    compared,
    mode_of_model,
    warn_of_doubts,
)
from sagd.study.sides import BEST, WAYS, Sides, asks_network
from sagd.study.windowed import TRIED, ByDraws, Piece, restorer_of
from sagd.study.work import Work

logger = logging.getLogger(__name__)

_MANY = 1000
"""Windows from which on draws of each may take longer than some minutes on a processor."""
_FILES = 8
"""Files of which a page shows the middle, and by number of axes the most samples of an axis."""
_SHOWN = {1: 2**12, 2: 256, 3: 48}


@dataclass(frozen=True)
class WholesRestored:
    """What became of files.

    Attributes:
        sides: Figures, and which result was written.
        written: The files.
        files: What their type has left of the values.
        shown: The middle of some of them, for a page.
        notes: What else there is to say of them, each with the name of its file.
        failed: Name of a file that could not be restored -> why.
    """

    sides: Sides
    written: tuple[Path, ...]
    files: Held
    shown: RestorationResult = field(repr=False)
    notes: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told: dict[str, Any] = {"mode": self.shown.method.kind, "band": self.shown.method.band}
        told |= {"files": self.files.to_dict(), "sides": self.sides.to_dict()}
        return told | {"notes": list(self.notes), "failed": dict(self.failed)}

    @property
    def count(self) -> int:
        """How many files were to be restored."""
        return len(self.written) + len(self.failed)

    def line(self) -> str | None:
        """A sentence about values that were rounded or clipped; None if none were."""
        return self.files.line()


def restore_wholes(
    model: Trained,
    paths: Sequence[Path],
    out: Path,
    clean: Path | None = None,
    take: str = BEST,
    label: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
    keep: bool = False,
    band: str | None = None,
) -> WholesRestored:
    """Restore files of any size from the model's on, and write the best result, in their type, format and metadata.

    Args:
        model: A model that was trained by a mode of omission; or of whole items, with a band.
        paths: Files and folders.
        out: Where to write them, under their own names.
        clean: Folder with clean files of the same names, if there are.
        take: "network", "clean", "removal" or "best".
        label: Class of all, of conditional models.
        seed: Seed of draws, and of the noise that some modes work under.
        batch_size: Windows per network call.
        progress: Show a bar.
        keep: Write floating point.
        band: What is damaged, of a model of whole items; None: what the model leaves out.

    Raises:
        InputError: Before any work, if a file is of a size, kind or rate that does not fit the model, naming it; or if
            none could be restored.
    """
    Sides((), {}, {}, take)
    told = Condition() if label is None else Condition.of(torch.tensor([label]))
    knowledge = _OfBand(model, band, told, seed) if band is not None else _OfMode(model, told, seed)
    place = knowledge.place
    failed: dict[str, str] = {}
    parts = named_parts(paths, model.meaning, unread=failed)
    named = len(parts) + len(failed)
    _require_fits(parts, model)
    for _, part in parts:
        require_room(part, out)
    partners = [None] * len(parts) if clean is None else _partners(parts, clean, model.meaning)
    tasks = []
    for (name, part), truth in zip(parts, partners, strict=True):
        with _noted(failed, name):
            beyond = _count_beyond(part, model)
            tasks.append((name, _work(part, model, knowledge), beyond, truth))
    if not tasks:
        raise InputError(failures(failed.items(), named, "restored"))
    knowledge.warn()
    restorer = None
    if asks_network(take, knowledge.doubt, clean is not None):
        restorer = knowledge.restorer([work for _, work, _, _ in tasks], batch_size, progress)
    out.mkdir(parents=True, exist_ok=True)
    windows = [_count_of(work, model) for _, work, _, _ in tasks]
    if take == BEST and isinstance(restorer, ByDraws) and sum(windows) > _MANY:
        logger.info(
            "the network restores %s windows by draws, which may take long: %s %s needs none",
            *(f"{sum(windows):,}", argument("take"), WAYS[1]),
        )
    total, unit = (len(tasks), "files") if restorer is None else (sum(windows), "windows")
    with (
        tempfile.TemporaryDirectory(dir=out, prefix=".restoring-") as folder,
        Count(total, "restoring", unit, progress) as count,
    ):
        done: dict[str, tuple[_Results, Whole | None]] = {}
        for k, (name, work, beyond, truth) in enumerate(tasks):
            with _noted(failed, name):
                restoring = _Restoring(work, model, None, beyond)
                if restorer is not None:
                    own, note = restorer.of(partial(_first_seen, work, model))
                    blending = Blending(own, batch_size, count.done)
                    restoring = dataclasses.replace(restoring, blending=blending, note=note)
                done[name] = restoring.results(Path(folder) / str(k), truth), truth
            if restorer is None:
                count.done()
        if not done:
            raise InputError(failures(failed.items(), named, "restored"))
        names, found = tuple(done), [results for results, _ in done.values()]
        ways = found[0].ways
        sides = Sides(
            names,
            {way: tuple(f.errors[way] for f in found) for way in ("damaged", *ways)} if clean else {},
            {way: tuple(f.excess[way] for f in found) for way in ("damaged", *ways)},
            take,
            knowledge.doubt,
            {} if restorer is None else restorer.tried,
        )
        written = []
        for name, results in zip(names, found, strict=True):
            with _noted(failed, name):
                written.append(results.work.file.write(out / name, results.parts(sides.taken), keep))
        method = knowledge.method(restorer)
        shown = _shown(model, place, method, names, found, [truth for _, truth in done.values()], sides)
    array = found[0].work.file.part.arrays[0]
    files = Held((exact(array) if keep else array).dtype, sum((lost for _, lost in written), Loss()))
    return WholesRestored(
        sides,
        tuple(path for path, _ in written),
        files,
        dataclasses.replace(shown, files=files),
        tuple(f"{name}: {note}" for name, results in zip(names, found, strict=True) for note in results.notes),
        failed,
    )


@contextlib.contextmanager
def _noted(failed: dict[str, str], name: str) -> Iterator[None]:
    """Context in which an error of one file is noted, so that the others go on."""
    try:
        yield
    except (InputError, OSError, MemoryError) as error:
        failed[name] = "it does not fit memory" if isinstance(error, MemoryError) else one_line(error)


def are_larger(model: Trained, paths: Sequence[Path]) -> bool:
    """Whether some file is not of the size of the model, but larger.

    Raises:
        InputError: Naming it, if one is smaller or has other channels, or is larger than a model restores that knows
            scaled data alone, or cannot be read.
    """
    parts = named_parts(paths, model.meaning, unread={})
    if all(part.shape[1:] == model.process.shape[1:] for _, part in parts):
        return False
    _require_fits(parts, model)
    return True


def _shown(
    model: Trained,
    place: Spectrum,
    method: Method,
    names: Sequence[str],
    found: Sequence[_Results],
    known: Sequence[Whole | None],
    sides: Sides,
) -> RestorationResult:
    """The middle of the first item of some files, in a size that all have."""
    some = found[:_FILES]
    sizes = [result.work.file.shape[1:] for result in some]
    size = [min(_SHOWN[len(sizes[0])], *(own[axis] for own in sizes)) for axis in range(len(sizes[0]))]

    def middle(file: Whole, change: Callable[[Block], Tensor] | None = None) -> Tensor:
        block = tuple(
            slice((n - side) // 2, (n - side) // 2 + side) for n, side in zip(file.shape[1:], size, strict=True)
        )
        x = file.read(0, block) if change is None else file.read(0, block) - change(block)
        return _seen(x, file, model)

    damaged = torch.stack([middle(r.work.file) for r in some])
    restored = torch.stack([middle(r.work.file, partial(r.change, sides.taken, 0)) for r in some])
    truths = [middle(file) for file in known[:_FILES] if file is not None]
    clean = torch.stack(truths) if truths else None
    gaps = ~damaged.isnan()
    named = Named(tuple(names[:_FILES]), damaged.nan_to_num(), model.meaning, None if gaps.all() else gaps)
    basis = FourierBasis(tuple(size))
    b = mask(next_bins(unguarded(place), size), basis)
    result = compared(named, Restoration(restored.nan_to_num()), clean, method, b, basis, sides, on_grid=False)
    psnr = {"damaged": sides.psnr("damaged"), "restored": sides.psnr(sides.taken)}
    told = {name: value for name, value in psnr.items() if value is not None}
    return dataclasses.replace(result, psnr=told, change_outside=None)


class _Knowledge(Protocol):
    """What a model knows of a band, and how it restores windows."""

    place: Spectrum
    doubt: str

    def band(self, file: Whole) -> Spectrum:
        """What is taken out of a file."""

    def warn(self) -> None:
        """Say what speaks against the model."""

    def restorer(self, works: Sequence[Work], batch_size: int, progress: bool) -> Restorer:
        """How windows of files are restored."""

    def method(self, restorer: Restorer | None) -> Method:
        """The same, for people."""


class _OfMode:
    """Of a model that was trained to leave a band out."""

    def __init__(self, model: Trained, condition: Condition, seed: int) -> None:
        self.model, self.condition, self.seed = model, condition, seed
        self.mode = mode_of_model(model)
        self.place, self.doubt = self.mode.place, "" if believes(model, self.mode) else UNBELIEVED

    def band(self, file: Whole) -> Spectrum:
        """What is taken out of a file."""
        return split_of(self.model, self.mode, file.grid, lambda: _first(file))

    def warn(self) -> None:
        """Say what was found against the model's word on its band."""
        warn_of_doubts(self.model)

    def restorer(self, works: Sequence[Work], batch_size: int, progress: bool) -> ByMode:
        """How windows of files are restored."""
        return ByMode(self.model, self.mode, self.condition, self.seed)

    def method(self, restorer: Restorer | None) -> Method:
        """The same, for people."""
        return Method.of(self.mode)


class _OfBand:
    """Of a model of whole items, and a band that is named."""

    def __init__(self, model: Trained, band: str, condition: Condition, seed: int) -> None:
        self.model, self.text, self.condition, self.seed = model, band, condition, seed
        self.place = Spectrum.parse(band).on(model.meaning.grid())
        require_whole(model)
        self.doubt = doubt_of(model)

    def band(self, file: Whole) -> Spectrum:
        """What is taken out of a file."""
        return Spectrum.parse(self.text).on(file.grid)

    def warn(self) -> None:
        """Nothing speaks against it."""

    def restorer(self, works: Sequence[Work], batch_size: int, progress: bool) -> ByDraws:
        """How windows of files are restored, by what the first items of some of them show."""
        pieces = [*itertools.islice(self._pieces(works), TRIED)]
        return restorer_of(self.model, self.text, pieces, self.condition, self.seed, batch_size, progress)

    def _pieces(self, works: Sequence[Work]) -> Iterator[Piece]:
        """Of files that can be restored; the others are named when it is their turn."""
        for work in works:
            with contextlib.suppress(InputError, OSError, MemoryError):
                yield _piece(work, self.model)

    def method(self, restorer: Restorer | None) -> Method:
        """The same, for people."""
        return method_of(self.text, isinstance(restorer, ByDraws) and restorer.from_cleaned)


def _first_seen(work: Work, model: Trained) -> Tensor:
    """The first block of a file, finite, as the model sees it."""
    return _seen(work.filled(0, work.file.blocks[0])[1], work.file, model)


def _piece(work: Work, model: Trained) -> Piece:
    """The same, and what cleaning takes out of it."""
    y, seen = work.filled(0, work.file.blocks[0])[1], _first_seen(work, model)
    taken = work.removal(0).apply(y)
    return Piece(seen, seen - _seen(y - taken, work.file, model), work.band)


@dataclass(frozen=True)
class _Results:
    """What ways take out of a file, and what is left of the damage.

    Attributes:
        work: The file.
        ways: The ways.
        changes: `(count, ways * C, *spatial)`, on the disk if it is large.
        errors: By stage, if a clean file is known.
        excess: By stage.
        notes: What else there is to say.
    """

    work: Work
    ways: tuple[str, ...]
    changes: np.ndarray
    errors: dict[str, float]
    excess: dict[str, float]
    notes: tuple[str, ...] = ()

    def change(self, way: str, item: int, block: Block) -> Tensor:
        """What a way takes out of a block, `(C, *spatial)`."""
        channels = self.work.file.shape[0]
        k = self.ways.index(way) * channels
        return torch.from_numpy(np.array(self.changes[item, k : k + channels][(slice(None), *block)], np.float64))

    def parts(self, way: str) -> Iterator[tuple[int, Block, Tensor]]:
        """Item, place and values of all parts."""
        for item in range(self.work.file.part.count):
            for block in _tiles(self.work.file.blocks):
                before = self.work.file.read(item, block)
                yield item, block, before - self.change(way, item, block)


@dataclass(frozen=True)
class _Restoring:
    """The restoration of one file.

    Attributes:
        work: The file, and its damage.
        model: The model.
        blending: What it makes of the file; None if it is not asked.
        beyond: How many values lie beyond those that the model knows.
        note: What else there is to say of it; "" if there is nothing.
    """

    work: Work
    model: Trained
    blending: Blending | None
    beyond: int
    note: str = ""

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways that there are."""
        return WAYS if self.blending is not None else WAYS[1:]

    def results(self, folder: Path, truth: Whole | None) -> _Results:
        """By all ways, with figures."""
        file, channels, model = self.work.file, self.work.file.shape[0], self.model
        folder.mkdir()
        shape = (file.part.count, len(self.ways) * channels, *file.shape[1:])
        changes = np.memmap(folder / "changes", np.float32, "w+", shape=shape)
        squares, counted = dict.fromkeys(("damaged", *self.ways), 0.0), 0
        for item, block, before, after in file.changed(self.change):
            changes[item][(slice(None), *block)] = after.float().numpy()
            if truth is None:
                continue
            error = (_seen(before, file, model) - _seen(truth.read(item, block), truth, model)).double()
            known = ~error.isnan()
            counted += int(known.sum())
            for way, change in zip(squares, (torch.zeros_like(before), *after.split(channels)), strict=True):
                squares[way] += float((error - change * self._unit)[known].square().sum())
        errors = {way: s / max(counted, 1) for way, s in squares.items()}
        beyond = beyond_line(self.beyond) if self.beyond and self.blending is not None else ""
        notes = tuple(note for note in (self.work.dead, beyond, self.note, self._idle) if note)
        results = _Results(self.work, self.ways, changes, errors, {}, notes)
        for way in ("damaged", *self.ways):
            over = [self._excess(results, way, item) for item in range(file.part.count)]
            results.excess[way] = sum(over) / len(over)
        return results

    @property
    def _idle(self) -> str:
        """A sentence where cleaning finds nothing to take out of the whole file; "" elsewhere."""
        if any(self.work.removal(k).share for k in range(self.work.file.part.count)):
            return ""
        return (
            "nothing of a damage stands out of the band in the whole file for certain, and cleaning leaves it as it is"
        )

    def _excess(self, results: _Results, way: str, item: int) -> float:
        def blocks() -> Iterator[Tensor]:
            for block in self.work.file.blocks:
                before, filled, missing, _ = self.work.filled(item, block)
                after = before if way == "damaged" else before - results.change(way, item, block)
                yield filled if way == "damaged" else torch.where(missing, filled, after.to(filled))

        return excess(blocks(), self.work.band, self.work.removal(item))

    def change(self, item: int, block: Block) -> tuple[Tensor, Tensor]:
        """Values of a block, and what each way takes out, `(ways * C, *spatial)`: with what dead lines are off."""
        before, y, missing, dead = self.work.filled(item, block)
        if dead and not self.work.dead:
            self.work.dead = lines_of(dead, self.work.file.part.layout.spatial)
        band, removal = self.work.band, self.work.removal(item)
        by_network = []
        if self.blending is not None:
            by_network = [self.blending.restorer.damage(y, removal, self._by_model)]
        off = before - y.double()
        taken = (off + damage.double() for damage in (*by_network, removal.apply(y), band_part(y, band)))
        return before, torch.cat([torch.where(missing, 0.0, change) for change in taken])

    def _by_model(self, y: Tensor) -> Tensor:
        """How the model changes values of the file."""
        assert self.blending is not None
        seen = _seen(y, self.work.file, self.model)
        return (self.blending.change(seen).double() / self._unit).to(y)

    @property
    def _unit(self) -> Tensor:
        """Difference that models see of values of the file that differ by 1, `(C or 1, 1, ...)`."""
        part, meaning = self.work.file.part, self.model.meaning
        per = in_units_of(meaning, np.ones(1), part) - in_units_of(meaning, np.zeros(1), part)
        return (float(per[0]) / torch.tensor(meaning.scale, dtype=torch.float64)).reshape(-1, *(1,) * len(meaning.axes))


def _seen(x: Tensor, file: Whole, model: Trained) -> Tensor:
    """Values `(C, *spatial)` of a file as the model sees them, float32."""
    return model.meaning.to_model(torch.from_numpy(in_units_of(model.meaning, x.double().numpy(), file.part)))


def _count_beyond(part: Part, model: Trained) -> int:
    """How many values of a file lie beyond those that the model knows; see `count_beyond`."""
    file = _whole(part, model)
    blocks = (file.read(item, block) for item in range(part.count) for block in file.blocks)
    return count_beyond((_seen(x, file, model) for x in blocks), model)


def _count_of(work: Work, model: Trained) -> int:
    """Windows that a file is cut into."""
    size = model.process.shape[1:]
    return work.file.part.count * sum(count_of(_sides(block), size) for block in work.file.blocks)


def _whole(part: Part, model: Trained) -> Whole:
    return Whole(part, Kind.member(model.meaning.kind), model.meaning.rate)


def _work(part: Part, model: Trained, knowledge: _Knowledge) -> Work:
    """A file, and the band that is taken out of it."""
    file = _whole(part, model)
    return Work(file, knowledge.band(file), Scale())


def _first(file: Whole) -> Tensor:
    """The first block of a file, finite."""
    return prepared(file.read(0, file.blocks[0]), Scale())[0]


def _partners(parts: Sequence[tuple[str, Part]], clean: Path, meaning: Meaning) -> list[Whole]:
    """The clean files of the same names and sizes."""
    found = partner_parts([name for name, _ in parts], clean, meaning)
    for (name, part), own in zip(parts, found, strict=True):
        if (own.count, own.shape) != (part.count, part.shape):
            mine, theirs = (" x ".join(map(str, (p.count, *p.shape))) for p in (part, own))
            raise InputError(
                f"{name!r} is {mine} (items, channels, sides), its clean file {theirs}; give one of its size"
            )
    return [Whole(own, Kind.member(meaning.kind), meaning.rate) for own in found]


def _require_fits(parts: Sequence[tuple[str, Part]], model: Trained) -> None:
    """Refuse files of which some do not fit, naming the first and their number."""
    found = []
    for _, part in parts:
        try:
            _require_fit(part, model)
        except InputError as error:
            found.append(str(error))
    if found:
        several = f"; {len(found)} of {len(parts)} files do not fit, leave these out" if len(parts) > 1 else ""
        raise InputError(found[0] + several)


def _require_fit(part: Part, model: Trained) -> None:
    """Refuse a file that the model has no windows of, or other channels."""
    channels = model.process.shape[0]
    require_windows(part.shape[1:], model, repr(str(part.path)))
    if part.shape[0] != channels or part.columns is not None:
        raise InputError(
            f"{str(part.path)!r} has {part.shape[0]} channels, the model {channels}; give files of as many,"
            f" as all need where one is larger than {' x '.join(map(str, model.process.shape[1:]))}"
        )


def _sides(block: Block) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in block)


def _tiles(blocks: Sequence[Block]) -> Iterator[Block]:
    """Parts that cover an item once, of overlapping blocks along one axis."""
    for k, block in enumerate(blocks):
        following = blocks[k + 1] if k + 1 < len(blocks) else None
        if following is None:
            yield block
        else:
            yield tuple(
                slice(one.start, two.start) if one != two else one for one, two in zip(block, following, strict=True)
            )
