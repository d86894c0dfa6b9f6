"""What every spectrum must satisfy."""

from __future__ import annotations

import dataclasses
import json
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics, measure
from sagd.testing.checks import assert_close, assert_copies, normal, raises
from sagd.testing.oracles import signed_frequencies


class SpectrumContract(ABC):
    """What every spectral weight `w(f)` must satisfy. Supply `spectrum`.

    A spectrum that needs data is tested as resolved on `statistics`; one without weights of its own, such as one by
    class, in its forms alone: set `spatial_shapes = ()`.
    """

    spatial_shapes: ClassVar[tuple[tuple[int, ...], ...]] = (
        *((1,), (2,), (7,), (8,)),
        *((1, 6), (6, 1), (4, 6), (5, 5), (5, 4)),
        *((1, 1, 1), (2, 3, 4), (3, 3, 3)),
    )
    """Spatial shapes the weights are evaluated on: those that a table was made for, if it is one."""
    on_any_grid: ClassVar[bool] = True
    """Whether weights are a function of frequency alone; those of a table belong to one way to store frequencies."""
    channels: ClassVar[int] = 2
    """Channels of the data, where the spectrum does not say how many it is for."""

    @abstractmethod
    def spectrum(self) -> Spectrum:
        """A fresh spectrum."""

    def statistics(self, spatial: tuple[int, ...]) -> DataStatistics:
        """Statistics of data on one spatial shape, for spectra that need them."""
        return measure(normal((5, self.channels, *spatial)))

    def test_weights_are_amplitudes(self) -> None:
        """Finite, not negative, one per coefficient and perhaps channel, of the frequencies' type; no input changes."""
        for spatial in self.spatial_shapes:
            for dtype in (torch.float32, torch.float64):
                frequencies = FourierBasis(spatial).frequencies().to(dtype)
                before = frequencies.clone()
                weights = self._resolved(spatial).weights(frequencies)
                assert weights.dtype == dtype, (spatial, weights.dtype)
                assert weights.shape in (before.shape[1:], weights.shape[:1] + before.shape[1:]), (spatial, weights)
                assert bool(torch.isfinite(weights).all() and (weights >= 0).all()), (spatial, weights)
                assert torch.equal(frequencies, before), "frequencies were changed"

    def test_weights_are_even(self) -> None:
        """`w(f) = w(-f)`, as real noise requires."""
        for spatial in self.spatial_shapes:
            basis, spectrum = FourierBasis(spatial), self._resolved(spatial)
            basis.check_symmetry(spectrum.weights(basis.frequencies()))
            frequencies = signed_frequencies(spatial)
            if self.on_any_grid:
                there, back = (spectrum.weights(f) for f in (frequencies, -frequencies))
                assert_close(back, there, f"w(-f) on {spatial}", 1e-12)

    def test_half_and_full_grids_agree(self) -> None:
        """Weights are the same however the grid is stored: half spectrum, full spectrum, any order."""
        for spatial in self.spatial_shapes if self.on_any_grid else ():
            spectrum = self._resolved(spatial)
            half = spectrum.weights(FourierBasis(spatial).frequencies())
            full = spectrum.weights(signed_frequencies(spatial).flatten(1).flip(1)).flip(-1)
            full = full.reshape(*full.shape[:-1], *spatial)
            assert_close(full[..., : half.shape[-1]].clone(), half, f"full grid of {spatial}", 1e-12)

    def test_level_is_calibrated(self) -> None:
        """`tr Sigma = C d` whatever the shape of `w`; "none" keeps raw weights; an empty grid is refused."""
        for spatial in self.spatial_shapes:
            spectrum = self._resolved(spatial)
            raw = spectrum.weights(FourierBasis(spatial).frequencies())
            shape = (len(raw) if raw.ndim > len(spatial) else self.channels, *spatial)
            if not raw.max() > 0:
                with raises(InputError, "zero at every frequency"):
                    SpectralCovariance(spectrum, shape)
                continue
            calibrated = SpectralCovariance(spectrum, shape)
            assert math.isclose(calibrated.trace, math.prod(shape), rel_tol=1e-12)
            uncalibrated = SpectralCovariance(spectrum, shape, calibration="none")
            assert_close(uncalibrated.weights, raw, f"raw weights on {spatial}", 0)

    def test_resolved_spectra_need_no_data(self) -> None:
        """Resolving is done once and for all, and what comes of it survives a file exactly."""
        for spatial in self.spatial_shapes:
            spectrum, statistics = self.spectrum(), self.statistics(spatial)
            if spectrum.needs_data:
                with raises(InputError, "resolve"):
                    spectrum.weights(FourierBasis(spatial).frequencies())
                spectrum = spectrum.resolve(statistics)
            assert not spectrum.needs_data
            assert spectrum.resolve(statistics) == spectrum
            again = Spectrum.from_dict(json.loads(json.dumps(spectrum.to_dict())))
            assert (again, again.to_dict(), hash(again)) == (spectrum, spectrum.to_dict(), hash(spectrum))
            frequencies = FourierBasis(spatial).frequencies()
            assert torch.equal(again.weights(frequencies), spectrum.weights(frequencies))

    def test_label_is_one_short_line(self) -> None:
        """The text where it is short, else something shorter."""
        spectrum = self.spectrum()
        assert spectrum.label == str(spectrum) or len(spectrum.label) < len(str(spectrum))
        assert "\n" not in spectrum.label

    def _resolved(self, spatial: tuple[int, ...]) -> Spectrum:
        spectrum = self.spectrum()
        return spectrum.resolve(self.statistics(spatial)) if spectrum.needs_data else spectrum

    def test_three_equal_forms(self) -> None:
        """Object, mapping (also through JSON) and text are one and the same."""
        spectrum = self.spectrum()
        mapping = json.loads(json.dumps(spectrum.to_dict()))
        assert mapping == spectrum.to_dict()
        assert mapping["kind"] == spectrum.kind
        for other in (Spectrum.from_dict(mapping), Spectrum.parse(mapping), Spectrum.parse(str(spectrum))):
            assert (type(other), other) == (type(spectrum), spectrum)

    def test_copies_are_equal(self) -> None:
        """A value object: equal copies, hashable, frozen."""
        spectrum = self.spectrum()
        assert_copies(spectrum)
        assert spectrum == self.spectrum()
        with raises(dataclasses.FrozenInstanceError, ""):
            setattr(spectrum, "kind", "other")  # noqa: B010 (the type checker knows it is frozen)

    def test_unknown_parameters_are_refused(self) -> None:
        """A misspelt parameter is an error."""
        with raises(InputError, "no parameter 'no_such_parameter'"):
            Spectrum.from_dict({**self.spectrum().to_dict(), "no_such_parameter": 1})
