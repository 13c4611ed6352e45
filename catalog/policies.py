"""Contact policies: how often a customer may be reached."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from catalog.calendar import Unit
from catalog.event_types import EventName
from catalog.fields import Declared, Duration, Expression, NameOrNames, must
from rules.types import shown, valid_zone

MAX_LIMIT = 1_000_000
MAX_LIFETIME_LIMIT = 1_000  # what a lifetime policy counts stays in the customer's state, so it has to end somewhere
LABELS = ("direction", "channel", "group", "action", "treatment")
CUSTOMERS = "customer"  # the zone of a calendar that goes by each customer's own clock
MAX_TIMES = 1_000


def _limit(raw: object, others: ValidationInfo) -> object:
    # What is wrong is not among the others, and is told of by itself.
    if raw is None and others.data.get("after", True) is None:
        raise PydanticCustomError("missing", "give a limit")
    if raw is None:
        return None
    if others.data.get("after"):
        raise _beside("after", "a policy has a limit, or says after what it pauses")
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= MAX_LIMIT:
        raise must(f"a whole number from 0 to {MAX_LIMIT:,}", raw)
    return raw


def _lifetime(raw: object, others: ValidationInfo) -> object:
    if raw is not True:
        raise must("true, or left out", raw)
    if (others.data.get("limit") or 0) > MAX_LIFETIME_LIMIT:
        wanted = f"stands with a `limit` of at most {MAX_LIFETIME_LIMIT:,}, not {others.data['limit']:,}"
        raise PydanticCustomError("must", "{wanted}", {"wanted": wanted})
    return _only(raw, others)


def _beside(name: str, why: str) -> PydanticCustomError:
    return PydanticCustomError("must", "can't stand beside `{name}`: {why}", {"name": name, "why": why})


def _only(window: Any, others: ValidationInfo) -> Any:
    if window is not None and others.data.get("after"):
        raise _beside("after", "what that looks at is the `rolling` inside it")
    for name in ("lifetime", "calendar"):
        if window is not None and others.data.get(name):
            raise _beside(name, "a policy has one window")
    return window


def _one_window(rolling: timedelta | None, others: ValidationInfo) -> timedelta | None:
    if rolling is None and all(others.data.get(name, True) is None for name in ("after", "lifetime", "calendar")):
        raise PydanticCustomError("missing", "give a window")
    _only(rolling, others)
    return rolling


def _pause(pause: timedelta | None, others: ValidationInfo) -> timedelta | None:
    if pause is None and others.data.get("after"):
        raise PydanticCustomError("missing", "say how long")
    if pause is not None and others.data.get("after", True) is None:
        raise PydanticCustomError("must", "has no meaning without `after`: say after what")
    return pause


def _of_a_limit(given: Any, others: ValidationInfo) -> Any:
    if given is not None and others.data.get("after"):
        raise _beside("after", "it says something of a limit")
    return given


def _times(raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= MAX_TIMES:
        raise must(f"a whole number from 1 to {MAX_TIMES:,}", raw)
    return raw


def _span(rolling: timedelta | None, others: ValidationInfo) -> timedelta | None:
    if rolling is None and (others.data.get("times", 1) > 1 or others.data.get("without")):
        raise PydanticCustomError("missing", "give a window")
    return rolling


def _another(without: str, others: ValidationInfo) -> str:
    if without == others.data.get("outcome"):
        raise PydanticCustomError("must", "is the `outcome` itself: name another, such as click")
    return without


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


_LIMIT = WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_LIMIT})


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


class After(Declared):
    """What pauses: so many outcomes of a kind within a time."""

    outcome: EventName = Field(description="The kind of outcome that counts, such as dismiss.")
    times: Annotated[int, BeforeValidator(_times), Field(ge=1, le=MAX_TIMES)] = Field(
        default=1, description="How many of them pause. Default: 1."
    )
    without: Annotated[EventName | None, AfterValidator(_another)] = Field(
        default=None, description="A kind of outcome that prevents it, such as click."
    )
    rolling: Annotated[Duration | None, AfterValidator(_span)] = Field(
        default=None,
        validate_default=True,
        description="Within which time: such as 7d. Required with `times` above 1 and with `without`.",
    )


class ContactPolicy(Declared):
    """At most `limit` contacts of the scope in its window, for each value of `per`; or, `after` outcomes, a pause. The
    strictest policy wins.
    """

    after: After | None = Field(
        default=None, description="Instead of `limit` and its window: the outcomes after which there is a `pause`."
    )
    limit: Annotated[int | None, BeforeValidator(_limit), _LIMIT] = Field(
        default=None,
        validate_default=True,
        description="How many contacts are allowed in the window; 0 means never.",
    )
    customer_limit: Annotated[Expression | None, AfterValidator(_of_a_limit)] = Field(
        default=None,
        description="CEL giving the customer's own limit, an int, such as `customer.most_emails_a_week`, that counts "
        "where it is lower than `limit`.",
    )
    counts: Annotated[Literal["decision", "impression", "delivery"] | None, AfterValidator(_of_a_limit)] = Field(
        default=None,
        description="What a contact counts from: the `decision`, its first `impression`, or its `delivery`. Default: "
        "`decision` outbound, `impression` inbound.",
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
    pause: Annotated[Duration | None, AfterValidator(_pause)] = Field(
        default=None,
        validate_default=True,
        description="How long nothing of the scope is chosen, from the last outcome on: a time such as 90d.",
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
