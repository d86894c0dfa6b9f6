"""What every process must satisfy."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError, SingularCovarianceError
from sagd.model.parameterisation import quantity
from sagd.noise.basis.base import Basis
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.operator import Coefficient
from sagd.process.base import Gaussian, Process
from sagd.process.description import process_from_dict
from sagd.random import sample_generators
from sagd.testing.checks import assert_close, assert_copies, normal, raises, seeded

QUANTITIES = ("eps", "x0", "v", "velocity", "score")


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
        assert_close(process.perturb(x_0, self.t, noise), marginal.mean + marginal.std * noise, "perturb")
        for x_t in (process.perturb(x_0, self.t, generator=seeded(7)), marginal.sample(seeded(7))):
            assert_close(x_t, marginal.mean + marginal.std * noise, "a drawn state")
        prior = process.prior(3, 0.7, seeded(7), torch.float64)
        assert_close(prior, process.marginal(0 * x_0, 0.7).sample(seeded(7)), "prior")

    def test_transitions_compose_to_the_marginal(self) -> None:
        """Chapman-Kolmogorov: `0 -> s -> t` is `0 -> t`, in mean and variance."""
        process, x_0 = self.process(), self._fields(0)
        at_s, at_t = process.marginal(x_0, self.s), process.marginal(x_0, self.t)
        assert_close(process.transition(at_s.mean, self.s, self.t).mean, at_t.mean, "mean")
        for s, t in zip(self.s.tolist(), self.t.tolist(), strict=True):
            A, Q = self._step(s, t)
            P_s, P_t = (self._variance(process.marginal(self._eye(), time)) for time in (s, t))
            assert_close(A @ P_s @ A.T + Q, P_t, f"variance from {s} to {t}")

    def test_posterior_is_gaussian_conditioning(self) -> None:
        """`q(x_s | x_t, x_0)` equals conditioning the dense joint law of `(x_s, x_t)` given `x_0`."""
        process, x_0 = self.process(), self._fields(0)
        x_t = process.perturb(x_0, self.t, generator=seeded(1))
        posterior, marginal = process.posterior(x_t, x_0, self.t, self.s), process.marginal(x_0, self.s)
        for i, (s, t) in enumerate(zip(self.s.tolist(), self.t.tolist(), strict=True)):
            A, Q = self._step(s, t)
            mean, P = marginal.mean[i].flatten(), self._variance(process.marginal(self._eye(), s))
            gain = P @ A.T @ torch.linalg.pinv(A @ P @ A.T + Q, hermitian=True)
            expected = mean + gain @ (x_t[i].flatten() - A @ mean)
            assert_close(posterior.mean[i].flatten(), expected, f"posterior mean from {t} to {s}")
            variance = self._variance(process.posterior(self._eye(), self._eye(), t, s))
            assert_close(variance, P - gain @ A @ P, f"posterior covariance from {t} to {s}")

    def test_predictions_round_trip(self) -> None:
        """Image -> prediction -> image for every kind; the same prediction from the image and its noise."""
        process, x_0 = self.process(), self._fields(0)
        eps = process.noise(x_0, seeded(2))
        x_t = process.perturb(x_0, self.s, eps)
        for kind in QUANTITIES:
            value = quantity(kind).from_x0(process, x_0, x_t, self.s)
            back = process.consistent(quantity(kind).to_x0(process, value, x_t, self.s), x_t, self.s)
            assert_close(back, x_0, f"image from {kind}")
            if kind != "score":
                assert_close(value, quantity(kind).target(process, x_0, eps, self.s), f"{kind} from image and noise")

    def test_velocity_is_the_time_derivative(self) -> None:
        """`velocity = dx_t/dt` for fixed image and noise, by autograd."""
        process, x_0, eps = self.process(), self._fields(0), self._fields(1)
        _, exact = torch.autograd.functional.jvp(
            lambda t: process.perturb(x_0, t, eps), self.s, torch.ones_like(self.s)
        )
        assert_close(quantity("velocity").target(process, x_0, eps, self.s), exact, "velocity")

    def test_velocity_is_the_slope_of_the_path(self) -> None:
        """By central differences over a millionth in time, whose error is of the order of its square."""
        process, x_0, eps, h = self.process(), self._fields(0), self._fields(1), 1e-6
        # Off the round times at which a process may change its pace, where the error is larger.
        time = self.s + 0.0173
        later, earlier = (process.perturb(x_0, time + shift, eps) for shift in (h, -h))
        # What is left is the rounding of the states, 1e-16 / h.
        velocity = quantity("velocity").target(process, x_0, eps, time)
        assert_close((later - earlier) / (2 * h), velocity, "slope of the path", 1e-8)

    def test_starts_at_the_data(self) -> None:
        """No noise, and all of the signal, at `t = 0`."""
        x_0 = self._fields(0)
        assert_close(self.process().perturb(x_0, 0.0, self._fields(1)), x_0, "state at t = 0", 1e-12)

    def test_diagonals_are_those_of_the_operators(self) -> None:
        """In `basis`: `U* a U` is the mean of the marginal, `U* s^2 U` its covariance."""
        process, basis, eye = self.process(), self.basis(), self._eye()
        if basis is None:
            return
        for t in self.t.tolist():
            a, s = process.diagonal(t, eye, basis)
            law = process.marginal(eye, t)
            assert_close(a * eye, law.mean.clone(), f"signal at {t}")
            assert_close((s * (s * eye)).flatten(1), self._variance(law), f"noise at {t}")

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
            assert_close(law.log_prob(x)[i], dense.log_prob(x[i].flatten()), f"log-density at {t}", 1e-8)

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
            assert_close(alone, whole[one], "state in a batch of its own", 1e-6)
            assert_close(process.prior(1, 0.9, sample_generators(1, 1, i)), start[one], "start of its own", 1e-6)

    def test_labels_do_not_matter(self) -> None:
        """`given` is the identity."""
        process = self.process()
        for labels in (None, torch.tensor([0, 3, 1])):
            assert process.given(labels) is process

    def test_score_of_a_known_image(self) -> None:
        """`grad log q(x_t | x_0) = -Sigma^+ (x_t - alpha_t x_0) / sigma_t^2`, with a dense pseudo-inverse."""
        process, x_0 = self.process(), self._fields(0)
        x_t = process.perturb(x_0, self.s, generator=seeded(3))
        law, inverse = process.marginal(x_0, self.s), torch.linalg.pinv(process.covariance.to_dense(), hermitian=True)
        exact = -((x_t - law.mean) / law.std**2).flatten(1) @ inverse
        assert_close(quantity("score").from_x0(process, x_0, x_t, self.s).flatten(1), exact, "score")

    def test_consistency_restores_what_carries_no_noise(self) -> None:
        """A wrong image is corrected where the covariance is empty, and left alone elsewhere."""
        process, x_0, wrong = self.process(), self._fields(0), self._fields(1)
        x_t = process.perturb(x_0, self.s, generator=seeded(4))
        expected = x_0 + process.covariance.project(wrong - x_0)
        assert_close(process.consistent(wrong, x_t, self.s), expected, "consistent image")

    def test_forms_of_time(self) -> None:
        """A number, a scalar tensor and one time per sample mean the same; anything else is refused."""
        process, x_0 = self.process(), self._fields(0)
        expected = process.perturb(x_0, 0.5, x_0)
        for t in (torch.tensor(0.5), torch.full((1,), 0.5), torch.full((3,), 0.5)):
            assert_close(process.perturb(x_0, t, x_0), expected, f"state at {t}")
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
            assert_close(narrow, expected.to(dtype), f"state in {dtype}", tolerance)

    def test_description_identifies_the_process(self) -> None:
        """JSON-ready, the same for equal processes, and enough to build one, unless it holds a matrix."""
        described = self.process().to_dict()
        assert json.loads(json.dumps(described)) == described == self.process().to_dict()
        assert_copies(self.process())
        if not isinstance(self.process().covariance, DenseCovariance):
            assert process_from_dict(described) == self.process()

    def test_clock(self) -> None:
        """The noise level increases strictly from 0, and `time_at` is its inverse, clamped."""
        process = self.process()
        t = torch.linspace(0, 1, 201, dtype=torch.float64)
        levels = process.noise_level(t)
        assert levels[0] == 0
        assert bool((levels.diff() > 0).all())
        assert_close(process.time_at(levels[1:-1]), t[1:-1], "time of a noise level", 1e-8)
        ends = process.time_at(torch.tensor([0.0, math.inf], dtype=torch.float64))
        assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64), "time of extreme noise levels")

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
        return normal((3, *self.process().shape), seed)
