"""Preceding: which other contacts count against one that is about to be sent. Pure.

At its decision a contact counts against everybody granted after it, sent or not: so no more is granted than policies
allow. When it is about to be sent that would not do. Where too many wait after all (two customers turned out to be one,
a limit was lowered, an outage held all of a day back until the evening), each of them would find its place taken by the
others, and none would be sent. So:

    went out         a contact that was delivered, or that the customer has done something about, counts
    was granted      before this one, and still waits: it counts, as it is to be sent first
    was granted      after this one, and still waits: it doesn't, and finds this one in its way when its turn comes
    failed           a contact that was not sent and never will be counts nothing

Grants are in the order of their times, of their decisions' ids, which begin with the time, and of their actions. The
log's own order wouldn't do: contacts of a merged customer lie in it by when they count. Inbound contacts went out with
the answer.
"""

from collections.abc import Iterator

from catalog.plan import Plan
from decision.counted import Counted, Holds, counted_of
from features.customer import Customer, Labels, Logged
from features.holds import never_sent


def counted_before(plan: Plan, customer: Customer, mine: Logged) -> tuple[tuple[Counted, ...], Holds]:
    """What the customer's other contacts count when `mine` is about to be sent, as decision.counted.counted_of."""
    return counted_of(plan, customer.labels, _preceding(customer, mine))


def _preceding(customer: Customer, mine: Logged) -> Iterator[Logged]:
    place = _place(customer.labels[mine.labels], mine)
    for other in customer.log:
        labels = customer.labels[other.labels]
        out = labels.direction != "outbound" or bool(other.responses)
        if other is not mine and not never_sent(labels, other) and (out or _place(labels, other) < place):
            yield other


def _place(labels: Labels, contact: Logged) -> tuple[bytes, str, str]:
    return contact.decision, labels.action, labels.channel
