"""The plan in force, for somebody who serves no requests: looked up before each use, built anew when it has changed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from catalog.building import build_plan
from catalog.bundle import load_bundle, unpack
from catalog.plan import Plan
from features.catalogs import CatalogStore


class NothingInForceError(ValueError):
    """No catalog is in force in this Redis, so nobody can say what may be sent."""


class LostInForceError(NothingInForceError):
    """An earlier catalog is in force than before: Redis has lost something, and workers will tell it again."""


class InForcePlan:
    """Like a worker's, its catalog never goes back to an earlier move of the pointer.

    Where Redis has lost that, as when an older copy of it was restored, nobody knows what is in force until a worker
    has told it.
    """

    def __init__(self, catalogs: CatalogStore) -> None:
        self._catalogs = catalogs
        self._plan: Plan | None = None
        self._building = asyncio.Lock()
        self._epoch = 0

    @property
    def plan(self) -> Plan:
        """As of the last look."""
        if self._plan is None:
            raise RuntimeError("nobody has looked which catalog is in force")
        return self._plan

    async def look(self) -> bool:
        """Whether there is another one than there was. Many may look at once, and it is built once. Raises
        NothingInForceError, BundleError, StoreError, OSError.
        """
        if self._is(await self._pointed_at()):
            return False
        async with self._building:
            digest = await self._pointed_at()  # after whoever was here before: what they have found is no later
            if not self._is(digest):
                self._plan = await self._made(digest)
        return True

    def _is(self, digest: str) -> bool:
        return self._plan is not None and self._plan.digest == digest

    async def _pointed_at(self) -> str:
        pointer = await self._catalogs.in_force()
        if not pointer.digest:
            raise NothingInForceError("no catalog is in force here: nothing has been served or decided by one yet")
        if pointer.epoch < self._epoch:
            raise LostInForceError(
                "Redis has lost which catalog is in force: nothing is sent until a worker that serves it has told it "
                "again, or this deliverer is started anew"
            )
        self._epoch = pointer.epoch
        return pointer.digest

    async def _made(self, digest: str) -> Plan:
        packed = await self._catalogs.packed(digest)
        return await asyncio.to_thread(_built, packed, digest)


def _built(packed: bytes, digest: str) -> Plan:
    with tempfile.TemporaryDirectory(prefix="tino-catalog-") as folder:
        return build_plan(load_bundle(unpack(packed), digest, Path(folder)))
