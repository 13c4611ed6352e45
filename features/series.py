"""Series: what is kept of events in a customer's state, as figures in tiles. Pure.

Each kind of series is a commutative and associative way of joining: counts and whole numbers are added, extremes
compared, sets united. So it makes no difference in which order events come, whether they come one by one or summed up
beforehand (bulk import joins what a million rows come to), or in which of two profiles they were kept before a merge.

How a series stands in the state, as plain lists that are never changed in place; tiles ascend:

    ADDED          [tiles, counts, sums]      sums are whole numbers: the property times Series.scale; [] without sums
    LEAST, MOST    [tiles, values]
    FIRST, LAST    [tiles, times, values]     of two at the same time, FIRST takes the smaller value, LAST the larger
    LATEST         time
    VALUES         [tiles, values]            ascending as pairs; a value stands in several tiles, or in its newest only
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from catalog.series import Kept, Series

LONGEST_VALUE = 8  # characters of a text that is only to be told from others, that are kept as they are
LONGEST_WHOLE = 200
LARGEST = 1e12  # of a double that is added up
_MOST_INT = 2**63 - 1
_NEVER = -(2**63)

Stored = Any


def single(series: Series, at: int, value: Any) -> Stored:
    """What one event comes to, at `at` (microseconds) and with `value` for its property (0 where none is read)."""
    tile = at // series.tile if series.tile else 0
    match series.kept:
        case Kept.ADDED:
            return [[tile], [1], [kept_sum(scaled(series, value))] if series.sums else []]
        case Kept.LEAST | Kept.MOST:
            return [[tile], [short(value)]]
        case Kept.FIRST | Kept.LAST:
            return [[tile], [at], [short(value)]]
        case Kept.LATEST:
            return at
    return [[tile], [told(series, value)]]


def scaled(series: Series, value: float) -> int:
    """As a whole number of 1 / `series.scale`, half to even."""
    return int(value) if series.scale == 1 else round(value * series.scale)


def short(value: Any) -> Any:
    """A text that is kept in each tile: as much of it as the state has room for."""
    return value[:LONGEST_WHOLE] if type(value) is str else value


def told(series: Series, value: Any) -> Any:
    """`value` as a set keeps it."""
    if type(value) is not str:
        return value
    if series.whole:
        return value[:LONGEST_WHOLE]
    return value if len(value) <= LONGEST_VALUE else blake2b(value.encode(), digest_size=8).digest()


def put(series: Series, stored: Stored | None, at: int, value: Any) -> Stored:
    """`stored` and one event more."""
    return put_all(series, stored, ((at, value),))


def put_all(series: Series, stored: Stored | None, events: Sequence[tuple[int, Any]]) -> Stored:
    """`stored` and events more, at least one, each its time and value as in `single`."""
    if series.kept is Kept.LATEST:
        latest = max(at for at, _ in events)
        return latest if stored is None else max(stored, latest)
    if series.kept is Kept.VALUES:
        tile = series.tile
        pairs = {(at // tile if tile else 0, told(series, value)) for at, value in events}
        return _united(series, stored or [[], []], pairs)
    if series.kept is Kept.ADDED:
        for place, (count, amount) in _totals(series, events).items():
            stored = _added(stored or [[], [], []], place, count, amount, series.sums)
        return stored
    for at, value in events:
        stored = joined(series, stored, single(series, at, value))
    return stored


def _totals(series: Series, events: Iterable[tuple[int, Any]]) -> dict[int, tuple[int, int]]:
    """How many events fell in each tile, and what they add up to."""
    found: dict[int, tuple[int, int]] = {}
    for at, value in events:
        tile = at // series.tile if series.tile else 0
        count, amount = found.get(tile, (0, 0))
        found[tile] = (count + 1, amount + scaled(series, value) if series.sums else 0)
    return found


def _added(stored: Stored, tile: int, count: int, amount: int, sums_too: bool) -> Stored:
    tiles, counts, sums = stored
    place = len(tiles) - 1
    if not tiles or tiles[place] != tile:
        place = bisect_left(tiles, tile)
        if place == len(tiles) or tiles[place] != tile:
            longer = [*sums[:place], kept_sum(amount), *sums[place:]] if sums_too else []
            return [[*tiles[:place], tile, *tiles[place:]], [*counts[:place], count, *counts[place:]], longer]
    counts = counts.copy()
    counts[place] += count
    if sums_too:
        sums = sums.copy()
        sums[place] = kept_sum(int(sums[place]) + amount)
    return [tiles, counts, sums]


def kept_sum(amount: int) -> int | str:
    """MessagePack has integers of 64 bits: what is more is kept as text."""
    return amount if -_MOST_INT <= amount <= _MOST_INT else str(amount)


def joined(series: Series, one: Stored | None, other: Stored | None) -> Stored | None:
    """Both together: the same whichever comes first, and however they were joined before."""
    if one is None or other is None:
        return other if one is None else one
    match series.kept:
        case Kept.ADDED:
            return _sums(series, one, other)
        case Kept.LEAST:
            return _tiled(one, other, min)
        case Kept.MOST:
            return _tiled(one, other, max)
        case Kept.FIRST:
            return _tiled(one, other, min)
        case Kept.LAST:
            return _newest(series, _tiled(one, other, max))
        case Kept.LATEST:
            return max(one, other)
    return _united(series, one, list(zip(*other, strict=True)))


def _sums(series: Series, one: Stored, other: Stored) -> Stored:
    if len(other[0]) > len(one[0]):
        one, other = other, one
    tiles, counts, sums = other
    for place, tile in enumerate(tiles):
        one = _added(one, tile, counts[place], int(sums[place]) if sums else 0, series.sums)
    return one


def without(series: Series, stored: Stored, at: int, value: Any) -> Stored | None:
    """An ADDED series less one event that was counted in it; None where nothing is left."""
    tile = at // series.tile if series.tile else 0
    amount = -scaled(series, value) if series.sums else 0
    tiles, counts, sums = _added(stored, tile, -1, amount, series.sums)
    left = [place for place, count in enumerate(counts) if count > 0]
    if not left:
        return None
    kept = [sums[place] for place in left] if sums else []
    return [[tiles[place] for place in left], [counts[place] for place in left], kept]


def has_counted(series: Series, stored: Stored | None, at: int) -> bool:
    """Whether an ADDED series has anything in the tile of `at`."""
    return stored is not None and (at // series.tile if series.tile else 0) in stored[0]


def _tiled(one: Stored, other: Stored, better: Callable[[Any, Any], Any]) -> Stored:
    """Tile by tile the better of the two; each tile's figures are compared as a tuple."""
    found = {tile: tuple(rest) for tile, *rest in zip(*one, strict=True)}
    for tile, *rest in zip(*other, strict=True):
        figures = tuple(rest)
        found[tile] = better(found[tile], figures) if tile in found else figures
    return _columns(sorted(found.items()))


def _columns(rows: Iterable[tuple[int, tuple[Any, ...]]]) -> Stored:
    return [list(column) for column in zip(*((tile, *figures) for tile, figures in rows), strict=True)]


def _newest(series: Series, stored: Stored) -> Stored:
    return [[column[-1]] for column in stored] if series.newest and len(stored[0]) > 1 else stored


def _united(series: Series, stored: Stored, pairs: Iterable[tuple[int, Any]]) -> Stored:
    if series.newest:
        newest = dict(zip(stored[1], stored[0], strict=True))
        later = {value: tile for tile, value in sorted_pairs(pairs) if newest.get(value, tile - 1) < tile}
        if not later:
            return stored
        newest.update(later)
        kept = sorted_pairs(zip(newest.values(), newest.keys(), strict=True))
    else:
        kept = sorted_pairs({*zip(*stored, strict=True), *pairs})
    return [list(column) for column in zip(*kept[-series.most :], strict=True)]


def sorted_pairs(pairs: Iterable[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """By tile, then by value; a hash of a long text comes behind texts."""
    found = list(pairs)
    try:
        return sorted(found)
    except TypeError:  # a text and a hash in one tile
        return sorted(found, key=lambda pair: (pair[0], type(pair[1]) is bytes, pair[1]))


def cut(series: Series, stored: Stored, now: int) -> Stored | None:
    """`stored` without what no window at `now` (microseconds) or later can see; None where nothing is left."""
    if not series.horizon:
        return stored
    if series.kept is Kept.LATEST:
        return stored if stored > now - series.horizon else None
    gone = bisect_right(stored[0], (now - series.horizon) // series.tile)
    if not gone:
        return stored
    return [column[gone:] for column in stored] if gone < len(stored[0]) else None


def past_until(series: Series, now: int) -> int:
    """The latest moment that no window at `now` or later can see."""
    if not series.horizon:
        return _NEVER
    if series.kept is Kept.LATEST:
        return now - series.horizon
    return ((now - series.horizon) // series.tile + 1) * series.tile - 1


def is_past(series: Series, at: int, now: int) -> bool:
    """Whether no window at `now` or later can see an event of `at`."""
    return at <= past_until(series, now)
