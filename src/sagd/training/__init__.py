"""What a training step computes: the loss of a batch, its times and weights."""

from sagd.training.levels import training_levels
from sagd.training.objective import DenoisingLoss
from sagd.training.times import LogitNormalTime, LogNormalTime, MatchedTime, TimeLaw, UniformTime
from sagd.training.weighting import FlatWeighting, MinSNRWeighting, Weighting

__all__ = [
    "DenoisingLoss",
    "FlatWeighting",
    "LogNormalTime",
    "LogitNormalTime",
    "MatchedTime",
    "MinSNRWeighting",
    "TimeLaw",
    "UniformTime",
    "Weighting",
    "training_levels",
]
