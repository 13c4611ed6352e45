"""The express way answers what uvicorn's own protocol answers, to every way of writing the same request."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from api.express import ExpressProtocol
from features.redis_server import EmbeddedRedis
from tests.api.serving import PATIENCE, Server, serving, settings

BODY = b'{"customer_id": "express", "dry_run": true}'
HEAD = b"POST /next-action HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
taken: list[bytes] = []


class Counting(ExpressProtocol):
    def _collected(self, *of: Any) -> None:
        taken.append(self.url)
        super()._collected(*of)


@pytest.fixture(scope="module")
def both(redis: EmbeddedRedis) -> Iterator[dict[str, Server]]:
    chosen = settings(redis_url=redis.url, body_limit=4096)
    with (
        serving(chosen, "httptools") as plain,
        serving(chosen, "tests.api.test_express:Counting") as express,
    ):
        yield {"plain": plain, "express": express}


def answers(server: Server, *pieces: bytes, count: int = 1) -> list[tuple[int, bytes | None, str]]:
    """Status, `connection` header and what was answered, for `count` answers, fewer if the server closes before."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        received, found = b"", list[tuple[int, bytes | None, str]]()
        while len(found) < count and (data := connection.recv(65536)):
            received = _take(received + data, found)
    return found


def _take(received: bytes, found: list[tuple[int, bytes | None, str]]) -> bytes:
    """Moves the complete answers at the start of `received` to `found`; what is left."""
    while b"\r\n\r\n" in received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
        length = int(headers.get(b"content-length", 0))
        if len(rest) < length:
            break
        body, received = rest[:length], rest[length:]
        if lines[0].split(b" ")[1] != b"100":
            found.append((int(lines[0].split(b" ")[1]), headers.get(b"connection"), meaning(body)))
    return received


def meaning(body: bytes) -> str:
    told = json.loads(body) if body.startswith(b"{") else {}
    return str(told.get("code") or told.get("status"))


REQUESTS: dict[str, tuple[bytes, ...]] = {
    "ordinary": (HEAD + LENGTH + b"\r\n" + BODY,),
    "in two pieces": (HEAD + LENGTH, b"\r\n" + BODY),
    "byte by byte": tuple(bytes([byte]) for byte in HEAD + LENGTH + b"\r\n" + BODY),
    "three in one": ((HEAD + LENGTH + b"\r\n" + BODY) * 3,),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),),
    "no length": (HEAD + b"\r\n",),
    "empty": (HEAD + b"Content-Length: 0\r\n\r\n",),
    "closing": (HEAD + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY,),
    "waiting for 100": (HEAD + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n", BODY),
    "with a query": (HEAD.replace(b"/next-action", b"/next-action?x=1") + LENGTH + b"\r\n" + BODY,),
    "encoded path": (HEAD.replace(b"/next-action", b"/next%2Daction") + LENGTH + b"\r\n" + BODY,),
    "a GET": (HEAD.replace(b"POST", b"GET") + b"\r\n",),
    "too long": (HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * 5000,),
    "not JSON": (HEAD + b"Content-Length: 3\r\n\r\n{]}",),
    "a proxy's": (HEAD + b"X-Forwarded-For: 1.2.3.4\r\n" + LENGTH + b"\r\n" + BODY,),
    "another host's": (HEAD.replace(b"localhost", b"example.com") + LENGTH + b"\r\n" + BODY,),
    "an upgrade": (HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + LENGTH + b"\r\n" + BODY,),
    "HTTP/1.0": (HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + LENGTH + b"\r\n" + BODY,),
    "a bad one after a good one": (HEAD + LENGTH + b"\r\n" + BODY + HEAD + b"Content-Length: 2\r\n\r\n[]",),
}
EXPRESS = {"ordinary", "in two pieces", "byte by byte", "empty", "not JSON", "a proxy's", "another host's"}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_answer_alike(both: dict[str, Server], name: str) -> None:
    taken.clear()
    count = {"three in one": 3, "a bad one after a good one": 2}.get(name, 1)
    plain, express = (answers(both[way], *REQUESTS[name], count=count) for way in ("plain", "express"))
    assert express == plain
    assert len(plain) == count
    assert name not in EXPRESS or taken == [b"/next-action"]


def test_the_ordinary_request_takes_the_express_way_and_is_answered(both: dict[str, Server]) -> None:
    assert answers(both["express"], *REQUESTS["ordinary"])[0][0] == 200


def test_a_connection_serves_one_request_after_another(both: dict[str, Server]) -> None:
    taken.clear()
    for number in range(5):
        assert both["express"].ask(customer_id=f"express-{number}")["decision_id"]
    assert 1 <= len(taken) <= 5  # a head that comes again, in one piece with its body, is known


def test_who_leaves_in_the_middle_of_a_body_costs_nothing(both: dict[str, Server]) -> None:
    server = both["express"]
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(HEAD + LENGTH + b"\r\n" + BODY[:5])
    assert server.ask(customer_id="express")["status"]


WHOLE = HEAD + LENGTH + b"\r\n" + BODY
SHORTER = BODY.replace(b"true", b"false").replace(b"express", b"e")
OTHER = HEAD + b"Content-Length: %d\r\n\r\n" % len(SHORTER) + SHORTER


def in_turn(server: Server, *requests: tuple[bytes, ...]) -> list[tuple[int, bytes | None, str]]:
    """One after another on one connection, each in as many pieces as it has."""
    found: list[tuple[int, bytes | None, str]] = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pieces in requests:
            before, received = len(found), b""
            for piece in pieces:
                connection.sendall(piece)
            while len(found) == before and (data := connection.recv(65536)):
                received = _take(received + data, found)
    return found


def test_a_head_is_parsed_once(both: dict[str, Server]) -> None:
    taken.clear()
    assert in_turn(both["express"], *[(WHOLE,)] * 5) == in_turn(both["plain"], *[(WHOLE,)] * 5)
    assert len(taken) == 1
    assert len(in_turn(both["express"], (WHOLE,))) == 1
    assert len(taken) == 2, "another connection's head is another head"


HEADS_AGAIN: dict[str, tuple[tuple[bytes, ...], ...]] = {
    "another length": ((WHOLE,), (OTHER,), (WHOLE,), (OTHER,)),
    "in two pieces": ((WHOLE,), (WHOLE[:-7], WHOLE[-7:]), (WHOLE,)),
    "cut in the head": ((WHOLE,), (WHOLE[:30], WHOLE[30:]), (WHOLE,)),
    "head alone, then the body": ((WHOLE,), (WHOLE[: -len(BODY)], BODY), (WHOLE,)),
    "empty lines before": ((b"\r\n\r\n" + WHOLE,), (b"\r\n\r\n" + WHOLE,), (WHOLE,)),
    "another body of the same length": ((WHOLE,), (WHOLE.replace(b"true", b"nil!"),), (WHOLE,)),
    "refused first": ((HEAD + b"X-Forwarded-For: 1.2.3.4\r\n" + LENGTH + b"\r\n" + BODY,),) * 2,
    "many heads": tuple((HEAD + b"X-N: %d\r\n" % number + LENGTH + b"\r\n" + BODY,) for number in range(20)) * 2,
    "another method": ((WHOLE,), (WHOLE.replace(b"POST", b"PUT"),), (WHOLE,)),
    "closing in the end": ((WHOLE,), (HEAD + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY,)),
}


@pytest.mark.parametrize("name", HEADS_AGAIN)
def test_a_head_that_comes_again_means_what_it_meant(both: dict[str, Server], name: str) -> None:
    plain, express = (in_turn(both[way], *HEADS_AGAIN[name]) for way in ("plain", "express"))
    assert express == plain
    assert len(plain) == len(HEADS_AGAIN[name])


def test_empty_lines_are_no_head(both: dict[str, Server]) -> None:
    """What stands before a request was never part of its head: a body behind it alone is no request."""
    with socket.create_connection(("127.0.0.1", both["express"].port), timeout=PATIENCE) as connection:
        connection.sendall(b"\r\n\r\n" + WHOLE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"\r\n\r\n" + BODY)
            assert not connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_known_head_with_more_behind_its_body(both: dict[str, Server]) -> None:
    """Two at once after one alone: the second is not taken for a part of the first one's body."""
    for way in both.values():
        assert len(answers(way, WHOLE, WHOLE + WHOLE, count=3)) == 3


def test_a_request_id_is_each_requests_own(both: dict[str, Server]) -> None:
    ids = set()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", both["express"].port), timeout=PATIENCE) as connection:
            for _ in range(3):
                connection.sendall(WHOLE)
                received = b""
                while not received.endswith(b"}"):
                    received += connection.recv(65536)
                (line,) = (line for line in received.split(b"\r\n") if line.startswith(b"request-id"))
                ids.add(line)
    assert len(ids) == 6


def test_an_idle_connection_is_closed_after_its_last_answer(redis: EmbeddedRedis) -> None:
    with (
        serving(settings(redis_url=redis.url), "api.express:ExpressProtocol", timeout_keep_alive=1) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection,
    ):
        for _ in range(3):
            connection.sendall(WHOLE)
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
        assert connection.recv(1) == b""
