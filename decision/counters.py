"""Counters: which of a policy's counters a contact belongs to, by what it was labelled with when it was made. Pure."""

from catalog.plan import Counting, Plan, Policy
from features.customer import Labels

MOST_REMEMBERED = 100_000

KeyValues = tuple[str | None, ...]


def counting(plan: Plan, labels: Labels) -> tuple[Counting, ...]:
    """The policies that count a contact with these labels, which are those of contact time, or what came of it.

    Nothing has to confirm a contact whose answer had no end, for its place could not be held till then.
    """
    if labels.keys:
        labels = Labels(
            labels.action,
            labels.channel,
            labels.group,
            labels.direction,
            (),
            labels.valid_for,
            labels.counts_toward_caps,
        )
    known = plan.counting.get(labels)
    if known is None:
        named = labels.named
        known = tuple(
            (
                number,
                () if policy.per is None else policy.per.values(named),
                policy.confirmed_by(labels.direction) if labels.valid_for and policy.after is None else "",
            )
            for number, policy in enumerate(plan.policies)
            if policy.counts(named) and (labels.counts_toward_caps or policy.after is not None)
        )
        if len(plan.counting) < MOST_REMEMBERED:
            plan.counting[labels] = known
    return known


def key_values(policy: Policy, labels: Labels) -> KeyValues:
    sources = policy.per.expressions if policy.per else ()
    if not sources:
        return ()
    if len(labels.keys) == 1 == len(sources):
        ((source, value),) = labels.keys
        return (value if source == sources[0] else None,)
    known = dict(labels.keys)
    return tuple([known.get(source) for source in sources])


def may_be(known: KeyValues, keys: KeyValues) -> bool:
    """Whether a contact with the values `known` may belong to the counter that `keys` name."""
    return all(mine is None or mine == other for mine, other in zip(known, keys, strict=True))
