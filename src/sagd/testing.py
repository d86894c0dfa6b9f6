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

from sagd.basis import Basis, FourierBasis
from sagd.covariance import Covariance, IsotropicCovariance, SpectralCovariance
from sagd.denoiser import Denoiser, GaussianDenoiser
from sagd.errors import InputError, SingularCovarianceError
from sagd.grid import LogSNRGrid
from sagd.process import ForwardProcess, Prediction, Time
from sagd.randomness import sample_generators
from sagd.sampler import Run, Sampler
from sagd.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.spectrum import PowerLaw, Spectrum


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
    """What every orthonormal transform `U` must satisfy. Supply `basis` and `matrix`; keep `d` to a few dozen."""

    @abstractmethod
    def basis(self) -> Basis:
        """A fresh basis."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """Its forward transform as a dense matrix built independently, `(coefficients, d)`, real or complex."""

    def test_forward_matches_the_matrix(self) -> None:
        """`forward` is the matrix, for any number of batch axes."""
        basis = self.basis()
        for batch in ((), (3,), (2, 3)):
            x = _normal((*batch, *basis.spatial))
            expected = (x.flatten(-basis.rank).to(self.matrix().dtype) @ self.matrix().T).reshape(
                *batch, *basis.coefficients
            )
            _assert_close(basis.forward(x), expected, f"forward with batch {batch}")

    def test_inverse_is_exact(self) -> None:
        """`inverse` undoes `forward`, and keeps the type."""
        basis = self.basis()
        x = _normal((2, 3, *basis.spatial))
        _assert_close(basis.inverse(basis.forward(x)), x, "inverse of forward")
        _assert_close(basis.inverse(basis.forward(x.float())), x.float(), "inverse of forward, float32", 1e-5)

    def test_multiplicity_resolves_the_identity(self) -> None:
        """`sum_f m(f) u_f* u_f^T = 1`, of which Parseval's identity and `sum_f m(f) = d` are consequences."""
        basis, matrix = self.basis(), self.matrix()
        multiplicity = basis.multiplicity()
        assert (multiplicity.dtype, tuple(multiplicity.shape)) == (torch.float64, basis.coefficients)
        resolved = (matrix.mH * multiplicity.flatten()) @ matrix
        _assert_close(resolved.real.clone(), torch.eye(basis.size, dtype=torch.float64), "resolution of the identity")
        assert float(multiplicity.sum()) == basis.size

    def test_frequencies(self) -> None:
        """One frequency vector per coefficient, none above Nyquist, and `rho` in [0, 1]."""
        basis = self.basis()
        frequencies = basis.frequencies()
        assert frequencies.dtype == torch.float64
        assert tuple(frequencies.shape) == (basis.rank, *basis.coefficients)
        assert float(frequencies.abs().max()) <= 0.5
        assert float(basis.relative_radius().min()) >= 0
        assert float(basis.relative_radius().max()) <= 1 + 1e-12

    def test_gradients(self) -> None:
        """`forward` and a filter in the basis pass `gradcheck`."""
        basis = self.basis()
        x = _normal((2, *basis.spatial)).requires_grad_()
        weights = basis.radius() + 0.5
        torch.autograd.gradcheck(basis.forward, x, fast_mode=True)
        torch.autograd.gradcheck(lambda y: basis.inverse(basis.forward(y) * weights), x, fast_mode=True)

    def test_devices(self) -> None:
        """Results stay on the input's device."""
        basis = self.basis()
        for device in _devices():
            there = basis.inverse(basis.forward(_normal(basis.spatial).to(device)))
            assert (there.device.type, tuple(there.shape)) == (device.type, basis.spatial)

    def test_copies_are_equal(self) -> None:
        """Copies and fresh bases are equal, another shape is not."""
        basis = self.basis()
        _assert_copies(basis)
        assert basis == self.basis()
        larger = tuple(side + 1 for side in basis.spatial)
        assert basis != dataclasses.replace(basis, spatial=larger)

    def test_real_even_weights_are_accepted(self) -> None:
        """Functions of `|f|` make real operators."""
        self.basis().check_symmetry(torch.exp(-self.basis().radius()))

    def test_other_shapes_are_refused(self) -> None:
        """A tensor of another spatial shape is an error, not padded or cut."""
        basis = self.basis()
        with raises(InputError, "does not end in"):
            basis.forward(torch.zeros(*basis.spatial[:-1], basis.spatial[-1] + 1))
        with raises(InputError, "does not end in"):
            basis.inverse(torch.zeros(*basis.coefficients[:-1], basis.coefficients[-1] + 1))


class SpectrumContract(ABC):
    """What every spectral weight `w(f)` must satisfy. Supply `spectrum`."""

    spatial_shapes: ClassVar[tuple[tuple[int, ...], ...]] = (
        *((1,), (2,), (7,), (8,)),
        *((1, 6), (6, 1), (4, 6), (5, 5), (5, 4)),
        *((1, 1, 1), (2, 3, 4), (3, 3, 3)),
    )
    """Spatial shapes the weights are evaluated on."""

    @abstractmethod
    def spectrum(self) -> Spectrum:
        """A fresh spectrum."""

    def test_weights_are_amplitudes(self) -> None:
        """Finite, not negative, one per coefficient, of the frequencies' type; the input is left alone."""
        for spatial in self.spatial_shapes:
            for dtype in (torch.float32, torch.float64):
                frequencies = FourierBasis(spatial).frequencies().to(dtype)
                before = frequencies.clone()
                weights = self.spectrum().weights(frequencies)
                assert (weights.dtype, weights.shape) == (dtype, frequencies.shape[1:]), spatial
                assert bool(torch.isfinite(weights).all() and (weights >= 0).all()), (spatial, weights)
                assert torch.equal(frequencies, before), "frequencies were changed"

    def test_weights_are_even(self) -> None:
        """`w(f) = w(-f)`, as real noise requires."""
        for spatial in self.spatial_shapes:
            frequencies = signed_frequencies(spatial)
            spectrum = self.spectrum()
            _assert_close(spectrum.weights(-frequencies), spectrum.weights(frequencies), f"w(-f) on {spatial}", 1e-12)

    def test_half_and_full_grids_agree(self) -> None:
        """Weights are the same however the grid is stored: half spectrum, full spectrum, any order."""
        for spatial in self.spatial_shapes:
            half = self.spectrum().weights(FourierBasis(spatial).frequencies())
            full = self.spectrum().weights(signed_frequencies(spatial).flatten(1).flip(1)).flip(0).reshape(spatial)
            _assert_close(full[..., : half.shape[-1]].clone(), half, f"full grid of {spatial}", 1e-12)

    def test_level_is_calibrated(self) -> None:
        """`tr Sigma = C d` whatever the shape of `w`; "none" keeps raw weights; an empty grid is refused."""
        for spatial in self.spatial_shapes:
            raw, shape = self.spectrum().weights(FourierBasis(spatial).frequencies()), (2, *spatial)
            if not raw.max() > 0:
                with raises(InputError, "zero at every frequency"):
                    SpectralCovariance(self.spectrum(), shape)
                continue
            calibrated = SpectralCovariance(self.spectrum(), shape)
            assert math.isclose(calibrated.trace, math.prod(shape), rel_tol=1e-12)
            uncalibrated = SpectralCovariance(self.spectrum(), shape, calibration="none")
            _assert_close(uncalibrated.weights, raw, f"raw weights on {spatial}", 0)

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
        for name, power in self._powers.items():
            expected = (x.flatten(1) @ self._power(power)).reshape(x.shape)
            _assert_close(self._operate(covariance, name, x), expected, name, self.tolerance)
        assert torch.equal(x, before), "the input was changed"

    def test_summaries_match_the_matrix(self) -> None:
        """Size, rank, trace, log-determinant and dense form."""
        covariance, matrix = self.covariance(), self.matrix()
        values = self._eigenvalues()
        assert covariance.size == len(matrix)
        assert covariance.rank == len(values)
        assert covariance.is_singular == (len(values) < len(matrix))
        assert math.isclose(covariance.trace, float(matrix.trace()), rel_tol=self.tolerance)
        logdet, size = float(values.log().sum()), float(values.log().abs().sum())
        assert math.isclose(covariance.logdet(pseudo=True), logdet, abs_tol=self.tolerance * max(1, size))
        _assert_close(covariance.to_dense(), matrix, "to_dense", self.tolerance)

    def test_mahalanobis_matches_the_matrix(self) -> None:
        """`x^T Sigma^+ x` per sample, in float64."""
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
            else:
                _assert_close(operation(x), operation(x, pseudo=True), name, 0)
        if covariance.is_singular:
            with raises(SingularCovarianceError, "pseudo=True"):
                covariance.logdet()
        else:
            assert covariance.logdet() == covariance.logdet(pseudo=True)

    def test_batch_axes(self) -> None:
        """No batch axis, one, or several."""
        covariance = self.covariance()
        x = self._fields(2, 3)
        for name in self._powers:
            whole = self._operate(covariance, name, x)
            _assert_close(self._operate(covariance, name, x[1, 2]), whole[1, 2], f"{name} without batch", 1e-12)
            _assert_close(self._operate(covariance, name, x[1]), whole[1], f"{name} with one batch axis", 1e-12)
        norms = covariance.mahalanobis(x, pseudo=True)
        assert tuple(norms.shape) == (2, 3)
        _assert_close(covariance.mahalanobis(x[1, 2], pseudo=True), norms[1, 2], "mahalanobis without batch", 1e-12)

    def test_gradients(self) -> None:
        """All operations pass `gradcheck` in float64."""
        covariance, x = self.covariance(), self._fields(2).requires_grad_()
        for name in self._powers:
            torch.autograd.gradcheck(lambda y, name=name: self._operate(covariance, name, y), x, fast_mode=True)
        torch.autograd.gradcheck(lambda y: covariance.mahalanobis(y, pseudo=True), x, fast_mode=True)

    def test_types(self) -> None:
        """Results keep the input's type; half precision is computed in float32 and rounded once."""
        covariance, exact = self.covariance(), self._fields(3)
        for name in self._powers:
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
            for name in self._powers:
                there = self._operate(covariance, name, x.to(device))
                assert (there.device.type, there.dtype, there.shape) == (device.type, x.dtype, x.shape)
                if device.type != "meta":
                    _assert_close(there.cpu(), self._operate(covariance, name, x), f"{name} on {device}", 1e-5)
            assert covariance.sample(2, device=device).device.type == device.type

    def test_samples_are_coloured_white_noise(self) -> None:
        """A sample is exactly `Sigma^(1/2) xi` with `xi` the generator's own normal draws, and lies in the range."""
        covariance = self.covariance()
        eps = covariance.sample(3, torch.Generator().manual_seed(self.seed), torch.float64)
        white = _normal((3, *covariance.shape), self.seed)
        _assert_close(eps, (white.flatten(1) @ self._power(0.5)).reshape(eps.shape), "sample", self.tolerance)
        _assert_close(covariance.project(eps), eps, "projection of a sample", self.tolerance)

    def test_samples_are_gaussian_with_this_covariance(self) -> None:
        """Mean, covariance, and law of `||Sigma^(-1/2) eps||^2`, which is chi-squared with `rank` degrees of freedom.

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
        k = covariance.rank
        squared = covariance.mahalanobis(eps, pseudo=True)
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
        for name in self._powers:
            with raises(InputError, "does not end in"):
                self._operate(covariance, name, torch.zeros(larger))
            with raises(InputError, "floating point"):
                self._operate(covariance, name, torch.zeros(covariance.shape, dtype=torch.int64))

    def _fields(self, *batch: int) -> Tensor:
        return _normal((*batch, *self.covariance().shape), self.seed)

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
    def process(self) -> ForwardProcess:
        """A fresh process."""

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
        step = process.transition(at_s.mean, self.s, self.t)
        factor = process.transition(torch.ones_like(x_0), self.s, self.t).mean
        _assert_close(step.mean, at_t.mean, "mean")
        _assert_close(factor**2 * at_s.std**2 + step.std**2, at_t.std**2 + 0 * factor, "variance")

    def test_posterior_is_gaussian_conditioning(self) -> None:
        """`q(x_s | x_t, x_0)` equals conditioning the dense joint law of `(x_s, x_t)` given `x_0`."""
        process, x_0 = self.process(), self._fields(0)
        size, Sigma = process.covariance.size, process.covariance.to_dense()
        x_t = process.perturb(x_0, self.t, generator=_seeded(1))
        posterior, marginal = process.posterior(x_t, x_0, self.t, self.s), process.marginal(x_0, self.s)
        eye = torch.eye(size, dtype=torch.float64).reshape(size, *process.shape)
        for i, (s, t) in enumerate(zip(self.s.tolist(), self.t.tolist(), strict=True)):
            step = process.transition(eye, s, t)
            A, Q = step.mean.reshape(size, size).T, step.std.squeeze() ** 2 * Sigma
            mean, P = marginal.mean[i].flatten(), marginal.std[i].squeeze() ** 2 * Sigma
            gain = P @ A.T @ torch.linalg.pinv(A @ P @ A.T + Q, hermitian=True)
            expected = mean + gain @ (x_t[i].flatten() - A @ mean)
            _assert_close(posterior.mean[i].flatten(), expected, f"posterior mean from {t} to {s}")
            variance = posterior.std[i].squeeze() ** 2 * Sigma
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
        for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 2e-2)):
            narrow = process.perturb(x_0.to(dtype), self.t, eps.to(dtype))
            _assert_close(narrow, expected.to(dtype), f"state in {dtype}", tolerance)

    def test_description_identifies_the_process(self) -> None:
        """JSON-ready, and the same for equal processes."""
        described = self.process().to_dict()
        assert json.loads(json.dumps(described)) == described == self.process().to_dict()
        _assert_copies(self.process())

    def _fields(self, seed: int) -> Tensor:
        return _normal((3, *self.process().shape), seed)


class FunctionDenoiser(Denoiser):
    """A denoiser `f(x_t, t)` for tests, `t` being a number or one per sample.

    Args:
        process: Forward process.
        function: `f`.
    """

    def __init__(self, process: ForwardProcess, function: Callable[[Tensor, Time], Tensor]) -> None:
        self.process = process
        self.function = function

    def estimate(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """`f(x_t, t)`."""
        return self.function(x_t, t)


def output_spectrum(sampler: Sampler, process: ForwardProcess, spectrum: Tensor, times: Sequence[float]) -> Tensor:
    """Exact power spectrum of a sampler's output on stationary Gaussian data with the exact denoiser.

    The sampler is then linear in its start and in every noise it injects, so its answers to one impulse in each add up
    to the covariance of its output: nothing is drawn.

    Args:
        sampler: Any sampler, deterministic or not.
        process: Process with a `SpectralCovariance` on one channel, in the Fourier basis.
        spectrum: `S(f)` of the data, `(*coefficients)`.
        times: Times `t_0 > ... > t_N`.

    Returns:
        `(*coefficients)`, float64; the start is `N(0, sigma_{t_0}^2 Sigma_w)`.
    """
    if not isinstance(process.covariance, SpectralCovariance) or process.shape[0] != 1:
        raise InputError(f"needs a spectral covariance on one channel, got {process.covariance}")
    sources = 2 * len(times)
    impulses = _Impulses(process.covariance)
    process = ForwardProcess(process.schedule, impulses)
    denoiser = GaussianDenoiser(process, torch.zeros(process.shape, dtype=torch.float64), spectrum)
    x = process.prior(sources, times[0], dtype=torch.float64)
    run = Run(process, lambda x_t, t: denoiser(x_t, t), steps=len(times) - 1)
    for t, s in itertools.pairwise(times):
        x = sampler.step(run, x, t, s)
    return process.covariance.size * impulses.basis.forward(x).abs().square().sum((0, 1))


class _Impulses(SpectralCovariance):
    """The `k`-th draw is `Sigma^(1/2)` of a unit impulse in sample `k`, and zero in all others."""

    def __init__(self, covariance: SpectralCovariance) -> None:
        super().__init__(covariance.spectrum, covariance.shape, covariance.basis, covariance.calibration)
        self._draws = itertools.count()

    def sample(self, batch: Any, generator: Any = None, dtype: Any = None, device: Any = None) -> Tensor:
        xi = torch.zeros(batch, *self.shape, dtype=dtype, device=device)
        xi[next(self._draws)].view(-1)[0] = 1
        return self.sqrt(xi)


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
        for schedule in self.schedules:
            process = ForwardProcess(schedule, SpectralCovariance(PowerLaw(0.5), (2, 4, 5)))
            denoiser = FunctionDenoiser(process, lambda x_t, t: x_0.expand_as(x_t))
            for steps in (1, 2, 7):
                x = self.sampler().sample(denoiser, 3, steps=steps, generator=_seeded(0), dtype=torch.float64)
                _assert_close(x, x_0.expand_as(x), f"{steps} steps of {schedule} towards a known image")

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
        basis = FourierBasis((6, 5))
        spectrum = 0.2 + torch.exp(-8 * basis.radius())
        process = ForwardProcess(CosineSchedule(), SpectralCovariance(PowerLaw(-0.5), (1, 6, 5)))
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
        """Bit for bit, with a generator per sample; one generator makes a run repeatable."""
        covariance = SpectralCovariance(PowerLaw(-0.5), (1, 4, 5))
        for schedule in self.schedules:
            denoiser = GaussianDenoiser(ForwardProcess(schedule, covariance), torch.zeros(1, 4, 5), torch.tensor(0.3))
            whole, again, split, single, shorter = (
                self.sampler().sample(
                    denoiser, count, steps=3, generator=sample_generators(0, count), batch_size=batch_size
                )
                for count, batch_size in ((5, None), (5, None), (5, 2), (5, 1), (3, None))
            )
            for other in (again, split, single):
                assert torch.equal(whole, other), f"samples under {schedule} depend on the batch size"
            assert torch.equal(whole[:3], shorter), f"samples under {schedule} depend on their number"
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
