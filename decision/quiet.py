"""Quiet hours at a moment: whether it is quiet, and when that ends. Pure.

A moment is quiet if the clock on the customer's wall then shows a time within [start, end). Quiet hours are over at the
first later moment that isn't quiet: so where the clock is put forward over the end they are over with that jump, where
it is put back into them they go on (and end a second time where it is put back over the end alone), and where it jumps
over all of them there are none that night.

Between two changes of a clock it runs like any other, so the end is found by going from change to change: at most one
within a day in any zone there is, but nothing here relies on that. What was found is remembered for its stretch of
time, as finding it takes some thirty microseconds.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta, tzinfo

from catalog.plan import QuietHours

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_known: dict[tuple[tzinfo, int, int], tuple[int, int, bool]] = {}  # there are a few hundred zones
MOST_REMEMBERED = 10_000


def quiet_until(hours: QuietHours, zone: tzinfo, now: int) -> int | None:
    """When the quiet hours that `now` lies in are over; None where it lies in none. Microseconds since 1970 UTC."""
    key = (zone, hours.start, hours.end)
    stretch = _known.get(key)
    if stretch is None or not stretch[0] <= now < stretch[1]:
        quiet = _is_quiet(hours, _shown(now, zone))
        stretch = (now, _changes(hours, zone, now, quiet), quiet)
        if len(_known) < MOST_REMEMBERED:
            _known[key] = stretch
    return stretch[1] if stretch[2] else None


def _is_quiet(hours: QuietHours, shown: int) -> bool:
    if hours.start < hours.end:
        return hours.start <= shown < hours.end
    return shown >= hours.start or shown < hours.end


def _changes(hours: QuietHours, zone: tzinfo, at: int, quiet: bool) -> int:
    """The first moment after `at` that is quiet if `at` isn't, and the other way round."""
    awaited = hours.end if quiet else hours.start
    while True:
        shows = at + (awaited - _shown(at, zone)) % _DAY  # when it shows what is awaited, if it just runs
        jumps = _jump(zone, at, shows)
        if jumps is None:
            return shows
        at = jumps
        if _is_quiet(hours, _shown(at, zone)) != quiet:
            return at


def _jump(zone: tzinfo, after: int, until: int) -> int | None:
    """The first moment of (after, until] at which the clock stands otherwise than if it had just run."""
    offset = _offset(after, zone)
    while after < until:
        ends = min(after + _HOUR, until)
        if _offset(ends, zone) != offset:
            return after + bisect_left(range(after, ends), True, key=lambda at: _offset(at, zone) != offset)
        after = ends
    return None


def _shown(at: int, zone: tzinfo) -> int:
    """The time of day on the clock, in microseconds."""
    return (at + _offset(at, zone)) % _DAY


def _offset(at: int, zone: tzinfo) -> int:
    ahead = (_EPOCH + timedelta(0, at // _SECOND)).astimezone(zone).utcoffset()
    return 0 if ahead is None else ahead // timedelta(microseconds=1)
