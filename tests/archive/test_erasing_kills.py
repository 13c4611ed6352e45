"""Erasing, killed with SIGKILL at any step, or after an archiver was: done again it finishes; nothing comes back."""

from __future__ import annotations

import signal

import pytest

from archive.erasing import erase
from archive.running import Place, archive_once
from features.ledger import Ledger
from tests.archive.erasing import STEPS, erases
from tests.archive.filled import GONE, Filled, others
from tests.archive.killed import drains
from tests.archive.streams import AT_ONCE, DAY_US, KEEPING, NOON
from tests.forked import forked, status_of

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_a_step(ledger: Ledger, place: Place, filled: Filled, step: str) -> None:
    """At the first and at the second time of that step; what is left of it is gone once it is done again."""
    await filled.put(["c-é", *others(40)], 2, NOON)
    await archive_once(place, AT_ONCE)
    await filled.put(["c-é", *others(40)], 2, NOON + DAY_US)
    await archive_once(place, KEEPING)
    for times in (1, 2):
        status = await status_of(forked(erases, place, step, times, GONE))
        assert status == -signal.SIGKILL or (status == 0 and times == 2)
        kept, events = filled.without(GONE)
        found, found_events = await filled.found()
        assert kept.items() <= found.items()
        assert set(events) <= set(found_events)
    await erase(ledger, place.data, GONE)
    assert await filled.found() == filled.without(GONE)
    await archive_once(place, AT_ONCE)
    assert await filled.found() == filled.without(GONE)
    assert list((place.data / "archive" / ".writing").iterdir()) == []


@pytest.mark.parametrize("step", ["written", "marked", "publishing", "published"])
async def test_after_an_archiver_that_was_killed(ledger: Ledger, place: Place, filled: Filled, step: str) -> None:
    """What it left under temporary names does not come back."""
    await filled.put(["c-é", *others(40)], 1, NOON)
    assert await status_of(forked(drains, place, step, 1)) == -signal.SIGKILL
    await erase(ledger, place.data, GONE)
    await archive_once(place, AT_ONCE)
    assert await filled.found() == filled.without(GONE)
