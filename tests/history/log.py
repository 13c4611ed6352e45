"""What Redis holds in the end, as plain data for the checker."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import orjson

from decision.record import Record, read_record
from features.customer import Customer
from features.encoding import decode
from features.events import Event, unpack_events
from features.ledger import Ledger
from features.merging import merged_ids
from features.opening import open_store

PATIENCE = 60.0
OWN = "~"
"""Before this, an id that turns out to be somebody's, such as a cookie, has that customer's."""
PURPOSE = "marketing"
Granted = tuple[str, str]
"""A contact: decision id, action."""


@dataclass(frozen=True)
class State:
    """A customer: the statement in force by its source, and what it says; the attribute; the contacts, oldest first; of
    what came of them, by its kind, when first. `merged` are the ids that stand for them besides; `into` is whom they
    were merged into.
    """

    statement: str = ""
    granted: bool = False
    attribute: str = ""
    contacts: tuple[Granted, ...] = ()
    responses: Mapping[Granted, Mapping[str, int]] = field(default_factory=dict)
    merged: tuple[str, ...] = ()
    into: str = ""


@dataclass(frozen=True)
class Decision:
    """An entry of the log. `at` is the decision's own time, `stored` the server's when it was written (in whole
    milliseconds): microseconds since 1970. `seen` is the state it was made on.
    """

    id: str
    customer: str
    request: str
    at: int
    stored: int
    answer: str
    granted: tuple[str, ...]
    seen: State = State()


@dataclass(frozen=True)
class Response:
    """An event that answers a contact: when it happened, and when it was stored, by the service's clock."""

    customer: str
    event: str
    contact: Granted
    kind: str
    at: int
    received: int


@dataclass(frozen=True)
class Log:
    """Decisions and events in the order in which they were written, as far as those of one customer go; `events` are
    (customer, id), `responses` those that answer a contact, `sent` is the outbox. `states` are the last ones; `visits`
    is what the aggregate has counted.
    """

    decisions: list[Decision] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    sent: list[Granted] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    visits: dict[str, int] = field(default_factory=dict)

    def of(self, customer: str) -> "Log":
        """What is in it of this one, by whatever id."""
        decisions = [each for each in self.decisions if whose(each.customer) == customer]
        ids = {each.id for each in decisions}
        return Log(
            decisions,
            [each for each in self.events if whose(each[0]) == customer],
            [each for each in self.responses if whose(each.customer) == customer],
            [each for each in self.sent if each[0] in ids],
            {name: state for name, state in self.states.items() if whose(name) == customer},
            {name: count for name, count in self.visits.items() if whose(name) == customer},
        )

    @property
    def reached(self) -> Counter[str]:
        """How often each action was granted."""
        return Counter(action for decision in self.decisions for action in decision.granted)


def whose(customer: str) -> str:
    return customer.partition(OWN)[0]


def read_log(url: str, customers: Iterable[str]) -> Log:
    return asyncio.run(_read(url, list(customers)))


async def _read(url: str, customers: list[str]) -> Log:
    store = await open_store(url)
    ledger, log = store.ledger, Log()
    try:
        for partition in sorted({ledger.layout.partition(customer) for customer in customers}):
            for entry, (_, _, _, body) in await _entries(ledger, ledger.layout.decisions(partition)):
                log.decisions.append(_decision(int(entry.partition(b"-")[0]) * 1000, read_record(body)))
            for _, (_, whose, _, packed) in await _entries(ledger, ledger.layout.events(partition)):
                events, customer = unpack_events(packed), whose.decode()
                log.events.extend((customer, event.id) for event in events)
                log.responses.extend(_response(customer, event) for event in events if event.decision_id)
            for _, (_, message) in await _entries(ledger, ledger.layout.outbox(partition)):
                log.sent.append(_sent(orjson.loads(message)))
        for customer in customers:
            stored, _ = await ledger.load(customer, PATIENCE)
            log.states[customer] = state_of(decode(stored.body))
    finally:
        await ledger.link.close()
    return log


async def _entries(ledger: Ledger, stream: str) -> list[tuple[bytes, list[bytes]]]:
    ask, start = partial(ledger.link.ask, within=PATIENCE), "-"
    found: list[tuple[bytes, list[bytes]]] = []
    while page := await ask("XRANGE", stream, start, "+", "COUNT", 500):
        found.extend((entry, fields) for entry, fields in page)
        start = f"({page[-1][0].decode()}"
    return found


def _decision(stored: int, record: Record) -> Decision:
    answer, request = orjson.loads(record.answer), orjson.loads(record.request)
    return Decision(
        record.id,
        record.customer_id,
        request["request_id"],
        record.at,
        stored,
        record.answer.decode(),
        tuple(pick["action"] for pick in answer["actions"]),
        state_of(decode(record.state)),
    )


def _response(customer: str, event: Event) -> Response:
    contact = (event.decision_id, event.properties["action"])
    return Response(customer, event.id, contact, event.type, event.at, event.received)


def _sent(message: dict[str, str]) -> Granted:
    return message["decision_id"], message["treatment"].partition("/")[0]


def state_of(customer: Customer) -> State:
    consent = customer.consents.get(PURPOSE)
    return State(
        "" if consent is None else consent.source,
        consent is not None and consent.granted,
        customer.attributes.get("tier", ""),
        tuple((contact.decision, contact.action) for contact in customer.contacts),
        {
            (contact.decision, contact.action): {told.kind: told.first for told in contact.responses}
            for contact in customer.contacts
            if contact.responses
        },
        () if customer.merged_into else merged_ids(customer),
        customer.merged_into,
    )
