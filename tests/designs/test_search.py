"""Which candidate is chosen, by spectra whose answers are known."""

import pytest
from tests.sampling.test_expected import steep

from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.designs.search import EXPONENTS, Candidate, Search, is_worse, search
from sagd.errors import InputError


def searched(slope, evaluations):
    statistics = steep((16, 16), slope)

    def process_of(g):
        spectrum = f"whitening(exponent={g})" if g else "flat"
        return build_process(ProcessConfig(spectrum=spectrum, basis="fourier"), (1, 16, 16), statistics)

    seen = []
    found = search(process_of, statistics, evaluations, done=lambda: seen.append(1))
    assert len(seen) == len(EXPONENTS)
    return found


def test_white_noise_will_do_for_white_data():
    found = searched(0.0, 6)
    assert found.white_will_do
    assert found.chosen == found.white


def test_steep_data_in_few_evaluations_wants_whitened_noise():
    found = searched(-5.0, 6)
    assert found.chosen.exponent == 1
    assert found.chosen.error < found.white.error / 2
    assert (found.chosen.sampler, found.chosen.steps) == ("dpm_solver", 6)


def test_of_many_evaluations_the_spectrum_says_nothing_and_whitened_noise_is_kept():
    found = searched(-5.0, 50)
    assert not is_worse(found.white.error, found.whitened.error)
    assert found.chosen == found.whitened


@pytest.mark.parametrize(
    ("white", "whitened", "range_db", "chosen"),
    [(0.45, 0.6, 30, 1), (0.2, 0.6, 30, 0), (0.6, 0.2, 30, 1), (0.6, 0.2, 9, 0)],
)
def test_whitened_noise_unless_white_is_seen_to_be_nearer_or_the_data_is_flat(white, whitened, range_db, chosen):
    """And never what is whitened in part, however near that is expected."""
    errors = {0.0: white, 0.5: 0.01, 1.0: whitened}
    found = Search(6, tuple(Candidate(g, "dpm_solver", 6, "matched", e) for g, e in errors.items()), {}, range_db)
    assert found.chosen.exponent == chosen


def test_heuns_method_is_not_chosen_in_few_evaluations():
    """Whatever its spectrum promises: such samples are all alike."""
    both = tuple(Candidate(1.0, sampler, 6, "matched", e) for sampler, e in (("heun", 0.1), ("dpm_solver", 0.3)))
    white = Candidate(0.0, "dpm_solver", 6, "matched", 2.0)
    for evaluations, sampler in ((6, "dpm_solver"), (10, "dpm_solver"), (11, "heun")):
        assert Search(evaluations, (*both, white), {}, 40).chosen.sampler == sampler


def test_gains_are_told_of_samplers_that_may_be_advised():
    found = searched(-5.0, 6)
    assert any(c.sampler == "heun" for c in found.candidates)
    assert all(c.sampler == "dpm_solver" for n in (4, 6, 10) for c in found.usual[n].values())


@pytest.mark.parametrize("evaluations", [1, 0, -3, 2.5, True])
def test_too_few_evaluations_are_refused(evaluations):
    with pytest.raises(InputError, match="evaluations"):
        searched(-2.0, evaluations)
