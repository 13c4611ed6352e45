"""Records are found wherever they are: in their stream, in the archive, in both, or on their way there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from archive.drain import Terms
from archive.records import Records
from archive.running import Place, archive_once
from archive.streams import PAGE
from features.keys import META, new_decision_id
from features.ledger import Ledger
from features.opening import open_store
from tests.archive.streams import AT_ONCE, DAY_US, NOON, Streams, record_of, written

pytestmark = pytest.mark.anyio

SERVER = 1_577_836_800_000_000  # 2020-01-01 by the server's clock, when it is NOON by the service's
SET = NOON - SERVER
SECOND = 1_000_000
KEEPING = Terms(min_age_ms=-60_000, keep_ms=SERVER)  # whatever is archived stays in Redis, too


@pytest.fixture
async def ledger(place: Place, streams: Streams) -> AsyncIterator[Ledger]:
    """Of a service whose clock was set to the past."""
    await streams.ask("HSET", META, "clock", f"then|{SET}")
    store = await open_store(place.url, keep_clock=False)
    yield store.ledger
    await store.ledger.link.close()


async def put(streams: Streams, numbers: Iterable[int], partitions: int = 16, apart: int = SECOND) -> dict[str, bytes]:
    """Records of decisions `apart` microseconds from each other, written 3 ms after they were made."""
    found = {}
    for number in numbers:
        partition, at = number % partitions, NOON + number * apart
        record = record_of(number, at, partition)
        found[record.id] = written(record)
        entry = f"{(at - SET) // 1000 + 3}-{number}"
        await streams.ask("XADD", streams.stream(partition), entry, "d", record.id, "r", found[record.id])
    return found


async def read(records: Records, at: int = 0, until: int | None = None) -> list[bytes]:
    return [body async for body in records.since(at, until)]


async def test_in_its_stream(ledger: Ledger, streams: Streams) -> None:
    for decision_id, body in (await put(streams, range(20))).items():
        assert await Records(ledger, None).find(decision_id) == body


async def test_in_the_archive_only(ledger: Ledger, streams: Streams, place: Place) -> None:
    kept = await put(streams, range(20))
    await archive_once(place, AT_ONCE)
    assert await streams.left() == {}
    for decision_id, body in kept.items():
        assert await Records(ledger, place.data).find(decision_id) == body
        assert await Records(ledger, None).find(decision_id) is None


async def test_what_is_not_there(ledger: Ledger, streams: Streams, place: Place, tmp_path: Path) -> None:
    await put(streams, range(20))
    await archive_once(place, KEEPING)
    records = Records(ledger, place.data)
    for unknown in (new_decision_id(0, NOON, b"\xff" * 8), new_decision_id(999, NOON, b"\xff" * 8), "0" * 32):
        assert await records.find(unknown) is None
        assert await Records(ledger, tmp_path / "nowhere").find(unknown) is None
    with pytest.raises(ValueError, match="32 lower-case hexadecimal digits"):
        await records.find("hello")


async def test_each_is_given_once(ledger: Ledger, streams: Streams, place: Place) -> None:
    """In the archive only, in both, in its stream only; more than a page of each in one partition."""
    many = PAGE + 50
    both = await put(streams, range(many), 1)
    await archive_once(place, AT_ONCE)
    both |= await put(streams, range(many, 2 * many), 1)
    await archive_once(place, KEEPING)
    both |= await put(streams, range(2 * many, 3 * many), 1)
    assert len(await streams.left()) == 2 * many
    assert sorted(await read(Records(ledger, place.data))) == sorted(both.values())
    assert len(await read(Records(ledger, None))) == 2 * many


async def test_one_that_leaves_its_stream_meanwhile_is_not_missed(
    ledger: Ledger, streams: Streams, place: Place
) -> None:
    kept = await put(streams, range(2 * PAGE), 2)
    reading = Records(ledger, place.data).since(0)
    found = [await anext(reading)]
    await archive_once(place, AT_ONCE)
    assert await streams.left() == {}
    found += [body async for body in reading]
    assert sorted(found) == sorted(kept.values())


async def test_what_is_written_meanwhile_is_left_for_another_time(ledger: Ledger, streams: Streams) -> None:
    """Else reading a busy stream would never end."""
    kept = await put(streams, range(PAGE + 1), 1)
    reading = Records(ledger, None).since(0)
    found = [await anext(reading)]
    await put(streams, range(PAGE + 1, PAGE + 10), 1)
    found += [body async for body in reading]
    assert found == list(kept.values())


@pytest.mark.parametrize("terms", [AT_ONCE, KEEPING, None], ids=["archive", "both", "stream"])
async def test_a_period_begins_with_its_first_moment_and_ends_before_its_last(
    ledger: Ledger, streams: Streams, place: Place, terms: Terms | None
) -> None:
    bodies = list((await put(streams, range(40))).values())
    if terms is not None:
        await archive_once(place, terms)
    records = Records(ledger, place.data)
    assert sorted(await read(records, NOON + 10 * SECOND)) == sorted(bodies[10:])
    assert sorted(await read(records, NOON + 10 * SECOND + 1)) == sorted(bodies[11:])
    assert sorted(await read(records, NOON + 10 * SECOND, NOON + 20 * SECOND)) == sorted(bodies[10:20])
    assert sorted(await read(records, NOON + 10 * SECOND, NOON + 20 * SECOND + 1)) == sorted(bodies[10:21])
    assert await read(records, NOON + DAY_US) == []
    assert await read(records, 0, NOON) == []


async def test_after_the_clock_was_set_ahead(ledger: Ledger, streams: Streams, place: Place) -> None:
    """What was written before lies where the old clock put it."""
    kept = await put(streams, range(PAGE + 20), 1)
    await streams.ask("HSET", META, "clock", f"later|{SET + 300 * DAY_US}")
    store = await open_store(place.url, keep_clock=False)
    records = Records(store.ledger, place.data)
    for decision_id in (min(kept), max(kept)):
        assert await records.find(decision_id) == kept[decision_id]
    assert await records.find(new_decision_id(0, NOON, b"\xff" * 8)) is None
    assert sorted(await read(records, NOON)) == sorted(kept.values())
    await store.ledger.link.close()


async def test_what_can_not_be_read_is_given_to_whoever_asks(ledger: Ledger, streams: Streams, place: Place) -> None:
    kept = await put(streams, range(3), 1)
    await streams.ask("XADD", streams.stream(0), "*", "d", "0" * 32, "r", "torn")
    await streams.ask("XADD", streams.stream(0), "*", "somebody", "else's")
    assert await read(Records(ledger, place.data)) == [*kept.values(), b"torn", b"\x92\xc4\x08somebody\xc4\x06else's"]
    assert await Records(ledger, place.data).find(max(kept)) == kept[max(kept)]
