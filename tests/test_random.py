import copy
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from sagd.errors import InputError
from sagd.random import (
    Stream,
    device_generator,
    generator_for,
    rand,
    randint,
    randn,
    randperm,
    sample_generators,
    seed_for,
    subset,
    uniform_at,
)


def seeded():
    return torch.Generator().manual_seed(1)


def test_one_generator_gives_torchs_own_draws():
    assert torch.equal(
        randn((3, 2), seeded(), torch.float64), torch.randn(3, 2, generator=seeded(), dtype=torch.float64)
    )
    assert torch.equal(rand((3, 2), seeded()), torch.rand(3, 2, generator=seeded()))
    assert torch.equal(randint(9, (3, 2), seeded()), torch.randint(9, (3, 2), generator=seeded()))
    assert torch.equal(randperm(7, seeded()), torch.randperm(7, generator=seeded()))
    assert torch.equal(subset(7, 3, seeded()), torch.randperm(7, generator=seeded())[:3])


def test_without_generator_the_global_one_is_used():
    for ours, theirs in (
        (lambda: randn((2,)), lambda: torch.randn(2)),
        (lambda: rand((2,)), lambda: torch.rand(2)),
        (lambda: randint(1000, (2,)), lambda: torch.randint(1000, (2,))),
        (lambda: randperm(9), lambda: torch.randperm(9)),
    ):
        torch.manual_seed(4)
        first = ours()
        torch.manual_seed(4)
        assert torch.equal(first, theirs())
    assert randn((2,)).dtype == torch.get_default_dtype()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("generator", [seeded, lambda: generator_for(1)])
@pytest.mark.parametrize("draw", [randn, rand])
def test_half_precision_is_rounded_float32(draw, generator, dtype):
    wide = draw((100,), generator(), torch.float32)
    assert torch.equal(draw((100,), generator(), dtype), wide.to(dtype))


@pytest.mark.parametrize("draw", [randn, rand, lambda shape, g: randint(1000, shape, g)])
def test_sample_draws_do_not_depend_on_their_neighbours(draw):
    whole = draw((5, 3, 4), sample_generators(7, 5))
    assert torch.equal(
        torch.cat([draw((2, 3, 4), sample_generators(7, 2)), draw((3, 3, 4), sample_generators(7, 3, 2))]), whole
    )
    assert torch.equal(draw((5, 3, 4), tuple(sample_generators(7, 5))), whole)
    assert len(whole.flatten(1).unique(dim=0)) == 5


def test_sequences_may_mix_streams_and_generators():
    both = randn((2, 3), [generator_for(1), seeded()])
    assert torch.equal(both, torch.stack([randn((3,), generator_for(1)), randn((3,), seeded())]))


@pytest.mark.parametrize("generator", [None, torch.Generator(), generator_for(0), sample_generators(0, 2)])
@pytest.mark.parametrize("draw", [randn, rand])
def test_results_go_to_the_device_asked_for(draw, generator):
    assert draw((2, 3), generator, device="meta").device.type == "meta"


@pytest.mark.parametrize("shape", [(3, 4), (1,), ()])
@pytest.mark.parametrize("draw", [randn, rand, lambda shape, g: randint(9, shape, g)])
def test_wrong_number_of_generators_is_refused(draw, shape):
    with pytest.raises(InputError, match=r"got 2 generators for a batch of shape .*; give one per sample"):
        draw(shape, sample_generators(0, 2))


KEYS = [(), (0,), (0, 0), (0, 0, 0), (1,), (0, 1), (1, 0), (2**32,), (2**32, 0), (-1,), (2**80,), (12, 3), (1, 23)]
TEXTS = [("0",), ("",), ("", ""), ("0", "0"), (0, "0"), ("0", 0), ("noise",), ("noi", "se"), ("0, 0",), ("'0', '0'",)]


def test_keys_give_reproducible_and_distinct_streams():
    first = [float(generator_for(*key).uniform((), torch.float64)) for key in KEYS + TEXTS]
    assert first == [float(generator_for(*key).uniform((), torch.float64)) for key in KEYS + TEXTS]
    assert len(set(first)) == len(first)
    seeds = {seed_for(*key) for key in KEYS + TEXTS}
    assert len(seeds) == len(first)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_keys_are_integers_whatever_their_type():
    for key in ((True, torch.tensor(3)), (np.int64(1), np.uint8(3))):
        assert seed_for(*key) == seed_for(1, 3)
        assert torch.equal(generator_for(*key).normal((3,)), generator_for(1, 3).normal((3,)))


@pytest.mark.parametrize("key", [(0.5,), (0, None), ((1, 2),), (b"noise",), (torch.tensor([1, 2]),)])
def test_other_keys_are_refused(key):
    with pytest.raises(InputError, match="the key of a random stream holds whole numbers and texts, got"):
        generator_for(*key)


def test_no_two_of_200000_samples_share_a_stream():
    """By their first 53 bits, which two of independent streams share with probability 2e-6.

    Samples 38,382 and 93,547 of seed 0 shared 32 bits of an earlier hash, and with them all of their noise.
    """
    first = torch.cat([stream.uniform((1,), torch.float64) for stream in sample_generators(0, 200_000)])
    assert len(first.unique()) == len(first)
    assert first[38_382] != first[93_547]


def test_a_stream_is_philox_under_the_hash_of_its_key():
    """The short way to a key leads to the same numbers as numpy's own."""
    stream = generator_for(3, "noise")
    (key,) = {state["state"]["key"].tobytes() for state in [stream._source.bit_generator.state]}
    own = np.random.Generator(np.random.Philox(key=np.frombuffer(key, np.uint64)))
    assert stream.normal((5,), torch.float64).tolist() == own.standard_normal(5).tolist()
    assert seed_for(3, "noise") == int(np.frombuffer(key, np.uint64)[0]) >> 1


def test_what_a_seed_means_does_not_change():
    """Literals: all results of a seed change with these."""
    stream = generator_for(0, "noise", 1, 0)
    assert stream.uniform((2,), torch.float64).tolist() == [0.6099015492149299, 0.4204009270295095]
    assert stream.uniform((2,)).tolist() == [0.08577150106430054, 0.9579464793205261]
    assert stream.integers(1000, (5,)).tolist() == [535, 3, 435, 949, 979]
    assert stream.permutation(8).tolist() == [5, 0, 2, 4, 1, 7, 3, 6]
    assert stream.normal((2,), torch.float64).tolist() == [-1.6498895321735754, 1.5789344948915]
    assert stream.normal((2,)).tolist() == [1.8526537418365479, -0.19258740544319153]
    assert seed_for(0, "noise", 1, 0) == 3958122614474307131


def test_streams_are_copied_and_pickled_with_their_place():
    stream = generator_for(5)
    stream.normal((3,))
    others = [copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    draw = torch.cat([stream.normal((4,)), stream.uniform((4,))])
    for other in others:
        assert torch.equal(torch.cat([other.normal((4,)), other.uniform((4,))]), draw)


def test_generators_of_devices():
    on_cpu = device_generator("cpu", 3, "noise")
    assert isinstance(on_cpu, Stream)
    assert torch.equal(on_cpu.normal((3,)), generator_for(3, "noise").normal((3,)))
    if torch.cuda.is_available():
        on_gpu = device_generator("cuda", 3, "noise")
        assert on_gpu.initial_seed() == seed_for(3, "noise")
        x = randn((1000,), on_gpu)
        assert x.device.type == "cuda"
        assert torch.equal(randn((1000,), device_generator("cuda", 3, "noise")), x)


# Statistical tests: fixed seeds, each at level 1e-6 (4.9 standard deviations).


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("draws", [1, 2000])
def test_streams_are_independent_normals(draws, dtype):
    """A long draw of a few keys, and the first of many neighbours: law, moments, lag-1 correlation."""
    n = 100_000
    streams = sample_generators(11, n // draws)
    x = torch.cat([stream.normal((draws,), dtype) for stream in streams]).double()
    assert abs(x.mean()) < 4.9 / math.sqrt(n)
    assert abs(x.square().mean() - 1) < 4.9 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 4.9 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 4.9 * math.sqrt(96 / n)
    assert abs((x[1:] * x[:-1]).mean()) < 4.9 / math.sqrt(n)
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_draws(dtype):
    n = 100_000
    x = rand((n,), generator_for(12), dtype).double()
    assert stats.kstest(x.numpy(), "uniform").pvalue > 1e-6
    assert abs(((x[1:] - 0.5) * (x[:-1] - 0.5)).mean()) < 4.9 / 12 / math.sqrt(n)


def test_draws_at_places_are_uniform_and_independent_of_their_neighbours():
    lattice = torch.stack(torch.meshgrid(torch.arange(-150, 150), torch.arange(300), indexing="ij"))
    x = uniform_at(5, lattice)
    assert stats.kstest(x.flatten().numpy(), "uniform").pvalue > 1e-6
    for other in (x.roll(1, 0), x.roll(1, 1), x.T, uniform_at(6, lattice)):
        assert abs(((x - 0.5) * (other - 0.5)).mean()) < 4.9 / 12 / 300
    # A function of key and place: another window agrees where both are.
    assert torch.equal(uniform_at(5, lattice[:, 7:50, 3:]), x[7:50, 3:])
    expected = [0.21540000279678667, 0.6487508368737174]
    assert uniform_at(5, torch.tensor([[0, -1], [0, 2]])).tolist() == expected


def test_whole_numbers_and_permutations_are_uniform():
    counts = randint(10, (100_000,), generator_for(13)).bincount()
    assert stats.chisquare(counts.numpy()).pvalue > 1e-6
    stream = generator_for(14)
    orders = torch.stack([randperm(4, stream) for _ in range(24_000)])
    counts = (orders * torch.tensor([64, 16, 4, 1])).sum(1).unique(return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-6
