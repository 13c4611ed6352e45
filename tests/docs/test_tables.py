"""What the pages list is what there is: gates, reasons, keys in Redis, records, settings, metrics."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from api.metrics import Metrics
from decision.reasons import EMPTIED_BY, Degradation, Gate, Reason, Status
from decision.record import read_record
from features import redis_probe
from features.redis_server import socket_for
from settings import PREFIX, Settings
from tests.cli.conftest import TINO
from tests.docs.conftest import Served, Step, run
from tests.docs.pages import DOCS, blocks, names, prose, rows, shown_after, text_of

ARCHITECTURE = DOCS / "architecture.md"
OPERATIONS = DOCS / "operations.md"


def test_gates_in_their_order_with_their_reasons() -> None:
    assert names(ARCHITECTURE, "gate") == list(Gate)
    told = {cells[0].strip("`"): cells[2].strip("`") for cells in rows(ARCHITECTURE, "gate")}
    assert told == {gate.value: reason.value for gate, reason in EMPTIED_BY.items()}


def test_the_reason_that_each_gate_is() -> None:
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(DOCS / "http.md", "`gate`")}
    assert told == {gate.value: reason.value for gate, reason in EMPTIED_BY.items()}


def test_statuses_reasons_and_degradations() -> None:
    assert names(ARCHITECTURE, "status") == list(Status)
    assert sorted(names(ARCHITECTURE, "reason")) == sorted(Reason)
    assert names(ARCHITECTURE, "kind") == list(Degradation)


def test_the_fields_of_a_record(steps: list[Step], served: Served) -> None:
    record = read_record(entries(served.data, steps, "decisions")[0][b"r"])
    assert names(ARCHITECTURE, "field") == list(record.__struct_fields__)
    told = {cells[0].strip("`"): cells[1] for cells in rows(ARCHITECTURE, "field")}
    assert told["version"] == str(record.version)


def test_the_fields_of_an_outbox_entry(steps: list[Step], served: Served) -> None:
    message = json.loads(entries(served.data, steps, "outbox")[0][b"m"])
    (told,) = re.findall(r"\*\*Outbox\.\*\*.*?field `m`: (.*?)\.\s", prose(ARCHITECTURE), re.DOTALL)
    assert re.findall(r"`(\w+)`", told) == list(message)


def test_keys_in_redis(steps: list[Step], served: Served) -> None:
    documented = names(ARCHITECTURE, "key")
    patterns = [re.sub(r"<\w+>", ".+", name.replace("{", r"\{").replace("}", r"\}")) for name in documented]
    used = {
        next((pattern for pattern in patterns if re.fullmatch(pattern, key.decode())), key.decode())
        for key in ask(served.data, "KEYS", "*")
    }
    passing = {
        pattern
        for pattern, name in zip(patterns, documented, strict=True)
        if any(part in name for part in (":t:", ":s:", ":b:", ":budget:", "reloading", ":sending"))
    }
    # Only there while workers race, once one was erased, with a budget, while somebody reloads or delivers.
    assert used | passing == set(patterns)


def entries(data: Path, steps: list[Step], stream: str) -> list[dict[bytes, bytes]]:
    """Of the stream in the partition that the second step's decision id names."""
    partition = int(steps[1].answer["decision_id"][12:16], 16)
    found = ask(data, "XRANGE", f"tino:{{{partition}}}:{stream}", "-", "+")
    return [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in found]


def ask(data: Path, *words: str) -> Any:
    return redis_probe.ask(socket_for(data), *words)


def test_every_setting_with_its_default() -> None:
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(OPERATIONS, "variable")}
    there = {
        name if name == "REDIS_URL" else PREFIX + name.upper(): "" if field.default is None else str(field.default)
        for name, field in (
            (str(field.validation_alias or name), field) for name, field in Settings.model_fields.items()
        )
    }
    assert told == there


def test_no_other_setting_is_spoken_of() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    spoken_of = {name for page in DOCS.rglob("*.md") for name in re.findall(r"TINO_[A-Z_]+", text_of(page))}
    assert spoken_of <= known


def test_every_metric() -> None:
    there = re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.MULTILINE)
    assert sorted(names(OPERATIONS, "metric")) == sorted(there)


def test_making_a_key() -> None:
    shown = shown_after(OPERATIONS, "tino key")
    done = run(TINO, "key", "--scope", "decide", "--scope", "ingest", "--name", "shop")
    hidden = [re.sub(r"tino_[\w-]{43}|[0-9a-f]{64}", "...", text) for text in (done.stdout, shown)]
    assert hidden[0] == hidden[1]
    assert "tino_" not in hidden[0]


def test_sizes_are_of_this_order(steps: list[Step], served: Served, tmp_path: Path) -> None:
    """The program on the page, after a decision for everybody as it says there; and what it shows below."""
    data = tmp_path / "copy"  # what is decided here is nothing to the other tests
    shutil.copytree(served.data, data, ignore=shutil.ignore_patterns("*.lock"))
    done = run(TINO, "decide", "examples/grocery", "--all", "--commit", "--data", data)
    assert done.returncode == 0, done.stderr
    measured = run(sys.executable, "-c", program("tracemalloc", data))
    assert measured.returncode == 0, measured.stderr
    found, shown = (numbers(text) for text in (measured.stdout, shown_after(OPERATIONS, "import tracemalloc")))
    assert len(found) == len(shown) == 5
    for one, other in zip(found, shown, strict=True):
        assert 0.6 < one / other < 1.6, (found, shown)


def test_reading_a_record(steps: list[Step], served: Served) -> None:
    """The two commands on the page, for decisions of README."""
    look_up, again = (
        block.text.split() for block in blocks(OPERATIONS) if "015ed72b336f000b961121f3c9fe4136" in block.text
    )
    assert (look_up[2].rpartition("/")[0], again[:2]) == ("localhost:8000/decisions", ["tino", "replay"])
    for step in steps[:2]:
        decision_id = step.answer["decision_id"]
        found = served.client.get(f"/decisions/{decision_id}").json()
        assert (found["decision"]["id"], found["decision"]["answer"]) == (decision_id, step.answer)
        assert found["replay"] == {"identical": True, "differences": [], "trouble": None}
        done = run(TINO, "replay", decision_id, "--data", served.data)
        assert (done.returncode, done.stdout) == (0, shown_after(OPERATIONS, "tino replay")), done.stderr
    unknown = steps[0].answer["decision_id"][:16] + "0" * 16
    assert served.client.get(f"/decisions/{unknown}").status_code == 404
    assert run(TINO, "replay", unknown, "--data", served.data).returncode == 1


def program(about: str, data: Path) -> str:
    """The one in OPERATIONS with these words in it, to be run on `data`."""
    (found,) = (block.text for block in blocks(OPERATIONS) if block.language == "python" and about in block.text)
    assert ".data/grocery" in found
    return found.replace(".data/grocery", str(data))


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]
