"""Units of the calendar against the definition, minute by minute, over what clocks have done."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from catalog.calendar import LONGEST, Calendar, Unit, unit_at

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE

# By zone, a day on whose clock, or the day after, something happened.
CHANGES = {
    "UTC": "2026-06-30",
    "Asia/Kolkata": "2026-12-31",
    "America/New_York forward": "2026-03-08",
    "America/New_York back": "2026-11-01",
    "Australia/Lord_Howe forward by half an hour": "2026-10-04",
    "Australia/Lord_Howe back by half an hour": "2026-04-05",
    "America/Sao_Paulo forward at midnight": "2018-11-04",
    "America/Sao_Paulo back at midnight": "2018-02-17",
    "America/St_Johns forward a minute past midnight": "2008-03-09",
    "America/St_Johns back a minute past midnight": "2008-11-02",
    "Pacific/Apia without the 30th": "2011-12-29",
    "Asia/Pyongyang forward inside the last hour": "2018-05-04",
}


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _names(moment: datetime) -> dict[Unit, tuple[int, ...]]:
    year, week, _ = moment.isocalendar()
    month = (moment.year, moment.month)
    return {
        Unit.HOUR: (*month, moment.day, moment.hour),
        Unit.DAY: (*month, moment.day),
        Unit.WEEK: (year, week),
        Unit.MONTH: month,
    }


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("change", CHANGES)
def test_a_unit_begins_when_the_clock_first_shows_it(change: str, unit: Unit) -> None:
    """Minute by minute, the newest unit that the clock has shown is the one that it is."""
    zone = ZoneInfo(change.partition(" ")[0])
    calendar = Calendar(unit, zone)
    middle = datetime.fromisoformat(CHANGES[change]).replace(hour=12, tzinfo=zone).astimezone(UTC)
    begun: int | None = None  # when the first one did is not looked for
    newest: tuple[int, ...] = ()
    for now in range(_micros(middle) - DAY, _micros(middle) + DAY, MINUTE):
        shown = _names((_EPOCH + timedelta(microseconds=now)).astimezone(zone))[unit]
        if shown > newest:
            begun = now if newest else None
            newest = shown
        begins, ends = unit_at(unit, zone, now)
        assert begins == calendar.began(now, UTC)
        assert begins <= now < ends <= begins + LONGEST[unit]
        assert begun is None or begins == begun, (now, shown)
        if begins == now:
            assert unit_at(unit, zone, now - 1)[1] == now


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/New_York", "2026-11-02", 24),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Kolkata", "2026-04-05", 24),
    ],
)
def test_days_are_as_long_as_clocks_make_them(zone: str, day: str, hours: float) -> None:
    noon = datetime.fromisoformat(day + "T12:00").replace(tzinfo=ZoneInfo(zone))
    begins, ends = unit_at(Unit.DAY, ZoneInfo(zone), _micros(noon.astimezone(UTC)))
    assert (ends - begins) / (60 * MINUTE) == hours


def test_a_week_begins_on_monday_and_belongs_to_the_year_of_its_thursday() -> None:
    begins, ends = unit_at(Unit.WEEK, UTC, _micros(datetime(2027, 1, 2, 23, 59, tzinfo=UTC)))
    assert (begins, ends) == tuple(_micros(datetime(*day, tzinfo=UTC)) for day in ((2026, 12, 28), (2027, 1, 4)))


def test_what_is_remembered_of_one_moment_is_not_told_of_another() -> None:
    month = Calendar(Unit.MONTH, None)
    june, july = (_micros(datetime(2026, each, 1, tzinfo=UTC)) for each in (6, 7))
    for now, began in ((july - 1, june), (july, july), (july - 1, june), (june, june)):
        assert month.began(now, UTC) == began
    assert month.began(july, ZoneInfo("America/New_York")) == june + 4 * 60 * MINUTE
    assert month.began(july, UTC) == july
