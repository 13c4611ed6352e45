"""Bodies that don't come, or not in time, and clients that leave before they are done."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from features.redis_server import EmbeddedRedis
from tests.api.serving import PATIENCE, Server, serving, settings

NEXT_ACTION = b"POST /next-action HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CUSTOMER = b"PUT /customers/slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: 40\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
STARTED = {
    "no byte": NEXT_ACTION + LENGTH,
    "one byte": NEXT_ACTION + LENGTH + b"{",
    "no chunk": NEXT_ACTION + CHUNKED,
    "one chunk": NEXT_ACTION + CHUNKED + b"1\r\n{\r\n",
    "a customer, no byte": CUSTOMER + LENGTH,
    "a customer, one byte": CUSTOMER + LENGTH + b"{",
}


@pytest.fixture(scope="module")
def hasty(redis: EmbeddedRedis, http: str) -> Iterator[Server]:
    """Waits a tenth of a second for a body."""
    with serving(settings(redis_url=redis.url), http) as server:
        server.client.get("/livez")
        worker = server.service._worker
        assert worker is not None
        worker.body_seconds = 0.1
        yield server


@pytest.mark.parametrize("name", STARTED)
def test_a_body_that_does_not_come_is_not_waited_for(hasty: Server, name: str) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=PATIENCE) as connection:
        connection.sendall(STARTED[name])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


@pytest.mark.parametrize("name", STARTED)
def test_who_leaves_early_is_no_error_of_ours(server: Server, name: str) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(STARTED[name])
    assert server.ask(customer_id="after")["status"]
    assert 'code="internal"' not in server.client.get("/metrics").text
