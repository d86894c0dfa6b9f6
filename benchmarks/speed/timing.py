"""Times measured in turn, and what can be said of their ratios.

Absolute times drift with whatever else the machine does. Every round runs each action once, so a ratio within a round
compares like with like, and the median over rounds ignores those that something disturbed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import numpy as np
import torch
from scipy import stats
from tqdm import tqdm

Times = Mapping[str, np.ndarray]
"""Seconds `(rounds,)` by action."""

Key = TypeVar("Key", bound=Hashable)


def alternate(
    actions: Mapping[Key, Callable[[], object]], rounds: int, warmup: int = 1, repeats: int = 1, title: str = ""
) -> dict[Key, np.ndarray]:
    """Seconds `(rounds,)` of each action, timed once per round in random order, after some untimed rounds.

    Args:
        actions: What to time.
        rounds: Timed rounds.
        warmup: Untimed rounds.
        repeats: Calls that make one time. Times shorter than the system's time slice (some ms) are hit by other
            processes more often the longer they are, which would bias their ratio.
        title: Of the progress bar.
    """
    names, order = list(actions), np.random.default_rng(0)
    seconds = {name: np.empty(rounds) for name in names}
    for k in tqdm(range(-warmup, rounds), desc=title, disable=None, leave=False):
        for i in order.permutation(len(names)):
            start = perf_counter()
            for _ in range(repeats):
                actions[names[i]]()
            elapsed = perf_counter() - start
            if k >= 0:
                seconds[names[i]][k] = elapsed / repeats
    return seconds


@dataclass(frozen=True)
class Summary:
    """Median over rounds with its 95 % confidence interval (None below 6 rounds), and the quartiles."""

    median: float
    low: float | None
    high: float | None
    lower_quartile: float
    upper_quartile: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Summary:
        """Summary of independent values of whatever distribution; the interval inverts the sign test."""
        sample = np.array(list(values))
        interval = stats.quantile_test(sample, p=0.5).confidence_interval(0.95)
        low, high = (None if math.isnan(bound) else float(bound) for bound in (interval.low, interval.high))
        lower, median, upper = np.quantile(sample, [0.25, 0.5, 0.75]).tolist()
        return cls(median, low, high, lower, upper, len(sample))


def ratio(times: Mapping[Key, np.ndarray], name: Key, reference: Key) -> Summary:
    """Time of one action over that of another in the same round."""
    return Summary.of(times[name] / times[reference])


def slowest(times: Mapping[Key, np.ndarray], names: Iterable[Key], reference: Key) -> tuple[Key, Summary]:
    """The action with the largest median ratio to the reference, and that ratio.

    It is found in every other round and measured in the rest: what only chance made the slowest of many does not stay
    so.
    """
    ratios = {name: times[name] / times[reference] for name in names}
    name = max(ratios, key=lambda name: float(np.median(ratios[name][::2])))
    return name, Summary.of(ratios[name][1::2])


def settle_memory() -> None:
    """Free one large block, as every training step does.

    Until a process has, glibc's malloc returns memory to the system after most draws, and the next one pays for page
    faults, several times the arithmetic.
    """
    torch.zeros(31 * 2**20 // 4)


@dataclass(frozen=True)
class Demand:
    """A limit that a measured figure must not exceed."""

    text: str
    measured: Summary
    limit: float
    unit: str = ""

    @property
    def verdict(self) -> str:
        """'met' or 'not met' if the whole interval is on one side of the limit, else 'undecided'."""
        low, high = self.measured.low, self.measured.high
        if high is not None and high <= self.limit:
            return "met"
        return "not met" if low is not None and low > self.limit else "undecided"
