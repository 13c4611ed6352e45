"""The whole service: `tino serve` with two workers, asked over HTTP by many connections at once."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.exactness.catalogs import EMAIL, IN_APP, at_most, write_catalog
from tests.exactness.messages import PATIENCE
from tests.exactness.test_limits import WHO
from tests.exactness.truth import check_consistent, read

ROOT = Path(__file__).parents[2]
LIMIT = 100
ASKED = 400
CONNECTIONS = 16
READY_WITHIN = 60.0


@pytest.fixture
def service(url: str, tmp_path: Path) -> Iterator[str]:
    """Its address. The port was free a moment before, as a supervisor does not say which one the system chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    catalog = write_catalog(tmp_path, at_most(LIMIT))
    command = [sys.executable, "-m", "cli", "serve", "--catalog", str(catalog), "--port", str(port), "--workers", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINO_")}
    environment |= {"REDIS_URL": url, "TMPDIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        print((tmp_path / "log").read_text(errors="replace"))  # shown if the test has failed


async def until_ready(client: httpx.AsyncClient) -> None:
    """The workers are no children of ours and say nothing when they are up: they can only be asked."""
    async with asyncio.timeout(READY_WITHIN):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.anyio
async def test_the_limit_holds_over_http(service: str, url: str) -> None:
    async with httpx.AsyncClient(base_url=service, timeout=PATIENCE) as client:
        await until_ready(client)
        known = {"attributes": {"email": "c@example.com"}, "consents": {"marketing": True}}
        (await client.put(f"/customers/{WHO}", json=known)).raise_for_status()

    async def one_connection(first: int) -> list[dict[str, Any]]:
        # A client of its own, opened while the others' are in use, so that both workers get some of them.
        async with httpx.AsyncClient(base_url=service, timeout=PATIENCE) as client:
            return [await ask(client, number) for number in range(first, ASKED, CONNECTIONS)]

    batches = await asyncio.gather(*(one_connection(first) for first in range(CONNECTIONS)))
    answers = [answer for batch in batches for answer in batch]
    assert [answer["degraded"] for answer in answers if answer["degraded"]] == []
    assert Counter(answer["status"] for answer in answers) == {"decided": LIMIT, "nothing": ASKED - LIMIT}
    truth = await asyncio.to_thread(read, url, WHO)
    assert truth.granted.total() == LIMIT
    assert truth.answers.keys() == {answer["decision_id"] for answer in answers}
    check_consistent(truth)


async def ask(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
    """Each is sent twice, with the same key: the second is a retry, and must be told the same."""
    body = {"customer_id": WHO, "channels": [(EMAIL, IN_APP)[number % 2]], "deadline_ms": 20_000}
    first, retry = [
        (await client.post("/next-action", json=body, headers={"idempotency-key": f"r-{number}"})).raise_for_status()
        for _ in range(2)
    ]
    assert first.content == retry.content
    answer: dict[str, Any] = first.json()
    return answer
