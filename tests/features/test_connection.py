"""Replies find their callers whatever becomes of callers and connections. On asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from features.connection import MOST_UNSENT, Connection, reply_within, wait
from features.errors import (
    AuthRefused,
    ConnectionLost,
    NoScript,
    NotConnected,
    OutOfMemory,
    ReadOnly,
    RedisReplyError,
    StoreTimeout,
    may_have_written,
    reply_error,
)
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def proxy(unix_redis: str) -> AsyncIterator[Proxy]:
    async with Proxy(unix_redis) as proxy:
        yield proxy


@pytest.fixture
async def connection(proxy: Proxy) -> AsyncIterator[Connection]:
    connection = await Connection.open(proxy.url, connect_timeout=5, stall_timeout=60)
    yield connection
    await connection.close()


async def test_calls_of_one_turn_leave_in_one_write_and_come_back_in_order(
    connection: Connection, proxy: Proxy
) -> None:
    calls = [connection.call("ECHO", str(number)) for number in range(MOST_UNSENT)]
    assert await asyncio.gather(*calls) == [b"%d" % number for number in range(MOST_UNSENT)]
    assert proxy.chunks == 1
    many = [connection.call("ECHO", str(number)) for number in range(10 * MOST_UNSENT + 1)]
    assert await asyncio.gather(*many) == [b"%d" % number for number in range(10 * MOST_UNSENT + 1)]
    assert proxy.chunks <= 1 + 11


@pytest.mark.parametrize("waiting", [wait, reply_within])
async def test_replies_do_not_shift_when_callers_leave(
    connection: Connection, proxy: Proxy, waiting: Callable[[asyncio.Future[Any], float], Awaitable[Any]]
) -> None:
    async def ask(word: str) -> bytes:
        return bytes(await waiting(connection.call("ECHO", word), 60))

    proxy.hold()
    tasks = [asyncio.create_task(ask(f"word-{number}")) for number in range(6)]
    await proxy.seen(b"word-5")
    tasks[0].cancel()
    tasks[3].cancel()
    outrun = connection.call("ECHO", "outrun")
    with pytest.raises(StoreTimeout):
        await wait(outrun, 0)
    proxy.release()
    assert await asyncio.gather(*(tasks[number] for number in (1, 2, 4, 5))) == [
        b"word-1",
        b"word-2",
        b"word-4",
        b"word-5",
    ]
    assert tasks[0].cancelled()
    assert await outrun == b"outrun", "a late reply is still there for who asks again"
    assert await ask("afterwards") == b"afterwards"


async def test_a_reply_that_came_too_late_is_dropped_and_keeps_its_place(connection: Connection, proxy: Proxy) -> None:
    proxy.hold()
    late, next_one = connection.call("ECHO", "late"), connection.call("ECHO", "next")
    with pytest.raises(StoreTimeout):
        await reply_within(late, 0)
    with pytest.raises(StoreTimeout):
        await reply_within(late, 60)  # for good: a commit that is uncertain stays so
    proxy.release()
    assert await reply_within(next_one, 60) == b"next"
    assert await reply_within(connection.call("ECHO", "after"), 60) == b"after"
    refused = connection.call("EVALSHA", "0" * 40, "0")
    with pytest.raises(NoScript):
        await reply_within(refused, 60)


async def test_cancelling_the_future_itself_keeps_its_place(connection: Connection) -> None:
    first, second = connection.call("ECHO", "first"), connection.call("ECHO", "second")
    first.cancel()
    assert await second == b"second"


async def test_an_error_reply_concerns_its_caller_alone(connection: Connection) -> None:
    calls = [connection.call("ECHO", "a"), connection.call("EVALSHA", "0" * 40, "0"), connection.call("ECHO", "b")]
    first, refused, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == (b"a", b"b")
    assert isinstance(refused, NoScript)


async def test_what_was_sent_is_uncertain_what_was_not_is_not(connection: Connection, proxy: Proxy) -> None:
    proxy.hold()
    sent = connection.call("ECHO", "sent")
    await proxy.seen(b"sent")
    unsent = connection.call("ECHO", "unsent")
    connection.abort("cut by the test")
    with pytest.raises(NotConnected, match="cut by the test"):
        connection.call("PING")
    with pytest.raises(ConnectionLost, match="cut by the test"):
        await sent
    with pytest.raises(NotConnected, match="cut by the test"):
        await unsent
    assert b"unsent" not in proxy.requests


async def test_a_silent_connection_is_cut(proxy: Proxy) -> None:
    connection = await Connection.open(proxy.url, connect_timeout=5, stall_timeout=0.02)
    await connection.call("PING")
    proxy.hold()
    with pytest.raises(ConnectionLost, match="silent"):
        await connection.call("PING")
    assert not connection.alive


async def test_an_idle_connection_is_left_alone(proxy: Proxy) -> None:
    connection = await Connection.open(proxy.url, connect_timeout=5, stall_timeout=0.01)
    await connection.call("PING")
    await asyncio.sleep(0.1)  # nothing is owed: there is no event to wait for
    assert await connection.call("PING") == b"PONG"
    await connection.close()


async def test_nobody_there(tmp_path: object) -> None:
    with pytest.raises(NotConnected, match="nobody"):
        await Connection.open(f"unix://{tmp_path}/nobody.sock", connect_timeout=5)


async def test_wrong_credentials(tcp_redis: str) -> None:
    address, _, _ = tcp_redis.rpartition("@")[2].partition("/")
    with pytest.raises(AuthRefused):
        await Connection.open(f"redis://:wrong@{address}", connect_timeout=5)
    connection = await Connection.open(f"redis://{address}", connect_timeout=5)
    with pytest.raises(AuthRefused):
        await connection.call("GET", "x")
    await connection.close()


async def test_what_is_no_redis() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(chat, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await Connection.open(f"redis://127.0.0.1:{port}", connect_timeout=5)
        with pytest.raises(ConnectionLost, match="no reply of Redis"):
            await connection.call("PING")
        await connection.close()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NOSCRIPT No matching script. Please use EVAL.", NoScript),
        ("OOM command not allowed when used memory > 'maxmemory'.", OutOfMemory),
        (
            "ERR Error running script (call to f_12): @user_script:9: @user_script: 9: "
            "-READONLY You can't write against a read only replica.",
            ReadOnly,
        ),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", RedisReplyError),
    ],
)
def test_error_replies(text: str, kind: type[RedisReplyError]) -> None:
    assert type(reply_error(text)) is kind


IN_SCRIPT = "ERR Error running script (call to f_12): @user_script:9: @user_script: 9: "


@pytest.mark.parametrize(
    ("text", "may_have"),
    [
        ("NOSCRIPT No matching script. Please use EVAL.", False),
        ("OOM command not allowed when used memory > 'maxmemory'.", False),
        (IN_SCRIPT + "-OOM command not allowed when used memory > 'maxmemory'.", False),
        (IN_SCRIPT + "-MISCONF Errors writing to the AOF file: No space left on device", False),
        ("NOPERM this user has no permissions to run the 'evalsha' command or its subcommand", False),
        ("NOPERM ACL failure in script: User default has no permissions to run the 'hincrby' command", True),
        (IN_SCRIPT + "The user executing the script can't run this command or subcommand", True),
        (IN_SCRIPT + "-WRONGTYPE Operation against a key holding the wrong kind of value", True),
        ("ERR value is not an integer or out of range", True),
        ("WHATEVER comes with the next Redis", True),
    ],
)
def test_what_a_script_may_have_written_before_its_error(text: str, may_have: bool) -> None:
    assert may_have_written(reply_error(text)) is may_have
