"""When what contact policies hold back passes again, if nobody is contacted meanwhile. Pure.

Policies then only loosen: contacts leave windows, units of the calendar end, holds run out, pauses are over. So it is
known from when on a full counter lets something pass: when that contact leaves it which is the last but limit - 1 to
leave. A treatment waits for the last of the counters that block it, and an answer for the first of its treatments. Each
full counter is looked at once, and no policy is asked anew.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from heapq import nlargest
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from catalog.limits import Policy, Values
from catalog.plan import Plan
from decision.counted import Counted
from decision.counters import KeyValues, matching, named_by
from decision.pauses import last_pausings
from decision.view import View

NEVER = 2**63  # microseconds; after any moment that a contact can leave a window


class Full(NamedTuple):
    """`treatments`, as bits, that a counter of a policy blocks until the moment `until`, exclusive, in microseconds."""

    until: int
    policy: int
    treatments: int


def opening(full: Sequence[Full], waiting: int) -> tuple[int, tuple[int, ...]]:
    """When the first of the treatments `waiting`, as bits, is blocked no more, and the policies, by number, that hold
    it to the end. All of them are blocked by some of `full`.
    """
    covered, before, at = 0, 0, NEVER
    for each in sorted(full, key=itemgetter(0), reverse=True):
        if each.until != at:
            before, at = covered, each.until
        covered |= each.treatments
        if covered == waiting:
            break
    first = waiting & ~before
    first &= -first
    return at, tuple(sorted({each.policy for each in full if each.until == at and each.treatments & first}))


def full_counters(
    plan: Plan, view: View, keys: Mapping[str, str], limits: Sequence[int], now: int, zone: tzinfo, waiting: int
) -> list[Full]:
    """Of all policies, the counters that block any of the treatments `waiting` at `now`, with those that they block.

    `keys`, `limits` and `zone` are as decision.policy.Allowance has them.
    """
    found = []
    for number, (policy, limit) in enumerate(zip(plan.policies, limits, strict=True)):
        if not policy.blocks & waiting:
            continue
        named = named_by(policy, keys)
        if limit <= 0 or None in named:
            found.append(Full(NEVER, number, policy.blocks & waiting))
            continue
        if policy.after is None:
            ends = _ends(policy, view.counted[number], view.holds.get(number), named, limit, now, zone)
        else:
            lasts = last_pausings(policy.after, view.responded.get(number, {}), named)
            ends = ((values, last + policy.window) for values, last in lasts)
        for values, until in ends:
            blocked = waiting & (policy.blocks if policy.per is None else policy.per.blocks.get(values, 0))
            if until > now and blocked:
                found.append(Full(until, number, blocked))
    return found


def _ends(
    policy: Policy, counted: Counted, held: Counted | None, named: KeyValues, limit: int, now: int, zone: tzinfo
) -> Iterator[tuple[Values, int]]:
    """Until when each of the counters that are `named` is full that ever were, by the values of labels."""
    leaves = _leaves(policy, now, zone)
    times, ends = _by_values(counted, named), _by_values(held or {}, named)
    for values, several in times.items():
        if values in ends:
            continue
        made = several[0] if len(several) == 1 else sorted(chain.from_iterable(several))
        if len(made) >= limit:
            yield values, leaves(made[-limit])
    for values, several in ends.items():
        left = [leaves(at) for made in times.get(values, ()) for at in made[-limit:]]
        left += chain.from_iterable(several)
        if len(left) >= limit:
            yield values, nlargest(limit, left)[-1]


def _by_values(counted: Counted, named: KeyValues) -> dict[Values, list[list[int]]]:
    if isinstance(counted, list):
        return {(): [counted]}
    found: dict[Values, list[list[int]]] = {}
    for counters in matching(counted, named):
        for values, times in counters.items():
            found.setdefault(values, []).append(times)
    return found


def _leaves(policy: Policy, now: int, zone: tzinfo) -> Callable[[int], int]:
    """From when on a contact made at a time, in microseconds, counts no more, where that is later than `now`."""
    if policy.lifetime:
        return lambda made: NEVER
    if policy.calendar is None:
        return lambda made: made + policy.window
    calendar, clock = policy.calendar, policy.calendar.zone or zone
    began, ends = calendar.span(now, clock)
    return lambda made: made if made < began else ends if made < ends else calendar.span(made, clock)[1]
