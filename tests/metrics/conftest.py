import pytest
import torch


@pytest.fixture(scope="session")
def digits():
    """All 1,797 digits in random order, `(N, 1, 8, 8)` in [-1, 1], and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1
    return images[order], torch.tensor(data.target)[order]


@pytest.fixture(scope="session")
def digit_features(digits, tmp_path_factory):
    """The built-in classifier of the first 1,000 digits, by the default recipe."""
    from sagd.metrics import ClassifierFeatures

    images, labels = digits
    return ClassifierFeatures.train_or_load(images[:1000], labels[:1000], 10, tmp_path_factory.mktemp("cache"))
