"""What every schedule must satisfy."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod

import torch

from sagd.process.schedule import Schedule
from sagd.testing.checks import assert_close, assert_copies


class ScheduleContract(ABC):
    """What every noise schedule must satisfy. Supply `schedule`."""

    @abstractmethod
    def schedule(self) -> Schedule:
        """A fresh schedule."""

    def test_starts_at_data(self) -> None:
        """`alpha_0 = 1`, and `sigma_0 = 0` exactly."""
        zero = torch.zeros((), dtype=torch.float64)
        assert self.schedule().sigma(zero) == 0
        assert_close(self.schedule().alpha(zero), torch.ones_like(zero), "alpha(0)")

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
            assert_close(getattr(schedule, f"d_{name}")(t.detach()), exact, f"d_{name}")

    def test_time_inverts_the_noise_level(self) -> None:
        """`time(log_snr(t)) = t = time_at(noise_level(t))`."""
        schedule = self.schedule()
        t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
        assert_close(schedule.time(schedule.log_snr(t)), t, "time of log_snr", 1e-8)
        assert_close(schedule.time_at(schedule.noise_level(t)), t, "time of noise_level", 1e-8)

    def test_time_is_clamped(self) -> None:
        """Noise levels beyond the schedule's give its ends."""
        log_snr = torch.tensor([math.inf, -1e3, -math.inf], dtype=torch.float64)
        assert_close(self.schedule().time(log_snr), log_snr.new_tensor([0.0, 1.0, 1.0]), "time of extreme log-SNRs")

    def test_types_and_shapes(self) -> None:
        """float64 in, float64 out; narrower types give float32; shapes are those of `t`."""
        schedule = self.schedule()
        exact = torch.full((2, 3), 0.5, dtype=torch.float64)
        for name in ("alpha", "sigma", "d_alpha", "d_sigma", "log_snr", "noise_level", "time", "time_at"):
            function = getattr(schedule, name)
            assert (function(exact).dtype, function(exact).shape) == (torch.float64, exact.shape)
            for dtype in (torch.float32, torch.float16):
                assert_close(function(exact.to(dtype)), function(exact).float(), f"{name} of {dtype}", 1e-5)

    def test_three_equal_forms(self) -> None:
        """Object, mapping (also through JSON) and text are one and the same; copies are equal."""
        schedule = self.schedule()
        mapping = json.loads(json.dumps(schedule.to_dict()))
        assert Schedule.from_dict(mapping) == schedule
        assert Schedule.parse(str(schedule)) == schedule
        assert_copies(schedule)
