"""A desk to send from: a service's store at a time of its own, an engine that decides, and deliverers to a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from catalog.building import build_plan
from catalog.bundle import bundle_of
from catalog.loading import LoadedCatalog
from channels.adapter import Adapter
from channels.deliverer import Deliverer
from channels.file import File
from channels.in_force import InForcePlan
from channels.running import deliver_once
from channels.tally import Tally
from decision.engine import Engine
from decision.request import NextActionRequest
from features.applying import Sent
from features.catalogs import CatalogStore
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, with_attributes
from features.deadline import Deadline
from features.elapsed import elapsed
from features.identity import update
from features.opening import open_store
from features.store import CustomerStore
from tests.decision.plans import LOADED, plan_of

PATIENT = 30.0
CATALOG = """
timezone: Europe/Berlin
customer: {email: string, phone: string, timezone: string, most: int}
context: {tel: string}
purposes: [marketing, service]
channels:
  email:
    direction: outbound
    purpose: marketing
    address: customer.email
    quiet_hours: {from: 21:00, to: 08:00}
  push: {direction: outbound, purpose: marketing, address: customer.phone}
  call: {direction: outbound, purpose: marketing, address: context.tel}
actions:
  news: {value: 9, treatments: {email: {t: News}}}
  tip: {value: 5, treatments: {push: {t: Tip}}}
  ring: {value: 4, treatments: {call: {t: Ring}}}
  brief: {value: 3, treatments: {email: {t: Brief, valid_for: 11h}}}
contact_policies:
  daily: {limit: 4, rolling: 1d, scope: {direction: outbound}}
  per-number: {limit: 1, rolling: 1d, per: context.tel, scope: {channel: call}}
  own: {limit: 9, customer_limit: customer.most, rolling: 7d, scope: {channel: email}}
  briefs: {limit: 2, rolling: 7d, counts: delivery, scope: {action: brief}}
  annoyed: {after: {outcome: dismiss}, pause: 30d, scope: {channel: email}}
"""
NOON = "2026-03-10T11:00Z"  # noon in Berlin
EVENING = "2026-03-10T22:00Z"
MORNING = "2026-03-11T07:00Z"  # eight in Berlin, when quiet hours are over


def loaded_of(text: str) -> LoadedCatalog:
    return LOADED[plan_of(text).digest]


class Desk:
    def __init__(self, store: CustomerStore, file: Path) -> None:
        self.store = store
        self.file = file
        self.said: list[str] = []
        self._catalogs = CatalogStore(store.ledger.link)
        self._engine: Engine | None = None

    async def serve(self, text: str = CATALOG) -> None:
        """Puts a catalog in force, and decides by it."""
        loaded = loaded_of(text)
        await self._catalogs.keep(loaded.digest, bundle_of(loaded))
        assert await self._catalogs.put_in_force(loaded.digest, await self._catalogs.in_force())
        self._engine = Engine(self.store, build_plan(loaded))

    async def knows(self, customer_id: str = "c-1", *, consent: bool = True, **attributes: Any) -> None:
        def known(customer: Customer, now: int) -> Customer:
            told = with_attributes(customer, {"email": "ana@example.com", "phone": "555", **attributes})
            return with_consent(told, "marketing", Consent(consent, now))

        await self.change(known, customer_id)

    async def change(self, change: Callable[[Customer, int], Customer], customer_id: str = "c-1") -> None:
        await update(self.store, customer_id, change, Deadline(PATIENT))

    async def decide(self, channel: str, customer_id: str = "c-1", limit: int = 1, **context: Any) -> dict[str, Any]:
        assert self._engine is not None
        request = NextActionRequest(customer_id, channels=[channel], limit=limit, context=context)
        body: dict[str, Any] = json.loads((await self._engine.next_action(request, "key", PATIENT)).body)
        assert body["status"] == "decided", body
        return body

    async def events(self, *kinds: str, decision_id: str, customer_id: str = "c-1") -> None:
        assert self._engine is not None
        sent = [Sent(f"{decision_id}-{kind}", customer_id, kind, decision_id=decision_id) for kind in kinds]
        results = await self._engine.intake.take(sent, PATIENT)
        assert {result.status for result in results} == {"stored"}

    def deliverer(
        self,
        adapter: Adapter,
        step: Callable[[str], None] = lambda name: None,
        kind: type[Deliverer] = Deliverer,
        time: Callable[[], float] = elapsed,
    ) -> Deliverer:
        return kind(self.store, InForcePlan(self._catalogs), adapter, say=self.said.append, step=step, time=time)

    async def deliver(self) -> Tally:
        file = File(self.file)
        try:
            deliverer = self.deliverer(file)
            await deliver_once(deliverer)
            return deliverer.tally
        finally:
            file.close()

    def written(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_bytes().splitlines()]

    async def contacts(self, customer_id: str = "c-1") -> tuple[Contact, ...]:
        return (await self.store.snapshot(customer_id, Deadline(PATIENT), fresh=True)).customer.contacts

    async def responses(self, customer_id: str = "c-1") -> list[list[str]]:
        """Of each contact, the kinds of what came of it, with a count where it isn't 1."""
        return [
            [each.kind if each.count == 1 else f"{each.kind} {each.count}" for each in contact.responses]
            for contact in await self.contacts(customer_id)
        ]

    async def lease_runs_out(self) -> None:
        """As if so much time had passed for whoever has entries in hand, and for what is held."""
        layout, link = self.store.ledger.layout, self.store.ledger.link
        for each in range(layout.partitions):
            for note in await link.ask("ZRANGE", layout.sending(each), 0, -1, within=PATIENT):
                await link.ask("ZADD", layout.sending(each), "XX", 0, note, within=PATIENT)

    async def left(self) -> tuple[int, int]:
        """How many entries there are in the outbox, and how many notes beside it."""
        layout, link = self.store.ledger.layout, self.store.ledger.link
        entries = [await link.ask("XLEN", layout.outbox(each), within=PATIENT) for each in range(layout.partitions)]
        notes = [await link.ask("ZCARD", layout.sending(each), within=PATIENT) for each in range(layout.partitions)]
        return sum(entries), sum(notes)


def no_consent(customer: Customer, now: int) -> Customer:
    return with_consent(customer, "marketing", Consent(False, now))


def for_tests(customer: Customer, now: int) -> Customer:
    return replace(customer, test=True)


@asynccontextmanager
async def desk_at(url: str, now: str, file: Path) -> AsyncIterator[Desk]:
    """The clock of the data runs on from `now`, which is never before where it stands."""
    store = await open_store(url, now=now)
    try:
        yield Desk(store, file)
    finally:
        await store.ledger.link.close()


def ids(lines: Iterable[dict[str, Any]]) -> list[str]:
    return [line["treatment"] for line in lines]
