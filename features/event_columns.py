"""Columns of events: what the columns of an imported file mean, and what their cells say.

`customer_id`, `type`, `at`, `id` and `decision_id` are an event's own; every other column is a property. A property is
kept as JSON has it, so that an imported event is the same as one that was sent: a CSV cell becomes a number where the
catalog declares one, a time becomes text. What a series reads of it is then checked as for any event.
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any

from features.columns import ImportFileError, parsed
from features.customer import micros
from features.keys import LONGEST_ID
from features.rows import unrepeated
from rules.types import INT64_MAX, INT64_MIN, AttributeType, coerce, shown

ID, CUSTOMER, TYPE, AT, DECISION = "id", "customer_id", "type", "at", "decision_id"
PROPERTIES, SENT_AT = "properties", "sent_at"
OWN = (ID, CUSTOMER, TYPE, AT, DECISION, PROPERTIES, SENT_AT)
LONGEST_TYPE = 128
_DECISION_ID = re.compile(r"[0-9a-f]{32}")


def no_number(text: str) -> None:
    """What Python's JSON takes for numbers although it is none. Raises ValueError."""
    raise ValueError(f"{text} is no number")


_decode = json.JSONDecoder(object_pairs_hook=unrepeated, parse_constant=no_number).decode


@dataclass(frozen=True, slots=True)
class EventColumns:
    """What the columns of a file mean. `declared` are the properties of each event type; `mapping` is from column to
    name; `kind` is the event type of all rows, None where a column says it. `zone` is that of times that name none.
    """

    declared: Mapping[str, Mapping[str, AttributeType]]
    kind: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC

    def name(self, column: str) -> str:
        return self.mapping.get(column, column)

    def check(self, columns: Iterable[str]) -> list[str]:
        """What each column is called. Raises ImportFileError for columns that are no events."""
        given = list(columns)
        names = [self.name(column) for column in given]
        absent = next((column for column in self.mapping if column not in given), None)
        if absent is not None:
            raise ImportFileError(f"mapped column {absent!r} is not in the file, which has {', '.join(given)}")
        wanted = {CUSTOMER: "", AT: ""} | ({TYPE: ", or say it for all rows: --type purchase"} if not self.kind else {})
        for name, otherwise in wanted.items():
            if name not in names:
                raise ImportFileError(f"no column {name}: {_hint(name, names)}map one: --map column={name}{otherwise}")
        if self.kind and TYPE in names:
            raise ImportFileError(f"the file has a column {TYPE}: leave out --type, or map it: --map {TYPE}=kind")
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ImportFileError(f"two columns mean {repeated!r}")
        return names

    def kind_of(self, event_type: str, name: str) -> AttributeType | None:
        """The declared type of a property, None where the catalog says nothing of it."""
        return self.declared.get(event_type, {}).get(name)

    def property(self, kind: AttributeType | None, raw: Any, *, text: bool) -> Any:
        """A cell as it would be sent, None for an empty one; `text` says that it is to be parsed, as in CSV.

        Raises ValueError for what JSON can't hold.
        """
        if not text:
            return _plain(raw, self.zone if kind is AttributeType.TIMESTAMP else None)
        if raw is None or raw == "":
            return None
        try:
            value = raw if kind is None else parsed(kind, raw, self.zone)
        except ValueError:
            return raw
        if isinstance(value, datetime):
            return value.isoformat()
        return value if _is_json(value) else raw

    def properties(self, raw: Any) -> dict[str, Any] | None:
        """Those in a cell, JSON or, in Parquet, a structure. Raises ValueError."""
        if raw is None or raw == "":
            return None
        try:
            found = _decode(raw) if type(raw) is str else _plain(raw, None)
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        if not isinstance(found, dict):
            raise ValueError(f"expected an object, got {shown(found)}")
        return found

    def moment(self, raw: Any, *, text: bool) -> int:
        """The time in a cell, in microseconds since 1970. Raises ValueError."""
        if raw is None or raw == "":
            raise ValueError("is empty")
        value = self.property(AttributeType.TIMESTAMP, raw, text=text)
        found = coerce(AttributeType.TIMESTAMP, value)
        return micros(found) if isinstance(found, datetime) else 0


def customer_id(raw: Any) -> str:
    """Raises ValueError."""
    return _identifier(raw, LONGEST_ID)


def event_id(raw: Any) -> str:
    """Empty where the cell is. Raises ValueError."""
    return "" if raw is None or raw == "" else _identifier(raw, LONGEST_ID)


def event_type(raw: Any) -> str:
    """Raises ValueError."""
    return _identifier(raw, LONGEST_TYPE)


def decision_id(raw: Any) -> str:
    """Empty where the cell is. Raises ValueError."""
    if raw is None or raw == "":
        return ""
    if type(raw) is not str or not _DECISION_ID.fullmatch(raw):
        raise ValueError(f"expected 32 lower-case hexadecimal digits, got {shown(raw)}")
    return raw


def _identifier(raw: Any, most: int) -> str:
    text = str(raw) if type(raw) in (str, int) else ""
    if not text or len(text) > most or not text.isprintable():
        raise ValueError(f"expected 1 to {most} printable characters, got {shown(raw)}")
    return text


def _plain(raw: Any, zone: tzinfo | None) -> Any:
    """A value of Parquet as JSON has it. Naive times are in UTC, as its specification has them; not a number, as some
    write what is missing, is no value; a date where a time is declared is its midnight in `zone`.
    """
    match raw:
        case None | bool() | str():
            return raw
        case int():
            if not _is_json(raw):
                raise ValueError(f"expected a whole number of at most 64 bits, got {shown(raw)}")
            return raw
        case float() | Decimal():
            number = float(raw)
            if math.isinf(number):
                raise ValueError(f"expected a finite number, got {shown(raw)}")
            return None if math.isnan(number) else number
        case datetime():
            return (raw if raw.tzinfo is not None else raw.replace(tzinfo=UTC)).isoformat()
        case date():
            return raw.isoformat() if zone is None else datetime(raw.year, raw.month, raw.day, tzinfo=zone).isoformat()
        case list():
            return [_plain(item, None) for item in raw]
        case dict():
            return {name: _plain(item, None) for name, item in raw.items()}
    raise ValueError(f"expected what JSON can hold, got {shown(raw)}")


def _is_json(value: Any) -> bool:
    if value.__class__ is float:
        return math.isfinite(value)
    return value.__class__ is not int or INT64_MIN <= value <= INT64_MAX


def _hint(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"{close[0]!r} is none; " if close else ""
