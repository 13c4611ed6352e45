"""Real redis-servers for the tests in here: one on a unix socket, one on TCP with a password."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest

from features.budgets import Budgets
from features.keys import Layout, open_layout
from features.ledger import SCRIPT, Ledger
from features.link import Link
from features.opening import open_store
from features.redis_binary import find_binary
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from tests.features.on_tcp import start_on_tcp

PASSWORD = "p@ss/word: 1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def unix_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def tcp_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, port = start_on_tcp(find_binary(), tmp_path_factory.mktemp("tcp"), "--requirepass", PASSWORD)
    yield f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/2"
    process.terminate()
    process.wait()


@pytest.fixture(params=["unix", "tcp"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """Everything that takes this runs against both."""
    return str(request.getfixturevalue(f"{request.param}_redis"))


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    """A link to an empty Redis."""
    link = Link(redis_url)
    await link.ask("FLUSHALL", within=5)
    yield link
    await link.close()


@pytest.fixture
async def layout(link: Link) -> Layout:
    return await open_layout(link)


@pytest.fixture
def ledger(link: Link, layout: Layout) -> Ledger:
    """With a minute of patience for clocks, as a busy machine may hold a test up for longer than 250 ms."""
    script = SCRIPT.replace(b"MOST_CLOCK_ERROR_US = 250000", b"MOST_CLOCK_ERROR_US = 60000000")
    assert script != SCRIPT
    return Ledger(link, layout, script=script)


@pytest.fixture
def strict_ledger(link: Link, layout: Layout) -> Ledger:
    """As it is."""
    return Ledger(link, layout)


@pytest.fixture
async def store(unix_redis: str) -> AsyncIterator[CustomerStore]:
    """On an empty Redis."""
    store = await open_store(unix_redis)
    await store.ledger.link.ask("FLUSHALL", within=5)
    yield store
    await store.ledger.link.close()


@pytest.fixture
def budgets(link: Link, layout: Layout) -> Budgets:
    return Budgets(link, layout)
