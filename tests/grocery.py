"""The grocery example's data, prepared and imported as `make serve` does it, but into a folder of a test's own."""

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.grocery.events import TABLES
from features import redis_probe
from features.customer import Customer, decode
from features.redis_server import EmbeddedRedis
from tests.cli.conftest import TINO, environment
from tests.cli.test_serve import READY_WITHIN
from tests.docs.pages import ROOT

NOW = "2017-10-01T09:00"
CATALOG = "examples/grocery"
OF_A_STATE = ":c:"  # in its key
VERSION_AND_TIME = 32  # bytes before the customer


@dataclass(frozen=True)
class Stored:
    """A customer as they stand in Redis, and the bytes they take there."""

    customer: Customer
    bytes: int


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """In the project's root; the command has to succeed."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=READY_WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stderr)
    return done


def prepare(folder: Path) -> None:
    run(sys.executable, "-m", "examples.grocery.prepare", "--out", folder)


def fill(data: Path, prepared: Path) -> list[str]:
    """Imports households and events; what the two commands said last."""
    where = ["--catalog", CATALOG, "--data", str(data), "--now", NOW]
    events = [prepared / f"{name}.parquet" for name in TABLES]
    done = (
        run(TINO, "import", "customers", prepared / "households.parquet", *where),
        run(TINO, "import", "events", *events, *where),
    )
    return [each.stdout.splitlines()[-1] for each in done]


def stored(data: Path) -> dict[str, Stored]:
    """All customers by id, of a folder that nobody uses."""
    with ExitStack() as opened:
        socket = opened.enter_context(EmbeddedRedis.start(data)).socket_path

        def ask(*words: str) -> Any:
            return redis_probe.ask(socket, *words)

        keys = [key.decode() for key in ask("KEYS", f"tino:{{*{OF_A_STATE}*")]
        return {
            key.split(OF_A_STATE, 1)[1]: Stored(
                decode(ask("GETRANGE", key, str(VERSION_AND_TIME), "-1")), int(ask("MEMORY", "USAGE", key))
            )
            for key in keys
        }
