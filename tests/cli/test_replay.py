"""`tino replay`: recorded decisions made again, in a fresh process, with the service running or not."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from archive.reading import find
from decision.record import Record, read_record
from features.keys import Layout
from features.link import Link
from features.redis_server import EmbeddedRedis
from tests.cli.conftest import TINO, Tino, environment
from tests.cli.test_serve import READY_WITHIN, free_port, until_alive

DATA = Path(".data") / "catalog"
HERE = ("--catalog", "catalog.yaml")
UNKNOWN = "0" * 32
LONG_AGO = "2017-10-01T09:00"
PATIENCE = 60.0


def decided(tino: Tino, *customers: str, now: str = "real") -> list[str]:
    """The ids of decisions that count."""
    done = tino("decide", "catalog.yaml", *customers, "--commit", "--channel", "in_app", "--now", now)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["decision_id"] for line in done.stdout.splitlines()]


def replayed(tino: Tino, *arguments: str) -> str:
    """What is said of decisions that all come out the same."""
    done = tino("replay", *arguments, *HERE)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def put_instead(data: Path, decision_id: str, change: Callable[[Record], Record]) -> Record:
    """Changes a record where it is; gives what it was."""

    async def put() -> Record:
        found = None
        with EmbeddedRedis.start(data) as server:
            link, stream = Link(server.url), Layout().decisions(int(decision_id[12:16], 16))
            entries = await link.ask("XRANGE", stream, "-", "+", within=PATIENCE)
            await link.ask("DEL", stream, within=PATIENCE)  # else ids of entries may not be used again
            for entry, (_, whose, _, body) in entries:
                kept = body
                if whose.decode() == decision_id:
                    found = read_record(body)
                    kept = msgspec.msgpack.encode(change(found))
                await link.ask("XADD", stream, entry, "d", whose, "r", kept, within=PATIENCE)
            await link.close()
        assert found is not None
        return found

    return asyncio.run(put())


def empty_streams(data: Path) -> None:
    """What trimming comes to, a day later."""

    async def delete() -> None:
        with EmbeddedRedis.start(data) as server:
            link = Link(server.url)
            for partition in range(Layout().partitions):
                await link.ask("DEL", Layout().decisions(partition), within=PATIENCE)
            await link.close()

    asyncio.run(delete())


def test_by_id_and_by_time(tino: Tino) -> None:
    ids = decided(tino, "a", "b", "c")
    assert replayed(tino, ids[0]) == "1 decision made again: 1 identical\n"
    assert replayed(tino, *ids) == "3 decisions made again: 3 identical\n"
    assert replayed(tino, "--since", "2020-01-01") == "3 decisions made again: 3 identical\n"
    assert replayed(tino, "--since", "2020-01-01", "--until", "2020-01-02") == "0 decisions made again: 0 identical\n"


def test_without_the_catalogs_file(tino: Tino, folder: Path) -> None:
    """The record and what is kept with it are enough."""
    (decision_id,) = decided(tino, "a")
    (folder / "catalog.yaml").unlink()
    assert replayed(tino, decision_id) == "1 decision made again: 1 identical\n"
    (folder / "catalog.yaml").write_text("nothing of the kind")
    assert replayed(tino, "--since", "2020-01-01") == "1 decision made again: 1 identical\n"


def test_the_time_is_that_of_the_service(tino: Tino) -> None:
    ids = decided(tino, "a", "b", now=LONG_AGO)
    assert replayed(tino, *ids) == "2 decisions made again: 2 identical\n"
    assert replayed(tino, "--since", LONG_AGO, "--until", "2017-10-02") == "2 decisions made again: 2 identical\n"
    assert replayed(tino, "--since", "2017-10-02") == "0 decisions made again: 0 identical\n"
    assert replayed(tino, "--since", "2017-10-01T11:00+02:00").startswith("2 ")


@pytest.mark.parametrize("now", ["real", LONG_AGO])
def test_from_the_archive(tino: Tino, folder: Path, now: str) -> None:
    ids = decided(tino, "a", "b", now=now)
    done = tino("archive", *HERE, "--once", "--keep-hours", "0", "--min-age", "0")
    assert done.stdout.startswith("archived 2 records"), done.stderr
    assert find(folder / DATA, ids[0]) is not None
    assert replayed(tino, "--since", "2017-01-01") == "2 decisions made again: 2 identical\n"
    empty_streams(folder / DATA)
    assert replayed(tino, *ids) == "2 decisions made again: 2 identical\n"
    assert replayed(tino, "--since", "2017-01-01") == "2 decisions made again: 2 identical\n"


@pytest.fixture
def tampered(tino: Tino, folder: Path) -> Iterator[str]:
    """One of two decisions, whose record says other things than it did until the test is over."""
    tino("import", "customers", "customers.csv", *HERE)
    decision_id, _ = decided(tino, "a", "b")

    def changed(record: Record) -> Record:
        answer = record.answer.replace(b'"Thanks"', b'"No thanks"').replace(b'"value":9.0', b'"value":8.0')
        return msgspec.structs.replace(record, answer=answer)

    record = put_instead(folder / DATA, decision_id, changed)
    yield decision_id
    put_instead(folder / DATA, decision_id, lambda _: record)


def test_every_field_that_differs_is_told(tino: Tino, tampered: str) -> None:
    lines = [
        f"{tampered}: answer/actions/0/content/title: recorded 'No thanks', replayed 'Thanks'",
        f"{tampered}: answer/actions/0/value: recorded 8.0, replayed 9.0",
    ]
    done = tino("replay", tampered, *HERE)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [*lines, "1 decision made again: 0 identical, 1 differing"]
    done = tino("replay", "--since", "2020-01-01", *HERE)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [*lines, "2 decisions made again: 1 identical, 1 differing"]


def test_what_is_not_there_and_what_is_no_id(tino: Tino) -> None:
    (decision_id,) = decided(tino, "a")
    done = tino("replay", decision_id, UNKNOWN, *HERE)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"{UNKNOWN}: no record",
        "2 decisions made again: 1 identical, 1 without a record",
    ]
    for ids, whose in (([UNKNOWN], "that id"), ([UNKNOWN, "1" * 32], "these ids")):
        done = tino("replay", *ids, *HERE)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (
            1, f"0 decisions made again: none of {whose} is kept, neither in Redis nor in the archive"
        )  # fmt: skip
    done = tino("replay", decision_id, "hello", *HERE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tino: 'hello': a decision id is 32 lower-case hexadecimal digits\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name decisions, or a period by --since"),
        ([UNKNOWN, "--since", "2020-01-01"], "name decisions, or a period by --since"),
        (["--until", "2020-01-01"], "name decisions, or a period by --since"),
        (["--since", "yesterday"], "'yesterday' is not a time"),
        (["--since", "2020-01-01", "--until", "noon"], "'noon' is not a time"),
        (["--since", "2020-01-02", "--until", "2020-01-01"], "2020-01-01 is not after 2020-01-02"),
    ],
)
def test_what_it_refuses(tino: Tino, folder: Path, arguments: list[str], said: str) -> None:
    done = tino("replay", *arguments, *HERE)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (folder / DATA).exists()


def test_data_that_is_not_there(tino: Tino, folder: Path) -> None:
    """A slip in the path makes no new data directory with nothing in it."""
    done = tino("replay", UNKNOWN, "--data", "elsewhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "elsewhere" in done.stderr
    assert not (folder / "elsewhere").exists()


@contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    port = free_port()
    command: list[str | Path] = [TINO, "serve", *HERE, "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=READY_WITHIN, trust_env=False) as client:
            until_alive(client, process)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(READY_WITHIN)
        finally:
            process.kill()
    assert "Traceback" not in (folder / "log").read_text()


def test_while_the_service_runs_and_when_it_is_over(tino: Tino, folder: Path) -> None:
    with served(folder) as client:
        answer = client.post("/next-action", json={"customer_id": "b"}).json()
        decision_id = answer["decision_id"]
        assert replayed(tino, decision_id) == "1 decision made again: 1 identical\n"
        told = client.get(f"/decisions/{decision_id}").json()
        assert told["decision"]["answer"] == answer
        assert told["replay"]["identical"]
    assert replayed(tino, decision_id) == "1 decision made again: 1 identical\n"
