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


class InForcePlan:
    """`otherwise` is what to go by as long as nothing is in force, as where only `tino decide` has decided."""

    def __init__(self, catalogs: CatalogStore, otherwise: Plan | None = None) -> None:
        self._catalogs = catalogs
        self._otherwise = otherwise
        self._plan: Plan | None = None

    @property
    def plan(self) -> Plan:
        """As of the last look."""
        if self._plan is None:
            raise RuntimeError("nobody has looked which catalog is in force")
        return self._plan

    async def look(self) -> bool:
        """Whether there is another one now. Raises NothingInForceError, BundleError, StoreError, OSError."""
        pointer = await self._catalogs.in_force()
        if not pointer.digest and self._otherwise is not None:
            changed, self._plan = self._plan is not self._otherwise, self._otherwise
            return changed
        if not pointer.digest:
            raise NothingInForceError("no catalog is in force here: start a service with one, or name one, --catalog")
        if self._plan is not None and self._plan.digest == pointer.digest:
            return False
        packed = await self._catalogs.packed(pointer.digest)
        self._plan = await asyncio.to_thread(_built, packed, pointer.digest)
        return True


def _built(packed: bytes, digest: str) -> Plan:
    with tempfile.TemporaryDirectory(prefix="tino-catalog-") as folder:
        return build_plan(load_bundle(unpack(packed), digest, Path(folder)))
