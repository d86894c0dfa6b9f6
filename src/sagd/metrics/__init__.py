"""How good samples are: distances of features, spectra, values and increments, each beside its real-on-real floor."""

from sagd.metrics.apart import Apart, told_apart
from sagd.metrics.classifier import ClassifierFeatures, ClassifierRecipe
from sagd.metrics.evaluate import SCALARS, Comparison, Evaluation, evaluate, scalars
from sagd.metrics.features import FeatureExtractor, FunctionFeatures
from sagd.metrics.frechet import frechet_distance, frechet_interval
from sagd.metrics.increments import Increment, Increments, increments
from sagd.metrics.intervals import rms_interval
from sagd.metrics.kernel import Estimate, kernel_distance
from sagd.metrics.labelless import LabellessFeatures
from sagd.metrics.marginals import Marginal, Marginals, marginals
from sagd.metrics.precision_recall import PrecisionRecall, precision_recall
from sagd.metrics.rings import Rings, ring_flatness
from sagd.metrics.sliced import Scale, Sliced, sliced_wasserstein
from sagd.metrics.spectral import SpectralError, spectral_error
from sagd.metrics.spectrogram import spectrogram_distance
from sagd.metrics.torchscript import TorchScriptFeatures

__all__ = [
    "SCALARS",
    "Apart",
    "ClassifierFeatures",
    "ClassifierRecipe",
    "Comparison",
    "Estimate",
    "Evaluation",
    "FeatureExtractor",
    "FunctionFeatures",
    "Increment",
    "Increments",
    "LabellessFeatures",
    "Marginal",
    "Marginals",
    "PrecisionRecall",
    "Rings",
    "Scale",
    "Sliced",
    "SpectralError",
    "TorchScriptFeatures",
    "evaluate",
    "frechet_distance",
    "frechet_interval",
    "increments",
    "kernel_distance",
    "marginals",
    "precision_recall",
    "ring_flatness",
    "rms_interval",
    "scalars",
    "sliced_wasserstein",
    "spectral_error",
    "spectrogram_distance",
    "told_apart",
]
