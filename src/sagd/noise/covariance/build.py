"""The covariance that a spectrum, a region and classes ask for."""

from __future__ import annotations

from collections.abc import Sequence

from sagd.errors import InputError
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.base import Covariance, require_basis
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import Calibration, SpectralCovariance
from sagd.noise.regions import Region
from sagd.noise.spectra.base import Flat, Spectrum


def build_covariance(
    spectrum: Spectrum,
    shape: Sequence[int],
    calibration: Calibration = "variance",
    basis: Basis | None = None,
    region: Region | None = None,
    classes: Sequence[str] | None = None,
) -> Covariance:
    """The covariance of a spectrum.

    Args:
        spectrum: Weights `w(f)`. White noise takes the route without a transform, whatever the basis.
        shape: `(C, *spatial)`.
        calibration: How the level of `w` is set; see `SpectralCovariance`. Each class is calibrated on its own.
        basis: The transform; defaults to the Fourier basis of the spatial axes.
        region: Where the noise is, and how strong; its amplitudes multiply the calibrated noise.
        classes: Names of the classes, in the order of their labels; needed if the spectrum depends on the class.

    Raises:
        InputError: If the parts do not fit each other, or the spectrum still needs statistics of data.
    """
    if spectrum.needs_data:
        raise InputError(f"{spectrum.label} depends on the data: give its statistics, spectrum.resolve(statistics)")
    if spectrum.depends_on_class:
        if not classes:
            raise InputError(f"{spectrum.label} depends on the class: give the names of the classes")
        members = [build_covariance(s, shape, calibration, basis, region) for s in spectrum.for_classes(classes)]
        return ClassCovariance(members)
    if isinstance(spectrum, Flat):
        covariance: Covariance = IsotropicCovariance(shape)
        if basis is not None:
            require_basis(basis, covariance.shape)
    else:
        covariance = SpectralCovariance(spectrum, shape, basis, calibration)
    return covariance if region is None else ModulatedCovariance(region, covariance)
