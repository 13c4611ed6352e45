"""The grocery example's data, prepared and imported as `make serve` does it, but into a folder of a test's own."""

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.grocery.events import TABLES
from examples.grocery.source import DataMissingError, find_source
from features import redis_probe
from features.customer import Customer
from features.encoding import decode
from features.redis_server import EmbeddedRedis
from tests.cli.conftest import TINO, environment
from tests.docs.pages import ROOT

NOW = "2017-10-01T09:00"
CATALOG = "examples/grocery"
DONE_WITHIN = 600.0  # a million and a half of events take ten seconds, but not on a machine that does ten other things
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
        capture_output=True, text=True, timeout=DONE_WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stderr)
    return done


@dataclass(frozen=True)
class Imported:
    """`prepared` are the files, `said` the last lines of the two imports."""

    folder: Path
    said: list[str]

    @property
    def prepared(self) -> Path:
        return self.folder / "prepared"

    def copy_to(self, data: Path) -> Path:
        """For what is to change it, or to be the only one that serves it."""
        shutil.copytree(self.folder / "data", data, ignore=shutil.ignore_patterns("*.lock"), dirs_exist_ok=True)
        return data


def imported(factory: pytest.TempPathFactory) -> Imported:
    """Prepared and imported once in a run, by the first of its processes that asks. Skips where there are no tables."""
    try:
        find_source()
    except DataMissingError as missing:
        pytest.skip(str(missing))
    mine = factory.getbasetemp()
    root = mine if "PYTEST_XDIST_WORKER" not in os.environ else mine.parent
    folder, said = root / "grocery", root / "grocery" / "said"
    with (root / "grocery.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of somebody who didn't finish
            _import_into(folder)
    return Imported(folder, said.read_text(encoding="utf-8").splitlines())


def _import_into(folder: Path) -> None:
    prepared = folder / "prepared"
    run(sys.executable, "-m", "examples.grocery.prepare", "--out", prepared)
    where = ["--catalog", CATALOG, "--data", str(folder / "data"), "--now", NOW]
    events = [prepared / f"{name}.parquet" for name in TABLES]
    done = (
        run(TINO, "import", "customers", prepared / "households.parquet", *where),
        run(TINO, "import", "events", *events, *where),
    )
    (folder / "said").write_text("".join(each.stdout.splitlines()[-1] + "\n" for each in done), encoding="utf-8")


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
