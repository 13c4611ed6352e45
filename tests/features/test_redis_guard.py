"""A private redis-server that dies is started again; one that is stopped is not."""

import os
import queue
import signal
from pathlib import Path

import pytest

from features import redis_probe
from features.redis_server import EmbeddedRedis

pytestmark = pytest.mark.chaos
PATIENCE = 60.0


def test_a_server_that_is_killed_comes_back_with_its_data(tmp_path: Path) -> None:
    told: queue.Queue[str] = queue.Queue()
    with EmbeddedRedis.start(tmp_path, appendfsync="always") as server:
        server.guard(tmp_path, told.put, appendfsync="always")
        redis_probe.ask(server.socket_path, "SET", "kept", "yes")
        first = server.pid
        os.kill(first, signal.SIGKILL)
        assert "started again" in told.get(timeout=PATIENCE)
        assert _patiently(server.socket_path, "GET", "kept") == b"yes"
        assert redis_probe.pid(server.socket_path) != first
    assert not redis_probe.answers(server.socket_path)
    assert told.empty()


def test_a_joined_server_is_left_to_who_started_it(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        joined = EmbeddedRedis.start(tmp_path)
        joined.guard(tmp_path, print)
        joined.stop()
        assert redis_probe.ready(server.socket_path)


def _patiently(path: Path, *words: str) -> object:
    while not redis_probe.ready(path):
        pass  # each try waits for the server itself
    return redis_probe.ask(path, *words)
