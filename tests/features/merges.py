"""Customers to be merged, whose every part says whose it was; and a process that merges and kills itself half-way.

It is killed, as by `kill -9`, when it comes to a step for the n-th time; ends by itself where it doesn't.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from msgspec.structs import asdict, replace

from catalog.series import Aggregates, Kept, Series
from features.commit import Commit, Committed, Known
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, with_attributes, with_contacts
from features.deadline import Deadline
from features.encoding import encode
from features.events import Event, digest, pack_events
from features.identity import Merge, merge, root_of
from features.opening import open_store
from features.readings import Reading
from features.series import put
from features.store import CustomerStore
from rules.types import AttributeType

STEPS = ("freezing", "frozen", "absorbing", "absorbed", "cleared")
PATIENCE = 30.0
SECOND = 1_000_000
COUNT, SUM, LAST = 1, 2, 3
_SERIES = (
    Series(COUNT, Kept.ADDED, "visit", None, None, 1_000_000_000, 0),
    Series(SUM, Kept.ADDED, "purchase", "amount", None, 0, 0, sums=True, scale=1_000_000),
    Series(LAST, Kept.LAST, "purchase", "amount", None, 1_000_000_000, 0, newest=True),
)
AGGREGATES = Aggregates(
    series=_SERIES,
    declared={"visit": {}, "purchase": {"amount": AttributeType.DOUBLE}},
    needed={"visit": frozenset(), "purchase": frozenset({"amount"})},
    of_event={"visit": _SERIES[:1], "purchase": _SERIES[1:]},
)


def patient() -> Deadline:
    return Deadline(PATIENCE, lambda: 0.0)


async def opened(url: str) -> CustomerStore:
    store = await open_store(url)
    store.counts(AGGREGATES)
    return store


async def latest(store: CustomerStore, customer_id: str) -> Customer:
    """What lies under this very id."""
    return (await store.snapshot(customer_id, patient(), fresh=True)).customer


async def stated(store: CustomerStore, customer_id: str, number: int) -> None:
    """Attributes, a consent and a contact of their own; so many times two seconds since 1970 it was stated."""

    def change(customer: Customer, now: int) -> Customer:
        customer = with_attributes(customer, {"name": customer_id, customer_id: number}, number)
        customer = with_consent(customer, "news", Consent(number % 2 == 0, number * 2 * SECOND, customer_id))
        contact = Contact(number, "hello", "web", "", "inbound", f"{number:032x}")
        return with_contacts(customer, (contact,))

    await store.update(customer_id, change, patient())


async def sent(store: CustomerStore, customer_id: str, *events: Event) -> None:
    """Events as they are taken in: counted, marked and logged in one commit, for whom the id stands."""
    while events:
        root, snapshot = await root_of(store, customer_id, patient(), fresh=True)
        customer = snapshot.customer
        for event in events:
            reading = Reading(AGGREGATES, event.received)
            reading.add(event.type, event.properties, event.at)
            customer = replace(customer, series=reading.kept(customer.series))
        commit = Commit(root, snapshot.version, store.now_for(snapshot), encode(customer))
        commit.ids, commit.events = [digest(event.id) for event in events], pack_events(events)
        outcome, _ = await store.commit(commit, customer, patient())
        if isinstance(outcome, Committed):
            return
        if isinstance(outcome, Known):
            events = tuple(event for place, event in enumerate(events) if place not in outcome.places)


def visit(number: int) -> Event:
    return Event(f"visit-{number}", "visit", number * 1000, 10**12)


def purchase(number: int, amount: float) -> Event:
    return Event(f"purchase-{number}", "purchase", number * 1000, 10**12, {"amount": amount})


async def merged(store: CustomerStore, source: str, into: str) -> Merge:
    return await merge(store, source, into, patient())


async def written(store: CustomerStore, customer_id: str, customer: Customer) -> None:
    await store.update(customer_id, lambda _, now: customer, patient())


def counted(customer: Customer, key: int) -> int:
    """How many events a sum has."""
    return sum(customer.series[key][1]) if key in customer.series else 0


def content(customer: Customer) -> dict[str, Any]:
    """All but what depends on the id it is kept under."""
    told = asdict(customer) | {"contacts": customer.contacts}
    for name in ("labels", "log", "identity", "changed"):
        del told[name]
    return told


async def written_over(store: CustomerStore, customer_id: str, customer: Customer) -> None:
    """Whatever stands there."""
    snapshot = await store.snapshot(customer_id, patient(), fresh=True)
    commit = Commit(customer_id, snapshot.version, store.now_for(snapshot), encode(customer))
    await store.commit(commit, customer, patient())


async def three(store: CustomerStore) -> None:
    """Customers to be merged, on an empty Redis."""
    await store.ledger.link.ask("FLUSHALL", within=30)
    for number, name in enumerate("abc"):
        store.cache.forget(name)
        await stated(store, name, number)
        await sent(store, name, visit(0), purchase(number, 1.0))
        await store.update(name, visited_long_ago, patient())


def visited_long_ago(customer: Customer, now: int) -> Customer:
    """So long that nobody knows the event's id any more."""
    series = AGGREGATES.series[0]
    return replace(customer, series={**customer.series, COUNT: put(series, customer.series.get(COUNT), 1, 0)})


def merges_and_dies(url: str, source: str, into: str, name: str, times: int) -> None:
    asyncio.run(_merge(url, source, into, name, times))


async def _merge(url: str, source: str, into: str, name: str, times: int) -> None:
    store, left = await opened(url), times

    def step(at: str) -> None:
        nonlocal left
        left -= at == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    await merge(store, source, into, Deadline(PATIENCE), step)
    await store.ledger.link.close()
