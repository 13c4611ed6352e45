"""Withdrawals: an event that takes consent back is never refused for its form, as long as it says who does.

An opt-out that isn't taken is the error that can't be made good, and its sender may be a system that nobody looks at.
So what can't be read of it is left out, which its result notes, and the rest is stored: without a decision it is a no
to every purpose, without a time one that is made now. Without an id it is another one each time that it is sent: told
twice it does no harm, but as a duplicate of one from before a yes it would be lost.
"""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import msgspec

from api.event_shapes import DecisionId, Instant, Item, Names, refuse_unbounded
from api.problems import Problem
from decision.request import Identifier, has_controls
from features.applying import Sent
from features.customer import micros
from features.events import NO_MORE

MOST_NOTED = 10  # fields that are left out
LONGEST_NOTED = 100  # characters
_Object = dict[str, Any]


def withdrawal(fields: Mapping[str, Any], names: Names, notes: tuple[str, ...] = ()) -> Item | None:
    """What to store of an event that can't be taken as it is; None unless it takes consent back, and says whose.

    `fields` are its own by our names, None for one that isn't there, `names` how its shape calls them; `notes` come
    before those of what is left out.
    """
    kind, customer_id = fields.get("type"), _identifier(fields.get("customer_id"))
    if not isinstance(kind, str) or kind not in NO_MORE or customer_id is None:
        return None
    read = {
        "id": _identifier(fields.get("id")),
        "at": _read(fields.get("at"), Instant),
        "sent_at": _read(fields.get("sent_at"), Instant),
        "decision_id": _read(fields.get("decision_id"), DecisionId),
        "properties": _properties(fields.get("properties")),
    }
    if read["sent_at"] is None and fields.get("sent_at") is not None:
        read["at"] = None  # by a clock of which nobody knows how far it is off
    known = {"type", "customer_id"} | {name for name, value in read.items() if value is not None}
    left_out = [name for name, raw in fields.items() if name not in known and (raw is not None or name == "id")]
    pointers = [names.get(f"/{name}", f"/{name}") for name in left_out[:MOST_NOTED]]
    sent = Sent(
        read["id"] or "unreadable:" + token_hex(16),
        customer_id,
        kind,
        None if read["at"] is None else micros(read["at"]),
        read["properties"] or {},
        read["decision_id"] or "",
        None if read["sent_at"] is None else micros(read["sent_at"]),
    )
    return Item(sent, names, notes=(*notes, *map(_note, pointers)))


def _note(pointer: str) -> str:
    return f"left_out:{pointer}"[:LONGEST_NOTED]


def _identifier(raw: Any) -> str | None:
    found = _read(raw, Identifier)
    return None if found is None or has_controls(found) else str(found)


def _read(raw: Any, shape: Any) -> Any:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError:
        return None


def _properties(raw: Any) -> _Object | None:
    if not isinstance(raw, dict):
        return None
    try:
        refuse_unbounded(raw, "")
    except Problem:
        return None
    return raw
