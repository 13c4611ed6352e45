"""Servers under test, each a process of its own that is killed when its measurement is over."""

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

READY_WITHIN = 60.0
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
def tino(catalog: Path, data: Path, workers: int = 1) -> Iterator[int]:
    """`tino serve`; yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve", "--catalog", str(catalog), "--data", str(data)]
    with _running([*command, "--port", str(port), "--workers", str(workers)], port):
        yield port


def measure(load: Load) -> Measured:
    """Runs the load generator in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=json.dumps(asdict(load)), capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return Measured(**answer)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
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
