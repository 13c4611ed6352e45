"""A catalog with events, both ways of taking them in, and what the tests of them ask."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from decision.engine import Engine
from decision.request import NextActionRequest
from features.applying import Result, Sent
from features.customer import Customer
from features.deadline import Deadline
from features.events import Event, unpack_events
from features.intake import Intake
from features.store import CustomerStore

PATIENT = 30.0
DAY = 86_400_000_000
CATALOG = """
customer: {email: string}
events:
  login: {}
  purchase: {amount: double, department: string}
aggregates:
  logins_2d: {count: login, window: 2d, tile: 1d}
  spend: {sum: purchase.amount}
  pastry_30d: {sum: purchase.amount, where: 'event.department == "PASTRY"', window: 30d, tile: 1d}
purposes: [marketing, service]
channels:
  web: {direction: inbound, placements: [top]}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  welcome-back: {value: 9, eligible: customer.logins_2d >= 2, treatments: {web: {t: "Back again"}}}
  cake: {value: 5, eligible: customer.pastry_30d > 10.0, treatments: {web: {t: Cake}}}
  news: {value: 2, treatments: {email: {t: News}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
"""
ASK = NextActionRequest("c-1", placements=["top"])


class AtOnce(Intake):
    """Everything without a task where that is possible; `taken` counts those."""

    taken = 0

    async def take(self, sent: Sequence[Sent], seconds: float) -> list[Result]:
        told: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()

        def answered(results: list[Result] | Exception) -> None:
            assert not told.done(), "answered twice"
            if isinstance(results, Exception):
                told.set_exception(results)
            else:
                told.set_result(results)

        if not self.at_once(sent, seconds, answered):
            return await super().take(sent, seconds)
        self.taken += 1
        return await told


def patient() -> Deadline:
    return Deadline(PATIENT, lambda: 0.0)


async def known(store: CustomerStore, customer_id: str = "c-1") -> Customer:
    return (await store.snapshot(customer_id, patient(), fresh=True)).customer


async def chosen(engine: Engine, request: NextActionRequest = ASK) -> str:
    body = json.loads((await engine.next_action(request, "key", PATIENT)).body)
    return str(body["actions"][0]["action"])


async def logged(store: CustomerStore, customer_id: str = "c-1") -> list[Event]:
    stream = store.ledger.layout.events(store.ledger.layout.partition(customer_id))
    entries = await store.ledger.link.ask("XRANGE", stream, "-", "+", within=PATIENT)
    return [
        event for _, (_, who, _, packed) in entries if who.decode() == customer_id for event in unpack_events(packed)
    ]


def login(event_id: str, **more: Any) -> Sent:
    return Sent(event_id, "c-1", "login", **more)


def purchase(event_id: str, amount: Any, department: str = "PASTRY", customer_id: str = "c-1") -> Sent:
    return Sent(event_id, customer_id, "purchase", properties={"amount": amount, "department": department})


def statuses(results: list[Result]) -> list[str]:
    return [result.status for result in results]
