"""Deciding recorded decisions again, with the catalogs and models that they were made by.

`python -m archive.replaying` does it for one decision in a process of its own: loading an old catalog takes seconds in
which a worker would answer nobody.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import orjson

from archive.records import Records
from archive.running import Place
from catalog.building import build_plan
from catalog.bundle import BundleError
from catalog.plan import Plan
from decision.record import Record, RecordError, as_data, read_record
from decision.replay import Difference, ReplayError, replay
from features.catalogs import CatalogStore
from features.errors import StoreError
from features.opening import open_store
from models.errors import ModelError
from models.scoring import Models

MOST_PLANS = 8  # kept at a time: decisions of a period were made by few catalogs
NICE = 10
OPTIONS = orjson.OPT_UTC_Z
STORE_AWAY = 3  # what the process ends with when Redis is not up to it


@dataclass(frozen=True, slots=True)
class Replayed:
    """`record` is None where it can't be read, `plan`, which it was made by, where that can't; `trouble` says why a
    decision could not be made again.
    """

    record: Record | None
    differences: tuple[Difference, ...] = ()
    trouble: str | None = None
    plan: Plan | None = None

    @property
    def identical(self) -> bool:
        return self.trouble is None and not self.differences

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "identical": self.identical,
            "differences": [difference._asdict() for difference in self.differences],
            "trouble": self.trouble,
        }


class Replaying:
    """Use as a context: models of old catalogs are unpacked to a temporary folder."""

    def __init__(self, catalogs: CatalogStore) -> None:
        self._catalogs = catalogs
        self._folder = tempfile.TemporaryDirectory(prefix="tino-replay-")
        self._plans: dict[str, tuple[Plan, Models]] = {}

    def __enter__(self) -> Replaying:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    async def again(self, body: bytes) -> Replayed:
        """Raises StoreError."""
        try:
            record = read_record(body)
        except RecordError as error:
            return Replayed(None, trouble=str(error))
        try:
            plan, models = await self._by(record.catalog)
        except (BundleError, ModelError) as error:
            return Replayed(record, trouble=str(error))
        try:
            return Replayed(record, tuple(replay(plan, record, models)), plan=plan)
        except ReplayError as error:
            return Replayed(record, trouble=str(error))
        except Exception as error:  # noqa: BLE001 - a damaged record may hold anything, and the others are to be heard
            return Replayed(record, trouble=f"deciding again failed: {error!r}")

    async def _by(self, digest: str) -> tuple[Plan, Models]:
        known = self._plans.get(digest)
        if known is None:
            plan = build_plan(await self._catalogs.load(digest, Path(self._folder.name)))
            known = plan, Models(plan)
            if len(self._plans) >= MOST_PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[digest] = known
        return known


class Wanted(msgspec.Struct, frozen=True):
    """One decision to be made again, and where its record is."""

    place: Place
    decision_id: str


async def found_and_made_again(wanted: Wanted) -> bytes:
    """JSON: the decision's record spelled out and what replaying it gave, or null where there is no record.

    Raises StoreError, ValueError, OSError.
    """
    place = wanted.place
    store = await open_store(place.url, partitions=place.partitions, keep_clock=False)
    try:
        body = await Records(store.ledger, place.data).find(wanted.decision_id)
        if body is None:
            return b"null"
        with Replaying(CatalogStore(store.ledger.link)) as replaying:
            replayed = await replaying.again(body)
        return orjson.dumps({"decision": _spelled(replayed), "replay": replayed.as_data()}, option=OPTIONS)
    finally:
        await store.ledger.link.close()


def _spelled(replayed: Replayed) -> dict[str, Any] | None:
    """None where it can't be: replaying it has said why."""
    try:
        return None if replayed.record is None else as_data(replayed.record, replayed.plan)
    except ValueError:
        return None


def main() -> None:
    """Reads a Wanted as JSON from standard input. Those who are served at the same time come first."""
    os.nice(NICE)
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted, dec_hook=lambda kind, text: kind(text))
    try:
        told = asyncio.run(found_and_made_again(wanted))
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(STORE_AWAY)
    sys.stdout.buffer.write(told)


if __name__ == "__main__":
    main()
