"""What a record's columns say, to DuckDB, and what becomes of entries that are no record."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from archive.reading import find
from archive.running import Place, archive_once
from decision.record import Outcome
from tests.archive import duck
from tests.archive.streams import ACTION, AT_ONCE, DAY_US, NOON, Streams, archived, days, files, record_of, written

pytestmark = pytest.mark.anyio


def asked(data: Path, query: str, kind: str = "decisions") -> list[Any]:
    """DuckDB's answer; `archive` in the query stands for the files, read without being told anything about them."""
    return duck.asked(query.replace("archive", f"'{data}/archive/{kind}/*/*.parquet'"))


async def test_the_columns(place: Place, streams: Streams) -> None:
    answer = {"status": "control", "reason": "control_group", "actions": [ACTION, {**ACTION, "propensity": None}]}
    record = record_of(
        7, NOON, degraded=("deadline",), answer=orjson.dumps(answer),
        outcome=Outcome({"eligible": 3, "consent": 2}, {}, orjson.dumps([ACTION])),
    )  # fmt: skip
    await streams.add(0, record.id, written(record))
    await archive_once(place, AT_ONCE)
    (row,) = asked(
        place.data,
        "SELECT decision_id, customer_id, epoch_us(decided_at), status, reason, len(actions),"
        " actions[1].action, actions[1].value, actions[2].propensity, withheld[1].treatment,"
        " removed_by_gate['consent'], cardinality(left_by_policy), degraded, catalog, seed,"
        " request->>'customer_id', answer, record, day FROM archive",
    )
    assert row[:6] == (record.id, "c-7", NOON, "control", "control_group", 2)
    assert row[6:13] == ("hello", 8.0, None, "hello/web", 2, 0, ["deadline"])
    assert row[13:16] == ("sha256:c", 2**64 - 8, "c-1")
    assert row[16:18] == (record.answer.decode(), written(record))
    assert row[18] == datetime.fromtimestamp(NOON / 1e6, UTC).date()


async def test_what_is_left_may_be_below_nothing(place: Place, streams: Streams) -> None:
    """A limit was lowered, or contacts turned out seen after all."""
    record = record_of(7, NOON, outcome=Outcome({}, {"weekly": -2, "daily": 3}))
    await streams.add(0, record.id, written(record))
    await archive_once(place, AT_ONCE)
    assert asked(place.data, "SELECT left_by_policy['weekly'], left_by_policy['daily'] FROM archive") == [(-2, 3)]


async def test_queries_over_days(place: Place, streams: Streams) -> None:
    await streams.fill(300, NOON, DAY_US // 100)
    await archive_once(place, AT_ONCE)
    counted = asked(place.data, "SELECT day, count(*) FROM archive GROUP BY day ORDER BY day")
    assert [count for _, count in counted] == [50, 100, 100, 50]
    some = "SELECT count(*) FROM archive WHERE decided_at >= '2017-10-02T00:00Z' AND day < '2017-10-04'"
    assert asked(place.data, some) == [(200,)]
    types = "SELECT DISTINCT typeof(decided_at), typeof(seed), typeof(day) FROM archive"
    assert asked(place.data, types) == [("TIMESTAMP WITH TIME ZONE", "DECIMAL(20,0)", "DATE")]


async def test_what_is_no_record_is_kept_apart(place: Place, streams: Streams) -> None:
    good = record_of(1)
    wrong = {
        "torn": (record_of(2).id, written(record_of(2))[:40]),
        "of another version": (record_of(3).id, written(record_of(3, version=99))),
        "of another decision": (record_of(4).id, written(record_of(5))),
        "without an answer": (record_of(6).id, written(record_of(6, answer=b"{}"))),
        "not JSON": (record_of(7).id, written(record_of(7, request=b"\xff"))),
        "out of time": (record_of(8).id, written(msgspec.structs.replace(record_of(8), at=10**18))),
        "of too large a count": (record_of(9).id, written(record_of(9, outcome=Outcome({"x": 2**63}, {})))),
        "nothing": (record_of(10).id, b""),
    }
    for decision_id, body in wrong.values():
        await streams.add(0, decision_id, body)
    await streams.add(0, good.id, written(good))
    await streams.ask("XADD", streams.stream(1), "*", "other", "thing")
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.quarantined, drained.trimmed) == (10, 9, 10)
    assert archived(place.data) == [(good.id, written(good))]
    kept = asked(place.data, "SELECT decision_id, record, why FROM archive", "quarantine")
    assert {(decision_id, body) for decision_id, body, _ in kept if decision_id} == set(wrong.values())
    assert all(why for _, _, why in kept)
    assert [body for decision_id, body, _ in kept if not decision_id] == [b"\x92\xc4\x05other\xc4\x05thing"]
    decision_id, body = wrong["of another version"]
    assert find(place.data, decision_id) == body
    assert len(days(files(place.data, "quarantine"))) == 1
