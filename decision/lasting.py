"""Lasting: which contacts stay in a customer's state though they are old. Pure.

What is no older than the plan's `history` stays as it is, and so do the latest contacts. Of those before, some still
matter: to lifetime policies, the latest of each counter; what was confirmed, or responded to, so late that a window
still holds that; and what may yet be confirmed.
"""

from collections import Counter

from catalog.plan import LATE, Counting, Plan
from decision.counters import counting, key_values
from decision.pauses import still_pausing
from features.customer import Labels, Logged
from features.holds import confirmed_at

KEPT_ANYWAY = 50  # contacts no policy counts today, kept so that a new or longer policy starts with what is known
SWEEP = 16


def lasting(
    plan: Plan, added: int, now: int, labels: tuple[Labels, ...], going: tuple[Logged, ...], staying: tuple[Logged, ...]
) -> tuple[Logged, ...]:
    """Of the contacts `going`, all older than those `staying`: what policies still need. Of what lifetime policies
    count that is the latest of each counter, up to the policy's limit.

    To tell takes a tenth of a millisecond, and what goes makes the customer's view be computed anew, so it is only
    told each time that, with the contacts `added`, there are SWEEP more; until then all stay.
    """
    limits = {number: policy.limit for number, policy in enumerate(plan.policies) if policy.lifetime}
    counted_by = [counting(plan, each) for each in labels]
    if not limits and not plan.pausing and plan.history >= plan.reach and not _confirmable(counted_by):
        return ()
    before = len(going) + len(staying)
    if before // SWEEP == (before + added) // SWEEP:
        return going
    counters = [
        [
            (kind, (number, key_values(plan.policies[number], each), values))
            for number, values, kind in counted_by[place]
            if number in limits
        ]
        for place, each in enumerate(labels)
    ]
    counted = Counter(
        counter for contact in staying for kind, counter in counters[contact.labels] if _counts(contact, kind)
    )
    kept = []
    for contact in reversed(going):
        mine = [counter for kind, counter in counters[contact.labels] if _counts(contact, kind)]
        needed = any(counted[counter] < limits[counter[0]] for counter in mine)
        each = labels[contact.labels]
        if needed or _still_counts(plan, each, contact, now) or still_pausing(plan, each, contact, now):
            kept.append(contact)
            counted.update(mine)
    return tuple(reversed(kept))


def _confirmable(counted_by: list[tuple[Counting, ...]]) -> bool:
    return any(kind for entries in counted_by for _, _, kind in entries)


def _counts(contact: Logged, kind: str) -> bool:
    """Whether it counts whatever comes of it; what only holds its place may lose it."""
    return not kind or confirmed_at(contact, kind) is not None


def _still_counts(plan: Plan, labels: Labels, contact: Logged, now: int) -> bool:
    """Whether some window still holds it, or may, once it is confirmed."""
    for number, _, kind in counting(plan, labels):
        policy = plan.policies[number]
        if policy.after is not None:
            continue
        at = confirmed_at(contact, kind) if kind else contact.at
        if at is None:
            if now < contact.at + labels.valid_for + LATE:
                return True
        elif not policy.lifetime and at > now - policy.window:
            return True
    return False
