import math

import pytest
import torch

from sagd.errors import InputError
from sagd.random import generator_for, randn, sample_generators


def test_one_generator_gives_torchs_own_draws():
    ours = randn((3, 2), torch.Generator().manual_seed(1), torch.float64)
    assert torch.equal(ours, torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def test_without_generator_the_global_one_is_used():
    torch.manual_seed(4)
    first = randn((2,))
    torch.manual_seed(4)
    assert torch.equal(first, torch.randn(2))
    assert randn((2,)).dtype == torch.get_default_dtype()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_float32(dtype):
    wide = randn((100,), torch.Generator().manual_seed(1), torch.float32)
    assert torch.equal(randn((100,), torch.Generator().manual_seed(1), dtype), wide.to(dtype))


def test_sample_draws_do_not_depend_on_their_neighbours():
    whole = randn((5, 3, 4), sample_generators(7, 5))
    assert torch.equal(
        torch.cat([randn((2, 3, 4), sample_generators(7, 2)), randn((3, 3, 4), sample_generators(7, 3, 2))]), whole
    )
    assert torch.equal(randn((5, 3, 4), tuple(sample_generators(7, 5))), whole)


def test_results_go_to_the_device_asked_for():
    assert randn((2, 3), sample_generators(0, 2), device="meta").device.type == "meta"
    assert randn((2, 3), torch.Generator(), device="meta").device.type == "meta"
    assert randn((2, 3), device="meta").device.type == "meta"


@pytest.mark.parametrize("shape", [(3, 4), (1,), ()])
def test_wrong_number_of_generators_is_refused(shape):
    with pytest.raises(InputError, match=r"got 2 generators for a batch of shape .*; give one per sample"):
        randn(shape, sample_generators(0, 2))


def test_keys_give_reproducible_and_distinct_streams():
    keys = [(), (0,), (0, 0), (0, 0, 0), (1,), (0, 1), (1, 0), (2**32,), (2**32, 0), (-1,), (2**80,), (12, 3), (1, 23)]
    seeds = [generator_for(*key).initial_seed() for key in keys]
    assert seeds == [generator_for(*key).initial_seed() for key in keys]
    # torch's CPU generator uses the low 32 bits of a seed; these must differ too.
    assert len({seed % 2**32 for seed in seeds}) == len(keys)


def test_keys_are_integers_whatever_their_type():
    assert generator_for(True, torch.tensor(3)).initial_seed() == generator_for(1, 3).initial_seed()


def test_keyed_streams_are_independent_normals():
    """The first draw of 4000 neighbouring keys: mean, variance, lag-1 correlation, each at level 1e-6."""
    x = torch.stack([torch.randn((), generator=g, dtype=torch.float64) for g in sample_generators(11, 4000)])
    assert abs(x.mean()) < 4.9 / math.sqrt(4000)
    assert abs(x.square().mean() - 1) < 4.9 * math.sqrt(2 / 4000)
    assert abs((x[1:] * x[:-1]).mean()) < 4.9 / math.sqrt(4000)
    assert len(set(x.tolist())) == 4000
