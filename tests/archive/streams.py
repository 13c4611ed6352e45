"""Records of made-up decisions, put into streams as a commit puts them; and what an archive holds of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pyarrow.parquet as pq

from archive.drain import Terms
from catalog.bundle import Bundle
from decision.record import RECORD_VERSION, Outcome, Record
from features.catalogs import CatalogStore
from features.events import Event, pack_events, unpack_events
from features.keys import META, Layout, new_decision_id
from features.link import Link

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
NOON = 1_506_859_200_000_000  # 2017-10-01 12:00 UTC
ACTION = {
    "action": "hello", "treatment": "hello/web", "channel": "web", "placement": "top", "content": {"title": "Hello"},
    "propensity": 0.25, "value": 8, "priority": 2.0, "probability": 0.95, "fallback": False,
}  # fmt: skip
# A minute ahead, so that what was written in this very millisecond is old enough.
AT_ONCE = Terms(min_age_ms=-60_000, keep_ms=-60_000, keep_events_ms=-60_000)
KEEPING = Terms(min_age_ms=-60_000)
REQUEST = (("customer_id", "c-1"), ("channels", ["web"]))


def record_of(number: int, at: int = NOON, partition: int = 0, **changed: Any) -> Record:
    """The record of a decision made at `at` (microseconds since 1970); another `number` gives another decision."""
    decision_id = new_decision_id(partition, at, number.to_bytes(8))
    answer = {"decision_id": decision_id, "status": "decided", "reason": "ranked", "actions": [ACTION]}
    plain = Record(
        RECORD_VERSION, decision_id, f"c-{number}", at, "sha256:c", 2**64 - 1 - number, orjson.dumps(dict(REQUEST)),
        b"", orjson.dumps(answer), Outcome({"eligible": 3}, {"weekly": 2}),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changed)


def written(record: Record) -> bytes:
    return msgspec.msgpack.encode(record)


def event_of(number: int, received: int = NOON, **changed: Any) -> Event:
    """An event stored at `received` (microseconds since 1970), an hour after it happened."""
    properties = {"amount": number / 4, "department": f"d-{number % 7}"}
    plain = Event(f"e-{number}", "purchase", received - HOUR_US, received, properties)
    return msgspec.structs.replace(plain, **changed)


Events = dict[str, list[Event]]
"""By customer, in the order in which they were stored."""


class Streams:
    """Puts entries into streams and says what is in them."""

    def __init__(self, link: Link, layout: Layout) -> None:
        self.link = link
        self._layout = layout

    async def add(self, partition: int, decision_id: str, record: bytes) -> bytes:
        """As a commit does; gives the entry's id."""
        entry = await self.ask("XADD", self._layout.decisions(partition), "*", "d", decision_id, "r", record)
        return bytes(entry)

    async def fill(self, count: int, at: int = NOON, apart: int = 1000) -> dict[str, bytes]:
        """Decisions `apart` microseconds from each other, over all partitions: records by decision id."""
        put = {}
        for number in range(count):
            partition = number % self._layout.partitions
            record = record_of(number, at + number * apart, partition)
            put[record.id] = written(record)
            await self.add(partition, record.id, put[record.id])
        return put

    async def add_events(self, customer_id: str, events: Sequence[Event]) -> bytes:
        """As a commit does; gives the entry's id."""
        stream = self._layout.events(self._layout.partition(customer_id))
        return bytes(await self.ask("XADD", stream, "*", "c", customer_id, "e", pack_events(events)))

    async def fill_events(self, count: int, at: int = NOON, apart: int = 1000, customers: int = 50) -> Events:
        """So many entries, `apart` microseconds from each other, of one, two or three events."""
        put: Events = defaultdict(list)
        for number in range(count):
            customer_id, received = f"c-{number % customers}", at + number * apart
            events = [event_of(1000 * number + each, received) for each in range(1 + number % 3)]
            await self.add_events(customer_id, events)
            put[customer_id] += events
        return dict(put)

    async def events_left(self) -> Events:
        """Every event that is still in Redis."""
        found: Events = defaultdict(list)
        for partition in range(self._layout.partitions):
            for _, (_, customer_id, _, body) in await self.ask("XRANGE", self._layout.events(partition), "-", "+"):
                found[customer_id.decode()] += unpack_events(body)
        return dict(found)

    async def set_clock(self, at: int) -> None:
        """The service's, in microseconds since 1970: retention goes by it."""
        seconds, _ = await self.ask("TIME")
        await self.ask("HSET", META, "clock", f"then|{at - int(seconds) * 1_000_000}")

    async def put_in_force(self, retention: Mapping[str, str]) -> None:
        """A catalog with this retention."""
        catalogs, values = CatalogStore(self.link), {"retention": retention}
        before = await catalogs.in_force()
        await catalogs.keep(f"sha256:{before.epoch}", Bundle(orjson.dumps(values), {}))
        await catalogs.put_in_force(f"sha256:{before.epoch}", before)

    async def left(self) -> dict[str, bytes]:
        """Everything that is still in Redis, by decision id."""
        found = {}
        for partition in range(self._layout.partitions):
            for _, (_, decision_id, _, record) in await self.ask("XRANGE", self.stream(partition), "-", "+"):
                found[decision_id.decode()] = record
        return found

    def stream(self, partition: int) -> str:
        return self._layout.decisions(partition)

    async def ask(self, *words: bytes | str | int) -> Any:
        return await self.link.ask(*words, within=30)


def files(data: Path, kind: str = "decisions") -> list[Path]:
    return sorted((data / "archive" / kind).glob("day=*/*.parquet"))


def archived(data: Path) -> list[tuple[str, bytes]]:
    """Decision id and record of every row of every file: what is there twice stands here twice."""
    rows: list[tuple[str, bytes]] = []
    for file in files(data):
        table = pq.read_table(file, columns=["decision_id", "record"], partitioning=None)
        rows += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return sorted(rows)


def archived_events(data: Path) -> list[tuple[str, str]]:
    """Customer and event id of every row of every file."""
    rows: list[tuple[str, str]] = []
    for file in files(data, "events"):
        table = pq.read_table(file, columns=["customer_id", "event_id"], partitioning=None)
        rows += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return sorted(rows)


def ids_of(*many: Events) -> list[tuple[str, str]]:
    """What `archived_events` gives when each of these is there once."""
    return sorted((customer_id, event.id) for put in many for customer_id, events in put.items() for event in events)


def all_of(put: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """What `archived` gives when each of these is there once."""
    return sorted(put.items())


def together(*many: Mapping[str, bytes]) -> dict[str, bytes]:
    return {decision_id: record for put in many for decision_id, record in put.items()}


def days(paths: Iterable[Path]) -> list[str]:
    return sorted({path.parent.name for path in paths})
