"""Everybody gets their own answer, whoever else leaves half-way or runs out of time, on whatever connection."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from features.redis_server import EmbeddedRedis
from tests.api.proxied import Proxied, proxied
from tests.api.serving import PATIENCE, Server, serving, settings
from tests.api.test_metrics import value
from tests.features.proxy import Proxy

pytestmark = pytest.mark.chaos

CATALOG = Path(__file__).with_name("faults.yaml")
CLIENTS, ROUNDS, MOST_AT_ONCE = 30, 4, 3


class Client:
    """A connection that sends requests marked as its own, several in one piece, and reads what comes back in order."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._name = name
        self._sent: list[tuple[str, str]] = []
        self._count = 0
        self._unread = b""

    def send(self, kinds: list[str]) -> None:
        requests = []
        for kind in kinds:
            marker = f"{self._name}-{self._count}"
            self._count += 1
            self._sent.append((kind, marker))
            requests.append(request(kind, marker))
        self._socket.sendall(b"".join(requests))

    def leave(self) -> None:
        """Without reading what was asked for: the server's next write fails."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def read(self) -> None:
        """Everything that was asked for, which must be what was asked for."""
        for kind, marker in self._sent:
            head, body = self._next()
            assert f"request-id: {marker}".encode() in head.lower().split(b"\r\n"), (kind, marker, head)
            told = json.loads(body)
            assert told["id" if kind == "event" else "customer_id"] == marker, (kind, told)
            if kind == "hurried":
                assert told["degraded"][:1] in ([], ["deadline"])  # none, where its turn came after Redis spoke again
            elif kind == "decision":
                assert told["degraded"] == []
        self._sent.clear()

    def _next(self) -> tuple[bytes, bytes]:
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        length = next(
            int(line.split()[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        while len(rest) < length:
            self._receive()
            rest = self._unread.partition(b"\r\n\r\n")[2]
        self._unread = rest[length:]
        return head, rest[:length]

    def _receive(self) -> None:
        received = self._socket.recv(65536)
        assert received, "the connection was closed"
        self._unread += received


def request(kind: str, marker: str) -> bytes:
    match kind:
        case "event":
            path, body = "/events", dict[str, object](id=marker, customer_id=marker, type="purchase")
        case "hurried":
            path, body = "/next-action", {"customer_id": marker, "deadline_ms": 1}
        case _:
            path, body = "/next-action", {"customer_id": marker, "request_id": marker}
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nRequest-Id: {marker}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content


@pytest.fixture
def behind(tmp_path: Path, http: str) -> Iterator[tuple[Server, Proxied]]:
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis.start(tmp_path))
        proxy = stack.enter_context(proxied(redis.url))
        server = stack.enter_context(serving(settings(redis_url=proxy.url, catalog=CATALOG), http))
        stack.callback(lambda: proxy.tell(Proxy.release))
        server.ask(customer_id="first")  # it has started
        yield server, proxy


def answered_late(server: Server) -> float:
    return value(server.client.get("/metrics").text, 'tino_degraded_total{kind="deadline"}')


def test_everybody_gets_their_own_answer(behind: tuple[Server, Proxied]) -> None:
    """Each round Redis is silent while all ask; some leave then, some are answered before it speaks again."""
    server, proxy = behind
    chance = Random(5)
    clients = [Client(server.port, f"c-{number}") for number in range(CLIENTS)]
    new = CLIENTS
    for _ in range(ROUNDS):
        proxy.tell(Proxy.hold)
        before = answered_late(server)
        for client in clients:
            client.send(chance.choices(["decision", "hurried", "event"], k=chance.randint(1, MOST_AT_ONCE)))
        while answered_late(server) == before:
            pass
        leaving = chance.sample(clients, CLIENTS // 3)
        for client in leaving:
            client.leave()
        proxy.tell(Proxy.release)
        clients = [client for client in clients if client not in leaving]
        for client in clients:
            client.read()
        clients += [Client(server.port, f"c-{number}") for number in range(new, new + len(leaving))]
        new += len(leaving)
    for client in clients:
        client.leave()
    assert server.ask(customer_id="afterwards")["customer_id"] == "afterwards"
