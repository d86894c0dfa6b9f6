"""Trials where the truth is known."""

import pytest
import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.posterior import GaussianPrior
from sagd.omission.trial import CLEAN, CLEANED, DAMAGED, Left, damaged_draws, some_of, tried, weights_of
from sagd.random import generator_for, randn

BASIS = FourierBasis((6, 8))
WHERE = (BASIS.radius() > 0.2).double()


def drawn(count, *key):
    return randn((count, 2, 6, 8), generator_for(*key), torch.float64)


def test_errors_are_those_of_ways_against_the_draws():
    """Under what was taken out, and under what items hold more than their draws."""
    y, draws, taken = (drawn(5, 0, name) for name in ("y", "draws", "taken"))
    noise = torch.ones(1, 2, *BASIS.coefficients, dtype=torch.float64)
    x, given = torch.cat([draws, draws]), []

    def network(z, power):
        given.append((z, power))
        return (z + x) / 2

    z = damaged_draws(y, draws, taken)
    trial = tried(x, z, x + (z - x) / 4, noise, WHERE, network)
    laid = torch.cat([taken, y - draws])
    power = laid.square().flatten(1).mean(1)
    for way, share in {CLEAN: 1 / 4, DAMAGED: 1 / 2}.items():
        torch.testing.assert_close(trial.errors[way], share**2 * power)
    torch.testing.assert_close(trial.errors[CLEANED], ((given[1][0] - x) / 2).square().flatten(1).mean(1))
    assert trial.from_cleaned
    assert given[0][1] is noise
    torch.testing.assert_close(given[1][0], trial.left.shown(x + (z - x) / 4))
    assert given[1][1] is trial.left.noise


def test_trials_count_by_what_share_of_the_damage_is_of_their_kind():
    """Cleaning takes 0.8 of the amplitude of damage whose power is 4 in all samples: 0.64 of its power."""
    noise = torch.full((1, 2, *BASIS.coefficients), 4.0, dtype=torch.float64)
    taken = torch.full((3, 2, 6, 8), 1.6, dtype=torch.float64)
    weight = weights_of(taken, noise, BASIS, 3)
    torch.testing.assert_close(weight, torch.tensor([0.64] * 3 + [0.36] * 3, dtype=torch.float64))
    assert weights_of(9 * taken, noise, BASIS, 1).tolist() == [1, 0]
    x, z = torch.zeros(2, 2, 6, 8), torch.ones(2, 2, 6, 8)
    errors = iter(([1.0, 1.0], [0.9, 1.2]))  # cleaned items are better under what cleaning takes out alone

    def network(y, power):
        return torch.tensor(next(errors)).reshape(2, 1, 1, 1) ** 0.5 * torch.ones(2, 2, 6, 8)

    for share, better in ((0.8, True), (0.5, False)):
        errors = iter(([1.0, 1.0], [0.9, 1.2]))
        weight = torch.tensor([share, 1 - share])
        assert tried(x, z, z, noise, WHERE, network, weight=weight).from_cleaned == better


def shrunk(count, gain):
    """Items, and `g (x + n)` of them: `S` and `N` of 2 and of 3 where something is replaced."""
    x, n = (2**0.5 * drawn(count, 2, "x"), 3**0.5 * drawn(count, 2, "n"))
    return x, BASIS.inverse(BASIS.forward(x) + WHERE * ((gain - 1) * BASIS.forward(x) + gain * BASIS.forward(n)))


def test_what_cleaning_leaves_is_told_apart_from_what_it_took():
    """20,000 items: five standard errors of a gain of 0.4 are 0.04, of a power 5 %."""
    x, z = shrunk(20_000, 0.4)
    left = Left.of(zip(x.split(7000), z.split(7000), strict=True), WHERE)
    own, other = WHERE > 0, WHERE == 0
    assert float((left.gain[0] - 0.4)[:, own].abs().max()) < 0.04
    assert float((left.noise[0] / 3 - 1)[:, own].abs().max()) < 0.05
    assert (left.gain[0][:, other] == 1).all()
    assert not left.noise[0][:, other].any()
    shown = BASIS.forward(left.shown(z) - x).abs().square().mean(0)
    torch.testing.assert_close(shown[:, own], left.noise[0][:, own], rtol=1e-6, atol=0)


def test_draws_given_what_is_left_have_the_power_of_the_items():
    """Of Gaussian items; as if `z` were an item under noise they had 0.8 of it, shrunk twice."""
    x, z = shrunk(20_000, 0.4)
    left = Left.of([(x, z)], WHERE)
    prior = GaussianPrior.measured(x, torch.zeros(1, 2, *BASIS.coefficients, dtype=torch.float64), BASIS)
    off = BASIS.forward(z - x).abs().square().mean(0, keepdim=True)
    powers = []
    for shown, noise in ((left.shown(z), left.noise), (z, off)):
        power = BASIS.forward(prior.draw(shown, noise)).abs().square().mean(0)
        powers.append(float(power[:, WHERE > 0].mean()) / 2)
    assert abs(powers[0] - 1) < 0.02
    assert powers[1] < 0.85


def test_where_next_to_nothing_is_left_nothing_is_known():
    x, z = shrunk(4000, 0.02)
    left = Left.of([(x, z)], WHERE)
    assert left.noise[0][:, WHERE > 0].isinf().all()
    torch.testing.assert_close(left.shown(z), z)
    # Two items tell a gain so roughly that without a doubt it would be anything.
    assert float(Left.of([(x[:2], x[:2])], WHERE).gain.min()) == pytest.approx(1)


def test_places_count_by_their_share():
    x, half = torch.zeros(3, 2, 6, 8), (torch.arange(8) < 4).float()
    off = half.expand(3, 2, 6, 8)
    noise = torch.ones(1, 2, *BASIS.coefficients)
    for share, error in ((half, 1.0), (1 - half, 0.0), (1 + 0 * half, 0.5)):
        trial = tried(x, off, off, noise, WHERE, lambda z, power: z, share.expand(6, 8))
        torch.testing.assert_close(trial.errors[CLEAN], torch.full((3,), error, dtype=torch.float64))


def test_damage_laid_on_has_the_spectrum_of_what_was_taken_out_and_knows_nothing_of_it():
    taken, zero = drawn(200, 1, "taken"), torch.zeros(200, 2, 6, 8, dtype=torch.float64)
    laid = damaged_draws(zero, zero, taken)
    one, two = BASIS.forward(taken), BASIS.forward(laid[:200])
    torch.testing.assert_close(one.abs(), two.abs())
    inside = BASIS.multiplicity() > 1  # others are real
    shared = (one.conj() * two).real[:, 0][:, inside]
    assert abs(float(shared.mean() / shared.std())) < 4 / len(shared.flatten()) ** 0.5
    assert not laid[200:].any()


def test_few_items_are_tried_more_than_once():
    assert some_of(1).tolist() == [0] * 2
    assert some_of(3).tolist() == [0, 1, 2]
    assert some_of(12).tolist() == list(range(12))
    assert some_of(100).tolist() == list(range(16))
