from __future__ import annotations

import asyncio
from hashlib import sha256

import httpx
import pytest

from api.auth import Door, Permission, is_loopback_host, read_keys
from api.problems import Problem
from tests.api.conftest import KEYS
from tests.api.serving import Server, problem

REQUESTS: dict[str, tuple[str, str, dict[str, object] | None]] = {
    "decide": ("POST", "/next-action", {"customer_id": "who"}),
    "read": ("GET", "/customers/who/contacts", None),
    "write": ("PUT", "/customers/who", {"attributes": {}}),
    "consent": ("PUT", "/customers/who/consents/marketing", {"granted": True}),
    "metrics": ("GET", "/metrics", None),
}
MAY = {"decide": {"decide"}, "ingest": {"read", "write", "consent"}, "admin": set(REQUESTS), "shop": set(REQUESTS)}
MAY["shop"] = MAY["decide"] | MAY["ingest"]
DIGEST = sha256(b"a key").hexdigest()


def send(server: Server, what: str, headers: dict[str, str]) -> httpx.Response:
    method, path, body = REQUESTS[what]
    return server.client.request(method, path, json=body, headers=headers)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("what", REQUESTS)
def test_a_key_opens_what_its_scopes_name(keyed: Server, key: str, what: str) -> None:
    send(keyed, "write", {"Authorization": f"Bearer {KEYS['admin']}"})
    response = send(keyed, what, {"Authorization": f"bearer {KEYS[key]}"})
    if what in MAY[key]:
        assert response.status_code == 200 or (what == "read" and response.status_code == 404)
    else:
        problem(response, 403, "forbidden")


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {KEYS['admin']}", KEYS["admin"], f"Bearer {DIGEST}"],
)
def test_no_valid_key(keyed: Server, what: str, authorization: str | None) -> None:
    response = send(keyed, what, {} if authorization is None else {"Authorization": authorization})
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_door_comes_before_the_body(keyed: Server) -> None:
    for method, path in (("POST", "/next-action"), ("PUT", "/customers/a")):
        problem(keyed.client.request(method, path, content=b"{"), 401, "unauthorized")


def test_health_and_documents_need_no_key(keyed: Server) -> None:
    for path in ("/livez", "/readyz", "/openapi.json", "/docs"):
        assert keyed.client.get(path, headers={"Host": "tino.example"}).status_code == 200


def test_the_same_request_id_of_two_keys_is_two_requests(keyed: Server, customer_id: str) -> None:
    decisions = set()
    for key in ("decide", "shop", "decide"):
        headers = {"Authorization": f"Bearer {KEYS[key]}"}
        body = {"customer_id": customer_id, "request_id": "the-same"}
        decisions.add(keyed.client.post("/next-action", json=body, headers=headers).json()["decision_id"])
    assert len(decisions) == 2


FOREIGN = [
    {"Host": "tino.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost:80@evil.example"},
    {"Host": "192.168.1.7:8000"},
    {"Forwarded": "for=127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Proto": "https"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 proxy"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "file://localhost"},
    {"Origin": "http://[::1"},
]


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_without_keys_only_this_machine(server: Server, what: str, headers: dict[str, str]) -> None:
    problem(send(server, what, headers), 403, "loopback_only")


LOCAL = [
    {"Host": "localhost"},
    {"Host": "LOCALHOST:9"},
    {"Host": "127.0.0.1:8000"},
    {"Host": "127.9.9.9"},
    {"Host": "[::1]:8000"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "https://[::1]"},
]


@pytest.mark.parametrize("headers", LOCAL, ids=str)
def test_without_keys_this_machine_is_served(server: Server, headers: dict[str, str]) -> None:
    for what in ("decide", "write", "metrics"):
        assert send(server, what, headers).status_code == 200


def test_without_keys_health_is_open_and_the_rest_is_not(server: Server) -> None:
    for path in ("/livez", "/readyz"):
        assert server.client.get(path, headers={"Host": "tino.example"}).status_code == 200
    for path in ("/docs", "/openapi.json", "/nowhere"):
        problem(server.client.get(path, headers={"Host": "tino.example"}), 403, "loopback_only")


def test_other_machines_and_unix_sockets_need_a_key(server: Server) -> None:
    async def statuses() -> list[int]:
        found = []
        for peer in (
            ("192.168.1.7", 1),
            ("2001:db8::1", 1),
            ("::ffff:10.0.0.1", 1),
            None,
            ("127.0.0.1", 1),
            ("::1", 1),
        ):
            transport = httpx.ASGITransport(server.service, client=peer)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                found.append((await client.get("/nowhere")).status_code)
        return found

    assert asyncio.run(statuses()) == [403, 403, 403, 403, 404, 404]


@pytest.mark.parametrize(
    "host", ["", "localhost:x", "[::1", "[::1]x", "[localhost]:", "::1:80", "evil", "127.1", "0.0.0.0"]
)
def test_hosts_that_are_not_loopback(host: str) -> None:
    expected = host == "[localhost]:"  # a name all the same
    assert is_loopback_host(host.encode()) is expected


def test_keys_are_read() -> None:
    other = sha256(b"another").hexdigest()
    first, second = read_keys(f" {DIGEST.upper()}:decide+ingest:shop,\n{other}:admin")
    assert (first.caller, first.permissions) == ("shop", frozenset((Permission.DECIDE, Permission.INGEST)))
    assert (second.caller, second.permissions) == (other[:8], frozenset(Permission))
    assert read_keys(None) == read_keys(" ,\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        DIGEST,
        f"{DIGEST}:",
        f"{DIGEST}:all",
        f"{DIGEST}:decide+",
        f"{DIGEST}:decide:a b",
        f"{DIGEST[:-1]}:decide",
        f"{DIGEST}:decide {DIGEST}:ingest",
        f"{DIGEST}:decide:a {DIGEST[::-1]}:ingest:a",
    ],
)
def test_keys_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="API key") as raised:
        read_keys(text)
    assert "secret" not in str(raised.value)


def test_bytes_that_are_no_text_are_no_key() -> None:
    door = Door(read_keys(f"{DIGEST}:admin"))
    with pytest.raises(Problem):
        door.admit({}, {b"authorization": b"Bearer \xff\xfe"}, Permission.DECIDE)
