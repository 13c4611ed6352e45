"""A catalog beside the one in force: what is committed keeps to that, and another's doesn't take its place unasked."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from catalog.bundle import bundle_of
from catalog.loading import load_catalog
from features.catalogs import CatalogStore, Pointer
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.reload import reload
from features.workers import Workers
from tests.cli.conftest import CATALOG, TINO, Tino, environment
from tests.cli.test_serve import READY_WITHIN

DATA = ("--data", "d")


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """Of the Redis under d, where catalog.yaml is in force. looser.yaml is a version of it, other.yaml another's."""
    (folder / "looser.yaml").write_text(CATALOG.replace("limit: 2", "limit: 50"))
    (folder / "other.yaml").write_text(CATALOG.replace("name: tiny", "name: other").replace("regulars", "friends"))
    with EmbeddedRedis.start(folder / "d") as redis:
        asyncio.run(put_in_force(redis.url, folder / "catalog.yaml"))
        yield redis.url


async def put_in_force(url: str, file: Path) -> None:
    link, loaded = Link(url), load_catalog(file)
    catalogs = CatalogStore(link)
    await catalogs.keep(loaded.digest, bundle_of(loaded))
    await catalogs.put_in_force(loaded.digest, Pointer(0, ""))
    await link.close()


def in_force(url: str) -> str:
    async def ask() -> str:
        link = Link(url)
        pointer = await CatalogStore(link).in_force()
        await link.close()
        return pointer.digest

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("file", "named"), [("looser.yaml", "tiny (sha256:"), ("other.yaml", "other (sha256:")], ids=["version", "another"]
)
def test_nothing_is_committed_by_a_catalog_that_is_not_in_force(
    tino: Tino, url: str, folder: Path, file: str, named: str
) -> None:
    refused = tino("decide", file, "a", "--commit", "--channel", "in_app", "--now", "2150-01-01", *DATA)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"in force is tiny ({in_force(url)})" in refused.stderr
    assert f"but this is {named}" in refused.stderr
    replacing = " --replace-catalog" if file == "other.yaml" else ""
    assert f"`tino reload {file} --data d{replacing}`" in refused.stderr
    dry = tino("decide", file, "a", "--channel", "in_app", *DATA)
    assert (dry.returncode, json.loads(dry.stdout)["status"]) == (0, "decided")
    assert json.loads(dry.stdout)["valid_until"] < "2150"  # what was refused has set no clock
    assert re.fullmatch(r"decided by \w+ \(sha256:\w+\), though in force is tiny \(sha256:\w+\)\n", dry.stderr)
    by_the_one_in_force = tino("decide", "catalog.yaml", *"aaa", "--commit", "--channel", "in_app", *DATA)
    assert (by_the_one_in_force.returncode, by_the_one_in_force.stderr) == (0, "")
    assert [json.loads(line)["status"] for line in by_the_one_in_force.stdout.splitlines()][2] == "nothing"


def test_what_commits_first_is_in_force(tino: Tino, folder: Path) -> None:
    """Though nobody has served: else each catalog would hold its own limits alone."""
    (folder / "looser.yaml").write_text(CATALOG.replace("limit: 2", "limit: 50"))
    words = ["--commit", "--channel", "in_app", "--data", "new"]
    first = tino("decide", "catalog.yaml", *"aaa", *words)
    assert [json.loads(line)["status"] for line in first.stdout.splitlines()] == ["decided", "decided", "nothing"]
    other = tino("decide", "looser.yaml", "a", *words)
    assert (other.returncode, other.stdout) == (1, "")
    assert f"in force is tiny ({load_catalog(folder / 'catalog.yaml').digest})" in other.stderr
    assert tino("decide", "catalog.yaml", "b", *words).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ["reload", "other.yaml"],
        ["serve", "--catalog", "other.yaml", "--port", "0", "--now", "2150-01-01"],
        ["import", "customers", "customers.csv", "--catalog", "other.yaml", "--now", "2150-01-01"],
        ["import", "events", "customers.csv", "--catalog", "other.yaml", "--now", "2150-01-01"],
    ],
    ids=" ".join,
)
def test_a_catalog_of_another_name_takes_no_place_unasked(tino: Tino, url: str, command: list[str]) -> None:
    before = in_force(url)
    done = tino(*command, *DATA)
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()[-1]
    assert said.startswith("tino: the catalog in force here is 'tiny', and this one is 'other': is this the data you")
    assert "--replace-catalog" in said
    assert in_force(url) == before
    assert year(url) < 2150


def year(url: str) -> int:
    async def ask() -> int:
        store = await open_store(url, keep_clock=False)
        now = store.clock.now()
        await store.ledger.link.close()
        return 1970 + now // (366 * 86_400_000_000)

    return asyncio.run(ask())


def test_the_same_name_is_reloaded_and_another_where_that_is_said(tino: Tino, url: str, folder: Path) -> None:
    for words in (["looser.yaml"], ["other.yaml", "--replace-catalog"], ["other.yaml"]):
        done = tino("reload", *words, *DATA)
        assert done.returncode == 0, done.stderr
        told = "warning: actions: the catalog before declared `regulars`, and this one doesn't" in done.stderr
        assert told == ("--replace-catalog" in words), done.stderr
        assert in_force(url) == load_catalog(folder / words[0]).digest
    back = tino("reload", "catalog.yaml", *DATA, TINO_REPLACE_CATALOG="1")
    assert back.returncode == 0, back.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_serve_replaces_where_that_is_said_and_says_so_once_all_workers_answer(
    url: str, folder: Path, end: signal.Signals
) -> None:
    """And where a signal goes to all its processes, it doesn't tell of one of them that has ended."""
    command: list[str | Path] = [
        TINO,
        "serve",
        "--catalog",
        "other.yaml",
        "--port",
        "0",
        "--workers",
        "2",
        "--replace-catalog",
        *DATA,
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(TINO_DEADLINE_M="5"), stdout=log, stderr=log, start_new_session=True
        )
    try:
        while (line := re.search(r"Tino serves other on (\S+) ", (folder / "log").read_text())) is None:
            assert process.poll() is None, (folder / "log").read_text()
        assert len(asyncio.run(there(url))) == 2
        with httpx.Client(base_url=line[1], timeout=READY_WITHIN, trust_env=False) as client:
            assert client.get("/readyz").status_code == 200
            assert client.post("/next-action", json={"customer_id": "a"}).json()["catalog"] == in_force(url)
        os.killpg(process.pid, end)
        process.wait(READY_WITHIN)
    finally:
        process.kill()
        process.wait()
    assert in_force(url) == load_catalog(folder / "other.yaml").digest
    said = (folder / "log").read_text()
    assert said.startswith(f"data: {folder / 'd'}\n")
    assert said.count("TINO_DEADLINE_M is set, and is no setting; did you mean TINO_DEADLINE_MS?") == 1
    assert "a variable that is no setting" not in said  # workers needn't say it again
    assert said.count("warning: actions: the catalog before declared `regulars`, and this one doesn't") == 1
    assert "archiver" not in said
    assert "Traceback" not in said


def test_a_reload_waits_for_who_commits_and_nothing_is_committed_after_it(url: str, folder: Path, tino: Tino) -> None:
    rows = "".join(f"c-{number},5\n" for number in range(5_000))  # more than are decided for between two looks
    (folder / "many.csv").write_text("customer_id,visits\n" + rows)
    assert tino("import", "customers", "many.csv", "--catalog", "catalog.yaml", *DATA).returncode == 0
    with (folder / "log").open("wb") as log:
        command: list[str | Path] = [TINO, "decide", "catalog.yaml", "--all", "--commit", "--channel", "in_app", *DATA]
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        after_reload = asyncio.run(reloaded_under(process, url, folder / "looser.yaml"))
        process.wait(READY_WITHIN)
    finally:
        process.kill()
        process.wait()
    said = (folder / "log").read_text()
    assert process.returncode == 1, said
    stopped = re.search(r"tino: stopped, as another catalog than (\S+) is in force by now: (\d+) customers? ", said)
    assert stopped is not None, said
    assert stopped[1] == load_catalog(folder / "catalog.yaml").digest
    assert int(stopped[2]) < 5_000
    assert f"{stopped[2]} customers in " in said
    assert after_reload == asyncio.run(recorded(url))
    assert asyncio.run(there(url)) == []


async def reloaded_under(process: subprocess.Popen[bytes], url: str, file: Path) -> int:
    """How many decisions are recorded when a reload returns that began while `process` decided."""
    link, loaded = Link(url), load_catalog(file)
    catalogs, workers = CatalogStore(link), Workers(link)
    await catalogs.keep(loaded.digest, bundle_of(loaded))
    while not await workers.present():
        assert process.poll() is None, "it enters before it decides"
    process.send_signal(signal.SIGSTOP)  # so that the pointer moves before it has come far, however slow this is
    before = await catalogs.in_force()
    reloading = asyncio.create_task(reload(catalogs, workers, loaded.digest, READY_WITHIN))
    while await catalogs.in_force() == before:
        assert not reloading.done()
    process.send_signal(signal.SIGCONT)
    assert list(await reloading) == [], "nobody serves it: the command has left"
    await link.close()
    return await recorded(url)


async def recorded(url: str) -> int:
    store = await open_store(url, keep_clock=False)
    link, layout = store.ledger.link, store.ledger.layout
    counts = [await link.ask("XLEN", layout.decisions(each), within=READY_WITHIN) for each in range(layout.partitions)]
    await link.close()
    return sum(counts)


async def there(url: str) -> list[object]:
    link = Link(url)
    found = await Workers(link).present()
    await link.close()
    return list(found)
