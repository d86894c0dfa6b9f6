"""What the examples of a page define is forgotten when the page ends."""

from collections.abc import Iterator

import pytest

from sagd.spec import Description


@pytest.fixture(autouse=True)
def members() -> Iterator[None]:
    """The members of every family, as they were before."""
    known = {family: family.members() for family in Description.families().values()}
    yield
    for family, members in known.items():
        family._members.clear()
        family._members.update(members)
