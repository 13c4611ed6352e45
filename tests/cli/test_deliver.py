"""`tino deliver`: once, until it is told to stop, and what stops it."""

import json
import signal
import subprocess
from pathlib import Path

from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.cli.conftest import TINO, Tino, environment
from tests.cli.test_serve import READY_WITHIN

DELIVER = ("deliver", "--catalog", "catalog.yaml", "--to", "sent.jsonl")


def decided(tino: Tino) -> str:
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    done = tino("decide", "catalog.yaml", "a", "--commit", "--channel", "email")
    name: str = json.loads(done.stdout)["decision_id"]
    return f"{name}/regulars/email"


def test_delivering_once(folder: Path, tino: Tino) -> None:
    name = decided(tino)
    done = tino(*DELIVER, "--once")
    assert (done.returncode, done.stdout) == (
        0, "1 sent, 0 not sent; nothing is left\n",
    )  # fmt: skip
    (line,) = map(json.loads, (folder / "sent.jsonl").read_text().splitlines())
    assert (line["id"], line["address"], line["content"]) == (name, "a@example.com", {"subject": "Thanks"})
    assert tino(*DELIVER, "--once").stdout.startswith("0 sent, 0 not sent; nothing")
    assert len((folder / "sent.jsonl").read_text().splitlines()) == 1


def test_what_is_not_sent_is_said(folder: Path, tino: Tino) -> None:
    name = decided(tino)
    (folder / "customers.csv").write_text("customer_id,email\na,other@example.com\n")
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    done = tino(*DELIVER, "--once")
    assert done.stdout.startswith("0 sent, 1 not sent (address_changed 1); nothing")
    assert done.stderr == f"{name} is not sent: address_changed\n"


def test_where_something_is_left_that_should_have_gone_it_ends_with_a_status_of_its_own(
    folder: Path, tino: Tino
) -> None:
    decided(tino)
    with EmbeddedRedis.start(folder / ".data" / "catalog") as redis:
        redis_probe.ask(redis.socket_path, "XADD", "tino:{3}:outbox", "*", "m", "none of ours")
    done = tino(*DELIVER, "--once")
    assert (done.returncode, done.stdout) == (3, "1 sent, 0 not sent; left: 1 unreadable\n")
    assert "partition 3 is left where it is" in done.stderr


def test_what_stops_it_is_said(folder: Path, tino: Tino) -> None:
    assert "there is no data in" in tino(*DELIVER, "--once").stderr
    tino("import", "customers", "customers.csv", "--catalog", "catalog.yaml")
    too_early = tino(*DELIVER, "--once")
    assert (too_early.returncode, too_early.stderr) == (
        1, "tino: no catalog is in force here: nothing has been served or decided by one yet\n",
    )  # fmt: skip
    decided(tino)
    (folder / "diary").write_text("dear diary\n")
    mistaken = tino("deliver", "--catalog", "catalog.yaml", "--to", "diary", "--once")
    assert (mistaken.returncode, mistaken.stderr) == (1, "tino: diary: line 1 is no message: name another file\n")
    assert (folder / "diary").read_text() == "dear diary\n"


def test_it_keeps_on_until_it_is_told_to_stop(folder: Path, tino: Tino) -> None:
    decided(tino)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([TINO, *DELIVER], cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        while not (folder / "sent.jsonl").exists() or not (folder / "sent.jsonl").read_bytes():
            assert process.poll() is None, (folder / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(READY_WITHIN) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (folder / "log").read_text()
    assert "1 sent" in (folder / "log").read_text()
