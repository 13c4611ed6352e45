"""Contact policies: how often a customer may be reached."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from catalog.calendar import Unit
from catalog.fields import Declared, Duration, NameOrNames, must
from rules.types import shown, valid_zone

MAX_LIMIT = 1_000_000
MAX_LIFETIME_LIMIT = 1_000  # what a lifetime policy counts stays in the customer's state, so it has to end somewhere
LABELS = ("direction", "channel", "group", "action", "treatment")
CUSTOMERS = "customer"  # the zone of a calendar that goes by each customer's own clock
_ONLY_CAPS = "use `limit` with `rolling`, `calendar` or `lifetime`"


def _limit(raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= MAX_LIMIT:
        raise must(f"a whole number from 0 to {MAX_LIMIT:,}", raw)
    return raw


def _lifetime(raw: object, others: ValidationInfo) -> object:
    if raw is not True:
        raise must("true, or left out", raw)
    if others.data.get("limit", 0) > MAX_LIFETIME_LIMIT:
        wanted = f"stands with a `limit` of at most {MAX_LIFETIME_LIMIT:,}, not {others.data['limit']:,}"
        raise PydanticCustomError("must", "{wanted}", {"wanted": wanted})
    return raw


def _only(window: Any, others: ValidationInfo) -> Any:
    for name in ("lifetime", "calendar"):
        if window is not None and others.data.get(name):
            wanted = f"can't stand beside `{name}`: a policy has one window"
            raise PydanticCustomError("must", "{wanted}", {"wanted": wanted})
    return window


def _one_window(rolling: timedelta | None, others: ValidationInfo) -> timedelta | None:
    # What is wrong is not among the others, and is told of by itself.
    if rolling is None and all(others.data.get(name, True) is None for name in ("lifetime", "calendar")):
        raise PydanticCustomError("missing", "give a window")
    _only(rolling, others)
    return rolling


def _clock(zone: str, others: ValidationInfo) -> str:
    if zone != CUSTOMERS and not valid_zone(zone):
        raise must(f"`{CUSTOMERS}` or an IANA time zone such as America/Mexico_City", zone)
    if others.data.get("calendar", True) is None:
        raise PydanticCustomError("must", "has no meaning without `calendar`")
    return zone


def _keys(raw: Any) -> Any:
    keys = [raw] if isinstance(raw, str) else raw
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key.strip() for key in keys):
        raise must(f"{_A_KEY}, or a list of these", raw)
    keys = [key.strip() for key in keys]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise PydanticCustomError("must", "names {key} twice", {"key": shown(key)})
        if re.fullmatch(r"\w+", key) and key not in LABELS:
            raise must(_A_KEY, key)
    return tuple(keys)


_A_KEY = f"a label ({', '.join(LABELS)}) or CEL such as customer.contract_id"
_KEYS = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]})


class Scope(Declared):
    """What a policy counts and holds back: contacts that fit every key given; of a list, any name."""

    direction: NameOrNames | None = Field(default=None, description="`inbound`, `outbound` or both.")
    channel: NameOrNames | None = Field(default=None, description="One channel or a list.")
    group: NameOrNames | None = Field(default=None, description="One group of actions or a list.")
    action: NameOrNames | None = Field(default=None, description="One action or a list.")
    treatment: NameOrNames | None = Field(default=None, description="One treatment, as `action/channel`, or a list.")

    def covers(self, direction: str, channel: str, group: str | None, action: str) -> bool:
        """Whether the treatment of `action` on `channel` falls in this scope."""
        labels = (direction, channel, group, action, f"{action}/{channel}")
        wanted = (self.direction, self.channel, self.group, self.action, self.treatment)
        return all(names is None or label in names for names, label in zip(wanted, labels, strict=True))

    @property
    def unlimited(self) -> bool:
        return not self.model_fields_set


class ContactPolicy(Declared):
    """At most `limit` contacts of the scope in its window, for each value of `per`; the strictest policy wins."""

    unsupported: ClassVar[dict[str, str]] = {
        "after": _ONLY_CAPS,
        "pause": _ONLY_CAPS,
        "counts": "a contact counts from the decision that grants it",
    }

    limit: Annotated[int, BeforeValidator(_limit), Field(ge=0, le=MAX_LIMIT)] = Field(
        description="How many contacts are allowed in the window; 0 means never."
    )
    lifetime: Annotated[bool | None, BeforeValidator(_lifetime), WithJsonSchema({"const": True})] = Field(
        default=None, description="`true` instead of `rolling`: all contacts ever count."
    )
    calendar: Annotated[Unit | None, Field(strict=False), AfterValidator(_only)] = Field(
        default=None, description="Instead of `rolling`: what counts is the hour, day, ISO week or month that it is."
    )
    rolling: Annotated[Duration | None, AfterValidator(_one_window)] = Field(
        default=None,
        validate_default=True,
        description="The window, ending now: a time such as 30m, 24h, 7d or 4w. Or `calendar`, or `lifetime: true`.",
    )
    timezone: Annotated[str | None, AfterValidator(_clock)] = Field(
        default=None,
        description="By whose clock `calendar` goes: `customer` or an IANA zone. Default: the catalog's `timezone`.",
    )
    per: Annotated[tuple[str, ...], BeforeValidator(_keys), _KEYS] = Field(
        default=(),
        description="What each has a counter of its own: a label, such as `action`, a CEL expression, or a list.",
    )
    scope: Scope = Field(default_factory=Scope, description="Which contacts. Without it: all of them.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that tell this policy's counters apart."""
        return tuple(key for key in self.per if key in LABELS)

    def expressions(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The CEL that tells this policy's counters apart, each with where it stands in the policy."""
        for place, key in enumerate(self.per):
            if key not in LABELS:
                yield ("per",) if len(self.per) == 1 else ("per", str(place)), key
