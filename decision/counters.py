"""Counters: which of a policy's counters a contact belongs to, by what it was labelled with when it was made. Pure."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TypeVar

from catalog.limits import LATE, Counting, Policy
from catalog.plan import Plan
from features.customer import Labels

MOST_REMEMBERED = 100_000

KeyValues = tuple[str | None, ...]
T = TypeVar("T")


def counting(plan: Plan, labels: Labels) -> tuple[Counting, ...]:
    """The policies that count a contact with these labels, which are those of contact time, or what came of it.

    Nothing has to confirm a contact whose answer had no end, for its place could not be held till then.
    """
    labels = _without_keys(labels)
    known = plan.counting.get(labels)
    return _looked_up(plan, labels) if known is None else known


def _looked_up(plan: Plan, labels: Labels) -> tuple[Counting, ...]:
    """By what matters of `labels` here. Labels from before had each a time of its own, where quiet hours held the
    contact: were only the very labels remembered, there would soon be no room for others.
    """
    ends = 1 if labels.valid_for else 0
    alike = Labels(labels.action, labels.channel, labels.group, labels.direction, (), ends, labels.counts_toward_caps)
    known = plan.counting.get(alike)
    if known is None:
        named = labels.named
        known = plan.counting[alike] = tuple(
            (
                number,
                () if policy.per is None else policy.per.values(named),
                policy.confirmed_by(labels.direction) if ends and policy.after is None else "",
            )
            for number, policy in enumerate(plan.policies)
            if policy.counts(named) and (labels.counts_toward_caps or policy.after is not None)
        )
    if len(plan.counting) < MOST_REMEMBERED:
        plan.counting[labels] = known
    return known


def reach(plan: Plan, labels: Labels) -> int:
    """For how long after it was made a contact with these labels matters to policies that aren't for a lifetime,
    whatever comes of it, in microseconds. Confirmed, or responded to, it may matter longer.
    """
    labels = _without_keys(labels)
    known = plan.reaches.get(labels)
    if known is None:
        policies = ((plan.policies[number], kind) for number, _, kind in counting(plan, labels))
        known = max((_reach(policy, kind, labels) for policy, kind in policies), default=0)
        if len(plan.reaches) < MOST_REMEMBERED:
            plan.reaches[labels] = known
    return known


def _reach(policy: Policy, kind: str, labels: Labels) -> int:
    if kind:
        return labels.valid_for + LATE
    return 0 if policy.lifetime else policy.reach


def _without_keys(labels: Labels) -> Labels:
    if not labels.keys:
        return labels
    return Labels(
        labels.action,
        labels.channel,
        labels.group,
        labels.direction,
        (),
        labels.valid_for,
        labels.counts_toward_caps,
    )


def key_values(policy: Policy, labels: Labels) -> KeyValues:
    sources = policy.per.expressions if policy.per else ()
    if not sources:
        return ()
    if len(labels.keys) == 1 == len(sources):
        ((source, value),) = labels.keys
        return (value if source == sources[0] else None,)
    known = dict(labels.keys)
    return tuple([known.get(source) for source in sources])


def named_by(policy: Policy, keys: Mapping[str, str]) -> KeyValues:
    """What `keys`, the customer's values of expressions by their texts, say of those that the policy has."""
    return tuple([keys.get(source) for source in policy.per.expressions]) if policy.per else ()


def matching(counters: Mapping[KeyValues, T], keys: KeyValues) -> Iterator[T]:
    """The counters that `keys` name, with those of contacts that may belong there: what isn't known may be anything.

    Each is looked up, as customers may have thousands of counters.
    """
    if len(keys) <= _MOST_LOOKED_UP:
        for known in product(*((value, None) for value in keys)):
            if known in counters:
                yield counters[known]
    else:
        for known, found in counters.items():
            if all(mine is None or mine == other for mine, other in zip(known, keys, strict=True)):
                yield found


_MOST_LOOKED_UP = 4  # values: there are twice as many combinations for each
