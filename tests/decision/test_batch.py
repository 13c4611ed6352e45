"""Deciding for many: what becomes of the others where one fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from decision.batch import decide_all
from decision.engine import Engine
from decision.request import NextActionRequest, RequestError
from features.opening import open_store
from features.store import CustomerStore
from tests.decision.plans import plan_of
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio

PATIENT = 60.0
CATALOG = """
channels: {web: {direction: inbound}}
actions: {hello: {value: 1, treatments: {web: {t: Hello}}}}
"""


async def test_one_that_fails_ends_the_others(redis_url: str, store: CustomerStore) -> None:
    async with Proxy(redis_url) as proxy:
        behind = await open_store(proxy.url)
        engine = Engine(behind, plan_of(CATALOG))
        under_way: set[asyncio.Task[None]] = set()

        async def customers() -> AsyncIterator[str]:
            before = asyncio.all_tasks()
            proxy.hold()
            yield "waits"
            await proxy.seen(b"waits")
            under_way.update(asyncio.all_tasks() - before)
            raise RequestError("broken", "", "the list of customers ends here")

        with pytest.raises(RequestError, match="ends here"):
            await decide_all(engine, customers(), NextActionRequest(""), PATIENT, lambda count: None)
        assert under_way
        deciding = [task for task in under_way if "decide_all" in repr(task.get_coro())]
        assert deciding
        assert all(task.done() for task in deciding)
        proxy.release()
        await behind.ledger.link.close()
