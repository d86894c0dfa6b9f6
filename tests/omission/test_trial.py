"""Trials where the truth is known."""

import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.trial import CLEAN, CLEANED, DAMAGED, damaged_draws, some_of, tried
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
    for way, share in {CLEAN: 1 / 4, DAMAGED: 1 / 2, CLEANED: 1 / 8}.items():
        torch.testing.assert_close(trial.errors[way], share**2 * power)
    assert trial.from_cleaned
    assert given[0][1] is noise
    left = BASIS.forward(laid / 4).abs().square().mean(0, keepdim=True)
    torch.testing.assert_close(given[1][1], left * WHERE)
    assert given[1][1] is trial.left


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
