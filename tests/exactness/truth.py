"""What Redis holds about one customer, and whether it agrees with what the clients were told."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from decision.record import read_record
from features.customer import Customer
from features.deadline import Deadline
from features.opening import open_store
from features.store import CustomerStore
from tests.exactness.catalogs import EMAIL
from tests.exactness.messages import PATIENCE, Told


@dataclass(frozen=True, slots=True)
class Truth:
    """`answers` maps decision ids to the bytes recorded as their answer, `asked` counts the request ids they had;
    `sent` lists the outbox; `log` is (time, contacts granted) of each decision in the order of their commits.
    """

    customer: Customer
    answers: dict[str, bytes]
    asked: Counter[str]
    sent: list[dict[str, Any]]
    log: list[tuple[int, int]]

    @property
    def granted(self) -> Counter[tuple[str, str]]:
        """(decision id, channel) of every contact granted, by the decisions stream."""
        return grants(self.answers.values())


def read(url: str, customer_id: str) -> Truth:
    return asyncio.run(_read(url, customer_id))


async def _read(url: str, customer_id: str) -> Truth:
    store = await open_store(url)
    try:
        return await read_from(store, customer_id)
    finally:
        await store.ledger.link.close()


async def read_from(store: CustomerStore, customer_id: str) -> Truth:
    link, layout = store.ledger.link, store.ledger.layout
    deadline = Deadline(PATIENCE, asyncio.get_running_loop().time)
    snapshot = await store.snapshot(customer_id, deadline, fresh=True)
    partition = layout.partition(customer_id)
    records = await link.ask("XRANGE", layout.decisions(partition), "-", "+", within=PATIENCE)
    outbox = await link.ask("XRANGE", layout.outbox(partition), "-", "+", within=PATIENCE)
    kept = [read_record(record) for _, (*_, record) in records]
    ours = [record for record in kept if record.customer_id == customer_id]
    answers = {record.id: record.answer for record in ours}
    assert len(answers) == len(ours), "a decision is recorded twice"
    asked = Counter(orjson.loads(record.request).get("request_id") for record in ours)
    sent = [entry for _, (_, message) in outbox if (entry := orjson.loads(message))["customer_id"] == customer_id]
    log = [(record.at, len(orjson.loads(record.answer)["actions"])) for record in ours]
    return Truth(snapshot.customer, answers, asked, sent, log)


def grants(bodies: Iterable[bytes]) -> Counter[tuple[str, str]]:
    """(decision id, channel) of every contact in these answers."""
    answers = [orjson.loads(body) for body in bodies]
    return Counter((answer["decision_id"], action["channel"]) for answer in answers for action in answer["actions"])


def check_consistent(truth: Truth) -> None:
    """State, decisions stream and outbox tell the same contacts."""
    contacts = Counter((contact.decision, contact.channel) for contact in truth.customer.contacts)
    assert contacts == truth.granted, "the customer's contacts are not the grants recorded"
    sent = Counter((entry["decision_id"], entry["channel"]) for entry in truth.sent)
    by_email = Counter({grant: count for grant, count in truth.granted.items() if grant[1] == EMAIL})
    assert sent == by_email, "the outbox is not the outbound grants recorded"


def check_acknowledged(truth: Truth, told: Iterable[Told]) -> None:
    """Every answer that reached a client, degraded ones aside, is recorded byte for byte."""
    for answer in told:
        if not answer.degraded:
            body = answer.body.encode()
            assert truth.answers.get(orjson.loads(body)["decision_id"]) == body, "an acknowledged answer is lost"


def check_exact(truth: Truth, told: list[Told], limit: int) -> None:
    """Nobody gave up, `limit` contacts were granted, and everything stored agrees with what the clients were told."""
    assert [answer.degraded for answer in told if answer.degraded] == []
    granted = grants(answer.body.encode() for answer in told)
    assert granted.total() == limit, f"{granted.total()} contacts granted under a limit of {limit}"
    assert granted == truth.granted, "other grants were recorded than the clients were told"
    check_acknowledged(truth, told)
    check_consistent(truth)


def conflicts(told: Iterable[Told]) -> int:
    """How often a commit found that the customer had moved on."""
    return sum(answer.lost for answer in told)
