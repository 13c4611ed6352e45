"""One real redis-server, emptied for every test, and four worker processes that live as long as the tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.loading import LoadedCatalog, load_catalog
from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.exactness.crew import Crew
from tests.replayed import made_again, made_again_under

MOST_WORKERS = 4


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("exactness")) as running:
        yield running


@pytest.fixture
def url(server: EmbeddedRedis, tmp_path: Path) -> Iterator[str]:
    """Of an empty Redis. What is decided there is made again when the test is over."""
    redis_probe.ask(server.socket_path, "FLUSHALL")
    yield server.url
    made_again(server.url, tmp_path, written(tmp_path))


@pytest.fixture(autouse=True)
def _made_again(tmp_path: Path) -> Iterator[None]:
    """What was decided on a Redis of the test's own, too."""
    yield
    made_again_under(tmp_path, written(tmp_path))


def written(folder: Path) -> list[LoadedCatalog]:
    """The test's catalog: its engines are given it and put it nowhere."""
    return [load_catalog(file) for file in folder.glob("catalog.yaml")]


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    with Crew.of(MOST_WORKERS) as workers:
        yield workers
