"""The profile: all that is known of a customer, and what it comes to right now."""

from typing import Any

from pydantic import BaseModel, Field

from api.contacts import ContactAnswer, page, timestamp
from catalog.plan import Plan
from catalog.series import Aggregate, Kept, Series
from decision.view import view_of
from features.aggregates import bounds, value_of
from features.consents import UNDATED
from features.customer import Consent, Customer, moment
from features.merging import merged_ids
from features.profile import ScoreValue, profile_of

MOST_CONTACTS = 20
_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))


class ConsentAnswer(BaseModel):
    """The statement in force. `at` is when it was made, null for an import's yes of which that isn't known."""

    granted: bool
    at: str | None
    source: str


class HistoryAnswer(ConsentAnswer):
    """The statement in force, and those of before, oldest first."""

    earlier: list[ConsentAnswer]


class StatedAnswer(BaseModel):
    """All that callers stated about a customer."""

    customer_id: str
    attributes: dict[str, Any]
    consents: dict[str, ConsentAnswer]
    test: bool


class AggregateAnswer(BaseModel):
    """`value` is null where there is none. Without `window` it is over all time. It sees events from `from` on and
    before `until`: whole tiles, so that up to one of them less than `window` is seen, but never more.
    """

    value: Any
    function: str
    window: str | None
    offset: str | None
    tile: str | None
    since: str | None = Field(alias="from")
    until: str | None


class PartAnswer(BaseModel):
    """`value` is what the part counts, from 0 to 1: where it had none (`missing`), what counts instead."""

    value: float
    weight: float
    missing: bool


class ScoreAnswer(BaseModel):
    """From 0 to 100; `band` is null where none are declared."""

    value: float
    band: str | None
    parts: dict[str, PartAnswer]


class ProfileAnswer(BaseModel):
    """All that is known of a customer. `contacts` are the newest 20; `next` is the cursor to those before, for their
    own path. `merged` are the other ids that stand for the customer.
    """

    customer_id: str
    attributes: dict[str, Any]
    consents: dict[str, HistoryAnswer]
    test: bool
    aggregates: dict[str, AggregateAnswer]
    segments: list[str]
    scores: dict[str, ScoreAnswer]
    contacts: list[ContactAnswer]
    next: str | None
    merged: list[str]


def as_stated(customer_id: str, customer: Customer) -> dict[str, Any]:
    """As StatedAnswer."""
    return {
        "customer_id": customer_id,
        "attributes": customer.attributes,
        "consents": {purpose: consent(told) for purpose, told in customer.consents.items()},
        "test": customer.test,
    }


def consent(told: Consent) -> dict[str, Any]:
    return {"granted": told.granted, "at": None if told.at == UNDATED else timestamp(told.at), "source": told.source}


def profile(plan: Plan, customer_id: str, customer: Customer, now: int) -> dict[str, Any]:
    """As ProfileAnswer, at `now`, in microseconds since 1970."""
    seen = view_of(plan, customer).at(now)
    known = profile_of(plan, plan.frame(seen.attributes, {}, moment(now)))
    contacts = page(customer.contacts, MOST_CONTACTS, None, now)
    told = as_stated(customer_id, customer)
    for purpose, each in told["consents"].items():
        each["earlier"] = [consent(before) for before in customer.earlier.get(purpose, ())]
    return {
        **told,
        "aggregates": aggregates(plan, customer, now),
        "segments": known.segments,
        "scores": {name: _score(score) for name, score in known.scores.items()},
        "contacts": [contact.model_dump() for contact in contacts.contacts],
        "next": contacts.next,
        "merged": merged_ids(customer),
    }


def aggregates(plan: Plan, customer: Customer, now: int) -> dict[str, Any]:
    found = {}
    for aggregate in plan.aggregates.values:
        series = plan.aggregates.series[aggregate.series]
        since, until = _window(aggregate, series, now)
        found[aggregate.name] = {
            "value": value_of(aggregate, series, customer.series.get(series.key), now),
            "function": aggregate.function.value,
            "window": _duration(aggregate.window),
            "offset": _duration(aggregate.offset),
            "tile": _duration(series.tile),
            "from": since,
            "until": until,
        }
    return found


def _window(aggregate: Aggregate, series: Series, now: int) -> tuple[str | None, str | None]:
    """From when on it sees events, and before when."""
    if not aggregate.window:
        return None, None
    if series.kept is Kept.LATEST:
        return timestamp(now - aggregate.window), timestamp(now)
    before, last = bounds(aggregate, series, now)
    return timestamp((before + 1) * series.tile), timestamp(min((last + 1) * series.tile, now))


def _duration(micros: int) -> str | None:
    """As a catalog has it; None for none."""
    if not micros:
        return None
    unit, length = next((unit, length) for unit, length in _UNITS if micros % length == 0)
    return f"{micros // length}{unit}"


def _score(score: ScoreValue) -> dict[str, Any]:
    parts = {part.name: {"value": part.value, "weight": part.weight, "missing": part.missing} for part in score.parts}
    return {"value": score.value, "band": score.band, "parts": parts}
