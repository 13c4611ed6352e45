"""The bodies of the customer routes, and what they come to against the catalog."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.bodies import decode_strictly
from api.misfits import Finding, unfit
from api.problems import Problem, of_findings
from catalog.plan import Plan
from decision.request import escaped, undeclared
from rules.types import coerce, shown, valid_zone

_any = msgspec.json.Decoder()


LONGEST_SOURCE = 200  # characters


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


class CustomerBody(Body):
    """A customer as a whole. Consents are statements made now; those not named stay as they are."""

    attributes: dict[str, Any] = Field(
        default={}, description="By name, of the types the catalog declares. Timestamps are RFC 3339 with a zone."
    )
    consents: dict[str, bool] = Field(
        default={},
        description="By purpose: the customer's yes or no, stated now, after whatever was stated before. So a yes must "
        "not be sent again by itself: state it with its time, at `/consents/{purpose}`. A no is stored even where the "
        "body is refused, and the problem says so in `stored`.",
    )
    test: bool = Field(default=False, description="Decided for like any other, and never emitted to.")


class CustomerPatch(CustomerBody):
    """A merge patch (RFC 7396): what is not named stays, an attribute that is null is removed."""


class ConsentBody(Body):
    """A customer's yes or no for one purpose."""

    granted: bool
    at: str | None = Field(
        default=None,
        description="When it was stated, RFC 3339 with a zone. Default: now, after whatever was stated before: a yes "
        "that may be sent again needs it, or it would undo a no that was stated in between. The newest statement is in "
        "force; of two that are a second and a half apart or less, the no. A no whose time can't be is made now.",
        examples=["2026-01-31T09:00:00Z"],
    )
    source: Annotated[str, Field(min_length=1, max_length=LONGEST_SOURCE)] = Field(
        default="api", description="Where it was stated, such as a form or a call."
    )


def read_consent(body: bytes) -> ConsentBody:
    """A no is taken without what can't be read of it, or means nothing: it is made now then, by whoever says so here.

    Raises Problem.
    """
    try:
        return read(ConsentBody, body)
    except Problem:
        raw = decode_strictly(_any, body)
        if not isinstance(raw, dict) or raw.get("granted") is not False:
            raise
    kept = {name: raw[name] for name in ("at", "source") if isinstance(raw.get(name), str)}
    if not 1 <= len(kept.get("source", "")) <= LONGEST_SOURCE:
        kept.pop("source", None)
    return ConsentBody(granted=False, **kept)


def read(model: type[B], body: bytes) -> B:
    """Raises Problem."""
    decode_strictly(_any, body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        findings = [
            unfit(found, pointer(found["loc"]), model.model_fields) for found in error.errors(include_url=False)
        ]
    raise of_findings(findings)


def pointer(location: Iterable[int | str]) -> str:
    """pydantic's location as a JSON pointer."""
    return "".join(f"/{escaped(str(step))}" for step in location)


def noes(body: bytes) -> list[str]:
    """The purposes that a customer's body says no to, as far as it can be read."""
    try:
        raw = _any.decode(body)
    except (ValueError, RecursionError):
        return []
    consents = raw.get("consents") if isinstance(raw, dict) else None
    return [purpose for purpose, granted in consents.items() if granted is False] if isinstance(consents, dict) else []


def stated(plan: Plan, body: CustomerBody, *, removing: bool, heard: Collection[str] = ()) -> dict[str, Any]:
    """The attributes of `body` as values of their declared types; None, where `removing` is allowed, removes.

    A no is taken for the purposes in `heard` too, whether they are (still) declared or not. Raises Problem with
    everything found wrong, undeclared purposes among it.
    """
    findings: list[Finding] = []
    values: dict[str, Any] = {}
    for name, raw in body.attributes.items():
        if raw is None and removing:
            values[name] = None  # whether it is (still) declared or not
            continue
        try:
            values[name] = _value(plan, name, raw)
        except _UnfitError as unfit:
            findings.append((unfit.code, f"/attributes/{escaped(name)}", str(unfit)))
    findings += [
        ("unknown_purpose", f"/consents/{escaped(purpose)}", undeclared("purpose", purpose, plan.purposes))
        for purpose, granted in body.consents.items()
        if purpose not in plan.purposes and (granted or purpose not in heard)
    ]
    if findings:
        raise of_findings(findings)
    return values


class _UnfitError(ValueError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _value(plan: Plan, name: str, raw: Any) -> Any:
    kind = plan.customer_types.get(name)
    if kind is None:
        raise _UnfitError("unknown_attribute", undeclared("attribute", name, plan.customer_types))
    try:
        value = coerce(kind, raw)
    except ValueError as error:
        raise _UnfitError("wrong_type", f"attribute {shown(name)}: {error}") from None
    if name == "timezone" and not valid_zone(str(value)):
        raise _UnfitError("unknown_timezone", f"expected an IANA time zone such as Europe/Madrid, got {shown(raw)}")
    return value


def must_be_declared(plan: Plan, purpose: str) -> None:
    """Raises Problem."""
    if purpose not in plan.purposes:
        raise Problem("unknown_purpose", undeclared("purpose", purpose, plan.purposes), parameter="purpose")
