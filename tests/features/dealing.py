"""Budgets to deal out, and to spend from as commits do."""

from __future__ import annotations

from datetime import UTC

from catalog.calendar import Calendar, Unit
from catalog.limits import BudgetPlan
from features.accounts import SCRIPT, Accounts
from features.budgets import Budgets
from features.deadline import Deadline
from features.keys import Layout
from features.link import Link

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
