"""What is looked at right before a message is sent, on a real Redis: whatever has changed by then binds."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.deliverer import Deliverer
from channels.file import File
from channels.running import deliver_once
from decision.lasting import KEPT_ANYWAY, SWEEP
from decision.release import Unsent
from features.customer import moment
from features.deadline import Deadline
from features.forgetting import forget
from features.identity import merge
from tests.channels.conftest import At
from tests.channels.desk import (
    CATALOG,
    EVENING,
    MORNING,
    NOON,
    PATIENT,
    Desk,
    for_tests,
    ids,
    no_consent,
)

pytestmark = pytest.mark.anyio


async def test_what_was_decided_is_sent_once_and_recorded(at: At) -> None:
    async with at(NOON) as desk:
        await desk.serve()
        await desk.knows()
        body = await desk.decide("email")
        assert str(await desk.deliver()) == (
            "1 sent, 0 not sent, 0 held until quiet hours are over, 0 to be tried again"
        )
        (line,) = desk.written()
        assert (line["id"], line["address"], line["content"]) == (
            f"{body['decision_id']}/news/email", "ana@example.com", {"t": "News"},
        )  # fmt: skip
        assert await desk.responses() == [["delivered"]]
        assert await desk.left() == (0, 0)
        assert (await desk.deliver()).sent == 0
        assert len(desk.written()) == 1


async def test_what_is_held_waits_until_quiet_hours_are_over(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        body = await desk.decide("email")
        assert body["actions"][0]["not_before"] == "2026-03-11T07:00:00Z"
        assert (await desk.deliver()).held == 1
        assert (desk.written(), await desk.left(), await desk.responses()) == ([], (1, 1), [[]])
    async with at("2026-03-11T06:59:00Z") as desk:
        assert str(await desk.deliver()).startswith("0 sent, 0 not sent, 0 held")  # nobody looks before
    async with at(MORNING) as desk:
        assert (await desk.deliver()).sent == 1
        assert (ids(desk.written()), await desk.left(), await desk.responses()) == (
            ["news/email"],
            (0, 0),
            [["delivered"]],
        )


Change = Callable[[Desk, dict[str, Any]], Awaitable[None]]


async def opts_out(desk: Desk, body: dict[str, Any]) -> None:
    await desk.change(no_consent)


async def unsubscribes(desk: Desk, body: dict[str, Any]) -> None:
    await desk.events("unsubscribed", decision_id=body["decision_id"])


async def becomes_a_test_customer(desk: Desk, body: dict[str, Any]) -> None:
    await desk.change(for_tests)


async def has_another_address(desk: Desk, body: dict[str, Any]) -> None:
    await desk.knows(email="new@example.com")


async def has_no_address(desk: Desk, body: dict[str, Any]) -> None:
    await desk.knows(email=None)


async def moves_to_where_nobody_knows_the_time(desk: Desk, body: dict[str, Any]) -> None:
    await desk.knows(timezone="Atlantis/Main_Street")


async def action_goes(desk: Desk, body: dict[str, Any]) -> None:
    await desk.serve(CATALOG.replace("  news: {value: 9, treatments: {email: {t: News}}}\n", ""))


async def action_ends(desk: Desk, body: dict[str, Any]) -> None:
    await desk.serve(CATALOG.replace("news: {value: 9,", "news: {value: 9, until: 2026-03-11T07:30,"))


async def purpose_becomes_another(desk: Desk, body: dict[str, Any]) -> None:
    await desk.serve(CATALOG.replace("news: {value: 9,", "news: {value: 9, purpose: service,"))


async def channel_drops(desk: Desk, body: dict[str, Any]) -> None:
    await desk.serve(CATALOG.replace("to: 08:00}", "to: 08:01, mode: drop}"))


async def policy_pauses(desk: Desk, body: dict[str, Any]) -> None:
    other = await desk.decide("email")
    await desk.events("dismiss", decision_id=other["decision_id"])


async def limit_falls(desk: Desk, body: dict[str, Any]) -> None:
    await desk.decide("push")
    await desk.deliver()
    await desk.serve(CATALOG.replace("limit: 4", "limit: 1"))


async def wants_less(desk: Desk, body: dict[str, Any]) -> None:
    await desk.knows(most=0)


CHANGES: list[tuple[Change, Unsent]] = [
    (opts_out, Unsent.NO_CONSENT),
    (unsubscribes, Unsent.NO_CONSENT),
    (becomes_a_test_customer, Unsent.TEST),
    (has_another_address, Unsent.ADDRESS_CHANGED),
    (has_no_address, Unsent.NO_ADDRESS),
    (moves_to_where_nobody_knows_the_time, Unsent.QUIET_HOURS),
    (action_goes, Unsent.NOT_DECLARED),
    (action_ends, Unsent.OUT_OF_DATES),
    (purpose_becomes_another, Unsent.NO_CONSENT),
    (channel_drops, Unsent.QUIET_HOURS),
    (policy_pauses, Unsent.CONTACT_POLICY),
    (limit_falls, Unsent.CONTACT_POLICY),
    (wants_less, Unsent.CONTACT_POLICY),
]


@pytest.mark.parametrize("noticed", ["before anybody has looked", "while it is held"])
@pytest.mark.parametrize(("change", "why"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
async def test_what_changed_since_binds(at: At, change: Change, why: Unsent, noticed: str) -> None:
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        body = await desk.decide("email")
        if noticed == "while it is held":
            assert (await desk.deliver()).held == 1
        await change(desk, body)
    async with at(MORNING) as desk:
        tally = await desk.deliver()
        assert tally.unsent[why] >= 1
        name = f"{body['decision_id']}/news/email"
        assert f"{name} is not sent: {why}" in desk.said
        assert name not in [line["id"] for line in desk.written()]
        assert (await desk.left()) == (0, 0)
        (first, *_) = [contact for contact in await desk.contacts() if contact.decision == body["decision_id"]]
        assert "failed" in [response.kind for response in first.responses]


async def test_nothing_changed_and_everything_is_sent(at: At) -> None:
    """Four contacts of a limit of four: each is one of those that were allowed, and speaks against no other."""
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("email", limit=2)
        await desk.decide("push")
        await desk.decide("call", tel="556")
        assert (await desk.deliver()).sent == 2
        assert ids(desk.written()) == [
            "tip/push",
            "ring/call",
        ]  # at any hour; and an address that came with the request
    async with at(MORNING) as desk:
        assert (await desk.deliver()).sent == 2
        assert ids(desk.written())[2:] == ["news/email", "brief/email"]


async def test_what_waits_to_be_delivered_holds_its_place(at: At) -> None:
    """A limit of deliveries falls to one while two wait: the second finds its place taken by the first."""
    only_brief = CATALOG.replace("  news: {value: 9, treatments: {email: {t: News}}}\n", "")
    async with at(EVENING) as desk:
        await desk.serve(only_brief)
        await desk.knows()
        await desk.decide("email")
        await desk.decide("email")
        await desk.serve(only_brief.replace("briefs: {limit: 2", "briefs: {limit: 1"))
    async with at(MORNING) as desk:
        assert dict((await desk.deliver()).unsent) == {Unsent.CONTACT_POLICY: 1}
        assert ids(desk.written()) == ["brief/email"]
        assert await desk.responses() == [["delivered"], ["failed"]]


async def test_who_has_flown_on_is_let_sleep_there_too(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("email")
        await desk.deliver()
        await desk.knows(timezone="America/Mexico_City")
    async with at(MORNING) as desk:  # one in the morning there
        assert (await desk.deliver()).held == 1
    async with at("2026-03-11T14:00Z") as desk:
        assert (await desk.deliver()).sent == 1
        assert ids(desk.written()) == ["news/email"]
        (contact,) = await desk.contacts()
        assert moment(contact.at).isoformat() == "2026-03-11T14:00:00+00:00"  # it counts from when it went out


@pytest.mark.parametrize("why", [Unsent.NO_CONSENT, Unsent.GONE])
async def test_who_changes_while_they_are_looked_at_is_looked_at_again(at: At, why: Unsent) -> None:
    """Between the look that finds them asleep, and the commit that moves their contact to the morning there."""

    async def no_records(customer_ids: object) -> None:
        return None

    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("email")
        await desk.knows(timezone="America/Mexico_City")
    async with at(MORNING) as desk:

        class Slow(Deliverer):
            async def _wait_on(self, *words: Any) -> None:
                if why is Unsent.GONE:
                    await forget(desk.store, "c-1", lambda: Deadline(PATIENT), no_records)
                else:
                    await desk.change(no_consent)
                await super()._wait_on(*words)

        file = File(desk.file)
        deliverer = desk.deliverer(file, kind=Slow)
        await deliver_once(deliverer)
        file.close()
        assert (dict(deliverer.tally.unsent), deliverer.tally.held, desk.written()) == ({why: 1}, 0, [])
        snapshot = await desk.store.snapshot("c-1", Deadline(PATIENT), fresh=True)
        assert snapshot.customer.known is (why is Unsent.NO_CONSENT)


async def test_what_does_not_stand_that_long_is_not_sent_at_all(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("email", limit=2)  # brief stands until ten in Berlin
        await desk.knows(timezone="America/Mexico_City")
    async with at(MORNING) as desk:
        tally = await desk.deliver()
        assert (tally.held, dict(tally.unsent)) == (1, {Unsent.QUIET_HOURS: 1})
    async with at("2026-03-11T14:00Z") as desk:
        assert (await desk.deliver()).sent == 1


async def test_what_nobody_delivered_in_time_is_not_sent_late(at: At) -> None:
    async with at(NOON) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("email", limit=2)
    async with at("2026-03-10T22:05Z") as desk:  # eleven hours later, in quiet hours
        tally = await desk.deliver()
        assert (tally.held, dict(tally.unsent)) == (1, {Unsent.EXPIRED: 1})
    async with at(MORNING) as desk:
        assert (await desk.deliver()).sent == 1


async def test_what_has_no_end_waits_for_a_week(at: At) -> None:
    async with at(NOON) as desk:
        await desk.serve()
        for customer_id in ("c-1", "c-2"):
            await desk.knows(customer_id)
            await desk.decide("push", customer_id)
        stream, layout = desk.store.ledger.layout.outbox, desk.store.ledger.layout
        assert stream(layout.partition("c-1")) != stream(layout.partition("c-2"))
        await desk.store.ledger.link.ask("RENAME", stream(layout.partition("c-2")), "aside", within=PATIENT)
    async with at("2026-03-17T10:59:30Z") as desk:
        assert (await desk.deliver()).sent == 1
        await desk.store.ledger.link.ask("RENAME", "aside", stream(layout.partition("c-2")), within=PATIENT)
    async with at("2026-03-17T11:00:30Z") as desk:
        assert dict((await desk.deliver()).unsent) == {Unsent.EXPIRED: 1}
        assert [line["customer_id"] for line in desk.written()] == ["c-1"]


async def test_what_waits_is_known_however_much_was_shown_since(at: At) -> None:
    """More contacts than are kept anyway, of which no policy counts any."""
    text = CATALOG.replace(
        "actions:", "  web: {direction: inbound}\nactions:\n  hello: {value: 1, treatments: {web: {t: Hello}}}"
    )
    text = text[: text.index("contact_policies:")]
    async with at(NOON) as desk:
        await desk.serve(text)
        await desk.knows()
        await desk.decide("push")
        for _ in range(KEPT_ANYWAY + 2 * SWEEP):
            await desk.decide("web")
        assert (await desk.contacts())[0].channel == "push"
        assert (await desk.deliver()).sent == 1
        for _ in range(SWEEP):
            await desk.decide("web")
        assert "push" not in {contact.channel for contact in await desk.contacts()}


async def test_who_was_merged_is_whom_the_other_id_stands_for(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows("cookie")
        await desk.knows("c-1")
        await desk.decide("email", "cookie")
        await desk.deliver()
        await merge(desk.store, "cookie", "c-1", Deadline(PATIENT))
    async with at(MORNING) as desk:
        assert (await desk.deliver()).sent == 1
        assert await desk.responses("c-1") == [["delivered"]]


async def test_a_no_of_whom_one_was_merged_into_is_a_no(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows("cookie")
        await desk.decide("email", "cookie")
        await desk.knows("c-1", consent=False)
        await merge(desk.store, "cookie", "c-1", Deadline(PATIENT))
    async with at(MORNING) as desk:
        assert dict((await desk.deliver()).unsent) == {Unsent.NO_CONSENT: 1}
        assert desk.written() == []


@pytest.mark.parametrize("back", [False, True])
async def test_who_was_erased_hears_nothing_and_leaves_nothing(at: At, back: bool) -> None:
    """Their state alone, as somebody who erases begins with it; the entries of the streams go after that."""

    async def no_records(customer_ids: object) -> None:
        return None

    async with at(EVENING) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("email")
        await desk.deliver()
        await forget(desk.store, "c-1", lambda: Deadline(PATIENT), no_records)
        if back:
            await desk.knows()
    async with at(MORNING) as desk:
        assert dict((await desk.deliver()).unsent) == {Unsent.NO_CONTACT if back else Unsent.GONE: 1}
        assert (desk.written(), await desk.left()) == ([], (0, 0))
        assert (await desk.store.snapshot("c-1", Deadline(PATIENT), fresh=True)).customer.known is back
