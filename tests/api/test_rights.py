"""A right is taken away from Redis' user while a service goes by it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api import health
from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.api.serving import Server, problem, serving, settings
from tests.api.test_outage import until_ready

ASK = {"customer_id": "ada", "placements": ["home-banner"]}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path) as redis:
        rights(redis, "+@all")
        yield redis


def rights(redis: EmbeddedRedis, *given: str) -> None:
    redis_probe.ask(redis.socket_path, "ACL", "SETUSER", "limited", "on", ">secret", "~tino:*", *given)


@pytest.fixture
def server(redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(health, "INSPECTED_FOR", 0.0)
    with serving(settings(redis_url=redis.url.replace("unix://", "unix://limited:secret@"))) as server:
        assert server.ask(**ASK)["degraded"] == []
        yield server


@pytest.mark.parametrize("command", ["xadd", "evalsha"])
def test_readiness_tells_for_as_long_as_it_is_missing(redis: EmbeddedRedis, server: Server, command: str) -> None:
    """Be it asked for inside a script, or by it."""
    assert server.client.get("/readyz").status_code == 200
    rights(redis, f"-{command}")
    assert server.client.get("/readyz").status_code == 200, "nobody has asked for it yet"
    assert server.ask(**ASK)["status"] == "fallback"
    told = problem(server.client.get("/readyz"), 503, "not_ready")["detail"]
    assert "has lost a right" in told
    assert command.upper() in told.upper(), "though Redis 6.2 doesn't say which, inside a script"
    rights(redis, "+@all")
    until_ready(server)
    assert server.ask(**ASK)["degraded"] == []
