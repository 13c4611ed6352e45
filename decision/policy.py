"""Contact policy: which treatments the contacts so far leave open. Pure; the one place where caps are decided.

What the contacts so far come to is worked out once for each state of a customer, see decision.counted. A policy that
has many counters knows which treatments each blocks, so a decision only looks at those that something was counted in.

What isn't known counts against the contact: a contact without a value for an expression (it was made before a policy
asked for it) counts in every counter it could belong to, and a customer without one gets nothing in the policy's scope.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from hashlib import blake2b

from catalog.limits import Policy, Values
from catalog.plan import Plan, Treatment
from decision.counted import NO_HOLDS, Counted, Counters, Holds
from decision.counters import KeyValues, matching, named_by
from decision.pauses import NOBODY_RESPONDED, Responded, paused
from rules.errors import EvaluationError
from rules.programs import Frame

LONGEST_KEY = 64  # characters of a value that is kept as it is; each contact carries it
_NOTHING_HELD: Counters = {}


def keys_of(plan: Plan, frame: Frame) -> dict[str, str]:
    """The values of the expressions that tell counters apart, by their texts, but of those without one."""
    found: dict[str, str] = {}
    for source, program in plan.keys.items():
        try:
            value = program(frame)
        except EvaluationError:
            continue
        found[source] = _key(str(value).lower() if isinstance(value, bool) else str(value))
    return found


def _key(text: str) -> str:
    return text if len(text) <= LONGEST_KEY else "#" + blake2b(text.encode(), digest_size=16).hexdigest()


def counts_after(policy: Policy, now: int, zone: tzinfo) -> int:
    """At `now`, contacts after this moment count, any that are later than now too; `zone` is the customer's."""
    return now - policy.window if policy.calendar is None else policy.calendar.began(now, zone) - 1


def remaining(limit: int, times: list[int], since: int) -> int:
    """How many more contacts `limit` allows where those after `since` count."""
    return limit - (len(times) - bisect_right(times, since))


def limits_of(plan: Plan, frame: Frame, unfit: frozenset[str]) -> Sequence[int]:
    """The policies' limits, lowered to the customer's own; one that was never stated lowers nothing. Where it was, but
    as something of another type than the catalog declares by now, as the names in `unfit` say, nobody can read it: 0.
    """
    if not plan.customer_limits:
        return plan.limits
    limits = list(plan.limits)
    for number in plan.customer_limits:
        program, reads = plan.policies[number].customers, plan.policies[number].reads
        if unfit and not reads.isdisjoint(unfit):
            limits[number] = 0
            continue
        try:
            own = program(frame) if program is not None else None
        except EvaluationError:
            continue
        if isinstance(own, int):
            limits[number] = max(0, min(limits[number], own))
    return limits


def _spent(counted: Counters, held: Counters, keys: KeyValues, since: int, now: int) -> dict[Values, int]:
    """How many contacts after `since` there are, and are held at `now`, by the values of labels, in the counters that
    `keys` name.
    """
    spent: dict[Values, int] = {}
    for all_counters, after in ((counted, since), (held, now)):
        for counters in matching(all_counters, keys):
            for values, times in counters.items():
                spent[values] = spent.get(values, 0) + len(times) - bisect_right(times, after)
    return spent


class Allowance:
    """What the policies still allow while one answer is put together: its picks count against each other.

    `left` has an element for each policy. Where there are many counters, it is what one that has counted nothing
    allows, and `_spent` holds by policy how much the others have counted. `zone` is the customer's; where it is
    unknown, None, calendars that go by it go by the catalog's. Of a policy that pauses, a counter has counted 1 while
    it is paused, else nothing, and picks don't count. `limits` are the policies', as far as this customer is concerned.
    """

    def __init__(
        self,
        plan: Plan,
        counted: tuple[Counted, ...],
        keys: Mapping[str, str],
        now: int,
        zone: tzinfo | None = None,
        responded: Responded = NOBODY_RESPONDED,
        holds: Holds = NO_HOLDS,
        limits: Sequence[int] | None = None,
    ) -> None:
        zone = zone or plan.zone
        self._policies = plan.policies
        self._limits = plan.limits if limits is None else limits
        self._spent: dict[int, dict[Values, int]] = {}
        self.left: list[int] = []
        for number, (policy, each, limit) in enumerate(zip(plan.policies, counted, self._limits, strict=True)):
            if policy.after is not None:
                closed = partial(paused, policy.after, policy.window, responded.get(number, {}), now=now)
                self._open_counters(policy, limit, keys, closed)
            elif isinstance(each, list):
                left = limit
                if each:
                    since = now - policy.window if policy.calendar is None else counts_after(policy, now, zone)
                    left = remaining(limit, each, since)
                if holds and isinstance(held := holds.get(number), list):
                    left = remaining(left, held, now)
                self.left.append(left)
            else:
                ends = holds.get(number, _NOTHING_HELD)
                held_there = _NOTHING_HELD if isinstance(ends, list) else ends
                spent = partial(_spent, each, held_there, since=counts_after(policy, now, zone), now=now)
                self._open_counters(policy, limit, keys, spent)

    def _open_counters(
        self, policy: Policy, limit: int, keys: Mapping[str, str], spent: Callable[[KeyValues], dict[Values, int]]
    ) -> None:
        mine = named_by(policy, keys)
        if None in mine:
            self.left.append(0)
        elif policy.per is None:
            self.left.append(limit - sum(spent(mine).values()))
        else:
            self._spent[len(self.left)] = spent(mine)
            self.left.append(limit)

    def blocked(self) -> int:
        """The treatments that some policy rules out, as bits."""
        mask = 0
        for number, left in enumerate(self.left):
            if left <= 0 or number in self._spent:
                mask |= self._blocked_by(number)
        return mask

    def _blocked_by(self, number: int) -> int:
        policy, limit = self._policies[number], self._limits[number]
        if self.left[number] <= 0:
            return policy.blocks
        mask = 0
        for values, count in self._spent.get(number, {}).items():
            if count >= limit and policy.per:
                mask |= policy.per.blocks.get(values, 0)
        return mask

    def holding(self, treatments: int) -> tuple[int, ...]:
        """The policies, by number, that rule any of `treatments` out."""
        return tuple(number for number in range(len(self.left)) if self._blocked_by(number) & treatments)

    def least(self, wanted: int) -> tuple[int, ...]:
        """What each policy allows; of many counters, the one of a treatment in `wanted` that allows least."""
        found = self.left.copy()
        for position, spent in self._spent.items():
            policy, limit = self._policies[position], self._limits[position]
            for values, count in spent.items():
                if limit - count < found[position] and policy.per and policy.per.blocks.get(values, 0) & wanted:
                    found[position] = limit - count
        return tuple(found)

    def copy(self) -> "Allowance":
        other = Allowance.__new__(Allowance)
        other._policies, other._limits, other.left = self._policies, self._limits, self.left.copy()
        other._spent = {position: spent.copy() for position, spent in self._spent.items()}
        return other

    def take(self, treatment: Treatment) -> None:
        """`treatment` has been picked."""
        bit = 1 << treatment.bit
        for position, policy in enumerate(self._policies):
            if policy.counted & bit and policy.after is None:
                if policy.per is None:
                    self.left[position] -= 1
                elif position in self._spent:
                    spent, values = self._spent[position], policy.per.values(treatment.labels)
                    spent[values] = spent.get(values, 0) + 1
