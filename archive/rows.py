"""Rows: a record spelled out in columns that DuckDB and Spark read as they are, and the record itself beside them.

The columns are for people and their queries, and none is called like a word of SQL. Whoever replays reads `record`,
the exact bytes from the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec
import pyarrow as pa

from archive.streams import Entry
from archive.tables import LATEST_US, Spelled
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


def spelled_record(entry: Entry) -> Spelled:
    """Raises RecordError where the entry's bytes are no record that this version can spell out."""
    if not entry.name:
        raise RecordError("this entry of the stream is none of Tino's")
    record = read_record(entry.body)
    if record.id != entry.name:
        raise RecordError(f"this record is of decision {record.id}")
    if not 0 <= record.at < LATEST_US:
        raise RecordError(f"the time of this record lies outside the years 1970 to 9998: {record.at}")
    try:
        columns = _columns(record, entry.body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordError(f"this record can't be spelled out: {error}") from None
    return Spelled((record.id,), (record.id,), record.at, 1, lambda: (columns,))


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
        [(name, _signed(left)) for name, left in record.outcome.left.items()],
        record.degraded,
        record.catalog,
        _bits(record.seed, 64),
        record.request.decode(),
        record.answer.decode(),
        body,
    )


def _counts(counted: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(name, _bits(count, 63)) for name, count in counted.items()]


def _signed(number: int) -> int:
    """What a policy has left is below nothing where a limit was lowered, or contacts turned out seen after all."""
    return _bits(number + (1 << 63), 64) - (1 << 63)


def _bits(number: int, bits: int) -> int:
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{number} is no number of {bits} bits")
    return number
