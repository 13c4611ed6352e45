"""A real redis-server with records in its streams, and a data directory to archive them in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from archive.running import Place
from features import redis_probe
from features.keys import Layout, open_layout
from features.ledger import Ledger
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from tests.archive.filled import Filled
from tests.archive.streams import Streams


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("archived")) as running:
        yield running


@pytest.fixture
def place(server: EmbeddedRedis, tmp_path: Path) -> Place:
    """An empty Redis, and no archive yet."""
    redis_probe.ask(server.socket_path, "FLUSHALL")
    return Place(server.url, tmp_path)


@pytest.fixture
async def link(place: Place) -> AsyncIterator[Link]:
    link = Link(place.url)
    yield link
    await link.close()


@pytest.fixture
async def layout(link: Link) -> Layout:
    return await open_layout(link)


@pytest.fixture
async def ledger(place: Place) -> AsyncIterator[Ledger]:
    """Of a service that runs on it."""
    store = await open_store(place.url, keep_clock=False)
    yield store.ledger
    await store.ledger.link.close()


@pytest.fixture
async def streams(link: Link, layout: Layout) -> Streams:
    return Streams(link, layout)


@pytest.fixture
def filled(streams: Streams, layout: Layout, place: Place) -> Filled:
    return Filled(streams, layout, place.data)
