"""What stays of a customer who was erased, under a hash of their id: when that was, what they had refused, and where
their requests were answered.

It is looked at before somebody of whom nothing was stated is written to, so that who comes back under the same id has
still refused what they had refused, and a yes from before the erasure counts no more after the tombstone has gone than
before. It has no end.

An answer lies in the partition of whom an id stood for then, and nothing else leads there once the customer is erased:
so it is noted which partitions that may have been, for who asks again by a request id of before.
"""

from collections.abc import Iterable, Mapping

import msgspec

from features.consents import with_consent
from features.customer import Consent, Customer
from features.deadline import Deadline
from features.ledger import Ledger

SOURCE = "erased"
_ERASED, _REFUSED, _ANSWERED = b"erased", b"refused:", b"answered:"


class Suppression(msgspec.Struct, frozen=True):
    """`erased` is when, `refused` when each purpose was; microseconds since 1970. `answered` are partitions."""

    erased: int
    refused: Mapping[str, int]
    answered: frozenset[int] = frozenset()


def suppression_for(customer: Customer, erased: int, answered: Iterable[int]) -> Suppression:
    """What is to stay of `customer`, who is erased at that time and was answered in these partitions."""
    refused = {name: told.at for name, told in customer.consents.items() if not told.granted}
    return Suppression(erased, refused, frozenset(answered))


def restored(customer: Customer, suppression: Suppression) -> Customer:
    """`customer`, who has come back, with what was kept."""
    customer = msgspec.structs.replace(customer, erased=max(customer.erased, suppression.erased))
    for purpose, at in suppression.refused.items():
        customer = with_consent(customer, purpose, Consent(False, at, SOURCE))
    return customer


async def suppress(ledger: Ledger, customer_ids: Iterable[str], suppression: Suppression, deadline: Deadline) -> None:
    """Keeps it for each of these ids, besides what was kept before. Raises StoreError."""
    fields: list[bytes | int] = [_ERASED, suppression.erased]
    for purpose, at in suppression.refused.items():
        fields += [_REFUSED + purpose.encode(), at]
    for partition in suppression.answered:
        fields += [b"%b%d" % (_ANSWERED, partition), suppression.erased]
    for customer_id in customer_ids:
        await ledger.link.ask("HSET", ledger.layout.suppression(customer_id), *fields, within=deadline.left())


async def suppression_of(ledger: Ledger, customer_id: str, deadline: Deadline) -> Suppression | None:
    """Raises StoreError."""
    found = await ledger.link.ask("HGETALL", ledger.layout.suppression(customer_id), within=deadline.left())
    fields = dict(zip(found[::2], map(int, found[1::2]), strict=True))
    if not fields:
        return None
    refused = {name.removeprefix(_REFUSED).decode(): at for name, at in fields.items() if name.startswith(_REFUSED)}
    answered = frozenset(int(name.removeprefix(_ANSWERED)) for name in fields if name.startswith(_ANSWERED))
    return Suppression(fields.get(_ERASED, 0), refused, answered)
