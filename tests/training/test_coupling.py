"""Pairs by optimal transport against all permutations; both laws stay as they are."""

import itertools

import pytest
import torch

from sagd.build.objects import build_loss
from sagd.build.schema import DenoiserConfig
from sagd.errors import InputError
from sagd.model.denoiser import NetworkDenoiser
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import measure
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import RectifiedSchedule
from sagd.random import generator_for
from sagd.training.coupling import CoupledLoss, partners
from sagd.training.objective import DenoisingLoss

SHAPE = (1, 4, 5)


def process(alpha=-1.0):
    return ForwardProcess(RectifiedSchedule(), SpectralCovariance(PowerLaw(alpha), SHAPE))


def images(count, seed=0):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed)).cumsum(-1)


class Scale(torch.nn.Module):
    """A network of one weight."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, t, **condition):
        return self.scale * x


class Spy:
    """A loss that keeps what it is given, and draws its noise first as the loss does."""

    def weights(self, x_0, condition):
        return None

    def __call__(self, denoiser, x_0, condition, generator):
        self.given = x_0, condition, denoiser.process.noise(x_0, generator)
        return x_0.mean()


def denoiser(forward, prediction="velocity", **kwargs):
    return NetworkDenoiser(Scale(), forward, prediction, **kwargs)


def cost(forward, x_0, eps, rows):
    return float(forward.covariance.mahalanobis(x_0[torch.as_tensor(rows)] - eps).sum())


def test_no_other_pairs_are_nearer():
    forward, x_0 = process(), images(5)
    eps = forward.noise(x_0, generator_for(0))
    rows = partners(forward, x_0, eps)
    every = [cost(forward, x_0, eps, rows) for rows in itertools.permutations(range(5))]
    assert cost(forward, x_0, eps, rows) == pytest.approx(min(every))
    assert sorted(rows.tolist()) == list(range(5))


def test_the_distance_is_that_of_the_noise():
    """Pairs under steep noise are not those of Euclid's distance."""
    x_0 = images(24)
    eps = process().noise(x_0, generator_for(1))
    white = ForwardProcess(RectifiedSchedule(), IsotropicCovariance(SHAPE))
    assert not torch.equal(partners(process(), x_0, eps), partners(white, x_0, eps))


def test_classes_stay_among_themselves():
    forward, x_0, labels = process(), images(12), torch.arange(12) % 3
    rows = partners(forward, x_0, forward.noise(x_0, generator_for(2)), labels)
    assert torch.equal(labels[rows], labels)
    assert sorted(rows.tolist()) == list(range(12))


def test_the_loss_is_given_the_pairs():
    forward, x_0, labels, spy = process(), images(16), torch.arange(16) % 2, Spy()
    CoupledLoss(spy)(denoiser(forward), x_0, labels, generator_for(3))
    eps = forward.noise(x_0, generator_for(3))
    rows = partners(forward, x_0, eps, labels)
    given, told, noise = spy.given
    assert torch.equal(given, x_0[rows])
    assert torch.equal(told.labels, labels[rows])
    assert torch.equal(noise, eps)
    assert not torch.equal(rows, torch.arange(16))


def test_noise_is_that_of_the_same_seed_without_coupling():
    """A loss whose pairs are all alike, of equal images, is the plain one."""
    model, x_0 = denoiser(process()), images(1).expand(8, *SHAPE)
    loss = DenoisingLoss()
    assert CoupledLoss(loss)(model, x_0, generator=generator_for(4)) == loss(model, x_0, generator=generator_for(4))
    g = (torch.Generator().manual_seed(5) for _ in range(2))
    assert CoupledLoss(loss)(model, x_0, generator=next(g)) == loss(model, x_0, generator=next(g))


def test_both_ends_keep_their_laws():
    """Every image is used once; the noise of a batch is N(0, Sigma) whatever it is paired with."""
    forward, x_0 = process(), images(16)
    drawn = [forward.noise(x_0, generator_for(6, i)) for i in range(400)]
    first = torch.stack([eps[partners(forward, x_0, eps).argsort()[0]] for eps in drawn])
    every = torch.cat(drawn)
    power = forward.covariance.mahalanobis(every).mean() / forward.covariance.size
    assert power.item() == pytest.approx(1, abs=0.02)
    # Of a single image it is not: that is what coupling is for.
    whitened = forward.covariance.whiten(first).flatten(1), forward.covariance.whiten(x_0[:1]).flatten(1)
    assert float((whitened[0] @ whitened[1].T).mean()) > 0.1


def test_it_is_configured():
    statistics = measure(images(20))
    config = DenoiserConfig(prediction="velocity", time="uniform", coupling="optimal", condition_dropout=0.0)
    loss = build_loss(config, process(), statistics)
    assert isinstance(loss, CoupledLoss)
    assert loss.weighting == loss.loss.weighting
    with pytest.raises(InputError, match=r"denoiser.coupling is optimal, which models of bands \(random\) do not take"):
        build_loss(DenoiserConfig(coupling="optimal", bands="random"), process(), statistics)


def test_what_cannot_be_paired_is_refused():
    by_class = ClassCovariance([SpectralCovariance(PowerLaw(a), SHAPE) for a in (0.0, -1.0)])
    forward = ForwardProcess(RectifiedSchedule(), by_class)
    with pytest.raises(InputError, match="needs noise of one law, and that of this model depends on the class"):
        CoupledLoss(DenoisingLoss())(denoiser(forward), images(4), torch.tensor([0, 1, 0, 1]), generator_for(0))
    with pytest.raises(InputError, match="noise must not depend on condition 'image'"):
        CoupledLoss(DenoisingLoss())(denoiser(process()), images(4), {"image": images(4)}, generator_for(0))
    with pytest.raises(InputError, match="coupling needs a generator"):
        CoupledLoss(DenoisingLoss())(denoiser(process()), images(4))
