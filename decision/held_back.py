"""What left nothing to answer with, and when it lets something pass again. Pure.

It is told of the gate that took out the last candidates, as everything before it let these pass. Some gates only wait
for time: dates, quiet hours, contact policies and budgets. Of these the earliest moment is told at which one of those
candidates would pass that gate, were nothing else to happen till then.

As nobody contacts the customer meanwhile, contact policies only loosen: contacts leave windows, units of the calendar
end, holds run out, pauses are over. These moments are known, so the first at which something passes is found among them
by bisection, and what is asked at each is the very Allowance that decides.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import NamedTuple

from catalog.limits import BudgetPlan, Policy
from catalog.plan import Plan
from decision.counted import Counted
from decision.gates import Candidates
from decision.pauses import Counters
from decision.policy import Allowance
from decision.quiet import quiet_until
from decision.reasons import Gate
from decision.view import View
from rules.masks import bits
from rules.programs import Frame

AllowanceAt = Callable[[int], Allowance]


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
    allowance_at: AllowanceAt,
) -> HeldBack | None:
    """None where no gate took out the last candidates. `spent` are the budgets with nothing left."""
    gate = candidates.emptied_by
    if gate is None:
        return None
    gone = candidates.taken[gate]
    match gate:
        case Gate.CONTACT_POLICY:
            return _by_policies(plan, gone, view, now, frame.zone or plan.zone, allowance_at)
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


def _by_policies(plan: Plan, gone: int, view: View, now: int, zone: tzinfo, allowance_at: AllowanceAt) -> HeldBack:
    holding = allowance_at(now).holding(gone)
    moments = sorted({at for number in holding for at in _moments(plan, number, view, now, zone) if at > now})
    place = bisect_left(moments, True, key=lambda at: bool(gone & ~allowance_at(at).blocked()))
    if place == len(moments):
        last = allowance_at(moments[-1] if moments else now)
        return _named(plan, gone, last, None)
    freed = gone & ~allowance_at(moments[place]).blocked()
    return _named(plan, freed, allowance_at(moments[place] - 1), moments[place])


def _named(plan: Plan, treatments: int, allowance: Allowance, at: int | None) -> HeldBack:
    """By those policies that hold the first of `treatments` back."""
    numbers = allowance.holding(treatments & -treatments)
    return HeldBack(Gate.CONTACT_POLICY, tuple(plan.policy_names[number] for number in numbers), at)


def _moments(plan: Plan, number: int, view: View, now: int, zone: tzinfo) -> Iterator[int]:
    """Every moment at which the policy may count less than before; others may be among them."""
    policy = plan.policies[number]
    if policy.after is not None:
        yield from _ends_of_pauses(policy, view.responded.get(number, {}))
        return
    yield from _all(view.holds.get(number, []))
    times = _all(view.counted[number])
    if policy.calendar is not None:
        clock = policy.calendar.zone or zone
        for at in (now, *(at for at in times if at > now)):
            yield policy.calendar.span(at, clock)[1]
    elif not policy.lifetime:
        yield from (at + policy.window for at in times)


def _all(counted: Counted) -> Iterable[int]:
    if isinstance(counted, list):
        return counted
    return [at for counters in counted.values() for times in counters.values() for at in times]


def _ends_of_pauses(policy: Policy, counters: Counters) -> Iterator[int]:
    for by_values in counters.values():
        for responses in by_values.values():
            yield from (at + policy.window for at in responses.looked_for)
