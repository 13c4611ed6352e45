"""What the catalog's aggregates were at moments of the past: of the same events, by the code that keeps them online.

Of a household at a moment only what had happened before is put in: what comes then or later isn't even looked at.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catalog.series import Aggregates
from examples.grocery.events import TABLES
from features.aggregates import values_at
from features.readings import Reading

Values = dict[str, Any]
Row = dict[str, Any]


def all_events(source: Path) -> Any:
    """A pyarrow Table of everything that ever happened; properties that a type doesn't have are null."""
    return pa.concat_tables([table(source) for table in TABLES.values()], promote_options="default")


def at_moments(
    aggregates: Aggregates, events: Any, moments: Mapping[str, Iterable[int]]
) -> Iterator[tuple[str, int, Values]]:
    """Customer, moment (microseconds since 1970) and the aggregates then, for each of the `moments` of each customer.

    `events` is a pyarrow Table in any order, with a column for each property. A property that is wrong raises
    MisfitError.
    """
    told = events.filter(pc.is_in(events["customer_id"], pa.array(list(moments), pa.string())))
    by_customer = {name: list(rows) for name, rows in groupby(in_order(told), itemgetter("customer_id"))}
    for customer_id, wanted in moments.items():
        yield from (
            (customer_id, moment, values)
            for moment, values in walked(aggregates, by_customer.get(customer_id, []), sorted(set(wanted)))
        )


def in_order(events: Any) -> Iterator[Row]:
    """By customer and time, the latter in microseconds."""
    ordered = events.sort_by([("customer_id", "ascending"), ("at", "ascending")])
    ordered = ordered.set_column(ordered.column_names.index("at"), "at", ordered["at"].cast(pa.int64()))
    for batch in ordered.to_batches():
        yield from batch.to_pylist()


def walked(aggregates: Aggregates, rows: list[Row], moments: list[int]) -> Iterator[tuple[int, Values]]:
    """Each moment and the aggregates then, of one customer; both lists ascend."""
    series: dict[int, Any] = {}
    place = 0
    for moment in moments:
        reading = Reading(aggregates, moment)
        while place < len(rows) and rows[place]["at"] < moment:
            row = rows[place]
            reading.add(row["type"], row, row["at"])
            place += 1
        series = reading.kept(series)
        yield moment, values_at(aggregates, series, moment).by_name
