"""Killed with SIGKILL at any step, and several of them at once: nothing is lost, nothing is there twice."""

import signal

import pytest

from archive.errors import ArchiveBusy
from archive.running import Place, archive_once
from tests.archive.killed import STEPS, TERMS, drains
from tests.archive.streams import (
    DAY_US,
    NOON,
    Streams,
    all_of,
    archived,
    archived_events,
    days,
    files,
    ids_of,
    together,
)
from tests.forked import forked, status_of

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]


async def killed_at(place: Place, step: str, times: int) -> bool:
    """Whether it came to that."""
    status = await status_of(forked(drains, place, step, times))
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_a_step(place: Place, streams: Streams, step: str) -> None:
    """At the first and at a later time of that step. Two days in a batch, and one that is past retention."""
    await streams.set_clock(NOON + 4 * DAY_US)
    await streams.put_in_force({"decisions": "2d", "events": "2d"})
    old = await streams.fill(40, NOON - DAY_US)
    await streams.fill_events(40, NOON - DAY_US)
    put = await streams.fill(600, NOON + 3 * DAY_US, DAY_US // 600)
    events = await streams.fill_events(600, NOON + 3 * DAY_US, DAY_US // 600)
    assert await killed_at(place, step, 1)
    kept = together(dict(archived(place.data)), await streams.left())
    kept_events = {*archived_events(place.data), *ids_of(await streams.events_left())}
    assert (put.items() <= kept.items() and kept_events.issuperset(ids_of(events))) or under_way(place)
    more, more_events = await streams.fill(30, NOON + 4 * DAY_US), await streams.fill_events(30, NOON + 5 * DAY_US)
    await killed_at(place, step, 3)
    await archive_once(place, TERMS)
    assert archived(place.data) == all_of(together(put, more))
    assert archived_events(place.data) == ids_of(events, more_events)
    assert (await streams.left(), await streams.events_left()) == ({}, {})
    assert list((place.data / "archive" / ".writing").iterdir()) == []
    assert days(files(place.data)) == ["day=2017-10-04", "day=2017-10-05"]
    assert not old.keys() & dict(archived(place.data)).keys()


def under_way(place: Place) -> bool:
    """Files that count already lie under their temporary names: only then may a record be in neither place."""
    return any(path.suffix == ".parquet" for path in (place.data / "archive" / ".writing").iterdir())


async def test_killed_again_and_again(place: Place, streams: Streams) -> None:
    await streams.set_clock(NOON + 4 * DAY_US)
    put: dict[str, bytes] = {}
    for turn, step in enumerate(["marked", "publishing", "marked", "written", "trimming", "published", "writing"]):
        put |= await streams.fill(100, NOON + 3 * DAY_US + turn * 1_000_000)
        assert await killed_at(place, step, 1)
    await archive_once(place, TERMS)
    assert archived(place.data) == all_of(put)


async def test_several_archivers_at_once(place: Place, streams: Streams) -> None:
    await streams.set_clock(NOON + 4 * DAY_US)
    put = await streams.fill(1500, NOON + 3 * DAY_US)
    crew = [forked(drains, place, "never", 20) for _ in range(3)]
    for process in crew:
        assert await status_of(process) == 0
    while True:
        try:
            await archive_once(place, TERMS)
            break
        except ArchiveBusy:
            pass
    assert archived(place.data) == all_of(put)
    assert await streams.left() == {}
