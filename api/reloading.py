"""A worker and the catalog in force: it joins with one, follows when the pointer moves, and says what it serves.

Five times a second the worker looks at the pointer, and at the clock of the data, which may have been set ahead; once a
second it renews its entry among the workers. When the pointer has moved, the new plan is built in a thread, put in the
place of the old one between two decisions, and confirmed when every decision that began with the old one has ended: the
entry that confirms goes through the same connection as their commits, and so comes after them. From then on nothing is
decided by the old catalog any more.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from api.making import Made, made_beside_the_loop, made_of, made_of_packed
from catalog.bundle import BundleError, bundle_of, pack
from catalog.loading import LoadedCatalog
from catalog.plan import Plan
from decision.engine import Engine
from features.catalogs import NOTHING, CatalogStore, Pointer
from features.clock_following import follow_clock
from features.customer import moment
from features.errors import StoreError
from features.link import Link
from features.replacing import gone_by, refuse_another_name
from features.rounds import Rounds
from features.workers import ENTER_EVERY, LOOK_EVERY, Entry, Lease, Workers
from models.errors import ModelError

_log = structlog.get_logger("tino.reloading")
Told = Callable[[Plan], None]


class Following:
    """One worker's way to the catalog in force. `told` hears of each plan that is served from then on."""

    def __init__(self, catalogs: CatalogStore, workers: Workers, lease: Lease, told: Told) -> None:
        self._catalogs = catalogs
        self._workers = workers
        self._lease = lease
        self._told = told
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._temporary = tempfile.TemporaryDirectory(prefix="tino-catalog-")
        self._folder = Path(self._temporary.name)
        self._served = NOTHING
        self._packed = b""
        self._made: dict[str, Made] = {}  # of the one served and the one before, to which a failed reload returns
        self._refused = Entry(0, "")
        self._entered = -ENTER_EVERY
        self._switching: asyncio.Task[None] | None = None
        self._rounds: Rounds | None = None

    @property
    def trouble(self) -> str:
        """Why requests had better go to another worker; empty if there is no reason."""
        if self._refused.refused:
            return f"The catalog in force can't be served here: {self._refused.reason}."
        if self._rounds is not None and self._rounds.trouble:
            return f"Which catalog is in force can't be followed: {self._rounds.trouble}."
        return "Which catalog is in force is not known." if self._lease.over else ""

    async def join(self, own: LoadedCatalog | None, *, replace: bool = False) -> Made:
        """What to begin with, confirmed: the catalog in force.

        That is `own` when there is none yet, or nobody else serves one; one of another name than the one that is there
        only with `replace`. Raises AnotherName, StoreError, BundleError, ModelError, OSError; ValueError when nothing
        is in force and there is no catalog of its own.
        """
        pointer = await self._agree(own, replace)
        while self._lease.over:
            if own is not None and own.digest == pointer.digest:
                packed = await asyncio.to_thread(_packed, own)
                await self._catalogs.keep_packed(own.digest, packed)
                made = await asyncio.to_thread(made_of, own)
            else:
                packed = await self._catalogs.packed(pointer.digest)
                made = await asyncio.to_thread(made_of_packed, packed, pointer.digest, self._folder)
            self._serves(pointer, made, packed)
            pointer = await self._look()
        return made

    async def follow(self, engine: Engine) -> None:
        """Runs until cancelled."""

        async def once() -> None:
            if await follow_clock(engine.store):
                _log.info("the clock was set", stands=moment(engine.store.clock.now()).isoformat())
            pointer = await self._look()
            if pointer != self._served and pointer.epoch != self._refused.refused and self._switching is None:
                self._switching = asyncio.create_task(self._switch(engine, pointer))

        # Where it fails, for whatever reason, the lease runs out: from then on nothing is decided here.
        self._rounds = Rounds("following the catalog in force", once, LOOK_EVERY)
        await self._rounds.go()

    async def leave(self) -> None:
        """Nobody is to wait for this worker any more."""
        if self._switching is not None:
            self._switching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._switching
        with contextlib.suppress(StoreError):
            await self._workers.leave(self._name)
        self._temporary.cleanup()

    async def _agree(self, own: LoadedCatalog | None, replace: bool) -> Pointer:
        pointer = await self._catalogs.in_force()
        if own is None:
            if pointer == NOTHING:
                raise ValueError(
                    "no catalog is in force in this Redis yet: start a worker with one, or `tino reload` one"
                )
            return pointer
        if pointer.digest == own.digest:
            return pointer
        if pointer == NOTHING or not await self._workers.present():
            if pointer != NOTHING:
                if not replace:
                    await refuse_another_name(self._catalogs, own.spec.name, pointer)
                _log.warning("nobody serves the catalog in force, and this one takes its place", before=pointer.digest)
                for sentence in await gone_by(self._catalogs, await asyncio.to_thread(bundle_of, own), pointer):
                    _log.warning(sentence)
            await self._catalogs.keep_packed(own.digest, await asyncio.to_thread(_packed, own))
            return await self._catalogs.put_in_force(own.digest, pointer) or await self._catalogs.in_force()
        _log.warning(
            "others serve another catalog, which stays in force: `tino reload` changes it",
            catalog=own.digest,
            name=own.spec.name,
            in_force=await self._catalogs.name_of(pointer.digest),
        )
        return pointer

    async def _look(self) -> Pointer:
        """The pointer; entering before, if it is time, and bringing back what Redis has lost. Raises StoreError."""
        over, sent = self._lease.over, self._lease.now()
        entering = over or sent - self._entered >= ENTER_EVERY
        if entering:
            await self._enter()
        pointer = await self._catalogs.in_force()
        if pointer.epoch < self._served.epoch:
            _log.warning("Redis has lost which catalog is in force, and is told again", catalog=self._served.digest)
            await self._enter()  # it will have lost who is there, too
            await self._catalogs.restore(self._served, self._packed)
            pointer = await self._catalogs.in_force()
        # Whoever was there all the time is waited for, whatever the pointer says.
        if entering and (pointer == self._served or not (over or self._lease.over)):
            self._lease.renew(sent)
        return pointer

    async def _enter(self) -> None:
        entry = Entry(self._served.epoch, self._served.digest, self._refused.refused, self._refused.reason)
        sent = self._lease.now()
        await self._workers.enter(self._name, entry)
        self._entered = sent

    async def _switch(self, engine: Engine, pointer: Pointer) -> None:
        before = engine.plan.name
        try:
            packed, made = self._packed, self._made.get(pointer.digest)
            if pointer.digest != self._served.digest:
                packed = await self._catalogs.packed(pointer.digest)
            if made is None:
                made = await made_beside_the_loop(packed, pointer.digest, self._folder)
            await engine.replace(*made)
            self._serves(pointer, made, packed)
            if made.plan.name == before:
                _log.info("another catalog is served", catalog=pointer.digest, epoch=pointer.epoch)
            else:
                _log.warning(
                    "a catalog of another name is served", catalog=pointer.digest, name=made.plan.name, before=before
                )
        except StoreError as error:
            _log.warning("the catalog in force can't be read yet", catalog=pointer.digest, error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the catalog that is served goes on
            reason = str(error) if isinstance(error, BundleError | ModelError | OSError) else repr(error)
            _log.error("the catalog in force can't be served", catalog=pointer.digest, error=reason)
            self._refused = Entry(0, "", pointer.epoch, reason)
        finally:
            self._switching = None
        with contextlib.suppress(StoreError):
            await self._enter()

    def _serves(self, pointer: Pointer, made: Made, packed: bytes) -> None:
        before = self._made.pop(self._served.digest, None)
        self._made = {} if before is None else {self._served.digest: before}
        self._made[pointer.digest] = made
        self._served, self._packed = pointer, packed
        self._refused = Entry(0, "")
        self._told(made.plan)


async def refuse_to_take_over(url: str, own: LoadedCatalog) -> None:
    """Raises AnotherName where `join` would, StoreError. Here nothing has been changed yet, the clock included."""
    link = Link(url)
    try:
        if not await Workers(link).present():
            catalogs = CatalogStore(link)
            await refuse_another_name(catalogs, own.spec.name, await catalogs.in_force())
    finally:
        await link.close()


def _packed(catalog: LoadedCatalog) -> bytes:
    return pack(bundle_of(catalog))
