"""Which data a command works on, and the Redis that has it.

No command guesses: the data is named, by its folder or by the catalog whose it is, and each command says first which it
took. One that would send another service's messages, or count nothing and look as if there were nothing, does harm
that no error tells of.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from catalog.loading import LoadedCatalog
from commands import failing_plainly, say
from features import redis_probe
from features.address import parse_url
from features.catalogs import CatalogStore
from features.opening import open_store, problems
from features.redis_server import EmbeddedRedis, socket_for
from features.replacing import refuse_another_name
from features.store import CustomerStore
from settings import data_folder, load_settings, told, unknown_variables

MISUSED = 2  # the status of a command that wasn't told what it needs to be told, as of one with an unknown option


def data_of(catalog: Path | None, data: Path | None) -> Path:
    """The folder of the data: the one named, else that of the catalog. Says which, or ends the command."""
    if data is not None:
        found = data
    elif catalog is not None:
        found = data_folder(catalog)
    else:
        misused(
            "whose data? Name its folder, --data (or TINO_DATA), or the catalog whose it is, --catalog (or "
            "TINO_CATALOG): its folder is then in .data/, under the name of the catalog's file"
        )
    with failing_plainly():
        url = load_settings().redis_url
        folder = found.resolve()
        say.print(f"data: {folder}" if url is None else f"data: Redis at {parse_url(url)}, files in {folder}")
    for unknown, likely in unknown_variables(os.environ).items():
        say.print(f"tino: warning: {told(unknown, likely)}")
    return found


def misused(text: str) -> NoReturn:
    say.print(f"tino: {text}")
    raise typer.Exit(code=MISUSED)


def there(data: Path) -> bool:
    """Whether there is data in the folder, or elsewhere in a Redis of its own."""
    with failing_plainly():
        return load_settings().redis_url is not None or (data / "redis").is_dir()


@contextmanager
def redis_at(data: Path) -> Iterator[str]:
    """The Redis to use: REDIS_URL, else a private one under `data`."""
    with failing_plainly():
        settings = load_settings()
        if settings.redis_url is None:
            server = EmbeddedRedis.start(data, appendfsync=settings.appendfsync)
            server.guard(data, say.print, appendfsync=settings.appendfsync)
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def redis_of(data: Path) -> Iterator[str]:
    """As `redis_at`, but for data that is there already; ends the command where none is."""
    if not there(data):
        misused(f"there is no data in {data.resolve()}: give the --data (or TINO_DATA) that `tino serve` has")
    with redis_at(data) as url:
        yield url


def running_redis(data: Path) -> str:
    """REDIS_URL, else the private one that runs on `data`. Raises ValueError where none does."""
    given = load_settings().redis_url
    if given is not None:
        return given
    path = socket_for(data)
    if not redis_probe.answers(path):
        raise ValueError(
            f"nothing is served from {data}: no redis-server runs there. Give the --data (or TINO_DATA) that "
            "`tino serve` has, or REDIS_URL"
        )
    return f"unix://{path}"


@asynccontextmanager
async def opened_store(url: str, now: str | None, *, keep_clock: bool = True) -> AsyncIterator[CustomerStore]:
    async with looked_into(url, now, keep_clock=keep_clock) as store:
        for problem in await problems(store):
            say.print(f"tino: warning: {problem}")
        yield store


@asynccontextmanager
async def looked_into(url: str, now: str | None = None, *, keep_clock: bool = False) -> AsyncIterator[CustomerStore]:
    """The store, without a word of what speaks against it: for a look before anything is changed."""
    store = await open_store(url, partitions=load_settings().partitions, now=now, keep_clock=keep_clock)
    try:
        yield store
    finally:
        await store.ledger.link.close()


async def refuse_strangers(url: str, loaded: LoadedCatalog) -> None:
    """Raises AnotherName if this data goes by a catalog of another name; then nothing has been changed. StoreError."""
    async with looked_into(url) as store:
        catalogs = CatalogStore(store.ledger.link)
        await refuse_another_name(catalogs, loaded.spec.name, await catalogs.in_force())
