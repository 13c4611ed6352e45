"""The periods of budgets: whose clock they go by, when they are over, and that no two are called the same."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.building import load_plan
from catalog.calendar import Calendar, Unit
from catalog.limits import BudgetPlan, Period

CATALOG = """
catalog: 1
name: budgets
timezone: America/New_York
channels: {web: {direction: inbound}, app: {direction: inbound}}
actions:
  voucher: {group: deals, value: 9, treatments: {web: {t: Voucher}, app: {t: Voucher}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
budgets:
  hourly: {limit: 1, calendar: hour, scope: {action: voucher}}
  daily: {limit: 2, calendar: day, scope: {group: deals, channel: web}}
  daily-utc: {limit: 3, calendar: day, timezone: UTC}
  weekly: {limit: 4, calendar: week, timezone: Asia/Kolkata, scope: {action: [voucher, hello]}}
  monthly: {limit: 5, calendar: month, scope: {treatment: hello/web}}
  ever: {limit: 6, lifetime: true, scope: {channel: app}}
"""


@pytest.fixture
def budgets(tmp_path: Path) -> dict[str, BudgetPlan]:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    return {budget.name: budget for budget in load_plan(file).budgets}


def micros(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000


def test_what_is_declared(budgets: dict[str, BudgetPlan]) -> None:
    voucher_web, hello_web, voucher_app = 1 << 0, 1 << 1, 1 << 2
    assert {name: budget.limit for name, budget in budgets.items()} == {
        name: place for place, name in enumerate(budgets, 1)
    }
    assert {name: budget.blocks for name, budget in budgets.items()} == {
        "hourly": voucher_web | voucher_app,
        "daily": voucher_web,
        "daily-utc": voucher_web | hello_web | voucher_app,
        "weekly": voucher_web | hello_web | voucher_app,
        "monthly": hello_web,
        "ever": voucher_app,
    }


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("hourly", "2026-03-08T06:00", "2026-03-08T07:00"),
        ("daily", "2026-03-08T05:00", "2026-03-09T04:00"),  # of 23 hours
        ("daily", "2026-11-01T04:00", "2026-11-02T05:00"),  # of 25
        ("daily-utc", "2026-03-08T00:00", "2026-03-09T00:00"),
        ("weekly", "2026-03-01T18:30", "2026-03-08T18:30"),
        ("monthly", "2026-03-01T05:00", "2026-04-01T04:00"),
    ],
)
def test_periods(budgets: dict[str, BudgetPlan], name: str, begins: str, ends: str) -> None:
    first, over = micros(begins), micros(ends)
    period = budgets[name].period(first)
    calendar = budgets[name].calendar
    assert calendar is not None
    assert period == Period(f"{name}:{calendar.unit}-{first // 1_000_000}", over)
    assert budgets[name].period(over - 1) == period
    assert budgets[name].period(first - 1).ends == first
    assert budgets[name].period(over).key == f"{name}:{calendar.unit}-{over // 1_000_000}"


def test_a_lifetime_is_one_period(budgets: dict[str, BudgetPlan]) -> None:
    assert budgets["ever"].period(0) == budgets["ever"].period(2**60) == Period("ever:lifetime", None)


def test_periods_that_begin_together_are_told_apart() -> None:
    """Monday, midnight, the first of a month, by UTC: another calendar begins anew."""
    monday = micros("2026-06-01T00:00")
    units = [BudgetPlan("b", 1, 1, Calendar(unit, UTC)).period(monday).key for unit in Unit]
    assert len({*units, BudgetPlan("b", 1, 1).period(monday).key}) == 5
