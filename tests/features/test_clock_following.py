"""The clock of the data is set ahead while somebody goes by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from features.clock_following import follow_clock
from features.customer import Customer, moment, with_attributes
from features.deadline import Deadline
from features.keys import META
from features.link import Link
from features.opening import open_store
from features.store import ClockError, CustomerStore

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(redis_url: str, now: str | None = None) -> AsyncIterator[CustomerStore]:
    store = await open_store(redis_url, now=now)
    try:
        yield store
    finally:
        await store.ledger.link.close()


def seen(customer: Customer, now: int) -> Customer:
    return with_attributes(customer, {"seen": now})


async def test_who_follows_goes_on_from_where_it_stands(redis_url: str, link: Link) -> None:
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(opened(redis_url, "2017-10-01T09:00"))
        await behind.update("ada", seen, Deadline(5))
        assert await follow_clock(behind) is False
        ahead = await stack.enter_async_context(opened(redis_url, "2017-11-01T09:00"))
        await ahead.update("ada", seen, Deadline(5))
        with pytest.raises(ClockError):
            await behind.update("ada", seen, Deadline(5))
        assert await follow_clock(behind) is True
        assert moment(behind.clock.now()).month == 11, "before anything else is heard"
        assert behind.ledger.clock_offset_us == ahead.ledger.clock_offset_us
        told = await behind.update("ada", seen, Deadline(5))
        assert moment(told.customer.attributes["seen"]).month == 11
        assert await follow_clock(behind) is False


async def test_where_redis_has_lost_it_it_runs_on(redis_url: str, link: Link) -> None:
    async with opened(redis_url, "2017-10-01T09:00") as store:
        await link.ask("DEL", META, within=5)
        assert await follow_clock(store) is False
        assert moment(store.clock.now()).year == 2017


async def test_what_is_under_way_when_it_is_set_is_corrected(redis_url: str, link: Link) -> None:
    """A commit by the clock of before tells the time by that one."""
    async with opened(redis_url, "2017-10-01T09:00") as store:
        before = store.clock.now()
        async with opened(redis_url, "2017-11-01T09:00"):
            assert await follow_clock(store)
        store.clock.heard(before)
        told = await store.update("ada", seen, Deadline(5))
        assert moment(told.customer.attributes["seen"]).month == 11
