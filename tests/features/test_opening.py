"""Opening a store: the clock that belongs to the data, and what a Redis must be to be relied on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.customer import micros, moment
from features.errors import AuthRefused, LayoutMismatch, NotConnected, ReadOnly, UnfitRedis
from features.keys import META
from features.link import Link
from features.opening import open_store, problems, settle_clock
from features.redis_binary import find_binary
from tests.features.on_tcp import start_on_tcp

pytestmark = pytest.mark.anyio

HOUR = 3_600_000_000
MINUTE = timedelta(minutes=1)


async def stands_at(link: Link, offset: int) -> datetime:
    seconds, microseconds = await link.ask("TIME", within=5)
    return moment(int(seconds) * 1_000_000 + int(microseconds) + offset)


async def test_without_a_time_the_servers_own_counts(link: Link) -> None:
    assert await settle_clock(link, None) == 0
    assert await settle_clock(link, "real") == 0
    assert await settle_clock(link, None) == 0


async def test_a_clock_starts_once_and_runs_on(link: Link) -> None:
    offset = await settle_clock(link, "2017-10-01T09:00")
    started = await stands_at(link, offset)
    assert timedelta() <= started - datetime(2017, 10, 1, 9, tzinfo=UTC) < MINUTE
    assert await settle_clock(link, "2017-10-01T09:00") == offset
    assert await settle_clock(link, None) == offset


async def test_all_that_start_at_once_go_by_one_clock(link: Link) -> None:
    offsets = await asyncio.gather(*(settle_clock(link, "2017-10-01T09:00") for _ in range(8)))
    assert set(offsets) == {await settle_clock(link, None)}


async def test_of_two_set_at_once_the_clock_goes_by_the_later(link: Link) -> None:
    await settle_clock(link, "2017-10-01T09:00")
    wanted = ["2017-10-03T09:00", "2017-10-02T09:00"]
    first, second = await asyncio.gather(*(settle_clock(link, now) for now in wanted), return_exceptions=True)
    assert isinstance(second, LayoutMismatch), "it would have been set back"
    assert first == await settle_clock(link, None)


async def test_a_zone_is_understood(link: Link) -> None:
    offset = await settle_clock(link, "2017-10-01T09:00-06:00")
    assert timedelta() <= await stands_at(link, offset) - datetime(2017, 10, 1, 15, tzinfo=UTC) < MINUTE


async def test_it_can_be_set_ahead_and_never_back(link: Link) -> None:
    first = await settle_clock(link, "2017-10-01T09:00")
    second = await settle_clock(link, "2017-11-01T09:00")
    assert second > first
    with pytest.raises(LayoutMismatch, match=r"stands at 2017-11-01T09:0.* can't be set back"):
        await settle_clock(link, "2017-10-01T09:00")
    assert await settle_clock(link, None) == second
    assert await settle_clock(link, "real") == 0
    with pytest.raises(LayoutMismatch):
        await settle_clock(link, "2017-12-01")


@pytest.mark.parametrize("first", [None, "real"])
async def test_data_first_used_in_real_time_can_not_be_set_back(link: Link, first: str | None) -> None:
    """Contacts of today would lie in the future, and count in no window."""
    assert await settle_clock(link, first) == 0
    with pytest.raises(LayoutMismatch, match="can't be set back: use other data"):
        await settle_clock(link, "2017-10-01T09:00")
    assert await settle_clock(link, None) == 0
    assert await settle_clock(link, "2199-01-01") > 0


async def test_a_clock_that_is_not_kept_leaves_no_trace(link: Link) -> None:
    before = await link.ask("HGETALL", META, within=5)
    assert await settle_clock(link, "2150-01-01T00:00", keep=False) > 0
    assert await link.ask("HGETALL", META, within=5) == before


async def test_opening_a_store_without_a_time_settles_it(redis_url: str, link: Link) -> None:
    store = await open_store(redis_url)
    await store.ledger.link.close()
    with pytest.raises(LayoutMismatch, match="can't be set back"):
        await open_store(redis_url, now="2017-10-01T09:00")


@pytest.mark.parametrize(
    "now", ["now", "12", "2017-13-01", "1969-12-31T23:59:59", "2200-01-01", "0001-01-01", "9999-12-31"]
)
async def test_what_is_no_time_to_start_at(link: Link, now: str) -> None:
    with pytest.raises(ValueError, match="now must"):
        await settle_clock(link, now)
    assert await link.ask("HGET", META, "clock", within=5) is None


async def test_the_ends_of_what_can_be_counted_work(redis_url: str, link: Link) -> None:
    for now in ("1970-01-02", "2199-12-31"):
        store = await open_store(redis_url, now=now)
        at = store.clock.now()
        assert abs(at - micros(datetime.fromisoformat(now).replace(tzinfo=UTC))) < HOUR
        await store.ledger.link.close()


async def test_workers_share_the_clock(redis_url: str, link: Link) -> None:
    stores = [await open_store(redis_url, now=now) for now in ("2017-10-01T09:00", None, "2017-10-01T09:00")]
    assert len({store.ledger.clock_offset_us for store in stores}) == 1
    for store in stores:
        assert moment(store.clock.now()).year == 2017
        await store.ledger.link.close()


async def test_another_number_of_partitions_is_refused(redis_url: str, link: Link) -> None:
    store = await open_store(redis_url, partitions=4)
    await store.ledger.link.close()
    with pytest.raises(LayoutMismatch):
        await open_store(redis_url, partitions=5)


async def test_a_redis_that_is_not_there() -> None:
    with pytest.raises(NotConnected):
        await open_store("redis://127.0.0.1:1")


async def test_a_redis_that_would_forget_is_told(redis_url: str, link: Link) -> None:
    store = await open_store(redis_url)
    before = await problems(store)
    assert not any("primary" in problem or "append-only" in problem for problem in before)
    (_, policy) = await link.ask("CONFIG", "GET", "maxmemory-policy", within=5)
    await link.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", within=5)
    try:
        assert [problem for problem in await problems(store) if "allkeys-lru" in problem]
    finally:
        await link.ask("CONFIG", "SET", "maxmemory-policy", policy, within=5)
        await store.ledger.link.close()


async def test_a_cluster_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Also one whose slots all lie on this node, where all would go well until the first of them moves."""
    # Nodes talk to each other on a port that is 10,000 higher.
    process, port = start_on_tcp(find_binary(), tmp_path, "--cluster-enabled", "yes", below=55_536)
    link = Link(f"redis://127.0.0.1:{port}")
    try:
        for slots in ((), range(16384)):
            if slots:
                await link.ask("CLUSTER", "ADDSLOTS", *slots, within=60)
            with pytest.raises(UnfitRedis, match=r"a node of a cluster .* Give it a Redis that is not clustered\."):
                await open_store(f"redis://127.0.0.1:{port}")
        assert await link.ask("DBSIZE", within=60) == 0
    finally:
        await link.close()
        process.terminate()
        process.wait()


async def test_a_replica_is_refused_with_the_primary_named(redis_url: str, link: Link) -> None:
    await link.ask("REPLICAOF", "127.0.0.1", 1, within=60)
    try:
        with pytest.raises(ReadOnly, match=r"replica of 127\.0\.0\.1:1: give Tino the primary"):
            await open_store(redis_url)
    finally:
        await link.ask("REPLICAOF", "NO", "ONE", within=60)


async def test_a_redis_that_may_not_tell_about_itself_is_refused(unix_redis: str) -> None:
    link = Link(unix_redis)
    await link.ask("ACL", "SETUSER", "silent", "on", ">secret", "~tino:*", "+@all", "-info", within=60)
    try:
        with pytest.raises(AuthRefused, match=r"Redis refuses INFO, .* Let this user run it"):
            await open_store(unix_redis.replace("unix://", "unix://silent:secret@"))
        assert await link.ask("DBSIZE", within=60) == 0
    finally:
        await link.ask("ACL", "DELUSER", "silent", within=60)
        await link.close()
