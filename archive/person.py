"""All that is recorded of one person, erased or told. `python -m archive.person` does it in a process of its own, as
all of a stream and of the archive has to be looked through: a worker would answer nobody meanwhile.

It reads a Task as JSON from standard input. Erasing, it writes how much that was, as JSON. Telling, it writes
`"events":[…],"decisions":[…]`, to be put into an object, as it goes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from typing import BinaryIO, Literal

import msgspec
import orjson
import pyarrow as pa

from archive.decisions_of import decisions_of
from archive.erasing import erase
from archive.errors import ArchiveBusy
from archive.events import EventLog
from archive.running import Place
from decision.record import RecordError, as_data, read_record
from features.customer import moment
from features.errors import StoreError
from features.events import Event
from features.opening import open_store

NICE = 10
NOTHING_TOLD = b'"events":[],"decisions":[]'
STORE_AWAY, BUSY = 3, 4  # what the process ends with when Redis is not up to it, when an archiver doesn't finish


class Task(msgspec.Struct, frozen=True):
    """What to do about the person who goes by these ids."""

    do: Literal["erase", "tell"]
    place: Place
    customer_ids: tuple[str, ...]


async def perform(task: Task, out: BinaryIO) -> None:
    """Raises ArchiveError, StoreError, OSError."""
    place = task.place
    store = await open_store(place.url, partitions=place.partitions, keep_clock=False)
    try:
        if task.do == "erase":
            erased = await erase(store.ledger, place.data, task.customer_ids)
            out.write(orjson.dumps(erased))
            return
        out.write(b'"events":[')
        log = EventLog(store.ledger, place.data)
        await _write_all(_events(log, task.customer_ids), out)
        out.write(b'],"decisions":[')
        await _write_all(_decisions(decisions_of(store.ledger, place.data, task.customer_ids)), out)
        out.write(b"]")
    finally:
        await store.ledger.link.close()


async def _write_all(items: AsyncIterator[bytes], out: BinaryIO) -> None:
    between = b""
    async for item in items:
        out.write(between + item)
        between = b","


async def _events(log: EventLog, customer_ids: Iterable[str]) -> AsyncIterator[bytes]:
    for customer_id in customer_ids:  # one at a time: what they have is in memory
        for event in (await log.events_of([customer_id]))[customer_id]:
            yield _event(customer_id, event)


def _event(customer_id: str, event: Event) -> bytes:
    told = {
        "customer_id": customer_id,
        **msgspec.structs.asdict(event),
        "at": moment(event.at),
        "received": moment(event.received),
    }
    return orjson.dumps(told, option=orjson.OPT_UTC_Z)


async def _decisions(bodies: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for body in bodies:
        try:
            told = as_data(read_record(body))
        except RecordError:
            told = {"unreadable": body.hex()}
        yield orjson.dumps(told, option=orjson.OPT_UTC_Z)


def main() -> None:
    """Those who are served at the same time come first."""
    os.nice(NICE)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task, dec_hook=lambda kind, text: kind(text))
    try:
        asyncio.run(perform(task, sys.stdout.buffer))
    except StoreError as error:
        _end(STORE_AWAY, error)
    except ArchiveBusy as error:
        _end(BUSY, error)
    sys.stdout.buffer.flush()


def _end(status: int, error: Exception) -> None:
    sys.stderr.write(f"{error}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
