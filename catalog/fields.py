"""The kinds of value a catalog's fields take, each with the words that say what would be right."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from rules.types import EARLIEST, LATEST, AttributeType, shown, valid_zone

MAX_NAME = 100
MAX_DURATION = timedelta(days=36_500)
# https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
CEL_RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)
_NAME = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME - 1}}}$"
_ATTRIBUTE = rf"^[a-z][a-z0-9_]{{0,{MAX_NAME - 1}}}$"
_DURATION = r"^[0-9]{1,9}[smhdw]$"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Declared(BaseModel):
    """A part of the catalog: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_by_alias=True)

    # Keys of the format that this version can't enforce, each with what to do instead; refused by name.
    unsupported: ClassVar[dict[str, str]] = {}


def must(wanted: str, raw: Any) -> PydanticCustomError:
    """The error of a field whose value is `raw` and should have been `wanted`."""
    return PydanticCustomError("must", "must be {wanted}, not {found}", {"wanted": wanted, "found": shown(raw)})


def _name(raw: str) -> str:
    if not re.fullmatch(_NAME, raw):
        raise must(f"a name of letters, digits, - and _ ({MAX_NAME} at most, the first a letter or digit)", raw)
    return raw


def _attribute(raw: str) -> str:
    if not re.fullmatch(_ATTRIBUTE, raw):
        raise must("an attribute name such as days_since_visit: a-z, 0-9 and _, the first a letter", raw)
    if raw in CEL_RESERVED:
        raise must("an attribute name that is not a reserved word of CEL", raw)
    return raw


def _zone(raw: str) -> str:
    if not valid_zone(raw):
        raise must("an IANA time zone such as America/Mexico_City", raw)
    return raw


def _duration(raw: Any) -> timedelta:
    if isinstance(raw, str) and re.fullmatch(_DURATION, raw):
        count, unit = int(raw[:-1]), _UNITS[raw[-1]]
        if count > 0 and count <= MAX_DURATION / timedelta(**{unit: 1}):
            return timedelta(**{unit: count})
    raise must("a time such as 30m, 24h, 7d or 4w, longer than nothing and at most 36500d", raw)


def _moment(raw: Any, info: ValidationInfo) -> datetime:
    """A date (its first instant) or a date and time; without a zone, in the catalog's. Kept in UTC."""
    if isinstance(raw, datetime):
        moment = raw
    else:
        wanted = "a date or a date and time, such as 2026-01-31 or 2026-01-31T09:00"
        try:
            moment = datetime.fromisoformat(raw) if "T" in raw or " " in raw else _midnight(raw)
        except (TypeError, ValueError):
            raise must(wanted, raw) from None
    zone: tzinfo = (info.context or {}).get("zone", UTC)
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        moment = EARLIEST - timedelta(days=1)
    if not EARLIEST <= moment <= LATEST:
        raise must("between the years 1 and 9999", raw)
    return moment


def _midnight(raw: str) -> datetime:
    return datetime.combine(date.fromisoformat(raw), time())


def _expression(raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if not isinstance(raw, str):
        raise must("a CEL expression, as text", raw)
    if not raw.strip():
        raise must("a CEL expression", raw)
    return raw.rstrip()


def _one_or_many(raw: Any) -> Any:
    return [raw] if isinstance(raw, str) else raw


def without_repeats(raw: tuple[str, ...]) -> tuple[str, ...]:
    for place, name in enumerate(raw):
        if name in raw[:place]:
            raise PydanticCustomError("must", "names {name} twice", {"name": name})
    return raw


def _content(raw: Any) -> str | int | float | bool:
    if isinstance(raw, (str, bool)) or (isinstance(raw, (int, float)) and abs(raw) < 2**53):
        return raw
    raise must("text, a number (below 2^53) or true/false", raw)


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": _NAME})]
AttributeName = Annotated[str, AfterValidator(_attribute), Field(json_schema_extra={"pattern": _ATTRIBUTE})]
Kind = Annotated[AttributeType, Field(strict=False)]
Zone = Annotated[str, AfterValidator(_zone)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Duration = Annotated[
    timedelta, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["7d"]})
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-01-31", "2026-01-31T09:00"]}),
]
Expression = Annotated[
    str, BeforeValidator(_expression), WithJsonSchema({"type": ["string", "boolean"], "description": "CEL."})
]
Names = Annotated[tuple[Name, ...], Field(strict=False), AfterValidator(without_repeats)]
_ONE_OR_MANY = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
NameOrNames = Annotated[
    tuple[str, ...],
    Field(strict=False, min_length=1),
    BeforeValidator(_one_or_many),
    AfterValidator(without_repeats),
    _ONE_OR_MANY,
]
ContentValue = Annotated[
    str | int | float | bool,
    BeforeValidator(_content),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
