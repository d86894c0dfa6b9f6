"""Restored files larger than the model: images, stacks, volumes and records, in overlapping windows.

Of a file `y` the band and its guard are split off as a whole, a model fills windows of what is left in, and these are
blended into `m`, what it knows of the band. The damage is then measured and taken out of what it does not know,

    x = m + (y - m) less its damage,    frequency by frequency m + g (y - m),

so that all outside of the band stays as it was, and what the band still shows has its say. See
`sagd.omission.removal` for `g`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.whole import Block, Whole
from sagd.errors import InputError, argument
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.alarm import excess
from sagd.omission.blending import blended, count_of, require_size
from sagd.omission.guard import next_bins, unguarded
from sagd.omission.modes import Mode, Restoration
from sagd.omission.preparation import Scale, prepared
from sagd.omission.restore import restore
from sagd.omission.split import band_part, split
from sagd.store.model import Trained
from sagd.study.guarding import AUTO, NONE, split_band
from sagd.study.restoration import RestorationResult, believes, measured, mode_of_model
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
        clipped: Values beyond what their type holds.
        values: All values.
        shown: The middle of some of them, for a page.
    """

    sides: Sides
    written: tuple[Path, ...]
    clipped: int
    values: int
    shown: RestorationResult = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"mode": self.shown.mode.kind, "band": str(self.shown.mode.band)}
        return told | {"clipped": self.clipped, "values": self.values, "sides": self.sides.to_dict()}

    def line(self) -> str | None:
        """A sentence about values that were clipped; None if none were."""
        share = f"{100 * self.clipped / self.values:.2g} %"
        said = f"{self.clipped} of {self.values} values ({share}) were clipped; {argument('keep=True')} keeps all"
        return said if self.clipped else None


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
        InputError: Before any work, if a file does not fit the model; naming it.
    """
    Sides((), {}, {}, take)
    mode = mode_of_model(model)
    parts = named_parts(paths, model.meaning)
    for _, part in parts:
        _require_fit(part, model)
    known = None if clean is None else _partners(parts, clean, model.meaning)
    works = [_work(part, mode, model) for _, part in parts]
    total = sum(
        w.file.part.count * sum(count_of(_sides(b), model.process.shape[1:]) for b in w.file.blocks) for w in works
    )
    names = tuple(name for name, _ in parts)
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=out, prefix=".restoring-") as folder,
        tqdm(total=total, desc="restoring", unit="window", disable=None if progress else True, leave=False) as bar,
    ):
        found = []
        for k, work in enumerate(works):
            one = _Restoring(work, mode, model, label, seed, batch_size, bar.update)
            truth = None if known is None else known[k]
            found.append(one.results(Path(folder) / str(k), truth))
        sides = Sides(
            names,
            {way: tuple(f.errors[way] for f in found) for way in ("damaged", *WAYS)} if known else {},
            {way: tuple(f.excess[way] for f in found) for way in ("damaged", *WAYS)},
            take,
            believes(model, mode),
        )
        written = [
            work.file.write(out / name, f.parts(sides.taken), keep)
            for name, work, f in zip(names, works, found, strict=True)
        ]
        shown = _shown(model, mode, names, found, known, sides)
    clipped = sum(count for _, count in written)
    return WholesRestored(
        sides, tuple(path for path, _ in written), clipped, sum(work.file.values for work in works), shown
    )


def are_larger(model: Trained, paths: Sequence[Path]) -> bool:
    """Whether some file is not of the size of the model, but larger.

    Raises:
        InputError: If one is smaller, naming it, or cannot be read.
    """
    size = model.process.shape[1:]
    spatial = {str(part.path): part.shape[1:] for _, part in named_parts(paths, model.meaning)}
    if all(own == size for own in spatial.values()):
        return False
    for path, own in spatial.items():
        require_size(own, size, repr(path))
    return True


def _shown(
    model: Trained,
    mode: Mode,
    names: Sequence[str],
    found: Sequence[_Results],
    known: Sequence[Whole] | None,
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
        return model.meaning.to_model(torch.from_numpy(in_units_of(model.meaning, x.numpy(), file.part)))

    damaged = torch.stack([middle(r.work.file) for r in some])
    restored = torch.stack([middle(r.work.file, partial(r.change, sides.taken, 0)) for r in some])
    clean = None if known is None else torch.stack([middle(file) for file in known[:_FILES]])
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
    """

    work: Work
    changes: np.ndarray
    errors: dict[str, float]
    excess: dict[str, float]

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
        mode: How the model leaves its band out.
        model: The model.
        label: Class.
        seed: Seed.
        batch_size: Windows at a time.
        done: Told how many are done.
    """

    work: Work
    mode: Mode
    model: Trained
    label: int | None
    seed: int
    batch_size: int
    done: Callable[[int], object]

    def results(self, folder: Path, truth: Whole | None) -> _Results:
        """By all ways, with figures."""
        file, channels = self.work.file, self.work.file.shape[0]
        folder.mkdir()
        shape = (file.part.count, len(WAYS) * channels, *file.shape[1:])
        changes = np.memmap(folder / "changes", np.float32, "w+", shape=shape)
        squares, counted = dict.fromkeys(("damaged", *WAYS), 0.0), 0
        scale = torch.tensor(self._unit, dtype=torch.float64).reshape(-1, *(1,) * (len(file.shape) - 1))
        for item, block, before, after in file.changed(self.change):
            changes[item][(slice(None), *block)] = after.float().numpy()
            if truth is None:
                continue
            error = (before - truth.read(item, block)) * scale
            known = ~error.isnan()
            counted += int(known.sum())
            for way, change in zip(squares, (torch.zeros_like(before), *after.split(channels)), strict=True):
                squares[way] += float((error - change * scale)[known].square().sum())
        results = _Results(self.work, changes, {way: s / max(counted, 1) for way, s in squares.items()}, {})
        for way in ("damaged", *WAYS):
            over = [self._excess(results, way, item) for item in range(file.part.count)]
            results.excess[way] = sum(over) / len(over)
        return results

    def _excess(self, results: _Results, way: str, item: int) -> float:
        def blocks() -> Iterator[Tensor]:
            for block in self.work.file.blocks:
                filled = self.work.filled(item, block)[1]
                yield filled if way == "damaged" else filled - results.change(way, item, block).to(filled)

        return excess(blocks(), self.work.band, self.work.removal(item))

    def change(self, item: int, block: Block) -> tuple[Tensor, Tensor]:
        """Values of a block, and what each way takes out, `(3 C, *spatial)`."""
        before, y, missing, _ = self.work.filled(item, block)
        removal = self.work.removal(item)
        taken = (self._by_network(y, item), removal.apply(y), band_part(y, self.work.band))
        return before, torch.cat([torch.where(missing, 0.0, change.double()) for change in taken])

    def _by_network(self, y: Tensor, item: int) -> Tensor:
        if not self.mode.leaves_out:
            return band_part(y - self._values(self._estimate(y), y), self.work.band)
        seen, _ = split(y, self.work.band)
        known = self._values(self._estimate(seen), seen) - seen
        return self.work.removal(item).apply(y - known)

    def _estimate(self, y: Tensor) -> Tensor:
        """What the model makes of it, as it sees values."""
        shape, values = (
            self.model.process.shape,
            in_units_of(self.model.meaning, y.double().numpy(), self.work.file.part),
        )
        x = self.model.meaning.to_model(torch.from_numpy(values))

        def estimate(windows: Tensor) -> Tensor:
            told = None if self.label is None else torch.full((len(windows),), self.label)
            return restore(
                self.model.denoiser,
                windows,
                self.mode,
                self.model.statistics,
                seed=self.seed,
                condition=told,
                batch_size=len(windows),
            ).images

        return blended(x, shape[1:], estimate, self.batch_size, self.done)

    def _values(self, x: Tensor, like: Tensor) -> Tensor:
        """As files have them."""
        part = self.work.file.part
        scale = torch.tensor(self._unit, dtype=torch.float64).reshape(-1, *(1,) * (x.ndim - 1))
        zero = self.model.meaning.to_model(
            torch.from_numpy(in_units_of(self.model.meaning, np.zeros((len(x), *(1,) * (x.ndim - 1))), part))
        )
        return ((x.double() - zero.double()) / scale).to(like)

    @property
    def _unit(self) -> tuple[float, ...]:
        """Difference that models see of values of the file that differ by 1, by channel."""
        part, meaning = self.work.file.part, self.model.meaning
        per = in_units_of(meaning, np.ones(1), part) - in_units_of(meaning, np.zeros(1), part)
        return tuple(float(per[0]) / scale for scale in meaning.scale)


def _work(part: Part, mode: Mode, model: Trained) -> Work:
    """A file, and the band that is taken out of it: with the guard that was measured when training, or is on it."""
    file = Whole(part, Kind.member(model.meaning.kind), model.meaning.rate)
    told = model.omission.split
    if told in (AUTO, NONE):
        band = split_band(unguarded(mode.place), [prepared(file.read(0, file.blocks[0]), Scale())[0]])
    else:
        band = Spectrum.parse(told).on(file.grid)
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
    channels, *size = model.process.shape
    require_size(part.shape[1:], size, repr(str(part.path)))
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
