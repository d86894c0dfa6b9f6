import math

import pytest
import torch

from sagd.errors import InputError
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.testing.schedules import ScheduleContract

T = torch.linspace(0, 1, 201, dtype=torch.float64)
ONE = torch.ones((), dtype=torch.float64)


class TestVP(ScheduleContract):
    def schedule(self) -> Schedule:
        return VPSchedule()

    def test_equals_the_product_of_betas_at_all_1000_steps(self) -> None:
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        t = torch.arange(1, 1001, dtype=torch.float64) / 1000
        # log alpha_bar is a difference of log Gammas near 5e5, known to 1e-10.
        torch.testing.assert_close(VPSchedule().alpha(t) ** 2, alpha_bar, rtol=5e-10, atol=0)
        torch.testing.assert_close(VPSchedule().sigma(t) ** 2, 1 - alpha_bar, rtol=0, atol=5e-10)

    def test_small_noise_levels(self) -> None:
        """The least level of the default grids lies below the first DDPM step and is met to 1e-5."""
        level = torch.tensor([0.002, 0.01, 1.0, 100.0], dtype=torch.float64)
        schedule = VPSchedule()
        torch.testing.assert_close(schedule.noise_level(schedule.time_at(level)), level, rtol=1e-5, atol=0)

    def test_timestep_is_the_discrete_index(self) -> None:
        assert VPSchedule().timestep(ONE) == 999
        assert VPSchedule(steps=200).timestep(ONE / 2) == 99


class TestCoarseVP(ScheduleContract):
    """Few steps and large betas: far from the continuous limit."""

    def schedule(self) -> Schedule:
        return VPSchedule(beta_start=0.1, beta_end=0.7, steps=6)

    def test_equals_the_product_of_betas(self) -> None:
        alpha_bar = torch.cumprod(1 - torch.tensor([0.1, 0.22, 0.34, 0.46, 0.58, 0.7], dtype=torch.float64), 0)
        t = torch.arange(1, 7, dtype=torch.float64) / 6
        torch.testing.assert_close(self.schedule().alpha(t) ** 2, alpha_bar)


class TestCosine(ScheduleContract):
    def schedule(self) -> Schedule:
        return CosineSchedule()

    def test_angle_is_linear_and_ends_at_the_least_log_snr(self) -> None:
        schedule = CosineSchedule(log_snr_min=-6)
        assert schedule.log_snr(ONE).item() == pytest.approx(-6)
        angle = torch.atan2(schedule.sigma(T), schedule.alpha(T))
        torch.testing.assert_close(angle, T * angle[-1])

    def test_uncut_limit(self) -> None:
        """Without a cut, log-SNR is `-2 log tan(pi t / 2)` (Salimans & Ho, 2022)."""
        t = T[1:-1]
        expected = -2 * torch.log(torch.tan(math.pi * t / 2))
        torch.testing.assert_close(CosineSchedule(-40).log_snr(t), expected, rtol=1e-6, atol=1e-6)


class TestVE(ScheduleContract):
    def schedule(self) -> Schedule:
        return VESchedule()

    def test_variance_is_the_integral_of_the_diffusion(self) -> None:
        """`sigma_t^2` is the integral of `g^2`, `g = sigma_min r^t sqrt(2 log r)` (Song et al., 2021, appendix C)."""
        low, high = 0.01, 5.0
        t = torch.linspace(0, 1, 20001, dtype=torch.float64)
        g = low * (high / low) ** t * math.sqrt(2 * math.log(high / low))
        variance = torch.cumulative_trapezoid(g**2, t)
        torch.testing.assert_close(VESchedule(low, high).sigma(t[1:]) ** 2, variance, rtol=1e-6, atol=0)

    def test_reaches_the_largest_level(self) -> None:
        assert VESchedule().sigma(ONE).item() == pytest.approx(80, rel=1e-8)
        assert (VESchedule().alpha(T) == 1).all()


class TestRectified(ScheduleContract):
    def schedule(self) -> Schedule:
        return RectifiedSchedule()

    def test_is_a_straight_line(self) -> None:
        torch.testing.assert_close(RectifiedSchedule().alpha(T), 1 - T)
        torch.testing.assert_close(RectifiedSchedule().sigma(T), T)


@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule()], ids=str)
def test_variance_preserving(schedule: Schedule) -> None:
    torch.testing.assert_close(schedule.alpha(T) ** 2 + schedule.sigma(T) ** 2, torch.ones_like(T), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vp(beta_start=0)", "0 < beta_start < beta_end < 1, got beta_start=0"),
        ("vp(beta_start=0.03)", "got beta_start=0.03, beta_end=0.02"),
        ("vp(steps=1)", "whole number of at least 2, got 1"),
        ("vp(steps=10.5)", "whole number of at least 2, got 10.5"),
        ("vp(steps=50)", "in 50 steps rise too steeply.*use beta_start above about 0.0002, or more steps"),
        ("cosine(log_snr_min=1)", r"must lie in \[-40, 0\), got 1"),
        ("ve(sigma_min=-1)", "0 < sigma_min < sigma_max, got sigma_min=-1"),
        ("ve(sigma_min=2, sigma_max=1)", "got sigma_min=2, sigma_max=1"),
        ("cosin", "did you mean 'cosine'"),
        ("ve(sigma=1)", "has no parameter 'sigma'"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Schedule.parse(text)


def test_vp_is_precise_next_to_the_data() -> None:
    """Near `t = 0`, `sigma^2 -> N t (beta_start - delta/2)` up to O(t^2) and O(delta^2); no digits cancel."""
    schedule = VPSchedule()
    t = torch.logspace(-12, -7, 60, dtype=torch.float64)
    sigma = schedule.sigma(t)
    assert (sigma.diff() > 0).all()
    delta = (0.02 - 1e-4) / 999
    # d/dk log Gamma(c + 1 - k) at 0 is psi(c + 1) = log c + 1/(2c) + O(1/c^2)
    slope = -math.log(delta) - (math.log((1 - 1e-4) / delta) + delta / 2 / (1 - 1e-4))
    torch.testing.assert_close(sigma**2, 1000 * t * slope, rtol=1e-4, atol=0)


def test_vp_with_nearly_equal_betas() -> None:
    """In the limit `alpha_bar(k) = (1 - beta)^k`."""
    schedule = VPSchedule(0.01, 0.010000001)
    t = torch.linspace(0.001, 1, 200, dtype=torch.float64)
    expected = -torch.expm1(1000 * t * math.log1p(-0.01))
    torch.testing.assert_close(schedule.sigma(t) ** 2, expected, rtol=1e-6, atol=0)
