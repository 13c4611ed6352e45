"""What is left in the outbox when a deliverer ends, and what is said of it."""

import asyncio
from collections import Counter

import pytest

from channels.adapter import Later
from channels.deliverer import Deliverer
from channels.left import FINE, Left, told, what_is_left
from channels.outbox import Outbox
from channels.running import deliver_once, keep_delivering
from tests.channels.conftest import At
from tests.channels.desk import EVENING, NOON, PATIENT, Desk
from tests.channels.told import Told, ready

pytestmark = pytest.mark.anyio


async def left(desk: Desk, deliverer: Deliverer | None = None) -> Counter[Left]:
    return await what_is_left(desk.store, Outbox(desk.store.ledger), {} if deliverer is None else deliverer.left)


async def test_nothing(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        assert await left(desk) == {Left.NEW: 1}
        deliverer = desk.deliverer(Told())
        await deliver_once(deliverer)
        assert (await left(desk, deliverer), told({})) == ({}, "nothing is left")


async def test_what_is_tried_again_and_what_is_behind_it(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push", "call")
        deliverer = desk.deliverer(Told(Later("busy", seconds=90)))
        await deliver_once(deliverer)
        found = await left(desk, deliverer)
        assert found == {Left.LATER: 1, Left.BEHIND: 1}
        assert told(found) == "left: 1 to be tried again, 1 behind one of these"
        assert not FINE.issuperset(found)
        assert await left(desk) == {Left.ELSEWHERE: 2}, "as another sees it"
        await desk.lease_runs_out()
        await deliver_once(deliverer)
        assert await left(desk, deliverer) == {}


async def test_what_can_not_be_read(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        link, layout = desk.store.ledger.link, desk.store.ledger.layout
        await link.ask("XADD", layout.outbox(3), "*", "m", "{", within=PATIENT)
        state = layout.state("c-1")
        await link.ask("SET", state, (await link.ask("GET", state, within=PATIENT))[:-3], within=PATIENT)
        deliverer = desk.deliverer(Told())
        await deliver_once(deliverer)
        assert await left(desk, deliverer) == {Left.UNREADABLE: 2}
        assert await left(desk) == {Left.UNREADABLE: 1, Left.ELSEWHERE: 1}


@pytest.mark.parametrize("decided", [NOON, EVENING])
async def test_what_quiet_hours_hold_is_seen_whoever_put_it_off(at: At, decided: str) -> None:
    """Be it since it was decided, or since it was to be sent."""
    async with at(decided) as desk:
        await ready(desk, "email")
    async with at(EVENING) as desk:
        deliverer = desk.deliverer(Told())
        await deliver_once(deliverer)
        for one in (deliverer, None):
            found = await left(desk, one)
            assert (found, FINE.issuperset(found)) == ({Left.HELD: 1}, True)


@pytest.mark.parametrize("slow", ["taken", "looked at"])
async def test_what_there_was_no_time_for(at: At, slow: str) -> None:
    """In all, or for one message that would have been sent too long after it was looked at."""
    async with at(NOON) as desk:
        await ready(desk, "push", "call")
        passed = 0.0

        def passes(step: str) -> None:
            nonlocal passed
            passed += 50.0 if step == slow else 0.0

        deliverer = desk.deliverer(Told(), passes, time=lambda: passed)
        await deliver_once(deliverer)
        found = await left(desk, deliverer)
        assert (deliverer.tally.sent, found, FINE.issuperset(found)) == (0, {Left.NO_TIME: 2}, False)


async def test_of_one_who_goes_on_nothing_piles_up(at: At) -> None:
    async with at(NOON) as desk:
        await ready(desk, "push")
        stop = asyncio.Event()
        deliverer = desk.deliverer(Told(Later("busy", seconds=90)), lambda step: stop.set())
        await deliver_once(deliverer)
        assert list(deliverer.left.values()) == [Left.LATER]
        stop.clear()
        await desk.decide("call", tel="556")
        await keep_delivering(deliverer, stop, desk.said.append)
        assert list(deliverer.left.values()) == [Left.BEHIND]


def test_in_the_order_of_the_reasons() -> None:
    found = {Left.NEW: 2, Left.HELD: 1, Left.LATER: 0}
    assert told(found) == "left: 1 held until quiet hours are over, 2 new since then"
