"""Who unsubscribes: at once, ahead of all in line, from what the contact was for, and for good."""

import asyncio
import json
from collections.abc import Callable, Collection

import pytest
from msgspec.structs import replace

from catalog.plan import Plan
from decision.engine import Engine
from decision.reasons import Reason
from decision.request import NextActionRequest
from features.applying import Sent
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, with_attributes, with_contacts
from features.forgetting import forget
from features.identity import update
from features.intake import Intake
from features.store import CustomerStore
from tests.customers import SOME_DECISION
from tests.decision.intakes import (
    CATALOG,
    DAY,
    PATIENT,
    known,
    logged,
    login,
    patient,
    statuses,
)
from tests.decision.plans import plan_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


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
