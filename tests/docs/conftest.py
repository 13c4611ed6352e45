"""One real service with the grocery example, started as README says, but on data and a port of its own."""

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import TINO, environment
from tests.cli.test_serve import READY_WITHIN, free_port, until_alive
from tests.docs.pages import README, ROOT, blocks
from tests.grocery import DONE_WITHIN, imported
from tests.replayed import made_again_under

CATALOG = ["--catalog", "examples/grocery"]
NOW = "2017-10-01T09:00"


@dataclass(frozen=True)
class Served:
    """`client` speaks to the service, whose Redis keeps its data under `data`."""

    client: httpx.Client
    data: Path


@dataclass(frozen=True)
class Step:
    """A curl command of README, what is shown below it, and what came of it here."""

    command: str
    shown: dict[str, Any]
    status: int
    answer: dict[str, Any]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """In the project's root."""
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=DONE_WITHIN, check=False
    )


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = imported(tmp_path_factory).copy_to(tmp_path_factory.mktemp("grocery"))
    where = [*CATALOG, "--data", str(data), "--now", NOW]
    port, log = free_port(), data / "log"
    asked: list[httpx.Request] = []
    # What is documented isn't about deadlines: on a busy machine there is time.
    patient = environment(TINO_DEADLINE_MS="20000")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [TINO, "serve", *where, "--port", str(port)], cwd=ROOT, env=patient, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        hooks = {"request": [lambda request: asked.append(request) if request.url.path == "/next-action" else None]}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=READY_WITHIN, trust_env=False, event_hooks=hooks
        ) as client:
            until_alive(client, process)
            yield Served(client, data)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(READY_WITHIN)
        finally:
            process.kill()
    assert bool(made_again_under(data)) == bool(asked)


@pytest.fixture(autouse=True)
def _made_again(tmp_path: Path) -> Iterator[None]:
    """What was decided on data of a test's own, too."""
    yield
    made_again_under(tmp_path)


@pytest.fixture(scope="session")
def steps(served: Served) -> list[Step]:
    """README's curl commands, run in order."""
    found = blocks(README)
    return [
        step(served, block.text, json.loads(found[number + 1].text))
        for number, block in enumerate(found)
        if block.language == "bash" and block.text.startswith("curl ")
    ]


def step(served: Served, command: str, shown: dict[str, Any]) -> Step:
    method, url, headers, data = "GET", "", {}, None
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    for word in words:
        match word:
            case "-s":
                pass
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                data = next(words)
            case _:
                assert word.startswith("localhost:8000"), command
                url = word.removeprefix("localhost:8000")
    if data is not None and method == "GET":
        method = "POST"
    response = served.client.request(method, url, content=data, headers=headers)
    return Step(command, shown, response.status_code, response.json())
