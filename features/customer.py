"""The customer: everything a decision needs to know about a person, as one value that changes as a whole.

None of these can be part of a cycle, so the garbage collector is told to leave them alone (`gc=False`): a hundred
thousand cached customers would otherwise make each full collection a stall that callers feel.

Pure: every change is a function from one `Customer` to the next; times are arguments, in microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec


class Consent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A statement for one purpose. `at` is when it was made, `source` where."""

    granted: bool
    at: int
    source: str = ""


class Contact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One occasion on which the customer was, or is about to be, reached; its labels are those of that moment.

    `decision` is the id of the decision that granted it, 32 hex digits.
    """

    at: int
    action: str
    channel: str
    group: str
    direction: str
    decision: str


class Labels(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What contact policies tell contacts apart by."""

    action: str
    channel: str
    group: str
    direction: str


class Logged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A contact as a customer's state keeps it: `labels` is the number of its labels there. 29 bytes instead of 80."""

    at: int
    labels: int
    decision: bytes


class Customer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Typed attributes, consents per purpose and recent contacts, oldest first.

    A `test` customer is decided for like any other, but nothing is ever emitted to them. `erased` is when all about the
    customer was last erased, 0 for never: a yes from before then no longer counts. Labels repeat a lot from contact to
    contact, so each is kept once, in `labels`, and `log` names it by number.
    """

    attributes: dict[str, Any] = {}
    consents: dict[str, Consent] = {}
    test: bool = False
    erased: int = 0
    labels: tuple[Labels, ...] = ()
    log: tuple[Logged, ...] = ()

    @property
    def known(self) -> bool:
        """There is anything to tell about them."""
        return bool(self.attributes or self.consents or self.log or self.test)

    @property
    def anonymous(self) -> bool:
        """Nobody has told us anything about them: all we know comes from our own contacts."""
        return not self.attributes and not self.consents and not self.test

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """The log with its labels spelled out, oldest first."""
        names = [(each.action, each.channel, each.group, each.direction) for each in self.labels]
        return tuple(Contact(each.at, *names[each.labels], each.decision.hex()) for each in self.log)


EMPTY = Customer()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Customer)


def encode(customer: Customer) -> bytes:
    return _encoder.encode(customer)


def decode(body: bytes) -> Customer:
    """Timestamps come back as aware datetimes in UTC. Raises msgspec.DecodeError on bytes that aren't a customer."""
    return _decoder.decode(body) if body else EMPTY


def with_attributes(customer: Customer, changes: Mapping[str, Any]) -> Customer:
    """`changes` applied as a JSON merge patch (RFC 7396): None removes the attribute."""
    merged = {**customer.attributes, **changes}
    kept = {name: value for name, value in merged.items() if value is not None}
    return msgspec.structs.replace(customer, attributes=kept)


def with_consent(customer: Customer, purpose: str, statement: Consent) -> Customer:
    """The newest statement wins; of two of the same time, the refusal.

    A yes from before the customer was erased is kept as a no: what it was based on is gone, perhaps a later no with it.
    """
    if customer.erased and statement.granted and statement.at <= customer.erased:
        statement = Consent(False, statement.at, statement.source)
    known = customer.consents.get(purpose)
    if known is not None and (known.at, not known.granted) > (statement.at, not statement.granted):
        return customer
    return msgspec.structs.replace(customer, consents={**customer.consents, purpose: statement})


def with_contacts(
    customer: Customer, added: tuple[Contact, ...], keep_since: int = 0, keep_latest: int = 0
) -> Customer:
    """`added` appended; older contacts are dropped unless newer than `keep_since` or among the `keep_latest` last."""
    log, labels = customer.log, customer.labels
    spare = len(log) - keep_latest
    dropped = 0
    while dropped < spare and log[dropped].at <= keep_since:
        dropped += 1
    if dropped:
        log = log[dropped:]
        if len(labels) > len(log) + _SPARE_LABELS:
            labels, log = _only_used(labels, log)
    for contact in added:
        label = Labels(contact.action, contact.channel, contact.group, contact.direction)
        if label not in labels:
            labels = (*labels, label)
        log = (*log, Logged(contact.at, labels.index(label), bytes.fromhex(contact.decision)))
    return msgspec.structs.replace(customer, labels=labels, log=log)


_SPARE_LABELS = 16  # that no contact has any more, before they are cleared away


def _only_used(labels: tuple[Labels, ...], log: tuple[Logged, ...]) -> tuple[tuple[Labels, ...], tuple[Logged, ...]]:
    numbers = {old: new for new, old in enumerate(sorted({each.labels for each in log}))}
    kept = tuple(Logged(each.at, numbers[each.labels], each.decision) for each in log)
    return tuple(labels[old] for old in numbers), kept


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    span = moment - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(micros_since_1970: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros_since_1970)
