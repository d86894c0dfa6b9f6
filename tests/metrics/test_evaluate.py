"""Evaluation: how images are chosen, that figures and floors match their metrics, and what a wrong model looks like."""

import json

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sagd.errors import InputError
from sagd.metrics import (
    SCALARS,
    LabellessFeatures,
    evaluate,
    fields,
    frechet_distance,
    increments,
    kernel_distance,
    marginals,
    precision_recall,
    scalars,
    sliced_wasserstein,
    spectral_error,
    spectrogram_distance,
)


class Pooled:
    """Features: 2 x 2 block means."""

    name, identifier = "pooled", "pooled:2"

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(images)
        return torch.nn.functional.avg_pool2d(images, 4).flatten(1)


def noise(seed, n, c=1):
    return torch.randn(n, c, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_halves_are_disjoint_and_all_sets_have_n_images():
    samples, reference = noise(0, 40), noise(1, 101)
    extractor = Pooled()
    result = evaluate(samples, reference, extractor, resamples=0)
    chosen, halves = extractor.seen
    assert result.n == len(chosen) == 40
    assert len(halves) == 80
    assert len({x.numpy().tobytes() for x in halves}) == 80
    assert {x.numpy().tobytes() for x in halves} <= {x.numpy().tobytes() for x in reference}
    assert {x.numpy().tobytes() for x in chosen} == {x.numpy().tobytes() for x in samples}


def test_surplus_samples_are_chosen_at_random():
    samples = torch.linspace(-1, 1, 200).view(-1, 1, 1, 1) + 0.01 * noise(2, 200)  # sorted, as by class
    extractor = Pooled()
    result = evaluate(samples, noise(3, 100), extractor, resamples=0)
    chosen = extractor.seen[0].mean((1, 2, 3))
    assert result.n == 50
    assert chosen.min() < -0.8
    assert chosen.max() > 0.8


def test_figures_and_floors_are_the_metrics_of_those_sets():
    extractor = Pooled()
    result = evaluate(0.8 * noise(4, 60, c=2), noise(5, 120, c=2), extractor, bands=3, seed=7)
    chosen, halves = extractor.seen
    first, second = halves[:60], halves[60:]
    for comparison, images in ((result.figure, chosen), (result.floor, first)):
        ours, theirs = extractor(images), extractor(second)
        assert comparison.frechet == frechet_distance(ours, theirs)
        assert comparison.kernel == kernel_distance(ours, theirs)
        assert (comparison.precision, comparison.recall) == tuple(vars(precision_recall(ours, theirs)).values())
        assert comparison.spectral == spectral_error(images, second, 3)
        assert comparison.marginals == marginals(images, second)
        assert comparison.increments == increments(images, second)
        assert comparison.sliced == sliced_wasserstein(images, second)
        features = LabellessFeatures.fitted(second)
        assert comparison.labelless.value == pytest.approx(kernel_distance(features(images), features(second)).value)
        assert comparison.spectrogram is None
        assert comparison.frechet_interval[0] <= comparison.frechet <= comparison.frechet_interval[1]


def test_the_seed_decides_everything():
    samples, reference = noise(6, 30), noise(7, 90)
    one, same, other = (evaluate(samples, reference, Pooled(), bands=1, seed=s) for s in (0, 0, 1))
    assert one == same
    assert one.floor != other.floor


def test_a_perfect_model_is_at_its_floor_and_a_wrong_one_is_not():
    # 40 repetitions; a perfect model's figure and its floor are exchangeable, so figure > floor about half the time:
    # between 8 and 32 times at level 1e-4.
    above = 0
    for seed in range(40):
        result = evaluate(noise(100 + seed, 30), noise(200 + seed, 60), Pooled(), bands=1, resamples=0)
        above += result.figure.frechet > result.floor.frechet
    assert 8 <= above <= 32
    wrong = evaluate(2 * noise(8, 300), noise(9, 600), Pooled(), bands=2, resamples=0)
    assert wrong.figure.frechet > 5 * wrong.floor.frechet
    assert wrong.figure.kernel.value > 5 * wrong.figure.kernel.standard_error
    assert wrong.figure.precision < wrong.floor.precision
    assert wrong.figure.spectral.rms_db == pytest.approx(20 * torch.tensor(2.0).log10().item(), abs=0.3)
    assert wrong.floor.spectral.rms_db < 0.3


def test_result_is_plain_json():
    result = evaluate(noise(10, 20), noise(11, 40), Pooled(), bands=20, resamples=20)  # 20 bands: some are empty
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["n"] == 20
    assert (plain["features"], plain["features_identifier"], plain["feature_dimension"]) == ("pooled", "pooled:2", 4)
    assert plain["figure"].keys() == plain["floor"].keys()
    assert plain["figure"]["kernel"].keys() == {"value", "standard_error"}
    assert len(plain["floor"]["spectral"]["error"]) == 20
    assert plain["floor"]["frechet_interval"] == list(result.floor.frechet_interval)


def test_few_images_warn_of_the_frechet_distance():
    with pytest.warns(UserWarning, match="from 4 images in 4 feature dimensions"):
        evaluate(noise(12, 4), noise(13, 8), Pooled(), bands=1, resamples=0)


def test_digits_against_digits_is_at_the_floor(digits, digit_features):
    images, _ = digits
    result = evaluate(images[1000:1398], images[1398:], digit_features, resamples=20)
    assert result.n == 199
    assert result.floor.precision > 0.8
    # The digits are in random order: figure and floor are exchangeable, and measured to differ by a tenth or so.
    assert result.figure.frechet == pytest.approx(result.floor.frechet, rel=0.5)


@pytest.mark.parametrize(
    ("samples", "reference", "message"),
    [
        ((9, 1, 8, 8), (20, 3, 8, 8), r"samples \(9, 1, 8, 8\) and reference \(20, 3, 8, 8\) must both be"),
        ((9, 1, 8, 8), (20, 1, 9, 9), r"samples \(9, 1, 8, 8\) and reference \(20, 1, 9, 9\) must both be"),
        ((9, 1, 8, 8), (7, 1, 8, 8), "at least 4 samples and 8 reference images, got 9 and 7"),
        ((3, 1, 8, 8), (20, 1, 8, 8), "at least 4 samples and 8 reference images, got 3 and 20"),
    ],
)
def test_sets_that_do_not_fit_are_refused(samples, reference, message):
    with pytest.raises(InputError, match=message):
        evaluate(torch.zeros(samples), torch.zeros(reference), Pooled())


def test_scalars_are_the_figures_of_one_number():
    plain = evaluate(noise(14, 20), noise(15, 40), Pooled(), bands=20, resamples=0).to_dict()
    got, floor = scalars(plain), scalars(plain, "floor")
    unasked = ("spectrogram_kernel", "ring_flatness_rms_db", "told_apart")
    assert list(got) == list(floor) == [name for name in SCALARS if name not in unasked]
    assert got["kernel"] == plain["figure"]["kernel"]["value"]
    assert floor["labelless_kernel"] == plain["floor"]["labelless"]["value"]
    assert got["structure_rms_db"] == plain["figure"]["increments"]["structure_rms_db"]


def test_scales_are_measured_where_that_is_asked_for():
    result = evaluate(noise(16, 40), noise(17, 80), Pooled(), bands=4, resamples=0, by_scale=True)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert scalars(plain)["ring_flatness_rms_db"] == result.figure.rings.flatness_rms_db
    assert scalars(plain, "floor")["told_apart"] == result.floor.apart.accuracy
    assert result.figure.apart.count == 80
    with pytest.raises(InputError, match="at least 10 samples and 20 reference images by scale, got 9 and 40"):
        evaluate(noise(18, 9), noise(19, 40), Pooled(), by_scale=True)


def signals(seed, n):
    return torch.randn(n, 1, 256, generator=torch.Generator().manual_seed(seed))


def test_signals_have_a_distance_of_spectrograms_too():
    result = evaluate(signals(0, 40), signals(1, 80), resamples=0)
    assert result.features == "labelless"
    assert result.figure.spectrogram is not None
    plain = result.to_dict()
    assert scalars(plain)["spectrogram_kernel"] == result.figure.spectrogram.value
    assert "labelless_kernel" not in scalars(plain)
    # Sets of one law, in any order: all of the reference is one half or the other.
    assert abs(spectrogram_distance(signals(0, 40), signals(1, 80)).value) < 1


def test_what_lies_under_masks_does_not_matter():
    x, y = signals(2, 30), signals(3, 70)
    a, b = (torch.arange(256) < torch.randint(100, 257, (len(z), 1), generator=None)[..., None] for z in (x, y))

    def measured(value):
        filled = (torch.where(mask, z, value) for z, mask in ((x, a), (y, b)))
        return evaluate(*filled, resamples=0, samples_mask=a, reference_mask=b)

    assert measured(0.0) == measured(torch.nan) == measured(1e6)
    with pytest.raises(InputError, match="images hold non-finite"):
        evaluate(torch.where(a, x, torch.nan), y, resamples=0)


class Largest(TorchDispatchMode):
    """The most bytes of a tensor that is made and does not lie where a given one lies."""

    def __init__(self, *given):
        super().__init__()
        self.bytes, self.given = 0, {x.untyped_storage().data_ptr() for x in given}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() not in self.given:
                self.bytes = max(self.bytes, value.untyped_storage().nbytes())
        return out


def test_no_set_of_images_is_copied(monkeypatch):
    """Beyond batches of 1 MiB there are 2 MiB of directions and of histograms; the sets that are chosen hold 3.3 MB."""
    monkeypatch.setattr(fields, "_VALUES", 2**17)
    x = torch.randn(100, 1, 8192, generator=torch.Generator().manual_seed(0))
    y = torch.randn(200, 1, 8192, generator=torch.Generator().manual_seed(1))
    with Largest(x, y) as largest:
        evaluate(x, y, resamples=0)
    assert 2**20 <= largest.bytes < 3e6


def test_places_of_fields_with_masks_count_as_they_do_of_tensors():
    ours, theirs, weights = noise(0, 8), noise(1, 16), torch.arange(64.0).reshape(1, 8, 8)
    mask = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(2)) > 0.1
    given = {"extractor": Pooled(), "resamples": 0, "weight_field": weights}
    plain = repr(evaluate(ours, theirs, **given, reference_mask=mask))
    for own in (fields.Fields(ours), fields.Fields(ours, weight_field=weights)):
        assert repr(evaluate(own, fields.Fields(theirs, mask), **given)) == plain


def test_fields_with_gaps_are_not_measured_by_scale():
    """Their edges would be in all rings."""
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    known = torch.ones_like(x, dtype=torch.bool)
    known[:, :, 2:4] = False
    with pytest.raises(InputError, match="gaps"):
        evaluate(x, x, reference_mask=known, by_scale=True)
