"""`tino import events`."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TINO, Tino, environment

CATALOG = """\
catalog: 1
name: shop
timezone: America/Mexico_City
channels: {in_app: {direction: inbound}}
events:
  purchase: {amount: double, department: string, gift: bool, paid_at: timestamp}
  login: {}
aggregates:
  visits: {count: purchase}
  gifts: {count: purchase, where: event.gift}
  spend: {sum: purchase.amount}
  first_at: {first: purchase.paid_at}
  departments: {values: purchase.department}
  logins: {count: login}
actions:
  hello:
    value: 1
    treatments:
      in_app:
        title: "{{ customer.visits }} {{ customer.gifts }} {{ customer.spend }} {{ customer.logins }}"
        body: "{{ customer.departments | join(' ') }} {{ customer.first_at | default('never') }}"
"""
EVENTS = """\
who,at,amount,department,gift,paid_at
c-1,2026-01-05 09:00,12.5,meat,yes,2026-01-05
c-1,2026-01-06T09:00:00Z,1e2,deli,no,
c-1,2026-01-07,,meat,,
c-2,2026-01-05 09:00,many,meat,yes,
c-2,yesterday,1,meat,yes,
,2026-01-05 09:00,1,meat,yes,
c-2,2126-01-05 09:00,1,meat,yes,
c-2,2026-01-05 09:00,1
"""
IMPORT = ("import", "events", "--catalog", "shop.yaml", "--data", "d")
PURCHASES = ("--type", "purchase", "--map", "who=customer_id")


@pytest.fixture(autouse=True)
def _shop(folder: Path) -> None:
    (folder / "shop.yaml").write_text(CATALOG)
    (folder / "events.csv").write_text(EVENTS)


def told(tino: Tino, *customers: str) -> list[dict[str, Any]]:
    """What each customer is shown."""
    done = tino("decide", "shop.yaml", *customers, "--data", "d")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["actions"][0]["content"] for line in done.stdout.splitlines()]


def test_good_rows_are_stored_and_bad_ones_named(tino: Tino) -> None:
    done = tino(*IMPORT, "events.csv", *PURCHASES)
    assert (done.returncode, done.stdout) == (1, "events.csv: 3 events stored, 5 rows left out\n")
    first, second, third, fourth, fifth = done.stderr.splitlines()
    assert first == "events.csv:5: amount: expected a finite number, got 'many'"
    assert second.startswith("events.csv:6: at: expected an RFC 3339 timestamp")
    assert third == "events.csv:7: customer_id: expected 1 to 256 printable characters, got ''"
    assert re.fullmatch(r"events\.csv:8: at: lies [0-9,.]+ minutes ahead of this service's clock", fourth)
    assert fifth == "events.csv:9: expected 6 cells, got 3"
    (shown,) = told(tino, "c-1")
    assert shown["title"] == "3 1 112.5 0"
    assert shown["body"] == "deli meat 2026-01-05 06:00:00+00:00"  # midnight in Mexico City
    again = tino(*IMPORT, "events.csv", *PURCHASES)
    came_to = "which came to 3 events stored, 5 rows left out; nothing was stored by this run"
    assert (again.returncode, again.stdout) == (1, f"events.csv: was imported before, {came_to}\n")
    assert told(tino, "c-1") == [shown]


def test_several_files_of_events_in_our_own_shape(tino: Tino, folder: Path) -> None:
    event = {"id": "e-1", "customer_id": "a", "type": "purchase", "at": "2026-01-05T09:00:00Z"}
    first = [{**event, "properties": {"amount": 2}}, {**event, "id": "e-2", "type": "login"}]
    second = [{**event, "properties": {"amount": 2}}, {**event, "id": "e-3", "amount": 3, "sent_at": event["at"]}]
    (folder / "one.jsonl").write_text("".join(json.dumps(each) + "\n" for each in first))
    (folder / "two.ndjson").write_text("".join(json.dumps(each) + "\n" for each in [*second, {**event, "type": "odd"}]))
    done = tino(*IMPORT, "one.jsonl", "two.ndjson")
    assert done.stdout.splitlines() == [
        "one.jsonl: 2 events stored, 0 rows left out",
        "two.ndjson: 1 event stored, 2 stored before, 0 rows left out",
    ]
    assert (done.returncode, done.stderr) == (0, "")
    assert told(tino, "a")[0]["title"] == "2 0 5.0 1"


def test_a_zone_of_its_own(tino: Tino, folder: Path) -> None:
    (folder / "late.csv").write_text("customer_id,at,paid_at\nz,2026-01-05,2026-01-05\n")
    assert tino(*IMPORT, "late.csv", "--type", "purchase", "--zone", "Asia/Tokyo").returncode == 0
    assert told(tino, "z")[0]["body"].endswith("2026-01-04 15:00:00+00:00")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["events.csv", "--type", "purchase"], 1, "tino: no column customer_id: map one: --map column=customer_id"),
        (["events.csv", "--map", "who=customer_id"], 1, "tino: no column type: map one: --map column=type, or say"),
        (["events.csv", *PURCHASES, "--map", "when=at"], 1, "tino: mapped column 'when' is not in the file"),
        (["events.csv", *PURCHASES, "--map", "gift=amount"], 1, "tino: two columns mean 'amount'"),
        (["events.csv", *PURCHASES, "--zone", "Mars"], 2, "'Mars' is not an IANA time zone"),
        (["events.csv", *PURCHASES, "--map", "gift"], 2, "'gift' is not column=attribute"),
        (["absent.csv"], 1, "tino: no such file: absent.csv"),
        (["shop.yaml"], 1, "tino: shop.yaml: can read .csv"),
        (["torn.csv"], 1, "tino: torn.csv: the header is not CSV"),
        (["torn.parquet"], 1, "tino: torn.parquet is not Parquet"),
    ],
)
def test_a_file_that_can_not_be_imported(tino: Tino, folder: Path, arguments: list[str], code: int, said: str) -> None:
    (folder / "torn.csv").write_text('"customer_id')
    (folder / "torn.parquet").write_bytes(b"PAR1")
    done = tino(*IMPORT, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


@pytest.mark.chaos
def test_killed_and_run_again(tino: Tino, folder: Path) -> None:
    """The redis-server goes on without its starter, is found by the next command, and stopped by it."""
    rows = [f"c-{number % 500},2026-01-05T09:00:00Z,1,meat,no,2026-01-05" for number in range(200_000)]
    (folder / "many.csv").write_text("\n".join(["who,at,amount,department,gift,paid_at", *rows]) + "\n")
    command = [str(TINO), *IMPORT, "many.csv", *PURCHASES]
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and not list((folder / "d" / "imports").glob("*.json")):
            pass
        running.send_signal(signal.SIGKILL)
    done = tino(*IMPORT, "many.csv", *PURCHASES)
    assert (done.returncode, done.stdout) == (0, "many.csv: 200000 events stored, 0 rows left out\n")
    assert [each["title"] for each in told(tino, "c-0", "c-499")] == ["400 0 400.0 0"] * 2
