"""What a body does to a customer, as a function of the customer's latest state and the time."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import msgspec

from api.contacts import timestamp
from api.customer_bodies import ConsentBody, CustomerBody, CustomerPatch, must_be_declared
from api.problems import Problem
from catalog.plan import Plan
from features.consents import with_consent, with_consent_by, with_refusal
from features.customer import Consent, Customer, micros, with_attributes
from features.elapsed import elapsed
from features.store import Change
from rules.types import AttributeType, coerce

FUTURE_TOLERANCE = 5 * 60 * 1_000_000  # of clocks that go ahead, microseconds
SOURCE = "api"


class Arrival:
    """When a request came in; `time` is in seconds, and counts while the machine sleeps.

    What it states was stated by then, however often its commit is tried, and however long Redis lets it wait.
    """

    def __init__(self, time: Callable[[], float] = elapsed) -> None:
        self._time = time
        self._at = time()

    def seen_at(self, now: int) -> int:
        """In the time of which it is `now`."""
        return now - max(0, int((self._time() - self._at) * 1_000_000))


def with_statements(customer: Customer, consents: dict[str, bool], now: int, arrival: Arrival) -> Customer:
    for purpose, granted in consents.items():
        customer = with_consent_by(customer, purpose, Consent(granted, now, SOURCE), arrival.seen_at(now))
    return customer


def replaced(attributes: dict[str, Any], body: CustomerBody, arrival: Arrival) -> Change:
    def change(customer: Customer, now: int) -> Customer:
        named = {**dict.fromkeys(customer.attributes), **attributes}  # what isn't named is removed
        whole = msgspec.structs.replace(with_attributes(customer, named, now), test=body.test)
        return with_statements(whole, body.consents, now, arrival)

    return change


def patched(attributes: dict[str, Any], body: CustomerPatch, arrival: Arrival) -> Change:
    def change(customer: Customer, now: int) -> Customer:
        merged = with_attributes(customer, attributes, now)
        if "test" in body.model_fields_set:
            merged = msgspec.structs.replace(merged, test=body.test)
        return with_statements(merged, body.consents, now, arrival)

    return change


def statement(purpose: str, body: ConsentBody, arrival: Arrival) -> Change:
    """A no is never refused for its time: one that can't be read, or lies far ahead, is that of now."""
    at = _stated_at(body)

    def change(customer: Customer, now: int) -> Customer:
        if at is None:
            return with_consent_by(customer, purpose, Consent(body.granted, now, body.source), arrival.seen_at(now))
        if body.granted and at > now + FUTURE_TOLERANCE:
            raise Problem("statement_in_future", f"it is {timestamp(now)} here", pointer="/at")
        # Kept as made now: a statement ahead of time would silence those that follow it, an opt-out among them.
        made = Consent(body.granted, min(at, now), body.source)
        return with_consent(customer, purpose, made) if made.granted else with_refusal(customer, purpose, made, now)

    return change


def of_known_purpose(plan: Plan, purpose: str, body: ConsentBody, change: Change) -> Change:
    """`change`, unless nobody knows of the purpose; raises Problem then.

    What was said of one before it left the catalog may be taken back: it may come again.
    """

    def checked(customer: Customer, now: int) -> Customer:
        if body.granted or purpose not in customer.consents:
            must_be_declared(plan, purpose)
        return change(customer, now)

    return checked


def _stated_at(body: ConsentBody) -> int | None:
    if body.at is None:
        return None
    try:
        at = coerce(AttributeType.TIMESTAMP, body.at)
    except ValueError as error:
        if not body.granted:
            return None
        raise Problem("invalid_value", str(error), pointer="/at") from None
    return micros(cast(datetime, at))
