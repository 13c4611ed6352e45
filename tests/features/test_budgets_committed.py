"""What a commit takes from budgets: of each what it says, or nothing of any."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from features.commit import Commit, Committed, Moved, Outcome, Repeated, Short
from features.keys import Layout
from features.ledger import Ledger
from features.link import Link

pytestmark = pytest.mark.anyio

WHO = "c-42"
Try = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def attempt(ledger: Ledger) -> Try:
    async def attempt(**fields: object) -> Outcome:
        stored, now = await ledger.load(WHO, 10)
        given = {"customer_id": WHO, "expected": stored.version, "now_us": now, "body": b"state"} | fields
        return await ledger.commit(Commit(**given), 10)  # type: ignore[arg-type]

    return attempt


async def fill(link: Link, layout: Layout, **left: int) -> None:
    for period, units in left.items():
        await link.ask("HSET", layout.account(layout.partition(WHO), period), "left", units, within=10)


async def left_of(link: Link, layout: Layout, *periods: str) -> list[int]:
    keys = [layout.account(layout.partition(WHO), period) for period in periods]
    return [int(await link.ask("HGET", key, "left", within=10) or 0) for key in keys]


async def test_a_commit_takes_of_each_budget(link: Link, layout: Layout, attempt: Try) -> None:
    await fill(link, layout, a=5, b=1)
    assert isinstance(await attempt(takes=[("a", 2), ("b", 1)]), Committed)
    assert await left_of(link, layout, "a", "b") == [3, 0]


async def test_a_commit_of_events_may_take_too(link: Link, layout: Layout, attempt: Try) -> None:
    await fill(link, layout, a=5)
    assert isinstance(await attempt(takes=[("a", 2)], ids=[b"i" * 16], events=b"event"), Committed)
    assert await left_of(link, layout, "a") == [3]
    assert await link.ask("XLEN", layout.events(layout.partition(WHO)), within=10) == 1


@pytest.mark.parametrize("takes", [[("a", 2), ("b", 2)], [("b", 2), ("a", 2)], [("a", 1), ("unheard-of", 1)]])
async def test_a_commit_that_is_short_of_one_writes_nothing(
    link: Link, layout: Layout, attempt: Try, takes: list[tuple[str, int]]
) -> None:
    await fill(link, layout, a=5, b=1)
    keys = await link.ask("DBSIZE", within=10)
    outcome = await attempt(takes=takes, record=b"record", outbox=[b"m"], decision_id="d", request=(b"r", b"h"))
    assert isinstance(outcome, Short)
    assert outcome.left == tuple({"a": 5, "b": 1}.get(name, 0) for name, _ in takes)
    assert outcome.server_us > 0
    assert await link.ask("DBSIZE", within=10) == keys
    assert await left_of(link, layout, "a", "b") == [5, 1]


async def test_a_request_that_is_sent_again_takes_once(link: Link, layout: Layout, attempt: Try) -> None:
    await fill(link, layout, a=1)
    again = {"takes": [("a", 1)], "request": (b"r", b"h"), "decision_id": "d"}
    assert isinstance(await attempt(**again), Committed)
    assert isinstance(await attempt(**again), Repeated)
    assert await left_of(link, layout, "a") == [0]


async def test_who_has_moved_is_told_that_and_takes_nothing(link: Link, layout: Layout, attempt: Try) -> None:
    await fill(link, layout, a=1)
    for takes in ([("a", 1)], [("a", 2)]):
        assert isinstance(await attempt(expected=b"x" * 16, takes=takes), Moved)
    assert await left_of(link, layout, "a") == [1]
