"""Servers that the tests in here share. Each test uses customers of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from features.redis_server import EmbeddedRedis
from tests.api.serving import EVENTS_CATALOG, Send, Server, serving, settings
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
def server(redis: EmbeddedRedis, data: Path, http: str) -> Iterator[Server]:
    """Without keys."""
    with serving(settings(redis_url=redis.url, data=data), http) as running:
        yield running


@pytest.fixture(scope="session")
def keyed(redis: EmbeddedRedis, data: Path, http: str) -> Iterator[Server]:
    """With the keys above."""
    keys = ", ".join(f"{sha256(KEYS[name].encode()).hexdigest()}:{SCOPES[name]}:{name}" for name in KEYS)
    with serving(settings(redis_url=redis.url, data=data, api_keys=keys), http) as running:
        yield running


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory, http: str) -> Iterator[Server]:
    """Without keys, by a catalog that declares events."""
    data = tmp_path_factory.mktemp("events")
    with EmbeddedRedis.start(data) as own:
        with serving(settings(redis_url=own.url, catalog=EVENTS_CATALOG), http) as running:
            yield running
        made_again_under(data)


@pytest.fixture(scope="session")
def client(server: Server) -> httpx.Client:
    return server.client


@pytest.fixture
def send(events: Server) -> Send:
    """Posts to /events; underscores in names of headers are hyphens."""

    def send(body: object, media_type: str = "application/json", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return events.client.post("/events", content=content, headers={"content-type": media_type} | told)

    return send


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
