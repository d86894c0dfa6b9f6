"""Results of a comparison as one self-contained HTML page, and figures of data and noise; draws, never computes.

`render` reads the contents of `results.json` and `arrays.safetensors` and nothing else. Arrays are float32:

    data/images        (N, C, H, W)   real images in [-1, 1]
    data/profile       (C, K)         their power spectrum by radial band
    profile/edges      (K + 1,)       band edges as fractions of the corner radius
    forward/levels     (L,)           noise levels sigma / alpha
    ARM/noise          (4, C, H, W)   noise fields
    ARM/noise_profile  (K,)           w^2 by band
    ARM/forward        (L, C, H, W)   one image at the L levels
    ARM/samples        (N, C, H, W)   samples of the first seed
    ARM/sample_profile (C, K)         power spectrum of its samples
    ARM/loss_steps     (M,)           optimiser steps
    ARM/loss           (M,)           training loss at them
"""

from sagd.report.render import render

__all__ = ["render"]
