"""Wrappers: guidance against its formula, calibration and given bands by matrices; conditions of several names."""

import pytest
import torch

from sagd.errors import InputError
from sagd.model.condition import Condition
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.wrappers import Calibrated, GivenBand, Guided
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import VPSchedule
from sagd.random import sample_generators
from sagd.testing.oracles import FunctionDenoiser, operator_matrix

SHAPE = (1, 4, 6)
PROCESS = ForwardProcess(VPSchedule(), IsotropicCovariance(SHAPE))


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(x, timestep, labels, embedding, image):
    """A sum of what it is told, each with a weight of its own."""
    return x + 10 * labels.reshape(-1, 1, 1, 1) + embedding.mean(1).reshape(-1, 1, 1, 1) + image


def denoiser():
    null = {"labels": 7, "embedding": torch.zeros(5, dtype=torch.float64)}
    return NetworkDenoiser(network, PROCESS, "x0", null=null, names=("image",))


def condition():
    return {"labels": torch.tensor([0, 1]), "embedding": normal(1, 2, 5), "image": normal(2, 2, *SHAPE)}


def test_a_condition_of_several_names_reaches_the_network():
    x, told = normal(0, 2, *SHAPE), condition()
    scaled = x / PROCESS.rms(0.4, x)
    torch.testing.assert_close(denoiser()(x, 0.4, told), network(scaled, None, **told))
    # What may be left out is replaced by nothing.
    bare = network(scaled, None, torch.tensor([7, 7]), torch.zeros(2, 5), told["image"])
    torch.testing.assert_close(denoiser()(x, 0.4, {"image": told["image"]}), bare)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_moves_away_from_the_estimate_without_what_may_be_left_out(scale):
    """`D + g (D_c - D)`: the image, which has no null, is told in both."""
    x, told = normal(0, 2, *SHAPE), condition()
    free = denoiser()(x, 0.4, {"image": told["image"]})
    expected = free + scale * (denoiser()(x, 0.4, told) - free)
    torch.testing.assert_close(Guided(denoiser(), scale)(x, 0.4, told), expected)
    torch.testing.assert_close(Guided(denoiser(), scale)(x, 0.4, {"image": told["image"]}), free)


def test_guidance_by_some_of_the_names():
    x, told = normal(0, 2, *SHAPE), condition()
    some = {name: told[name] for name in ("embedding", "image")}
    free = denoiser()(x, 0.4, {"image": told["image"]})
    torch.testing.assert_close(Guided(denoiser(), 2.0)(x, 0.4, some), 2 * denoiser()(x, 0.4, some) - free)


def test_a_given_band_keeps_the_rest_and_is_told_of_it():
    """With a dense projector: `(1 - P) x_0 + P D(P x_t, image)`."""
    basis, x_0, x_t, image = FourierBasis(SHAPE[1:]), normal(3, 2, *SHAPE), normal(4, 2, *SHAPE), normal(5, 2, 1, 1, 1)
    b = (basis.relative_radius() > 0.5).double()
    eye = torch.eye(24, dtype=torch.float64).reshape(24, *SHAPE)
    p = basis.inverse(b * basis.forward(eye)).reshape(24, 24)
    rest = (x_0.flatten(1) @ (torch.eye(24) - p)).reshape(x_0.shape)
    inner = NetworkDenoiser(lambda x, t, image: torch.tanh(x) + image * x**2, PROCESS, "x0", names=("image",))
    bound = GivenBand(inner, Diagonal(b[None, None], basis), rest, image)
    noisy = (x_t.flatten(1) @ p).reshape(x_t.shape)
    expected = rest.flatten(1) + inner.estimate(noisy, 0.3, {"image": image}).flatten(1) @ p
    torch.testing.assert_close(bound.estimate(x_t, 0.3).flatten(1), expected)
    with pytest.raises(InputError, match="an unconditional model was given the condition 'image'"):
        bound.check({"image": image}, 2)


def test_wrappers_are_where_the_denoiser_is():
    conv = torch.nn.Conv2d(1, 1, 1, device="meta", dtype=torch.float16)
    inner = NetworkDenoiser(conv, PROCESS, null={"labels": 3})
    basis = FourierBasis(SHAPE[1:])
    statistics = DataStatistics(torch.zeros(SHAPE), torch.ones(1, *basis.coefficients), 9, basis)
    for wrapper in (Guided(inner, 2.0), Calibrated(Guided(inner, 2.0), torch.ones(basis.coefficients), statistics)):
        assert wrapper.process is PROCESS
        assert (wrapper.device.type, wrapper.dtype) == ("meta", torch.float16)
        assert (wrapper.names, wrapper.null) == (("labels",), {"labels": torch.tensor(3)})


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"labels": torch.tensor([0, 1])}, "the model needs the condition 'image'; give {'image': ...}, one per"),
        (condition() | {"mask": torch.ones(2)}, "a model of image, labels, embedding was given the condition 'mask'"),
        ({name: value[:1] for name, value in condition().items()}, "got 1 labels for 2 samples; give one per sample"),
    ],
)
def test_conditions_of_another_model(told, message):
    for each in (denoiser(), Guided(denoiser(), 2.0)):
        with pytest.raises(InputError, match=message):
            each.check(told, 2)
        with pytest.raises(InputError, match=message):
            each(normal(0, 2, *SHAPE), 0.4, told)


def test_denoisers_without_names_let_everything_pass():
    anything = FunctionDenoiser(PROCESS, lambda x, t: x)
    assert isinstance(anything.check({"mask": torch.ones(2)}, 2), Condition)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_guidance_that_is_no_number(scale):
    with pytest.raises(InputError, match="guidance must be a finite number"):
        Guided(denoiser(), scale)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: torch.cat([x, x], dim=1), r"returned shape \(2, 2, 4, 6\) for images \(2, 1, 4, 6\)"),
        (lambda x: {"out": x}, "the network returned dict; it must return a tensor like its input"),
        (lambda x: None, "the network returned NoneType"),
    ],
)
def test_outputs_that_are_no_image(output, message):
    with pytest.raises(InputError, match=message):
        NetworkDenoiser(lambda x, t: output(x), PROCESS)(normal(0, 2, *SHAPE), 0.4)


def test_denoisers_are_modules_around_the_network():
    conv = torch.nn.Conv2d(1, 1, 1)
    inner = NetworkDenoiser(conv, PROCESS, null={"labels": 3})
    guided = Guided(inner, 2.0)
    assert [*guided.parameters()] == [*conv.parameters()]
    assert not guided.eval().denoiser.network.training
    assert guided.to(torch.float64).dtype == torch.float64


def test_samples_are_completed_by_a_draw_of_what_is_left_open():
    """By the innermost wrapper that knows, each from its own generator; all else leaves samples as they are."""
    basis, x = FourierBasis(SHAPE[1:]), normal(6, 20_000, *SHAPE)
    left = ((basis.relative_radius() > 0.5) * basis.radius())[None]
    s = DataStatistics(torch.zeros(SHAPE).double(), torch.ones(1, *basis.coefficients).double(), 9, basis)
    inner = FunctionDenoiser(PROCESS, lambda x_t, t: x_t)
    assert inner.completed(x) is x
    assert Calibrated(inner, torch.ones(basis.coefficients), s).completed(x) is x
    whole = Guided(Calibrated(inner, torch.ones(basis.coefficients), s, left), 1.0)
    drawn = whole.completed(x, torch.Generator().manual_seed(7)) - x
    got, expected = torch.cov(drawn.flatten(1).T), operator_matrix(left, basis, SHAPE)
    assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < 0.05
    one, other = (whole.completed(x[:n], sample_generators(0, n)) for n in (2, 3))
    torch.testing.assert_close(one, other[:2])
