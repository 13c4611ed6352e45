"""What is kept of events, compiled: series that hold it, and the aggregates that are read from them.

A series is what one or several aggregates need of one type of event: with one filter, of one property, in tiles of one
length. A tile is a stretch of time, `at // tile` is its number, and what falls into it is kept as one figure, so that a
window costs a bounded number of figures however many events there are. The price is that a window begins where a tile
begins: of `window` 30d with `tile` 1d, an aggregate sees between 29 and 30 days, never more than 30.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rules.programs import Program
from rules.types import AttributeType


class Kept(StrEnum):
    """What a series keeps in each tile."""

    ADDED = "added"  # how many events, and the sum of the property
    LEAST = "least"
    MOST = "most"
    FIRST = "first"  # the property of the earliest event, and when that was
    LAST = "last"
    LATEST = "latest"  # when the last event was; one time, no tiles
    VALUES = "values"  # which values the property had


class Function(StrEnum):
    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    FIRST = "first"
    LAST = "last"
    DISTINCT = "distinct"
    VALUES = "values"
    DAYS_SINCE = "days_since"


@dataclass(frozen=True, slots=True)
class Series:
    """`key` names it in customers' states: 32 bits of a hash of all that follows but `horizon`.

    `tile` and `horizon` are in microseconds; a `tile` of 0 is one tile for ever, a `horizon` of 0 keeps it for ever:
    else what ended longer ago is dropped. `sums` says whether sums are kept beside counts. `newest` says that no window
    ends before now, so that of what is kept in several tiles only the newest counts. `scale` turns a property into the
    whole number that is added up: 1 for int, 1,000,000 for double, so that sums are exact in any order.
    `most` bounds how many values are kept, those seen last; `whole` says that they are to be told again, not only
    counted, so that long texts are kept as they are and not as hashes. `where`, over `event`, says which events count;
    `filtered` are the properties that it reads.
    """

    key: int
    kept: Kept
    event: str
    property: str | None
    where: Program | None
    tile: int
    horizon: int
    sums: bool = False
    newest: bool = False
    scale: int = 1
    most: int = 1000
    whole: bool = False
    filtered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`customer.<name>`: `function` over (now − offset − window, now − offset], in tiles; a `window` of 0 is for ever.

    `series` is the position of its series in Aggregates.series; `kind` the type of what it gives.
    """

    name: str
    function: Function
    series: int
    window: int
    offset: int
    kind: AttributeType


@dataclass(frozen=True, slots=True)
class Aggregates:
    """All that a catalog keeps of events.

    `declared` are the properties of each declared event type and their types; `needed` those of them that some series
    reads, in its filter or as its property, so that an event with one of another type can't be counted. `of_event`
    gives the series an event type feeds. `horizon` is the longest window, offset included, in microseconds; 0 where
    some series keeps for ever or there is none. `outcomes` are the event types that answer a contact.
    """

    series: tuple[Series, ...] = ()
    values: tuple[Aggregate, ...] = ()
    declared: Mapping[str, Mapping[str, AttributeType]] = field(default_factory=dict)
    needed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    of_event: Mapping[str, tuple[Series, ...]] = field(default_factory=dict)
    horizon: int = 0
    outcomes: frozenset[str] = frozenset()
    readers: dict[str, Any] = field(default_factory=dict, compare=False)  # memory of features.readings

    @property
    def types(self) -> dict[str, AttributeType]:
        """Of each aggregate, by name."""
        return {each.name: each.kind for each in self.values}


OUTCOMES = (
    "impression", "click", "conversion", "dismiss", "delivered", "bounced", "unsubscribed", "complained", "opened",
    "failed",
)  # fmt: skip
"""What can come of a contact in any catalog; a catalog may declare more."""
