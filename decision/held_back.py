"""What left nothing to answer with, and when it lets something pass again. Pure.

It is told of the gate that took out the last candidates, as everything before it let these pass. Some gates only wait
for time: dates, quiet hours, contact policies and budgets. Of these the earliest moment is told at which one of those
candidates would pass that gate, were nothing else to happen till then.

For contact policies, see decision.opening.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from catalog.limits import BudgetPlan
from catalog.plan import Plan
from decision.gates import Candidates
from decision.opening import NEVER, full_counters, opening
from decision.quiet import quiet_until
from decision.reasons import Gate
from decision.view import View
from rules.masks import bits
from rules.programs import Frame


class HeldBack(NamedTuple):
    """`by` names the policies or budgets of the gate. `eligible_at` is when something passes it again, in microseconds
    since 1970 UTC; None where that is never, or no matter of time.
    """

    gate: Gate
    by: tuple[str, ...] = ()
    eligible_at: int | None = None


def held_back(
    plan: Plan,
    candidates: Candidates,
    view: View,
    frame: Frame,
    now: int,
    spent: Sequence[BudgetPlan],
    keys: Mapping[str, str],
    limits: Sequence[int],
) -> HeldBack | None:
    """None where no gate took out the last candidates. `spent` are the budgets with nothing left; `keys` and `limits`
    are as decision.policy.Allowance has them.
    """
    gate = candidates.emptied_by
    if gate is None:
        return None
    gone = candidates.taken[gate]
    match gate:
        case Gate.CONTACT_POLICY:
            full = full_counters(plan, view, keys, limits, now, frame.zone or plan.zone, gone)
            at, policies = opening(full, gone)
            return HeldBack(gate, tuple(plan.policy_names[each] for each in policies), None if at == NEVER else at)
        case Gate.BUDGET:
            return min((_by_budgets(bit, spent, now) for bit in bits(gone)), key=_soonest)
        case Gate.QUIET_HOURS:
            return HeldBack(gate, (), _end_of_quiet_hours(plan, gone, frame, now))
        case Gate.DATES:
            first = bisect_left(plan.schedule.starts, now + 1)
            begins = (start for start in plan.schedule.starts[first:] if plan.in_dates(start) & gone)
            return HeldBack(gate, (), next(begins, None))
    return HeldBack(gate)


def _by_budgets(bit: int, spent: Iterable[BudgetPlan], now: int) -> HeldBack:
    """A treatment waits for the last of its budgets to be renewed, if that brings anything."""
    mine = [budget for budget in spent if budget.blocks >> bit & 1]
    ends = {budget.name: budget.period(now).ends if budget.limit else None for budget in mine}
    renewed = [end for end in ends.values() if end is not None]
    return HeldBack(Gate.BUDGET, tuple(ends), max(renewed) if len(renewed) == len(ends) else None)


def _soonest(told: HeldBack) -> tuple[bool, int]:
    return told.eligible_at is None, told.eligible_at or 0


def _end_of_quiet_hours(plan: Plan, gone: int, frame: Frame, now: int) -> int | None:
    clock = plan.clock_of(frame)
    if clock is None:
        return None
    ends = (quiet_until(hours, clock, now) for hours in plan.quiet if hours.mask & gone)
    return min((end for end in ends if end is not None), default=None)
