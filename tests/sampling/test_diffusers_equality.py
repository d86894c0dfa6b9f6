"""White noise is plain diffusion: samplers equal diffusers' schedulers step for step, with the same model and draws.

States are float64 and of unit size. diffusers keeps its tables in float32 and, in most schedulers, its state as well,
so agreement is to 1e-5.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser, NetworkDenoiser
from sagd.model.parameterisation import quantity
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.process.base import Time
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import RectifiedSchedule, VESchedule, VPSchedule
from sagd.sampling.base import Run, Sampler
from sagd.sampling.ddim import DDIM
from sagd.sampling.ddpm import DDPM
from sagd.sampling.dpm_solver import DPMSolver
from sagd.sampling.euler import Euler
from sagd.sampling.grids import KarrasGrid
from sagd.sampling.heun import Heun

# diffusers hands tensors to numpy in a way that numpy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (2, 8, 8)
PROCESS = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))
TYPES = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
ALPHA_BAR = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)

Model = Callable[[Tensor, Tensor], Tensor]


def white(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=white(seed), dtype=torch.float64)


def start() -> Tensor:
    return normal(1, 3, *SHAPE)


FIRST, LAST = normal(10, 8, 2, 3, 3) / 3, normal(11, 2, 8, 3, 3) / 3


def image(x: Tensor, timestep: Tensor) -> Tensor:
    """A bounded nonlinear estimate of the clean image that depends on the time step."""
    phase = (timestep.double() / 300).cos().reshape(-1, 1, 1, 1)
    hidden = torch.tanh(torch.nn.functional.conv2d(x, FIRST, padding=1) + phase)
    return torch.tanh(torch.nn.functional.conv2d(hidden, LAST, padding=1))


def model(prediction: str) -> Model:
    """A network that predicts what belongs to `image`, by the discrete schedule."""

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        x_0 = image(x, timestep)
        alpha_bar = ALPHA_BAR[timestep.round().long()].reshape(-1, 1, 1, 1)
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        eps = (x - alpha * x_0) / sigma
        return {"x0": x_0, "eps": eps, "v": alpha * eps - sigma * x_0}[prediction]

    return network


def network_denoiser(prediction: str) -> NetworkDenoiser:
    return NetworkDenoiser(model(prediction), PROCESS, prediction)


def trajectory(sampler: Sampler, denoiser: Denoiser, x: Tensor, times: list[float], seed: int = 3) -> Iterator[Tensor]:
    run = Run(denoiser.process, lambda x_t, t: denoiser(x_t, t), white(seed), len(times) - 1)
    for t, s in itertools.pairwise(times):
        x = sampler.step(run, x, t, s)
        yield x


def times_of(timesteps: Tensor) -> list[float]:
    """Continuous times of the discrete steps, `t = (k + 1) / 1000`, and the end."""
    return [(float(k) + 1) / 1000 for k in timesteps] + [0.0]


def assert_steps_equal(ours: Iterator[Tensor], theirs: Iterator[Tensor], tolerance: float = 1e-5) -> None:
    for step, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        error = float((x - y).abs().max())
        assert error < tolerance, f"step {step} differs by {error:.2g}"


def plain_states(scheduler: Any, network: Model, **options: Any) -> Iterator[Tensor]:
    """States of schedulers that move `x` itself."""
    x = start()
    for k in scheduler.timesteps:
        x = scheduler.step(network(x, k), k, x, **options).prev_sample
        yield x


def rescaled_states(scheduler: Any, network: Model, evaluations: int, **options: Any) -> Iterator[Tensor]:
    """diffusers' Euler and Heun move `y = x / alpha`; yields `x` after every `evaluations` calls and at the end."""
    level = scheduler.sigmas.double()
    y = start() * (1 + level[0] ** 2).sqrt()
    for i, k in enumerate(scheduler.timesteps, start=1):
        output = network(scheduler.scale_model_input(y, k), k)
        y = scheduler.step(output, k, y, **options).prev_sample
        if i % evaluations == 0 or i == len(scheduler.timesteps):
            yield y / (1 + level[i] ** 2).sqrt()


def ddpm_family(family: str, **options: Any) -> Any:
    return getattr(diffusers, family)(clip_sample=False, timestep_spacing="trailing", **options)


def linear_betas(family: str, **options: Any) -> Any:
    return getattr(diffusers, family)(beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing", **options)


def test_schedule_at_all_1000_steps() -> None:
    k = torch.arange(1000)
    scheduler = diffusers.DDPMScheduler()
    t = (k + 1).double() / 1000
    torch.testing.assert_close(PROCESS.schedule.alpha(t) ** 2, scheduler.alphas_cumprod.double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(PROCESS.schedule.timestep(t), k.double())


def test_add_noise_and_get_velocity() -> None:
    scheduler = diffusers.DDPMScheduler()
    x_0, eps, k = start(), normal(2, 3, *SHAPE), torch.tensor([0, 499, 999])
    t = (k + 1).double() / 1000
    torch.testing.assert_close(PROCESS.perturb(x_0, t, eps), scheduler.add_noise(x_0, eps, k), rtol=0, atol=1e-5)
    velocity = scheduler.get_velocity(x_0, eps, k)
    torch.testing.assert_close(quantity("v").target(PROCESS, x_0, eps, t), velocity, rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [5, 10, 20])
@pytest.mark.parametrize("prediction", TYPES)
class TestSamplers:
    def test_ddpm(self, prediction: str, steps: int) -> None:
        scheduler = ddpm_family("DDPMScheduler", prediction_type=TYPES[prediction])
        scheduler.set_timesteps(steps)
        ours = trajectory(DDPM(), network_denoiser(prediction), start(), times_of(scheduler.timesteps))
        assert_steps_equal(ours, plain_states(scheduler, model(prediction), generator=white(3)))

    @pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
    def test_ddim(self, prediction: str, steps: int, eta: float) -> None:
        """Both apply `eta` to the standard deviation of the injected noise (Song et al., equation 16)."""
        scheduler = ddpm_family("DDIMScheduler", prediction_type=TYPES[prediction])
        scheduler.set_timesteps(steps)
        ours = trajectory(DDIM(eta), network_denoiser(prediction), start(), times_of(scheduler.timesteps))
        assert_steps_equal(ours, plain_states(scheduler, model(prediction), eta=eta, generator=white(3)))

    def test_euler(self, prediction: str, steps: int) -> None:
        scheduler = linear_betas("EulerDiscreteScheduler", prediction_type=TYPES[prediction])
        scheduler.set_timesteps(steps)
        ours = trajectory(Euler(), network_denoiser(prediction), start(), times_of(scheduler.timesteps))
        assert_steps_equal(ours, rescaled_states(scheduler, model(prediction), 1))

    def test_dpm_solver(self, prediction: str, steps: int) -> None:
        scheduler = linear_betas("DPMSolverMultistepScheduler", prediction_type=TYPES[prediction])
        scheduler.set_timesteps(steps)
        ours = trajectory(DPMSolver(), network_denoiser(prediction), start(), times_of(scheduler.timesteps))
        assert_steps_equal(ours, plain_states(scheduler, model(prediction)))


@pytest.mark.parametrize("steps", [5, 10, 20])
@pytest.mark.parametrize("prediction", ["eps", "v"])  # diffusers' Heun does not take "sample"
def test_heun(prediction: str, steps: int) -> None:
    scheduler = linear_betas("HeunDiscreteScheduler", prediction_type=TYPES[prediction])
    scheduler.set_timesteps(steps)
    ours = trajectory(Heun(), network_denoiser(prediction), start(), times_of(scheduler.timesteps[::2]))
    assert_steps_equal(ours, rescaled_states(scheduler, model(prediction), 2))


@pytest.mark.parametrize("timesteps", [[999], [980, 500, 470, 30, 4], list(range(999, -1, -1))])
def test_ddpm_at_chosen_times_in_float64(timesteps: list[int]) -> None:
    """With diffusers' table in float64, what is left is the 1e-10 to which `log alpha_bar` is known: 1e-7 of sigma."""
    scheduler = diffusers.DDPMScheduler(clip_sample=False)
    scheduler.alphas_cumprod = ALPHA_BAR
    scheduler.set_timesteps(timesteps=timesteps)
    ours = trajectory(DDPM(), network_denoiser("eps"), start(), times_of(scheduler.timesteps))
    assert_steps_equal(ours, plain_states(scheduler, model("eps"), generator=white(3)), tolerance=1e-7)


def test_clipping() -> None:
    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample_range=0.3, prediction_type="sample")
    scheduler.set_timesteps(5)
    denoiser = network_denoiser("x0")
    run, x, states = Run(PROCESS, lambda x_t, t: denoiser(x_t, t, clip=0.3)), start(), []
    for t, s in itertools.pairwise(times_of(scheduler.timesteps)):
        x = DDIM().step(run, x, t, s)
        states.append(x)
    options = {"use_clipped_model_output": True}
    assert_steps_equal(iter(states), plain_states(scheduler, model("x0"), **options))


class Constant(Denoiser):
    def __init__(self, x_0: Tensor) -> None:
        super().__init__()
        self.process = PROCESS
        self.x_0 = x_0

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        return self.x_0


def test_amount_of_churn() -> None:
    """diffusers evaluates its model before the churn, Karras et al. after it: an estimate that ignores the state leaves
    the amount of noise, and the range in which it is added, to compare."""
    scheduler = linear_betas("EulerDiscreteScheduler", prediction_type="sample")
    scheduler.set_timesteps(10)
    x_0 = normal(4, 3, *SHAPE)
    options = {"s_churn": 2.0, "s_tmin": 0.5, "s_tmax": 50.0, "s_noise": 1.003}
    sampler = Euler(churn=2.0, churn_min=0.5, churn_max=50.0, churn_noise=1.003)
    ours = trajectory(sampler, Constant(x_0), start(), times_of(scheduler.timesteps))
    assert_steps_equal(ours, rescaled_states(scheduler, lambda x, k: x_0, 1, generator=white(3), **options))


def test_edm_preconditioning_grid_and_euler() -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_data=0.4)
    scheduler.set_timesteps(18)
    process = ForwardProcess(VESchedule(), IsotropicCovariance(SHAPE))
    times = KarrasGrid().times(18, process)
    level = scheduler.sigmas.double()
    torch.testing.assert_close(process.schedule.sigma(times), level, rtol=1e-6, atol=1e-12)

    def timeless(x: Tensor, timestep: Tensor) -> Tensor:
        return image(x, torch.zeros(1))

    def theirs() -> Iterator[Tensor]:
        x = start() * level[0]
        for i, k in enumerate(scheduler.timesteps, start=1):
            x = scheduler.step(timeless(scheduler.scale_model_input(x, k), k), k, x).prev_sample
            yield x / (1 + level[i] ** 2).sqrt()

    denoiser = NetworkDenoiser(timeless, process, "edm", data_std=0.4)
    ours = trajectory(Euler(), denoiser, start() * level[0], times.tolist())
    assert_steps_equal((x / (1 + n**2).sqrt() for x, n in zip(ours, level[1:], strict=True)), theirs())


def test_rectified_flow() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    times = [1.0, 0.8, 0.5, 0.45, 0.1, 0.0]
    scheduler.set_timesteps(sigmas=times[:-1])
    process = ForwardProcess(RectifiedSchedule(), IsotropicCovariance(SHAPE))

    def velocity(x: Tensor, timestep: Tensor) -> Tensor:
        return x - image(x, timestep)

    # Ours scales the network's input to unit variance.
    def rescaled(x: Tensor, timestep: Tensor) -> Tensor:
        t = (timestep.double() / 1000).reshape(-1, 1, 1, 1)
        return velocity(x * ((1 - t) ** 2 + t**2).sqrt(), timestep)

    ours = trajectory(Euler(), NetworkDenoiser(rescaled, process, "velocity"), start(), times)
    assert_steps_equal(ours, plain_states(scheduler, velocity))
