"""Counting by definition, of histories written by hand."""

from dataclasses import replace

import pytest

from tests.history.counting import Contact, fullest, given_back, late, limited, needed
from tests.history.limits import DAY, KEPT_ANYWAY, SECOND, VALID_FOR, Limit
from tests.history.log import Decision, Log, Response, State

WHO = "c-1"
POPUPS = Limit("popup", 1, rolling=10 * SECOND, counts="impression")
PARCELS = Limit("parcel", 1, counts="delivery")
NOTES = Limit("note", 1, rolling=10 * SECOND)
BEGIN = 1_000 * DAY
STOOD = VALID_FOR["popup"]


def decided(number: int, at: int, action: str, seen: State = State()) -> Decision:  # noqa: B008 - frozen
    return Decision(f"d-{number}", WHO, f"r-{number}", BEGIN + at, BEGIN + at, "", (action,), seen)


def exceeds(limit: Limit, at: int, **came: int) -> bool:
    """Whether one more contact at `at` is one too many, after one at 0 of which these things came."""
    first = decided(1, 0, limit.action)
    name = ("d-1", limit.action)
    known = {name: {kind: BEGIN + when for kind, when in came.items()}} if came else {}
    second = decided(2, at, limit.action, State("s", True, "a", (name,), known))
    contacts = [Contact(each.id, limit.action, each.at) for each in (first, second)]
    return [each.rule for each in limited(second, contacts, [limit])] == ["limit"]


@pytest.mark.parametrize(
    ("at", "came", "expected"),
    [
        (STOOD - 1, {}, True),  # it may still be seen
        (STOOD, {}, False),
        (9 * SECOND, {"impression": 0}, True),
        (10 * SECOND, {"impression": 0}, False),
        (10 * SECOND, {"impression": 1}, True),  # counts from then on
        (15 * SECOND, {"impression": 6 * SECOND}, True),  # late
        (16 * SECOND, {"impression": 6 * SECOND}, False),
        (15 * SECOND, {"click": 6 * SECOND}, True),
        (10 * SECOND - 1, {"impression": -5 * SECOND}, True),  # never before it was made
        (10 * SECOND, {"impression": -5 * SECOND}, False),
        (15 * SECOND, {"impression": 8 * SECOND, "click": 6 * SECOND}, True),  # from the first on
        (16 * SECOND, {"impression": 8 * SECOND, "click": 6 * SECOND}, False),
        (STOOD - 1, {"delivered": 0}, True),  # is no proof that it was seen
        (STOOD, {"delivered": 0}, False),
        (1, {"failed": 0}, False),
        (1, {"bounced": 0}, False),
        (15 * SECOND, {"failed": 0, "impression": 6 * SECOND}, True),  # it was seen all the same
    ],
)
def test_by_impression(at: int, came: dict[str, int], expected: bool) -> None:
    assert exceeds(POPUPS, at, **came) is expected


@pytest.mark.parametrize(
    ("at", "came", "expected"),
    [
        (VALID_FOR["parcel"] - 1, {}, True),
        (VALID_FOR["parcel"], {}, False),
        (100 * DAY, {"delivered": 5}, True),
        (100 * DAY, {"impression": 5}, True),
        (1, {"failed": 0}, False),
        (100 * DAY, {"failed": 0, "delivered": 5}, True),
    ],
)
def test_by_delivery(at: int, came: dict[str, int], expected: bool) -> None:
    assert exceeds(PARCELS, at, **came) is expected


def test_what_counts_by_its_decision_does_so_whatever_comes_of_it() -> None:
    for came in ({}, {"failed": 0}, {"impression": 5 * SECOND}):
        assert exceeds(NOTES, 10 * SECOND - 1, **came)
        assert not exceeds(NOTES, 10 * SECOND, **came)


def test_what_may_still_be_told_of_is_needed() -> None:
    contacts = [Contact("d-1", "popup", BEGIN)] + [Contact(f"a-{n}", "alert", BEGIN) for n in range(KEPT_ANYWAY)]
    last = set(range(1, KEPT_ANYWAY + 1))
    assert needed(contacts, {}, BEGIN + STOOD + DAY - 1, [POPUPS]) == {0} | last
    assert needed(contacts, {}, BEGIN + STOOD + DAY, [POPUPS]) == last


def test_what_a_run_tells_of_itself() -> None:
    decisions = [decided(1, 0, "popup"), decided(2, STOOD, "popup"), decided(3, 2 * STOOD, "parcel")]
    told = [("d-1", "popup", "impression", STOOD), ("d-1", "popup", "click", STOOD - 1)]
    told += [("d-2", "popup", "delivered", 5 * STOOD), ("d-2", "popup", "impression", 2 * STOOD)]
    told += [("d-3", "parcel", "failed", 3 * STOOD), ("d-3", "parcel", "bounced", 3 * STOOD)]
    responses = [
        Response(WHO, f"i-{number}", (decision, action), kind, BEGIN + at, BEGIN + at)
        for number, (decision, action, kind, at) in enumerate(told)
    ]
    log = Log(decisions, responses=responses)
    assert late(log, [POPUPS, PARCELS, NOTES]) == 1, "the first was clicked in time"
    assert given_back(log, [POPUPS, PARCELS, NOTES]) == 1
    assert fullest(log, POPUPS) == 1
    log = Log([decided(1, 0, "popup"), decided(2, 1, "popup")])
    assert fullest(log, POPUPS) == 2
    one, two = log.decisions
    log = Log([replace(one, customer="cookie"), replace(two, seen=State(merged=("cookie",)))])
    assert fullest(log, POPUPS) == 2, "what another id was granted counts, once it is the same customer's"
