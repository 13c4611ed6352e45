"""What is stated of consent through workers and by callers whose clocks differ: an acknowledged opt-out stands.

Time is a number here. A worker's clock is up to 250 ms off, and its time for a customer never before that customer's
last commit, as the commit sees to; a caller's clock is as far off.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.customer_bodies import ConsentBody, CustomerBody, CustomerPatch
from api.customer_changes import Arrival, of_known_purpose, patched, replaced, statement
from api.problems import Problem
from features.consents import DOUBT
from features.customer import EMPTY, Consent, Customer, moment
from features.store import Change
from tests.decision.plans import plan_of

BEGIN = 1_790_000_000_000_000
MS = 1_000
SECOND = 1_000 * MS
OFF = 250 * MS


class World:
    """A customer, and what time it really is."""

    def __init__(self) -> None:
        self.customer: Customer = EMPTY
        self.time = BEGIN
        self._last = 0

    def arrival(self) -> Arrival:
        return Arrival(lambda: self.time / SECOND)

    def commit(self, change: Change, off: int = 0) -> None:
        """By a worker whose clock is so far off."""
        self._last = max(self._last, self.time + off)
        self.customer = change(self.customer, self._last)

    def states(self, granted: bool, at: int | None) -> Change:
        """`at` is how far off the caller's clock is, None where the caller doesn't say when it was."""
        told = None if at is None else moment(self.time + at).isoformat()
        return statement("marketing", ConsentBody(granted=granted, at=told), self.arrival())

    @property
    def granted(self) -> bool:
        return self.customer.consents["marketing"].granted


offs = st.integers(-OFF, OFF)
ahead = st.just(3 * SECOND)
said = st.tuples(st.booleans(), st.none() | offs | ahead, offs, st.sampled_from([0, MS, 200 * MS, 600 * MS]))
given_up = st.tuples(st.booleans(), offs, offs, st.integers(0, 10))


@settings(max_examples=300, deadline=None)
@given(st.lists(said, max_size=6), st.lists(given_up, max_size=3), st.none() | offs, offs)
def test_an_opt_out_that_was_acknowledged_is_in_force(
    before: list[tuple[bool, int | None, int, int]],
    late: list[tuple[bool, int, int, int]],
    at: int | None,
    off: int,
) -> None:
    """Whatever was stated before it, what of that was given up and comes after it all the same, or is sent again."""
    world = World()
    waiting: list[tuple[Change, int]] = []
    for place, (granted, when, worker, gap) in enumerate(before):
        world.commit(world.states(granted, when), worker)
        if not granted:
            assert not world.granted
        elif when is None:
            assert world.granted, "a yes that is made now follows what was stated before"
        waiting += [(world.states(yes, caller), clock) for yes, caller, clock, when in late if when == place]
        world.time += gap
    world.commit(world.states(False, at), off)
    assert not world.granted
    for change, clock in waiting:
        world.commit(change, clock)
        assert not world.granted
        world.time += 300 * MS
    world.commit(world.states(True, None), -OFF)
    assert world.granted


def bodies(world: World) -> Iterator[Change]:
    """A yes that says of no time."""
    yes = {"marketing": True}
    yield world.states(True, None)
    yield patched({}, CustomerPatch(consents=yes), world.arrival())
    yield replaced({}, CustomerBody(consents=yes), world.arrival())


@pytest.mark.parametrize("kind", range(3), ids=["statement", "patch", "put"])
def test_a_yes_that_waited_does_not_undo_what_was_said_meanwhile(kind: int) -> None:
    """By one clock, or two that differ as much as they may."""
    for off in (0, -OFF):
        world = World()
        world.commit(world.states(False, None))
        world.time += MS
        change = list(bodies(world))[kind]
        world.time += SECOND + MS
        world.commit(world.states(False, None), off)
        world.commit(change, -off)
        assert not world.granted
    world.commit(list(bodies(world))[kind])
    assert world.granted


@pytest.mark.parametrize("kind", range(3), ids=["statement", "patch", "put"])
def test_nor_an_erasure_but_it_follows_one_of_before(kind: int) -> None:
    world = World()
    erased = Customer(erased=world.time + OFF)
    world.customer = erased
    world.commit(list(bodies(world))[kind], OFF)
    assert world.granted, "the clock was ahead that it was erased by"
    change = list(bodies(world))[kind]
    world.time += SECOND
    world.customer = Customer(erased=world.time)
    world.commit(change)
    assert not world.granted


def test_a_statement_keeps_its_time_and_one_from_the_future_is_made_now() -> None:
    world = World()
    for at, kept in ((-5 * SECOND, -5 * SECOND), (3 * SECOND, 0)):
        world.customer = EMPTY
        world.commit(world.states(True, at))
        assert world.customer.consents["marketing"] == Consent(True, world.time + kept, "api")


def test_an_opt_out_stands_over_a_yes_that_a_server_with_another_clock_has_dated() -> None:
    """Merged from a partition whose server's clock is ahead."""
    for at in (None, 0):
        world = World()
        world.customer = Customer(consents={"marketing": Consent(True, world.time + 5 * SECOND)})
        world.commit(world.states(False, at))
        assert not world.granted


def test_what_is_long_past_undoes_nothing() -> None:
    world = World()
    world.commit(world.states(True, None))
    for late in (-DOUBT - 1, -timedelta(days=1) // timedelta(microseconds=1)):
        world.commit(world.states(False, late))
        assert world.granted
    assert datetime.fromtimestamp(BEGIN / SECOND, UTC).year > 2020


def test_a_purpose_that_left_the_catalog_can_still_be_refused() -> None:
    web = "channels: {web: {direction: inbound}}\nactions: {a: {value: 1, treatments: {web: {t: x}}}}\n"
    plan = plan_of(f"purposes: [service]\n{web}")
    said = Customer(consents={"marketing": Consent(True, BEGIN)})
    for customer, granted in ((EMPTY, False), (EMPTY, True), (said, True)):
        body = ConsentBody(granted=granted)
        with pytest.raises(Problem, match="is not declared in the catalog"):
            of_known_purpose(plan, "marketing", body, statement("marketing", body, Arrival()))(customer, BEGIN)
    body = ConsentBody(granted=False)
    change = of_known_purpose(plan, "marketing", body, statement("marketing", body, Arrival()))
    assert not change(said, BEGIN + SECOND).consents["marketing"].granted
