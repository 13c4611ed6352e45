"""Cap pressure over a period: what contact policies have cost, by the records of the decisions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from archive.records import Records
from archive.running import Place
from decision.record import Record, RecordError, read_record
from features.opening import open_store


@dataclass(slots=True)
class Pressed:
    """`decisions` that could be read, `unreadable` ones that couldn't; by policy, how many answers it made others
    (`changed`), and the priority lost by that (`lost`). See decision.pressure.
    """

    decisions: int = 0
    unreadable: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    lost: dict[str, float] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.decisions += 1
        for policy, lost in record.outcome.pressure.items():
            self.changed[policy] += 1
            self.lost[policy] = self.lost.get(policy, 0.0) + lost

    def ranked(self) -> list[tuple[str, int, float]]:
        """Policy, answers changed, priority lost: what costs most first."""
        found = [(policy, count, self.lost[policy]) for policy, count in self.changed.items()]
        return sorted(found, key=lambda each: (-each[2], -each[1], each[0]))


async def pressure_of_period(place: Place, at_us: int, until_us: int | None) -> Pressed:
    """Of decisions from `at_us` on and before `until_us`, microseconds since 1970, service time. Raises StoreError."""
    pressed = Pressed()
    store = await open_store(place.url, partitions=place.partitions, keep_clock=False)
    try:
        async for body in Records(store.ledger, place.data).since(at_us, until_us):
            try:
                pressed.add(read_record(body))
            except RecordError:
                pressed.unreadable += 1
    finally:
        await store.ledger.link.close()
    return pressed
