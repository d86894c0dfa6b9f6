"""Tensors that are held survive tracing, and nothing in the hot path waits for a device or needs its float64."""

import copy
import functools
import pickle

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import sagd.tensors
from sagd.model.denoiser import NetworkDenoiser
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.regions import Ball
from sagd.noise.spectra.damage import Ring
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import measure
from sagd.process.evolution import Interpolated, Sequential
from sagd.process.restricted import Restricted
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.sampling.base import Run
from sagd.sampling.ddim import DDIM
from sagd.sampling.ddpm import DDPM
from sagd.sampling.dpm_solver import DPMSolver
from sagd.sampling.euler import Euler
from sagd.sampling.heun import Heun
from sagd.tensors import Holding, exact, exact_device, holds, is_plain, moved, widened
from sagd.training.objective import DenoisingLoss
from sagd.training.times import LogitNormalTime, LogNormalTime, UniformTime
from sagd.training.weighting import MinSNRWeighting

SHAPE = (2, 8, 8)
MIX = ((0.6, 0.8), (-0.8, 0.6))
BASES = {
    "fourier": lambda: FourierBasis((8, 8)),
    "cosine": lambda: CosineBasis((8, 8)),
    "cosine by FFT": lambda: CosineBasis((130, 8)),
    "wavelet": lambda: WaveletBasis((8, 8), "db2", 2),
    "wavelet by FFT": lambda: WaveletBasis((132, 4), "db2", 1),
    "channels": lambda: ChannelBasis((8, 8), "cosine", MIX),
}
COVARIANCES = {name: (lambda make=make: spectral(make())) for name, make in BASES.items()} | {
    "steep": lambda: SpectralCovariance(PowerLaw(-6.0), SHAPE),
    "white": lambda: IsotropicCovariance(SHAPE, 2.0),
    "modulated": lambda: ModulatedCovariance(Ball(outside=0.2), spectral(CosineBasis((8, 8)))),
    "dense": lambda: DenseCovariance(torch.diag(torch.linspace(1, 2, 128, dtype=torch.float64)), SHAPE),
    "singular": lambda: SpectralCovariance(Ring(0.2, 1.0), SHAPE, CosineBasis((8, 8))),
}
OPERATIONS = {
    "sqrt": lambda c, x: c.sqrt(x),
    "apply": lambda c, x: c.apply(x),
    "solve": lambda c, x: c.solve(x, pseudo=c.is_singular),
    "whiten": lambda c, x: c.whiten(x, pseudo=c.is_singular),
    "project": lambda c, x: c.project(x),
}


def spectral(basis):
    return SpectralCovariance(PowerLaw(-0.5), (2, *basis.spatial), basis)


def fields(shape=SHAPE, count=3, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def compiled(function, backend="aot_eager"):
    torch._dynamo.reset()
    return torch.compile(function, backend=backend, fullgraph=True)


def assert_compiles(make, function, *arguments, backend="aot_eager", again=None, **tolerance):
    """Compiled first, eager first, and each after the other, of objects of their own: the same result to rounding.

    An object compiles anew once eager has used it, so that the one compiled first is compiled twice. With `again`, a
    backend, that is left to the object that eager uses first, and to this backend: "eager", which traces alone, takes a
    third of the time.

    Returns the first result of an object that was compiled before anything else was done, and that object.
    """

    def agrees(call, subject):
        torch.testing.assert_close(value := call(subject, *arguments), eager, **tolerance)
        return value

    eager = function(make(), *arguments)
    used = make()
    function(used, *arguments)
    called = compiled(function, again or backend)
    for call in (called, function, called):
        agrees(call, used)
    subject, called = make(), compiled(function, backend)
    value = agrees(called, subject)
    agrees(function, subject)
    if again is None:
        agrees(called, subject)
    return value, subject


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_operators_compile(covariance):
    def all_of_them(c, x):
        return [operate(c, x) for operate in OPERATIONS.values()]

    make = COVARIANCES[covariance]
    again = None if covariance in ("fourier", "modulated") else "eager"
    assert_compiles(make, all_of_them, fields(make().shape), again=again)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_draws_compile(covariance):
    """Under the global generator, whose numbers `aot_eager` takes in the same order."""

    def draw(c, x):
        return c.sample_like(x) + c.sample(len(x), dtype=x.dtype)

    make = COVARIANCES[covariance]
    x, subject = fields(make().shape), make()
    torch.manual_seed(0)
    eager = draw(make(), x)
    torch.manual_seed(0)
    torch.testing.assert_close(compiled(draw)(subject, x), eager)
    torch.manual_seed(0)
    torch.testing.assert_close(draw(subject, x), eager)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_inductor_gives_the_same():
    assert_compiles(COVARIANCES["cosine"], OPERATIONS["sqrt"], fields(), backend="inductor", rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operators_survive_transforms(covariance, operation):
    """`vmap` over samples, and gradients: that of `<y, A x>` by autograd outside of transforms."""
    make, operate = COVARIANCES[covariance], OPERATIONS[operation]
    x, y = fields(make().shape), fields(make().shape, seed=1)
    subject = make()
    mapped = torch.func.vmap(lambda one: operate(subject, one))(x)
    slope = torch.func.grad(lambda x: (y * operate(subject, x)).sum())(x)
    both = torch.func.vmap(torch.func.grad(lambda x, y: (y * operate(subject, x)).sum()))(x, y)
    own = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad((y * operate(subject, own)).sum(), own)
    torch.testing.assert_close(mapped, operate(make(), x))
    torch.testing.assert_close(operate(subject, x), mapped)
    torch.testing.assert_close(slope, expected)
    torch.testing.assert_close(both, expected)


PROCESSES = {
    "fourier": lambda: ForwardProcess(VPSchedule(), spectral(FourierBasis((8, 8)))),
    "cosine": lambda: ForwardProcess(CosineSchedule(), spectral(CosineBasis((8, 8)))),
    "singular": lambda: ForwardProcess(CosineSchedule(), COVARIANCES["singular"]()),
    "restricted": lambda: Restricted(
        ForwardProcess(CosineSchedule(), SpectralCovariance(Ring(0.2, 1.0), SHAPE, CosineBasis((8, 8)))),
        Ring(0.0, 0.15),
    ),
    "rectified": lambda: ForwardProcess(RectifiedSchedule(), IsotropicCovariance(SHAPE)),
    "blurring": lambda: SpectralProcess.blurring(SHAPE),
    "white to blue": lambda: SpectralProcess.white_to_blue(SHAPE),
    "sequential": lambda: SpectralProcess(CosineSchedule(), spectral(WaveletBasis((8, 8))), Sequential()),
    "channels": lambda: SpectralProcess(VPSchedule(), spectral(ChannelBasis((8, 8), "cosine", MIX)), Interpolated()),
}
TIMES = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("t", [0.4, TIMES], ids=["number", "tensor"])
def test_perturbing_compiles(process, t):
    def perturb(p, x, t, noise):
        return p.perturb(x, t, noise)

    again = None if process in ("fourier", "blurring") else "eager"
    assert_compiles(PROCESSES[process], perturb, fields(), t, fields(seed=1), again=again)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("t", [0.4, TIMES], ids=["number", "tensor"])
def test_perturbing_survives_transforms(process, t):
    make, x, noise = PROCESSES[process], fields(), fields(seed=1)
    subject = make()
    mapped = torch.func.vmap(lambda x, noise: subject.perturb(x, t, noise), 1, 1)(x[:, None], noise[:, None])
    slope = torch.func.grad(lambda x: subject.perturb(x, t, noise).sum())(x)
    expected = make().perturb(x, t, noise)
    torch.testing.assert_close(mapped[:, 0], expected)
    torch.testing.assert_close(subject.perturb(x, t, noise), expected)
    own = x.clone().requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(make().perturb(own, t, noise).sum(), own)[0])


class Network(torch.nn.Module):
    """One convolution, told the time."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(SHAPE[0], SHAPE[0], 3, padding=1)
        with torch.no_grad():
            weight = torch.linspace(-1, 1, self.layer.weight.numel())
            self.layer.weight.copy_(0.3 * weight.reshape(self.layer.weight.shape))
            self.layer.bias.fill_(0.1)

    def forward(self, x, t):
        return self.layer(x) + 1e-3 * t.reshape(-1, 1, 1, 1)


def denoiser(process, prediction):
    p = PROCESSES[process]()
    statistics = measure(fields(count=16), p.reference.basis) if hasattr(p.reference, "basis") else None
    return NetworkDenoiser(Network(), p, prediction, data_std=0.7, statistics=statistics)


PREDICTIONS = [
    (process, prediction)
    for process in PROCESSES
    for prediction in ("eps", "x0", "v", "velocity", "edm", "wiener")
    if process != "rectified" or prediction not in ("eps", "wiener")
]


@pytest.mark.parametrize(
    ("process", "prediction"),
    [pair for pair in PREDICTIONS if pair[0] == "white to blue" or pair == ("restricted", "wiener")]
    + [(process, "v") for process in ("fourier", "singular", "rectified", "restricted")],
)
def test_the_arithmetic_of_the_loss_compiles(process, prediction):
    """From images, times and noise to the loss, and its gradient."""

    def loss(d, x, t, eps):
        error = (d.output(d.process.perturb(x, t, eps), t) - d.target(x, eps, t)).square()
        return (MinSNRWeighting().weight(t, d).to(error.dtype) * error.flatten(1).mean(1)).mean()

    def step(d, x, t, eps):
        weight = d.network.layer.weight
        return loss(d, x, t, eps), torch.autograd.grad(loss(d, x, t, eps), weight)[0]

    eps = PROCESSES[process]().covariance.project(fields(seed=1))
    make = functools.partial(denoiser, process, prediction)
    value, subject = assert_compiles(make, loss, fields(), TIMES, eps, again="eager")
    expected, slope = step(make(), fields(), TIMES, eps)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, subject.network.layer.weight)[0], slope)


SAMPLERS = [DDIM(), DDIM(eta=0.7), DDPM(), Euler(), Heun(), DPMSolver()]


@pytest.mark.parametrize(
    ("process", "sampler"),
    [("rectified", sampler) for sampler in SAMPLERS]
    # Where coefficients are operators, Heun's method begins as Euler's and DDIM do.
    + [("white to blue", sampler) for sampler in (DDIM(eta=0.7), DDPM(), Heun(), DPMSolver())]
    + [(process, Heun()) for process in ("singular", "restricted", "sequential")],
    ids=str,
)
def test_a_step_compiles(process, sampler):
    noise = fields(seed=2)

    def step(d, x, t, s):
        run = Run(d.process, lambda x_t, t: d(x_t, t), steps=6)
        run.noise = lambda x: noise
        run.previous = (0.8, noise) if t < 0.8 else None
        return sampler.step(run, x, t, s)

    make, tolerance = functools.partial(denoiser, process, "v"), {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        # The others have been through AOT autograd where they perturb; their steps add no other kind of operation.
        backend = "aot_eager" if process in ("rectified", "white to blue") else "eager"
        assert_compiles(make, step, fields(), 0.6, 0.3, backend=backend, again="eager", **tolerance)
        first = compiled(step, "eager")(make(), fields(), 1.0, 0.7)
        torch.testing.assert_close(first, step(make(), fields(), 1.0, 0.7), **tolerance)


# A device that computes nothing: whatever would wait for its values fails. Some say that they have no float64.


class Watched(TorchDispatchMode):
    """Refuses what waits for a device other than the CPU, and float64 there if it has none."""

    def __init__(self, kind, has_float64):
        super().__init__()
        self.kind, self.has_float64 = kind, has_float64

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [x for x in (*args, *(kwargs or {}).values()) if isinstance(x, torch.Tensor)]
        there = any(x.device.type == self.kind for x in tensors)
        name = function._schema.name
        if there and name in ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::item"):
            raise AssertionError(f"{name} waits for the device")
        made = out if isinstance(out, (tuple, list)) else [out]
        for x in made:
            if isinstance(x, torch.Tensor) and x.device.type == self.kind:
                assert self.has_float64 or x.dtype not in (torch.float64, torch.complex128), f"{name} needs float64"
                crossed = name in ("aten::_to_copy", "aten::copy_") and any(y.device.type != self.kind for y in tensors)
                assert not crossed or not self.settled, "a tensor is moved at every call"
        return out

    settled = False


@pytest.fixture(params=[True, False], ids=["float64", "no float64"])
def device(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(sagd.tensors, "_WITHOUT_FLOAT64", {"meta"})
    with Watched("meta", request.param) as mode:
        yield mode


def there(x):
    return x.to("meta", torch.float32 if x.dtype == torch.float64 and x.ndim else x.dtype)


def twice(mode, run):
    """The first call may move what is held; on a device with float64 the second moves nothing."""
    run()
    mode.settled = mode.has_float64
    return run()


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operators_do_not_wait(device, covariance, operation):
    if covariance == "steep" and not device.has_float64:
        pytest.skip("steep weights are filtered in float64, here on the CPU")
    c = COVARIANCES[covariance]()
    x = there(fields(c.shape))
    assert twice(device, lambda: OPERATIONS[operation](c, x)).device.type == "meta"


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("t", [0.4, TIMES], ids=["number", "tensor"])
def test_perturbing_does_not_wait(device, process, t):
    p, x = PROCESSES[process](), there(fields())
    # Where there is no float64, times of the device would have to come to the CPU, and wait.
    t = t if isinstance(t, float) or not device.has_float64 else there(t)
    assert twice(device, lambda: p.perturb(x, t)).device.type == "meta"


@pytest.mark.parametrize(
    ("process", "prediction", "law"),
    [(*pair, LogNormalTime()) for pair in PREDICTIONS]
    + [(process, "v", law) for process in PROCESSES for law in (UniformTime(), LogitNormalTime())],
    ids=str,
)
def test_the_loss_does_not_wait(device, process, prediction, law):
    d = denoiser(process, prediction)
    d.network.to("meta")
    x, loss = there(fields()), DenoisingLoss(law, MinSNRWeighting())

    def step():
        value = loss(d, x)
        value.backward()
        return value

    assert step().device.type == "meta"


@pytest.mark.parametrize("sampler", [*SAMPLERS, Heun(churn=1.0)], ids=str)
@pytest.mark.parametrize("process", PROCESSES)
def test_steps_do_not_wait(device, process, sampler):
    d = denoiser(process, "v")
    d.network.to("meta")
    x = there(fields())
    run = Run(d.process, lambda x_t, t: d(x_t, t, clip=1.0), steps=6)

    def step():
        run.previous = (0.8, x)
        return sampler.step(run, x, 0.6, 0.3)

    with torch.no_grad():
        assert twice(device, step).device.type == "meta"


def test_tensors_without_values_are_not_held():
    """A mode that only pretends to compute leaves nothing behind."""
    c, x = COVARIANCES["cosine"](), fields()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert not is_plain(c.sqrt(torch.randn(1, *SHAPE)))
    torch.testing.assert_close(c.sqrt(x), COVARIANCES["cosine"]().sqrt(x))


def test_what_is_held_in_inference_serves_in_training():
    c, x = COVARIANCES["cosine"](), fields()
    with torch.inference_mode():
        c.sqrt(x)
    y = x.clone().requires_grad_()
    c.sqrt(y).square().sum().backward()
    torch.testing.assert_close(y.grad, 2 * COVARIANCES["cosine"]().apply(x))


def test_what_is_held_is_made_once_and_not_copied():
    class Matrix(Holding):
        def __init__(self):
            self.made = 0

        def power(self, exponent):
            self.made += 1
            return torch.full((2,), 3.0, dtype=torch.float64) ** exponent

    matrix = Matrix()
    for _ in range(2):
        assert matrix.held("power", torch.float32, torch.device("cpu"), 2).tolist() == [9.0, 9.0]
    assert matrix.held("power", torch.float64, torch.device("cpu"), 2).dtype == torch.float64
    assert matrix.made == 2
    assert not copy.deepcopy(matrix)._held
    basis = pickle.loads(pickle.dumps(CosineBasis((8, 8))))
    assert basis == CosineBasis((8, 8))
    assert not basis._held


def test_precision_by_device(monkeypatch):
    x = torch.randn(2, dtype=torch.float16)
    assert exact(x).dtype == torch.float64
    assert widened(x).dtype == torch.float32
    assert widened(x, steep=True).dtype == torch.float64
    assert widened(x.double()).dtype == torch.float64
    assert exact_device("mps") == torch.device("cpu")
    assert exact_device("cuda:1") == torch.device("cuda:1")
    assert moved(x, torch.float64, torch.device("cpu")).dtype == torch.float64


def test_conditions_are_told_only_where_they_are_known():
    assert holds(torch.tensor([True, True]))
    assert not holds(torch.tensor([True, False]))
    assert holds(torch.tensor([False], device="meta"))
    assert torch.func.vmap(lambda x: x * holds(x > 0))(torch.tensor([-1.0])).tolist() == [-1.0]
