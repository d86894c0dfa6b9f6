"""How good samples are: distances of features, spectra by band, each figure beside its real-against-real floor."""

from sagd.metrics.classifier import ClassifierFeatures, ClassifierRecipe
from sagd.metrics.evaluate import Comparison, Evaluation, evaluate
from sagd.metrics.features import FeatureExtractor, FunctionFeatures
from sagd.metrics.frechet import frechet_distance, frechet_interval
from sagd.metrics.kernel import Estimate, kernel_distance
from sagd.metrics.precision_recall import PrecisionRecall, precision_recall
from sagd.metrics.spectral import SpectralError, spectral_error
from sagd.metrics.torchscript import TorchScriptFeatures

__all__ = [
    "ClassifierFeatures",
    "ClassifierRecipe",
    "Comparison",
    "Estimate",
    "Evaluation",
    "FeatureExtractor",
    "FunctionFeatures",
    "PrecisionRecall",
    "SpectralError",
    "TorchScriptFeatures",
    "evaluate",
    "frechet_distance",
    "frechet_interval",
    "kernel_distance",
    "precision_recall",
    "spectral_error",
]
