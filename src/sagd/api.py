"""What `sagd.*` offers over everything below: train a model, and load one."""

from sagd.store.model import Model
from sagd.store.model import load_model as load
from sagd.study.train import train

__all__ = ["Model", "load", "train"]
