"""`GET /decisions/{id}`: a decision's record, and the decision made again beside the service."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
import structlog

from api import decisions
from archive.drain import Terms
from archive.running import Place, archive_once
from decision.record import read_record
from features.link import Link
from features.redis_server import EmbeddedRedis, socket_for
from tests.api.conftest import KEYS
from tests.api.serving import Server, problem, serving, settings
from tests.api.test_outage import kill_redis

PATIENCE = 60.0
UNKNOWN = "0" * 32
TRIMMING = Terms(min_age_ms=-60_000, keep_ms=-60_000)


@pytest.fixture
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For records that are tampered with: not among what is made again when the tests are over."""
    return tmp_path_factory.mktemp("decisions")


@pytest.fixture
def own(apart: Path) -> Iterator[Server]:
    """With a Redis and an archive of its own."""
    with serving(settings(data=apart)) as running:
        yield running


def decide(server: Server, **body: object) -> str:
    return str(server.ask(customer_id="ada", placements=["home-banner"], **body)["decision_id"])


def put_instead(apart: Path, decision_id: str, **changes: object) -> None:
    """Changes one record where it is."""
    stream = f"tino:{{{int(decision_id[12:16], 16)}}}:decisions"

    async def put() -> None:
        link = Link(f"unix://{socket_for(apart)}")
        ((entry, (*_, body)),) = await link.ask("XRANGE", stream, "-", "+", within=PATIENCE)
        changed = msgspec.msgpack.encode(msgspec.structs.replace(read_record(body), **changes))
        await link.ask("XDEL", stream, entry, within=PATIENCE)
        await link.ask("XADD", stream, "*", "d", decision_id, "r", changed, within=PATIENCE)
        await link.close()

    asyncio.run(put())


def test_a_decision_is_found_and_made_again(server: Server, customer_id: str) -> None:
    server.client.put(f"/customers/{customer_id}", json={"attributes": {"name": "Ada", "visits": 3}, "consents": {}})
    answer = server.ask(customer_id=customer_id, placements=["home-banner"], context={"page": "home"})
    told = server.client.get(f"/decisions/{answer['decision_id']}").json()
    assert told["replay"] == {"identical": True, "differences": [], "trouble": None}
    decision = told["decision"]
    assert decision["answer"] == answer
    assert decision["request"]["context"] == {"page": "home"}
    assert decision["customer"]["attributes"] == {"name": "Ada", "visits": 3}
    assert (decision["id"], decision["customer_id"]) == (answer["decision_id"], customer_id)
    assert decision["catalog"] == answer["catalog"]
    unreplayed = server.client.get(f"/decisions/{answer['decision_id']}?replay=false").json()
    assert unreplayed["replay"] is None
    # What was worked out of events takes the catalog of that time, which is loaded to make the decision again.
    for name in ("aggregates", "segments", "scores"):
        del decision["customer"][name]
    assert unreplayed["decision"] == decision


@pytest.mark.parametrize("replay", ["true", "false"])
def test_a_decision_nobody_made(client: httpx.Client, replay: str) -> None:
    told = problem(client.get(f"/decisions/{UNKNOWN}?replay={replay}"), 404, "unknown_decision")
    assert told["parameter"] == "decision_id"


@pytest.mark.parametrize("decision_id", ["hello", "0" * 31, "0" * 33, "A" * 32, f"{'0' * 32}%0A"])
def test_what_is_no_decision_id(client: httpx.Client, decision_id: str) -> None:
    told = problem(client.get(f"/decisions/{decision_id}"), 422, "invalid_parameter")
    assert told["parameter"] == "decision_id"


def test_a_parameter_that_is_neither_true_nor_false(client: httpx.Client) -> None:
    told = problem(client.get(f"/decisions/{UNKNOWN}?replay=perhaps"), 422, "invalid_parameter")
    assert told["parameter"] == "replay"


def test_only_an_admin_may_ask(keyed: Server) -> None:
    def ask(name: str | None) -> httpx.Response:
        headers = {} if name is None else {"Authorization": f"Bearer {KEYS[name]}"}
        return keyed.client.get(f"/decisions/{UNKNOWN}?replay=false", headers=headers)

    problem(ask(None), 401, "unauthorized")
    for name in ("decide", "ingest", "shop"):
        problem(ask(name), 403, "forbidden")
    problem(ask("admin"), 404, "unknown_decision")


def test_what_comes_out_otherwise_is_told_field_by_field(own: Server, apart: Path) -> None:
    decision_id = decide(own)
    put_instead(apart, decision_id, answer=b'{"status":"nothing"}')
    told = own.client.get(f"/decisions/{decision_id}").json()["replay"]
    assert (told["identical"], told["trouble"]) == (False, None)
    assert {"field": "answer/status", "recorded": "nothing", "replayed": "decided"} in told["differences"]


def test_a_record_that_is_damaged(own: Server, apart: Path) -> None:
    decision_id = decide(own)
    put_instead(apart, decision_id, state=b"\xc1")
    told = own.client.get(f"/decisions/{decision_id}").json()
    assert told["decision"] is None
    assert "request or state can't be read" in told["replay"]["trouble"]
    problem(own.client.get(f"/decisions/{decision_id}?replay=false"), 500, "internal")


@pytest.mark.parametrize("replay", ["true", "false"])
def test_from_the_archive(own: Server, apart: Path, replay: str) -> None:
    decision_id = decide(own)
    drained = asyncio.run(archive_once(Place(f"unix://{socket_for(apart)}", apart), TRIMMING))
    assert (drained.records, drained.trimmed) == (1, 1)
    told = own.client.get(f"/decisions/{decision_id}?replay={replay}").json()
    assert told["decision"]["id"] == decision_id
    assert replay == "false" or told["replay"]["identical"]


@pytest.mark.chaos
@pytest.mark.parametrize("replay", ["true", "false"])
def test_without_redis(tmp_path_factory: pytest.TempPathFactory, replay: str) -> None:
    data = tmp_path_factory.mktemp("killed")
    with EmbeddedRedis.start(data) as redis, serving(settings(redis_url=redis.url, deadline_ms=300)) as server:
        decision_id = decide(server)
        kill_redis(data)
        problem(server.client.get(f"/decisions/{decision_id}?replay={replay}"), 503, "store_unavailable")


class Held:
    """Processes that make decisions again, each held back at a gate of its own until it is let go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[Path] = set()

    @contextmanager
    def begun(self) -> Iterator[None]:
        """From when the next process is there until it is let go."""
        while not (there := set(self._folder.glob("*.gate")) - self._seen):
            pass
        (gate,) = there
        self._seen.add(gate)
        with gate.open("wb"):  # waits for whoever reads
            yield


def nobody_makes_anything_again() -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"archive.replaying" in (process / "cmdline").read_bytes():
                return False
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended just now
    return True


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    script, gate = tmp_path / "python", f"{tmp_path}/$$.gate"
    script.write_text(f'#!/bin/sh\nmkfifo "{gate}"\nread line < "{gate}"\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    return Held(tmp_path)


def send(server: Server, decision_id: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    sock.sendall(f"GET /decisions/{decision_id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return sock


def test_others_are_answered_meanwhile(server: Server, held: Held) -> None:
    decision_id = decide(server)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.client.get, f"/decisions/{decision_id}")
        with held.begun():
            assert not nobody_makes_anything_again()
            for _ in range(20):
                assert server.ask(customer_id="ada")["degraded"] == []
            assert server.client.get("/readyz").status_code == 200
            assert not asked.done()
        assert asked.result().json()["replay"]["identical"]


def test_one_at_a_time(server: Server, held: Held) -> None:
    decision_id = decide(server)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(server.client.get, f"/decisions/{decision_id}") for _ in range(2)]
        for _ in range(2):
            with held.begun():
                assert sum(each.done() for each in asked) < 2
        assert all(each.result().json()["replay"]["identical"] for each in asked)
    assert nobody_makes_anything_again()


def test_a_client_that_leaves_keeps_nobody_from_asking(server: Server, held: Held) -> None:
    decision_id = decide(server)
    leaving = send(server, decision_id)
    with held.begun():
        leaving.close()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.client.get, f"/decisions/{decision_id}")
        with held.begun():
            pass
        assert asked.result().json()["replay"]["identical"]


def test_what_was_begun_is_finished_at_the_end(apart: Path, held: Held) -> None:
    with serving(settings(data=apart)) as server, send(server, decide(server)) as sock:
        with held.begun():
            server.begin_to_end()
            server.client.close()
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b'"identical":true' in received
    assert nobody_makes_anything_again()


def test_one_that_takes_too_long_is_ended(server: Server, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    decision_id = decide(server)
    with monkeypatch.context() as impatient:
        impatient.setattr(decisions, "WITHIN", 0.0)
        problem(server.client.get(f"/decisions/{decision_id}"), 503, "replay_timeout")
        assert nobody_makes_anything_again()
    monkeypatch.undo()
    assert server.client.get(f"/decisions/{decision_id}").json()["replay"]["identical"]


def test_one_that_fails_is_logged_and_told_without_its_text(
    own: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision_id, script = decide(own), tmp_path / "python"
    script.write_text("#!/bin/sh\ncat > /dev/null\necho out of luck >&2\nexit 1\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    with structlog.testing.capture_logs() as logs:
        response = own.client.get(f"/decisions/{decision_id}")
    problem(response, 500, "internal")
    assert "luck" not in response.text
    assert [log["error"] for log in logs if log.get("decision_id") == decision_id] == ["out of luck\n"]
