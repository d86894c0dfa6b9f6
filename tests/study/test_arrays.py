"""Arrays larger than a model, against what the command makes of the same files."""

import dataclasses

import numpy as np
import pytest
import torch

import sagd
from sagd.build.schema import OmissionConfig, ProcessConfig, RunConfig
from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.study.arrays import restore_arrays
from sagd.study.train import train
from sagd.study.wholes import restore_wholes

BANDS = {
    1: "spots(at=[[0.1237]], radius=0.004)",
    2: "spots(at=[[0, 0.1443]], radius=0.004)",
    3: "spots(at=[[0, 0, 0.1443]], radius=0.004)",
}
KINDS = {1: ("series", "T", (900,)), 2: ("field", "YX", (70, 64)), 3: ("volume", "ZYX", (24, 28, 32))}


@pytest.fixture(scope="module")
def trained(comparison, tmp_path_factory):
    """A folder with a damaged file, and a model of windows of 16 a side, by number of axes."""
    made = {}

    def of(rank):
        if rank not in made:
            folder = tmp_path_factory.mktemp(f"rank{rank}")
            kind, axes, spatial = KINDS[rank]
            x = SpectralCovariance(PowerLaw(-0.8), (1, *spatial)).sample(1, torch.Generator().manual_seed(0))[0, 0]
            frequency = {1: 0.1237, 2: 0.1443, 3: 0.1443}[rank]
            x = x + 1.5 * torch.cos(2 * torch.pi * frequency * torch.arange(spatial[-1]) + 0.4)
            (folder / "damaged").mkdir()
            np.save(folder / "damaged" / "x.npy", 7 + 3 * x.numpy().astype(np.float32))
            config = RunConfig(
                DataConfig(str(folder / "damaged"), kind=kind, axes=axes, fit="crop", size=16),
                ProcessConfig(omission=OmissionConfig("fill", BANDS[rank])),
                comparison.network,
                training=dataclasses.replace(comparison.training, steps=2, batch_size=4),
            )
            made[rank] = folder, sagd.Model(sagd.load(train(config, folder / "run")).trained)
        return made[rank]

    return of


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_arrays_are_restored_as_files_are(trained, tmp_path, rank):
    folder, model = trained(rank)
    restore_wholes(model.trained, [folder / "damaged"], tmp_path, take="network")
    expected, damaged = np.load(tmp_path / "x.npy"), np.load(folder / "damaged" / "x.npy")
    x = model.meaning.to_model(torch.from_numpy(damaged)[None])[None]
    restored = model.restore(x).images
    assert (restored.shape, restored.dtype) == (x.shape, x.dtype)
    difference = model.meaning.to_values(restored)[0, 0].numpy() - expected
    assert np.abs(difference).max() < 1e-4 * np.abs(expected - damaged).max()


def test_arrays_come_back_as_they_are_given(trained):
    _, model = trained(2)
    x = torch.randn(2, 1, 40, 33, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[1, 0, 5, 6] = torch.nan
    restored = model.restore(x).images
    array = model.restore(x.numpy()).images
    assert restored.dtype == torch.float64
    assert isinstance(array, np.ndarray)
    assert np.array_equal(array, restored.numpy(), equal_nan=True)
    assert torch.equal(restored.isnan(), x.isnan())
    # Each by itself: the second knows nothing of the first.
    assert torch.equal(model.restore(x[:1]).images, restored[:1])
    small = x[:1, :, :16, :16].float()
    assert isinstance(model.restore(small.numpy()).images, np.ndarray)
    assert np.array_equal(model.restore(small.numpy()).images, model.restore(small).images.numpy())


def test_dead_lines_and_hot_pixels_of_arrays_are_told(trained, caplog):
    _, model = trained(2)
    x = torch.randn(1, 1, 48, 50, generator=torch.Generator().manual_seed(0))
    x[0, 0, :, 20], x[0, 0, 10, 10] = 2.0, 400.0
    with caplog.at_level("INFO", "sagd"):
        restored = model.restore(x).images
    assert "array 0: 1 value(s) far beyond the training data" in caplog.text
    assert "array 0: 1 dead line(s) were interpolated: X 20" in caplog.text
    assert restored[0, 0, :, 20].std() > 0.1
    assert restored[0, 0, 10, 10] > 300


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.zeros(1, 2, 40, 40), {}, r"arrays must be floating point, \(B, 1, ...\) with 2 axes of space"),
        (torch.zeros(1, 1, 12, 40), {}, r"the array is 12 x 40, smaller than the model's windows of 16 x 16"),
        (torch.zeros(1, 1, 40, 40).int(), {}, r"arrays must be floating point, .* got torch.int32"),
        (np.zeros((1, 1, 40, 40), np.uint8), {}, r"x must be floating point in the range of the .* got uint8"),
        (torch.zeros(1, 1, 40, 40) + 400, {}, r"1e\+02 % of the values lie beyond .* as the model sees them"),
        (torch.full((1, 1, 40, 40), torch.inf), {}, r"1600 value\(s\) are infinite; mend them"),
        (torch.zeros(1, 1, 40, 40), {"samples": 2}, r"samples need fields of the model's size"),
        (torch.zeros(1, 1, 40, 40), {"batch_size": 0}, r"batch_size must be at least 1, got 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(trained, x, options, message):
    with pytest.raises(InputError, match=message):
        trained(2)[1].restore(x, **options)


def test_models_that_leave_nothing_out_restore_no_arrays(comparison, tmp_path):
    small = RunConfig(network=comparison.network, training=dataclasses.replace(comparison.training, steps=2))
    model = sagd.load(train(small, tmp_path / "run"))
    with pytest.raises(InputError, match="restores no band"):
        restore_arrays(model.trained, torch.zeros(1, 1, 20, 20))
