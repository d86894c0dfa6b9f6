"""The contract suites must pass correct objects (see the rooms' own tests) and fail faulty ones: one fault per test."""

import subprocess
import sys
import unittest

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.process.base import Gaussian, as_time
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.euler import Euler
from sagd.testing.bases import BasisContract
from sagd.testing.checks import raises
from sagd.testing.covariances import CovarianceContract
from sagd.testing.oracles import (
    fourier_matrix,
    gaussian_fields,
    operator_matrix,
    signed_frequencies,
    stationary_matrix,
)
from sagd.testing.processes import ProcessContract
from sagd.testing.samplers import SamplerContract
from sagd.testing.spectra import SpectrumContract

SPATIAL = [(1,), (5,), (6,), (3, 4), (4, 1), (2, 3, 4)]


@pytest.mark.parametrize("spatial", SPATIAL)
def test_oracles_against_numpy(spatial):
    size, axes = int(np.prod(spatial)), tuple(range(1, 1 + len(spatial)))
    images = np.fft.fftn(np.eye(size).reshape(size, *spatial), axes=axes, norm="ortho").reshape(size, size).T
    np.testing.assert_allclose(fourier_matrix(spatial).numpy(), images, atol=1e-14)
    frequencies = np.stack(np.meshgrid(*[np.fft.fftfreq(n) for n in spatial], indexing="ij"))
    np.testing.assert_array_equal(signed_frequencies(spatial).numpy(), frequencies)


def test_stationary_matrix_is_the_cosine_sum():
    power = torch.tensor([[3.0, 1.0, 1.0], [2.0, 0.5, 0.25]], dtype=torch.float64)  # even: f and -f agree
    power[1, 2] = power[1, 1]
    matrix = stationary_matrix(power, (2, 2, 3))
    for i, j in np.ndindex(6, 6):
        (a, b), (c, d) = divmod(i, 3), divmod(j, 3)
        terms = [
            power[k, m] * np.cos(2 * np.pi * (k * (a - c) / 2 + m * (b - d) / 3)) for k in range(2) for m in range(3)
        ]
        assert float(matrix[i, j]) == pytest.approx(float(sum(terms)) / 6, abs=1e-14)
    assert torch.equal(matrix[:6, :6], matrix[6:, 6:])
    assert matrix[:6, 6:].abs().max() == 0


def test_raises():
    with raises(ValueError, "b.d"):
        raise ValueError("a bad value")
    with pytest.raises(AssertionError, match="does not match"), raises(ValueError, "good"):
        raise ValueError("a bad value")
    with pytest.raises(AssertionError, match="ValueError was not raised"), raises(ValueError, ""):
        pass
    with pytest.raises(KeyError), raises(ValueError, ""):
        raise KeyError


SHAPE = (1, 4, 5)


class Honest(SpectralCovariance):
    def __init__(self):
        super().__init__(PowerLaw(-0.5), SHAPE)


class NormalisedSamples(Honest):
    def sample(self, *args, **kwargs):
        eps = super().sample(*args, **kwargs)
        return eps / eps.flatten(-3).std(-1)[..., None, None, None]


class TooLoud(Honest):
    def sample(self, *args, **kwargs):
        return 1.1 * super().sample(*args, **kwargs)


class HalfSpectrumCountedOnce(Honest):
    @property
    def trace(self):
        return float(self.eigenvalues.sum())


class WrongRoot(Honest):
    def sqrt(self, x):
        return self._filter(x, 2.0)


class LosesType(Honest):
    def apply(self, x):
        return super().apply(x.float()) if x.dtype != torch.float64 else super().apply(x)


class RoundsOnTheWay(Honest):
    def apply(self, x):
        return self.sqrt(self.sqrt(x))


class BreaksGradients(Honest):
    def project(self, x):
        return x.detach().clone().requires_grad_(x.requires_grad)


class OneGeneratorForAll(Honest):
    def sample(self, batch, generator=None, dtype=None, device=None):
        return super().sample(batch, generator[0] if isinstance(generator, list) else generator, dtype, device)


class StaysOnTheCPU(Honest):
    def solve(self, x, pseudo=False):
        return torch.zeros(x.shape, dtype=x.dtype)


class ForgetsItself(Honest):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class OneBatchAxisOnly(Honest):
    def mahalanobis(self, x, pseudo=False):
        return self.whiten(x, pseudo).double().square().flatten(1).sum(1)


class TakesAnything(Honest):
    def _check(self, x):
        pass


class InPlace(Honest):
    def project(self, x):
        return x.copy_(super().project(x) + 1e-6)


class InvertsSilently(SpectralCovariance):
    def __init__(self):
        super().__init__(BandPass(0, 0.5), SHAPE)

    def solve(self, x, pseudo=False):
        return super().solve(x, pseudo=True)


class Under(CovarianceContract):
    def __init__(self, make):
        self.make = make

    def covariance(self):
        return self.make()

    def matrix(self):
        spatial = SHAPE[1:]
        weights = self.make().spectrum.weights(signed_frequencies(spatial))
        power = weights.square() / weights.square().mean()
        return stationary_matrix(power, SHAPE)


def test_matrices_and_draws_of_dense_operators():
    basis, g = FourierBasis((4, 6)), torch.Generator().manual_seed(0)
    values, x = torch.rand(4, 4, generator=g, dtype=torch.float64), torch.randn(24, generator=g, dtype=torch.float64)
    applied = basis.inverse(values * basis.forward(x.reshape(1, 4, 6))).flatten()
    torch.testing.assert_close(operator_matrix(values, basis, (1, 4, 6)) @ x, applied)
    root = torch.randn(6, 6, generator=g, dtype=torch.float64)
    mean, covariance, count = torch.arange(6.0).double(), root @ root.T + torch.eye(6), 20_000
    drawn = gaussian_fields(mean, covariance, (1, 2, 3), count, g)
    assert drawn.shape == (count, 1, 2, 3)
    scale = covariance.diagonal().max()
    assert (drawn.mean(0).flatten() - mean).abs().max() < 5 * (scale / count).sqrt()
    assert (torch.cov(drawn.flatten(1).T) - covariance).abs().max() < 5 * scale * (2 / count) ** 0.5


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (NormalisedSamples, "samples_are_gaussian_with_this_covariance"),
        (TooLoud, "samples_are_gaussian_with_this_covariance"),
        (TooLoud, "samples_are_coloured_white_noise"),
        (HalfSpectrumCountedOnce, "summaries_match_the_matrix"),
        (WrongRoot, "operations_match_the_matrix"),
        (InPlace, "operations_match_the_matrix"),
        (LosesType, "types"),
        (RoundsOnTheWay, "types"),
        (BreaksGradients, "gradients"),
        (OneGeneratorForAll, "samples_do_not_depend_on_the_batch"),
        (StaysOnTheCPU, "devices"),
        (ForgetsItself, "copies_are_equal"),
        (ForgetsItself, "description_identifies_the_covariance"),
        (OneBatchAxisOnly, "batch_axes"),
        (TakesAnything, "bad_fields_are_refused"),
        (InvertsSilently, "inverses_of_singular_covariances_are_refused"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_covariance_contract_catches(faulty, test):
    getattr(Under(Honest), f"test_{test}")()
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(Under(faulty), f"test_{test}")()


class Unscaled(FourierBasis):
    def forward(self, x):
        return torch.fft.rfftn(x, dim=self._axes)

    def inverse(self, c):
        return torch.fft.irfftn(c, s=self.spatial, dim=self._axes)


class AllTwice(FourierBasis):
    def multiplicity(self):
        return torch.full(self.coefficients, 2.0, dtype=torch.float64)


class Linspace(FourierBasis):
    def frequencies(self):
        return super().frequencies() * 1.1


class Pads(FourierBasis):
    def _require_trailing(self, x, expected):
        pass


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Unscaled, "forward_matches_the_matrix"),
        (AllTwice, "multiplicity_resolves_the_identity"),
        (Linspace, "frequencies"),
        (Pads, "other_shapes_are_refused"),
    ],
)
def test_basis_contract_catches(faulty, test):
    class UnderBasis(BasisContract):
        def __init__(self, make):
            self.make = make

        def basis(self):
            return self.make((4, 6))

        def matrix(self):
            return fourier_matrix((4, 6)).reshape(4, 6, 24)[:, :4].reshape(16, 24)

    getattr(UnderBasis(FourierBasis), f"test_{test}")()
    with pytest.raises(AssertionError):
        getattr(UnderBasis(faulty), f"test_{test}")()


class Odd(PowerLaw):
    def weights(self, frequencies):
        return 1 + frequencies[0]


class Negative(PowerLaw):
    def weights(self, frequencies):
        return super().weights(frequencies) - 1.5


class GridDependent(PowerLaw):
    def weights(self, frequencies):
        return super().weights(frequencies) / frequencies[0].numel()


class Narrow(PowerLaw):
    def weights(self, frequencies):
        return super().weights(frequencies).float()


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Odd, "weights_are_even"),
        (Negative, "weights_are_amplitudes"),
        (Narrow, "weights_are_amplitudes"),
        (GridDependent, "half_and_full_grids_agree"),
        (Odd, "three_equal_forms"),  # not registered under a kind of its own: reads back as PowerLaw
    ],
)
def test_spectrum_contract_catches(faulty, test):
    class UnderSpectrum(SpectrumContract):
        def __init__(self, make):
            self.make = make

        def spectrum(self) -> Spectrum:
            return self.make(0.5)

    getattr(UnderSpectrum(PowerLaw), f"test_{test}")()
    with pytest.raises(AssertionError):
        getattr(UnderSpectrum(faulty), f"test_{test}")()


class HonestProcess(ForwardProcess):
    def __init__(self):
        super().__init__(CosineSchedule(), SpectralCovariance(PowerLaw(-0.5), SHAPE))


class Slow(HonestProcess):
    def derivatives(self, t, x):
        d_alpha, d_sigma = super().derivatives(t, x)
        return d_alpha, 0.99 * d_sigma


class StartsInNoise(HonestProcess):
    def sigma(self, t, x):
        return super().sigma(t, x) + 1e-3


class White(HonestProcess):
    def diagonal(self, t, x, basis):
        a, s = super().diagonal(t, x, basis)
        return a, s.map(torch.ones_like) * self.sigma(t, x).flatten()[0].item()


class TakesNoiseBack(HonestProcess):
    def sigma(self, t, x):
        return super().sigma(t, x) * (1.2 + torch.sin(12 * as_time(t, x)))


class WrongVolume(HonestProcess):
    def marginal(self, x_0, t):
        law = super().marginal(x_0, t)

        class Flawed(Gaussian):
            def log_prob(self, x):
                return super().log_prob(x) + 1e-3

        return Flawed(law.mean, law.std, law.covariance)


class SharedDraw(HonestProcess):
    def noise(self, x, generator=None):
        return super().noise(x, generator)[:1].expand_as(x)


class Relabels(HonestProcess):
    def given(self, labels):
        return ForwardProcess(self.schedule, self.covariance)


class Overflows(HonestProcess):
    def perturb(self, x_0, t, noise=None, generator=None):
        x_t = super().perturb(x_0, t, noise, generator)
        return x_t * 1.1 if x_0.dtype == torch.float16 else x_t


class UnderProcess(ProcessContract):
    def __init__(self, make):
        self.make = make

    def process(self):
        return self.make()

    def basis(self):
        return FourierBasis(SHAPE[1:])


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Slow, "velocity_is_the_slope_of_the_path"),
        (Slow, "velocity_is_the_time_derivative"),
        (StartsInNoise, "starts_at_the_data"),
        (White, "diagonals_are_those_of_the_operators"),
        (TakesNoiseBack, "noise_only_grows"),
        (WrongVolume, "log_density_of_the_marginal"),
        (SharedDraw, "states_do_not_depend_on_the_batch"),
        (Relabels, "labels_do_not_matter"),
        (Overflows, "types"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_process_contract_catches(faulty, test):
    getattr(UnderProcess(HonestProcess), f"test_{test}")()
    with pytest.raises(AssertionError):
        getattr(UnderProcess(faulty), f"test_{test}")()


class SmearsFrequencies(SpectralProcess):
    """Signal coefficients of the wrong frequencies."""

    def alpha(self, t, x):
        return super().alpha(t, x).map(lambda a: a.roll(1, -1))


def test_process_contract_catches_faults_of_operators():
    def under(kind):
        return UnderProcess(lambda: kind.sequential(SHAPE))

    under(SpectralProcess).test_diagonals_are_those_of_the_operators()
    with pytest.raises(AssertionError):
        under(SmearsFrequencies).test_diagonals_are_those_of_the_operators()


class RoundsByRows(TorchFunctionMode):
    """A processor whose matrix products round otherwise for another number of rows, as some libraries' do."""

    products = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func not in self.products:
            return out
        units = torch.randint(-2, 3, out.shape, generator=torch.Generator().manual_seed(out.numel()))
        return out * (1 + torch.finfo(out.dtype).eps * units)


class UnderSampler(SamplerContract):
    def __init__(self, sampler):
        self.made = sampler

    def sampler(self):
        return self.made


class LooksAround(Euler, kind="looks_around"):
    """Mixes the samples of a batch, by far less than can be seen."""

    def step(self, denoiser, x_t, t, s, *rest):
        return super().step(denoiser, x_t, t, s, *rest) + 1e-6 * x_t.mean()


def test_sampler_contract_allows_rounding_and_catches_what_is_more():
    with RoundsByRows():
        UnderSampler(Euler()).test_samples_do_not_depend_on_the_batch_size()
    with pytest.raises(AssertionError, match="in other batches"):
        UnderSampler(LooksAround()).test_samples_do_not_depend_on_the_batch_size()


def test_contracts_run_under_unittest():
    class Case(CovarianceContract, unittest.TestCase):
        def covariance(self):
            return IsotropicCovariance((1, 3))

        def matrix(self):
            return torch.eye(3, dtype=torch.float64)

    result = unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(unittest.TestResult())
    assert result.testsRun == len([name for name in dir(CovarianceContract) if name.startswith("test_")])
    assert result.wasSuccessful(), result.failures + result.errors


def test_import_needs_no_test_framework():
    code = "import sys, sagd.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
