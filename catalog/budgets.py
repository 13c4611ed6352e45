"""Budgets: how often something may be granted over all customers."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from catalog.calendar import Unit
from catalog.fields import Declared, must
from catalog.policies import CUSTOMERS, Scope
from rules.types import valid_zone

MAX_BUDGET = 1_000_000_000


def _limit(raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= MAX_BUDGET:
        raise must(f"a whole number from 0 to {MAX_BUDGET:,}", raw)
    return raw


def _lifetime(raw: object) -> object:
    if raw is not True:
        raise must("true, or left out", raw)
    return raw


def _one_window(calendar: Unit | None, others: ValidationInfo) -> Unit | None:
    lifetime = others.data.get("lifetime", True)
    if calendar is None and lifetime is None:
        raise PydanticCustomError("missing", "give a window")
    if calendar is not None and others.data.get("lifetime"):
        message = "can't stand beside `lifetime`: a budget has one window"
        raise PydanticCustomError("must", message)
    return calendar


def _clock(zone: str, others: ValidationInfo) -> str:
    if zone == CUSTOMERS:
        message = (
            "can't be `customer`: a budget is one for all customers, so it has one clock; "
            "name an IANA time zone such as America/Mexico_City"
        )
        raise PydanticCustomError("must", message)
    if not valid_zone(zone):
        raise must("an IANA time zone such as America/Mexico_City", zone)
    if others.data.get("calendar", True) is None:
        raise PydanticCustomError("must", "has no meaning without `calendar`")
    return zone


class Budget(Declared):
    """At most `limit` contacts of the scope over all customers together in each unit of the calendar, or ever."""

    unsupported: ClassVar[dict[str, str]] = {
        "rolling": "what is left is dealt out in advance, for a unit of the `calendar` or for ever: use one of these",
        "per": "a budget is one for all customers: declare one for each scope, or cap each customer by a policy",
        "counts": "a budget is taken from at the decision, whatever comes of it",
    }

    limit: Annotated[
        int, BeforeValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_BUDGET})
    ] = Field(description="How many contacts there are in each unit of the calendar, or ever; 0 means never.")
    lifetime: Annotated[bool | None, BeforeValidator(_lifetime), WithJsonSchema({"const": True})] = Field(
        default=None, description="`true` instead of `calendar`: the budget is never renewed."
    )
    calendar: Annotated[Unit | None, Field(strict=False), AfterValidator(_one_window)] = Field(
        default=None,
        validate_default=True,
        description="When the budget is renewed: with each hour, day, ISO week or month. Or `lifetime: true`.",
    )
    timezone: Annotated[str | None, AfterValidator(_clock)] = Field(
        default=None, description="By whose clock `calendar` goes: an IANA zone. Default: the catalog's `timezone`."
    )
    scope: Scope = Field(default_factory=Scope, description="Which contacts. Without it: all of them.")
