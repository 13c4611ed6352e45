"""The service as it is really started: its own process, settings from the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from features import redis_probe
from features.opening import open_store
from features.redis_server import EmbeddedRedis, socket_for
from features.replacing import AnotherName
from service import Service, create_app
from tests.api.serving import CATALOG, EVENTS_CATALOG, listening, settings

ROOT = Path(__file__).parents[2]
LATE = 5_600_000_000_000_000  # in 2147, in microseconds since 1970


def start(fd: int, **variables: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", "service:app", "--fd", str(fd), "--no-access-log"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TINO_", "REDIS_URL"))}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment | variables, pass_fds=(fd,), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_uvicorn_runs_it_and_ends_it_in_order(tmp_path: Path) -> None:
    with listening() as sock:
        process = start(sock.fileno(), TINO_CATALOG=str(CATALOG), TINO_DATA=str(tmp_path), TINO_NAW="real")
        # `--fd` makes uvicorn take it for a unix socket, whose peers have no address: the port is asked anyway.
        with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=60) as client:
            assert client.get("/readyz").json() == {"status": "ready"}
        assert redis_probe.answers(socket_for(tmp_path))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert b"only this machine is served" in output
    assert b'"variable": "TINO_NAW", "likely": "TINO_NOW"' in output
    assert b"Traceback" not in output
    assert not redis_probe.answers(socket_for(tmp_path))
    with EmbeddedRedis.start(tmp_path) as redis:
        assert redis.owned


def test_a_catalog_of_another_name_takes_no_place_unasked(tmp_path: Path) -> None:
    """Nor is the clock of the other's data set."""

    async def started(**given: Any) -> None:
        service = create_app(settings(redis_url=redis.url, data=tmp_path, **given))
        try:
            await service.start()
        finally:
            await service.stop()

    async def ahead() -> bool:
        store = await open_store(redis.url, keep_clock=False)
        now = store.clock.now()
        await store.ledger.link.close()
        return now > LATE

    with EmbeddedRedis.start(tmp_path) as redis:
        asyncio.run(started())
        for other in ({"catalog": EVENTS_CATALOG}, {"catalog": EVENTS_CATALOG, "now": "2150-01-01"}):
            with pytest.raises(AnotherName, match="--replace-catalog"):
                asyncio.run(started(**other))
        assert not asyncio.run(ahead())
        asyncio.run(started(**other, replace_catalog=True))
        assert asyncio.run(ahead())


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TINO_DEADLINE_MS": "soon"}, b"TINO_DEADLINE_MS: "),
        ({}, b"TINO_CATALOG: must name the catalog that is to be served"),
        ({"TINO_CATALOG": "/nowhere.yaml"}, b"/nowhere.yaml"),
    ],
)
def test_what_forbids_a_start_is_told_in_a_sentence(tmp_path: Path, variables: dict[str, str], sentence: bytes) -> None:
    with listening() as sock:
        process = start(sock.fileno(), TINO_DATA=str(tmp_path), **variables)
        output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert sentence in output
    assert b"Traceback" not in output


async def _lifespan(service: Service) -> list[dict[str, Any]]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await service({"type": "lifespan"}, receive, send)
    return sent


@pytest.fixture
def used(redis: EmbeddedRedis) -> EmbeddedRedis:
    """A service with the default layout has been there before."""

    async def open_once() -> None:
        store = await open_store(redis.url)
        await store.ledger.link.close()

    asyncio.run(open_once())
    return redis


def test_what_has_failed_beside_the_answering_keeps_nothing_open_at_the_end(tmp_path: Path) -> None:
    async def fails() -> None:
        raise ValueError("long ago")

    async def live() -> None:
        service = Service(settings(data=tmp_path))
        await service.start()
        service._tasks.append(asyncio.create_task(fails()))
        await asyncio.sleep(0)
        with structlog.testing.capture_logs() as logs:
            await service.stop()
        assert [str(log["exc_info"]) for log in logs if log["log_level"] == "error"] == ["long ago"]

    asyncio.run(live())
    assert not redis_probe.answers(socket_for(tmp_path))


def test_data_of_another_layout_forbids_a_start(used: EmbeddedRedis) -> None:
    sent = asyncio.run(_lifespan(create_app(settings(redis_url=used.url, partitions=7))))
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "partitions" in sent[0]["message"]


def test_a_clock_that_cannot_be_read_forbids_a_start(used: EmbeddedRedis) -> None:
    sent = asyncio.run(_lifespan(create_app(settings(redis_url=used.url, now="yesterday"))))
    assert "yesterday" in sent[0]["message"]
