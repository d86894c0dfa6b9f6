"""Matched comparisons of several forward processes, and evaluations of one model or folder."""

from sagd.experiment.compare import compare
from sagd.experiment.evaluation import evaluate_folder, evaluate_model, figures, guided, is_model

__all__ = ["compare", "evaluate_folder", "evaluate_model", "figures", "guided", "is_model"]
