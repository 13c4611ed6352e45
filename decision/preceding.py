"""Preceding: which other contacts count against one that is about to be sent, and since when. Pure.

At its decision a contact counts against everybody granted after it, sent or not: so no more is granted than policies
allow. When it is about to be sent that would not do. Where too many wait after all (two customers turned out to be one,
a limit was lowered, an outage held all of a day back until the evening), each of them would find its place taken by the
others, and none would be sent. And it is what reaches the customer that has to be spaced now, not what was decided. So:

    went out         a contact that was delivered, or that the customer has done something about, counts; at its
                     delivery, where that is known and later than the time it was granted for
    was granted      before this one, and still waits: it counts, as it is to be sent first, and from now on where its
                     time has passed: another deliverer may have it in hand this very moment
    was granted      after this one, and still waits: it doesn't, and finds this one in its way when its turn comes
    failed           a contact that was not sent and never will be counts nothing

Grants are in the order of their times, which their decisions' ids begin with, and within a millisecond in that of the
log, where what was ranked first comes first. The log's order alone wouldn't do: contacts of a merged customer lie in it
by when they count. Inbound contacts went out with the answer.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from catalog.plan import Plan
from decision.counted import Counted, Holds, counted_of
from features.customer import Customer, Labels, Logged
from features.holds import never_sent, went_out_at

TIME = 6  # bytes that a decision's id begins with
LONGEST_WAIT = 7 * 24 * 3600 * 1_000_000
"""Microseconds after its decision until which a message without an end of its own may be sent."""


def counted_before(plan: Plan, customer: Customer, mine: Logged, now: int) -> tuple[tuple[Counted, ...], Holds]:
    """What the customer's other contacts count when `mine` is about to be sent, as decision.counted.counted_of.

    A place is held for as long as the answer stood, however late it was delivered.
    """
    labels, others = customer.labels, list(_preceding(customer, mine))
    counted, _ = counted_of(plan, labels, [_at_delivery(labels[each.labels], each, now) for each in others])
    return counted, counted_of(plan, labels, others)[1]


def _preceding(customer: Customer, mine: Logged) -> Iterator[Logged]:
    granted = mine.decision[:TIME]
    before = True  # in the log
    for other in customer.log:
        if other is mine:
            before = False
            continue
        labels = customer.labels[other.labels]
        out = labels.direction != "outbound" or bool(other.responses)
        first = other.decision[:TIME] < granted or (before and other.decision[:TIME] == granted)
        if not never_sent(labels, other) and (out or first):
            yield other


def _at_delivery(labels: Labels, contact: Logged, now: int) -> Logged:
    at = max(contact.at, now) if _waits(labels, contact, now) else went_out_at(labels, contact)
    return contact if at == contact.at else replace(contact, at=at)


def _waits(labels: Labels, contact: Logged, now: int) -> bool:
    """Whether it is still to be sent, as far as is known."""
    stands = labels.valid_for or LONGEST_WAIT
    return labels.direction == "outbound" and not contact.responses and contact.ends(stands) > now
