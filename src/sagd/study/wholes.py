"""Restored files larger than the model: images, stacks, volumes and records, read and written in blocks.

Each is restored as `sagd.study.larger` says, and held against what needs no model. A file that cannot be restored does
not stop the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sagd.data.fields import Part, in_units_of
from sagd.data.files import Named, named_parts, partner_parts
from sagd.data.formats.values import Loss
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.whole import Block, Whole, exact, require_room
from sagd.errors import InputError, one_line
from sagd.model.condition import Condition
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.alarm import excess
from sagd.omission.blending import count_of
from sagd.omission.guard import next_bins, unguarded
from sagd.omission.modes import Mode, Restoration
from sagd.omission.preparation import Scale, lines_of, prepared
from sagd.omission.split import band_part
from sagd.store.model import Trained
from sagd.study.held import Held
from sagd.study.larger import Blending, beyond_line, count_beyond, network_damage, require_windows, split_of
from sagd.study.restoration import RestorationResult, believes, measured, mode_of_model, warn_of_doubts
from sagd.study.sides import BEST, WAYS, Sides
from sagd.study.work import Work

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
) -> WholesRestored:
    """Restore files of any size from the model's on, and write the best result, in their type, format and metadata.

    Args:
        model: A model that was trained by a mode of omission.
        paths: Files and folders.
        out: Where to write them, under their own names.
        clean: Folder with clean files of the same names, if there are.
        take: "network", "clean", "removal" or "best".
        label: Class of all, of conditional models.
        seed: Seed of the noise that some modes work under.
        batch_size: Windows per network call.
        progress: Show a bar.
        keep: Write floating point.

    Raises:
        InputError: Before any work, if a file is of a size, kind or rate that does not fit the model, naming it; or if
            none could be restored.
    """
    Sides((), {}, {}, take)
    mode = mode_of_model(model)
    parts = named_parts(paths, model.meaning)
    for _, part in parts:
        _require_fit(part, model)
        require_room(part, out)
    partners = [None] * len(parts) if clean is None else _partners(parts, clean, model.meaning)
    told = Condition() if label is None else Condition.of(torch.tensor([label]))
    failed: dict[str, str] = {}
    tasks = []
    for (name, part), truth in zip(parts, partners, strict=True):
        with _noted(failed, name):
            beyond = _count_beyond(part, model)
            tasks.append((name, _work(part, mode, model), beyond, truth))
    warn_of_doubts(model)
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=out, prefix=".restoring-") as folder,
        tqdm(desc="restoring", unit="window", disable=None if progress else True, leave=False) as bar,
    ):
        bar.total = sum(_count_of(work, model) for _, work, _, _ in tasks)
        done: dict[str, tuple[_Results, Whole | None]] = {}
        for k, (name, work, beyond, truth) in enumerate(tasks):
            blending = Blending(model, mode, told, seed, batch_size, bar.update)
            with _noted(failed, name):
                done[name] = (_Restoring(work, blending, beyond).results(Path(folder) / str(k), truth), truth)
        if not done:
            raise InputError(failures(failed, len(parts)))
        names, found = tuple(done), [results for results, _ in done.values()]
        sides = Sides(
            names,
            {way: tuple(f.errors[way] for f in found) for way in ("damaged", *WAYS)} if clean else {},
            {way: tuple(f.excess[way] for f in found) for way in ("damaged", *WAYS)},
            take,
            believes(model, mode),
        )
        written = []
        for name, results in zip(names, found, strict=True):
            with _noted(failed, name):
                written.append(results.work.file.write(out / name, results.parts(sides.taken), keep))
        shown = _shown(model, mode, names, found, [truth for _, truth in done.values()], sides)
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


def failures(failed: Mapping[str, str], count: int) -> str:
    """A sentence about files that could not be restored, of so many."""
    listed = "; ".join(f"{name}: {why}" for name, why in failed.items())
    return f"{len(failed)} of {count} file(s) could not be restored: {listed}"


def are_larger(model: Trained, paths: Sequence[Path]) -> bool:
    """Whether some file is not of the size of the model, but larger.

    Raises:
        InputError: Naming it, if one is smaller, or larger than a model restores that knows scaled data alone, or
            cannot be read.
    """
    size = model.process.shape[1:]
    spatial = {str(part.path): part.shape[1:] for _, part in named_parts(paths, model.meaning)}
    if all(own == size for own in spatial.values()):
        return False
    for path, own in spatial.items():
        require_windows(own, model, repr(path))
    return True


def _shown(
    model: Trained,
    mode: Mode,
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
    own = dataclasses.replace(mode, band=next_bins(unguarded(mode.place), size))
    result = measured(named, Restoration(restored.nan_to_num()), clean, own, FourierBasis(tuple(size)), sides)
    psnr = {"damaged": sides.psnr("damaged"), "restored": sides.psnr(sides.taken)}
    told = {name: value for name, value in psnr.items() if value is not None}
    return dataclasses.replace(result, psnr=told, change_outside=None)


@dataclass(frozen=True)
class _Results:
    """What three ways take out of a file, and what is left of the damage.

    Attributes:
        work: The file.
        changes: `(count, 3 C, *spatial)`, on the disk if it is large.
        errors: By stage, if a clean file is known.
        excess: By stage.
        notes: What else there is to say.
    """

    work: Work
    changes: np.ndarray
    errors: dict[str, float]
    excess: dict[str, float]
    notes: tuple[str, ...] = ()

    def change(self, way: str, item: int, block: Block) -> Tensor:
        """What a way takes out of a block, `(C, *spatial)`."""
        channels = self.work.file.shape[0]
        k = WAYS.index(way) * channels
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
        blending: What the model makes of it.
        beyond: How many values lie beyond those that the model knows.
    """

    work: Work
    blending: Blending
    beyond: int

    def results(self, folder: Path, truth: Whole | None) -> _Results:
        """By all ways, with figures."""
        file, channels, model = self.work.file, self.work.file.shape[0], self.blending.model
        folder.mkdir()
        shape = (file.part.count, len(WAYS) * channels, *file.shape[1:])
        changes = np.memmap(folder / "changes", np.float32, "w+", shape=shape)
        squares, counted = dict.fromkeys(("damaged", *WAYS), 0.0), 0
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
        notes = tuple(note for note in (self.work.dead, self.beyond and beyond_line(self.beyond)) if note)
        results = _Results(self.work, changes, errors, {}, notes)
        for way in ("damaged", *WAYS):
            over = [self._excess(results, way, item) for item in range(file.part.count)]
            results.excess[way] = sum(over) / len(over)
        return results

    def _excess(self, results: _Results, way: str, item: int) -> float:
        def blocks() -> Iterator[Tensor]:
            for block in self.work.file.blocks:
                before, filled, missing, _ = self.work.filled(item, block)
                after = before if way == "damaged" else before - results.change(way, item, block)
                yield filled if way == "damaged" else torch.where(missing, filled, after.to(filled))

        return excess(blocks(), self.work.band, self.work.removal(item))

    def change(self, item: int, block: Block) -> tuple[Tensor, Tensor]:
        """Values of a block, and what each way takes out, `(3 C, *spatial)`: with what dead lines are off."""
        before, y, missing, dead = self.work.filled(item, block)
        if dead and not self.work.dead:
            self.work.dead = lines_of(dead, self.work.file.part.layout.spatial)
        band, removal = self.work.band, self.work.removal(item)
        by_network = network_damage(y, band, removal, self.blending.mode.leaves_out, self._by_model)
        off = before - y.double()
        taken = (off + damage.double() for damage in (by_network, removal.apply(y), band_part(y, band)))
        return before, torch.cat([torch.where(missing, 0.0, change) for change in taken])

    def _by_model(self, y: Tensor) -> Tensor:
        """How the model changes values of the file."""
        seen = _seen(y, self.work.file, self.blending.model)
        return (self.blending.change(seen).double() / self._unit).to(y)

    @property
    def _unit(self) -> Tensor:
        """Difference that models see of values of the file that differ by 1, `(C or 1, 1, ...)`."""
        part, meaning = self.work.file.part, self.blending.model.meaning
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


def _work(part: Part, mode: Mode, model: Trained) -> Work:
    """A file, and the band that is taken out of it."""
    file = _whole(part, model)
    band = split_of(model, mode, file.grid, lambda: prepared(file.read(0, file.blocks[0]), Scale())[0])
    return Work(file, band, Scale())


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


def _require_fit(part: Part, model: Trained) -> None:
    """Refuse a file that the model has no windows of, or other channels."""
    channels = model.process.shape[0]
    require_windows(part.shape[1:], model, repr(str(part.path)))
    if part.shape[0] != channels or part.columns is not None:
        raise InputError(
            f"{str(part.path)!r} has {part.shape[0]} channels, the model {channels}; files larger than it need as many"
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
