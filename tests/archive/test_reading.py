"""Records are found again, by id and by time, as the bytes they were."""

from datetime import timedelta
from pathlib import Path

import pytest

from archive.reading import SLACK_MS, find, since
from archive.retention import expired_days
from archive.running import Place, archive_once
from archive.tables import ROWS_IN_GROUP, day_of
from features.keys import new_decision_id
from tests.archive.streams import AT_ONCE, DAY_US, KEEPING, NOON, Streams, days, files, record_of, written

pytestmark = pytest.mark.anyio


async def test_each_record_is_found_by_its_id(place: Place, streams: Streams) -> None:
    put = await streams.fill(200, NOON, DAY_US // 80)
    await archive_once(place, AT_ONCE)
    put |= (more := await streams.fill(20, NOON + 1))
    await archive_once(place, AT_ONCE)
    assert {decision_id: find(place.data, decision_id) for decision_id in put} == put
    assert len(more) == 20
    assert find(place.data, new_decision_id(0, NOON, b"\xff" * 8)) is None
    assert find(place.data, new_decision_id(0, NOON + 100 * DAY_US, b"\xff" * 8)) is None
    with pytest.raises(ValueError, match="32"):
        find(place.data, "hello")


async def test_a_record_of_the_day_after_its_id(place: Place, streams: Streams) -> None:
    """Asked before midnight, decided after it."""
    midnight = NOON + DAY_US // 2
    late = record_of(1, midnight - 1_000)
    late = record_of(1, midnight + 59_000_000, id=late.id)
    await streams.add(0, late.id, written(late))
    await archive_once(place, AT_ONCE)
    assert days(files(place.data)) == ["day=2017-10-02"]
    assert find(place.data, late.id) == written(late)
    assert list(since(place.data, midnight, midnight + SLACK_MS * 1000)) == [written(late)]


async def test_records_of_a_period(place: Place, streams: Streams) -> None:
    put = list((await streams.fill(3 * ROWS_IN_GROUP, NOON, 30_000_000)).values())  # days, and several row groups
    await archive_once(place, AT_ONCE)
    assert len(files(place.data)) == 3
    assert list(since(place.data, 0)) == put
    assert list(since(place.data, NOON + 500 * 30_000_000)) == put[500:]
    assert list(since(place.data, NOON + 17 * 30_000_000, NOON + 4321 * 30_000_000)) == put[17:4321]
    assert list(since(place.data, NOON, NOON + 1)) == put[:1]
    assert list(since(place.data, NOON + 300 * DAY_US)) == []


async def test_a_file_of_somebody_elses_is_read_too(place: Place, streams: Streams) -> None:
    """Who merges a day's files with a tool of their own loses nothing."""
    put = await streams.fill(10)
    await archive_once(place, AT_ONCE)
    (file,) = files(place.data)
    file.rename(file.with_name("merged.parquet"))
    assert {decision_id: find(place.data, decision_id) for decision_id in put} == put
    assert list(since(place.data, NOON)) == list(put.values())


def test_where_there_is_no_archive_nothing_is_found(tmp_path: Path) -> None:
    assert find(tmp_path, new_decision_id(0, NOON, bytes(8))) is None
    assert list(since(tmp_path, 0)) == []


async def test_days_past_retention_go_as_a_whole(place: Place, streams: Streams) -> None:
    await streams.fill(8, NOON - 3 * DAY_US, DAY_US)
    await streams.add(0, "", b"no record")
    await streams.set_clock(NOON + 4 * DAY_US)
    assert (await archive_once(place, KEEPING)).days_removed == 0  # no catalog, no retention
    await streams.put_in_force({"events": "1d"})
    assert (await archive_once(place, KEEPING)).days_removed == 0
    await streams.put_in_force({"decisions": "84h"})
    drained = await archive_once(place, KEEPING)
    assert drained.days_removed == 4
    assert days(files(place.data)) == [f"day=2017-10-0{day}" for day in (2, 3, 4, 5)]
    assert len(files(place.data, "quarantine")) == 1
    await streams.set_clock(NOON + 100 * DAY_US)
    assert (await archive_once(place, KEEPING)).days_removed == 4
    assert files(place.data, "quarantine") == []


@pytest.mark.parametrize(("now", "gone"), [(NOON + DAY_US * 3 // 2 - 1, 0), (NOON + DAY_US * 3 // 2, 1)])
def test_a_day_is_past_when_its_last_moment_is(now: int, gone: int, tmp_path: Path) -> None:
    assert (
        len(expired_days([(day_of(NOON), tmp_path), (day_of(NOON + DAY_US), tmp_path)], now, timedelta(days=1))) == gone
    )
