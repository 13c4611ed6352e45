"""What a deliverer makes of what its adapter says, and of what it can't read or find."""

import asyncio
import threading
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from typing import Any

import pytest

from archive.erasing import Erased, erase
from catalog.plan import Plan
from channels import deliverer as delivering
from channels import in_force
from channels.adapter import Later, Outcome, Refused, Sent
from channels.deliverer import pause_after
from channels.in_force import NothingInForceError
from channels.message import Message
from channels.running import deliver_once, keep_delivering
from decision.release import Unsent
from features.catalogs import CatalogStore, Pointer
from features.commit import Commit
from features.deadline import Deadline
from features.forgetting import forget
from features.keys import IN_FORCE, META
from features.store import CustomerStore
from tests.channels.conftest import At
from tests.channels.desk import CATALOG, EVENING, MORNING, NOON, PATIENT, Desk

pytestmark = pytest.mark.anyio


class Told:
    """An adapter that answers what it is told to, in turn, and then that everything is sent."""

    def __init__(self, *answers: Outcome | Exception | Callable[[], object]) -> None:
        self.answers = list(answers)
        self.sent: list[str] = []
        self.known: set[str] = set()

    async def was_sent(self, message_id: str) -> bool:
        return message_id in self.known

    async def send(self, message: Message, until: Deadline) -> Outcome:
        answer = self.answers.pop(0) if self.answers else Sent()
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            await asyncio.Event().wait()  # for ever
            raise AssertionError
        if isinstance(answer, Sent):
            self.sent.append(message.treatment)
        return answer


async def ready(desk: Desk, *channels: str) -> None:
    await desk.serve()
    await desk.knows()
    for channel in channels:
        await desk.decide(channel, tel="556") if channel == "call" else await desk.decide(channel)


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


@pytest.mark.parametrize("moment", ["taken", "asked"])
async def test_a_clock_that_is_set_ahead_is_followed(at: At, moment: str) -> None:
    """What was decided at noon is looked at where it is night by now: before anything is taken, or right before."""
    async with at(NOON) as desk, AsyncExitStack() as stack:
        await ready(desk, "email")

        class Waiting(Told):
            async def was_sent(self, message_id: str) -> bool:
                if moment == "asked" and not deliverer.tally.held:
                    await stack.enter_async_context(at(EVENING))
                return await super().was_sent(message_id)

        adapter = Waiting()
        deliverer = desk.deliverer(adapter)
        if moment == "taken":
            await stack.enter_async_context(at(EVENING))
        await deliver_once(deliverer)
        assert (adapter.sent, deliverer.tally.held, await desk.left()) == ([], 1, (1, 1))
        await stack.enter_async_context(at(MORNING))
        await deliver_once(deliverer)
        assert (adapter.sent, await desk.left()) == (["news/email"], (0, 0))


async def test_where_no_catalog_is_in_force_nothing_is_sent(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        await desk.store.ledger.link.ask("DEL", "tino:catalog", within=PATIENT)
        adapter = Told()
        with pytest.raises(NothingInForceError):
            await deliver_once(desk.deliverer(adapter))
        assert adapter.sent == []
        await desk.serve()
        await deliver_once(desk.deliverer(adapter))  # at once: nobody has it in hand
        assert adapter.sent == ["tip/push"]


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("moment", ["sent", "recording"])
async def test_of_who_is_erased_while_the_adapter_has_their_message_nothing_is_written(
    at: At, monkeypatch: pytest.MonkeyPatch, moment: str, back: bool
) -> None:
    """Be it right before what became of the message is committed; and whether they come back or not."""

    async def records(customer_ids: Collection[str]) -> Erased:
        return await erase(desk.store.ledger, None, customer_ids)

    async def goes() -> None:
        await forget(desk.store, "c-1", lambda: Deadline(PATIENT), records)
        if back:
            await desk.knows()

    class Erasing(Told):
        async def send(self, message: Message, until: Deadline) -> Outcome:
            if moment == "sent":
                await goes()
            return await super().send(message, until)

    commit = CustomerStore.commit

    async def late(store: CustomerStore, asked: Commit, *words: Any) -> Any:
        if asked.ids:
            monkeypatch.undo()
            await goes()
        return await commit(store, asked, *words)

    async with at(NOON) as desk:
        await ready(desk, "push")
        deliverer = desk.deliverer(Erasing())
        if moment == "recording":
            monkeypatch.setattr(CustomerStore, "commit", late)
        await deliver_once(deliverer)
        layout, link = desk.store.ledger.layout, desk.store.ledger.link
        assert (deliverer.tally.sent, await desk.left()) == (1, (0, 0))
        assert await link.ask("XLEN", layout.events(layout.partition("c-1")), within=PATIENT) == 0
        assert (await desk.store.snapshot("c-1", Deadline(PATIENT), fresh=True)).customer.known is back


@pytest.mark.parametrize("back", [False, True])
async def test_who_is_erased_before_the_look_is_not_sent_to(at: At, back: bool) -> None:
    """Though a deliverer has their message in hand already; and whether they come back or not."""

    async def records(customer_ids: Collection[str]) -> Erased:
        return await erase(desk.store.ledger, None, customer_ids)

    class Erasing(Told):
        async def was_sent(self, message_id: str) -> bool:
            await forget(desk.store, "c-1", lambda: Deadline(PATIENT), records)
            if back:
                await desk.knows()
            return await super().was_sent(message_id)

    async with at(NOON) as desk:
        await ready(desk, "push")
        adapter = Erasing()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        why = Unsent.NO_CONTACT if back else Unsent.GONE
        assert (adapter.sent, dict(deliverer.tally.unsent), await desk.left()) == ([], {why: 1}, (0, 0))
        layout, link = desk.store.ledger.layout, desk.store.ledger.link
        assert await link.ask("XLEN", layout.events(layout.partition("c-1")), within=PATIENT) == 0


async def test_of_whom_nothing_is_left_nothing_is_written(at: At) -> None:
    """Not even that they were erased."""
    async with at(NOON) as desk:
        await ready(desk, "push")
        layout, link = desk.store.ledger.layout, desk.store.ledger.link
        await link.ask("DEL", layout.state("c-1"), within=PATIENT)
        deliverer = desk.deliverer(Told())
        await deliver_once(deliverer)
        assert (dict(deliverer.tally.unsent), await desk.left()) == ({Unsent.GONE: 1}, (0, 0))
        assert await link.ask("XLEN", layout.events(layout.partition("c-1")), within=PATIENT) == 0
        assert await link.ask("EXISTS", layout.state("c-1"), within=PATIENT) == 0


async def test_a_reloaded_catalog_counts_from_the_next_message_on(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        adapter = Told()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        await desk.knows("c-2")
        await desk.decide("push", "c-2")
        await desk.serve(CATALOG.replace("  tip: {value: 5, treatments: {push: {t: Tip}}}\n", ""))
        await deliver_once(deliverer)
        assert (adapter.sent, dict(deliverer.tally.unsent)) == (["tip/push"], {Unsent.NOT_DECLARED: 1})


async def test_a_reload_counts_from_the_next_message_on_though_it_is_in_hand(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push", "call")

        class Reloaded(Told):
            async def send(self, message: Message, until: Deadline) -> Outcome:
                await desk.serve(CATALOG.replace("  ring: {value: 4, treatments: {call: {t: Ring}}}\n", ""))
                return await super().send(message, until)

        adapter = Reloaded()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert (adapter.sent, dict(deliverer.tally.unsent)) == (["tip/push"], {Unsent.NOT_DECLARED: 1})


async def test_a_reload_while_a_catalog_is_built_counts_too(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """What many look at at once is built once, and what comes into force meanwhile is seen before anything is sent."""
    async with at(NOON) as desk:
        await ready(desk, "push", "call")
        await desk.knows("c-2")
        await desk.decide("push", "c-2")
        begun, go_on, built = threading.Event(), threading.Event(), []

        def slowly(packed: bytes, digest: str) -> Plan:
            begun.set()
            assert go_on.wait(PATIENT)
            built.append(digest)
            return made(packed, digest)

        made = in_force._built
        monkeypatch.setattr(in_force, "_built", slowly)
        adapter = Told()
        deliverer = desk.deliverer(adapter)
        running = asyncio.create_task(deliver_once(deliverer))
        assert await asyncio.to_thread(begun.wait, PATIENT)
        await desk.serve(CATALOG.replace("  tip: {value: 5, treatments: {push: {t: Tip}}}\n", ""))
        go_on.set()
        await running
        assert (adapter.sent, dict(deliverer.tally.unsent)) == (["ring/call"], {Unsent.NOT_DECLARED: 2})
        assert len(built) == 2


async def test_where_redis_has_lost_a_reload_nothing_is_sent_until_it_is_told_again(at: At) -> None:
    """As when an older copy of it was restored, by which there is room for what there was none."""
    async with at(NOON) as desk:
        await ready(desk, "push")
        catalogs, adapter = CatalogStore(desk.store.ledger.link), Told()
        before = await catalogs.in_force()
        await desk.serve(CATALOG.replace("limit: 4", "limit: 0"))
        reloaded = await catalogs.in_force()
        deliverer = desk.deliverer(adapter)
        await deliver_once(deliverer)
        assert dict(deliverer.tally.unsent) == {Unsent.CONTACT_POLICY: 1}
        await desk.serve()
        await desk.decide("push")
        await deliver_once(deliverer)
        assert adapter.sent == ["tip/push"]
        await desk.decide("email")
        await desk.store.ledger.link.ask(
            "HSET", IN_FORCE, "epoch", before.epoch, "digest", before.digest, within=PATIENT
        )
        with pytest.raises(NothingInForceError, match="has lost which catalog is in force"):
            await deliver_once(deliverer)
        assert adapter.sent == ["tip/push"]
        await catalogs.restore(Pointer(reloaded.epoch + 1, before.digest), await catalogs.packed(before.digest))
        await desk.lease_runs_out()
        await deliver_once(deliverer)
        assert adapter.sent == ["tip/push", "news/email"]


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
