"""A worker's lasting way to Redis: one `Connection` at a time, opened again when it is needed.

Reconnecting happens on demand and once for all callers: they wait for the same attempt, each as long as its own time
allows. After a failed attempt the next one holds off, 10 ms doubling to 500 ms, halved at random so that workers do
not come back in step. Commands are never repeated here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from features.address import parse_url
from features.connection import Arg, Connection, Reply, wait
from features.errors import NotConnected, ReadOnly, StoreError, StoreTimeout

FIRST_PAUSE = 0.010
LONGEST_PAUSE = 0.500


def pause_after(failures: int, jitter: float) -> float:
    """Seconds to hold off after that many failed attempts in a row; jitter in [0, 1)."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return longest * (0.5 + jitter / 2)


class Link:
    """Use from one event loop only. All times are in seconds."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 1.0,
        stall_timeout: float = 2.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.address = parse_url(url)
        self._connect_timeout = connect_timeout
        self._stall_timeout = stall_timeout
        self._jitter = jitter
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closed = False

    @property
    def connected(self) -> bool:
        return self.ready is not None

    @property
    def ready(self) -> Connection | None:
        """The connection, if there is one right now."""
        connection = self._connection
        return connection if connection is not None and connection.alive else None

    async def connection(self, within: float) -> Connection:
        """The connection, opened if need be. Raises NotConnected, or the RedisReplyError that refused us."""
        if (ready := self.ready) is not None:
            return ready
        if self._closed:
            raise NotConnected("this link was closed")
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(_look_at)
        connecting = self._connecting
        try:
            return await wait(connecting, within)
        except StoreTimeout:
            raise NotConnected(f"no connection to Redis at {self.address} within {within * 1000:.0f} ms") from None

    async def ask(self, *args: Arg, within: float) -> Reply:
        """One command, one reply. Raises StoreError (see features.errors for what each kind promises)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        connection = await self.connection(within)
        try:
            return await wait(connection.call(*args), deadline - loop.time())
        except ReadOnly:
            self.turn_away(connection)
            raise

    def turn_away(self, connection: Connection) -> None:
        """This Redis is no primary any more: look it up again, the name may lead to the new one."""
        connection.abort("this Redis became a replica")

    async def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            if (pause := self._not_before - loop.time()) > 0:
                await asyncio.sleep(pause)
            self._connection = await Connection.open(
                self.address, connect_timeout=self._connect_timeout, stall_timeout=self._stall_timeout
            )
        except StoreError:
            self._failures += 1
            self._not_before = loop.time() + pause_after(self._failures, self._jitter())
            raise
        except asyncio.CancelledError:
            # For those who wait for this attempt it is a failure: they were not cancelled themselves.
            raise NotConnected("this link was closed") from None
        finally:
            self._connecting = None
        self._failures = 0
        return self._connection


def _look_at(task: asyncio.Task[Connection]) -> None:
    """Everybody waiting for it may have left: that a failure was not looked at is then no news."""
    if not task.cancelled():  # before it began
        task.exception()
