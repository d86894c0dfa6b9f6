"""Training runs: the loop, its checkpoints, and the model directory it ends in."""

from sagd.interrupt import Interrupted
from sagd.training.model import Model, load_model, save_model, versions
from sagd.training.model import load_model as load
from sagd.training.trainer import Trainer, train

__all__ = ["Interrupted", "Model", "Trainer", "load", "load_model", "save_model", "train", "versions"]
