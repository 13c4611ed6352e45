"""One connection at a time, opened again when it is needed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from features.errors import ConnectionLost, NotConnected, StoreError, Uncertain
from features.link import Link, pause_after
from features.redis_server import EmbeddedRedis
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio


async def test_everybody_waits_for_the_same_attempt(unix_redis: str) -> None:
    async with Proxy(unix_redis) as proxy:
        link = Link(proxy.url)
        replies = await asyncio.gather(*(link.ask("ECHO", str(number), within=10) for number in range(50)))
        assert replies == [b"%d" % number for number in range(50)]
        assert proxy.accepted == 1
        await link.close()


@pytest.mark.chaos
async def test_it_comes_back_after_its_server_was_killed(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path, appendfsync="always")
    link = Link(server.url)
    await link.ask("SET", "key", "kept", within=10)
    sleeping = (await link.connection(10)).call("BLPOP", "nothing", 0)
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ConnectionLost):
        await sleeping
    server.stop()
    with pytest.raises(NotConnected):
        await link.ask("PING", within=10)
    with EmbeddedRedis.start(tmp_path) as server:
        assert await link.ask("GET", "key", within=10) == b"kept"
        await link.close()


async def test_a_closed_link_stays_closed(unix_redis: str) -> None:
    async with Proxy(unix_redis) as proxy:
        proxy.hold()
        link = Link(f"{proxy.url}/1")
        waiting = asyncio.create_task(link.ask("PING", within=60))
        await proxy.seen(b"SELECT")
        await link.close()
        with pytest.raises(NotConnected):
            await waiting
        with pytest.raises(NotConnected):
            await link.ask("PING", within=60)


async def test_giving_up_on_connecting_sends_nothing(unix_redis: str) -> None:
    async with Proxy(unix_redis) as proxy:
        proxy.hold()
        link = Link(f"{proxy.url}/1", connect_timeout=60)
        with pytest.raises(NotConnected):
            await link.ask("PING", within=0.01)
        waiting = asyncio.create_task(link.ask("ECHO", "word", within=60))
        await proxy.seen(b"SELECT")
        proxy.release()
        assert await waiting == b"word", "the attempt went on for those who still had time"
        assert b"PING" not in proxy.requests
        await link.close()


async def test_a_caller_cancelled_while_connecting_takes_nobody_along(unix_redis: str) -> None:
    async with Proxy(unix_redis) as proxy:
        proxy.hold()
        link = Link(f"{proxy.url}/1", connect_timeout=60)
        first, second = (asyncio.create_task(link.ask("ECHO", word, within=60)) for word in "ab")
        await proxy.seen(b"SELECT")
        first.cancel()
        proxy.release()
        assert await second == b"b"
        assert first.cancelled()
        await link.close()


async def test_a_replica_is_turned_away(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        link = Link(server.url)
        connection = await link.connection(10)
        await link.ask("REPLICAOF", "127.0.0.1", "1", within=10)
        with pytest.raises(StoreError, match="READONLY"):
            await link.ask("SET", "key", "value", within=10)
        assert not connection.alive
        await link.ask("REPLICAOF", "NO", "ONE", within=10)
        assert await link.ask("SET", "key", "value", within=10) == b"OK"
        await link.close()


def test_pauses_double_up_to_half_a_second() -> None:
    assert [round(pause_after(failures, 1.0) * 1000) for failures in range(1, 9)] == [
        10,
        20,
        40,
        80,
        160,
        320,
        500,
        500,
    ]
    assert pause_after(1, 0.0) == 0.005
    assert pause_after(10_000, 0.0) == 0.25


def test_what_callers_may_do_again_without_asking() -> None:
    assert not issubclass(NotConnected, Uncertain)
    assert issubclass(ConnectionLost, Uncertain)
