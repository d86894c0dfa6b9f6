"""What the families share, and the count of faults, of which the long form makes the table of docs/reliability.md."""

import contextlib
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.faults.campaign")

from tests.drawing import draw_nothing  # noqa: E402
from tests.faults.campaign import LONG, Bench  # noqa: E402 - after its asserts are to be rewritten
from tests.faults.table import SHARD, write_table  # noqa: E402

COUNTED: list[tuple[str, int, int]] = []


_DESIGNS: dict[str, object] = {}


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """Data and models of every kind."""
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def quick(monkeypatch, cache):
    """What makes many commands bearable, for these tests alone."""
    monkeypatch.setenv("SAGD_CACHE", str(cache))
    remember_designs(monkeypatch)
    draw_nothing(monkeypatch)


def remember_designs(patch):
    """A search takes seconds and touches no file: each is done once."""
    from sagd.study import designing

    search, found = designing.design, _DESIGNS

    def design(data, *args, **options):
        key = repr((data, *args))
        if key not in found:
            found[key] = search(data, *args, **options)
        return found[key]

    patch.setattr(designing, "design", design)


@pytest.fixture
def campaign(request):
    """`with campaign(family) as faults: with faults(name): ...`: many faults in a test, of which all are tried."""

    @contextlib.contextmanager
    def family(name):
        tried, failed = [], []

        @contextlib.contextmanager
        def fault(point):
            tried.append(point)
            try:
                yield
            except (Exception, pytest.fail.Exception) as error:
                text = f"{point}: {error or type(error).__name__}"
                failed.append(text.encode("utf-8", "backslashreplace").decode())  # names may be no text

        yield fault
        request.node.user_properties.append(("faults", (name, len(tried), len(tried) - len(failed))))
        assert not failed, "\n".join(failed)
        assert tried

    return family


def pytest_collection_modifyitems(items):
    """Of the long form, the share of this shard."""
    if LONG:
        part, parts = SHARD
        here = Path(__file__).parent
        own = [item for item in items if here in item.path.parents]
        dropped = {item for i, item in enumerate(own) if i % parts != part - 1}
        items[:] = [item for item in items if item not in dropped]


def pytest_runtest_logreport(report):
    """Add the faults of a test to the count."""
    if report.when == "call":
        COUNTED.extend(value for name, value in report.user_properties if name == "faults")


def pytest_sessionfinish(session):
    """Write the table, where this is not one of several processes."""
    if LONG and not hasattr(session.config, "workerinput") and COUNTED:
        write_table(COUNTED)
