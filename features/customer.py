"""The customer: everything a decision needs to know about a person, as one value that changes as a whole.

None of these can be part of a cycle, so the garbage collector is told to leave them alone (`gc=False`): a hundred
thousand cached customers would otherwise make each full collection a stall that callers feel.

Pure: every change is a function from one `Customer` to the next; times are arguments, in microseconds since 1970 UTC.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace


class Consent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A statement for one purpose. `at` is when it was made, `source` where."""

    granted: bool
    at: int
    source: str = ""


class Response(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What came of a contact, of one kind: how often, when first and last, the value of all together in millionths."""

    kind: str
    first: int
    last: int
    count: int = 1
    value: int = 0


class Contact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One occasion on which the customer was, or is about to be, reached; its labels are those of that moment.

    `decision` is the id of the decision that granted it, 32 hex digits. `keys` are the values, at that moment, of the
    expressions by which contact policies tell contacts apart: pairs of an expression's text and its value. `responses`
    are what came of it, one of a kind. `valid_for` is how long the answer with it stood, in microseconds from `at` on,
    0 for no end; without `counts_toward_caps` no limit counts it. `purpose` is what it needed consent for, "" where
    that was nothing or isn't known. `held` is by how much `at` is later than the decision, where the answer has an end.
    """

    at: int
    action: str
    channel: str
    group: str
    direction: str
    decision: str
    keys: tuple[tuple[str, str], ...] = ()
    responses: tuple[Response, ...] = ()
    valid_for: int = 0
    counts_toward_caps: bool = True
    purpose: str = ""
    held: int = 0

    @property
    def labels(self) -> "Labels":
        return Labels(
            self.action,
            self.channel,
            self.group,
            self.direction,
            self.keys,
            self.valid_for + self.held,
            self.counts_toward_caps,
            self.purpose,
        )


class Labels(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What contact policies tell contacts apart by, and its purpose; `keys` and all after them as in Contact, but for
    `valid_for`, which is that from the decision on: what differs from contact to contact is no label.
    """

    action: str
    channel: str
    group: str
    direction: str
    keys: tuple[tuple[str, str], ...] = ()
    valid_for: int = 0
    counts_toward_caps: bool = True
    purpose: str = ""

    @property
    def treatment(self) -> str:
        return f"{self.action}/{self.channel}"

    @property
    def named(self) -> dict[str, str]:
        """By the names that catalogs have for them."""
        return {
            "direction": self.direction,
            "channel": self.channel,
            "group": self.group,
            "action": self.action,
            "treatment": self.treatment,
        }


class Logged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A contact as a customer's state keeps it: `labels` is the number of its labels there, `held` as in Contact. 31
    bytes instead of 80.
    """

    at: int
    labels: int
    decision: bytes
    responses: tuple[Response, ...] = ()
    held: int = 0

    def ends(self, stands: int) -> int:
        """When its answer does, which stands for `stands` from the decision on."""
        return self.at - self.held + stands


class Identity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What merging made of a customer. See features.merging.

    `into` is the id this one was merged into, "" where it still stands for itself; `merged` are the ids merged into it,
    sorted. `origins` says of each attribute that came from another profile when that profile last changed, and its id.
    """

    into: str = ""
    merged: tuple[str, ...] = ()
    origins: dict[str, tuple[int, str]] = {}


class Customer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Typed attributes, consents per purpose, recent contacts, and what is kept of events.

    A `test` customer is decided for like any other, but nothing is ever emitted to them. `erased` is when all about the
    customer was last erased, 0 for never: a yes from before then no longer counts. Labels repeat a lot from contact to
    contact, so each is kept once, in `labels`, and `log` names it by number.

    `series` is what is kept of events, by the key of its series: features.series knows how to read it. `earlier` holds,
    per purpose, the statements of before, oldest first. `changed` is when an attribute was last set, in microseconds.

    The log is in the order in which contacts were granted: nearly that of their times, as one that is held until quiet
    hours are over has the time of their end.
    """

    attributes: dict[str, Any] = {}
    consents: dict[str, Consent] = {}
    test: bool = False
    erased: int = 0
    labels: tuple[Labels, ...] = ()
    log: tuple[Logged, ...] = ()
    series: dict[int, Any] = {}
    earlier: dict[str, tuple[Consent, ...]] = {}
    changed: int = 0
    identity: Identity | None = None

    @property
    def known(self) -> bool:
        """There is anything to tell about them."""
        return bool(self.attributes or self.consents or self.log or self.test or self.series or self.identity)

    @property
    def anonymous(self) -> bool:
        """Nobody has told us who they are: all we know comes from our own contacts and from events."""
        return not self.attributes and not self.consents and not self.test and self.identity is None

    @property
    def merged_into(self) -> str:
        """The id of the customer that this one is part of now, "" for none."""
        return self.identity.into if self.identity is not None else ""

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """The log with its labels spelled out, in its order."""
        labels = self.labels
        return tuple(_spelled(each, labels[each.labels]) for each in self.log)


def _spelled(contact: Logged, labels: Labels) -> Contact:
    return Contact(
        contact.at,
        labels.action,
        labels.channel,
        labels.group,
        labels.direction,
        contact.decision.hex(),
        labels.keys,
        contact.responses,
        labels.valid_for - contact.held,
        labels.counts_toward_caps,
        labels.purpose,
        contact.held,
    )


EMPTY = Customer()
MOST_SHARED = 10_000  # labels; a catalog has as many as treatments, unless they change
_labels: dict[Labels, Labels] = {}


def shared_labels(labels: Labels) -> Labels:
    """An equal object that others may have too. Labels with keys are mostly one customer's own."""
    if labels.keys:
        return labels
    if len(_labels) >= MOST_SHARED:
        _labels.clear()
    return _labels.setdefault(labels, labels)


def with_attributes(customer: Customer, changes: Mapping[str, Any], at: int = 0) -> Customer:
    """`changes`, made at `at`, applied as a JSON merge patch (RFC 7396): None removes the attribute."""
    merged = {**customer.attributes, **changes}
    kept = {name: value for name, value in merged.items() if value is not None}
    identity = customer.identity
    if identity is not None and not identity.origins.keys().isdisjoint(changes):
        origins = {name: origin for name, origin in identity.origins.items() if name not in changes}
        identity = msgspec.structs.replace(identity, origins=origins)
    changed = customer.changed if kept == customer.attributes else max(customer.changed, at)
    return msgspec.structs.replace(customer, attributes=kept, changed=changed, identity=identity)


# Of the labels and the contacts that would go, with those that stay: which of the former must be kept.
Lasting = Callable[[tuple[Labels, ...], tuple[Logged, ...], tuple[Logged, ...]], tuple[Logged, ...]]


def with_contacts(
    customer: Customer,
    added: tuple[Contact, ...],
    keep_latest: int = 0,
    lasting: Lasting | None = None,
) -> Customer:
    """`added` appended; of those before, but for the `keep_latest` last, only what is `lasting` stays, or all."""
    log, labels = customer.log, customer.labels
    dropped = len(log) - keep_latest
    if lasting is not None and dropped > 0:
        log = lasting(labels, log[:dropped], log[dropped:]) + log[dropped:]
        if len(labels) > len(log) + _SPARE_LABELS:
            labels, log = _only_used(labels, log)
    for contact in added:
        number, labels = numbered(labels, contact.labels)
        log = (*log, Logged(contact.at, number, bytes.fromhex(contact.decision), held=contact.held))
    return msgspec.structs.replace(customer, labels=labels, log=log)


def numbered(labels: tuple[Labels, ...], label: Labels) -> tuple[int, tuple[Labels, ...]]:
    """The number of `label` among `labels`, and these with it."""
    try:
        return labels.index(label), labels
    except ValueError:
        return len(labels), (*labels, shared_labels(label))


_SPARE_LABELS = 16  # that no contact has any more, before they are cleared away


def _only_used(labels: tuple[Labels, ...], log: tuple[Logged, ...]) -> tuple[tuple[Labels, ...], tuple[Logged, ...]]:
    numbers = {old: new for new, old in enumerate(sorted({each.labels for each in log}))}
    kept = tuple(replace(each, labels=numbers[each.labels]) for each in log)
    return tuple(labels[old] for old in numbers), kept


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    span = moment - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(micros_since_1970: int) -> datetime:
    # Whole seconds apart: timedelta takes its time to divide a large number of microseconds.
    return _EPOCH + timedelta(0, micros_since_1970 // 1_000_000, micros_since_1970 % 1_000_000)
