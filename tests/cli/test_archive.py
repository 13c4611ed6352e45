"""`tino archive`: once, and beside `tino serve`."""

import json
import signal
import subprocess
from pathlib import Path

import httpx
import pyarrow.parquet as pq

from archive.reading import find
from tests.cli.conftest import TINO, Tino, environment
from tests.cli.test_serve import READY_WITHIN, free_port, until_alive

DATA = Path(".data") / "catalog"


def archived(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in (folder / DATA / "archive").glob("decisions/*/*.parquet"))


def test_archiving_once(folder: Path, tino: Tino) -> None:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    decided = tino("decide", "catalog.yaml", "a", "b", "--commit", "--channel", "in_app").stdout.splitlines()
    young = tino("archive", "--catalog", "catalog.yaml", "--once")
    assert (young.returncode, young.stdout) == (0, "archived 0 records in 0 files, trimmed 0 from Redis\n")
    done = tino("archive", "--catalog", "catalog.yaml", "--once", "--min-age", "0")
    assert (done.returncode, done.stdout) == (0, "archived 2 records in 1 file, trimmed 0 from Redis\n")
    assert archived(folder) == 2
    for answer in map(json.loads, decided):
        record = find(folder / DATA, answer["decision_id"])
        assert record is not None
        assert answer["decision_id"].encode() in record


def test_what_stops_it_is_said(folder: Path, tino: Tino) -> None:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    (folder / DATA / "archive").mkdir(parents=True)
    (folder / DATA / "archive" / "progress.json").write_text("{")
    done = tino("archive", "--catalog", "catalog.yaml", "--once")
    assert done.returncode == 1
    assert "progress.json can't be read" in done.stderr
    assert tino("archive", "--every", "0").returncode == 2


def test_it_keeps_on_until_it_is_told_to_stop(folder: Path, tino: Tino) -> None:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    command: list[str | Path] = [TINO, "archive", "--catalog", "catalog.yaml", "--min-age", "0", "--every", "1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        while not (folder / DATA / "archive" / "progress.json").exists():
            assert process.poll() is None, (folder / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(READY_WITHIN) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (folder / "log").read_text()


def test_serve_archives_by_itself(folder: Path, tino: Tino) -> None:
    """It has begun an archive when the service is there, and another archiver of the same data gets along with it."""
    port = free_port()
    command: list[str | Path] = [TINO, "serve", "--catalog", "catalog.yaml", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=READY_WITHIN, trust_env=False) as client:
            until_alive(client, process)
            body = {"customer_id": "b", "request_id": "1"}
            answer = client.post("/next-action", json=body).json()
            while not (folder / DATA / "archive" / "progress.json").exists():
                assert process.poll() is None, (folder / "log").read_text()
            done = tino("archive", "--catalog", "catalog.yaml", "--once", "--min-age", "0", "--keep-hours", "0")
            while done.returncode:
                assert "another archiver is at work" in done.stderr
                done = tino("archive", "--catalog", "catalog.yaml", "--once", "--min-age", "0", "--keep-hours", "0")
            assert client.post("/next-action", json=body).json() == answer
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(READY_WITHIN)
        finally:
            process.kill()
    assert "Traceback" not in (folder / "log").read_text()
    assert find(folder / DATA, answer["decision_id"]) is not None
