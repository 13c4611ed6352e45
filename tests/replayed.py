"""What the services under test decided is decided again, from the records they left, before those are gone.

Fixtures call this when their tests are over; a decision that comes out otherwise fails the run. It goes the way of
`tino replay --since`, with the catalogs that lie in Redis beside the records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from archive.again import replay_period
from archive.running import Place
from catalog.bundle import bundle_of
from catalog.loading import LoadedCatalog
from features.catalogs import CatalogStore
from features.keys import META, Layout
from features.link import Link
from features.redis_server import EmbeddedRedis

MOST_SHOWN = 10
PATIENCE = 60.0
MADE_AGAIN: list[int] = []
"""How many decisions each Redis had, in this run."""


def made_again(url: str, data: Path, catalogs: Iterable[LoadedCatalog] = ()) -> int:
    """Every decision in this Redis and in the archive under `data`, if it has one; how many those were.

    `catalogs` are those that decisions were made by and nobody has put into Redis. Raises AssertionError.
    """
    return asyncio.run(all_made_again(url, data, catalogs))


async def all_made_again(url: str, data: Path, catalogs: Iterable[LoadedCatalog] = ()) -> int:
    """For callers in an event loop; see `made_again`."""
    partitions, recorded = await _recorded(url, catalogs)
    if not recorded and not (data / "archive").exists():
        return 0
    lines: list[str] = []
    tally = await replay_period(Place(url, data, partitions), 0, None, lines.append)
    assert tally.sound, "\n".join([str(tally), *lines[:MOST_SHOWN]])
    assert tally.total >= recorded, f"of {recorded} records in the streams only {tally.total} were found"
    MADE_AGAIN.append(tally.total)
    return tally.total


def made_again_under(folder: Path, catalogs: Iterable[LoadedCatalog] = ()) -> int:
    """As `made_again`, for every data directory that lies somewhere in this folder, whoever left it there."""
    catalogs, total = list(catalogs), 0
    for lock in sorted(folder.rglob("redis/serving.lock")):
        data = lock.parents[1]
        with EmbeddedRedis.start(data) as server:
            total += made_again(server.url, data, catalogs)
    return total


async def _recorded(url: str, catalogs: Iterable[LoadedCatalog]) -> tuple[int, int]:
    """The number of partitions and of records in their streams. The catalogs are put where replay looks for them."""
    link = Link(url)
    try:
        partitions = int(await link.ask("HGET", META, "partitions", within=PATIENCE) or 0)
        streams = [Layout(partitions).decisions(number) for number in range(partitions)]
        recorded = sum([await link.ask("XLEN", stream, within=PATIENCE) for stream in streams])
        for loaded in catalogs if recorded else ():
            await CatalogStore(link).keep(loaded.digest, bundle_of(loaded))
        return partitions, recorded
    finally:
        await link.close()
