"""`tino reload` on a real service: two workers under load, one that is killed, one that was frozen, Redis restarted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalog.loading import load_catalog
from features.catalogs import CatalogStore
from features.link import Link
from features.redis_server import EmbeddedRedis, socket_for
from features.reload import ReloadFailed, reload
from features.workers import Present, Workers
from tests.api.serving import PATIENCE, serving, settings
from tests.api.test_outage import kill_redis, until_ready
from tests.cli.conftest import TINO, environment
from tests.cli.test_serve import free_port, until_alive

CONNECTIONS = 8
CUSTOMERS = 40
_BODY = b'{"customer_id": "somebody"}'
REQUEST = (
    b"POST /next-action HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


def write(folder: Path, file_name: str, limit: int, name: str = "shop") -> Path:
    file = folder / f"{file_name}.yaml"
    file.write_text(
        f"catalog: 1\nname: {name}\nchannels: {{web: {{direction: inbound}}}}\n"
        "actions: {hello: {value: 1, treatments: {web: {t: Hello}}}}\n"
        f"contact_policies: {{web: {{limit: {limit}, rolling: 1d, scope: {{channel: web}}}}}}\n"
    )
    return file


@dataclass
class Service:
    """A `tino serve` with `url` as its Redis."""

    folder: Path
    url: str
    client: httpx.Client
    port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tino(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TINO, *words], cwd=self.folder, env=environment(REDIS_URL=self.url),
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def digest(self, file: Path) -> str:
        return load_catalog(file).digest

    def ask(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.post("/next-action", json={"customer_id": "somebody"}).json()
        return answer

    def there(self) -> list[Present]:
        async def ask() -> list[Present]:
            link = Link(self.url)
            try:
                return await Workers(link).present()
            finally:
                await link.close()

        return asyncio.run(ask())

    def until_there(self, count: int) -> list[Present]:
        while len(there := self.there()) != count:
            pass
        return there


def pid(worker: Present) -> int:
    return int(worker.name.split(":")[1])


@contextlib.contextmanager
def served(folder: Path, workers: int) -> Iterator[Service]:
    catalog, port, log = write(folder, "first", 3), free_port(), folder / "log"
    command = [str(TINO), "serve", "--catalog", str(catalog), "--port", str(port), "--workers", str(workers)]
    with EmbeddedRedis.start(folder / "data") as redis, log.open("wb") as out:
        patient = environment(REDIS_URL=redis.url, TINO_DEADLINE_MS="20000")
        process = subprocess.Popen(command, cwd=folder, env=patient, stdout=out, stderr=out)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as client:
                until_alive(client, process)
                service = Service(folder, redis.url, client, port)
                service.until_there(workers)
                yield service
        finally:
            process.terminate()
            process.wait()
            print(log.read_text(errors="replace"))  # shown if the test has failed


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with served(tmp_path, 2) as running:
        yield running


@dataclass
class Load:
    """Clients that ask for the same few customers all the time; `answers` holds what came, and whether it was asked
    after the reload had returned."""

    base: str
    returned: bool = False
    over: bool = False
    answers: list[tuple[bool, dict[str, Any]]] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def one(self, first: int) -> None:
        async with httpx.AsyncClient(base_url=self.base, timeout=PATIENCE, trust_env=False) as client:
            number = first
            while not self.over:
                after = self.returned
                response = await client.post("/next-action", json={"customer_id": f"c-{number % CUSTOMERS}"})
                assert response.status_code == 200, response.text
                number += CONNECTIONS
                async with self.came:
                    self.answers.append((after, response.json()))
                    self.came.notify_all()

    async def until(self, count: int) -> None:
        reached = len(self.answers) + count
        async with self.came:
            await self.came.wait_for(lambda: len(self.answers) >= reached)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for first in range(CONNECTIONS):
                group.create_task(self.one(first))
            yield
            self.over = True


async def reload_under(load: Load, service: Service, catalog: Path) -> None:
    async with load.running():
        await load.until(CUSTOMERS)
        done = await asyncio.to_thread(service.tino, "reload", catalog)
        load.returned = True
        assert done.returncode == 0, done.stderr
        assert "2 workers serve it" in done.stdout
        await load.until(2 * CUSTOMERS)


def test_a_tighter_limit_binds_once_it_has_returned(service: Service) -> None:
    """And no request fails, and each answer then names the new catalog."""
    tighter = write(service.folder, "tighter", 1)
    before, after = service.digest(service.folder / "first.yaml"), service.digest(tighter)
    load = Load(service.base)
    asyncio.run(reload_under(load, service, tighter))
    assert [answer["degraded"] for _, answer in load.answers if answer["degraded"]] == []
    assert {answer["catalog"] for asked_after, answer in load.answers if not asked_after} >= {before}
    assert {answer["catalog"] for asked_after, answer in load.answers if asked_after} == {after}
    granted = {answer["customer_id"] for asked_after, answer in load.answers if answer["actions"] and not asked_after}
    again = [answer for asked_after, answer in load.answers if asked_after and answer["actions"]]
    assert [answer for answer in again if answer["customer_id"] in granted] == []
    assert f'tino_catalog_info{{digest="{after}",name="shop"}} 2.0' in service.client.get("/metrics").text
    assert f'tino_catalog_info{{digest="{before}",name="shop"}} 0.0' in service.client.get("/metrics").text


def test_what_can_not_be_served_changes_nothing(service: Service) -> None:
    first = service.ask()["catalog"]
    broken = service.folder / "broken.yaml"
    broken.write_text("catalog: 1\nname: broken\ncolour: red\n")
    done = service.tino("reload", broken)
    assert done.returncode == 1
    assert f"{broken}:3:1: error: colour: " in done.stderr
    assert f"{broken}: not loaded" in done.stderr

    async def reload_unreadable() -> str:
        link = Link(service.url)
        catalogs = CatalogStore(link)
        await catalogs.keep_packed("sha256:0", b"from a later version")
        with pytest.raises(ReloadFailed) as failed:
            await reload(catalogs, Workers(link), "sha256:0", PATIENCE)
        await link.close()
        return str(failed.value)

    reason = asyncio.run(reload_unreadable())
    workers = service.until_there(2)
    assert any(worker.name in reason for worker in workers)
    assert "this is no bundle" in reason
    assert f"{first} is in force again" in reason
    assert [worker.entry.digest for worker in workers] == [first, first]
    assert service.ask()["catalog"] == first
    assert service.client.get("/readyz").status_code == 200


@pytest.mark.chaos
def test_a_worker_that_has_died_is_not_waited_for_long(service: Service) -> None:
    """The one that takes its place follows the pointer, whatever the file it was started with says by now."""
    write(service.folder, "first", 2).write_text("no catalog")
    second = write(service.folder, "second", 2)
    os.kill(pid(service.there()[0]), signal.SIGKILL)  # its entry stays for some seconds yet
    done = service.tino("reload", second)
    assert done.returncode == 0, done.stderr
    digest = service.digest(second)
    assert {worker.entry.digest for worker in service.there()} == {digest}
    assert {worker.entry.digest for worker in service.until_there(2)} == {digest}


@pytest.mark.chaos
def test_a_worker_that_was_frozen_decides_nothing_by_an_old_catalog(tmp_path: Path) -> None:
    with served(tmp_path, 1) as service:
        (only,) = service.there()
        assert service.ask()["status"] == "decided"
        os.kill(pid(only), signal.SIGSTOP)
        try:
            second = write(tmp_path, "second", 1)
            done = service.tino("reload", second)
            assert (done.returncode, "0 workers serve it" in done.stdout) == (0, True), done.stderr
            # Written before it wakes up, so that it is the first thing it finds.
            with socket.create_connection(("127.0.0.1", service.port)) as waiting:
                waiting.sendall(REQUEST)
                os.kill(pid(only), signal.SIGCONT)
                answer = json.loads(waiting.makefile("rb").read().partition(b"\r\n\r\n")[2])
        finally:
            os.kill(pid(only), signal.SIGCONT)
        assert (answer["actions"], answer["reason"]) in [([], "contact_policy"), ([], "degraded")]
        while (answer := service.ask())["reason"] == "degraded":
            pass
        assert answer["catalog"] == service.digest(second)


@pytest.mark.chaos
def test_redis_comes_back_and_what_it_forgot_it_is_told(tmp_path: Path) -> None:
    second = write(tmp_path, "second", 1, "api-tests")  # a version of what is served
    url = f"unix://{socket_for(tmp_path)}"
    plain = environment(REDIS_URL=url)
    with EmbeddedRedis.start(tmp_path), serving(settings(redis_url=url)) as server:
        before = server.ask(customer_id="a")["catalog"]
        kill_redis(tmp_path)
        with EmbeddedRedis.start(tmp_path):
            until_ready(server)
            asyncio.run(forget(url))
            while asyncio.run(in_force(url)) != before:
                pass
            done = subprocess.run([TINO, "reload", second], env=plain, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert server.ask(customer_id="a")["catalog"] == load_catalog(second).digest


async def forget(url: str) -> None:
    link = Link(url)
    await link.ask("FLUSHALL", within=PATIENCE)
    await link.close()


async def in_force(url: str) -> str:
    link = Link(url)
    pointer = await CatalogStore(link).in_force()
    await link.close()
    return pointer.digest
