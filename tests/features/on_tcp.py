"""A redis-server of the tests' own on TCP, on a port of this machine that was free a moment ago."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path


def start_on_tcp(
    binary: Path, directory: Path, *words: str | Path, port_option: str = "--port", below: int = 65_536
) -> tuple[subprocess.Popen[bytes], int]:
    """The server, which listens, and its port. Raises RuntimeError, with its log, where it ends instead."""
    said = ""
    settings = ["--bind", "127.0.0.1", "--appendonly", "yes", "--save", "", "--dir", directory, *words]
    # redis-server cannot let the system choose: between asking for a free port and using it another may take it.
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port >= below:
            continue
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([binary, *settings, port_option, str(port)], stdout=log, stderr=log)
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return process, port
        if "ddress already in use" not in (said := (directory / "log").read_text()):
            break
    raise RuntimeError(f"no redis-server on TCP: {said}")
