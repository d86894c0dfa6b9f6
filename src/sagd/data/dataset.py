"""Data sets of images as a model sees them: `load` finds, checks and decodes them, `ImageData` hands out batches."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, final

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt
from sagd.data.images import CHANNELS, Header, read_header, to_pixels, to_unit_range
from sagd.data.sources import Records, base, open_source
from sagd.errors import InputError, one_line
from sagd.model.condition import Condition
from sagd.optional import need
from sagd.random import generator_for, rand, randperm, subset
from sagd.training.batches import Batch, hashes

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Smaller images take longer in threads than in a loop: most of their time goes into Python, one thread at a time.
_THREADED_AREA = 128 * 128
_RUN = 8
_PROGRESS_DELAY = 2.0
_LARGEST = 2**16
"""Side length that images are scaled to, at most."""
_HASHED = 256
"""Images that are copied at a time to be hashed."""
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

        for outcome in list(_each(decode, len(wanted), self.threads)):
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


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images of one shape, in memory or decoded on demand, with class labels where there are any.

    Args:
        name: Short name of the data set.
        pixels: uint8 `(M, C, H, W)`, a tensor or `LazyPixels`; or float32 as models see it, unrounded.
        labels: Class numbers 0..K-1 of the `N` images, int64 `(N,)`, or None.
        classes: Names of the `K` classes; default: their numbers. None without labels.
        rows: Which of the `M` images these are, int64 `(N,)`; default: all.
        places: Place of each of the `M` images in its source, int64 `(M,)`, by which it keeps its damage; default:
            0..M-1.
        corruption: Damage that is added to the images as they are read.
        corruption_seed: Its seed.

    Raises:
        InputError: If shapes or types do not fit together.
    """

    name: str
    pixels: Tensor | LazyPixels
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    rows: Tensor | None = None
    places: Tensor | None = None
    corruption: Corruption | None = None
    corruption_seed: int = 0

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        if len(shape) != 4 or shape[1] not in CHANNELS:
            raise InputError(f"pixels must have shape (N, C, H, W) with C = 1 or 3, got {shape}")
        if isinstance(self.pixels, Tensor) and self.pixels.dtype not in (torch.uint8, torch.float32):
            raise InputError(f"pixels must be uint8, or float32 in [-1, 1], got {self.pixels.dtype}")
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
        return len(self.pixels) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape `(C, H, W)` of one image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def on(self, device: torch.device) -> ImageData:
        """With the pixels on a device, where batches are taken then; itself if they are decoded on demand."""
        return replace(self, pixels=self.pixels.to(device)) if isinstance(self.pixels, Tensor) else self

    def batch(
        self, indices: Tensor | Sequence[int], flips: Tensor | None = None, draw: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """Images `(B, C, H, W)`, float32 in [-1, 1] but for damage, and their labels `(B,)` or None.

        Args:
            indices: Numbers 0..len-1 of the images, `(B,)`.
            flips: Which of them to flip left-right, damage included, bool `(B,)`; default: none.
            draw: Number of the reading, for damage that is not fixed.

        Raises:
            InputError: If an index or the shape of `flips` is wrong, or an image of a lazy data set cannot be decoded.
        """
        indices = self._checked(indices)
        return self.shown(self.values(indices), indices, flips, draw)

    def values(self, indices: Tensor) -> Tensor:
        """What `pixels` holds of the images of these numbers `(B,)`."""
        return self.pixels[indices if self.rows is None else self.rows[indices]]

    def shown(
        self, x: Tensor, indices: Tensor, flips: Tensor | None = None, draw: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """The batch that is made of `values`; arguments and errors as for `batch`."""
        x = to_unit_range(x) if x.dtype == torch.uint8 else x
        if self.corruption is not None:
            x = corrupt(x, self.corruption, self.corruption_seed, self.places_of(indices), draw)
        if flips is not None:
            if flips.shape != indices.shape or flips.dtype != torch.bool:
                raise InputError(f"flips must be bool {tuple(indices.shape)}, got {flips.dtype} {tuple(flips.shape)}")
            x = torch.where(flips.to(x.device)[:, None, None, None], x.flip(-1), x)
        return x, None if self.labels is None else self.labels[indices]

    def digests(self, values: Tensor, indices: Tensor) -> Tensor:
        """A hash of the `values` of each image and of its label, int64 `(B,)`, not 0."""
        rows = values.cpu().contiguous().flatten(1).view(torch.uint8).numpy()
        labels = [b""] * len(indices) if self.labels is None else [b"%d" % k for k in self.labels[indices].tolist()]
        return hashes(row.tobytes() + label for row, label in zip(rows, labels, strict=True))

    def tensor(self) -> Tensor:
        """All images as float32 `(N, C, H, W)` in [-1, 1]."""
        return self.batch(torch.arange(len(self)))[0]

    def places_of(self, indices: Tensor) -> Tensor:
        """Places in the source of the images of these indices `(B,)`."""
        numbers = indices if self.rows is None else self.rows[indices]
        return numbers if self.places is None else self.places[numbers]

    def some(self, count: int, *key: int | str) -> ImageData:
        """`count` of the images at random, in random order, so that the first of these stand for all too.

        All, likewise in random order, if there are no more.

        Args:
            count: Number of images.
            key: Key of the choice, as for `generator_for`; what is to be independent needs keys of its own. Default: 0.

        Raises:
            InputError: If `count` is less than 1.
        """
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        return self.subset(subset(len(self), count, generator_for("some", *(key or (0,)))))

    def at_most(self, count: int, *key: int | str) -> ImageData:
        """These images as they are, or `some` of them where there are more."""
        return self if len(self) <= count else self.some(count, *key)

    @property
    def clean(self) -> ImageData:
        """The same images without the damage that is added as they are read."""
        return replace(self, corruption=None)

    def subset(self, indices: Tensor | Sequence[int]) -> ImageData:
        """The images of these indices `(B,)`, in this order, sharing memory with the whole."""
        indices = self._checked(indices)
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, rows=rows, labels=None if self.labels is None else self.labels[indices])

    def split_halves(self, seed: int) -> tuple[ImageData, ImageData]:
        """Two disjoint random halves of `N // 2` images each; of an odd number one image is in neither."""
        order = randperm(len(self), generator_for(seed, "halves"))
        half = len(self) // 2
        return self.subset(order[:half]), self.subset(order[half : 2 * half])

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
class ImageReader:
    """Images for training, flipped at random if asked for; see `sagd.training.batches.Reader`.

    Args:
        data: Images.
        seed: Seed of the flips.
        flip: Flip images left-right with probability 1/2.
        rank: Number of this process.
        labelled: Hand out the labels as conditions.
    """

    def __init__(self, data: ImageData, seed: int, flip: bool = False, rank: int = 0, labelled: bool = True) -> None:
        self.data, self.seed, self.flip, self.rank, self.labelled = data, seed, flip, rank, labelled
        self._known: Tensor | None = None

    def __len__(self) -> int:
        return len(self.data)

    def read(self, indices: Tensor, step: int) -> tuple[Batch, Tensor]:
        """Images as `ImageData.batch` gives them, and hashes of what they were decoded to."""
        flips = None
        if self.flip:
            generator = generator_for(self.seed, "flips", step, self.rank)
            flips = rand((len(indices),), generator) < 0.5
        values = self.data.values(indices)
        x, labels = self.data.shown(values, indices, flips, step)
        told = Condition({} if labels is None or not self.labelled else {"labels": labels})
        return (x, told), self._digests(values, indices)

    def _digests(self, values: Tensor, indices: Tensor) -> Tensor:
        if not isinstance(self.data.pixels, Tensor):
            return self.data.digests(values, indices)
        # Once for all images in memory: those on a GPU would have to come back for each batch.
        if self._known is None:
            parts = torch.arange(len(self.data)).split(_HASHED)
            self._known = torch.cat([self.data.digests(self.data.values(part), part) for part in parts])
        return self._known[indices]


def load(config: DataConfig) -> ImageData:
    """Find, check and decode the images that `config` names.

    Headers are read before any image is decoded, so that mixed sizes or channels are found early. The images are
    decoded once, in threads if they are large, unless they exceed `sagd.data.sources.base.MEMORY_LIMIT`: then each is
    decoded whenever it is asked for (with `skip_bad`, all are decoded once beforehand to know which are good).

    `limit` images are drawn at random, always the same ones, and kept in order; bad ones count. Classes that it leaves
    out are named in the log. Labels are numbered 0..K-1 over the whole split, whatever
    `limit` is: by sorted folder name or value, or as the `ClassLabel` of the column says.

    Raises:
        InputError: In one line, if the source, split, column, channels, size or limit cannot be used, or an image is
            bad.
    """
    _check(config)
    records = open_source(config)
    chosen = subset(len(records), config.limit or len(records), generator_for(0, "limit")).sort().values
    numbers = chosen.tolist()
    problems: list[InputError] = []

    checked = _each(lambda i: _read(records, numbers[i], read_header), len(numbers), task="checking")
    headers = {numbers[i]: header for i, header in _sift(checked, config, problems).items()}
    _check_enough(len(headers), problems, config)
    shape = _common_shape(headers, records, config)
    lazy = LazyPixels(records, list(headers), shape, config.size, _threads(headers))
    pixels, rows = _decoded(lazy, config, problems)
    _check_enough(len(pixels), problems, config)

    if problems:
        logger.warning(
            "left out %d of %d images in %r; the first: %s", len(problems), len(numbers), config.source, problems[0]
        )
    labels = None if records.labels is None else records.labels[torch.tensor(rows)]
    _name_missing_classes(records, rows, config)
    corruption = None if config.corruption == "none" else Corruption.parse(config.corruption)
    if corruption is not None:
        corruption.band(shape[1:], config.corruption_seed)
    return ImageData(
        records.name,
        pixels,
        labels,
        records.classes,
        places=torch.tensor(rows),
        corruption=corruption,
        corruption_seed=config.corruption_seed,
    )


def _name_missing_classes(records: Records, rows: Sequence[int], config: DataConfig) -> None:
    """A line for classes of which no image is left."""
    if records.labels is None or records.classes is None:
        return
    kept = set(records.labels[torch.tensor(rows)].tolist())
    missing = [repr(records.classes[k][:_LONGEST]) for k in records.labels.unique().tolist() if k not in kept]
    if missing:
        listed = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        reasons = {"data.limit": config.limit is not None, "data.skip_bad": config.skip_bad}
        why = " and ".join(name for name, given in reasons.items() if given)
        logger.warning("%s leaves no image of %d of %d classes: %s", why, len(missing), len(records.classes), listed)


def _check(config: DataConfig) -> None:
    if config.channels is not None and config.channels not in CHANNELS:
        raise InputError(f"data.channels must be 1 (grey) or 3 (RGB), got {config.channels}")
    if config.size is not None and config.size < 1:
        raise InputError(f"data.size must be at least 1, got {config.size}; e.g. 32")
    if config.size is not None and config.size > _LARGEST:
        raise InputError(f"data.size must be at most {_LARGEST}, got {config.size}; e.g. 32")
    if config.limit is not None and config.limit < 2:
        raise InputError(f"data.limit must be at least 2, got {config.limit}")


def _check_enough(count: int, problems: Sequence[InputError], config: DataConfig) -> None:
    if count < 2:
        why = f"; {len(problems)} cannot be read, the first: {problems[0]}" if problems else ""
        raise InputError(f"need at least two images, found {count} in {config.source!r}{why}")


def _common_shape(headers: dict[int, Header], records: Records, config: DataConfig) -> tuple[int, int, int]:
    """Shape `(C, H, W)` that all images have or are given."""
    first_row, first = next(iter(headers.items()))
    for row, header in headers.items():
        if config.channels is None and header.channels != first.channels:
            one, other = ("grey" if h.channels == 1 else "colour" for h in (first, header))
            problem, advice = "channels", "choose with --data.channels 1 or 3"
        elif config.size is None and (header.width, header.height) != (first.width, first.height):
            one, other = (f"{h.width}x{h.height}" for h in (first, header))
            problem, advice = "size (width x height)", "give all one with --data.size"
        else:
            continue
        pair = f"{records.describe(first_row)} is {one}, {records.describe(row)} is {other}"
        raise InputError(f"images differ in {problem}: {pair}; {advice}")
    height, width = (first.height, first.width) if config.size is None else (config.size, config.size)
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
    outcomes: Generator[T | InputError, None, None], config: DataConfig, problems: list[InputError]
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
                raise InputError(f"{outcome}; leave such images out with --data.skip-bad")
    return good


def _each(
    function: Callable[[int], T], count: int, threads: int = 1, task: str = ""
) -> Generator[T | InputError, None, None]:
    """`function(i)` of each number in order, an `InputError` as a value; a bar named `task` if it takes long."""
    from tqdm import tqdm

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
    # disable=None shows no bar where there is no terminal.
    hidden = None if task else True
    try:
        yield from tqdm(
            itertools.chain.from_iterable(runs),
            desc=task,
            total=count,
            unit="image",
            delay=_PROGRESS_DELAY,
            disable=hidden,
            leave=False,
        )
    finally:
        pool.shutdown(cancel_futures=True)
