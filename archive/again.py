"""Deciding many recorded decisions again: those named, or all of a period; a line for each that comes out otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from archive.records import Records
from archive.replaying import Replayed, Replaying
from archive.running import Place
from features.catalogs import CatalogStore
from features.keys import parse_decision_id
from features.opening import open_store

LONGEST_SHOWN = 200


@dataclass(slots=True)
class Tally:
    """Decisions that came out the same, that differed, that could not be made again, that have no record."""

    identical: int = 0
    differing: int = 0
    troubled: int = 0
    missing: int = 0

    @property
    def total(self) -> int:
        return self.identical + self.differing + self.troubled + self.missing

    @property
    def sound(self) -> bool:
        return self.total == self.identical

    def __str__(self) -> str:
        others = {"differing": self.differing, "not to be made again": self.troubled, "without a record": self.missing}
        told = "".join(f", {count} {what}" for what, count in others.items() if count)
        decisions = "decision" if self.total == 1 else "decisions"
        if self.missing and self.missing == self.total:
            whose = "that id" if self.total == 1 else "these ids"
            return f"0 decisions made again: none of {whose} is kept, neither in Redis nor in the archive"
        return f"{self.total} {decisions} made again: {self.identical} identical{told}"


async def replay_ids(place: Place, decision_ids: Sequence[str], tell: Callable[[str], None]) -> Tally:
    """Raises ValueError for what is no decision id, before anything is made again; StoreError."""
    for decision_id in decision_ids:
        try:
            parse_decision_id(decision_id)
        except ValueError as error:
            raise ValueError(f"{decision_id!r}: {error}") from None

    async def bodies(records: Records) -> AsyncIterator[tuple[str, bytes | None]]:
        for decision_id in decision_ids:
            yield decision_id, await records.find(decision_id)

    return await _replay(place, bodies, tell)


async def replay_period(place: Place, at_us: int, until_us: int | None, tell: Callable[[str], None]) -> Tally:
    """Of decisions from `at_us` on and before `until_us`, microseconds since 1970, service time. Raises StoreError."""

    async def bodies(records: Records) -> AsyncIterator[tuple[str, bytes | None]]:
        async for body in records.since(at_us, until_us):
            yield "a record", body

    return await _replay(place, bodies, tell)


async def _replay(
    place: Place,
    bodies: Callable[[Records], AsyncIterator[tuple[str, bytes | None]]],
    tell: Callable[[str], None],
) -> Tally:
    tally = Tally()
    store = await open_store(place.url, partitions=place.partitions, keep_clock=False)
    try:
        with Replaying(CatalogStore(store.ledger.link)) as replaying:
            async for name, body in bodies(Records(store.ledger, place.data)):
                if body is None:
                    tally.missing += 1
                    tell(f"{name}: no record")
                else:
                    _count(tally, name, await replaying.again(body), tell)
    finally:
        await store.ledger.link.close()
    return tally


def _count(tally: Tally, name: str, replayed: Replayed, tell: Callable[[str], None]) -> None:
    name = name if replayed.record is None else replayed.record.id
    if replayed.trouble is not None:
        tally.troubled += 1
        tell(f"{name}: {replayed.trouble}")
    elif replayed.differences:
        tally.differing += 1
        for field, recorded, again in replayed.differences:
            tell(f"{name}: {field}: recorded {_shown(recorded)}, replayed {_shown(again)}")
    else:
        tally.identical += 1


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
