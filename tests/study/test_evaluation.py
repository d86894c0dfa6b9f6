"""Evaluations of models and folders: their settings, labels and references."""

import dataclasses
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sagd.build.schema import EvaluationConfig, OmissionConfig, RunConfig, SamplingConfig
from sagd.data.config import DataConfig
from sagd.data.files import save_fields
from sagd.data.images import to_unit_range
from sagd.data.load import load
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.bands import BandStop
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import VPSchedule
from sagd.random import sample_generators
from sagd.sampling.euler import Euler
from sagd.store.model import load_model
from sagd.study.evaluation import (
    check_evaluation,
    check_likelihood,
    draw_labels,
    draw_samples,
    evaluate_folder,
    evaluate_model,
    feature_extractor,
    figures,
    is_model,
)
from sagd.study.train import train

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="session")
def config(comparison):
    return comparison


@pytest.fixture(scope="module")
def model(finished):
    return load_model(finished.out / "low" / "seed-3")


@pytest.fixture(scope="module")
def conditional(finished, tmp_path_factory):
    """A model of the ten digits, trained a few steps on their labels."""
    shared = finished.config
    network = dataclasses.replace(shared.network, conditional=True)
    run = RunConfig(shared.data, network=network, training=shared.training, sampling=shared.sampling)
    return load_model(train(run, tmp_path_factory.mktemp("conditional") / "run"))


def save_images(x, folder):
    save_fields(x, [f"{i:06d}" for i in range(len(x))], folder, Meaning())


def relabelled(data, labels, classes):
    return Signals(data.name, data.stored, labels, classes)


def test_a_model_and_the_folder_of_its_samples_measure_the_same(model, finished, tmp_path):
    evaluation = dataclasses.replace(finished.config.evaluation, seed=4)
    x = Euler().sample(
        model.denoiser,
        70,
        steps=2,
        grid="found",
        generator=sample_generators(4, 70),
        statistics=model.statistics,
    )
    save_images(x, tmp_path)
    assert evaluate_folder(tmp_path, evaluation, finished.config.data) == evaluate_model(model, evaluation)


class AtOnce:
    """A timer whose time is up as it starts."""

    def __init__(self, seconds, say, args=()):
        self.start = lambda: say(*args)

    def cancel(self):
        """Too late."""


def test_every_stage_can_be_told(model, finished, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr("sagd.counting.threading.Timer", AtOnce)
    monkeypatch.setenv("SAGD_CACHE", str(tmp_path))
    evaluation = dataclasses.replace(finished.config.evaluation, likelihood=2, likelihood_steps=2)
    with caplog.at_level(logging.INFO, "sagd"):
        evaluate_model(model, evaluation)
    # What reading data says is for `load`, which anybody may call.
    of_data = ("checking: ", "decoding: ")
    said = [record.getMessage() for record in caplog.records if record.name == "sagd.counting"]
    said = [line for line in said if not line.startswith(of_data)]
    assert [line.partition(":")[0] for line in said] == [
        "reading the reference ...",
        "training the feature classifier",
        f"drawing {evaluation.samples} samples ...",
        "sampling",
        "reading the reference ...",
        "fitting label-free features ...",
        *("extracting features of the samples ...", "extracting features of the reference ...") * 2,
        *(
            "measuring precision and recall ...",
            "measuring the Fréchet distance ...",
            "resampling the Fréchet distance",
            "measuring the kernel distance ...",
            "comparing spectra, values, increments and patches ...",
        )
        * 2,
        "measuring the likelihood of 2 images ...",
        "likelihood",
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, "sagd"):
        evaluate_model(model, evaluation, progress=False)
    told = [record.getMessage() for record in caplog.records if record.name == "sagd.counting"]
    assert not [line for line in told if not line.startswith(of_data)]


def test_reference_and_floor_are_those_of_the_seed(model, finished):
    evaluation = finished.config.evaluation
    once, again = (evaluate_model(model, evaluation) for _ in range(2))
    other = evaluate_model(model, dataclasses.replace(evaluation, seed=1))
    assert json.dumps(once) == json.dumps(again)
    assert figures(other, "floor") != figures(once, "floor")


def test_every_figure_has_its_floor(finished):
    path = finished.out / "white" / "seed-3" / "evaluation" / "evaluation.json"
    evaluation = json.loads(path.read_text())["evaluation"]
    figure, floor = figures(evaluation), figures(evaluation, "floor")
    assert list(figure) == list(floor)
    assert figure["frechet"] == evaluation["figure"]["frechet"]
    assert floor["kernel"] == evaluation["floor"]["kernel"]["value"]
    # A few steps of training leave noise: far above what real images score.
    assert figure["frechet"] > 3 * floor["frechet"] > 0


def test_guidance_reaches_evaluations(conditional, finished):
    data, evaluation = load(finished.config.data), dataclasses.replace(finished.config.evaluation, samples=6)
    plain, strong = (
        draw_samples(conditional, data, SamplingConfig(steps=2, guidance=scale), evaluation, seed=0)
        for scale in (1.0, 4.0)
    )
    assert not torch.allclose(plain, strong)
    # The guided estimate is the unlabelled one plus `scale` times the way to the labelled one.
    x, labels = torch.ones(6, 1, 8, 8), draw_labels(conditional, data, 6, 0)
    base, labelled = (conditional.denoiser.estimate(x, 0.5, given) for given in (None, labels))
    torch.testing.assert_close(conditional.guided(4.0).estimate(x, 0.5, labels) - base, 4 * (labelled - base))


def test_guidance_of_an_unconditional_model_is_refused(model):
    with pytest.raises(InputError, match=r"guidance 2\.0 needs a conditional model"):
        model.guided(2.0)


def test_unconditional_models_get_no_labels(model, finished):
    assert draw_labels(model, load(finished.config.data), 5, 0) is None


def test_labels_are_drawn_as_the_data_has_them(conditional, finished):
    data = load(finished.config.data)
    nines = relabelled(data, torch.where(data.labels == 9, 9, 3), data.classes)
    share = float((nines.labels == 9).double().mean())
    drawn = draw_labels(conditional, nines, 4000, seed=0)
    # Binomial with 4000 draws, four standard deviations (level 6e-5).
    assert abs(float((drawn == 9).double().mean()) - share) < 4 * (share * (1 - share) / 4000) ** 0.5
    assert set(drawn.tolist()) == {3, 9}
    assert torch.equal(drawn, draw_labels(conditional, nines, 4000, seed=0))


def test_labels_go_by_name(conditional, finished):
    data = load(finished.config.data)
    swapped = relabelled(data, torch.arange(len(data)) % 2, ("7", "2"))
    assert set(draw_labels(conditional, swapped, 100, 0).tolist()) == {7, 2}


def test_without_labels_all_classes_are_drawn_in_turn(conditional, finished):
    plain = relabelled(load(finished.config.data), None, None)
    assert draw_labels(conditional, plain, 12, 0).tolist() == [*range(10), 0, 1]


def test_classes_the_model_does_not_know_are_refused(conditional, finished):
    data = load(finished.config.data)
    other = relabelled(data, torch.arange(len(data)) % 2, ("1", "ten"))
    with pytest.raises(
        InputError, match="has class 'ten', which the conditional model was not trained on; use data with"
    ):
        draw_labels(conditional, other, 5, 0)


def test_classifier_features_need_labels(finished):
    plain = relabelled(load(finished.config.data), None, None)
    with pytest.raises(InputError, match=r"'digits' has no labels .* set evaluation.features to 'labelless', or name"):
        feature_extractor(EvaluationConfig(features="classifier"), plain)
    one = dataclasses.replace(plain, labels=torch.zeros(len(plain), dtype=torch.int64), classes=("cat",))
    with pytest.raises(InputError, match=r"has one class, 'cat', and a classifier tells at least two apart"):
        feature_extractor(EvaluationConfig(features="classifier"), one)


def test_the_classifier_is_taken_where_there_are_labels(finished):
    data = load(finished.config.data)
    assert feature_extractor(EvaluationConfig(), data).name == "classifier"
    assert feature_extractor(EvaluationConfig(features="labelless"), data) is None
    for other in (relabelled(data, None, None), relabelled(data, 0 * data.labels, ("all",))):
        assert feature_extractor(EvaluationConfig(), other) is None


def test_models_are_measured_without_labels(model, finished):
    """The same figures of spectrum and values; the distances are of other features, and said to be."""
    with_labels = evaluate_model(model, finished.config.evaluation)
    without = evaluate_model(
        model, finished.config.evaluation, dataclasses.replace(finished.config.data, label_column="none")
    )
    assert (with_labels["features"], without["features"]) == ("classifier", "labelless")
    for part in ("spectral", "marginals", "increments", "sliced"):
        assert without["figure"][part] == with_labels["figure"][part]
    ours, real = figures(without), figures(without, "floor")
    assert ours["frechet"] > 3 * real["frechet"] > 0
    assert ours["kernel"] == pytest.approx(with_labels["figure"]["labelless"]["value"])
    assert set(figures(with_labels)) - set(ours) == {"labelless_kernel"}


def test_feature_files_need_their_checksum(finished):
    with pytest.raises(InputError, match=r"'inception\.pt' needs evaluation\.features_sha256"):
        feature_extractor(EvaluationConfig(features="inception.pt"), load(finished.config.data))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples": 3}, "samples must be at least 4, got 3"),
        ({"samples": 9, "by_scale": True}, "samples must be at least 10, got 9"),
        ({"bands": 0}, "bands must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"features_channels": 0}, "features_channels must be at least 1, got 0"),
        ({"features_range": (0.0, 1.0, 2.0)}, r"features_range must be two numbers, got \[0.0, 1.0, 2.0\]"),
    ],
)
def test_settings_that_cannot_be_evaluated_are_refused(values, message):
    with pytest.raises(InputError, match=rf"evaluation\.{message}"):
        check_evaluation(EvaluationConfig(**values), 100)


def test_too_few_reference_images_are_refused():
    with pytest.raises(InputError, match="need at least 8 reference images, got 7"):
        check_evaluation(EvaluationConfig(), 7)
    with pytest.raises(InputError, match="need at least 20 reference images, got 19"):
        check_evaluation(EvaluationConfig(by_scale=True), 19)


def test_a_reference_that_is_gone_is_named(model, finished):
    settings = dict(model.configuration) | {"data": {"source": "./gone"}}
    gone = dataclasses.replace(model, configuration=settings)
    with pytest.raises(InputError, match=r"reference data: no data set '\./gone'.*; data\.source names others"):
        evaluate_model(gone, finished.config.evaluation)


def test_another_reference_is_seen_as_the_model_sees_its_data(finished, tmp_path, monkeypatch):
    """Scaled by itself, data of twice the values would look like that of the model."""
    x = SpectralCovariance("power_law(alpha=-0.5)", (1, 8, 8)).sample(80, torch.Generator().manual_seed(0))[:, 0]
    for name, scale in (("own", 1), ("loud", 2)):
        np.save(tmp_path / f"{name}.npy", (3 + scale * x).numpy())
    own, loud = (DataConfig(str(tmp_path / f"{name}.npy"), axes="NYX") for name in ("own", "loud"))
    shared = finished.config
    run = RunConfig(own, network=shared.network, training=shared.training, sampling=shared.sampling)
    model = load_model(train(run, tmp_path / "run"))
    monkeypatch.setattr("sagd.study.evaluation.draw_samples", lambda *_: load(own).tensor()[:70])
    errors = [
        evaluate_model(model, shared.evaluation, reference)["figure"]["spectral"]["rms_db"] for reference in (own, loud)
    ]
    assert errors == [pytest.approx(0, abs=0.5), pytest.approx(20 * math.log10(2), abs=0.5)]


@pytest.mark.parametrize("scale", [1, 3])
def test_samples_far_from_other_data_are_held_against_the_training_data(finished, tmp_path, scale, monkeypatch, caplog):
    """Windows of one field, and those of another, as strong or stronger; samples are as what was trained on."""
    caplog.set_level("INFO")
    for name, own, seed in (("trained", 1, 0), ("other", scale, 1)):
        x = SpectralCovariance("power_law(alpha=-0.5)", (1, 96, 96)).sample(1, torch.Generator().manual_seed(seed))
        np.save(tmp_path / f"{name}.npy", own * x[0, 0].numpy())
    trained, other = (
        DataConfig(str(tmp_path / f"{name}.npy"), kind="field", axes="YX", fit="crop", size=8)
        for name in ("trained", "other")
    )
    shared = finished.config
    run = RunConfig(trained, network=shared.network, training=shared.training, sampling=shared.sampling)
    model = load_model(train(run, tmp_path / "run"))
    monkeypatch.setattr("sagd.study.evaluation.draw_samples", lambda *_: load(trained).tensor()[:70])
    result = evaluate_model(model, shared.evaluation, other)
    assert "windows of the same few fields" in caplog.text
    assert ("trained" in result) == (scale > 1)
    if scale > 1:
        assert result["trained"]["frechet"] == pytest.approx(result["figure"]["frechet"], rel=0.3)
    assert "trained" not in evaluate_model(model, shared.evaluation, trained)


def test_a_damaged_reference_is_said(model, finished, caplog):
    caplog.set_level("INFO")
    evaluate_model(model, finished.config.evaluation)
    assert "damaged data" not in caplog.text
    damaged = dataclasses.replace(model, omission=OmissionConfig("cleaned", "strip(axis=0, low=0.03)"))
    evaluate_model(damaged, finished.config.evaluation)
    assert "note: the reference is the damaged data of the training; clean items, which data.source" in caplog.text


def test_a_folder_is_read_as_the_reference_is(finished, tmp_path):
    save_images(load(finished.config.data).tensor()[:80].repeat(1, 1, 2, 2), tmp_path / "large")
    data = dataclasses.replace(finished.config.data, size=8)
    found = evaluate_folder(tmp_path / "large", finished.config.evaluation, data)
    assert found["figure"]["spectral"]["rms_db"] is not None


def test_a_reference_of_another_shape_is_refused(model, finished):
    larger = dataclasses.replace(finished.config.data, size=16)
    with pytest.raises(InputError, match="the model's samples are 1x8x8, those of 'digits' 1x16x16; set data"):
        evaluate_model(model, finished.config.evaluation, larger)


def test_a_folder_of_another_shape_is_refused(finished, tmp_path):
    save_images(torch.zeros(5, 1, 9, 8), tmp_path / "odd")
    with pytest.raises(InputError, match=r"images in '.*odd' are 1x9x8, those of 'digits' 1x8x8; set data"):
        evaluate_folder(tmp_path / "odd", finished.config.evaluation, finished.config.data)


def test_a_folder_called_like_a_data_set_is_the_folder(finished, tmp_path, monkeypatch):
    save_images(torch.zeros(5, 1, 9, 8), tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="images in 'digits' are 1x9x8"):
        evaluate_folder(Path("digits"), finished.config.evaluation, finished.config.data)


def test_models_and_folders_are_told_apart(finished, tmp_path):
    run = finished.out / "white" / "seed-3"
    assert is_model(run)
    assert is_model(run / "model")
    assert not is_model(tmp_path)
    with pytest.raises(InputError, match=r"'.*nothing' does not exist; give a run directory"):
        is_model(tmp_path / "nothing")


def test_likelihood_of_a_model(model, conditional, finished):
    """Beside the figures, repeatable, of conditional models too; one image has no standard error."""
    for trained in (model, conditional):
        evaluation = dataclasses.replace(finished.config.evaluation, likelihood=3, likelihood_steps=1)
        once, again = (evaluate_model(trained, evaluation)["likelihood"] for _ in range(2))
        assert once == again
        assert (once["n"], once["steps"]) == (3, 1)
        assert math.isfinite(once["bits_per_dim"])
        assert once["standard_error"] > 0
    one = evaluate_model(model, dataclasses.replace(evaluation, likelihood=1))["likelihood"]
    assert one["standard_error"] is None
    assert "likelihood" not in evaluate_model(model, finished.config.evaluation)


def test_likelihoods_that_cannot_be_are_refused_before_anything_is_drawn(model, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("sagd.study.evaluation.draw_samples", lambda *_: pytest.fail("samples were drawn"))
    evaluation = finished.config.evaluation
    with pytest.raises(InputError, match="likelihood is 161 but the reference has 160 images"):
        evaluate_model(model, dataclasses.replace(evaluation, likelihood=161))
    band = ForwardProcess(VPSchedule(), SpectralCovariance(BandStop(0.5, 0.7), model.process.shape))
    with pytest.raises(InputError, match=r"band_stop\(low=0.5, high=0.7\) noise .* no density; set it to 0"):
        check_likelihood(dataclasses.replace(evaluation, likelihood=2), band, 100)
    with pytest.raises(InputError, match="folder of files, which have no likelihood"):
        evaluate_folder(tmp_path, dataclasses.replace(evaluation, likelihood=2), finished.config.data)


def test_a_folder_and_a_reference_of_the_same_images_are_drawn_independently(monkeypatch, tmp_path):
    """As many images of both as chance gives: 32 of the 80 samples lie among the 160 of 400, within five deviations."""
    pixels = torch.arange(400).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8).clone()
    pixels = torch.stack([pixels[:, 0] // 20 * 10, pixels[:, 0] % 20 * 10, 0 * pixels[:, 0]], 1).to(torch.uint8)
    save_images(to_unit_range(pixels), tmp_path / "images")
    seen = {}
    monkeypatch.setattr("sagd.study.evaluation.feature_extractor", lambda *_: None)

    def spied(samples, reference, *_, **__):
        seen["samples"], seen["reference"] = ({x.numpy().tobytes() for x in part} for part in (samples, reference))
        raise InputError("seen")

    monkeypatch.setattr("sagd.study.evaluation.evaluate", spied)
    with pytest.raises(InputError, match="seen"):
        evaluate_folder(tmp_path / "images", EvaluationConfig(samples=80), DataConfig(str(tmp_path / "images")))
    assert (len(seen["samples"]), len(seen["reference"])) == (80, 160)
    # Hypergeometric: 160 of 400 are in the reference.
    mean, variance = 80 * 0.4, 80 * 0.4 * 0.6 * 320 / 399
    assert abs(len(seen["samples"] & seen["reference"]) - mean) < 5 * variance**0.5


@pytest.mark.parametrize(("real", "samples"), [(20, 64), (142, 142), (1100, 1000)])
def test_left_open_samples_are_as_many_as_real_ones(real, samples, model, finished, monkeypatch, caplog):
    shape = load(finished.config.data).shape
    data = Signals("some", torch.zeros(real, *shape, dtype=torch.uint8))
    monkeypatch.setattr("sagd.study.evaluation.load", lambda *_: data)
    seen = []

    def spied(model, reference, sampling, config, *_):
        seen.append(config.samples)
        raise InputError("seen")

    monkeypatch.setattr("sagd.study.evaluation.draw_samples", spied)
    open_one = dataclasses.replace(finished.config.evaluation, samples=0, features="labelless")
    with caplog.at_level(logging.INFO), pytest.raises(InputError, match="seen"):
        evaluate_model(model, open_one)
    assert seen == [samples]
    assert f"at most {samples} samples for {real} real images" in caplog.text
