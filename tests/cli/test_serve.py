"""`tino serve`, from its start to a decision to SIGTERM."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from features import redis_probe
from features.redis_server import socket_for
from tests.cli.conftest import TINO, Tino, environment

READY_WITHIN = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_alive(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end:
        assert process.poll() is None, "the service ended"
        try:
            if client.get("/livez").is_success and client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    pytest.fail("the service is not ready")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGHUP])  # which is passed on as SIGTERM
def test_a_decision_over_http(folder: Path, tino: Tino, end: signal.Signals) -> None:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    port = free_port()
    command: list[str | Path] = [TINO, "serve", "--catalog", "catalog.yaml", "--port", str(port), "--now", "2150-01-01"]
    log = folder / "log"
    # To a file: a redis-server that outlived the service would hold a pipe open.
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(TINO_NOW="2160-01-01"), stdout=out, stderr=subprocess.STDOUT
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=READY_WITHIN, trust_env=False) as client:
            until_alive(client, process)
            answer = client.post("/next-action", json={"customer_id": "a"})
        assert (answer.status_code, answer.json()["actions"][0]["action"]) == (200, "regulars")
        assert answer.json()["valid_until"].startswith("2150-01-01")  # what is said beats what is in the environment
    finally:
        process.send_signal(end)
        try:
            process.wait(READY_WITHIN)
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGTERM), log.read_text()
    assert "Traceback" not in log.read_text()
    assert not redis_probe.answers(socket_for(folder / ".data" / "catalog"))  # it did not outlive the service
    done = tino("decide", "catalog.yaml", "a", "--channel", "in_app", "--limit", "9")
    assert done.stdout.count('"status":"decided"') == 1


def test_what_keeps_it_from_starting_is_said(folder: Path, tino: Tino) -> None:
    missing = tino("serve", "--catalog", "missing.yaml")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "missing.yaml: not loaded" in missing.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = tino("serve", "--catalog", "catalog.yaml", "--port", port)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = refused.stderr.splitlines()[-1]
    assert said == f"tino: can't listen on 127.0.0.1:{port}: Address already in use"
    assert not (folder / ".data").exists()  # nothing was begun
    nowhere = tino("serve", "--catalog", "catalog.yaml", REDIS_URL="redis://127.0.0.1:1")
    assert nowhere.returncode == 1
    assert "127.0.0.1:1" in nowhere.stderr
