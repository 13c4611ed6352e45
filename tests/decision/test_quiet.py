"""Quiet hours against an oracle that looks at the clock on the wall minute by minute; and what is held counts when."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.plan import QuietHours
from decision.quiet import quiet_until
from features.customer import micros, moment

MINUTE = 60_000_000
HOUR = 60 * MINUTE
ZONES = (
    "UTC",
    "America/Mexico_City",
    "Asia/Kathmandu",
    "Europe/Berlin",  # 02:00 to 03:00, and back
    "America/Havana",  # put forward at midnight
    "America/New_York",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # which once left out a day
)
AROUND = (
    "2026-03-29T01:00Z",  # Berlin, forward
    "2026-10-25T01:00Z",  # Berlin, back
    "2026-03-08T05:00Z",  # Havana and New York, forward
    "2026-11-01T05:00Z",  # Havana and New York, back
    "2026-04-04T15:00Z",  # Lord Howe, back
    "2026-10-03T15:30Z",  # Lord Howe, forward
    "2011-12-30T10:00Z",  # Apia
    "2026-06-15T12:00Z",
)


def hours(start: str, end: str) -> QuietHours:
    return QuietHours(at_time(start), at_time(end), 1, hold=True)


def at_time(text: str) -> int:
    shown = time.fromisoformat(text)
    return (shown.hour * 60 + shown.minute) * MINUTE


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text))


def shows_quiet(quiet: QuietHours, zone: ZoneInfo, now: int) -> bool:
    wall = moment(now).astimezone(zone).time()
    shown = ((wall.hour * 60 + wall.minute) * 60 + wall.second) * 1_000_000 + wall.microsecond
    inside = quiet.start <= shown < quiet.end
    return inside if quiet.start < quiet.end else not quiet.end <= shown < quiet.start


def by_definition(quiet: QuietHours, zone: ZoneInfo, now: int) -> int | None:
    """Clocks change at whole minutes, and quiet hours begin and end there."""
    if not shows_quiet(quiet, zone, now):
        return None
    then = now - now % MINUTE + MINUTE
    while shows_quiet(quiet, zone, then):
        then += MINUTE
    return then


times = st.integers(0, 24 * 60 - 1).map(lambda minutes: minutes * MINUTE)
quiets = (
    st.tuples(times, times)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: QuietHours(pair[0], pair[1], 1, True))
)


@settings(deadline=None, max_examples=400)
@given(quiets, st.sampled_from(ZONES), st.sampled_from(AROUND), st.integers(-30 * HOUR, 30 * HOUR))
@example(hours("21:00", "02:30"), "Europe/Berlin", "2026-03-29T01:00Z", -HOUR)  # its end is skipped
@example(hours("02:00", "03:00"), "Europe/Berlin", "2026-03-29T01:00Z", 0)  # all of it is
@example(hours("21:00", "02:30"), "Europe/Berlin", "2026-10-25T01:00Z", 0)  # it comes again
@example(hours("21:00", "21:01"), "Pacific/Apia", "2011-12-30T10:00Z", -3 * HOUR)
def test_what_is_quiet_and_until_when(quiet: QuietHours, zone: str, around: str, off: int) -> None:
    now = at(around) + off
    assert quiet_until(quiet, ZoneInfo(zone), now) == by_definition(quiet, ZoneInfo(zone), now)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 48 * HOUR), min_size=2, max_size=20))
def test_what_is_remembered_is_so_whatever_was_asked_before(offsets: list[int]) -> None:
    quiet, zone = hours("22:00", "07:15"), ZoneInfo("Europe/Berlin")
    for off in offsets:
        now = at("2026-10-24T06:00Z") + off
        assert quiet_until(quiet, zone, now) == by_definition(quiet, zone, now)


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("2026-03-10T20:59:59.999999Z", None),
        ("2026-03-10T21:00Z", "2026-03-11T08:00Z"),  # from is inclusive
        ("2026-03-11T07:59:59.999999Z", "2026-03-11T08:00Z"),
        ("2026-03-11T08:00Z", None),  # to is exclusive
    ],
)
def test_ends_are_exact_to_the_microsecond(now: str, over: str | None) -> None:
    assert quiet_until(hours("21:00", "08:00"), ZoneInfo("UTC"), at(now)) == (None if over is None else at(over))


def test_a_night_on_which_clocks_are_put_back_into_it_has_two_ends() -> None:
    """Until 02:30 in Berlin, where 02:00 to 03:00 is shown twice: half past two comes, then it is quiet again."""
    quiet, zone = hours("21:00", "02:30"), ZoneInfo("Europe/Berlin")
    first, second = at("2026-10-25T00:30Z"), at("2026-10-25T01:30Z")
    assert quiet_until(quiet, zone, first - 1) == first
    assert quiet_until(quiet, zone, first) is None
    assert quiet_until(quiet, zone, first + HOUR // 2) == second


def test_zones_of_fixed_offset_need_no_name() -> None:
    zone = datetime.fromisoformat("2026-01-01T00:00+05:30").tzinfo
    assert zone is not None
    assert zone.utcoffset(None) == timedelta(hours=5, minutes=30)
    assert quiet_until(hours("00:00", "06:00"), zone, at("2026-03-10T18:30Z")) == at("2026-03-11T00:30Z")
    assert quiet_until(hours("00:00", "06:00"), UTC, at("2026-03-10T18:30Z")) is None
