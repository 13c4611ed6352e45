"""Backfill against a real Redis: while events come, of merged customers, from stream and archive."""

from collections.abc import AsyncIterator, Collection

import pytest

from archive.backfill import Backfill
from archive.events import EventLog
from archive.running import Place, archive_once
from features.aggregates import values_at
from features.applying import Sent
from features.deadline import Deadline
from features.events import Event
from features.identity import merge
from features.intake import Intake
from features.opening import open_store
from features.store import CustomerStore
from features.turns import Turns
from tests.archive.streams import AT_ONCE
from tests.decision.plans import plan_of

EVENTS = "events: {purchase: {amount: double}}\n"
BEFORE = plan_of(
    EVENTS + "aggregates: {most: {max: purchase.amount}, old: {count: purchase, where: 'event.amount > 5.0'}}"
)
AFTER = plan_of(
    EVENTS + "aggregates: {most: {max: purchase.amount}, spend: {sum: purchase.amount},"
    " visits: {count: purchase, window: 30d}, since: {days_since: purchase}}"
)
CUSTOMERS = [f"c-{number}" for number in range(30)]


@pytest.fixture
async def store(place: Place) -> AsyncIterator[CustomerStore]:
    store = await open_store(place.url)
    yield store
    await store.ledger.link.close()


def intake_of(store: CustomerStore, plan: object) -> Intake:
    store.counts(BEFORE.aggregates if plan is BEFORE else AFTER.aggregates)
    return Intake(store, Turns(), lambda: BEFORE if plan is BEFORE else AFTER)


def purchase(name: str, customer_id: str, amount: float = 1.0) -> Sent:
    return Sent(name, customer_id, "purchase", None, {"amount": amount})


async def figures(store: CustomerStore, customer_id: str) -> tuple[object, ...]:
    customer = (await store.snapshot(customer_id, Deadline(5), fresh=True)).customer
    found = values_at(AFTER.aggregates, customer.series, store.clock.now()).by_name
    return tuple(found.get(name) for name in ("most", "spend", "visits", "since"))


def nothing() -> None:
    pass


@pytest.mark.anyio
async def test_a_newly_declared_aggregate_knows_of_before(place: Place, store: CustomerStore) -> None:
    await intake_of(store, BEFORE).take([purchase(f"{n}-{c}", c, n) for n in range(4) for c in CUSTOMERS], 5)
    await archive_once(place, AT_ONCE)
    await intake_of(store, AFTER).take([purchase(f"new-{c}", c, 10) for c in CUSTOMERS[:20]], 5)
    for changed in (30, 0):
        filled = await Backfill(store, AFTER, place.data, None).run(nothing)
        assert (filled.customers, filled.changed, filled.events, filled.misfits) == (30, changed, 140, 0)
        assert [await figures(store, name) for name in CUSTOMERS[:20]] == [(10.0, 16.0, 5, 0)] * 20
        assert [await figures(store, name) for name in CUSTOMERS[20:]] == [(3.0, 6.0, 4, 0)] * 10
    kept = (await store.snapshot("c-0", Deadline(5), fresh=True)).customer.series
    assert kept.keys() == {series.key for series in AFTER.aggregates.series}  # `old` is gone


@pytest.mark.anyio
async def test_events_that_come_meanwhile_count_once(
    place: Place, store: CustomerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To each customer, one comes after their log was read and before anything is made of it."""
    await intake_of(store, BEFORE).take([purchase(f"{n}-{c}", c) for n in range(9) for c in CUSTOMERS], 5)
    other = await open_store(place.url)
    intake = intake_of(other, AFTER)

    class Meanwhile(EventLog):
        async def by_customer(self, partition: int) -> AsyncIterator[tuple[str, list[Event]]]:
            async for customer_id, events in super().by_customer(partition):
                await intake.take([purchase("meanwhile", customer_id)], 5)
                yield customer_id, events

        async def events_of(self, customer_ids: Collection[str]) -> dict[str, list[Event]]:
            found = await super().events_of(customer_ids)
            await intake.take([purchase("again", name) for name in sorted(customer_ids)[:3]], 5)
            return found

    monkeypatch.setattr("archive.backfill.EventLog", Meanwhile)
    await Backfill(store, AFTER, None, None).run(nothing)
    monkeypatch.undo()
    for name in CUSTOMERS:
        (events,) = (await EventLog(store.ledger, None).events_of([name])).values()
        assert await figures(store, name) == (1.0, float(len(events)), len(events), 0)
    await other.ledger.link.close()


@pytest.mark.anyio
async def test_merged_customers_get_the_events_of_all(
    place: Place, store: CustomerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.backfill._CLOCKS_US", -3600 * 1_000_000)  # nobody is put off for a recent change
    intake = intake_of(store, BEFORE)
    await intake.take([purchase("both", "a"), purchase("1", "a"), purchase("both", "b"), purchase("2", "b")], 5)
    await merge(store, "a", "b", Deadline(5))
    await intake.take([purchase("3", "a")], 5)
    filled = await Backfill(store, AFTER, place.data, None).run(nothing)
    assert await figures(store, "b") == (1.0, 4.0, 4, 0)
    assert (filled.customers, filled.changed) == (1, 1)


@pytest.mark.anyio
async def test_anew_forgets_what_the_log_does_not_tell(place: Place, store: CustomerStore) -> None:
    await intake_of(store, AFTER).take([purchase("1", "a"), purchase("2", "a")], 5)
    layout, link = store.ledger.layout, store.ledger.link
    await link.ask("DEL", layout.events(layout.partition("a")), within=5)
    await intake_of(store, AFTER).take([purchase("3", "a"), purchase("4", "b")], 5)
    chosen = {series.key for series in AFTER.aggregates.series if series.sums}
    await Backfill(store, AFTER, None, chosen).run(nothing)
    assert await figures(store, "a") == (1.0, 3.0, 3, 0)
    await Backfill(store, AFTER, None, chosen, anew=True).run(nothing)
    assert await figures(store, "a") == (1.0, 1.0, 3, 0)
