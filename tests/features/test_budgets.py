"""Budgets on real Redis servers: dealt out, brought back, finished by others, and seen to be used up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC
from pathlib import Path

import pytest

from catalog.calendar import Calendar, Unit
from catalog.limits import BudgetPlan
from features.accounts import KEPT_MS, SCRIPT, SHARES, Account, Accounts, Counter, Transfer, total
from features.budgets import Budgets
from features.commit import Commit, Committed, Moved, Outcome, Repeated, Short
from features.deadline import Deadline
from features.errors import NotConnected, StoreError, StoreTimeout
from features.keys import Layout, budget_key, open_layout
from features.ledger import Ledger
from features.link import Link
from features.redis_server import EmbeddedRedis
from tests.on_disk import copy_log, put_back

pytestmark = pytest.mark.anyio

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = 20_000 * DAY + 6 * HOUR
DAILY = Calendar(Unit.DAY, UTC)
DEFECT = SCRIPT.replace(b"if number('number') < tonumber(transfer) then", b"if true then")


def patient() -> Deadline:
    return Deadline(60.0)


def daily(limit: int, name: str = "vouchers") -> BudgetPlan:
    return BudgetPlan(name, limit, 1, DAILY)


def accounts_of(link: Link, layout: Layout, budget: BudgetPlan, now: int = NOW, script: bytes = SCRIPT) -> Accounts:
    return Accounts(link, layout, budget.period(now), now, patient(), script)


@pytest.fixture
def budgets(link: Link, layout: Layout) -> Budgets:
    return Budgets(link, layout)


async def take(link: Link, layout: Layout, budget: BudgetPlan, partition: int, units: int) -> None:
    """As a commit does it."""
    key = layout.account(partition, budget.period(NOW).key)
    assert await link.ask("HINCRBY", key, "left", -units, within=10) >= 0


async def spend(budgets: Budgets, budget: BudgetPlan, link: Link, layout: Layout, partitions: list[int]) -> int:
    """Takes one for each of `partitions` in turn, where it can be had; how many were."""
    granted = 0
    for partition in partitions:
        if await budgets.obtain(budget, NOW, partition, 1, patient()):
            await take(link, layout, budget, partition, 1)
            granted += 1
    return granted


def test_the_defect_is_one() -> None:
    assert DEFECT != SCRIPT


async def test_a_share_is_one_part_of_what_is_left(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(100_000))
    share = 100_000 // (SHARES * layout.partitions)
    assert await accounts.give(3, 100_000, 1) == Transfer(1, share)
    assert await accounts.give(4, 100_000, 1) == Transfer(1, (100_000 - share) // (SHARES * layout.partitions))


async def test_what_is_needed_is_given_and_never_more_than_there_is(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(5))
    assert await accounts.give(0, 5, 3) == Transfer(1, 3)
    assert await accounts.give(1, 5, 3) == Transfer(1, 2)
    assert await accounts.give(2, 5, 3) is None
    assert (await accounts.counter()).given == 5


async def test_until_it_is_finished_a_transfer_is_told_again(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(5))
    first = await accounts.give(7, 5, 2)
    assert first == Transfer(1, 2) == await accounts.give(7, 5, 1)
    assert await accounts.credit(7, first) == 2 == await accounts.credit(7, first)
    assert await accounts.give(7, 5, 1) == first
    await accounts.credited(7, first)
    second = await accounts.give(7, 5, 1)
    assert second == Transfer(2, 1)
    # Somebody who was held up is late with all of the first.
    assert await accounts.hand_over(7, first) == 2
    assert (await accounts.counter()).open == {7: second}
    assert await accounts.hand_over(7, second) == 3


async def test_so_is_one_back(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(9))
    for partition in (1, 2):
        given = await accounts.give(partition, 9, 4)
        assert given
        await accounts.hand_over(partition, given)
    first = await accounts.withdraw(1)
    assert first == Transfer(1, 2) == await accounts.withdraw(1)
    for _ in range(2):
        await accounts.take_back(1, first)
        assert (await accounts.counter()).given == 6
    assert await accounts.withdraw(1) == first
    await accounts.taken_back(1, first)
    second = await accounts.withdraw(1)
    assert second == Transfer(2, 1)
    await accounts.bring_back(1, first)
    assert (await accounts.accounts([1]))[1] == Account(1, 1, second)
    assert (await accounts.counter()).given == 6
    await accounts.bring_back(1, second)
    assert (await accounts.counter()).given == 5
    assert await accounts.withdraw(5) is None


@pytest.mark.parametrize("asking", [(3, 9), (9,)])
@pytest.mark.parametrize("steps", range(4))
async def test_whoever_dies_while_a_partition_is_given_its_share(
    link: Link, layout: Layout, budgets: Budgets, steps: int, asking: tuple[int, ...]
) -> None:
    """After none of the steps, after the debit, the credit, and all: the next one gets all there is, and no more."""
    budget, dying = daily(40), accounts_of(link, layout, daily(40))
    transfer = Transfer(0, 0)
    for step in range(steps):
        if step == 0:
            given = await dying.give(3, 40, 5)
            assert given
            transfer = given
        elif step == 1:
            await dying.credit(3, transfer)
        else:
            await dying.credited(3, transfer)
    assert await budgets.left(budget, NOW, patient()) == 40
    assert await spend(budgets, budget, link, layout, [*asking] * 41) == 40
    assert await budgets.left(budget, NOW, patient()) == 0


@pytest.mark.parametrize("limit", [1, 40])
@pytest.mark.parametrize("steps", range(4))
async def test_whoever_dies_while_a_partition_brings_back(
    link: Link, layout: Layout, budgets: Budgets, steps: int, limit: int
) -> None:
    budget, dying = daily(limit), accounts_of(link, layout, daily(limit))
    given = await dying.give(3, limit, limit)
    assert given
    await dying.hand_over(3, given)
    transfer = Transfer(0, 0)
    for step in range(steps):
        if step == 0:
            withdrawn = await dying.withdraw(3)
            assert withdrawn
            transfer = withdrawn
        elif step == 1:
            await dying.take_back(3, transfer)
        else:
            await dying.taken_back(3, transfer)
    assert await budgets.left(budget, NOW, patient()) == limit
    assert await spend(budgets, budget, link, layout, [9] * (limit + 1)) == limit
    assert await budgets.left(budget, NOW, patient()) == 0


@pytest.mark.chaos
@pytest.mark.parametrize("back", [False, True], ids=["to the partition", "from it"])
async def test_a_transfer_ends_with_the_power(tmp_path: Path, back: bool) -> None:
    """Redis loses the first step with its power. The worker, held up meanwhile, believes it done and goes on."""
    budget = daily(40)
    server = EmbeddedRedis.start(tmp_path)
    link = Link(server.url)
    layout = await open_layout(link)
    held_up = accounts_of(link, layout, budget)
    if back:
        given = await held_up.give(3, 40, 20)
        assert given
        await held_up.hand_over(3, given)
    copy_log(tmp_path, tmp_path / "on disk")
    transfer = await (held_up.withdraw(3) if back else held_up.give(3, 40, 20))
    assert transfer
    owed = (await link.connection(10)).call("BLPOP", "nothing", 0)
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    put_back(tmp_path / "on disk", tmp_path)
    with EmbeddedRedis.start(tmp_path):
        with pytest.raises(StoreError):
            await owed  # so the worker has heard that its connection broke; it opens another
        assert await link.ask("DBSIZE", within=10) == (3 if back else 1)
        for step in (held_up.bring_back, held_up.hand_over):
            with pytest.raises(NotConnected):
                await step(3, transfer)
        with pytest.raises(NotConnected):
            await held_up.accounts([3])
        budgets = Budgets(link, layout)
        assert await budgets.left(budget, NOW, patient()) == 40
        assert await spend(budgets, budget, link, layout, [9] * 41 + [3] * 21) == 40
        await link.close()


async def test_a_credit_that_counts_twice_overshoots(link: Link, layout: Layout) -> None:
    """The seeded defect: what the tests above hold is then broken, by what was credited before its worker died."""
    budget, broken = daily(40), Budgets(link, layout, DEFECT)
    dying = accounts_of(link, layout, budget)
    given = await dying.give(3, 40, 5)
    assert given
    await dying.credit(3, given)
    assert await spend(broken, budget, link, layout, [3, 9] * 40) == 45


@pytest.mark.parametrize("limit", [0, 1, 100, 1000])
async def test_all_of_it_is_had_by_one_partition_after_all_had_their_share(
    link: Link, layout: Layout, budgets: Budgets, limit: int
) -> None:
    budget = daily(limit)
    for partition in range(layout.partitions):
        await budgets.obtain(budget, NOW, partition, 1, patient())
    assert await budgets.left(budget, NOW, patient()) == limit
    assert await spend(budgets, budget, link, layout, [5] * (limit + 3)) == limit
    assert budgets.spent([budget], NOW) == {"vouchers": 0}
    assert (await accounts_of(link, layout, budget).counter()).given == limit


async def test_what_several_picks_need(link: Link, layout: Layout, budgets: Budgets) -> None:
    budget = daily(7)
    assert await budgets.obtain(budget, NOW, 1, 5, patient()) == 5
    await take(link, layout, budget, 1, 5)
    assert await budgets.obtain(budget, NOW, 2, 5, patient()) == 2
    assert budgets.spent([budget], NOW) == {}, "two are left for who needs no more"
    assert await budgets.obtain(budget, NOW, 8, 1, patient()) == 1
    assert await budgets.left(budget, NOW, patient()) == 2


async def test_whoever_asks_for_the_same_waits_for_the_same(link: Link, layout: Layout, budgets: Budgets) -> None:
    budget = daily(50)
    found = await asyncio.gather(*(budgets.obtain(budget, NOW, 4, 1, patient()) for _ in range(20)))
    assert found == [20] * 20, "one for each"
    assert (await accounts_of(link, layout, budget).counter()).moves == 1


async def test_who_comes_meanwhile_is_served_together_after_that(link: Link, layout: Layout, budgets: Budgets) -> None:
    budget = daily(50)
    first = asyncio.create_task(budgets.obtain(budget, NOW, 4, 1, patient()))
    for _ in range(3):
        await asyncio.sleep(0)  # it is asked for
    assert await asyncio.gather(*(budgets.obtain(budget, NOW, 4, 1, patient()) for _ in range(20))) == [20] * 20
    assert await first == 1
    assert (await accounts_of(link, layout, budget).counter()).moves == 2


async def test_who_has_no_time_is_told_and_the_others_go_on(link: Link, layout: Layout, budgets: Budgets) -> None:
    budget = daily(50)
    patiently = asyncio.create_task(budgets.obtain(budget, NOW, 4, 1, patient()))
    for _ in range(3):
        await asyncio.sleep(0)  # it has begun
    with pytest.raises(StoreTimeout):
        await budgets.obtain(budget, NOW, 4, 1, Deadline(0.0))
    assert await patiently == 1


async def test_a_transfer_that_nobody_waits_for_any_more_is_finished(
    link: Link, layout: Layout, budgets: Budgets
) -> None:
    budget = daily(50)
    leaving = asyncio.create_task(budgets.obtain(budget, NOW, 4, 1, patient()))
    for _ in range(3):
        await asyncio.sleep(0)  # it is asked for
    leaving.cancel()
    assert await budgets.obtain(budget, NOW, 4, 1, patient()) == 1
    counter = await accounts_of(link, layout, budget).counter()
    assert (counter.moves, counter.open) == (1, {})


async def test_used_up_is_remembered_for_a_period_and_a_limit(link: Link, layout: Layout, budgets: Budgets) -> None:
    two = daily(2)
    assert await spend(budgets, two, link, layout, [1, 2, 3]) == 2
    assert budgets.spent([two, daily(9, "others")], NOW) == {"vouchers": 0}
    assert budgets.spent([two], NOW + DAY) == {}
    assert budgets.spent([daily(3)], NOW) == {}


async def test_it_is_forgotten_when_something_is_left_after_all(link: Link, layout: Layout, budgets: Budgets) -> None:
    """As after Redis was set back to what it held before."""
    budget = daily(1)
    assert await spend(budgets, budget, link, layout, [1, 2]) == 1
    await link.ask("DEL", budget_key(budget.period(NOW).key), within=10)
    assert await budgets.left(budget, NOW, patient()) == 1
    assert budgets.spent([budget], NOW) == {}


async def test_a_limit_that_is_raised_and_one_that_is_lowered(link: Link, layout: Layout, budgets: Budgets) -> None:
    assert await spend(budgets, daily(10), link, layout, [1, 2] * 10) == 10
    assert await spend(budgets, daily(15), link, layout, [1, 2] * 10) == 5
    assert await spend(budgets, daily(12), link, layout, [1, 2] * 10) == 0
    assert await spend(budgets, daily(15), link, layout, [3]) == 0


async def test_a_lowered_limit_calls_in_what_others_hold(link: Link, layout: Layout, budgets: Budgets) -> None:
    assert await budgets.obtain(daily(100), NOW, 1, 60, patient()) == 60
    await take(link, layout, daily(100), 1, 10)
    assert await spend(budgets, daily(30), link, layout, [2] * 60) == 20
    assert await budgets.left(daily(30), NOW, patient()) == 0


async def test_periods_have_nothing_to_do_with_each_other(link: Link, layout: Layout, budgets: Budgets) -> None:
    budget = daily(3)
    assert await spend(budgets, budget, link, layout, [1] * 4) == 3
    assert await budgets.left(budget, NOW, patient()) == 0
    assert await budgets.left(budget, NOW + 18 * HOUR - 1, patient()) == 0
    assert await budgets.left(budget, NOW + 18 * HOUR, patient()) == 3
    assert await budgets.obtain(budget, NOW + 18 * HOUR, 1, 3, patient()) == 3


@pytest.mark.parametrize("unit", list(Unit))
async def test_what_is_written_goes_a_day_after_the_period(link: Link, layout: Layout, unit: Unit) -> None:
    budget = BudgetPlan("vouchers", 5, 1, Calendar(unit, UTC))
    period = budget.period(NOW)
    assert period.ends is not None
    assert period.ends > NOW
    await Budgets(link, layout).obtain(budget, NOW, 2, 1, patient())
    lives = (period.ends - NOW) // 1000 + KEPT_MS
    for key in (budget_key(period.key), layout.account(2, period.key)):
        assert lives - 60_000 < await link.ask("PTTL", key, within=10) <= lives


async def test_a_lifetime_has_no_end(link: Link, layout: Layout, budgets: Budgets) -> None:
    budget = BudgetPlan("first-come", 2, 1)
    assert await budgets.obtain(budget, NOW, 2, 1, patient()) == 1
    assert budget.period(NOW) == budget.period(NOW + 400 * DAY) == ("first-come:lifetime", None)
    for key in ("tino:budget:first-come:lifetime", "tino:{2}:b:first-come:lifetime"):
        assert await link.ask("PTTL", key, within=10) == -1


async def test_a_counter_that_has_expired_is_not_begun_again(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(9))
    await accounts.bring_back(3, Transfer(1, 5))
    assert await link.ask("DBSIZE", within=10) == 1  # the layout


async def test_workers_in_a_race_for_all_there_is(link: Link, layout: Layout) -> None:
    """Twelve at once, each with knowledge of its own, take what they can get, until they know that nothing is left."""
    chance = random.Random(7)
    budget = daily(60)
    granted = 0

    async def worker() -> None:
        nonlocal granted
        mine = Budgets(link, layout)
        order = [chance.randrange(layout.partitions) for _ in range(200)]
        for partition in order:
            if mine.spent([budget], NOW):
                break
            if await mine.obtain(budget, NOW, partition, 1, patient()):
                await asyncio.sleep(0)
                key = layout.account(partition, budget.period(NOW).key)
                took = await link.ask("EVAL", TAKE, 1, key, within=10)
                granted += took

    await asyncio.gather(*(worker() for _ in range(12)))
    assert granted == 60
    counter = await accounts_of(link, layout, budget).counter()
    assert (counter.given, counter.open) == (60, {})


class Interrupted(Accounts):
    """When the counter is looked at first, another worker brings back what partition 1 has: just before, or after."""

    before = False
    interrupted = False

    async def counter(self) -> Counter:
        if self.before:
            await self._interrupt()
        found = await super().counter()
        await self._interrupt()
        return found

    async def _interrupt(self) -> None:
        withdrawn = None if self.interrupted else await self.withdraw(1)
        self.interrupted = True
        if withdrawn is not None:
            await self.bring_back(1, withdrawn)


class InterruptedBudgets(Budgets):
    before = False

    def _accounts(self, budget: BudgetPlan, now: int, deadline: Deadline) -> Accounts:
        accounts = Interrupted(self._link, self._layout, budget.period(now), now, deadline)
        accounts.before = self.before
        return accounts


@pytest.mark.parametrize("before", [True, False])
async def test_what_moves_while_one_looks_is_not_taken_for_gone(
    link: Link, layout: Layout, budgets: Budgets, before: bool
) -> None:
    """When the accounts are looked at they are all empty, and so was the counter when it was last asked for some."""
    budget = daily(1)
    assert await budgets.obtain(budget, NOW, 1, 1, patient()) == 1
    looking = InterruptedBudgets(link, layout)
    looking.before = before
    assert await looking.obtain(budget, NOW, 2, 1, patient()) == 1
    assert looking.spent([budget], NOW) == {}


TAKE = """
if tonumber(redis.call('HGET', KEYS[1], 'left') or '0') < 1 then return 0 end
redis.call('HINCRBY', KEYS[1], 'left', -1)
return 1
"""


def test_what_is_left_in_all() -> None:
    counter = Counter(50, 9, (1, 2, 3), {1: Transfer(2, 5), 2: Transfer(4, 7)}, {3: 1})
    accounts = {
        1: Account(10, 1, None),  # the five have not come
        2: Account(8, 4, Transfer(1, 2)),  # the seven have, and two are on their way back
        3: Account(0, 1, Transfer(1, 9)),  # the nine are back
    }
    assert total(counter, accounts, 60) == 10 + 10 + 5 + 8 + 2
    assert total(counter, accounts, 40) == 10 + 5 + 8 + 2


# What a commit takes.

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
