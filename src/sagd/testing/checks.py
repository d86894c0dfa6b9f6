"""Assertions that all contracts share; they need no test framework."""

from __future__ import annotations

import contextlib
import copy
import pickle
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


@contextlib.contextmanager
def raises(error: type[Exception], pattern: str) -> Iterator[None]:
    """Assert that the block raises `error` with a message in which the regular expression `pattern` is found."""
    try:
        yield
    except error as raised:
        if not re.search(pattern, str(raised)):
            raise AssertionError(f"message {str(raised)!r} does not match {pattern!r}") from raised
    else:
        raise AssertionError(f"{error.__name__} was not raised")


def normal(shape: Sequence[int], seed: int = 0) -> Tensor:
    """Standard normal draws, always the same, in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_close(actual: Tensor, expected: Tensor, what: str, tolerance: float = 1e-9) -> None:
    """Agreement to `tolerance` of the largest expected value, type and shape included."""
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale, msg=lambda text: f"{what}: {text}")


def devices() -> Iterator[torch.device]:
    """Devices that results must stay on; "meta" stands for a foreign one on machines without accelerator."""
    yield torch.device("meta")
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is not None:
        yield accelerator


def assert_copies(original: Any) -> None:
    """Pickled and deep copies are equal, with equal hashes."""
    for clone in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert clone == original
        assert hash(clone) == hash(original)


def quantile(level: float) -> float:
    """Two-sided normal quantile: `P(|z| > quantile) = level`."""
    return float(-torch.special.ndtri(torch.tensor(level / 2, dtype=torch.float64)))


def assert_within(deviation: Tensor, bound: Tensor, what: str) -> None:
    """Deviations no larger than chance allows."""
    excess = float((deviation.abs() / bound).max())
    assert excess <= 1, f"{what} is off by {excess:.2f} times what chance allows"


def slope(x: Tensor, y: Tensor) -> float:
    """Slope of the least-squares line."""
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def seeded(seed: int) -> torch.Generator:
    """A generator of that seed."""
    return torch.Generator().manual_seed(seed)
