"""Real redis-servers for the tests in here: one on a unix socket, one on TCP with a password."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from features.keys import Layout, open_layout
from features.ledger import SCRIPT, Ledger
from features.link import Link
from features.redis_binary import find_binary
from features.redis_server import EmbeddedRedis

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
    process, port = _start_on_tcp(tmp_path_factory.mktemp("tcp"))
    yield f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/2"
    process.terminate()
    process.wait()


def _start_on_tcp(directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    # redis-server cannot let the system choose: between asking for a free port and using it another may take it.
    for _ in range(10):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = f"--port {port} --bind 127.0.0.1 --appendonly yes --dir {directory} --logfile {directory}/log".split()
        process = subprocess.Popen([find_binary(), *words, "--save", "", "--requirepass", PASSWORD])
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return process, port
    raise RuntimeError(f"no redis-server on TCP: {(directory / 'log').read_text()}")


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
