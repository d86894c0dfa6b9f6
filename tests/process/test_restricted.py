"""A band unseen, by dense matrices, around processes of both kinds; `tests/omission` has what models make of it."""

import copy
import pickle

import pytest
import torch

from sagd.errors import InputError
from sagd.model.parameterisation import Parameterisation, quantity
from sagd.noise.bands import leave_out, mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.process.description import process_from_dict
from sagd.process.evolution import Sequential
from sagd.process.restricted import Restricted
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule
from sagd.process.spectral import SpectralProcess
from sagd.process.unseen import NOTHING, Unseen

SHAPE = (1, 4, 5)
BAND = Spectrum.parse("ring(low=0.3, high=0.6)")
BASIS = FourierBasis(SHAPE[1:])
B = (mask(BAND, BASIS) > 0).double()
TIMES = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(values: torch.Tensor) -> torch.Tensor:
    """Dense `U* diag(values) U`, on rows."""
    eye = torch.eye(20, dtype=torch.float64).reshape(20, *SHAPE)
    return BASIS.inverse(values * BASIS.forward(eye)).reshape(20, 20)


def spectral(spectrum: Spectrum) -> SpectralCovariance:
    return SpectralCovariance(leave_out(spectrum, BAND, hard=True), SHAPE)


INSIDE = {
    "scalar": lambda: ForwardProcess(CosineSchedule(), spectral(PowerLaw(-0.5))),
    "spectral": lambda: SpectralProcess(CosineSchedule(), spectral(PowerLaw(-0.5)), Sequential(width=0.7)),
}


@pytest.fixture(params=INSIDE)
def inside(request) -> Process:
    return INSIDE[request.param]()


def test_operations_of_an_unseen_band() -> None:
    """Against the dense projector `Q`."""
    unseen, q = Unseen(BAND, BASIS), matrix(B)
    x, own = normal(0, 3, *SHAPE), normal(1, 3, *SHAPE)
    torch.testing.assert_close(unseen.left_out(x).flatten(1), x.flatten(1) - x.flatten(1) @ q)
    torch.testing.assert_close(unseen.completed(x, own).flatten(1), x.flatten(1) + (own - x).flatten(1) @ q)
    c = Diagonal(1 + BASIS.radius().double(), BASIS)
    torch.testing.assert_close(unseen.left_out_of(c).values, c.values * (1 - B))
    torch.testing.assert_close(unseen.completed_coefficient(c, 3.0).values, c.values * (1 - B) + 3 * B)
    number = torch.tensor([2.0]).reshape(1, 1, 1, 1)
    torch.testing.assert_close(unseen.completed_coefficient(number, c).values.squeeze(), 2 * (1 - B) + c.values * B)
    assert unseen
    assert unseen.meets(B > 0)
    assert unseen.covers(B > 0)
    assert not unseen.covers(torch.ones_like(B) > 0)
    assert not unseen.meets(B == 0)
    with pytest.raises(InputError, match=r"the process is diagonal in fourier.*, not in cosine"):
        unseen.left_out_of(Diagonal(torch.ones(4, 5), CosineBasis((4, 5))))


def test_where_nothing_is_unseen_nothing_happens() -> None:
    x, c = normal(0, 3, *SHAPE), Diagonal(B, BASIS)
    assert not NOTHING
    assert NOTHING.left_out(x) is x
    assert NOTHING.completed(x, 2 * x) is x
    assert NOTHING.left_out_of(c) is c
    assert NOTHING.completed_coefficient(c, 1.0) is c
    assert not NOTHING.meets(B > 0)
    assert ForwardProcess(CosineSchedule(), IsotropicCovariance(SHAPE)).unseen is NOTHING


def test_states_show_the_process_inside_but_for_the_band(inside: Process) -> None:
    process, x_0, seen = Restricted(inside, BAND), normal(0, 3, *SHAPE), matrix(1 - B)
    eps = process.noise(x_0, torch.Generator().manual_seed(1))
    expected = inside.perturb(x_0, TIMES, eps).flatten(1) @ seen
    torch.testing.assert_close(process.perturb(x_0, TIMES, eps).flatten(1), expected)
    torch.testing.assert_close(
        process.marginal(x_0, TIMES).mean.flatten(1), inside.marginal(x_0, TIMES).mean.flatten(1) @ seen
    )
    data = DataStatistics(normal(2, *SHAPE), torch.ones(SHAPE[0], *BASIS.coefficients).double(), 9, BASIS)
    starts = [
        p.prior(2, 0.6, torch.Generator().manual_seed(3), torch.float64, statistics=data).flatten(1)
        for p in (process, inside)
    ]
    torch.testing.assert_close(starts[0], starts[1] @ seen)
    alpha, sigma = process.diagonal(TIMES, x_0, BASIS)
    inner = inside.diagonal(TIMES, x_0, BASIS)
    torch.testing.assert_close(alpha.values, inner[0].values * (1 - B))
    torch.testing.assert_close(sigma.values, inner[1].values)


def test_all_else_is_that_of_the_process_inside(inside: Process) -> None:
    process, x = Restricted(inside, BAND), normal(0, 3, *SHAPE)
    power = torch.ones(1, *BASIS.coefficients, dtype=torch.float64)
    level = process.noise_level(TIMES)
    torch.testing.assert_close(level, inside.noise_level(TIMES))
    torch.testing.assert_close(process.time_at(level), TIMES)
    torch.testing.assert_close(process.drowned_at(power, BASIS), inside.drowned_at(power, BASIS))
    torch.testing.assert_close(process.noise_to_signal(0.5, BASIS)[0], inside.noise_to_signal(0.5, BASIS)[0])
    torch.testing.assert_close(process.rms(TIMES, x), inside.rms(TIMES, x))
    assert (process.schedule, process.covariance, process.shape) == (inside.schedule, inside.covariance, inside.shape)
    assert (process.label, process.reference) == (inside.label, inside.reference)


@pytest.mark.parametrize("kind", ["eps", "x0", "v", "velocity"])
def test_predictions_are_the_image_in_the_band(inside: Process, kind: str) -> None:
    process, x_0, q = Restricted(inside, BAND), normal(0, 3, *SHAPE), matrix(B)
    eps = process.noise(x_0, torch.Generator().manual_seed(1))
    x_t, prediction = process.perturb(x_0, TIMES, eps), quantity(kind)
    target = prediction.target(process, x_0, eps, TIMES)
    inner = prediction.target(inside, x_0, eps, TIMES).flatten(1)
    torch.testing.assert_close(target.flatten(1), inner + (x_0.flatten(1) - inner) @ q)
    torch.testing.assert_close(prediction.to_x0(process, target, x_t, TIMES), x_0)
    torch.testing.assert_close(prediction.from_x0(process, x_0, x_t, TIMES), target)
    # The gain is the derivative by the prediction.
    assert isinstance(prediction, Parameterisation)
    change = normal(5, 3, *SHAPE)
    moved = prediction.to_x0(process, target + change, x_t, TIMES) - x_0
    torch.testing.assert_close(prediction.gain(process, x_t, TIMES) * change, moved)


def test_consistency_leaves_the_band_alone(inside: Process) -> None:
    process, x_0, wrong = Restricted(inside, BAND), normal(0, 3, *SHAPE), normal(1, 3, *SHAPE)
    x_t = process.perturb(x_0, TIMES, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(process.consistent(wrong, x_t, TIMES), wrong)


def test_descriptions_and_copies(inside: Process) -> None:
    process = Restricted(inside, BAND)
    assert process.to_dict() == inside.to_dict() | {"unseen": BAND.to_dict()}
    assert process_from_dict(process.to_dict()) == process != inside
    assert copy.deepcopy(process) == process == pickle.loads(pickle.dumps(process))


def test_classes_have_their_noise() -> None:
    members = [spectral(PowerLaw(-0.5)), spectral(Flat())]
    process = Restricted(ForwardProcess(CosineSchedule(), ClassCovariance(members)), BAND)
    own = process.given(torch.tensor([1, 0]))
    assert own.unseen == process.unseen
    x = own.perturb(normal(0, 2, *SHAPE), 0.5, generator=torch.Generator().manual_seed(1))
    assert (B * BASIS.forward(x)).abs().max() < 1e-12
    single = Restricted(INSIDE["scalar"](), BAND)
    assert single.given(torch.tensor([0, 1])) is single
