"""Event types: what customers do that the catalog knows of, and the typed properties it comes with."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from catalog.fields import CEL_RESERVED, MAX_NAME, Kind, must, without_repeats
from catalog.series import OUTCOMES
from rules.types import AttributeType

# As other systems call them too: `Order Completed`, `com.example.login`.
_EVENT = rf"^[^\s](.{{0,{MAX_NAME - 2}}}[^\s])?$"
_PROPERTY = rf"^[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}$"


def _event(raw: str) -> str:
    if not re.fullmatch(_EVENT, raw) or not raw.isprintable():
        raise must(f"an event type such as purchase or Order Completed ({MAX_NAME} characters at most)", raw)
    return raw


def _property(raw: str) -> str:
    if not re.fullmatch(_PROPERTY, raw):
        raise must("a property such as amount or orderId: letters, digits and _, the first no digit", raw)
    if raw in CEL_RESERVED:
        raise must("a property that is not a reserved word of CEL", raw)
    return raw


EventName = Annotated[str, AfterValidator(_event), Field(json_schema_extra={"pattern": _EVENT})]
PropertyName = Annotated[str, AfterValidator(_property), Field(json_schema_extra={"pattern": _PROPERTY})]
EventTypes = dict[EventName, dict[PropertyName, Kind]]
REPORTED = dict.fromkeys(("delivered", "failed"), ("action", "channel", "reason"))
"""The properties, all strings, of what Tino itself says came of a message: no catalog may ask for another type."""
Outcomes = Annotated[tuple[EventName, ...], Field(strict=False), AfterValidator(without_repeats)]


def event_types(
    declared: Mapping[str, Mapping[str, AttributeType]], outcomes: Iterable[str]
) -> dict[str, Mapping[str, AttributeType]]:
    """The properties of every event type that is known: the declared ones, and what may come of a contact."""
    return {**{name: {} for name in (*OUTCOMES, *outcomes)}, **declared}
