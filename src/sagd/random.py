"""Randomness from injected generators: white noise, random subsets, and generators keyed by integers.

One generator serves a batch, or one each sample, whose draws then ignore the batch size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from sagd.errors import InputError

Generators = torch.Generator | Sequence[torch.Generator] | None


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
        device: Device of the result.

    Raises:
        InputError: If the number of generators is not the batch size.
    """
    dtype = dtype or torch.get_default_dtype()
    draw_dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    if isinstance(generator, Sequence):
        if not shape or len(generator) != shape[0]:
            raise InputError(
                f"got {len(generator)} generators for a batch of shape {tuple(shape)}; give one per sample"
            )
        parts = [torch.randn(*shape[1:], generator=g, dtype=draw_dtype, device=g.device) for g in generator]
        draw = torch.stack(parts)
    else:
        source = generator.device if generator is not None else device
        draw = torch.randn(*shape, generator=generator, dtype=draw_dtype, device=source)
    return draw.to(device=device, dtype=dtype)


def subset(total: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the numbers `0 .. total-1`, drawn without repetition and in random order; all if there are no more.

    What stands for a whole is drawn so: the first of what is sorted, by class say, stand for one class.
    """
    return torch.randperm(total, generator=generator)[:count]


def generator_for(*key: int | str) -> torch.Generator:
    """A CPU generator keyed by integers such as `(seed, step, rank)`: distinct keys give independent streams.

    Its seed is a hash of the key, so keys of different lengths are distinct too. torch's CPU generator keeps 32 bits of
    a seed: two given keys share a stream with probability 2^-32. Draws on the CPU mean the same on every device.
    """
    digest = hashlib.sha256(repr(tuple(k if isinstance(k, str) else int(k) for k in key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def sample_generators(seed: int, count: int, first: int = 0) -> list[torch.Generator]:
    """One generator per sample, keyed by `(seed, index)`: sample `i` is the same in any batch."""
    return [generator_for(seed, index) for index in range(first, first + count)]
