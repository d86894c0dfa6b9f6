"""Metrics for TensorBoard, as training goes on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, final

from sagd.optional import need
from sagd.training.fit import Callback, Fit, Step

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@final
class TensorBoard(Callback):
    """Loss, gradient norm and learning rate of every so many steps.

    A resumed run writes another file beside the first one; TensorBoard shows both as one, and cuts off what came after
    the step that the run went back to.

    Args:
        folder: Where the files go.
        every: Steps between points.

    Raises:
        InputError: When training starts, if tensorboard is not installed.
    """

    def __init__(self, folder: str | Path, every: int = 50) -> None:
        self._folder, self._every = Path(folder), every
        self._writer: SummaryWriter | None = None
        self._losses: list[float] = []

    def start(self, fit: Fit) -> None:
        """Open the file, on the first process."""
        if fit.runtime.first:
            need("tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=fit.step + 1 if fit.step else None)

    def after(self, fit: Fit, step: Step) -> None:
        """Write if it is time."""
        if self._writer is None:
            return
        self._losses.append(step.loss)
        if not step.last and step.number % self._every:
            return
        self._writer.add_scalar("loss", math.fsum(self._losses) / len(self._losses), step.number)
        self._writer.add_scalar("lr", step.lr, step.number)
        if math.isfinite(step.grad_norm):
            self._writer.add_scalar("grad_norm", step.grad_norm, step.number)
        self._losses = []

    def end(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
