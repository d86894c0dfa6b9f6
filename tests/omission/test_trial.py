"""Trials where the truth is known."""

import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.trial import CLEAN, CLEANED, DAMAGED, some_of, tried
from sagd.random import generator_for, randn

BASIS = FourierBasis((6, 8))
WHERE = (BASIS.radius() > 0.2).double()


def drawn(count, *key):
    return randn((count, 2, 6, 8), generator_for(*key), torch.float64)


def test_errors_are_those_of_ways_against_the_draws():
    draws, taken = drawn(5, 0, "draws"), drawn(5, 0, "taken")
    noise = torch.ones(1, 2, *BASIS.coefficients, dtype=torch.float64)
    given = []

    def network(y, power):
        given.append((y, power))
        return (y + draws) / 2

    trial = tried(draws, taken, noise, WHERE, lambda y: draws + (y - draws) / 4, network)
    power = taken.square().flatten(1).mean(1)
    for way, share in {CLEAN: 1 / 4, DAMAGED: 1 / 2, CLEANED: 1 / 8}.items():
        torch.testing.assert_close(trial.errors[way], share**2 * power)
    assert trial.from_cleaned
    assert given[0][1] is noise
    left = BASIS.forward(taken / 4).abs().square().mean(0, keepdim=True)
    torch.testing.assert_close(given[1][1], left * WHERE)
    assert given[1][1] is trial.left


def test_damage_laid_on_has_the_spectrum_of_what_was_taken_out_and_knows_nothing_of_it():
    taken, laid = drawn(200, 1, "taken"), []
    tried(torch.zeros_like(taken), taken, WHERE[None], WHERE, lambda y: y, lambda y, power: laid.append(y) or y)
    one, two = BASIS.forward(taken), BASIS.forward(laid[0])
    torch.testing.assert_close(one.abs(), two.abs())
    inside = BASIS.multiplicity() > 1  # others are real
    shared = (one.conj() * two).real[:, 0][:, inside]
    assert abs(float(shared.mean() / shared.std())) < 4 / len(shared.flatten()) ** 0.5


def test_few_items_are_tried_more_than_once():
    assert some_of(1).tolist() == [0] * 4
    assert some_of(3).tolist() == [0, 1, 2, 0]
    assert some_of(20).tolist() == list(range(20))
    assert some_of(100).tolist() == list(range(32))
