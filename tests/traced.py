"""Which tests coverage watches.

Being watched makes rules and decisions three to eight times slower, and the hundreds of random catalogs of a property
run hardly a line that the plain tests beside it don't. So coverage watches the tests of the rooms named here, without
those that are marked `untraced`; all others run as fast as they can. That enough is watched, the gate in pyproject.toml
holds: what nobody watches counts as not covered.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

TESTS = Path(__file__).parent
WATCHED = ("api", "channels", "decision", "rules")


def watched(item: pytest.Item) -> bool:
    room = item.path.relative_to(TESTS).parts[0]
    return room in WATCHED and item.get_closest_marker("untraced") is None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Fixtures included: one of a module or session is made for the first test that asks for it."""
    coverage = Coverage.current()
    if coverage is None or watched(item):
        yield
        return
    coverage.stop()
    try:
        yield
    finally:
        coverage.start()
