"""What stays of a customer who was erased: when that was and what they had refused, under a hash of their id.

It is looked at before somebody of whom nothing was stated is written to, so that who comes back under the same id has
still refused what they had refused, and a yes from before the erasure counts no more after the tombstone has gone than
before. It has no end.
"""

from collections.abc import Iterable, Mapping

import msgspec

from features.consents import with_consent
from features.customer import Consent, Customer
from features.deadline import Deadline
from features.ledger import Ledger

SOURCE = "erased"
_ERASED, _REFUSED = b"erased", b"refused:"


class Suppression(msgspec.Struct, frozen=True):
    """`erased` is when, `refused` when each purpose was; microseconds since 1970."""

    erased: int
    refused: Mapping[str, int]


def suppression_for(customer: Customer, erased: int) -> Suppression:
    """What is to stay of `customer`, who is erased at that time."""
    return Suppression(erased, {name: told.at for name, told in customer.consents.items() if not told.granted})


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
    for customer_id in customer_ids:
        await ledger.link.ask("HSET", ledger.layout.suppression(customer_id), *fields, within=deadline.left())


async def suppression_of(ledger: Ledger, customer_id: str, deadline: Deadline) -> Suppression | None:
    """Raises StoreError."""
    found = await ledger.link.ask("HGETALL", ledger.layout.suppression(customer_id), within=deadline.left())
    fields = dict(zip(found[::2], map(int, found[1::2]), strict=True))
    if not fields:
        return None
    refused = {name.removeprefix(_REFUSED).decode(): at for name, at in fields.items() if name.startswith(_REFUSED)}
    return Suppression(fields.get(_ERASED, 0), refused)
