"""Holds: a contact that counts only once it was seen, or delivered, keeps its place until it is. Pure.

Until the response that confirms it is known, it counts as happening now, in every window, for as long as the answer
with it stands: whoever got that answer may still show it. After that it counts nothing, unless it is confirmed late.
Confirmed, it counts at the time of the first such response, never before it was made. One whose delivery failed is
given back at once; confirmed all the same, as after a first try that bounced, it counts again, and late: another may
have been granted in its place.

Whatever a customer does about a contact proves that they saw it, and what was seen was delivered: who reports clicks
alone must not be granted more for it. So all but what tells of the delivery confirms an impression.
"""

from enum import StrEnum

from catalog.plan import Plan
from features.customer import Contact, Labels, Logged
from features.events import Event

SEEN, DELIVERED, FAILED = "impression", "delivered", "failed"
_FAILED = frozenset({FAILED, "bounced"})
_NO_PROOF = {SEEN: _FAILED | {DELIVERED}, DELIVERED: _FAILED}


class Became(StrEnum):
    """What a contact came to: nothing is known of an OPEN one yet, nor was, while it stood, of an EXPIRED one."""

    OPEN = "open"
    SEEN = "seen"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


def became(contact: Contact, now: int) -> Became:
    kinds = {response.kind for response in contact.responses}
    if kinds - _NO_PROOF[SEEN]:
        return Became.SEEN
    if DELIVERED in kinds:
        return Became.DELIVERED
    if kinds & _FAILED:
        return Became.FAILED
    return Became.EXPIRED if contact.valid_for and now >= contact.at + contact.valid_for else Became.OPEN


def confirmed_at(contact: Logged, kind: str) -> int | None:
    """Since when `contact` counts where it waits for `kind`, in microseconds; None if nothing confirms it."""
    no_proof = _NO_PROOF[kind]
    first = min((response.first for response in contact.responses if response.kind not in no_proof), default=None)
    return None if first is None else max(first, contact.at)


def never_sent(labels: Labels, contact: Logged) -> bool:
    """Whether it is outbound, and all that is known of it is that it failed. One that bounced was sent."""
    kinds = [response.kind for response in contact.responses]
    return labels.direction == "outbound" and bool(kinds) and all(kind == FAILED for kind in kinds)


def went_out_at(labels: Labels, contact: Logged) -> int:
    """When an outbound contact was delivered, where that is known and later than its time; else its time."""
    if labels.direction != "outbound":
        return contact.at
    return max([contact.at, *(response.first for response in contact.responses if response.kind == DELIVERED)])


def is_held(contact: Logged, kind: str) -> bool:
    """Whether it keeps its place as long as its answer stands."""
    no_proof = _NO_PROOF[kind]
    return all(response.kind in no_proof and response.kind not in _FAILED for response in contact.responses)


def confirms_late(plan: Plan, labels: Labels, contact: Logged, event: Event) -> bool:
    """Whether `event`, about `contact`, is what confirms it for some limit, but after its answer had expired, or it had
    been given back.
    """
    if not labels.valid_for or not labels.counts_toward_caps:
        return False
    given_back = any(response.kind in _FAILED for response in contact.responses)
    if not given_back and event.at < contact.ends(labels.valid_for):
        return False
    named = labels.named
    waited_for = {
        policy.confirmed_by(labels.direction)
        for policy in plan.policies
        if policy.after is None and policy.counts(named)
    }
    return any(
        kind and event.type not in _NO_PROOF[kind] and confirmed_at(contact, kind) is None for kind in waited_for
    )
