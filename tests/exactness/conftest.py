"""One real redis-server, emptied for every test, and four worker processes that live as long as the tests here."""

from collections.abc import Iterator

import pytest

from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.exactness.crew import Crew

MOST_WORKERS = 4


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("exactness")) as running:
        yield running


@pytest.fixture
def url(server: EmbeddedRedis) -> str:
    """Of an empty Redis."""
    redis_probe.ask(server.socket_path, "FLUSHALL")
    return server.url


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    with Crew.of(MOST_WORKERS) as workers:
        yield workers
