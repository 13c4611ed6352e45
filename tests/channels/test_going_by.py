"""What a deliverer goes by: the clock of the data, the catalog in force, and whether there is still a customer."""

import asyncio
import threading
from collections.abc import Collection
from contextlib import AsyncExitStack
from typing import Any

import pytest

from archive.erasing import Erased, erase
from catalog.plan import Plan
from channels import in_force
from channels.adapter import Outcome
from channels.in_force import NothingInForceError
from channels.message import Message
from channels.running import deliver_once
from decision.release import Unsent
from features.catalogs import CatalogStore, Pointer
from features.commit import Commit
from features.deadline import Deadline
from features.forgetting import forget
from features.keys import IN_FORCE
from features.store import CustomerStore
from tests.channels.conftest import At
from tests.channels.desk import CATALOG, EVENING, MORNING, NOON, PATIENT
from tests.channels.told import Told, ready

pytestmark = pytest.mark.anyio


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
