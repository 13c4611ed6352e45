from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import httpx
import msgspec
import pytest

from api.answers import NextActionAnswer
from tests.api.serving import Server, problem

Put = Callable[..., httpx.Response]


def test_an_answer_is_json_that_no_cache_keeps(client: httpx.Client, customer_id: str) -> None:
    response = client.post("/next-action", json={"customer_id": customer_id})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["actions"][0]["action"] == "welcome"


def test_answers_are_of_the_documented_shape(server: Server, put: Put, customer_id: str) -> None:
    put(attributes={"name": "Ada", "email": "ada@example.com"}, consents={"marketing": True})
    bodies: list[dict[str, object]] = [
        {"channels": ["in_app", "email"], "placements": ["home-banner", {"id": "feed", "limit": 2}]},
        {"dry_run": True},
        {"channels": ["email"]},
        {"placements": ["home-banner"], "deadline_ms": 1},
        {"context": {"page": "home", "depth": 3, "share": 1}, "limit": 5},
    ]
    for body in bodies:
        response = server.client.post("/next-action", json={"customer_id": customer_id, **body})
        answer = msgspec.json.decode(response.content, type=NextActionAnswer)
        assert answer.customer_id == customer_id


def test_a_media_type_may_have_parameters(client: httpx.Client, customer_id: str) -> None:
    body = f'{{"customer_id": "{customer_id}"}}'
    for media_type in ("application/json; charset=utf-8", "Application/JSON"):
        response = client.post("/next-action", content=body, headers={"content-type": media_type})
        assert response.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/next-action")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_an_idempotency_key_is_a_request_id(client: httpx.Client, customer_id: str) -> None:
    def ask(key: str | None, **body: object) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return client.post("/next-action", json={"customer_id": customer_id, **body}, headers=headers)

    first = ask("once-1")
    assert ask("once-1").content == first.content
    assert ask(None, request_id="once-1").content == first.content
    assert ask("once-1", request_id="once-1").content == first.content
    assert ask("once-2").json()["decision_id"] != first.json()["decision_id"]
    assert problem(ask("once-1", limit=2), 422, "request_id_reused")["pointer"] == "/request_id"
    assert problem(ask("once-1", request_id="once-2"), 422, "request_id_conflict")["pointer"] == "/request_id"


@pytest.mark.parametrize("key", ["", "two words", "tab\there", "k" * 257, "é"])
def test_idempotency_keys_that_cannot_be_used(client: httpx.Client, customer_id: str, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    response = client.post("/next-action", json={"customer_id": customer_id}, headers=headers)
    problem(response, 422, "invalid_idempotency_key")


def test_a_header_that_decides_something_comes_once(client: httpx.Client, customer_id: str) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), ("Accept", "a/b"), ("Accept", "c/d")]
    problem(client.post("/next-action", json={"customer_id": customer_id}, headers=headers), 400, "duplicate_header")
    response = client.post("/next-action", json={"customer_id": customer_id}, headers=headers[1:])
    assert response.status_code == 200


def test_every_answer_has_a_request_id(client: httpx.Client) -> None:
    for path in ("/next-action", "/nowhere", "/customers/nobody", "/livez", "/openapi.json", "/docs", "/metrics"):
        assert client.get(path, headers={"Request-Id": "mine-1"}).headers["request-id"] == "mine-1"
        ids = {client.get(path, headers={"Request-Id": bad}).headers["request-id"] for bad in ("", "a b", "x" * 129)}
        assert len(ids) == 3
        assert all(len(given) == 24 for given in ids)


async def _leave_early(port: int, sent: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    writer.transport.abort()


def test_clients_that_leave_disturb_nobody(server: Server, customer_id: str) -> None:
    body = f'{{"customer_id": "{customer_id}"}}'.encode()
    head = (
        b"POST /next-action HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    whole = head % len(body) + body

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.client.base_url, timeout=60) as client:
            stayers = [client.post("/next-action", json={"customer_id": customer_id}) for _ in range(20)]
            leavers = [_leave_early(server.port, sent) for sent in (whole, whole[:-5], head % 10, whole) * 5]
            answered, _ = await asyncio.gather(asyncio.gather(*stayers), asyncio.gather(*leavers))
            return answered

    answers = asyncio.run(crowd())
    assert all(answer.json()["customer_id"] == customer_id for answer in answers)
    assert len({answer.json()["decision_id"] for answer in answers}) == 20


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    bodies = [b'{"customer_id": "pipelined-%d"}' % number for number in range(5)]
    head = (
        b"POST /next-action HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        sock.sendall(b"".join(head % len(body) + body for body in bodies))
        received = b""
        while received.count(b'"catalog":') < len(bodies):
            received += sock.recv(65536)
    places = [received.index(b"pipelined-%d" % number) for number in range(5)]
    assert places == sorted(places)
