"""Contract suites: subclass one in your tests, supply a constructor, and inherit its tests.

    from sagd.testing import CovarianceContract, stationary_matrix

    class TestMyCovariance(CovarianceContract):
        def covariance(self):
            return MyCovariance(shape=(2, 4, 5))

        def matrix(self):
            return stationary_matrix(my_power_spectrum, (2, 4, 5))

Suites are plain classes of `test_*` methods that take no arguments, and need no test framework: pytest collects the
subclass as it stands, `unittest` does where it also inherits `unittest.TestCase`. To run a suite over many cases with
pytest, set attributes in an autouse parametrised fixture and use them in the constructor. For detailed messages, put
`pytest.register_assert_rewrite("sagd.testing")` into `conftest.py`.

A suite compares with truth that the subclass builds independently of the code under test: a dense matrix or a closed
form. `fourier_matrix`, `signed_frequencies` and `stationary_matrix` write the discrete Fourier transform out from its
definition, without an FFT, for that purpose.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import json
import math
import pickle
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from sagd.basis import Basis, FourierBasis, build_basis
from sagd.build import process_from_dict
from sagd.covariance import Covariance, DenseCovariance, IsotropicCovariance, SpectralCovariance
from sagd.denoiser import Denoiser, GaussianDenoiser
from sagd.diagonal import Coefficient
from sagd.errors import InputError, SingularCovarianceError
from sagd.grid import LogSNRGrid
from sagd.process import ForwardProcess, Gaussian, Prediction, Process, Time
from sagd.randomness import sample_generators
from sagd.sampler import Run, Sampler
from sagd.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.spectral_process import SpectralProcess
from sagd.spectrum import PowerLaw, Spectrum
from sagd.statistics import DataStatistics, measure


def fourier_matrix(spatial: Sequence[int]) -> Tensor:
    """The unitary DFT of fields of shape `spatial` by its definition, `F_kx = exp(-2 pi i sum_a k_a x_a/N_a)/sqrt(d)`.

    Returns:
        `(d, d)`, complex128: rows are frequencies (the full grid, FFT order), columns samples.
    """
    phase = torch.zeros(math.prod(spatial), math.prod(spatial), dtype=torch.float64)
    for index, side in zip(_grid_indices(spatial), spatial, strict=True):
        # Reducing k x modulo N in integers keeps the phases exact to rounding.
        phase += (index[:, None] * index[None, :] % side).double() / side
    return torch.polar(torch.full_like(phase, math.prod(spatial) ** -0.5), -2 * math.pi * phase)


def signed_frequencies(spatial: Sequence[int]) -> Tensor:
    """Frequencies of the full grid in cycles per sample, `k/N` for `k < N/2` and `(k - N)/N` above; `(n, *spatial)`."""
    indices = zip(_grid_indices(spatial), spatial, strict=True)
    axes = [torch.where(2 * k < n, k, k - n).double() / n for k, n in indices]
    return torch.stack(axes).reshape(len(axes), *spatial)


def stationary_matrix(power: Tensor, shape: Sequence[int]) -> Tensor:
    """Dense covariance of a stationary periodic field, `Sigma_xy = 1/d sum_k power_k cos(2 pi k (x - y)/N)`.

    Args:
        power: Power spectrum on the full grid, `(*spatial)`, even in frequency.
        shape: `(C, *spatial)`; channels are independent and alike.

    Returns:
        `(C d, C d)`, float64.
    """
    transform = fourier_matrix(shape[1:])
    block = (transform.mH * power.flatten()) @ transform
    return torch.block_diag(*[block.real] * shape[0])


@contextlib.contextmanager
def raises(error: type[Exception], pattern: str) -> Iterator[None]:
    """Assert that the block raises `error` with a message in which the regular expression `pattern` is found."""
    try:
        yield
    except error as raised:
        if not re.search(pattern, str(raised)):
            raise AssertionError(f"message {str(raised)!r} does not match {pattern!r}") from raised
    else:
        raise AssertionError(f"{error.__name__} was not raised")


def _grid_indices(spatial: Sequence[int]) -> list[Tensor]:
    """Integer coordinates of the flattened grid, one `(d,)` tensor per axis."""
    grid = torch.meshgrid(*[torch.arange(side) for side in spatial], indexing="ij")
    return [axis.flatten() for axis in grid]


def _normal(shape: Sequence[int], seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _assert_close(actual: Tensor, expected: Tensor, what: str, tolerance: float = 1e-9) -> None:
    """Agreement to `tolerance` of the largest expected value, type and shape included."""
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale, msg=lambda text: f"{what}: {text}")


def _devices() -> Iterator[torch.device]:
    """Devices that results must stay on; "meta" stands for a foreign one on machines without accelerator."""
    yield torch.device("meta")
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is not None:
        yield accelerator


def _assert_copies(original: Any) -> None:
    """Pickled and deep copies are equal, with equal hashes."""
    for clone in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert clone == original
        assert hash(clone) == hash(original)


class BasisContract(ABC):
    """What every orthonormal transform `U` must satisfy. Supply `basis` and `matrix`; keep `d` to a few hundred.

    Fields are `(*, *spatial)`, or `(*, C, *spatial)` where the basis mixes `C` channels.
    """

    @abstractmethod
    def basis(self) -> Basis:
        """A fresh basis."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """Its forward transform as a dense matrix built independently, real or complex.

        `(coefficients, d)`, or `(C coefficients, C d)` where the basis mixes `C` channels.
        """

    def test_forward_matches_the_matrix(self) -> None:
        """`forward` is the matrix, for any number of batch axes; the input is left alone."""
        basis, shape, matrix = self.basis(), self._shape(), self.matrix()
        for batch in ((), (3,), (2, 3)):
            x = _normal((*batch, *shape))
            before = x.clone()
            expected = x.flatten(-len(shape)).to(matrix.dtype) @ matrix.T
            expected = expected.reshape(*batch, *shape[: -basis.rank], *basis.coefficients)
            _assert_close(basis.forward(x), expected, f"forward with batch {batch}")
            assert torch.equal(x, before), "the input was changed"

    def test_inverse_is_exact(self) -> None:
        """`inverse` undoes `forward`, and keeps the type; the coefficients are left alone."""
        basis = self.basis()
        x = _normal((2, 3, *self._shape()))
        c = basis.forward(x)
        before = c.clone()
        _assert_close(basis.inverse(c), x, "inverse of forward")
        assert torch.equal(c, before), "the coefficients were changed"
        narrow = basis.forward(x.float())
        _assert_close(narrow, c.to(narrow.dtype), "forward, float32", 1e-5)
        _assert_close(basis.inverse(narrow), x.float(), "inverse of forward, float32", 1e-5)

    def test_layout_of_memory_does_not_matter(self) -> None:
        """Transposed fields are transformed like their contiguous copies."""
        basis, shape = self.basis(), self._shape()
        x = _normal((*reversed(shape), 2)).permute(*range(len(shape), -1, -1))
        c = basis.forward(x)
        _assert_close(c, basis.forward(x.contiguous()), "forward of a transposed field")
        turned = c.mT.contiguous().mT if c.ndim > 1 else c
        _assert_close(basis.inverse(turned), x.contiguous(), "inverse of transposed coefficients")

    def test_multiplicity_resolves_the_identity(self) -> None:
        """`sum_f m(f) u_f* u_f^T = 1` in each channel; Parseval's identity and `sum_f m(f) = d` are consequences."""
        basis, matrix = self.basis(), self.matrix()
        multiplicity = basis.multiplicity()
        assert (multiplicity.dtype, tuple(multiplicity.shape)) == (torch.float64, basis.coefficients)
        resolved = (matrix.mH * multiplicity.flatten().repeat(basis.channels or 1)) @ matrix
        identity = torch.eye(len(resolved), dtype=torch.float64)
        _assert_close(resolved.real.clone(), identity, "resolution of the identity")
        assert float(multiplicity.sum()) == basis.size

    def test_frequencies(self) -> None:
        """One frequency vector per coefficient, none above Nyquist, without signs if mirrored; `rho` in [0, 1]."""
        basis = self.basis()
        frequencies = basis.frequencies()
        assert frequencies.dtype == torch.float64
        assert tuple(frequencies.shape) == (basis.rank, *basis.coefficients)
        assert float(frequencies.abs().max()) <= 0.5
        assert not basis.mirrored or float(frequencies.min()) >= 0
        assert float(basis.relative_radius().min()) >= 0
        assert float(basis.relative_radius().max()) <= 1 + 1e-12

    def test_gradients(self) -> None:
        """`forward` and a filter in the basis pass `gradcheck`."""
        basis = self.basis()
        x = _normal((2, *self._shape())).requires_grad_()
        weights = basis.radius() + 0.5
        torch.autograd.gradcheck(basis.forward, x, fast_mode=True)
        torch.autograd.gradcheck(lambda y: basis.inverse(basis.forward(y) * weights), x, fast_mode=True)

    def test_devices(self) -> None:
        """Results stay on the input's device."""
        basis, shape = self.basis(), self._shape()
        for device in _devices():
            there = basis.inverse(basis.forward(_normal(shape).to(device)))
            assert (there.device.type, tuple(there.shape)) == (device.type, shape)

    def test_copies_are_equal(self) -> None:
        """Copies and fresh bases are equal, another shape is not."""
        basis = self.basis()
        _assert_copies(basis)
        assert basis == self.basis()
        assert basis != Basis.from_dict(_on_shape(basis.to_dict(), (*basis.spatial, 1)))

    def test_mapping_describes_the_basis(self) -> None:
        """The mapping survives JSON and reads back as the same basis, as does the text."""
        basis = self.basis()
        mapping = json.loads(json.dumps(basis.to_dict()))
        assert mapping == basis.to_dict()
        for other in (Basis.from_dict(mapping), Basis.parse(str(basis)), build_basis(mapping, basis.spatial)):
            assert (type(other), other) == (type(basis), basis)

    def test_real_even_weights_are_accepted(self) -> None:
        """Functions of `|f|` make real operators."""
        self.basis().check_symmetry(torch.exp(-self.basis().radius()))

    def test_other_shapes_are_refused(self) -> None:
        """A tensor of another shape is an error, not padded or cut."""
        basis, channels = self.basis(), self._shape()[: -self.basis().rank]
        with raises(InputError, "does not end in"):
            basis.forward(torch.zeros(*channels, *basis.spatial[:-1], basis.spatial[-1] + 1))
        with raises(InputError, "does not end in"):
            basis.inverse(torch.zeros(*channels, *basis.coefficients[:-1], basis.coefficients[-1] + 1))
        for count in channels:
            with raises(InputError, f"{count} channels"):
                basis.forward(torch.zeros(count + 1, *basis.spatial))
            with raises(InputError, f"{count} channels"):
                basis.inverse(torch.zeros(*basis.coefficients))

    def _shape(self) -> tuple[int, ...]:
        """Shape of one field."""
        basis = self.basis()
        return basis.spatial if basis.channels is None else (basis.channels, *basis.spatial)


def _on_shape(mapping: dict[str, Any], spatial: Sequence[int]) -> dict[str, Any]:
    """The description of the same kind of basis on another spatial shape."""
    nested = {name: _on_shape(value, spatial) for name, value in mapping.items() if isinstance(value, dict)}
    return {**mapping, **nested, "spatial": spatial}


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
        return measure(_normal((5, self.channels, *spatial)))

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
                _assert_close(back, there, f"w(-f) on {spatial}", 1e-12)

    def test_half_and_full_grids_agree(self) -> None:
        """Weights are the same however the grid is stored: half spectrum, full spectrum, any order."""
        for spatial in self.spatial_shapes if self.on_any_grid else ():
            spectrum = self._resolved(spatial)
            half = spectrum.weights(FourierBasis(spatial).frequencies())
            full = spectrum.weights(signed_frequencies(spatial).flatten(1).flip(1)).flip(-1)
            full = full.reshape(*full.shape[:-1], *spatial)
            _assert_close(full[..., : half.shape[-1]].clone(), half, f"full grid of {spatial}", 1e-12)

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
            _assert_close(uncalibrated.weights, raw, f"raw weights on {spatial}", 0)

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
        _assert_copies(spectrum)
        assert spectrum == self.spectrum()
        with raises(dataclasses.FrozenInstanceError, ""):
            setattr(spectrum, "kind", "other")  # noqa: B010 (the type checker knows it is frozen)

    def test_unknown_parameters_are_refused(self) -> None:
        """A misspelt parameter is an error."""
        with raises(InputError, "no parameter 'no_such_parameter'"):
            Spectrum.from_dict({**self.spectrum().to_dict(), "no_such_parameter": 1})


class CovarianceContract(ABC):
    """What every covariance must satisfy. Supply `covariance` and `matrix`; keep the size to a few dozen.

    Statistical tests draw `draws` samples from a fixed `seed` and fail a correct covariance with probability `level`.
    """

    seed: ClassVar[int] = 0
    draws: ClassVar[int] = 4000
    level: ClassVar[float] = 1e-6
    tolerance: ClassVar[float] = 1e-9
    """Relative agreement of float64 results with the dense matrix."""
    symmetric_root: ClassVar[bool] = True
    """Whether `sqrt` is the symmetric root of `Sigma`; else it is any factor `L` with `L L^T = Sigma`."""
    refused: ClassVar[tuple[str, ...]] = ()
    """Which of whiten, solve, mahalanobis and logdet are refused, `pseudo` or not."""
    rebuilds: ClassVar[bool] = True
    """Whether `Covariance.from_dict` rebuilds it from its description; else that is refused."""

    # Powers of Sigma that the operations stand for.
    _powers: ClassVar[dict[str, float]] = {"apply": 1, "sqrt": 0.5, "project": 0, "whiten": -0.5, "solve": -1}
    _inverses: ClassVar[tuple[str, ...]] = ("whiten", "solve")

    @abstractmethod
    def covariance(self) -> Covariance:
        """A fresh covariance."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """The same covariance as a dense matrix built independently, `(size, size)`, float64."""

    def test_operations_match_the_matrix(self) -> None:
        """Each operation is its power of `Sigma`, the pseudo-inverse where singular; the input is left alone."""
        covariance = self.covariance()
        x = self._fields(3)
        before = x.clone()
        for name in self._operations():
            expected = (x.flatten(1) @ self._operation_matrix(name).T).reshape(x.shape)
            _assert_close(self._operate(covariance, name, x), expected, name, self.tolerance)
        assert torch.equal(x, before), "the input was changed"

    def test_root_is_a_factor(self) -> None:
        """`L L^T = Sigma`, from all unit fields."""
        root = self._root()
        _assert_close(root @ root.T, self.matrix(), "product of the root and its transpose", self.tolerance)

    def test_mean_power_matches_the_matrix(self) -> None:
        """`E |U eps|^2` in the Fourier basis, with the dense DFT; a basis of another shape is refused."""
        channels, *spatial = self.covariance().shape
        basis = FourierBasis(tuple(spatial))
        half = fourier_matrix(spatial).reshape(*spatial, -1)[..., : basis.coefficients[-1], :].reshape(-1, basis.size)
        blocks = self.matrix().reshape(channels, basis.size, channels, basis.size)
        own = torch.stack([blocks[c, :, c] for c in range(channels)]).to(half.dtype)
        expected = torch.einsum("kx,cxy,ky->ck", half, own, half.conj()).real.reshape(channels, *basis.coefficients)
        _assert_close(self.covariance().mean_power(basis), expected, "mean power", self.tolerance)
        with raises(InputError, "basis is for spatial shape"):
            self.covariance().mean_power(FourierBasis((*spatial[:-1], spatial[-1] + 1)))

    def test_labels_do_not_matter(self) -> None:
        """`given` is the identity."""
        covariance = self.covariance()
        for labels in (None, torch.tensor([0, 3])):
            assert covariance.given(labels) is covariance

    def test_summaries_match_the_matrix(self) -> None:
        """Size, rank, trace, log-determinant and dense form."""
        covariance, matrix = self.covariance(), self.matrix()
        values = self._eigenvalues()
        assert covariance.size == len(matrix)
        assert covariance.rank == len(values)
        assert covariance.is_singular == (len(values) < len(matrix))
        assert math.isclose(covariance.trace, float(matrix.trace()), rel_tol=self.tolerance)
        logdet, size = float(values.log().sum()), float(values.log().abs().sum())
        if "logdet" not in self.refused:
            assert math.isclose(covariance.logdet(pseudo=True), logdet, abs_tol=self.tolerance * max(1, size))
        _assert_close(covariance.to_dense(), matrix, "to_dense", self.tolerance)

    def test_mahalanobis_matches_the_matrix(self) -> None:
        """`x^T Sigma^+ x` per sample, in float64."""
        if "mahalanobis" in self.refused:
            return
        x = self._fields(3)
        flat = x.flatten(1)
        expected = torch.einsum("bi,ij,bj->b", flat, self._power(-1), flat)
        _assert_close(self.covariance().mahalanobis(x, pseudo=True), expected, "mahalanobis", self.tolerance)
        assert self.covariance().mahalanobis(x.float(), pseudo=True).dtype == torch.float64

    def test_inverses_of_singular_covariances_are_refused(self) -> None:
        """Without `pseudo` an inverse of a singular covariance is an error that names it; else both agree."""
        covariance, x = self.covariance(), self._fields(2)
        for name in (*self._inverses, "mahalanobis"):
            operation = getattr(covariance, name)
            if covariance.is_singular:
                empty = covariance.size - covariance.rank
                with raises(SingularCovarianceError, rf"{empty} of {covariance.size}.*pseudo=True"):
                    operation(x)
            elif name not in self.refused:
                _assert_close(operation(x), operation(x, pseudo=True), name, 0)
        if covariance.is_singular:
            with raises(SingularCovarianceError, "pseudo=True"):
                covariance.logdet()
        elif "logdet" not in self.refused:
            assert covariance.logdet() == covariance.logdet(pseudo=True)

    def test_what_is_refused(self) -> None:
        """Operations named in `refused` raise `InputError` in one line, with `pseudo` too."""
        covariance, x = self.covariance(), self._fields(2)
        for name in self.refused:
            with raises(InputError, r"^[^\n]+$"):
                covariance.logdet(pseudo=True) if name == "logdet" else getattr(covariance, name)(x, pseudo=True)

    def test_batch_axes(self) -> None:
        """No batch axis, one, or several."""
        covariance = self.covariance()
        x = self._fields(2, 3)
        for name in self._operations():
            whole = self._operate(covariance, name, x)
            _assert_close(self._operate(covariance, name, x[1, 2]), whole[1, 2], f"{name} without batch", 1e-12)
            _assert_close(self._operate(covariance, name, x[1]), whole[1], f"{name} with one batch axis", 1e-12)
        if "mahalanobis" in self.refused:
            return
        norms = covariance.mahalanobis(x, pseudo=True)
        assert tuple(norms.shape) == (2, 3)
        _assert_close(covariance.mahalanobis(x[1, 2], pseudo=True), norms[1, 2], "mahalanobis without batch", 1e-12)

    def test_gradients(self) -> None:
        """All operations pass `gradcheck` in float64."""
        covariance, x = self.covariance(), self._fields(2).requires_grad_()
        for name in self._operations():
            torch.autograd.gradcheck(lambda y, name=name: self._operate(covariance, name, y), x, fast_mode=True)
        if "mahalanobis" not in self.refused:
            torch.autograd.gradcheck(lambda y: covariance.mahalanobis(y, pseudo=True), x, fast_mode=True)

    def test_types(self) -> None:
        """Results keep the input's type; half precision is computed in float32 and rounded once."""
        covariance, exact = self.covariance(), self._fields(3)
        for name in self._operations():
            expected = self._operate(covariance, name, exact).float()
            _assert_close(self._operate(covariance, name, exact.float()), expected, f"{name} in float32", 1e-5)
            for dtype in (torch.bfloat16, torch.float16):
                x = exact.to(dtype)
                expected = self._operate(covariance, name, x.float()).to(dtype)
                _assert_close(self._operate(covariance, name, x), expected, f"{name} in {dtype}", 0)

    def test_devices(self) -> None:
        """Results stay on the input's device and agree with the CPU's."""
        covariance, x = self.covariance(), self._fields(2).float()
        for device in _devices():
            for name in self._operations():
                there = self._operate(covariance, name, x.to(device))
                assert (there.device.type, there.dtype, there.shape) == (device.type, x.dtype, x.shape)
                if device.type != "meta":
                    _assert_close(there.cpu(), self._operate(covariance, name, x), f"{name} on {device}", 1e-5)
            assert covariance.sample(2, device=device).device.type == device.type

    def test_samples_are_coloured_white_noise(self) -> None:
        """A sample is exactly `L xi` with `xi` the generator's own normal draws, and lies in the range."""
        covariance = self.covariance()
        eps = covariance.sample(3, torch.Generator().manual_seed(self.seed), torch.float64)
        white = _normal((3, *covariance.shape), self.seed)
        expected = (white.flatten(1) @ self._operation_matrix("sqrt").T).reshape(eps.shape)
        _assert_close(eps, expected, "sample", self.tolerance)
        _assert_close(covariance.project(eps), eps, "projection of a sample", self.tolerance)

    def test_samples_are_gaussian_with_this_covariance(self) -> None:
        """Mean, covariance, and law of `eps^T Sigma^+ eps`, which is chi-squared with `rank` degrees of freedom.

        The last one fails for noise that is rescaled sample by sample, whose norm does not vary as a Gaussian's does.
        """
        covariance, matrix, n = self.covariance(), self.matrix(), self.draws
        eps = covariance.sample(n, torch.Generator().manual_seed(self.seed + 1), torch.float64)
        flat = eps.flatten(1)
        # Three families of two-sided z-tests share `level`.
        z = _quantile(self.level / 3 / matrix.numel())
        variance = matrix.diagonal()
        floor = 1e-12 * float(variance.max())
        std = ((variance[:, None] * variance + matrix.square()) / n).sqrt()
        _assert_within(flat.T @ flat / n - matrix, z * std + floor, "sample covariance")
        _assert_within(flat.mean(0), z * (variance / n).sqrt() + floor, "sample mean")
        k = int(covariance.rank)
        squared = torch.einsum("bi,ij,bj->b", flat, self._power(-1), flat)
        z = _quantile(self.level / 6)
        _assert_within(squared.mean() - k, torch.tensor(z * math.sqrt(2 * k / n)), "mean of squared norms")
        spread = 2 * k * math.sqrt((2 + 12 / k) / n)
        _assert_within(squared.var() - 2 * k, torch.tensor(z * spread), "variance of squared norms")

    def test_samples_do_not_depend_on_the_batch(self) -> None:
        """With a generator per sample, splitting the batch changes nothing; a wrong number of them is refused."""
        covariance = self.covariance()
        whole = covariance.sample(4, sample_generators(self.seed, 4))
        parts = [
            covariance.sample(count, sample_generators(self.seed, count, first)) for count, first in ((1, 0), (3, 1))
        ]
        _assert_close(torch.cat(parts), whole, "split batch", 1e-6)
        assert not torch.equal(whole[0], whole[1]), "two generators gave the same sample"
        with raises(InputError, "one per sample"):
            covariance.sample(3, sample_generators(self.seed, 2))

    def test_sample_shapes_and_types(self) -> None:
        """Any batch shape and floating type; float32 by default."""
        covariance = self.covariance()
        for batch in ((), (2,), (2, 3)):
            assert tuple(covariance.sample(batch).shape) == (*batch, *covariance.shape)
        assert covariance.sample(1).dtype == torch.get_default_dtype()
        for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
            assert covariance.sample(1, dtype=dtype).dtype == dtype

    def test_description_identifies_the_covariance(self) -> None:
        """Equal objects have equal JSON descriptions, fingerprints and hashes; other covariances differ."""
        covariance, again = self.covariance(), self.covariance()
        described = covariance.to_dict()
        assert json.loads(json.dumps(described)) == described
        covariance.apply(self._fields(1))
        assert covariance.to_dict() == described
        assert covariance == again
        assert (covariance.fingerprint(), hash(covariance)) == (again.fingerprint(), hash(again))
        other = IsotropicCovariance(covariance.shape, variance=math.e)
        assert covariance != other
        assert covariance.fingerprint() != other.fingerprint()

    def test_description_rebuilds_the_covariance(self) -> None:
        """Through JSON, with the same action; or it is refused."""
        covariance, x = self.covariance(), self._fields(2)
        described = json.loads(json.dumps(covariance.to_dict()))
        if not self.rebuilds:
            with raises(InputError, "cannot be rebuilt"):
                Covariance.from_dict(described)
            return
        rebuilt = Covariance.from_dict(described)
        assert rebuilt == covariance
        _assert_close(rebuilt.apply(x), covariance.apply(x), "apply of a rebuilt covariance", 0)

    def test_copies_are_equal(self) -> None:
        """Pickled and deep copies, made before and after use, do the same."""
        covariance, x = self.covariance(), self._fields(2)
        _assert_copies(covariance)
        expected = covariance.apply(x)
        _assert_copies(covariance)
        for clone in (pickle.loads(pickle.dumps(covariance)), copy.deepcopy(covariance)):
            _assert_close(clone.apply(x), expected, "apply of a copy", 0)

    def test_bad_fields_are_refused(self) -> None:
        """Other shapes and integers are errors that name what was given."""
        covariance = self.covariance()
        larger = (*covariance.shape[:-1], covariance.shape[-1] + 1)
        for name in self._operations():
            with raises(InputError, "does not end in"):
                self._operate(covariance, name, torch.zeros(larger))
            with raises(InputError, "floating point"):
                self._operate(covariance, name, torch.zeros(covariance.shape, dtype=torch.int64))

    def _fields(self, *batch: int) -> Tensor:
        return _normal((*batch, *self.covariance().shape), self.seed)

    def _operations(self) -> list[str]:
        """Names of the operations on fields that are not refused."""
        return [name for name in self._powers if name not in self.refused]

    def _operation_matrix(self, name: str) -> Tensor:
        """What an operation must be, as a matrix `(size, size)`."""
        if self.symmetric_root or name not in ("sqrt", "whiten"):
            return self._power(self._powers[name])
        # Any factor will do; the root of the tolerance of `_power` tells its zero singular values.
        return self._root() if name == "sqrt" else torch.linalg.pinv(self._root(), rtol=1e-5)

    def _root(self) -> Tensor:
        """The factor `L` of `sqrt` as a matrix, `(size, size)`."""
        covariance = self.covariance()
        eye = torch.eye(covariance.size, dtype=torch.float64).reshape(-1, *covariance.shape)
        return covariance.sqrt(eye).flatten(1).T

    def _operate(self, covariance: Covariance, name: str, x: Tensor) -> Tensor:
        operation = getattr(covariance, name)
        return operation(x, pseudo=True) if name in self._inverses else operation(x)

    def _eigenvalues(self) -> Tensor:
        """Non-zero eigenvalues of the dense matrix."""
        values = torch.linalg.eigvalsh(self.matrix())
        return values[values > 1e-10 * values.max()]

    def _power(self, power: float) -> Tensor:
        """`Sigma^power` on its range, from the eigenvectors of the dense matrix."""
        values, vectors = torch.linalg.eigh(self.matrix())
        inside = values > 1e-10 * values.max()
        return (vectors[:, inside] * values[inside] ** power) @ vectors[:, inside].T


def _quantile(level: float) -> float:
    """Two-sided normal quantile: `P(|z| > quantile) = level`."""
    return float(-torch.special.ndtri(torch.tensor(level / 2, dtype=torch.float64)))


def _assert_within(deviation: Tensor, bound: Tensor, what: str) -> None:
    excess = float((deviation.abs() / bound).max())
    assert excess <= 1, f"{what} is off by {excess:.2f} times what chance allows"


class ScheduleContract(ABC):
    """What every noise schedule must satisfy. Supply `schedule`."""

    @abstractmethod
    def schedule(self) -> Schedule:
        """A fresh schedule."""

    def test_starts_at_data(self) -> None:
        """`alpha_0 = 1`, and `sigma_0 = 0` exactly."""
        zero = torch.zeros((), dtype=torch.float64)
        assert self.schedule().sigma(zero) == 0
        _assert_close(self.schedule().alpha(zero), torch.ones_like(zero), "alpha(0)")

    def test_log_snr_decreases_strictly(self) -> None:
        """No two of many times share a noise level."""
        t = torch.linspace(1e-3, 1, 1000, dtype=torch.float64)
        assert bool((self.schedule().log_snr(t).diff() < 0).all())

    def test_derivatives_equal_autograd(self) -> None:
        """`d_alpha` and `d_sigma` are the derivatives of `alpha` and `sigma`."""
        schedule = self.schedule()
        t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64, requires_grad=True)
        for name in ("alpha", "sigma"):
            y = getattr(schedule, name)(t)
            exact = torch.autograd.grad(y.sum(), t)[0] if y.requires_grad else torch.zeros_like(y)
            _assert_close(getattr(schedule, f"d_{name}")(t.detach()), exact, f"d_{name}")

    def test_time_inverts_the_noise_level(self) -> None:
        """`time(log_snr(t)) = t = time_at(noise_level(t))`."""
        schedule = self.schedule()
        t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
        _assert_close(schedule.time(schedule.log_snr(t)), t, "time of log_snr", 1e-8)
        _assert_close(schedule.time_at(schedule.noise_level(t)), t, "time of noise_level", 1e-8)

    def test_time_is_clamped(self) -> None:
        """Noise levels beyond the schedule's give its ends."""
        log_snr = torch.tensor([math.inf, -1e3, -math.inf], dtype=torch.float64)
        _assert_close(self.schedule().time(log_snr), log_snr.new_tensor([0.0, 1.0, 1.0]), "time of extreme log-SNRs")

    def test_types_and_shapes(self) -> None:
        """float64 in, float64 out; narrower types give float32; shapes are those of `t`."""
        schedule = self.schedule()
        exact = torch.full((2, 3), 0.5, dtype=torch.float64)
        for name in ("alpha", "sigma", "d_alpha", "d_sigma", "log_snr", "noise_level", "time", "time_at"):
            function = getattr(schedule, name)
            assert (function(exact).dtype, function(exact).shape) == (torch.float64, exact.shape)
            for dtype in (torch.float32, torch.float16):
                _assert_close(function(exact.to(dtype)), function(exact).float(), f"{name} of {dtype}", 1e-5)

    def test_three_equal_forms(self) -> None:
        """Object, mapping (also through JSON) and text are one and the same; copies are equal."""
        schedule = self.schedule()
        mapping = json.loads(json.dumps(schedule.to_dict()))
        assert Schedule.from_dict(mapping) == schedule
        assert Schedule.parse(str(schedule)) == schedule
        _assert_copies(schedule)


class ProcessContract(ABC):
    """What every forward process must satisfy, against dense linear algebra.

    Supply `process`; keep the size to a few dozen.
    """

    s: ClassVar[Tensor] = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    """Earlier times, one per sample of a batch of three."""
    t: ClassVar[Tensor] = torch.tensor([0.2, 0.8, 1.0], dtype=torch.float64)
    """Later times, to the end of the process."""

    @abstractmethod
    def process(self) -> Process:
        """A fresh process."""

    def basis(self) -> Basis | None:
        """A basis in which the noise is diagonal; none by default."""
        return None

    def test_perturbing_draws_from_the_marginal(self) -> None:
        """`perturb` and `marginal` agree draw for draw; `prior` is the marginal of empty data."""
        process, x_0 = self.process(), self._fields(0)
        marginal = process.marginal(x_0, self.t)
        noise = process.noise(x_0, torch.Generator().manual_seed(7))
        _assert_close(process.perturb(x_0, self.t, noise), marginal.mean + marginal.std * noise, "perturb")
        for x_t in (process.perturb(x_0, self.t, generator=_seeded(7)), marginal.sample(_seeded(7))):
            _assert_close(x_t, marginal.mean + marginal.std * noise, "a drawn state")
        prior = process.prior(3, 0.7, _seeded(7), torch.float64)
        _assert_close(prior, process.marginal(0 * x_0, 0.7).sample(_seeded(7)), "prior")

    def test_transitions_compose_to_the_marginal(self) -> None:
        """Chapman-Kolmogorov: `0 -> s -> t` is `0 -> t`, in mean and variance."""
        process, x_0 = self.process(), self._fields(0)
        at_s, at_t = process.marginal(x_0, self.s), process.marginal(x_0, self.t)
        _assert_close(process.transition(at_s.mean, self.s, self.t).mean, at_t.mean, "mean")
        for s, t in zip(self.s.tolist(), self.t.tolist(), strict=True):
            A, Q = self._step(s, t)
            P_s, P_t = (self._variance(process.marginal(self._eye(), time)) for time in (s, t))
            _assert_close(A @ P_s @ A.T + Q, P_t, f"variance from {s} to {t}")

    def test_posterior_is_gaussian_conditioning(self) -> None:
        """`q(x_s | x_t, x_0)` equals conditioning the dense joint law of `(x_s, x_t)` given `x_0`."""
        process, x_0 = self.process(), self._fields(0)
        x_t = process.perturb(x_0, self.t, generator=_seeded(1))
        posterior, marginal = process.posterior(x_t, x_0, self.t, self.s), process.marginal(x_0, self.s)
        for i, (s, t) in enumerate(zip(self.s.tolist(), self.t.tolist(), strict=True)):
            A, Q = self._step(s, t)
            mean, P = marginal.mean[i].flatten(), self._variance(process.marginal(self._eye(), s))
            gain = P @ A.T @ torch.linalg.pinv(A @ P @ A.T + Q, hermitian=True)
            expected = mean + gain @ (x_t[i].flatten() - A @ mean)
            _assert_close(posterior.mean[i].flatten(), expected, f"posterior mean from {t} to {s}")
            variance = self._variance(process.posterior(self._eye(), self._eye(), t, s))
            _assert_close(variance, P - gain @ A @ P, f"posterior covariance from {t} to {s}")

    def test_predictions_round_trip(self) -> None:
        """Image -> prediction -> image for every kind; the same prediction from the image and its noise."""
        process, x_0 = self.process(), self._fields(0)
        eps = process.noise(x_0, _seeded(2))
        x_t = process.perturb(x_0, self.s, eps)
        for kind in get_args(Prediction):
            value = process.from_x0(kind, x_0, x_t, self.s)
            back = process.consistent(process.to_x0(kind, value, x_t, self.s), x_t, self.s)
            _assert_close(back, x_0, f"image from {kind}")
            if kind != "score":
                _assert_close(value, process.from_pair(kind, x_0, eps, self.s), f"{kind} from image and noise")

    def test_velocity_is_the_time_derivative(self) -> None:
        """`velocity = dx_t/dt` for fixed image and noise, by autograd."""
        process, x_0, eps = self.process(), self._fields(0), self._fields(1)
        _, exact = torch.autograd.functional.jvp(
            lambda t: process.perturb(x_0, t, eps), self.s, torch.ones_like(self.s)
        )
        _assert_close(process.from_pair("velocity", x_0, eps, self.s), exact, "velocity")

    def test_velocity_is_the_slope_of_the_path(self) -> None:
        """By central differences over a millionth in time, whose error is of the order of its square."""
        process, x_0, eps, h = self.process(), self._fields(0), self._fields(1), 1e-6
        # Off the round times at which a process may change its pace, where the error is larger.
        time = self.s + 0.0173
        later, earlier = (process.perturb(x_0, time + shift, eps) for shift in (h, -h))
        # What is left is the rounding of the states, 1e-16 / h.
        velocity = process.from_pair("velocity", x_0, eps, time)
        _assert_close((later - earlier) / (2 * h), velocity, "slope of the path", 1e-8)

    def test_starts_at_the_data(self) -> None:
        """No noise, and all of the signal, at `t = 0`."""
        x_0 = self._fields(0)
        _assert_close(self.process().perturb(x_0, 0.0, self._fields(1)), x_0, "state at t = 0", 1e-12)

    def test_diagonals_are_those_of_the_operators(self) -> None:
        """In `basis`: `U* a U` is the mean of the marginal, `U* s^2 U` its covariance."""
        process, basis, eye = self.process(), self.basis(), self._eye()
        if basis is None:
            return
        for t in self.t.tolist():
            a, s = process.diagonal(t, eye, basis)
            law = process.marginal(eye, t)
            _assert_close(a * eye, law.mean.clone(), f"signal at {t}")
            _assert_close((s * (s * eye)).flatten(1), self._variance(law), f"noise at {t}")

    def test_log_density_of_the_marginal(self) -> None:
        """Against torch's multivariate normal with the dense covariance; refused where the noise is singular."""
        process, x_0, x = self.process(), self._fields(0), self._fields(1)
        law = process.marginal(x_0, self.t)
        if process.covariance.is_singular:
            with raises(SingularCovarianceError, "dimensions are empty"):
                law.log_prob(x)
            return
        for i, t in enumerate(self.t.tolist()):
            variance = self._variance(process.marginal(self._eye(), t))
            dense = torch.distributions.MultivariateNormal(law.mean[i].flatten(), variance)
            _assert_close(law.log_prob(x)[i], dense.log_prob(x[i].flatten()), f"log-density at {t}", 1e-8)

    def test_noise_only_grows(self) -> None:
        """What a transition has to add, `P_t - A P_s A^T` with `A = M_t M_s^-1` in dense algebra, is a covariance."""
        process, eye = self.process(), self._eye()
        times = torch.linspace(0, 1, 13, dtype=torch.float64).tolist()
        laws = [process.marginal(eye, t) for t in times]
        means, variances = [law.mean.flatten(1).T for law in laws], [self._variance(law) for law in laws]
        for i in range(len(times) - 1):
            A = torch.linalg.solve(means[i].T, means[i + 1].T).T
            least = float(torch.linalg.eigvalsh(variances[i + 1] - A @ variances[i] @ A.T).min())
            assert least > -1e-9 * float(variances[i + 1].max()), (
                f"noise from {times[i]} to {times[i + 1]}: {least:.2g}"
            )

    def test_states_do_not_depend_on_the_batch(self) -> None:
        """With a generator and a time per sample, splitting a batch changes no more than the rounding of transforms."""
        process, x_0 = self.process(), self._fields(0).float()
        whole = process.perturb(x_0, self.t, generator=sample_generators(0, 3))
        start = process.prior(3, 0.9, sample_generators(1, 3))
        for i in range(3):
            one = slice(i, i + 1)
            alone = process.perturb(x_0[one], self.t[one], generator=sample_generators(0, 1, i))
            _assert_close(alone, whole[one], "state in a batch of its own", 1e-6)
            _assert_close(process.prior(1, 0.9, sample_generators(1, 1, i)), start[one], "start of its own", 1e-6)

    def test_labels_do_not_matter(self) -> None:
        """`given` is the identity."""
        process = self.process()
        for labels in (None, torch.tensor([0, 3, 1])):
            assert process.given(labels) is process

    def test_score_of_a_known_image(self) -> None:
        """`grad log q(x_t | x_0) = -Sigma^+ (x_t - alpha_t x_0) / sigma_t^2`, with a dense pseudo-inverse."""
        process, x_0 = self.process(), self._fields(0)
        x_t = process.perturb(x_0, self.s, generator=_seeded(3))
        law, inverse = process.marginal(x_0, self.s), torch.linalg.pinv(process.covariance.to_dense(), hermitian=True)
        exact = -((x_t - law.mean) / law.std**2).flatten(1) @ inverse
        _assert_close(process.from_x0("score", x_0, x_t, self.s).flatten(1), exact, "score")

    def test_consistency_restores_what_carries_no_noise(self) -> None:
        """A wrong image is corrected where the covariance is empty, and left alone elsewhere."""
        process, x_0, wrong = self.process(), self._fields(0), self._fields(1)
        x_t = process.perturb(x_0, self.s, generator=_seeded(4))
        expected = x_0 + process.covariance.project(wrong - x_0)
        _assert_close(process.consistent(wrong, x_t, self.s), expected, "consistent image")

    def test_forms_of_time(self) -> None:
        """A number, a scalar tensor and one time per sample mean the same; anything else is refused."""
        process, x_0 = self.process(), self._fields(0)
        expected = process.perturb(x_0, 0.5, x_0)
        for t in (torch.tensor(0.5), torch.full((1,), 0.5), torch.full((3,), 0.5)):
            _assert_close(process.perturb(x_0, t, x_0), expected, f"state at {t}")
        for t in (torch.full((2,), 0.5), torch.full((3, 1), 0.5)):
            with raises(InputError, r"one per sample \(3,\)"):
                process.perturb(x_0, t, x_0)
        for number in (-0.1, 1.1, math.nan):
            with raises(InputError, rf"t must lie in \[0, 1\], got {number}"):
                process.perturb(x_0, number, x_0)

    def test_backward_transitions_are_refused(self) -> None:
        """`s <= t`."""
        process, x_0 = self.process(), self._fields(0)
        with raises(InputError, "needs s <= t, got s=0.5, t=0.4"):
            process.transition(x_0, 0.5, 0.4)
        with raises(InputError, "needs s <= t, got s=0.5, t=0.4"):
            process.posterior(x_0, x_0, 0.4, 0.5)

    def test_types(self) -> None:
        """States are of the type of the fields and agree with float64."""
        process, x_0, eps = self.process(), self._fields(0), self._fields(1)
        expected = process.perturb(x_0, self.t, eps)
        for dtype, tolerance in ((torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
            narrow = process.perturb(x_0.to(dtype), self.t, eps.to(dtype))
            _assert_close(narrow, expected.to(dtype), f"state in {dtype}", tolerance)

    def test_description_identifies_the_process(self) -> None:
        """JSON-ready, the same for equal processes, and enough to build one, unless it holds a matrix."""
        described = self.process().to_dict()
        assert json.loads(json.dumps(described)) == described == self.process().to_dict()
        _assert_copies(self.process())
        if not isinstance(self.process().covariance, DenseCovariance):
            assert process_from_dict(described) == self.process()

    def test_clock(self) -> None:
        """The noise level increases strictly from 0, and `time_at` is its inverse, clamped."""
        process = self.process()
        t = torch.linspace(0, 1, 201, dtype=torch.float64)
        levels = process.noise_level(t)
        assert levels[0] == 0
        assert bool((levels.diff() > 0).all())
        _assert_close(process.time_at(levels[1:-1]), t[1:-1], "time of a noise level", 1e-8)
        ends = process.time_at(torch.tensor([0.0, math.inf], dtype=torch.float64))
        _assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64), "time of extreme noise levels")

    def test_rms_is_the_scale_of_white_data(self) -> None:
        """`E ||x_t||^2 = d rms^2` for white data of unit variance and white noise `eps`."""
        process, x = self.process(), self._fields(0)
        rms = process.rms(self.t, x)
        for i, t in enumerate(self.t.tolist()):
            total = sum(float((c * self._eye()).square().sum()) for c in self._coefficients(t))
            assert math.isclose(float(rms[i].squeeze()) ** 2, total / len(self._eye()), rel_tol=1e-9)

    def _coefficients(self, t: float) -> tuple[Coefficient, Coefficient]:
        return self.process().alpha(t, self._eye()), self.process().sigma(t, self._eye())

    def _eye(self) -> Tensor:
        """All unit fields."""
        size = self.process().covariance.size
        return torch.eye(size, dtype=torch.float64).reshape(size, *self.process().shape)

    def _step(self, s: float, t: float) -> tuple[Tensor, Tensor]:
        """Matrix and noise covariance of the transition."""
        step = self.process().transition(self._eye(), s, t)
        return step.mean.reshape(len(step.mean), -1).T, self._variance(step)

    def _variance(self, law: Gaussian) -> Tensor:
        """Dense covariance of a law on unit fields."""
        std = (law.std * self._eye()).flatten(1)
        return std.T @ law.covariance.to_dense() @ std

    def _fields(self, seed: int) -> Tensor:
        return _normal((3, *self.process().shape), seed)


class FunctionDenoiser(Denoiser):
    """A denoiser `f(x_t, t)` for tests, `t` being a number or one per sample.

    Args:
        process: Forward process.
        function: `f`.
    """

    def __init__(self, process: Process, function: Callable[[Tensor, Time], Tensor]) -> None:
        self.process = process
        self.function = function

    def estimate(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """`f(x_t, t)`."""
        return self.function(x_t, t)


def output_spectrum(
    sampler: Sampler, process: Process, spectrum: Tensor, times: Sequence[float], basis: Basis | None = None
) -> Tensor:
    """Exact power spectrum of a sampler's output on stationary Gaussian data with the exact denoiser.

    The sampler is then linear in its start and in every noise it injects, so its answers to one unit of every frequency
    in each of them add up to the spectrum of its output: nothing is drawn.

    Args:
        sampler: Any sampler, deterministic or not.
        process: Process whose noise is diagonal in `basis`.
        spectrum: `S(f)` of the data, broadcastable to `(C, *coefficients)`.
        times: Times `t_0 > ... > t_N`.
        basis: Fourier by default.

    Returns:
        `(*coefficients)`, or `(C, *coefficients)` for more than one channel, float64; the start is the noise of `t_0`.
    """
    basis = basis or FourierBasis(process.shape[1:])
    denoiser = GaussianDenoiser(process, torch.zeros(process.shape, dtype=torch.float64), spectrum, basis)
    sources = 2 * len(times)
    run = _ImpulseRun(process, lambda x_t, t: denoiser(x_t, t), steps=len(times) - 1, basis=basis)
    x = torch.zeros(sources, *process.shape, dtype=torch.float64)
    x = process.sigma(times[0], x) * run.noise(x)
    for t, s in itertools.pairwise(times):
        x = sampler.step(run, x, t, s)
    power = basis.forward(x).abs().square().sum(0)
    return power.squeeze(0) if process.shape[0] == 1 else power


@dataclasses.dataclass
class _ImpulseRun(Run):
    """The `k`-th draw has one unit of every frequency in sample `k`, coloured, and nothing in the others."""

    basis: Basis = dataclasses.field(kw_only=True)
    draws: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def noise(self, x: Tensor) -> Tensor:
        ones = torch.ones(self.process.shape[0], *self.basis.coefficients, dtype=torch.float64)
        xi = torch.zeros_like(x)
        xi[next(self.draws)] = self.basis.inverse(ones)
        return self.process.covariance.sqrt(xi)


class SamplerContract(ABC):
    """What every sampler must satisfy. Supply `sampler`, and the `order` it converges with."""

    order: ClassVar[float] = 1
    """Order in the step size of the output's covariance on Gaussian data."""
    schedules: ClassVar[tuple[Schedule, ...]] = (VPSchedule(), CosineSchedule(), VESchedule(), RectifiedSchedule())

    @abstractmethod
    def sampler(self) -> Sampler:
        """A fresh sampler."""

    def test_last_step_returns_the_image(self) -> None:
        """At `s = 0` nothing is left but the estimate; a known image is reached from any start."""
        x_0 = _normal((2, 4, 5), 1)
        for process in self._processes((2, 4, 5)):
            denoiser = FunctionDenoiser(process, lambda x_t, t: x_0.expand_as(x_t))
            for steps in (1, 2, 7):
                x = self.sampler().sample(denoiser, 3, steps=steps, generator=_seeded(0), dtype=torch.float64)
                _assert_close(x, x_0.expand_as(x), f"{steps} steps of {process} towards a known image")

    def test_coloured_noise_is_white_noise_in_other_coordinates(self) -> None:
        """With the same white draws, sampling with `Sigma_w` is sampling `Sigma_w^(-1/2) x` with white noise.

        So the start and every injected noise have covariance `Sigma_w`. The denoiser is not linear.
        """
        shape = (2, 4, 5)
        covariance = SpectralCovariance(PowerLaw(-0.5), shape)

        def image(x_t: Tensor, t: Time) -> Tensor:
            return 0.8 * torch.tanh(x_t + 0.3 * torch.as_tensor(t)) - 0.1

        def whitened(z_t: Tensor, t: Time) -> Tensor:
            return covariance.whiten(image(covariance.sqrt(z_t), t))

        for schedule in self.schedules:
            coloured = FunctionDenoiser(ForwardProcess(schedule, covariance), image)
            white = FunctionDenoiser(ForwardProcess(schedule, IsotropicCovariance(shape)), whitened)
            x, z = (
                self.sampler().sample(denoiser, 3, steps=6, generator=_seeded(0), dtype=torch.float64)
                for denoiser in (coloured, white)
            )
            _assert_close(x, covariance.sqrt(z), f"coloured noise under {schedule}", 1e-7)

    def test_output_covariance_tends_to_that_of_the_data(self) -> None:
        """On Gaussian data the error of the output's spectrum falls with the stated order or faster."""
        self._check_order(ForwardProcess(CosineSchedule(), SpectralCovariance(PowerLaw(-0.5), (1, 6, 5))))

    def test_each_frequency_may_have_its_own_schedule(self) -> None:
        """The same on data that blue noise turns into white noise."""
        self._check_order(SpectralProcess.white_to_blue((1, 6, 5)))

    def _check_order(self, process: Process) -> None:
        spectrum = 0.2 + torch.exp(-8 * FourierBasis(process.shape[1:]).radius())
        steps = torch.tensor([32.0, 64.0, 128.0], dtype=torch.float64)
        errors = []
        for count in steps.int().tolist():
            times = LogSNRGrid(0.002, 300.0).times(count, process).tolist()
            output = output_spectrum(self.sampler(), process, spectrum, times)
            errors.append(float((output / spectrum - 1).abs().max()))
        order = -_slope(steps.log(), torch.tensor(errors, dtype=torch.float64).log())
        assert order > self.order - 0.2, f"errors {errors} fall with order {order:.2f}, not {self.order}"
        assert errors[-1] < 0.15, f"128 steps leave an error of {errors[-1]:.2g}"

    def test_samples_do_not_depend_on_the_batch_size(self) -> None:
        """To rounding, with a generator per sample; the same call twice gives the same bits.

        Not bit for bit: some libraries of matrix products choose another kernel for another number of rows. Double
        precision keeps that rounding far below what a dependence on the batch would change.
        """
        for process in self._processes((1, 4, 5)):
            denoiser = FunctionDenoiser(process, lambda x_t, t: torch.tanh(x_t))
            whole, again, split, single, shorter = (
                self.sampler().sample(
                    denoiser,
                    count,
                    steps=3,
                    generator=sample_generators(0, count),
                    batch_size=batch_size,
                    dtype=torch.float64,
                )
                for count, batch_size in ((5, None), (5, None), (5, 2), (5, 1), (3, None))
            )
            assert torch.equal(whole, again), f"samples under {process} differ from run to run"
            for other in (split, single):
                _assert_close(other, whole, f"samples under {process}, in other batches")
            _assert_close(shorter, whole[:3], f"samples under {process}, fewer of them")
            assert not torch.equal(whole[0], whole[1]), "two generators gave the same sample"
            one, two = (self.sampler().sample(denoiser, 3, steps=3, generator=_seeded(0)) for _ in range(2))
            assert torch.equal(one, two)

    def test_types(self) -> None:
        """float32 by default, float64 where asked for; a start keeps its own type; nothing needs gradients."""
        process = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), (1, 4, 5)))
        scale = torch.tensor(0.5, requires_grad=True)
        denoiser = FunctionDenoiser(process, lambda x_t, t: scale * x_t)
        for dtype in (torch.float32, torch.float64):
            assert self.sampler().sample(denoiser, 2, steps=3, dtype=dtype).dtype == dtype
            start = _normal((2, 1, 4, 5)).to(dtype)
            assert self.sampler().sample(denoiser, 2, steps=3, start=start).dtype == dtype
        assert self.sampler().sample(denoiser, 2, steps=3).dtype == torch.float32
        assert not self.sampler().sample(denoiser, 2, steps=3).requires_grad

    def _processes(self, shape: tuple[int, ...]) -> list[Process]:
        """Coloured noise under each schedule, and schedules by frequency."""
        noise = SpectralCovariance(PowerLaw(0.5), shape)
        return [
            *(ForwardProcess(schedule, noise) for schedule in self.schedules),
            *(SpectralProcess.blurring(shape), SpectralProcess.white_to_blue(shape), SpectralProcess.sequential(shape)),
        ]

    def test_three_equal_forms(self) -> None:
        """Object, mapping (also through JSON) and text are one and the same; copies are equal."""
        sampler = self.sampler()
        mapping = json.loads(json.dumps(sampler.to_dict()))
        assert Sampler.from_dict(mapping) == sampler
        assert Sampler.parse(str(sampler)) == sampler
        _assert_copies(sampler)


def _slope(x: Tensor, y: Tensor) -> float:
    """Slope of the least-squares line."""
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
