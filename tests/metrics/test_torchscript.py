"""TorchScript feature files: checked before they are loaded, fed what they expect."""

import hashlib
import warnings

import pytest
import torch
from torch import Tensor, nn

from sagd.errors import InputError
from sagd.metrics import FeatureExtractor, TorchScriptFeatures


class Flatten(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).double()


class Switched(nn.Module):
    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return x.flatten(1).float() if return_features else x.float().mean((1, 2, 3))[:, None]


class Spatial(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.flatten(1)


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sqrt()


class Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.mean() < 0:
            raise ValueError("no such thing")  # which torch makes an error that is no RuntimeError
        return x


class Narrow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


@pytest.fixture
def save(tmp_path):
    def write(module):
        path = tmp_path / f"{type(module).__name__}.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(module).save(str(path))
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    return write


def test_images_pass_as_they_are_by_default(save):
    images = torch.rand(5, 3, 4, 4) * 2 - 1
    path, sha256 = save(Flatten())
    extractor = TorchScriptFeatures(path, sha256.upper())
    assert torch.equal(extractor(images, batch_size=2), images.flatten(1).double())
    assert isinstance(extractor, FeatureExtractor)
    assert extractor.name == "Flatten.pt"
    assert sha256 in extractor.identifier


def test_range_0_to_255_means_rounded_clamped_uint8(save):
    path, sha256 = save(Spatial())
    levels = torch.tensor([-1.0, 1.0, 0.0, 1.7, -1.2, 10.4 / 127.5 - 1]).view(1, 1, 1, 6)
    module_input = TorchScriptFeatures(path, sha256, input_range=(0, 255), channels=None)
    with pytest.raises(InputError, match=r"\(N, D\) features, got \(1, 1, 1, 6\)"):
        module_input(levels)
    path, sha256 = save(Flatten())
    got = TorchScriptFeatures(path, sha256, input_range=(0, 255), channels=None)(levels)
    assert got.tolist() == [[0, 255, 128, 255, 0, 10]]


def test_every_8_bit_level_survives(save):
    path, sha256 = save(Flatten())
    levels = torch.arange(256)
    images = (levels / 127.5 - 1).float().view(1, 1, 16, 16)
    got = TorchScriptFeatures(path, sha256, input_range=(0, 255), channels=None)(images)
    assert torch.equal(got[0], levels.double())


def test_other_ranges_are_rescaled_floats(save):
    path, sha256 = save(Flatten())
    got = TorchScriptFeatures(path, sha256, input_range=(0, 1), channels=None)(torch.tensor([[[[-1.0, 0.5]]]]))
    assert got.tolist() == [[0, 0.75]]


def test_the_identifier_tells_input_conventions_apart(save):
    path, sha256 = save(Flatten())
    identifiers = {TorchScriptFeatures(path, sha256, r, c).identifier for r in ((-1, 1), (0, 255)) for c in (3, None)}
    assert len(identifiers) == 4


def test_grey_is_repeated_and_other_channels_are_refused(save):
    path, sha256 = save(Flatten())
    extractor = TorchScriptFeatures(path, sha256)
    assert extractor(torch.full((1, 1, 1, 1), 0.5)).tolist() == [[0.5, 0.5, 0.5]]
    with pytest.raises(InputError, match=r"'Flatten.pt' takes 3 channels, got images with 2"):
        extractor(torch.zeros(1, 2, 4, 4))


def test_features_are_asked_for_where_the_module_offers_them(save):
    path, sha256 = save(Switched())
    assert TorchScriptFeatures(path, sha256)(torch.zeros(2, 3, 4, 4)).shape == (2, 48)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Spatial(), r"must return \(N, D\) features, got \(2, 3, 4, 4\) for N=2"),
        (Pair(), r"must return \(N, D\) features, got tuple"),
        (Root(), "features hold non-finite values"),
        (Raising(), r"'Raising.pt' fails on input .*: builtins.ValueError: no such thing"),
        (Narrow(), r"'Narrow.pt' fails on input \(2, 3, 4, 4\) torch.float32: .*shapes"),
    ],
)
def test_unusable_modules_are_refused(save, module, message):
    extractor = TorchScriptFeatures(*save(module))
    with pytest.raises(InputError, match=message):
        extractor(torch.full((2, 3, 4, 4), -0.5))


@pytest.mark.parametrize(
    ("sha256", "message"),
    [
        ("0" * 64, r"has sha256 [0-9a-f]{64}, not 0{64}: not loaded"),
        ("abc", "needs its sha256, 64 hexadecimal digits; got 'abc'"),
        (None, "needs its sha256, 64 hexadecimal digits; got None"),
    ],
)
def test_nothing_is_loaded_before_the_checksum_is_right(save, monkeypatch, sha256, message):
    path, _ = save(Flatten())
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(InputError, match=message):
        TorchScriptFeatures(path, sha256)


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read feature file '.*none.pt': No such file"):
        TorchScriptFeatures(tmp_path / "none.pt", "0" * 64)
    path = tmp_path / "text.pt"
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match="is not a TorchScript module"):
        TorchScriptFeatures(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_an_input_range_must_rise(save):
    with pytest.raises(InputError, match=r"input_range must rise, got \(1, 1\)"):
        TorchScriptFeatures(*save(Flatten()), input_range=(1, 1))
