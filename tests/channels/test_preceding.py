"""Which of a customer's other contacts count when a message is about to be sent: the first of several goes."""

import pytest

from channels.adapter import Outcome
from channels.message import Message
from channels.running import deliver_once
from decision.release import Unsent
from features.deadline import Deadline
from features.identity import merge
from tests.channels.conftest import At
from tests.channels.desk import EVENING, MORNING, NOON, PATIENT, Desk, ids
from tests.channels.told import Told

pytestmark = pytest.mark.anyio
PARTITION = 14  # of c-1
ONE_LEFT = {Unsent.CONTACT_POLICY: 1}


def catalog(limit: int, window: str = "rolling: 1d", more: str = "") -> str:
    return f"""
timezone: Europe/Berlin
customer: {{email: string, phone: string, timezone: string, most: int}}
purposes: [marketing]
channels:
  email: {{direction: outbound, purpose: marketing, address: customer.email, quiet_hours: {{from: 21:00, to: 08:00}}}}
  push: {{direction: outbound, purpose: marketing, address: customer.phone}}
  web: {{direction: inbound}}
actions:
  news: {{value: 9, treatments: {{email: {{t: News}}}}}}
  tip: {{value: 5, treatments: {{push: {{t: Tip}}}}}}
  banner: {{value: 3, treatments: {{web: {{t: Banner}}}}}}
contact_policies:
  most: {{limit: {limit}, {window}}}{more}
"""


PAIRS = (("a-1", "a-2"), ("b-2", "b-1"))


async def test_of_two_who_turn_out_to_be_one_the_earlier_message_is_sent(at: At) -> None:
    """By when it was decided, though it is to go out later; and whoever is merged into whom."""
    async with at(EVENING) as desk:
        await desk.serve(catalog(1))
        for pair in PAIRS:
            await desk.knows(min(pair))
            await desk.decide("email", min(pair))
    async with at("2026-03-10T22:01Z") as desk:
        await desk.serve(catalog(1))
        for pair in PAIRS:
            await desk.knows(max(pair))
            await desk.decide("push", max(pair))
            await merge(desk.store, *pair, Deadline(PATIENT))
        tally = await desk.deliver()
        assert (tally.sent, tally.held, dict(tally.unsent)) == (0, 2, {Unsent.CONTACT_POLICY: 2})
    async with at(MORNING) as desk:
        assert (await desk.deliver()).sent == 2
        assert sorted((line["customer_id"], line["treatment"]) for line in desk.written()) == [
            ("a-1", "news/email"), ("b-1", "news/email"),
        ]  # fmt: skip


async def test_of_one_answer_what_was_ranked_first_is_sent(at: At) -> None:
    async with at(NOON) as desk:
        text = catalog(2).replace("actions:", "actions:\n  alert: {value: 1, treatments: {push: {t: Alert}}}")
        await desk.serve(text)
        await desk.knows()
        assert ids((await desk.decide("push", limit=2))["actions"]) == ["tip/push", "alert/push"]
        await desk.serve(text.replace("limit: 2", "limit: 1"))
        assert dict((await desk.deliver()).unsent) == ONE_LEFT
        assert ids(desk.written()) == ["tip/push"]


async def two_wait(desk: Desk) -> None:
    await desk.serve(catalog(2))
    await desk.knows()
    for _ in range(2):
        await desk.decide("push")


async def test_under_a_limit_that_was_lowered_the_earlier_is_sent(at: At) -> None:
    async with at(NOON) as desk:
        await two_wait(desk)
        await desk.serve(catalog(1))
        tally = await desk.deliver()
        assert (tally.sent, dict(tally.unsent)) == (1, ONE_LEFT)
        assert await desk.responses() == [["delivered"], ["failed"]]


async def test_of_what_piled_up_while_nobody_delivered_the_earlier_is_sent(at: At) -> None:
    """Half a day apart when they were decided; both are held until the same morning."""
    for evening in (EVENING, "2026-03-11T21:00Z"):
        async with at(evening) as desk:
            await desk.serve(catalog(1, "rolling: 12h"))
            await desk.knows()
            await desk.decide("email")
            await desk.deliver()
    async with at("2026-03-12T07:00Z") as desk:
        tally = await desk.deliver()
        assert (tally.sent, dict(tally.unsent)) == (1, ONE_LEFT)
        assert await desk.responses() == [["delivered"], ["failed"]]


@pytest.mark.parametrize("came", ["delivered", "bounced", "click"])
async def test_what_went_out_counts_though_it_was_decided_later(at: At, came: str) -> None:
    async with at(EVENING) as desk:
        await desk.serve(catalog(2))
        await desk.knows()
        await desk.decide("email")
        later = await desk.decide("push")
        await desk.events(came, decision_id=later["decision_id"])
        await desk.serve(catalog(1))
    async with at(MORNING) as desk:
        assert dict((await desk.deliver()).unsent) == ONE_LEFT
        assert ids(desk.written()) == ["tip/push"]  # what the other, not being sent, has left room for


async def test_what_the_caller_has_shown_counts_though_it_was_decided_later(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve(catalog(2))
        await desk.knows()
        await desk.decide("email")
        await desk.decide("web")
        await desk.serve(catalog(1, "rolling: 1d, counts: decision"))
    async with at(MORNING) as desk:
        assert dict((await desk.deliver()).unsent) == ONE_LEFT


async def test_what_failed_takes_nobody_s_place(at: At) -> None:
    async with at(EVENING) as desk:
        await desk.serve(catalog(2))
        await desk.knows(phone="1")
        await desk.decide("push")
        await desk.knows(phone="2")
        await desk.decide("email")
        assert dict((await desk.deliver()).unsent) == {Unsent.ADDRESS_CHANGED: 1}
        await desk.serve(catalog(1))
    async with at(MORNING) as desk:
        assert (await desk.deliver()).sent == 1
        assert ids(desk.written()) == ["news/email"]


async def test_what_failed_still_pauses_what_it_pauses(at: At) -> None:
    pause = "\n  trouble: {after: {outcome: failed}, pause: 30d}"
    async with at(NOON) as desk:
        await desk.serve(catalog(2, more=pause))
        await desk.knows(phone="1")
        await desk.decide("push")
        await desk.decide("email")
        await desk.knows(phone="2")
        assert [str(why) for why in (await desk.deliver()).unsent] == ["address_changed", "contact_policy"]


async def test_what_was_sent_late_counts_from_then_on(at: At) -> None:
    """An outbox that nobody looked into for two hours: what is decided now would be the second within a minute."""
    async with at(NOON) as desk:
        await desk.serve(catalog(1, "rolling: 1h"))
        await desk.knows()
        await desk.decide("push")
    async with at("2026-03-10T13:00Z") as desk:
        await desk.serve(catalog(1, "rolling: 1h"))
        assert (await desk.deliver()).sent == 1
        await desk.decide("push")
        assert dict((await desk.deliver()).unsent) == ONE_LEFT
    async with at("2026-03-10T14:01Z") as desk:
        await desk.serve(catalog(1, "rolling: 1h"))
        await desk.decide("push")
        assert (await desk.deliver()).sent == 1


@pytest.mark.parametrize("window", ["rolling: 1h", "calendar: hour", "rolling: 1h, counts: decision"])
async def test_what_another_deliverer_has_in_hand_counts_though_its_time_has_passed(at: At, window: str) -> None:
    """Deliverers keep the order of a customer's messages each for itself: one sends the later while another is about to
    send the earlier, which is an hour late, so that there is room for both by when they were decided.
    """
    async with at(NOON) as desk:
        await desk.serve(catalog(1, window))
        await desk.knows()
        await desk.decide("push")
    async with at("2026-03-10T13:00Z") as desk:
        await desk.serve(catalog(1, window))
        others = []

        class Slow(Told):
            async def send(self, message: Message, until: Deadline) -> Outcome:
                await desk.decide("push")
                others.append(await desk.deliver())
                return await super().send(message, until)

        adapter = Slow()
        await deliver_once(desk.deliverer(adapter))
        ((other),) = others
        assert (adapter.sent, other.sent, dict(other.unsent)) == (["tip/push"], 0, ONE_LEFT)


async def test_where_there_is_room_for_both_deliverers_may_change_their_order(at: At) -> None:
    async with at(NOON) as desk:
        await desk.serve(catalog(2))
        await desk.knows()
        await desk.decide("email")
        order = []

        class Slow(Told):
            async def send(self, message: Message, until: Deadline) -> Outcome:
                await desk.decide("push")
                order.extend(ids(desk.written()) if (await desk.deliver()).sent else [])
                return await super().send(message, until)

        adapter = Slow()
        await deliver_once(desk.deliverer(adapter))
        assert (order, adapter.sent) == (["tip/push"], ["news/email"])
        assert await desk.responses() == [["delivered"], ["delivered"]]


async def test_what_nobody_heard_of_for_a_week_is_not_waited_for(at: At) -> None:
    """It can't be sent any more."""
    async with at(NOON) as desk:
        await desk.serve(catalog(1, "rolling: 1h"))
        await desk.knows()
        await desk.decide("push")
        await desk.store.ledger.link.ask("DEL", desk.store.ledger.layout.outbox(PARTITION), within=PATIENT)
    async with at("2026-03-17T10:00Z") as desk:
        await desk.serve(catalog(1, "rolling: 1h"))
        await desk.decide("push")
        assert dict((await desk.deliver()).unsent) == ONE_LEFT
    async with at("2026-03-17T11:01Z") as desk:
        await desk.serve(catalog(1, "rolling: 1h"))
        await desk.decide("push")
        assert (await desk.deliver()).sent == 1


async def test_what_was_sent_late_holds_its_place_no_longer_for_it(at: At) -> None:
    """It was to be seen within two hours of its decision, and was sent after an hour and a half."""
    text = catalog(1, "rolling: 1h, counts: impression, scope: {channel: push}").replace(
        "{t: Tip}", "{t: Tip, valid_for: 2h}"
    )
    async with at(NOON) as desk:
        await desk.serve(text)
        await desk.knows()
        await desk.decide("push")
    async with at("2026-03-10T12:30Z") as desk:
        assert (await desk.deliver()).sent == 1
    async with at("2026-03-10T13:01Z") as desk:
        await desk.serve(text)
        await desk.decide("push")
        assert (await desk.deliver()).sent == 1
