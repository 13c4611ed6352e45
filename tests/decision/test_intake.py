"""Events on a real Redis: what is stored, what the next decision sees, what counts once, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catalog.plan import Plan
from decision.engine import Engine
from decision.reasons import Reason
from decision.request import NextActionRequest
from features.aggregates import values_at
from features.applying import FUTURE_US, Result, Sent
from features.commit import Commit
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, Response, with_attributes, with_contacts
from features.deadline import Deadline
from features.errors import StoreError
from features.events import Event, unpack_events
from features.forgetting import forget
from features.identity import update
from features.intake import Intake
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of

pytestmark = pytest.mark.anyio

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


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture
def engine(store: CustomerStore, plan: Plan) -> Engine:
    return Engine(store, plan)


@pytest.fixture(params=[Intake, AtOnce])
def intake(request: pytest.FixtureRequest, engine: Engine) -> Intake:
    chosen: type[Intake] = request.param
    return chosen(engine.store, engine.intake.turns, lambda: engine.plan)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path) as server:
        yield server


@pytest.fixture
async def own_store(own_redis: EmbeddedRedis) -> AsyncIterator[CustomerStore]:
    store = await open_store(own_redis.url)
    yield store
    await store.ledger.link.close()


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


async def test_who_unsubscribes_is_not_written_to_any_more(engine: Engine, intake: Intake) -> None:
    def reachable(customer: Customer, now: int) -> Customer:
        told = with_attributes(customer, {"email": "ana@example.com"}, now)
        for purpose in ("marketing", "service"):
            told = with_consent(told, purpose, Consent(True, 1))
        return told

    await engine.store.update("c-1", reachable, patient())
    by_mail = NextActionRequest("c-1", channels=["email"])
    body = json.loads((await engine.next_action(by_mail, "key", PATIENT)).body)
    assert body["actions"][0]["action"] == "news"
    await intake.take([Sent("e-1", "c-1", "unsubscribed", decision_id=body["decision_id"])], PATIENT)
    assert json.loads((await engine.next_action(by_mail, "key", PATIENT)).body)["reason"] == "no_consent"
    consents = (await known(engine.store)).consents
    assert {purpose: given.granted for purpose, given in consents.items()} == {"marketing": False, "service": True}
    await intake.take([Sent("e-2", "c-1", "complained")], PATIENT)  # about what, nobody knows
    assert not any(given.granted for given in (await known(engine.store)).consents.values())


async def test_a_withdrawal_goes_ahead_of_decisions_in_line(engine: Engine, intake: Intake) -> None:
    """Each of them is made without the consent, as the withdrawal was there before it was made."""

    def reachable(customer: Customer, now: int) -> Customer:
        return with_consent(with_attributes(customer, {"email": "a@b.example"}, now), "marketing", Consent(True, 1))

    await engine.store.update("c-1", reachable, patient())
    by_mail = NextActionRequest("c-1", channels=["email"])
    assert engine.turns.take_free("c-1")
    deciding = [asyncio.create_task(engine.next_action(by_mail, "key", PATIENT)) for _ in range(5)]
    await asyncio.sleep(0)
    assert engine.turns.in_line("c-1") == 5
    withdrawing = asyncio.create_task(intake.take([login("e-1"), Sent("e-2", "c-1", "unsubscribed")], PATIENT))
    for _ in range(10):
        await asyncio.sleep(0)
    assert engine.turns.in_line("c-1") == 6
    engine.turns.give("c-1")
    assert statuses(await withdrawing) == ["stored", "stored"]
    assert {(await each).reason for each in deciding} == {Reason.NO_CONSENT}


@pytest.mark.parametrize(
    ("first", "then", "refused"),
    [
        ("purpose: marketing,", "purpose: service,", ["marketing"]),
        ("purpose: service,", "", ["service"]),
        ("", "purpose: service,", ["marketing", "service"]),
        ("", "", ["marketing", "service"]),
    ],
)
async def test_who_unsubscribes_refuses_the_purpose_that_the_contact_had(
    store: CustomerStore, first: str, then: str, refused: list[str]
) -> None:
    """Not the one that its action has by now; where it had none, every purpose."""
    catalog = """
purposes: [marketing, service]
channels: {web: {direction: inbound}}
actions: {hello: {PURPOSE value: 1, treatments: {web: {t: Hello}}}}
"""
    granted = {purpose: Consent(True, 1) for purpose in ("marketing", "service")}
    await store.update("c-1", lambda customer, now: replace(customer, consents=granted), patient())
    engine = Engine(store, plan_of(catalog.replace("PURPOSE", first)))
    body = json.loads((await engine.next_action(NextActionRequest("c-1"), "key", PATIENT)).body)
    engine.serve(plan_of(catalog.replace("PURPOSE", then)))
    sent = Sent("e-1", "c-1", "unsubscribed", decision_id=body["decision_id"])
    assert statuses(await engine.intake.take([sent], PATIENT)) == ["stored"]
    consents = (await known(store)).consents
    assert sorted(purpose for purpose, given in consents.items() if not given.granted) == refused


async def test_a_purpose_that_the_catalog_no_longer_has_refuses_all_that_it_has(store: CustomerStore) -> None:
    contact = Contact(1, "hello", "web", "", "inbound", SOME_DECISION, purpose="offers")
    granted = {purpose: Consent(True, 1) for purpose in ("marketing", "offers")}
    await store.update("c-1", lambda customer, now: with_contacts(Customer(consents=granted), (contact,)), patient())
    engine = Engine(store, plan_of(CATALOG))
    await engine.intake.take([Sent("e-1", "c-1", "complained", decision_id=SOME_DECISION)], PATIENT)
    consents = (await known(store)).consents
    assert {purpose: given.granted for purpose, given in consents.items()} == dict.fromkeys(
        ("marketing", "offers", "service"), False
    )


async def erased(store: CustomerStore, customer_id: str = "c-1") -> None:
    """As long ago as that the tombstone has gone."""

    async def records(customer_ids: Collection[str]) -> None:
        pass

    await forget(store, customer_id, patient, records)
    await store.ledger.link.ask("DEL", store.ledger.layout.state(customer_id), within=PATIENT)
    store.cache.forget(customer_id)


@pytest.mark.parametrize("kind", ["unsubscribed", "complained"])
@pytest.mark.parametrize("at_hand", [True, False])
async def test_who_was_erased_has_still_refused_though_an_old_refusal_is_the_first_that_is_heard_of_them(
    engine: Engine, intake: Intake, kind: str, at_hand: bool
) -> None:
    store = engine.store

    def says(granted: bool, at: int) -> Callable[[Customer, int], Customer]:
        return lambda customer, now: with_consent(customer, "marketing", Consent(granted, at))

    now = store.clock.now()
    await update(store, "c-1", says(False, now - 400 * DAY), patient())
    await erased(store)
    if at_hand:
        await intake.take([login("e-0")], PATIENT)
    await intake.take([Sent("e-1", "c-1", kind, now - 300 * DAY), login("e-2")], PATIENT)
    assert [event.id for event in await logged(store)][-2:] == ["e-1", "e-2"]
    _, snapshot = await update(store, "c-1", says(True, now - 100 * DAY), patient())
    assert not snapshot.customer.consents["marketing"].granted
    assert snapshot.customer.erased >= now
    _, snapshot = await update(store, "c-1", says(True, store.clock.now() + 1), patient())
    assert snapshot.customer.consents["marketing"].granted


async def test_who_was_erased_and_had_refused_nothing_is_known_to_have_been(engine: Engine, intake: Intake) -> None:
    """What was said before the erasure stays a no, so the time of it is kept with the first that is heard."""
    await engine.store.update("c-1", lambda customer, now: with_attributes(customer, {"email": "a"}, now), patient())
    await erased(engine.store)
    assert statuses(await intake.take([Sent("e-1", "c-1", "unsubscribed", at=5), login("e-2")], PATIENT)) == [
        "stored",
        "stored",
    ]
    customer = await known(engine.store)
    assert customer.erased > 0
    assert not any(given.granted for given in customer.consents.values())


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
