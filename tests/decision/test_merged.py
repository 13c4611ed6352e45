"""Decisions by an id that stands for another customer: for that one, once, and the same when asked again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from typing import Any

import pytest
from msgspec.structs import replace

from catalog.plan import Plan
from decision.deciding import Answer
from decision.engine import Engine
from decision.reasons import Degradation
from decision.record import read_record
from decision.request import NextActionRequest, RequestError
from features.customer import with_attributes
from features.deadline import Deadline
from features.forgetting import forget
from features.identity import merge
from features.merging import frozen
from features.opening import open_store
from features.store import CustomerStore
from tests.decision.plans import plan_of
from tests.engines import AtOnce, ByTask

pytestmark = pytest.mark.anyio

PATIENT = 30.0
CATALOG = """
customer: {email: string}
channels: {web: {direction: inbound, placements: [top]}}
actions:
  offer: {eligible: has(customer.email), value: 9, treatments: {web: {t: Offer}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
contact_policies: {twice: {limit: 2, rolling: 1d, scope: {action: offer}}}
"""
REQUEST = NextActionRequest("cookie", placements=["top"])


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture(params=[ByTask, AtOnce])
def engine(request: pytest.FixtureRequest, store: CustomerStore, plan: Plan) -> Engine:
    chosen: Engine = request.param(store, plan)
    return chosen


def patient() -> Deadline:
    return Deadline(PATIENT, lambda: 0.0)


async def asked(engine: Engine, request: NextActionRequest = REQUEST) -> tuple[Answer, dict[str, Any]]:
    answer = await engine.next_action(request, "key", PATIENT)
    assert answer.degraded == ()
    return answer, json.loads(answer.body)


async def known(store: CustomerStore, customer_id: str) -> None:
    await store.update(customer_id, lambda c, now: with_attributes(c, {"email": customer_id}, now), patient())


async def contacts(store: CustomerStore, customer_id: str) -> int:
    return len((await store.snapshot(customer_id, patient(), fresh=True)).customer.log)


def chosen(told: dict[str, Any]) -> list[str]:
    return [action["action"] for action in told["actions"]]


async def test_answer_and_record_name_the_customer(engine: Engine, store: CustomerStore) -> None:
    await asked(engine)  # the worker knows the cookie as a customer of its own
    await known(store, "person")
    await merge(store, "cookie", "person", patient())
    for turn in range(2):
        _, told = await asked(engine)
        assert (told["customer_id"], chosen(told)) == ("person", ["offer"])
        body = await store.ledger.record(told["decision_id"], PATIENT)
        assert body is not None
        assert read_record(body).customer_id == "person"
        assert (await contacts(store, "person"), await contacts(store, "cookie")) == (turn + 2, 0)
    assert chosen((await asked(engine))[1]) == ["hello"]  # what is counted is counted for both ids
    assert chosen((await asked(engine, replace(REQUEST, customer_id="person")))[1]) == ["hello"]


async def test_a_worker_that_does_not_know_of_the_merge_hears_of_it_by_its_commit(
    engine: Engine, store: CustomerStore, redis_url: str
) -> None:
    await asked(engine)
    other = await open_store(redis_url)
    await known(other, "person")
    await merge(other, "cookie", "person", patient())
    await other.ledger.link.close()
    _, told = await asked(engine)
    assert (told["customer_id"], chosen(told)) == ("person", ["offer"])


async def test_a_preview_is_of_the_customer_too(engine: Engine, store: CustomerStore) -> None:
    await known(store, "person")
    await merge(store, "cookie", "person", patient())
    _, told = await asked(engine, replace(REQUEST, dry_run=True))
    assert (told["customer_id"], chosen(told)) == ("person", ["offer"])
    assert await contacts(store, "person") == 0


async def test_a_frozen_customer_is_completed_first(engine: Engine, store: CustomerStore) -> None:
    await asked(engine)
    await known(store, "person")
    await store.update("cookie", lambda c, now: frozen(c, "cookie", "person"), patient())
    _, told = await asked(engine)
    assert told["customer_id"] == "person"
    assert await contacts(store, "person") == 2


async def test_a_request_answered_before_a_merge_is_answered_the_same_after_it(
    engine: Engine, store: CustomerStore
) -> None:
    """By its old id, through one merge and a second, wherever its answer lies."""
    requests = [replace(REQUEST, request_id="r-1")]
    first = [(await asked(engine, requests[0]))[0].body]
    for step, into in enumerate(("device", "person", "household")):
        await known(store, into)
        await merge(store, requests[0].customer_id, into, patient())
        for request, body in zip(requests, first, strict=True):
            again = await engine.next_action(request, "key", PATIENT)
            assert (again.body, again.repeated) == (body, True)
        with pytest.raises(RequestError, match="another body"):
            await asked(engine, replace(requests[0], limit=2))
        requests.append(replace(REQUEST, request_id=f"r-{step + 2}"))
        first.append((await asked(engine, requests[-1]))[0].body)
    assert await contacts(store, "household") == 4
    asked_otherwise = await engine.next_action(replace(requests[0], customer_id="household"), "key", PATIENT)
    assert not asked_otherwise.repeated


async def erased(store: CustomerStore, customer_id: str) -> None:
    layout, link = store.ledger.layout, store.ledger.link

    async def erase_records(ids: Collection[str]) -> None:
        for each in ids:
            await link.ask("DEL", layout.decisions(layout.partition(each)), within=PATIENT)

    await forget(store, customer_id, patient, erase_records)


@pytest.mark.parametrize("by", ["cookie", "household"])
@pytest.mark.parametrize("then", ["stays away", "comes back", "is merged again"])
async def test_a_request_answered_before_an_erasure_is_refused_after_it(
    engine: Engine, store: CustomerStore, redis_url: str, by: str, then: str
) -> None:
    """Also where its answer lies in the partition of whom its id stood for, by a worker that has heard of nothing."""
    await asked(engine)
    request = replace(REQUEST, request_id="r-1")
    other = await open_store(redis_url)
    try:
        await known(other, "household")
        await merge(other, "cookie", "household", patient())
        _, told = await asked(type(engine)(other, engine.plan), request)
        assert told["customer_id"] == "household"
        await erased(other, by)
        if then == "comes back":
            await known(other, "cookie")
        if then == "is merged again":
            await known(other, "device")
            await merge(other, "cookie", "device", patient())
    finally:
        await other.ledger.link.close()
    for _ in range(2):
        with pytest.raises(RequestError, match="its record is no longer kept"):
            await asked(engine, request)
        with pytest.raises(RequestError, match="another body"):
            await asked(engine, replace(request, limit=2))
    for customer_id in ("cookie", "household", "device"):
        assert await contacts(store, customer_id) == 0
    answer, _ = await asked(engine, replace(request, request_id="r-2"))
    assert not answer.repeated


async def test_requests_go_on_while_customers_are_merged(engine: Engine, store: CustomerStore, redis_url: str) -> None:
    """The limit holds over both ids, whatever comes between."""
    other = await open_store(redis_url)
    for name in ("cookie", "person"):
        await known(store, name)

    async def ask(customer_id: str) -> list[str]:
        return chosen((await asked(engine, replace(REQUEST, customer_id=customer_id)))[1])

    before = await ask("cookie")
    merging = asyncio.create_task(merge(other, "cookie", "person", patient()))
    during = await asyncio.gather(*(ask(name) for name in ("cookie", "person") * 5))
    done = await merging
    await other.ledger.link.close()
    assert before == ["offer"]
    assert sum(answer == ["offer"] for answer in during) <= 3  # two by one id before they were one, one by the other
    assert await ask("cookie") == await ask("person") == ["hello"]
    assert done.customer_id == "person"
    assert await contacts(store, "person") == len(during) + 3


async def test_when_the_time_is_up_the_fallback_says_so(engine: Engine, store: CustomerStore) -> None:
    await merge(store, "cookie", "person", patient())
    answer = await engine.next_action(REQUEST, "key", 0.0)
    assert answer.degraded == (Degradation.DEADLINE,)
