"""The types a catalog may declare, and how a JSON value becomes a value of one of them."""

import math
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Any

Value = str | int | float | bool | datetime | timedelta | list[Any] | None

LONGEST_STRING = 10_000  # characters, of a list's items too
LONGEST_LIST = 1_000  # items
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
# The extremes of a year-9999 calendar overflow when moved into another zone, so a day is kept free at both ends.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC)

_ZONES = frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())

# CEL's durations are 64 bits of nanoseconds, some 292 years either way.
LONGEST = timedelta(microseconds=INT64_MAX // 1000)


class AttributeType(StrEnum):
    """What an attribute of a customer or of a request's context may hold."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    STRING_LIST = "list<string>"


PYTHON_TYPES: dict[AttributeType, type] = {
    AttributeType.STRING: str,
    AttributeType.INT: int,
    AttributeType.DOUBLE: float,
    AttributeType.BOOL: bool,
    AttributeType.TIMESTAMP: datetime,
    AttributeType.STRING_LIST: list,
}


def coerce(kind: AttributeType, raw: Any) -> Value:
    """`raw` (as JSON gives it, or a `datetime`) as a value of `kind`.

    Integers widen to doubles, timestamps are read from RFC 3339 text with a zone and kept in UTC; nothing else is
    converted. A string has at most LONGEST_STRING characters, a list at most LONGEST_LIST items. Raises ValueError,
    saying what was expected.
    """
    match kind:
        case AttributeType.STRING if type(raw) is str and encodable(raw):
            return _short(raw)
        case AttributeType.BOOL if type(raw) is bool:
            return raw
        case AttributeType.INT if type(raw) is int and INT64_MIN <= raw <= INT64_MAX:
            return raw
        case AttributeType.DOUBLE if type(raw) in (int, float):
            return _finite(raw)
        case AttributeType.TIMESTAMP:
            return _timestamp(raw)
        case AttributeType.STRING_LIST if isinstance(raw, list) and all(
            type(item) is str and encodable(item) for item in raw
        ):
            if len(raw) > LONGEST_LIST:
                raise ValueError(f"expected at most {LONGEST_LIST:,} items, got {len(raw):,}")
            return [_short(item) for item in raw]
    raise ValueError(f"expected {EXPECTED[kind]}, got {shown(raw)}")


EXPECTED: dict[AttributeType, str] = {
    AttributeType.STRING: "a string",
    AttributeType.INT: "a whole number of at most 64 bits",
    AttributeType.DOUBLE: "a finite number",
    AttributeType.BOOL: "true or false",
    AttributeType.TIMESTAMP: "an RFC 3339 timestamp with a zone, such as 2026-01-31T09:00:00Z",
    AttributeType.STRING_LIST: "a list of strings",
}


_JSON: dict[bool | None, str] = {True: "true", False: "false", None: "null"}  # as it stands in YAML, too


def shown(raw: Any) -> str:
    """`raw` as a message may quote it: short, whatever was sent."""
    text = _JSON[raw] if raw is None or isinstance(raw, bool) else repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."


def fitted(kind: AttributeType, value: Any) -> Value:
    """A stored value as of the type that the catalog declares now: integers widen to doubles. None if it isn't."""
    widens = kind is AttributeType.DOUBLE and type(value) is int
    found: Value = float(value) if widens else value
    return found if widens or type(value) is PYTHON_TYPES[kind] else None


def valid_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone. A machine's own data may know other names, `localtime` or `posixrules`, that
    mean another zone elsewhere or none, so these are the names that tzdata ships, the same everywhere.
    """
    return name in _ZONES


def _short(text: str) -> str:
    if len(text) > LONGEST_STRING:
        raise ValueError(f"expected at most {LONGEST_STRING:,} characters, got {len(text):,}")
    return text


def encodable(text: str) -> bool:
    """Half of a surrogate pair is no text: it could be neither stored nor answered."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _finite(raw: float) -> float:
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"expected {EXPECTED[AttributeType.DOUBLE]}, got {shown(raw)}")
    return value


def _timestamp(raw: Any) -> datetime:
    value = raw
    if type(raw) is str:
        try:
            value = datetime.fromisoformat(raw)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"expected {EXPECTED[AttributeType.TIMESTAMP]}, got {shown(raw)}")
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        value = EARLIEST - timedelta(days=1)
    if not EARLIEST <= value <= LATEST:
        raise ValueError(f"expected a timestamp between the years 1 and 9999, got {shown(raw)}")
    return value
