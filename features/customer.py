"""The customer: everything a decision needs to know about a person, as one value that changes as a whole.

None of these can be part of a cycle, so the garbage collector is told to leave them alone (`gc=False`): a hundred
thousand cached customers would otherwise make each full collection a stall that callers feel.

Pure: every change is a function from one `Customer` to the next; times are arguments, in microseconds since 1970 UTC.
"""

from collections.abc import Callable, Mapping
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

    `decision` is the id of the decision that granted it, 32 hex digits. `keys` are the values, at that moment, of the
    expressions by which contact policies tell contacts apart: pairs of an expression's text and its value.
    """

    at: int
    action: str
    channel: str
    group: str
    direction: str
    decision: str
    keys: tuple[tuple[str, str], ...] = ()


class Labels(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What contact policies tell contacts apart by; `keys` as in Contact."""

    action: str
    channel: str
    group: str
    direction: str
    keys: tuple[tuple[str, str], ...] = ()


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
        labels = self.labels
        return tuple(_spelled(each, labels[each.labels]) for each in self.log)


def _spelled(contact: Logged, labels: Labels) -> Contact:
    action, channel, group, direction = labels.action, labels.channel, labels.group, labels.direction
    return Contact(contact.at, action, channel, group, direction, contact.decision.hex(), labels.keys)


EMPTY = Customer()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Customer)


def encode(customer: Customer) -> bytes:
    return _encoder.encode(customer)


def decode(body: bytes) -> Customer:
    """Timestamps come back as aware datetimes in UTC. Raises msgspec.DecodeError on bytes that aren't a customer."""
    return _decoder.decode(body) if body else EMPTY


def encode_longer(body: bytes, log_at: int, before: Customer, after: Customer) -> tuple[bytes, int] | None:
    """`after` encoded, which differs from `before`, encoded as `body`, by contacts added to the log alone; else None.

    The log comes last, so its length and the new entries are all there is to write, however long it is. `log_at` is
    where it begins, 0 where that isn't known; it is the same in the result and returned with it.
    """
    known = len(before.log)
    if not known or len(after.log) <= known or after.log[known - 1] is not before.log[-1]:
        return None  # what was last before has moved up where any contact before it was dropped
    if after.labels is not before.labels or after.attributes is not before.attributes:
        return None
    if after.consents is not before.consents or (after.test, after.erased) != (before.test, before.erased):
        return None
    if not log_at:
        log_at = _log_at(body, before)
    entries = body[log_at + _HEADERS.get(body[log_at], 1) :]
    added = b"".join(map(_encoder.encode, after.log[known:]))
    return b"%b\xdd%b%b%b" % (body[:log_at], len(after.log).to_bytes(4), entries, added), log_at


_HEADERS = {0xDC: 3, 0xDD: 5}  # bytes that an array's header takes, by its first; up to 15 elements it takes one


def _log_at(body: bytes, customer: Customer) -> int:
    log = _encoder.encode(customer.log)
    entries = len(log) - _HEADERS.get(log[0], 1)
    long_header = len(body) - entries - 5
    # The header was written at full length, or as short as can be: then what stands there is no first byte of a header.
    if long_header > 0 and body[long_header : long_header + 5] == b"\xdd" + len(customer.log).to_bytes(4):
        return long_header
    return len(body) - len(log)


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


# Of the labels and the contacts that would go, with those that stay: which of the former must be kept.
Lasting = Callable[[tuple[Labels, ...], tuple[Logged, ...], tuple[Logged, ...]], tuple[Logged, ...]]


def with_contacts(
    customer: Customer,
    added: tuple[Contact, ...],
    keep_since: int = 0,
    keep_latest: int = 0,
    lasting: Lasting = lambda labels, going, staying: (),
) -> Customer:
    """`added` appended; older contacts are dropped unless newer than `keep_since`, among the `keep_latest` last or
    `lasting`.
    """
    log, labels = customer.log, customer.labels
    spare = len(log) - keep_latest
    dropped = 0
    while dropped < spare and log[dropped].at <= keep_since:
        dropped += 1
    if dropped:
        log = lasting(labels, log[:dropped], log[dropped:]) + log[dropped:]
        if len(labels) > len(log) + _SPARE_LABELS:
            labels, log = _only_used(labels, log)
    for contact in added:
        label = Labels(contact.action, contact.channel, contact.group, contact.direction, contact.keys)
        try:
            number = labels.index(label)
        except ValueError:
            number, labels = len(labels), (*labels, label)
        log = (*log, Logged(contact.at, number, bytes.fromhex(contact.decision)))
    return Customer(customer.attributes, customer.consents, customer.test, customer.erased, labels, log)


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
    # Whole seconds apart: timedelta takes its time to divide a large number of microseconds.
    return _EPOCH + timedelta(0, micros_since_1970 // 1_000_000, micros_since_1970 % 1_000_000)
