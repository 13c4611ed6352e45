"""What a body does to a customer, as a function of the customer's latest state and the time."""

from datetime import datetime
from typing import Any, cast

import msgspec

from api.contacts import timestamp
from api.customer_bodies import ConsentBody, CustomerBody, CustomerPatch
from api.problems import Problem
from features.customer import Consent, Customer, micros, with_attributes, with_consent
from features.store import Change
from rules.types import AttributeType, coerce

FUTURE_TOLERANCE = 5 * 60 * 1_000_000  # of clocks that go ahead, microseconds
SOURCE = "api"


def _with_statements(customer: Customer, consents: dict[str, bool], now: int) -> Customer:
    for purpose, granted in consents.items():
        customer = with_consent(customer, purpose, Consent(granted, now, SOURCE))
    return customer


def replaced(attributes: dict[str, Any], body: CustomerBody) -> Change:
    def change(customer: Customer, now: int) -> Customer:
        named = {**dict.fromkeys(customer.attributes), **attributes}  # what isn't named is removed
        whole = msgspec.structs.replace(with_attributes(customer, named, now), test=body.test)
        return _with_statements(whole, body.consents, now)

    return change


def patched(attributes: dict[str, Any], body: CustomerPatch) -> Change:
    def change(customer: Customer, now: int) -> Customer:
        merged = with_attributes(customer, attributes, now)
        if "test" in body.model_fields_set:
            merged = msgspec.structs.replace(merged, test=body.test)
        return _with_statements(merged, body.consents, now)

    return change


def statement(purpose: str, body: ConsentBody) -> Change:
    at = _stated_at(body)

    def change(customer: Customer, now: int) -> Customer:
        made = now if at is None else at
        if made > now + FUTURE_TOLERANCE:
            raise Problem("statement_in_future", f"it is {timestamp(now)} here", pointer="/at")
        # Kept as made now: a statement ahead of time would silence those that follow it, an opt-out among them.
        return with_consent(customer, purpose, Consent(body.granted, min(made, now), body.source))

    return change


def _stated_at(body: ConsentBody) -> int | None:
    if body.at is None:
        return None
    try:
        at = coerce(AttributeType.TIMESTAMP, body.at)
    except ValueError as error:
        raise Problem("invalid_value", str(error), pointer="/at") from None
    return micros(cast(datetime, at))
