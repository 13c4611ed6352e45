"""Lifetime policies on a real Redis: what they count is counted for good, whichever worker granted it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from decision.engine import Engine
from decision.lasting import KEPT_ANYWAY
from decision.request import NextActionRequest
from features.customer import Customer, with_attributes
from features.deadline import Deadline
from features.opening import open_store
from features.store import CustomerStore
from tests.decision.plans import plan_of
from tests.engines import AtOnce

pytestmark = pytest.mark.anyio

PATIENT = 30.0
WHO = "c-1"
PLAN = plan_of("""
customer: {contract_id: string}
channels: {web: {direction: inbound}}
actions:
  early: {group: renewals, value: 3, treatments: {web: {t: x}}}
  late: {group: renewals, value: 2, treatments: {web: {t: x}}}
  last: {group: renewals, value: 1, treatments: {web: {t: x}}}
contact_policies:
  once-a-term: {limit: 1, lifetime: true, per: [action, customer.contract_id], scope: {group: renewals}}
""")
ACTIONS = ["early", "late", "last"]
TERMS = KEPT_ANYWAY // len(ACTIONS) + 3  # more contacts than are kept without a policy's need


@pytest.fixture
async def workers(store: CustomerStore, redis_url: str) -> AsyncIterator[list[Engine]]:
    """Two, each with a cache that knows nothing of the other's."""
    other = await open_store(redis_url)
    yield [Engine(store, PLAN), Engine(other, PLAN)]
    await other.ledger.link.close()


async def under(contract: str, store: CustomerStore) -> None:
    def change(customer: Customer, now: int) -> Customer:
        return with_attributes(customer, {"contract_id": contract})

    await store.update(WHO, change, Deadline(PATIENT, lambda: 0.0))


async def granted(workers: list[Engine], times: int) -> Counter[str]:
    """The actions of `times` answers asked for at once from each worker."""
    asked = [worker.next_action(NextActionRequest(WHO), "key", PATIENT) for worker in workers for _ in range(times)]
    answers = [json.loads(answer.body) for answer in await asyncio.gather(*asked)]
    assert all(answer["degraded"] == [] for answer in answers)
    return Counter(action["action"] for answer in answers for action in answer["actions"])


async def test_each_action_once_a_term_and_never_again(workers: list[Engine]) -> None:
    store = workers[0].store
    for term in range(TERMS):
        await under(f"term-{term}", store)
        assert await granted(workers, 3) == Counter(ACTIONS), term
    for term in range(TERMS):
        await under(f"term-{term}", store)
        assert await granted(workers, 1) == Counter(), term
    snapshot = await store.snapshot(WHO, Deadline(PATIENT, lambda: 0.0), fresh=True)
    assert len(snapshot.customer.log) == TERMS * len(ACTIONS) > KEPT_ANYWAY
    assert snapshot.customer.contacts[0].keys == (("customer.contract_id", "term-0"),)


async def test_without_a_contract_nothing_is_granted(workers: list[Engine]) -> None:
    assert await granted(workers, 2) == Counter()


async def test_somebody_known_by_contacts_alone_is_kept_for_good(store: CustomerStore) -> None:
    each_once = "{limit: 1, lifetime: true, per: action, scope: {channel: web}}"
    plan = plan_of(f"""
channels: {{web: {{direction: inbound}}}}
actions: {{tour: {{value: 1, treatments: {{web: {{t: x}}}}}}}}
contact_policies: {{each-once: {each_once}}}
""")
    engine = Engine(store, plan)
    assert [await granted([engine], 1) for _ in range(2)] == [Counter(["tour"]), Counter()]
    left_ms = int(await store.ledger.link.ask("PTTL", store.ledger.layout.state(WHO), within=5))
    assert left_ms > 99 * 365 * 24 * 3600 * 1000


async def test_what_is_dropped_from_the_middle_is_not_written_again(store: CustomerStore) -> None:
    """Answers that add more contacts than the sweep drops, which keeps the oldest: the state in Redis stays the one
    that was decided, and the limit holds for a worker that has to load it.
    """
    filling = "\n".join(f"  n{n}: {{group: news, value: {50 - n}, treatments: {{web: {{t: x}}}}}}" for n in range(30))
    plan = plan_of(f"""
channels: {{web: {{direction: inbound}}}}
actions:
  p: {{group: promo, value: 100, treatments: {{web: {{t: x}}}}}}
{filling}
contact_policies: {{five-ever: {{limit: 5, lifetime: true, per: action, scope: {{group: promo}}}}}}
""")
    engine = AtOnce(store, plan)
    promos = 0
    for place in range(14):
        answer = json.loads((await engine.next_action(NextActionRequest(WHO, limit=20), "key", PATIENT)).body)
        promos += sum(action["action"] == "p" for action in answer["actions"])
        known = store.at_hand(WHO)
        assert known is not None
        if place % 2:
            store.cache.forget(WHO)  # as another worker would, or this one after a restart
        stored = await store.snapshot(WHO, Deadline(PATIENT, lambda: 0.0), fresh=True)
        assert stored.customer == known.customer
    assert promos == 5
