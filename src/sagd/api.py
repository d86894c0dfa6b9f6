"""The three names of `sagd` that need every floor below: `train`, `load` and `Model`."""

from sagd.store.model import Model
from sagd.store.model import load_model as load
from sagd.study.train import train

__all__ = ["Model", "load", "train"]
