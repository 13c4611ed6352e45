"""One pipelined connection to Redis (RESP2), made for many small concurrent calls.

Why not the usual client: awaited one at a time, its asyncio calls cost several times what the script costs in Redis;
it pools (and so needs a connection per concurrent caller), retries scripts on its own, and a cancelled call can shift
every later reply by one. Here

- all calls of one turn of the event loop leave in one write;
- replies are matched to calls by order alone, so a call's place in the queue is never given up: a caller that was
  cancelled or ran out of time merely leaves its future behind, and the late reply is dropped there;
- a caller may wait by a callback instead of a future: where ten thousand calls a second are made, the future, the task
  that waits for it and two turns of the event loop cost as much as the call;
- nothing is ever sent twice. A call that was not written fails as NotConnected, one that was as ConnectionLost: only
  the caller can know whether doing it again is right;
- a connection that owes replies and has been silent for `stall_timeout` is cut. Silence counts, not the age of the
  oldest call, so a long pipeline that makes progress is left alone. For the same reason blocking commands (BLPOP,
  XREAD BLOCK) do not belong on this connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import hiredis

from features.address import Address, parse_url
from features.errors import ConnectionLost, NotConnected, RedisReplyError, StoreError, StoreTimeout, reply_error

T = TypeVar("T")
pack_command: Callable[..., bytes] = hiredis.pack_command  # its own types allow one word only
Arg = bytes | str | int
Reply = Any
"""None, int, bytes, or a list of these. An error reply is raised, unless it is nested in a list."""
Replied = Callable[[Reply], None]
"""Called with the reply, or with the StoreError that came instead of one."""

_NOTHING = object()
# One write for a turn of the loop is cheapest for us, but leaves Redis idle for all of a busy turn.
MOST_UNSENT = 8
# An event loop that was itself held up sees the silence before it sees the data waiting in the socket.
_SECOND_LOOK = 0.05


async def wait(future: asyncio.Future[T], seconds: float) -> T:
    """The future's result, or StoreTimeout after `seconds`. Never cancels the future, even if the caller is."""
    if not future.done():
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        timer = loop.call_later(max(seconds, 0.0), wake)
        future.add_done_callback(wake)
        try:
            await woken
        finally:
            timer.cancel()
            future.remove_done_callback(wake)
        if not future.done():
            raise StoreTimeout(f"no reply within {seconds * 1000:.0f} ms")
    return future.result()


async def reply_within(reply: asyncio.Future[Reply], seconds: float) -> Reply:
    """The reply to a call, or StoreTimeout after `seconds`; for the one caller who waits for it.

    Cheaper than `wait` by a future and a turn of the loop: the timeout, or the caller's own cancellation, ends the
    reply's future itself. It keeps its place in the queue, so that what comes for it is dropped and nothing shifts.
    """
    if reply.done():
        return reply.result()
    timer = reply.get_loop().call_later(max(seconds, 0.0), _expire, reply, seconds)
    try:
        return await reply
    finally:
        timer.cancel()


def _expire(reply: asyncio.Future[Reply], seconds: float) -> None:
    if not reply.done():
        reply.set_exception(StoreTimeout(f"no reply within {seconds * 1000:.0f} ms"))


class Connection(asyncio.Protocol):
    """Use from one event loop only. Once lost it stays lost: `Link` opens the next one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_timeout: float) -> None:
        self.loop = loop
        self._stall_timeout = stall_timeout
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=reply_error, notEnoughData=_NOTHING)
        self._unsent: list[bytes] = []
        self._pending: deque[Replied] = deque()
        self._quiet_since = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._reason = ""
        self._closed: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def open(cls, url: str | Address, *, connect_timeout: float, stall_timeout: float = 2.0) -> Connection:
        """Connect, authenticate, select. Seconds. Raises NotConnected, or the RedisReplyError that refused us."""
        address = parse_url(url) if isinstance(url, str) else url
        loop = asyncio.get_running_loop()
        connection = cls(loop, stall_timeout)
        try:
            async with asyncio.timeout(connect_timeout):
                await connection._connect(address)
                await connection._introduce(address)
        except (OSError, TimeoutError, StoreError) as error:
            connection.abort(f"could not connect to {address}")
            if isinstance(error, RedisReplyError):
                raise
            raise NotConnected(f"no connection to Redis at {address}: {_why(error, address)}") from error
        except asyncio.CancelledError:
            connection.abort("connecting was given up")
            raise
        return connection

    async def _connect(self, address: Address) -> None:
        if address.path:
            await self.loop.create_unix_connection(lambda: self, address.path)
        else:
            await self.loop.create_connection(lambda: self, address.host, address.port, ssl=address.tls)

    async def _introduce(self, address: Address) -> None:
        if address.username:  # who has no password gives any, or would be taken for the default user
            await self.call("AUTH", address.username, address.password)
        elif address.password:
            await self.call("AUTH", address.password)
        elif address.tls is not None:
            await self.call("PING")  # a server that misses our certificate says so only after TLS is up
        if address.database:
            await self.call("SELECT", address.database)

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def call(self, *args: Arg) -> asyncio.Future[Reply]:
        """Queue one command; its reply, or the error, comes through the future. Raises NotConnected."""
        return self.call_packed(pack_command(args))

    def call_packed(self, command: bytes) -> asyncio.Future[Reply]:
        """Like `call`, for a command that is packed already."""
        future: asyncio.Future[Reply] = self.loop.create_future()
        self.send(command, partial(_settle, future))
        return future

    def send(self, command: bytes, replied: Replied) -> None:
        """Queue one packed command; `replied` is called as soon as its reply is there. Raises NotConnected."""
        if not self.alive:
            raise NotConnected(self._reason or "the connection to Redis is closed")
        self._unsent.append(command)
        self._pending.append(replied)
        if len(self._unsent) == 1:
            self.loop.call_soon(self._flush)
        elif len(self._unsent) == MOST_UNSENT:
            self._flush()

    def abort(self, reason: str) -> None:
        """Cut the connection at once; what is pending fails in the next turn of the loop."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Cut the connection and wait until it is gone."""
        self.abort("closed")
        if self._transport is not None:
            await asyncio.shield(self._closed)

    def _flush(self) -> None:
        if not self._unsent:
            return  # sent before the turn of the loop was over
        if self._transport is None or not self.alive:
            return  # connection_lost is on its way, and tells sent from unsent
        if len(self._pending) == len(self._unsent):
            self._quiet_since = self.loop.time()
        if self._watch is None:
            self._watch = self.loop.call_later(self._stall_timeout, self._look, False)
        data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        self._unsent = []
        self._transport.write(data)

    def _look(self, looked_before: bool) -> None:
        """Cut a connection that owes replies and has been silent too long."""
        self._watch = None
        if not self._pending:
            return
        left = self._quiet_since + self._stall_timeout - self.loop.time()
        if left <= 0 and looked_before:
            self.abort(f"Redis was silent for {self._stall_timeout:g} s")
        else:
            self._watch = self.loop.call_later(max(left, _SECOND_LOOK), self._look, left <= 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by isinstance: uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._quiet_since = self.loop.time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                self._hand_over(self._pending.popleft(), reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.abort(f"what came was no reply of Redis: {error}")

    def _hand_over(self, replied: Replied, reply: Reply) -> None:
        try:
            replied(reply)
        except Exception as error:  # noqa: BLE001 - the mistake of one caller must not cost the others their replies
            self.loop.call_exception_handler({"message": "a reply from Redis was not dealt with", "exception": error})

    def connection_lost(self, exc: Exception | None) -> None:
        reason = self._reason = self._reason or (
            f"the connection broke: {exc}" if exc else "Redis closed the connection"
        )
        if self._watch is not None:
            self._watch.cancel()
        unsent = len(self._unsent)
        self._unsent = []
        while self._pending:
            error = ConnectionLost if len(self._pending) > unsent else NotConnected
            self._hand_over(self._pending.popleft(), error(reason))
        self._transport = None
        if not self._closed.done():
            self._closed.set_result(None)


def _why(error: Exception, address: Address) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time" if address.tls is None else "no answer in time; does it speak TLS?"
    return str(error) or type(error).__name__


def _settle(future: asyncio.Future[Reply], reply: Reply) -> None:
    if future.done():
        return
    if isinstance(reply, StoreError):
        future.set_exception(reply)
        # Looked at here, as its caller may have left: an abandoned failure is no reason to warn.
        future.exception()
    else:
        future.set_result(reply)
