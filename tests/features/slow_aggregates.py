"""Aggregates straight from their definition: all events ever are kept, and counted anew whenever somebody asks."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from catalog.series import Aggregate, Function

DAY_US = 24 * 3600 * 1_000_000


class Happened(NamedTuple):
    """An event that the aggregate's filter lets through: when, and the value of the property it reads."""

    at: int
    value: Any


def slow_value(aggregate: Aggregate, tile: int, events: Iterable[Happened], now: int) -> Any:
    """What `aggregate` is at `now`, None where it has no value. `tile` is that of its windows, in microseconds."""
    if aggregate.function is Function.DAYS_SINCE:
        times = [at for at, _ in events if not aggregate.window or now - aggregate.window < at]
        return (now - max(times)) // DAY_US if times else None
    seen = sorted(each for each in events if _is_in(aggregate, tile, each.at, now))
    if not seen:
        return _nothing(aggregate)
    return _FROM[aggregate.function]([value for _, value in seen])


def _is_in(aggregate: Aggregate, tile: int, at: int, now: int) -> bool:
    if not aggregate.window:
        return True
    starts = at - at % tile  # the tile's first moment: a tile is seen as a whole, or not at all
    end = now - aggregate.offset
    begin = end - aggregate.window
    return begin - begin % tile < starts <= end - end % tile


def _nothing(aggregate: Aggregate) -> Any:
    match aggregate.function:
        case Function.COUNT | Function.DISTINCT:
            return 0
        case Function.SUM:
            return 0 if aggregate.kind == "int" else 0.0
        case Function.VALUES:
            return []
    return None


def _total(values: list[Any]) -> Any:
    if isinstance(values[0], int):
        return sum(values)
    return float(sum(Decimal(str(value)) for value in values))


def _mean(values: list[Any]) -> float:
    return float(sum(Fraction(str(value)) for value in values) / len(values))


_FROM: dict[Function, Callable[[list[Any]], Any]] = {
    Function.COUNT: len,
    Function.SUM: _total,
    Function.MEAN: _mean,
    Function.MIN: min,
    Function.MAX: max,
    Function.FIRST: lambda values: values[0],
    Function.LAST: lambda values: values[-1],
    Function.DISTINCT: lambda values: len(set(values)),
    Function.VALUES: lambda values: sorted(set(values)),
}
