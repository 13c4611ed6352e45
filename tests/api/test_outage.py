"""Redis goes away and comes back."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
import structlog

from features import redis_probe
from features.errors import NotConnected
from features.redis_server import EmbeddedRedis, socket_for
from tests.api.serving import Server, problem, serving, settings

pytestmark = pytest.mark.chaos


def kill_redis(data: Path) -> None:
    """Returns once it is gone, whoever its parent is."""
    pid = redis_probe.pid(socket_for(data))
    watched = os.pidfd_open(pid)
    signal.pidfd_send_signal(watched, signal.SIGKILL)
    os.close(watched)
    with contextlib.suppress(NotConnected):
        while redis_probe.pid(socket_for(data)) == pid:
            pass


def until_ready(server: Server) -> None:
    while server.client.get("/readyz").status_code != 200:
        pass


def test_decisions_go_on_without_redis_and_writes_are_refused(tmp_path: Path) -> None:
    # Somebody else's Redis: one that the service started would be started again.
    with EmbeddedRedis.start(tmp_path) as mine, serving(settings(redis_url=mine.url, deadline_ms=300)) as server:
        client = server.client
        assert client.put("/customers/ada", json={"consents": {"marketing": True}}).status_code == 200
        kill_redis(tmp_path)

        answer = server.ask(customer_id="ada", placements=["home-banner"])
        assert (answer["status"], answer["reason"]) == ("fallback", "degraded")
        assert answer["degraded"] == ["store_unavailable"]
        assert [action["action"] for action in answer["actions"]] == ["welcome"]
        assert server.ask(customer_id="ada", placements=["feed"])["actions"] == []
        for response in (
            client.put("/customers/ada", json={"attributes": {}}),
            client.put("/customers/ada/consents/marketing", json={"granted": False}),
            client.delete("/customers/ada"),
            client.get("/customers/ada"),
            client.get("/customers/ada/contacts"),
        ):
            problem(response, 503, "store_unavailable")
            assert response.headers["retry-after"] == "1"
        problem(client.get("/readyz"), 503, "not_ready")
        assert client.get("/livez").status_code == 200
        assert 'tino_degraded_total{kind="store_unavailable"} 2.0' in client.get("/metrics").text

        with EmbeddedRedis.start(tmp_path):
            until_ready(server)
            assert client.get("/customers/ada").json()["consents"]["marketing"]["granted"] is True
            answer = server.ask(customer_id="ada", placements=["home-banner"])
            assert answer["degraded"] == []
            assert [action["action"] for action in answer["actions"]] == ["voucher"]


def test_a_private_redis_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with serving(settings(data=tmp_path, appendfsync="always")) as server:
        assert server.client.put("/customers/ada", json={"consents": {"marketing": True}}).status_code == 200
        kill_redis(tmp_path)
        until_ready(server)
        assert server.client.get("/customers/ada").json()["consents"]["marketing"]["granted"] is True


def test_a_redis_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    url = f"unix://{socket_for(tmp_path)}"
    with serving(settings(redis_url=url)) as server:
        problem(server.client.get("/readyz"), 503, "not_ready")
        response = server.client.post("/next-action", json={"customer_id": "a"})
        problem(response, 503, "not_ready")
        assert response.headers["retry-after"] == "1"
        problem(server.client.get("/customers/a"), 503, "not_ready")
        with EmbeddedRedis.start(tmp_path):
            until_ready(server)
            assert server.ask(customer_id="a")["degraded"] == []


def test_a_redis_that_comes_as_a_replica_is_waited_for_until_it_is_none(tmp_path: Path) -> None:
    comes = tmp_path / "comes"
    with EmbeddedRedis.start(tmp_path):
        redis_probe.ask(socket_for(tmp_path), "REPLICAOF", "127.0.0.1", "1")
        with serving(settings(redis_url=f"unix://{comes}")) as server:
            problem(server.client.get("/readyz"), 503, "not_ready")
            comes.symlink_to(socket_for(tmp_path))
            while "replica" not in problem(server.client.get("/readyz"), 503, "not_ready")["detail"]:
                pass
            redis_probe.ask(socket_for(tmp_path), "REPLICAOF", "NO", "ONE")
            until_ready(server)
            assert server.ask(customer_id="a")["degraded"] == []


def test_start_and_readiness_tell_what_is_wrong_with_a_redis(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as redis:
        redis_probe.ask(redis.socket_path, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        with structlog.testing.capture_logs() as logs, serving(settings(redis_url=redis.url)) as server:
            told = problem(server.client.get("/readyz"), 503, "not_ready")
            assert "noeviction" in told["detail"]
    said = [log["problem"] for log in logs if log["event"] == "not to be relied on"]
    assert [problem.partition(":")[0] for problem in said] == ["maxmemory-policy is allkeys-lru"]
