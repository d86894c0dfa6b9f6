"""Modes of omission, a kind a file: what is left out in training, and what a model then makes of a damaged image."""

from sagd.omission.modes.base import Mode, Restoration, Task
from sagd.omission.modes.deconvolve import Deconvolve
from sagd.omission.modes.fill import Fill
from sagd.omission.modes.project import Project
from sagd.plugins import import_all

__all__ = ["Deconvolve", "Fill", "Mode", "Project", "Restoration", "Task"]

import_all(__name__, __path__)
