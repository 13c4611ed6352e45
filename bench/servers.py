"""Servers under test, each a process of its own that is stopped when its measurement is over.

The server has the first core to itself; what it needs beside it (Redis, the load generator) shares the others. Else
the scheduler would measure its own choices: on two cores it likes to wake a client on the core of the server.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.load import Load, Measured
from features.redis_server import EmbeddedRedis

READY_WITHIN = 60.0
_FIRST, *_REST = sorted(os.sched_getaffinity(0))
_SERVER, _BESIDE = {_FIRST}, set(_REST) or {_FIRST}
UVICORN = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "error"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def baseline(app: str) -> Iterator[int]:
    """A server of `bench.baselines`, one worker; yields its port."""
    port = free_port()
    with _running([*UVICORN, "--port", str(port), f"bench.baselines:{app}"], port):
        yield port


@contextmanager
def tino(catalog: Path, data: Path) -> Iterator[int]:
    """`tino serve`, one worker, with a redis-server beside it (AOF, everysec); yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve", "--catalog", str(catalog), "--port", str(port)]
    with EmbeddedRedis.start(data) as redis:
        os.sched_setaffinity(redis.pid, _BESIDE)
        with _running(command, port, REDIS_URL=redis.url):
            yield port


def measure(load: Load) -> Measured:
    """Runs the load generator in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "bench.load", ",".join(map(str, _BESIDE))],
        input=json.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return Measured(**answer)


@contextmanager
def _running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, _SERVER)
    try:
        _wait_until_listening(process, port)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
