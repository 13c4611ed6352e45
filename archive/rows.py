"""Rows: a record spelled out in columns that DuckDB and Spark read as they are, and the record itself beside them.

The columns are for people and their queries, and none is called like a word of SQL. Whoever replays reads `record`,
the exact bytes from the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypedDict

import msgspec
import pyarrow as pa

from archive.streams import Entry, shown
from decision.record import Record, RecordError, read_record

_ACTION = pa.struct(
    [
        ("action", pa.string()),
        ("treatment", pa.string()),
        ("channel", pa.string()),
        ("placement", pa.string()),
        ("propensity", pa.float64()),
        ("value", pa.float64()),
        ("priority", pa.float64()),
        ("probability", pa.float64()),
        ("fallback", pa.bool_()),
    ]
)
_COUNTS = pa.map_(pa.string(), pa.int64())
SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("decided_at", pa.timestamp("us", tz="UTC")),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("actions", pa.list_(_ACTION)),
        ("withheld", pa.list_(_ACTION)),
        ("removed_by_gate", _COUNTS),
        ("left_by_policy", _COUNTS),
        ("degraded", pa.list_(pa.string())),
        ("catalog", pa.string()),
        ("seed", pa.decimal128(20, 0)),  # 64 bits: more than a BIGINT holds
        ("request", pa.string()),
        ("answer", pa.string()),
        ("record", pa.binary()),
    ],
    metadata={"tino.archive": "1"},
)
QUARANTINE_SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("entry", pa.string()),
        ("decision_id", pa.string()),
        ("why", pa.string()),
        ("record", pa.binary()),
    ],
    metadata={"tino.archive": "1"},
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class _Action(TypedDict, total=False):
    action: str | None
    treatment: str | None
    channel: str | None
    placement: str | None
    propensity: float | None
    value: float | None
    priority: float | None
    probability: float | None
    fallback: bool | None


class _Answer(msgspec.Struct):
    status: str
    reason: str
    actions: list[_Action]


_answer = msgspec.json.Decoder(_Answer).decode
_actions = msgspec.json.Decoder(list[_Action]).decode


class Row(msgspec.Struct):
    """`columns` are those of SCHEMA, in order. `at` is service time in microseconds since 1970."""

    decision_id: str
    at: int
    columns: tuple[Any, ...]


def row_of(entry: Entry) -> Row:
    """Raises RecordError where the entry's bytes are no record that this version can spell out."""
    if not entry.decision_id:
        raise RecordError("this entry of the stream is none of Tino's")
    record = read_record(entry.record)
    if record.id != entry.decision_id:
        raise RecordError(f"this record is of decision {record.id}")
    if not 0 <= record.at < _LATEST_US:
        raise RecordError(f"the time of this record lies outside the years 1970 to 9998: {record.at}")
    try:
        return Row(record.id, record.at, _columns(record, entry.record))
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordError(f"this record can't be spelled out: {error}") from None


def _columns(record: Record, body: bytes) -> tuple[Any, ...]:
    answer = _answer(record.answer)
    return (
        record.id,
        record.customer_id,
        record.at,
        answer.status,
        answer.reason,
        answer.actions,
        _actions(record.outcome.withheld),
        _counts(record.outcome.removed),
        _counts(record.outcome.left),
        record.degraded,
        record.catalog,
        _bits(record.seed, 64),
        record.request.decode(),
        record.answer.decode(),
        body,
    )


def _counts(counted: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(name, _bits(count, 63)) for name, count in counted.items()]


def _bits(number: int, bits: int) -> int:
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{number} is no number of {bits} bits")
    return number


def table_of(rows: Sequence[Row]) -> pa.Table:
    columns = zip(*(row.columns for row in rows), strict=True)
    arrays = [
        # Arrow makes decimals from integers of its own, but not from Python's.
        pa.array(column, pa.uint64()).cast(field.type) if field.name == "seed" else pa.array(column, field.type)
        for field, column in zip(SCHEMA, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def quarantine_table(entries: Iterable[tuple[Entry, str]]) -> pa.Table:
    """Of entries that are no row, each with why."""
    rows = [(entry.partition, shown(entry.id), entry.decision_id, why, entry.record) for entry, why in entries]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for field, column in zip(QUARANTINE_SCHEMA, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=QUARANTINE_SCHEMA)


def day_of(at_us: int) -> date:
    """The day, in UTC, of a time in microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=at_us)).date()
