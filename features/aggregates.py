"""Aggregates: what a customer's series say at a moment, and until when they go on saying it. Pure.

A window moves with time, so what is read from it changes though nothing happens: whoever keeps a value keeps with it
the time at which it has to be read again.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from catalog.series import Aggregate, Aggregates, Function, Kept, Series
from features.series import Stored
from rules.types import AttributeType

DAY_US = 24 * 3600 * 1_000_000
NEVER = 2**62
_MOST_INT = 2**63 - 1


class Values(NamedTuple):
    """Aggregates by name, without those that have no value; true from the moment asked for until `until` (exclusive,
    microseconds since 1970).
    """

    by_name: dict[str, Any]
    until: int


def values_at(aggregates: Aggregates, stored: Mapping[int, Stored], now: int) -> Values:
    """All of `aggregates` at `now`, from what is `stored` of their series."""
    found: dict[str, Any] = {}
    until = NEVER
    for aggregate in aggregates.values:
        series = aggregates.series[aggregate.series]
        kept = stored.get(series.key)
        value = value_of(aggregate, series, kept, now)
        if value is not None:
            found[aggregate.name] = value
        if kept is not None:
            until = min(until, _changes(aggregate, series, kept, now))
    return Values(found, until)


def value_of(aggregate: Aggregate, series: Series, stored: Stored | None, now: int) -> Any:
    """None where it has no value."""
    if stored is None:
        return _nothing(aggregate)
    if series.kept is Kept.LATEST:
        gone = aggregate.window and stored <= now - aggregate.window
        return None if gone else max(0, (now - stored) // DAY_US)
    first, last = _seen(aggregate, series, stored[0], now)
    if first >= last:
        return _nothing(aggregate)
    return _READ[aggregate.function](aggregate, series, [column[first:last] for column in stored[1:]])


def _sum(aggregate: Aggregate, series: Series, seen: Stored) -> int | float | None:
    total = sum(map(int, seen[1]))
    if aggregate.kind is AttributeType.INT:
        return total if abs(total) <= _MOST_INT else None
    return total / series.scale


def _mean(aggregate: Aggregate, series: Series, seen: Stored) -> float:
    count: int = sum(seen[0])
    return sum(map(int, seen[1])) / (series.scale * count)


_READ: dict[Function, Callable[[Aggregate, Series, Stored], Any]] = {
    Function.COUNT: lambda aggregate, series, seen: sum(seen[0]),
    Function.SUM: _sum,
    Function.MEAN: _mean,
    Function.MIN: lambda aggregate, series, seen: min(seen[0]),
    Function.MAX: lambda aggregate, series, seen: max(seen[0]),
    Function.FIRST: lambda aggregate, series, seen: seen[1][0],
    Function.LAST: lambda aggregate, series, seen: seen[1][-1],
    Function.DISTINCT: lambda aggregate, series, seen: len(set(seen[0])),
    Function.VALUES: lambda aggregate, series, seen: sorted(set(seen[0])),
}


def _nothing(aggregate: Aggregate) -> Any:
    """What there is to say of no events at all."""
    match aggregate.function:
        case Function.COUNT | Function.DISTINCT:
            return 0
        case Function.SUM:
            return 0 if aggregate.kind is AttributeType.INT else 0.0
        case Function.VALUES:
            return []
    return None


def bounds(aggregate: Aggregate, series: Series, now: int) -> tuple[int, int]:
    """The window's tiles: those after the first number, up to the second. Of an aggregate with a window."""
    end = now - aggregate.offset
    return (end - aggregate.window) // series.tile, end // series.tile


def _seen(aggregate: Aggregate, series: Series, tiles: list[int], now: int) -> tuple[int, int]:
    """From which place in `tiles` up to which, exclusive, the window reaches."""
    if not aggregate.window:
        return 0, len(tiles)
    before, last = bounds(aggregate, series, now)
    return bisect_right(tiles, before), bisect_right(tiles, last)


def _changes(aggregate: Aggregate, series: Series, stored: Stored, now: int) -> int:
    """When, after `now`, it may say something else although nothing happens."""
    if series.kept is Kept.LATEST:
        if aggregate.window and stored <= now - aggregate.window:
            return NEVER
        next_day: int = stored + (max(0, now - stored) // DAY_US + 1) * DAY_US
        return min(next_day, stored + aggregate.window) if aggregate.window else next_day
    if not aggregate.window:
        return NEVER
    tiles: list[int] = stored[0]
    first, after = _seen(aggregate, series, tiles, now)
    leaves = tiles[first] * series.tile + aggregate.offset + aggregate.window if first < len(tiles) else NEVER
    enters = tiles[after] * series.tile + aggregate.offset if after < len(tiles) else NEVER
    return min(leaves, enters)
