"""Deciding for many: what becomes of the others where one fails, and where another catalog is put in force."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from decision.batch import decide_all
from decision.engine import Engine
from decision.request import NextActionRequest, RequestError
from features.catalogs import NOTHING, CatalogStore
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.reload import reload
from features.store import CustomerStore
from features.while_in_force import WhileInForce
from features.workers import Lease, LeasedStore, Workers
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


async def test_it_stops_where_another_catalog_is_put_in_force_and_the_reload_waits_for_that(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as redis:
        opened, link, lease, plan = await open_store(redis.url), Link(redis.url), Lease(), plan_of(CATALOG)
        catalogs, ours = CatalogStore(link), opened.ledger.link
        store = LeasedStore(opened.ledger, opened.cache, opened.clock, lease)
        reloading: asyncio.Task[int] | None = None

        async def recorded() -> int:
            layout = opened.ledger.layout
            streams = [layout.decisions(each) for each in range(layout.partitions)]
            return sum([await link.ask("XLEN", stream, within=PATIENT) for stream in streams])

        async def reloaded() -> int:
            assert not await reload(catalogs, Workers(link), "sha256:another", PATIENT, replace=True)
            return await recorded()

        async def customers() -> AsyncIterator[str]:
            """Without end, but for some time after the reload: whoever doesn't stop is found out."""
            nonlocal reloading
            left = 200
            for begun in count():
                if begun == 100:
                    reloading = asyncio.create_task(reloaded())
                left -= reloading is not None and reloading.done()
                if not left:
                    return
                yield f"c-{begun}"

        await catalogs.put_in_force(plan.digest, NOTHING)
        async with WhileInForce(ours, lease, plan.digest).entered() as by:
            engine, template = Engine(store, plan), NextActionRequest("")
            summary = await decide_all(engine, by.each(customers()), template, PATIENT, lambda _: None)
            assert (by.moved, by.cut_short) == (True, True)
        assert reloading is not None
        assert summary.customers > 100
        assert await reloading == await recorded() == summary.customers - summary.degraded.total()
        await ours.close()
        await link.close()
