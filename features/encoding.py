"""The encoding of a customer: the bytes that stand for one in Redis and in records.

MessagePack, each value an array of its fields: a later version appends fields with a default, and reads what is from
before as ever. A state is written at each contact, so what a contact adds is put in its place in the bytes that are
known (`encode_longer`); all else is written anew.
"""

from sys import intern

import msgspec
from msgspec.structs import force_setattr

from features.customer import EMPTY, Customer, shared_labels

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Customer)


def encode(customer: Customer) -> bytes:
    return _encoder.encode(customer)


def decode(body: bytes) -> Customer:
    """Timestamps come back as aware datetimes in UTC. Raises msgspec.DecodeError on bytes that aren't a customer."""
    return _shared(_decoder.decode(body)) if body else EMPTY


def _shared(customer: Customer) -> Customer:
    """`customer`, just decoded, with what most customers have alike as the same objects: a third of their memory."""
    if customer.labels:
        force_setattr(customer, "labels", tuple(map(shared_labels, customer.labels)))
    for contact in customer.log:
        for response in contact.responses:
            force_setattr(response, "kind", intern(response.kind))
            if response.last == response.first:
                force_setattr(response, "last", response.first)
    return customer


Span = tuple[int, int]
"""Where the log lies in an encoded customer: from its header to its end."""


def encode_longer(body: bytes, span: Span | None, before: Customer, after: Customer) -> tuple[bytes, Span] | None:
    """`after` encoded, which differs from `before`, encoded as `body`, by contacts added to the log alone; else None.

    The log's length and the new entries are all there is to write, however long it is. `span` is where it lies, None
    where that isn't known; where it lies in the result is returned with it.
    """
    known = len(before.log)
    if not known or len(after.log) <= known or after.log[known - 1] is not before.log[-1] or body[0] != _HEAD:
        return None  # what was last before has moved up where any contact before it was dropped
    if after.labels is not before.labels or after.attributes is not before.attributes:
        return None
    if after.consents is not before.consents or (after.test, after.erased) != (before.test, before.erased):
        return None
    if after.series is not before.series or after.identity is not before.identity:
        return None
    if after.earlier is not before.earlier or after.changed != before.changed:
        return None
    span = span or _log_in(body, before)
    if span is None:
        return None
    start, end = span
    entries = body[start + _HEADERS.get(body[start], 1) : end]
    added = b"".join(map(_encoder.encode, after.log[known:]))
    longer = b"%b\xdd%b%b%b" % (body[:start], len(after.log).to_bytes(4), entries, added)
    return longer + body[end:], (start, len(longer))


_HEAD = 0x90 | len(Customer.__struct_fields__)  # how the encoding of a customer with all of today's fields begins
_HEADERS = {0xDC: 3, 0xDD: 5}  # bytes that an array's header takes, by its first; up to 15 elements it takes one


def _log_in(body: bytes, customer: Customer) -> Span | None:
    """None where it isn't written as it would be today."""
    behind = (customer.series, customer.earlier, customer.changed, customer.identity)
    end = len(body) - sum(len(_encoder.encode(each)) for each in behind)
    log = _encoder.encode(customer.log)
    entries = len(log) - _HEADERS.get(log[0], 1)
    if body[end - entries : end] != log[len(log) - entries :]:
        return None
    long_header = end - entries - 5
    # The header was written at full length, or as short as can be: then what stands there is no first byte of a header.
    if long_header > 0 and body[long_header : long_header + 5] == b"\xdd" + len(customer.log).to_bytes(4):
        return long_header, end
    return end - len(log), end
