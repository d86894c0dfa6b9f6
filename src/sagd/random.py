"""Randomness from injected generators: white noise and other draws, and random streams keyed by what they are for.

All draws of the library are made here. They take a `torch.Generator`, a `Stream`, a sequence with one of these per
sample, whose draws then ignore the batch size, or None for torch's global generator.

What is promised of a seed:

    Stream              equal bits on the CPU of any machine: whole numbers, permutations and uniform draws are made of
                        integers alone; normal draws are numpy's ziggurat, which takes logarithm and exponential of the
                        C library in one of a hundred, whose last bit may differ (an error of 1e-7 or 1e-16 in a tail).
                        numpy may change them with a version; tests hold some against literals.
    torch.Generator     on a GPU equal for one kind of GPU and one version of torch; on the CPU equal for one kind of
                        vector instructions, and of its seed torch keeps 32 bits there.

A stream takes 6 microseconds to make, a seeded torch.Generator 3 to 4. On one core a float32 normal takes it 12 ns
where torch's vector instructions take 4 to 5, a float64 normal 14 where torch takes 20, and a uniform as long as
torch's: what a seed that means the same everywhere costs is normals in float32.
"""

from __future__ import annotations

import contextlib
import hashlib
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, final

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from torch import Tensor

from sagd.errors import InputError
from sagd.tensors import exact_device, has_float64

_NUMPY: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.float64: np.float64}


@final
class Stream:
    """A random stream on the CPU: Philox, a counter-based generator, under 128 bits of a hash of a key.

    Streams are pickled and copied with their place.

    Args:
        *key: Whole numbers and texts, as `generator_for` takes them.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
    """

    device = torch.device("cpu")

    def __init__(self, *key: int | str) -> None:
        self._source = np.random.Generator(np.random.Philox(_Key(_digest(key))))  # type: ignore[arg-type]

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal draws, float32 or float64."""
        return torch.from_numpy(self._source.standard_normal(tuple(shape), dtype=_NUMPY[dtype]))

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform draws in [0, 1), float32 or float64."""
        return torch.from_numpy(self._source.random(tuple(shape), dtype=_NUMPY[dtype]))

    def integers(self, high: int, shape: Sequence[int]) -> Tensor:
        """Whole numbers `0 .. high-1`, int64."""
        return torch.from_numpy(self._source.integers(high, size=tuple(shape)))

    def permutation(self, count: int) -> Tensor:
        """The numbers `0 .. count-1` in random order, int64."""
        return torch.from_numpy(self._source.permutation(count)).long()


class _Key(ISeedSequence):
    """Hands Philox its key as it is, in a quarter of the time that `Philox(key=...)` takes."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        """The two words of the key, whatever the machine's order of bytes."""
        return np.frombuffer(self.digest, "<u8").astype(np.uint64)


Generator = torch.Generator | Stream
Generators = Generator | Sequence[Generator] | None
_T = TypeVar("_T")


def generator_for(*key: int | str) -> Stream:
    """The stream of a key: what it is for, of which sample, in which step and process.

    Keys are whole numbers and short texts, such as `(seed, "noise", step, rank)`. Equal keys give equal draws; distinct
    keys, those of other lengths or types included, give independent ones: of a million keys some two share the 128 bits
    of their hash with probability 1e-27.

    Raises:
        InputError: If the key holds anything else.

    >>> generator_for(0, "noise", 3).integers(100, (4,))
    tensor([84, 73, 15, 35])
    """
    return Stream(*key)


def sample_generators(seed: int, count: int, first: int = 0, purpose: str = "sample") -> list[Stream]:
    """One stream per sample, keyed by `(seed, purpose, index)`: sample `i` is the same in any batch."""
    return [generator_for(seed, purpose, index) for index in range(first, first + count)]


def device_generator(device: torch.device | str, *key: int | str) -> Generator:
    """A generator that draws on a device: a stream on the CPU, elsewhere torch's own under `seed_for` of the key.

    That of CUDA is Philox as well, keyed by these bits.
    """
    device = torch.device(device)
    return generator_for(*key) if device.type == "cpu" else torch.Generator(device).manual_seed(seed_for(*key))


def seed_for(*key: int | str) -> int:
    """63 bits of the hash of a key, for generators that are not ours. torch keeps 32 of them on the CPU."""
    return int.from_bytes(_digest(key)[:8], "little") >> 1


@contextlib.contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """Context in which the global generators of Python, numpy and torch, on the CPU and on GPUs in use, are of a key.

    Code of others draws from them; they come back as they were.
    """
    seed = seed_for(*key)
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        random.seed(seed)
        np.random.seed(seed & (2**32 - 1))
        torch.default_generator.manual_seed(seed)
        if gpus:
            torch.cuda.manual_seed_all(seed)
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])
        if gpus:
            torch.cuda.set_rng_state_all(gpus)


def randn(
    shape: Sequence[int],
    generator: Generators = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Standard normal draws of `shape`.

    Args:
        shape: Shape of the result; its first axis is the batch when `generator` is a sequence.
        generator: One generator for everything, or one per entry of the first axis. Draws are made on the
            generator's device, so that a seed means the same everywhere, and then moved.
        dtype: Type of the result. Half-precision draws are made in float32 and rounded.
        device: Device of the result; by default that of the generator, or for float64 the CPU where that has none.

    Raises:
        InputError: If the number of generators is not the batch size.
    """
    return _draw(
        shape,
        generator,
        lambda part, own: own.normal(part, _drawn_in(dtype, own.device)),
        lambda part, own, place: torch.randn(*part, generator=own, dtype=_drawn_in(dtype, place), device=place),
        dtype,
        device,
    )


def rand(
    shape: Sequence[int],
    generator: Generators = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Uniform draws in [0, 1) of `shape`; arguments as those of `randn`.

    Raises:
        InputError: If the number of generators is not the batch size.
    """
    return _draw(
        shape,
        generator,
        lambda part, own: own.uniform(part, _drawn_in(dtype, own.device)),
        lambda part, own, place: torch.rand(*part, generator=own, dtype=_drawn_in(dtype, place), device=place),
        dtype,
        device,
    )


def randint(
    high: int, shape: Sequence[int], generator: Generators = None, device: torch.device | str | None = None
) -> Tensor:
    """Whole numbers `0 .. high-1` of `shape`, int64; other arguments as those of `randn`.

    Raises:
        InputError: If the number of generators is not the batch size.
    """
    return _draw(
        shape,
        generator,
        lambda part, own: own.integers(high, part),
        lambda part, own, place: torch.randint(high, tuple(part), generator=own, device=place),
        torch.int64,
        device,
    )


def randperm(count: int, generator: Generator | None = None, device: torch.device | str | None = None) -> Tensor:
    """The numbers `0 .. count-1` in random order, int64; by default on the device of the generator."""
    return _draw(
        (count,),
        generator,
        lambda _, own: own.permutation(count),
        lambda _, own, place: torch.randperm(count, generator=own, device=place),
        torch.int64,
        device,
    )


def uniform_at(key: int, places: Tensor) -> Tensor:
    """Uniform draws in (0, 1), one for each place of a lattice without borders, equal bits on any machine.

    The draw at a place is a function of key and place alone, so that two windows on the lattice agree where they
    overlap: a canvas of which images are crops.

    Args:
        key: A whole number of at most 63 bits, itself a draw.
        places: Whole numbers `(d, *points)`, int64.

    Returns:
        Draws `(*points)`, float64.

    Source: Steele et al., "Fast splittable pseudorandom number generators" (2014), whose mixing of 64 bits this is.
    """
    state = np.full(places.shape[1:], key, np.uint64)
    for place in places.numpy().astype(np.uint64):
        state = state * np.uint64(0x9E3779B97F4A7C15) + place
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return torch.from_numpy(((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def subset(total: int, count: int, generator: Generator) -> Tensor:
    """`count` of the numbers `0 .. total-1`, drawn without repetition and in random order; all if there are no more.

    What stands for a whole is drawn so: the first of what is sorted, by class say, stand for one class.
    """
    return randperm(total, generator)[:count]


def _draw(
    shape: Sequence[int],
    generator: Generators,
    by_stream: Callable[[Sequence[int], Stream], Tensor],
    by_torch: Callable[[Sequence[int], torch.Generator | None, Any], Tensor],
    dtype: torch.dtype | None,
    device: torch.device | str | None,
) -> Tensor:
    """Draws of one kind, from whatever is given to draw from."""
    dtype = dtype or torch.get_default_dtype()

    def one(part: Sequence[int], own: Generator | None) -> Tensor:
        if isinstance(own, Stream):
            return by_stream(part, own)
        if own is not None and not isinstance(own, torch.Generator):
            raise InputError(f"generator must be a torch.Generator or a Stream, got {type(own).__name__}")
        return by_torch(part, own, device if own is None else own.device)

    if isinstance(generator, Sequence):
        if not shape or len(generator) != shape[0]:
            raise InputError(
                f"got {len(generator)} generators for a batch of shape {tuple(shape)}; give one per sample"
            )
        draw = torch.stack([one(shape[1:], own) for own in generator])
    else:
        draw = one(shape, generator)
    if device is None and dtype == torch.float64:
        device = exact_device(draw.device)
    return _moved(draw, device).to(dtype)


def _moved(draw: Tensor, device: torch.device | str | None) -> Tensor:
    """On a device; to CUDA from pinned memory, for which nothing has to wait."""
    if device is None or torch.device(device).type != "cuda" or draw.device.type != "cpu":
        return draw.to(device)
    return draw.pin_memory().to(device, non_blocking=True)


def _drawn_in(dtype: torch.dtype | None, device: torch.device | str | None) -> torch.dtype:
    """The type of a draw before it is rounded to another."""
    exact = device is None or has_float64(torch.device(device))
    return torch.float64 if exact and (dtype or torch.get_default_dtype()) == torch.float64 else torch.float32


def _digest(key: tuple[int | str, ...]) -> bytes:
    """128 bits of a hash of a key. Texts are quoted in what is hashed, so that no number is like one."""
    try:
        parts = tuple(str(part) if isinstance(part, str) else int(operator.index(part)) for part in key)
    except TypeError:
        raise InputError(f"the key of a random stream holds whole numbers and texts, got {key}") from None
    return hashlib.blake2b(repr(parts).encode(), digest_size=16, person=b"sagd stream").digest()
