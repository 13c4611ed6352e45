"""Budgets on real Redis servers: had, shared, lowered, over with their period, and seen to be used up."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC

import pytest

from catalog.calendar import Calendar, Unit
from catalog.limits import BudgetPlan
from features.accounts import KEPT_MS, Account, Accounts, Counter, Transfer, total
from features.budgets import Budgets
from features.deadline import Deadline
from features.errors import StoreTimeout
from features.keys import Layout, budget_key
from features.link import Link
from tests.features.dealing import DAY, HOUR, NOW, accounts_of, daily, patient, spend, take

pytestmark = pytest.mark.anyio


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
