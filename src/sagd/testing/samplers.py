"""What every sampler must satisfy."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.process.base import Process, Time
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.random import sample_generators
from sagd.sampling.base import Sampler
from sagd.sampling.grids import LogSNRGrid
from sagd.testing.checks import assert_close, assert_copies, normal, seeded, slope
from sagd.testing.oracles import FunctionDenoiser, output_spectrum


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
        x_0 = normal((2, 4, 5), 1)
        for process in self._processes((2, 4, 5)):
            denoiser = FunctionDenoiser(process, lambda x_t, t: x_0.expand_as(x_t))
            for steps in (1, 2, 7):
                x = self.sampler().sample(denoiser, 3, steps=steps, generator=seeded(0), dtype=torch.float64)
                assert_close(x, x_0.expand_as(x), f"{steps} steps of {process} towards a known image")

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
                self.sampler().sample(denoiser, 3, steps=6, generator=seeded(0), dtype=torch.float64)
                for denoiser in (coloured, white)
            )
            assert_close(x, covariance.sqrt(z), f"coloured noise under {schedule}", 1e-7)

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
        order = -slope(steps.log(), torch.tensor(errors, dtype=torch.float64).log())
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
                assert_close(other, whole, f"samples under {process}, in other batches")
            assert_close(shorter, whole[:3], f"samples under {process}, fewer of them")
            assert not torch.equal(whole[0], whole[1]), "two generators gave the same sample"
            one, two = (self.sampler().sample(denoiser, 3, steps=3, generator=seeded(0)) for _ in range(2))
            assert torch.equal(one, two)

    def test_types(self) -> None:
        """float32 by default, float64 where asked for; a start keeps its own type; nothing needs gradients."""
        process = ForwardProcess(VPSchedule(), SpectralCovariance(PowerLaw(-0.5), (1, 4, 5)))
        scale = torch.tensor(0.5, requires_grad=True)
        denoiser = FunctionDenoiser(process, lambda x_t, t: scale * x_t)
        for dtype in (torch.float32, torch.float64):
            assert self.sampler().sample(denoiser, 2, steps=3, dtype=dtype).dtype == dtype
            start = normal((2, 1, 4, 5)).to(dtype)
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
        assert_copies(sampler)
