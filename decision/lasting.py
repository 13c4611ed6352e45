"""Lasting: which contacts stay in a customer's state, and which go. Pure.

The latest stay whatever they are. Of those before, each stays for as long as something of the catalog in force may
look at it: the window of a policy that counts it, and the time that an `after` reaches back; the day for which what was
held may still be confirmed; the time that its message may wait in the outbox, while nothing is known of it; a lifetime
policy, of each counter the latest up to its limit; a window that holds when it was confirmed or delivered, or a pause
that what came of it began, both of which may be later than any of these; and a rule, which asks about the last contact
with an action, or the last that had some response.

To tell takes a microsecond for each contact, and what goes makes the customer's view be computed anew. So contacts are
swept each time that there are SWEEP more, or, of very many, a 64th more at least; until then all stay.
"""

from collections import Counter
from collections.abc import Collection
from functools import partial

from catalog.plan import Plan
from decision.counters import KeyValues, counting, key_values, reach
from decision.pauses import still_pausing
from decision.preceding import LONGEST_WAIT
from features.customer import Contact, Customer, Labels, Logged, with_contacts
from features.holds import DELIVERED, FAILED, confirmed_at, went_out_at

KEPT_ANYWAY = 50  # contacts no policy counts today, kept so that a new or longer policy starts with what is known
SWEEP = 16

_Counter = tuple[int, KeyValues, tuple[str, ...]]


def with_lasting(plan: Plan, customer: Customer, added: tuple[Contact, ...], now: int) -> Customer:
    """`customer` with the contacts `added` at `now` (microseconds); those before are swept if it is time to."""
    before = len(customer.log)
    step = max(SWEEP, 1 << before.bit_length() >> 7)
    if before // step == (before + len(added)) // step:
        return with_contacts(customer, added)
    return with_contacts(customer, added, KEPT_ANYWAY, partial(lasting, plan, now))


def lasting(
    plan: Plan, now: int, labels: tuple[Labels, ...], going: tuple[Logged, ...], staying: tuple[Logged, ...]
) -> tuple[Logged, ...]:
    """Of the contacts `going`, all granted before those `staying`: what may still be looked at, at `now` or later."""
    if not going:
        return ()
    since = [now - reach(plan, each) for each in labels]
    of_lifetimes = _of_lifetimes(plan, labels)
    counted = Counter(
        counter for contact in staying for kind, counter in of_lifetimes[contact.labels] if _counts(contact, kind)
    )
    asked = _asked_for(plan, labels, (*going, *staying), now)
    kept = []
    for contact in reversed(going):
        place = contact.labels
        mine = [counter for kind, counter in of_lifetimes[place] if _counts(contact, kind)]
        if (
            contact.at > since[place]
            or _may_wait(labels[place], contact, now)
            or any(counted[counter] < plan.policies[counter[0]].limit for counter in mine)
            or (contact.responses and _responses_matter(plan, labels[place], contact, now))
            or (asked and contact in asked)
        ):
            kept.append(contact)
            counted.update(mine)
    return going if len(kept) == len(going) else tuple(reversed(kept))


def _of_lifetimes(plan: Plan, labels: tuple[Labels, ...]) -> list[list[tuple[str, _Counter]]]:
    """By the number of the labels: the counters of lifetime policies, each with what has to confirm a contact there."""
    return [
        [
            (kind, (number, key_values(plan.policies[number], each), values))
            for number, values, kind in counting(plan, each)
            if plan.policies[number].lifetime
        ]
        for each in labels
    ]


def _counts(contact: Logged, kind: str) -> bool:
    """Whether it counts whatever comes of it; what only holds its place may lose it."""
    return not kind or confirmed_at(contact, kind) is not None


def _may_wait(labels: Labels, contact: Logged, now: int) -> bool:
    """Whether it is looked at once more before it is sent. Where it was held, its time is later than the decision's."""
    if labels.direction != "outbound" or contact.ends(labels.valid_for or LONGEST_WAIT) <= now:
        return False
    return all(response.kind not in (DELIVERED, FAILED) for response in contact.responses)


def _responses_matter(plan: Plan, labels: Labels, contact: Logged, now: int) -> bool:
    """Whether it was confirmed, or delivered, so late that some window still holds that, or what came of it may still
    pause.
    """
    for number, _, kind in counting(plan, labels):
        policy = plan.policies[number]
        if policy.after is None and not policy.lifetime:
            at = confirmed_at(contact, kind) if kind else went_out_at(labels, contact)
            if at is not None and at > now - policy.window:
                return True
    return still_pausing(plan, labels, contact, now)


def _asked_for(plan: Plan, labels: tuple[Labels, ...], log: tuple[Logged, ...], now: int) -> Collection[Logged]:
    """The contacts in `log` that rules go by."""
    if not plan.asking:
        return ()
    found: dict[tuple[str, str], Logged] = {}
    for contact in log:
        action = labels[contact.labels].action
        asked = plan.asking.get(action)
        if asked is None:
            continue
        last = found.get((action, ""))
        if contact.at > now - asked.within and (last is None or contact.at >= last.at):
            found[action, ""] = contact
        for response in contact.responses:
            if response.kind in asked.responses:
                found[action, response.kind] = contact
    return set(found.values())
