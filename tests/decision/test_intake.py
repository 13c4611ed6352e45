"""Events on a real Redis: what is stored, what the next decision sees, what counts once, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.plan import Plan
from decision.engine import Engine
from features.aggregates import values_at
from features.applying import FUTURE_US, Result, Sent
from features.commit import Commit
from features.customer import Response
from features.errors import StoreError
from features.intake import Intake
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from tests.decision.intakes import (
    ASK,
    CATALOG,
    DAY,
    PATIENT,
    AtOnce,
    chosen,
    known,
    logged,
    login,
    patient,
    purchase,
    statuses,
)
from tests.decision.plans import plan_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path) as server:
        yield server


@pytest.fixture
async def own_store(own_redis: EmbeddedRedis) -> AsyncIterator[CustomerStore]:
    store = await open_store(own_redis.url)
    yield store
    await store.ledger.link.close()


async def test_the_next_decision_of_any_worker_is_made_on_an_event(
    redis_url: str, engine: Engine, intake: Intake, plan: Plan
) -> None:
    store = await open_store(redis_url)
    elsewhere = Engine(store, plan)
    assert [await chosen(each) for each in (engine, elsewhere)] == ["hello", "hello"]
    assert statuses(await intake.take([login("e-1")], PATIENT)) == ["stored"]
    assert [await chosen(each) for each in (engine, elsewhere)] == ["hello", "hello"]
    assert statuses(await intake.take([login("e-2")], PATIENT)) == ["stored"]
    assert [await chosen(each) for each in (elsewhere, engine)] == ["welcome-back", "welcome-back"]
    assert isinstance(intake, AtOnce) <= (getattr(intake, "taken", 0) > 0)
    await store.ledger.link.close()


async def test_an_event_counts_once_however_often_it_is_sent(engine: Engine, intake: Intake) -> None:
    assert statuses(await intake.take([login("e-1"), login("e-1")], PATIENT)) == ["stored", "duplicate"]
    assert statuses(await intake.take([login("e-1")], PATIENT)) == ["duplicate"]
    assert await chosen(engine) == "hello"
    assert statuses(await intake.take([login("e-1"), login("e-2"), login("e-3")], PATIENT)) == [
        "duplicate",
        "stored",
        "stored",
    ]
    values = values_at(engine.plan.aggregates, (await known(engine.store)).series, engine.store.clock.now())
    assert values.by_name["logins_2d"] == 3
    assert [event.id for event in await logged(engine.store)] == ["e-1", "e-2", "e-3"]


async def test_of_the_same_id_the_first_that_fits_counts(engine: Engine, intake: Intake) -> None:
    sent = [
        purchase("e-1", "much"),
        purchase("e-1", 2.0),
        purchase("e-1", 3.0),
        purchase("e-2", "a"),
        purchase("e-2", "b"),
    ]
    results = await intake.take(sent, PATIENT)
    assert statuses(results) == ["refused", "stored", "duplicate", "refused", "refused"]
    values = values_at(engine.plan.aggregates, (await known(engine.store)).series, DAY)
    assert values.by_name["spend"] == 2.0
    assert statuses(await intake.take(sent[::-1], PATIENT)) == [
        "refused",
        "refused",
        "duplicate",
        "duplicate",
        "duplicate",
    ]


async def test_ids_are_told_apart_by_customer(engine: Engine, intake: Intake) -> None:
    sent = [purchase("e-1", 1.0), purchase("e-1", 2.0, customer_id="c-2")]
    assert statuses(await intake.take(sent, PATIENT)) == ["stored", "stored"]
    assert statuses(await intake.take(sent[::-1], PATIENT)) == ["duplicate", "duplicate"]


async def test_one_event_at_the_same_time_by_many_counts_once(
    redis_url: str, engine: Engine, intake: Intake, plan: Plan
) -> None:
    store = await open_store(redis_url)
    elsewhere = Engine(store, plan)
    both = (intake, elsewhere.intake)
    results = await asyncio.gather(*(each.take([purchase("e-1", 3.0)], PATIENT) for each in both * 8))
    assert sorted(result.status for (result,) in results) == ["duplicate"] * 15 + ["stored"]
    results = await asyncio.gather(*(each.take([purchase(f"n-{n}", 1.0)], PATIENT) for n, each in enumerate(both * 20)))
    assert {result.status for (result,) in results} == {"stored"}
    values = values_at(plan.aggregates, (await known(engine.store)).series, engine.store.clock.now())
    assert values.by_name["spend"] == 43.0
    await store.ledger.link.close()


async def test_what_does_not_fit_is_refused_and_the_others_stand(engine: Engine, intake: Intake) -> None:
    results = await intake.take(
        [
            purchase("good", 20.0),
            purchase("text", "twenty"),
            purchase("huge", 1e13),
            Sent("bad-decision", "c-1", "click", decision_id="of course"),
            Sent("unneeded", "c-1", "login", properties={"amount": "anything"}),
        ],
        PATIENT,
    )
    assert [(each.status, each.code, each.pointer) for each in results] == [
        ("stored", "", ""),
        ("refused", "wrong_type", "/properties/amount"),
        ("refused", "out_of_range", "/properties/amount"),
        ("refused", "invalid_value", "/decision_id"),
        ("stored", "", ""),
    ]
    assert "a finite number, got 'twenty'" in results[1].detail
    assert await chosen(engine) == "cake"
    assert [event.id for event in await logged(engine.store)] == ["good", "unneeded"]
    assert statuses(await intake.take([purchase("text", 20.0)], PATIENT)) == ["stored"]  # refused ids are free


async def test_a_property_that_is_not_there_does_not_count(engine: Engine, intake: Intake) -> None:
    results = await intake.take([Sent("e-1", "c-1", "purchase", properties={"department": "PASTRY"})], PATIENT)
    assert results == [Result("stored")]
    assert (await known(engine.store)).series == {}


async def test_an_unknown_type_is_kept(engine: Engine, intake: Intake) -> None:
    told = {"deep": {"er": [1, 2.5, None, True]}}
    (result,) = await intake.take([Sent("e-1", "c-1", "sneeze", properties=told)], PATIENT)
    assert (result.status, result.notes) == ("stored", ("unknown_type",))
    (event,) = await logged(engine.store)
    assert (event.type, event.properties) == ("sneeze", told)


async def test_times_by_the_senders_clock(engine: Engine, intake: Intake) -> None:
    await engine.store.snapshot("c-1", patient(), fresh=True)
    now = engine.store.clock.now()
    late, wrong, ahead, skewed, ancient, impossible = await intake.take(
        [
            login("yesterday", at=now - DAY),
            login("next-year", at=now + 365 * DAY),
            login("a-little-ahead", at=now + FUTURE_US // 2),
            login("by-a-clock-a-day-ahead", at=now + DAY, sent_at=now + DAY + 1_000_000),
            login("long-ago", at=now - 400 * DAY),
            login("by-a-clock-of-the-year-9999", at=now, sent_at=now + 7000 * 365 * DAY),
        ],
        PATIENT,
    )
    assert statuses([late, ahead, skewed, ancient]) == ["stored"] * 4
    assert (wrong.code, wrong.pointer) == ("from_the_future", "/at")
    assert ancient.notes == ("too_old",)
    assert (impossible.code, impossible.pointer) == ("out_of_range", "/at")
    customer = await known(engine.store)
    assert values_at(engine.plan.aggregates, customer.series, now).by_name["logins_2d"] == 3
    events = {event.id: event for event in await logged(engine.store)}
    assert events["yesterday"].at == now - DAY
    assert events["a-little-ahead"].at == events["a-little-ahead"].received
    assert events["by-a-clock-a-day-ahead"].at == events["by-a-clock-a-day-ahead"].received - 1_000_000


async def test_an_answer_to_a_contact_is_kept_with_it(engine: Engine, intake: Intake) -> None:
    body = json.loads((await engine.next_action(ASK, "key", PATIENT)).body)
    answer = {"customer_id": "c-1", "decision_id": body["decision_id"]}
    results = await intake.take(
        [
            Sent("e-1", type="impression", at=5, **answer),
            Sent("e-2", type="conversion", at=9, properties={"value": 12.5}, **answer),
            Sent("e-3", type="conversion", at=7, properties={"value": 1}, **answer),
            Sent("e-4", type="click", properties={"action": "another"}, **answer),
            Sent("e-5", "c-1", "click", decision_id="0" * 32),
            Sent("e-6", "c-1", "click", properties={"action": body["actions"][0]["action"]}),
            Sent("e-7", "c-1", "unsubscribed", properties={"treatment": body["actions"][0]["treatment"]}),
            Sent("e-8", "c-1", "click", properties={"action": None, "channel": "email"}),
            Sent("e-9", "c-1", "click"),
        ],
        PATIENT,
    )
    unanswering = [("no_contact",), ("no_contact",), ("no_decision",), ("no_decision",)]
    assert [each.notes for each in results] == [(), (), (), *unanswering, ("no_decision",), ("no_decision",)]
    (contact,) = (await known(engine.store)).contacts
    assert contact.responses == (Response("conversion", 7, 9, 2, 13_500_000), Response("impression", 5, 5, 1, 0))


async def test_without_redis_nothing_is_acknowledged(
    own_redis: EmbeddedRedis, own_store: CustomerStore, plan: Plan
) -> None:
    for kind in (Intake, AtOnce):
        engine = Engine(own_store, plan)
        intake = kind(own_store, engine.intake.turns, lambda: plan)
        customer_id = kind.__name__
        await intake.take([purchase("e-1", 1.0, customer_id=customer_id)], PATIENT)
    own_redis.stop()
    for kind in (Intake, AtOnce):
        intake = kind(own_store, engine.intake.turns, lambda: plan)
        with pytest.raises(StoreError):
            await intake.take([purchase("e-2", 1.0, customer_id=kind.__name__)], 2.0)
        assert engine.intake.turns.take_free(kind.__name__)  # the turn was given back
        engine.intake.turns.give(kind.__name__)


async def test_more_ids_than_lua_takes_at_once(engine: Engine, intake: Intake) -> None:
    sent = [login(f"e-{n}") for n in range(10_000)]
    assert statuses(await intake.take(sent[:9_000], PATIENT)) == ["stored"] * 9_000
    assert statuses(await intake.take(sent, PATIENT)) == ["duplicate"] * 9_000 + ["stored"] * 1_000
    assert len(await logged(engine.store)) == 10_000


async def test_a_connection_that_goes_in_the_midst_of_a_batch_is_answered_once(
    own_store: CustomerStore, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(own_store, plan)
    sent = [purchase(f"e-{n}", 1.0, customer_id=f"m-{n}") for n in range(20)]
    await engine.intake.take(sent, PATIENT)
    connection = own_store.ledger.link.ready
    assert connection is not None
    told: list[object] = []
    again = [purchase(f"f-{n}", 1.0, customer_id=f"m-{n}") for n in range(20)]
    real = own_store.ledger.commit_at_once

    def commit_at_once(commit: Commit, *rest: Any) -> None:
        real(commit, *rest)
        if commit.customer_id == "m-9":
            connection.abort("as when Redis is killed")

    monkeypatch.setattr(own_store.ledger, "commit_at_once", commit_at_once)
    first = asyncio.Event()

    def answered(results: object) -> None:
        told.append(results)
        first.set()

    assert engine.intake.at_once(again, PATIENT, answered)
    await first.wait()
    assert isinstance(told[0], StoreError)
    for n in range(20):
        assert engine.intake.turns.take_free(f"m-{n}")
    await asyncio.sleep(0)
    assert len(told) == 1


async def test_a_batch_of_many_customers(engine: Engine, intake: Intake) -> None:
    sent = [purchase(f"e-{n}", n / 4, customer_id=f"m-{n % 40}") for n in range(200)]
    assert set(statuses(await intake.take(sent, PATIENT))) == {"stored"}
    for n in range(40):
        values = values_at(engine.plan.aggregates, (await known(engine.store, f"m-{n}")).series, DAY)
        assert values.by_name["spend"] == sum(m / 4 for m in range(n, 200, 40))
