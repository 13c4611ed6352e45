"""One worker and the catalog in force: what it begins with, and when it has let go of the catalog before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from api.making import Made
from api.reloading import Following
from catalog.bundle import bundle_of
from catalog.loading import LoadedCatalog, load_catalog
from catalog.plan import Plan
from decision.engine import Engine
from decision.request import NextActionRequest
from features.catalogs import CatalogStore
from features.clock_following import CLOCK
from features.keys import META
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.replacing import AnotherName
from features.workers import LEASE_SECONDS, Entry, Lease, Workers
from models.scoring import Models
from tests.api.test_reload import write
from tests.decision.plans import plan_of
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio
PATIENT = 60.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One that no service uses, as its workers would enter themselves."""
    with EmbeddedRedis.start(tmp_path_factory.mktemp("following")) as server:
        yield server


@pytest.fixture
async def link(redis: EmbeddedRedis) -> AsyncIterator[Link]:
    link = Link(redis.url)
    await link.ask("DEL", "tino:catalog", "tino:workers", within=5)
    yield link
    await link.close()


@pytest.fixture
def one(tmp_path: Path) -> LoadedCatalog:
    return load_catalog(write(tmp_path, "one", 3, "one"))


@pytest.fixture
def two(tmp_path: Path) -> LoadedCatalog:
    return load_catalog(write(tmp_path, "two", 1, "two"))


class Told:
    """A worker's following, and what it said it serves."""

    def __init__(self, link: Link, lease: Lease | None = None) -> None:
        self.plans: list[str] = []
        self.anew = asyncio.Event()
        self.lease = lease or Lease()
        self.catalogs, self.workers = CatalogStore(link), Workers(link)
        self.following = Following(self.catalogs, self.workers, self.lease, self._hear)

    def _hear(self, plan: Plan) -> None:
        self.plans.append(plan.name)
        self.anew.set()


async def test_the_first_brings_its_catalog_and_others_follow(
    link: Link, one: LoadedCatalog, two: LoadedCatalog
) -> None:
    first, second, third = Told(link), Told(link), Told(link)
    assert (await first.following.join(one)).plan.digest == one.digest
    assert (await second.following.join(two)).plan.digest == one.digest  # the first is there, so its catalog stays
    assert (await third.following.join(None)).plan.digest == one.digest
    assert [told.lease.over for told in (first, second, third)] == [False] * 3
    assert first.plans == second.plans == third.plans == ["one"]
    there = await first.workers.present()
    assert [worker.entry for worker in there] == [Entry(1, one.digest)] * 3
    for told in (first, second, third):
        await told.following.leave()
    assert await first.workers.present() == []


async def test_a_service_started_anew_begins_with_its_own_catalog_of_the_same_name_or_where_that_is_said(
    link: Link, one: LoadedCatalog, two: LoadedCatalog
) -> None:
    first, again = Told(link), Told(link)
    await first.following.join(one)
    await first.following.leave()
    with pytest.raises(AnotherName, match="'one', and this one is 'two'"):
        await again.following.join(two)
    assert (await again.catalogs.in_force()).digest == one.digest
    assert again.lease.over
    assert (await again.following.join(two, replace=True)).plan.digest == two.digest
    assert (await again.catalogs.in_force()).digest == two.digest
    await again.following.leave()


async def test_a_version_needs_no_leave(link: Link, one: LoadedCatalog, tmp_path: Path) -> None:
    """What it doesn't declare any more is told of, as nobody else does."""
    first, again, file = Told(link), Told(link), write(tmp_path, "version", 1, "one")
    file.write_text(file.read_text().replace("hello", "welcome"))
    version = load_catalog(file)
    await first.following.join(one)
    await first.following.leave()
    with structlog.testing.capture_logs() as logged:
        assert (await again.following.join(version)).plan.digest == version.digest
    assert [line["event"].partition(", and")[0] for line in logged if line["event"].startswith("actions")] == [
        "actions: the catalog before declared `hello`"
    ]
    await again.following.leave()


@pytest.mark.parametrize(("name", "level"), [("one", "info"), ("two", "warning")])
async def test_a_switch_to_another_name_is_a_warning(
    redis: EmbeddedRedis, link: Link, one: LoadedCatalog, tmp_path: Path, name: str, level: str
) -> None:
    told, other = Told(link), load_catalog(write(tmp_path, "other", 1, name))
    made = await told.following.join(one)
    told.anew.clear()
    store = await open_store(redis.url)
    with structlog.testing.capture_logs() as logged:
        following = asyncio.create_task(told.following.follow(Engine(store, made.plan)))
        await told.catalogs.keep(other.digest, bundle_of(other))
        await told.catalogs.put_in_force(other.digest, await told.catalogs.in_force())
        await told.anew.wait()
        following.cancel()
    (line,) = logged
    assert line["log_level"] == level
    assert (line.get("name"), line.get("before")) == ((None, None) if name == "one" else ("two", "one"))
    await told.following.leave()
    await store.ledger.link.close()


async def test_who_can_not_follow_says_so_decides_nothing_and_goes_on_trying(
    redis: EmbeddedRedis, link: Link, one: LoadedCatalog
) -> None:
    now = 100.0
    told = Told(link, Lease(lambda: now))

    async def trouble(there: bool) -> str:
        while bool(told.following.trouble) is not there:
            await link.ask("PING", within=PATIENT)
        return told.following.trouble

    made = await told.following.join(one)
    store = await open_store(redis.url)
    kept = await link.ask("HGET", META, CLOCK, within=5)
    await link.ask("HSET", META, CLOCK, "no clock", within=5)
    with structlog.testing.capture_logs() as logged:
        task = asyncio.create_task(told.following.follow(Engine(store, made.plan)))
        assert "can't be followed: ValueError" in await trouble(there=True)
        now += LEASE_SECONDS
        assert told.lease.over
        await link.ask("HSET", META, CLOCK, kept, within=5)
        assert (await trouble(there=False), told.lease.over) == ("", False)
        task.cancel()
    assert [line["log_level"] for line in logged] == ["error"]
    await told.following.leave()
    await store.ledger.link.close()


async def test_without_any_catalog_there_is_nothing_to_join_with(link: Link) -> None:
    told = Told(link)
    with pytest.raises(ValueError, match="no catalog is in force"):
        await told.following.join(None)
    assert told.lease.over
    assert "not known" in told.following.trouble
    await told.following.leave()


class Overtaken(Workers):
    """Just before a worker enters for the first time, another catalog is put in force."""

    def __init__(self, link: Link, digest: str) -> None:
        super().__init__(link)
        self._catalogs, self._digest = CatalogStore(link), digest

    async def enter(self, name: str, entry: Entry) -> None:
        seen = await self._catalogs.in_force()
        if seen.digest != self._digest:
            await self._catalogs.put_in_force(self._digest, seen)
        await super().enter(name, entry)


async def test_a_pointer_that_moves_while_joining_is_followed(
    link: Link, one: LoadedCatalog, two: LoadedCatalog
) -> None:
    catalogs = CatalogStore(link)
    await catalogs.keep(two.digest, bundle_of(two))
    told: list[str] = []
    following = Following(catalogs, Overtaken(link, two.digest), Lease(), lambda plan: told.append(plan.name))
    assert (await following.join(one)).plan.digest == two.digest
    assert told == ["one", "two"]
    await following.leave()


OLD = "channels: {web: {direction: inbound}}\nactions: {old: {value: 1, treatments: {web: {t: T}}}}\n"
NEW = OLD.replace("old", "new")


def made_by(text: str) -> Made:
    plan = plan_of(text)
    return Made(plan, Models(plan))


async def test_a_plan_is_replaced_when_no_decision_is_left_that_began_with_another(redis: EmbeddedRedis) -> None:
    async with Proxy(redis.url) as proxy:
        store = await open_store(proxy.url)
        engine = Engine(store, plan_of(OLD))

        def ask(customer_id: str) -> asyncio.Task[Any]:
            return asyncio.create_task(engine.next_action(NextActionRequest(customer_id), "test", PATIENT))

        proxy.hold()
        began = [ask("reload-a"), ask("reload-b"), ask("reload-a")]  # the third waits for its turn
        await proxy.seen(b"reload-b")
        replacing = asyncio.create_task(engine.replace(*made_by(NEW)))
        later = [ask("reload-c"), ask("reload-b")]
        await proxy.seen(b"reload-c")
        assert not replacing.done()
        proxy.release()
        await replacing
        assert all(task.done() for task in began)
        assert [b'"old"' in task.result().body for task in began] == [True] * 3
        assert [b'"new"' in (await task).body for task in later] == [True] * 2
        await store.ledger.link.close()
