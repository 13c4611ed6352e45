"""Events that take consent back: never refused, never overlooked, and told where they come too late."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from catalog.plan import Plan
from decision.engine import Engine
from decision.request import NextActionRequest
from features.applying import Result, Sent
from features.consents import with_consent, with_consent_now
from features.customer import Consent, Customer, with_attributes
from features.identity import update
from features.intake import Intake
from features.keys import new_decision_id
from features.store import CustomerStore
from tests.decision.intakes import CATALOG, DAY, PATIENT, known, logged, patient, statuses
from tests.decision.plans import plan_of

pytestmark = pytest.mark.anyio

YES = Consent(True, 1, "form")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(
        CATALOG.replace("purchase:", "unsubscribed: {reason: int}\n  purchase:").replace(
            "spend:", "reasons: {sum: unsubscribed.reason}\n  spend:"
        )
    )


def agreed(*purposes: str, at: int = 1) -> Callable[[Customer, int], Customer]:
    """Who can be reached by e-mail, and has said yes to these at that time."""

    def change(customer: Customer, now: int) -> Customer:
        told = with_attributes(customer, {"email": "ana@example.com"}, now)
        for purpose in purposes:
            told = with_consent(told, purpose, Consent(True, at))
        return told

    return change


async def granted(store: CustomerStore) -> dict[str, bool]:
    return {purpose: told.granted for purpose, told in (await known(store)).consents.items()}


@pytest.mark.parametrize("back", [DAY, 1_000_000, 1])
async def test_a_no_is_made_after_the_contact_that_it_names_whatever_dated_it(
    engine: Engine, intake: Intake, back: int
) -> None:
    """By a clock that is behind, or in whole seconds, it seems to lie before the yes."""
    store = engine.store
    await store.update("c-1", agreed("marketing", "service", at=store.clock.now() - 2_000_000), patient())
    body = json.loads((await engine.next_action(NextActionRequest("c-1", channels=["email"]), "key", PATIENT)).body)
    (contact,) = (await known(store)).contacts
    sent = Sent("e-1", "c-1", "unsubscribed", contact.at - back - 2_000_000, decision_id=body["decision_id"])
    assert [each.notes for each in await intake.take([sent], PATIENT)] == [()]
    assert await granted(store) == {"marketing": False, "service": True}
    refused = (await known(store)).consents["marketing"]
    assert refused == Consent(False, contact.at + 1, "unsubscribed")


async def test_so_is_one_that_names_a_decision_whose_contact_is_not_kept(engine: Engine, intake: Intake) -> None:
    store = engine.store
    now = store.clock.now()
    await store.update("c-1", agreed("marketing", at=now - 9 * DAY), patient())
    before, after, ahead = (new_decision_id(0, now + far, bytes(8)) for far in (-10 * DAY, -5 * DAY, 5 * DAY))
    results = await intake.take([Sent("e-1", "c-1", "unsubscribed", now - 20 * DAY, decision_id=before)], PATIENT)
    assert [each.notes for each in results] == [("no_contact", "older_than_consent")]
    assert (await granted(store))["marketing"]
    results = await intake.take([Sent("e-2", "c-1", "unsubscribed", now - 20 * DAY, decision_id=after)], PATIENT)
    assert [each.notes for each in results] == [("no_contact",)]
    assert not any((await granted(store)).values())
    await store.update("c-1", agreed("marketing", at=now - 2 * DAY), patient())
    await intake.take([Sent("e-3", "c-1", "unsubscribed", now - 20 * DAY, decision_id=ahead)], PATIENT)
    assert (await known(store)).consents["marketing"].at <= store.clock.now(), "never later than now"


async def test_a_no_from_before_the_yes_is_told_to_be_of_no_effect(engine: Engine, intake: Intake) -> None:
    store = engine.store
    now = store.clock.now()
    await store.update("c-1", agreed("marketing", at=now - DAY), patient())
    (told,) = await intake.take([Sent("e-1", "c-1", "complained", now - 2 * DAY)], PATIENT)
    assert told == Result("stored", notes=("no_decision", "older_than_consent"))
    assert await granted(store) == {"marketing": True, "service": False}
    (told,) = await intake.take([Sent("e-2", "c-1", "complained", now - DAY - 1_000_000)], PATIENT)
    assert told == Result("stored", notes=("no_decision",)), "times may be cut to whole seconds"
    assert not any((await granted(store)).values())


async def test_a_no_to_everything_is_one_to_what_the_catalog_lacks_just_then(engine: Engine, intake: Intake) -> None:
    await engine.store.update("c-1", agreed("marketing", "partners"), patient())
    await intake.take([Sent("e-1", "c-1", "unsubscribed")], PATIENT)
    assert await granted(engine.store) == {"marketing": False, "partners": False, "service": False}


async def test_a_no_is_never_refused_for_its_form(engine: Engine, intake: Intake) -> None:
    """The same of another type is."""
    store = engine.store
    hour = 3_600_000_000
    wrong: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"at": store.clock.now() + hour}, ("taken_as_now",)),
        ({"at": -(2**62)}, ("taken_as_now",)),
        ({"decision_id": "ABCDEF0123456789ABCDEF0123456789"}, ("unreadable_decision",)),
        ({"properties": {"reason": "too many"}}, ("not_counted",)),
        ({"decision_id": "x", "at": store.clock.now() + hour}, ("taken_as_now", "unreadable_decision")),
    ]
    for number, (part, notes) in enumerate(wrong):
        await store.update("c-1", agreed("marketing"), patient())
        await update(store, "c-1", lambda customer, now: with_consent_now(customer, "marketing", YES), patient())
        results = await intake.take([Sent(f"no-{number}", "c-1", "unsubscribed", **part)], PATIENT)
        assert results == [Result("stored", notes=(*notes, "no_decision"))]
        assert not any((await granted(store)).values())
        assert [event.id for event in await logged(store)][-1] == f"no-{number}"
        if "properties" not in part:
            assert statuses(await intake.take([Sent(f"click-{number}", "c-1", "click", **part)], PATIENT)) == [
                "refused"
            ]


async def test_a_no_is_not_taken_for_another_event_of_its_id(engine: Engine, intake: Intake) -> None:
    """Whoever gives a message's id to all that comes of it."""
    await engine.store.update("c-1", agreed("marketing"), patient())
    sent = [Sent("m-1", "c-1", kind) for kind in ("click", "unsubscribed", "complained", "opened", "click")]
    assert statuses(await intake.take(sent, PATIENT)) == ["stored"] * 3 + ["duplicate"] * 2
    assert not any((await granted(engine.store)).values())
    assert statuses(await intake.take(sent, PATIENT)) == ["duplicate"] * 5
    assert [event.type for event in await logged(engine.store)] == ["click", "unsubscribed", "complained"]
    await intake.take([Sent("m-2", "c-2", "click")], PATIENT)
    assert statuses(await intake.take([Sent("m-2", "c-2", "unsubscribed")], PATIENT)) == ["stored"]
    assert not (await known(engine.store, "c-2")).consents["marketing"].granted
