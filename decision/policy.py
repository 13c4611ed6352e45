"""Contact policy: which treatments the contacts so far leave open. Pure; the one place where caps are decided.

A policy counts contacts in one counter, or, with `per`, in a counter for each combination of values: of labels, which
a contact got when it was made, and of expressions, whose values then are kept with the contact. A policy that has
counters knows which treatments each one blocks, so a decision only looks at the counters that something was counted in.

What isn't known counts against the contact: a contact without a value for an expression (it was made before a policy
asked for it) counts in every counter it could belong to, and a customer without one gets nothing in the policy's scope.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from hashlib import blake2b

from catalog.plan import Plan, Policy, Treatment, Values
from decision.counters import KeyValues, counting, key_values, may_be
from decision.pauses import NOBODY_RESPONDED, Responded, paused, still_pausing
from features.customer import Labels, Logged
from rules.errors import EvaluationError
from rules.programs import Frame

KEPT_ANYWAY = 50  # contacts no policy counts today, kept so that a new or longer policy starts with what is known
SWEEP = 16
LONGEST_KEY = 64  # characters of a value that is kept as it is; each contact carries it

Counters = dict[KeyValues, dict[Values, list[int]]]  # by the values of expressions, then by those of labels
Counted = list[int] | Counters  # times in microseconds, ascending


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


def counted_times(plan: Plan, labels: Sequence[Labels], log: Iterable[Logged]) -> tuple[Counted, ...]:
    """Per policy, the times (microseconds, ascending) of the contacts that it counts, however old; none where it looks
    at what came of them.
    """
    counted: tuple[Counted, ...] = tuple([] if policy.per is None else {} for policy in plan.policies)
    counted_in: dict[int, list[list[int]]] = {}  # of the labels that occur: there are many more than one answer adds
    for contact in log:
        counters = counted_in.get(contact.labels)
        if counters is None:
            each = labels[contact.labels]
            counters = counted_in[contact.labels] = [
                known
                if isinstance(known := counted[number], list)
                else _counter(plan.policies[number], known, each, values)
                for number, values in counting(plan, each)
                if plan.policies[number].after is None
            ]
        for times in counters:
            times.append(contact.at)
    for times in _lists(counted):
        times.sort()
    return counted


def _counter(policy: Policy, counted: Counters, labels: Labels, values: Values) -> list[int]:
    return counted.setdefault(key_values(policy, labels), {}).setdefault(values, [])


def _lists(counted: Iterable[Counted]) -> Iterable[list[int]]:
    for each in counted:
        if isinstance(each, list):
            yield each
        else:
            for counters in each.values():
                yield from counters.values()


def counted_more(
    plan: Plan, before: tuple[Counted, ...], labels: Sequence[Labels], added: Iterable[Logged]
) -> tuple[Counted, ...]:
    """What is counted of `before` and of the contacts `added` since; `before` isn't changed."""
    counted = list(before)
    for contact in added:
        each = labels[contact.labels]
        for number, values in counting(plan, each):
            known = counted[number]
            if plan.policies[number].after is not None:
                continue
            if isinstance(known, list):
                counted[number] = _and(known, contact.at)
            else:
                counted[number] = _with(known, key_values(plan.policies[number], each), values, contact.at)
    return tuple(counted)


def _with(known: Counters, keys: KeyValues, values: Values, at: int) -> Counters:
    counters = known.get(keys, {})
    return {**known, keys: {**counters, values: _and(counters.get(values, []), at)}}


def _and(times: list[int], at: int) -> list[int]:
    """Ascending still: among them may be a contact that is to be made later, held until quiet hours are over."""
    return [*times, at] if not times or times[-1] <= at else sorted((*times, at))


def lasting(
    plan: Plan, added: int, now: int, labels: tuple[Labels, ...], going: tuple[Logged, ...], staying: tuple[Logged, ...]
) -> tuple[Logged, ...]:
    """Of the contacts `going`, all granted before those `staying`: what lifetime policies still need, which is the
    latest of each counter, up to the policy's limit; and what was responded to so late that it may still pause
    something.

    To tell takes a tenth of a millisecond, and what goes makes the customer's view be computed anew, so it is only
    told each time that, with the contacts `added`, there are SWEEP more; until then all stay.
    """
    limits = {number: policy.limit for number, policy in enumerate(plan.policies) if policy.lifetime}
    if not limits and not plan.pausing:
        return ()
    before = len(going) + len(staying)
    if before // SWEEP == (before + added) // SWEEP:
        return going
    counters = [
        [
            (number, key_values(plan.policies[number], each), values)
            for number, values in counting(plan, each)
            if number in limits
        ]
        for each in labels
    ]
    counted = Counter(counter for contact in staying for counter in counters[contact.labels])
    kept = []
    for contact in reversed(going):
        mine = counters[contact.labels]
        needed = any(counted[counter] < limits[counter[0]] for counter in mine)
        if needed or still_pausing(plan, labels[contact.labels], contact, now):
            kept.append(contact)
            counted.update(mine)
    return tuple(reversed(kept))


def counts_after(policy: Policy, now: int, zone: tzinfo) -> int:
    """At `now`, contacts after this moment count, any that are later than now too; `zone` is the customer's."""
    return now - policy.window if policy.calendar is None else policy.calendar.began(now, zone) - 1


def remaining(policy: Policy, times: list[int], since: int) -> int:
    """How many more contacts `policy` allows where those after `since` count."""
    return policy.limit - (len(times) - bisect_right(times, since))


def _spent(counted: Counters, keys: KeyValues, since: int) -> dict[Values, int]:
    """How many contacts after `since` there are, by the values of labels, in the counters that `keys` name."""
    spent: dict[Values, int] = {}
    for known, counters in counted.items():
        if known == keys or (None in known and may_be(known, keys)):
            for values, times in counters.items():
                spent[values] = spent.get(values, 0) + len(times) - bisect_right(times, since)
    return spent


class Allowance:
    """What the policies still allow while one answer is put together: its picks count against each other.

    `left` has an element for each policy. Where there are many counters, it is what one that has counted nothing
    allows, and `_spent` holds by policy how much the others have counted. `zone` is the customer's; where it is
    unknown, None, calendars that go by it go by the catalog's. Of a policy that pauses, a counter has counted 1 while
    it is paused, else nothing, and picks don't count.
    """

    def __init__(
        self,
        plan: Plan,
        counted: tuple[Counted, ...],
        keys: Mapping[str, str],
        now: int,
        zone: tzinfo | None = None,
        responded: Responded = NOBODY_RESPONDED,
    ) -> None:
        zone = zone or plan.zone
        self._policies = plan.policies
        self._spent: dict[int, dict[Values, int]] = {}
        self.left: list[int] = []
        for number, (policy, each) in enumerate(zip(plan.policies, counted, strict=True)):
            if policy.after is not None:
                closed = partial(paused, policy.after, policy.window, responded.get(number, {}), now=now)
                self._open_counters(policy, keys, closed)
            elif isinstance(each, list):
                self.left.append(remaining(policy, each, counts_after(policy, now, zone)))
            else:
                spent = partial(_spent, each, since=counts_after(policy, now, zone))
                self._open_counters(policy, keys, spent)

    def _open_counters(
        self, policy: Policy, keys: Mapping[str, str], spent: Callable[[KeyValues], dict[Values, int]]
    ) -> None:
        mine = tuple(keys.get(source) for source in policy.per.expressions) if policy.per else ()
        if None in mine:
            self.left.append(0)
        elif policy.per is None:
            self.left.append(policy.limit - sum(spent(mine).values()))
        else:
            self._spent[len(self.left)] = spent(mine)
            self.left.append(policy.limit)

    def blocked(self) -> int:
        """The treatments that some policy rules out, as bits."""
        mask = 0
        for policy, left in zip(self._policies, self.left, strict=True):
            if left <= 0:
                mask |= policy.blocks
        for position, spent in self._spent.items():
            policy = self._policies[position]
            for values, count in spent.items():
                if count >= policy.limit and policy.per:
                    mask |= policy.per.blocks.get(values, 0)
        return mask

    def least(self, wanted: int) -> tuple[int, ...]:
        """What each policy allows; of many counters, the one of a treatment in `wanted` that allows least."""
        found = self.left.copy()
        for position, spent in self._spent.items():
            policy = self._policies[position]
            for values, count in spent.items():
                if policy.per and policy.per.blocks.get(values, 0) & wanted:
                    found[position] = min(found[position], policy.limit - count)
        return tuple(found)

    def copy(self) -> "Allowance":
        other = Allowance.__new__(Allowance)
        other._policies, other.left = self._policies, self.left.copy()
        other._spent = {position: spent.copy() for position, spent in self._spent.items()}
        return other

    def take(self, treatment: Treatment) -> None:
        """`treatment` has been picked."""
        bit = 1 << treatment.bit
        for position, policy in enumerate(self._policies):
            if policy.blocks & bit and policy.after is None:
                if policy.per is None:
                    self.left[position] -= 1
                elif position in self._spent:
                    spent, values = self._spent[position], policy.per.values(treatment.labels)
                    spent[values] = spent.get(values, 0) + 1
