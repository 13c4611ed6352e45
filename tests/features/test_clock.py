"""The server's time, carried forward by a clock of our own that only ever measures spans."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clock import STEP, TOLERANCE, ServerClock
from features.elapsed import CLOCK, elapsed

NOW = 1_760_000_000_000_000


class Ticks:
    """A monotonic clock in nanoseconds that is moved by hand."""

    def __init__(self) -> None:
        self.now = 987_654_321

    def __call__(self) -> int:
        return self.now


def test_unknown_until_the_first_reply() -> None:
    clock = ServerClock()
    assert not clock.known
    with pytest.raises(RuntimeError):
        clock.now()
    clock.heard(NOW)
    assert clock.known


def test_it_runs_on_between_replies() -> None:
    ticks = Ticks()
    clock = ServerClock(ticks)
    clock.heard(NOW)
    assert clock.now() == NOW
    ticks.now += 1_500_000_000
    assert clock.now() == NOW + 1_500_000


@pytest.mark.parametrize("off", [TOLERANCE, -TOLERANCE, 1, 0])
def test_what_a_replys_travel_takes_is_no_news(off: int) -> None:
    clock = ServerClock(Ticks())
    clock.heard(NOW)
    clock.heard(NOW + off)
    assert clock.now() == NOW


@pytest.mark.parametrize("off", [TOLERANCE + 1, -TOLERANCE - 1, 3_600_000_000, -3_600_000_000])
def test_a_server_whose_clock_was_set_is_followed_both_ways(off: int) -> None:
    clock = ServerClock(Ticks())
    clock.heard(NOW)
    clock.heard(NOW + off)
    assert clock.now() == NOW + off


@pytest.mark.parametrize(("off", "told"), [(STEP + 1, 1), (STEP, 0), (-STEP - 1, 0), (-3600 * STEP, 0)])
def test_of_a_server_that_is_further_ahead_than_any_reply_travels_one_is_told(off: int, told: int) -> None:
    """Or else our own clock has stood still."""
    steps = []
    clock = ServerClock(Ticks())
    clock.on_step(lambda: steps.append(clock.now()))
    clock.heard(NOW)
    clock.heard(NOW + off)
    assert steps == [NOW + off] * told


def test_a_time_that_was_set_is_no_step() -> None:
    steps: list[int] = []
    clock = ServerClock(Ticks())
    clock.on_step(lambda: steps.append(1))
    with pytest.raises(RuntimeError):
        clock.set_ahead(1)
    clock.heard(NOW)
    clock.set_ahead(3600 * STEP)
    clock.heard(NOW + 3600 * STEP)
    assert (clock.now(), steps) == (NOW + 3600 * STEP, [])


@pytest.mark.skipif(sys.platform != "linux", reason="has a clock of its own for that")
def test_what_has_elapsed_counts_while_the_machine_sleeps() -> None:
    assert time.CLOCK_BOOTTIME == CLOCK
    assert elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME) <= elapsed()


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(-(10**6), 10**6)), min_size=1))
def test_after_each_reply_it_is_within_the_tolerance(replies: list[tuple[int, int]]) -> None:
    ticks = Ticks()
    clock = ServerClock(ticks)
    server = NOW
    for passed, set_by in replies:
        ticks.now += passed
        server += passed // 1000 + set_by
        clock.heard(server)
        assert abs(clock.now() - server) <= TOLERANCE
