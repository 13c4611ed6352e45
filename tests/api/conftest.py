"""Servers that the tests in here share. Each test uses customers of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from features.redis_server import EmbeddedRedis
from tests.api.serving import Server, serving, settings
from tests.decision.plans import LOADED
from tests.replayed import made_again, made_again_under

KEYS = {name: f"{name}-key-of-the-tests" for name in ("decide", "ingest", "admin", "shop")}
SCOPES = {"decide": "decide", "ingest": "ingest", "admin": "admin", "shop": "decide+ingest"}
_numbers = itertools.count()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="session")
def redis(data: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(data) as server:
        yield server
        made_again(server.url, data, LOADED.values())


@pytest.fixture(autouse=True)
def _made_again(tmp_path: Path) -> Iterator[None]:
    """What a test's own services decided, too."""
    yield
    made_again_under(tmp_path)


@pytest.fixture(scope="session", params=["httptools", "api.express:ExpressProtocol"], ids=["plain", "express"])
def http(request: pytest.FixtureRequest) -> str:
    """Both ways to serve: whatever is asked, the answer is the same."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(redis: EmbeddedRedis, http: str) -> Iterator[Server]:
    """Without keys."""
    with serving(settings(redis_url=redis.url), http) as running:
        yield running


@pytest.fixture(scope="session")
def keyed(redis: EmbeddedRedis, http: str) -> Iterator[Server]:
    """With the keys above."""
    keys = ", ".join(f"{sha256(KEYS[name].encode()).hexdigest()}:{SCOPES[name]}:{name}" for name in KEYS)
    with serving(settings(redis_url=redis.url, api_keys=keys), http) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> httpx.Client:
    return server.client


@pytest.fixture
def customer_id() -> str:
    return f"customer-{next(_numbers)}"


@pytest.fixture
def put(client: httpx.Client, customer_id: str) -> Callable[..., httpx.Response]:
    """States the test's customer."""

    def put(**body: object) -> httpx.Response:
        response = client.put(f"/customers/{customer_id}", json=body)
        assert response.status_code == 200, response.text
        return response

    return put
