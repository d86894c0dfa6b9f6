import pytest
import torch

import sagd
from sagd.integrations.tensorboard import TensorBoard
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.study.train import train


class Net(torch.nn.Conv2d):
    def forward(self, x, t):
        return super().forward(x)


def points(folder, name):
    """Step and value of every point that TensorBoard reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in read.Scalars(name)]


def test_a_resumed_run_shows_one_curve(tmp_path):
    x = SpectralCovariance("power_law(alpha=-1)", (1, 8, 8)).sample(16)
    options = {"batch_size": 4, "lr_decay": "none", "device": "cpu", "out": tmp_path / "run", "checkpoint_every": 2}

    def fit(steps, **more):
        board = TensorBoard(tmp_path / "board", every=2)
        sagd.fit(Net(1, 1, 3, padding=1), x, steps=steps, callbacks=[board], **options, **more)

    fit(4)
    fit(8, resume=True)
    assert [step for step, _ in points(tmp_path / "board", "loss")] == [2, 4, 6, 8]
    assert [value for _, value in points(tmp_path / "board", "lr")] == pytest.approx([2e-5, 4e-5, 6e-5, 8e-5], rel=1e-6)


def test_from_a_configuration(tmp_path, config, change, data):
    train(change(config, "training", tensorboard=True, steps=5), tmp_path / "run", data=data)
    assert [step for step, _ in points(tmp_path / "run" / "tensorboard", "loss")] == [4, 5]
