"""What a training tells while it runs: a bar on a terminal, lines at growing intervals in a log."""

from __future__ import annotations

import logging
import sys
import time
from typing import final

import torch
from tqdm import tqdm

from sagd.counting import SHORT
from sagd.terminal import duration
from sagd.training.fit import Callback, Fit, Step

logger = logging.getLogger(__name__)

_MEASURED = 3
"""Steps from which time and memory are estimated; the first one is left out, which prepares what others reuse."""
_FIRST, _GROWTH, _LONGEST = 15.0, 1.6, 900.0
"""Seconds from the estimate to the next line, the ratio of intervals, and the longest one."""
_WAITED = 0.2
"""Share of the time that a training may wait for its data before that is told."""


@final
class Progress(Callback):
    """Time and memory after the first steps, then how far the run is; once, that it waits for its data if it does.

    Args:
        unit: What items are called.
        name: What lines begin with if this training is one of several, as in "lap 1 of 2"; "" for none.
    """

    def __init__(self, unit: str = "images", name: str = "") -> None:
        self.unit, self._name = unit, f"{name}: " if name else ""
        self._bar: tqdm | None = None

    def start(self, fit: Fit) -> None:
        """Open the bar; where the output is no terminal there is none."""
        self._total = fit.budget.steps
        self._seen, self._wait, self._warned = 0, _FIRST, False
        self._restart(time.monotonic())
        self._speaks = fit.runtime.first
        hidden = None if self._speaks else True
        task = f"{self._name}training"
        self._bar = tqdm(total=self._total, initial=fit.step, desc=task, unit="step", disable=hidden)

    def after(self, fit: Fit, step: Step) -> None:
        """Move the bar, and say a line if it is time."""
        self._seen += 1
        self._items += step.items
        self._losses += step.loss
        self._waited += step.waited
        if self._bar is not None and self._bar.update():
            rate = (self._bar.format_dict["rate"] or 0) * step.items
            self._bar.set_postfix_str(f"loss {step.loss:.4f}, {rate:.0f} {self.unit}/s", refresh=False)
        now = time.monotonic()
        if self._seen == 1:
            self._restart(now)
        elif self._seen == 1 + _MEASURED:
            self._estimate(fit, step, now)
        elif self._seen > 1 + _MEASURED and now - self._since >= self._wait and not step.last:
            self._report(step, now)

    def end(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _restart(self, now: float) -> None:
        self._since = now
        self._items, self._losses, self._waited, self._counted = 0, 0.0, 0.0, self._seen

    def _estimate(self, fit: Fit, step: Step, now: float) -> None:
        seconds = (now - self._since) / _MEASURED
        left = seconds * (self._total - step.number)
        if self._speaks and left > SHORT:
            logger.info(
                "%s%s steps of %d %s to go: about %s on %s, memory so far %s",
                self._name,
                f"{self._total - step.number:,}",
                step.items,
                self.unit,
                duration(left),
                _place(fit),
                _memory(fit.runtime.device),
            )
        self._restart(now)

    def _report(self, step: Step, now: float) -> None:
        steps, elapsed = self._seen - self._counted, now - self._since
        if self._speaks and (self._bar is None or self._bar.disable or not sys.stderr.isatty()):
            logger.info(
                "%sstep %d of %d: loss %.4f, %.0f %s/s, about %s left",
                self._name,
                step.number,
                self._total,
                self._losses / steps,
                self._items / elapsed,
                self.unit,
                duration(elapsed / steps * (self._total - step.number)),
            )
        if self._speaks and not self._warned and self._waited > _WAITED * elapsed:
            self._warned = True
            logger.warning(
                "the training waits for its data %.0f %% of the time: copy it to a faster disk, or to files that are"
                " quicker to read (not packed, in pieces of about the size of an item); of a loader, use more workers",
                100 * self._waited / elapsed,
            )
        self._wait = min(self._wait * _GROWTH, _LONGEST)
        self._restart(now)


def _place(fit: Fit) -> str:
    device, processes = fit.runtime.device, fit.runtime.processes
    threads = torch.get_num_threads()
    name = f"{threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else str(device)
    return name if processes == 1 else f"{processes} processes of {name}"


def _memory(device: torch.device) -> str:
    """The most memory that this process has used."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    try:
        import resource
    except ImportError:  # not on Windows
        return "unknown"
    unit = 1 if sys.platform == "darwin" else 2**10
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB"
