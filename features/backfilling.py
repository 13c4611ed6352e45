"""Filling in: what a customer's series would be, had they been declared from the first event that the log has. Pure.

What a customer has of a series, and what the log has of it, are two views of the same events: state has all since the
series was declared, the log all that it still keeps. So one always holds the other. Of most kinds of series the two are
simply joined, as joining what both saw changes nothing. Counts and sums would be doubled by that: there, tile by tile,
the one that has seen more events is the one that has seen them all. So nothing is lost by filling in that the log no
longer reaches back to.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from catalog.series import Aggregates, Kept, Series
from features.customer import Customer
from features.events import Event
from features.readings import MisfitError, Reading
from features.series import Stored, cut, joined


class Told(NamedTuple):
    """What the log tells of a customer: by the key of its series, and how many events were no fit for these."""

    series: Mapping[int, Stored]
    misfits: int


def told(aggregates: Aggregates, events: Iterable[Event], since: int, now: int) -> Told:
    """What events come to at `now`; those that were stored until `since` are passed over. Both in microseconds."""
    reading, misfits = Reading(aggregates, now), 0
    for event in events:
        if event.received <= since:
            continue
        try:
            reading.add(event.type, event.properties, event.at)
        except MisfitError:
            misfits += 1
    return Told(reading.kept({}), misfits)


def filled(
    customer: Customer, aggregates: Aggregates, found: Told, chosen: Collection[int] | None, now: int, *, anew: bool
) -> Customer:
    """`customer` with what was `found` in the chosen series, None for all; then also without any that isn't declared.

    `anew` takes what was found instead of what there is. The same customer where nothing changes.
    """
    kept: dict[int, Stored] = {}
    if chosen is not None:
        declared = {series.key for series in aggregates.series}
        kept = {key: stored for key, stored in customer.series.items() if key not in declared}
    for series in aggregates.series:
        stored, log = customer.series.get(series.key), found.series.get(series.key)
        if chosen is None or series.key in chosen:
            stored = log if anew else fuller(series, stored, log)
        stored = None if stored is None else cut(series, stored, now)
        if stored is not None:
            kept[series.key] = stored
    return customer if kept == customer.series else msgspec.structs.replace(customer, series=kept)


def fuller(series: Series, one: Stored | None, other: Stored | None) -> Stored | None:
    """All that either has seen."""
    if one is None or other is None or series.kept is not Kept.ADDED:
        return joined(series, one, other)
    tiles = {tile: figures for tile, *figures in zip(*_whole(series, one), strict=True)}
    for tile, *figures in zip(*_whole(series, other), strict=True):
        if tile not in tiles or figures[0] > tiles[tile][0]:
            tiles[tile] = figures
    rows = [(tile, *figures) for tile, figures in sorted(tiles.items())]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns if series.sums else [*columns, []]


def _whole(series: Series, stored: Stored) -> Stored:
    """Without the empty column of a series that adds nothing up."""
    return stored if series.sums else stored[:2]
