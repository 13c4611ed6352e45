"""A real redis-server, empty before each test; what was decided there is made again when the test is over."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from features.link import Link
from features.redis_server import EmbeddedRedis
from tests.channels.desk import Desk, desk_at
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
async def url(redis_url: str, tmp_path: Path) -> AsyncIterator[str]:
    link = Link(redis_url)
    await link.ask("FLUSHALL", within=5)
    await link.close()
    yield redis_url
    await all_made_again(redis_url, tmp_path, LOADED.values())


At = Callable[[str], AbstractAsyncContextManager[Desk]]


@pytest.fixture
def at(url: str, tmp_path: Path) -> At:
    """Opens a desk at a time."""
    return partial(desk_at, url, file=tmp_path / "sent.jsonl")
