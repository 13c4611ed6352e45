"""Quiet hours: when, by the customer's own clock, nothing is sent through a channel."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from catalog.fields import Declared, must

DAY = 24 * 3600 * 1_000_000  # microseconds
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


def _time(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(_TIME, raw):
        raise must("a time of day such as 21:00, from 00:00 to 23:59", raw)
    return raw


def _another(end: str, others: ValidationInfo) -> str:
    if end == others.data.get("from_"):
        wanted = "is the same as `from`: hours that never end, or never begin, are no quiet hours"
        raise PydanticCustomError("must", "{wanted}", {"wanted": wanted})
    return end


TimeOfDay = Annotated[
    str, BeforeValidator(_time), WithJsonSchema({"type": "string", "pattern": _TIME, "examples": ["21:00"]})
]


class QuietHours(Declared):
    """From when to when, on the customer's clock, nothing is sent; across midnight where `to` is the earlier."""

    from_: TimeOfDay = Field(alias="from", description="When they begin, inclusive: a time of day such as 21:00.")
    to: Annotated[TimeOfDay, AfterValidator(_another)] = Field(
        description="When they end, exclusive: a time of day such as 08:00."
    )
    mode: Literal["hold", "drop"] = Field(
        default="hold",
        description="`hold`: what is decided in quiet hours is sent when they end. `drop`: it isn't decided. "
        "Default: `hold`.",
    )


def microseconds(time: str) -> int:
    """How far into a day of 24 hours `time` is."""
    hours, _, minutes = time.partition(":")
    return (int(hours) * 60 + int(minutes)) * 60_000_000
