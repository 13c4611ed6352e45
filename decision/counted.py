"""What policies count: the times of contacts, and until when those keep their place that aren't confirmed. Pure.

A policy counts contacts in one counter, or, with `per`, in a counter for each combination of values: of labels, which
a contact got when it was made, and of expressions, whose values then are kept with the contact. It looks only at the
counters that something was counted in.

What counts at a time and what is held (see features.holds) are kept apart, as only the latter depends on when it is
asked for: a counter is a list of times, of which those count that a window still holds, and beside it, where there are
any, a list of the ends of holds, of which those count that lie ahead.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from catalog.plan import Plan, Policy, Values
from decision.counters import KeyValues, counting, key_values
from features.customer import Labels, Logged
from features.holds import confirmed_at, is_held

Counters = dict[KeyValues, dict[Values, list[int]]]  # by the values of expressions, then by those of labels
Counted = list[int] | Counters  # times in microseconds, ascending
Holds = Mapping[int, Counted]  # ends of holds, by the number of the policy; not of those that hold nothing
NO_HOLDS: Holds = MappingProxyType({})


def counted_times(plan: Plan, labels: Sequence[Labels], log: Iterable[Logged]) -> tuple[Counted, ...]:
    """Per policy, the times (microseconds, ascending) of the contacts that it counts, however old; none where it looks
    at what came of them.
    """
    counted = tuple(_counter(policy) for policy in plan.policies)
    counted_in: dict[int, list[list[int]]] = {}  # of the labels that occur: there are many more than one answer adds
    for contact in log:
        each = labels[contact.labels]
        decided = counted_in.get(contact.labels)
        if decided is None:
            decided = counted_in[contact.labels] = [
                _times(plan.policies[number], counted[number], each, values)
                for number, values, kind in counting(plan, each)
                if not kind and plan.policies[number].after is None
            ]
        for times in decided:
            times.append(contact.at)
        if contact.responses:
            for number, values, kind in counting(plan, each):
                if kind and (at := confirmed_at(contact, kind)) is not None:
                    _times(plan.policies[number], counted[number], each, values).append(at)
    _sort(counted)
    return counted


def held_until(plan: Plan, labels: Sequence[Labels], log: Iterable[Logged]) -> Holds:
    """When the contacts that aren't confirmed yet lose their place, if they don't give it back before; some have."""
    holding = [[entry for entry in counting(plan, each) if entry[2]] for each in labels]
    if not any(holding):
        return NO_HOLDS
    holds: dict[int, Counted] = {}
    for contact in log:
        each = labels[contact.labels]
        for number, values, kind in holding[contact.labels]:
            if is_held(contact, kind):
                policy = plan.policies[number]
                counted = holds.setdefault(number, _counter(policy))
                _times(policy, counted, each, values).append(contact.at + each.valid_for)
    _sort(holds.values())
    return holds


def _counter(policy: Policy) -> Counted:
    return [] if policy.per is None else {}


def _times(policy: Policy, counted: Counted, labels: Labels, values: Values) -> list[int]:
    if isinstance(counted, list):
        return counted
    return counted.setdefault(key_values(policy, labels), {}).setdefault(values, [])


def _sort(counted: Iterable[Counted]) -> None:
    for each in counted:
        if isinstance(each, list):
            each.sort()
        else:
            for counters in each.values():
                for times in counters.values():
                    times.sort()


def counted_more(
    plan: Plan, before: tuple[tuple[Counted, ...], Holds], labels: Sequence[Labels], added: Iterable[Logged]
) -> tuple[tuple[Counted, ...], Holds]:
    """What is counted, and held, of `before` and of the contacts `added` since, of which nothing has come; `before`
    isn't changed.
    """
    counted, holds = list(before[0]), before[1]
    for contact in added:
        each = labels[contact.labels]
        for number, values, kind in counting(plan, each):
            policy = plan.policies[number]
            if policy.after is not None:
                continue
            if kind:
                known = holds.get(number, _counter(policy))
                holds = {**holds, number: _with(policy, known, each, values, contact.at + each.valid_for)}
            else:
                counted[number] = _with(policy, counted[number], each, values, contact.at)
    return tuple(counted), holds


def _with(policy: Policy, known: Counted, labels: Labels, values: Values, at: int) -> Counted:
    if isinstance(known, list):
        times = known.copy()
        insort(times, at)
        return times
    keys = key_values(policy, labels)
    counters = known.get(keys, {})
    times = counters.get(values, []).copy()
    insort(times, at)
    return {**known, keys: {**counters, values: times}}
