"""CloudEvents 1.0: one in its JSON format, a batch of them, or one whose attributes are headers and whose data is the
body (binary mode).

The customer is the `subject`. Producers make ids unique within their `source` only, so source and id together are the
event's id. Extensions other than `decisionid` mean nothing here.

Source: https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from api.event_shapes import (
    DecisionId,
    EventType,
    Instant,
    Item,
    Names,
    converted,
    refuse_controls,
    refuse_unbounded,
)
from api.problems import Problem
from decision.request import Identifier
from features.applying import Sent
from features.customer import micros
from features.keys import LONGEST_ID

ONE, BATCH = b"application/cloudevents+json", b"application/cloudevents-batch+json"
PREFIX = b"ce-"
MARK = b"ce-specversion"
NAMES: Names = {"/at": "/time", "/properties": "/data", "/decision_id": "/decisionid"}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
Text = Annotated[str, msgspec.Meta(min_length=1)]


class CloudEvent(msgspec.Struct, frozen=True):
    """An event in CloudEvents' JSON format. `data` is an object; `decisionid` is that of the decision it answers."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: EventType
    subject: Identifier
    time: Instant | None = None
    data: dict[str, Any] | None = None
    data_base64: str | None = None
    decisionid: DecisionId | None = None


def cloud_event(raw: dict[str, Any]) -> Item:
    """Raises Problem."""
    found = converted(raw, CloudEvent)
    if found.data_base64 is not None:
        raise Problem("invalid_value", "data must be a JSON object", pointer="/data_base64")
    texts = ((found.id, "/id"), (found.source, "/source"), (found.type, "/type"), (found.subject, "/subject"))
    refuse_controls(*texts)
    if " " in found.source:
        raise Problem("invalid_value", "a source is a URI reference, which has no spaces", pointer="/source")
    properties = found.data or {}
    refuse_unbounded(properties, "/data")
    at = None if found.time is None else micros(found.time)
    return Item(
        Sent(event_id(found.source, found.id), found.subject, found.type, at, properties, found.decisionid or ""),
        NAMES,
    )


def fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What there is of an event by our names, whatever it is."""
    source, id_in_source = raw.get("source"), raw.get("id")
    named = isinstance(source, str) and isinstance(id_in_source, str)
    return {
        "id": event_id(str(source), str(id_in_source)) if named else None,
        "customer_id": raw.get("subject"),
        "type": raw.get("type"),
        "at": raw.get("time"),
        "properties": raw.get("data"),
        "decision_id": raw.get("decisionid"),
    }


def event_id(source: str, id_in_source: str) -> str:
    """The two with a space between them, which a source has none of; hashed where that is longer than an id may be."""
    joined = f"{source} {id_in_source}"
    return joined if len(joined) <= LONGEST_ID else blake2b(joined.encode(), digest_size=16).hexdigest()


def attributes_in(headers: Mapping[bytes, bytes], raw: list[tuple[bytes, bytes]]) -> dict[str, Any] | None:
    """Those of an event in binary mode; None where it isn't one. Raises Problem."""
    if MARK not in headers:
        return None
    names = [name for name, _ in raw if name.startswith(PREFIX)]
    if len(set(names)) != len(names):
        raise Problem("duplicate_header", "a header that begins with ce- came twice")
    return {name[len(PREFIX) :].decode("latin-1"): _decoded(name, headers[name]) for name in names}


def in_headers(problem: Problem) -> Problem:
    """A problem with an event in binary mode, told of where things are there."""
    pointer = problem.pointer or ""
    if pointer.startswith("/data"):
        return Problem(problem.code, problem.detail, pointer=pointer.removeprefix("/data"))
    return Problem(problem.code, problem.detail, parameter="ce-" + pointer.strip("/"))


def _decoded(name: bytes, value: bytes) -> str:
    """Unquoted, then percent-decoded once."""
    text = value.decode("latin-1")
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise Problem(
            "invalid_value", "percent-encoded bytes must be UTF-8", parameter=name.decode("latin-1")
        ) from None
