"""Events in bulk, against the same events one by one: in any order, in any format, cut up in any way."""

import csv
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import features.bulk_pieces
from catalog.plan import Plan
from features.applying import Sent, apply_events
from features.bulk_batch import Batch
from features.bulk_pieces import Pieces
from features.customer import EMPTY, Customer, moment
from features.encoding import decode, encode
from features.event_columns import EventColumns
from features.event_rows import read_slices
from features.events import Event
from tests.decision.plans import plan_of
from tests.features.slow_aggregates import DAY_US
from tests.features.test_aggregates import CATALOG, START

NOW = START + 9 * DAY_US
CUSTOMERS = ("a", "b", "c")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bulk")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a customer has several."""
    monkeypatch.setattr(features.bulk_pieces, "MOST_EVENTS", 3)
    monkeypatch.setattr(features.bulk_pieces, "MOST_IDS", 2)


def stored_in_bulk(plan: Plan, file: Path, size: int) -> tuple[dict[str, Customer], list[tuple[str, Event]], list[int]]:
    """The customers, what is logged, and the lines that were left out."""
    columns, row = EventColumns(plan.aggregates.declared), 0
    customers: dict[str, Customer] = {}
    logged: list[tuple[str, Event]] = []
    left_out: list[int] = []
    for found in read_slices(file, columns, 0, size):
        batch = Batch(found, columns, plan.aggregates, NOW, "file")
        pieces = Pieces(plan, batch, "file", row)
        for piece in pieces:
            customer, events = piece.applied(customers.get(piece.customer_id, EMPTY), NOW)
            customers[piece.customer_id] = customer
            logged += [(piece.customer_id, event) for event in events]
        left_out += [bad.line for bad in batch.bad]
        row += found.rows
    return customers, logged, left_out


def stored_one_by_one(
    plan: Plan, rows: list[dict[str, Any]]
) -> tuple[dict[str, Customer], list[tuple[str, Event]], list[int]]:
    customers: dict[str, Customer] = {}
    logged: list[tuple[str, Event]] = []
    refused: list[int] = []
    for number, row in enumerate(rows, start=1):
        sent = Sent(**{**row, "id": row.get("id") or f"file:{number}"})
        applied = apply_events(plan, customers.get(sent.customer_id, EMPTY), [sent], NOW)
        customers[sent.customer_id] = applied.customer
        logged += [(sent.customer_id, event) for event in applied.events]
        if applied.results[0].status == "refused":
            refused.append(number)
    return {name: each for name, each in customers.items() if each is not EMPTY}, logged, refused


def kept(customers: Mapping[str, Customer]) -> dict[str, Customer]:
    return {name: decode(encode(each)) for name, each in customers.items() if each is not EMPTY}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
amounts = st.integers(-500, 100_000).map(lambda cents: cents / 100) | st.sampled_from(
    (1e12, -1e12, 1.1e12, 7, 0.0000005)
)
items = st.integers(-3, 9) | st.sampled_from((2**63 - 1, -(2**63)))
departments = st.sampled_from(("PASTRY", "MEAT", "a department with a long name", "MEAT "))
properties = st.fixed_dictionaries(
    {},
    optional={
        "amount": amounts | anything,
        "items": items | anything,
        "department": departments | anything,
        "card": st.booleans() | anything,
        "paid_at": st.just("2022-02-01T09:00:00Z") | st.just("2022-02-01T10:00:00+02:00") | anything,
        "unheard of": anything,
    },
)
times = st.integers(START, NOW) | st.integers(0, 36).map(lambda step: START + step * DAY_US // 4)
rows = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(CUSTOMERS),
        "type": st.sampled_from(("purchase", "purchase", "login", "unheard of", "click")),
        "at": times | st.just(NOW + DAY_US) | st.just(NOW + 60_000_000),
        "properties": properties,
    }
)
plain_rows = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(CUSTOMERS),
        "type": st.just("purchase"),
        "at": times,
        "properties": st.fixed_dictionaries(
            {},
            optional={
                "amount": st.integers(-500, 100_000).map(lambda cents: cents / 100),
                "items": items,
                "department": departments,
                "card": st.booleans(),
                "paid_at": times.map(lambda at: moment(at).isoformat()),
                "more": st.sampled_from(("x", "1", "true")),
            },
        ),
    }
)


def as_json(row: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({**row, "at": moment(row["at"])}) + b"\n"


@settings(deadline=None)
@given(sent=st.lists(rows, max_size=25), order=st.randoms(use_true_random=False), size=st.integers(1, 30))
def test_bulk_and_one_by_one_come_to_the_same(
    plan: Plan, folder: Path, sent: list[dict[str, Any]], order: Any, size: int
) -> None:
    file = folder / "events.jsonl"
    file.write_bytes(b"".join(map(as_json, sent)))
    customers, logged, left_out = stored_in_bulk(plan, file, size)
    wanted, one_by_one, refused = stored_one_by_one(plan, sent)
    assert left_out == refused
    assert kept(customers) == kept(wanted)
    for name in CUSTOMERS:
        assert [event for who, event in logged if who == name] == [event for who, event in one_by_one if who == name]
    numbered = [{**row, "id": f"file:{number}"} for number, row in enumerate(sent, start=1)]
    order.shuffle(numbered)
    assert kept(customers) == kept(stored_one_by_one(plan, numbered)[0])


@settings(deadline=None)
@given(sent=st.lists(plain_rows, min_size=1, max_size=20), size=st.integers(1, 30))
def test_every_format_comes_to_the_same(plan: Plan, folder: Path, sent: list[dict[str, Any]], size: int) -> None:
    names = ("amount", "items", "department", "card", "paid_at", "more")
    flat = [{**{name: row["properties"].get(name) for name in names}, **row} for row in sent]
    wanted, one_by_one, _ = stored_one_by_one(plan, sent)
    with (folder / "events.csv").open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(["customer_id", "type", "at", *names])
        for row in flat:
            cells = [row["customer_id"], row["type"], moment(row["at"]).isoformat(), *map(row.__getitem__, names)]
            writer.writerow(["" if cell is None else cell for cell in cells])
    columns = {
        "customer_id": pa.array([row["customer_id"] for row in flat]),
        "type": pa.array([row["type"] for row in flat]).dictionary_encode(),
        "at": pa.array([row["at"] for row in flat], pa.timestamp("us")),
        "paid_at": pa.array(
            [row["paid_at"] and datetime.fromisoformat(row["paid_at"]) for row in flat], pa.timestamp("us", "UTC")
        ),
        **{name: pa.array([row[name] for row in flat]) for name in ("amount", "items", "department", "card", "more")},
    }
    pq.write_table(pa.table(columns), folder / "events.parquet")
    (folder / "events.ndjson").write_bytes(b"".join(as_json(row) for row in sent))
    for name in ("events.csv", "events.parquet", "events.ndjson"):
        customers, logged, left_out = stored_in_bulk(plan, folder / name, size)
        assert (name, left_out, kept(customers)) == (name, [], kept(wanted))
        assert [event.properties for _, event in sorted(logged, key=lambda each: int(each[1].id[5:]))] == [
            event.properties for _, event in one_by_one
        ]


def test_ids_are_the_files_own_and_of_the_same_the_first_counts(
    plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.bulk_pieces, "MOST_IDS", 10)
    lines = [
        {"id": "1", "customer_id": "a", "type": "login", "at": "2022-01-09T09:00:00Z"},
        {"id": "1", "customer_id": "a", "type": "login", "at": "2022-01-09T10:00:00Z"},
        {"id": 1, "customer_id": "a", "type": "login", "at": "2022-01-09T11:00:00Z"},
        {"id": "1", "customer_id": "b", "type": "login", "at": "2022-01-09T12:00:00Z"},
        {"customer_id": "a", "type": "login", "at": "2022-01-09T13:00:00Z"},
    ]
    file = folder / "ids.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, logged, left_out = stored_in_bulk(plan, file, 10)
    assert sorted((who, event.id, moment(event.at).hour) for who, event in logged) == [
        ("a", "1", 9),
        ("a", "file:5", 13),
        ("b", "1", 12),
    ]
    assert left_out == []


WITH_REASONS = """
events: {unsubscribed: {reason: int}}
aggregates: {reasons: {sum: unsubscribed.reason}}
purposes: [news]
channels: {web: {direction: inbound}}
actions: {hello: {value: 1, treatments: {web: {t: x}}}}
"""
NAMES = ("customer_id", "type", "at", "id", "decision_id", "reason", "note")
THEN = "2022-01-09T09:00:00Z"
UNREADABLE = {
    "at": {"at": "the other day"},
    "no time": {"at": ""},
    "ahead": {"at": "2032-01-09T09:00:00Z"},
    "decision": {"decision_id": "ABCDEF0123456789ABCDEF0123456789"},
    "reason": {"reason": "many"},
    "id": {"id": "i" * 300},
    "note": {"note": "x" * 40_000},
}


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_what_takes_consent_back_is_never_left_out_once_its_customer_is_known(folder: Path, ending: str) -> None:
    """The same of another type is, but for the reason, which nothing needs."""
    plan = plan_of(WITH_REASONS)
    rows = [
        {"customer_id": name, "type": kind, "at": THEN, **wrong}
        for name, wrong in [*UNREADABLE.items(), ("", {}), ("well", {"reason": "7"})]
        for kind in ("unsubscribed", "click")
    ]
    file = folder / f"unreadable.{ending}"
    if ending == "csv":
        with file.open("w", newline="") as text:
            writer = csv.DictWriter(text, NAMES)
            writer.writeheader()
            writer.writerows(rows)
    else:
        rows[-2]["reason"] = 7  # type: ignore[assignment]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    customers, logged, left_out = stored_in_bulk(plan, file, 100)
    first = 2 if ending == "csv" else 1
    wrong = [name for name in UNREADABLE if name != "reason"]
    assert left_out == [
        line
        for line, row in enumerate(rows, start=first)
        if not row["customer_id"] or (row["type"] == "click" and row["customer_id"] in wrong)
    ]
    refused = {name: each.consents["news"].granted for name, each in customers.items() if each.consents}
    assert refused == dict.fromkeys([*UNREADABLE, "well"], False)
    events = {who: event for who, event in logged if event.type == "unsubscribed"}
    assert [events[name].at for name in ("at", "no time", "ahead")] == [NOW] * 3
    assert (events["decision"].decision_id, events["note"].properties) == ("", {})
    assert events["id"].id.startswith("file:")
    counted = {name for name, each in customers.items() if each.series}
    assert counted == {"well"}


def test_what_takes_consent_back_is_no_other_event_of_its_id(plan: Plan, folder: Path) -> None:
    kinds = ("click", "unsubscribed", "complained", "unsubscribed", "click")
    file = folder / "messages.jsonl"
    lines = [{"id": "m-1", "customer_id": "a", "type": kind, "at": THEN} for kind in kinds]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = EventColumns(plan.aggregates.declared)
    (found,) = read_slices(file, columns, 0, 10)
    batch = Batch(found, columns, plan.aggregates, NOW, "file")
    assert batch.once(np.arange(5), np.zeros(5, dtype=np.int64)).tolist() == [0, 1, 2]
    assert batch.leave_out({"a": {"m-1", "m-1\ncomplained"}}) == 3
    assert np.flatnonzero(batch.good).tolist() == [1, 3]
