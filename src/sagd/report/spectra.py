"""The noise that a spectrum makes, as a picture: its power `w^2` over frequency.

One spatial axis is drawn as a line over frequency, images as all their frequencies with DC in the middle, anything else
by radial band. Powers are those of the calibrated covariance: their mean over all frequencies is 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics, radial_profile
from sagd.report import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE_WIDTH = 46
"""Characters of a title's line."""
_MOST_BANDS = 16


def plot_spectrum(
    spectrum: Spectrum,
    spatial: Sequence[int] | None = None,
    channels: int | None = None,
    statistics: DataStatistics | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw the noise power `w^2` of a spectrum.

    >>> from sagd.noise.spectra.power_law import PowerLaw
    >>> axes = plot_spectrum(PowerLaw(-0.5), spatial=(32, 32))
    >>> axes.get_title()
    'power_law(alpha=-0.5)'

    The figure, if it is a new one, is `axes.figure`; save it with `axes.figure.savefig(path)`.

    Args:
        spectrum: What to draw; spectra of several channels are drawn as a line each, or averaged in an image.
        spatial: Side lengths of the spatial axes; by default those of the statistics, else `(64, 64)`.
        channels: Number of channels; by default as many as the spectrum has.
        statistics: Measured data, for spectra that need it; drawn in its basis, which is Fourier's where not given.
        axes: Where to draw; by default on a figure of its own, without pyplot.

    Returns:
        The axes.

    Raises:
        InputError: If the spectrum needs data or a class that was not given, or is none on these axes.
    """
    title = textwrap.fill(spectrum.label, _TITLE_WIDTH, break_on_hyphens=False)
    if statistics is not None:
        spectrum = spectrum.resolve(statistics)
    basis: Basis = FourierBasis(tuple(spatial or (64, 64)))
    if statistics is not None and spatial in (None, statistics.basis.spatial):
        basis = statistics.basis
    power = _power(spectrum, basis, channels)
    if axes is None:
        axes = figures.single_axes(3.6 if basis.rank == 2 else 2.9)
    if basis.rank == 1:
        x_label = "frequency (cycles/sample)"
        figures.draw_power_lines(axes, basis.radius(), power, title, x_label, "noise power $w^2$")
    elif basis.is_fourier and basis.channels is None and basis.rank == 2:
        figures.draw_power_image(axes, power.numpy(), basis.spatial[1], title, "w^2")
    else:
        profile = radial_profile(power, basis, min(_MOST_BANDS, max(basis.spatial)))
        figures.draw_power_lines(
            axes,
            profile.centres,
            profile.values,
            title,
            r"frequency $\rho$ (1: corner of the grid)",
            "noise power $w^2$",
        )
    return axes


def _power(spectrum: Spectrum, basis: Basis, channels: int | None) -> Tensor:
    """Calibrated `w^2`, `(C, *coefficients)`; one channel for all where they are alike."""
    raw = spectrum.weights(basis.frequencies())
    own = len(raw) if raw.ndim > basis.rank else 1
    covariance = SpectralCovariance(spectrum, (channels or basis.channels or own, *basis.spatial), basis)
    return covariance.eigenvalues.reshape(own, *basis.coefficients)
