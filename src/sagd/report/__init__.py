"""Results of a comparison as one self-contained HTML page, and figures of data and noise; draws, never computes.

`render` reads the contents of `results.json` and `arrays.safetensors` and nothing else. Arrays are float32:

    data/images         (N, C, *spatial)   real images, records, fields, ..., as models see them
    data/profile        (C, K)             their power spectrum by radial band
    profile/edges       (K + 1,)           band edges as fractions of the corner radius
    forward/levels      (L,)               noise levels sigma / alpha
    ARM/noise           (4, C, *spatial)   noise fields
    ARM/noise_profile   (K,)               w^2 by band
    ARM/forward         (L, C, *spatial)   one item at the L levels
    ARM/samples         (N, C, *spatial)   samples of the first seed
    ARM/sample_profile  (C, K)             power spectrum of its samples
    ARM/loss_steps      (M,)               optimiser steps
    ARM/loss            (M,)               training loss at them

and with one spatial axis, so that narrow lines stay:

    spectrum/rho        (J,)               every frequency but 0, as fractions of the largest
    data/spectrum       (C, J)             power of real items there
    ARM/noise_spectrum  (J,)               w^2 there
    ARM/sample_spectrum (C, J)             power of samples there
"""

from sagd.report.render import render

__all__ = ["render"]
