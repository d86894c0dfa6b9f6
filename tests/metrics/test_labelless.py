"""Features of fixed filters: faults that they must tell at 200 fields, of any rank, and what must not matter."""

from pathlib import Path

import pytest
import torch

from sagd.errors import InputError
from sagd.metrics import LabellessFeatures, evaluate, kernel_distance

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
N = 200


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def axes(x):
    return tuple(range(2, x.ndim))


def blurred(x):
    """A Gaussian of 0.7 places."""
    f = torch.meshgrid(*(torch.fft.fftfreq(n) for n in x.shape[2:]), indexing="ij")
    gain = torch.exp(-2 * (torch.pi * 0.7) ** 2 * sum(k * k for k in f))
    return torch.fft.ifftn(torch.fft.fftn(x, dim=axes(x)) * gain, dim=axes(x)).real


def noisy(x):
    """White noise of a quarter of the spread."""
    return x + 0.25 * x.std() * normal(*x.shape, seed=5)


def phases_drawn_anew(x):
    """The same power at every frequency of every field."""
    noise = torch.fft.fftn(normal(len(x), 1, *x.shape[2:], seed=6), dim=axes(x))
    mean = x.mean(0)
    return mean + torch.fft.ifftn(torch.fft.fftn(x - mean, dim=axes(x)) * noise / noise.abs(), dim=axes(x)).real


def patches_shuffled(x):
    """Quarters of every axis in another order, field by field."""
    generator = torch.Generator().manual_seed(7)

    def shuffled(field):
        for axis in range(1, field.ndim):
            parts = field.chunk(4, axis)
            field = torch.cat([parts[k] for k in torch.randperm(len(parts), generator=generator)], axis)
        return field

    return torch.stack([shuffled(field) for field in x])


FAULTS = [blurred, noisy, phases_drawn_anew, patches_shuffled]


def blobs(rank, seed):
    """Bright boxes on a dark ground: edges, whose spectrum a Gaussian field may share."""
    side = {1: 64, 2: 16, 3: 8}[rank]
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(N, 1, *[side] * rank)
    for field in x:
        start = (torch.rand(rank, generator=generator) * side / 2).long() + 1
        size = (torch.rand(rank, generator=generator) * side / 4).long() + 2
        field[(0, *(slice(int(a), int(a + b)) for a, b in zip(start, size, strict=True)))] = 1
    return x + 0.02 * normal(*x.shape, seed=seed)


def told(samples, real, reference):
    """Deviations by which a figure is above its floor, and the same of real fields."""
    features = LabellessFeatures.fitted(reference)
    figure, floor = (kernel_distance(features(x), features(reference)) for x in (samples, real))
    return (figure.value - floor.value) / (figure.standard_error**2 + floor.standard_error**2) ** 0.5


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_faults_of_fields_of_any_rank(rank, fault):
    samples, real, reference = (blobs(rank, seed) for seed in (1, 2, 3))
    assert told(fault(samples), real, reference) > 3
    assert abs(told(samples, real, reference)) < 3


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_digits(digits, fault):
    images = digits[0]
    samples, real, reference = images[: 3 * N].split(N)
    # 0.25 of the spread is less than a step of the 17 grey levels: digits hold noise as large themselves.
    assert told(fault(samples), real, reference) > (2 if fault is noisy else 3)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["mnist-test", "cifar10-test"])
def test_faults_of_images(name, fault):
    from sagd.data.config import DataConfig
    from sagd.data.load import load

    path = SHARED / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in ../shared/data")
    samples, real, reference = load(DataConfig(str(path), limit=3 * N)).tensor().split(N)
    assert told(fault(samples), real, reference) > 3
    assert abs(told(samples, real, reference)) < 4


def test_units_do_not_matter():
    x, y = blobs(2, 1), blobs(2, 2)
    one = kernel_distance(*map(LabellessFeatures.fitted(y), (x, y)))
    other = kernel_distance(*map(LabellessFeatures.fitted(300 * y + 5), (300 * x + 5, 300 * y + 5)))
    assert other.value == pytest.approx(one.value, rel=1e-2, abs=1e-4)


def test_channels_that_do_not_belong_together_are_told():
    """Each channel by itself is right; they are those of different fields."""

    def both(seed):
        return torch.cat([blobs(2, seed), blobs(2, seed) + 0.05 * normal(N, 1, 16, 16, seed=seed + 9)], 1)

    samples, real, reference = both(1), both(2), both(3)
    samples[:, 1] = samples[:, 1].roll(1, 0)
    assert told(samples, real, reference) > 3


@pytest.mark.parametrize("shape", [(1, 1), (2, 2, 5), (1, 1, 40), (3, 7, 1, 9), (1, 3, 3, 3, 3)])
def test_any_shape_has_features(shape):
    features = LabellessFeatures.fitted(normal(48, *shape))
    got = features(normal(5, *shape, seed=1))
    assert got.shape[0] == 5
    assert 1 <= got.shape[1] <= 4
    assert got.isfinite().all()


def test_batches_change_nothing():
    x = normal(30, 2, 12, 12)
    features = LabellessFeatures.fitted(x)
    torch.testing.assert_close(features(x, batch_size=7), features(x), atol=1e-4, rtol=1e-4)


def test_they_say_which_they_are():
    one, same, other = (LabellessFeatures.fitted(normal(30, 1, 8, seed=s)) for s in (0, 0, 1))
    assert one.identifier == same.identifier != other.identifier
    assert (one.name, one.identifier.split()[0]) == ("labelless", "labelless:1")


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"take fields \(N, 1, 8\), got \(4, 1, 9\)"):
        LabellessFeatures.fitted(normal(30, 1, 8))(normal(4, 1, 9))


def test_they_stand_in_where_no_extractor_is_given():
    x = blobs(2, 1)
    result = evaluate(x[:60], torch.cat([blobs(2, 2), blobs(2, 3)]), resamples=0)
    assert result.features == "labelless"
    assert result.feature_dimension == 5
    assert result.figure.labelless is None
    assert result.figure.precision > 0.7
