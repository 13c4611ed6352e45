"""What happens at the edges of the service: its own errors, slow and leaving clients, its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest
import structlog

from api.application import Api
from api.auth import Door
from api.bodies import Disconnected, read_body
from api.next_action import Admitted, NextAction
from api.problems import Problem
from api.worker import Worker
from decision.engine import Engine
from tests.api.serving import problem, serving, settings

HALF_A_REQUEST = (
    b"POST /next-action HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n"
    b'{"customer_id":'
)
THE_OTHER_HALF = b' "ada"}'


def call(application: Callable[..., Any], *requests: tuple[str, str, dict[str, object]]) -> list[httpx.Response]:
    async def answers() -> list[httpx.Response]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.request(method, path, json=body) for method, path, body in requests]

    return asyncio.run(answers())


def test_errors_of_ours_are_logged_and_told_without_their_text() -> None:
    # An engine that was never given a plan or a store: everything that needs them fails unexpectedly.
    worker = Worker(Door(()), engine=object.__new__(Engine))
    with structlog.testing.capture_logs() as logs:
        responses = call(
            Api(worker),
            ("POST", "/next-action", {"customer_id": "a"}),
            ("PUT", "/customers/a", {"attributes": {"a": 1}}),
        )
    for response in responses:
        told = problem(response, 500, "internal")
        assert "plan" not in response.text
        assert [log["request_id"] for log in logs].count(told["request_id"]) == 1
    assert all(log["log_level"] == "error" and log["exc_info"] for log in logs)
    assert worker.metrics.in_flight == 0


def test_before_the_start_nothing_is_decided() -> None:
    early = Api(Worker(Door(()), waiting_for="the moon"))
    for response in call(early, ("POST", "/next-action", {"customer_id": "a"}), ("PUT", "/customers/a", {})):
        assert "the moon" in problem(response, 503, "not_ready")["detail"]


def receiving(*messages: dict[str, Any]) -> Callable[[], Any]:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


PIECE = {"type": "http.request", "body": b"12345", "more_body": True}
END = {"type": "http.request", "body": b"6", "more_body": False}
GONE = {"type": "http.disconnect"}


def test_bodies_in_pieces() -> None:
    assert asyncio.run(read_body(receiving(PIECE, PIECE, END), 11, 20.0)) == b"12345123456"


@pytest.mark.parametrize("pieces", [(PIECE, PIECE, END), (PIECE, PIECE), (PIECE, PIECE, GONE)])
def test_a_body_is_too_large_as_soon_as_it_is(pieces: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(Problem) as raised:
        asyncio.run(read_body(receiving(*pieces), 9, 20.0))
    assert raised.value.code == "body_too_large"


def test_a_body_that_does_not_come() -> None:
    with pytest.raises(Problem) as raised:
        asyncio.run(read_body(receiving(PIECE), 10, within=0.0))
    assert (raised.value.code, raised.value.status) == ("request_timeout", 408)


@pytest.mark.parametrize("pieces", [(GONE,), (PIECE, GONE)])
def test_a_client_that_left_is_not_answered(pieces: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(Disconnected):
        asyncio.run(read_body(receiving(*pieces), 10, 20.0))
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/next-action", "client": ("127.0.0.1", 1)}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    asyncio.run(Api(Worker(Door(())))({**scope, "headers": headers}, receiving(*pieces), send))
    assert sent == []


def test_how_long_an_answer_takes_is_measured_from_its_body_on() -> None:
    there: list[float] = []
    begun: list[float] = []
    pieces = receiving(PIECE, END)

    async def receive() -> dict[str, Any]:
        message: dict[str, Any] = await pieces()
        there.append(perf_counter())
        return message

    class Noting(NextAction):
        async def serve(self, admitted: Admitted, body: bytes, started: float) -> bytes:
            begun.append(started)
            return b"{}"

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"method": "POST", "client": ("127.0.0.1", 1), "headers": headers}
    assert asyncio.run(Noting(Worker(Door(()))).respond(scope, receive))[0] == 200
    assert begun[0] >= there[-1]


def test_web_sockets_are_closed() -> None:
    sent: list[Any] = []

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(Api(Worker(Door(())))({"type": "websocket", "path": "/next-action"}, receiving(), send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_what_was_begun_is_finished_at_the_end(tmp_path: Path) -> None:
    with (
        serving(settings(data=tmp_path)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock,
    ):
        sock.sendall(HALF_A_REQUEST)
        while "tino_in_flight 1.0" not in server.client.get("/metrics").text:
            pass
        server.begin_to_end()
        server.client.close()
        sock.sendall(THE_OTHER_HALF)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b'"degraded":[]' in received
