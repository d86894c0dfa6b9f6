"""Trials where the truth is known."""

import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.trial import tried
from sagd.random import generator_for, randn


def test_errors_are_those_of_ways_against_the_draws():
    draws, damage = (randn((5, 2, 6, 8), generator_for(k, "trial"), torch.float64) for k in range(2))
    found = tried(draws, damage, {"none": lambda y: y, "half": lambda y: (y + draws) / 2, "all": lambda y: draws})
    power = damage.square().flatten(1).mean(1)
    torch.testing.assert_close(found["none"], power)
    torch.testing.assert_close(found["half"], power / 4)
    assert not found["all"].any()


def test_damage_laid_on_has_the_spectrum_of_what_was_taken_out_and_knows_nothing_of_it():
    damage, basis = randn((200, 1, 8, 8), generator_for(0, "trial"), torch.float64), FourierBasis((8, 8))
    laid = []
    tried(torch.zeros_like(damage), damage, {"kept": lambda y: laid.append(y) or y})
    one, two = basis.forward(damage), basis.forward(laid[0])
    torch.testing.assert_close(one.abs(), two.abs())
    inside = basis.multiplicity() > 1  # others are real
    shared = (one.conj() * two).real[:, 0][:, inside]
    assert abs(float(shared.mean() / shared.std())) < 4 / len(shared.flatten()) ** 0.5
