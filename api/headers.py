"""Request headers, read once as a mapping, and the id that every answer carries."""

from collections.abc import Iterable, Mapping

from api.problems import Problem
from features.entropy import random_bytes

RequestHeaders = Mapping[bytes, bytes]
RawHeaders = Iterable[tuple[bytes, bytes]]

LONGEST_REQUEST_ID = 128
# What must not mean one thing to a proxy and another to us.
_ONCE = (b"authorization", b"content-length", b"content-type", b"host", b"idempotency-key", b"origin")
_VISIBLE = bytes(range(0x21, 0x7F))


def refuse_repeats(raw: list[tuple[bytes, bytes]], headers: RequestHeaders) -> None:
    """`headers` is `dict(raw)`, where the last of a name's values stands. Raises Problem."""
    if len(raw) == len(headers):
        return
    seen = set()
    for name, _ in raw:
        if name in seen and name in _ONCE:
            raise Problem("duplicate_header", f"{name.decode()} came twice")
        seen.add(name)


def visible(value: bytes) -> bool:
    """Whether it is ASCII that can be seen, spaces apart, and not empty."""
    return bool(value) and not value.translate(None, _VISIBLE)


def request_id_for(headers: RequestHeaders) -> bytes:
    """The caller's Request-Id if it can be echoed, else a random one."""
    return echoed_request_id(headers) or new_request_id()


def echoed_request_id(headers: RequestHeaders) -> bytes | None:
    """The caller's Request-Id if it can be echoed."""
    given = headers.get(b"request-id")
    return given if given is not None and len(given) <= LONGEST_REQUEST_ID and visible(given) else None


def new_request_id() -> bytes:
    return random_bytes(12).hex().encode()
