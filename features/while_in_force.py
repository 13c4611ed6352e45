"""A command that commits is one of the workers, for as long as the catalog it decides by is in force.

It enters itself as a service does, and decides on a LeasedStore, so a reload waits for it (features.workers says why
nothing slips through). But it doesn't follow: who began it named the catalog. When the pointer has moved, no other
customer is begun, what is under way ends, and then the entry is struck out, through the connection that the commits
went through, and so behind them. From then on the reload goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from secrets import token_hex

from features.catalogs import NOTHING, CatalogStore
from features.errors import StoreError
from features.link import Link
from features.rounds import Rounds
from features.workers import ENTER_EVERY, LOOK_EVERY, Entry, Lease, Workers


class WhileInForce:
    """`moved` says that another catalog is in force by now, `cut_short` that customers were left out because of it."""

    def __init__(self, link: Link, lease: Lease, digest: str) -> None:
        self.moved = False
        self.cut_short = False
        self._catalogs = CatalogStore(link)
        self._workers = Workers(link)
        self._lease = lease
        self._digest = digest
        self._name = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)} (tino decide)"
        self._pointer = NOTHING
        self._entered = -ENTER_EVERY

    @contextlib.asynccontextmanager
    async def entered(self) -> AsyncIterator[WhileInForce]:
        """Among the workers until the block ends, in which nothing may be left under way. Raises StoreError."""
        looking: asyncio.Task[None] | None = None
        try:
            await self._look()
            looking = asyncio.create_task(Rounds("looking which catalog is in force", self._look, LOOK_EVERY).go())
            yield self
        finally:
            if looking is not None:
                looking.cancel()  # first, as it would enter again
                await asyncio.gather(looking, return_exceptions=True)
            with contextlib.suppress(StoreError):  # it runs out by itself
                await self._workers.leave(self._name)

    async def each(self, customers: AsyncIterator[str]) -> AsyncIterator[str]:
        """Those of `customers` that come before the pointer has moved. Raises StoreError."""
        async for customer_id in customers:
            if self._lease.over:  # the machine slept, say: better than to pass over customers until the next round
                await self._look()
            if self.moved:
                self.cut_short = True
                return
            yield customer_id

    async def _look(self) -> None:
        """Whether the catalog is in force; entering before, if it is time."""
        if self.moved:
            return  # what is under way has the rest of the lease
        sent = self._lease.now()
        entering = self._lease.over or sent - self._entered >= ENTER_EVERY
        if entering:
            await self._enter(sent)
        pointer = await self._catalogs.in_force()
        if pointer.digest != self._digest:
            self.moved = True
            return
        if entering:
            self._lease.renew(sent)
        if pointer != self._pointer:
            self._pointer = pointer
            await self._enter(sent)  # the same catalog, confirmed again

    async def _enter(self, sent: float) -> None:
        await self._workers.enter(self._name, Entry(self._pointer.epoch, self._digest))
        self._entered = sent
