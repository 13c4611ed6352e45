"""The rights that docs/operations.md gives to a user of Redis are enough for all that there is to do."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.api.serving import serving, settings
from tests.cli.conftest import Tino

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ASKED = r"^redis-cli (ACL SETUSER tino on '>a password' .*)$"
BUDGET = "budgets:\n  mails: {limit: 9, calendar: day, timezone: UTC, scope: {channel: email}}\n"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (line,) = re.findall(ASKED, PAGE.read_text(), re.MULTILINE)
    with EmbeddedRedis.start(tmp_path / "given") as server:
        assert redis_probe.ask(server.socket_path, *shlex.split(line)) == b"OK"
        yield server.url.replace("unix://", "unix://tino:a%20password@")


def test_the_rights_that_are_documented_are_enough(folder: Path, tino: Tino, url: str) -> None:
    catalog, data = folder / "catalog.yaml", folder / "data"
    catalog.write_text(catalog.read_text() + BUDGET)

    def done(*words: str) -> str:
        ended = tino(*words, REDIS_URL=url, TINO_DATA=str(data), TINO_CATALOG=str(catalog))
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    done("import", "customers", "customers.csv")
    with serving(settings(redis_url=url, catalog=catalog, data=data)) as server:
        client = server.client
        assert client.get("/readyz").json() == {"status": "ready"}
        answer = server.ask(customer_id="a", channels=["email"], request_id="once")
        assert server.ask(customer_id="a", channels=["email"], request_id="once") == answer
        assert (answer["status"], answer["degraded"]) == ("decided", [])
        event = {"id": "e", "customer_id": "a", "type": "click", "decision_id": answer["decision_id"]}
        assert client.post("/events", json=event).json()["status"] == "stored"
        assert client.get(f"/decisions/{answer['decision_id']}").json()["replay"]["identical"]
        assert done("reload").endswith("is in force: 1 worker serves it\n")
        assert done("deliver", "--to", "sent.jsonl", "--once").startswith("1 sent, 0 not sent")
        assert done("archive", "--once", "--min-age", "0").startswith("archived 1 record and 2 events")
        assert client.delete("/customers/a").status_code == 200
    assert json.loads(done("decide", str(catalog), "a", "--channel", "email"))["status"] == "nothing"
