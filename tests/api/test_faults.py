"""Whatever is the matter with Redis: answers in time that contact nobody, writes refused as a whole, and recovery."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from features import redis_probe
from features.link import Link
from features.redis_server import EmbeddedRedis
from tests.api.proxied import Proxied, proxied
from tests.api.serving import Server, problem, serving, settings
from tests.api.test_outage import kill_redis, until_ready
from tests.features.proxy import Proxy

pytestmark = pytest.mark.chaos

CATALOG = Path(__file__).with_name("faults.yaml")
DEADLINE_MS = 2000
HURRIED_MS = 200
PASSWORD = "a-password-nobody-told-us"
ASK = {"customer_id": "ada", "placements": ["home-banner"]}
PURCHASE = {"id": "p-1", "customer_id": "ada", "type": "purchase", "properties": {"amount": 60.0}}
REFUSED: list[tuple[str, str, Any]] = [
    ("PUT", "/customers/ada/consents/marketing", {"granted": False}),
    ("PUT", "/customers/bea", {"consents": {"marketing": True}}),
    ("PATCH", "/customers/ada", {"attributes": {"email": "ada@example.com"}}),
    ("DELETE", "/customers/ada", None),
    ("POST", "/events", PURCHASE),
    ("POST", "/events", [PURCHASE, {**PURCHASE, "id": "p-2", "customer_id": "bea"}]),
]


@dataclass
class Place:
    """A Redis, the proxy in front of it, and a service that goes through that."""

    data: Path
    redis: EmbeddedRedis
    proxy: Proxied
    server: Server
    stack: ExitStack = field(default_factory=ExitStack)

    def ask(self, *words: str) -> Any:
        """Straight at Redis."""
        return redis_probe.ask(self.redis.socket_path, *words)


def start_again(place: Place) -> None:
    place.stack.enter_context(EmbeddedRedis.start(place.data, appendfsync="always"))


def ask_for_a_password(place: Place) -> None:
    place.ask("CONFIG", "SET", "requirepass", PASSWORD)
    place.proxy.tell(Proxy.cut)


def ask_for_none(place: Place) -> None:
    async def ask() -> None:
        link = Link(f"unix://:{PASSWORD}@{place.redis.socket_path}")
        await link.ask("CONFIG", "SET", "requirepass", "", within=60)
        await link.close()

    asyncio.run(ask())


@dataclass(frozen=True)
class Fault:
    """`degraded` is what answers may say; `told` what /readyz says; `begins` and `ends` make it so.

    `reached` is whether what is written meanwhile may get to Redis when the fault is over.
    """

    name: str
    degraded: frozenset[str]
    told: str
    begins: Callable[[Place], object]
    ends: Callable[[Place], object]
    reached: bool = False


AWAY = frozenset({"store_unavailable", "deadline"})
FAULTS = [
    Fault("away", AWAY, "does not answer", lambda place: place.redis.stop(), start_again),
    Fault("killed", AWAY, "does not answer", lambda place: kill_redis(place.data), start_again),
    Fault(
        "frozen", frozenset({"deadline"}), "does not answer",
        lambda place: os.kill(place.redis.pid, signal.SIGSTOP), lambda place: os.kill(place.redis.pid, signal.SIGCONT),
        reached=True,
    ),
    Fault(
        "blackholed", frozenset({"deadline"}), "does not answer",
        lambda place: place.proxy.tell(Proxy.blackhole), lambda place: place.proxy.tell(Proxy.come_back),
    ),
    Fault(
        "out of memory", frozenset({"store_full"}), "is full",
        lambda place: place.ask("CONFIG", "SET", "maxmemory", "1"),
        lambda place: place.ask("CONFIG", "SET", "maxmemory", "0"),
    ),
    Fault(
        "a replica", frozenset({"store_unavailable"}), "no primary",
        lambda place: place.ask("REPLICAOF", "127.0.0.1", "1"), lambda place: place.ask("REPLICAOF", "NO", "ONE"),
    ),
    Fault("wrong password", frozenset({"store_unavailable"}), "NOAUTH", ask_for_a_password, ask_for_none),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis.start(tmp_path, appendfsync="always"))
        proxy = stack.enter_context(proxied(redis.url))
        chosen = settings(redis_url=proxy.url, deadline_ms=DEADLINE_MS, catalog=CATALOG)
        server = stack.enter_context(serving(chosen, "api.express:ExpressProtocol"))
        stated = {"consents": {"marketing": True}}
        assert server.client.put("/customers/ada", json=stated).status_code == 200
        assert [action["action"] for action in server.ask(**ASK)["actions"]] == ["voucher"]
        yield Place(tmp_path, redis, proxy, server, stack)


def in_doubt(place: Place, fault: Fault, customer_id: str) -> None:
    """What is decided meanwhile is the fallback, and says why."""
    answer = place.server.ask(**{**ASK, "customer_id": customer_id, "deadline_ms": HURRIED_MS})
    assert (answer["status"], answer["reason"]) == ("fallback", "degraded")
    assert [action["action"] for action in answer["actions"]] == ["welcome"]
    why, *provisional = answer["degraded"]
    assert why in fault.degraded
    assert (answer["decision_id"] is not None, provisional) in ((False, []), (True, ["provisional"]))


def refused(response: httpx.Response) -> None:
    problem(response, 503, "store_unavailable")
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_of_redis(place: Place, fault: Fault) -> None:
    client = place.server.client
    fault.begins(place)
    for customer_id in ("ada", "ada", "stranger"):
        in_doubt(place, fault, customer_id)
    with ThreadPoolExecutor(len(REFUSED)) as senders:
        for response in senders.map(lambda write: client.request(write[0], write[1], json=write[2]), REFUSED):
            refused(response)
    while (told := client.get("/readyz")).status_code == 200:
        pass
    assert fault.told in problem(told, 503, "not_ready")["detail"]
    assert client.get("/livez").status_code == 200

    fault.ends(place)
    until_ready(place.server)
    if not fault.reached:
        nothing_happened(client)
    settled(place.server)


def nothing_happened(client: httpx.Client) -> None:
    """Of what was refused."""
    ada = client.get("/customers/ada").json()
    assert (ada["consents"]["marketing"]["granted"], ada["attributes"]) == (True, {})
    assert ada["aggregates"]["spend"]["value"] == 0.0
    assert client.get("/customers/bea").status_code == 404
    assert client.post("/events", json=PURCHASE).json()["status"] == "stored"


def settled(server: Server) -> None:
    """Everything that was refused is sent again, and is true exactly once."""
    client = server.client
    assert client.put("/customers/ada", json={"consents": {"marketing": True}}).status_code == 200
    told = client.post("/events", json=[PURCHASE, {**PURCHASE, "id": "p-2", "customer_id": "bea"}]).json()
    assert told["stored"] + told["duplicates"] == 2
    answer = server.ask(**ASK)
    assert (answer["degraded"], answer["actions"][0]["action"]) == ([], "voucher")
    assert client.get("/customers/ada").json()["aggregates"]["spend"]["value"] in (0.0, 60.0)
    assert client.put("/customers/ada/consents/marketing", json={"granted": False}).status_code == 200
    assert [action["action"] for action in server.ask(**ASK)["actions"]] == ["welcome"]


def test_a_flushed_script_costs_nobody_an_answer(place: Place) -> None:
    client = place.server.client
    for method, path, body in [
        ("PUT", "/customers/ada/consents/marketing", {"granted": True}),
        ("POST", "/events", PURCHASE),
        ("POST", "/events", [PURCHASE, {**PURCHASE, "id": "p-2"}]),
    ]:
        place.ask("SCRIPT", "FLUSH")
        assert place.server.ask(**ASK)["degraded"] == []
        place.ask("SCRIPT", "FLUSH")
        assert client.request(method, path, json=body).status_code == 200
    assert client.get("/customers/ada").json()["aggregates"]["spend"]["value"] == 120.0


def test_a_lost_reply_over_http(place: Place) -> None:
    """The commit is found by its decision id, and sent once."""
    answers: list[dict[str, Any]] = []
    request = {**ASK, "request_id": "r-1", "deadline_ms": 60_000}
    asking = threading.Thread(target=lambda: answers.append(place.server.ask(**request)))
    place.proxy.tell(Proxy.hold)
    asking.start()
    place.proxy.wait(lambda proxy: proxy.kept.wait())
    place.proxy.wait(lambda proxy: proxy.seen(b"r-1"))
    place.proxy.tell(Proxy.cut)
    place.proxy.tell(Proxy.release)
    asking.join()
    (answer,) = answers
    assert (answer["status"], answer["degraded"]) == ("decided", [])
    assert place.server.ask(**request) == answer
    contacts = place.server.client.get("/customers/ada/contacts").json()["contacts"]
    assert [contact["decision_id"] for contact in contacts].count(answer["decision_id"]) == 1
