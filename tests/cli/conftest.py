"""What tests of commands share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
