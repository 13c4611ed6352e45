"""Compare and commit, seen from a worker: load a customer, commit what was decided, find a record again.

A worker decides on a state it has in memory, without asking anybody, and commits in one round trip. That a commit
only counts if nobody else's came between is settled in Redis by `commit.lua`; everything that makes it right (what
is compared, in which order, what a repeated request gets) is explained there.

Nothing is repeated here but a script Redis did not know, as then nothing ran. When a commit ends as Uncertain, send
the same one again with the same request id: it is either done now or comes back as Repeated. Without a request id,
look for its decision id with `record`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from features.commit import Commit, Outcome, Stored, next_version, pack, read_state, unpack
from features.connection import Connection, Reply, reply_within, wait
from features.entropy import random_bytes
from features.errors import (
    CorruptState,
    NoScript,
    OutOfTime,
    ReadOnly,
    RedisReplyError,
    ScriptFailed,
    StoreError,
    lacks_right,
    may_have_written,
)
from features.keys import Layout, parse_decision_id
from features.link import Link

SCRIPT = Path(__file__).with_name("commit.lua").read_bytes()
RECORD_SLACK_MS = 2000
DAY_US = 24 * 3600 * 1_000_000
_PAGE = 256
Settled = Callable[[Outcome | StoreError], None]


class Ledger:
    """All times given are in seconds, of the caller's patience; all times inside states in microseconds since 1970.

    `clock_offset_us` is how far the service's clock is set ahead of the server's. `random(n)` gives n random bytes.
    `no_right` is what Redis said of the last commit that it refused for want of a right, "" once somebody has told it.
    """

    def __init__(
        self,
        link: Link,
        layout: Layout,
        *,
        clock_offset_us: int = 0,
        random: Callable[[int], bytes] = random_bytes,
        script: bytes = SCRIPT,
    ) -> None:
        self.link = link
        self.layout = layout
        self.clock_offset_us = clock_offset_us
        self.no_right = ""
        self._random = random
        self._script = script
        self._sha = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
        self._evalsha = self._evalsha_with(5)
        self._evalsha_events = self._evalsha_with(8)

    async def load(self, customer_id: str, within: float) -> tuple[Stored, int]:
        """The state and the service time at which it stood. Raises StoreError."""
        deadline = monotonic() + within
        connection = await self.link.connection(within)
        state, clock = connection.call("GET", self.layout.state(customer_id)), connection.call("TIME")
        seconds, microseconds = await wait(clock, _left(deadline))
        server_us = int(seconds) * 1_000_000 + int(microseconds) + self.clock_offset_us
        return read_state(state.result()), server_us

    async def commit(self, commit: Commit, within: float) -> Outcome:
        """Write it if its customer still stands as it expects. Raises StoreError; OutOfTime before anything is sent."""
        if within <= 0:
            raise OutOfTime("no time is left to commit in")
        deadline = monotonic() + within
        connection = await self.link.connection(within)
        version = next_version(commit.expected, self._random(8))
        try:
            try:
                reply = await reply_within(self._send(connection, commit, version), _left(deadline))
            except NoScript:
                connection.call("SCRIPT", "LOAD", self._script)
                reply = await reply_within(self._send(connection, commit, version), _left(deadline))
        except RedisReplyError as error:
            raise self._understood(error, connection) from error
        return unpack(reply, commit, version)

    def commit_at_once(self, commit: Commit, connection: Connection, settled: Settled) -> None:
        """Like `commit`, without a task: `settled` is called with what came of it. Raises NotConnected.

        A script that Redis did not know is told as NoScript: nothing ran, and `commit` will bring the script along.
        """
        version = next_version(commit.expected, self._random(8))

        def replied(reply: Reply) -> None:
            outcome = reply
            if isinstance(reply, RedisReplyError):
                outcome = self._understood(reply, connection)
            elif not isinstance(reply, StoreError):
                try:
                    outcome = unpack(reply, commit, version)
                except CorruptState as error:
                    outcome = error
            settled(outcome)

        connection.send(self._packed(commit, version), replied)

    async def commit_many(self, commits: Sequence[Commit], within: float) -> list[Outcome | StoreError]:
        """Send all at once, in order; each has its own outcome, or the error it failed with.

        They run one after another and others' may come between. How many to send at once is the caller's to bound.
        Raises StoreError only if none was sent.
        """
        deadline = monotonic() + within
        connection = await self.link.connection(within)
        # The script goes ahead of them: sent again later, two commits to one customer could change places.
        connection.call("SCRIPT", "LOAD", self._script)
        versions = [next_version(commit.expected, self._random(8)) for commit in commits]
        sent = [self._send(connection, commit, version) for commit, version in zip(commits, versions, strict=True)]
        outcomes: list[Outcome | StoreError] = []
        for commit, version, reply in zip(commits, versions, sent, strict=True):
            try:
                outcomes.append(unpack(await wait(reply, _left(deadline)), commit, version))
            except RedisReplyError as error:
                outcomes.append(self._understood(error, connection))
            except StoreError as error:
                outcomes.append(error)
        return outcomes

    async def record(self, decision_id: str, within: float) -> bytes | None:
        """A decision's record, if it is still in its stream. Raises ValueError for what is no decision id, StoreError.

        An id holds the service time of the decision; its entry was written a moment later. So that is searched first,
        and then what came before, should the worker's clock have been ahead.
        """
        partition, at_ms = parse_decision_id(decision_id)
        if partition >= self.layout.partitions:
            return None
        deadline = monotonic() + within
        at_ms -= self.clock_offset_us // 1000
        stream, wanted = self.layout.decisions(partition), decision_id.encode()
        after = await self._search(stream, wanted, at_ms, at_ms + RECORD_SLACK_MS, deadline)
        if after is not None:
            return after
        return await self._search(stream, wanted, at_ms - RECORD_SLACK_MS, at_ms - 1, deadline)

    async def _search(self, stream: str, wanted: bytes, from_ms: int, to_ms: int, deadline: float) -> bytes | None:
        start, end = str(max(from_ms, 0)), str(max(to_ms, 0))
        while True:
            page = await self.link.ask("XRANGE", stream, start, end, "COUNT", _PAGE, within=_left(deadline))
            for _, (_, decision_id, _, record) in page:
                if decision_id == wanted:
                    return bytes(record)
            if len(page) < _PAGE:
                return None
            start = f"({page[-1][0].decode()}"

    def _send(self, connection: Connection, commit: Commit, version: bytes) -> asyncio.Future[Reply]:
        return connection.call_packed(self._packed(commit, version))

    def _packed(self, commit: Commit, version: bytes) -> bytes:
        """The command as Redis reads it: an array of nine strings, or more, each with its length in front."""
        state, request, ticket, streams = self.layout.commit_keys(
            commit.customer_id, commit.request[0] if commit.request else b""
        )
        argument = pack(commit, version, self.clock_offset_us)
        script = self._evalsha
        if commit.ids:
            script = self._evalsha_events
            streams += self.layout.event_keys(commit.customer_id, commit.now_us // DAY_US)
        if commit.takes:
            script = self._evalsha_with((8 if commit.ids else 5) + len(commit.takes))
            streams += self.layout.account_keys(commit.customer_id, [period for period, _ in commit.takes])
        return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b$%d\r\n%b\r\n" % (
            script, len(state), state, len(request), request, len(ticket), ticket, streams,
            len(argument), argument,
        )  # fmt: skip

    def _evalsha_with(self, keys: int) -> bytes:
        count = b"%d" % keys
        parts = (keys + 4, self._sha, len(count), count)
        return b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$%d\r\n%b\r\n" % parts

    def _understood(self, error: RedisReplyError, connection: Connection) -> StoreError:
        if isinstance(error, ReadOnly):
            self.link.turn_away(connection)
        if lacks_right(error):
            self.no_right = str(error)
        if error.reply_code == "CORRUPT":
            return CorruptState(str(error))
        return ScriptFailed(str(error)) if may_have_written(error) else error


def _left(deadline: float) -> float:
    return deadline - monotonic()
