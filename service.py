"""The service: one worker, from its start to its end. `uvicorn service:app` runs it.

Start: settings, catalog, the private redis-server (unless REDIS_URL names another), store, a warm-up. What a person
has to put right (settings, catalog, a Redis laid out otherwise) ends the start with a sentence. A Redis that does not
answer yet is waited for, while the worker says that it isn't ready.
End: the server below has stopped accepting and finished what was in flight by then; the link to Redis is closed, and
the redis-server, if this worker started it, is stopped last.
"""

import asyncio
import gc
import os
from collections.abc import Mapping
from typing import Any

import structlog

from api.application import Api
from api.asgi import Receive, Scope, Send
from api.auth import Door, read_keys
from api.logs import configure_logs
from api.posted import Posted
from api.reloading import Following, refuse_to_take_over
from api.worker import Worker
from archive.running import Place
from catalog.diagnostics import CatalogError
from catalog.loading import LoadedCatalog, load_catalog
from decision.engine import Engine
from decision.request import NextActionRequest
from features.catalogs import CatalogStore
from features.errors import LayoutMismatch, Loading, NotConnected, StoreError, Uncertain
from features.opening import open_store, problems
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from features.workers import Lease, LeasedStore, Workers
from models.errors import ModelError
from settings import IN_FORCE, Settings, SettingsError, load_settings, unknown_variables

WARM_UP_DECISIONS = 3
WARM_UP_SECONDS = 1.0
OPEN_AGAIN_SECONDS = 0.5
_NOT_YET = (NotConnected, Uncertain, Loading)

_log = structlog.get_logger("tino.service")


class Service:
    """An ASGI application with its lifespan. Without `settings` the environment's are read at start."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._api: Api | None = None
        self._redis: EmbeddedRedis | None = None
        self._store: CustomerStore | None = None
        self._worker: Worker | None = None
        self._following: Following | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def express(self) -> Mapping[bytes, Posted[Any]]:
        """What answers at which path on the express way, for api.express; nothing before the start."""
        return {} if self._api is None else self._api.express

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._api is None:
            raise RuntimeError("the service was not started: run it with lifespan on")
        else:
            await self._api(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except (SettingsError, CatalogError, ModelError, StoreError, ValueError, OSError) as error:
            await self.stop()
            await send({"type": "lifespan.startup.failed", "message": f"Tino can't start: {error}"})
            return
        except Exception as error:  # noqa: BLE001 - the server below takes any for a missing lifespan, and would serve
            _log.exception("unexpected error at start")
            await self.stop()
            await send({"type": "lifespan.startup.failed", "message": f"Tino can't start: {error!r}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Raises SettingsError, CatalogError, ModelError, StoreError, ValueError, OSError; then `stop` clears up."""
        configure_logs()
        settings = self._settings or load_settings()
        for unknown, likely in unknown_variables(os.environ).items():
            _log.warning("a variable that is no setting", variable=unknown, likely=likely)
        door = Door(read_keys(settings.api_keys))
        if not door.keyed:
            _log.warning("no API keys are configured: only this machine is served")
        own = None if settings.served == IN_FORCE else load_catalog(settings.served)
        worker = Worker(
            door,
            seconds=settings.deadline_ms / 1000,
            body_limit=settings.body_limit,
            most_waiting=settings.most_waiting,
        )
        self._worker = worker
        url = settings.redis_url or await self._start_redis(settings)
        try:
            await self._open(worker, settings, own, url)
        except _NOT_YET as error:
            worker.waiting_for = f"Redis does not answer: {error}"
            _log.warning("waiting for Redis", error=str(error))
            self._tasks.append(asyncio.create_task(self._open_later(worker, settings, own, url)))
        self._tasks.append(asyncio.create_task(worker.metrics.keep_fresh()))
        self._api = Api(worker)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):  # some time ago; what is left to be closed is closed all the same
                _log.error("something this worker does beside answering had failed", exc_info=ended)
        self._tasks.clear()
        await self._close()
        if self._worker is not None:
            self._worker.metrics.leave()
        if self._redis is not None:
            await asyncio.to_thread(self._redis.stop)

    async def _start_redis(self, settings: Settings) -> str:
        self._redis = await asyncio.to_thread(EmbeddedRedis.start, settings.folder, appendfsync=settings.appendfsync)
        self._redis.guard(settings.folder, _log.error, appendfsync=settings.appendfsync)
        return self._redis.url

    async def _open(self, worker: Worker, settings: Settings, own: LoadedCatalog | None, url: str) -> None:
        if own is not None and settings.now is not None and not settings.replace_catalog:
            await refuse_to_take_over(url, own)  # a clock that was set for another's data can't be set back
        opened = await open_store(
            url,
            partitions=settings.partitions,
            cached_customers=settings.cached_customers,
            cached_bytes=settings.cached_bytes,
            now=settings.now,
        )
        lease, link = Lease(), opened.ledger.link
        self._store = store = LeasedStore(opened.ledger, opened.cache, opened.clock, lease)
        following = self._following = Following(CatalogStore(link), Workers(link), lease, worker.serves)
        try:
            for problem in await problems(opened):
                _log.warning("not to be relied on", problem=problem)
            made = await following.join(own, replace=settings.replace_catalog)
            engine = Engine(store, made.plan, models=made.models, most_in_line=settings.most_waiting // 2)
        except BaseException:
            await self._close()
            raise
        self._tasks.append(asyncio.create_task(following.follow(engine)))
        self._tasks.append(asyncio.create_task(engine.high_water.keep_looking(link)))
        await _warm_up(engine)
        worker.metrics.watch(store.cache, engine.high_water)
        worker.metrics.budgets.watch(engine)
        self._tasks.append(asyncio.create_task(worker.metrics.budgets.keep_fresh()))
        worker.following = following
        worker.place = Place(url, settings.folder, settings.partitions)
        worker.engine = engine

    async def _close(self) -> None:
        if self._following is not None:
            await self._following.leave()
            self._following = None
        if self._store is not None:
            await self._store.ledger.link.close()
            self._store = None

    async def _open_later(self, worker: Worker, settings: Settings, own: LoadedCatalog | None, url: str) -> None:
        while worker.engine is None:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            try:
                await self._open(worker, settings, own, url)
            except _NOT_YET as error:
                worker.waiting_for = f"Redis does not answer: {error}"
            except (LayoutMismatch, ModelError, ValueError, OSError) as error:
                worker.waiting_for = str(error)
                _log.error("this Redis can't be used", error=str(error))
                return
            except StoreError as error:  # a replica still, full, without some right: it may pass
                if worker.waiting_for != str(error):
                    _log.warning("this Redis can't be used yet", error=str(error))
                worker.waiting_for = str(error)
            except Exception as error:  # noqa: BLE001 - nobody waits for this task, who would see it
                worker.waiting_for = f"of an unexpected error, which was logged, it is not going to: {error!r}"
                _log.exception("unexpected error at start")
                return


async def _warm_up(engine: Engine) -> None:
    """Fills what is made on first use, and takes it out of the garbage collector's way."""
    for _ in range(WARM_UP_DECISIONS):
        request = NextActionRequest(customer_id="warm-up", channels=list(engine.plan.channels), dry_run=True)
        await engine.next_action(request, "warm-up", WARM_UP_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)  # nothing here makes cycles by the request


def create_app(settings: Settings) -> Service:
    return Service(settings)


app = Service()
