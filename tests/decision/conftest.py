"""A real redis-server, and stores on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from features.keys import open_layout
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from tests.decision.plans import LOADED
from tests.replayed import all_made_again


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def store(redis_url: str, tmp_path: Path) -> AsyncIterator[CustomerStore]:
    """On an empty Redis. What is decided there is made again when the test is over."""
    store = await open_store(redis_url)
    await store.ledger.link.ask("FLUSHALL", within=5)
    await open_layout(store.ledger.link)  # without it nothing would be found to be made again
    yield store
    await store.ledger.link.close()
    await all_made_again(redis_url, tmp_path, LOADED.values())
