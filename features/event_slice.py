"""A slice: a run of rows of a file of events, as columns, and what the properties of an event may come to.

Of CSV and Parquet the columns are the file's own; of JSON Lines, where each row has its own keys, and of a file that
has a column `properties`, the properties of a row stay together.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from features.bulk_coded import Coded
from features.columns import BadRow
from features.event_columns import PROPERTIES
from rules.types import shown

MOST_PROPERTIES = 32 * 1024  # bytes, of one event
DEEPEST = 16  # objects and lists within each other
_encode = msgspec.msgpack.Encoder().encode
_FLAT = frozenset({str, int, float, bool, type(None)})


@dataclass(slots=True)
class Slice:
    """`lines` has the line of each row. `columns` holds its own columns and, where each row has the same, its
    properties; `properties` those of each row, where it has its own. `rows` is how many rows of the file it took.
    """

    lines: list[int]
    columns: dict[str, Coded]
    rows: int
    text: bool = False
    properties: list[dict[str, Any]] | None = None
    bad: list[BadRow] = field(default_factory=list)


def together(given: Any, others: dict[str, Any]) -> dict[str, Any]:
    """The properties of a row that has some in a column of their own. Raises ValueError."""
    if given is None:
        return others
    if not isinstance(given, dict):
        raise ValueError(f"{PROPERTIES}: expected an object, got {shown(given)}")
    if not others:
        return given
    twice = next((name for name in others if name in given), None)
    if twice is not None:
        raise ValueError(f"{PROPERTIES}: {twice!r} is given twice")
    return {**given, **others}


def bounded(properties: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for properties that can't be kept."""
    try:
        size = len(_encode(properties))
    except (OverflowError, UnicodeEncodeError):
        raise ValueError(f"{PROPERTIES}: expected whole numbers of at most 64 bits, and text that is Unicode") from None
    if size > MOST_PROPERTIES:
        raise ValueError(f"{PROPERTIES}: expected at most {MOST_PROPERTIES:,} bytes, got {size:,}")
    if size > DEEPEST and not _FLAT.issuperset(map(type, properties.values())) and _depth(properties) > DEEPEST:
        raise ValueError(f"{PROPERTIES}: expected at most {DEEPEST} objects and lists within each other")
    return properties


def _depth(value: Any) -> int:
    items = value.values() if value.__class__ is dict else value if value.__class__ is list else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)
