"""What policies count: the times of contacts, and until when those keep their place that aren't confirmed. Pure.

A policy counts contacts in one counter, or, with `per`, in a counter for each combination of values: of labels, which
a contact got when it was made, and of expressions, whose values then are kept with the contact. It looks only at the
counters that something was counted in.

What counts at a time and what is held (see features.holds) are kept apart, as only the latter depends on when it is
asked for: a counter is a list of times, of which those count that a window still holds, and beside it, where there are
any, a list of the ends of holds, of which those count that lie ahead.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from catalog.limits import Counting, Policy, Values
from catalog.plan import Plan
from decision.counters import KeyValues, counting, key_values
from features.customer import Labels, Logged
from features.holds import confirmed_at, is_held

Counters = dict[KeyValues, dict[Values, list[int]]]  # by the values of expressions, then by those of labels
Counted = list[int] | Counters  # times in microseconds, ascending
Holds = Mapping[int, Counted]  # ends of holds, by the number of the policy; not of those that hold nothing
NO_HOLDS: Holds = MappingProxyType({})


def counted_of(plan: Plan, labels: Sequence[Labels], log: Iterable[Logged]) -> tuple[tuple[Counted, ...], Holds]:
    """Per policy, the times (microseconds, ascending) of the contacts that it counts, however old, none where it looks
    at what came of them; and when those lose their place that aren't confirmed yet, past or to come.
    """
    counted = tuple(_counter(policy) for policy in plan.policies)
    holds: dict[int, Counted] = {}
    known: dict[int, _Counts] = {}  # of the labels that occur: there are many more than one answer adds
    for contact in log:
        each = labels[contact.labels]
        counts = known.get(contact.labels)
        if counts is None:
            counts = known[contact.labels] = _counts(plan, each, counted)
        for times in counts.decided:
            times.append(contact.at)
        for number, values, kind in counts.waiting:
            at = confirmed_at(contact, kind) if contact.responses else None
            if at is not None:
                _times(plan.policies[number], counted[number], each, values).append(at)
            elif not contact.responses or is_held(contact, kind):
                policy = plan.policies[number]
                ends = holds.setdefault(number, _counter(policy))
                _times(policy, ends, each, values).append(contact.ends(each.valid_for))
    _sort(counted)
    if not holds:
        return counted, NO_HOLDS
    _sort(holds.values())
    return counted, holds


def places_of(plan: Plan, labels: Labels, contact: Logged) -> Iterator[tuple[int, Values, bool, int]]:
    """What one contact adds: the number of a policy, the values of labels of the counter, whether it only holds its
    place there, and the time, or the end of the hold, in microseconds.
    """
    for number, values, kind in counting(plan, labels):
        if plan.policies[number].after is not None:
            continue
        at = confirmed_at(contact, kind) if kind else contact.at
        if at is not None:
            yield number, values, False, at
        elif is_held(contact, kind):
            yield number, values, True, contact.ends(labels.valid_for)


class _Counts(NamedTuple):
    """Where contacts with the same labels count: the times to be added to, and who waits for them to be confirmed."""

    decided: list[list[int]]
    waiting: list[Counting]


def _counts(plan: Plan, labels: Labels, counted: tuple[Counted, ...]) -> _Counts:
    found = _Counts([], [])
    for entry in counting(plan, labels):
        number, values, kind = entry
        if kind:
            found.waiting.append(entry)
        elif plan.policies[number].after is None:
            found.decided.append(_times(plan.policies[number], counted[number], labels, values))
    return found


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
    plan: Plan, counted: tuple[Counted, ...], holds: Holds, labels: Labels, contact: Logged
) -> tuple[tuple[Counted, ...], Holds]:
    """What is counted, and held, with one contact more, of which nothing has come; neither is changed."""
    more: list[Counted] | None = None
    held: dict[int, Counted] | None = None
    for number, values, kind in counting(plan, labels):
        policy = plan.policies[number]
        if policy.after is not None:
            continue
        if kind:
            held = held or {**holds}
            known = held[number] if number in held else _counter(policy)
            held[number] = _with(policy, known, labels, values, contact.ends(labels.valid_for))
        else:
            more = more or [*counted]
            more[number] = _with(policy, more[number], labels, values, contact.at)
    return counted if more is None else tuple(more), held or holds


def _with(policy: Policy, known: Counted, labels: Labels, values: Values, at: int) -> Counted:
    if isinstance(known, list):
        return _and(known, at)
    keys = key_values(policy, labels)
    counters = known.get(keys, {})
    return {**known, keys: {**counters, values: _and(counters.get(values, []), at)}}


def _and(times: list[int], at: int) -> list[int]:
    """Ascending still: what quiet hours hold is later than what is granted after it."""
    if not times or times[-1] <= at:
        return [*times, at]
    return sorted((*times, at))
