"""More than can be answered: who comes too late is told at once, and who takes back a consent never comes too late."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from features import redis_probe
from features.durable import parse_info
from features.redis_server import EmbeddedRedis
from tests.api.proxied import Proxied, proxied
from tests.api.serving import PATIENCE, Server, problem, serving, settings
from tests.api.test_express import HEAD, answers
from tests.api.test_metrics import value
from tests.features.proxy import Proxy

CATALOG = Path(__file__).with_name("faults.yaml")
MOST = 3
WARM = [f"warm-{number}" for number in range(2 * MOST)]
LOGIN = {"type": "purchase", "properties": {"amount": 1.0}}


class Busy:
    """A service that has room for three decisions and six requests with events; what it is sent waits for Redis."""

    def __init__(self, server: Server, proxy: Proxied, senders: ThreadPoolExecutor) -> None:
        self.server = server
        self._proxy = proxy
        self._senders = senders

    def begin(self, method: str, path: str, body: Any) -> Future[httpx.Response]:
        """Returns when it has its place, which is when its body is there, or was answered."""
        place = self.server.service.express[path.encode()]
        before = place.waiting
        sent = self._senders.submit(self.server.client.request, method, path, json=body)
        while not sent.done() and place.waiting == before:
            pass
        return sent

    def in_flight(self) -> float:
        return value(self.server.client.get("/metrics").text, "tino_in_flight")

    def hold(self) -> None:
        self._proxy.tell(Proxy.hold)

    def release(self) -> None:
        self._proxy.tell(Proxy.release)


@pytest.fixture
def busy(tmp_path: Path, http: str) -> Iterator[Busy]:
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis.start(tmp_path))
        proxy = stack.enter_context(proxied(redis.url))
        chosen = settings(redis_url=proxy.url, catalog=CATALOG, most_waiting=MOST)
        server = stack.enter_context(serving(chosen, http))
        for customer_id in WARM:
            server.ask(customer_id=customer_id)
        busy = Busy(server, proxy, stack.enter_context(ThreadPoolExecutor(4 * MOST)))
        stack.callback(busy.release)
        busy.hold()
        yield busy


def decisions(busy: Busy, prefix: str, count: int) -> list[Future[httpx.Response]]:
    return [busy.begin("POST", "/next-action", {"customer_id": f"{prefix}-{number}"}) for number in range(count)]


@pytest.mark.parametrize("prefix", ["warm", "cold"])
def test_a_decision_too_many_is_told_so_at_once(busy: Busy, prefix: str) -> None:
    waiting = decisions(busy, prefix, MOST)
    client = busy.server.client
    for body in (b'{"customer_id": "warm-4"}', b'{"customer_id": "cold-4"}', b"no JSON"):
        refused = client.post("/next-action", content=body, headers={"content-type": "application/json"})
        problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
    assert not any(each.done() for each in waiting)
    text = client.get("/metrics").text
    assert value(text, 'tino_shed_total{path="/next-action"}') == 3
    assert value(text, 'tino_problems_total{code="overloaded"}') == 3
    busy.release()
    assert [each.result().json()["degraded"] for each in waiting] == [[]] * MOST
    assert busy.server.ask(customer_id="warm-4")["degraded"] == []
    assert busy.in_flight() == 0


def test_it_is_told_before_the_body_has_come(busy: Busy, http: str) -> None:
    if http != "httptools":
        pytest.skip("the express way begins when the body is there")
    waiting = decisions(busy, "warm", MOST)
    with socket.create_connection(("127.0.0.1", busy.server.port), timeout=PATIENCE) as connection:
        connection.sendall(HEAD + b"Content-Length: 99\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 503")
    busy.release()
    assert all(each.result().status_code == 200 for each in waiting)


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("path", "room"), [(b"/next-action", MOST), (b"/events", 2 * MOST)])
def test_who_sends_no_body_takes_nobodys_place(busy: Busy, path: bytes, room: int) -> None:
    with ExitStack() as stack:
        for number in range(room):
            sender = stack.enter_context(socket.create_connection(("127.0.0.1", busy.server.port), timeout=PATIENCE))
            sender.sendall(HEAD.replace(b"/next-action", path) + CHUNKED)
            while busy.in_flight() <= number:
                pass
        waiting = decisions(busy, "warm", MOST)
        waiting += [busy.begin("POST", "/events", {**LOGIN, "id": "e", "customer_id": f"e-{n}"}) for n in range(6)]
        busy.release()
        assert {each.result().status_code for each in waiting} == {200}


def test_a_body_that_comes_when_there_is_no_room_any_more_is_one_too_many(busy: Busy) -> None:
    body = b'{"customer_id": "slow"}'
    with socket.create_connection(("127.0.0.1", busy.server.port), timeout=PATIENCE) as connection:
        connection.sendall(HEAD + CHUNKED)
        while busy.in_flight() < 1:
            pass
        waiting = decisions(busy, "warm", MOST)
        assert not any(each.done() for each in waiting)
        connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert connection.recv(65536).startswith(b"HTTP/1.1 503")
    busy.release()
    assert {each.result().status_code for each in waiting} == {200}


def test_nobody_is_let_in_first_and_counted_later(busy: Busy) -> None:
    """Requests that come in one piece, each of a customer who has to be loaded."""
    bodies = [json.dumps({"customer_id": f"piece-{number}"}).encode() for number in range(2)]
    waiting = decisions(busy, "cold", MOST - 1)
    two = b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies)
    with ThreadPoolExecutor(1) as sender:
        told = sender.submit(answers, busy.server, two, count=2)
        while busy.in_flight() < MOST:
            pass
        problem(busy.begin("POST", "/next-action", {"customer_id": "late"}).result(), 503, "overloaded")
        busy.release()
        assert [status for status, _, _ in told.result()] == [200, 200]
    assert all(each.result().status_code == 200 for each in waiting)


WITHDRAWALS: dict[str, tuple[bytes, dict[str, str]]] = {
    "ours": (b'{"id": "w", "customer_id": "ada", "type": "unsubscribed"}', {}),
    "in a batch": (
        b'[{"id": "l", "customer_id": "bea", "type": "purchase"},'
        b' {"id": "w", "customer_id": "ada", "type": "complained"}]',
        {},
    ),
    "in escapes": (b'{"id": "w", "customer_id": "ada", "type": "unsub\\u0073cribed"}', {}),
    "Segment's": (b'{"type": "track", "event": "unsubscribed", "messageId": "w", "userId": "ada"}', {}),
    "Segment's e-mail": (b'{"type": "track", "event": "Unsubscribed", "messageId": "w", "userId": "ada"}', {}),
    "Segment's spam": (b'{"type": "track", "event": "Email Marked as Spam", "messageId": "w", "userId": "ada"}', {}),
    "a CloudEvent": (
        b'{"specversion": "1.0", "id": "w", "source": "s", "type": "complained", "subject": "ada"}',
        {"content-type": "application/cloudevents+json"},
    ),
    "a CloudEvent in headers": (
        b"{}",
        {
            "ce-specversion": "1.0", "ce-id": "w", "ce-source": "s", "ce-type": "unsubscr%69bed", "ce-subject": "ada",
        },
    ),
}  # fmt: skip


def test_events_have_more_room_and_a_withdrawal_always_has(busy: Busy) -> None:
    client = busy.server.client
    with ExitStack() as stack:
        senders = stack.enter_context(ThreadPoolExecutor(20))
        waiting = decisions(busy, "warm", MOST)
        waiting += [busy.begin("POST", "/events", {**LOGIN, "id": f"e-{n}", "customer_id": f"e-{n}"}) for n in range(6)]
        for body in ({**LOGIN, "id": "late", "customer_id": "late"}, [{**LOGIN, "id": "late", "customer_id": "late"}]):
            problem(client.post("/events", json=body), 503, "overloaded")
        assert value(client.get("/metrics").text, 'tino_shed_total{path="/events"}') == 2
        withdrawing = []
        for number, (written, headers) in enumerate(WITHDRAWALS.values()):
            whom = written.replace(b'"ada"', b'"ada-%d"' % number)
            told = {"content-type": "application/json"} | headers
            if "ce-subject" in told:
                told["ce-subject"] = f"ada-{number}"
            withdrawing.append(senders.submit(client.post, "/events", content=whom, headers=told))
        writes = [
            senders.submit(client.request, method, path, json=body)
            for method, path, body in [
                ("PUT", "/customers/ann/consents/marketing", {"granted": False}),
                ("PUT", "/customers/bob", {"consents": {"marketing": False}}),
                ("PATCH", "/customers/cyd", {"consents": {"marketing": False}}),
                ("DELETE", "/customers/dan", None),
            ]
        ]
        while busy.in_flight() < MOST + 6 + len(withdrawing):
            pass
        busy.release()
        assert {response.result().status_code for response in waiting} == {200}
        assert [response.result().status_code for response in withdrawing] == [200] * len(withdrawing)
        assert [response.result().status_code for response in writes][:3] == [200] * 3
        assert writes[3].result().status_code in (200, 204, 404)
    for number in range(len(WITHDRAWALS)):
        consents = client.get(f"/customers/ada-{number}").json()["consents"]
        assert consents["marketing"]["granted"] is False, list(WITHDRAWALS)[number]
    assert busy.server.client.get("/customers/late").status_code == 404


def test_above_the_high_water_mark_consents_and_events_still_get_in(tmp_path: Path, http: str) -> None:
    with (
        EmbeddedRedis.start(tmp_path) as redis,
        serving(settings(redis_url=redis.url, catalog=CATALOG), http) as server,
    ):
        client = server.client

        def ask_redis(*words: str) -> Any:
            return redis_probe.ask(redis.socket_path, *words)

        request = {"customer_id": "ada", "placements": ["home-banner"], "request_id": "r-1"}
        assert client.put("/customers/ada", json={"consents": {"marketing": True}}).status_code == 200
        first = server.ask(**request)
        ask_redis("SETRANGE", "ballast", "20000000", "x")
        used = int(parse_info(ask_redis("INFO", "memory"))["used_memory"])
        ask_redis("CONFIG", "SET", "maxmemory", str(round(used / 0.95)))
        anew = {"customer_id": "ada", "placements": ["home-banner"]}
        while value(client.get("/metrics").text, "tino_high_water") != 1:
            pass
        answer = server.ask(**anew)
        assert (answer["status"], answer["degraded"], answer["decision_id"]) == ("fallback", ["store_full"], None)
        contacts = len(client.get("/customers/ada/contacts").json()["contacts"])
        assert server.ask(**anew, request_id="r-2")["degraded"] == ["store_full"]
        assert server.ask(**request) == first, "what was answered before is answered the same"
        assert server.ask(**anew, dry_run=True)["degraded"] == [], "what writes nothing needs no room"
        assert len(client.get("/customers/ada/contacts").json()["contacts"]) == contacts
        assert client.put("/customers/ada/consents/marketing", json={"granted": False}).status_code == 200
        event = {**LOGIN, "id": "e-1", "customer_id": "ada"}
        assert client.post("/events", json=event).json()["status"] == "stored"
        assert client.get("/readyz").status_code == 200, "whoever brings a consent is to be sent here"
        ask_redis("CONFIG", "SET", "maxmemory", "0")
        while (answer := server.ask(**anew))["degraded"]:
            pass
        assert [action["action"] for action in answer["actions"]] == ["welcome"]
