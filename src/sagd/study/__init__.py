"""Runs: training, matched comparisons, evaluations, galleries, images restored and resampled."""
