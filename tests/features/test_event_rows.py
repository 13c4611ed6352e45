"""Rows of events: what is made of cells in every format, and which rows are left out for what reason."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.bulk_batch import Batch
from features.bulk_pieces import Pieces
from features.event_columns import EventColumns
from features.event_rows import read_slices
from features.events import Event
from tests.decision.plans import plan_of

PLAN = plan_of("""
events: {purchase: {amount: double, items: int, gift: bool, paid_at: timestamp, tags: list<string>, note: string}}
aggregates: {spend: {sum: purchase.amount}, paid: {max: purchase.paid_at}}
""")
NOW = 1_800_000_000_000_000
OWN = {"customer_id": "a", "type": "purchase", "at": "2026-01-05T09:00:00Z"}
HEAD = "customer_id,type,at"
ROW = ",".join(OWN.values())


def stored(file: Path, mapping: Mapping[str, str] | None = None) -> tuple[list[Event], list[tuple[int, str]]]:
    """What is to be logged, and the bad rows."""
    columns = EventColumns(PLAN.aggregates.declared, None, mapping or {})
    events: list[Event] = []
    bad: list[tuple[int, str]] = []
    for found in read_slices(file, columns, 0, 1000):
        batch = Batch(found, columns, PLAN.aggregates, NOW, "f")
        for piece in Pieces(PLAN, batch, "f", 0):
            events += piece.applied(piece.customer, NOW)[1]
        bad += [(row.line, row.reason) for row in batch.bad]
    return sorted(events, key=lambda event: int(event.id.rpartition(":")[2])), bad


def of_json(tmp_path: Path, *rows: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Properties and reasons."""
    file = tmp_path / "e.jsonl"
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    events, bad = stored(file)
    return [event.properties for event in events], [reason for _, reason in bad]


def test_cells_of_csv_become_what_would_be_sent(tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    names = "amount,items,gift,paid_at,tags,note,other"
    file.write_text(
        f'{HEAD},{names}\n{ROW},1e2,07,Yes,2026-01-05,a; b,12,12\n{ROW},1,many,perhaps,,"[""a""",,\n'
        f"{ROW},1,{2**63},,,,,\n{ROW},inf,,,,,,\n"
    )
    events, bad = stored(file)
    assert [event.properties for event in events] == [
        {
            "amount": 100.0, "items": 7, "gift": True, "paid_at": "2026-01-05T00:00:00+00:00", "tags": ["a", "b"],
            "note": "12", "other": "12",
        },
        {"amount": 1.0, "items": "many", "gift": "perhaps", "tags": '["a"'},
        {"amount": 1.0, "items": str(2**63)},
    ]  # fmt: skip
    assert bad == [(5, "amount: expected a finite number, got 'inf'")]


def test_values_of_parquet_become_what_would_be_sent(tmp_path: Path) -> None:
    file = tmp_path / "e.parquet"
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    columns = {
        "customer_id": [7, 7, 7],
        "type": pa.array(["purchase"] * 3).dictionary_encode(),
        "at": pa.array([at] * 3, pa.timestamp("ns")),
        "amount": pa.array([Decimal("2.50"), None, Decimal("1.00")]),
        "paid_at": pa.array([date(2026, 1, 5), None, None]),
        "note": pa.array(["x", None, "y"]),
        "nothing": pa.nulls(3),
        "rate": pa.array([0.5, float("nan"), None]),
        "tags": pa.array([["a"], [], None]),
        "more": pa.array([{"deep": [1, None]}, None, None]),
        "when": pa.array([at, None, None], pa.timestamp("us", "UTC")),
        "day": pa.array([date(2026, 1, 5), None, None]),
    }
    pq.write_table(pa.table(columns), file)
    events, bad = stored(file)
    assert bad == []
    assert [event.properties for event in events] == [
        {
            "amount": 2.5, "paid_at": "2026-01-05T00:00:00+00:00", "note": "x", "rate": 0.5, "tags": ["a"],
            "more": {"deep": [1, None]}, "when": "2026-01-05T09:00:00+00:00", "day": "2026-01-05",
        },
        {"tags": []},
        {"amount": 1.0, "note": "y"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([b"\x00"]), "x: expected what JSON can hold, got b'\\x00'"),
        (pa.array([float("inf")]), "x: expected a finite number, got inf"),
        (pa.array([2**63], pa.uint64()), "x: expected a whole number of at most 64 bits, got 9223372036854775808"),
        (pa.array([2**62], pa.timestamp("us")), "x: expected what JSON can hold"),
        (pa.array(["long" * 9000]), "properties: expected at most 32,768 bytes, got 36,0"),
        (pa.array([["long" * 9000]]), "properties: expected at most 32,768 bytes, got 36,0"),
    ],
)
def test_what_an_event_can_not_hold(tmp_path: Path, column: Any, reason: str) -> None:
    file = tmp_path / "e.parquet"
    pq.write_table(pa.table({**{name: [value] for name, value in OWN.items()}, "x": column}), file)
    events, bad = stored(file)
    assert (events, len(bad)) == ([], 1)
    assert bad[0][1].startswith(reason)


def test_a_column_of_properties(tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    deep = '"' + '{""a"":' * 20 + "1" + "}" * 20 + '"'
    file.write_text(
        f'{HEAD},properties,amount\n{ROW},"{{""items"": 2}}",3\n{ROW},,\n{ROW},"{{""amount"": 2}}",3\n'
        f'{ROW},[],\n{ROW},{{,\n{ROW},"{{""amount"": ""much""}}",\n{ROW},{deep},\n'
    )
    events, bad = stored(file)
    assert [event.properties for event in events] == [{"items": 2, "amount": 3.0}, {}]
    assert [(line, reason[:45]) for line, reason in bad] == [
        (4, "properties: 'amount' is given twice"),
        (5, "properties: expected an object, got []"),
        (6, "properties: Expecting property name enclosed "[:45]),
        (7, "amount: expected a finite number, got 'much'"),
        (8, "properties: expected at most 16 objects and l"),
    ]
    wrote = {**{name: [value] for name, value in OWN.items()}, "properties": [{"amount": 2.0, "items": None}]}
    pq.write_table(pa.table(wrote), tmp_path / "e.parquet")
    assert [event.properties for event in stored(tmp_path / "e.parquet")[0]] == [{"amount": 2.0, "items": None}]


def test_lines_of_json(tmp_path: Path) -> None:
    wide = {"amount": 1, "x": {"deep": [None, True, 2**63 - 1, "ü"]}}
    good, bad = of_json(
        tmp_path, {**OWN, "properties": wide, "sent_at": "long ago"}, {**OWN, **wide}, "\n",
        {**OWN, "properties": {"x": 1}, "amount": 2}, {**OWN, "decision_id": None},
    )  # fmt: skip
    assert (good, bad) == ([wide, wide, {"x": 1, "amount": 2}, {}], [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("[]\n", "expected an object, got []"),
        ("{\n", "not JSON: "),
        ('{"a": 1, "a": 2}\n', "not JSON: a key is given twice"),
        ('{"x": NaN}\n', "not JSON: NaN is no number"),
        ("[" * 100_000 + "\n", "not JSON: "),
        ({**OWN, "customer_id": ""}, "customer_id: expected 1 to 256 printable characters, got ''"),
        ({**OWN, "customer_id": ["a"]}, "customer_id: expected 1 to 256 printable characters"),
        ({**OWN, "customer_id": True}, "customer_id: expected 1 to 256 printable characters"),
        ({**OWN, "type": "x" * 129}, "type: expected 1 to 128 printable characters"),
        ({**OWN, "type": None}, "type: expected 1 to 128 printable characters, got null"),
        ({**OWN, "id": "a\nb"}, "id: expected 1 to 256 printable characters"),
        ({**OWN, "id": 1.5}, "id: expected 1 to 256 printable characters"),
        ({**OWN, "at": None}, "at: is empty"),
        ({"customer_id": "a", "type": "purchase"}, "at: is empty"),
        ({**OWN, "at": 1_700_000_000}, "at: expected an RFC 3339 timestamp"),
        ({**OWN, "at": "2026-01-05T09:00:00"}, "at: expected an RFC 3339 timestamp with a zone"),
        ({**OWN, "at": "2036-01-05T09:00:00Z"}, "at: lies "),
        ({**OWN, "decision_id": "x"}, "decision_id: expected 32 lower-case hexadecimal digits, got 'x'"),
        ({**OWN, "properties": [1]}, "properties: expected an object, got [1]"),
        ({**OWN, "properties": {"amount": 1}, "amount": 2}, "properties: 'amount' is given twice"),
        ({**OWN, "amount": "1"}, "amount: expected a finite number, got '1'"),
        ({**OWN, "amount": 2e12}, "amount: expected a number of at most 1,000,000,000,000"),
        ({**OWN, "x": 2**64}, "properties: expected whole numbers of at most 64 bits"),
        ({**OWN, "x": "\ud800"}, "properties: expected whole numbers of at most 64 bits, and text that is Unicode"),
        ({**OWN, "x": "x" * 40_000}, "properties: expected at most 32,768 bytes, got 40,0"),
        ({**OWN, "x": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}, "properties: expected at most 16 objects and lists"),
    ],
)
def test_bad_lines_of_json(tmp_path: Path, row: Any, reason: str) -> None:
    good, (bad,) = of_json(tmp_path, OWN, row, OWN)
    assert good == [{}, {}]
    assert bad.startswith(reason)


def test_keys_of_json_are_mapped(tmp_path: Path) -> None:
    file = tmp_path / "e.jsonl"
    file.write_text('{"who": "a", "event": "purchase", "at": "2026-01-05T09:00:00Z", "customer_id": "b"}\n')
    mapping = {"who": "customer_id", "event": "type", "customer_id": "household"}
    assert [event.properties for event in stored(file, mapping)[0]] == [{"household": "b"}]
    assert stored(file, {"who": "customer_id"})[1] == [(1, "two keys mean the same")]


def test_csv_that_is_not_utf_8_or_not_csv(tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    file.write_bytes(f"{HEAD}\n{ROW}\n{ROW.replace('a', chr(0xE4), 1)}\n{ROW},x\n\n".encode("latin-1") + b'"a"b,"\n')
    events, bad = stored(file)
    assert len(events) == 1
    assert [line for line, _ in bad] == [3, 4, 6]
    assert [reason for _, reason in bad][:2] == ["is not UTF-8", "expected 3 cells, got 4"]
    file.write_text(HEAD + "\n")
    assert stored(file) == ([], [])
