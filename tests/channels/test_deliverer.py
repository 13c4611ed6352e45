"""What a deliverer makes of what its adapter says, and of what it can't read or find."""

import asyncio

import pytest

from channels import deliverer as delivering
from channels.adapter import Later, Outcome, Refused
from channels.deliverer import pause_after
from channels.message import Message
from channels.running import deliver_once, keep_delivering
from decision.release import Unsent
from features.deadline import Deadline
from features.keys import META
from tests.channels.conftest import At
from tests.channels.desk import CATALOG, NOON, PATIENT
from tests.channels.told import Told, ready

pytestmark = pytest.mark.anyio


async def test_refused_is_said_and_never_tried_again(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        adapter = Told(Refused("no such number"))
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (dict(deliverer.tally.unsent), adapter.sent) == ({Unsent.REFUSED: 1}, [])
        assert desk.said[-1].endswith("/tip/push is not sent: refused: no such number")
        assert (await desk.responses(), await desk.left()) == ([["failed"]], (0, 0))


async def test_who_stood_still_after_the_look_does_not_send(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        stood = 0.0

        def stands(step: str) -> None:
            nonlocal stood
            stood += 60.0 if step == "looked at" else 0.0

        adapter = Told()
        slow = desk.deliverer(adapter, stands, time=lambda: stood)
        await deliver_once(slow)
        assert (adapter.sent, slow.tally.sent, await desk.responses(), await desk.left()) == ([], 0, [[]], (1, 1))


async def test_who_stands_still_within_the_adapter_is_told_when_it_is_too_late(at: At) -> None:
    """In seconds of the same clock, and of none that stands while the machine sleeps."""
    async with at(NOON) as desk:
        await ready(desk, "push")
        now, left = 0.0, []

        class Slow(Told):
            async def send(self, message: Message, until: Deadline) -> Outcome:
                nonlocal now
                left.append(until.left())
                now += delivering.SEND_SECONDS
                return Later("too late") if until.passed else await super().send(message, until)

        adapter = Slow()
        deliverer = desk.deliverer(adapter, time=lambda: now)
        await deliver_once(deliverer)
        assert (left, adapter.sent, deliverer.tally.later) == ([delivering.SEND_SECONDS], [], 1)


async def test_what_was_sent_before_is_recorded_and_not_sent(at: At) -> None:
    """Whatever has changed since: it is out."""
    async with at(NOON) as desk:
        await ready(desk)
        body = await desk.decide("push")
        await desk.knows(consent=False)
        adapter = Told()
        adapter.known.add(f"{body['decision_id']}/tip/push")
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (adapter.sent, deliverer.tally.sent) == ([], 1)
        assert (await desk.responses(), await desk.left()) == ([["delivered"]], (0, 0))


async def test_later_waits_and_what_is_behind_it_too(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push", "call")
        adapter = Told(Later("busy", seconds=90))
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (adapter.sent, deliverer.tally.later, await desk.left()) == ([], 1, (2, 2))
        assert await desk.responses() == [[], []]
        assert desk.said[-1].endswith("busy")
    async with at("2026-03-10T11:01Z") as desk:
        await deliver_once(desk.deliverer(adapter))
        assert adapter.sent == []
    async with at("2026-03-10T11:02Z") as desk:
        await deliver_once(desk.deliverer(adapter))
        assert adapter.sent == ["tip/push", "ring/call"]
        assert (await desk.responses(), await desk.left()) == ([["delivered"], ["delivered"]], (0, 0))


async def test_what_is_decided_while_another_waits_is_behind_it(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        adapter = Told(Later("busy", seconds=90))
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        await desk.decide("email")
        await deliver_once(deliverer)
        assert (adapter.sent, await desk.left()) == ([], (2, 2))
        await desk.lease_runs_out()
        await deliver_once(deliverer)
        assert adapter.sent == ["tip/push", "news/email"]
        await desk.decide("call", tel="556")
        await deliver_once(deliverer)
        assert adapter.sent == ["tip/push", "news/email", "ring/call"]


async def test_one_customer_does_not_wait_for_another(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        await desk.knows("c-2")
        await desk.decide("push", "c-2")
        adapter = Told(Later("busy", seconds=90))
        await deliver_once(desk.deliverer(adapter))
        assert (adapter.sent, await desk.left()) == (["tip/push"], (1, 1))


@pytest.mark.parametrize("trouble", [OSError("disk full"), ValueError("odd"), ConnectionError("gone")])
async def test_an_adapter_in_trouble_is_tried_again(at: At, trouble: Exception) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        adapter = Told(trouble)
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (deliverer.tally.later, adapter.sent) == (1, [])
        assert repr(trouble) in desk.said[-1]
        await desk.lease_runs_out()
        await deliver_once(deliverer)
        assert adapter.sent == ["tip/push"]


async def test_one_that_does_not_answer_is_left(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "SEND_SECONDS", 0.01)
    async with at(NOON) as desk:
        await ready(desk, "push")
        adapter = Told(lambda: None)
        await deliver_once(desk.deliverer(adapter))
        assert "took longer than" in desk.said[-1]
        await desk.lease_runs_out()
        await deliver_once(desk.deliverer(adapter))
        assert adapter.sent == ["tip/push"]


async def test_one_that_does_not_answer_is_left_when_the_message_stands_no_more(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long others are waited for."""
    monkeypatch.setattr(delivering, "SEND_SECONDS", 3600.0)
    text = CATALOG.replace("{t: Tip}", "{t: Tip, valid_for: 2h}")
    async with at(NOON) as desk:
        await desk.serve(text)
        await desk.knows()
        await desk.decide("push")
    async with at("2026-03-10T12:59:59Z") as desk:
        adapter = Told(*[lambda: None] * 1000)
        deliverer = desk.deliverer(adapter)
        while not deliverer.tally.unsent:
            await asyncio.wait_for(deliver_once(deliverer), PATIENT)
            await desk.lease_runs_out()
        assert (adapter.sent, dict(deliverer.tally.unsent)) == ([], {Unsent.EXPIRED: 1})


async def test_waits_grow_and_end_somewhere(at: At) -> None:
    assert [pause_after(failures) for failures in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert pause_after(10_000) == 300
    async with at(NOON) as desk:
        await ready(desk, "push")
        deliverer = desk.deliverer(Told(*[Later("busy")] * 9))
        link, layout = desk.store.ledger.link, desk.store.ledger.layout
        for failures in range(1, 10):
            before = desk.store.clock.now()
            await deliverer.deliver_due()
            notes = await link.ask(
                "ZRANGE", layout.sending(layout.partition("c-1")), 0, 0, "WITHSCORES", within=PATIENT
            )
            assert int(notes[1]) - before >= pause_after(failures) * 1_000_000
            await desk.lease_runs_out()


async def test_what_can_not_be_read_is_left_where_it_is(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        layout = desk.store.ledger.layout
        stream = layout.outbox(layout.partition("c-1"))
        for body in ("{", '{"customer_id": "c-1"}'):
            await desk.store.ledger.link.ask("XADD", stream, "*", "m", body, within=PATIENT)
        adapter = Told()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (deliverer.tally.unreadable, adapter.sent, await desk.left()) == (2, ["tip/push"], (2, 2))
        assert str(deliverer.tally).endswith(", 2 unreadable")


async def test_a_state_that_can_not_be_read_keeps_nobody_else_waiting(at: At) -> None:
    """Of customers of all partitions, the damaged state is that of the first."""
    async with at(NOON) as desk:
        await desk.serve()
        layout, link = desk.store.ledger.layout, desk.store.ledger.link
        customers = [f"c-{number}" for number in range(12)]
        for customer_id in customers:
            await desk.knows(customer_id)
            await desk.decide("push", customer_id)
        bad = min(customers, key=layout.partition)
        await desk.decide("email", bad)
        state = await link.ask("GET", layout.state(bad), within=PATIENT)
        await link.ask("SET", layout.state(bad), state[:-3], within=PATIENT)
        adapter = Told()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (len(adapter.sent), deliverer.tally.unreadable, await desk.left()) == (11, 1, (2, 2))
        assert any("/tip/push is left where it is: the stored state of a customer" in text for text in desk.said)
        await link.ask("SET", layout.state(bad), state, within=PATIENT)
        await desk.lease_runs_out()
        await deliver_once(deliverer)
        assert adapter.sent[11:] == ["tip/push", "news/email"]


async def test_a_state_from_a_later_time_keeps_nobody_else_waiting(at: At) -> None:
    async with at("2026-03-10T12:00Z") as desk:
        await ready(desk, "push")
        await desk.store.ledger.link.ask("HDEL", META, "clock", within=PATIENT)
    async with at(NOON) as desk:  # an hour before
        await desk.serve()
        await desk.knows("c-2")
        await desk.decide("push", "c-2")
        adapter = Told()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (len(adapter.sent), deliverer.tally.later, await desk.left()) == (1, 1, (1, 1))
        assert desk.said[-1].endswith("the server's clock stands before this customer's last commit")


async def test_it_goes_on_until_it_is_told_to_stop(at: At) -> None:
    """And begins with what is decided meanwhile."""
    async with at(NOON) as desk:
        await ready(desk)
        adapter, stop, sent = Told(), asyncio.Event(), asyncio.Event()
        deliverer = desk.deliverer(adapter, lambda step: sent.set() if step == "done" else None)
        running = asyncio.create_task(keep_delivering(deliverer, stop, desk.said.append, every=0.01))
        for channel in ("push", "email"):
            await desk.decide(channel)
            await asyncio.wait_for(sent.wait(), PATIENT)
            sent.clear()
        stop.set()
        await running
        assert (adapter.sent, desk.said) == (["tip/push", "news/email"], [])
