"""Units of the calendar: which stretch of time a moment falls in, by the clock on some wall.

A unit begins when the clock first shows its first moment, or anything later where that was skipped, and ends where the
next one begins. So units never overlap and leave nothing out, whatever clocks do: a day on which they are put forward
has 23 hours, one on which they are put back 25, and so the hour that is shown twice is one unit of two hours. A clock
that is put back over midnight goes on with the new day.

Where a unit begins is asked for at every decision, and takes ten microseconds to find, so what was found last for each
zone is remembered with the moment until which it holds.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo


class Unit(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # of ISO 8601: it begins on a Monday
    MONTH = "month"


_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_PUT_BACK = _DAY  # microseconds: no clock has been put back by more
LONGEST = {
    Unit.HOUR: _DAY // 24 + _PUT_BACK,
    Unit.DAY: _DAY + _PUT_BACK,
    Unit.WEEK: 7 * _DAY + _PUT_BACK,
    Unit.MONTH: 31 * _DAY + _PUT_BACK,
}
"""How long a unit can last in any zone, in microseconds, with room to spare."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_known: dict[tuple[tzinfo, Unit], tuple[int, int]] = {}  # there are a few hundred zones


@dataclass(frozen=True, slots=True)
class Calendar:
    """Units by the clock of `zone`, or, where that is None, of the customer's."""

    unit: Unit
    zone: tzinfo | None

    def began(self, now: int, customers: tzinfo) -> int:
        """When the unit that `now` lies in began, in microseconds since 1970 UTC; `customers` is their own zone."""
        return self.span(now, self.zone or customers)[0]

    def span(self, now: int, zone: tzinfo) -> tuple[int, int]:
        """See `unit_at`, of a clock in `zone`."""
        span = _known.get((zone, self.unit))
        if span is None or not span[0] <= now < span[1]:
            span = _known[zone, self.unit] = unit_at(self.unit, zone, now)
        return span


def unit_at(unit: Unit, zone: tzinfo, now: int) -> tuple[int, int]:
    """When the unit that `now` lies in begins and ends, in microseconds since 1970 UTC, the end exclusive."""
    first = _first(unit, _shown(now, zone))
    begins, ends = _begins(first, zone), _begins(_next(unit, first), zone)
    while ends <= now:  # the clock was put back into a unit that had ended
        first = _next(unit, first)
        begins, ends = ends, _begins(_next(unit, first), zone)
    return begins, ends


def _first(unit: Unit, shown: datetime) -> datetime:
    """The first moment, on the clock, of the unit in which it shows `shown`."""
    hour = shown.replace(minute=0, second=0, microsecond=0, fold=0)
    if unit is Unit.HOUR:
        return hour
    day = hour.replace(hour=0)
    if unit is Unit.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit is Unit.MONTH else day


def _next(unit: Unit, first: datetime) -> datetime:
    match unit:
        case Unit.HOUR:
            return first + timedelta(hours=1)
        case Unit.DAY:
            return first + timedelta(days=1)
        case Unit.WEEK:
            return first + timedelta(days=7)
    return (first + timedelta(days=31)).replace(day=1)


def _begins(first: datetime, zone: tzinfo) -> int:
    """When a clock in `zone` first shows `first` or, where that is skipped, what comes after the gap."""
    early, late = (_micros(first.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if early <= late:
        return early
    # It is skipped: the clock is put forward somewhere between the two, and then shows more.
    return late + bisect_left(range(late, early), first, key=lambda at: _shown(at, zone))


def _shown(at: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone).replace(tzinfo=None)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def zone_named(name: str) -> tzinfo:
    """`name` is one of a zone that there is."""
    return UTC if name == "UTC" else ZoneInfo(name)
